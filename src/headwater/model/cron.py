"""The cron expressions of AWS: read once, asked for the next minute that fits. Pure.

Six fields between blanks: minutes, hours, day of month, month, day of week, year; all in UTC. Called by
`model/schedule`, which knows the parentheses around them. Source: scheduled-queries.md 2; where that is silent,
the grammar of Quartz, from which AWS took its own (a guess; docs/differences.md).
"""

from __future__ import annotations

import calendar
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from headwater.errors import Invalid
from headwater.model.time import S_PER_DAY, S_PER_HOUR, S_PER_MINUTE

_MONTH_NAMES = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAY_NAMES = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_SUNDAY, _SATURDAY = 1, 7


@dataclass(frozen=True, slots=True)
class _Field:
    """What one field may hold. `names` are other words for its numbers, from `low` on."""

    noun: str
    low: int
    high: int
    names: tuple[str, ...] = ()


_MINUTES = _Field("minutes", 0, 59)
_HOURS = _Field("hours", 0, 23)
_DAYS = _Field("day-of-month", 1, 31)
_MONTH = _Field("month", 1, 12, _MONTH_NAMES)
_WEEKDAY = _Field("day-of-week", _SUNDAY, _SATURDAY, _WEEKDAY_NAMES)
_YEARS = _Field("year", 1970, 2199)

