"""WriteRecords on a real store: versions, identity, conflicts and limits, wherever the stored records lie.

The tables of write-api.md 6.6, 6.7 and 8, row by row, in memory, after a flush, after a restart and after compaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from request_bodies import dimensions, multi
from request_bodies import record as any_record
from stored_records import LIVES, NOW_MS, IngestFolder

from headwater.errors import Invalid
from headwater.ingest.write import Ingested
from headwater.model.limits import Limits
from headwater.model.table import Retention
from headwater.model.time import NS_PER_MS

SAME = (
    "A record already exists with the same time, dimensions, measure name, and record version. "
    "A higher record version must be specified in order to update the measure value. "
    "Specifying record version is supported by the latest SDKs."
)
NOW = {"Time": str(NOW_MS)}
LATE = {"Time": str(NOW_MS - 10 * 3_600_000)}
HOST = (("host", "a"),)

Make = Callable[..., IngestFolder]


def lower(new: int, old: int) -> str:
    return (
        f"The record version {new} is lower than the existing version {old}. "
        "A higher version is required to update the measure value."
    )


def record(value: str = "1.5", **members: Any) -> dict[str, Any]:
    return any_record(**{"MeasureValue": value, **NOW, **members})


def attributes(*values: tuple[str, str, str], **members: Any) -> dict[str, Any]:
    return multi(*values, **{**NOW, **members})


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes the folder of a test, and closes it."""
    made: list[IngestFolder] = []

    def one(**how: Any) -> IngestFolder:
        made.append(IngestFolder(tmp_path, **how))
        return made[-1]

    yield one
    for folder in made:
        folder.close()


# Versions: what is stored, what comes, what is told, what stands. Source: write-api.md 6.6, in the order of its table.

VERSIONS = [
    ([], (None, "1"), None, "1"),
    ([], (5, "1"), None, "1"),
    ([(None, "1")], (None, "1"), None, "1"),
    ([(3, "13.5")], (3, "13.50"), None, "13.5"),
    ([(1, "1")], (None, "1"), None, "1"),
    ([(None, "1")], (None, "2"), (SAME, None), "1"),
    ([(7, "0.0")], (7, "-0.0"), (SAME, None), "0.0"),
    ([(7, "1")], (6, "1"), (lower(6, 7), 7), "1"),
    ([(7, "1")], (6, "2"), (lower(6, 7), 7), "1"),
    ([(7, "1")], (None, "2"), (lower(1, 7), 7), "1"),
    ([(7, "1")], (8, "2"), None, "2"),
    ([(None, "1")], (2**63 - 1, "2"), None, "2"),
    ([(7, "1"), (9, "1")], (8, "2"), (lower(8, 9), 9), "1"),
    ([(7, "1"), (9, "2")], (9, "1"), (SAME, None), "2"),
    ([(7, "1"), (9, "2"), (11, "3")], (11, "3"), None, "3"),
]


@pytest.mark.parametrize("life", LIVES)
@pytest.mark.parametrize("kind", ["single", "multi"])
def test_versions(make: Make, life: str, kind: str) -> None:
    """All cases at once, each with a series of its own, so that the folder settles but a few times."""
    folder = make(life=life)

    def one(case: int, version: int | None, value: str) -> dict[str, Any]:
        members = {"Dimensions": dimensions(case=str(case)), "Version": version}
        return record(value, **members) if kind == "single" else attributes(("x", value, "DOUBLE"), **members)

    for turn in range(3):
        before = [(case, stored[turn]) for case, (stored, *_) in enumerate(VERSIONS) if turn < len(stored)]
        assert folder.write(*[one(case, *sent) for case, sent in before]) == Ingested(len(before), 0)
        folder.settle()
    told = folder.told(*[one(case, *incoming) for case, (_, incoming, _, _) in enumerate(VERSIONS)])
    assert told == [(case, *reason) for case, (_, _, reason, _) in enumerate(VERSIONS) if reason]
    folder.settle()
    column = "measure_value::double" if kind == "single" else "x"
    assert folder.stored() == {
        ("cpu", NOW_MS * NS_PER_MS, (("case", str(case)),)): {column: float(after).hex()}
        for case, (_, _, _, after) in enumerate(VERSIONS)
    }


@pytest.mark.parametrize("life", LIVES)
def test_late_records_follow_the_same_rules_and_are_told_nothing(make: Make, life: str) -> None:
    folder = make(life=life, magnetic_writes=True)
    for version, value in [(5, "1"), (5, "2"), (4, "3"), (6, "4"), (5, "5")]:
        assert folder.write(record(value, Version=version, **LATE)) == Ingested(0, 1)
        folder.settle()
    ((_, values),) = folder.stored().items()
    assert values == {"measure_value::double": (4.0).hex()}


