"""WriteRecords in depth through stock boto3: what the other file of writes does not ask. Source: write-api.md 6, 8."""

from __future__ import annotations

import re
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from support.server import ServerProcess
from support.stock import Table, dimensions, fault, instant, record, told

HOUR_MS = 3_600_000


def now_ms() -> int:
    return time.time_ns() // 10**6


def multi(*values: tuple[str, str, str], **more: Any) -> dict[str, Any]:
    members = {"Dimensions": dimensions(host="a"), "MeasureName": "set", "MeasureValueType": "MULTI"}
    values_sent = [{"Name": name, "Value": value, "Type": kind} for name, value, kind in values]
    return {**members, "Time": str(now_ms()), "MeasureValues": values_sent, **more}


@pytest.fixture
def late_table(write: Any, query: Any, database: str) -> Table:
    """Twelve hours of memory, and so many days magnetic that 1970 is in them; late writes on."""
    write.create_table(
        DatabaseName=database,
        TableName="late",
        RetentionProperties={"MemoryStoreRetentionPeriodInHours": 12, "MagneticStoreRetentionPeriodInDays": 73_000},
        MagneticStoreWriteProperties={"EnableMagneticStoreWrites": True},
    )
    return Table(write, query, database, "late")


# Time.


def test_times_of_1970_and_before_are_good_where_retention_reaches(late_table: Table) -> None:
    times = [("0", 0), ("1", 10**6), ("-1", -(10**6)), ("+7", 7 * 10**6), ("-1000000000000", -(10**18))]
    counts = late_table.put(*[record("1", Time=text) for text, _ in times])
    assert counts == {"Total": 5, "MemoryStore": 0, "MagneticStore": 5}
    assert late_table.select("time", "ORDER BY time") == [(instant(ns),) for ns in sorted(ns for _, ns in times)]


def test_each_tier_is_counted(late_table: Table) -> None:
    # Twelve hours and 25 minutes are the memory tier's; a minute each way is more than the test takes.
    ages_min = [0, -14, 12 * 60, 12 * 60 + 24, 12 * 60 + 26, 24 * 60]
    base = now_ms()
    counts = late_table.put(*[record("1", Time=str(base - age * 60_000)) for age in ages_min])
    assert counts == {"Total": 6, "MemoryStore": 4, "MagneticStore": 2}


@pytest.mark.parametrize(
    ("is_late", "hours", "place"), [(False, 6, "memory store"), (True, 12 + 73_000 * 24, "data ingestion window")]
)
def test_the_reason_names_the_window_to_the_millisecond(
    table: Table, late_table: Table, is_late: bool, hours: int, place: str
) -> None:
    asked = late_table if is_late else table
    before = time.time()
    error = fault(lambda: asked.put(record("1", Time=str(now_ms() + 15 * 60_000 + 5_000))))
    after = time.time()
    (rejected,) = error.response["RejectedRecords"]
    instant_pattern = r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)"
    text = rf"The record timestamp is outside the time range \[{instant_pattern}, {instant_pattern}\) of the {place}\."
    found = re.fullmatch(text, rejected["Reason"])
    assert found
    first, last = (_seconds(part) for part in found.groups())
    assert before - 0.001 <= last - 15 * 60 <= after
    assert last - first == pytest.approx(hours * 3_600 + 40 * 60, abs=0.0005)


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


# Types.


def test_timestamps_keep_every_nanosecond(table: Table) -> None:
    edges = ["0", "-1", "1", str(2**63 - 2), str(-(2**63) + 2), "1704067200123456789", "-9000000000000000000"]
    base_ns = time.time_ns()
    table.put(
        *[
            multi(("t", text, "TIMESTAMP"), Time=str(base_ns + place), TimeUnit="NANOSECONDS")
            for place, text in enumerate(edges)
        ]
    )
    assert table.select("t", "ORDER BY time") == [(instant(int(text)),) for text in edges]


def test_256_values_and_2048_bytes_are_the_most(table: Table) -> None:
    most = [(f"m{n}", str(n), "BIGINT") for n in range(256)]
    assert table.put(multi(*most, Dimensions=dimensions(case="values")))["Total"] == 1
    text = ("text", "é" * 1_020, "VARCHAR")
    assert table.put(multi(text, ("m0", "1", "BIGINT"), Dimensions=dimensions(case="bytes")))["Total"] == 1
    error = fault(
        lambda: table.put(
            multi(*most, ("m256", "1", "BIGINT"), Dimensions=dimensions(case="over")),
            multi(text, ("m0", "1", "BIGINT"), ("m1", "1", "BIGINT"), Dimensions=dimensions(case="over")),
        )
    )
    assert [rejected["Reason"] for rejected in error.response["RejectedRecords"]] == [
        "The record exceeds the maximum number of measures per record (256).",
        "The record exceeds the maximum size of 2048 bytes.",
    ]
    assert table.select('"case", m255, length(text)', 'ORDER BY "case"') == [
        ("bytes", None, "1020"),
        ("values", "255", None),
    ]


# Merging.

