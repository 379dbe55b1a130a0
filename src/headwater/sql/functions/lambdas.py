"""Rows of functions that take lambdas. Source: sql.md 6.8, 7.7; what the guide does not list is Trino's.

A lambda's body speaks of its parameters by the engine's names already. A body is never repeated: what it costs, and
what is random in it, happens once an element.
"""

from __future__ import annotations

from headwater.errors import Invalid
from headwater.model.patterns import GROUPS_NAMED, Pattern
from headwater.model.types import Array, Map, Scalar, SqlType, Timeseries
from headwater.sql.coercion import engine_type, failure, literal, made_map, quoted, use_once
from headwater.sql.functions.limits import checked, limited, transformed
from headwater.sql.signature import Call, LambdaText, Signature, row

STATE, ITEM = "s", "x"
"""Fields of what `reduce` folds: the engine wants state and elements of one type, so each is half of a pair."""

POINT = "row(time timestamp, value T)"
ENTRY = ("{0}.f0", "{0}.f1")
"""What a lambda over the entries of a map calls key and value."""


def _elements(text: str, kind: SqlType) -> str:
    """The elements of an array; the points of a timeseries as rows."""
    if isinstance(kind, Timeseries):
        return f"list_transform({text}, lambda point: struct_pack(f0 := point.t, f1 := point.v))"
    return text


def _filtered(call: Call) -> str:
    """A condition that is NULL counts as false, to the engine too."""
    kept = f"list_filter({_elements(call.texts[0], call.types[0])}, {call.lambdas[0]})"
    if isinstance(call.types[0], Timeseries):
        return f"list_transform({kept}, lambda point: struct_pack(t := point.f0, v := point.f1))"
    return kept


def _transformed(call: Call) -> str:
    if isinstance(call.result, Array):
        return transformed(call.texts[0], call.lambdas[0], call.result.element)
    assert isinstance(call.result, Timeseries)
    point = f"struct_pack(t := {call.lambdas[0].parameters[0]}.f0, v := {{0}})"
    return transformed(_elements(call.texts[0], call.types[0]), call.lambdas[0], call.result.value, point)


# ---------------------------------------------------------------------------------------------- reduce


def _reduced(call: Call) -> str:
    """The first text is the array or series, the second the state at the start."""
    kind, state = call.types[:2]
    element = kind.element if isinstance(kind, Array) else None
    engine_element = f"STRUCT(f0 BIGINT, f1 {engine_type(kind.value)})" if isinstance(kind, Timeseries) else ""
    step, last = (LambdaText(each.parameters, _in_template(each.body)) for each in call.lambdas)
    no_item = f"CAST(NULL AS {engine_element or engine_type(element or Scalar.UNKNOWN)})"
    items = f"list_transform({_elements('{0}', kind)}, lambda item: {_pair(literal(None, state), 'item')})"
    stepped = LambdaText(step.parameters, _pair(limited(step.body, state), no_item))
    folded = f"list_reduce({items}, {stepped}, {_pair('{1}', no_item)})"
    return use_once(f"CASE WHEN {{0}} IS NOT NULL THEN list_transform([{folded}], {last})[1] END", call.texts)


def _pair(state: str, item: str) -> str:
    return f"struct_pack({STATE} := {state}, {ITEM} := {item})"


def _in_template(text: str) -> str:
    """A text that `use_once` leaves as it is."""
    return text.replace("{", "{{").replace("}", "}}")


def _reduce_row(series: str, item: str) -> Signature:
    return row(
        f"reduce({series}, S, function(S, {item}, S), function(S, R)) -> R",
        _reduced,
        places=((f"{{0}}.{STATE}", f"{{1}}.{ITEM}"), (f"{{0}}.{STATE}",)),
        source="7.7",
    )


# --------------------------------------------------------------------------------------------- matches

_MATCHES = {
    "any_match": ("true", "true", "false"),
    "all_match": ("false", "false", "true"),
    "none_match": ("true", "false", "true"),
}
"""By name: the answer of the lambda that settles it, what it then is, and what it is if all answer otherwise."""


def _matched(call: Call) -> str:
    """NULL where an element without an answer could have settled it."""
    settling, then, otherwise = _MATCHES[call.name]
    whether = (
        f"CASE WHEN list_contains(answers, {settling}) THEN {then}"
        f" WHEN list_count(answers) = len(answers) THEN {otherwise} END"
    )
    return f"list_transform([list_transform({call.texts[0]}, {call.lambdas[0]})], lambda answers: {whether})[1]"