@pytest.mark.parametrize("life", LIVES)
def test_a_higher_version_replaces_the_set_of_attributes(make: Make, life: str) -> None:
    folder = make(life=life)
    a, b = ("a", "1", "BIGINT"), ("b", "x", "VARCHAR")
    folder.write(attributes(a, b))
    folder.settle()
    # Fewer attributes or others are another value; the same in another order are not.
    assert folder.told(attributes(a)) == [(0, SAME, None)]
    assert folder.told(attributes(a, b, ("c", "true", "BOOLEAN"))) == [(0, SAME, None)]
    assert folder.told(attributes(b, a)) == []
    folder.write(attributes(b, Version=2))
    folder.settle()
    assert list(folder.stored().values()) == [{"b": "x"}]
    assert folder.told(attributes(b, a, Version=2)) == [(0, SAME, None)]


# Identity: time, dimensions and measure name.


@pytest.mark.parametrize("life", LIVES)
def test_what_makes_no_other_record(make: Make, life: str) -> None:
    """The order of dimensions, where they are said, the unit of time, the type of the measure."""
    folder = make(life=life)
    both = dimensions(host="a", rack="r")
    folder.write(record("1", Dimensions=both))
    folder.settle()
    turned = record("2", Dimensions=both[::-1])
    parted = record("2", Dimensions=both[1:])
    as_ns = record("2", Dimensions=both, Time=str(NOW_MS * NS_PER_MS), TimeUnit="NANOSECONDS")
    as_s = record("2", Dimensions=both, Time=str(NOW_MS // 1000), TimeUnit="SECONDS")
    other_kind = attributes(("x", "1", "DOUBLE"), Dimensions=both)
    assert NOW_MS % 1000 == 0
    assert folder.told(turned, as_ns, as_s, other_kind) == [(index, SAME, None) for index in range(4)]
    assert folder.told(parted, common={"Dimensions": both[:1]}) == [(0, SAME, None)]
    assert list(folder.stored().values()) == [{"measure_value::double": (1.0).hex()}]


@pytest.mark.parametrize("life", LIVES)
def test_what_makes_another_record(make: Make, life: str) -> None:
    folder = make(life=life)
    folder.write(record("1"))
    folder.settle()
    others = [
        record("2", Dimensions=dimensions(host="A")),
        record("3", Dimensions=dimensions(host="a ")),
        record("4", Dimensions=dimensions(host="")),
        record("5", Dimensions=dimensions(Host="a")),
        record("6", Dimensions=dimensions(host="a", rack="")),
        record("7", MeasureName="Cpu"),
        record("8", Time=str(NOW_MS * NS_PER_MS + 1), TimeUnit="NANOSECONDS"),
        record("9", Dimensions=dimensions(host="e\u0301")),
        record("10", Dimensions=dimensions(host="\u00e9")),
        record("11", Dimensions=dimensions(host="a\0")),
    ]
    assert folder.write(*others) == Ingested(10, 0)
    folder.settle()
    assert len(folder.stored()) == 11
    assert folder.told(*others) == []
    assert len(folder.stored()) == 11


# One request: each record is judged by those before it.


def test_repeats_in_one_request(make: Make) -> None:
    folder = make()
    assert folder.told(record("1"), record("1"), record("2")) == [(2, SAME, None)]
    assert list(folder.stored().values()) == [{"measure_value::double": (1.0).hex()}]


@pytest.mark.parametrize("life", LIVES)
def test_records_of_one_identity_are_taken_in_order_of_index(make: Make, life: str) -> None:
    folder = make(life=life)
    sent = [
        record("1", Version=3),
        record("2", Version=2),
        attributes(("x", "3", "DOUBLE"), Version=4),
        record("4", Version=4),
        record("5", MeasureValueType="BIGINT", Version=5, MeasureName="other"),
        record("6", Version=6),
        attributes(("x", "3", "DOUBLE"), Version=6),
        attributes(("y", "3", "BIGINT"), Version=5),
        record("6.0", Version=6),
    ]
    assert folder.told(*sent) == [(1, lower(2, 3), 3), (3, SAME, None), (6, SAME, None), (7, lower(5, 6), 6)]
    folder.settle()
    assert folder.stored() == {
        ("cpu", NOW_MS * NS_PER_MS, HOST): {"measure_value::double": (6.0).hex()},
        ("other", NOW_MS * NS_PER_MS, HOST): {"measure_value::bigint": 5},
    }


# Columns: the first writer of a name decides what it is. Source: write-api.md 2, 6.7.

BIGINT = {"MeasureValueType": "BIGINT"}
FIRST_WINS = [
    (
        "a measure name has one type",
        [record("1"), record("2", Dimensions=dimensions(host="b"), **BIGINT)],
        [(1, "The measure cpu already exists with the type double.", None)],
    ),
    (
        "and the other way round",
        [record("2", Dimensions=dimensions(host="b"), **BIGINT), record("1")],
        [(1, "The measure cpu already exists with the type bigint.", None)],
    ),
    (
        "of a series that there is already too",
        [record("1"), record("2", Version=2, **BIGINT)],
        [(1, "The measure cpu already exists with the type double.", None)],
    ),
    (
        "an attribute has one type",
        [attributes(("x", "1", "DOUBLE")), attributes(("y", "1", "BIGINT"), ("x", "1", "BIGINT"), MeasureName="m")],
        [(1, "The measure x already exists with the type double.", None)],
    ),
    (
        "an attribute of the third layout against the first",
        [
            attributes(("x", "1", "VARCHAR")),
            attributes(("y", "1", "DOUBLE"), MeasureName="m"),
            attributes(("y", "1", "DOUBLE"), ("x", "true", "BOOLEAN"), MeasureName="n"),
            attributes(("x", "1", "VARCHAR"), MeasureName="o"),
        ],
        [(2, "The measure x already exists with the type varchar.", None)],
    ),
    (
        "a dimension is no attribute",
        [record(Dimensions=dimensions(x="1")), attributes(("x", "1", "DOUBLE"))],
        [(1, "The name x is already used by a dimension of the table.", None)],
    ),
    (
        "an attribute is no dimension",
        [attributes(("x", "1", "DOUBLE")), record(Dimensions=dimensions(x="1"))],
        [(1, "The name x is already used by a measure of the table.", None)],
    ),
    (
        "in the order of the request, not of layouts",
        [
            record("1"),
            attributes(("x", "1", "DOUBLE"), MeasureName="m"),
            record("2", Dimensions=dimensions(x="1")),
            attributes(("host", "1", "DOUBLE"), MeasureName="m"),
        ],
        [
            (2, "The name x is already used by a measure of the table.", None),
            (3, "The name host is already used by a dimension of the table.", None),
        ],
    ),
    (
        "a record at odds with itself",
        [attributes(("x", "1", "DOUBLE"), Dimensions=dimensions(x="1")), record(Dimensions=dimensions(x="1"))],
        [(0, "The name x is already used by a measure of the table.", None)],
    ),
    (
        "a rejected record leaves no columns",
        [
            attributes(("x", "1", "DOUBLE")),
            attributes(("x", "1", "BIGINT"), ("z", "1", "BIGINT"), MeasureName="m", Dimensions=dimensions(q="1")),
            attributes(("q", "1", "DOUBLE"), MeasureName="n"),
            record(Dimensions=dimensions(z="1")),
        ],
        [(1, "The measure x already exists with the type double.", None)],
    ),
    (
        "a measure name may be of one type and of multi-measure records",
        [record("1"), attributes(("x", "1", "DOUBLE"), Dimensions=dimensions(host="b"))],
        [],
    ),
    (
        "names of measures, attributes and dimensions are told apart by their case",
        [record("1"), record("2", MeasureName="CPU", **BIGINT), attributes(("Host", "1", "DOUBLE"), MeasureName="m")],
        [],
    ),
    (
        "a measure name is no column",
        [record("1", MeasureName="host"), attributes(("cpu", "1", "DOUBLE")), record("1", MeasureName="cpu")],
        [(2, SAME, None)],
    ),
]


@pytest.mark.parametrize(("records", "told"), [case[1:] for case in FIRST_WINS], ids=[case[0] for case in FIRST_WINS])
def test_the_first_of_a_request_wins(make: Make, records: list[dict[str, Any]], told: object) -> None:
    folder = make()
    assert folder.told(*records) == told
    # The same, one after the other: a request is judged as if its records came one by one.
    other = folder.new_table("one_by_one")
    alone = [(index, *rest) for index, one in enumerate(records) for _, *rest in folder.told(one, table="one_by_one")]
    assert alone == told
    assert folder.stored() == folder.stored(other)
    assert sorted(folder.columns()) == sorted(folder.columns(other))


@pytest.mark.parametrize("life", LIVES)
@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ([record("1")], record("2", Dimensions=dimensions(host="b"), **BIGINT), "The measure cpu already exists with"),
        ([attributes(("x", "1", "DOUBLE"))], attributes(("x", "1", "TIMESTAMP")), "The measure x already exists with"),
        ([record("1")], attributes(("host", "1", "DOUBLE")), "The name host is already used by a dimension"),
        (
            [attributes(("x", "1", "DOUBLE"))],
            record(Dimensions=dimensions(x="1")),
            "The name x is already used by a me",
        ),
    ],
)
def test_stored_columns_decide(
    make: Make, life: str, before: list[dict[str, Any]], after: dict[str, Any], reason: str
) -> None:
    folder = make(life=life)
    folder.write(*before)
    folder.settle()
    ((index, told, _),) = folder.told(after)
    assert index == 0
    assert told.startswith(reason)


