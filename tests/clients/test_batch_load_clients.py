"""Batch load with stock boto3 and awswrangler: files in an S3-compatible server or in a folder, records in a table."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from support.server import ServerProcess, serving
from support.stock import rows, told

BUCKET, REPORTS = "source-bucket", "report-bucket"
S3_KEYS = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
MODEL: dict[str, Any] = {
    "TimeColumn": "time",
    "TimeUnit": "SECONDS",
    "DimensionMappings": [{"SourceColumn": "host", "DestinationColumn": "hostname"}],
    "MultiMeasureMappings": {
        "TargetMultiMeasureName": "metrics",
        "MultiMeasureAttributeMappings": [
            {"SourceColumn": "cpu", "MeasureValueType": "DOUBLE"},
            {"SourceColumn": "note", "TargetMultiMeasureAttributeName": "remark", "MeasureValueType": "VARCHAR"},
        ],
    },
}


class Place:
    """A server, and the buckets that it reaches."""

    def __init__(self, server: ServerProcess, folder: Path | None, s3: Any) -> None:
        self.server = server
        self.write, self.query = server.client("timestream-write"), server.client("timestream-query")
        self.s3 = s3
        self._folder = folder

    def put(self, key: str, text: str) -> None:
        if self._folder is None:
            self.s3.put_object(Bucket=BUCKET, Key=key, Body=text.encode())
            return
        path = self._folder / BUCKET / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def reports(self, task: str) -> list[dict[str, Any]]:
        if self._folder is not None:
            found = [path.read_bytes() for path in (self._folder / REPORTS).rglob("*.json") if task in str(path)]
        else:
            listed = self.s3.list_objects_v2(Bucket=REPORTS).get("Contents", [])
            keys = [one["Key"] for one in listed if task in one["Key"]]
            found = [self.s3.get_object(Bucket=REPORTS, Key=key)["Body"].read() for key in keys]
        return [json.loads(body) for body in found]

    def request(self, table: str, prefix: str, **more: Any) -> dict[str, Any]:
        source = {"BucketName": BUCKET, "ObjectKeyPrefix": prefix}
        return {
            "DataModelConfiguration": {"DataModel": MODEL},
            "DataSourceConfiguration": {"DataSourceS3Configuration": source, "DataFormat": "CSV"},
            "ReportConfiguration": {"ReportS3Configuration": {"BucketName": REPORTS, "ObjectKeyPrefix": "made/by"}},
            "TargetDatabaseName": "loaded",
            "TargetTableName": table,
            **more,
        }

    def load(self, table: str, prefix: str, **more: Any) -> dict[str, Any]:
        """The description of a task that has ended."""
        id = self.write.create_batch_load_task(**self.request(table, prefix, **more))["TaskId"]
        deadline_s = time.monotonic() + 30
        while True:
            found = self.write.describe_batch_load_task(TaskId=id)["BatchLoadTaskDescription"]
            if found["TaskStatus"] not in ("CREATED", "IN_PROGRESS"):
                return dict(found)
            assert time.monotonic() < deadline_s, found
            time.sleep(0.05)


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    """A client of moto's server, with both buckets."""
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1", **S3_KEYS)
    for bucket in (BUCKET, REPORTS):
        client.create_bucket(Bucket=bucket)
    yield client
    moto.stop()