_PART = re.compile(r"(?:(?P<all>\*)|(?P<from>\w+)(?:-(?P<to>\w+))?)(?:/(?P<step>[0-9]{1,4}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class _MonthDays:
    """Days by their number in the month. `from_end` counts back from the last day, 0 is that day itself."""

    days: tuple[int, ...] = ()
    from_end: int | None = None
    nearest_weekday: bool = False

    def days_of(self, year: int, month: int) -> Sequence[int]:
        last = calendar.monthrange(year, month)[1]
        wanted = self.days if self.from_end is None else (last - self.from_end,)
        days = [day for day in wanted if 1 <= day <= last]
        return [_nearest_weekday(year, month, day, last) for day in days] if self.nearest_weekday else days


@dataclass(frozen=True, slots=True)
class _WeekDays:
    """Days by their weekday, 1 is Sunday. `nth` is which one of the month, -1 the last, None every one."""

    weekdays: tuple[int, ...]
    nth: int | None = None

    def days_of(self, year: int, month: int) -> Sequence[int]:
        first, last = calendar.monthrange(year, month)
        # Python's week begins with Monday as 0.
        days = [day for day in range(1, last + 1) if (first + day) % 7 + 1 in self.weekdays]
        if self.nth is None:
            return days
        place = self.nth - 1 if self.nth > 0 else self.nth
        return days[place : place + 1 or None]


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression. All tuples ascend."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: _MonthDays | _WeekDays
    months: tuple[int, ...]
    years: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> Cron:
        """Read what stands between the parentheses of cron(...). Raises Invalid, which names the field."""
        fields = text.split()
        if len(fields) != 6:
            raise Invalid(f"a cron expression has 6 fields, not {len(fields)}")
        minutes, hours, day_of_month, month, day_of_week, year = fields
        if (day_of_month == "?") == (day_of_week == "?"):
            raise Invalid("exactly one of day-of-month and day-of-week must be ?")
        return cls(
            _numbers(_MINUTES, minutes),
            _numbers(_HOURS, hours),
            _month_days(day_of_month) if day_of_week == "?" else _week_days(day_of_week),
            _numbers(_MONTH, month),
            _numbers(_YEARS, year),
        )

    def next_after(self, time_s: int) -> int | None:
        """The first minute later than `time_s` that fits, as seconds since 1970; None if there is none any more."""
        # From the next whole minute on.
        start_s = max(time_s // S_PER_MINUTE + 1, 0) * S_PER_MINUTE
        first_day_s = start_s // S_PER_DAY * S_PER_DAY
        for day_s in self._days_from(first_day_s):
            minute = self._minute_from((start_s - day_s) // S_PER_MINUTE if day_s == first_day_s else 0)
            if minute is not None:
                return day_s + minute * S_PER_MINUTE
        return None

    def _days_from(self, first_day_s: int) -> Iterator[int]:
        """The beginnings of all days that fit, ascending, not before `first_day_s`."""
        first_year = 1970 + first_day_s // (366 * S_PER_DAY)
        for year in self.years[bisect_left(self.years, first_year) :]:
            for month in self.months:
                month_s = int(datetime(year, month, 1, tzinfo=UTC).timestamp())
                if month_s + 31 * S_PER_DAY <= first_day_s:
                    continue
                starts_s = (month_s + (day - 1) * S_PER_DAY for day in sorted(self.days.days_of(year, month)))
                yield from (day_s for day_s in starts_s if day_s >= first_day_s)

    def _minute_from(self, first: int) -> int | None:
        """The first minute of a day that fits and is `first` or later, counted from midnight."""
        for hour in self.hours:
            minutes = (hour * (S_PER_HOUR // S_PER_MINUTE) + minute for minute in self.minutes)
            found = next((minute for minute in minutes if minute >= first), None)
            if found is not None:
                return found
        return None


def _nearest_weekday(year: int, month: int, day: int, last: int) -> int:
    """The day from Monday to Friday nearest to `day` within its month."""
    weekday = calendar.weekday(year, month, day)
    if weekday == calendar.SATURDAY:
        return day - 1 if day > 1 else day + 2
    if weekday == calendar.SUNDAY:
        return day + 1 if day < last else day - 2
    return day


def _month_days(text: str) -> _MonthDays:
    upper = text.upper()
    if upper in ("L", "LW"):
        return _MonthDays(from_end=0, nearest_weekday=upper == "LW")
    if from_end := re.fullmatch(r"L-([0-9]{1,2})", upper):
        return _MonthDays(from_end=_checked(_Field(_DAYS.noun, 1, 30), int(from_end[1]), text))
    if upper.endswith("W"):
        return _MonthDays((_number(_DAYS, upper[:-1], text),), nearest_weekday=True)
    return _MonthDays(_numbers(_DAYS, text))


def _week_days(text: str) -> _WeekDays:
    upper = text.upper()
    if upper == "L":
        return _WeekDays((_SATURDAY,))
    if "#" in upper:
        weekday, _, nth = upper.partition("#")
        return _WeekDays((_number(_WEEKDAY, weekday, text),), _number(_Field(_WEEKDAY.noun, 1, 5), nth, text))
    if upper.endswith("L"):
        return _WeekDays((_number(_WEEKDAY, upper[:-1], text),), -1)
    return _WeekDays(_numbers(_WEEKDAY, text))


def _numbers(field: _Field, text: str) -> tuple[int, ...]:
    """The numbers that a list of values, ranges and steps stands for, ascending."""
    return tuple(sorted({number for part in text.split(",") for number in _part(field, part, text)}))


def _part(field: _Field, part: str, text: str) -> Sequence[int]:
    found = _PART.fullmatch(part.upper())
    if found is None:
        raise _bad(field, text)
    step = 1 if found["step"] is None else int(found["step"])
    if step < 1:
        raise _bad(field, text)
    if found["all"]:
        return range(field.low, field.high + 1, step)
    start = _number(field, found["from"], text)
    if found["to"] is not None:
        return _range(field, start, _number(field, found["to"], text), step)
    return (start,) if found["step"] is None else range(start, field.high + 1, step)


def _range(field: _Field, start: int, end: int, step: int) -> Sequence[int]:
    """`FRI-MON` and `22-2` go on at the field's beginning, but years do not. Source: Quartz; a guess."""
    if start <= end:
        return range(start, end + 1, step)
    if field is _YEARS:
        raise _bad(field, f"{start}-{end}")
    count = field.high - field.low + 1
    return [(number - field.low) % count + field.low for number in range(start, end + count + 1, step)]


def _number(field: _Field, word: str, text: str) -> int:
    if word in field.names:
        return field.low + field.names.index(word)
    if not re.fullmatch(r"[0-9]{1,4}", word):
        raise _bad(field, text)
    return _checked(field, int(word), text)


def _checked(field: _Field, number: int, text: str) -> int:
    if not field.low <= number <= field.high:
        raise _bad(field, text)
    return number


def _bad(field: _Field, text: str) -> Invalid:
    return Invalid(f"{text} is not valid for the field {field.noun}")
