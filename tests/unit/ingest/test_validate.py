"""What WriteRecords means: the tables of the service's behaviour, row by row, as cases."""

from __future__ import annotations

import numpy as np
import pytest
from request_bodies import HOST, LIMITS, dimensions, measure_values, multi, record, request

from headwater.errors import Invalid, RejectedRecord
from headwater.ingest import quick
from headwater.ingest.validate import validate
from headwater.model.record import Layout
from headwater.model.series import Series
from headwater.model.table import MeasureType

DIMENSION_NAME = (
    "The dimension name is invalid. Dimension name can only contain alphanumeric characters and underscores. "
    "It can only start with an alphabet and cannot end with an underscore."
)
ONLY_MULTI = "MeasureValues is only allowed for records of type MULTI."
X = ("x", "1.5", "DOUBLE")


def refused(*records, common=None):
    with pytest.raises(Invalid) as caught:
        validate(request(*records, common=common), LIMITS, None)
    return caught.value.message


def columns(*records, common=None):
    validated = validate(request(*records, common=common), LIMITS, None)
    assert not validated.rejected
    return validated.columns


def only(*records, common=None):
    """The single record of a request as (series key, time, version, {column: value})."""
    (batch,) = columns(*records, common=common)
    assert len(batch) == 1
    return batch.series[0].key, batch.time_ns.tolist()[0], batch.version.tolist()[0], batch.row(0)


def rejected(*records, common=None, partition_key=None):
    return validate(request(*records, common=common), LIMITS, partition_key).rejected


# Faults of the whole request.

FAULTS = [
    ("At least one dimension is required for a record.", record(Dimensions=None)),
    ("At least one dimension is required for a record.", record(Dimensions=[])),
    ("Invalid time for record.", record(Time=None)),
    *(
        ("Invalid time for record.", record(Time=text))
        for text in ["x", "1.5", "1e3", " 1", "1_0", "١", "0x1", "9223372036855", "-9223372036855", "9" * 256, "None"]
    ),
    ("Invalid time for record.", record(Time="9223372037", TimeUnit="SECONDS")),
    ("Invalid time for record.", record(Time="9223372036854775808", TimeUnit="NANOSECONDS")),
    ("Invalid value None for bigint measure value type.", record(MeasureValue="None", MeasureValueType="BIGINT")),
    ("Invalid value None for bigint measure value type.", multi(X, ("n", "None", "BIGINT"))),
    ("Invalid value NaN for double measure value type.", record(MeasureValue="NaN")),
    ("Invalid value 1e400 for double measure value type.", multi(("x", "1e400", "DOUBLE"))),
    ("Invalid value yes for boolean measure value type.", record(MeasureValue="yes", MeasureValueType="BOOLEAN")),
    ("Invalid value 1.5 for timestamp measure value type.", multi(("t", "1.5", "TIMESTAMP"))),
    (f"Invalid value {'é' * 1025} for varchar measure value type.", multi(("s", "é" * 1025, "VARCHAR"))),
    ("TIMESTAMP is an invalid measure value type.", record(MeasureValue="1", MeasureValueType="TIMESTAMP")),
    *((DIMENSION_NAME, record(Dimensions=dimensions(**{name: "v"}))) for name in ["_a", "1a", "a_", "a-b", "é", "a.b"]),
    *((DIMENSION_NAME, record(Dimensions=dimensions(**{name: "v"}))) for name in ["a\n", " a", "_", "a b", "aé"]),
    ("The dimension name host occurs more than once in a record.", record(Dimensions=HOST + HOST)),
    ("The record version must be 1 or greater.", record(Version=0)),
    ("The record version must be 1 or greater.", record(Version=-(2**63))),
    ("A measure name is required for a record.", record(MeasureName=None)),
    ("A measure value is required for a record.", record(MeasureValue=None)),
    ("At least one measure value is required for a record of type MULTI.", multi()),
    (ONLY_MULTI, multi(X) | {"MeasureValue": "1"}),
    (ONLY_MULTI, record(MeasureValues=measure_values(X))),
    (ONLY_MULTI, record(MeasureValue=None, MeasureValues=measure_values(X), MeasureValueType="DOUBLE")),
    ("MULTI is an invalid measure value type.", multi(("x", "1", "MULTI"))),
    ("The measure value name x occurs more than once in a record.", multi(X, X)),
    *(
        (f"The name {name} is reserved.", record(Dimensions=dimensions(**{name: "v"})))
        for name in ["time", "measure_name", "measure_value", "ts_non_existent_col", "ts_a", "measure_value2"]
    ),
    *(
        (f"The name {name} is reserved.", record(MeasureName=name))
        for name in ["time", "measure_name", "measure_value", "ts_non_existent_col", "ts_", "measure_name_x"]
    ),
    ("The name time is reserved.", multi(("time", "1", "TIMESTAMP"))),
    ("The measure name is invalid.", record(MeasureName="a:b")),
    ("The measure name is invalid.", multi(("measure_value::double", "1", "DOUBLE"))),
]


