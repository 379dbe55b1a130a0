"""awswrangler (the AWS SDK for pandas) as a program uses it: DataFrames in, DataFrames out.

The matrix of common attributes, versions, chunks and missing values has the shapes that the project's own published
tests expect of the service. Skipped where the library is not installed.
"""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from typing import Any

import boto3
import pytest

from support.server import ServerProcess
from support.stock import instant, rows, told

wr: Any = pytest.importorskip("awswrangler", reason="awswrangler is not installed")
pd: Any = pytest.importorskip("pandas", reason="pandas is not installed")

CREATED_ARN = "arn:aws:timestream:{server.region}:{server.account}:database/{rest}"
REGION = [{"Name": "region", "Value": "us-east-1"}]
REGION_AND_HOST = [*REGION, {"Name": "host", "Value": "linux"}]
TWO_VALUES = {
    "MeasureValues": [
        {"Name": "cpu_util", "Value": "12.0", "Type": "DOUBLE"},
        {"Name": "mem_util", "Value": "45.6", "Type": "DOUBLE"},
    ],
    "MeasureValueType": "MULTI",
}
ONE_VALUE = {"MeasureValue": "13.1", "MeasureValueType": "DOUBLE"}


@pytest.fixture(autouse=True)
def session(server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the library calls by default is the server: endpoint variables, and a default session of its key."""
    access_key_id, secret = server.credentials
    for service in ("WRITE", "QUERY"):
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_TIMESTREAM_{service}", server.endpoint)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", boto3.Session(access_key_id, secret, region_name=server.region))


@pytest.fixture
def name(database: str) -> str:
    """A database and a table of the same name, empty."""
    wr.timestream.create_table(database, database, memory_retention_hours=6, magnetic_retention_days=7)
    return database


def now() -> Any:
    return pd.Timestamp.now("UTC")


def hosts() -> Any:
    """Three records to be: two dimensions, one of numbers, one measure."""
    return pd.DataFrame(
        {"time": [now()] * 3, "dim0": ["foo", "boo", "bar"], "dim1": [1, 2, 3], "measure": [1.0, 1.1, 1.2]}
    )


def put(name: str, frame: Any, measure_col: Any = "measure", **more: Any) -> list[dict[str, Any]]:
    """What was rejected."""
    how = {"time_col": "time", "measure_col": measure_col, "dimensions_cols": ["dim0", "dim1"], **more}
    return wr.timestream.write(frame, name, name, **how)


def everything(name: str, rest: str = "", **how: Any) -> Any:
    return wr.timestream.query(f'SELECT * FROM "{name}"."{name}" {rest}', **how)


# Databases and tables.


def test_databases_and_tables(server: ServerProcess, write: Any) -> None:
    tags = {"foo": "boo", "bar": "xoo"}
    arn = wr.timestream.create_database("wrangled", kms_key_id="alias/key", tags=tags)
    assert arn == CREATED_ARN.format(server=server, rest="wrangled")
    assert write.describe_database(DatabaseName="wrangled")["Database"]["KmsKeyId"] == "alias/key"
    more = {"MagneticStoreWriteProperties": {"EnableMagneticStoreWrites": True}}
    table_arn = wr.timestream.create_table("wrangled", "one", 1, 2, tags=tags, timestream_additional_kwargs=more)
    assert table_arn == CREATED_ARN.format(server=server, rest="wrangled/table/one")
    for one in (arn, table_arn):
        listed = write.list_tags_for_resource(ResourceARN=one)["Tags"]
        assert {tag["Key"]: tag["Value"] for tag in listed} == tags
    described = write.describe_table(DatabaseName="wrangled", TableName="one")["Table"]
    assert described["RetentionProperties"] == {
        "MemoryStoreRetentionPeriodInHours": 1,
        "MagneticStoreRetentionPeriodInDays": 2,
    }
    assert described["MagneticStoreWriteProperties"] == more["MagneticStoreWriteProperties"]
    wr.timestream.create_table("wrangled", "two", 1, 1)
    assert wr.timestream.list_tables("wrangled") == ["one", "two"]
    assert {"one", "two"} <= set(wr.timestream.list_tables())
    wr.timestream.delete_table("wrangled", "one")
    assert wr.timestream.list_tables("wrangled") == ["two"]
    wr.timestream.delete_table("wrangled", "two")
    assert "wrangled" in wr.timestream.list_databases()
    wr.timestream.delete_database("wrangled")
    assert "wrangled" not in wr.timestream.list_databases()


def test_lists_go_over_pages(database: str) -> None:
    names = [f"table{number:02}" for number in range(23)]
    for name in names:
        wr.timestream.create_table(database, name, 1, 1)
    assert wr.timestream.list_tables(database) == names


def test_a_fault_is_the_clients_own() -> None:
    assert told(lambda: wr.timestream.create_table("nowhere", "one", 1, 1))[:2] == ("ResourceNotFoundException", 404)
    assert told(lambda: wr.timestream.query("SELECT nope FROM nowhere.one"))[:2] == ("ValidationException", 400)


def test_the_endpoint_of_the_librarys_own_settings(server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    for service in ("write", "query"):
        monkeypatch.delenv(f"AWS_ENDPOINT_URL_TIMESTREAM_{service.upper()}")
        monkeypatch.setattr(wr.config, f"timestream_{service}_endpoint_url", server.endpoint)
    assert wr.timestream.query("SELECT 1 AS one")["one"].tolist() == [1]
    assert isinstance(wr.timestream.list_databases(), list)


# Writes.


def test_versions_and_rejected_records(name: str) -> None:
    frame = hosts()
    changed = frame.assign(measure=[1.0, 1.1, 1.9])
    assert put(name, frame) == []
    (rejected,) = put(name, changed, use_threads=False)
    assert rejected["RecordIndex"] == 2
    assert rejected["Reason"].startswith("A record already exists with the same time, dimensions, measure name, and ")
    assert put(name, changed, version=2) == []
    (rejected, *_) = put(name, frame, version=1, use_threads=False)
    assert rejected == {
        "RecordIndex": 0,
        "Reason": "The record version 1 is lower than the existing version 2. A higher version is required to "
        "update the measure value.",
        "ExistingVersion": 2,
    }
    assert sorted(everything(name)["measure_value::double"]) == [1.0, 1.1, 1.9]


def test_many_records_from_threads(name: str) -> None:
    count = 1_050
    frame = pd.DataFrame(
        {"time": [now()] * count, "dim0": [f"d{n}" for n in range(count)], "dim1": 1, "measure": range(count)}
    )
    assert put(name, frame, use_threads=4) == []
    found = wr.timestream.query(f'SELECT count(*) AS n, sum(measure_value::bigint) AS s FROM "{name}"."{name}"')
    assert found.values.tolist() == [[count, count * (count - 1) // 2]]


@pytest.mark.parametrize("kind", ["SCALAR", "MULTI"])
@pytest.mark.parametrize(
    ("common", "scalar_columns", "multi_columns"),
    [
        ({}, 4, 6),
        ({"MeasureName": "cpu_util"}, 4, 6),
        (ONE_VALUE, 4, 5),
        (TWO_VALUES, 5, 6),
        ({"TimeUnit": "SECONDS", "Time": None}, 4, 5),
        ({**ONE_VALUE, "Time": None}, 4, 5),
        ({"Dimensions": REGION}, 4, 5),
        ({"Dimensions": REGION_AND_HOST}, 5, 6),
        ({"Dimensions": REGION, **ONE_VALUE}, 4, 4),
        ({"Dimensions": REGION_AND_HOST, **TWO_VALUES}, 6, 6),
    ],
)
def test_common_attributes(
    name: str, kind: str, common: dict[str, Any], scalar_columns: int, multi_columns: int
) -> None:
    """Whatever the common attributes leave out is in the frame: a column of two or, for MULTI, two columns."""
    is_multi = kind == "MULTI"
    frame, how = pd.DataFrame({"dummy": ["a"] * 3}), {}
    if "Time" in common:
        unit = 1 if common.get("TimeUnit") == "SECONDS" else 1_000
        common = {**common, "Time": str(int(time.time()) * unit)}
    else:
        frame["time"] = [now() + timedelta(minutes=n) for n in range(3)]
        how["time_col"] = "time"
    if not common.keys() & {"MeasureValue", "MeasureValues"}:
        frame["cpu"], frame["memory"] = 13.1, 45.2
        how["measure_col"] = ["cpu", "memory"] if is_multi else ["cpu"]
    if "Dimensions" not in common:
        frame["region"], frame["host"] = ["us-east-1", "us-east-2", "us-west-2"], ["AL2", "Ubuntu", "Debian"]
        how["dimensions_cols"] = ["region", "host"] if is_multi else ["region"]
    # The library writes its defaults into the attributes it is given.
    assert wr.timestream.write(frame, name, name, common_attributes={**common}, measure_name="cpu", **how) == []
    assert everything(name).shape == (3, multi_columns if is_multi else scalar_columns)


@pytest.mark.parametrize("own", [["dim0"], ["dim0", "dim1"]])
def test_common_dimensions_are_merged(name: str, own: list[str]) -> None:
    assert put(name, hosts(), dimensions_cols=own, common_attributes={"Dimensions": REGION_AND_HOST}) == []
    found = everything(name)
    assert found.shape == (3, 5 + len(own))
    assert set(zip(found["region"], found["host"], found["dim0"], strict=True)) == {
        ("us-east-1", "linux", dim) for dim in ("foo", "boo", "bar")
    }


def test_missing_values_are_not_written(name: str) -> None:
    frame = hosts().assign(measure1=[None, float("nan"), 1.2], measure2=[pd.NaT, 2.1, 2.2])
    assert put(name, frame, ["measure1", "measure2"]) == []
    found = everything(name, "ORDER BY measure2")
    assert found.shape == (2, 6)
    assert found["measure2"].tolist() == [2.1, 2.2]
    assert found["measure1"].isna().tolist() == [True, False]


def test_a_missing_single_measure_leaves_no_record(name: str) -> None:
    assert put(name, hosts().assign(measure=[None, 1.1, 1.2])) == []
    assert everything(name).shape == (2, 5)


def test_a_measure_name_of_ones_own(name: str) -> None:
    assert put(name, hosts(), measure_name="example") == []
    assert set(everything(name)["measure_name"]) == {"example"}


@pytest.mark.parametrize(("unit", "step"), [("SECONDS", "s"), ("MILLISECONDS", "ms"), ("MICROSECONDS", "us")])
def test_times_in_each_unit(name: str, query: Any, unit: str, step: str) -> None:
    frame = hosts()
    frame["time"] = frame["time"].dt.floor(step)
    assert put(name, frame, time_unit=unit) == []
    moment = instant(frame["time"][0].value)
    assert rows(query, f'SELECT DISTINCT time FROM "{name}"."{name}"') == [(moment,)]
    assert everything(name)["time"].tolist() == [frame["time"][0].tz_localize(None)] * 3


def test_nanoseconds_given_in_common_attributes(name: str, query: Any) -> None:
    time_ns = time.time_ns() // 1_000 * 1_000 + 123
    common = {"Time": str(time_ns), "TimeUnit": "NANOSECONDS"}
    assert put(name, hosts(), time_col=None, common_attributes=common) == []
    assert rows(query, f'SELECT DISTINCT time FROM "{name}"."{name}"') == [(instant(time_ns),)]
    # The library reads times to the microsecond.
    assert everything(name)["time"][0].value == time_ns - 123


# Queries.


def test_types_of_columns(name: str) -> None:
    moment = datetime.now(UTC).replace(microsecond=123_000)
    values = {"d": [1.5] * 3, "b": [2**62] * 3, "v": ["grün"] * 3, "o": [True] * 3, "t": [moment] * 3}
    assert put(name, hosts().assign(**values), list(values)) == []
    found = wr.timestream.query(
        f"""SELECT d, b, v, o, t, time, CAST(NULL AS DOUBLE) AS n, 1 AS i, current_date AS day,
            try_cast(now() AS time) AS clock, ARRAY[1, 2] AS list FROM "{name}"."{name}" LIMIT 1"""
    )
    (row,) = found.to_dict("records")
    assert (row["d"], row["b"], row["v"], row["o"], row["i"]) == (1.5, 2**62, "grün", True, 1)
    assert row["t"] == pd.Timestamp(moment).tz_localize(None)
    assert pd.isna(row["n"])
    assert isinstance(row["day"], date)
    assert row["clock"].microsecond % 1_000 == 0
    assert row["list"] == "[{'ScalarValue': '1'}, {'ScalarValue': '2'}]"
    kinds = {column: str(found[column].dtype) for column in ("d", "b", "v", "o", "i")}
    assert kinds == {"d": "float64", "b": "int64", "v": "string", "o": "bool", "i": "int64"}
    assert all(pd.api.types.is_datetime64_dtype(found[column]) for column in ("t", "time"))


@pytest.mark.parametrize("pagination", [None, {}, {"MaxItems": 3, "PageSize": 2}, {"PageSize": 1}])
def test_pages_are_joined(name: str, pagination: dict[str, int] | None) -> None:
    assert put(name, hosts()) == []
    found = everything(name, "ORDER BY dim1", pagination_config=pagination)
    assert found.shape == (3, 5)
    assert found["dim1"].tolist() == ["1", "2", "3"]
    assert found.attrs == {}


def test_chunks(name: str) -> None:
    frame = pd.concat([hosts(), hosts().assign(dim1=[4, 5, 6])], ignore_index=True)[:5]
    assert put(name, frame) == []
    chunks = list(everything(name, "ORDER BY dim1", chunked=True, pagination_config={"MaxItems": 5, "PageSize": 3}))
    assert [chunk.shape for chunk in chunks] == [(3, 5), (2, 5)]
    assert len({chunk.attrs["QueryId"] for chunk in chunks}) == 1
    assert [value for chunk in chunks for value in chunk["dim1"]] == ["1", "2", "3", "4", "5"]


def test_a_token_of_a_chunk_goes_on_from_there(name: str) -> None:
    assert put(name, hosts()) == []
    first = next(everything(name, "ORDER BY dim1", chunked=True, pagination_config={"PageSize": 1}))
    after = {"StartingToken": first.attrs["NextToken"], "PageSize": 1}
    assert everything(name, "ORDER BY dim1", pagination_config=after)["dim1"].tolist() == ["2", "3"]


def test_no_rows(name: str) -> None:
    assert put(name, hosts()) == []
    assert everything(name, "WHERE dim0 = 'none'").empty
    assert list(everything(name, "WHERE dim0 = 'none'", chunked=True)) == []
