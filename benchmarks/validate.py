"""What checking costs: CPU time from the bytes of one WriteRecords request to columns that can be stored.

`decoded` reads the JSON, merges common attributes, parses every value and builds the columns, and checks nothing; it
is written here, as fast as we know how, for good requests only. `checked` is the server's own way: the same, and all
limits, names, repeated members, types, versions and time windows. Both take turns in one run, and must give the same
columns. Validation is the difference; the aim is 20 % at most.

A request is 100 records with values of two decimals:
  fleet     MULTI, ten DOUBLEs; ten dimensions of its own; name, type and unit are common attributes
  repeated  the same, without common attributes: each record says all itself
  common    MULTI, ten DOUBLEs, all records of one host, whose dimensions are common attributes
  mixed     MULTI of all types: DOUBLE, BIGINT, BOOLEAN, VARCHAR, TIMESTAMP, two of each
  single    one DOUBLE; ten dimensions of its own
  twenty    MULTI, ten DOUBLEs; twenty dimensions
`cold` is the form `fleet` with series never seen before, so that no cache helps.

Run: python benchmarks/validate.py [seconds for each form]
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import chain
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from headwater.ingest import exact, quick
from headwater.ingest.routing import route
from headwater.ingest.validate import validate
from headwater.ingest.values import UNIT_NS
from headwater.model.limits import Limits
from headwater.model.record import Layout, RecordColumns, ValueColumn
from headwater.model.series import Series
from headwater.model.table import MeasureType, Retention, time_windows
from headwater.wire.write_records import decode_write_records

TAGS = {
    "region": ["us-east-1", "eu-central-1", "ap-southeast-2"],
    "datacenter": ["us-east-1a", "eu-central-1b", "ap-southeast-2a"],
    "rack": [str(n) for n in range(100)],
    "os": ["Ubuntu16.10", "Ubuntu16.04LTS", "Ubuntu15.10"],
    "arch": ["x64", "x86"],
    "team": ["SF", "NYC", "LON", "CHI"],
    "service": [str(n) for n in range(20)],
    "service_version": ["0", "1"],
    "service_environment": ["production", "staging", "test"],
}
METRICS = ["user", "system", "idle", "nice", "iowait", "irq", "softirq", "steal", "guest", "guest_nice"]
LIMITS = Limits()
FIRST_S = 1_767_225_600
NOW_NS = (FIRST_S + 3_600) * 10**9
RETENTION = Retention(24, 7)
FORMS = ("fleet", "repeated", "common", "mixed", "single", "twenty")


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    print(f"load average {os.getloadavg()[0]:.2f}; CPU time of one request, microseconds, best; ratio also as median")
    print(f"{'form':10}{'bytes':>8}{'decoded':>9}{'checked':>9}{'validation':>12}{'median':>8}{'exact way':>11}")
    for form in FORMS:
        bodies = [body(form, tick) for tick in range(8)]
        for text in bodies:
            assert_same(form, text)
        show(form, bodies, seconds)
    # More series than the caches hold, in turn: each is forgotten before it comes again.
    show("cold", [body("cold", tick) for tick in range(400)], seconds)


def show(form: str, bodies: list[bytes], seconds: float) -> None:
    plain_us, checked_us, median = compare(bodies, seconds)
    exact_us = min(time_us(exactly, bodies) for _ in range(3))
    print(
        f"{form:10}{sum(map(len, bodies)) // len(bodies):8}{plain_us:9.0f}{checked_us:9.0f}"
        f"{checked_us / plain_us - 1:12.1%}{median - 1:8.1%}{exact_us:11.0f}",
        flush=True,
    )


def compare(bodies: list[bytes], seconds: float) -> tuple[float, float, float]:
    """The best times of both ways in microseconds, and the median ratio of two rounds that follow each other."""
    plain: list[float] = []
    full: list[float] = []
    end = time.monotonic() + seconds
    while len(plain) < 3 or time.monotonic() < end:
        plain.append(time_us(decoded, bodies))
        full.append(time_us(checked, bodies))
    ratios = sorted(second / first for first, second in zip(plain, full, strict=True))
    return min(plain), min(full), ratios[len(ratios) // 2]


def time_us(way: Callable[[bytes], object], bodies: list[bytes]) -> float:
    start = time.process_time_ns()
    for text in bodies:
        way(text)
    return (time.process_time_ns() - start) / len(bodies) / 1000


def checked(text: bytes) -> list[RecordColumns]:
    """The server's way, from the body to the columns for the store and to the tier of each record."""
    validated = validate(decode_write_records(text, LIMITS), LIMITS, None)
    windows = time_windows(RETENTION, True, NOW_NS)
    return route(validated.columns, validated.rejected, windows, True).batches


