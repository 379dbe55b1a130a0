"""Date and time functions on the engine: the examples of sql.md 6.9, folding, edges, faults."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from evaluation import CONTEXT, ENGINE, NOW_NS, Value, big, call, date, interval, null, same, time, ts
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.errors import Invalid, QueryFailed
from headwater.model.time import DATE_RANGE, TIMESTAMP_RANGE, timestamp_text
from headwater.model.types import Scalar
from headwater.sql import functions
from headwater.sql.constant import Constant
from headwater.sql.texts import parse_duration

T = "2024-03-09 07:08:09.123456789"
NOW_MS = NOW_NS // 10**6 * 10**6


def at(text: str) -> int:
    return int(ts(text).value)


def day(text: str) -> int:
    return int(date(text).value)


EXAMPLES: list[tuple[Any, ...]] = [
    ("now", NOW_MS),
    ("current_timestamp", NOW_MS),
    ("localtimestamp", NOW_MS),
    ("current_date", NOW_NS // (86_400 * 10**9)),
    ("current_time", NOW_MS % (86_400 * 10**9)),
    ("localtime", NOW_MS % (86_400 * 10**9)),
    ("current_timezone", "UTC"),
    ("ago", interval("6h"), NOW_MS - 6 * 3_600 * 10**9),
    ("ago", interval("72.5h"), NOW_MS - int(72.5 * 3_600) * 10**9),
    ("date", ts(T), day("2024-03-09")),
    ("date", "2024-03-09", day("2024-03-09")),
    ("date", "2024-03-09 07:08", day("2024-03-09")),
    ("date", ts("1969-12-31 23:59:59.999999999"), -1),
    ("last_day_of_month", date("2024-02-10"), day("2024-02-29")),
    ("last_day_of_month", ts("2023-02-28 23:59"), day("2023-02-28")),
    ("from_iso8601_timestamp", "2024-03-09T10:00:00.5+02:00", at("2024-03-09 08:00:00.5")),
    ("from_iso8601_timestamp", "2024-03-09T10:00:00.123456789Z", at("2024-03-09 10:00:00.123456789")),
    ("from_iso8601_timestamp", "2024-03-09T10:00:42", at("2024-03-09 10:00:42")),
    ("from_iso8601_timestamp", "2024-03-09T10:00-0130", at("2024-03-09 11:30")),
    ("from_iso8601_timestamp", "2024-03-09", at("2024-03-09")),
    ("from_iso8601_date", "2024-02-29", day("2024-02-29")),
    ("to_iso8601", date("2024-02-29"), "2024-02-29"),
    ("to_iso8601", ts(T), "2024-03-09T07:08:09.123456789Z"),
    ("from_milliseconds", 1500, 1_500_000_000),
    ("from_nanoseconds", 2_000_000_007, 2_000_000_007),
    ("from_unixtime", 86400.25, at("1970-01-02 00:00:00.25")),
    ("from_unixtime", -0.5, -500_000_000),
    ("to_milliseconds", ts(T), 1_709_968_089_123),
    ("to_milliseconds", interval("25h"), 90_000_000),
    ("to_nanoseconds", ts(T), 1_709_968_089_123_456_789),
    ("to_nanoseconds", interval("90m"), 5_400_000_000_000),
    ("to_unixtime", "2024-03-09 07:08:09", 1.709968089e9),
    ("date_trunc", "second", ts(T), at("2024-03-09 07:08:09")),
    ("date_trunc", "MINUTE", ts(T), at("2024-03-09 07:08")),
    ("date_trunc", "hour", ts(T), at("2024-03-09 07:00")),
    ("date_trunc", "day", ts(T), at("2024-03-09")),
    ("date_trunc", "week", ts(T), at("2024-03-04")),
    ("date_trunc", "month", ts(T), at("2024-03-01")),
    ("date_trunc", "quarter", ts(T), at("2024-01-01")),
    ("date_trunc", "year", ts(T), at("2024-01-01")),
    ("date_trunc", "day", ts("1969-12-31 23:59:59.999999999"), at("1969-12-31")),
    ("date_trunc", "day", ts("2024-03-09 23:59:59.999999999"), at("2024-03-09")),
    ("date_trunc", "week", ts("1969-12-31"), at("1969-12-29")),
    ("date_add", "month", 1, ts("2024-01-31"), at("2024-02-29")),
    ("date_add", "month", -1, ts("2024-03-31 10:00"), at("2024-02-29 10:00")),
    ("date_add", "quarter", 1, ts("2023-11-30"), at("2024-02-29")),
    ("date_add", "year", 1, ts("2024-02-29 01:02:03.000000004"), at("2025-02-28 01:02:03.000000004")),
    ("date_add", "week", -1, ts(T), at("2024-03-02 07:08:09.123456789")),
    ("date_add", "millisecond", 7, ts(T), at("2024-03-09 07:08:09.130456789")),
    ("date_add", "day", 2, date("2024-02-28"), day("2024-03-01")),
    ("date_add", "month", 1, date("2024-01-31"), day("2024-02-29")),
    ("date_add", "hour", 25, time("23:30"), time("00:30").value),
    ("date_add", "minute", -1, time("00:00"), time("23:59").value),
    ("date_diff", "hour", ts("2024-03-09 07:50"), ts("2024-03-09 09:10"), 1),
    ("date_diff", "hour", ts("2024-03-09 09:10"), ts("2024-03-09 07:50"), -1),
    ("date_diff", "day", date("2024-02-28"), date("2024-03-01"), 2),
    ("date_diff", "week", date("2024-03-09"), date("2024-02-28"), -1),
    ("date_diff", "month", ts("2024-01-31"), ts("2024-02-29"), 1),
    ("date_diff", "month", ts("2024-02-29"), ts("2024-01-31"), -1),
    ("date_diff", "month", ts("2024-01-31 00:00:01"), ts("2024-03-31"), 1),
    ("date_diff", "month", date("2024-01-30"), date("2024-02-28"), 0),
    ("date_diff", "year", ts("2020-02-29"), ts("2024-02-28"), 3),
    ("date_diff", "quarter", ts("2024-01-01"), ts("2024-12-31"), 3),
    ("date_diff", "minute", time("10:00"), time("11:01:59"), 61),
    ("parse_duration", "1.5h", 5_400_000_000_000),
    ("parse_duration", "2 day", 2 * 86_400 * 10**9),
    ("parse_duration", "15month", 15),
    ("bin", ts(T), interval("15m"), at("2024-03-09 07:00")),
    ("bin", ts(T), interval("7d"), at("2024-03-07")),
    ("bin", "2024-03-09 07:08:09", interval("90m"), at("2024-03-09 06:00")),
    ("bin", ts(T), interval("50ns"), at("2024-03-09 07:08:09.123456750")),
    ("bin", ts("1970-01-01"), interval("1d"), 0),
    ("year", ts(T), 2024),
    ("year", date("2024-03-09"), 2024),
    ("year", interval("15month"), 1),
    ("month", interval("15month"), 3),
    ("quarter", ts(T), 1),
    ("month", ts(T), 3),
    ("week", ts(T), 10),
    ("week_of_year", date("2024-12-30"), 1),
    ("year_of_week", ts("2024-12-30"), 2025),
    ("yow", ts(T), 2024),
    ("day", ts(T), 9),
    ("day_of_month", date("2024-03-09"), 9),
    ("day", interval("36h"), 1),
    ("day_of_week", ts(T), 6),
    ("dow", date("2024-03-10"), 7),
    ("doy", ts(T), 69),
    ("day_of_year", date("2024-12-31"), 366),
    ("hour", ts(T), 7),
    ("hour", "2024-03-09 07:08:09", 7),
    ("hour", interval("36h"), 12),
    ("hour", time("23:59:59"), 23),
    ("minute", ts(T), 8),
    ("second", ts(T), 9),
    ("second", interval("61s"), 1),
    ("millisecond", ts(T), 123),
    ("nanosecond", ts(T), 123_456_789),
    ("hour", ts("1969-12-31 23:59:59"), 23),
    ("date_format", ts(T), "%Y/%m/%d %T", "2024/03/09 07:08:09"),
    ("date_format", ts(T), "%a %W %b %M %c %e %f %j %k %l %p %r %s %v %x %y %% %i %q", (
        "Sat Saturday Mar March 3 9 123456 069 7 7 AM 07:08:09 AM 09 10 2024 24 % 08 q"
    )),
    ("date_format", ts("2024-03-09 00:00"), "%h %I %l %p {0}", "12 12 12 AM {0}"),
    ("date_format", ts("2024-03-09 13:00"), "%h %H %p", "01 13 PM"),
    ("date_parse", "09/03/24 07:08 PM", "%d/%m/%y %h:%i %p", at("2024-03-09 19:08")),
    ("date_parse", "20240309", "%Y%m%d", at("2024-03-09")),
    ("date_parse", "2024-03-09 12:00:00.5", "%Y-%m-%d %H:%i:%s.%f", at("2024-03-09 12:00:00.5")),
    ("date_parse", "12:30 AM", "%h:%i %p", at("1970-01-01 00:30")),
    ("date_parse", "9 March 1968", "%e %M %Y", at("1968-03-09")),
    ("date_parse", "2024 069", "%Y %j", at("2024-03-09")),
    ("format_datetime", ts(T), "EEE, d MMM yyyy", "Sat, 9 Mar 2024"),
    ("format_datetime", ts(T), "yyyy-MM-dd'T'HH:mm:ss.SSSSSSSSSZ '''o'''", "2024-03-09T07:08:09.123456789+0000 'o'"),
    ("format_datetime", ts("2024-03-09 00:05"), "uuuu LL EEEE h K k H a D e w xxxx", (
        "2024 03 Saturday 12 0 24 0 AM 69 6 10 2024"
    )),
    ("parse_datetime", "2024-03-09 07:08 +0200", "yyyy-MM-dd HH:mm Z", at("2024-03-09 05:08")),
    ("parse_datetime", "2024-03-09 07:08 UTC", "uuuu-LL-dd HH:mm z", at("2024-03-09 07:08")),
    ("parse_datetime", "Sat, 9 Mar 2024", "EEE, d MMM yyyy", at("2024-03-09")),
    ("parse_datetime", "24:00 5", "kk:mm s", 5_000_000_000),
]  # fmt: skip


@pytest.mark.parametrize("columns", [False, True], ids=["constants", "columns"])
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: f"{e[0]}{e[1:-1]}"[:70])
def test_example(example: tuple[Any, ...], columns: bool) -> None:
    name, *given, expected = example
    found = call(name, *given, columns=columns)
    assert same(found, expected), found


@pytest.mark.parametrize(
    "example",
    [
        ("bin", null(Scalar.TIMESTAMP), interval("1m")),
        ("bin", ts(T), null(Scalar.INTERVAL_DAY_TO_SECOND)),
        ("ago", null(Scalar.INTERVAL_DAY_TO_SECOND)),
        ("date_trunc", "day", null(Scalar.TIMESTAMP)),
        ("date_trunc", null(Scalar.VARCHAR), ts(T)),
        ("date_add", "month", null(Scalar.BIGINT), ts(T)),
        ("date_diff", "month", null(Scalar.TIMESTAMP), ts(T)),
        ("year", null(Scalar.TIMESTAMP)),
        ("date_format", null(Scalar.TIMESTAMP), "%Y"),
        ("date_format", ts(T), null(Scalar.VARCHAR)),
        ("date_parse", null(Scalar.VARCHAR), "%Y"),
        ("from_iso8601_timestamp", null(Scalar.VARCHAR)),
        ("from_milliseconds", None),
        ("parse_duration", None),
        ("to_unixtime", None),
    ],
    ids=lambda e: str(e[0]),
)
def test_null_argument_gives_null(example: tuple[Any, ...]) -> None:
    assert call(*example) is None


REFUSED: list[tuple[Any, ...]] = [
    ("ago", "7d", "Unexpected parameters (varchar) for function ago. Expected: ago(interval day to second)"),
    (
        "bin",
        ts(T),
        interval("1month"),
        "Unexpected parameters (timestamp, interval year to month) for function bin."
        " Expected: bin(timestamp, interval day to second)",
    ),
    ("bin", "soon", interval("1s"), "Value cannot be cast to timestamp: soon"),
    ("date_trunc", "fortnight", ts(T), "'fortnight' is not a valid TIMESTAMP field"),
    ("date_add", "hour", 1, date("2024-01-01"), "Cannot add hour, minutes or seconds to a date"),
    ("date_diff", "hour", date("2024-01-01"), date("2024-01-02"), "'hour' is not a valid DATE field"),
    ("date_diff", "day", time("01:00"), time("02:00"), "'day' is not a valid TIME field"),
    ("date_format", ts(T), "%D", "%D not supported in date format string"),
    ("date_parse", "x", "%v", "The format has a field that can only be written, not read"),
    ("format_datetime", ts(T), "yyyy b", "Illegal pattern component: b"),
]  # fmt: skip


@pytest.mark.parametrize("example", REFUSED, ids=lambda e: f"{e[0]}{e[1:-1]}"[:60])
def test_refused_before_the_run(example: tuple[Any, ...]) -> None:
    name, *given_, expected = example
    with pytest.raises(Invalid) as fault:
        call(name, *given_)
    assert fault.value.message.startswith(expected)


LAST = ts("2262-04-11 23:47:16.854775807")
FIRST = ts("1677-09-21 00:12:44")

FAULTS: list[tuple[Any, ...]] = [
    ("bin", ts(T), interval("0s"), "bin interval must be greater than zero"),
    ("from_milliseconds", big(2**62), TIMESTAMP_RANGE),
    ("from_milliseconds", big(-9_223_372_036_855), TIMESTAMP_RANGE),
    ("from_unixtime", 1e300, TIMESTAMP_RANGE),
    ("from_unixtime", float("nan"), TIMESTAMP_RANGE),
    ("from_unixtime", -9_223_372_036.9, TIMESTAMP_RANGE),
    ("date_add", "second", big(10_000_000_000), ts(T), TIMESTAMP_RANGE),
    ("date_add", "week", big(2**63 - 1), ts(T), TIMESTAMP_RANGE),
    ("date_add", "year", big(-(2**63)), ts(T), TIMESTAMP_RANGE),
    ("date_add", "month", 1, LAST, TIMESTAMP_RANGE),
    ("date_add", "second", -1, FIRST, TIMESTAMP_RANGE),
    ("date_add", "day", 1, date("2262-04-11"), DATE_RANGE),
    ("date_add", "week", big(2**62), date("2024-01-01"), DATE_RANGE),
    ("date_add", "quarter", big(2**62), date("2024-01-01"), DATE_RANGE),
    ("date_trunc", "week", FIRST, TIMESTAMP_RANGE),
    ("date_trunc", "hour", FIRST, TIMESTAMP_RANGE),
    ("date_trunc", "year", date("1677-09-21"), DATE_RANGE),
    ("last_day_of_month", LAST, DATE_RANGE),
    ("from_iso8601_date", "2262-04-12", "Value cannot be cast to date: 2262-04-12"),
    ("parse_duration", "5hours", "Unknown time unit: hours"),
]


@pytest.mark.parametrize("example", FAULTS, ids=lambda e: f"{e[0]}{e[1:-1]}"[:60])
def test_fault_of_a_column(example: tuple[Any, ...]) -> None:
    name, *given_, expected = example
    with pytest.raises(QueryFailed) as fault:
        call(name, *given_, columns=True)
    assert fault.value.message == expected


def test_fault_of_a_run() -> None:
    with pytest.raises(QueryFailed, match='Invalid format: "2024-13-01"'):
        call("date_parse", "2024-13-01", "%Y-%m-%d")
    with pytest.raises(QueryFailed, match='Invalid format: "x"'):
        call("date_parse", "x", "%Y-%m-%d")


INSTANTS = st.integers(-(2**63) + 2 * 10**17, 2**63 - 2 * 10**17)
ANY_INSTANTS = st.integers(-(2**63), 2**63 - 1)
UNITS = st.sampled_from(["millisecond", "second", "minute", "hour", "day", "week", "month", "quarter", "year"])
COUNTS = st.integers(-20_000, 20_000) | st.integers(-(2**63), 2**63 - 1)


@settings(max_examples=60, deadline=None)
@given(INSTANTS, st.sampled_from(["second", "day", "week", "quarter"]))
def test_engine_truncates_as_folding_does(time_ns: int, unit: str) -> None:
    """The engine's macros and sql/calendar compute the same, for any instant."""
    instant = Value(time_ns, Scalar.TIMESTAMP)
    folded = functions.resolve("date_trunc", [Scalar.VARCHAR, Scalar.TIMESTAMP], _constants(unit, time_ns), CONTEXT)
    assert folded.constant is not None
    assert call("date_trunc", unit, instant, columns=True) == folded.constant.value
    assert folded.constant.value <= time_ns


