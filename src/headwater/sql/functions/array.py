"""Rows of array functions. NULLs inside arrays count as equal to each other, except in arrays_overlap.

Source: sql.md 6.6.
"""

from __future__ import annotations

from collections.abc import Callable

from headwater.errors import Invalid
from headwater.model.types import Array, Map, Scalar, SqlType, Timeseries
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
from headwater.sql.functions.limits import (
    ELEMENT_BYTES,
    ELEMENTS,
    ELEMENTS_MESSAGE,
    TEXT_BYTES,
    TEXT_MESSAGE,
    checked,
    fits,
    is_small,
    joined,
    limited,
    weight,
    within,
)
from headwater.sql.operators import element_template
from headwater.sql.signature import Call, Signature, row

REPEATED = 10_000
"""The longest array that `repeat` makes. Source: Trino."""

_SOUGHT_BYTES = 64
"""About what an element takes while its like are sought."""

_BOTH_THERE = "{0} IS NOT NULL AND {1} IS NOT NULL"


def _element(call: Call) -> SqlType:
    """The type inside the first argument, an array."""
    kind = call.types[0]
    assert isinstance(kind, Array)
    return kind.element


def _first_of_each(array: str) -> Callable[[Call], str]:
    def lower(call: Call) -> str:
        distinct = f"hw_without({array}, {literal([], call.result)})"
        length = " + ".join(f"len({{{place}}})" for place in range(len(call.texts)))
        fitting = f"CASE WHEN {fits(f'({length}) * {_SOUGHT_BYTES}')} THEN {distinct} END"
        return limited(use_once(_of_both(fitting) if len(call.texts) > 1 else fitting, call.texts), call.result)

    return lower


def _of_both(array: str) -> str:
    """An array expression, for arrays that are both there."""
    return f"CASE WHEN {_BOTH_THERE} THEN {array} END"


def _joined(call: Call) -> str:
    element = _element(call)
    if not isinstance(element, Scalar) or not is_castable(element, VARCHAR):
        raise Invalid(f"Unexpected parameters ({call.types[0]}) for function array_join")
    shown = lower_cast("item", element, VARCHAR, safe=False)
    texts = f"list_transform({{0}}, lambda item: coalesce({shown}, {{2}}))"
    if len(call.texts) == 2:
        texts = f"list_filter(list_transform({{0}}, lambda item: {shown}), lambda text: text IS NOT NULL)"
    # As it is written, because the engine's own join would not know a name for a constant.
    is_constant = call.is_constant(1)
    separator = call.texts[1].replace("{", "{{").replace("}", "}}") if is_constant else "{1}"
    whole = joined(texts, separator, is_constant=is_constant)
    there = " AND ".join(f"{{{place}}} IS NOT NULL" for place in range(1, len(call.texts)))
    return use_once(f"CASE WHEN {there} THEN {whole} END", call.texts)


def _concatenated(call: Call) -> str:
    places = [f"{{{place}}}" for place in range(len(call.texts))]
    size = f"({' + '.join(f'len({place})' for place in places)})"
    text = within(places[0], size, ELEMENTS)
    for following in places[1:]:
        text = f"list_concat({text}, {following})"
    bytes_ = " + ".join(weight(place, call.result) for place in places)
    made = checked(text, call.result, size=size, bytes_=f"({bytes_})")
    return use_once(f"CASE WHEN {' AND '.join(f'{one} IS NOT NULL' for one in places)} THEN {made} END", call.texts)


def _element_at(call: Call) -> str:
    return use_once(element_template(_element(call), "end"), call.texts)


def _repeated(call: Call) -> str:
    array = Array(call.types[0])
    few = failure(quoted("count argument of repeat function must be greater than or equal to 0"), array)
    many = failure(quoted(f"count argument of repeat function must be less than or equal to {REPEATED}"), array)
    guard, one = "", "{0}"
    if call.types[0] in (VARCHAR, Scalar.VARBINARY, Scalar.JSON):
        guard = f" WHEN strlen({{0}}) * {{1}} > {TEXT_BYTES} THEN {failure(quoted(TEXT_MESSAGE), array)}"
        one = within("{0}", "strlen({0}) * {1}")
    elif isinstance(call.types[0], Array | Map | Timeseries):
        guard = f" WHEN len({{0}}) * {{1}} > {ELEMENTS} THEN {failure(quoted(ELEMENTS_MESSAGE), array)}"
        one = within("{0}", "len({0}) * {1}", ELEMENTS)
    if not is_small(call.types[0]):
        made_bytes = f"{weight('{0}', call.types[0])} * {{1}}"
        guard += f" WHEN NOT ({fits(made_bytes)}) THEN NULL"
    template = (
        f"CASE WHEN {{1}} IS NULL THEN NULL WHEN {{1}} < 0 THEN {few} WHEN {{1}} > {REPEATED} THEN {many}{guard}"
        f" ELSE list_resize(CAST([] AS {engine_type(array)}), {within('{1}', '{1}', REPEATED)}, {one}) END"
    )
    return use_once(template, call.texts)


