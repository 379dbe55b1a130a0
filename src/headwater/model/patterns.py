"""Regular expressions: Java's syntax, which the dialect has, as RE2's, which the engine has.

What both read alike stays as it is, what RE2 would read otherwise is rewritten, and what it cannot do in linear time is
refused by name. `sql` reads constant patterns with it before a query runs, `engine` those of columns while it runs.
Source: sql.md 6.8; the syntax is that of java.util.regex.Pattern.
"""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

from headwater.errors import Invalid

GROUPS_NAMED = 9
"""The highest group that the engine can name."""


class Pattern:
    """A checked pattern: its text for the engine, and the groups it holds. Raises Invalid."""

    def __init__(self, text: str) -> None:
        self.group_names: dict[str, int] = {}
        self.groups = 0
        pieces = [self._piece(piece, text) for piece in PIECE.findall(text)]
        self.text = "".join(pieces)
        # An empty text has no word for \b to be at the edge of; another may have one around nothing.
        anywhere = "".join("(?:)" if piece == "\\b" else piece for piece in pieces)
        self.matches_empty = _accepted(self.text, "", text) or _accepted(anywhere, "", text)

    def _piece(self, piece: str, text: str) -> str:
        """One piece as the engine writes it."""
        if piece.startswith("\\Q"):
            return piece
        if piece[0] == "\\":
            return f"[{_escape(piece, text)}]" if _is_class(piece) else _escape(piece, text)
        if piece[0] == "[":
            return _class(piece, text)
        if piece[0] == "(":
            return self._group(piece, text)
        if re.search(r"[*+?]\+|\{\d+(?:,\d*)?\}\+", piece):
            raise unsupported("a possessive quantifier", text)
        return piece

    def _group(self, piece: str, text: str) -> str:
        """What opens a group: RE2 knows names only in Python's form."""
        if piece[2:] in ("=", "!", "<=", "<!"):
            raise unsupported("it looks ahead or behind", text)
        if piece[2:] == ">":
            raise unsupported("an atomic group", text)
        flags = re.fullmatch(r"\(\?([A-Za-z]*)(-[A-Za-z]*)?[:)]", piece)
        if flags and set(f"{flags[1]}{flags[2] or ''}") - set("ims-"):
            raise unsupported(f"the flags {piece}", text)
        named = re.fullmatch(r"\(\?<(\w+)>", piece)
        if named or piece == "(":
            self.groups += 1
        if named is None:
            return piece
        self.group_names[named[1]] = self.groups
        return f"(?P<{named[1]}>"


_ESCAPE = (
    r"\\[pP]\{[^}]*\}|\\[pP].|\\x\{[0-9A-Fa-f]+\}|\\x[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|\\0[0-3]?[0-7]{1,2}|\\c."
    r"|\\k<\w*>|\\.?"
)
PIECE = re.compile(
    r"\\Q.*?(?:\\E|\Z)"  # quoted text
    rf"|{_ESCAPE}"
    r"|\[\^?\]?(?:\\.|[^\]\\])*\]?"  # a class
    r"|\(\?<?[=!]|\(\?>"  # groups that look around, or do not give back
    r"|\(\?<[A-Za-z]\w*>|\(\?[A-Za-z-]*[:)]|\(\??"  # other groups
    r"|[^\\\[(]+",
    re.DOTALL,
)
"""The smallest parts of a pattern that mean something by themselves, and runs of text without `\\`, `[` and `(`."""

_CLASS_PIECE = re.compile(rf"{_ESCAPE}|[^\\]+", re.DOTALL)

_VERTICAL = r"\n\x0B\f\r\x{85}\x{2028}\x{2029}"
_HORIZONTAL = r" \t\x{A0}\x{1680}\x{180E}\x{2000}-\x{200A}\x{202F}\x{205F}\x{3000}"
_CLASSES = {"\\h": _HORIZONTAL, "\\H": f"^{_HORIZONTAL}", "\\v": _VERTICAL, "\\V": f"^{_VERTICAL}"}
_CLASSES |= {"\\s": r"\t\n\x0B\f\r ", "\\S": r"^\t\n\x0B\f\r "}
"""Escapes that are classes of characters, of which RE2 has none or other ones: what stands between brackets."""

