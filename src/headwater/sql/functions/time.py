"""Rows of date and time functions, but for formats (format.py). Everything is UTC. Source: sql.md 6.9.

What can be computed from constants is, so that a scan knows its time range: `fold` works on integers as the engine
holds them. The engine's own functions of instants are not used: they round nanoseconds.
"""

from __future__ import annotations

from collections.abc import Callable

from headwater.errors import Invalid
from headwater.model.time import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE, NS_PER_MS, NS_PER_S, TIME_MAX_NS
from headwater.model.types import Scalar
from headwater.sql import calendar
from headwater.sql.calendar import UNITS_MONTHS, UNITS_NS, in_date_range, in_time_range
from headwater.sql.coercion import DATE, TIMESTAMP, failure, literal, quoted, use_once
from headwater.sql.operators import DAYS_FAULT
from headwater.sql.signature import Call, Context, Signature, row
from headwater.sql.texts import parse_date, parse_duration, parse_iso8601_date, parse_iso8601_timestamp, parse_timestamp

UNITS = (*UNITS_NS, *UNITS_MONTHS)
SUB_DAY_UNITS = ("millisecond", "second", "minute", "hour")


# ------------------------------------------------------------------------------------------------ now


def _now(context: Context) -> int:
    """The query's instant, cut to the millisecond."""
    return context.now_ns // NS_PER_MS * NS_PER_MS


