"""Laws of validation: the fast way and the exact way are one meaning, and nothing but faults ever comes out."""

from __future__ import annotations

import gc
import json
import random
import tracemalloc
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from request_bodies import LIMITS, body, dimensions, multi, record

from headwater.errors import Invalid, InvalidShape, Malformed
from headwater.ingest import exact, parts, quick
from headwater.ingest.validate import validate
from headwater.wire import write_records
from headwater.wire.write_records import decode_write_records

KEYS = st.sampled_from([None, "host", "rack"])


def mostly(good: st.SearchStrategy, odd: st.SearchStrategy) -> st.SearchStrategy:
    return st.integers(0, 99).flatmap(lambda n: odd if 40 <= n < 44 else good)


NAMES = mostly(st.sampled_from(["x", "y", "z", "ü"]), st.sampled_from(["time", "a:b", "ts_q", "m" * 257, "é" * 129]))
DIMENSION_NAMES = mostly(st.sampled_from(["host", "rack", "az"]), st.sampled_from(["_a", "time", "n" * 61]))
DIMENSIONS = st.lists(
    st.fixed_dictionaries(
        {"Name": DIMENSION_NAMES, "Value": mostly(st.text(max_size=3), st.sampled_from(["v" * 2047, "é" * 1024]))}
    ),
    max_size=3,
    unique_by=lambda dimension: dimension["Name"],
)
TEXTS = {
    "DOUBLE": mostly(
        st.floats(allow_nan=False, allow_infinity=False).map(repr), st.sampled_from(["NaN", "1e400", "x"])
    ),
    "BIGINT": mostly(st.integers(-(2**63), 2**63 - 1).map(str), st.sampled_from(["1.0", str(2**63), "None"])),
    "BOOLEAN": mostly(st.sampled_from(["true", "False"]), st.just("1")),
    "VARCHAR": mostly(st.text(min_size=1, max_size=5), st.sampled_from(["é" * 1024, "é" * 1025, "v" * 2048])),
    "TIMESTAMP": mostly(st.integers(-(10**9), 10**9).map(str), st.sampled_from(["1.5", str(2**63), "9" * 30])),
    "MULTI": st.just("1"),
}
SCALARS = st.sampled_from(["DOUBLE", "BIGINT", "BOOLEAN", "VARCHAR"])
KINDS = mostly(st.sampled_from(["DOUBLE", "BIGINT", "BOOLEAN", "VARCHAR", "TIMESTAMP"]), st.just("MULTI"))
MEASURE = KINDS.flatmap(
    lambda kind: st.fixed_dictionaries({"Name": NAMES, "Value": TEXTS[kind], "Type": st.just(kind)})
)
MEASURES = st.lists(MEASURE, min_size=1, max_size=3, unique_by=lambda measure: measure["Name"])
TIMES = {
    "Time": mostly(st.integers(-(10**9), 10**9).map(str), st.sampled_from(["x", "9" * 30, str(2**63)])),
    "TimeUnit": st.sampled_from(["SECONDS", "MILLISECONDS", "MICROSECONDS", "NANOSECONDS"]),
    "Version": mostly(st.integers(1, 5), st.sampled_from([0, -1, 2**63 - 1])),
}
ANY_RECORD = st.fixed_dictionaries(
    {},
    optional={
        "Dimensions": DIMENSIONS,
        "MeasureName": NAMES,
        "MeasureValue": st.one_of(*TEXTS.values()),
        "MeasureValueType": KINDS | st.just("MULTI"),
        "MeasureValues": st.lists(MEASURE, max_size=3),
        **TIMES,
    },
)


GOOD_COMMON = st.fixed_dictionaries(
    {}, optional={"Dimensions": st.just([{"Name": "pool", "Value": "p"}]), "MeasureName": NAMES, **TIMES}
)


