"""A server lives through everything that its operations can answer: each member of an answer, each error.

`tell` is asked once by tests/wire/test_conformance.py. It is a real Instance behind a real socket, without signatures;
first in health, then on a disk that does not come back, then on one that fails. Each step says which error it means to
see, so a step that no longer does what it is for is found here, and what nothing here brings forth is found there.
"""

from __future__ import annotations

import json
import random
import re
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from errno import EIO
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from headwater.catalog.catalog import CATALOG_FILE
from headwater.config import load
from headwater.errors import LogFailed
from headwater.files import FILE_MODE, LocalFiles, OpenFile
from headwater.instance import BLOCKS_FOLDER, Instance
from headwater.model.batch_load import BatchLoadLimits, Progress, TaskStatus
from headwater.model.limits import Limits
from headwater.model.time import NS_PER_MS, NS_PER_S, FixedClock
from headwater.server.chain import WAITING_LIMIT_BYTES
from headwater.server.operations import OPERATIONS
from support.serving import ACCOUNT, NOW_NS, REGION, TIMEOUT_S, Running

LIMITS = Limits(
    databases=3,
    tables=3,
    scheduled_queries=2,
    request_body_bytes=WAITING_LIMIT_BYTES,
    batch_load=BatchLoadLimits(active_per_table=1),
)
"""Little room, so that it is soon full; and one request may fill the server's memory for bodies."""

ROOT = f"arn:aws:timestream:{REGION}:{ACCOUNT}:database"
DATABASE = {"DatabaseName": "metrics"}
NAMES = {"DatabaseName": "metrics", "TableName": "cpu"}
NOWHERE, NOT_THERE = {"DatabaseName": "none"}, {"DatabaseName": "metrics", "TableName": "none"}
ARN, NO_ARN, OTHER_ARN = f"{ROOT}/metrics", f"{ROOT}/none", "arn:aws:s3:::bucket"
TAGS = [{"Key": "team", "Value": "a"}, {"Key": "stage", "Value": "test"}]
BAD_TAGS = [{"Key": "aws:team", "Value": "a"}]
S3 = {"BucketName": "rejected", "ObjectKeyPrefix": "a/", "EncryptionOption": "SSE_KMS", "KmsKeyId": "alias/a"}
LATE = {"EnableMagneticStoreWrites": True, "MagneticStoreRejectedDataLocation": {"S3Configuration": S3}}
KEY = {"CompositePartitionKey": [{"Type": "DIMENSION", "Name": "host", "EnforcementInRecord": "OPTIONAL"}]}
LOADED = [{"SourceColumn": "v", "TargetMultiMeasureAttributeName": "a", "MeasureValueType": "DOUBLE"}]
LOAD_COLUMNS = {"TimeColumn": "t", "TimeUnit": "MILLISECONDS", "DimensionMappings": [{"SourceColumn": "host"}]}
LOAD_MULTI = {
    **LOAD_COLUMNS,
    "MultiMeasureMappings": {"TargetMultiMeasureName": "all", "MultiMeasureAttributeMappings": LOADED},
}
LOAD_MIXED = {
    **LOAD_COLUMNS,
    "MeasureNameColumn": "n",
    "MixedMeasureMappings": [
        {"MeasureName": "b", "SourceColumn": "v", "TargetMeasureName": "c", "MeasureValueType": "DOUBLE"},
        {"MeasureName": "d", "MeasureValueType": "MULTI", "MultiMeasureAttributeMappings": LOADED},
    ],
}
CSV = {"ColumnSeparator": ",", "EscapeChar": "\\", "QuoteChar": "'", "NullValue": "-", "TrimWhiteSpace": True}
BATCH: dict[str, Any] = {
    "DataModelConfiguration": {"DataModel": LOAD_MULTI},
    "DataSourceConfiguration": {
        "DataSourceS3Configuration": {"BucketName": "source", "ObjectKeyPrefix": "data/"},
        "CsvConfiguration": CSV,
        "DataFormat": "CSV",
    },
    "ReportConfiguration": {"ReportS3Configuration": {**S3, "BucketName": "reports"}},
    "TargetDatabaseName": "metrics",
    "TargetTableName": "cpu",
    "RecordVersion": 2,
}
EVERY_TYPE = (
    "SELECT 1, ROW(1, 'a'), ARRAY[1], NULL, create_time_series(time, measure_value::double) FROM metrics.cpu GROUP BY 1"
)
UNLOAD = "UNLOAD (SELECT host, measure_value::double FROM metrics.cpu) TO 's3://results/cpu'"

