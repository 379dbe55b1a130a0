"""WriteRecords through stock boto3, and what a query reads back. Source: write-api.md 6, errors.md 1."""

from __future__ import annotations

import struct
import sys
import time
from typing import Any

import pytest

from support.stock import Table, dimensions, fault, instant, record, told

DOUBLES = (
    "0",
    "-0.0",
    "1",
    "-1.5",
    "0.1",
    "1e22",
    "123456789012345680",
    "4.9406564584124654e-324",
    "2.2250738585072009e-308",
    "2.2250738585072014e-308",
    "1.7976931348623157e308",
    "-1.7976931348623157E+308",
    "3.141592653589793238462643383279",
    "9007199254740993",
    "1.0E-5",
    "0.30000000000000004",
)
BIGINTS = ("0", "-0", "+7", "007", "9223372036854775807", "-9223372036854775808", "9007199254740993")
TEXTS = (
    "plain",
    "ärger, 東京, 🚀 and a family: 👩‍👩‍👧",
    "quotes ' \" and \\ and `",
    "line\nbreak\ttab\r",
    " leading and trailing ",
    "\u00e9 is not e\u0301",
    "\u0001\u007f\u2028",
    "null",
    "x" * 2_048,
    "\U0010ffff" * 512,
)


def bits(value: float) -> bytes:
    return struct.pack(">d", value)


def at(offset_ns: int = 0) -> str:
    return str(time.time_ns() - offset_ns)


def test_doubles_come_back_bit_for_bit(table: Table) -> None:
    base_ns = time.time_ns()
    table.put(*[record(text, Time=str(base_ns + n), TimeUnit="NANOSECONDS") for n, text in enumerate(DOUBLES)])
    read = [value for (value,) in table.select("measure_value::double", "ORDER BY time")]
    assert [bits(float(value or "")) for value in read] == [bits(float(text)) for text in DOUBLES]
    assert read[1] == "-0.0"


def test_bigints_come_back_whole(table: Table) -> None:
    base_ns = time.time_ns()
    table.put(
        *[record(text, kind="BIGINT", Time=str(base_ns + n), TimeUnit="NANOSECONDS") for n, text in enumerate(BIGINTS)]
    )
    read = table.select("measure_value::bigint", "ORDER BY time")
    assert read == [(str(int(text)),) for text in BIGINTS]


def test_texts_come_back_as_sent(table: Table) -> None:
    base_ns = time.time_ns()
    table.put(
        *[record(text, kind="VARCHAR", Time=str(base_ns + n), TimeUnit="NANOSECONDS") for n, text in enumerate(TEXTS)]
    )
    assert table.select("measure_value::varchar", "ORDER BY time") == [(text,) for text in TEXTS]


def test_booleans_in_any_case(table: Table) -> None:
    base_ns = time.time_ns()
    texts = ("true", "false", "True", "FALSE")
    table.put(
        *[record(text, kind="BOOLEAN", Time=str(base_ns + n), TimeUnit="NANOSECONDS") for n, text in enumerate(texts)]
    )
    assert table.select("measure_value::boolean", "ORDER BY time") == [("true",), ("false",), ("true",), ("false",)]


def test_unicode_in_dimensions_and_measure_names(table: Table) -> None:
    tags = {"städtchen": "no"}
    places = dimensions(town="Zürich 🏔", empty="", quoted='it\'s "so"')
    table.put(record("1", measure="Temperatur °C", Dimensions=places))
    read = table.select("town, empty, quoted, measure_name", "WHERE town = 'Zürich 🏔' AND quoted = 'it''s \"so\"'")
    assert read == [("Zürich 🏔", "", 'it\'s "so"', "Temperatur °C")]
    code, _, text = told(lambda: table.put(record("1", Dimensions=dimensions(**tags))))
    assert (code, text.startswith("The dimension name is invalid.")) == ("ValidationException", True)


@pytest.mark.parametrize(
    ("unit", "unit_ns"),
    [(None, 10**6), ("SECONDS", 10**9), ("MILLISECONDS", 10**6), ("MICROSECONDS", 10**3), ("NANOSECONDS", 1)],
)
def test_time_in_every_unit_to_the_nanosecond(table: Table, unit: str | None, unit_ns: int) -> None:
    count = time.time_ns() // unit_ns
    more = {"TimeUnit": unit} if unit else {}
    table.put(record("1", Time=str(count), **more))
    assert table.select("time") == [(instant(count * unit_ns),)]