@st.composite
def good_records(draw: st.DrawFn) -> dict[str, Any]:
    """Records that are mostly in order: for requests in which most pass."""
    members = {"Time": draw(TIMES["Time"]), "MeasureName": draw(NAMES)}
    members |= draw(st.fixed_dictionaries({}, optional={name: TIMES[name] for name in ("TimeUnit", "Version")}))
    members["Dimensions"] = draw(DIMENSIONS.filter(bool)) if draw(st.booleans()) else [{"Name": "h", "Value": "1"}]
    if draw(st.booleans()):
        return members | {"MeasureValueType": "MULTI", "MeasureValues": draw(MEASURES)}
    kind = draw(SCALARS)
    return members | {"MeasureValueType": kind, "MeasureValue": draw(TEXTS[kind])}


@st.composite
def alike_records(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Multi-measure records of one shape, as a fleet sends them; sometimes one has another."""
    shape = draw(MEASURES)
    records = []
    for _ in range(draw(st.integers(2, 6))):
        values = [measure | {"Value": draw(TEXTS[measure["Type"]])} for measure in shape]
        values = draw(mostly(st.just(values), st.sampled_from([values[:1], values[::-1], values + values[:1]])))
        records.append(draw(good_records()) | {"MeasureValueType": "MULTI", "MeasureValues": values})
        records[-1].pop("MeasureValue", None)
    return records


BODIES = st.builds(
    lambda records, common: body(*records, common=common),
    alike_records() | st.lists(good_records(), min_size=1, max_size=5) | st.lists(ANY_RECORD, min_size=1, max_size=3),
    st.none() | GOOD_COMMON | ANY_RECORD,
)


def described(columns):
    """Columns as values that can be compared bit for bit."""
    return [
        (
            batch.layout,
            batch.index.tolist(),
            [series.key for series in batch.series],
            batch.time_ns.tolist(),
            batch.version.tolist(),
            [(v.dtype, v.tobytes()) if isinstance(v, np.ndarray) else v for v in batch.values],
        )
        for batch in columns
    ]


@settings(max_examples=800, deadline=None)
@given(text=BODIES, key=KEYS)
def test_the_fast_way_says_what_the_exact_way_says(text, key):
    try:
        request = decode_write_records(text, LIMITS)
    except InvalidShape:
        return
    fast = quick.read(request, LIMITS, key)
    try:
        columns, rejected = exact.read(request, LIMITS, key)
    except Invalid:
        assert fast is None
        return
    if fast is not None:
        assert described(fast) == described(columns)
        assert rejected == []
    assert sorted(
        [index for batch in columns for index in batch.index.tolist()] + [reject.index for reject in rejected]
    ) == list(range(len(request.records)))


@settings(max_examples=300, deadline=None)
@given(records=st.lists(good_records(), min_size=1, max_size=5), data=st.data())
def test_the_order_of_dimensions_and_attributes_is_of_no_meaning(records, data):
    def shuffled(members):
        turned = dict(members)
        for name in ("Dimensions", "MeasureValues"):
            if name in turned:
                turned[name] = data.draw(st.permutations(turned[name]))
        return turned

    def meaning(sent):
        try:
            validated = validate(decode_write_records(body(*sent), LIMITS), LIMITS, None)
        except Invalid:
            return None
        stored = {
            int(batch.index[row]): (
                batch.series[row].key,
                int(batch.time_ns[row]),
                int(batch.version[row]),
                {name: repr(value) for name, value in batch.row(row).items()},
            )
            for batch in validated.columns
            for row in range(len(batch))
        }
        return stored, validated.rejected

    assert meaning(records) == meaning([shuffled(members) for members in records])


def test_mutated_requests_raise_faults_only_and_leave_no_memory_behind():
    seeds = [
        body(record(), record(Version=7, TimeUnit="SECONDS"), common={"Dimensions": [{"Name": "az", "Value": 'ü"\\'}]}),
        body(multi(("x", "1.5", "DOUBLE"), ("s", "😀", "VARCHAR")), multi(("t", "5", "TIMESTAMP")), common={}),
        json.dumps(json.loads(body(record(), multi(("é", "1", "BIGINT")))), ensure_ascii=False).encode(),
    ]
    outcomes: dict[str, int] = {}
    tracemalloc.start()
    try:
        _play(seeds, 1500, random.Random(1), outcomes)
        before = _traced()
        _play(seeds, 3000, random.Random(2), outcomes)
        assert _traced() - before < 200_000
    finally:
        tracemalloc.stop()
    assert set(outcomes) == {"good", "Malformed", "InvalidShape", "Invalid"}
    assert min(outcomes.values()) > 30, outcomes


def _play(seeds: list[bytes], count: int, chance: random.Random, outcomes: dict[str, int]) -> None:
    for _ in range(count):
        try:
            validate(decode_write_records(_mutated(chance.choice(seeds), chance), LIMITS), LIMITS, None)
            outcome = "good"
        except (Malformed, InvalidShape, Invalid) as fault:
            outcome = type(fault).__name__
        outcomes[outcome] = outcomes.get(outcome, 0) + 1


def _mutated(text: bytes, chance: random.Random) -> bytes:
    """Structure or bytes of a body changed in a few places."""
    if chance.random() < 0.5:
        tree = json.loads(text)
        for _ in range(chance.randint(1, 3)):
            _change(tree, chance)
        return json.dumps(tree).encode()
    changed = bytearray(text)
    for _ in range(chance.randint(1, 3)):
        place = chance.randrange(len(changed))
        match chance.randrange(4):
            case 0:
                changed[place] = chance.randrange(256)
            case 1:
                del changed[place : place + chance.randint(1, 20)]
            case 2:
                other = chance.randrange(len(changed))
                changed[place:place] = changed[other : other + chance.randint(1, 30)]
            case _:
                changed[place:place] = chance.choice([b"[" * 2000, b'"', b"\\", b"null", b"1e999", b"\xff", b"\\ud800"])
    return bytes(changed)


def _change(tree: Any, chance: random.Random) -> None:
    """Replace, drop or add one member somewhere in a tree of JSON."""
    odd = ["", "x", "0", "-1", "9" * 25, "time", "a:b", None, 0, 1.5, 2**63, True, [], {}, [{}], "é" * 1025, "MULTI"]
    node = tree
    while isinstance(node, dict | list) and node:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = chance.choice(keys)
        if not isinstance(node[key], dict | list) or not node[key] or chance.random() < 0.15:
            match chance.randrange(3):
                case 0:
                    del node[key]
                case 1 if isinstance(node, dict):
                    node["Unknown"] = chance.choice(odd)
                case _:
                    node[key] = chance.choice(odd)
            return
        node = node[key]


def _traced() -> int:
    """Bytes that Python holds once the caches, which are bounded, are empty."""
    write_records._shared_list.cache_clear()
    parts.kept_known.cache_clear()
    parts._kept_dimension_names.cache_clear()
    parts.kept_multi_shape.cache_clear()
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def test_caches_keep_nothing_that_is_large():
    kept = (write_records._shared_list, parts.kept_known, parts.kept_multi_shape)
    small = decode_write_records(body(record()), LIMITS)
    validate(small, LIMITS, None)
    known = parts.kept_known(small.common_dimensions, "cpu", LIMITS)
    series_known = len(known)
    sizes = [cache.cache_info().currsize for cache in kept]
    for n in range(20):
        large = [{"Name": f"d{n}{place}", "Value": "v" * 100} for place in range(30)]
        decoded = decode_write_records(
            body(
                record(Dimensions=large),
                record(Dimensions=large, MeasureName=f"{n}" * 300),
                record(MeasureName=f"{n + 10}" * 300),
                multi((f"{n}" * 300, "1", "BIGINT"), Dimensions=large),
            ),
            LIMITS,
        )
        assert len(validate(decoded, LIMITS, None).rejected) == 4
    assert [cache.cache_info().currsize for cache in kept] == sizes
    assert len(known) == series_known


def test_all_identities_together_are_bounded(monkeypatch):
    monkeypatch.setattr(parts, "SERIES_MAX", 50)
    parts.kept_known.cache_clear()
    for n in range(300):
        sent = decode_write_records(body(record(MeasureName=f"m{n % 7}", Dimensions=dimensions(host=str(n)))), LIMITS)
        validate(sent, LIMITS, None)
    names = [f"m{n}" for n in range(7)]
    assert sum(len(parts.kept_known(sent.common_dimensions, name, LIMITS)) for name in names) < 50