def _now_rows() -> list[Signature]:
    values: dict[str, tuple[str, Callable[[Context], int | str]]] = {
        "now": ("timestamp", _now),
        "current_timestamp": ("timestamp", _now),
        "localtimestamp": ("timestamp", _now),
        "current_date": ("date", lambda context: _now(context) // NS_PER_DAY),
        "current_time": ("time", lambda context: _now(context) % NS_PER_DAY),
        "localtime": ("time", lambda context: _now(context) % NS_PER_DAY),
        "current_timezone": ("varchar", lambda _: "UTC"),
    }
    return [
        row(
            f"{name}() -> {kind}",
            lambda call, fold=fold: literal(fold(call.context), call.result),  # type: ignore[misc]
            fold=fold,
            is_timed=True,
            source="6.9",
        )
        for name, (kind, fold) in values.items()
    ]


def _ago(call: Call) -> str:
    return use_once(f"hw_plus({literal(_now(call.context), TIMESTAMP)}, 0 - {{0}})", call.texts)


# ------------------------------------------------------------------------------------------------ bin


def _check_bin(call: Call) -> None:
    if call.is_constant(1) and call.value(1) is not None and call.value(1) <= 0:
        raise Invalid("bin interval must be greater than zero")


def _bin(call: Call) -> str:
    """Whole intervals since 1970, by integer division."""
    binned = "({0} // {1} * {1})"
    if not call.is_constant(1):
        fault = failure(quoted("bin interval must be greater than zero"), TIMESTAMP)
        binned = f"CASE WHEN {{1}} <= 0 THEN {fault} ELSE {binned} END"
    return use_once(binned, call.texts)


def _folded_bin(time_ns: int, interval_ns: int) -> int:
    count = abs(time_ns) // interval_ns * interval_ns
    return count if time_ns >= 0 else -count


# ---------------------------------------------------------------------------------------------- units


def unit_of(call: Call, allowed: tuple[str, ...], what: str) -> str | None:
    """The unit that the first argument, a constant, names, in lower case; None for NULL. Raises Invalid."""
    value = call.value(0)
    if value is None:
        return None
    unit = str(value).lower()
    if unit not in allowed:
        raise Invalid(f"'{value}' is not a valid {what} field")
    return unit


def _unit_rows() -> list[Signature]:
    """`date_trunc`, `date_add` and `date_diff`, by unit: see `_by_unit` for the templates."""
    return [
        _by_unit(
            "date_trunc(varchar, timestamp) -> timestamp",
            {unit: _truncated(unit) for unit in UNITS},
            "TIMESTAMP",
            lambda unit, time_ns: calendar.truncate(unit.lower(), time_ns),
            "6.9",
        ),
        _by_unit(
            "date_trunc(varchar, date) -> date",
            {unit: f"hw_in_dates(hw_trunc_date('{unit}', {{0}}))" for unit in DATE_UNITS},
            "DATE",
            lambda unit, days: calendar.truncate_days(unit.lower(), days),
            "Trino",
        ),
        _by_unit(
            "date_trunc(varchar, time) -> time",
            {unit: f"({{0}} // {UNITS_NS[unit]} * {UNITS_NS[unit]})" for unit in SUB_DAY_UNITS},
            "TIME",
            lambda unit, time_ns: time_ns // UNITS_NS[unit.lower()] * UNITS_NS[unit.lower()],
            "Trino",
        ),
        _by_unit(
            "date_add(varchar, bigint, timestamp) -> timestamp",
            {unit: _added(unit) for unit in UNITS},
            "TIMESTAMP",
            _folded_add,
            "6.9",
        ),
        _by_unit(
            "date_add(varchar, bigint, date) -> date",
            {unit: _added_to_date(unit) for unit in UNITS},
            "DATE",
            _folded_add_to_date,
            "6.9",
            check=_check_date_unit,
        ),
        _by_unit(
            "date_add(varchar, bigint, time) -> time",
            {
                unit: f"hw_time_of_day({{1}} + {{0}} % {NS_PER_DAY // UNITS_NS[unit]} * {UNITS_NS[unit]})"
                for unit in SUB_DAY_UNITS
            },
            "TIME",
            None,
            "6.9",
        ),
        _by_unit(
            "date_diff(varchar, timestamp, timestamp) -> bigint",
            {unit: _difference("{0}", "{1}", unit) for unit in UNITS},
            "TIMESTAMP",
            None,
            "6.9",
        ),
        _by_unit(
            "date_diff(varchar, date, date) -> bigint",
            {unit: _difference_of_dates(unit) for unit in DATE_UNITS},
            "DATE",
            None,
            "6.9",
        ),
        _by_unit(
            "date_diff(varchar, time, time) -> bigint",
            {unit: _difference("{0}", "{1}", unit) for unit in SUB_DAY_UNITS},
            "TIME",
            None,
            "6.9",
        ),
    ]


def _by_unit(
    text: str,
    templates: dict[str, str],
    what: str,
    fold: Callable[..., int] | None,
    source: str,
    check: Callable[[Call], None] | None = None,
) -> Signature:
    """A row whose first argument is a unit; the templates are of the arguments behind it, {0} the first of them.

    A unit that is not constant chooses among all of them for every row.
    """

    def is_unit(call: Call) -> None:
        if call.is_constant(0):
            (check or _no_check)(call)
            unit_of(call, tuple(templates), what)

    def lower(call: Call) -> str:
        if call.is_constant(0):
            unit = unit_of(call, tuple(templates), what)
            return literal(None, call.result) if unit is None else use_once(templates[unit], call.texts[1:])
        places = [f"{{{place}}}" for place in range(1, len(call.texts))]
        branches = " ".join(f"WHEN '{unit}' THEN {each.format(*places)}" for unit, each in templates.items())
        fault = failure(f"concat('''', {{0}}, ''' is not a valid {what} field')", call.result)
        there = " AND ".join(f"{place} IS NOT NULL" for place in ("{0}", *places))
        return use_once(f"CASE WHEN {there} THEN CASE lower({{0}}) {branches} ELSE {fault} END END", call.texts)

    return row(text, lower, fold=fold, check=is_unit, source=source)


def _no_check(_: Call) -> None:
    """For a row whose units are all there is to check."""


def _truncated(unit: str) -> str:
    if unit in UNITS_NS and unit != "week":
        return f"hw_floor({{0}}, {UNITS_NS[unit]})"
    return f"hw_midnight(hw_trunc_date('{unit}', hw_day({{0}})))"


def _added(unit: str) -> str:
    if unit in UNITS_NS:
        return f"hw_add_units({{1}}, {{0}}, {UNITS_NS[unit]})"
    return f"hw_add_months({{1}}, hw_months_of({{0}}, {UNITS_MONTHS[unit]}))"


def _folded_add(unit: str, count: int, time_ns: int) -> int:
    unit = unit.lower()
    if unit in UNITS_NS:
        return in_time_range(time_ns + count * UNITS_NS[unit])
    return calendar.add_months(time_ns, count * UNITS_MONTHS[unit])


def _check_date_unit(call: Call) -> None:
    if unit_of(call, UNITS, "DATE") in SUB_DAY_UNITS:
        raise Invalid(DAYS_FAULT)


def _added_to_date(unit: str) -> str:
    if unit in SUB_DAY_UNITS:
        return failure(quoted(DAYS_FAULT), DATE)
    if unit in UNITS_NS:
        return f"hw_in_dates(hw_days_later({{1}}, {{0}}, {UNITS_NS[unit] // NS_PER_DAY}))"
    return f"hw_add_months_to_date({{1}}, hw_months_of({{0}}, {UNITS_MONTHS[unit]}))"


def _folded_add_to_date(unit: str, count: int, days: int) -> int:
    unit = unit.lower()
    if unit in UNITS_NS:
        return in_date_range(days + count * (UNITS_NS[unit] // NS_PER_DAY))
    return calendar.add_months_to_days(days, count * UNITS_MONTHS[unit])


def _difference(start: str, end: str, unit: str) -> str:
    if unit in UNITS_NS:
        return f"hw_units_between({start}, {end}, {UNITS_NS[unit]})"
    return f"(hw_months_between({start}, {end}) // {UNITS_MONTHS[unit]})"


DATE_UNITS = ("day", "week", *UNITS_MONTHS)


def _difference_of_dates(unit: str) -> str:
    if unit in UNITS_NS:
        return f"((CAST({{1}} AS BIGINT) - {{0}}) // {UNITS_NS[unit] // NS_PER_DAY})"
    return f"(hw_months_between_dates({{0}}, {{1}}) // {UNITS_MONTHS[unit]})"


# ----------------------------------------------------------------------------------------- extraction

_DATE_FIELDS = {
    "year": "year({date})",
    "quarter": "quarter({date})",
    "month": "month({date})",
    "week": "week({date})",
    "week_of_year": "week({date})",
    "year_of_week": "isoyear({date})",
    "yow": "isoyear({date})",
    "day": "day({date})",
    "day_of_month": "day({date})",
    "day_of_week": "isodow({date})",
    "dow": "isodow({date})",
    "day_of_year": "dayofyear({date})",
    "doy": "dayofyear({date})",
}
_TIME_FIELDS = {
    "hour": f"{{time}} // {NS_PER_HOUR}",
    "minute": f"{{time}} // {NS_PER_MINUTE} % 60",
    "second": f"{{time}} // {NS_PER_S} % 60",
    "millisecond": f"{{time}} % {NS_PER_S} // {NS_PER_MS}",
    "nanosecond": f"{{time}} % {NS_PER_S}",
}
_INTERVAL_FIELDS = {
    "day": f"{{0}} // {NS_PER_DAY}",
    "hour": f"{{0}} % {NS_PER_DAY} // {NS_PER_HOUR}",
}


def _extraction_rows() -> list[Signature]:
    rows = []
    for name, field in _DATE_FIELDS.items():
        for kind, date in (("timestamp", "hw_date(hw_day({0}))"), ("date", "hw_date({0})")):
            rows.append(row(f"{name}({kind}) -> bigint", f"CAST({field.format(date=date)} AS BIGINT)", source="6.9"))
    for name, field in _TIME_FIELDS.items():
        interval = _INTERVAL_FIELDS.get(name, field.format(time="{0}"))
        for kind, lower in (
            ("timestamp", field.format(time="hw_time_of_day({0})")),
            ("time", field.format(time="{0}")),
            ("interval day to second", interval),
        ):
            rows.append(row(f"{name}({kind}) -> bigint", f"({lower})", source="6.9"))
    for name in ("day", "day_of_month"):
        rows.append(row(f"{name}(interval day to second) -> bigint", f"({_INTERVAL_FIELDS['day']})", source="6.9"))
    rows.append(row("year(interval year to month) -> bigint", "CAST({0} // 12 AS BIGINT)", source="6.9"))
    rows.append(row("month(interval year to month) -> bigint", "CAST({0} % 12 AS BIGINT)", source="6.9"))
    return rows


# ---------------------------------------------------------------------------------------- conversions


def _checked(attempt: str, kind: Scalar, message: str) -> str:
    """`attempt` of a text {0}, or a fault where it gives NULL for one that is there."""
    fault = failure(f"concat({quoted(message)}, {{0}})", kind)
    return f"coalesce({attempt}, CASE WHEN {{0}} IS NOT NULL THEN {fault} END)"


def _date_of_text(text: str) -> int:
    return parse_date(text) if len(text.strip(" ")) <= len("2024-02-29") else parse_timestamp(text) // NS_PER_DAY


def _duration_type(call: Call) -> Scalar:
    """That of the text; day to second for one that is not constant, and for one that fails where it is evaluated."""
    text = call.value(0) if call.is_constant(0) else None
    try:
        return Scalar.INTERVAL_DAY_TO_SECOND if text is None else parse_duration(text)[1]
    except Invalid:
        return Scalar.INTERVAL_DAY_TO_SECOND


_DURATION_OF_COLUMN = _checked("hw_duration_from_text({0})", Scalar.INTERVAL_DAY_TO_SECOND, "Cannot parse duration: ")


def _duration(call: Call) -> str:
    if not call.is_constant(0):
        return use_once(_DURATION_OF_COLUMN, call.texts)
    return literal(parse_duration(call.value(0))[0] if call.value(0) is not None else None, call.result)


def _whole_milliseconds(value_ns: int) -> int:
    return abs(value_ns) // NS_PER_MS * (1 if value_ns >= 0 else -1)


def _in_words() -> str:
    """`1 day, 3 minutes`: whole seconds in weeks to seconds, those that are none left out."""
    fault = failure("concat('Invalid argument found: ', hw_double_text({0}))", Scalar.VARCHAR)
    seconds = "TRY_CAST(round(abs({0})) AS BIGINT)"
    parts = []
    for name, size, limit in (
        ("week", 604_800, 0),
        ("day", 86_400, 7),
        ("hour", 3_600, 24),
        ("minute", 60, 60),
        ("second", 1, 60),
    ):
        count = f"({seconds} // {size}{f' % {limit}' if limit else ''})"
        parts.append(f"CASE {count} WHEN 0 THEN '' WHEN 1 THEN ', 1 {name}' ELSE ', ' || {count} || ' {name}s' END")
    joined = f"substr({' || '.join(parts)}, 3)"
    return (
        f"CASE WHEN NOT isfinite({{0}}) OR abs({{0}}) > 9e18 THEN {fault}"
        f" WHEN {seconds} = 0 THEN '0 seconds' ELSE {joined} END"
    )


_MS_MAX = TIME_MAX_NS // NS_PER_MS

ROWS = (
    *_now_rows(),
    row(
        "ago(interval day to second) -> timestamp",
        _ago,
        fold=lambda context, interval: in_time_range(_now(context) - interval),
        is_timed=True,
        source="6.9",
    ),
    row("bin(timestamp, interval day to second) -> timestamp", _bin, fold=_folded_bin, guard=_check_bin, source="6.9"),
    *_unit_rows(),
    *_extraction_rows(),
    row("date(timestamp) -> date", "hw_day({0})", fold=lambda time_ns: time_ns // NS_PER_DAY, source="6.9"),
    row("date(date) -> date", "{0}", fold=lambda days: days, source="Trino"),
    row(
        "date(varchar) -> date",
        _checked(
            "coalesce(hw_date_from_text({0}), hw_day(hw_timestamp_from_text({0})))",
            DATE,
            "Value cannot be cast to date: ",
        ),
        fold=_date_of_text,
        source="6.9",
    ),
    row(
        "last_day_of_month(timestamp) -> date",
        "hw_in_dates(hw_days(last_day(hw_date(hw_day({0})))))",
        fold=lambda time_ns: calendar.last_day_of_month(time_ns // NS_PER_DAY),
        source="6.9",
    ),
    row(
        "last_day_of_month(date) -> date",
        "hw_in_dates(hw_days(last_day(hw_date({0}))))",
        fold=calendar.last_day_of_month,
        source="6.9",
    ),
    *(
        row(
            f"{name}(varchar) -> timestamp",
            _checked("hw_iso8601_timestamp({0})", TIMESTAMP, "Value cannot be cast to timestamp: "),
            fold=parse_iso8601_timestamp,
            source=source,
        )
        for name, source in (("from_iso8601_timestamp", "6.9"), ("from_iso8601_timestamp_nanos", "Trino"))
    ),
    row(
        "from_iso8601_date(varchar) -> date",
        _checked("hw_iso8601_date({0})", DATE, "Value cannot be cast to date: "),
        fold=parse_iso8601_date,
        source="6.9",
    ),
    row("to_iso8601(date) -> varchar", "hw_date_text({0})", source="6.9"),
    row("to_iso8601(timestamp) -> varchar", "(replace(hw_timestamp_text({0}), ' ', 'T') || 'Z')", source="6.9"),
    row(
        "from_milliseconds(bigint) -> timestamp",
        f"CASE WHEN {{0}} NOT BETWEEN -{_MS_MAX} AND {_MS_MAX} THEN hw_no_timestamp() ELSE {{0}} * {NS_PER_MS} END",
        fold=lambda value: in_time_range(value * NS_PER_MS),
        source="6.9",
    ),
    *(
        row(f"{name}(bigint) -> timestamp", "{0}", fold=in_time_range, source=source)
        for name, source in (("from_nanoseconds", "6.9"), ("from_unixtime_nanos", "Trino"))
    ),
    row("from_unixtime(double) -> timestamp", "hw_from_seconds({0})", source="6.9"),
    row("to_milliseconds(timestamp) -> bigint", f"({{0}} // {NS_PER_MS})", fold=_whole_milliseconds, source="6.9"),
    row(
        "to_milliseconds(interval day to second) -> bigint",
        f"({{0}} // {NS_PER_MS})",
        fold=_whole_milliseconds,
        source="6.9",
    ),
    row("to_nanoseconds(timestamp) -> bigint", "{0}", fold=lambda time_ns: time_ns, source="6.9"),
    row("to_nanoseconds(interval day to second) -> bigint", "{0}", fold=lambda value_ns: value_ns, source="6.9"),
    row(
        "to_unixtime(timestamp) -> double",
        "(CAST({0} AS DOUBLE) / 1e9)",
        fold=lambda time_ns: float(time_ns) / 1e9,
        source="6.9",
    ),
    row("human_readable_seconds(double) -> varchar", _in_words(), source="Trino"),
    row(
        "parse_duration(varchar) -> interval",
        _duration,
        result=_duration_type,
        fold=lambda text: parse_duration(text)[0],
        source="6.9",
    ),
)
