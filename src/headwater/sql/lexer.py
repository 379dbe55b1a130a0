"""Query text to tokens, with their places: the first step of `parser.parse`, which alone calls it.

One regular expression finds every token. Nothing in it can backtrack (all repeats are possessive), so the time is
linear in the text whatever the text is. A word's meaning is not decided here, but for the reserved words.
Source: sql.md 1; what it leaves open is as in Trino's grammar.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, cast

from headwater.errors import Invalid
from headwater.model.limits import Limits
from headwater.threads import pass_on

Kind = Literal[
    "name", "reserved", "quoted", "string", "unicode", "number", "short_interval", "parameter", "symbol", "end"
]

_RESERVED_WORDS = """
    ALTER AND AS BETWEEN BY CASE CAST CONSTRAINT CREATE CROSS CUBE CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP
    CURRENT_USER DEALLOCATE DELETE DESCRIBE DISTINCT DROP ELSE END ESCAPE EXCEPT EXECUTE EXISTS EXTRACT FALSE FOR FROM
    FULL GROUP GROUPING HAVING IN INNER INSERT INTERSECT INTO IS JOIN LEFT LIKE LOCALTIME LOCALTIMESTAMP NATURAL
    NORMALIZE NOT NULL ON OR ORDER OUTER PREPARE RECURSIVE RIGHT ROLLUP SELECT TABLE THEN TRUE UESCAPE UNION UNNEST
    USING VALUES WHEN WHERE WITH
"""
RESERVED = frozenset(_RESERVED_WORDS.split())

_UNITS = {
    short: unit
    for unit, spellings in {
        "nanosecond": ("ns", "nanosecond"),
        "microsecond": ("us", "microsecond"),
        "millisecond": ("ms", "millisecond"),
        "second": ("s", "second"),
        "minute": ("m", "minute"),
        "hour": ("h", "hour"),
        "day": ("d", "day"),
        "month": ("month",),
        "year": ("y", "year"),
    }.items()
    for short in spellings
}

# No flag for case: with it, [A-Z] would match a few letters beyond ASCII.
_TOKEN = re.compile(
    r"""
    (?: [ \t\r\n]++ | --[^\r\n]*+ | /\*(?s:.*?)\*/ )*+
    (?:
        (?P<word> (?! [Uu]&' ) [A-Za-z_][A-Za-z0-9_]*+ )
      | (?P<number> (?: [0-9]++(?:\.[0-9]*+)?+ | \.[0-9]++ ) (?:[eE][-+]?[0-9]++)?+ [A-Za-z0-9_]*+ )
      | (?P<symbol> -> | <> | != | <= | >= | \|\| | :: | / (?!\*) | [-+*%=<>().,;\[\]] )
      | (?P<string> '[^']*+(?:''[^']*+)*+' )
      | (?P<quoted> "[^"]*+(?:""[^"]*+)*+" )
      | (?P<parameter> @[A-Za-z_][A-Za-z0-9_]*+ )
      | (?P<unicode> [Uu]&'[^']*+(?:''[^']*+)*+' )
      | (?P<end> \Z )
      | (?P<stray> (?s:.) )
    )
    """,
    re.VERBOSE,
)

_NUMBER = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?([A-Za-z0-9_]*)")


class Token(NamedTuple):
    """One token and its place; lines and columns count from 1, columns in characters.

    `word` is what the grammar compares: a bare word in upper case, or the symbol; empty for all other kinds, but for a
    short interval the long name of its unit, in lower case. `text` is a name as written, the value of a quoted name
    or string with doubled quotes resolved (escapes of `unicode` are not), the digits of a number or short interval,
    or a parameter's name without its sign.
    """

    kind: Kind
    text: str
    word: str
    line: int
    column: int


def syntax_error(line: int, column: int, construct: str = "") -> Invalid:
    """The one text for everything wrong with the syntax. Source: sql.md 8; clients look for it in the message.

    `construct` is what stands there, where it is known and none of the dialect: that is said behind the text (ours).
    """
    behind = f": {construct} is not supported" if construct else ""
    return Invalid(f"The query syntax is invalid at line {line}:{column}{behind}")


def lex(text: str, limits: Limits) -> list[Token]:
    """All tokens of the text, an `end` token last.

    Raises Invalid if the text has too many characters or tokens, a character outside the grammar, or a string, quoted
    name or comment without an end; that is reported where it starts.
    """
    if len(text) > limits.sql_characters:
        raise Invalid(f"The query text has more than {limits.sql_characters} characters.")
    tokens: list[Token] = []
    line, line_start = 1, 0
    line_end = _line_end(text, 0)
    for match in _TOKEN.finditer(text):
        kind = cast(str, match.lastgroup)
        start = match.start(kind)
        if start > line_end:
            line += text.count("\n", line_end, start)
            line_start = text.rfind("\n", line_end, start) + 1
            line_end = _line_end(text, start)
        pass_on()
        token = _token(kind, match[kind], line, start - line_start + 1)
        tokens.append(token)
        if kind == "end":
            break
        if len(tokens) > limits.sql_tokens:
            raise Invalid(f"The query text has more than {limits.sql_tokens} tokens.")
    return tokens


def _line_end(text: str, start: int) -> int:
    end = text.find("\n", start)
    return end if end >= 0 else len(text)


def _token(group: str, text: str, line: int, column: int) -> Token:
    if group == "word":
        word = text.upper()
        return Token("reserved" if word in RESERVED else "name", text, word, line, column)
    if group == "symbol":
        return Token("symbol", text, text, line, column)
    if group == "number":
        return _number(text, line, column)
    if group == "string":
        return Token("string", text[1:-1].replace("''", "'"), "", line, column)
    if group == "quoted" and len(text) > 2:
        return Token("quoted", text[1:-1].replace('""', '"'), "", line, column)
    if group == "parameter":
        return Token("parameter", text[1:], "", line, column)
    if group == "unicode":
        return Token("unicode", text[3:-1].replace("''", "'"), "", line, column)
    if group == "end":
        return Token("end", "", "", line, column)
    raise syntax_error(line, column, "a parameter without a name" if text == "?" else "")


def _number(text: str, line: int, column: int) -> Token:
    """A number, or a short interval if a unit is glued to it; any other glued word is an error."""
    match = _NUMBER.fullmatch(text)
    assert match is not None, "the token expression found a number here"
    digits, exponent, unit = match.groups()
    if not unit:
        return Token("number", text, "", line, column)
    # Units in any case: our choice; sql.md 1.1 writes them in lower case and says nothing.
    long_name = _UNITS.get(unit.lower())
    if exponent or long_name is None:
        raise syntax_error(line, column)
    return Token("short_interval", digits, long_name, line, column)
