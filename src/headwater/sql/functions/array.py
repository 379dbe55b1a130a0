"""Rows of array functions. NULLs inside arrays count as equal to each other, except in arrays_overlap.

Source: sql.md 6.6.
"""

from __future__ import annotations

from headwater.errors import Invalid
from headwater.model.types import Array, Field, Row, Scalar, SqlType
from headwater.sql.coercion import (
    BIGINT,
    TIMESTAMP,
    VARCHAR,
    engine_type,
    failure,
    is_castable,
    literal,
    lower_cast,
    quoted,
    use_once,
)
from headwater.sql.operators import element_template
from headwater.sql.signature import Call, row

REPEATED = 10_000
"""The longest array that `repeat` makes. Source: Trino."""

_FIRSTS = "list_filter({0}, lambda item, place: list_position({0}, item) = place)"
_BOTH_THERE = "{0} IS NOT NULL AND {1} IS NOT NULL"


def _element(call: Call) -> SqlType:
    """The type inside the first argument, an array."""
    kind = call.types[0]
    assert isinstance(kind, Array)
    return kind.element


def _distinct_of(array: str) -> str:
    """First of each value of an array expression, for arrays that are both there."""
    firsts = "list_filter(all_of, lambda item, place: list_position(all_of, item) = place)"
    return f"CASE WHEN {_BOTH_THERE} THEN list_transform([{array}], lambda all_of: {firsts})[1] END"


def _joined(call: Call) -> str:
    element = _element(call)
    if not isinstance(element, Scalar) or not is_castable(element, VARCHAR):
        raise Invalid(f"Unexpected parameters ({call.types[0]}) for function array_join")
    shown = lower_cast("item", element, VARCHAR, safe=False)
    texts = f"list_transform({{0}}, lambda item: coalesce({shown}, {{2}}))"
    if len(call.texts) == 2:
        texts = f"list_filter(list_transform({{0}}, lambda item: {shown}), lambda text: text IS NOT NULL)"
    # The engine's own join wants its delimiter constant.
    join = f"array_to_string({texts}, {{1}})" if call.is_constant(1) else f"hw_join({texts}, {{1}})"
    return use_once(f"CASE WHEN {{0}} IS NOT NULL AND {{1}} IS NOT NULL THEN coalesce({join}, '') END", call.texts)


def _concatenated(call: Call) -> str:
    text = call.texts[0]
    for following in call.texts[1:]:
        text = f"list_concat({text}, {following})"
    return f"CASE WHEN {' AND '.join(f'{one} IS NOT NULL' for one in call.texts)} THEN {text} END"


def _element_at(call: Call) -> str:
    return use_once(element_template(_element(call), "end"), call.texts)


def _repeated(call: Call) -> str:
    array = Array(call.types[0])
    few = failure(quoted("count argument of repeat function must be greater than or equal to 0"), array)
    many = failure(quoted(f"count argument of repeat function must be less than or equal to {REPEATED}"), array)
    template = (
        f"CASE WHEN {{1}} IS NULL THEN NULL WHEN {{1}} < 0 THEN {few} WHEN {{1}} > {REPEATED} THEN {many}"
        f" ELSE list_resize(CAST([] AS {engine_type(array)}), {{1}}, {{0}}) END"
    )
    return use_once(template, call.texts)


def _slice(call: Call) -> str:
    kind = call.types[0]
    zero = failure(quoted("SQL array indices start at 1"), kind)
    short = failure(quoted("length must be greater than or equal to 0"), kind)
    template = (
        f"CASE WHEN {{0}} IS NULL OR {{2}} IS NULL THEN NULL WHEN {{1}} = 0 THEN {zero} WHEN {{2}} < 0 THEN {short}"
        f" WHEN {{1}} < 0 - len({{0}}) OR {{1}} > len({{0}}) OR {{2}} = 0 THEN ({{0}})[1:0]"
        " WHEN {1} < 0 THEN ({0})[len({0}) + {1} + 1 : len({0}) + {1} + least({2}, len({0}))]"
        " WHEN {1} > 0 THEN ({0})[{1} : {1} - 1 + least({2}, len({0}))] END"
    )
    return use_once(template, call.texts)


def _zipped_type(call: Call) -> SqlType:
    elements = [kind.element for kind in call.types if isinstance(kind, Array)]
    return Array(Row(tuple(Field(None, element) for element in elements)))


def _zipped(call: Call) -> str:
    fields = ", ".join(f"f{i} := zipped[{i + 1}]" for i in range(len(call.texts)))
    rows = f"list_transform(list_zip({', '.join(call.texts)}), lambda zipped: struct_pack({fields}))"
    return f"CASE WHEN {' AND '.join(f'{text} IS NOT NULL' for text in call.texts)} THEN {rows} END"


# ------------------------------------------------------------------------------------------- sequence

_DIRECTION = (
    "sequence stop value should be greater than or equal to start value if step is greater than zero"
    " otherwise stop should be less than or equal to start"
)


def _check_step(call: Call) -> None:
    """A step of zero is refused before the query runs where it can be. Source of the text: Trino."""
    if call.is_constant(2) and call.value(2) == 0:
        raise Invalid("step must not be zero")


