"""The records that generated queries read: as a client writes them, and as the rows that must come of them.

Doubles are whole eighths, so that sums of them are exact in any order; none is NaN. Some bigints are beyond what a
double can hold. Every column but the time is missing somewhere, texts are awkward, times are on minutes and beside
them. A third of the records is written twice: an older version with other values comes first.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from headwater.model.time import NS_PER_S, parse_instant

NOW_NS = parse_instant("2024-03-09T12:00:00Z")
SPAN_S = 16 * 3600
"""Records are as old as this at most: they lie on two days."""

TEXTS = ("alpha", "Beta", "gamma%", "de_lta", "it's", " pad ", "42", "-7", "Ωmega", "zz", "a", "NULL")
HOSTS = ("h-0", "h-1", "h-2", "h-3", "H-1", "h-10")
REGIONS = ("eu", "us", "ap south")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class TableRows:
    """`types` by column: bigint, double, boolean, varchar, timestamp. `rows` have a value or None for each."""

    name: str
    types: dict[str, str]
    rows: list[Row]
    records: list[dict[str, Any]]
    """As members of WriteRecords, older versions first."""


class _Values:
    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def of(self, kind: str) -> Any:
        rng = self._rng
        match kind:
            case "double":
                return rng.choice([0.0, 0.125, -1.5, 100.0, rng.randint(-800, 800) / 8, rng.randint(-40, 40) / 8])
            case "bigint":
                return rng.choice([0, 1, -1, 7, rng.randint(-100, 100), rng.randint(-9, 9)])
            case "big":
                return rng.choice([2**53 + 1, -(2**53) - 1, 2**53, rng.randint(-(2**54), 2**54)])
            case "boolean":
                return rng.random() < 0.5
            case "varchar":
                return rng.choice(TEXTS)
            case _:
                return self.instant_ns()

    def instant_ns(self) -> int:
        rng = self._rng
        before_ns = rng.randint(1, SPAN_S // 60) * 60 * NS_PER_S
        return NOW_NS - before_ns + rng.choice([0, 0, 0, 1, 999_999_999, rng.randint(0, 60 * NS_PER_S - 1)])


POINTS = {"load": "double", "temp": "double", "n": "bigint", "big": "big", "ok": "boolean", "note": "varchar"}
POINTS |= {"seen": "timestamp"}
EVENTS = {"hits": "bigint", "ratio": "double", "state": "varchar", "up": "boolean"}


def make_tables(seed: int) -> list[TableRows]:
    rng = random.Random(seed)
    return [_points(rng, 90), _events(rng, 80), _few(rng)]


def _points(rng: random.Random, count: int) -> TableRows:
    """Several measures to a record."""
    dimensions = ("host", "region", "rack")
    types = dict.fromkeys((*dimensions, "measure_name"), "varchar") | {"time": "timestamp"}
    types |= {name: kind.replace("big", "bigint") if kind == "big" else kind for name, kind in POINTS.items()}
    values = _Values(rng)
    made: dict[tuple[Any, ...], tuple[Row, list[dict[str, Any]]]] = {}
    for _ in range(count):
        row: Row = dict.fromkeys(types)
        row |= {"host": rng.choice(HOSTS), "measure_name": rng.choice(["cpu", "mem"]), "time": values.instant_ns()}
        if rng.random() < 0.7:
            row["region"] = rng.choice(REGIONS)
        if rng.random() < 0.4:
            row["rack"] = rng.choice(["r1", "r2"])
        newest = _measures(rng, values)
        older = [_measures(rng, values)] if rng.random() < 0.3 else []
        versions = [_multi(row, dimensions, m, version) for version, m in enumerate([*older, newest], 1)]
        made[tuple(row[name] for name in (*dimensions, "measure_name", "time"))] = row | newest, versions
    return _table("points", types, list(made.values()))


def _measures(rng: random.Random, values: _Values) -> Row:
    return {name: values.of(kind) if rng.random() < 0.75 else None for name, kind in POINTS.items()} | {
        "load": values.of("double")
    }


def _events(rng: random.Random, count: int) -> TableRows:
    """One measure to a record, four types of them."""
    dimensions = ("host", "app")
    types = dict.fromkeys((*dimensions, "measure_name"), "varchar") | {"time": "timestamp"}
    types |= {f"measure_value::{kind}": kind for kind in ("double", "bigint", "varchar", "boolean")}
    values = _Values(rng)
    made: dict[tuple[Any, ...], tuple[Row, list[dict[str, Any]]]] = {}
    for _ in range(count):
        row: Row = dict.fromkeys(types)
        name = rng.choice(list(EVENTS))
        row |= {"host": rng.choice(HOSTS), "measure_name": name, "time": values.instant_ns()}
        if rng.random() < 0.6:
            row["app"] = rng.choice(["web", "db", "Web"])
        kind = EVENTS[name]
        newest = values.of(kind)
        older = [values.of(kind)] if rng.random() < 0.3 else []
        versions = [_single(row, dimensions, kind, value, version) for version, value in enumerate([*older, newest], 1)]
        key = tuple(row[name] for name in (*dimensions, "measure_name", "time"))
        made[key] = row | {f"measure_value::{kind}": newest}, versions
    return _table("events", types, list(made.values()))


def _few(rng: random.Random) -> TableRows:
    """Three records: what joins and windows make of almost nothing."""
    types = {"host": "varchar", "measure_name": "varchar", "time": "timestamp", "n": "bigint", "note": "varchar"}
    values = _Values(rng)
    made = []
    for host, n, note in (("h-1", 3, None), ("h-2", None, "alpha"), ("other", -1, "zz")):
        row = {"host": host, "measure_name": "m", "time": values.instant_ns(), "n": n, "note": note}
        made.append((row, [_multi(row, ("host",), {"n": n, "note": note}, 1)]))
    return _table("few", types, made)


def _table(name: str, types: dict[str, str], made: list[tuple[Row, list[dict[str, Any]]]]) -> TableRows:
    """Older versions of all records are written before any newer one."""
    records = [record for _, versions in made for record in versions]
    return TableRows(name, types, [row for row, _ in made], sorted(records, key=lambda record: record["Version"]))


def _common(row: Row, dimensions: tuple[str, ...], version: int) -> dict[str, Any]:
    named = [{"Name": name, "Value": row[name]} for name in dimensions if row[name] is not None]
    return {
        "Dimensions": named,
        "MeasureName": row["measure_name"],
        "Time": str(row["time"]),
        "TimeUnit": "NANOSECONDS",
        "Version": version,
    }


def _multi(row: Row, dimensions: tuple[str, ...], measures: Row, version: int) -> dict[str, Any]:
    kinds = POINTS | {"n": "bigint", "note": "varchar"}
    values = [
        {"Name": name, "Value": _sent(value), "Type": _type(kinds[name])}
        for name, value in measures.items()
        if value is not None
    ]
    return _common(row, dimensions, version) | {"MeasureValueType": "MULTI", "MeasureValues": values}


def _single(row: Row, dimensions: tuple[str, ...], kind: str, value: Any, version: int) -> dict[str, Any]:
    return _common(row, dimensions, version) | {"MeasureValueType": _type(kind), "MeasureValue": _sent(value)}


def _type(kind: str) -> str:
    return "BIGINT" if kind == "big" else kind.upper()


def _sent(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
