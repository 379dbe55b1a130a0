"""Rows that write and read instants by a format: MySQL's % codes, and letters in the manner of Joda and java.time.

A format must be a constant. It is cut into fields, and a field knows how it is written and how it is read; both
languages share the fields. Two digits of a year mean 1970 to 2069 (Trino's for % codes, ours for letters).
Source: sql.md 6.9, "Formatting and parsing".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from headwater.errors import Invalid
from headwater.model.time import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE, NS_PER_S, ZONE_HOURS
from headwater.sql.coercion import TIMESTAMP, VARCHAR, failure, literal, quoted, use_once
from headwater.sql.signature import Call, Signature, row

_DATE = "hw_date(hw_day({0}))"
_TIME = "hw_time_of_day({0})"
_HOUR = f"({_TIME} // {NS_PER_HOUR})"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a format.

    `shown` is its text, engine SQL over the instant {0}; "" if it is only read. `read` is the regular expression of its
    text and `part` what that is to the instant: a name that `_instant` knows, "" if it is read but says nothing;
    `read` is None for a field that is only written.
    """

    shown: str
    read: str | None = None
    part: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """Characters that stand for themselves."""

    text: str


Piece = Field | Text


def _number(value: str, width: int, part: str = "", digits: int | None = None) -> Field:
    """A number of at least `width` digits; read with up to `digits`. Without a part it cannot be read."""
    shown = f"printf('%0{width}d', {value})" if width > 1 else f"CAST({value} AS VARCHAR)"
    return Field(shown, f"[0-9]{{1,{digits or max(width, 2)}}}" if part else None, part)


def _name(code: str, part: str = "") -> Field:
    """An English name of a month or weekday, as strftime writes it; any that long is read."""
    return Field(f"strftime({_DATE}, '{code}')", "[A-Za-z]{3,9}", part)


def _year(width: int) -> Field:
    return _number(f"year({_DATE})", width, "year", digits=4)


def _fraction(width: int) -> Field:
    shown = f"substr(printf('%09d', {_TIME} % {NS_PER_S}), 1, {width})"
    return Field(shown, "[0-9]{1,9}", "fraction")


_SHORT_YEAR = _number(f"year({_DATE}) % 100", 2, "short_year")
_HALF = Field(f"CASE WHEN {_HOUR} < 12 THEN 'AM' ELSE 'PM' END", "(?i:am|pm)", "half")
_MINUTE = f"{_TIME} // {NS_PER_MINUTE} % 60"
_SECOND = f"{_TIME} // {NS_PER_S} % 60"
_HOUR_OF_HALF = f"({_HOUR} + 11) % 12 + 1"

_CODES: dict[str, tuple[Piece, ...]] = {
    "a": (_name("%a"),),
    "b": (_name("%b", "month_name"),),
    "c": (_number(f"month({_DATE})", 1, "month"),),
    "d": (_number(f"day({_DATE})", 2, "day"),),
    "e": (_number(f"day({_DATE})", 1, "day"),),
    "f": (_fraction(6),),
    "H": (_number(_HOUR, 2, "hour"),),
    "h": (_number(_HOUR_OF_HALF, 2, "hour_of_half"),),
    "I": (_number(_HOUR_OF_HALF, 2, "hour_of_half"),),
    "i": (_number(_MINUTE, 2, "minute"),),
    "j": (_number(f"dayofyear({_DATE})", 3, "day_of_year"),),
    "k": (_number(_HOUR, 1, "hour"),),
    "l": (_number(_HOUR_OF_HALF, 1, "hour_of_half"),),
    "M": (_name("%B", "month_name"),),
    "m": (_number(f"month({_DATE})", 2, "month"),),
    "p": (_HALF,),
    "S": (_number(_SECOND, 2, "second"),),
    "s": (_number(_SECOND, 2, "second"),),
    "v": (_number(f"week({_DATE})", 2),),
    "W": (_name("%A"),),
    "x": (_number(f"isoyear({_DATE})", 4),),
    "Y": (_year(4),),
    "y": (_SHORT_YEAR,),
    "%": (Text("%"),),
}
_CODES["T"] = (*_CODES["H"], Text(":"), *_CODES["i"], Text(":"), *_CODES["s"])
_CODES["r"] = (*_CODES["h"], Text(":"), *_CODES["i"], Text(":"), *_CODES["s"], Text(" "), *_CODES["p"])
_UNSUPPORTED_CODES = "DUuVwX"

_ZONE = f"{'|'.join(sorted(ZONE_HOURS, reverse=True))}|[+-][0-9]{{2}}:?[0-9]{{2}}"
"""Longer names first, so that none is taken for one that it starts with."""


