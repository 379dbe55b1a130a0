"""How the two engines write what a query means: ours, and DataFusion's where it differs from ours.

Everything that DataFusion cannot say or answers otherwise than Timestream is here, with the reason: translated where
its own words can mean the same, else raised as `NotCommon`, and the query is not compared.
"""

from __future__ import annotations

import re
from fractions import Fraction

from sql_nodes import Dialect
from sql_rows import NOW_NS

from headwater.model.time import timestamp_text


class NotCommon(Exception):
    """A form that the second engine has not, or gets wrong; the reason."""


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _our_column(alias: str, name: str) -> str:
    return f"{alias}.{name}"


OURS: Dialect = {
    "table": lambda name: f'"fuzz".{name}',
    "named": lambda source, alias, *_: f"{source} AS {alias}",
    "values": lambda rows, alias, *names: f"(VALUES {rows}) AS {alias} ({', '.join(names)})",
    "column": _our_column,
    "sorted_column": lambda written, _: written,
    "sort": lambda key, order, nulls: " ".join(filter(None, (key, order, nulls))),
    "set_operation": lambda left, kind, right: f"{left} {kind} {right}",
    "shifted": lambda instant, sign, interval: f"({instant} {sign} {interval})",
    "between": lambda value, no, low, high: f"({value} {no}BETWEEN {low} AND {high})",
    "contains_underscore": lambda value: f"({value} LIKE '%!_%' ESCAPE '!')",
    "ranking": lambda function, over: f"{function}{over}",
    "neighbour": lambda function, argument, offset, nulls, over: f"{function}({argument}{offset}){nulls}{over}",
    "avg_bigint": lambda distinct, argument, over: f"avg({distinct}{argument}){over}",
    "avg_double": lambda distinct, argument, over: f"avg({distinct}{argument}){over}",
    "in_with_nulls": lambda value, no, query: f"({value} {no}IN ({query}))",
    "computed_double": lambda value: value,
    "having": lambda condition: f" HAVING {condition}",
    "derived": lambda query, order: f"({query}{order})",
    "ordered": lambda query, order: f"{query}{order}",
}

_UNIT_NS = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86_400 * 10**9}
_WORD_NS = {"second": 10**9, "minute": 60 * 10**9, "hour": 3600 * 10**9, "day": 86_400 * 10**9}


def _interval_ns(short: str) -> int:
    number, unit = re.fullmatch(r"([\d.]+)([a-z]+)", short).groups()  # type: ignore[union-attr]
    return int(Fraction(number) * _UNIT_NS[unit])


def _interval(short: str) -> str:
    return f"INTERVAL '{_interval_ns(short) // 10**6} milliseconds'"


def _instant(time_ns: int) -> str:
    """DataFusion reads a timestamp literal as nanoseconds too."""
    return f"TIMESTAMP '{timestamp_text(time_ns)}'"


def _own_name(alias: str, name: str) -> str:
    return _name(f"{alias} {name}")


def _named(source: str, alias: str, *names: str) -> str:
    """Every relation's columns have names of their own: DataFusion moves a condition on both sides of an outer join,
    `one.ok AND other.ok`, into one side if both columns are called the same, and reads that side's alone."""
    return f"{source} AS {alias} ({', '.join(_own_name(alias, name) for name in names)})"


def _sort(key: str, order: str, nulls: str) -> str:
    """NULLs are last both ways in Timestream; in DataFusion they are first when descending."""
    return f"{key} {order} {nulls or 'NULLS LAST'}"


def _set_operation(left: str, kind: str, right: str) -> str:
    """DataFusion makes a semi- or anti-join of INTERSECT ALL and EXCEPT ALL: it does not count the copies of a row."""
    if kind in ("INTERSECT ALL", "EXCEPT ALL"):
        raise NotCommon(kind)
    return f"{left} {kind} {right}"


def _strict(name: str) -> object:
    """greatest and least are NULL if anything is; DataFusion's leave NULLs out."""

    def written(*arguments: str) -> str:
        missing = " OR ".join(f"{argument} IS NULL" for argument in arguments)
        return f"CASE WHEN {missing} THEN NULL ELSE {name}({', '.join(arguments)}) END"

    return written


def _date_diff(unit: str, start: str, end: str) -> str:
    """Whole units that have passed; DataFusion has no such function."""
    return f"((CAST({end} AS bigint) - CAST({start} AS bigint)) / {_WORD_NS[unit.strip(chr(39))]})"


def _date_add(unit: str, number: str, instant: str) -> str:
    return f"({instant} + INTERVAL '{number} {unit.strip(chr(39))}')"


def _field(field: str) -> object:
    return lambda instant: f"CAST(floor(date_part('{field}', {instant})) AS bigint)"


