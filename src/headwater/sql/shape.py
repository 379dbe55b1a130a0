"""The shape of a text: what is left when its literals are taken out. Used by `compile` and `plan_cache`.

Dashboards send one text again and again with other times and hosts. Two texts of one shape have the same tokens but for
the values of literals: numbers of one kind, strings, short intervals of one kind. Literals that are equal in one text
are equal in the other. So the first one's plan fits the second, unless it knows the value of a literal (constant.py).

Here a literal is found by one regular expression, much faster than the lexer. Whatever is not taken out stays in the
shape, and whatever is taken out but claimed by nobody is pinned: so a mistake here makes plans rarer, never wrong.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from typing import Any

from headwater.errors import Invalid
from headwater.model.types import Scalar
from headwater.sql import tree
from headwater.sql.constant import Constant, Given, Trace
from headwater.sql.texts import parse_duration
from headwater.threads import in_turns

CHARACTERS_MAX = 20_000
"""Of a text that has a shape: longer ones are seldom sent twice."""

_LITERAL = re.compile(
    r"""
      (?P<string> '[^']*+(?:''[^']*+)*+' )
    | (?<![A-Za-z0-9_]) (?P<number> (?: [0-9]++(?:\.[0-9]*+)?+ | \.[0-9]++ ) (?:[eE][-+]?[0-9]++)?+ )
      (?P<unit> [A-Za-z0-9_]*+ )
    | "[^"]*+(?:""[^"]*+)*+" | --[^\r\n]*+ | /\*(?s:.*?)\*/
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Shape:
    """`key` is equal for texts of one shape, `values` are the different literals in order of first appearance.

    Of each literal in the text, in order: `offsets` say where it starts, `places` which of `values` it is, `kinds` what
    makes plans of one kind not fit the other. A short interval's value is that of the interval.
    """

    key: str
    values: tuple[Any, ...]
    offsets: tuple[int, ...]
    places: tuple[int, ...]
    kinds: tuple[str, ...]


def shape_of(text: str) -> Shape | None:
    """The shape, or None for a text that is compiled anew each time."""
    if len(text) > CHARACTERS_MAX or "\0" in text or "&'" in text:
        return None
    parts: list[str] = []
    known: dict[str, int] = {}
    values: list[Any] = []
    offsets: list[int] = []
    places: list[int] = []
    kinds: list[str] = []
    end = 0
    for match in in_turns(_LITERAL.finditer(text)):
        if match.lastgroup is None:
            continue
        written = match[0]
        read = _read(match)
        if read is None:
            return None
        kind, value = read
        place = known.setdefault(written, len(values))
        if place == len(values):
            values.append(value)
        start = match.start()
        parts.append(f"{text[end:start]}\0{kind}{place}\0")
        offsets.append(start)
        places.append(place)
        kinds.append(kind)
        end = match.end()
    parts.append(text[end:])
    return Shape("".join(parts), tuple(values), tuple(offsets), tuple(places), tuple(kinds))


def _read(match: re.Match[str]) -> tuple[str, Any] | None:
    """The kind and value of a literal; None if it is none after all."""
    if match["string"] is not None:
        return "string", match[0][1:-1].replace("''", "'")
    number, unit = match["number"], match["unit"]
    if unit:
        try:
            value, scalar = parse_duration(match[0])
        except Invalid:
            return None
        return ("duration" if scalar is Scalar.INTERVAL_DAY_TO_SECOND else "months"), value
    if not number.isdigit():
        return "double", float(number)
    # The length first: Python takes quadratic time for long integers.
    if len(number) > 19 or int(number) >= 2**63:
        return None
    return ("integer" if int(number) < 2**31 else "bigint"), int(number)


class Literals:
    """The literals of one text while it is compiled: the binder claims those that it makes constants of."""

    def __init__(self, text: str, shape: Shape, trace: Trace) -> None:
        self._shape = shape
        self._trace = trace
        self._line_starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._claimed: set[int] = set()

    def constant(self, node: tree.Node, value: Any, *, is_inside: bool) -> Constant:
        """The constant of the literal that `node` starts with, or of the first inside it, after a word or a sign.

        It has no origin if that literal is another.
        """
        offset = self._line_starts[node.line - 1] + node.column - 1
        index = bisect_left(self._shape.offsets, offset)
        if index == len(self._shape.offsets) or (self._shape.offsets[index] > offset) != is_inside:
            return Constant(value)
        place = self._shape.places[index]
        found = self._shape.values[place]
        if type(found) is not type(value) or found != value:
            return Constant(value)
        self._claimed.add(index)
        return Constant(value, Given(place, self._trace))

    def pin_rest(self) -> None:
        """Of the literals that nobody has claimed, the plan knows the values."""
        rest = (place for index, place in enumerate(self._shape.places) if index not in self._claimed)
        self._trace.pinned.update(rest)
