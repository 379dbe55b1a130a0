"""Bodies of WriteRecords requests with something wrong in them, made after the service model; for test_write_fuzz.py.

A request begins as good records of a small pool, so that many meet in one series, time and version. Then up to three
of its places are changed. What can be done to a place follows from its shape in the model: its type, its lengths, its
enum. Last, some bodies are spoilt as bytes. What is drawn knows no clock: `Drawn.body` is told what time it is.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from botocore.model import ListShape, Shape, StructureShape
from hypothesis import strategies as st

from support.conformance import MODELS

REQUEST = MODELS["timestream-write"].operation_model("WriteRecords").input_shape
RECORD = REQUEST.members["CommonAttributes"]
TYPES = ("DOUBLE", "BIGINT", "BOOLEAN", "VARCHAR", "TIMESTAMP")
UNITS_PER_MS = {"SECONDS": (1, 1000), "MILLISECONDS": (1, 1), "MICROSECONDS": (1000, 1), "NANOSECONDS": (10**6, 1)}

MINUTE_MS = 60_000
AGES_MS = (0, 0, 0, 0, 1, -5 * MINUTE_MS, 180 * MINUTE_MS, 180 * MINUTE_MS, 90 * 1_440 * MINUTE_MS)
"""How old records are. For the tables of the test three hours is late, and ninety days too late."""


# What stands in a drawn request beside the values of JSON.


@dataclass(frozen=True)
class Raw:
    """JSON as it is to stand in the body, good or not."""

    text: str


@dataclass(frozen=True)
class Twice:
    """A member that is there twice."""

    value: Any


@dataclass(frozen=True)
class Age:
    """The time of a record, in its unit."""

    age_ms: int
    unit: str


@dataclass(frozen=True)
class Table:
    """The name of one of the test's tables."""

    index: int


@dataclass(frozen=True)
class Moment:
    """What a body is made for."""

    now_ms: int
    tables: Sequence[str]


# Good records.

GOOD_TEXTS = {
    "DOUBLE": ("1.5", "-0.0", "0", "4.9e-324", "1.7976931348623157e308", "13.50", "1E5", ".5"),
    "BIGINT": ("0", "-1", "+7", str(2**63 - 1), str(-(2**63))),
    "BOOLEAN": ("true", "false", "True"),
    "VARCHAR": ("a", "ü", "😀", 'a"b\\c', "\x00", " ", "v" * 2048),
    "TIMESTAMP": ("0", "1700000000", "-1"),
}
HOSTS = ("a", "é")


def _good_record(chance: random.Random) -> dict[str, Any]:
    unit = chance.choice([None, *UNITS_PER_MS])
    record: dict[str, Any] = {
        "Dimensions": [{"Name": "host", "Value": chance.choice(HOSTS)}],
        "Time": Age(chance.choice(AGES_MS), unit or "MILLISECONDS"),
    }
    if chance.random() < 0.3:
        record["Dimensions"].insert(chance.randrange(2), {"Name": "rack", "Value": "", "DimensionValueType": "VARCHAR"})
    if unit is not None:
        record["TimeUnit"] = unit
    if chance.random() < 0.5:
        record["Version"] = chance.choice([1, 2, 3, 2**63 - 1])
    if chance.random() < 0.5:
        kind = chance.choice(TYPES[:4])
        value = chance.choice(GOOD_TEXTS[kind])
        return {**record, "MeasureName": f"m_{kind}", "MeasureValue": value, "MeasureValueType": kind}
    kinds = chance.sample(TYPES, chance.randint(1, 4))
    values = [{"Name": f"x_{kind}", "Value": chance.choice(GOOD_TEXTS[kind]), "Type": kind} for kind in kinds]
    # Two longest texts are more than a record may hold: such ones are rejected.
    return {**record, "MeasureName": "multi", "MeasureValueType": "MULTI", "MeasureValues": values}


_CHANCE = random.Random(1)
POOL = [_good_record(_CHANCE) for _ in range(150)]
COMMONS = [
    *(None, None, None),
    {},
    {"Dimensions": [{"Name": "pool", "Value": "p"}]},
    {"Time": Age(0, "SECONDS"), "TimeUnit": "SECONDS"},
    {"Version": 2, "MeasureName": "common", "MeasureValueType": "BIGINT", "MeasureValue": "5"},
    {"MeasureValueType": "MULTI", "MeasureValues": [{"Name": "y", "Value": "1", "Type": "DOUBLE"}]},
]


