"""UNLOAD with stock boto3: to an S3-compatible server and to a folder; the files read by pandas' readers and DuckDB."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import duckdb
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer

from support.server import ServerProcess, serving

BUCKET = "exports"


class Bucket:
    """What the tests look at: objects by key, whichever store has them."""

    def __init__(self, folder: Path | None, client: Any) -> None:
        self._folder = folder
        self._client = client

    def keys(self, prefix: str) -> list[str]:
        if self._folder is not None:
            files = (path.relative_to(self._folder).as_posix() for path in self._folder.rglob("*") if path.is_file())
            return sorted(key for key in files if key.startswith(prefix))
        listed = self._client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return sorted(found["Key"] for found in listed.get("Contents", []))

    def get(self, key: str) -> bytes:
        if self._folder is not None:
            return (self._folder / key).read_bytes()
        return bytes(self._client.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def url(self, url: str) -> bytes:
        return self.get(url.removeprefix(f"s3://{BUCKET}/"))


@pytest.fixture(scope="module", params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Bucket]]:
    """A query client of a server, and the bucket that it unloads to."""
    folder = tmp_path_factory.mktemp("unload")
    if request.param == "folder":
        (folder / "buckets" / BUCKET).mkdir(parents=True)
        with serving(folder, object_store=f"file://{folder}/buckets") as server:
            yield server.client("timestream-query"), Bucket(folder / "buckets" / BUCKET, None)
        return
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1", **keys)
    client.create_bucket(Bucket=BUCKET)
    (folder / "keys").write_text("[default]\naws_access_key_id = a\naws_secret_access_key = b\n")
    store = {"object_store": f"http://{host}:{port}", "object_store_credentials": folder / "keys"}
    with serving(folder, **store) as server:
        yield server.client("timestream-query"), Bucket(None, client)
    moto.stop()


def unloaded(client: Any, select: str, folder: str, options: str = "") -> dict[str, Any]:
    """The answer's row by name. `options` is the list in WITH."""
    what = f" WITH ({options})" if options else ""
    answer = client.query(QueryString=f"UNLOAD ({select}) TO 's3://{BUCKET}/{folder}'{what}")
    assert "NextToken" not in answer
    assert [(c["Name"], c["Type"]["ScalarType"]) for c in answer["ColumnInfo"]] == [
        ("rows", "BIGINT"),
        ("metadataFile", "VARCHAR"),
        ("manifestFile", "VARCHAR"),
    ]
    (row,) = answer["Rows"]
    names = [column["Name"] for column in answer["ColumnInfo"]]
    return dict(zip(names, [datum["ScalarValue"] for datum in row["Data"]], strict=True))


MIXED = """SELECT * FROM (VALUES
  (1, 1.5, 'plain', true, TIMESTAMP '2024-03-09 12:00:00.123456789', ARRAY[1, NULL, 3]),
  (2, 1e-5, 'a,"b"\\c', false, TIMESTAMP '1969-12-31 23:59:59', ARRAY[]),
  (3, NULL, '', NULL, NULL, NULL)) AS t(i, d, s, b, t, a)"""


