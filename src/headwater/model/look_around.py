"""Patterns that look ahead or behind where they begin or end, as RE2 can find them, which never looks around.

What stands ahead of or behind a match is matched too and left out of what is taken: `(?<=X)P(?=Y)` is found as
`(?:X)(P)(?:Y)`; `^(?!X)P` as `^P` in texts in which `^X` is not found, `^((?!X).)*$` where X is found nowhere. So the
first match is the same, in linear time; a second one is not always, for what is looked at may belong to two. All other
patterns that look around are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from headwater.errors import Invalid
from headwater.model.patterns import PIECE, Pattern, unsupported

_LOOKS = ("(?=", "(?!", "(?<=", "(?<!")
_PLAIN = re.compile(r"[|)^]|[^|)^]+")
_FLAGS = re.compile(r"\(\?[is]+\)")
_IS_FLAGS = re.compile(r"\(\?[A-Za-z-]*\)")
_QUANTIFIERS = ("*", "+", "?", "{")
LOOKS_MOST = 16
CHARACTERS_MOST = 32

_CHARACTER = r"\[\^?(?!\^)(?:[^\[\]&\\]|\\[dws]|\\[^A-Za-z0-9])+\]|\\[dDwWsS]|\\[^A-Za-z0-9]|[^\\\[\](){}*+?|.^$]"
"""One that a class can hold, or a class."""


@dataclass(frozen=True, slots=True)
class FirstMatch:
    """What finds the first match of a pattern: `text` in RE2's syntax, in which `group` is the match, and group n of
    the pattern `group` + n. There is none in a text in which one of `required` is not found, or one of `forbidden` is.
    """

    text: str
    group: int
    groups: int
    required: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether it is the pattern itself."""
        return not (self.group or self.required or self.forbidden)


def first_match(text: str) -> FirstMatch:
    """Raises Invalid."""
    if any(look in text for look in _LOOKS):
        pieces = [part for piece in PIECE.findall(text) for part in _parts(piece)]
        if any(piece in _LOOKS for piece in pieces):
            return _Reader(text, pieces).read()
    pattern = Pattern(text)
    return FirstMatch(pattern.text, 0, pattern.groups)


def _parts(piece: str) -> list[str]:
    """Text without a meaning of its own may hold the end of a group, a choice, a beginning."""
    return [piece] if piece[0] in "\\[(" else _PLAIN.findall(piece)


