"""The AWS command line over the jobs of a server: scheduled queries and batch loads, from JSON and from options."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from support.aws_cli import Aws, fails
from support.s3_servers import CLIENTS_BUCKET, s3_client
from support.server import ServerProcess
from support.stock import rows

DEADLINE_S = 20.0


@pytest.fixture(scope="module")
def aws(server_with_buckets: ServerProcess) -> Aws:
    return Aws(server_with_buckets, ("--endpoint-url", server_with_buckets.endpoint))


@pytest.fixture(scope="module")
def database(server_with_buckets: ServerProcess) -> str:
    """The name of a database with the empty tables `loaded` and `derived`."""
    write = server_with_buckets.client("timestream-write")
    write.create_database(DatabaseName="cli_jobs")
    for table in ("loaded", "derived"):
        write.create_table(DatabaseName="cli_jobs", TableName=table)
    return "cli_jobs"


def test_scheduled_queries(aws: Aws, database: str, server_with_buckets: ServerProcess, tmp_path: Path) -> None:
    target = {
        "DatabaseName": database,
        "TableName": "derived",
        "TimeColumn": "slot",
        "DimensionMappings": [{"Name": "host", "DimensionValueType": "VARCHAR"}],
        "MultiMeasureMappings": {
            "TargetMultiMeasureName": "all",
            "MultiMeasureAttributeMappings": [{"SourceColumn": "n", "MeasureValueType": "BIGINT"}],
        },
    }
    request = {
        "Name": "cli-one",
        "QueryString": "SELECT 'a' AS host, @scheduled_runtime AS slot, count(*) AS n FROM (VALUES 1, 2) AS t(x)",
        "ScheduleConfiguration": {"ScheduleExpression": "rate(7 days)"},
        "NotificationConfiguration": {"SnsConfiguration": {"TopicArn": "arn:aws:sns:us-east-1:000000000000:told"}},
        "ScheduledQueryExecutionRoleArn": "arn:aws:iam::000000000000:role/runs",
        "ErrorReportConfiguration": {"S3Configuration": {"BucketName": CLIENTS_BUCKET}},
        "TargetConfiguration": {"TimestreamConfiguration": target},
    }
    (tmp_path / "request.json").write_text(json.dumps(request))
    arn = aws("query", "create-scheduled-query", cli_input_json=f"file://{tmp_path}/request.json")["Arn"]
    # The same as options, with lists and structures in the short form of the command line too.
    other = aws(
        "query",
        "create-scheduled-query",
        name="cli-two",
        query_string=request["QueryString"],
        schedule_configuration="ScheduleExpression=rate(7 days)",
        notification_configuration=request["NotificationConfiguration"],
        scheduled_query_execution_role_arn=request["ScheduledQueryExecutionRoleArn"],
        error_report_configuration=f"S3Configuration={{BucketName={CLIENTS_BUCKET}}}",
        target_configuration=request["TargetConfiguration"],
        tags="Key=stage,Value=test",
    )["Arn"]
    first = aws("query", "list-scheduled-queries", page_size="1", max_items="1")
    rest = aws("query", "list-scheduled-queries", page_size="3", starting_token=first["NextToken"])
    found = [one["Arn"] for page in (first, rest) for one in page["ScheduledQueries"]]
    assert [one for one in found if one in (arn, other)] == [arn, other]
    described = aws("query", "describe-scheduled-query", scheduled_query_arn=arn)["ScheduledQuery"]
    assert {member: described[member] for member in request} == request

    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    assert aws("query", "execute-scheduled-query", scheduled_query_arn=arn, invocation_time=now) is None
    query = server_with_buckets.client("timestream-query")
    deadline_s = time.monotonic() + DEADLINE_S
    while not (found_rows := rows(query, f'SELECT * FROM "{database}".derived')):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    assert found_rows[0][0] == "a"
    for one in (arn, other):
        assert aws("query", "delete-scheduled-query", scheduled_query_arn=one) is None


def test_batch_loads(aws: Aws, database: str, server_with_buckets: ServerProcess, s3_endpoint: str) -> None:
    body = f"when,host,cpu\n{int(time.time())},a,1.5\n"
    s3_client(s3_endpoint).put_object(Bucket=CLIENTS_BUCKET, Key="cli/1.csv", Body=body.encode())
    model: dict[str, Any] = {
        "TimeColumn": "when",
        "TimeUnit": "SECONDS",
        "DimensionMappings": [{"SourceColumn": "host"}],
        "MultiMeasureMappings": {
            "TargetMultiMeasureName": "all",
            "MultiMeasureAttributeMappings": [{"SourceColumn": "cpu", "MeasureValueType": "DOUBLE"}],
        },
    }
    source = f"DataSourceS3Configuration={{BucketName={CLIENTS_BUCKET},ObjectKeyPrefix=cli/}},DataFormat=CSV"
    asked: dict[str, Any] = {
        "data_model_configuration": {"DataModel": model},
        "data_source_configuration": source,
        "report_configuration": f"ReportS3Configuration={{BucketName={CLIENTS_BUCKET}}}",
        "target_database_name": database,
        "target_table_name": "loaded",
        "record_version": "3",
    }
    task = aws("write", "create-batch-load-task", **asked)["TaskId"]
    deadline_s = time.monotonic() + DEADLINE_S
    while True:
        found = aws("write", "describe-batch-load-task", task_id=task)["BatchLoadTaskDescription"]
        if found["TaskStatus"] not in ("CREATED", "IN_PROGRESS"):
            break
        assert time.monotonic() < deadline_s, found
    assert (found["TaskStatus"], found["ProgressReport"]["RecordsIngested"]) == ("SUCCEEDED", 1), found
    listed = aws("write", "list-batch-load-tasks", max_results="1", task_status="SUCCEEDED")
    assert [one["TaskId"] for one in listed["BatchLoadTasks"]] == [task]
    text = fails(lambda: aws("write", "resume-batch-load-task", task_id=task), "ValidationException")
    assert "resume" in text.lower()
