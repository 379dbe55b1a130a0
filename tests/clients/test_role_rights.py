"""The roles of scheduled queries with stock boto3, on a server with a folder of policies: what a client is told.

The policy is the example of docs/operating.md. Source: security.md 2, 3; scheduled-queries.md 8.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from support.server import ServerProcess, serving
from support.stock import Table, fault, record, rows, told

DEADLINE_S = 20.0
NOW = datetime(2024, 1, 1, tzinfo=UTC)
ROLE = "arn:aws:iam::000000000000:role/service-role/reporting"
HANDBOOK = Path(__file__).parents[2] / "docs" / "operating.md"


def example() -> dict[str, Any]:
    """The policy that the handbook shows."""
    found = re.search(r"```json\n(\{\n  \"Version\".*?)```", HANDBOOK.read_text(), re.DOTALL)
    assert found is not None
    policy: dict[str, Any] = json.loads(found[1])
    return policy


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("roles")


@pytest.fixture(scope="module")
def server(policies: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with serving(tmp_path_factory.mktemp("with-roles"), roles=policies) as process:
        yield process


@pytest.fixture(scope="module")
def write(server: ServerProcess) -> Any:
    return server.client("timestream-write")


@pytest.fixture(scope="module")
def query(server: ServerProcess) -> Any:
    return server.client("timestream-query")


@pytest.fixture(scope="module")
def source(write: Any, query: Any) -> Table:
    """The tables of the handbook's example."""
    write.create_database(DatabaseName="metrics")
    for name in ("cpu", "salaries", "hourly"):
        write.create_table(DatabaseName="metrics", TableName=name)
    source = Table(write, query, "metrics", "cpu")
    source.put(record("1.5"))
    return source


@pytest.fixture
def wanted(policies: Path, source: Table) -> dict[str, Any]:
    """A request that the role of the handbook's example is made for."""
    (policies / "reporting.json").write_text(json.dumps(example()))
    attribute = {"SourceColumn": "mean", "MeasureValueType": "DOUBLE"}
    return {
        "Name": "hourly",
        "QueryString": (
            "SELECT host, bin(time, 1h) AS hour, avg(measure_value::double) AS mean "
            "FROM metrics.cpu GROUP BY host, bin(time, 1h)"
        ),
        "ScheduleConfiguration": {"ScheduleExpression": "cron(0 0 1 1 ? *)"},
        "NotificationConfiguration": {"SnsConfiguration": {"TopicArn": "arn:aws:sns:us-east-1:000000000000:t"}},
        "ScheduledQueryExecutionRoleArn": ROLE,
        "ErrorReportConfiguration": {"S3Configuration": {"BucketName": "reports", "ObjectKeyPrefix": "hourly"}},
        "TargetConfiguration": {
            "TimestreamConfiguration": {
                "DatabaseName": "metrics",
                "TableName": "hourly",
                "TimeColumn": "hour",
                "DimensionMappings": [{"Name": "host", "DimensionValueType": "VARCHAR"}],
                "MultiMeasureMappings": {
                    "TargetMultiMeasureName": "load",
                    "MultiMeasureAttributeMappings": [attribute],
                },
            }
        },
    }


def run(query: Any, arn: str) -> dict[str, Any]:
    """The description after a run by hand."""
    query.execute_scheduled_query(ScheduledQueryArn=arn, InvocationTime=NOW)
    deadline_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline_s:
        found: dict[str, Any] = query.describe_scheduled_query(ScheduledQueryArn=arn)["ScheduledQuery"]
        if "LastRunSummary" in found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"no run has ended: {found}")


def test_the_role_of_the_handbook_runs_its_query(query: Any, wanted: dict[str, Any]) -> None:
    arn = query.create_scheduled_query(**wanted)["Arn"]
    found = run(query, arn)
    assert (found["State"], found["LastRunSummary"]["RunStatus"]) == ("ENABLED", "MANUAL_TRIGGER_SUCCESS")
    assert found["LastRunSummary"]["ExecutionStats"]["RecordsIngested"] == 1
    query.delete_scheduled_query(ScheduledQueryArn=arn)


def test_a_right_that_is_missing_is_a_typed_fault(query: Any, wanted: dict[str, Any]) -> None:
    hidden = {**wanted, "QueryString": wanted["QueryString"].replace("metrics.cpu", "metrics.salaries")}
    refused = fault(lambda: query.create_scheduled_query(**hidden))
    assert isinstance(refused, query.exceptions.AccessDeniedException)
    assert told(lambda: query.create_scheduled_query(**hidden)) == (
        "AccessDeniedException",
        403,
        "User: arn:aws:sts::000000000000:assumed-role/reporting/scheduled-query is not authorized to perform: "
        "timestream:Select on resource: arn:aws:timestream:us-east-1:000000000000:database/metrics/table/salaries "
        "with an explicit deny in an identity-based policy",
    )
    assert query.list_scheduled_queries()["ScheduledQueries"] == []


def test_a_role_without_a_file_is_a_typed_fault(query: Any, wanted: dict[str, Any]) -> None:
    code, status, text = told(
        lambda: query.create_scheduled_query(**{**wanted, "ScheduledQueryExecutionRoleArn": ROLE + "2"})
    )
    assert (code, status) == ("AccessDeniedException", 403)
    assert text.endswith(f"sts:AssumeRole on resource: {ROLE}2")


def test_a_run_without_its_role_fails_and_disables_the_query(
    query: Any, wanted: dict[str, Any], policies: Path
) -> None:
    arn = query.create_scheduled_query(**wanted)["Arn"]
    (policies / "reporting.json").unlink()
    found = run(query, arn)
    summary = found["LastRunSummary"]
    assert (found["State"], summary["RunStatus"]) == ("DISABLED", "MANUAL_TRIGGER_FAILURE")
    assert summary["FailureReason"].endswith(f"sts:AssumeRole on resource: {ROLE}")
    query.delete_scheduled_query(ScheduledQueryArn=arn)


def test_the_caller_may_read_what_no_role_may(query: Any, source: Table) -> None:
    assert rows(query, "SELECT count(*) FROM metrics.salaries") == [("0",)]