def _by_width(number: str, part: str, short: str, long: str) -> Callable[[int], Field]:
    """A month: a number up to two letters, its short name with three, its long one with more."""

    def field(width: int) -> Field:
        return _number(number, width, part) if width <= 2 else _name(short if width == 3 else long, f"{part}_name")

    return field


def _zone_offset(width: int) -> Field:
    """`+0000`, `+00:00`, or the zone's name."""
    return Field({1: "'+0000'", 2: "'+00:00'"}.get(width, "'UTC'"), _ZONE, "zone")


def _quarter(width: int) -> Field:
    """`1`, `01`, `Q1`, `1st quarter`. It cannot be read."""
    number = f"quarter({_DATE})"
    if width <= 2:
        return _number(number, width)
    if width == 3:
        return Field(f"('Q' || CAST({number} AS VARCHAR))")
    return Field(f"(['1st', '2nd', '3rd', '4th'])[{number}] || ' quarter'")


_LETTERS: dict[str, Callable[[int], Field]] = {
    "G": lambda _: Field("'AD'"),
    "C": lambda width: _number(f"year({_DATE}) // 100", width),
    "y": lambda width: _SHORT_YEAR if width == 2 else _year(width),
    "Y": lambda width: _SHORT_YEAR if width == 2 else _year(width),
    "u": lambda width: _SHORT_YEAR if width == 2 else _year(width),
    "x": lambda width: _number(f"isoyear({_DATE})", width),
    "w": lambda width: _number(f"week({_DATE})", width),
    "e": lambda width: _number(f"isodow({_DATE})", width),
    "E": lambda width: _name("%a" if width <= 3 else "%A"),
    "D": lambda width: _number(f"dayofyear({_DATE})", width, "day_of_year", digits=3),
    "Q": _quarter,
    "q": _quarter,
    "M": _by_width(f"month({_DATE})", "month", "%b", "%B"),
    "L": _by_width(f"month({_DATE})", "month", "%b", "%B"),
    "d": lambda width: _number(f"day({_DATE})", width, "day"),
    "a": lambda _: _HALF,
    "K": lambda width: _number(f"{_HOUR} % 12", width, "hour_of_half"),
    "h": lambda width: _number(_HOUR_OF_HALF, width, "hour_of_half"),
    "H": lambda width: _number(_HOUR, width, "hour"),
    "k": lambda width: _number(f"({_HOUR} + 23) % 24 + 1", width, "hour_from_one"),
    "m": lambda width: _number(_MINUTE, width, "minute"),
    "s": lambda width: _number(_SECOND, width, "second"),
    "S": lambda width: _fraction(min(width, 9)),
    "n": lambda width: _number(f"{_TIME} % {NS_PER_S}", width),
    "z": lambda _: Field("'UTC'", _ZONE, "zone"),
    "Z": _zone_offset,
}


def _of_codes(text: str) -> Iterator[Piece]:
    """The pieces of a MySQL format; a code it does not know is its own letter."""
    for code, plain in re.findall(r"%(.)|([^%]+|%\Z)", text, re.DOTALL):
        if not code:
            yield Text(plain)
        elif code in _UNSUPPORTED_CODES:
            raise Invalid(f"%{code} not supported in date format string")
        else:
            yield from _CODES.get(code, (Text(code),))


_LETTER_GROUP = re.compile(r"'(?P<quoted>(?:[^']|'')*)'|(?P<letters>([A-Za-z])\3*)|(?P<plain>[^A-Za-z']+)")


def _of_letters(text: str) -> Iterator[Piece]:
    """The pieces of a Joda-style pattern; text between single quotes is plain, two of them are one."""
    place = 0
    while place < len(text):
        group = _LETTER_GROUP.match(text, place)
        if group is None or (group["letters"] and group["letters"][0] not in _LETTERS):
            raise Invalid(f"Illegal pattern component: {text[place:]}")
        if group["letters"]:
            yield _LETTERS[group["letters"][0]](len(group["letters"]))
        else:
            plain = group["plain"]
            yield Text(plain if plain is not None else group["quoted"].replace("''", "'") or "'")
        place = group.end()


Reader = Callable[[str], Iterator[Piece]]


def _escaped(text: str) -> str:
    """Text that stands for itself in a template."""
    return text.replace("{", "{{").replace("}", "}}")


def _formatted(pieces: Reader) -> Callable[[Call], str]:
    def lower(call: Call) -> str:
        text = call.value(1)
        if text is None:
            return literal(None, VARCHAR)
        shown = [_escaped(quoted(p.text)) if isinstance(p, Text) else p.shown for p in pieces(text)]
        return use_once(f"CASE WHEN {{0}} IS NOT NULL THEN {' || '.join(shown) or quoted('')} END", call.texts[:1])

    return lower