# What can be done to a member.

ODD_TEXTS = (
    *("", " ", "x", "a:b", "time", "measure_name", "measure_value::double", "ts_x", "_a", "a_", "1a", "host", "rack"),
    *("None", "null", "NaN", "Infinity", "-inf", "1e400", "1e-400", "0x10", "1_0", "1,5", "٣", "1.0", " 1", "+", "--1"),
    *("0", "-0", "9" * 25, str(2**63), str(-(2**63) - 1), "1" * 256, "1" * 257, "0" * 5000 + "1"),
    *("TRUE", "yes", "double", "MULTI", "TIMESTAMP", "é" * 1024, "é" * 1025, "v" * 2049, "n" * 60, "n" * 61),
    *("\x00", "\ud800", "\udc00\ud800", "😀", "\u202e", "\ufeff", "é", "ﬁ", "a\nb"),
)
ODD_NUMBERS = (0, -1, 1, 2, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**30, 1.0, 1.5, -0.0, 1e308)
ODD_JSON = (
    *(None, True, [], {}, [[]], [None], {"Name": None}, "text", 7, 1.5),
    *(Raw("NaN"), Raw("-Infinity"), Raw("1e999"), Raw("01"), Raw("tru"), Raw("9" * 6000), Raw("[" * 40 + "]" * 40)),
    *(Raw("[" * 3000), Raw('{"a":' * 3000), Raw('{"a":1,"a":2}'), Raw('"\\ud800"'), Raw('"\\x"'), Raw("'a'"), Raw("")),
)


@dataclass(frozen=True)
class Place:
    """A member or an element of a request: `parent[key]`, which the model says has `shape`."""

    parent: Any
    key: str | int
    shape: Shape


def places(value: Any, shape: Shape) -> Iterator[Place]:
    """All places of a request, from the top."""
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        below = [(name, shape.members[name]) for name in value if name in shape.members]
    elif isinstance(shape, ListShape) and isinstance(value, list):
        below = [(place, shape.member) for place in range(len(value))]
    else:
        return
    for key, member in below:
        yield Place(value, key, member)
        yield from places(value[key], member)


def odd_value(draw: st.DrawFn, at: Place) -> None:
    at.parent[at.key] = draw(st.sampled_from(ODD_JSON))


def drop(draw: st.DrawFn, at: Place) -> None:
    del at.parent[at.key]


def twice(draw: st.DrawFn, at: Place) -> None:
    """The same member again in its structure, or the same element again in its list."""
    value = at.parent[at.key]
    if isinstance(at.parent, list):
        at.parent.insert(at.key, deepcopy(value))
    else:
        at.parent[at.key] = Twice(value)


def odd_text(draw: st.DrawFn, at: Place) -> None:
    at.parent[at.key] = draw(st.sampled_from(ODD_TEXTS))


def text_at_a_limit(draw: st.DrawFn, at: Place) -> None:
    limits = [at.shape.metadata[name] for name in ("min", "max") if name in at.shape.metadata] or [256]
    at.parent[at.key] = "n" * max(0, draw(st.sampled_from(limits)) + draw(st.integers(-1, 1)))


def other_enum(draw: st.DrawFn, at: Place) -> None:
    values = at.shape.metadata.get("enum", ["VARCHAR"])
    at.parent[at.key] = draw(st.sampled_from([*values, values[0].lower(), f" {values[0]}"]))


def odd_number(draw: st.DrawFn, at: Place) -> None:
    at.parent[at.key] = draw(st.sampled_from(ODD_NUMBERS))


def list_at_a_limit(draw: st.DrawFn, at: Place) -> None:
    """The elements again and again: at the model's limit, one over it, or one over the 256 of measures; or none."""
    most = at.shape.metadata.get("max", 256)
    elements = at.parent[at.key]
    if isinstance(elements, list) and elements:
        count = draw(st.sampled_from([0, most, most + 1]))
        grown = [deepcopy(elements[place % len(elements)]) for place in range(count)]
        if at.shape.member.name != RECORD.name and draw(st.booleans()):
            # With names of their own, so that it is the number alone that is wrong.
            for place, element in enumerate(grown):
                if isinstance(element, dict):
                    element["Name"] = f"n{place}"
        at.parent[at.key] = grown


def turned_round(draw: st.DrawFn, at: Place) -> None:
    if isinstance(at.parent[at.key], list):
        at.parent[at.key].reverse()


