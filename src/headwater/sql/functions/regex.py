"""Rows of regular expressions. Patterns are Java's, the engine's are RE2's: model/patterns.py goes between.

A constant pattern is read before the query runs; one that is a column's while it runs, once a different text.
Source: sql.md 6.8.
"""

from __future__ import annotations

from collections.abc import Callable

from headwater.errors import Invalid
from headwater.model.look_around import FirstMatch, first_match
from headwater.model.patterns import GROUPS_NAMED, Pattern, check_splits, replacement
from headwater.model.types import Scalar
from headwater.sql.coercion import literal, quoted, use_once
from headwater.sql.functions.limits import CUT_FITS, SMALL_BYTES, checked, within
from headwater.sql.signature import Call, Check, Signature, row


def _pattern(call: Call) -> Pattern | None:
    """The pattern where it is known, and not NULL. Raises Invalid."""
    return Pattern(call.value(1)) if call.is_constant(1) and call.value(1) is not None else None


def _first_match(call: Call) -> FirstMatch | None:
    """What finds the first match of the pattern, where that is known and not NULL. Raises Invalid."""
    return first_match(call.value(1)) if call.is_constant(1) and call.value(1) is not None else None


def _check_pattern(call: Call) -> None:
    _pattern(call)


def _check_first(call: Call) -> None:
    _first_match(call)


def _check_group(call: Call) -> None:
    """The pattern, and that the group is constant."""
    _pattern(call)
    call.value(2)


def _check_first_group(call: Call) -> None:
    """As `_check_group`, of a function that looks for the first match only."""
    _first_match(call)
    call.value(2)


def _guard_group(call: Call) -> None:
    pattern = _pattern(call)
    _guard(call.value(2), None if pattern is None else pattern.groups)


def _guard_first_group(call: Call) -> None:
    first = _first_match(call)
    _guard(call.value(2), None if first is None else first.groups, 0 if first is None else first.group)


def _guard(group: int | None, groups: int | None, before: int = 0) -> None:
    """Raises Invalid for a group that a pattern of `groups` has not, or behind those that the engine can name: it has
    `before` groups more.
    """
    if group is None:
        return
    if group < 0:
        raise Invalid("Group cannot be negative")
    if groups is not None and group > groups:
        raise Invalid(f"Pattern has {groups} groups. Cannot access group {group}")
    if group + before > GROUPS_NAMED:
        raise Invalid(f"Group {group} is not supported: the last one is {GROUPS_NAMED - before}")


def _guard_replacement(call: Call) -> None:
    pattern = _pattern(call)
    if pattern is not None and call.is_constant(2) and call.value(2) is not None:
        replacement(call.value(2), pattern)


def _check_split(call: Call) -> None:
    pattern = _pattern(call)
    if pattern is not None:
        check_splits(pattern, call.value(1))


def _written(call: Call, otherwise: str) -> str:
    """The pattern for the engine: a literal, or what `otherwise` computes of the column's."""
    pattern = _pattern(call)
    return otherwise if pattern is None else quoted(pattern.text)


def _is_null(call: Call, index: int) -> bool:
    return call.is_constant(index) and call.value(index) is None


def _on_pattern(template: str, read: str = "arrow_pattern({1})") -> Callable[[Call], str]:
    """A lowering in which {1} is the pattern as the engine writes it."""

    def lower(call: Call) -> str:
        if _is_null(call, 1):
            return literal(None, call.result)
        texts = [call.texts[0], _written(call, read.format(*call.texts)), *call.texts[2:]]
        return use_once(template, texts)

    return lower


def _replace(call: Call) -> str:
    by = "''" if len(call.texts) == 2 else call.texts[2]
    if _is_null(call, 1) or (len(call.texts) > 2 and _is_null(call, 2)):
        return literal(None, call.result)
    checked = _pattern(call)
    if checked is not None and call.is_constant(2):
        by = quoted(replacement(call.value(2), checked))
    elif len(call.texts) > 2:
        by = f"arrow_replacement({call.texts[1]}, {by})"
    pattern = _written(call, f"arrow_pattern({call.texts[1]})")
    return use_once(_REPLACED, [call.texts[0], pattern, by])


_REPLACED_MOST = "(strlen({0}) + 1) * greatest(strlen({2}), 1)"
_REPLACED_BYTES = (
    f"CASE WHEN {_REPLACED_MOST} > {SMALL_BYTES} THEN strlen({{0}}) * (1 + len(regexp_extract_all({{2}}, '\\\\')))"
    f" + strlen({{2}}) * CASE WHEN {CUT_FITS} THEN len(regexp_extract_all({{0}}, {{1}})) END ELSE 0 END"
)
"""At most so many: the texts of all matches together are as long as the text, and each group's in them may be said as
often as there are backslashes. Matches are counted only where there may be many."""

