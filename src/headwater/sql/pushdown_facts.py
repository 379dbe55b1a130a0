"""What a condition says about single columns: the instants or the texts they must be among. Pure.

Called by `pushdown`. A fact is a promise in one direction: rows that meet the condition meet the fact, never the other
way round. No fact holds for NULL, so a fact about a column also says that it is not NULL.

`values` are those of the literals of the text, and the instant: what constants are computed from (constant.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from headwater.model.scan import TimeRange
from headwater.model.time import NS_PER_DAY, TIME_MAX_NS, TIME_MIN_NS
from headwater.model.types import Scalar
from headwater.sql.bound import Call, Cast, Expression, Literal, Logical, SlotRef
from headwater.sql.bound_walk import conjuncts

Fact = TimeRange | frozenset[str]
Facts = dict[str, Fact]
"""By slot name. A slot that is not there may have any value."""

NEVER = TimeRange(1, 0)


def facts_of(condition: Expression, values: Sequence[Any]) -> Facts:
    """What holds of every row for which `condition` is true."""
    if isinstance(condition, Logical):
        below = [facts_of(operand, values) for operand in condition.operands]
        return both(below) if condition.operator == "AND" else either(below)
    if isinstance(condition, Call):
        return _compared(condition, values)
    return {}


def both(many: Iterable[Facts]) -> Facts:
    """What holds where all of these hold."""
    result: Facts = {}
    for facts in many:
        for name, fact in facts.items():
            result[name] = _intersected(result[name], fact) if name in result else fact
    return result


def either(many: Iterable[Facts]) -> Facts:
    """What holds where at least one of these holds."""
    first, *rest = many
    result = first
    for facts in rest:
        result = {name: _united(fact, facts[name]) for name, fact in result.items() if name in facts}
    return result


def _intersected(left: Fact, right: Fact) -> Fact:
    if isinstance(left, TimeRange):
        assert isinstance(right, TimeRange)
        return left.intersect(right)
    assert isinstance(right, frozenset)
    return left & right


def _united(left: Fact, right: Fact) -> Fact:
    if isinstance(left, TimeRange):
        assert isinstance(right, TimeRange)
        if left.start_ns > left.end_ns:
            return right
        if right.start_ns > right.end_ns:
            return left
        return TimeRange(min(left.start_ns, right.start_ns), max(left.end_ns, right.end_ns))
    assert isinstance(right, frozenset)
    return left | right


def equal_columns(condition: Expression) -> Iterator[tuple[str, str]]:
    """Pairs of columns that are equal wherever `condition` is true."""
    for part in conjuncts(condition):
        if isinstance(part, Call) and part.name == "=":
            left, right = part.arguments
            if isinstance(left, SlotRef) and isinstance(right, SlotRef):
                yield left.slot.name, right.slot.name


def spread(facts: Facts, pairs: Iterable[tuple[str, str]]) -> Facts:
    """`facts` told of both columns of each pair."""
    result = dict(facts)
    for left, right in pairs:
        known = [{left: result[name], right: result[name]} for name in (left, right) if name in result]
        result.update(both(known))
    return result


# Comparisons

_FLIPPED = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def _compared(call: Call, values: Sequence[Any]) -> Facts:
    if call.name in _FLIPPED:
        left, right = call.arguments
        if isinstance(right, Literal):
            return _fact(left, call.name, [right], values)
        return _fact(right, _FLIPPED[call.name], [left], values) if isinstance(left, Literal) else {}
    if call.name == "between":
        value, low, high = call.arguments
        known = [(">=", low), ("<=", high)]
        return both(_fact(value, symbol, [bound], values) for symbol, bound in known if isinstance(bound, Literal))
    if call.name == "in":
        value, *items = call.arguments
        literals = [item for item in items if isinstance(item, Literal)]
        return _fact(value, "=", literals, values) if len(literals) == len(items) else {}
    return {}


def _fact(value: Expression, symbol: str, literals: list[Literal], values: Sequence[Any]) -> Facts:
    """`value symbol` one of `literals`. NULL compares true with nothing."""
    known = [at for literal in literals if (at := literal.constant.at(values)) is not None]
    if value.type is Scalar.VARCHAR:
        return {value.slot.name: frozenset(known)} if isinstance(value, SlotRef) and symbol == "=" else {}
    if value.type not in (Scalar.TIMESTAMP, Scalar.DATE):
        return {}
    return preimage(value, _range(symbol, known), values)


def _range(symbol: str, values: list[int]) -> TimeRange:
    """The values, as `value` has them, among which the comparison is true."""
    if not values:
        return NEVER
    low = min(values) + (symbol == ">") if symbol in ("=", ">", ">=") else TIME_MIN_NS
    high = max(values) - (symbol == "<") if symbol in ("=", "<", "<=") else TIME_MAX_NS
    return TimeRange(low, high)


def preimage(value: Expression, wanted: TimeRange, values: Sequence[Any]) -> Facts:
    """What the column inside `value` must be for `value` to lie in `wanted`; nothing if that cannot be said."""
    if wanted.start_ns > wanted.end_ns:
        wanted = NEVER
    if isinstance(value, SlotRef):
        return {value.slot.name: wanted} if value.type is Scalar.TIMESTAMP else {}
    if isinstance(value, Cast) or (isinstance(value, Call) and value.name == "date"):
        operand = value.operand if isinstance(value, Cast) else value.arguments[0]
        is_day = value.type is Scalar.DATE and operand.type is Scalar.TIMESTAMP
        return preimage(operand, _scaled(wanted, NS_PER_DAY), values) if is_day else {}
    width = _width(value, values) if isinstance(value, Call) else None
    if width is None or wanted == NEVER:
        return {}
    assert isinstance(value, Call)
    operand = value.arguments[1] if value.name == "date_trunc" else value.arguments[0]
    return preimage(operand, _clamped(wanted.start_ns - width, wanted.end_ns + width), values)


_LONGEST_DAYS = {"second": 1, "minute": 1, "hour": 1, "day": 1, "week": 7, "month": 31, "quarter": 92, "year": 366}


def _width(call: Call, values: Sequence[Any]) -> int | None:
    """How far the rounding of `bin` or `date_trunc` moves an instant at most, in ns; None for other calls."""
    step = call.arguments[1 if call.name == "bin" else 0] if call.arguments[1:] else None
    known = step.constant.at(values) if isinstance(step, Literal) else None
    if known is None:
        return None
    widths: dict[str, Callable[[], int | None]] = {
        "bin": lambda: int(known),
        "date_trunc": lambda: _LONGEST_DAYS.get(str(known).lower(), 0) * NS_PER_DAY or None,
    }
    return widths[call.name]() if call.name in widths else None


def _scaled(wanted: TimeRange, factor: int) -> TimeRange:
    """Days as instants: from the first of the first to the last of the last."""
    if wanted == NEVER:
        return NEVER
    return _clamped(wanted.start_ns * factor, wanted.end_ns * factor + factor - 1)


def _clamped(low: int, high: int) -> TimeRange:
    return TimeRange(max(low, TIME_MIN_NS), min(high, TIME_MAX_NS))