_POSIX = ("Lower", "Upper", "ASCII", "Alpha", "Digit", "Alnum", "Punct", "Graph", "Print", "Blank", "Cntrl", "XDigit")
_PROPERTY = re.compile(r"(?:Is|(?:script|sc|general_category|gc)=)?([A-Za-z_]+)")


def _is_class(piece: str) -> bool:
    return piece in _CLASSES or (piece[:3] in ("\\p{", "\\P{") and piece[3:-1] in (*_POSIX, "Space"))


def _escape(piece: str, text: str) -> str:
    """An escape as RE2 writes it; one of `_is_class` as what stands between brackets. Raises Invalid."""
    if piece in _CLASSES:
        return _CLASSES[piece]
    if piece[1:2] in ("p", "P") and piece[2:3] == "{":
        return _property(piece, text)
    if piece == "\\R":
        return rf"(?:\r\n|[{_VERTICAL}])"
    if piece == "\\e":
        return "\\x1B"
    if piece[1:2] == "u":
        return f"\\x{{{piece[2:]}}}"
    if piece[1:2] == "0":
        return f"\\x{{{int(piece[2:], 8):X}}}" if len(piece) > 2 else piece
    if piece[1:2] == "c" and len(piece) == 3:
        return f"\\x{{{ord(piece[2]) ^ 64:X}}}"
    if piece[1:2].isdigit() or piece[1:2] == "k":
        raise unsupported("it refers back to a group", text)
    if piece[1:2] in ("G", "Z", "X", "N"):
        raise unsupported(piece, text)
    return piece


def _property(piece: str, text: str) -> str:
    """`\\p{...}`: Java's names of classes and categories. Blocks and Java's own predicates are not among RE2's."""
    letter, name = piece[1], piece[3:-1]
    if name in (*_POSIX, "Space"):
        return f"[:{'^' if letter == 'P' else ''}{name.lower()}:]"
    known = _PROPERTY.fullmatch(name)
    if known is None:
        raise unsupported(piece, text)
    return f"\\{letter}{{{known[1]}}}"


def _class(piece: str, text: str) -> str:
    if re.search(r"(?<!\\)(\[|&&)", piece[1:]):
        raise unsupported("a class within a class", text)
    parts = [_escape(part, text) if part[0] == "\\" else part for part in _CLASS_PIECE.findall(piece)]
    if any(part[0] == "^" and whole[0] == "\\" for part, whole in zip(parts, _CLASS_PIECE.findall(piece), strict=True)):
        raise unsupported("a negated class within a class", text)
    return "".join(parts)


def unsupported(what: str, text: str) -> Invalid:
    return Invalid(f"Unsupported regular expression, {what}: {text}")


def _accepted(pattern: str, subject: str, shown: str) -> bool:
    """Whether RE2 finds the pattern in a text. Raises Invalid if it is not one of RE2's."""
    try:
        return bool(pc.match_substring_regex(pa.array([subject]), pattern)[0].as_py())
    except pa.ArrowInvalid as fault:
        raise Invalid(f"Invalid or unsupported regular expression: {shown}") from fault


def check_splits(pattern: Pattern, text: str) -> None:
    """Raises Invalid for a pattern at which a text cannot be split."""
    if pattern.matches_empty:
        raise Invalid(f"Splitting at a pattern that matches the empty text is not supported: {text}")


# ----------------------------------------------------------------------------------------- replacement

_REPLACEMENT = re.compile(
    r"\\(?P<plain>.)|\$\{(?P<name>\w+)\}|\$(?P<number>\d+)|(?P<bad>[\\$])|(?P<text>[^\\$]+)", re.S
)


def replacement(text: str, pattern: Pattern) -> str:
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
