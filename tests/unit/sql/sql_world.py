"""The tables of sql.md section 10 with some data, and the shortest way from a statement to its answer.

Used by the tests of the binder, the pushdown and the lowering: `plan` compiles, `rows` runs the plan in the engine.
"""

from __future__ import annotations

import atexit
import random
from collections.abc import Iterator
from functools import cache
from typing import Any

import pyarrow as pa

from headwater.engine.engine import Engine
from headwater.model.limits import Limits
from headwater.model.scan import DimensionIn, Scan, ScanRequest
from headwater.model.table import Column, ColumnKind, Columns, MeasureType, TableId
from headwater.model.time import NS_PER_MINUTE, NS_PER_S
from headwater.model.types import Array, Row, Scalar, SqlType, Timeseries
from headwater.sql.compile import Plan, QueryPlan, compile_query

NOW = 1_709_985_600_000_000_000
"""2024-03-09 12:00:00"""

LIMITS = Limits()


def columns(dimensions: list[str], measures: dict[str, MeasureType], kind: ColumnKind) -> Columns:
    made = Columns()
    for name in dimensions:
        made = made.with_dimension(name)
    for name, measure_type in measures.items():
        made = made.with_measure(name, kind, measure_type)
    return made


D, B, F, V, T = (MeasureType[n] for n in ("DOUBLE", "BIGINT", "BOOLEAN", "VARCHAR", "TIMESTAMP"))
TABLES = {
    ("ops", "metrics"): columns(
        ["region", "az", "hostname"],
        {f"measure_value::{n}": t for n, t in (("double", D), ("bigint", B), ("varchar", V))},
        ColumnKind.MEASURE_VALUE,
    ),
    ("plant", "telemetry"): columns(
        ["site", "device_id", "model"],
        {"temperature": D, "pressure": D, "cycles": B, "fault": F, "serviced_at": T},
        ColumnKind.MULTI,
    ),
    ("media", "playback"): columns(
        ["device_type", "os_version", "region"],
        {"startup_ms": D, "rebuffer_ratio": D, "fps": D, "failures": B, "title": V},
        ColumnKind.MULTI,
    ),
    ("odd", "cases"): columns(["host", "Host"], {"a b": D, 'q"q': B}, ColumnKind.MULTI),
}


class Catalog:
    """`compile.Names` over TABLES."""

    def has_database(self, name: str) -> bool:
        return any(database == name for database, _ in TABLES)

    def table(self, database: str, name: str) -> tuple[TableId, Columns] | None:
        found = TABLES.get((database, name))
        return None if found is None else (TableId(f"{database}_{name}"), found)


def plan(text: str) -> Plan:
    return compile_query(text, Catalog(), NOW, LIMITS)


def query_plan(text: str) -> QueryPlan:
    made = plan(text)
    assert isinstance(made, QueryPlan)
    return made


Record = dict[str, Any]
"""One stored row by column name; a missing name is NULL."""


def _ops(chance: random.Random) -> Iterator[Record]:
    for minutes in range(0, 26 * 60, 7):
        for n in range(4):
            host = {"region": "eu", "az": f"eu-{n % 2}", "hostname": f"web-{n:02d}"}
            base = {**host, "time": NOW - minutes * NS_PER_MINUTE - n * NS_PER_S}
            yield {**base, "measure_name": "cpu_utilization", "measure_value::double": chance.uniform(0, 100)}
            if n != 3:
                yield {**base, "measure_name": "memory_utilization", "measure_value::double": chance.uniform(0, 9)}
            yield {**base, "measure_name": "net_bytes", "measure_value::bigint": chance.randrange(10**6)}
            yield {**base, "measure_name": "state", "measure_value::varchar": chance.choice(["up", "down"])}


def _plant(chance: random.Random) -> Iterator[Record]:
    for minutes in range(0, 8 * 24 * 60, 11):
        for n in range(5):
            if n == 4 and minutes < 120:
                continue
            yield {
                "site": f"s{n % 2}",
                "device_id": f"p-{15 + n}",
                "model": None if n == 1 else "m",
                "measure_name": "reading",
                "time": NOW - minutes * NS_PER_MINUTE - n * NS_PER_S,
                "temperature": chance.choice([None, chance.uniform(10, 30)]) if n == 1 else chance.uniform(10, 30),
                "pressure": chance.uniform(1, 5),
                "cycles": chance.randrange(100),
                "fault": chance.random() < 0.1,
                "serviced_at": NOW - chance.randrange(10**15),
            }


