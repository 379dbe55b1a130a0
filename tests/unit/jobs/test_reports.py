"""Rejected-data reports in a bucket: where, what, and what becomes of those that cannot be written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headwater.config import load
from headwater.ingest.write import Ingested
from headwater.instance import Instance
from headwater.jobs.reports import GIVEN_UP_S, Reports
from headwater.model.table import MeasureType, Retention, Table, TableId
from headwater.model.time import NS_PER_DAY, NS_PER_MS, NS_PER_S, FixedClock, parse_instant
from headwater.objects import FolderBuckets, NoBuckets
from headwater.storage.late import LateRecord, LateWrites, Report
from headwater.wire.write_records import decode_write_records

NOW_NS = parse_instant("2024-01-02T03:04:05.678Z")
SINGLE = LateRecord("cpu", (("host", "a"),), False, (("measure_value::double", MeasureType.DOUBLE, 1e7),), 7, 1, 2)
MULTI = LateRecord(
    "m",
    (("host", "a"), ("zone", "é")),
    True,
    (("b", MeasureType.BOOLEAN, True), ("t", MeasureType.TIMESTAMP, 9), ("v", MeasureType.VARCHAR, '"x"')),
    8,
    3,
    None,
)


class OneTable:
    """The catalog's answer about one table."""

    def __init__(self, s3: dict[str, str]) -> None:
        location = {"S3Configuration": s3}
        magnetic = {"EnableMagneticStoreWrites": True, "MagneticStoreRejectedDataLocation": location}
        self.table = Table(TableId("t1"), "db", "my table", Retention(), 0, 0, magnetic)

    def table_by_id(self, id: TableId) -> Table:
        return self.table


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW_NS)


def waiting(tables: OneTable, clock: FixedClock, *records: LateRecord) -> LateWrites:
    late = LateWrites(tables, clock, lambda: "0")
    late.wait(1, [Report("AB" * 16, TableId("t1"), NOW_NS, records)])
    return late


def test_a_report_is_an_object_named_by_table_and_minute(tmp_path: Path, clock: FixedClock):
    (tmp_path / "rejected").mkdir()
    tables = OneTable({"BucketName": "rejected", "ObjectKeyPrefix": "some/prefix"})
    late = waiting(tables, clock, SINGLE, MULTI)
    reports = Reports(tables, late, FolderBuckets(tmp_path), clock)
    reports.run()
    path = tmp_path / "rejected" / "some/prefix/db/my table/2024/01/02/03/04" / f"{'AB' * 16}.json"
    lower = (
        "The record version 1 is lower than the existing version 2. "
        "A higher version is required to update the measure value."
    )
    same = (
        "A record already exists with the same time, dimensions, measure name, and record version. "
        "A higher record version must be specified in order to update the measure value. "
        "Specifying record version is supported by the latest SDKs."
    )
    host = {"name": "host", "value": "a", "dimensionValueType": None}
    assert json.loads(path.read_bytes()) == {
        "reportId": "AB" * 16,
        "errors": [
            {
                "reason": lower,
                "records": [
                    {
                        "dimensions": [host],
                        "measureName": "cpu",
                        "measureValue": "1.0E7",
                        "measureValues": None,
                        "measureValueType": "DOUBLE",
                        "time": "7",
                        "timeUnit": "NANOSECONDS",
                        "version": 1,
                    }
                ],
            },
            {
                "reason": same,
                "records": [
                    {
                        "dimensions": [host, {"name": "zone", "value": "é", "dimensionValueType": None}],
                        "measureName": "m",
                        "measureValue": None,
                        "measureValues": [
                            {"name": "b", "value": "true", "type": "BOOLEAN"},
                            {"name": "t", "value": "9", "type": "TIMESTAMP"},
                            {"name": "v", "value": '"x"', "type": "VARCHAR"},
                        ],
                        "measureValueType": "MULTI",
                        "time": "8",
                        "timeUnit": "NANOSECONDS",
                        "version": 3,
                    }
                ],
            },
        ],
    }
    assert (late.pending(), reports.uploaded[TableId("t1")]) == ([], 1)