def _part(start: str, count: str) -> str:
    """{0} from a place on. Not the engine's slice: of an array that a lambda names, it copies the whole for each."""
    return f"list_select({{0}}, generate_series({start}, {start} + least({count}, len({{0}}) - {start} + 1) - 1))"


def _slice(call: Call) -> str:
    kind = call.types[0]
    zero = failure(quoted("SQL array indices start at 1"), kind)
    short = failure(quoted("length must be greater than or equal to 0"), kind)
    template = (
        f"CASE WHEN {{0}} IS NULL OR {{2}} IS NULL THEN NULL WHEN {{1}} = 0 THEN {zero} WHEN {{2}} < 0 THEN {short}"
        f" WHEN {{1}} < 0 - len({{0}}) OR {{1}} > len({{0}}) OR {{2}} = 0 THEN {literal([], kind)}"
        f" WHEN {{1}} < 0 THEN {_part('(len({0}) + {1} + 1)', '{2}')} WHEN {{1}} > 0 THEN {_part('{1}', '{2}')} END"
    )
    return use_once(template, call.texts)


def _zipped(call: Call) -> str:
    fields = ", ".join(f"f{i} := zipped[{i + 1}]" for i in range(len(call.texts)))
    places = [f"{{{place}}}" for place in range(len(call.texts))]
    rows = f"list_transform(list_zip({', '.join(places)}), lambda zipped: struct_pack({fields}))"
    bytes_ = " + ".join(weight(place, kind) for place, kind in zip(places, call.types, strict=True))
    there = " AND ".join(f"{place} IS NOT NULL" for place in places)
    return use_once(f"CASE WHEN {there} THEN CASE WHEN {fits(f'({bytes_})')} THEN {rows} END END", call.texts)


# ------------------------------------------------------------------------------------------- sequence

_DIRECTION = (
    "sequence stop value should be greater than or equal to start value if step is greater than zero"
    " otherwise stop should be less than or equal to start"
)


def _guard_step(call: Call) -> None:
    """The engine divides by a constant step before it looks at the condition around it. Source of the text: Trino."""
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
        f" WHEN {count} >= {limit} THEN {many} ELSE {made.format(stop=within('{1}', count, limit))} END"
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
    made = f"generate_series({{{{0}}}}, {{stop}}, {step.replace('{', '{{').replace('}', '}}')})"
    return use_once(_guarded(call, step, count, made, call.result), texts)


def _sequence_of_months(call: Call) -> str:
    count = "hw_months_between({0}, {1}) // {2}"
    steps = "generate_series(0::BIGINT, hw_months_between({{0}}, {stop}) // {{2}})"
    made = f"list_transform({steps}, lambda n: hw_add_months({{{{0}}}}, n * {{{{2}}}}))"
    return use_once(_guarded(call, "{2}", count, made, Array(TIMESTAMP)), call.texts)


# ------------------------------------------------------------------------------ beyond the guide


def _ngrams(call: Call) -> str:
    few = failure(quoted("N must be positive"), call.result)
    many = failure(quoted(ELEMENTS_MESSAGE), call.result)
    run = "list_select({0}, generate_series(place, place - 1 + least({1}, len({0}))))"
    size = "len({0}) * least({1}, len({0}))"
    starts = f"generate_series(1, greatest({within('len({0})', size, ELEMENTS)} - {{1}} + 1, 1))"
    return use_once(
        f"CASE WHEN {{0}} IS NULL OR {{1}} IS NULL THEN NULL WHEN {{1}} <= 0 THEN {few}"
        f" WHEN {size} > {ELEMENTS} THEN {many}"
        f" WHEN {fits(f'{size} * {2 * ELEMENT_BYTES}')} THEN list_transform({starts}, lambda place: {run}) END",
        call.texts,
    )


def _flattened(call: Call) -> str:
    size = "list_sum(list_transform({0}, lambda one: len(one)))"
    bytes_ = weight("{0}", call.types[0])
    return use_once(
        checked(f"flatten({within('{0}', f'coalesce({size}, 0)', ELEMENTS)})", call.result, size=size, bytes_=bytes_),
        call.texts,
    )


