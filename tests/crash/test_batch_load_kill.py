"""SIGKILL while a batch load is at work: the next start goes on, and the end is what it would have been.

The file has good rows, bad ones, and rows that conflict with others of the same file: every count, the table and the
report must come out as of one run that nobody disturbed. A failing run says its seed.
"""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

import pytest

from support.server import ServerProcess

ROWS = 150_000
BUCKET = "bucket"
MODEL = {
    "TimeColumn": "time",
    "DimensionMappings": [{"SourceColumn": "host"}],
    "MultiMeasureMappings": {
        "TargetMultiMeasureName": "m",
        "MultiMeasureAttributeMappings": [{"SourceColumn": "value", "MeasureValueType": "BIGINT"}],
    },
}
SAME = "A record already exists with the same time, dimensions, measure name, and record version."
END = ("SUCCEEDED", "FAILED", "PROGRESS_STOPPED")


def file_text(start_ms: int) -> str:
    """Every thousandth row cannot be read, and every one behind it repeats one long before with another value."""
    lines = ["time,host,value"]
    for row in range(ROWS):
        if row % 1_000 == 500:
            lines.append(f"{start_ms + row},h{row % 50},x")
        elif row % 1_000 == 501:
            lines.append(f"{start_ms + row - 500},h{(row - 500) % 50},-1")
        else:
            lines.append(f"{start_ms + row},h{row % 50},{row}")
    return "\n".join(lines) + "\n"


def request() -> dict[str, Any]:
    return {
        "DataModelConfiguration": {"DataModel": MODEL},
        "DataSourceConfiguration": {
            "DataSourceS3Configuration": {"BucketName": BUCKET, "ObjectKeyPrefix": "data/"},
            "DataFormat": "CSV",
        },
        "ReportConfiguration": {"ReportS3Configuration": {"BucketName": BUCKET, "ObjectKeyPrefix": "reports"}},
        "TargetDatabaseName": "crash",
        "TargetTableName": "load",
    }


@pytest.mark.parametrize("seed", [1])
def test_a_killed_load_ends_as_if_nothing_had_been(tmp_path: Path, seed: int) -> None:
    kill_often(tmp_path, seed, kills=2)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 8))
def test_a_load_killed_again_and_again(tmp_path: Path, seed: int) -> None:
    kill_often(tmp_path, seed, kills=6)


def kill_often(folder: Path, seed: int, kills: int) -> None:
    chance = random.Random(seed)
    files = folder / "buckets" / BUCKET
    (files / "data").mkdir(parents=True)
    (files / "data" / "1.csv").write_text(file_text(int(time.time() * 1_000) - ROWS - 60_000))
    server = ServerProcess(folder, object_store=f"file://{folder}/buckets", flush_age_s=1)
    server.start()
    try:
        write = server.client("timestream-write")
        write.create_database(DatabaseName="crash")
        write.create_table(DatabaseName="crash", TableName="load")
        task = write.create_batch_load_task(**request())["TaskId"]
        for _ in range(kills):
            time.sleep(chance.uniform(0.1, 1.2))
            server.kill()
            server.start()
        description = ended(server, task)
        found = server.client("timestream-query").query(
            QueryString="SELECT count(*), sum(value), min(value), count(DISTINCT time) FROM crash.load"
        )
        assert server.stop() == 0
    finally:
        server.kill()
    bad = ROWS // 1_000
    good = [row for row in range(ROWS) if row % 1_000 not in (500, 501)]
    progress = description["ProgressReport"]
    assert description["TaskStatus"] == "FAILED", seed
    assert progress == {
        "RecordsProcessed": ROWS,
        "RecordsIngested": len(good),
        "ParseFailures": bad,
        "RecordIngestionFailures": bad,
        "FileFailures": 0,
        "BytesMetered": progress["BytesMetered"],
    }, seed
    texts = [datum["ScalarValue"] for datum in found["Rows"][0]["Data"]]
    assert texts == [str(len(good)), str(sum(good)), "0", str(len(good))], seed
    (report,) = (files / "reports").rglob("*.json")
    ((first, second),) = [file["errors"] for file in json.loads(report.read_text())["fileErrors"]]
    # The header is line 1.
    assert first["lineRanges"] == [[row + 2] * 2 for row in range(500, ROWS, 1_000)], seed
    assert second["reason"].startswith(SAME)
    assert second["lineRanges"] == [[row + 2] * 2 for row in range(501, ROWS, 1_000)], seed


def ended(server: ServerProcess, task: str) -> dict[str, Any]:
    write = server.client("timestream-write")
    deadline_s = time.monotonic() + 120
    while True:
        found = write.describe_batch_load_task(TaskId=task)["BatchLoadTaskDescription"]
        if found["TaskStatus"] in END:
            return dict(found)
        assert time.monotonic() < deadline_s, found
        time.sleep(0.05)