_REPLACED = (
    f"list_transform([{_REPLACED_BYTES}], lambda size: "
    + checked(f"regexp_replace({within('{0}', 'size')}, {{1}}, {{2}}, 'g')", Scalar.VARCHAR, size="size", bytes_="size")
    + ")[1]"
)


def _row(
    text: str, lower: str | Callable[[Call], str], check: Check, source: str = "6.8", guard: Check | None = None
) -> Signature:
    written = _on_pattern(lower) if isinstance(lower, str) else lower
    return row(text, written, check=check, guard=guard, source=source)


_GROUP = "arrow_pattern_of_group({1}, {2})"
_PLAIN_LIKE = _on_pattern("regexp_matches({0}, {1})")
_PLAIN_EXTRACT = _on_pattern("CASE WHEN regexp_matches({0}, {1}) THEN regexp_extract({0}, {1}) END")
_PLAIN_GROUP = _on_pattern("(regexp_extract_all({0}, {1}, {2}))[1]", _GROUP)
"""NULL for a group that took no part in the match, for which the engine's regexp_extract has an empty text."""


def _like(call: Call) -> str:
    first = _first_match(call)
    if first is None or first.is_plain:
        return _PLAIN_LIKE(call)
    condition, patterns = _is_found(first)
    return use_once(condition, [call.texts[0], *patterns])


def _extract(call: Call) -> str:
    """The first match, or a group of it."""
    first, has_group = _first_match(call), len(call.texts) == 3
    if first is None or first.is_plain:
        return (_PLAIN_GROUP if has_group else _PLAIN_EXTRACT)(call)
    group = call.value(2) if has_group else 0
    if group is None:
        return literal(None, call.result)
    condition, patterns = _is_found(first)
    taken = f"(regexp_extract_all({{0}}, {{1}}, {first.group + group}))[1]"
    return use_once(f"CASE WHEN {condition} THEN {taken} END", [call.texts[0], *patterns])


def _is_found(first: FirstMatch) -> tuple[str, list[str]]:
    """A condition on {0}, and the patterns that it calls {1} and so on, the one that finds the match first."""
    patterns = [first.text, *first.required, *first.forbidden]
    unwanted = len(patterns) - len(first.forbidden)
    found = [f"{'NOT ' if at >= unwanted else ''}regexp_matches({{0}}, {{{at + 1}}})" for at in range(len(patterns))]
    return f"({' AND '.join(found)})", [*map(quoted, patterns)]


ROWS = (
    _row("regexp_like(varchar, varchar) -> boolean", _like, _check_first),
    _row("regexp_extract(varchar, varchar) -> varchar", _extract, _check_first),
    _row(
        "regexp_extract(varchar, varchar, integer) -> varchar", _extract, _check_first_group, guard=_guard_first_group
    ),
    _row(
        "regexp_extract_all(varchar, varchar) -> array(varchar)",
        f"CASE WHEN {CUT_FITS} THEN regexp_extract_all({{0}}, {{1}}) END",
        _check_pattern,
    ),
    _row(
        "regexp_extract_all(varchar, varchar, integer) -> array(varchar)",
        _on_pattern("regexp_extract_all({0}, {1}, {2})", _GROUP),
        _check_group,
        guard=_guard_group,
    ),
    _row("regexp_replace(varchar, varchar) -> varchar", _replace, _check_pattern),
    _row("regexp_replace(varchar, varchar, varchar) -> varchar", _replace, _check_pattern, guard=_guard_replacement),
    _row(
        "regexp_split(varchar, varchar) -> array(varchar)",
        _on_pattern(
            f"CASE WHEN {{1}} IS NOT NULL AND {CUT_FITS} THEN string_split_regex({{0}}, {{1}}) END",
            "arrow_pattern_to_split({1})",
        ),
        _check_split,
    ),
    _row(
        "regexp_count(varchar, varchar) -> bigint",
        f"CASE WHEN {CUT_FITS} THEN len(regexp_extract_all({{0}}, {{1}})) END",
        _check_pattern,
        "Trino",
    ),
    _row(
        "regexp_position(varchar, varchar) -> bigint",
        _on_pattern(
            f"CASE WHEN regexp_matches({{0}}, {{1}}) AND {CUT_FITS}"
            " THEN length((string_split_regex({0}, {1}))[1]) + 1"
            " WHEN {0} IS NOT NULL AND {1} IS NOT NULL THEN -1 END",
            "arrow_pattern_to_split({1})",
        ),
        _check_split,
        "Trino",
    ),
)