def _media(chance: random.Random) -> Iterator[Record]:
    for minutes in range(0, 15 * 24 * 60, 3):
        n = minutes % 5
        yield {
            "device_type": ["tv", "phone"][n % 2],
            "os_version": str(n % 3),
            "region": ["eu-west-1", "us-east-1"][n % 2 if n else 0],
            "measure_name": "qoe",
            "time": NOW - minutes * NS_PER_MINUTE,
            "startup_ms": chance.uniform(100, 900),
            "rebuffer_ratio": chance.random(),
            "fps": chance.uniform(15, 60),
            "failures": chance.choice([None, 0, 1, 2]),
            "title": f"t{n}",
        }


@cache
def records(table: TableId) -> list[Record]:
    chance = random.Random(7)  # the same data in every run
    made = {"ops_metrics": _ops, "plant_telemetry": _plant, "media_playback": _media}.get(table)
    return [] if made is None else [*made(chance)]


_ARROW = {
    Scalar.BOOLEAN: pa.bool_(),
    Scalar.BIGINT: pa.int64(),
    Scalar.DOUBLE: pa.float64(),
    Scalar.VARCHAR: pa.string(),
    Scalar.TIMESTAMP: pa.int64(),
}


def meets(request: ScanRequest, record: Record) -> bool:
    """Whether a record meets the conditions of a request: what a scan must answer at least."""
    in_time = request.time.start_ns <= record["time"] <= request.time.end_ns
    return in_time and all(_has(condition, record.get(condition.name)) for condition in request.dimensions)


def _has(condition: DimensionIn, value: str | None) -> bool:
    texts = pa.array([] if value is None else [value], pa.string())
    return value in condition.values or any(pattern.matched(texts).any() for pattern in condition.patterns)


def scan(request: ScanRequest, *, is_tight: bool) -> Scan:
    """The answer to a request, with all records of the table, or if `is_tight` only those it must have."""
    kept = [record for record in records(request.table) if not is_tight or meets(request, record)]

    def values(column: Column) -> pa.Array:
        return pa.array([record.get(column.name) for record in kept], _ARROW[column.type])

    return Scan(request, (pa.table({answer: values(column) for column, answer in request.columns}),), ())


@cache
def engine() -> Engine:
    made = Engine(threads=2, memory_bytes=1_000_000_000)
    atexit.register(made.close)
    return made


def rows(text: str, *, is_tight: bool = True) -> list[tuple[Any, ...]]:
    """The answer of a query, as Python's values; the types of the columns are held to be those of model/types.py."""
    made = query_plan(text)
    scans = {name: scan(request, is_tight=is_tight) for name, request in made.scans}
    answer = engine().run(made.sql, scans, timeout_s=60)
    assert [str(field.type) for field in answer.schema] == [arrow_type(column.type) for column in made.columns], (
        made.sql
    )
    return [*zip(*(column.to_pylist() for column in answer.columns), strict=True)]


def arrow_type(kind: SqlType) -> str:
    """The Arrow type that model/types.py gives for one of ours, as Arrow prints it."""
    if isinstance(kind, Array):
        return f"list<l: {arrow_type(kind.element)}>"
    if isinstance(kind, Timeseries):
        return f"list<l: struct<t: int64, v: {arrow_type(kind.value)}>>"
    if isinstance(kind, Row):
        return f"struct<{', '.join(f'f{i}: {arrow_type(f.type)}' for i, f in enumerate(kind.fields))}>"
    return _ARROW_TEXTS[kind]


_ARROW_TEXTS = {
    Scalar.BOOLEAN: "bool",
    Scalar.INTEGER: "int32",
    Scalar.BIGINT: "int64",
    Scalar.DOUBLE: "double",
    Scalar.VARCHAR: "string",
    Scalar.TIMESTAMP: "int64",
    Scalar.DATE: "int32",
    Scalar.TIME: "int64",
    Scalar.INTERVAL_DAY_TO_SECOND: "int64",
    Scalar.INTERVAL_YEAR_TO_MONTH: "int32",
    Scalar.UNKNOWN: "int32",
}
