"""Calendar arithmetic on days, months and nanoseconds, for values known before the query runs.

Used to fold constants, so that a scan knows its time range; the engine's macros (engine/macros.py) compute the same
in columns, and a test holds the two together. Source: sql.md 5, 6.9.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import MAXYEAR, MINYEAR, date

from headwater.errors import Invalid
from headwater.model.time import (
    DATE_MAX_DAYS,
    DATE_MIN_DAYS,
    DATE_RANGE,
    NS_PER_DAY,
    NS_PER_HOUR,
    NS_PER_MINUTE,
    NS_PER_MS,
    NS_PER_S,
    TIME_MAX_NS,
    TIME_MIN_NS,
    TIMESTAMP_RANGE,
)

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
        raise Invalid(TIMESTAMP_RANGE)
    return time_ns


def in_date_range(days: int) -> int:
    """The date itself. Raises Invalid where no instant of it can be held."""
    if not DATE_MIN_DAYS <= days <= DATE_MAX_DAYS:
        raise Invalid(DATE_RANGE)
    return days


def add_months_to_days(days: int, months: int) -> int:
    """The date so many months later, at most the last day of its month."""
    return in_date_range(_months_later(days, months))


def add_months(time_ns: int, months: int) -> int:
    """The instant so many months later, at the same time of day."""
    days, rest = divmod(time_ns, NS_PER_DAY)
    return in_time_range(_months_later(days, months) * NS_PER_DAY + rest)


def _months_later(days: int, months: int) -> int:
    """A day that is out of range where there is none in Python's calendar."""
    start = _date(days)
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    if not MINYEAR <= year <= MAXYEAR:
        return 2 * DATE_MAX_DAYS
    day = min(start.day, monthrange(year, month + 1)[1])
    return date(year, month + 1, day).toordinal() - _EPOCH_ORDINAL


def truncate(unit: str, time_ns: int) -> int:
    """The start of the unit that the instant is in; weeks start on Monday."""
    if unit in UNITS_NS and unit != "week":
        return in_time_range(time_ns // UNITS_NS[unit] * UNITS_NS[unit])
    return in_time_range(_truncated_day(unit, time_ns // NS_PER_DAY) * NS_PER_DAY)


def truncate_days(unit: str, days: int) -> int:
    """The first date of the unit, a day or longer, that the date is in."""
    return in_date_range(_truncated_day(unit, days))


def _truncated_day(unit: str, days: int) -> int:
    if unit == "day":
        return days
    if unit == "week":
        return days - (days + _EPOCH_WEEKDAY) % 7
    at = _date(days)
    months = UNITS_MONTHS[unit]
    start = date(at.year, (at.month - 1) // months * months + 1, 1)
    return start.toordinal() - _EPOCH_ORDINAL


def last_day_of_month(days: int) -> int:
    at = _date(days)
    return in_date_range(days - at.day + monthrange(at.year, at.month)[1])


def _date(days: int) -> date:
    return date.fromordinal(in_date_range(days) + _EPOCH_ORDINAL)