def test_a_multi_measure_record_of_every_type(table: Table) -> None:
    now_ms = time.time_ns() // 10**6
    values = [
        {"Name": "d", "Value": "2.5", "Type": "DOUBLE"},
        {"Name": "b", "Value": str(2**63 - 1), "Type": "BIGINT"},
        {"Name": "v", "Value": "text", "Type": "VARCHAR"},
        {"Name": "o", "Value": "true", "Type": "BOOLEAN"},
        {"Name": "t", "Value": "-1", "Type": "TIMESTAMP"},
    ]
    multi = {"Dimensions": dimensions(host="a"), "MeasureName": "all", "MeasureValueType": "MULTI"}
    table.put({**multi, "Time": str(now_ms), "MeasureValues": values})
    table.put({**multi, "Time": str(now_ms + 1), "MeasureValues": values[:1]})
    assert table.select("d, b, v, o, t", "ORDER BY time") == [
        ("2.5", "9223372036854775807", "text", "true", "1969-12-31 23:59:59.999000000"),
        ("2.5", None, None, None, None),
    ]


def test_common_attributes_are_merged(table: Table) -> None:
    now_ms = time.time_ns() // 10**6
    counts = table.put(
        {"Dimensions": dimensions(host="a"), "MeasureValue": "1"},
        {"Dimensions": dimensions(host="b"), "MeasureValue": "2", "MeasureName": "other", "Time": str(now_ms - 1)},
        CommonAttributes={
            "Dimensions": dimensions(region="eu"),
            "MeasureName": "shared",
            "MeasureValueType": "BIGINT",
            "Time": str(now_ms),
        },
    )
    assert counts == {"Total": 2, "MemoryStore": 2, "MagneticStore": 0}
    assert table.select("region, host, measure_name, measure_value::bigint, time", "ORDER BY host") == [
        ("eu", "a", "shared", "1", instant(now_ms * 10**6)),
        ("eu", "b", "other", "2", instant((now_ms - 1) * 10**6)),
    ]


def test_an_acknowledged_record_is_read_at_once(table: Table) -> None:
    for number in range(30):
        table.put(record(str(number), Time=at(), TimeUnit="NANOSECONDS"))
        assert table.select("count(*), max(measure_value::double)") == [(str(number + 1), f"{number}.0")]


# Versions. Source: write-api.md 6.6, in the order of its table.

VERSION_LOWER = "The record version {new} is lower than the existing version {old}. A higher version is required to "
VERSION_LOWER += "update the measure value."
VERSION_SAME = (
    "A record already exists with the same time, dimensions, measure name, and record version. A higher record version "
    "must be specified in order to update the measure value. Specifying record version is supported by the latest SDKs."
)


@pytest.mark.parametrize(
    ("before", "incoming", "after", "reason"),
    [
        ([], (7, "1"), "1.0", None),
        ([(7, "1")], (7, "1"), "1.0", None),
        ([(7, "13.5")], (7, "13.50"), "13.5", None),
        ([(7, "1")], (7, "2"), "1.0", VERSION_SAME),
        ([(7, "1")], (6, "2"), "1.0", VERSION_LOWER.format(new=6, old=7)),
        ([(7, "1")], (6, "1"), "1.0", VERSION_LOWER.format(new=6, old=7)),
        ([(7, "1")], (8, "2"), "2.0", None),
        ([(7, "1"), (9, "1")], (8, "2"), "1.0", VERSION_LOWER.format(new=8, old=9)),
        ([(None, "1")], (None, "2"), "1.0", VERSION_SAME),
        ([(None, "1")], (2**63 - 1, "2"), "2.0", None),
    ],
)
def test_versions(
    table: Table,
    before: list[tuple[int | None, str]],
    incoming: tuple[int | None, str],
    after: str,
    reason: str | None,
) -> None:
    now_ms = time.time_ns() // 10**6

    def put(version: int | None, value: str) -> dict[str, int]:
        more = {} if version is None else {"Version": version}
        return table.put(record(value, Time=str(now_ms), **more))

    for version, value in before:
        put(version, value)
    if reason is None:
        assert put(*incoming) == {"Total": 1, "MemoryStore": 1, "MagneticStore": 0}
    else:
        (rejected,) = fault(lambda: put(*incoming)).response["RejectedRecords"]
        existing = {"ExistingVersion": before[-1][0]} if "lower" in reason else {}
        assert rejected == {"RecordIndex": 0, "Reason": reason, **existing}
    assert table.select("measure_value::double") == [(after,)]


