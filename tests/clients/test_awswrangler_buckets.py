"""awswrangler over an S3-compatible server: DataFrames that UNLOAD has written, files that a batch load reads.

Skipped where the library is not installed. What needs no bucket is in `test_awswrangler.py`.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from itertools import count
from typing import Any

import boto3
import pytest

from support.s3_servers import CLIENTS_BUCKET, s3_client
from support.server import ServerProcess

wr: Any = pytest.importorskip("awswrangler", reason="awswrangler is not installed")
pd: Any = pytest.importorskip("pandas", reason="pandas is not installed")

MIXED = """SELECT x, x * 0.5 AS half, CASE WHEN x % 2 = 0 THEN 'even' ELSE 'odd, "or" so' END AS kind,
  x > 2 AS big, TIMESTAMP '2024-03-09 12:00:00.123456789' AS at, if(x = 3, NULL, x) AS gap
  FROM UNNEST(sequence(1, 5)) AS t(x)"""

_numbers = count(1)


@pytest.fixture(autouse=True)
def session(server_with_buckets: ServerProcess, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The library calls the server with its key, and the buckets with theirs: a session has one key only."""
    server = server_with_buckets
    for service in ("WRITE", "QUERY"):
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_TIMESTREAM_{service}", server.endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_endpoint)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", boto3.Session(*server.credentials, region_name=server.region))


@pytest.fixture
def path() -> str:
    """A prefix that no other test uses."""
    return f"s3://{CLIENTS_BUCKET}/wrangled/{next(_numbers)}"


@pytest.fixture
def keys(s3_endpoint: str, path: str) -> Callable[[], list[str]]:
    """What lies below `path`, each key without it."""
    prefix = path.removeprefix(f"s3://{CLIENTS_BUCKET}/")

    def listed() -> list[str]:
        found = s3_client(s3_endpoint).list_objects_v2(Bucket=CLIENTS_BUCKET, Prefix=prefix + "/")
        return [one["Key"].removeprefix(prefix + "/") for one in found.get("Contents", [])]

    return listed


@pytest.fixture
def table(server_with_buckets: ServerProcess) -> tuple[str, str]:
    """The names of an empty table and its database."""
    name = f"wrangled_{next(_numbers)}"
    wr.timestream.create_database(name)
    wr.timestream.create_table(name, "records", 24, 365)
    return name, "records"


# UNLOAD.


@pytest.mark.parametrize("compression", ["GZIP", "NONE", None])
def test_unloaded_parquet_is_a_frame_of_its_types(
    path: str, keys: Callable[[], list[str]], compression: str | None
) -> None:
    frame = wr.timestream.unload(MIXED, path, unload_format="PARQUET", compression=compression, keep_files=True)
    frame = frame.sort_values("x", ignore_index=True)
    assert frame["x"].tolist() == [1, 2, 3, 4, 5]
    assert frame["half"].tolist() == [0.5, 1.0, 1.5, 2.0, 2.5]
    assert frame["kind"].tolist() == ['odd, "or" so', "even"] * 2 + ['odd, "or" so']
    assert frame["big"].tolist() == [False, False, True, True, True]
    assert frame["at"].tolist() == [pd.Timestamp("2024-03-09 12:00:00.123456789")] * 5
    assert frame["gap"].isna().tolist() == [False, False, True, False, False]
    assert all(key.endswith(".parquet") for key in keys() if key.startswith("results/"))


@pytest.mark.parametrize("compression", ["GZIP", "NONE"])
def test_unloaded_csv_has_the_names_of_its_metadata(path: str, compression: str) -> None:
    text = "SELECT x, x * 0.5 AS half, if(x = 2, NULL, 'v') AS v FROM UNNEST(sequence(1, 3)) AS t(x)"
    frame = wr.timestream.unload(text, path, unload_format="CSV", compression=compression)
    frame = frame.sort_values("x", ignore_index=True)
    assert frame.columns.tolist() == ["x", "half", "v"]
    assert frame[["x", "half"]].to_numpy().tolist() == [[1, 0.5], [2, 1.0], [3, 1.5]]
    assert frame["v"].isna().tolist() == [False, True, False]


def test_csv_in_a_dialect_of_its_own(path: str) -> None:
    wr.timestream.unload_to_files(MIXED, path, unload_format="CSV", field_delimiter="|", escaped_by='"')
    frame = wr.s3.read_csv(f"{path}/results/", header=None, sep="|")
    assert sorted(frame[2]) == ["even", "even", *['odd, "or" so'] * 3]


def test_the_files_are_gone_unless_they_are_to_be_kept(path: str, keys: Callable[[], list[str]]) -> None:
    assert len(wr.timestream.unload(MIXED, path, keep_files=False)) == 5
    assert keys() == []


@pytest.mark.parametrize("kind", ["CSV", "PARQUET"])
def test_partitions_come_back_as_columns(path: str, kind: str) -> None:
    text = "SELECT x, CASE WHEN x < 3 THEN 'low' ELSE 'high' END AS size FROM UNNEST(sequence(1, 5)) AS t(x)"
    frame = wr.timestream.unload(text, path, unload_format=kind, partition_cols=["size"])
    found = sorted(zip(frame["x"].tolist(), frame["size"].tolist(), strict=True))
    assert found == [(1, "low"), (2, "low"), (3, "high"), (4, "high"), (5, "high")]


