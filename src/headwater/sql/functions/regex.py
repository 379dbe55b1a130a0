"""Rows of regular expressions. Patterns are Java's, the engine's are RE2's: what differs is refused by name.

A pattern and a replacement must be constants, so that they are checked before the query runs. Source: sql.md 6.8.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from headwater.errors import Invalid
from headwater.sql.coercion import literal, quoted, use_once
from headwater.sql.signature import Call, Check, Signature, row

GROUPS_NAMED = 9
"""The highest group that the engine can name."""


class Pattern:
    """A checked pattern: its text for the engine, and the groups it holds. Raises Invalid."""

    def __init__(self, text: str) -> None:
        self.group_names: dict[str, int] = {}
        self.groups = 0
        pieces = [self._piece(piece, text) for piece in _pieces(text)]
        self.text = "".join(pieces)
        # An empty text has no word for \b to be at the edge of; another may have one around nothing.
        anywhere = "".join("(?:)" if piece == "\\b" else piece for piece in pieces)
        self.matches_empty = _accepted(self.text, "") or _accepted(anywhere, "")

    def _piece(self, piece: str, text: str) -> str:
        """One piece as the engine writes it: its RE2 knows names of groups only in Python's form."""
        if piece[:2] in _READ_OTHERWISE:
            raise Invalid(f"Invalid or unsupported regular expression: {text}")
        if piece[0] == "[" and re.search(r"(?<!\\)(\[|&&)", piece[1:]):
            raise Invalid(f"Unsupported regular expression, a class within a class: {text}")
        named = re.fullmatch(r"\(\?<(\w+)>", piece)
        if named or piece == "(":
            self.groups += 1
        if named is None:
            return piece
        self.group_names[named[1]] = self.groups
        return f"(?P<{named[1]}>"


_READ_OTHERWISE = ("\\v", "\\V", "\\h", "\\H", "\\R")
"""Escapes that mean one thing to Java and another, or nothing, to RE2."""

_PIECE = re.compile(
    r"\\Q.*?(?:\\E|\Z)"  # quoted text
    r"|\\.?"  # an escape
    r"|\[\^?\]?(?:\\.|[^\]\\])*\]?"  # a class
    r"|\(\?<[A-Za-z]\w*>|\(\?|\("  # what opens a group
    r"|[^\\\[(]+",
    re.DOTALL,
)


def _pieces(text: str) -> list[str]:
    """The pattern cut where its reading changes; joined, they are the pattern."""
    return _PIECE.findall(text)


def _accepted(pattern: str, text: str) -> bool:
    """Whether RE2 finds the pattern in a text. Raises Invalid if it is not one of RE2's."""
    try:
        return bool(pc.match_substring_regex(pa.array([text]), pattern)[0].as_py())
    except pa.ArrowInvalid as fault:
        raise Invalid(f"Invalid or unsupported regular expression: {pattern}") from fault


def _check_pattern(call: Call) -> None:
    if call.value(1) is not None:
        Pattern(call.value(1))


def _check_group(call: Call) -> None:
    _check_pattern(call)
    group = call.value(2)
    if call.value(1) is None or group is None:
        return
    groups = Pattern(call.value(1)).groups
    if group < 0:
        raise Invalid("Group cannot be negative")
    if group > groups:
        raise Invalid(f"Pattern has {groups} groups. Cannot access group {group}")
    if group > GROUPS_NAMED:
        raise Invalid(f"Group {group} is not supported: the last one is {GROUPS_NAMED}")


def _check_replacement(call: Call) -> None:
    _check_pattern(call)
    if call.value(1) is not None and call.value(2) is not None:
        _replacement(call.value(2), Pattern(call.value(1)))


def _check_split(call: Call) -> None:
    _check_pattern(call)
    if call.value(1) is not None and Pattern(call.value(1)).matches_empty:
        raise Invalid(f"Splitting at a pattern that matches the empty text is not supported: {call.value(1)}")


