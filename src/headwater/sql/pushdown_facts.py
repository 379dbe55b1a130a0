"""What a condition says about single columns: the instants they must be among, or what their texts are. Pure.

Called by `pushdown`. A fact is a promise in one direction: rows that meet the condition meet the fact, never the other
way round. No fact holds for NULL, so a fact about a column also says that it is not NULL.

`values` are those of the literals of the text, and the instant: what constants are computed from (constant.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

from headwater.model.scan import TimeRange
from headwater.model.text_pattern import TextPattern, like, regular, starting_with
from headwater.model.time import NS_PER_DAY, TIME_MAX_NS, TIME_MIN_NS
from headwater.model.types import Scalar
from headwater.sql.bound import Call, Cast, Expression, Literal, Logical, SlotRef
from headwater.sql.bound_walk import conjuncts
from headwater.threads import in_turns, pass_on


class OneOf(NamedTuple):
    """A text is one of `values` or matches one of `patterns`."""

    values: frozenset[str]
    patterns: frozenset[TextPattern] = frozenset()


Fact = TimeRange | tuple[OneOf, ...]
"""A text is all of these; at most one of them has no pattern."""

Facts = dict[str, Fact]
"""By slot name. A slot that is not there may have any value."""

NEVER = TimeRange(1, 0)

FACTS_MOST = 4
PATTERNS_MOST = 32
"""What is more about one column is not handed down: each pattern is asked of all its texts."""


def facts_of(condition: Expression, values: Sequence[Any]) -> Facts:
    """What holds of every row for which `condition` is true."""
    pass_on()
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
    rest = list(many)
    # In pairs: one after the other, a growing set would be copied for each.
    while len(rest) > 1:
        pairs = zip(rest[::2], rest[1::2], strict=False)
        odd = rest[-1:] if len(rest) % 2 else []
        rest = [*(_either(*pair) for pair in in_turns(pairs)), *odd]
    return rest[0]


def _either(left: Facts, right: Facts) -> Facts:
    return {name: _united(fact, right[name]) for name, fact in left.items() if name in right}


def _intersected(left: Fact, right: Fact) -> Fact:
    if isinstance(left, TimeRange):
        assert isinstance(right, TimeRange)
        return left.intersect(right)
    assert isinstance(right, tuple)
    return _all_of((*left, *right))


def _united(left: Fact, right: Fact) -> Fact:
    if isinstance(left, TimeRange):
        assert isinstance(right, TimeRange)
        if left.start_ns > left.end_ns:
            return right
        if right.start_ns > right.end_ns:
            return left
        return TimeRange(min(left.start_ns, right.start_ns), max(left.end_ns, right.end_ns))
    assert isinstance(right, tuple)
    return _all_of(OneOf(a.values | b.values, a.patterns | b.patterns) for a, b in product(left, right))


def _all_of(many: Iterable[OneOf]) -> tuple[OneOf, ...]:
    """The same, or less: a text that is all of these is all of the answer."""
    different = dict.fromkeys(many)
    sets = [each.values for each in different if not each.patterns]
    values = [OneOf(frozenset.intersection(*sets))] if sets else []
    others = [each for each in different if 0 < len(each.patterns) <= PATTERNS_MOST]
    return (*values, *others[:FACTS_MOST])


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
    return _looks(call, values) if call.name in _PATTERNS else {}


def _fact(value: Expression, symbol: str, literals: list[Literal], values: Sequence[Any]) -> Facts:
    """`value symbol` one of `literals`. NULL compares true with nothing."""
    known = [at for literal in literals if (at := literal.constant.at(values)) is not None]
    if value.type is Scalar.VARCHAR:
        return {value.slot.name: (OneOf(frozenset(known)),)} if isinstance(value, SlotRef) and symbol == "=" else {}
    if value.type not in (Scalar.TIMESTAMP, Scalar.DATE):
        return {}
    return preimage(value, _range(symbol, known), values)


_PATTERNS: dict[str, Callable[..., TextPattern | str | None]] = {
    "like": like,
    "regexp_like": regular,
    "starts_with": starting_with,
}


def _looks(call: Call, values: Sequence[Any]) -> Facts:
    """A condition on what a text looks like, by constants. Whether these are right is not for us to say."""
    value, *given = call.arguments
    if not isinstance(value, SlotRef):
        return {}
    constants = [each.constant.at(values) for each in given if isinstance(each, Literal)]
    if len(constants) < len(given):
        return {}
    if None in constants:
        return {value.slot.name: (OneOf(frozenset()),)}
    found = _PATTERNS[call.name](*constants)
    if found is None:
        return {}
    one = OneOf(frozenset([found])) if isinstance(found, str) else OneOf(frozenset(), frozenset([found]))
    return {value.slot.name: (one,)}


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
    if wanted == NEVER or not isinstance(value, Call) or len(value.arguments) != 2:
        return {}
    first, second = value.arguments
    if value.name == "bin" and isinstance(second, Literal):
        width_ns = second.constant.at(values)
        return preimage(first, _unbinned(wanted, width_ns), values) if width_ns else {}
    if value.name == "date_trunc" and isinstance(first, Literal):
        longest_ns = _LONGEST_DAYS.get(str(first.constant.at(values)).lower(), 0) * NS_PER_DAY
        # Rounding moves an instant no further than that.
        around = _clamped(wanted.start_ns - longest_ns, wanted.end_ns + longest_ns)
        return preimage(second, around, values) if longest_ns else {}
    return {}


_LONGEST_DAYS = {"second": 1, "minute": 1, "hour": 1, "day": 1, "week": 7, "month": 31, "quarter": 92, "year": 366}


def _unbinned(wanted: TimeRange, width_ns: int) -> TimeRange:
    """The instants whose bin is wanted. A bin is called by the end of it that is nearer to 1970: one has two sides."""
    return _clamped(_first_of(wanted.start_ns, width_ns), -_first_of(-wanted.end_ns, width_ns))


def _first_of(start_ns: int, width_ns: int) -> int:
    """The first instant whose bin is `start_ns` or later."""
    if start_ns > 0:
        return -(-start_ns // width_ns) * width_ns
    return -(-start_ns // width_ns * width_ns + width_ns - 1)


def _scaled(wanted: TimeRange, factor: int) -> TimeRange:
    """Days as instants: from the first of the first to the last of the last."""
    if wanted == NEVER:
        return NEVER
    return _clamped(wanted.start_ns * factor, wanted.end_ns * factor + factor - 1)


def _clamped(low: int, high: int) -> TimeRange:
    return TimeRange(max(low, TIME_MIN_NS), min(high, TIME_MAX_NS))