@pytest.fixture(scope="module")
def in_s3(s3: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("load-s3")
    (folder / "keys").write_text("[default]\naws_access_key_id = a\naws_secret_access_key = b\n")
    store = {"object_store": s3.meta.endpoint_url, "object_store_credentials": folder / "keys"}
    with serving(folder, **store) as server:
        server.client("timestream-write").create_database(DatabaseName="loaded")
        yield Place(server, None, s3)


@pytest.fixture(scope="module")
def in_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("load-folder")
    for bucket in (BUCKET, REPORTS):
        (folder / "buckets" / bucket).mkdir(parents=True)
    with serving(folder, object_store=f"file://{folder}/buckets") as server:
        server.client("timestream-write").create_database(DatabaseName="loaded")
        yield Place(server, folder / "buckets", None)


@pytest.fixture(params=["in_folder", "in_s3"])
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(request.param)
    return found


def test_files_become_records(place: Place) -> None:
    place.write.create_table(DatabaseName="loaded", TableName="good")
    now_s = int(time.time())
    place.put("good/1.csv", f'time,host,cpu,note\n{now_s},a,1.5,"x, ""y"""\n{now_s},b,2.5,\n')
    place.put("good/2.csv", f"host,other,note,cpu,time\nc,?,z,3.5,{now_s}\n")
    task = place.load("good", "good/", RecordVersion=3, ClientToken="good")
    assert task["TaskStatus"] == "SUCCEEDED"
    assert "ErrorMessage" not in task
    assert task["RecordVersion"] == 3
    assert task["DataModelConfiguration"]["DataModel"] == {
        **MODEL,
        "MultiMeasureMappings": {
            "TargetMultiMeasureName": "metrics",
            "MultiMeasureAttributeMappings": [
                {"SourceColumn": "cpu", "TargetMultiMeasureAttributeName": "cpu", "MeasureValueType": "DOUBLE"},
                {"SourceColumn": "note", "TargetMultiMeasureAttributeName": "remark", "MeasureValueType": "VARCHAR"},
            ],
        },
    }
    progress = {key: value for key, value in task["ProgressReport"].items() if key != "BytesMetered"}
    assert progress == {
        "RecordsProcessed": 3,
        "RecordsIngested": 3,
        "ParseFailures": 0,
        "RecordIngestionFailures": 0,
        "FileFailures": 0,
    }
    assert rows(place.query, "SELECT hostname, cpu, remark FROM loaded.good ORDER BY 1") == [
        ("a", "1.5", 'x, "y"'),
        ("b", "2.5", None),
        ("c", "3.5", "z"),
    ]
    again = place.request("good", "good/", RecordVersion=3, ClientToken="good")
    assert place.write.create_batch_load_task(**again)["TaskId"] == task["TaskId"]


def test_what_failed_is_in_the_report(place: Place) -> None:
    place.write.create_table(DatabaseName="loaded", TableName="bad")
    tomorrow_s = int(time.time()) + 86_400
    place.put("bad/1.csv", f"time,host,cpu,note\n{tomorrow_s},a,1,x\n{tomorrow_s},b,2,x\n")
    task = place.load("bad", "bad/1.csv")
    assert task["TaskStatus"] == "FAILED"
    assert task["ProgressReport"]["RecordsProcessed"] == task["ProgressReport"]["RecordIngestionFailures"] == 2
    reason = "The record timestamp is outside the time range of the data ingestion window."
    assert place.reports(task["TaskId"]) == [
        {
            "taskId": task["TaskId"],
            "taskErrors": [],
            "fileErrors": [{"fileName": "bad/1.csv", "errors": [{"reason": reason, "lineRanges": [[2, 3]]}]}],
        }
    ]
    assert "s3://report-bucket/made/by/" in task["ErrorMessage"]
    error = told(lambda: place.write.resume_batch_load_task(TaskId=task["TaskId"]))
    assert error[:2] == ("ValidationException", 400)


def test_lists_go_over_pages_of_any_size(in_folder: Place) -> None:
    in_folder.write.create_table(DatabaseName="loaded", TableName="many")
    in_folder.put("many/1.csv", "time,host,cpu,note\n")
    made = [in_folder.load("many", "many/")["TaskId"] for _ in range(5)]
    for size in (1, 2, 3, 100):
        pages = list(task_pages(in_folder.write, size, TaskStatus="SUCCEEDED"))
        assert all(len(page["BatchLoadTasks"]) <= size for page in pages)
        found = [task for page in pages for task in page["BatchLoadTasks"]]
        assert [task["TaskId"] for task in found if task["TableName"] == "many"] == made[::-1]
        assert {task["DatabaseName"] for task in found} == {"loaded"}
    token = in_folder.write.list_batch_load_tasks(MaxResults=2, TaskStatus="SUCCEEDED")["NextToken"]
    wrong = told(lambda: in_folder.write.list_batch_load_tasks(MaxResults=2, TaskStatus="FAILED", NextToken=token))
    assert wrong[0] == "ValidationException"


def task_pages(write: Any, size: int, **more: Any) -> Iterator[dict[str, Any]]:
    """As a paginator, of which boto3 has none for this service."""
    page = write.list_batch_load_tasks(MaxResults=size, **more)
    yield page
    while "NextToken" in page:
        page = write.list_batch_load_tasks(MaxResults=size, NextToken=page["NextToken"], **more)
        yield page


def test_a_bucket_that_is_not_there(place: Place) -> None:
    place.write.create_table(DatabaseName="loaded", TableName="never")
    place.put("never/1.csv", "time,host,cpu,note\n")
    for member, request in (
        ("DataSourceConfiguration", {"DataSourceS3Configuration": {"BucketName": "nowhere"}, "DataFormat": "CSV"}),
        ("ReportConfiguration", {"ReportS3Configuration": {"BucketName": "nowhere"}}),
    ):
        whole = {**place.request("never", "never/"), member: request}
        code, status, message = told(lambda whole=whole: place.write.create_batch_load_task(**whole))[:3]
        assert (code, status) == ("ValidationException", 400)
        assert "nowhere" in message


def test_without_an_object_store_the_setting_is_named(server: ServerProcess, database: str, write: Any) -> None:
    write.create_table(DatabaseName=database, TableName="never")
    request = {**Place(server, None, None).request("never", "never/"), "TargetDatabaseName": database}
    assert "object_store" in told(lambda: write.create_batch_load_task(**request))[2]


def test_awswrangler_loads_a_data_frame(in_s3: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    wr: Any = pytest.importorskip("awswrangler", reason="awswrangler is not installed")
    pd: Any = pytest.importorskip("pandas", reason="pandas is not installed")
    server = in_s3.server
    for service in ("WRITE", "QUERY"):
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_TIMESTREAM_{service}", server.endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", in_s3.s3.meta.endpoint_url)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", boto3.Session(*server.credentials, region_name=server.region))
    in_s3.write.create_table(DatabaseName="loaded", TableName="frame")
    now_s = int(time.time())
    frame = pd.DataFrame(
        {
            "time": [now_s, now_s + 1],
            "dim0": ["a", "b"],
            "dim1": ["x, y", 'say "hi"'],
            "measure_f": [0.5, None],
            "measure_t": ["one", "two"],
            "measure_name": ["m", "n"],
        }
    )
    task = wr.timestream.batch_load(
        frame,
        path=f"s3://{BUCKET}/frames/",
        database="loaded",
        table="frame",
        time_col="time",
        dimensions_cols=["dim0", "dim1"],
        measure_cols=["measure_f", "measure_t"],
        measure_name_col="measure_name",
        report_s3_configuration={"BucketName": REPORTS, "ObjectKeyPrefix": "frames"},
        time_unit="SECONDS",
        record_version=2,
        timestream_batch_load_wait_polling_delay=0.1,
    )
    assert task["BatchLoadTaskDescription"]["ProgressReport"]["RecordsIngested"] == 2
    select = "SELECT dim0, dim1, measure_f, measure_t, measure_name FROM loaded.frame ORDER BY 1"
    assert rows(in_s3.query, select) == [("a", "x, y", "0.5", "one", "m"), ("b", 'say "hi"', None, "two", "n")]
