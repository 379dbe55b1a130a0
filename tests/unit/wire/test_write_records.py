"""The hot shape: it is the service model's, it is strict, and the fast reader and the slow one agree."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import botocore
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import inspect

from headwater.errors import InvalidShape, Malformed
from headwater.model.limits import Limits
from headwater.wire import codec, write_records
from headwater.wire.write_records import DimensionList, RequestShape, decode_write_records

LIMITS = Limits()
SLOW = RequestShape[DimensionList | None]
RECORD = {
    "Dimensions": [{"Name": "host", "Value": "a", "DimensionValueType": "VARCHAR"}, {"Name": "rack", "Value": ""}],
    "MeasureName": "cpu",
    "MeasureValue": "1",
    "MeasureValueType": "DOUBLE",
    "Time": "1",
    "TimeUnit": "SECONDS",
    "Version": 1,
    "MeasureValues": [{"Name": "x", "Value": "1.5", "Type": "DOUBLE"}],
}


def body(*records, **members) -> bytes:
    return json.dumps({"DatabaseName": "d", "TableName": "t", "Records": list(records)} | members).encode()


def decode(text: bytes):
    return decode_write_records(text, LIMITS)


def violations(text: bytes) -> list[str]:
    with pytest.raises(InvalidShape) as caught:
        decode(text)
    return caught.value.violations


# The shape is the model's.


def model_shapes():
    path = Path(botocore.__file__).parent / "data/timestream-write/2018-11-01/service-2.json.gz"
    return json.loads(gzip.decompress(path.read_bytes()))["shapes"]


def of_model(shapes, name):
    """A shape of the service model, with all that it holds and all that constrains it."""
    shape = shapes[name]
    known = {"type", "members", "required", "member", "min", "max", "enum", "documentation"}
    assert set(shape) <= known, "the model has a constraint of a kind this test does not know"
    match shape["type"]:
        case "structure":
            required = set(shape.get("required", ()))
            return [(m, m in required, of_model(shapes, part["shape"])) for m, part in shape["members"].items()]
        case "list":
            return "list", shape.get("min"), shape.get("max"), of_model(shapes, shape["member"]["shape"])
        case "string" if "enum" in shape:
            return "enum", set(shape["enum"])
        case "string":
            return "string", shape.get("min"), shape.get("max")
        case other:
            return other, shape.get("min"), shape.get("max")


def of_ours(shape):
    """One of our shapes in the same words."""
    match shape:
        case inspect.UnionType(types=types):
            (only,) = [kind for kind in types if not isinstance(kind, inspect.NoneType)]
            return of_ours(only)
        case inspect.StructType(fields=fields):
            return [(field.encode_name, field.required, of_ours(field.type)) for field in fields]
        case inspect.ListType(item_type=item, min_length=low, max_length=high):
            return "list", low, high, of_ours(item)
        case inspect.LiteralType(values=values):
            return "enum", set(values)
        case inspect.StrType(min_length=low, max_length=high, pattern=None):
            return "string", low, high
        case inspect.IntType(ge=low, le=high) if (low, high) == (-(2**63), 2**63 - 1):
            return "long", None, None
    raise AssertionError(shape)


def test_the_shape_has_every_member_and_constraint_of_the_service_model_and_no_other():
    assert of_ours(inspect.type_info(SLOW)) == of_model(model_shapes(), "WriteRecordsRequest")


# Good bodies.


def test_all_members_are_read():
    request = decode(body(RECORD, {}, CommonAttributes=RECORD))
    assert (request.database, request.table, len(request.records)) == ("d", "t", 2)
    assert request.dimensions[0].pairs == request.common_dimensions.pairs == (("host", "a"), ("rack", ""))
    assert request.dimensions[1].pairs == ()
    for record in (request.common, request.records[0]):
        assert (record.measure_name, record.measure_value, record.measure_value_type) == ("cpu", "1", "DOUBLE")
        assert (record.time, record.time_unit, record.version) == ("1", "SECONDS", 1)
        assert [(m.name, m.value, m.type) for m in record.measure_values] == [("x", "1.5", "DOUBLE")]


def test_an_equal_dimension_list_is_the_same_object_also_in_another_request():
    first, second = decode(body(RECORD, RECORD)), decode(body(RECORD))
    assert first.dimensions[0] is first.dimensions[1] is second.dimensions[0]
    assert first.dimensions[0].is_shared


def test_a_long_dimension_list_is_not_kept():
    long = body({"Dimensions": [{"Name": "a", "Value": "v" * 3000}]})
    assert decode(long).dimensions[0] is not decode(long).dimensions[0]
    assert not decode(long).dimensions[0].is_shared


@pytest.mark.parametrize(
    "text",
    [
        body(RECORD, {}, CommonAttributes=RECORD),
        body({"MeasureName": 'quo"ted', "MeasureValue": '"back\\slash\\\\"'}, CommonAttributes={}),
        body({"MeasureName": "é😀", "Dimensions": [{"Name": '"\\"', "Value": "\\"}]}),
    ],
)
def test_a_usual_body_is_not_read_twice(text):
    assert write_records._quotes_in(text) == write_records._quotes_of(decode(text))


@pytest.mark.parametrize(
    "text",
    [
        body({}, Unknown={"Version": 1.5, "Records": [[]]}),
        body({"Unknown": "x", "Dimensions": [{"Name": "a", "Value": "b", "X": None}]}),
        body({"MeasureValues": [{"Name": "a", "Value": "b", "Type": "DOUBLE", "X": [1]}]}),
        body(dict.fromkeys(RECORD), CommonAttributes=None),
        body({}, CommonAttributes=dict.fromkeys(RECORD)),
        body({"MeasureName": 'quo"ted', "MeasureValue": 'back\\slash\\\\"'}),
        body({"Dimensions": [{"Name": '"', "Value": "\\"}]}),
        body({"MeasureName": "é😀"}),
        body({"MeasureName": "?"}).replace(b"?", "é😀".encode()),
        body(*[{}] * 100),
        body({"Dimensions": [{"Name": "a", "Value": "b"}] * 128}),
        body({"Time": "1" * 256, "MeasureValue": "é" * 2048}),
        body({"Version": 2**63 - 1}, {"Version": -(2**63)}),
        b' {"Records":[{}],"TableName":"t" ,\r\n\t"DatabaseName":""} ',
        body({}).replace(b'"Time', b'"\\u0054ime'),
    ],
)
def test_these_are_good(text):
    assert _outcome(decode, text) == _outcome(_decode_slowly, text)
    assert decode(text).database in ("d", "")


def test_a_version_never_goes_through_a_double():
    assert decode(body({"Version": 9007199254740993})).records[0].version == 9007199254740993
    assert decode(body({"Version": 9223372036854775807})).records[0].version == 2**63 - 1


# Bodies that are not such JSON.


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"{",
        body({})[:-1],
        body({}) + b"x",
        body({}).replace(b"d", b"\xff"),
        b"\xef\xbb\xbf" + body({}),
        body({}).decode().encode("utf-16"),
        body({}, X=0).replace(b"0", b"NaN"),
        body({}, X=0).replace(b"0", b"-Infinity"),
        body({}, X=0).replace(b"0", b"1e999"),
        body({}, X=0).replace(b"0", b"01"),
        body({}, X=0).replace(b"0", b"9223372036854775808"),
        body({}, X=0).replace(b"0", b"9" * 5000),
        body({}, X=0).replace(b"0", b"[" * 40 + b"]" * 40),
        body({}, X=0).replace(b"0", b"[" * 100_000),
        body({}, X=0).replace(b"0", b'"\xed\xa0\x80"'),
        body({}, X=0).replace(b"0", b'"\xff"'),
        body({}, X=0).replace(b"0", b'{"a":1,"a":1}'),
        body({}, X=0).replace(b"0", b'"a\nb"'),
        body({"MeasureName": "\ud800"}),
        body({"MeasureName": "\udc00\ud800"}),
        body({"Dimensions": [{"Name": "a", "Value": "\ud800"}]}),
        body({}, X="\ud800"),
        body({}).replace(b"{}", b'{"Time":"1","Time":"1"}'),
        body({}).replace(b"{}", b'{"Version":1,"Version":1}'),
        body({}).replace(b"{}", b'{"Dimensions":[],"Dimensions":[]}'),
        body({}).replace(b"{}", b'{"Dimensions":[{"Name":"a","Name":"b","Value":"c"}]}'),
        body({}).replace(b"{}", b'{"MeasureValues":[{"Name":"a","Value":"1","Type":"DOUBLE","Type":"DOUBLE"}]}'),
        body({}).replace(b'"TableName"', b'"DatabaseName": "e", "TableName"'),
        body({}).replace(b"{}", b'{"T\\u0069me":"1","Time":"1"}'),
        body({"Version": 1.0}),
        body({"Version": "1"}),
        body({"Version": True}),
        body({"Version": 2**63}),
        body({"Version": -(2**63) - 1}),
        body({"Version": 0}).replace(b"0", b"1e0"),
        body({"Time": 1}),
        body({"MeasureValue": 1.5}),
        body({"MeasureValueType": 1}),
        body({"Dimensions": {}}),
        body({"Dimensions": "x"}),
        body({"Dimensions": [None]}),
        body({"Dimensions": [{"Name": "a", "Value": 1}]}),
        body({"MeasureValues": {}}),
        body({"MeasureValues": [[]]}),
        body("x"),
        body(None),
        body({}, Records={}),
        body({}, CommonAttributes=[]),
        body({}, DatabaseName=1),
        # A wrong JSON type goes before constraints.
        body({"MeasureName": "", "Time": 1}),
    ],
    ids=lambda text: repr(text[-60:]),
)
def test_these_are_malformed(text):
    with pytest.raises(Malformed):
        decode(text)


# Constraints.


def test_the_text_is_the_services():
    with pytest.raises(InvalidShape) as caught:
        decode(body({"Dimensions": [{"Name": "a", "Value": "b", "DimensionValueType": "X"}]}))
    assert caught.value.message == (
        "1 validation error detected: Value 'X' at 'records.1.member.dimensions.1.member.dimensionValueType' "
        "failed to satisfy constraint: Member must satisfy enum value set: [VARCHAR]"
    )


TYPES = "Member must satisfy enum value set: [BIGINT, BOOLEAN, DOUBLE, MULTI, TIMESTAMP, VARCHAR]"
UNITS = "Member must satisfy enum value set: [MICROSECONDS, MILLISECONDS, NANOSECONDS, SECONDS]"
MINIMUM = "Member must have length greater than or equal to 1"
NOT_NULL = "Member must not be null"


@pytest.mark.parametrize(
    ("text", "path", "clause"),
    [
        (body(), "records", MINIMUM),
        (body(*[{}] * 101), "records", "Member must have length less than or equal to 100"),
        (body({}, DatabaseName=None), "databaseName", NOT_NULL),
        (body({}, TableName=None), "tableName", NOT_NULL),
        (body({}, Records=None), "records", NOT_NULL),
        (body({"MeasureName": ""}), "records.1.member.measureName", MINIMUM),
        (body({"MeasureValue": ""}), "records.1.member.measureValue", MINIMUM),
        (
            body({"MeasureValue": "x" * 2049}),
            "records.1.member.measureValue",
            "Member must have length less than or equal to 2048",
        ),
        (body({"MeasureValueType": "double"}), "records.1.member.measureValueType", TYPES),
        (body({}, {"Time": ""}), "records.2.member.time", MINIMUM),
        (body({"Time": "1" * 257}), "records.1.member.time", "Member must have length less than or equal to 256"),
        (body({"TimeUnit": "s"}), "records.1.member.timeUnit", UNITS),
        (
            body({"Dimensions": [{"Name": "a", "Value": "b"}] * 129}),
            "records.1.member.dimensions",
            "Member must have length less than or equal to 128",
        ),
        (
            body({"Dimensions": [{"Name": "", "Value": "b"}]}),
            "records.1.member.dimensions.1.member.name",
            MINIMUM,
        ),
        (body({"Dimensions": [{"Value": "b"}]}), "records.1.member.dimensions.1.member.name", NOT_NULL),
        (body({"Dimensions": [{"Name": "b"}]}), "records.1.member.dimensions.1.member.value", NOT_NULL),
        (
            body({"MeasureValues": [{"Name": "", "Value": "1", "Type": "DOUBLE"}]}),
            "records.1.member.measureValues.1.member.name",
            MINIMUM,
        ),
        (
            body({"MeasureValues": [{"Name": "a", "Value": "", "Type": "DOUBLE"}]}),
            "records.1.member.measureValues.1.member.value",
            MINIMUM,
        ),
        (
            body({"MeasureValues": [{"Name": "a", "Value": "é" * 2049, "Type": "DOUBLE"}]}),
            "records.1.member.measureValues.1.member.value",
            "Member must have length less than or equal to 2048",
        ),
        (
            body({"MeasureValues": [{"Name": "a", "Value": "1", "Type": "X"}]}),
            "records.1.member.measureValues.1.member.type",
            TYPES,
        ),
        (
            body({"MeasureValues": [{"Name": "a", "Value": "1"}]}),
            "records.1.member.measureValues.1.member.type",
            NOT_NULL,
        ),
        (
            body({}, CommonAttributes={"MeasureName": ""}),
            "commonAttributes.measureName",
            MINIMUM,
        ),
    ],
)
def test_a_broken_constraint_is_named(text, path, clause):
    (told,) = violations(text)
    assert told.endswith(f"at '{path}' failed to satisfy constraint: {clause}")


def test_all_broken_constraints_are_told_in_the_order_of_the_model():
    bad = {"MeasureValues": [{}], "TimeUnit": "", "Dimensions": [{"Name": ""}], "MeasureName": ""}
    text = body({}, bad, DatabaseName=None, CommonAttributes={"Time": ""})
    assert [told.split("'")[-2] for told in violations(text) if "'" in told] == [
        "databaseName",
        "commonAttributes.time",
        *(f"records.2.member.dimensions.1.member.{name}" for name in ("name", "value")),
        "records.2.member.measureName",
        "records.2.member.timeUnit",
        *(f"records.2.member.measureValues.1.member.{name}" for name in ("name", "value", "type")),
    ]


# The law: what the fast reader takes or refuses, the slow one does, with the same words.

SCALARS = st.sampled_from(["", "x", "DOUBLE", "SECONDS", "1", 'a"b', "\\", "é", "\ud800", None, 1, 2**63, 1.5, True])
JSON = st.recursive(
    SCALARS, lambda part: st.lists(part, max_size=2) | st.dictionaries(st.text(max_size=2), part, max_size=2)
)
DIMENSION = st.fixed_dictionaries(
    {"Name": st.just("a"), "Value": SCALARS},
    optional={"DimensionValueType": st.just("VARCHAR") | SCALARS, "Odd": JSON},
)
MEASURE = st.fixed_dictionaries(
    {"Name": st.just("m"), "Value": st.just("1.5") | SCALARS, "Type": st.just("DOUBLE") | SCALARS},
    optional={"Odd": JSON},
)
RECORDS = st.fixed_dictionaries(
    {},
    optional={
        "Dimensions": st.lists(DIMENSION, max_size=2) | st.none() | JSON,
        "MeasureName": st.just("cpu") | SCALARS,
        "MeasureValueType": st.just("MULTI") | SCALARS,
        "MeasureValues": st.lists(MEASURE, max_size=2) | JSON,
        "Time": st.just("1") | SCALARS,
        "Version": st.just(1) | SCALARS,
        "Odd": JSON,
    },
)


@settings(max_examples=1000, deadline=None)
@given(
    records=st.lists(RECORDS, max_size=3),
    common=st.none() | RECORDS,
    cut=st.none() | st.tuples(st.integers(0, 400), st.integers(0, 400), st.integers(0, 400)),
)
@example(records=[{"Dimensions": [{"Name": "a", "Value": "b"}]}], common=None, cut=None)
def test_the_fast_reader_and_the_slow_one_agree(records, common, cut):
    text = body(*records, CommonAttributes=common)
    if cut is not None:
        # A piece of the body once more in another place: doubles members, breaks strings and brackets.
        start, stop, place = (n % len(text) for n in cut)
        text = text[:place] + text[start:stop] + text[place:]
    assert _outcome(decode, text) == _outcome(_decode_slowly, text)


def _decode_slowly(text: bytes):
    return codec.decode(text, SLOW, LIMITS.json_depth)


def _outcome(read, text):
    """What a reader makes of a body: the members it has, or the fault and its words."""
    try:
        request = read(text)
    except (Malformed, InvalidShape) as fault:
        return type(fault), fault.message
    if isinstance(request, RequestShape):
        lists = [[(d.name, d.value) for d in record.dimensions or ()] for record in request.records]
        common, names = request.common_attributes, (request.database_name, request.table_name)
        common_list = [(d.name, d.value) for d in (common.dimensions or () if common else ())]
    else:
        lists = [list(dimensions.pairs) for dimensions in request.dimensions]
        common, names = request.common, (request.database, request.table)
        common_list = list(request.common_dimensions.pairs)
    return names, common_list, lists, _scalars(common), [_scalars(record) for record in request.records]


def _scalars(record):
    if record is None:
        return [None] * 6, []
    fields = ("measure_name", "measure_value", "measure_value_type", "time", "time_unit", "version")
    measures = [(m.name, m.value, m.type) for m in record.measure_values or ()]
    return [getattr(record, field) for field in fields], measures


def test_a_body_of_endless_violations_is_answered_quickly_and_shortly():
    body = b'{"DatabaseName":"d","TableName":"t","Records":[{"MeasureValues":[' + b",".join([b"{}"] * 100_000) + b"]}]}"
    with pytest.raises(InvalidShape) as caught:
        decode(body)
    assert len(caught.value.violations) == 100
    assert len(caught.value.message) < 40_000
