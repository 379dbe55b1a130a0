"""Evaluates one function or operator on the real engine, as constants and as columns; used by tests of this folder."""

from __future__ import annotations

import atexit
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from headwater.engine.engine import Engine
from headwater.model.types import Array, Scalar, SqlType, Timeseries
from headwater.sql import functions
from headwater.sql.coercion import common_type_of, convert, engine_type, literal
from headwater.sql.constant import Constant
from headwater.sql.signature import Context, Modifiers, Resolved
from headwater.sql.texts import parse_date, parse_duration, parse_time, parse_timestamp

NOW_NS = parse_timestamp("2024-03-09 12:00:00.123456789")
CONTEXT = Context(Constant(NOW_NS))
ENGINE = Engine(threads=2, memory_bytes=1 << 30)


@atexit.register
def _close() -> None:
    """The engine's bindings complain at exit about every connection that something still refers to."""
    ENGINE.close()
    vars(ENGINE).clear()


@dataclass(frozen=True)
class Value:
    """A value of the dialect, as the engine holds it."""

    value: Any
    type: SqlType


def ts(text: str | None) -> Value:
    return Value(None if text is None else parse_timestamp(text), Scalar.TIMESTAMP)


def date(text: str) -> Value:
    return Value(parse_date(text), Scalar.DATE)


def time(text: str) -> Value:
    return Value(parse_time(text), Scalar.TIME)


def interval(text: str) -> Value:
    return Value(*parse_duration(text))


def big(value: int | None) -> Value:
    return Value(value, Scalar.BIGINT)


def null(kind: Scalar) -> Value:
    return Value(None, kind)


def series(*points: tuple[int, Any], kind: Scalar = Scalar.DOUBLE) -> Value:
    """A timeseries with instants in seconds."""
    return Value([{"t": t * 10**9, "v": v} for t, v in points], Timeseries(kind))


def value_of(given: Any) -> Value:
    """Python's value as one of the dialect: int is integer (bigint if it must), float double, list array."""
    if isinstance(given, Value):
        return given
    if isinstance(given, list):
        items = [value_of(item) for item in given]
        element = common_type_of([item.type for item in items], [None] * len(items))
        assert element is not None
        return Value([item.value for item in items], Array(element))
    if isinstance(given, bool):
        return Value(given, Scalar.BOOLEAN)
    if isinstance(given, int):
        return Value(given, Scalar.INTEGER if -(2**31) <= given < 2**31 else Scalar.BIGINT)
    kinds = {float: Scalar.DOUBLE, str: Scalar.VARCHAR, type(None): Scalar.UNKNOWN}
    return Value(given, kinds[type(given)])


def text_of(value: Value) -> str:
    if isinstance(value.type, Timeseries) and value.value is not None:
        points = ", ".join(f"{{'t': {p['t']}::BIGINT, 'v': {literal(p['v'], value.type.value)}}}" for p in value.value)
        return f"CAST([{points}] AS {engine_type(value.type)})"
    return literal(value.value, value.type)


def run(sql: str) -> list[Any]:
    """The first column of a statement."""
    return ENGINE.run(sql, {}, timeout_s=20).column(0).to_pylist()


Resolve = Callable[[Sequence[SqlType], Sequence[Constant | None]], Resolved]