# Limits of a table. Source: write-api.md 8.

SMALL = Limits(dimensions_per_table=2, measure_names_per_table=2, attributes_per_table=2)


@pytest.mark.parametrize("life", LIVES)
@pytest.mark.parametrize(
    ("kind", "within", "over"),
    [
        (
            "dimensions",
            [record(Dimensions=dimensions(a="1")), record(Dimensions=dimensions(b="1"))],
            [record(Dimensions=dimensions(c="1")), record(Dimensions=dimensions(a="1", c="1", b="2"))],
        ),
        (
            "measure names",
            [record(MeasureName="a"), record(MeasureName="b")],
            [record(MeasureName="c"), attributes(("x", "1", "DOUBLE"), MeasureName="d")],
        ),
        (
            "attributes",
            [attributes(("x", "1", "DOUBLE")), attributes(("y", "1", "DOUBLE"), MeasureName="m")],
            [attributes(("z", "1", "DOUBLE")), attributes(("y", "2", "DOUBLE"), ("z", "1", "DOUBLE"), MeasureName="m")],
        ),
    ],
)
def test_a_table_takes_no_more_than_its_limits(
    make: Make, life: str, kind: str, within: list[dict[str, Any]], over: list[dict[str, Any]]
) -> None:
    folder = make(life=life, limits=SMALL)
    reason = f"The record exceeds the maximum number of {kind} per table (2)."
    # In one request the first ones are taken, and in later ones those that bring nothing new.
    assert folder.told(*within, *over) == [(2, reason, None), (3, reason, None)]
    folder.settle()
    later = {"Time": str(NOW_MS + 1)}
    assert folder.told(*[one | later for one in (*over, *within)]) == [(0, reason, None), (1, reason, None)]
    assert len(folder.stored()) == 4