def _parsed(pieces: Reader) -> Callable[[Call], str]:
    def lower(call: Call) -> str:
        text = call.value(1)
        if text is None:
            return literal(None, TIMESTAMP)
        pattern, parts = _pattern(list(pieces(text)))
        names = ", ".join(map(quoted, parts))
        found = f"list_transform([regexp_extract({{0}}, {{1}}, [{names}])], lambda part: {_instant(parts)})[1]"
        fault = failure("concat('Invalid format: \"', {0}, '\"')", TIMESTAMP)
        template = (
            f"coalesce(CASE WHEN regexp_full_match({{0}}, {{1}}) THEN {found} END,"
            f" CASE WHEN {{0}} IS NOT NULL THEN {fault} END)"
        )
        return use_once(template, (call.texts[0], quoted(pattern)))

    return lower


def _pattern(pieces: list[Piece]) -> tuple[str, list[str]]:
    """The regular expression of a text in this format, and the parts that its groups are, in order."""
    expressions, parts = [], []
    for piece in pieces:
        if isinstance(piece, Text):
            expressions.append(re.sub(r"([^\w\s])", r"\\\1", piece.text, flags=re.ASCII))
        elif piece.read is None:
            raise Invalid("The format has a field that can only be written, not read")
        elif piece.part in parts:
            raise Invalid(f"The format has the field {piece.part} twice")
        else:
            expressions.append(f"({piece.read})" if piece.part else piece.read)
            parts.extend([piece.part] if piece.part else [])
    # The engine's function needs one group at least.
    return f"^{''.join(expressions)}$" if parts else f"^(){''.join(expressions)}$", parts or ["nothing"]


_MONTHS = "['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']"


def _instant(parts: list[str]) -> str:
    """Nanoseconds from the fields of `part`, all texts; NULL where there is no such instant.

    What is missing is that of 1970-01-01 00:00.
    """

    def number(name: str, otherwise: str) -> str:
        return f"CAST(part.{name} AS BIGINT)" if name in parts else otherwise

    year = number("year", "1970")
    if "short_year" in parts:
        year = "(1970 + (CAST(part.short_year AS BIGINT) + 30) % 100)"
    month = number("month", "1")
    if "month_name" in parts:
        month = f"list_position({_MONTHS}, lower(part.month_name[1:3]))"
    date = f"TRY_CAST(printf('%04d-%02d-%02d', {year}, {month}, {number('day', '1')}) AS DATE)"
    if "day_of_year" in parts:
        first = f"TRY_CAST(printf('%04d-01-01', {year}) AS DATE)"
        found = f"({first} + (CAST(part.day_of_year AS INTEGER) - 1))"
        date = f"CASE WHEN year({found}) = {year} THEN {found} END"
    hour = number("hour", "0")
    if "hour_of_half" in parts:
        hour = f"CAST(part.hour_of_half AS BIGINT) % 12 + {_afternoon(parts)}"
    if "hour_from_one" in parts:
        hour = "CAST(part.hour_from_one AS BIGINT) % 24"
    minute, second = number("minute", "0"), number("second", "0")
    fraction = "CAST(rpad(part.fraction, 9, '0') AS BIGINT)" if "fraction" in parts else "0"
    zone = "hw_zone(part.zone)" if "zone" in parts else "0"
    return (
        f"CASE WHEN {hour} < 24 AND {minute} < 60 AND {second} < 60 THEN TRY_CAST(CAST(hw_days({date}) AS HUGEINT)"
        f" * {NS_PER_DAY} + ({hour}) * {NS_PER_HOUR} + {minute} * {NS_PER_MINUTE} + {second} * {NS_PER_S}"
        f" + {fraction} - {zone} AS BIGINT) END"
    )


def _afternoon(parts: list[str]) -> str:
    return "CASE WHEN lower(part.half) = 'pm' THEN 12 ELSE 0 END" if "half" in parts else "0"


def _row(text: str, lower: Callable[[Call], str], pieces: Reader, *, is_read: bool) -> Signature:
    def check(call: Call) -> None:
        if call.value(1) is not None:
            found = list(pieces(call.value(1)))
            if is_read:
                _pattern(found)

    return row(text, lower, check=check, source="6.9")


ROWS = (
    _row("date_format(timestamp, varchar) -> varchar", _formatted(_of_codes), _of_codes, is_read=False),
    _row("format_datetime(timestamp, varchar) -> varchar", _formatted(_of_letters), _of_letters, is_read=False),
    _row("date_parse(varchar, varchar) -> timestamp", _parsed(_of_codes), _of_codes, is_read=True),
    _row("parse_datetime(varchar, varchar) -> timestamp", _parsed(_of_letters), _of_letters, is_read=True),
)
