"""`headwater jobs` against a live server."""

from __future__ import annotations

import csv
import sys
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from support.server import ServerProcess


def test_it_prints_the_jobs_of_a_server(server: ServerProcess) -> None:
    words = (sys.executable, "-m", "headwater", "jobs", "--endpoint", server.endpoint, "--format", "csv")
    done = server.run(*words)
    assert (done.returncode, done.stderr) == (0, "")
    lines = list(csv.DictReader(done.stdout.splitlines()))
    compaction = next(line for line in lines if line["name"] == "compaction")
    assert compaction["job"] == "maintenance"
    assert compaction["state"] in ("RUNNING", "IDLE")


def test_a_stranger_sees_none(server: ServerProcess) -> None:
    words = (sys.executable, "-m", "headwater", "jobs", "--endpoint", server.endpoint)
    done = server.run(*words, AWS_ACCESS_KEY_ID="AKIDSTRANGER", AWS_SECRET_ACCESS_KEY="guess")
    assert (done.returncode, done.stdout) == (1, "")
    assert "UnrecognizedClientException" in done.stderr


@pytest.mark.parametrize(
    ("name", "words"),
    [("compaction", "the server's own work, which cannot be cancelled"), ("no-such-job", "does not exist")],
)
def test_what_cannot_be_cancelled_is_told(server: ServerProcess, name: str, words: str) -> None:
    command = (sys.executable, "-m", "headwater", "jobs", "--endpoint", server.endpoint, "--cancel", name)
    done = server.run(*command)
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr


def test_a_run_is_cancelled_by_its_name(server: ServerProcess, query: Any, write: Any) -> None:
    text = "WITH n AS (SELECT * FROM UNNEST(sequence(1, 10000)) AS t (x)) SELECT count(*) AS c FROM n a, n b, n c, n d"
    arn = query.create_scheduled_query(
        Name="endless",
        QueryString=text,
        ScheduleConfiguration={"ScheduleExpression": "cron(0 0 1 1 ? *)"},
        NotificationConfiguration={"SnsConfiguration": {"TopicArn": "arn:aws:sns:us-east-1:000000000000:t"}},
        ScheduledQueryExecutionRoleArn="arn:aws:iam::000000000000:role/r",
        ErrorReportConfiguration={"S3Configuration": {"BucketName": "reports"}},
    )["Arn"]
    query.execute_scheduled_query(ScheduledQueryArn=arn, InvocationTime=datetime.now(UTC))
    name = arn.partition("scheduled-query/")[2]
    command = (sys.executable, "-m", "headwater", "jobs", "--endpoint", server.endpoint)
    listed = list(csv.DictReader(server.run(*command, "--format", "csv").stdout.splitlines()))
    found = next(line for line in listed if line["name"] == name)
    assert (found["job"], found["state"]) == ("scheduled query", "RUNNING")
    done = server.run(*command, "--cancel", name)
    assert (done.returncode, done.stderr) == (0, "")
    assert name in done.stdout
    deadline_s = time.monotonic() + 20
    while "LastRunSummary" not in (told := query.describe_scheduled_query(ScheduledQueryArn=arn)["ScheduledQuery"]):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    assert told["LastRunSummary"]["FailureReason"] == "The run was cancelled."
    assert told["State"] == "ENABLED"
    query.delete_scheduled_query(ScheduledQueryArn=arn)
