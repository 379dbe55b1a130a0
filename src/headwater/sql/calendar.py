"""Calendar arithmetic on days, months and nanoseconds, for values known before the query runs.

Used to fold constants, so that a scan knows its time range; the engine's macros (engine/macros.py) compute the same
in columns, and a test holds the two together. Source: sql.md 5, 6.9.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import date

from headwater.errors import Invalid
from headwater.model.time import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE, NS_PER_MS, NS_PER_S, TIME_MAX_NS, TIME_MIN_NS

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_EPOCH_WEEKDAY = 3  # a Thursday, Monday being 0

UNITS_NS = {
    "millisecond": NS_PER_MS,
    "second": NS_PER_S,
    "minute": NS_PER_MINUTE,
    "hour": NS_PER_HOUR,
    "day": NS_PER_DAY,
    "week": 7 * NS_PER_DAY,
}
UNITS_MONTHS = {"month": 1, "quarter": 3, "year": 12}


def in_time_range(time_ns: int) -> int:
    """The instant itself. Raises Invalid where it cannot be held. Source: sql.md 2, 5."""
    if not TIME_MIN_NS <= time_ns <= TIME_MAX_NS:
        raise Invalid("Timestamp is out of range: it must be from 1677-09-21 00:12:44 to 2262-04-11 23:47:16.854775807")
    return time_ns


def add_months_to_days(days: int, months: int) -> int:
    """The date so many months later, at most the last day of its month."""
    start = _date(days)
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    try:
        day = min(start.day, monthrange(year, month + 1)[1])
        return date(year, month + 1, day).toordinal() - _EPOCH_ORDINAL
    except (ValueError, OverflowError) as fault:
        raise Invalid("Date is out of range") from fault


def add_months(time_ns: int, months: int) -> int:
    """The instant so many months later, at the same time of day."""
    days, rest = divmod(time_ns, NS_PER_DAY)
    return in_time_range(add_months_to_days(days, months) * NS_PER_DAY + rest)


def truncate(unit: str, time_ns: int) -> int:
    """The start of the unit that the instant is in; weeks start on Monday."""
    if unit == "week":
        days = time_ns // NS_PER_DAY
        return in_time_range((days - (days + _EPOCH_WEEKDAY) % 7) * NS_PER_DAY)
    if unit in UNITS_NS:
        return in_time_range(time_ns // UNITS_NS[unit] * UNITS_NS[unit])
    at = _date(time_ns // NS_PER_DAY)
    months = UNITS_MONTHS[unit]
    start = date(at.year, (at.month - 1) // months * months + 1, 1)
    return in_time_range((start.toordinal() - _EPOCH_ORDINAL) * NS_PER_DAY)


def last_day_of_month(days: int) -> int:
    at = _date(days)
    return days - at.day + monthrange(at.year, at.month)[1]


def _date(days: int) -> date:
    try:
        return date.fromordinal(days + _EPOCH_ORDINAL)
    except (ValueError, OverflowError) as fault:
        raise Invalid("Date is out of range") from fault
