"""Error reports of scheduled queries: how many objects, under which keys, how encrypted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from headwater.ingest.target_rows import MappedRecord, RowFault
from headwater.jobs.error_reports import ERRORS_PER_OBJECT, ErrorReport, report_key
from headwater.model.record import Layout
from headwater.model.scheduled_query import ErrorReportConfiguration, ReportLocation, ScheduledQuery
from headwater.model.series import Series
from headwater.model.table import MeasureType
from headwater.objects import Buckets, FolderBuckets, NoBuckets, buckets_at

CREDENTIALS = "[default]\naws_access_key_id = AKIATEST\naws_secret_access_key = secret\n"
KEY = "arn:aws:kms:us-east-1:123456789012:key/11111111-1111-1111-1111-111111111111"
RECORD = MappedRecord(Series("cpu", (("host", "a"),)), 7, Layout.single(MeasureType.BIGINT), (5,))


def report(buckets: Buckets, configuration: ErrorReportConfiguration, *, is_manual: bool = False) -> ErrorReport:
    arn = "arn:aws:timestream:us-east-1:123456789012:scheduled-query/q-0123456789ab"
    query = ScheduledQuery(arn, "q", "SELECT 1", "rate(1 minute)", "topic", "role", configuration, 0, kms_key_id=KEY)
    return ErrorReport(buckets, query, 60, 61_500, "ab" * 16, is_manual=is_manual)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(endpoint: str) -> Any:
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    client.create_bucket(Bucket="errors")
    return client


def test_nothing_to_report_is_no_object(tmp_path: Path) -> None:
    (tmp_path / "errors").mkdir()
    made = report(FolderBuckets(tmp_path), ErrorReportConfiguration("errors"))
    assert made.finish() is None
    assert list((tmp_path / "errors").iterdir()) == []


def test_a_report_has_records_by_reason_and_rows(tmp_path: Path) -> None:
    (tmp_path / "errors").mkdir()
    made = report(FolderBuckets(tmp_path), ErrorReportConfiguration("errors", "some/prefix"), is_manual=True)
    made.add_record("late", RECORD)
    made.add_row(RowFault("no time", "a,b"))
    made.add_record("late", RECORD)
    key = "some/prefix/q-0123456789ab/60/Manual/61500"
    assert made.finish() == ReportLocation("errors", key)
    record = {
        "dimensions": [{"name": "host", "value": "a", "dimensionValueType": None}],
        "measureName": "cpu",
        "measureValue": "5",
        "measureValues": None,
        "measureValueType": "BIGINT",
        "time": "7",
        "timeUnit": "NANOSECONDS",
        "version": None,
    }
    assert json.loads((tmp_path / "errors" / key).read_bytes()) == {
        "reportId": "AB" * 16,
        "errors": [{"reason": "late", "records": [record, record]}, {"reason": "no time", "rawLine": "a,b"}],
    }


def test_a_prefix_may_end_in_a_slash(tmp_path: Path) -> None:
    (tmp_path / "errors").mkdir()
    made = report(FolderBuckets(tmp_path), ErrorReportConfiguration("errors", "some/prefix/"))
    made.add_record("late", RECORD)
    assert made.finish() == ReportLocation("errors", "some/prefix/q-0123456789ab/60/Auto/61500")


def test_a_name_may_have_parts_that_a_key_cannot() -> None:
    arn = "arn:aws:timestream:us-east-1:123456789012:scheduled-query/a//b/../c-0123456789ab"
    configuration = ErrorReportConfiguration("errors", "p")
    query = ScheduledQuery(arn, "a//b/../c", "SELECT 1", "rate(1 minute)", "topic", "role", configuration, 0)
    assert report_key(query, 60, 61_500, is_manual=False) == "p/a/-/b/-/c-0123456789ab/60/Auto/61500"


def test_a_key_that_cannot_be_used_is_told_and_no_fault(tmp_path: Path) -> None:
    (tmp_path / "errors").mkdir()
    made = report(FolderBuckets(tmp_path), ErrorReportConfiguration("errors", "some//prefix"))
    made.add_record("late", RECORD)
    assert made.finish() is None
    assert made.failure is not None
    assert "cannot be used" in made.failure


def test_many_errors_are_several_objects_of_one_prefix(tmp_path: Path) -> None:
    (tmp_path / "errors").mkdir()
    made = report(FolderBuckets(tmp_path), ErrorReportConfiguration("errors"))
    for number in range(2 * ERRORS_PER_OBJECT + 1):
        made.add_row(RowFault("bad", str(number)))
    location = made.finish()
    assert location == ReportLocation("errors", "q-0123456789ab/60/Auto/61500")
    found = {path.name: json.loads(path.read_bytes()) for path in (tmp_path / "errors").rglob("*") if path.is_file()}
    assert sorted(found) == ["61500", "61500-2", "61500-3"]
    assert {body["reportId"] for body in found.values()} == {"AB" * 16}
    assert [len(found[name]["errors"]) for name in sorted(found)] == [ERRORS_PER_OBJECT, ERRORS_PER_OBJECT, 1]


def test_the_store_encrypts_as_it_is_told(endpoint: str, s3: Any) -> None:
    for prefix, option in (("own", None), ("s3", "SSE_S3"), ("kms", "SSE_KMS")):
        made = report(
            buckets_at(endpoint, "us-east-1", CREDENTIALS), ErrorReportConfiguration("errors", prefix, option)
        )
        made.add_record("late", RECORD)
        assert made.finish() is not None
    heads = [s3.head_object(Bucket="errors", Key=f"{p}/q-0123456789ab/60/Auto/61500") for p in ("own", "s3", "kms")]
    assert [head["ServerSideEncryption"] for head in heads] == ["AES256", "AES256", "aws:kms"]
    assert heads[2]["SSEKMSKeyId"] == KEY


def test_a_bucket_that_cannot_be_used_is_told_and_no_fault() -> None:
    made = report(NoBuckets(), ErrorReportConfiguration("errors"))
    made.add_record("late", RECORD)
    assert (made.finish(), made.errors) == (None, 1)
    assert made.failure == "The bucket errors cannot be used: this server has no object_store setting."