def test_identity_is_time_dimensions_and_measure_name(table: Table) -> None:
    now_s = time.time_ns() // 10**9
    same = {"Time": str(now_s), "TimeUnit": "SECONDS"}
    both = dimensions(host="a", region="eu")
    table.put(record("1", Dimensions=both, **same))
    # Equal: another unit, another order of dimensions.
    table.put(record("2", Dimensions=both[::-1], Time=str(now_s * 1000), Version=2))
    # Different: one dimension less, another measure name, another nanosecond.
    table.put(record("3", Dimensions=both[:1], **same))
    table.put(record("4", Dimensions=both, measure="other", **same))
    table.put(record("5", Dimensions=both, Time=str(now_s * 10**9 + 1), TimeUnit="NANOSECONDS"))
    values = table.select("measure_value::double", "ORDER BY 1")
    assert values == [("2.0",), ("3.0",), ("4.0",), ("5.0",)]


def test_of_three_repeats_the_changed_one_is_rejected(table: Table) -> None:
    now_ms = str(time.time_ns() // 10**6)
    error = fault(lambda: table.put(*[record(value, Time=now_ms) for value in ("1", "1", "2")]))
    assert [rejected["RecordIndex"] for rejected in error.response["RejectedRecords"]] == [2]
    assert table.select("measure_value::double") == [("1.0",)]


def test_a_higher_version_replaces_the_whole_set_of_attributes(table: Table) -> None:
    multi = {
        "Dimensions": dimensions(host="a"),
        "MeasureName": "set",
        "MeasureValueType": "MULTI",
        "Time": str(time.time_ns() // 10**6),
    }
    table.put({**multi, "MeasureValues": [{"Name": n, "Value": "1", "Type": "BIGINT"} for n in "ab"]})
    table.put({**multi, "Version": 2, "MeasureValues": [{"Name": "b", "Value": "2", "Type": "BIGINT"}]})
    assert table.select("a, b") == [(None, "2")]


# Refusals.


def test_rejected_records_are_typed_ordered_and_alone(table: Table) -> None:
    now_ms = time.time_ns() // 10**6
    table.put(record("0", Dimensions=dimensions(host="h50"), Time=str(now_ms), Version=200))
    records = [record(str(n), Dimensions=dimensions(host=f"h{n}"), Time=str(now_ms)) for n in range(100)]
    records[97]["Time"] = str(now_ms + 16 * 60_000)
    records[3]["Time"] = str(now_ms - 7 * 3_600_000)
    records[50]["Version"] = 2
    with pytest.raises(table.write.exceptions.RejectedRecordsException) as caught:
        table.put(*records)
    response: Any = caught.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 419
    assert response["Error"]["Code"] == "RejectedRecordsException"
    assert response["Error"]["Message"] == "One or more records have been rejected. See RejectedRecords for details."
    first, second, third = response["RejectedRecords"]
    assert (first["RecordIndex"], second["RecordIndex"], third["RecordIndex"]) == (3, 50, 97)
    assert second == {
        "RecordIndex": 50,
        "Reason": VERSION_LOWER.format(new=2, old=200),
        "ExistingVersion": 200,
    }
    assert first["Reason"] == third["Reason"]
    assert first["Reason"].startswith("The record timestamp is outside the time range [")
    assert first["Reason"].endswith(") of the memory store.")
    # The 97 others were stored, and the one that was there stands.
    stored = dict(table.select("host, measure_value::double"))
    assert stored == {f"h{n}": "0.0" if n == 50 else f"{n}.0" for n in range(100) if n not in (3, 97)}


def test_late_records_go_to_the_magnetic_store_when_it_takes_writes(table: Table) -> None:
    table.write.update_table(
        DatabaseName=table.database,
        TableName=table.name,
        MagneticStoreWriteProperties={"EnableMagneticStoreWrites": True},
    )
    now_ms = time.time_ns() // 10**6
    late = str(now_ms - 8 * 3_600_000)
    counts = table.put(record("1", Time=str(now_ms)), record("2", Time=late))
    assert counts == {"Total": 2, "MemoryStore": 1, "MagneticStore": 1}
    # A conflict there is settled later: counted, not told, and the stored record stays.
    assert table.put(record("3", Time=late)) == {"Total": 1, "MemoryStore": 0, "MagneticStore": 1}
    assert table.select("measure_value::double", "ORDER BY time") == [("2.0",), ("1.0",)]
    error = fault(lambda: table.put(record("4", Time=str(now_ms + 3_600_000))))
    assert error.response["RejectedRecords"][0]["Reason"].endswith(") of the data ingestion window.")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"MeasureValue": "abc"}, "Invalid value abc for double measure value type."),
        ({"MeasureValue": "NaN"}, "Invalid value NaN for double measure value type."),
        ({"MeasureValueType": "BIGINT", "MeasureValue": "None"}, "Invalid value None for bigint measure value type."),
        (
            {"MeasureValueType": "BIGINT", "MeasureValue": str(2**63)},
            f"Invalid value {2**63} for bigint measure value type.",
        ),
        ({"MeasureValueType": "BOOLEAN", "MeasureValue": "1"}, "Invalid value 1 for boolean measure value type."),
        ({"MeasureValueType": "TIMESTAMP", "MeasureValue": "1"}, "TIMESTAMP is an invalid measure value type."),
        ({"Time": "1.5"}, "Invalid time for record."),
        ({"Dimensions": []}, "At least one dimension is required for a record."),
        ({"Dimensions": dimensions(a="1") * 2}, "The dimension name a occurs more than once in a record."),
        ({"Version": 0}, "The record version must be 1 or greater."),
        ({"MeasureName": "time"}, "The name time is reserved."),
    ],
)
def test_one_bad_record_among_99_good_ones_stops_the_request(table: Table, change: dict[str, Any], text: str) -> None:
    base_ns = time.time_ns()
    records = [record(str(n), Time=str(base_ns + n), TimeUnit="NANOSECONDS") for n in range(100)]
    records[57] |= change
    assert told(lambda: table.put(*records)) == ("ValidationException", 400, text)
    assert table.count() == 0