_REPLACEMENT = re.compile(
    r"\\(?P<plain>.)|\$\{(?P<name>\w+)\}|\$(?P<number>\d+)|(?P<bad>[\\$])|(?P<text>[^\\$]+)", re.S
)


def _replacement(text: str, pattern: Pattern) -> str:
    """Java's replacement as RE2's: `$1` becomes `\\1`. Raises Invalid."""
    out = []
    for part in _REPLACEMENT.finditer(text):
        if part["bad"]:
            raise Invalid(f"Illegal replacement sequence: {text}")
        plain = part["plain"] or part["text"]
        if plain is not None:
            out.append(plain.replace("\\", "\\\\"))
            continue
        number, digits = _reference(part, pattern)
        if number > GROUPS_NAMED:
            raise Invalid(f"Group {number} is not supported: the last one is {GROUPS_NAMED}")
        out.append(f"\\{number}{digits}")
    return "".join(out)


def _reference(part: re.Match[str], pattern: Pattern) -> tuple[int, str]:
    """The group that `$12` or `${name}` names, and digits that belong to the text behind it. Raises Invalid."""
    if part["name"]:
        if part["name"] not in pattern.group_names:
            raise Invalid(f"Illegal replacement sequence: unknown group {{{part['name']}}}")
        return pattern.group_names[part["name"]], ""
    digits = part["number"]
    taken = max((n for n in range(1, len(digits) + 1) if int(digits[:n]) <= pattern.groups), default=0)
    if taken == 0:
        raise Invalid(f"Illegal replacement sequence: unknown group {{{digits}}}")
    return int(digits[:taken]), digits[taken:]


def _on_pattern(template: str) -> Callable[[Call], str]:
    """A lowering in which {1} is the pattern as the engine writes it."""

    def lower(call: Call) -> str:
        pattern = call.value(1)
        if pattern is None:
            return literal(None, call.result)
        return use_once(template, (call.texts[0], quoted(Pattern(pattern).text), *call.texts[2:]))

    return lower


def _replace(call: Call) -> str:
    pattern, by = call.value(1), call.value(2) if len(call.texts) > 2 else ""
    if pattern is None or by is None:
        return literal(None, call.result)
    checked = Pattern(pattern)
    return f"regexp_replace({call.texts[0]}, {quoted(checked.text)}, {quoted(_replacement(by, checked))}, 'g')"


def _row(text: str, lower: str | Callable[[Call], str], check: Check) -> Signature:
    return row(text, _on_pattern(lower) if isinstance(lower, str) else lower, check=check, source="6.8")


_EXTRACT = "CASE WHEN regexp_matches({0}, {1}) THEN regexp_extract({0}, {1}) END"
_FIRST_GROUP = "(regexp_extract_all({0}, {1}, {2}))[1]"
"""NULL for a group that took no part in the match, for which the engine's regexp_extract has an empty text."""

ROWS = (
    _row("regexp_like(varchar, varchar) -> boolean", "regexp_matches({0}, {1})", _check_pattern),
    _row("regexp_extract(varchar, varchar) -> varchar", _EXTRACT, _check_pattern),
    _row("regexp_extract(varchar, varchar, integer) -> varchar", _FIRST_GROUP, _check_group),
    _row("regexp_extract_all(varchar, varchar) -> array(varchar)", "regexp_extract_all({0}, {1})", _check_pattern),
    _row(
        "regexp_extract_all(varchar, varchar, integer) -> array(varchar)",
        "regexp_extract_all({0}, {1}, {2})",
        _check_group,
    ),
    _row("regexp_replace(varchar, varchar) -> varchar", _replace, _check_pattern),
    _row("regexp_replace(varchar, varchar, varchar) -> varchar", _replace, _check_replacement),
    _row("regexp_split(varchar, varchar) -> array(varchar)", "string_split_regex({0}, {1})", _check_split),
)