def unknown_member(draw: st.DrawFn, at: Place) -> None:
    if isinstance(at.parent[at.key], dict):
        at.parent[at.key][draw(st.sampled_from(["Unknown", "time", "", "\ud800"]))] = draw(st.sampled_from(ODD_JSON))


CHANGES: dict[str, tuple[Callable[[st.DrawFn, Place], None], ...]] = {
    "string": (odd_text, odd_text, odd_text, odd_text, text_at_a_limit, other_enum, other_enum, odd_value, drop, twice),
    "long": (odd_number, odd_number, odd_number, odd_value, drop, twice),
    "list": (list_at_a_limit, list_at_a_limit, turned_round, turned_round, odd_value, drop, twice),
    "structure": (unknown_member, unknown_member, odd_value, drop, drop, twice),
}
"""By the type of the model's shape."""


def overlap(draw: st.DrawFn, request: dict[str, Any]) -> None:
    """A member of a record in the common attributes as well."""
    record, common = request.get("Records"), request.get("CommonAttributes")
    if isinstance(record, list) and record and isinstance(record[0], dict) and isinstance(common, dict):
        name = draw(st.sampled_from(list(RECORD.members)))
        if name in record[0]:
            common[name] = deepcopy(record[0][name])
            if draw(st.booleans()):
                del record[0][name]


# From a request to bytes.


def as_json(value: Any, at: Moment) -> str:
    match value:
        case Raw(text):
            return text
        case Age(age_ms, unit):
            factor, divisor = UNITS_PER_MS[unit]
            return json.dumps(str((at.now_ms - age_ms) * factor // divisor))
        case Table(index):
            return json.dumps(at.tables[index])
        case dict():
            return "{" + ",".join(_member(name, member, at) for name, member in value.items()) + "}"
        case list():
            return "[" + ",".join(as_json(element, at) for element in value) + "]"
    return json.dumps(value)


def _member(name: str, value: Any, at: Moment) -> str:
    if isinstance(value, Twice):
        return f"{_member(name, value.value, at)},{_member(name, value.value, at)}"
    return f"{json.dumps(name)}:{as_json(value, at)}"


SPOILT: tuple[Callable[[bytes, int], bytes], ...] = (
    lambda body, place: body[:place],
    lambda body, place: body[place:],
    lambda body, place: body[:place] + b"\xff" + body[place:],
    lambda body, place: body[:place] + b"\x00" + body[place:],
    lambda body, place: body[:place] + body[place + 1 :],
    lambda body, place: body[:place] + body[place // 2 : place] + body[place:],
    lambda body, place: b"\xef\xbb\xbf" + body,
    lambda body, place: body.decode().encode("utf-16"),
    lambda body, place: b" \n" * 500 + body + b"\t" * 500,
    lambda body, place: body + body,
    lambda body, place: b"",
)


@dataclass(frozen=True)
class Drawn:
    """A request that was drawn."""

    request: Any
    spoil: Callable[[bytes, int], bytes] | None
    place: int

    def body(self, at: Moment) -> bytes:
        body = as_json(self.request, at).encode("utf-8", "surrogatepass")
        return body if self.spoil is None else self.spoil(body, self.place % (len(body) + 1))


@st.composite
def drawn_requests(draw: st.DrawFn, tables: int) -> Drawn:
    request: dict[str, Any] = {
        "DatabaseName": "fuzz",
        "TableName": Table(draw(st.integers(0, tables - 1))),
        "Records": deepcopy(draw(st.lists(st.sampled_from(POOL), min_size=1, max_size=4))),
    }
    common = draw(st.sampled_from(COMMONS))
    if common is not None:
        request["CommonAttributes"] = deepcopy(common)
        if draw(st.booleans()):
            overlap(draw, request)
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 1, 2, 3]))):
        found = list(places(request, REQUEST))
        if draw(st.integers(0, 9)):
            # Requests that find no table end early, so there shall be few.
            found = [at for at in found if at.key not in ("DatabaseName", "TableName")]
        if found:
            at = found[draw(st.integers(0, len(found) - 1))]
            draw(st.sampled_from(CHANGES[at.shape.type_name]))(draw, at)
    spoil = draw(st.sampled_from(SPOILT)) if draw(st.integers(0, 19)) == 0 else None
    return Drawn(request, spoil, draw(st.integers(0, 4000)) if spoil else 0)
