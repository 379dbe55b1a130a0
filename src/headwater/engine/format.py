"""`format(text, values...)`: the conversions of Java's Formatter, over values that come as texts with their kinds.

`engine.py` registers it; lowered statements call it by name. Dates (`%t`) and hash codes (`%h`) are refused. Source:
Trino for the function, java.util.Formatter for the texts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal

from headwater.engine.values import ValueFunction
from headwater.errors import QueryFailed

_CONVERSION = re.compile(r"%(?:(\d{1,4})\$)?([-#+ 0,(]*)(\d{1,9})?(?:\.(\d{1,9}))?([a-zA-Z%])")
_WIDTH_MAX = 1_000
"""Of a width or a precision: both are numbers that anyone can type (ours)."""


@dataclass(frozen=True, slots=True)
class _Conversion:
    flags: str
    width: int
    precision: int | None
    letter: str

    @property
    def shown(self) -> str:
        return f"%{self.flags}{self.letter}"


def formatted(text: str, values: tuple[str | None, ...], kinds: tuple[str, ...]) -> str:
    """`values` are texts; of each `kinds` says `integer`, `double`, `boolean` or `text`. Raises QueryFailed."""
    out: list[str] = []
    end, following = 0, 0
    for match in _CONVERSION.finditer(text):
        out.append(_plain(text[end : match.start()]))
        end = match.end()
        conversion = _conversion(match)
        if conversion.letter in "%n":
            out.append(_padded("%" if conversion.letter == "%" else "\n", conversion))
            continue
        index = int(match[1]) if match[1] else (following := following + 1)
        if not 1 <= index <= len(values):
            raise QueryFailed(f"Invalid format string: {text} (Format specifier '{match[0]}')")
        out.append(_padded(_converted(conversion, values[index - 1], kinds[index - 1]), conversion))
    return "".join([*out, _plain(text[end:])])


def _plain(text: str) -> str:
    if "%" in text:
        raise QueryFailed(f"Invalid format string: {text} (Conversion = '%')")
    return text


def _conversion(match: re.Match[str]) -> _Conversion:
    width, precision = int(match[3] or 0), None if match[4] is None else int(match[4])
    if max(width, precision or 0) > _WIDTH_MAX:
        raise QueryFailed(f"A width or precision of a format must be at most {_WIDTH_MAX}")
    return _Conversion(match[2], width, precision, match[5])


def _converted(conversion: _Conversion, value: str | None, kind: str) -> str:
    letter = conversion.letter
    if letter in "bB":
        shown = "false" if value is None else value if kind == "boolean" else "true"
    elif letter in "sS" or value is None:
        shown = "null" if value is None else value
    elif letter in "cC" and kind == "integer" and 0 <= int(value) <= 0x10FFFF:
        return _cased(chr(int(value)), letter)
    elif letter in "doxX" and kind == "integer":
        return _cased(_integer(conversion, int(value)), letter)
    elif letter in "feEgG" and kind == "double":
        return _cased(_double(conversion, value), letter)
    else:
        raise QueryFailed(f"Invalid format string: {conversion.shown} (a value of type {kind} has no such form)")
    return _cased(shown[: conversion.precision], letter)


def _cased(text: str, letter: str) -> str:
    return text.upper() if letter.isupper() else text


def _integer(conversion: _Conversion, value: int) -> str:
    if conversion.letter == "d":
        return _signed(conversion, f"{abs(value):,}" if "," in conversion.flags else str(abs(value)), value < 0)
    digits = f"{value % 2**64:{conversion.letter.lower()}}"
    prefix = {"o": "0", "x": "0x"}[conversion.letter.lower()] if "#" in conversion.flags else ""
    return _filled(conversion, prefix, digits, "")


def _double(conversion: _Conversion, text: str) -> str:
    if text in ("NaN", "Infinity", "-Infinity"):
        return text
    value = Decimal(text)
    precision = 6 if conversion.precision is None else conversion.precision
    letter = conversion.letter.lower()
    if letter == "g":
        precision = max(precision, 1)
        is_plain = value == 0 or Decimal("0.0001") <= abs(value) < Decimal(10) ** precision
        letter, precision = (
            ("f", precision - 1 - (value.adjusted() if value else 0)) if is_plain else ("e", precision - 1)
        )
    if letter == "e":
        digits = _scientific(abs(value), precision)
    else:
        shown = abs(value).quantize(Decimal(1).scaleb(-precision), ROUND_HALF_UP, Context(prec=2_000))
        digits = f"{shown:,f}" if "," in conversion.flags else f"{shown:f}"
    return _signed(conversion, digits, value.is_signed())


def _scientific(value: Decimal, precision: int) -> str:
    """As C's, the exponent in two digits at least; halves away from zero."""
    if not value:
        return f"{Decimal(0).scaleb(-precision):f}e+00" if precision else "0e+00"
    rounded = Context(prec=precision + 1, rounding=ROUND_HALF_UP).plus(value)
    power = rounded.adjusted()
    return f"{rounded.scaleb(-power):.{precision}f}e{'-' if power < 0 else '+'}{abs(power):02d}"


def _signed(conversion: _Conversion, digits: str, is_negative: bool) -> str:
    if is_negative:
        return _filled(
            conversion, "(" if "(" in conversion.flags else "-", digits, ")" if "(" in conversion.flags else ""
        )
    return _filled(conversion, "+" if "+" in conversion.flags else " " if " " in conversion.flags else "", digits, "")


def _filled(conversion: _Conversion, before: str, digits: str, after: str) -> str:
    """Zeros stand between the sign and the digits."""
    zeros = conversion.width - len(before) - len(digits) - len(after) if "0" in conversion.flags else 0
    return f"{before}{'0' * zeros}{digits}{after}"


def _padded(text: str, conversion: _Conversion) -> str:
    return text.ljust(conversion.width) if "-" in conversion.flags else text.rjust(conversion.width)


FORMAT_FUNCTIONS = (ValueFunction("arrow_format", ("VARCHAR", "VARCHAR[]", "VARCHAR[]"), "VARCHAR", formatted),)