def test_csv_holds_the_texts_of_the_wire(place: tuple[Any, Bucket]) -> None:
    client, bucket = place
    answer = unloaded(client, MIXED, "csv/", "format = 'CSV', compression = 'NONE', include_header = 'true'")
    manifest = json.loads(bucket.url(answer["manifestFile"]))
    (file,) = manifest["result_files"]
    text = bucket.url(file["url"])
    assert file["url"].startswith(f"s3://{BUCKET}/csv/results/")
    assert file["url"].endswith(".csv")
    assert file["file_metadata"] == {"content_length_in_bytes": len(text), "row_count": 3}
    assert text.decode().splitlines() == [
        "i,d,s,b,t,a",
        '1,1.5,plain,true,2024-03-09 12:00:00.123456789,"[1,null,3]"',
        '2,1.0E-5,"a,\\"b\\"\\\\c",false,1969-12-31 23:59:59.000000000,[]',
        '3,,"",,,',
    ]
    rows = list(csv.reader(io.StringIO(text.decode()), escapechar="\\", doublequote=False))
    assert rows[2][2] == 'a,"b"\\c'
    assert manifest["query_metadata"]["total_row_count"] == 3 == int(answer["rows"])
    assert manifest["query_metadata"]["result_format"] == "CSV"
    metadata = json.loads(bucket.url(answer["metadataFile"]))
    assert [column["Name"] for column in metadata["ColumnInfo"]] == ["i", "d", "s", "b", "t", "a"]
    assert metadata["Author"] == {"Name": "Amazon Timestream", "MetadataFileVersion": "1.0"}


def test_delimiter_escape_and_packing(place: tuple[Any, Bucket]) -> None:
    client, bucket = place
    answer = unloaded(client, "SELECT 'a|b' AS x, 'c\"d' AS y", "packed", "field_delimiter = '|', escaped_by = '\"'")
    (file,) = json.loads(bucket.url(answer["manifestFile"]))["result_files"]
    assert file["url"].endswith(".gz")
    assert gzip.decompress(bucket.url(file["url"])) == b'"a|b"|"c""d"\n'


@pytest.mark.parametrize("compression", ["GZIP", "NONE"])
def test_parquet_holds_typed_values(place: tuple[Any, Bucket], compression: str, tmp_path: Path) -> None:
    client, bucket = place
    select = f"SELECT i, d, s, b, t, a, 1d AS iv, DATE '2024-02-29' AS day, row(1, 'x') AS r FROM ({MIXED})"
    answer = unloaded(client, select, "pq/", f"format = 'PARQUET', compression = '{compression}'")
    (file,) = json.loads(bucket.url(answer["manifestFile"]))["result_files"]
    assert file["url"].endswith(".parquet")
    (tmp_path / "f.parquet").write_bytes(bucket.url(file["url"]))
    parquet = pq.ParquetFile(tmp_path / "f.parquet")
    assert parquet.schema.column(4).physical_type == "INT96"
    first = duckdb.sql(f"SELECT i, d, s, b, epoch_ns(t::TIMESTAMP_NS), a, iv, day::VARCHAR, r.field1 FROM '{tmp_path}/f.parquet'").fetchall()  # fmt: skip  # noqa: E501
    assert first[0][:4] == (1, 1.5, "plain", True)
    assert parquet.read(["t"])["t"].cast("int64").to_pylist()[0] == 1_709_985_600_123_456_789
    assert first[0][5:] == ([1, None, 3], "1 00:00:00.000000000", "2024-02-29", "x")
    assert first[2] == (3, None, "", None, None, None, "1 00:00:00.000000000", "2024-02-29", "x")


def test_a_series_becomes_json_in_csv_and_a_list_in_parquet(place: tuple[Any, Bucket], tmp_path: Path) -> None:
    client, bucket = place
    select = "SELECT create_time_series(t, v) AS s FROM (VALUES (TIMESTAMP '2024-01-01', 1.5)) AS x(t, v)"
    answer = unloaded(client, select, "series", "compression = 'NONE'")
    (file,) = json.loads(bucket.url(answer["manifestFile"]))["result_files"]
    (row,) = csv.reader(io.StringIO(bucket.url(file["url"]).decode()), escapechar="\\", doublequote=False)
    assert json.loads(row[0]) == [{"time": "2024-01-01 00:00:00.000000000Z", "value": 1.5}]
    answer = unloaded(client, select, "series", "format = 'PARQUET'")
    (file,) = json.loads(bucket.url(answer["manifestFile"]))["result_files"]
    (tmp_path / "s.parquet").write_bytes(bucket.url(file["url"]))
    (value,) = pq.read_table(tmp_path / "s.parquet").to_pylist()
    assert [point["value"] for point in value["s"]] == [1.5]