def test_unknown_database_and_table(write: Any, table: Table) -> None:
    for database, name, text in (
        ("nowhere", table.name, "The database nowhere does not exist."),
        (table.database, "nothing", "The table nothing does not exist."),
        (table.database, table.name.upper(), f"The table {table.name.upper()} does not exist."),
    ):
        call = {"DatabaseName": database, "TableName": name, "Records": [record("1")]}
        assert told(lambda call=call: write.write_records(**call)) == ("ResourceNotFoundException", 404, text)


def test_too_many_records_are_a_shape_fault(table: Table) -> None:
    code, status, text = told(lambda: table.put(*[record("1", Time=str(n)) for n in range(101)]))
    assert (code, status) == ("ValidationException", 400)
    assert text.startswith("1 validation error detected: Value '[")
    assert text.endswith(
        "' at 'records' failed to satisfy constraint: Member must have length less than or equal to 100"
    )


def test_columns_that_differ_only_in_case_are_different(table: Table) -> None:
    now_ms = str(time.time_ns() // 10**6)
    table.put(record("1", Dimensions=dimensions(host="lower", Host="upper"), Time=now_ms))
    multi = {"Dimensions": dimensions(HOST="all"), "MeasureName": "m", "MeasureValueType": "MULTI", "Time": now_ms}
    values = [{"Name": "load", "Value": "1", "Type": "BIGINT"}, {"Name": "Load", "Value": "two", "Type": "VARCHAR"}]
    table.put({**multi, "MeasureValues": values})
    assert table.select('host, "Host", HOST, load, "Load"', "ORDER BY measure_name") == [
        ("lower", "upper", None, None, None),
        (None, None, "all", "1", "two"),
    ]


def test_a_name_cannot_be_dimension_and_measure(table: Table) -> None:
    table.put(record("1", Dimensions=dimensions(host="a")))
    multi = {
        "Dimensions": dimensions(other="a"),
        "MeasureName": "m",
        "MeasureValueType": "MULTI",
        "Time": str(time.time_ns() // 10**6),
        "MeasureValues": [{"Name": "host", "Value": "1", "Type": "BIGINT"}],
    }
    error = fault(lambda: table.put(multi))
    assert error.response["RejectedRecords"] == [
        {"RecordIndex": 0, "Reason": "The name host is already used by a dimension of the table."}
    ]


def test_a_full_request_of_the_largest_records(table: Table) -> None:
    """100 records, each with as many bytes of measures as may be: well below the limit of a body."""
    now_ms = str(time.time_ns() // 10**6)
    text = "é" * 1_000
    records = [
        record(text, kind="VARCHAR", Dimensions=dimensions(host=str(n), note="n" * 1_500), Time=now_ms)
        for n in range(100)
    ]
    assert sum(sys.getsizeof(one["MeasureValue"]) for one in records) > 100_000
    assert table.put(*records)["Total"] == 100
    assert table.select("count(*), min(measure_value::varchar), max(measure_value::varchar)") == [("100", text, text)]