def exactly(text: bytes) -> list[RecordColumns]:
    """The way of a request with a rejected record."""
    return exact.read(decode_write_records(text, LIMITS), LIMITS, None)[0]


# Decoding alone. The service's shapes without their constraints:


class _MeasureValue(msgspec.Struct, rename="pascal", gc=False):
    name: str
    value: str
    type: str


class _Record(msgspec.Struct, rename="pascal", gc=False, frozen=True):
    dimensions: msgspec.Raw = msgspec.Raw(b"[]")
    measure_name: str | None = None
    measure_value: str | None = None
    measure_value_type: str | None = None
    time: str | None = None
    time_unit: str | None = None
    version: int | None = None
    measure_values: list[_MeasureValue] | None = None


class _Request(msgspec.Struct, rename="pascal", gc=False, kw_only=True):
    database_name: str
    table_name: str
    common_attributes: _Record = _Record()
    records: list[_Record]


_decode = msgspec.json.Decoder(_Request).decode
_decode_dimensions = msgspec.json.Decoder(list[dict[str, str]]).decode
_decode_doubles = msgspec.json.Decoder(list[float]).decode
_decode_integers = msgspec.json.Decoder(list[int]).decode


def decoded(text: bytes) -> list[RecordColumns]:
    """The same columns of a request in which all is well and all records are of one layout; nothing is asked."""
    request = _decode(text)
    common, records = request.common_attributes, request.records
    shared = bytes(common.dimensions)
    series = [
        _series(shared, bytes(record.dimensions), record.measure_name or common.measure_name or "")
        for record in records
    ]
    units_ns = [UNIT_NS[record.time_unit or common.time_unit or "MILLISECONDS"] for record in records]
    texts = [record.time or common.time or "" for record in records]
    if len(set(texts)) == 1:
        times = np.full(len(texts), int(texts[0]) * units_ns[0], np.int64)
    else:
        times = np.array(_decode_integers(f"[{','.join(texts)}]"), np.int64) * units_ns[0]
    usual = 1 if common.version is None else common.version
    versions = [usual if record.version is None else record.version for record in records]
    layout, values = _values(common, records, units_ns)
    return [RecordColumns(layout, np.arange(len(records)), series, times, np.array(versions, np.int64), values)]


def _values(common: _Record, records: list[_Record], units_ns: list[int]) -> tuple[Layout, tuple[ValueColumn, ...]]:
    kind = records[0].measure_value_type or common.measure_value_type or "DOUBLE"
    if kind != "MULTI":
        texts = [record.measure_value or common.measure_value or "" for record in records]
        layout = _single(kind)
    else:
        shared = common.measure_values or []
        lists = [shared + (record.measure_values or []) for record in records]
        measures = list(chain.from_iterable(lists))
        texts = [measure.value for measure in measures]
        names, kinds = [measure.name for measure in measures], [measure.type for measure in measures]
        # To know that all records have the layout of the first is a part of decoding.
        count = len(lists[0])
        assert names == names[:count] * len(lists)
        assert kinds == kinds[:count] * len(lists)
        layout = _multi(tuple(names[:count]), tuple(kinds[:count]))
    types = [measure_type for _, measure_type in layout.columns]
    if len(set(types)) == 1:
        return layout, tuple(_read(types[0], texts, len(types), units_ns))
    columns: dict[int, ValueColumn] = {}
    for of in set(types):
        places = [place for place, measure_type in enumerate(types) if measure_type is of]
        of_type = [text for row in zip(*(texts[p :: len(types)] for p in places), strict=True) for text in row]
        columns |= dict(zip(places, _read(of, of_type, len(places), units_ns), strict=True))
    return layout, tuple([columns[place] for place in range(len(types))])


def _read(of: MeasureType, texts: list[str], columns: int, units_ns: list[int]) -> Iterable[ValueColumn]:
    """The columns of texts that stand record by record."""
    match of:
        case MeasureType.DOUBLE:
            return _columns(np.array(_decode_doubles(f"[{','.join(texts)}]")), columns)
        case MeasureType.BIGINT:
            return _columns(np.array(_decode_integers(f"[{','.join(texts)}]"), np.int64), columns)
        case MeasureType.TIMESTAMP:
            return _columns(np.array(_decode_integers(f"[{','.join(texts)}]"), np.int64) * units_ns[0], columns)
        case MeasureType.BOOLEAN:
            return _columns(np.array([text.lower() == "true" for text in texts]), columns)
        case MeasureType.VARCHAR:
            return [texts[place::columns] for place in range(columns)]