def _guarded(call: Call, step: str, count: str, made: str, kind: SqlType) -> str:
    limit = call.context.sequence_elements
    many = failure(quoted(f"result of sequence function must not have more than {limit} entries"), kind)
    return (
        f"CASE WHEN {{0}} IS NULL OR {{1}} IS NULL OR {step} IS NULL THEN NULL"
        f" WHEN {step} = 0 THEN {failure(quoted('step must not be zero'), kind)}"
        f" WHEN ({step} > 0 AND {{1}} < {{0}}) OR ({step} < 0 AND {{1}} > {{0}})"
        f" THEN {failure(quoted(_DIRECTION), kind)}"
        f" WHEN {count} >= {limit} THEN {many} ELSE {made} END"
    )


def _sequence(call: Call) -> str:
    """Of bigints, or of instants with a step in nanoseconds."""
    step = "{2}"
    texts = call.texts
    if len(texts) == 2 and call.types[0] is BIGINT:
        step = "CASE WHEN {1} < {0} THEN (-1)::BIGINT ELSE 1::BIGINT END"
    elif len(texts) == 2:
        texts = (*texts, literal(86_400_000_000_000, BIGINT))
    count = f"({{1}}::HUGEINT - {{0}}) // {step}"
    made = f"generate_series({{0}}, {{1}}, {step})"
    return use_once(_guarded(call, step, count, made, call.result), texts)


def _sequence_of_months(call: Call) -> str:
    count = "hw_months_between({0}, {1}) // {2}"
    steps = f"generate_series(0::BIGINT, {count})"
    made = f"list_transform({steps}, lambda n: hw_add_months({{0}}, n * {{2}}))"
    return use_once(_guarded(call, "{2}", count, made, Array(TIMESTAMP)), call.texts)


ROWS = (
    row("array_distinct(array(E)) -> array(E)", _FIRSTS, source="6.6"),
    row(
        "array_intersect(array(E), array(E)) -> array(E)",
        _distinct_of("list_filter({0}, lambda item: list_position({1}, item) IS NOT NULL)"),
        source="6.6",
    ),
    row("array_union(array(E), array(E)) -> array(E)", _distinct_of("list_concat({0}, {1})"), source="6.6"),
    row(
        "array_except(array(E), array(E)) -> array(E)",
        _distinct_of("list_filter({0}, lambda item: list_position({1}, item) IS NULL)"),
        source="6.6",
    ),
    row("array_join(array(T), varchar) -> varchar", _joined, source="6.6"),
    row("array_join(array(T), varchar, varchar) -> varchar", _joined, source="6.6"),
    row("array_max(array(E)) -> E", "CASE WHEN list_count({0}) = len({0}) THEN list_max({0}) END", source="6.6"),
    row("array_min(array(E)) -> E", "CASE WHEN list_count({0}) = len({0}) THEN list_min({0}) END", source="6.6"),
    row(
        "array_position(array(E), E) -> bigint",
        f"CASE WHEN {_BOTH_THERE} THEN coalesce(list_position({{0}}, {{1}}), 0)::BIGINT END",
        source="6.6",
    ),
    row(
        "array_remove(array(E), E) -> array(E)",
        "CASE WHEN {1} IS NOT NULL THEN list_filter({0}, lambda item: item IS DISTINCT FROM {1}) END",
        source="6.6",
    ),
    row("array_sort(array(E)) -> array(E)", "list_sort({0}, 'ASC', 'NULLS LAST')", source="6.6"),
    row(
        "arrays_overlap(array(E), array(E)) -> boolean",
        f"CASE WHEN NOT ({_BOTH_THERE}) THEN NULL"
        " WHEN list_has_any(list_filter({0}, lambda item: item IS NOT NULL), {1}) THEN true"
        " WHEN list_count({0}) = len({0}) AND list_count({1}) = len({1}) THEN false END",
        source="6.6",
    ),
    row("cardinality(array(T)) -> bigint", "len({0})", source="6.6"),
    row("concat(array(T)...) -> array(T)", _concatenated, source="6.6"),
    row("element_at(array(T), bigint) -> T", _element_at, source="6.6"),
    row("repeat(T, bigint) -> array(T)", _repeated, source="6.6"),
    row("reverse(array(T)) -> array(T)", "list_reverse({0})", source="6.6"),
    row("sequence(bigint, bigint) -> array(bigint)", _sequence, source="6.6"),
    row("sequence(bigint, bigint, bigint) -> array(bigint)", _sequence, check=_check_step, source="6.6"),
    row("sequence(timestamp, timestamp) -> array(timestamp)", _sequence, source="6.6"),
    row(
        "sequence(timestamp, timestamp, interval day to second) -> array(timestamp)",
        _sequence,
        check=_check_step,
        source="6.6",
    ),
    row(
        "sequence(timestamp, timestamp, interval year to month) -> array(timestamp)",
        _sequence_of_months,
        check=_check_step,
        source="6.6; Trino for the step",
    ),
    row(
        "shuffle(array(T)) -> array(T)",
        "list_transform(list_sort(list_transform({0}, lambda item: struct_pack(order_ := random(), item := item))),"
        " lambda drawn: drawn.item)",
        is_volatile=True,
        source="6.6",
    ),
    row("slice(array(T), bigint, bigint) -> array(T)", _slice, source="6.6"),
    row("zip(array(T), array(U)) -> T", _zipped, result=_zipped_type, source="6.6"),
    row("zip(array(T), array(U), array(V)) -> T", _zipped, result=_zipped_type, source="6.6"),
    row("zip(array(T), array(U), array(V), array(W)) -> T", _zipped, result=_zipped_type, source="6.6"),
)