@settings(max_examples=60, deadline=None)
@given(st.integers(-(2**62), 2**62), st.integers(-600, 600))
def test_engine_adds_months_as_folding_does(time_ns: int, months: int) -> None:
    instant = Value(time_ns, Scalar.TIMESTAMP)
    found = call("date_add", "month", months, instant, columns=True)
    assert call("date_add", "month", months, instant) == found
    assert timestamp_text(found)[10:] == timestamp_text(time_ns)[10:]


def outcome(name: str, *given_: Any) -> Any:
    """What a call of columns gives, or the message of its fault; constants give the same."""

    def found(columns: bool) -> Any:
        try:
            return call(name, *given_, columns=columns)
        except QueryFailed as fault:
            return fault.message

    assert found(columns=True) == found(columns=False)
    return found(columns=True)


@settings(max_examples=60, deadline=None)
@given(ANY_INSTANTS, UNITS, COUNTS)
def test_whole_range_is_computed_in_columns_as_in_constants(time_ns: int, unit: str, count: int) -> None:
    """Up to the first and the last instant and date, with one text for what lies beyond."""
    instant, day_ = Value(time_ns, Scalar.TIMESTAMP), Value(time_ns // 86_400_000_000_000, Scalar.DATE)
    added = outcome("date_add", unit, big(count), instant)
    assert isinstance(added, int) or added == TIMESTAMP_RANGE
    outcome("date_trunc", unit, instant)
    if unit in ("day", "week", "month", "quarter", "year"):
        outcome("date_add", unit, big(count), day_)
        outcome("date_trunc", unit, day_)


@settings(max_examples=40, deadline=None)
@given(ANY_INSTANTS, ANY_INSTANTS, UNITS)
def test_differences_span_the_whole_range(start: int, end: int, unit: str) -> None:
    found = call("date_diff", unit, Value(start, Scalar.TIMESTAMP), Value(end, Scalar.TIMESTAMP), columns=True)
    assert (found > 0) <= (end > start)
    assert call("date_diff", unit, Value(end, Scalar.TIMESTAMP), Value(start, Scalar.TIMESTAMP), columns=True) == -found
    if found:
        assert outcome("date_add", unit, big(found), Value(start, Scalar.TIMESTAMP)) <= max(start, end)


@settings(max_examples=60, deadline=None)
@given(st.dates(min_value=dt.date(1678, 1, 1), max_value=dt.date(2261, 12, 31)))
def test_every_form_of_an_iso_date(day_: dt.date) -> None:
    year, week, weekday = day_.isocalendar()
    whole = outcome("from_iso8601_date", day_.isoformat())
    assert outcome("from_iso8601_date", f"{year:04}-W{week:02}-{weekday}") == whole
    assert outcome("from_iso8601_date", f"{day_:%Y-%j}") == whole
    assert outcome("from_iso8601_date", f"{year:04}-W{week:02}") == whole - weekday + 1
    assert outcome("from_iso8601_timestamp", f"{day_:%Y-%j}T01") == whole * 86_400 * 10**9 + 3_600 * 10**9


@pytest.mark.parametrize("text", ["2024-W00", "2024-W53", "2023-366", "2024-000", "2024-13", "0000", "2024-W10-8", "x"])
def test_no_iso_date(text: str) -> None:
    assert outcome("from_iso8601_date", text) == f"Value cannot be cast to date: {text}"


@settings(max_examples=60, deadline=None)
@given(
    st.decimals(0, 10**6, places=9) | st.integers(0, 10**20),
    st.sampled_from(["ns", "us", "ms", "s", "minute", "H", " day"]),
)
def test_durations_of_columns_are_those_of_constants(number: Any, unit: str) -> None:
    text = f"{number if isinstance(number, int) else f'{number:f}'}{unit}"
    lowered = functions.resolve("parse_duration", [Scalar.VARCHAR], [None], CONTEXT).lower([f"'{text}'"])
    try:
        column = ENGINE.run(f"SELECT {lowered} AS n", {}, timeout_s=20).column("n")[0].as_py()
    except QueryFailed:
        column = None
    try:
        assert parse_duration(text)[0] == column
    except Invalid:
        assert column is None


def _constants(*values: Any) -> list[Any]:
    return [Constant(value) for value in values]
