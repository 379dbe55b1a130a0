"""Which SELECTs need little but the newest records of a table. Pure.

`newest_of` finds those that see nothing but the newest record of each series: the last-point queries of a fleet.
`pushdown` calls it, and then asks the scan for these records only.

    SELECT host, max(time), max_by(cpu, time) FROM t WHERE region = 'eu' GROUP BY host
    SELECT .. FROM (SELECT .., row_number() OVER (PARTITION BY host ORDER BY time DESC) AS n FROM t) WHERE n = 1
    SELECT .. FROM t WHERE host = 'a' ORDER BY time DESC LIMIT 1

All records of a series have the same dimensions and measure name. So conditions and groups made of these alone never
tell one record of a series from another, and of the records in a time range the newest is the one that is wanted.

`newest_first` finds those that give their newest rows first and end after some, and those that end after some of any.
`template` calls it, and `query` then tries with a part of the time first.

    SELECT .. FROM t WHERE cpu > 90 ORDER BY time DESC LIMIT 10
    SELECT bin(time, 1m), max(cpu) FROM t GROUP BY 1 ORDER BY 1 DESC LIMIT 5
    SELECT .. FROM t WHERE cpu > 90 LIMIT 10
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from headwater.model.table import TIME, ColumnKind
from headwater.model.time import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE, NS_PER_S
from headwater.sql.bound import (
    Aggregate,
    Call,
    Derived,
    Exists,
    Expression,
    Grouping,
    InSubquery,
    LambdaCall,
    Literal,
    Projection,
    Quantified,
    ScalarSubquery,
    Scan,
    Select,
    SlotRef,
    SortKey,
    Windowed,
)
from headwater.sql.bound_walk import conjuncts, walk

_FIRST_PLACES = ("row_number", "rank", "dense_rank")
_SAME_FOR_ALL = ("max", "min", "arbitrary", "any_value")
"""Aggregates that do not care how often a value is there."""

_UNITS_NS = {"second": NS_PER_S, "minute": NS_PER_MINUTE, "hour": NS_PER_HOUR, "day": NS_PER_DAY}
"""Of these the multiples are where `date_trunc` cuts."""

_BOUNDS = ("<", "<=", ">", ">=", "=", "between")


def newest_of(select: Select, values: Sequence[Any]) -> Scan | None:
    """The scan of which the newest record of each series within its time range is enough, or None.

    `values` are those of the literals of the text (constant.py).
    """
    source = select.source
    if isinstance(source, Derived):
        return _of_first_places(select, source, values)
    if not isinstance(source, Scan) or not _is_blind(select.where, source):
        return None
    if select.grouping is not None:
        return source if _is_of_newest(select.grouping, source) else None
    is_one = select.limit == 1 and not select.is_distinct and not any(_windows(select))
    return source if is_one and _is_by_newest(select.order_by, select, source) else None


def newest_first(select: Select, values: Sequence[Any]) -> tuple[Scan, int, int] | None:
    """The scan of a query that is ordered by time, or by bins of time, backwards, or that may give any rows, and has a
    LIMIT; the width of the bins in ns, 1 without; and the LIMIT. None for all others.
    """
    scan, limit, keys = select.source, select.limit, select.order_by
    if not isinstance(scan, Scan) or not limit or any(_windows(select)):
        return None
    if not keys:
        # There may be fewer different rows than that, however long one looks.
        return (scan, 1, limit) if select.grouping is None and not select.is_distinct else None
    if not keys[0].descending:
        return None
    key = _source(keys[0].operand, select.projections)
    if select.grouping is not None:
        if select.grouping.sets is not None:
            return None
        key = _source(key, select.grouping.keys)
    width_ns = _width(key, scan, values)
    return None if width_ns is None else (scan, width_ns, limit)


def _source(expression: Expression, projections: Iterable[Projection]) -> Expression:
    """What a column is computed from, if it is one of these."""
    if isinstance(expression, SlotRef):
        name = expression.slot.name
        return next((each.expression for each in projections if each.slot.name == name), expression)
    return expression


def _width(key: Expression, scan: Scan, values: Sequence[Any]) -> int | None:
    """The width of the bins, which begin at multiples of it, if the key is a bin of the time or the time itself."""
    if _is_time(key, scan):
        return 1
    if not isinstance(key, Call) or len(key.arguments) != 2:
        return None
    first, second = key.arguments
    if key.name == "bin" and _is_time(first, scan) and isinstance(second, Literal):
        interval_ns = second.constant.at(values)
        return int(interval_ns) if interval_ns else None
    if key.name == "date_trunc" and isinstance(first, Literal) and _is_time(second, scan):
        return _UNITS_NS.get(str(first.constant.at(values)).lower())
    return None


def _of_first_places(outer: Select, source: Derived, values: Sequence[Any]) -> Scan | None:
    """Where the outer query takes the first place of each group that the inner one counts from the newest."""
    inner = source.query.body
    if source.query.common_tables or not isinstance(inner, Select) or not isinstance(inner.source, Scan):
        return None
    is_plain = inner.limit is None and not inner.is_distinct and inner.grouping is None
    windows = list(_windows(inner))
    if not is_plain or len(windows) != 1 or not _is_blind(inner.where, inner.source):
        return None
    window = windows[0]
    places = [each.slot.name for each in inner.projections if each.expression is window]
    counts = window.name in _FIRST_PLACES and _are_keys(window.partition_by, inner.source)
    if not counts or not places or not _is_by_newest(window.order_by, inner, inner.source):
        return None
    return inner.source if any(_is_first(each, places[0], values) for each in conjuncts(outer.where)) else None


def _is_first(condition: Expression, place: str, values: Sequence[Any]) -> bool:
    """Whether the condition takes no place but the first."""
    if not isinstance(condition, Call) or condition.name not in ("=", "<=", "<"):
        return False
    left, right = condition.arguments
    if not isinstance(left, SlotRef) or left.slot.name != place or not isinstance(right, Literal):
        return False
    return bool(right.constant.at(values) == (2 if condition.name == "<" else 1))


def _is_of_newest(grouping: Grouping, scan: Scan) -> bool:
    """Whether each group is made of whole series, and each aggregate looks at the newest record of it alone."""
    if grouping.sets is not None or not _are_keys((key.expression for key in grouping.keys), scan):
        return False
    aggregates = [each.expression for each in grouping.aggregates]
    return any(_is_max_of_time(each, scan) for each in aggregates) and all(
        _is_max_of_time(each, scan) or _is_same_for_all(each, scan) for each in aggregates
    )


def _is_max_of_time(aggregate: Expression, scan: Scan) -> bool:
    if not isinstance(aggregate, Aggregate) or aggregate.filter is not None:
        return False
    if aggregate.name == "max" and len(aggregate.arguments) == 1:
        return _is_time(aggregate.arguments[0], scan)
    return aggregate.name == "max_by" and len(aggregate.arguments) == 2 and _is_time(aggregate.arguments[1], scan)


def _is_same_for_all(aggregate: Expression, scan: Scan) -> bool:
    if not isinstance(aggregate, Aggregate) or aggregate.filter is not None:
        return False
    return aggregate.name in _SAME_FOR_ALL and len(aggregate.arguments) == 1 and _are_keys(aggregate.arguments, scan)


def _is_by_newest(keys: Sequence[SortKey], select: Select, scan: Scan) -> bool:
    """Whether the order is by time first of all, the newest first."""
    if not keys or not keys[0].descending:
        return False
    return _is_time(_source(keys[0].operand, select.projections), scan)


def _is_blind(where: Expression | None, scan: Scan) -> bool:
    """Whether the condition tells records of a series apart by nothing but a range of time."""
    return all(_is_range(each, scan) or _are_keys([each], scan) for each in conjuncts(where))


def _is_range(condition: Expression, scan: Scan) -> bool:
    """A comparison of the very time with constants, which `pushdown` hands to the scan as it is."""
    if not isinstance(condition, Call) or condition.name not in _BOUNDS:
        return False
    return sum(_is_time(each, scan) for each in condition.arguments) == 1 and all(
        _is_time(each, scan) or isinstance(each, Literal) for each in condition.arguments
    )


def _are_keys(expressions: Iterable[Expression], scan: Scan) -> bool:
    """Whether these have one value for all records of a series."""
    kinds = {slot.name: column.kind for column, slot in scan.columns}
    for node in (node for expression in expressions for node in walk(expression)):
        if isinstance(node, ScalarSubquery | InSubquery | Exists | Quantified):
            return False
        if isinstance(node, Call | LambdaCall) and node.function.is_volatile:
            return False
        if isinstance(node, SlotRef) and kinds.get(node.slot.name) not in (
            ColumnKind.DIMENSION,
            ColumnKind.MEASURE_NAME,
        ):
            return False
    return True


def _is_time(expression: Expression, scan: Scan) -> bool:
    name = next(slot.name for column, slot in scan.columns if column == TIME)
    return isinstance(expression, SlotRef) and expression.slot.name == name


def _windows(select: Select) -> Iterator[Windowed]:
    expressions = (*(each.expression for each in select.projections), *select.order_by)
    for expression in expressions:
        yield from (node for node in walk(expression) if isinstance(node, Windowed))
