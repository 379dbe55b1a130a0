"""Literals with a type, and names of types. Pure; called by `binder_expressions` only. Source: sql.md 1.1, 6.3."""

from __future__ import annotations

from headwater.errors import Invalid
from headwater.model.types import Array, Field, Map, Row, Scalar, SqlType
from headwater.sql import tree
from headwater.sql.binder_context import fault, placed
from headwater.sql.bound import Literal
from headwater.sql.coercion import BIGINT_MAX, BIGINT_MIN, INT_MAX, INT_MIN
from headwater.sql.constant import Constant, combined
from headwater.sql.texts import parse_date, parse_duration, parse_interval, parse_time, parse_timestamp

_SCALARS = {kind.value: kind for kind in Scalar if kind is not Scalar.UNKNOWN} | {"int": Scalar.INTEGER}
_RANGES = {Scalar.INTEGER: (INT_MIN, INT_MAX), Scalar.BIGINT: (BIGINT_MIN, BIGINT_MAX)}


def type_of(node: tree.TypeName) -> SqlType:
    """The type a name stands for. Raises Invalid for one the dialect has not."""
    if isinstance(node, tree.ArrayType):
        return Array(type_of(node.element))
    if isinstance(node, tree.MapType):
        return Map(type_of(node.key), type_of(node.value))
    if isinstance(node, tree.RowType):
        return Row(tuple(Field(f.name, type_of(f.type)) for f in node.fields))
    kind = _SCALARS.get(node.name)
    if kind is None or len(node.arguments) > (kind is Scalar.VARCHAR):
        shown = f"{node.name}({', '.join(map(str, node.arguments))})" if node.arguments else node.name
        raise fault(node, f"Unknown type: {shown}")
    return kind


def bind_typed(node: tree.TypedLiteral, text: Constant) -> Literal:
    """`DATE '2024-02-29'`, `BIGINT '10'`."""
    kind = _SCALARS.get(node.type)
    if kind is None:
        raise fault(node, f"Unknown type: {node.type}")
    return placed(node, lambda: Literal(combined(("typed", kind), lambda value: _value(value, kind), (text,)), kind))


def _value(text: str, kind: Scalar) -> object:
    parse = {Scalar.DATE: parse_date, Scalar.TIME: parse_time, Scalar.TIMESTAMP: parse_timestamp}.get(kind)
    if parse is not None:
        return parse(text)
    if kind is Scalar.VARCHAR:
        return text
    try:
        return _plain_value(text, kind)
    except ValueError:
        raise Invalid(f"Cannot cast '{text}' to {kind.name}") from None


def _plain_value(text: str, kind: Scalar) -> object:
    """A boolean or number. Raises ValueError."""
    if kind is Scalar.BOOLEAN:
        return {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}[_known(text.lower())]
    if "_" in text:
        raise ValueError(text)
    if kind is Scalar.DOUBLE:
        return float(text)
    value = int(text)
    low, high = _RANGES.get(kind, (0, -1))
    if not low <= value <= high:
        raise ValueError(text)
    return value


def _known(text: str) -> str:
    if text not in ("true", "t", "1", "false", "f", "0"):
        raise ValueError(text)
    return text


def bind_interval(node: tree.IntervalLiteral, text: Constant) -> Literal:
    """`INTERVAL '2' DAY`."""
    sign = -1 if node.negative else 1
    _, kind = placed(node, lambda: parse_interval(node.text, node.start, node.end, sign))
    key = ("interval", node.start, node.end, sign)
    value = combined(key, lambda value: parse_interval(value, node.start, node.end, sign)[0], (text,))
    return Literal(value, kind)


def bind_short_interval(node: tree.ShortIntervalLiteral) -> Literal:
    """`15m`."""
    value, kind = placed(node, lambda: parse_duration(f"{node.number}{node.unit}"))
    return Literal(Constant(value), kind)