def test_at_their_defaults_too(make: Make) -> None:
    """128 dimensions and 1,024 attributes: in 256 of one record each. 8,192 names are a matter of the same lines."""
    folder = make()
    for first in range(0, 128, 16):
        folder.write(record(Dimensions=dimensions(**{f"d{n}": "v" for n in range(first, first + 16)})))
    assert folder.told(record(Dimensions=dimensions(d0="v", d128="v"))) == [
        (0, "The record exceeds the maximum number of dimensions per table (128).", None)
    ]
    for first in range(0, 1_024, 256):
        names = [f"a{n}" for n in range(first, first + 256)]
        folder.write(
            attributes(*((n, "true", "BOOLEAN") for n in names), Dimensions=dimensions(d0="1"), MeasureName=f"m{first}")
        )
    assert folder.told(attributes(("a1024", "1", "DOUBLE"), Dimensions=dimensions(d0="1"))) == [
        (0, "The record exceeds the maximum number of attributes per table (1024).", None)
    ]
    assert len(folder.columns()) == 128 + 2 + 1_024 + 1


def test_a_limit_is_told_beside_a_window_and_a_version_and_in_order(make: Make) -> None:
    folder = make(limits=SMALL)
    folder.write(record("1", MeasureName="a", Version=3), record(MeasureName="b"))
    told = folder.told(
        record("2", MeasureName="a", Version=2),
        record(MeasureName="c"),
        record(MeasureName="a", Time="1000"),
        record(MeasureName="m" * 257),
        record("9", MeasureName="b", Version=2),
    )
    window = (
        "The record timestamp is outside the time range [2023-12-31T17:45:00.000Z, 2024-01-01T00:25:00.000Z) of the "
    )
    assert told == [
        (0, lower(2, 3), 3),
        (1, "The record exceeds the maximum number of measure names per table (2).", None),
        (2, window + "memory store.", None),
        (3, "The measure name exceeds the maximum size of 256 bytes.", None),
    ]
    assert folder.stored()["b", NOW_MS * NS_PER_MS, HOST] == {"measure_value::double": (9.0).hex()}