PREPARED = (
    "SELECT host AS h, 1, CAST(ROW(1) AS ROW(n bigint)), ARRAY[1], create_time_series(time, measure_value::double) "
    "FROM metrics.cpu WHERE measure_name = @name GROUP BY 1"
)
ENDLESS = (
    "SELECT count(*) FROM UNNEST(sequence(1, 10000)) AS a(x) CROSS JOIN UNNEST(sequence(1, 10000)) AS b(x) "
    "CROSS JOIN UNNEST(sequence(1, 10000)) AS c(x) WHERE a.x + b.x + c.x < 0"
)

SCHEDULED_ROOT = f"arn:aws:timestream:{REGION}:{ACCOUNT}:scheduled-query"
NO_SCHEDULED = {"ScheduledQueryArn": f"{SCHEDULED_ROOT}/none-0123456789ab"}
DERIVED = {
    "DatabaseName": "metrics",
    "TableName": "second",
    "TimeColumn": "long_ago",
    "DimensionMappings": [{"Name": "host", "DimensionValueType": "VARCHAR"}],
}
ATTRIBUTES = [{"SourceColumn": "v", "TargetMultiMeasureAttributeName": "load", "MeasureValueType": "DOUBLE"}]
MULTI = {"TargetMultiMeasureName": "all", "MultiMeasureAttributeMappings": ATTRIBUTES}
MIXED = [
    {"MeasureName": "load", "SourceColumn": "v", "TargetMeasureName": "a", "MeasureValueType": "DOUBLE"},
    {"MeasureName": "all", "MeasureValueType": "MULTI", "MultiMeasureAttributeMappings": ATTRIBUTES},
]
SCHEDULED = {
    "Name": "first",
    "QueryString": (
        "SELECT host, measure_name AS n, measure_value::double AS v, from_milliseconds(0) AS long_ago "
        "FROM metrics.cpu WHERE time <= @scheduled_runtime"
    ),
    "ScheduleConfiguration": {"ScheduleExpression": "cron(0 0 1 1 ? *)"},
    "NotificationConfiguration": {"SnsConfiguration": {"TopicArn": "arn:aws:sns:::a"}},
    "ScheduledQueryExecutionRoleArn": f"arn:aws:iam::{ACCOUNT}:role/may",
    "ErrorReportConfiguration": {
        "S3Configuration": {"BucketName": "reports", "ObjectKeyPrefix": "errors", "EncryptionOption": "SSE_S3"}
    },
    "TargetConfiguration": {"TimestreamConfiguration": {**DERIVED, "MultiMeasureMappings": MULTI}},
}

VALIDATION, NOT_FOUND, CONFLICT = "ValidationException", "ResourceNotFoundException", "ConflictException"
QUOTA, THROTTLED, INTERNAL = "ServiceQuotaExceededException", "ThrottlingException", "InternalServerException"
DENIED = "AccessDeniedException"


@dataclass(frozen=True)
class Exchange:
    """`error` is the name of the fault, without its namespace; None for an answer."""

    operation: str
    error: str | None
    body: dict[str, Any]


