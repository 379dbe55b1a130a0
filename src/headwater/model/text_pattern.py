"""What a text must look like: LIKE, regexp_like and starts_with in one form, which a scan can answer early.

`sql` makes them of the constants of a condition, `storage` asks them of each different text once. Both have the same
library at hand as the engine has inside, RE2, so a pattern means one thing everywhere; where the two might know
different tables of Unicode no pattern is made.
"""

from __future__ import annotations

import math
import re
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headwater.errors import Invalid
from headwater.model.patterns import Pattern

WORK_MOST = 1 << 28
"""Bytes of texts times steps of a pattern: about a second at worst. More of it is left to the engine, whose runs can
be stopped."""


@dataclass(frozen=True, slots=True)
class TextPattern:
    """A text matches if it begins with `prefix` and RE2 finds `regex` somewhere in it; an empty one is everywhere.

    `shown` is the condition as a reader of SQL would say it of a column.
    """

    shown: str
    prefix: str
    regex: str

    def matched(self, texts: pa.StringArray, work: int = WORK_MOST) -> npt.NDArray[np.bool_]:
        """For each text whether it matches; there is no null among them. Some that do not may be told to match, and
        all where it would be more than `work`.
        """
        begins: npt.NDArray[np.bool_] = pc.starts_with(texts, self.prefix).to_numpy(zero_copy_only=False)
        if not self.regex:
            return begins
        asked = texts.filter(pa.array(begins)) if self.prefix else texts
        if _steps(self.regex) * int(asked.nbytes) <= work:
            # The engine's own LIKE takes patterns that are too large for the library.
            with suppress(pa.ArrowInvalid):
                begins[begins] = pc.match_substring_regex(asked, self.regex).to_numpy(zero_copy_only=False)
        return begins


def starting_with(prefix: str) -> TextPattern:
    return TextPattern(f"STARTS WITH {_quoted(prefix)}", prefix, "")


def like(pattern: str, escape: str | None = None) -> TextPattern | str | None:
    """A pattern of LIKE: `%` is any text, `_` one character. The very text if there is neither in it.

    None if the escape character is where it must not be.
    """
    pieces = _pieces(pattern, escape)
    if pieces is None:
        return None
    literal = next((at for at, piece in enumerate(pieces) if piece in _ANY), len(pieces))
    prefix, rest = "".join(pieces[:literal]), pieces[literal:]
    if not rest:
        return prefix
    shown = f"LIKE {_quoted(pattern)}" + ("" if escape is None else f" ESCAPE {_quoted(escape)}")
    if all(piece == _ANY_TEXT for piece in rest):
        return TextPattern(shown, prefix, "")
    return TextPattern(shown, prefix, _anchored(pieces))


def regular(text: str) -> TextPattern | None:
    """A pattern of regexp_like. None for one that is none, or that the engine might read otherwise."""
    try:
        regex = Pattern(text).text
    except Invalid:
        return None
    return TextPattern(f"MATCHES {_quoted(text)}", _beginning(regex), regex) if _is_certain(regex) else None


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _steps(regex: str) -> int:
    """About how many states the pattern has, at most: what is counted is there so often."""
    counts = (int(last or first) for first, last in re.findall(r"(?<!\\x)\{(\d+),?(\d*)\}", regex))
    return len(regex) * math.prod(max(count, 1) for count in counts)


# LIKE

_ANY_TEXT, _ANY_ONE = "any text", "any character"
_ANY = (_ANY_TEXT, _ANY_ONE)
"""Pieces of a pattern that are no character."""


def _pieces(pattern: str, escape: str | None) -> list[str] | None:
    """The pattern as characters and wildcards; the engine's LIKE has no escape character but a given one."""
    wild = {"%": _ANY_TEXT, "_": _ANY_ONE}
    pieces, rest = [], iter(pattern)
    for character in rest:
        if character == escape:
            escaped = next(rest, "")
            if escaped not in ("%", "_", escape):
                return None
            pieces.append(escaped)
        else:
            pieces.append(wild.get(character, character))
    return pieces


def _anchored(pieces: list[str]) -> str:
    """The pieces as a regular expression; one that is found anywhere needs no word of any text at an end."""
    words = [_as_regex(piece) for piece in pieces]
    if pieces[0] == _ANY_TEXT:
        del words[0]
    else:
        words.insert(0, "\\A")
    if pieces[-1] != _ANY_TEXT:
        words.append("\\z")
    elif words:
        del words[-1]
    return "".join(words)


def _as_regex(piece: str) -> str:
    if piece in _ANY:
        return "(?s:.*)" if piece == _ANY_TEXT else "(?s:.)"
    return piece if piece.isalnum() or not piece.isascii() else f"\\x{{{ord(piece):x}}}"


# Regular expressions

_BEGINNING = re.compile(r"(?:\^|\\A)([A-Za-z0-9 _:/@=,;%&#!~'\"<>-]+)(?:([*?{])|.|\Z)", re.DOTALL)


def _beginning(regex: str) -> str:
    """What a text must begin with to match; the empty text if that cannot be seen."""
    found = _BEGINNING.match(regex)
    if found is None or "|" in regex:
        return ""
    # What may be there no time is the last character before the sign that says so.
    return found[1][:-1] if found[2] else found[1]


def _is_certain(regex: str) -> bool:
    """Whether two libraries with tables of different versions of Unicode read it alike."""
    if re.search(r"\\[pP]", regex):
        return False
    ignores_case = re.search(r"\(\?[a-z]*i", regex) is not None
    return not ignores_case or (regex.isascii() and "\\x" not in regex)
