"""The AWS command line, as the server's own examples call it, and in every way that it finds a server."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from support.server import ServerProcess
from support.stock import dimensions

AWS = Path(sys.executable).with_name("aws")


class Failed(Exception):
    """`aws` ended with a status that is not 0."""


class Aws:
    """The command line for a server; `options` and `variables` say where that is, and without any it calls AWS."""

    def __init__(self, server: ServerProcess, options: tuple[str, ...] = (), **variables: str) -> None:
        self._server = server
        self._options = options
        self._variables = variables

    def __call__(self, service: str, operation: str, **arguments: Any) -> Any:
        """The answer of one command, read as JSON. Raises Failed with what it wrote to standard error."""
        words = [str(AWS), f"timestream-{service}", operation, *self._options, "--output", "json"]
        for name, value in arguments.items():
            words += [f"--{name.replace('_', '-')}", value if isinstance(value, str) else json.dumps(value)]
        done = self._server.run(*words, **self._variables)
        if done.returncode:
            raise Failed(done.stderr)
        return json.loads(done.stdout) if done.stdout.strip() else None


def fails(call: Any, code: str) -> str:
    """What `aws` says of a call that must fail with this code."""
    with pytest.raises(Failed) as caught:
        call()
    assert f"({code})" in str(caught.value)
    return str(caught.value)


@pytest.fixture(scope="module")
def aws(server: ServerProcess) -> Aws:
    return Aws(server, ("--region", server.region, "--endpoint-url", server.endpoint))


def check(aws: Aws, database: str) -> None:
    """A table, a record, a query and a fault, in few commands: each takes half a second."""
    names = {"database_name": database, "table_name": "records"}
    assert aws("write", "create-database", database_name=database)["Database"]["DatabaseName"] == database
    aws("write", "create-table", **names)
    record = {"Dimensions": dimensions(host="a"), "MeasureName": "load", "MeasureValue": "1.5"}
    counts = aws("write", "write-records", **names, records=[{**record, "Time": str(int(time.time() * 1000))}])
    assert counts["RecordsIngested"] == {"Total": 1, "MemoryStore": 1, "MagneticStore": 0}
    text = f"SELECT host, measure_value::double FROM {database}.records"
    (row,) = aws("query", "query", query_string=text)["Rows"]
    assert [datum["ScalarValue"] for datum in row["Data"]] == ["a", "1.5"]
    text = fails(lambda: aws("write", "describe-database", database_name="nowhere"), "ResourceNotFoundException")
    assert "The database nowhere does not exist." in text


def test_create_write_query_and_delete(aws: Aws) -> None:
    names = {"database_name": "from_cli", "table_name": "records"}
    assert aws("write", "create-database", database_name="from_cli")["Database"]["DatabaseName"] == "from_cli"
    aws("write", "create-table", **names)
    counts = aws(
        "write",
        "write-records",
        **names,
        common_attributes={"MeasureName": "load", "MeasureValueType": "BIGINT", "Time": str(int(time.time() * 1000))},
        records=[
            {"Dimensions": dimensions(host=host), "MeasureValue": value} for host, value in (("a", "1"), ("b", "2"))
        ],
    )
    assert counts["RecordsIngested"] == {"Total": 2, "MemoryStore": 2, "MagneticStore": 0}
    # The command line pages by itself.
    answer = aws(
        "query",
        "query",
        query_string="SELECT host, measure_value::bigint AS load FROM from_cli.records ORDER BY host",
    )
    assert [[datum["ScalarValue"] for datum in row["Data"]] for row in answer["Rows"]] == [["a", "1"], ["b", "2"]]
    listed = aws("write", "list-tables", database_name="from_cli", max_results="1")
    assert [table["TableName"] for table in listed["Tables"]] == ["records"]
    assert aws("write", "delete-table", **names) is None
    assert aws("write", "delete-database", database_name="from_cli") is None


def test_a_fault_reads_as_the_service_says_it(aws: Aws) -> None:
    text = fails(lambda: aws("write", "describe-database", database_name="nowhere"), "ResourceNotFoundException")
    assert "The database nowhere does not exist." in text
    text = fails(lambda: aws("write", "create-database", database_name="no/slash"), "ValidationException")
    assert "Value 'no/slash' at 'databaseName' failed to satisfy constraint" in text


@pytest.mark.parametrize(
    "names",
    [["AWS_ENDPOINT_URL"], ["AWS_ENDPOINT_URL_TIMESTREAM_WRITE", "AWS_ENDPOINT_URL_TIMESTREAM_QUERY"]],
    ids=["one for all services", "one for each"],
)
def test_with_nothing_but_endpoint_variables(server: ServerProcess, names: list[str]) -> None:
    check(Aws(server, **dict.fromkeys(names, server.endpoint)), f"from_cli_{len(names)}")


def test_with_no_endpoint_setting_at_all(server_as_aws: ServerProcess, certificates: Path) -> None:
    check(Aws(server_as_aws, AWS_CA_BUNDLE=str(certificates / "ca.pem")), "from_cli")