def tell(folder: Path) -> list[Exchange]:
    """All exchanges, in order."""
    disk = Disk()
    flags = {"data": str(folder), "listen": "127.0.0.1:0", "account": ACCOUNT, "region": REGION}
    buckets = folder.with_name(f"{folder.name}-buckets")
    for bucket in (S3["BucketName"], "results", "reports", "source"):
        (buckets / bucket).mkdir(parents=True)
    roles = folder.with_name(f"{folder.name}-roles")
    roles.mkdir()
    (roles / "may.json").write_text('{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}')
    flags |= {"insecure_dev": "true", "object_store": buckets.as_uri(), "roles": str(roles)}
    config = replace(load(flags, {}, None, processors=1), limits=LIMITS)
    clock = FixedClock(NOW_NS)
    instance = Instance.open(config, clock=clock, files=disk, randomness=random.Random(1).randbytes)
    server = Running(instance, None)
    server.start()
    story = Story(server)
    try:
        databases_and_tables(story)
        tags(story)
        records_and_queries(story)
        batch_load(story, instance, buckets / "source")
        account_settings(story)
        scheduled_queries(story, instance)
        while_a_query_runs(story, clock)
        deletions(story)
        while_the_disk_is_stuck(story, disk)
        # To print the stack of every failure, with all its variables, takes seconds.
        with capture_logs():
            when_all_is_broken(story, disk, instance)
    finally:
        disk.is_free.set()
        server.server.stop()
        server.thread.join(TIMEOUT_S)
        # What the story has broken is broken in the end.
        with suppress(LogFailed):
            instance.close()
    return story.exchanges


class Story:
    """Asks, and keeps what was answered."""

    def __init__(self, server: Running) -> None:
        self.server = server
        self.exchanges: list[Exchange] = []

    def ask(self, operation: str, request: dict[str, Any] | bytes, error: str | None = None) -> dict[str, Any]:
        """The body of the answer, which must be this fault, or none."""
        return self.send(operation, self.server.request(operation, request), error)

    def send(self, operation: str, request: bytes, error: str | None = None) -> dict[str, Any]:
        with self.server.connect() as client:
            client.send(request)
            answer = client.answer()
        body: dict[str, Any] = answer.json
        told = None if answer.status == 200 else body["__type"].rpartition("#")[2]
        assert told == error, (operation, body)
        self.exchanges.append(Exchange(operation, error, body))
        return body


# In health.


def databases_and_tables(story: Story) -> None:
    story.ask("DescribeEndpoints", {})
    story.send("DescribeEndpoints", without_host(story.server.request("DescribeEndpoints", {})), VALIDATION)
    story.ask("CreateDatabase", {**DATABASE, "KmsKeyId": "alias/a", "Tags": TAGS})
    story.ask("CreateDatabase", DATABASE, CONFLICT)
    story.ask("CreateDatabase", {"DatabaseName": "other", "Tags": BAD_TAGS}, VALIDATION)
    story.ask("CreateDatabase", {"DatabaseName": "other"})
    story.ask("CreateDatabase", {"DatabaseName": "third"})
    story.ask("CreateDatabase", {"DatabaseName": "fourth"}, QUOTA)
    story.ask("DescribeDatabase", DATABASE)
    story.ask("DescribeDatabase", NOWHERE, NOT_FOUND)
    story.ask("DescribeDatabase", {}, VALIDATION)
    story.ask("UpdateDatabase", {**DATABASE, "KmsKeyId": "alias/b"})
    story.ask("UpdateDatabase", {**NOWHERE, "KmsKeyId": "alias/b"}, NOT_FOUND)
    story.ask("UpdateDatabase", {**DATABASE, "KmsKeyId": "b"}, VALIDATION)
    in_pages(story, "ListDatabases", {})
    retention = {"MemoryStoreRetentionPeriodInHours": 1, "MagneticStoreRetentionPeriodInDays": 7}
    whole = {**NAMES, "RetentionProperties": retention, "MagneticStoreWriteProperties": LATE, "Schema": KEY}
    story.ask("CreateTable", {**whole, "Tags": TAGS})
    story.ask("CreateTable", NAMES, CONFLICT)
    story.ask("CreateTable", {**NAMES, **NOWHERE}, NOT_FOUND)
    story.ask("CreateTable", {**NOT_THERE, "Tags": BAD_TAGS}, VALIDATION)
    story.ask("CreateTable", {**DATABASE, "TableName": "second"})
    story.ask("CreateTable", {**DATABASE, "TableName": "third"})
    story.ask("CreateTable", NOT_THERE, QUOTA)
    story.ask("DescribeTable", NAMES)
    story.ask("DescribeTable", NOT_THERE, NOT_FOUND)
    story.ask("DescribeTable", DATABASE, VALIDATION)
    story.ask("UpdateTable", whole)
    story.ask("UpdateTable", NOT_THERE, NOT_FOUND)
    story.ask("UpdateTable", {**NAMES, "Schema": {"CompositePartitionKey": [{"Type": "MEASURE"}]}}, VALIDATION)
    in_pages(story, "ListTables", DATABASE)
    story.ask("ListTables", NOWHERE, NOT_FOUND)