def test_parquet_in_chunks(path: str) -> None:
    text = "SELECT x FROM UNNEST(sequence(1, 1000)) AS t(x)"
    chunks = list(wr.timestream.unload(text, path, unload_format="PARQUET", chunked=333, keep_files=True))
    assert [len(chunk) for chunk in chunks] == [333, 333, 333, 1]
    assert sorted(value for chunk in chunks for value in chunk["x"]) == list(range(1, 1001))


def test_only_files_with_the_encryption_asked_for(path: str, keys: Callable[[], list[str]], s3_endpoint: str) -> None:
    key = "arn:aws:kms:us-east-1:000000000000:key/11111111-2222-3333-4444-555555555555"
    wr.timestream.unload_to_files(MIXED, path, encryption="SSE_KMS", kms_key_id=key)
    found = [one for one in keys() if one.startswith("results/")]
    prefix = path.removeprefix(f"s3://{CLIENTS_BUCKET}/")
    heads = [s3_client(s3_endpoint).head_object(Bucket=CLIENTS_BUCKET, Key=f"{prefix}/{one}") for one in found]
    assert {(head["ServerSideEncryption"], head["SSEKMSKeyId"]) for head in heads} == {("aws:kms", key)}
    assert sorted(one.rpartition("_")[2] for one in keys() if "/" not in one) == ["manifest.json", "metadata.json"]


# Batch load.


def arguments(table: tuple[str, str], **more: Any) -> dict[str, Any]:
    return {
        "database": table[0],
        "table": table[1],
        "time_col": "when",
        "dimensions_cols": ["host", "zone"],
        "measure_cols": ["load", "hits", "note", "up"],
        "measure_name_col": "kind",
        "report_s3_configuration": {"BucketName": CLIENTS_BUCKET, "ObjectKeyPrefix": "reports"},
        "timestream_batch_load_wait_polling_delay": 0.05,
        **more,
    }


def records(step: int = 1_000) -> Any:
    """Three records to be, `step` of the time's units apart."""
    now = int(time.time()) * step
    return pd.DataFrame(
        {
            "when": [now - 2 * step, now - step, now],
            "host": ["a", "b", "c"],
            "zone": ["x, y", 'say "z"', "ü"],
            "load": [0.5, 1.5, None],
            "hits": [1, 2, 2**60],
            "note": ["one", None, "three"],
            "up": [True, False, True],
            "kind": ["m"] * 3,
        }
    )


LOADED = [
    ["a", "x, y", 0.5, 1, "one", True],
    ["b", 'say "z"', 1.5, 2, None, False],
    ["c", "ü", None, 2**60, "three", True],
]


def loaded(table: tuple[str, str]) -> list[list[Any]]:
    frame = wr.timestream.query(f'SELECT host, zone, load, hits, note, up FROM "{table[0]}"."{table[1]}" ORDER BY host')
    return [[None if pd.isna(value) else value for value in row] for row in frame.astype(object).to_numpy().tolist()]


@pytest.mark.parametrize(("unit", "step"), [("SECONDS", 1), ("NANOSECONDS", 10**9)])
def test_a_frame_is_loaded_and_its_files_are_gone(
    path: str, keys: Callable[[], list[str]], table: tuple[str, str], unit: str, step: int
) -> None:
    answer = wr.timestream.batch_load(df=records(step), path=path, time_unit=unit, **arguments(table))
    task = answer["BatchLoadTaskDescription"]
    assert (task["TaskStatus"], task["ProgressReport"]["RecordsIngested"]) == ("SUCCEEDED", 3)
    assert loaded(table) == LOADED
    assert keys() == []


def test_files_are_loaded_in_a_dialect_of_their_own(path: str, table: tuple[str, str]) -> None:
    for part in range(3):
        text = io.StringIO()
        records()[part : part + 1].to_csv(text, index=False, sep="|", na_rep="none")
        wr.s3.upload(io.BytesIO(text.getvalue().encode()), f"{path}/{part}.csv")
    types = ["DOUBLE", "BIGINT", "VARCHAR", "BOOLEAN"]
    dialect = {"ColumnSeparator": "|", "NullValue": "none", "QuoteChar": '"'}
    answer = wr.timestream.batch_load_from_files(
        path=f"{path}/", measure_types=types, data_source_csv_configuration=dialect, **arguments(table)
    )
    assert answer["BatchLoadTaskDescription"]["ProgressReport"]["RecordsIngested"] == 3
    assert loaded(table) == LOADED


def test_a_task_that_fails_is_the_librarys_exception(path: str, table: tuple[str, str], s3_endpoint: str) -> None:
    report = {"BucketName": CLIENTS_BUCKET, "ObjectKeyPrefix": f"reports/{table[0]}"}
    frame = records().assign(when=[1, 2, 3])
    with pytest.raises(wr.exceptions.TimestreamLoadError):
        wr.timestream.batch_load(df=frame, path=path, **arguments(table, report_s3_configuration=report))
    (found,) = s3_client(s3_endpoint).list_objects_v2(Bucket=CLIENTS_BUCKET, Prefix=report["ObjectKeyPrefix"])[
        "Contents"
    ]
    assert found["Key"].endswith(".json")


# Queries.


@pytest.mark.parametrize("size", [1, 7, 333, 1000])
def test_a_query_in_chunks_of_odd_sizes(size: int) -> None:
    text = "SELECT x FROM UNNEST(sequence(1, 50)) AS t(x) ORDER BY x"
    chunks = list(wr.timestream.query(text, chunked=True, pagination_config={"PageSize": size}))
    assert max(map(len, chunks)) <= size
    assert [value for chunk in chunks for value in chunk["x"]] == list(range(1, 51))
