"""SIGKILL in the middle of a run of a scheduled query: the slot is finished after the restart, once, with all its rows.

The server's wall clock is a file of the test's, so that a minute passes when the test says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headwater.model.time import NS_PER_MINUTE, NS_PER_S
from support.server import ServerProcess

ROWS = 30_000
QUERY = f"""
SELECT 'a' AS host, from_nanoseconds(to_nanoseconds(@scheduled_runtime) - x) AS t, x AS value
FROM UNNEST(sequence(0, 9999)) AS a (n) CROSS JOIN UNNEST(sequence(0, {ROWS // 10_000 - 1})) AS b (m)
CROSS JOIN UNNEST(ARRAY[n + 10000 * m]) AS c (x)
"""
CLOCK = """
from pathlib import Path
from headwater.model.time import SystemClock
SystemClock.now_ns = lambda self: int(Path({file!r}).read_text())
"""
LIMIT_S = 40.0


def set_clock(file: Path, now_ns: int) -> None:
    """In one step: the server may read at any moment."""
    file.with_suffix(".new").write_text(str(now_ns))
    file.with_suffix(".new").rename(file)


def wait_for(is_so: Callable[[], bool]) -> None:
    end_s = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < end_s
        time.sleep(0.005)


def test_a_run_that_is_killed_is_finished_after_the_restart(tmp_path: Path) -> None:
    file = tmp_path / "clock"
    now_ns = time.time_ns()
    set_clock(file, now_ns)
    server = ServerProcess(tmp_path, CLOCK.format(file=str(file)))
    server.start()
    try:
        write, query = (server.client(f"timestream-{service}") for service in ("write", "query"))
        write.create_database(DatabaseName="crash")
        write.create_table(DatabaseName="crash", TableName="out")
        arn = create(query)
        set_clock(file, now_ns + NS_PER_MINUTE)
        wait_for(lambda: count(query) > 0)
        seen = count(query)
        server.kill()
        assert seen < ROWS, "the run was over before the kill: make it longer"
        server.start()
        wait_for(lambda: "LastRunSummary" in describe(query, arn))
        described = describe(query, arn)
        last = described["LastRunSummary"]
        slot_s = (now_ns // NS_PER_MINUTE + 1) * NS_PER_MINUTE // NS_PER_S
        assert (last["RunStatus"], last["InvocationTime"].timestamp()) == ("AUTO_TRIGGER_SUCCESS", slot_s)
        assert last["ExecutionStats"]["RecordsIngested"] == ROWS
        assert (described["State"], described["RecentlyFailedRuns"]) == ("ENABLED", [])
        difference = f"{slot_s * NS_PER_S} - to_nanoseconds(time) - measure_value::bigint"
        assert answer(
            query,
            "SELECT count(*), count(DISTINCT time), min(measure_value::bigint), max(measure_value::bigint), "
            f"max(abs({difference})) FROM crash.out",
        ) == [ROWS, ROWS, 0, ROWS - 1, 0]
    finally:
        server.kill()


def create(client: Any) -> str:
    target = {
        "DatabaseName": "crash",
        "TableName": "out",
        "TimeColumn": "t",
        "DimensionMappings": [{"Name": "host", "DimensionValueType": "VARCHAR"}],
        "MixedMeasureMappings": [{"MeasureValueType": "BIGINT", "SourceColumn": "value"}],
    }
    return client.create_scheduled_query(
        Name="killed",
        QueryString=QUERY,
        ScheduleConfiguration={"ScheduleExpression": "rate(1 minute)"},
        NotificationConfiguration={"SnsConfiguration": {"TopicArn": "arn:aws:sns:us-east-1:000000000000:topic"}},
        TargetConfiguration={"TimestreamConfiguration": target},
        ScheduledQueryExecutionRoleArn="arn:aws:iam::000000000000:role/role",
        ErrorReportConfiguration={"S3Configuration": {"BucketName": "errors"}},
    )["Arn"]


def describe(client: Any, arn: str) -> dict[str, Any]:
    return client.describe_scheduled_query(ScheduledQueryArn=arn)["ScheduledQuery"]


def count(client: Any) -> int:
    return answer(client, "SELECT count(*) FROM crash.out")[0]


def answer(client: Any, text: str) -> list[int]:
    """The one row of a query, of whole numbers."""
    page = client.query(QueryString=text)
    return [int(cell["ScalarValue"]) for cell in page["Rows"][0]["Data"]]