def tags(story: Story) -> None:
    of = {"ResourceARN": ARN}
    story.ask("TagResource", {**of, "Tags": TAGS})
    story.ask("TagResource", {"ResourceARN": NO_ARN, "Tags": TAGS}, NOT_FOUND)
    story.ask("TagResource", {"ResourceARN": OTHER_ARN, "Tags": TAGS}, VALIDATION)
    story.ask("TagResource", {**of, "Tags": [{"Key": f"k{n}", "Value": ""} for n in range(200)]}, QUOTA)
    in_pages(story, "ListTagsForResource", of)
    story.ask("ListTagsForResource", {"ResourceARN": NO_ARN}, NOT_FOUND)
    story.ask("UntagResource", {**of, "TagKeys": ["team"]})
    story.ask("UntagResource", {"ResourceARN": NO_ARN, "TagKeys": []}, NOT_FOUND)
    story.ask("UntagResource", {"ResourceARN": OTHER_ARN, "TagKeys": []}, VALIDATION)


def records_and_queries(story: Story) -> None:
    story.ask("WriteRecords", written("1", Version=2))
    story.ask("WriteRecords", written("2", Version=1), "RejectedRecordsException")
    story.ask("WriteRecords", written("one"), VALIDATION)
    story.ask("WriteRecords", {**written("1"), "TableName": "none"}, NOT_FOUND)
    story.ask("Query", {"QueryString": EVERY_TYPE, "QueryInsights": {"Mode": "DISABLED"}})
    first = story.ask("Query", {"QueryString": "SELECT 1", "MaxRows": 1, "ClientToken": "t" * 32})
    story.ask("Query", {"QueryString": "SELECT 1", "NextToken": first["NextToken"]})
    story.ask("Query", {"QueryString": "SELECT x"}, VALIDATION)
    story.ask("Query", {"QueryString": "SELECT 1 / 0"}, "QueryExecutionException")
    story.ask("Query", {"QueryString": UNLOAD, "QueryInsights": {"Mode": "ENABLED_WITH_RATE_CONTROL"}})
    story.ask("PrepareQuery", {"QueryString": PREPARED, "ValidateOnly": True})
    story.ask("PrepareQuery", {"QueryString": "SELECT x"}, VALIDATION)