def evaluate(resolve: Resolve, given: Sequence[Any], *, columns: bool) -> tuple[Any, Resolved]:
    """The value on the engine. With `columns`, arguments that are not strings are read from a table of one row."""
    values = [value_of(one) for one in given]
    # A series and what must be constant stay constants.
    constants = [None if isinstance(v.type, Timeseries) else Constant(v.value) for v in values]
    as_column = [columns and v.type is not Scalar.UNKNOWN and v.type is not Scalar.VARCHAR for v in values]
    constants = [None if column else constant for column, constant in zip(as_column, constants, strict=True)]
    resolved = resolve([v.type for v in values], constants)
    texts = [f"c{i}" if column else text_of(v) for i, (column, v) in enumerate(zip(as_column, values, strict=True))]
    converted = [
        convert(text, v.type, target, constant)
        for text, v, target, constant in zip(texts, values, resolved.argument_types, constants, strict=True)
    ]
    row = ", ".join(f"{text_of(v)} AS c{i}" for i, v in enumerate(values)) or "1 AS c0"
    lowered = resolved.lower(converted)
    table = ENGINE.run(f"SELECT {lowered} AS r, typeof({lowered}) AS t FROM (SELECT {row})", {}, timeout_s=20)
    found = table.column(0).to_pylist()[0]
    kind = table.column(1).to_pylist()[0]
    assert kind == engine_type(resolved.result), f"{resolved.name}: engine gives {kind} for {resolved.result}"
    return found, resolved


def same(found: Any, expected: Any) -> bool:
    """Equality in which NaN is NaN, -0.0 is not 0.0 and doubles are exact."""
    if isinstance(found, float) and isinstance(expected, float):
        return repr(found) == repr(expected)
    if isinstance(expected, list) and isinstance(found, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, tuple) and isinstance(found, dict):
        return same(list(found.values()), list(expected))
    return type(found) is type(expected) and bool(found == expected)


def call(name: str, *given: Any, columns: bool = False) -> Any:
    """A scalar function's value on the engine. Where it is known without it, both must agree."""
    found, resolved = evaluate(lambda t, c: functions.resolve(name, t, c, CONTEXT), given, columns=columns)
    if resolved.constant is not None:
        assert same(resolved.constant.value, found), f"{name} folds to {resolved.constant.value!r}, engine: {found!r}"
    return found


def agg(name: str, *columns: Sequence[Any], modifiers: Modifiers | None = None, constants: Sequence[Any] = ()) -> Any:
    """An aggregate over columns of values, then constants."""
    rows = list(zip(*columns, strict=True))
    kinds = []
    for column in columns:
        kind = common_type_of([value_of(v).type for v in column], [None] * len(column))
        assert kind is not None
        kinds.append(kind)
    fixed = [value_of(one) for one in constants]
    types = [*kinds, *(v.type for v in fixed)]
    known = [*(None for _ in kinds), *(Constant(v.value) for v in fixed)]
    resolved = functions.resolve(name, types, known, CONTEXT)
    own = [f"c{i}" for i in range(len(kinds))] + [text_of(v) for v in fixed]
    texts = [
        convert(text, kind, target, constant)
        for text, kind, target, constant in zip(own, types, resolved.argument_types, known, strict=True)
    ]
    lowered = resolved.lower(texts, modifiers or Modifiers())
    source = " UNION ALL ".join(
        "SELECT " + ", ".join(f"{text_of(Value(value_of(v).value, kinds[i]))} AS c{i}" for i, v in enumerate(row))
        for row in rows
    )
    table = ENGINE.run(f"SELECT {lowered} AS r, typeof({lowered}) AS t FROM ({source})", {}, timeout_s=20)
    if table.num_rows:
        assert table.column(1).to_pylist()[0] == engine_type(resolved.result), name
    found = table.column(0).to_pylist()
    return found if modifiers is not None and modifiers.over is not None else found[0]


def points(found: Any) -> Any:
    """A series as (seconds, value) pairs."""
    return None if found is None else [(p["t"] / 10**9, p["v"]) for p in found]


def is_close(found: float, expected: float) -> bool:
    return math.isclose(found, expected, rel_tol=1e-12, abs_tol=1e-12)


__all__ = [
    "CONTEXT",
    "ENGINE",
    "NOW_NS",
    "Value",
    "agg",
    "big",
    "call",
    "date",
    "evaluate",
    "interval",
    "is_close",
    "null",
    "points",
    "run",
    "same",
    "series",
    "text_of",
    "time",
    "ts",
    "value_of",
]
