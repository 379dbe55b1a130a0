"""Calls that take lambdas, as engine SQL. `binder_lambdas` has checked their types. Source: sql.md 6.8, 7.7.

A lambda's body speaks of its parameters by the engine's names already. A body is never repeated: what it costs, and
what is random in it, happens once an element.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from headwater.model.types import Array, Scalar, SqlType, Timeseries
from headwater.sql.coercion import engine_type, literal, quoted, use_once
from headwater.sql.functions.regex import GROUPS_NAMED, Pattern
from headwater.sql.signature import LambdaText

Write = Callable[[Sequence[str], Sequence[LambdaText]], str]
"""The engine's text of a call from those of its arguments and of its lambdas."""

STATE, ITEM = "s", "x"
"""Fields of what `reduce` folds: the engine wants state and elements of one type, so each is half of a pair."""


def _elements(text: str, kind: SqlType) -> str:
    """The elements of an array; the points of a timeseries as rows."""
    if isinstance(kind, Timeseries):
        return f"list_transform({text}, lambda point: struct_pack(f0 := point.t, f1 := point.v))"
    return text


def filtered(kind: SqlType, texts: Sequence[str], lambdas: Sequence[LambdaText]) -> str:
    """A condition that is NULL counts as false, to the engine too."""
    kept = f"list_filter({_elements(texts[0], kind)}, {lambdas[0]})"
    if isinstance(kind, Timeseries):
        return f"list_transform({kept}, lambda point: struct_pack(t := point.f0, v := point.f1))"
    return kept


def transformed(texts: Sequence[str], lambdas: Sequence[LambdaText]) -> str:
    return f"list_transform({texts[0]}, {lambdas[0]})"


def reduced(
    kind: SqlType, element: SqlType, state: SqlType, texts: Sequence[str], lambdas: Sequence[LambdaText]
) -> str:
    """The first text is the array or series, the second the state at the start."""
    step, last = (LambdaText(each.parameters, _in_template(each.body)) for each in lambdas)
    no_state, no_item = literal(None, state), f"CAST(NULL AS {engine_type(element)})"
    items = f"list_transform({_elements('{0}', kind)}, lambda item: {_pair(no_state, 'item')})"
    stepped = LambdaText(step.parameters, _pair(step.body, no_item))
    folded = f"list_reduce({items}, {stepped}, {_pair('{1}', no_item)})"
    return use_once(f"CASE WHEN {{0}} IS NOT NULL THEN list_transform([{folded}], {last})[1] END", texts)


def _pair(state: str, item: str) -> str:
    return f"struct_pack({STATE} := {state}, {ITEM} := {item})"


def _in_template(text: str) -> str:
    """A text that `use_once` leaves as it is."""
    return text.replace("{", "{{").replace("}", "}}")


_MATCHES = {
    "any_match": ("true", "true", "false"),
    "all_match": ("false", "false", "true"),
    "none_match": ("true", "false", "true"),
}
"""By name: the answer of the lambda that settles it, what it then is, and what it is if all answer otherwise."""


def matched(name: str, texts: Sequence[str], lambdas: Sequence[LambdaText]) -> str:
    """NULL where an element without an answer could have settled it."""
    settling, then, otherwise = _MATCHES[name]
    whether = (
        f"CASE WHEN list_contains(answers, {settling}) THEN {then}"
        f" WHEN list_count(answers) = len(answers) THEN {otherwise} END"
    )
    return f"list_transform([{transformed(texts, lambdas)}], lambda answers: {whether})[1]"


def replaced(pattern: Pattern, texts: Sequence[str], lambdas: Sequence[LambdaText]) -> str:
    """The text cut at its matches, with what the lambda says between the pieces; NULL if it says NULL of any.

    The pattern cannot match the empty text: there the engine's pieces and its matches do not agree.
    """
    assert pattern.groups <= GROUPS_NAMED, "the engine must be able to name every group"
    by = quoted(pattern.text)
    found = [f"regexp_extract_all({texts[0]}, {by}, {group})" for group in range(1, pattern.groups + 1)]
    own = f"[{', '.join(f'own[{group}]' for group in range(1, pattern.groups + 1))}]"
    if not found:
        found, own = [f"regexp_extract_all({texts[0]}, {by})"], literal([], Array(Scalar.VARCHAR))
    groups = f"list_transform(list_zip({', '.join(found)}), lambda own: {own})"
    said = f"list_transform({groups}, {lambdas[0]})"
    cut = f"struct_pack(pieces := string_split_regex({texts[0]}, {by}), said := {said})"
    joined = (
        "CASE WHEN list_count(cut.said) = len(cut.said) THEN array_to_string(list_transform("
        "list_zip(cut.pieces, list_append(cut.said, '')), lambda pair: pair[1] || pair[2]), '') END"
    )
    return f"list_transform([{cut}], lambda cut: {joined})[1]"