# ------------------------------------------------------------------------------------ arrays and maps


def _zipped(call: Call) -> str:
    """The shorter array is filled up with NULLs."""
    assert isinstance(call.result, Array)
    one = LambdaText(call.lambdas[0].parameters, _in_template(call.lambdas[0].body))
    zipped = transformed("list_zip({0}, {1})", one, call.result.element)
    return use_once(f"CASE WHEN {{0}} IS NOT NULL AND {{1}} IS NOT NULL THEN {zipped} END", call.texts)


SORTED_ELEMENTS = 1_000
"""The longest array that is sorted by a lambda: each element is compared with each (ours)."""


def _sorted(call: Call) -> str:
    """The place of an element is the number of those before it: smaller ones, and equal ones with a lower place.

    A comparison that is neither below, at nor above zero has no place. Source of that rule: Trino.
    """
    left, right = call.lambdas[0].parameters
    body = _in_template(call.lambdas[0].body)
    signs = f"list_transform(items, lambda {right}: list_transform(items, lambda {left}: {body}))"
    before = (
        "list_transform(signs, lambda own, place: len(list_filter(own, lambda sign, other:"
        " sign < 0 OR (sign = 0 AND other < place))))"
    )
    places = (
        f"list_transform([{signs}], lambda signs: CASE WHEN {_IS_NULL_AMONG} THEN {_NO_ORDER} ELSE {before} END)[1]"
    )
    ordered = f"list_select(items, list_grade_up({places}))"
    many = failure(
        quoted(f"An array of more than {SORTED_ELEMENTS} elements cannot be sorted by a lambda"), call.result
    )
    made = f"list_transform([{{0}}], lambda items: {ordered})[1]"
    return use_once(f"CASE WHEN len({{0}}) > {SORTED_ELEMENTS} THEN {many} ELSE {made} END", call.texts)


_IS_NULL_AMONG = "list_contains(list_transform(signs, lambda own: list_count(own) = len(own)), false)"
_NO_ORDER = failure(quoted("Lambda comparator must return either -1, 0, or 1"), Array(Scalar.BIGINT))


def _filtered_map(call: Call) -> str:
    return f"list_filter({call.texts[0]}, {call.lambdas[0]})"


def _with_keys(call: Call) -> str:
    assert isinstance(call.result, Map)
    entry = f"struct_pack(f0 := {{0}}, f1 := {call.lambdas[0].parameters[0]}.f1)"
    return made_map(transformed(call.texts[0], call.lambdas[0], call.result.key, entry), call.result)


def _with_values(call: Call) -> str:
    assert isinstance(call.result, Map)
    entry = f"struct_pack(f0 := {call.lambdas[0].parameters[0]}.f0, f1 := {{0}})"
    return transformed(call.texts[0], call.lambdas[0], call.result.value, entry)


def _zipped_maps(call: Call) -> str:
    """Every key of either map, with NULL for a value that one of them lacks.

    Sorted by key, the entries of a key that both have stand side by side, the first map's before the second's.
    """
    left, right = call.types
    assert isinstance(left, Map)
    assert isinstance(right, Map)
    no_left, no_right = literal(None, left.value), literal(None, right.value)
    first, second = (
        f"list_transform({{{place}}}, lambda e: struct_pack(f0 := e.f0, n := {place}, f1 := {f1}, f2 := {f2}))"
        for place, (f1, f2) in enumerate([("e.f1", no_right), (no_left, "e.f1")])
    )
    lists = (
        "struct_pack(s := sorted, k := list_transform(sorted, lambda e: e.f0),"
        " w := list_transform(sorted, lambda e: e.f2))"
    )
    triple = (
        "CASE WHEN i = 1 OR own.k[i - 1] <> e.f0 THEN struct_pack(f0 := e.f0, f1 := e.f1,"
        " f2 := CASE WHEN own.k[i + 1] = e.f0 THEN own.w[i + 1] ELSE e.f2 END) END"
    )
    once = f"list_filter(list_transform(own.s, lambda e, i: {triple}), lambda e: e IS NOT NULL)"
    triples = (
        f"list_transform([list_sort(list_concat({first}, {second}))], lambda sorted:"
        f" list_transform([{lists}], lambda own: {once})[1])[1]"
    )
    name = call.lambdas[0].parameters[0]
    entry = f"lambda {name}: struct_pack(f0 := {name}.f0, f1 := {_in_template(call.lambdas[0].body)})"
    both = "{0} IS NOT NULL AND {1} IS NOT NULL"
    return use_once(f"CASE WHEN {both} THEN list_transform({triples}, {entry}) END", call.texts)