class _Reader:
    """Takes what looks around from both ends of the pieces of a pattern."""

    def __init__(self, text: str, pieces: list[str]) -> None:
        self._text = text
        self._pieces = pieces
        self._flags = pieces.pop(0) if _FLAGS.fullmatch(pieces[0]) else ""

    def read(self) -> FirstMatch:
        return self._nowhere() or self._at_ends()

    def _nowhere(self) -> FirstMatch | None:
        """`^((?!X).)*$`: texts of one line in which X is found nowhere."""
        opening = self._pieces[:3]
        if opening not in (["^", "(", "(?!"], ["^", "(?:", "(?!"]):
            return None
        end = self._end(2)
        if self._pieces[end + 1 :] not in ([".", ")", "*$"], [".", ")", "+$"]):
            return None
        nowhere = Pattern(f"{self._flags}(?:{self._looked_at(2)})")
        if nowhere.matches_empty:
            raise self._refusal()
        pattern = Pattern(self._flags + "".join(self._pieces))
        return FirstMatch(pattern.text, 0, pattern.groups, forbidden=(nowhere.text,))

    def _at_ends(self) -> FirstMatch:
        behind, begin = "", ""
        required: list[str] = []
        forbidden: list[str] = []
        if self._pieces[0] in ("^", "\\A"):
            begin = self._pieces.pop(0)
            while self._pieces and self._pieces[0] in ("(?=", "(?!"):
                if len(required) + len(forbidden) == LOOKS_MOST:
                    raise self._refusal()
                found = required if self._pieces[0] == "(?=" else forbidden
                found.append(Pattern(f"{self._flags}\\A(?:{self._looked_at(0)})").text)
        elif self._pieces[0] in ("(?<=", "(?<!"):
            behind = self._behind()
        ahead = self._ahead()
        # Of a choice, what looks around would belong to one only; flags would hold for what is looked at too.
        has_choice = ("|", 0) in zip(self._pieces, self._depths(), strict=True)
        if has_choice or any(piece in _LOOKS or _IS_FLAGS.fullmatch(piece) for piece in self._pieces):
            raise self._refusal()
        pattern = Pattern(f"{self._flags}{begin}{behind}({''.join(self._pieces)}){ahead}")
        return FirstMatch(pattern.text, 1, pattern.groups - 1, tuple(required), tuple(forbidden))

    def _behind(self) -> str:
        """What the match begins behind. The first of all matches of this is that of the pattern only where its length
        is always the same, or where it may be the beginning of the text.
        """
        is_wanted = self._pieces[0] == "(?<="
        inner = self._looked_at(0)
        if not is_wanted:
            characters = self._characters(inner)
            if len(characters) != 1:
                raise self._refusal()
            return rf"(?:\A|{_other_than(characters[0])})"
        begin, fixed = ("^|", inner[2:]) if inner.startswith("^|") else ("", inner)
        if inner.endswith("|^"):
            begin, fixed = "^|", inner[:-2]
        try:
            re.compile(f"(?<={fixed})")
        except re.error:
            raise self._refusal() from None
        return f"(?:{begin}{fixed})"

    def _ahead(self) -> str:
        """What the match ends ahead of."""
        if self._pieces[-1:] != [")"]:
            return ""
        depths = self._depths()
        before = range(len(depths) - 2, -1, -1)
        start = next((at for at in before if depths[at] == depths[-1] and self._pieces[at][0] == "("), None)
        if start is None or self._pieces[start] not in ("(?=", "(?!"):
            return ""
        is_wanted = self._pieces[start] == "(?="
        inner = self._looked_at(start)
        return f"(?:{inner})" if is_wanted else self._no_beginning(self._characters(inner))

    def _looked_at(self, start: int) -> str:
        """Take a group out of the pieces; what it holds, which must have no groups that count."""
        end = self._end(start)
        inner = "".join(self._pieces[start + 1 : end])
        following = self._pieces[end + 1 : end + 2]
        is_repeated = bool(following) and following[0].startswith(_QUANTIFIERS)
        if end == len(self._pieces) or is_repeated or Pattern(inner).groups:
            raise self._refusal()
        del self._pieces[start : end + 1]
        return inner

    def _characters(self, inner: str) -> list[str]:
        """The characters, or classes of characters, of which `inner` is a sequence."""
        found: list[str] = re.findall(_CHARACTER, inner, re.DOTALL)
        if "i" in self._flags or "".join(found) != inner or not 1 <= len(found) <= CHARACTERS_MOST:
            raise self._refusal()
        return found

    def _no_beginning(self, characters: list[str]) -> str:
        """What a text can go on with that does not go on with these."""
        first, *rest = characters
        others = rf"\z|{_other_than(first)}"
        return f"(?:{others}|{first}{self._no_beginning(rest)})" if rest else f"(?:{others})"

    def _end(self, start: int) -> int:
        """The place of the parenthesis that closes the group which begins at `start`; behind the last if none does."""
        depths = self._depths()
        places = range(start + 1, len(depths))
        return next((at for at in places if depths[at] == depths[start] and self._pieces[at] == ")"), len(depths))

    def _depths(self) -> list[int]:
        """In how many groups each piece stands; what opens or closes one stands outside."""
        depths, depth = [], 0
        for piece in self._pieces:
            if piece == ")":
                depth -= 1
            depths.append(depth)
            if piece[0] == "(" and not _IS_FLAGS.fullmatch(piece):
                depth += 1
        return depths

    def _refusal(self) -> Invalid:
        return unsupported("it looks ahead or behind", self._text)


def _other_than(character: str) -> str:
    """A class of all characters but these."""
    if character.startswith("[^"):
        return f"[{character[2:]}"
    if character[0] == "[":
        return f"[^{character[1:]}"
    if character[0] == "\\" and character[1].isalpha():
        return character.swapcase()
    return f"[^{character}]"