def test_a_record_that_is_rejected_for_its_time_leaves_no_columns(make: Make) -> None:
    folder = make()
    folder.told(attributes(("x", "1", "DOUBLE"), Time="1000"))
    assert folder.columns() == [("measure_name", "varchar"), ("time", "timestamp")]


def test_the_future_limit_is_a_setting(make: Make) -> None:
    folder = make(limits=Limits(future_minutes=60), retention=Retention(1, 1))
    ahead = record(Time=str(NOW_MS + 3_600_000 - 1))
    assert folder.write(ahead) == Ingested(1, 0)
    ((_, reason, _),) = folder.told(ahead | {"Time": str(NOW_MS + 3_600_000)})
    assert reason.endswith(", 2024-01-01T01:10:00.000Z) of the memory store.")


# Nothing of a faulty request.


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_fault_of_the_request_writes_nothing(make: Make, place: int) -> None:
    folder = make()
    records = [record(), attributes(("x", "1", "DOUBLE"), MeasureName="m")]
    records.insert(place, record("1", MeasureName="n", Version=0))
    with pytest.raises(Invalid):
        folder.write(*records)
    assert folder.columns() == [("measure_name", "varchar"), ("time", "timestamp")]


# Values: what comes back is what was sent.

DOUBLES = ["5e-324", "-5e-324", "2.225073858507201e-308", "-0.0", "0", "-0", "1.7976931348623157e308", "0.1", "1e22"]
DOUBLES += ["9007199254740993", "-1.5", "4.9406564584124654e-324", "2.4703282292062327e-324", "+.5", "5.", "1E-5"]
BIGINTS = [str(2**63 - 1), str(-(2**63)), "9007199254740993", "-0", "+7", "007", "0"]
TEXTS = [
    "\0",
    "a\0b",
    "\x7f",
    "e\u0301\u0302",
    "\u00e9",
    "\U0010ffff",
    "👩‍👩‍👧",
    "\ufeff",
    "\u2028",
    " ",
    "\uffff",
    "\\u0000",
]
TEXTS += ["\ud7ff\ue000", "\u202e", "".join(map(chr, range(1, 256))), "\U0010ffff" * 512]
TIMES_NS = [NOW_MS * NS_PER_MS + n for n in (-1, 0, 1, 999_999, 1_000_001)]


@pytest.mark.parametrize("life", LIVES)
def test_values_come_back_bit_for_bit(make: Make, life: str) -> None:
    folder = make(life=life)
    values = [("d", "DOUBLE", text, float(text).hex()) for text in DOUBLES]
    values += [("b", "BIGINT", text, int(text)) for text in BIGINTS]
    values += [("v", "VARCHAR", text, text) for text in TEXTS]
    values += [("t", "TIMESTAMP", text, int(text)) for text in ("-9223372036854775808", "9223372036854775807", "0")]
    values += [("o", "BOOLEAN", text, text.lower() == "true") for text in ("true", "FALSE")]
    at_ns = {"Time": str(NOW_MS * NS_PER_MS), "TimeUnit": "NANOSECONDS"}
    sent = [
        attributes((name, text, kind), MeasureName=str(place), **at_ns)
        for place, (name, kind, text, _) in enumerate(values)
    ]
    folder.write(*sent)
    folder.settle()
    stored = folder.stored()
    for place, (name, _, text, expected) in enumerate(values):
        assert stored[str(place), NOW_MS * NS_PER_MS, HOST] == {name: expected}, text
    # And they are equal to themselves when they come again.
    assert folder.told(*sent) == []


@pytest.mark.parametrize("life", LIVES)
def test_names_dimensions_and_times_come_back_as_sent(make: Make, life: str) -> None:
    folder = make(life=life)
    sent = [
        record("1", Dimensions=dimensions(host=text[:300]), MeasureName=f"m {text[:60]}".replace(":", ";"))
        for text in TEXTS
    ]
    times = [record("1", MeasureName="times", Time=str(ns), TimeUnit="NANOSECONDS") for ns in TIMES_NS]
    folder.write(*sent, *times)
    folder.settle()
    assert set(folder.stored()) == {
        (one["MeasureName"], NOW_MS * NS_PER_MS, (("host", one["Dimensions"][0]["Value"]),)) for one in sent
    } | {("times", ns, HOST) for ns in TIMES_NS}
    assert folder.told(*sent, *times) == []