@pytest.mark.parametrize(("text", "bad"), FAULTS)
def test_a_fault_fails_the_whole_request(text, bad):
    assert refused(bad) == text
    assert refused(record(), multi(X), bad, record()) == text


def test_the_first_fault_in_the_order_of_records_is_told():
    assert refused(record(), record(Time="x"), record(MeasureValue="NaN")) == "Invalid time for record."
    assert refused(record(MeasureValue="NaN"), record(Time="x")) == "Invalid value NaN for double measure value type."


def test_the_first_bad_value_in_the_order_sent_is_told():
    bad = multi(("z", "NaN", "DOUBLE"), ("a", "None", "BIGINT"))
    assert refused(bad) == "Invalid value NaN for double measure value type."


def test_a_fault_after_a_rejection_still_fails_the_request():
    assert refused(record(MeasureName="m" * 257), record(Time="x")) == "Invalid time for record."


@pytest.mark.parametrize("name", ["a", "A1", "a_b", "Time", "TS_a", "Measure_value", "timed", "measure", "a9"])
def test_other_dimension_names_are_good(name):
    assert only(record(Dimensions=dimensions(**{name: "v"})))[0] == ("cpu", ((name, "v"),))


@pytest.mark.parametrize("name", ["a", "é 😀", "-", "Time", "_x_", "measure", "1", "cpu.load%"])
def test_other_measure_names_are_good(name):
    assert only(record(MeasureName=name))[0] == (name, (("host", "a"),))
    assert only(multi((name, "1", "BIGINT")))[3] == {name: 1}


# Common attributes.


def test_every_scalar_may_come_from_the_common_attributes():
    common = record(MeasureValueType="BIGINT", MeasureValue="7", TimeUnit="SECONDS", Version=9)
    key = ("cpu", (("host", "a"), ("rack", "r")))
    assert only({"Dimensions": dimensions(rack="r")}, common=common) == (
        key,
        1_000_000_000_000,
        9,
        {"measure_value::bigint": 7},
    )


def test_measure_values_may_come_from_the_common_attributes():
    assert only({"Dimensions": HOST}, common=multi(X, Dimensions=None))[3] == {"x": 1.5}


def test_the_record_goes_before_the_common_attributes():
    common = {"MeasureName": "m", "MeasureValue": "x", "MeasureValueType": "VARCHAR", "Time": "5", "Version": 3}
    own = record(MeasureValueType="BIGINT", MeasureValue="2", Version=1, TimeUnit="NANOSECONDS")
    expected = (("cpu", (("host", "a"),)), 1000, 1, {"measure_value::bigint": 2})
    assert only(own, common=common | {"TimeUnit": "SECONDS"}) == expected


def test_without_either_there_are_defaults():
    assert only(record(), common={}) == (("cpu", (("host", "a"),)), 1_000_000_000, 1, {"measure_value::double": 1.5})


def test_dimensions_of_both_lists_are_joined():
    own = record(Dimensions=dimensions(b="2"))
    assert only(own, common={"Dimensions": dimensions(c="3", a="1")})[0][1] == (("a", "1"), ("b", "2"), ("c", "3"))
    text = "The dimension name host occurs more than once in a record."
    assert refused(record(), common={"Dimensions": HOST}) == text


def test_measure_values_of_both_lists_are_joined():
    common = {"MeasureValues": measure_values(("y", "2", "BIGINT"))}
    assert only(multi(X), common=common)[3] == {"x": 1.5, "y": 2}
    text = "The measure value name x occurs more than once in a record."
    assert refused(multi(X), common={"MeasureValues": measure_values(X)}) == text


def test_common_values_of_the_other_kind_are_faults():
    assert refused(multi(X), common={"MeasureValue": "1"}) == ONLY_MULTI
    assert refused(record(), common={"MeasureValues": measure_values(X)}) == ONLY_MULTI


