"""Texts of times and durations, read: literals of the dialect, constant arguments. Pure functions of a text.

The engine reads the same texts in columns by macros (engine/macros.py); a test holds the two together.
Source: sql.md 1.1, 6.3, 6.9.
"""

from __future__ import annotations

import re
from datetime import date
from fractions import Fraction

from headwater.errors import Invalid
from headwater.model.time import (
    DATE_MAX_DAYS,
    DATE_MIN_DAYS,
    NS_PER_DAY,
    NS_PER_HOUR,
    NS_PER_MINUTE,
    NS_PER_MS,
    NS_PER_S,
    NS_PER_US,
    TIME_MAX_NS,
    TIME_MIN_NS,
)
from headwater.model.types import Scalar

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_DATE = r"(\d{4})-(\d{1,2})-(\d{1,2})"
_TIME = r"(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,9}))?)?"
_DATE_TEXT = re.compile(_DATE, re.ASCII)
_TIME_TEXT = re.compile(_TIME, re.ASCII)
_OFFSET = r"([+-])(\d{2})(?::?(\d{2}))?"
_TIMESTAMP_TEXT = re.compile(f"{_DATE}(?: {_TIME}(?: ?(?:Z|UTC|{_OFFSET}))?)?", re.ASCII)

DURATION_UNITS_NS = {
    "ns": 1,
    "nanosecond": 1,
    "us": NS_PER_US,
    "microsecond": NS_PER_US,
    "ms": NS_PER_MS,
    "millisecond": NS_PER_MS,
    "s": NS_PER_S,
    "second": NS_PER_S,
    "m": NS_PER_MINUTE,
    "minute": NS_PER_MINUTE,
    "h": NS_PER_HOUR,
    "hour": NS_PER_HOUR,
    "d": NS_PER_DAY,
    "day": NS_PER_DAY,
}
DURATION_UNITS_MONTHS = {"month": 1, "y": 12, "year": 12}

_DURATION = re.compile(r"(\d+(?:\.\d+)?|\.\d+) *([a-zA-Z]+)", re.ASCII)
_INTERVAL_UNITS_NS = {
    "SECOND": NS_PER_S,
    "MINUTE": NS_PER_MINUTE,
    "HOUR": NS_PER_HOUR,
    "DAY": NS_PER_DAY,
    "WEEK": 7 * NS_PER_DAY,
}
_INTERVAL_UNITS_MONTHS = {"MONTH": 1, "YEAR": 12}


def parse_timestamp(text: str) -> int:
    """Nanoseconds of `YYYY-MM-DD[ HH:MM[:SS[.f]][zone]]`, up to nine fraction digits. Raises Invalid.

    Blanks around it do not matter. The offset of a zone is applied, as Python's and pandas' texts of instants have one.
    """
    match = _TIMESTAMP_TEXT.fullmatch(text.strip(" "))
    days = _days(match[1], match[2], match[3]) if match else None
    return _instant(days, match.groups()[3:] if match else (), text)


def _instant(days: int | None, parts: tuple[str | None, ...], text: str) -> int:
    """`parts`: hour, minute, second, fraction, and the zone's sign, hours and minutes."""
    since_midnight = _since_midnight(*parts[:4]) if parts else None
    if days is None or since_midnight is None:
        raise Invalid(f"Value cannot be cast to timestamp: {text}")
    offset = int(parts[5] or 0) * NS_PER_HOUR + int(parts[6] or 0) * NS_PER_MINUTE
    time_ns = days * NS_PER_DAY + since_midnight - (-offset if parts[4] == "-" else offset)
    if not TIME_MIN_NS <= time_ns <= TIME_MAX_NS:
        raise Invalid(f"Value cannot be cast to timestamp: {text}")
    return time_ns


def parse_date(text: str) -> int:
    """Days since 1970 of `YYYY-MM-DD`, with blanks around it or not. Raises Invalid."""
    match = _DATE_TEXT.fullmatch(text.strip(" "))
    return _in_range(_days(match[1], match[2], match[3]) if match else None, text)