def _trimmed(call: Call) -> str:
    few = failure(quoted("size must not be negative"), call.result)
    many = failure(quoted("size must not exceed array cardinality"), call.result)
    return use_once(
        f"CASE WHEN {{0}} IS NULL OR {{1}} IS NULL THEN NULL WHEN {{1}} < 0 THEN {few}"
        f" WHEN {{1}} > len({{0}}) THEN {many} ELSE {_part('1', 'len({0}) - {1}')} END",
        call.texts,
    )


def _contains_run(call: Call) -> str:
    """Whether the second array is a run of the first one's elements; NULL is like NULL."""
    many = failure(quoted(ELEMENTS_MESSAGE), Scalar.BOOLEAN)
    run = "list_select({0}, generate_series(start + 1, start + len({1})))"
    runs = (
        f"list_transform(generate_series(0, len({{0}}) - len({{1}})), lambda start: {run} IS NOT DISTINCT FROM {{1}})"
    )
    return use_once(
        f"CASE WHEN NOT ({_BOTH_THERE}) THEN NULL WHEN len({{0}}) * len({{1}}) > {ELEMENTS} THEN {many}"
        f" ELSE list_contains({runs}, true) END",
        call.texts,
    )


_COUNTED = (
    "list_transform(hw_multimap(list_transform(list_filter({0}, lambda item: item IS NOT NULL),"
    " lambda item: struct_pack(f0 := item, f1 := true))),"
    " lambda entry: struct_pack(f0 := entry.f0, f1 := len(entry.f1)::BIGINT))"
)
_CONTAINS = (
    "CASE WHEN {1} IS NULL OR {0} IS NULL THEN NULL WHEN list_contains({0}, {1}) THEN true"
    " WHEN list_count({0}) = len({0}) THEN false END"
)
_COMBINATIONS = (
    "CASE WHEN {0} IS NOT NULL THEN list_transform(arrow_combinations(len({0}), {1}),"
    " lambda places: list_select({0}, places)) END"
)


def _sum_rows() -> list[Signature]:
    rows = []
    for kind, zero in (("bigint", "0::BIGINT"), ("double", "0e0")):
        engine = kind.upper()
        sum_ = f"CAST(CASE WHEN {{0}} IS NOT NULL THEN coalesce(list_sum({{0}}), {zero}) END AS {engine})"
        rows.append(row(f"array_sum(array({kind})) -> {kind}", sum_, source="Presto"))
    rows.append(row("array_average(array(double)) -> double", "list_avg({0})", source="Presto"))
    return rows


_BEYOND = (
    row("array_first(array(T)) -> T", "({0})[1]", source="Trino"),
    row("array_last(array(T)) -> T", "({0})[-1]", source="Trino"),
    row("array_histogram(array(K)) -> map(K, bigint)", _COUNTED, source="Trino"),
    row("contains(array(E), E) -> boolean", _CONTAINS, source="Trino"),
    row("contains_sequence(array(E), array(E)) -> boolean", _contains_run, source="Trino"),
    row("combinations(array(T), bigint) -> array(array(T))", _COMBINATIONS, source="Trino"),
    row(
        "flatten(array(array(T))) -> array(T)",
        _flattened,
        source="Trino",
    ),
    row("ngrams(array(T), bigint) -> array(array(T))", _ngrams, source="Trino"),
    row("trim_array(array(T), bigint) -> array(T)", _trimmed, source="Trino"),
    *_sum_rows(),
)

ROWS = (
    row("array_distinct(array(E)) -> array(E)", _first_of_each("{0}"), source="6.6"),
    row(
        "array_intersect(array(E), array(E)) -> array(E)",
        _of_both("hw_without({0}, hw_without({0}, {1}))"),
        source="6.6",
    ),
    row("array_union(array(E), array(E)) -> array(E)", _first_of_each("list_concat({0}, {1})"), source="6.6"),
    row("array_except(array(E), array(E)) -> array(E)", _of_both("hw_without({0}, {1})"), source="6.6"),
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
    row("sequence(bigint, bigint, bigint) -> array(bigint)", _sequence, guard=_guard_step, source="6.6"),
    row("sequence(timestamp, timestamp) -> array(timestamp)", _sequence, source="6.6"),
    row(
        "sequence(timestamp, timestamp, interval day to second) -> array(timestamp)",
        _sequence,
        guard=_guard_step,
        source="6.6",
    ),
    row(
        "sequence(timestamp, timestamp, interval year to month) -> array(timestamp)",
        _sequence_of_months,
        guard=_guard_step,
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
    *(
        row(f"zip({', '.join(f'array({t})' for t in types)}) -> array(row({', '.join(types)}))", _zipped, source="6.6")
        for types in ("TU", "TUV", "TUVW", "TUVWX")
    ),
    *_BEYOND,
)