def test_partitions_are_folders_and_leave_the_files(place: tuple[Any, Bucket]) -> None:
    client, bucket = place
    half = "CASE WHEN a < 50 THEN 'low' ELSE 'high' END AS half"
    select = f"SELECT a, a % 3 AS third, {half} FROM UNNEST(sequence(1, 99)) AS t(a)"
    answer = unloaded(client, select, "parts", "partitioned_by = ARRAY['third', 'half'], compression = 'NONE'")
    files = json.loads(bucket.url(answer["manifestFile"]))["result_files"]
    found: dict[str, list[int]] = {}
    for file in files:
        folder = file["url"].removeprefix(f"s3://{BUCKET}/parts/results/").rpartition("/")[0]
        found[folder] = sorted(int(line) for line in bucket.url(file["url"]).decode().splitlines())
    assert sorted(found) == [f"third={third}/half={half}" for third in range(3) for half in ("high", "low")]
    assert found["third=1/half=low"] == list(range(1, 50, 3))
    assert sum(map(len, found.values())) == 99 == int(answer["rows"])


def test_files_end_near_their_largest_size(place: tuple[Any, Bucket]) -> None:
    client, bucket = place
    select = "SELECT a, b, rpad('', 200, 'x') FROM UNNEST(sequence(1, 1000)) AS t(a), UNNEST(sequence(1, 200)) AS u(b)"
    answer = unloaded(client, select, "many", "max_file_size = '16MB', compression = 'NONE'")
    files = json.loads(bucket.url(answer["manifestFile"]))["result_files"]
    sizes = [file["file_metadata"]["content_length_in_bytes"] for file in files]
    assert len(sizes) >= 2
    assert max(sizes) < 32 * 2**20
    assert sum(file["file_metadata"]["row_count"] for file in files) == 200_000


def test_no_rows_make_no_files(place: tuple[Any, Bucket]) -> None:
    client, bucket = place
    answer = unloaded(client, "SELECT a FROM (VALUES 1) AS t(a) WHERE a > 1", "none")
    assert answer["rows"] == "0"
    assert json.loads(bucket.url(answer["manifestFile"]))["result_files"] == []


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UNLOAD (SELECT 1) TO 's3://no-such-bucket/x'", "no-such-bucket"),
        (f"UNLOAD (SELECT 1) TO 's3://{BUCKET}/{'k' * 1100}'", "exceed the S3 allowed key length"),
        (
            f"UNLOAD (SELECT 1 AS a, b FROM UNNEST(sequence(1, 101)) AS t(b)) TO 's3://{BUCKET}/p' "
            "WITH (partitioned_by = ARRAY['b'])",
            "more than 100 partitions",
        ),
        (
            f"UNLOAD (SELECT 1 AS a, 'ü' AS b) TO 's3://{BUCKET}/p' WITH (partitioned_by = ARRAY['b'])",
            "not ASCII",
        ),
        (f"UNLOAD (SELECT 1 / a FROM (VALUES 1, 0) AS t(a)) TO 's3://{BUCKET}/broken'", "Division by zero"),
    ],
)
def test_what_cannot_be_unloaded_fails_and_leaves_no_manifest(
    place: tuple[Any, Bucket], statement: str, words: str
) -> None:
    client, bucket = place
    with pytest.raises(client.exceptions.QueryExecutionException, match=words):
        client.query(QueryString=statement)
    assert not [key for key in bucket.keys("broken") + bucket.keys("p/") if key.endswith(".json")]


def test_without_an_object_store_the_setting_is_named(server: ServerProcess) -> None:
    client = server.client("timestream-query")
    with pytest.raises(client.exceptions.QueryExecutionException, match="object_store"):
        client.query(QueryString=f"UNLOAD (SELECT 1) TO 's3://{BUCKET}/x'")