NOW = {"Time": str(now_ms())}
SCALARS = {
    "MeasureName": "shared",
    "MeasureValue": "7",
    "MeasureValueType": "BIGINT",
    "TimeUnit": "MILLISECONDS",
    "Version": 3,
    **NOW,
}


@pytest.mark.parametrize("own", [(), *[(name,) for name in SCALARS], tuple(SCALARS)], ids=lambda names: "+".join(names))
def test_every_scalar_is_the_records_own_or_the_common_one(table: Table, own: tuple[str, ...]) -> None:
    """A record that says some members itself, and common attributes that say those otherwise."""
    others = {
        "MeasureName": "no",
        "MeasureValue": "x",
        "MeasureValueType": "VARCHAR",
        "TimeUnit": "SECONDS",
        "Version": 9,
    }
    common = {name: others.get(name, "1") if name in own else value for name, value in SCALARS.items()}
    sent = {"Dimensions": dimensions(host="a"), **{name: SCALARS[name] for name in own}}
    assert table.put(sent, CommonAttributes=common)["Total"] == 1
    assert table.select("measure_name, measure_value::bigint, time") == [
        ("shared", "7", instant(int(NOW["Time"]) * 10**6))
    ]
    # That its version is 3 shows by what is lower.
    error = fault(lambda: table.put({**sent, "Version": 2}, CommonAttributes=common))
    assert error.response["RejectedRecords"][0]["ExistingVersion"] == 3


def test_measure_values_of_both_are_joined(table: Table) -> None:
    shared = {"MeasureValues": [{"Name": "a", "Value": "1", "Type": "BIGINT"}]}
    table.put(multi(("b", "x", "VARCHAR")), CommonAttributes=shared)
    assert table.select("a, b") == [("1", "x")]
    twice = told(lambda: table.put(multi(("a", "2", "BIGINT")), CommonAttributes=shared))
    assert twice == ("ValidationException", 400, "The measure value name a occurs more than once in a record.")


# Rejections of several kinds.


def test_partial_success_of_every_kind_at_once(late_table: Table) -> None:
    base = {"Time": str(now_ms())}
    late = {"Time": str(now_ms() - 20 * HOUR_MS)}
    late_table.put(record("1", measure="kept", **base), record("1", measure="late", **late))
    error = fault(
        lambda: late_table.put(
            record("0", measure="good", **base),
            record("2", measure="kept", **base),
            record("2", measure="late", **late),
            record("3", measure="good", kind="BIGINT", **base),
            multi(("host", "1", "BIGINT"), **base),
            record("5", measure="ahead", Time=str(now_ms() + HOUR_MS)),
            record("6", measure="m" * 257, **base),
            record("7", measure="last", **base),
        )
    )
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 419
    assert "RecordsIngested" not in error.response
    reasons = {rejected["RecordIndex"]: rejected["Reason"] for rejected in error.response["RejectedRecords"]}
    assert list(reasons) == [1, 3, 4, 5, 6]
    assert reasons[1].startswith("A record already exists with the same time, dimensions, measure name, and record ver")
    assert reasons[3] == "The measure good already exists with the type double."
    assert reasons[4] == "The name host is already used by a dimension of the table."
    assert reasons[5].endswith(" of the data ingestion window.")
    assert reasons[6] == "The measure name exceeds the maximum size of 256 bytes."
    stored = late_table.select("measure_name, measure_value::double", "ORDER BY 1")
    assert stored == [("good", "0.0"), ("kept", "1.0"), ("last", "7.0"), ("late", "1.0")]


def test_what_was_stored_decides_after_a_kill_too(tmp_path: Path) -> None:
    """Versions, types and required keys, by a server that knows them from its folder only."""
    server = ServerProcess(tmp_path, log_level="warning", dimensions_per_table=2)
    try:
        server.start()
        write = server.client("timestream-write")
        write.create_database(DatabaseName="lab")
        write.create_table(DatabaseName="lab", TableName="kept")
        table = Table(write, server.client("timestream-query"), "lab", "kept")
        base = {"Time": str(now_ms())}
        table.put(record("1", Version=5, Dimensions=dimensions(a="1", b="2"), **base))
        server.kill()
        server.start()
        table = Table(server.client("timestream-write"), server.client("timestream-query"), "lab", "kept")
        error = fault(
            lambda: table.put(
                record("2", Version=4, Dimensions=dimensions(b="2", a="1"), **base),
                record("1", Version=5, Dimensions=dimensions(b="2", a="1"), **base),
                record("2", kind="BIGINT", Dimensions=dimensions(a="3"), **base),
                record("2", Dimensions=dimensions(c="3"), **base),
            )
        )
        assert error.response["RejectedRecords"] == [
            {
                "RecordIndex": 0,
                "Reason": "The record version 4 is lower than the existing version 5. A higher version is required to "
                "update the measure value.",
                "ExistingVersion": 5,
            },
            {"RecordIndex": 2, "Reason": "The measure load already exists with the type double."},
            {"RecordIndex": 3, "Reason": "The record exceeds the maximum number of dimensions per table (2)."},
        ]
        assert server.stop() == 0
    finally:
        server.kill()
