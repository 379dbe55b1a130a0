"""Batch loads for tests: an instance whose buckets are folders, requests for it, and what came of a task."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from headwater.config import load as load_config
from headwater.instance import Instance
from headwater.model.batch_load import Task
from headwater.model.limits import Limits
from headwater.query.token import Caller
from headwater.server import batch_load_api
from headwater.server.write_api import Call
from headwater.wire import codec, shapes
from support.answers import rows_of

ACCOUNT, REGION = "123456789012", "us-east-1"
SOURCE, REPORTS = "source", "reports"
TIMEOUT_S = 20.0

MODEL: dict[str, Any] = {
    "TimeColumn": "time",
    "DimensionMappings": [{"SourceColumn": "host"}],
    "MultiMeasureMappings": {
        "TargetMultiMeasureName": "metrics",
        "MultiMeasureAttributeMappings": [
            {"SourceColumn": "cpu", "MeasureValueType": "DOUBLE"},
            {"SourceColumn": "mem", "MeasureValueType": "BIGINT"},
        ],
    },
}


class Loads:
    """A data folder and a folder of buckets below one; `open` it as often as you like."""

    def __init__(self, folder: Path, limits: Limits | None = None) -> None:
        self.folder = folder
        self.limits = limits or Limits()
        for bucket in (SOURCE, REPORTS):
            (folder / "buckets" / bucket).mkdir(parents=True)
        self.open()
        self.instance.catalog.create_database("db", None)
        self.instance.create_table("db", "t", None, None, None)

    def open(self, **how: Any) -> None:
        flags = {"data": str(self.folder / "data"), "account": ACCOUNT, "region": REGION}
        flags["object_store"] = f"file://{self.folder}/buckets"
        config = load_config(flags, {}, None, processors=1)
        self.instance = Instance.open(replace(config, limits=self.limits), **how)

    def put(self, key: str, text: str | bytes) -> None:
        path = self.folder / "buckets" / SOURCE / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    def create(self, model: dict[str, Any] | None = None, **members: Any) -> str:
        """The new task's id. `csv` and `prefix` are of the source, other members of the request."""
        body = json.dumps(request(model, **members)).encode()
        sent = codec.decode(body, shapes.CreateBatchLoadTaskRequest, 32)
        return str(batch_load_api.create_batch_load_task(self.instance, sent, Call("host", ""))["TaskId"])

    def ended(self, id: str) -> Task:
        """The task when it is no longer worked on."""
        deadline_s = time.monotonic() + TIMEOUT_S
        while (task := self.task(id)).status.is_active:
            assert time.monotonic() < deadline_s, task
            time.sleep(0.01)
        return task

    def loaded(self, text: str | bytes, model: dict[str, Any] | None = None, **members: Any) -> Task:
        """The task that has loaded one file."""
        self.put("file.csv", text)
        return self.ended(self.create(model, **members))

    def task(self, id: str) -> Task:
        return self.instance.catalog.batch_loads.task(id)

    def rows(
        self, select: str = "SELECT host, measure_name, cpu, mem FROM db.t ORDER BY time, host"
    ) -> list[list[Any]]:
        page = self.instance.queries.run(Caller("", ""), select)
        return [list(map(value, row)) for row in rows_of(page.rows)]

    def report(self, task: Task) -> dict[str, Any]:
        (path,) = (self.folder / "buckets" / REPORTS).rglob(f"{task.id}/*")
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def errors(self, task: Task) -> list[tuple[str, list[list[int]]]]:
        """Of the one file of the report: reasons with their lines."""
        (file,) = self.report(task)["fileErrors"]
        return [(error["reason"], error["lineRanges"]) for error in file["errors"]]

    def close(self) -> None:
        self.instance.close()


def request(
    model: dict[str, Any] | None = None,
    csv: dict[str, Any] | None = None,
    prefix: str | None = None,
    **members: Any,
) -> dict[str, Any]:
    source = {"BucketName": SOURCE, "ObjectKeyPrefix": prefix}
    return {
        "DataModelConfiguration": {"DataModel": MODEL if model is None else model},
        "DataSourceConfiguration": {"DataSourceS3Configuration": source, "CsvConfiguration": csv, "DataFormat": "CSV"},
        "ReportConfiguration": {"ReportS3Configuration": {"BucketName": REPORTS}},
        "TargetDatabaseName": "db",
        "TargetTableName": "t",
        **members,
    }


def value(datum: dict[str, Any]) -> Any:
    return None if datum.get("NullValue") else datum["ScalarValue"]


def now_ms(offset: int = 0) -> int:
    """This hour, so that all tests of a second have the same."""
    return int(time.time()) // 3_600 * 3_600_000 + offset
