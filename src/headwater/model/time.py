"""Instants and durations: integer nanoseconds, UTC, since 1970; the clock; and their texts.

Everything inside the server counts time in these integers; texts appear only at the wire.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

S_PER_MINUTE = 60
S_PER_HOUR = 3_600
S_PER_DAY = 86_400

NS_PER_US = 1_000
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
NS_PER_MINUTE = 60 * NS_PER_S
NS_PER_HOUR = 3_600 * NS_PER_S
NS_PER_DAY = 86_400 * NS_PER_S

TIME_MIN_NS = -(2**63)
TIME_MAX_NS = 2**63 - 1
DATE_MIN_DAYS = TIME_MIN_NS // NS_PER_DAY
DATE_MAX_DAYS = TIME_MAX_NS // NS_PER_DAY

TIMESTAMP_RANGE = "Timestamp is out of range: it must be from 1677-09-21 00:12:44 to 2262-04-11 23:47:16.854775807"
DATE_RANGE = "Date is out of range: it must be from 1677-09-21 to 2262-04-11"
"""What a query is told whose result is no instant or date. Source: sql.md 2, 5."""

ZONE_HOURS = {
    "UTC": 0,
    "UT": 0,
    "GMT": 0,
    "Z": 0,
    "EST": -5,
    "EDT": -4,
    "CST": -6,
    "CDT": -5,
    "MST": -7,
    "MDT": -6,
    "PST": -8,
    "PDT": -7,
    "AKST": -9,
    "AKDT": -8,
    "HST": -10,
    "WET": 0,
    "WEST": 1,
    "CET": 1,
    "CEST": 2,
    "EET": 2,
    "EEST": 3,
    "MSK": 3,
    "JST": 9,
    "KST": 9,
    "AEST": 10,
    "AEDT": 11,
    "NZST": 12,
    "NZDT": 13,
}
"""Zones by abbreviation, in hours ahead of UTC: the ones Joda knows, and others that mean one zone only."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Wall time for records and retention, monotonic time for time-outs; both replaceable in tests."""

    def now_ns(self) -> int: ...

    def monotonic_s(self) -> float: ...


class SystemClock:
    """The machine's clocks."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_s(self) -> float:
        return time.monotonic()


class FixedClock:
    """A clock that stands still until it is set or advanced: golden files, replays of an incident."""

    def __init__(self, now_ns: int) -> None:
        self.time_ns = now_ns

    def now_ns(self) -> int:
        return self.time_ns

    def monotonic_s(self) -> float:
        return self.time_ns / NS_PER_S

    def advance(self, duration_ns: int) -> None:
        self.time_ns += duration_ns


def day_of(time_ns: int) -> int:
    """The UTC day an instant falls in, counted from 1970-01-01."""
    return time_ns // NS_PER_DAY


def timestamp_text(time_ns: int) -> str:
    """`2024-02-29 10:15:20.000000007`: how a query result shows an instant. Source: sql.md 2."""
    seconds, fraction = divmod(time_ns, NS_PER_S)
    at = _EPOCH + timedelta(seconds=seconds)
    return f"{at:%Y-%m-%d %H:%M:%S}.{fraction:09d}"


def instant_text(time_ns: int) -> str:
    """`2023-02-13T19:22:45.051Z`: how messages show an instant, cut to the millisecond. Source: storage.md 2."""
    seconds, fraction = divmod(time_ns, NS_PER_S)
    at = _EPOCH + timedelta(seconds=seconds)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{fraction // NS_PER_MS:03d}Z"


def epoch_seconds(time_ns: int) -> float:
    """Seconds since 1970 with milliseconds: how responses carry dates. Source: write-api.md 1."""
    return time_ns // NS_PER_MS / 1000


def parse_instant(text: str) -> int:
    """Nanoseconds of an RFC 3339 instant such as `2024-01-01T00:10:00Z`; up to nine fraction digits.

    Raises ValueError. For settings and test files, not for SQL, which has stricter texts.
    """
    main, _, fraction = text.removesuffix("Z").partition(".")
    at = datetime.fromisoformat(main).replace(tzinfo=UTC)
    if fraction and not (fraction.isascii() and fraction.isdigit() and len(fraction) <= 9):
        raise ValueError(f"bad fraction of a second in {text!r}")
    whole = (at - _EPOCH) // timedelta(microseconds=1)
    return whole * NS_PER_US + int(fraction.ljust(9, "0") or 0)