def test_empty_lists_are_as_good_as_none():
    assert only(record(MeasureValues=[]), common={"Dimensions": [], "MeasureValues": []})[3] == {
        "measure_value::double": 1.5
    }


# Times, versions, types.


@pytest.mark.parametrize(
    ("members", "time_ns"),
    [
        ({"Time": "0"}, 0),
        ({"Time": "1"}, 1_000_000),
        ({"Time": "-1"}, -1_000_000),
        ({"Time": "+7", "TimeUnit": "SECONDS"}, 7_000_000_000),
        ({"Time": "7", "TimeUnit": "MILLISECONDS"}, 7_000_000),
        ({"Time": "7", "TimeUnit": "MICROSECONDS"}, 7_000),
        ({"Time": "7", "TimeUnit": "NANOSECONDS"}, 7),
        ({"Time": "9223372036854775807", "TimeUnit": "NANOSECONDS"}, 2**63 - 1),
        ({"Time": "-9223372036854775808", "TimeUnit": "NANOSECONDS"}, -(2**63)),
        ({"Time": "9223372036", "TimeUnit": "SECONDS"}, 9_223_372_036_000_000_000),
        ({"Time": "0" * 255 + "7"}, 7_000_000),
    ],
)
def test_time_is_counted_in_its_unit(members, time_ns):
    assert only(record(**members))[1] == time_ns


def test_a_timestamp_value_counts_in_the_unit_of_its_record():
    seconds, default = multi(("t", "2", "TIMESTAMP"), TimeUnit="SECONDS"), multi(("t", "2", "TIMESTAMP"))
    (batch,) = columns(seconds, default)
    assert batch.values[0].tolist() == [2_000_000_000, 2_000_000]
    assert batch.values[0].dtype == np.int64


def test_the_largest_version_is_kept_whole():
    assert only(record(Version=2**63 - 1))[2] == 2**63 - 1


def test_all_types_in_one_record_and_columns_as_sent():
    values = [("e", "x", "VARCHAR"), ("d", "TRUE", "BOOLEAN"), ("c", "1", "TIMESTAMP"), ("b", "2", "BIGINT"), X]
    (batch,) = columns(multi(*values))
    assert batch.layout == Layout.multi(tuple((name, MeasureType(kind)) for name, _, kind in values))
    assert [name for name, _ in batch.layout.columns] == ["e", "d", "c", "b", "x"]
    assert batch.row(0) == {"b": 2, "c": 1_000_000, "d": True, "e": "x", "x": 1.5}
    assert [getattr(v, "dtype", list) for v in batch.values] == [list, np.bool_, np.int64, np.int64, np.float64]


@pytest.mark.parametrize(
    ("kind", "text", "stored"),
    [("DOUBLE", "1", 1.0), ("BIGINT", "-1", -1), ("BOOLEAN", "False", False), ("VARCHAR", "1", "1")],
)
def test_a_single_measure_is_in_the_column_of_its_type(kind, text, stored):
    (batch,) = columns(record(MeasureValue=text, MeasureValueType=kind))
    assert batch.layout == Layout.single(MeasureType(kind))
    assert batch.row(0) == {f"measure_value::{kind.lower()}": stored}


# Identity and layouts.


def test_the_order_of_dimensions_does_not_matter():
    one, other = dimensions(a="1", b="2"), dimensions(b="2", a="1")
    (batch,) = columns(record(Dimensions=one), record(Dimensions=other))
    assert batch.series[0].key == batch.series[1].key
    assert batch.series[0].id == batch.series[1].id == Series("cpu", (("a", "1"), ("b", "2"))).id


def test_an_empty_dimension_value_is_a_value():
    assert only(record(Dimensions=dimensions(a="")))[0][1] == (("a", ""),)


def test_a_series_that_comes_again_is_the_same_object():
    (first,), (second,) = columns(record()), columns(record(Time="2000"))
    assert first.series[0] is second.series[0]


def test_records_are_parted_by_layout_in_order_of_appearance():
    batches = columns(multi(X), record(), multi(X, ("y", "1", "BIGINT")), multi(X, MeasureName="n"), record())
    assert [batch.index.tolist() for batch in batches] == [[0, 3], [1, 4], [2]]
    assert [batch.layout.measure_data_type for batch in batches] == ["multi", "double", "multi"]


def test_the_order_of_attributes_makes_no_other_values():
    a, b = ("a", "1", "BIGINT"), ("b", "2", "BIGINT")
    first, second = columns(multi(a, b), multi(b, a))
    assert first.row(0) == second.row(0) == {"a": 1, "b": 2}