# ------------------------------------------------------------------------------------- regexp_replace


def _check_replaced(call: Call) -> None:
    """Where the pattern matches the empty text, the engine's pieces and its matches do not agree."""
    if call.value(1) is None:
        return
    pattern = Pattern(call.value(1))
    if pattern.groups > GROUPS_NAMED:
        raise Invalid(f"A lambda over more than {GROUPS_NAMED} groups is not supported yet")
    if pattern.matches_empty:
        raise Invalid("A lambda for a pattern that matches the empty text is not supported yet")


def _replaced(call: Call) -> str:
    """The text cut at its matches, with what the lambda says between the pieces; NULL if it says NULL of any.

    The lambda gets the groups of a match, not the match. Source: sql.md 6.8.
    """
    if call.value(1) is None:
        return literal(None, Scalar.VARCHAR)
    pattern, text = Pattern(call.value(1)), call.texts[0]
    by = quoted(pattern.text)
    found = [f"regexp_extract_all({text}, {by}, {group})" for group in range(1, pattern.groups + 1)]
    own = f"[{', '.join(f'own[{group}]' for group in range(1, pattern.groups + 1))}]"
    if not found:
        found, own = [f"regexp_extract_all({text}, {by})"], literal([], Array(Scalar.VARCHAR))
    groups = f"list_transform(list_zip({', '.join(found)}), lambda own: {own})"
    said = transformed(groups, call.lambdas[0], Scalar.VARCHAR)
    cut = f"struct_pack(pieces := string_split_regex({text}, {by}), said := {said})"
    size = f"(strlen({text}) + list_sum(list_transform(cut.said, lambda one: strlen(one))))"
    joined = checked(
        "array_to_string(list_transform("
        "list_zip(cut.pieces, list_append(cut.said, '')), lambda pair: pair[1] || pair[2]), '')",
        Scalar.VARCHAR,
        size=size,
        bytes_=size,
    )
    whole = f"CASE WHEN list_count(cut.said) = len(cut.said) THEN {joined} END"
    return f"list_transform([{cut}], lambda cut: {whole})[1]"


_TRUTH = "function(T, boolean)"

ROWS = (
    row(f"filter(array(T), {_TRUTH}) -> array(T)", _filtered, source="Trino"),
    row(f"filter(timeseries(T), function({POINT}, boolean)) -> timeseries(T)", _filtered, source="7.7"),
    _reduce_row("array(T)", "T"),
    _reduce_row("timeseries(T)", POINT),
    row("transform(array(T), function(T, U)) -> array(U)", _transformed, source="Trino"),
    row(f"transform(timeseries(T), function({POINT}, U)) -> timeseries(U)", _transformed, source="ours"),
    *(row(f"{name}(array(T), {_TRUTH}) -> boolean", _matched, source="Trino") for name in _MATCHES),
    row(
        "zip_with(array(T), array(U), function(T, U, R)) -> array(R)",
        _zipped,
        places=(("{0}[1]", "{0}[2]"),),
        source="Trino",
    ),
    row("array_sort(array(T), function(T, T, integer)) -> array(T)", _sorted, source="Trino"),
    row("map_filter(map(K, V), function(K, V, boolean)) -> map(K, V)", _filtered_map, places=(ENTRY,), source="Trino"),
    row("transform_keys(map(K, V), function(K, V, E)) -> map(E, V)", _with_keys, places=(ENTRY,), source="Trino"),
    row("transform_values(map(K, V), function(K, V, R)) -> map(K, R)", _with_values, places=(ENTRY,), source="Trino"),
    row(
        "map_zip_with(map(K, V), map(K, W), function(K, V, W, R)) -> map(K, R)",
        _zipped_maps,
        places=(("{0}.f0", "{0}.f1", "{0}.f2"),),
        source="Trino",
    ),
    row(
        "regexp_replace(varchar, varchar, function(array(varchar), varchar)) -> varchar",
        _replaced,
        check=_check_replaced,
        source="6.8",
    ),
)