def batch_load(story: Story, instance: Instance, source: Path) -> None:
    """A task that fails for one of its rows; then nobody works any more, and another stays as it is."""
    (source / "data").mkdir()
    (source / "data" / "1.csv").write_text(f"t,host,v\n{NOW_NS // NS_PER_MS},a,1\n{NOW_NS // NS_PER_MS},a,x\n")
    (source / "model.json").write_text(json.dumps(LOAD_MIXED))
    tasks = instance.catalog.batch_loads
    first = story.ask("CreateBatchLoadTask", {**BATCH, "ClientToken": "t"})
    deadline_s = time.monotonic() + TIMEOUT_S
    while tasks.task(first["TaskId"]).status.is_active:
        assert time.monotonic() < deadline_s, "a batch load does not end"
        time.sleep(0.01)
    told = story.ask("DescribeBatchLoadTask", first)["BatchLoadTaskDescription"]
    assert (told["TaskStatus"], told["ProgressReport"]["ParseFailures"]) == ("FAILED", 1)
    story.ask("CreateBatchLoadTask", {**BATCH, "ClientToken": "t", "RecordVersion": 3}, CONFLICT)
    instance.batch_loads.stop()
    place = {"DataModelS3Configuration": {"BucketName": "source", "ObjectKey": "model.json"}}
    stays = story.ask("CreateBatchLoadTask", {**BATCH, "DataModelConfiguration": place})
    story.ask("CreateBatchLoadTask", BATCH, QUOTA)
    story.ask("DescribeBatchLoadTask", stays)
    tasks.finish(stays["TaskId"], TaskStatus.PROGRESS_STOPPED, "The disk is full.", Progress())
    story.ask("DescribeBatchLoadTask", stays)
    mixed = story.ask("CreateBatchLoadTask", {**BATCH, "DataModelConfiguration": {"DataModel": LOAD_MIXED}})
    story.ask("DescribeBatchLoadTask", mixed)
    tasks.finish(mixed["TaskId"], TaskStatus.PROGRESS_STOPPED, "The disk is full.", Progress())
    in_pages(story, "ListBatchLoadTasks", {})
    story.ask("ResumeBatchLoadTask", stays)
    story.ask("ResumeBatchLoadTask", stays, VALIDATION)
    tasks.finish(stays["TaskId"], TaskStatus.FAILED, None, Progress())
    story.ask("CreateBatchLoadTask", {**BATCH, "ReportConfiguration": {}}, VALIDATION)
    story.ask("CreateBatchLoadTask", {**BATCH, "TargetTableName": "none"}, NOT_FOUND)
    story.ask("DescribeBatchLoadTask", {"TaskId": "ABC"}, NOT_FOUND)
    story.ask("ResumeBatchLoadTask", {"TaskId": "ABC"}, NOT_FOUND)
    story.ask("ResumeBatchLoadTask", {"TaskId": "?"}, VALIDATION)


def account_settings(story: Story) -> None:
    told = {"RoleArn": "arn:aws:iam::123456789012:role/a", "SnsConfiguration": {"TopicArn": "arn:aws:sns:::a"}}
    capacity = {"TargetQueryTCU": 4, "NotificationConfiguration": told}
    compute = {"ComputeMode": "PROVISIONED", "ProvisionedCapacity": capacity}
    story.ask(
        "UpdateAccountSettings", {"MaxQueryTCU": 8, "QueryPricingModel": "COMPUTE_UNITS", "QueryCompute": compute}
    )
    story.ask("UpdateAccountSettings", {"QueryPricingModel": "BYTES_SCANNED"}, VALIDATION)
    story.ask("DescribeAccountSettings", {})