def _in_range(days: int | None, text: str) -> int:
    if days is None or not DATE_MIN_DAYS <= days <= DATE_MAX_DAYS:
        raise Invalid(f"Value cannot be cast to date: {text}")
    return days


def parse_time(text: str) -> int:
    """Nanoseconds since midnight of `HH:MM[:SS[.f]]`. Raises Invalid."""
    match = _TIME_TEXT.fullmatch(text.strip(" "))
    since_midnight = _since_midnight(*match.groups()) if match else None
    if since_midnight is None:
        raise Invalid(f"Value cannot be cast to time: {text}")
    return since_midnight


def _days(year: str, month: str, day: str) -> int | None:
    try:
        return date(int(year), int(month), int(day)).toordinal() - _EPOCH_ORDINAL
    except ValueError:
        return None


def _since_midnight(hour: str | None, minute: str | None, second: str | None, fraction: str | None) -> int | None:
    h, m, s = int(hour or 0), int(minute or 0), int(second or 0)
    if h > 23 or m > 59 or s > 59:
        return None
    return h * NS_PER_HOUR + m * NS_PER_MINUTE + s * NS_PER_S + int((fraction or "0").ljust(9, "0"))


def parse_duration(text: str) -> tuple[int, Scalar]:
    """The value and type of `5m`, `1.5h`, `2 day`, `15month`: ns, or months. Raises Invalid.

    A short literal of the dialect is the same text without a space; the lexer sees to that.
    A fraction of a nanosecond is dropped; a fraction of a month is an error (ours).
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise Invalid(f"Cannot parse duration: {text}")
    if len(match[1]) > _DIGITS_MAX:
        raise Invalid(f"Duration is out of range: {text}")
    number, unit = Fraction(match[1]), match[2].lower()
    if unit in DURATION_UNITS_NS:
        return _whole(int(number * DURATION_UNITS_NS[unit]), 2**63 - 1, text), Scalar.INTERVAL_DAY_TO_SECOND
    if unit in DURATION_UNITS_MONTHS:
        months = number * DURATION_UNITS_MONTHS[unit]
        if months.denominator != 1:
            raise Invalid(f"Cannot parse duration: {text}")
        return _whole(int(months), 2**31 - 1, text), Scalar.INTERVAL_YEAR_TO_MONTH
    raise Invalid(f"Unknown time unit: {match[2]}")


def _whole(value: int, limit: int, text: str) -> int:
    if value > limit:
        raise Invalid(f"Duration is out of range: {text}")
    return value


_DIGITS_MAX = 60
"""Python takes quadratic time for long numbers, and refuses very long ones; so many digits are always too many."""

_COMPOUND = {
    ("DAY", "HOUR"): r"(?P<DAY>\d+) (?P<HOUR>\d+)",
    ("DAY", "MINUTE"): r"(?P<DAY>\d+) (?P<HOUR>\d+):(?P<MINUTE>\d+)",
    ("DAY", "SECOND"): r"(?P<DAY>\d+) (?P<HOUR>\d+):(?P<MINUTE>\d+):(?P<SECOND>\d+)(?:\.(?P<FRACTION>\d{1,9}))?",
    ("HOUR", "MINUTE"): r"(?P<HOUR>\d+):(?P<MINUTE>\d+)",
    ("HOUR", "SECOND"): r"(?P<HOUR>\d+):(?P<MINUTE>\d+):(?P<SECOND>\d+)(?:\.(?P<FRACTION>\d{1,9}))?",
    ("MINUTE", "SECOND"): r"(?P<MINUTE>\d+):(?P<SECOND>\d+)(?:\.(?P<FRACTION>\d{1,9}))?",
    ("YEAR", "MONTH"): r"(?P<YEAR>\d+)-(?P<MONTH>\d+)",
}


def parse_interval(text: str, unit: str, to: str | None = None, sign: int = 1) -> tuple[int, Scalar]:
    """The value and type of `INTERVAL [sign] 'text' unit [TO to]`: ns, or months. Raises Invalid.

    Units are in any case; `sign` is -1 for `INTERVAL - '2' DAY`, and the text may have its own sign.
    """
    unit, body = unit.upper(), text.strip()
    if body[:1] in ("-", "+"):
        sign, body = (-sign if body[0] == "-" else sign), body[1:]
    is_short = len(body) <= _DIGITS_MAX
    value = (_single(body, unit) if to is None else _compound(body, unit, to.upper())) if is_short else None
    if value is None:
        raise Invalid(f"Invalid INTERVAL literal: {text}")
    amount, kind = value
    limit = 2**63 - 1 if kind is Scalar.INTERVAL_DAY_TO_SECOND else 2**31 - 1
    return sign * _whole(amount, limit, text), kind


def _single(body: str, unit: str) -> tuple[int, Scalar] | None:
    if unit in _INTERVAL_UNITS_MONTHS and re.fullmatch(r"\d+", body, re.ASCII):
        return int(body) * _INTERVAL_UNITS_MONTHS[unit], Scalar.INTERVAL_YEAR_TO_MONTH
    pattern = r"\d+(\.\d{1,9})?" if unit == "SECOND" else r"\d+"
    if unit in _INTERVAL_UNITS_NS and re.fullmatch(pattern, body, re.ASCII):
        return int(Fraction(body) * _INTERVAL_UNITS_NS[unit]), Scalar.INTERVAL_DAY_TO_SECOND
    return None


def _compound(body: str, unit: str, to: str) -> tuple[int, Scalar] | None:
    pattern = _COMPOUND.get((unit, to))
    match = re.fullmatch(pattern, body, re.ASCII) if pattern else None
    if match is None:
        return None
    parts = match.groupdict()
    fraction = int((parts.pop("FRACTION", None) or "0").ljust(9, "0"))
    if unit == "YEAR":
        return sum(int(n) * _INTERVAL_UNITS_MONTHS[u] for u, n in parts.items()), Scalar.INTERVAL_YEAR_TO_MONTH
    whole = sum(int(n) * _INTERVAL_UNITS_NS[u] for u, n in parts.items())
    return whole + fraction, Scalar.INTERVAL_DAY_TO_SECOND


_ISO8601_DATE = re.compile(
    r"(?P<year>\d{4})(?:-(?:(?P<month>\d{2})(?:-(?P<day>\d{2}))?|(?P<of_year>\d{3})"
    r"|W(?P<week>\d{2})(?:-(?P<weekday>[1-7]))?))?",
    re.ASCII,
)
_ISO8601 = re.compile(
    r"([-W\d]+)(?:T(\d{2})(?::(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?)?"
    rf"(?:Z|{_OFFSET})?)?",
    re.ASCII,
)


def parse_iso8601_timestamp(text: str) -> int:
    """Nanoseconds of `2024-03-09T10:00:00.5+02:00`; a zone's offset is applied. Raises Invalid. Source: sql.md 6.9."""
    match = _ISO8601.fullmatch(text)
    return _instant(_iso8601_days(match[1]) if match else None, match.groups()[1:] if match else (), text)


def parse_iso8601_date(text: str) -> int:
    """Days since 1970 of `2024-03-09`, `2024-03`, `2024`, `2024-069`, `2024-W10` or `2024-W10-6`. Raises Invalid."""
    return _in_range(_iso8601_days(text), text) if _ISO8601_DATE.fullmatch(text) else parse_date(text)


def _iso8601_days(text: str) -> int | None:
    match = _ISO8601_DATE.fullmatch(text)
    if match is None:
        return None
    year = int(match["year"])
    try:
        if match["week"]:
            day = date.fromisocalendar(year, int(match["week"]), int(match["weekday"] or 1))
            return day.toordinal() - _EPOCH_ORDINAL
        if match["of_year"]:
            days = date(year, 1, 1).toordinal() - 1 + int(match["of_year"])
            return days - _EPOCH_ORDINAL if date.fromordinal(days).year == year else None
    except ValueError:
        return None
    return _days(match["year"], match["month"] or "1", match["day"] or "1")
