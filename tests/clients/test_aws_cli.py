"""The AWS command line, as the server's own examples call it: create, write, query, fail."""

from __future__ import annotations

import json
import subprocess
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


def aws(server: ServerProcess, service: str, operation: str, **arguments: Any) -> Any:
    """The answer of one command, read as JSON. Raises Failed with what it wrote to standard error."""
    words = [str(AWS), service, operation, "--region", server.region, "--endpoint-url", server.endpoint]
    for name, value in arguments.items():
        words += [f"--{name.replace('_', '-')}", value if isinstance(value, str) else json.dumps(value)]
    done = subprocess.run(
        [*words, "--output", "json"],
        env=server.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if done.returncode:
        raise Failed(done.stderr)
    return json.loads(done.stdout) if done.stdout.strip() else None


def test_create_write_query_and_delete(server: ServerProcess) -> None:
    names = {"database_name": "from_cli", "table_name": "records"}
    created = aws(server, "timestream-write", "create-database", database_name="from_cli")
    assert created["Database"]["DatabaseName"] == "from_cli"
    aws(server, "timestream-write", "create-table", **names)
    counts = aws(
        server,
        "timestream-write",
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
        server,
        "timestream-query",
        "query",
        query_string="SELECT host, measure_value::bigint AS load FROM from_cli.records ORDER BY host",
    )
    assert [[datum["ScalarValue"] for datum in row["Data"]] for row in answer["Rows"]] == [["a", "1"], ["b", "2"]]
    listed = aws(server, "timestream-write", "list-tables", database_name="from_cli", max_results="1")
    assert [table["TableName"] for table in listed["Tables"]] == ["records"]
    assert aws(server, "timestream-write", "delete-table", **names) is None
    assert aws(server, "timestream-write", "delete-database", database_name="from_cli") is None


def test_a_fault_reads_as_the_service_says_it(server: ServerProcess) -> None:
    with pytest.raises(Failed) as caught:
        aws(server, "timestream-write", "describe-database", database_name="nowhere")
    assert "(ResourceNotFoundException)" in str(caught.value)
    assert "The database nowhere does not exist." in str(caught.value)