def test_a_report_waits_for_its_bucket_longer_and_longer(tmp_path: Path, clock: FixedClock):
    tables = OneTable({"BucketName": "rejected"})
    late = waiting(tables, clock, SINGLE)
    reports = Reports(tables, late, FolderBuckets(tmp_path), clock)
    for _ in range(3):
        reports.run()
    assert reports.user_failures[TableId("t1")] == 1
    clock.advance(NS_PER_S)
    reports.run()
    clock.advance(NS_PER_S)
    reports.run()
    assert reports.user_failures[TableId("t1")] == 2
    (tmp_path / "rejected").mkdir()
    clock.advance(NS_PER_S)
    reports.run()
    assert late.pending() == []
    assert len(list((tmp_path / "rejected").rglob("*.json"))) == 1


def test_a_report_is_given_up_after_a_day(clock: FixedClock):
    tables = OneTable({"BucketName": "rejected"})
    late = waiting(tables, clock, SINGLE)
    reports = Reports(tables, late, NoBuckets(), clock)
    reports.run()
    clock.advance(int(GIVEN_UP_S) * NS_PER_S)
    reports.run()
    assert (late.pending(), reports.user_failures[TableId("t1")]) == ([], 2)


def test_a_table_that_wants_no_reports_any_more_gets_none(tmp_path: Path, clock: FixedClock):
    tables = OneTable({})
    late = waiting(tables, clock, SINGLE)
    Reports(tables, late, FolderBuckets(tmp_path), clock).run()
    assert late.pending() == []


def test_a_stop_leaves_the_rest_pending(tmp_path: Path, clock: FixedClock):
    tables = OneTable({"BucketName": "rejected"})
    late = waiting(tables, clock, SINGLE)
    reports = Reports(tables, late, FolderBuckets(tmp_path), clock)
    reports.stop()
    reports.run()
    assert len(late.pending()) == 1


def test_a_late_write_that_loses_is_answered_as_stored_and_reported(tmp_path: Path, clock: FixedClock):
    (tmp_path / "buckets" / "rejected").mkdir(parents=True)
    settings = {"data": str(tmp_path / "data"), "listen": "127.0.0.1:0", "object_store": f"file://{tmp_path}/buckets"}
    instance = Instance.open(load(settings, {}, None, processors=1), clock=clock)
    instance.catalog.create_database("db", None)
    location = {"S3Configuration": {"BucketName": "rejected"}}
    magnetic = {"EnableMagneticStoreWrites": True, "MagneticStoreRejectedDataLocation": location}
    instance.create_table("db", "t", Retention(1, 100), magnetic, None)

    def write(version: int, value: str) -> Ingested:
        record = {
            "Dimensions": [{"Name": "host", "Value": "a"}],
            "MeasureName": "cpu",
            "MeasureValue": value,
            "Time": str((NOW_NS - NS_PER_DAY) // NS_PER_MS),
            "Version": version,
        }
        body = json.dumps({"DatabaseName": "db", "TableName": "t", "Records": [record]}).encode()
        return instance.ingest.write(decode_write_records(body, instance.config.limits)).result(30)

    assert write(2, "1") == write(1, "2") == Ingested(0, 1)
    instance.reports.run()
    instance.close()
    (path,) = (tmp_path / "buckets" / "rejected").rglob("*.json")
    (error,) = json.loads(path.read_bytes())["errors"]
    assert error["reason"].startswith("The record version 1 is lower than the existing version 2.")
    assert error["records"][0]["measureValue"] == "2.0"


def test_a_prefix_may_end_in_a_slash(tmp_path: Path, clock: FixedClock):
    (tmp_path / "rejected").mkdir()
    tables = OneTable({"BucketName": "rejected", "ObjectKeyPrefix": "some/prefix/"})
    Reports(tables, waiting(tables, clock, SINGLE), FolderBuckets(tmp_path), clock).run()
    assert (tmp_path / "rejected" / "some/prefix/db/my table/2024/01/02/03/04" / f"{'AB' * 16}.json").exists()


def test_a_key_that_cannot_be_used_is_the_users_failure(tmp_path: Path, clock: FixedClock):
    (tmp_path / "rejected").mkdir()
    tables = OneTable({"BucketName": "rejected", "ObjectKeyPrefix": "some//prefix"})
    late = waiting(tables, clock, SINGLE)
    reports = Reports(tables, late, FolderBuckets(tmp_path), clock)
    reports.run()
    assert (reports.user_failures.total(), reports.system_failures.total()) == (1, 0)
    assert len(late.pending()) == 1