def _columns(values: npt.NDArray[Any], columns: int) -> Iterable[ValueColumn]:
    by_column: Iterable[ValueColumn] = np.ascontiguousarray(values.reshape(-1, columns).T)
    return by_column


@lru_cache(maxsize=32_768)
def _series(shared: bytes, own: bytes, measure_name: str) -> Series:
    pairs = [(one["Name"], one["Value"]) for text in (shared, own) for one in _decode_dimensions(text)]
    return Series(measure_name, tuple(pairs))


@lru_cache(maxsize=1_024)
def _single(kind: str) -> Layout:
    return Layout.single(MeasureType(kind))


@lru_cache(maxsize=1_024)
def _multi(names: tuple[str, ...], kinds: tuple[str, ...]) -> Layout:
    return Layout.multi(tuple(zip(names, map(MeasureType, kinds), strict=True)))


# Requests.


def body(form: str, tick: int) -> bytes:
    """One request; two ticks of a form differ in times and values, and in hosts where the form says so."""
    chance = random.Random(tick)
    first = tick * 100 if form == "cold" else 0
    records = []
    for place in range(100):
        record = {"Time": str(FIRST_S + 10 * tick + (place if form == "common" else 0))} | values(form, chance)
        if form != "common":
            record["Dimensions"] = dimensions(first + place, 20 if form == "twenty" else 10)
        records.append(record | kind(form) if form == "repeated" else record)
    members: dict[str, object] = {"DatabaseName": "bench", "TableName": "cpu", "Records": records}
    if form != "repeated":
        members["CommonAttributes"] = kind(form) | ({"Dimensions": dimensions(tick, 10)} if form == "common" else {})
    return json.dumps(members).encode()


def kind(form: str) -> dict[str, object]:
    of_value = {"MeasureValueType": "DOUBLE" if form == "single" else "MULTI"}
    return {"MeasureName": "cpu", "TimeUnit": "SECONDS"} | of_value


def values(form: str, chance: random.Random) -> dict[str, object]:
    if form == "single":
        return {"MeasureValue": _double(chance)}
    if form != "mixed":
        return {"MeasureValues": [_measure(f"usage_{name}", _double(chance), "DOUBLE") for name in METRICS]}
    return {
        "MeasureValues": [
            _measure("load", _double(chance), "DOUBLE"),
            _measure("idle", _double(chance), "DOUBLE"),
            _measure("requests", str(chance.randrange(10**6)), "BIGINT"),
            _measure("bytes", str(chance.randrange(10**12)), "BIGINT"),
            _measure("is_up", chance.choice(["true", "false"]), "BOOLEAN"),
            _measure("is_spare", chance.choice(["true", "false"]), "BOOLEAN"),
            _measure("state", chance.choice(["running", "draining", "stopped"]), "VARCHAR"),
            _measure("message", f"request {chance.randrange(10**6)} took {_double(chance)} ms", "VARCHAR"),
            _measure("started", str(FIRST_S - chance.randrange(10**6)), "TIMESTAMP"),
            _measure("seen", str(FIRST_S + chance.randrange(10**3)), "TIMESTAMP"),
        ]
    }


def _double(chance: random.Random) -> str:
    return repr(round(chance.uniform(0, 100), 2))


def _measure(name: str, value: str, of: str) -> dict[str, str]:
    return {"Name": name, "Value": value, "Type": of}


def dimensions(host: int, count: int) -> list[dict[str, str]]:
    chance = random.Random(host)
    pairs = {"hostname": f"host_{host}"} | {name: chance.choice(values) for name, values in TAGS.items()}
    pairs |= {f"label_{place}": f"value_{chance.randrange(10)}" for place in range(count - len(pairs))}
    return [{"Name": name, "Value": value} for name, value in pairs.items()]


def assert_same(form: str, text: bytes) -> None:
    """Both ways must give the same columns, and the server must have gone its fast way."""
    assert quick.read(decode_write_records(text, LIMITS), LIMITS, None) is not None, form
    for one, other in zip(decoded(text), checked(text), strict=True):
        assert one.layout == other.layout, form
        assert [series.key for series in one.series] == [series.key for series in other.series], form
        for mine, its in zip(_arrays(one), _arrays(other), strict=True):
            assert mine == its, form


def _arrays(of: RecordColumns) -> list[list[object]]:
    return [list(column) for column in (of.index, of.time_ns, of.version, *of.values)]


if __name__ == "__main__":
    main()
