"""A server whose blocks lie in a bucket of an S3-compatible server, for stock clients; also when that goes away."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from support.s3_servers import CREDENTIALS, KEY_ID, REGION, SECRET, gateway, moto
from support.server import NotStarted, ServerProcess, serving

DEADLINE_S = 30.0
NAMES = {"DatabaseName": "metrics", "TableName": "cpu"}


@pytest.fixture(params=["moto", pytest.param("gateway", marks=pytest.mark.slow)])
def endpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    assert request.config.cache is not None
    with moto() if request.param == "moto" else gateway(request.config.cache, tmp_path / "gateway") as address:
        yield address


@pytest.fixture
def bucket() -> str:
    """A name of its own for each test: servers of moto in one process share their buckets."""
    return f"blocks-{uuid.uuid4()}"


def s3(endpoint: str) -> Any:
    keys = {"aws_access_key_id": KEY_ID, "aws_secret_access_key": SECRET}
    return boto3.client("s3", endpoint_url=endpoint, region_name=REGION, **keys)


def settings(folder: Path, endpoint: str, bucket: str, **more: object) -> dict[str, object]:
    credentials = folder / "s3-credentials"
    credentials.write_text(CREDENTIALS)
    return {
        "object_store": endpoint,
        "object_store_credentials": credentials,
        "block_store": f"s3://{bucket}/here",
        "flush_age_s": 0.2,
        "disk_low_percent": 0,
        **more,
    }


def write(server: ServerProcess, *values: int) -> None:
    now_ms = time.time_ns() // 1_000_000
    records = [
        {
            "Dimensions": [{"Name": "host", "Value": f"h{value}"}],
            "MeasureName": "m",
            "MeasureValue": str(value),
            "MeasureValueType": "BIGINT",
            "Time": str(now_ms),
        }
        for value in values
    ]
    server.client("timestream-write").write_records(**NAMES, Records=records)


def total(server: ServerProcess) -> str:
    query = server.client("timestream-query")
    page = query.query(QueryString='SELECT sum(measure_value::bigint) FROM "metrics"."cpu"')
    value: str = page["Rows"][0]["Data"][0]["ScalarValue"]
    return value


def blocks(endpoint: str, bucket: str) -> list[str]:
    listed = s3(endpoint).list_objects_v2(Bucket=bucket, Prefix="here/blocks/")
    return [found["Key"] for found in listed.get("Contents", [])]


def await_blocks(endpoint: str, bucket: str, count: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while len(blocks(endpoint, bucket)) < count:
        assert time.monotonic() < deadline, "no block came to the bucket"
        time.sleep(0.05)


def test_records_flushed_to_a_bucket_outlive_a_kill_and_an_empty_cache(
    tmp_path: Path, endpoint: str, bucket: str
) -> None:
    s3(endpoint).create_bucket(Bucket=bucket)
    server = ServerProcess(tmp_path, **settings(tmp_path, endpoint, bucket))
    server.start()
    try:
        ingest = server.client("timestream-write")
        ingest.create_database(DatabaseName="metrics")
        ingest.create_table(**NAMES)
        write(server, 1, 2)
        await_blocks(endpoint, bucket, 1)
        write(server, 40)
        assert total(server) == "43"
        await_blocks(endpoint, bucket, 2)
        server.kill()
        for segment in (server.data / "cache").rglob("*/*"):
            segment.unlink()
        server.start()
        assert total(server) == "43"
        assert not list(server.data.rglob("*.parquet"))
        server.client("timestream-write").delete_table(**NAMES)
        deadline = time.monotonic() + DEADLINE_S
        while blocks(endpoint, bucket):
            assert time.monotonic() < deadline, "the blocks of a deleted table stay"
            time.sleep(0.05)
        server.stop()
    finally:
        server.kill()


def test_a_server_without_its_bucket_takes_writes_and_fails_only_what_needs_a_block(
    tmp_path: Path, bucket: str
) -> None:
    with moto() as endpoint:
        s3(endpoint).create_bucket(Bucket=bucket)
        server = ServerProcess(tmp_path, **settings(tmp_path, endpoint, bucket, block_cache_disk_mb=0))
        server.start()
        ingest = server.client("timestream-write")
        ingest.create_database(DatabaseName="metrics")
        ingest.create_table(**NAMES)
        write(server, 1)
        await_blocks(endpoint, bucket, 1)
    try:
        write(server, 2)
        with pytest.raises(ClientError) as failed:
            total(server)
        assert failed.value.response["Error"]["Code"] == "InternalServerException"
        assert bucket not in str(failed.value)
        assert endpoint not in str(failed.value)
        server.stop()
        with pytest.raises(NotStarted, match=r"s3://.* cannot hold blocks: .*could not be reached"):
            server.start()
    finally:
        server.kill()


def test_a_start_says_what_is_wrong_with_the_place_of_blocks(tmp_path: Path, bucket: str) -> None:
    with moto() as endpoint:
        missing = settings(tmp_path, endpoint, bucket)
        with pytest.raises(NotStarted, match=r"right to put, get, list and delete: .*blocks-"):
            ServerProcess(tmp_path, **missing).start()
        s3(endpoint).create_bucket(Bucket=bucket)
        for folder in ("one", "two"):
            (tmp_path / folder).mkdir()
        with serving(tmp_path / "one", **settings(tmp_path, endpoint, bucket)):
            pass
        with pytest.raises(NotStarted, match="belongs to another data folder") as refused:
            ServerProcess(tmp_path / "two", **settings(tmp_path, endpoint, bucket)).start()
        assert len(refused.value.stderr.splitlines()) == 1
        with pytest.raises(NotStarted, match=r"lie in s3://blocks-.*/here: block_store must say so"):
            ServerProcess(tmp_path / "one").start()