# Rejections that need no table.

KEY = ({"Type": "DIMENSION", "Name": "rack", "EnforcementInRecord": "REQUIRED"},)
TOO_LARGE = "The record exceeds the maximum size of 2048 bytes."

REJECTIONS = [
    (TOO_LARGE, record(Dimensions=dimensions(a="v" * 2048))),
    (TOO_LARGE, record(Dimensions=dimensions(a="é" * 1024))),
    (TOO_LARGE, record(Dimensions=dimensions(a="v" * 1024, b="v" * 1023))),
    (TOO_LARGE, multi(("a", "v" * 2048, "VARCHAR"), ("b", "1", "BIGINT"))),
    (TOO_LARGE, multi(("a", "v" * 1025, "VARCHAR"), ("b", "é" * 512, "VARCHAR"))),
    ("The dimension name exceeds the maximum size of 60 bytes.", record(Dimensions=dimensions(**{"n" * 61: "v"}))),
    ("The measure name exceeds the maximum size of 256 bytes.", record(MeasureName="m" * 257)),
    ("The measure name exceeds the maximum size of 256 bytes.", record(MeasureName="é" * 129)),
    ("The measure name exceeds the maximum size of 256 bytes.", multi(("é" * 129, "1", "BIGINT"))),
    (
        "The record exceeds the maximum number of measures per record (256).",
        multi(*((f"m{n}", "true", "BOOLEAN") for n in range(257))),
    ),
]


@pytest.mark.parametrize(("reason", "bad"), REJECTIONS)
def test_a_record_over_a_limit_is_rejected_and_the_others_are_not(reason, bad):
    validated = validate(request(record(), bad, record()), LIMITS, None)
    assert validated.rejected == [RejectedRecord(1, reason)]
    assert [batch.index.tolist() for batch in validated.columns] == [[0, 2]]


@pytest.mark.parametrize(
    "good",
    [
        record(Dimensions=dimensions(a="v" * 2047)),
        record(Dimensions=dimensions(a="v" * 1023, b="v" * 1023)),
        record(Dimensions=dimensions(a="é" * 1023)),
        record(Dimensions=dimensions(a="\t" * 1023, b="v" * 1023)),
        record(Dimensions=dimensions(**{"n" * 60: "v"})),
        record(MeasureName="é" * 128),
        record(MeasureValue="v" * 2048, MeasureValueType="VARCHAR"),
        multi(("a", "v" * 2039, "VARCHAR"), ("b", "1", "BIGINT"), ("c", "true", "BOOLEAN")),
        multi(*((f"m{n}", "1", "DOUBLE") for n in range(256))),
        multi(("é" * 128, "1", "BIGINT")),
    ],
)
def test_a_record_at_a_limit_is_taken(good):
    assert rejected(good) == []


def test_a_required_partition_key_must_be_there():
    reason = "The record does not contain the required partition key dimension rack."
    with_key = record(Dimensions=dimensions(rack="r"))
    assert rejected(with_key, record(), partition_key=KEY) == [RejectedRecord(1, reason)]
    assert rejected(record(), common={"Dimensions": dimensions(rack="r")}, partition_key=KEY) == []


@pytest.mark.parametrize(
    "key",
    [
        None,
        ({"Type": "MEASURE"},),
        ({"Type": "DIMENSION", "Name": "rack", "EnforcementInRecord": "OPTIONAL"},),
        ({"Type": "DIMENSION", "Name": "rack"},),
    ],
)
def test_no_other_partition_key_is_required(key):
    assert rejected(record(), partition_key=key) == []


def test_a_rejected_layout_leaves_no_columns():
    assert validate(request(record(MeasureName="m" * 257)), LIMITS, None).columns == []


# The usual request must not take the slow way: that is a matter of speed, which no other test would see.


@pytest.mark.parametrize(
    "usual",
    [
        request(*(multi(X, ("y", "2", "BIGINT"), ("s", "é", "VARCHAR"), Time=str(n)) for n in range(100))),
        request({"MeasureValue": "1"}, {"MeasureValue": "2"}, common=record(MeasureValue=None)),
        request({"Time": "1"}, {"Time": "2"}, common=multi(X, Time=None)),
        request(record(), multi(X), record(MeasureValue="True", MeasureValueType="BOOLEAN")),
    ],
)
def test_a_usual_request_goes_the_fast_way(usual):
    assert quick.read(usual, LIMITS, None) is not None