def scheduled_queries(story: Story, instance: Instance) -> None:
    """A manual run of the first finds a row that is too old to be written, so that all of a summary is seen."""
    token = {"ClientToken": "t" * 32, "KmsKeyId": "alias/a", "Tags": TAGS}
    first = {"ScheduledQueryArn": story.ask("CreateScheduledQuery", {**SCHEDULED, **token})["Arn"]}
    story.ask("CreateScheduledQuery", SCHEDULED, CONFLICT)
    story.ask("CreateScheduledQuery", {**SCHEDULED, "Name": "second", "QueryString": "SELECT x"}, VALIDATION)
    role = f"arn:aws:iam::{ACCOUNT}:role/may-not"
    denied = {**SCHEDULED, "Name": "second", "ScheduledQueryExecutionRoleArn": role}
    story.ask("CreateScheduledQuery", denied, DENIED)
    target = {**DERIVED, "MixedMeasureMappings": MIXED, "MeasureNameColumn": "n"}
    mixed = {**SCHEDULED, "Name": "second", "TargetConfiguration": {"TimestreamConfiguration": target}}
    second = {"ScheduledQueryArn": story.ask("CreateScheduledQuery", mixed)["Arn"]}
    story.ask("CreateScheduledQuery", {**SCHEDULED, "Name": "third"}, QUOTA)
    run = {"InvocationTime": NOW_NS // NS_PER_S + 60, "QueryInsights": {"Mode": "ENABLED_WITH_RATE_CONTROL"}}
    story.ask("ExecuteScheduledQuery", {**first, **run, "ClientToken": "r" * 32})
    story.ask("ExecuteScheduledQuery", {**first, "InvocationTime": 1e300}, VALIDATION)
    assert instance.scheduled.settle(TIMEOUT_S)
    described = story.ask("DescribeScheduledQuery", first)["ScheduledQuery"]
    assert described["LastRunSummary"]["RunStatus"] == "MANUAL_TRIGGER_FAILURE"
    story.ask("DescribeScheduledQuery", second)
    in_pages(story, "ListScheduledQueries", {})
    in_pages(story, "ListTagsForResource", {"ResourceARN": first["ScheduledQueryArn"]})
    story.ask("UpdateScheduledQuery", {**second, "State": "DISABLED"})
    story.ask("DeleteScheduledQuery", second)
    for operation, more in (
        ("DescribeScheduledQuery", {}),
        ("UpdateScheduledQuery", {"State": "DISABLED"}),
        ("ExecuteScheduledQuery", {"InvocationTime": 0}),
        ("DeleteScheduledQuery", {}),
    ):
        story.ask(operation, {**NO_SCHEDULED, **more}, NOT_FOUND)
        story.ask(operation, more, VALIDATION)
    no_tags = {"ResourceARN": NO_SCHEDULED["ScheduledQueryArn"]}
    story.ask("TagResource", {**no_tags, "Tags": TAGS}, NOT_FOUND)
    story.ask("UntagResource", {**no_tags, "TagKeys": []}, NOT_FOUND)
    story.ask("ListTagsForResource", no_tags, NOT_FOUND)


def while_a_query_runs(story: Story, clock: FixedClock) -> None:
    """A client learns the name of a run that takes longer than a call may last."""
    with ThreadPoolExecutor(1) as other:
        first = other.submit(story.ask, "Query", {"QueryString": ENDLESS})
        while not wait([first], timeout=0.05).done:
            clock.advance(10 * NS_PER_S)
    page = first.result()
    cancelled = story.ask("CancelQuery", {"QueryId": page["QueryId"]})
    assert cancelled["CancellationMessage"]
    story.ask("Query", {"QueryString": ENDLESS, "NextToken": page["NextToken"]}, CONFLICT)
    story.ask("CancelQuery", {"QueryId": "none"}, VALIDATION)


def deletions(story: Story) -> None:
    story.ask("DeleteTable", {**DATABASE, "TableName": "third"})
    story.ask("DeleteTable", NOT_THERE, NOT_FOUND)
    story.ask("DeleteTable", DATABASE, VALIDATION)
    story.ask("DeleteDatabase", {"DatabaseName": "other"})
    story.ask("DeleteDatabase", NOWHERE, NOT_FOUND)
    story.ask("DeleteDatabase", DATABASE, VALIDATION)


def in_pages(story: Story, operation: str, request: dict[str, Any]) -> None:
    """Two pages of a list, and a token that leads nowhere."""
    first = story.ask(operation, {**request, "MaxResults": 1})
    story.ask(operation, {**request, "NextToken": first["NextToken"]})
    story.ask(operation, {**request, "NextToken": "x"}, VALIDATION)


def written(value: str, **more: Any) -> dict[str, Any]:
    """A request of one record, now."""
    record = {"Dimensions": [{"Name": "host", "Value": "a"}], "MeasureName": "load", "MeasureValue": value}
    return {**NAMES, "Records": [{**record, "Time": str(NOW_NS // NS_PER_MS), **more}]}


def without_host(request: bytes) -> bytes:
    return re.sub(rb"Host: .*?\r\n", b"Host: no host\r\n", request)


# In sickness.

CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("CreateDatabase", {"DatabaseName": "other"}),
    ("UpdateDatabase", {**DATABASE, "KmsKeyId": "alias/c"}),
    ("CreateTable", {**DATABASE, "TableName": "fourth"}),
    ("UpdateTable", {**NAMES, "MagneticStoreWriteProperties": {"EnableMagneticStoreWrites": False}}),
    ("DeleteTable", {**DATABASE, "TableName": "second"}),
    ("DeleteDatabase", {"DatabaseName": "third"}),
    ("UpdateAccountSettings", {"MaxQueryTCU": 12}),
    ("CreateScheduledQuery", {**SCHEDULED, "Name": "third"}),
    ("CreateBatchLoadTask", BATCH),
]
"""What a sound catalog would do."""


def while_the_disk_is_stuck(story: Story, disk: Disk) -> None:
    """One request has all the memory for bodies until the disk has synced it; all others are turned away meanwhile."""
    body = json.dumps(written("1", MeasureName="late")).encode().ljust(WAITING_LIMIT_BYTES)
    disk.is_free.clear()
    with story.server.connect() as large:
        large.send(story.server.request("WriteRecords", body))
        deadline_s = time.monotonic() + TIMEOUT_S
        while story.server.call("DescribeEndpoints", {})[0] != 429:
            assert time.monotonic() < deadline_s, "the server's memory for bodies is not full"
        for operation in OPERATIONS:
            story.ask(operation, {}, THROTTLED)
        disk.is_free.set()
        assert large.answer().status == 200


def when_all_is_broken(story: Story, disk: Disk, instance: Instance) -> None:
    """Blocks are gone, the catalog has lost its tables, and the log cannot be synced."""
    instance.store.flush()
    for block in (instance.config.data / BLOCKS_FOLDER).rglob("*.parquet"):
        block.unlink()
    story.ask("Query", {"QueryString": "SELECT * FROM metrics.cpu"}, INTERNAL)
    with closing(sqlite3.connect(instance.config.data / CATALOG_FILE)) as connection:
        for table in ("databases", "tables", "properties", "scheduled_queries", "scheduled_runs", "batch_load_tasks"):
            connection.execute(f"ALTER TABLE {table} RENAME TO lost_{table}")
    for operation, request in CHANGES:
        story.ask(operation, request, INTERNAL)
    first = {"ScheduledQueryArn": instance.catalog.scheduled.all()[0].arn}
    story.ask("ExecuteScheduledQuery", {**first, "InvocationTime": 0}, INTERNAL)
    story.ask("UpdateScheduledQuery", {**first, "State": "DISABLED"}, INTERNAL)
    story.ask("DeleteScheduledQuery", first, INTERNAL)
    (stopped,) = instance.catalog.batch_loads.page(TaskStatus.PROGRESS_STOPPED, None, 2)
    story.ask("ResumeBatchLoadTask", {"TaskId": stopped.id}, INTERNAL)
    disk.is_broken = True
    story.ask("WriteRecords", written("3", Version=3), INTERNAL)


class Disk(LocalFiles):
    """The machine's own, whose log files do not sync unless it is free, and fail to when it is broken."""

    def __init__(self) -> None:
        self.is_free = threading.Event()
        self.is_free.set()
        self.is_broken = False

    def create(self, path: Path, *, size_bytes: int = 0, mode: int = FILE_MODE, site: str) -> OpenFile:
        return _DiskFile(super().create(path, size_bytes=size_bytes, mode=mode, site=site), self)


class _DiskFile(OpenFile):
    def __init__(self, file: OpenFile, disk: Disk) -> None:
        self._file, self._disk = file, disk

    def pwrite(self, data: bytes, offset: int, *, site: str) -> int:
        return self._file.pwrite(data, offset, site=site)

    def datasync(self, *, site: str) -> None:
        assert self._disk.is_free.wait(TIMEOUT_S)
        if self._disk.is_broken:
            raise OSError(EIO, "the disk is broken")
        self._file.datasync(site=site)

    def truncate(self, size_bytes: int, *, site: str) -> None:
        self._file.truncate(size_bytes, site=site)

    def close(self, *, site: str) -> None:
        self._file.close(site=site)
