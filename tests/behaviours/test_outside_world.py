"""What scheduled queries, UNLOAD and batch loads may reach outside: buckets of the one configured store, nothing else.

Source: reliability.md 6, "Outside world". What a role may do there is the matter of tests/unit/jobs.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from headwater.errors import Invalid, QueryFailed
from headwater.instance import Instance
from headwater.model.batch_load import (
    Attribute,
    DataModel,
    DimensionMapping,
    Load,
    MultiMeasures,
    ObjectPlace,
    ReportPlace,
    Source,
)
from headwater.model.scheduled_query import ErrorReportConfiguration, ScheduledQuery
from headwater.model.table import MeasureType
from headwater.objects import Endpoint, ObjectFault, S3Buckets
from support.scheduled import CALLER, World, make_tables, run_due, schedule, write_cpu

NO_BUCKET = b"<Error><Code>NoSuchBucket</Code></Error>"
ADDRESSES = ["169.254.169.254", "127.0.0.1", "a..b"]
FAILING_ROWS = "SELECT 'a' AS host, @scheduled_runtime - 4000d AS slot, 1e0 AS mean"
MODEL = DataModel(
    "time",
    "MILLISECONDS",
    (DimensionMapping("host", "host"),),
    None,
    MultiMeasures("m", (Attribute("cpu", "cpu", MeasureType.DOUBLE),)),
    (),
)


class Recorder:
    """A server that writes down what it is asked, and sends everybody to `elsewhere`, if that is given."""

    def __init__(self, elsewhere: str = "") -> None:
        self.paths: list[str] = []
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                recorder.paths.append(self.path)
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(307 if elsewhere else 404)
                if elsewhere:
                    self.send_header("Location", elsewhere + self.path)
                self.send_header("Content-Length", str(len(NO_BUCKET)))
                self.end_headers()
                self.wfile.write(NO_BUCKET)

            do_PUT = do_POST = do_HEAD = do_DELETE = do_GET

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Recorder:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def instance(world: World) -> Iterator[Instance]:
    with world.open() as opened:
        make_tables(opened, "cpu", "means")
        write_cpu(opened, {"a": [1]})
        yield opened


def renamed(query: ScheduledQuery, instance: Instance) -> ScheduledQuery:
    """The same under another name, as one call sends it."""
    return replace(query, name="again", arn=instance.scheduling.new_arn("again"))


def load(source: str = "errors", report: str = "errors", prefix: str | None = None) -> Load:
    return Load(Source(source, prefix, None), MODEL, None, ReportPlace(report, None, None, None), 1)


@pytest.mark.parametrize("bucket", ADDRESSES)
def test_no_bucket_is_an_address(instance: Instance, world: World, bucket: str) -> None:
    with pytest.raises(QueryFailed, match="is no name of a bucket"):
        instance.queries.run(CALLER, f"UNLOAD (SELECT * FROM db.cpu) TO 's3://{bucket}/x'")
    for one in (load(source=bucket), load(report=bucket)):
        with pytest.raises(Invalid, match="is no name of a bucket"):
            instance.batch_loads.create("db", "cpu", one, None, b"")
    with pytest.raises(Invalid, match="is no name of a bucket"):
        instance.batch_loads.data_model(ObjectPlace(bucket, "model.json"))
    query = schedule(instance, FAILING_ROWS, error_report=ErrorReportConfiguration(bucket))
    world.minutes(instance, 1)
    (run,) = instance.catalog.scheduled.runs(query.arn)
    assert (run.status.has_failed, run.error_report) == (True, None)


@pytest.mark.parametrize("prefix", ["a//b", "a/../b", "a/./b"])
def test_a_prefix_that_no_key_can_have_is_refused_at_once(instance: Instance, prefix: str) -> None:
    with pytest.raises(QueryFailed, match="cannot be used"):
        instance.queries.run(CALLER, f"UNLOAD (SELECT * FROM db.cpu) TO 's3://errors/{prefix}'")
    with pytest.raises(Invalid, match="cannot be used"):
        instance.batch_loads.create("db", "cpu", load(prefix=prefix), None, b"")
    with pytest.raises(Invalid, match="cannot be used"):
        schedule(instance, error_report=ErrorReportConfiguration("errors", prefix))
    location = {"S3Configuration": {"BucketName": "errors", "ObjectKeyPrefix": prefix}}
    writes = {"EnableMagneticStoreWrites": True, "MagneticStoreRejectedDataLocation": location}
    with pytest.raises(Invalid, match="cannot be used"):
        instance.create_table("db", "late", None, writes, None)


def test_partitions_whose_values_are_no_part_of_a_key_fail_the_unload(instance: Instance) -> None:
    text = "UNLOAD (SELECT 1 AS x, 'a//b' AS p) TO 's3://errors/x' WITH (partitioned_by = ARRAY['p'])"
    with pytest.raises(QueryFailed, match="cannot be used"):
        instance.queries.run(CALLER, text)


def test_a_prefix_may_end_in_slashes(instance: Instance, world: World) -> None:
    query = schedule(instance, FAILING_ROWS, error_report=ErrorReportConfiguration("errors", "reports/"))
    world.minutes(instance, 1)
    (run,) = instance.catalog.scheduled.runs(query.arn)
    assert run.error_report is not None
    assert run.error_report.key.startswith(f"reports/{query.id}/")
    instance.queries.run(CALLER, "UNLOAD (SELECT * FROM db.cpu) TO 's3://errors/unloaded/'")
    assert list((world.folder / "buckets" / "errors" / "unloaded").glob("*_manifest.json"))


@pytest.mark.parametrize("role", ["", "me", "arn:aws:iam::1:role/x", "arn:aws:iam::000000000000:user/x", "*"])
def test_a_role_is_the_arn_of_a_role(instance: Instance, role: str) -> None:
    with pytest.raises(Invalid, match="is not the ARN of an IAM role"):
        schedule(instance, role_arn=role)


@pytest.mark.parametrize(
    "role", ["arn:aws:iam::123456789012:role/service-role/x", "arn:aws-cn:iam::000000000000:role/a"]
)
def test_without_policies_a_role_may_be_of_any_account(instance: Instance, role: str) -> None:
    assert schedule(instance, role_arn=role).role_arn == role


def test_the_same_call_is_answered_alike_when_its_tables_have_gone(instance: Instance) -> None:
    query = schedule(instance)
    token = "t" * 32
    made = instance.scheduling.create(renamed(query, instance), token, {})
    instance.drop_table("db", "cpu")
    again = instance.scheduling.create(renamed(query, instance), token, {})
    assert again.arn == made.arn
    with pytest.raises(Invalid, match="not found"):
        instance.scheduling.create(renamed(query, instance), "u" * 32, {})


def test_only_the_configured_store_is_asked(world: World) -> None:
    with Recorder() as store, world.open(object_store=store.url) as instance:
        make_tables(instance, "cpu", "means")
        with pytest.raises(QueryFailed):
            instance.queries.run(CALLER, "UNLOAD (SELECT 1 AS x) TO 's3://my-bucket/x'")
        with pytest.raises(Invalid):
            instance.batch_loads.create("db", "cpu", load("my-bucket", "my-bucket"), None, b"")
        schedule(instance, FAILING_ROWS, error_report=ErrorReportConfiguration("my-bucket"))
        world.minutes(instance, 1)
        run_due(instance)
        assert {path.split("/")[1].split("?")[0] for path in store.paths} == {"my-bucket"}


def test_what_is_written_follows_no_redirect() -> None:
    with Recorder() as elsewhere, Recorder(elsewhere.url) as store:
        objects = S3Buckets(Endpoint(store.url, "us-east-1", "id", "secret")).bucket("my-bucket")
        with pytest.raises(ObjectFault):
            objects.put("key", b"private")
        assert store.paths[0] == "/my-bucket/key"
        assert elsewhere.paths == []