def _avg_bigint(distinct: str, argument: str, over: str) -> str:
    """DataFusion makes doubles of the numbers first: large ones become one, and lose their last digits. A total as a
    double, divided, is rounded twice: twelve times 9007199254740993 has the average 9007199254740994, not ...992. So
    the whole part is divided as a decimal, and the rest is added to it."""
    total = f"sum({distinct}CAST({argument} AS decimal(38, 0))){over}"
    number = f"nullif(count({distinct}{argument}){over}, 0)"
    rest = f"({total} % {number})"
    whole = f"CAST(({total} - {rest}) / {number} AS bigint)"
    return f"(CAST({whole} AS double) + CAST({rest} AS double) / CAST({number} AS double))"


def _in_with_nulls(value: str, no: str, query: str) -> str:
    """Outside of a plain WHERE, DataFusion answers false where a NULL on either side makes the answer NULL."""
    raise NotCommon("IN a query with NULLs")


def _having(condition: str) -> str:
    """DataFusion takes a condition that reads no row for one on the rows that are grouped: the row that a grand total
    has of nothing is then not filtered out."""
    return f" HAVING count(*) >= CASE WHEN {condition} THEN 0 ELSE 1000000000 END"


def _neighbour(function: str, argument: str, offset: str, nulls: str, over: str) -> str:
    """DataFusion loses count of the values when it looks past NULLs for the second one that follows: lead is NULL, or
    a later value. lag is not concerned, nor is the next value."""
    if function == "lead" and offset == ", 2" and nulls:
        raise NotCommon("lead of more than one row that ignores NULLs")
    return f"{function}({argument}{offset}){nulls}{over}"


def _ordered(query: str, order: str) -> str:
    """DataFusion leaves a sort key out that it takes for constant (a literal below an outer join or in GROUPING SETS,
    which make NULLs of it) or for sorted already (a running min or max, whatever its NULLs): none is seen through a
    CASE that reads the row's number."""
    return f"SELECT * EXCEPT (place) FROM (SELECT *, row_number() OVER () AS place FROM ({query})){order}"


def _derived(query: str, order: str) -> str:
    """As for HAVING, where the condition stands around the query; none is moved past a LIMIT."""
    return f"({_ordered(query, order) if order else query + ' LIMIT 1000000'})"


DATAFUSION: Dialect = {
    "table": _name,
    "named": _named,
    "values": lambda rows, alias, *names: _named(f"(VALUES {rows})", alias, *names),
    "column": lambda alias, name: f"{alias}.{_own_name(alias, name)}",
    "sorted_column": lambda _, name: f"CASE WHEN place > 0 THEN {name} END",
    "sort": _sort,
    "set_operation": _set_operation,
    "shifted": lambda instant, sign, interval: f"({instant} {sign} {_interval(interval)})",
    # A bound that is NULL makes it NULL, whatever the other says. Source: sql.md 5.
    "between": lambda value, no, low, high: (
        f"(CASE WHEN {low} IS NOT NULL AND {high} IS NOT NULL THEN {value} {no}BETWEEN {low} AND {high} END)"
    ),
    # It escapes with a backslash only.
    "contains_underscore": lambda value: f"({value} LIKE '%\\_%')",
    # Its ranks are unsigned, and beside a bigint become decimals.
    "ranking": lambda function, over: f"CAST({function}{over} AS bigint)",
    "neighbour": _neighbour,
    "avg_bigint": _avg_bigint,
    "avg_double": OURS["avg_double"],
    "in_with_nulls": _in_with_nulls,
    # It tells a zero from a negative zero when it compares and groups; added to zero, there is none.
    "computed_double": lambda value: f"({value} + 0.0)",
    "having": _having,
    "derived": _derived,
    "ordered": _ordered,
    "if": lambda condition, one, other: f"CASE WHEN {condition} THEN {one} ELSE {other} END",
    "greatest": _strict("greatest"),
    "least": _strict("least"),
    # NULL if either is; DataFusion's concat takes NULL for an empty text.
    "concat": lambda one, other: f"({one} || {other})",
    "bin": lambda instant, interval: f"date_bin({_interval(interval)}, {instant}, TIMESTAMP '1970-01-01T00:00:00')",
    "ago": lambda interval: _instant(NOW_NS - _interval_ns(interval)),
    "date_diff": _date_diff,
    "date_add": _date_add,
    "to_milliseconds": lambda instant: f"(CAST({instant} AS bigint) / 1000000)",
    "every": lambda argument: f"bool_and({argument})",
    "regexp_replace": lambda value, pattern, by: f"regexp_replace({value}, {pattern}, {by}, 'g')",
    **{field: _field(field) for field in ("year", "month", "day", "hour", "minute", "second", "doy")},
    # Monday is 1 and Sunday 7; DataFusion begins with Sunday as 0.
    "dow": lambda instant: f"((date_part('dow', {instant}) + 6) % 7 + 1)",
}  # type: ignore[dict-item]
