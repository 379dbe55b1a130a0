"""The AWS command line, as the server's own examples call it, and in every way that it finds a server."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from support.aws_cli import Aws, fails
from support.server import ServerProcess
from support.stock import dimensions


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


def test_a_query_in_pages_and_the_rest_of_it_later(aws: Aws) -> None:
    """The command line cuts pages of its own: it leaves the second in the middle, and goes on from there."""
    asked = {"query_string": "SELECT x FROM UNNEST(sequence(1, 10)) AS t(x) ORDER BY x", "page_size": "3"}
    first = aws("query", "query", **asked, max_items="5")
    rest = aws("query", "query", **asked, starting_token=first["NextToken"])
    found = [[datum["ScalarValue"] for row in answer["Rows"] for datum in row["Data"]] for answer in (first, rest)]
    assert found == [[str(n) for n in range(1, 6)], [str(n) for n in range(6, 11)]]
    assert [column["Name"] for column in first["ColumnInfo"]] == ["x"]
    assert "NextToken" not in rest


@pytest.mark.parametrize(
    "names",
    [["AWS_ENDPOINT_URL"], ["AWS_ENDPOINT_URL_TIMESTREAM_WRITE", "AWS_ENDPOINT_URL_TIMESTREAM_QUERY"]],
    ids=["one for all services", "one for each"],
)
def test_with_nothing_but_endpoint_variables(server: ServerProcess, names: list[str]) -> None:
    check(Aws(server, **dict.fromkeys(names, server.endpoint)), f"from_cli_{len(names)}")


def test_with_no_endpoint_setting_at_all(server_as_aws: ServerProcess, certificates: Path) -> None:
    check(Aws(server_as_aws, AWS_CA_BUNDLE=str(certificates / "ca.pem")), "from_cli")
