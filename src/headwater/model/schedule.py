"""When a scheduled query runs: `rate(...)` and `cron(...)`, read once, asked for the next time. Pure.

Used by `server` (creation, and the next time in answers) and by `jobs` (what is due). A *slot* is a time at which a
schedule fires, a whole minute in UTC; whether a slot has been run is kept by `catalog/scheduled`. Source:
scheduled-queries.md 2; the texts of the faults are ours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from headwater.errors import Invalid
from headwater.model.cron import Cron
from headwater.model.time import S_PER_DAY, S_PER_HOUR, S_PER_MINUTE

_FORM = re.compile(r"(?P<kind>cron|rate)\((?P<inner>[^()]*)\)")
_RATE = re.compile(r"(?P<value>[0-9]{1,10}) +(?P<unit>minute|hour|day)s?")
_END_S = 7_258_118_400
"""The year 2200, which no cron expression can name either."""

_UNITS_S = {"minute": S_PER_MINUTE, "hour": S_PER_HOUR, "day": S_PER_DAY}


@dataclass(frozen=True, slots=True)
class Rate:
    """Every `period_s`, counted from `start_s`, which is no slot itself."""

    start_s: int
    period_s: int

    def next_after(self, time_s: int) -> int | None:
        periods = max((time_s - self.start_s) // self.period_s, 0) + 1
        slot_s = self.start_s + periods * self.period_s
        return slot_s if slot_s < _END_S else None


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule expression that has been understood. `text` is the expression as it was given."""

    text: str
    rule: Rate | Cron

    @classmethod
    def parse(cls, expression: str, start_s: int = 0) -> Schedule:
        """Read an expression. A rate counts from the minute of `start_s`, the creation of its query.

        Raises Invalid. Singular and plural units are both accepted with any number.
        """
        found = _FORM.fullmatch(expression.strip())
        if found is None:
            raise _bad(expression, "it is neither cron(...) nor rate(...)")
        try:
            rule = Cron.parse(found["inner"]) if found["kind"] == "cron" else _rate(found["inner"], start_s)
        except Invalid as error:
            raise _bad(expression, error.message) from error
        return cls(expression, rule)

    def next_after(self, time_s: int) -> int | None:
        """The first slot later than `time_s`; both are whole seconds since 1970. None if there is none any more."""
        return self.rule.next_after(time_s)


def _rate(text: str, start_s: int) -> Rate:
    found = _RATE.fullmatch(text.strip())
    if found is None:
        raise Invalid("a rate is a positive whole number and minutes, hours or days")
    if int(found["value"]) < 1:
        raise Invalid("a rate is at least one minute")
    return Rate(start_s // S_PER_MINUTE * S_PER_MINUTE, int(found["value"]) * _UNITS_S[found["unit"]])


def _bad(expression: str, reason: str) -> Invalid:
    return Invalid(f"The schedule expression {expression} is invalid: {reason}.")
