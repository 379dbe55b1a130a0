"""SQL macros that lowered statements call: calendar, texts of values, values of texts.

`sql` writes their names, `engine.py` creates them. All times are integers (model/types.py), because the engine's own
functions round nanosecond timestamps; days go through its DATE, which is exact. Each macro gives NULL for NULL.
An argument may be evaluated several times: `sql/coercion.use_once` sees to it that long ones are not.
Source: sql.md 2, 5, 6.3, 6.9.
"""

from __future__ import annotations

from headwater.errors import FAULT_END, FAULT_START
from headwater.model.time import (
    DATE_MAX_DAYS,
    DATE_MIN_DAYS,
    DATE_RANGE,
    NS_PER_DAY,
    NS_PER_HOUR,
    NS_PER_MINUTE,
    NS_PER_MS,
    NS_PER_S,
    NS_PER_US,
    TIME_MAX_NS,
    TIMESTAMP_RANGE,
    ZONE_HOURS,
)

_DATE = r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
_TIME = r"[0-9]{1,2}:[0-9]{1,2}(:[0-9]{1,2}(\.[0-9]{1,9})?)?"
_ZONE = r"(Z|UTC|[+-][0-9]{2}(:?[0-9]{2})?)"
_TIME_PARTS = r"^([0-9]+):([0-9]+)(?::([0-9]+)(?:\.([0-9]+))?)?$"
_ISO_DATE = r"[0-9]{4}(?:-(?:[0-9]{2}(?:-[0-9]{2})?|[0-9]{3}|W[0-9]{2}(?:-[1-7])?))?"
_ISO = (
    "(" + _ISO_DATE + r")(?:T([0-9]{2})(?::([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?)?"
    r"(Z|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
_NUMBER = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"
_DURATION = r"^([0-9]*)(?:[.]([0-9]+))? *([a-z]+)$"
_EPOCH = "DATE '1970-01-01'"
# The engine reads the least integer, written as one, as wider than 64 bits.
_MAX, _MIN = f"{TIME_MAX_NS}", f"(-{TIME_MAX_NS} - 1)"


def _fault(message: str, kind: str) -> str:
    """As sql/coercion.failure writes it: a cast that cannot succeed, with a text between marks."""
    return f"CAST('{FAULT_START}' || '{message}' || '{FAULT_END}' AS {kind})"


_FEW_UNITS = TIME_MAX_NS // (7 * NS_PER_DAY)
"""So many of any unit fit 64 bits."""
_WITHIN_FEW = f"(n % {_FEW_UNITS + 1})"
"""Such a number itself. Of others nothing that overflows: the engine may compute ahead what is written twice."""

_FAR_DAYS, _FAR_MONTHS = 2 * DATE_MAX_DAYS + 2, 8_000
"""More than there are from the first date to the last."""

_FEW_VALUES = 10_000
"""More pairs of value and weight than this are thinned before a function in Python gets them (ours)."""

_DURATION_UNITS = " ".join(
    f"WHEN p.u IN ('{short}', '{long}') THEN {size}"
    for short, long, size in (
        ("ns", "nanosecond", 1),
        ("us", "microsecond", NS_PER_US),
        ("ms", "millisecond", NS_PER_MS),
        ("s", "second", NS_PER_S),
        ("m", "minute", NS_PER_MINUTE),
        ("h", "hour", NS_PER_HOUR),
        ("d", "day", NS_PER_DAY),
    )
)
_ZONES = " ".join(f"WHEN '{name}' THEN {hours * NS_PER_HOUR}" for name, hours in ZONE_HOURS.items())

MACROS: tuple[tuple[str, str], ...] = (
    # What has no place in its type fails
    ("hw_no_timestamp()", _fault(TIMESTAMP_RANGE, "BIGINT")),
    ("hw_no_date()", _fault(DATE_RANGE, "INTEGER")),
    (
        "hw_plus(t, n)",
        # Of a constant n one comparison is left, and the sum stands outside, where the engine knows it for one.
        f"(CASE WHEN n >= 0 AND t > {_MAX} - greatest(n, 0) OR n < 0 AND t < {_MIN} - least(n, 0)"
        " THEN hw_no_timestamp() ELSE t END + n)",
    ),
    # Through 128 bits only what 64 may not have room for
    ("hw_in_timestamps(h)", "coalesce(TRY_CAST(h AS BIGINT), CASE WHEN h IS NOT NULL THEN hw_no_timestamp() END)"),
    (
        "hw_add_units(t, n, unit)",
        f"CASE WHEN n NOT BETWEEN -{_FEW_UNITS} AND {_FEW_UNITS}"
        f" THEN hw_in_timestamps(t + CAST(n AS HUGEINT) * unit) ELSE hw_plus(t, {_WITHIN_FEW} * unit) END",
    ),
    ("hw_fraction_of_seconds(x)", f"TRY_CAST(round((x - floor(x)) * {NS_PER_S}) AS BIGINT)"),
    (
        "hw_from_seconds(x)",
        # NaN is above all numbers.
        "CASE WHEN abs(x) > 1e10 THEN hw_no_timestamp()"
        f" WHEN abs(x) >= {TIME_MAX_NS // NS_PER_S}"
        f" THEN hw_in_timestamps(CAST(floor(x) AS HUGEINT) * {NS_PER_S} + hw_fraction_of_seconds(x))"
        f" ELSE CAST(floor(x) AS BIGINT) * {NS_PER_S} + hw_fraction_of_seconds(x) END",
    ),
    (
        "hw_in_dates(d)",
        f"CASE WHEN d NOT BETWEEN {DATE_MIN_DAYS} AND {DATE_MAX_DAYS} THEN hw_no_date() ELSE CAST(d AS INTEGER) END",
    ),
    (
        "hw_midnight(d)",
        f"CASE WHEN d NOT BETWEEN {DATE_MIN_DAYS + 1} AND {DATE_MAX_DAYS} THEN hw_no_timestamp()"
        f" ELSE CAST(d AS BIGINT) * {NS_PER_DAY} END",
    ),
    # Days and times of day
    ("hw_day(t)", f"CAST(t // {NS_PER_DAY} - CAST(t % {NS_PER_DAY} < 0 AS BIGINT) AS INTEGER)"),
    ("hw_time_of_day(t)", f"((t % {NS_PER_DAY}) + {NS_PER_DAY}) % {NS_PER_DAY}"),
    ("hw_date(d)", f"({_EPOCH} + CAST(d AS INTEGER))"),
    ("hw_days(a)", f"CAST(a - {_EPOCH} AS INTEGER)"),
    ("hw_fraction(t)", f"((t % {NS_PER_S}) + {NS_PER_S}) % {NS_PER_S}"),
    (
        "hw_floor(t, n)",
        f"CASE WHEN t >= 0 THEN t - t % n WHEN t < -({_MAX} // n * n) THEN hw_no_timestamp()"
        " ELSE t - ((t % n) + n) % n END",
    ),
    # So many days or months later; what is too far is a day that is out of range
    (
        "hw_days_later(d, n, k)",
        f"(d + CASE WHEN n NOT BETWEEN -{_FAR_DAYS} AND {_FAR_DAYS} THEN {_FAR_DAYS} ELSE n * k END)",
    ),
    (
        "hw_months_of(n, k)",
        f"CASE WHEN n NOT BETWEEN -{_FAR_MONTHS} AND {_FAR_MONTHS} THEN {_FAR_MONTHS} + 1 ELSE n * k END",
    ),
    (
        "hw_months_later(d, m)",
        f"CASE WHEN m NOT BETWEEN -{_FAR_MONTHS} AND {_FAR_MONTHS} THEN d + {_FAR_DAYS}"
        " ELSE hw_days(CAST(hw_date(d) + to_months(CAST(m AS INTEGER)) AS DATE)) END",
    ),
    (
        "hw_at_time_of_day(d, n)",
        f"CASE WHEN d NOT BETWEEN {DATE_MIN_DAYS + 1} AND {DATE_MAX_DAYS - 1}"
        f" THEN hw_in_timestamps(CAST(d AS HUGEINT) * {NS_PER_DAY} + n) ELSE CAST(d AS BIGINT) * {NS_PER_DAY} + n END",
    ),
    ("hw_add_months_to_date(d, m)", "hw_in_dates(hw_months_later(d, m))"),
    (
        "hw_add_months(t, m)",
        "hw_at_time_of_day(hw_months_later(hw_day(t), m), hw_time_of_day(t))",
    ),
    ("hw_trunc_date(u, d)", "hw_days(CAST(date_trunc(u, hw_date(d)) AS DATE))"),
    # Months between two instants, in whole elapsed ones towards zero: a month is over at the same day and time,
    # or on the last day of a shorter month.
    (
        "hw_months_of_days(a, b)",
        "((year(hw_date(b)) - year(hw_date(a))) * 12 + month(hw_date(b)) - month(hw_date(a)))",
    ),
    ("hw_month_days(d)", "day(hw_date(hw_days(last_day(hw_date(d)))))"),
    ("hw_months(a, b)", "hw_months_of_days(hw_day(a), hw_day(b))"),
    (
        "hw_elapsed_months(a, b)",
        "hw_months(a, b) - CAST("
        f"least(day(hw_date(hw_day(a))), hw_month_days(hw_day(b))) * {NS_PER_DAY} + hw_time_of_day(a)"
        f" > day(hw_date(hw_day(b))) * {NS_PER_DAY} + hw_time_of_day(b) AS BIGINT)",
    ),
    ("hw_months_between(a, b)", "CASE WHEN b >= a THEN hw_elapsed_months(a, b) ELSE 0 - hw_elapsed_months(b, a) END"),
    (
        "hw_elapsed_months_of_dates(a, b)",
        "hw_months_of_days(a, b) - CAST(least(day(hw_date(a)), hw_month_days(b)) > day(hw_date(b)) AS BIGINT)",
    ),
    (
        "hw_months_between_dates(a, b)",
        "CASE WHEN b >= a THEN hw_elapsed_months_of_dates(a, b) ELSE 0 - hw_elapsed_months_of_dates(b, a) END",
    ),
    # A longer time than 64 bits have room for lies on both sides of 1970
    (
        "hw_units_between(a, b, n)",
        "CASE WHEN (a < 0) = (b < 0) THEN (b - a) // n ELSE CAST((CAST(b AS HUGEINT) - a) // n AS BIGINT) END",
    ),
    # Values to texts
    ("hw_date_text(d)", "strftime(hw_date(d), '%Y-%m-%d')"),
    (
        "hw_time_text(n)",
        f"printf('%02d:%02d:%02d.%09d', n // {NS_PER_HOUR}, n // {NS_PER_MINUTE} % 60, n // {NS_PER_S} % 60,"
        f" n % {NS_PER_S})",
    ),
    ("hw_timestamp_text(t)", "hw_date_text(hw_day(t)) || ' ' || hw_time_text(hw_time_of_day(t))"),
    (
        "hw_day_to_second_text(n)",
        f"CASE WHEN n < 0 THEN '-' ELSE '' END || CAST(abs(n) // {NS_PER_DAY} AS VARCHAR)"
        f" || ' ' || hw_time_text(abs(n) % {NS_PER_DAY})",
    ),
    (
        "hw_year_to_month_text(m)",
        "CASE WHEN m < 0 THEN '-' ELSE '' END || CAST(abs(m) // 12 AS VARCHAR) || '-' || CAST(abs(m) % 12 AS VARCHAR)",
    ),
    (
        "hw_double_text(x)",
        "CASE WHEN abs(x) >= 0.001 AND abs(x) < 10000000 THEN CAST(x AS VARCHAR) ELSE arrow_wide_double_text(x) END",
    ),
    # Texts to values; NULL where the text is not one
    (
        "hw_boolean_from_text(s)",
        "CASE WHEN lower(s) IN ('true', 't', '1') THEN true WHEN lower(s) IN ('false', 'f', '0') THEN false END",
    ),
    ("hw_bigint_from_text(s)", "CASE WHEN regexp_full_match(s, '[+-]?[0-9]+') THEN TRY_CAST(s AS BIGINT) END"),
    ("hw_integer_from_text(s)", "CASE WHEN regexp_full_match(s, '[+-]?[0-9]+') THEN TRY_CAST(s AS INTEGER) END"),
    (
        "hw_double_from_text(s)",
        f"CASE WHEN regexp_full_match(trim(s), '{_NUMBER}') OR trim(s) IN"
        " ('NaN', 'Infinity', '+Infinity', '-Infinity') THEN TRY_CAST(ltrim(trim(s), '+') AS DOUBLE) END",
    ),
    # Nanoseconds; 24 digits of a fraction are all that a day has room for
    (
        "hw_duration_from_text(s)",
        f"CASE WHEN regexp_matches(s, '^([0-9]+([.][0-9]+)?|[.][0-9]+) *[a-zA-Z]+$') THEN list_transform("
        f"[regexp_extract(lower(s), '{_DURATION}', ['w', 'f', 'u'])], lambda p: list_transform("
        f"[CAST(CASE {_DURATION_UNITS} END AS HUGEINT)], lambda n: TRY_CAST("
        "CASE WHEN p.w = '' THEN 0 ELSE TRY_CAST(p.w AS BIGINT) END * n"
        f" + CAST(rpad(p.f, 24, '0') AS HUGEINT) * n // {10**24} AS BIGINT))[1])[1] END",
    ),
    (
        "hw_time_of_text(s)",
        f"CASE WHEN regexp_full_match(s, '{_TIME}') THEN list_transform("
        f"[regexp_extract(s, '{_TIME_PARTS}', ['h', 'm', 's', 'f'])], lambda p:"
        " CASE WHEN CAST(p.h AS BIGINT) < 24 AND CAST(p.m AS BIGINT) < 60 AND coalesce(TRY_CAST(p.s AS BIGINT), 0) < 60"
        f" THEN CAST(p.h AS BIGINT) * {NS_PER_HOUR} + CAST(p.m AS BIGINT) * {NS_PER_MINUTE}"
        f" + coalesce(TRY_CAST(p.s AS BIGINT), 0) * {NS_PER_S} + CAST(rpad(p.f, 9, '0') AS BIGINT) END)[1] END",
    ),
    (
        "hw_day_of_text(s)",
        f"CASE WHEN regexp_full_match(s, '{_DATE}') AND NOT starts_with(s, '0000')"
        " THEN hw_days(TRY_CAST(s AS DATE)) END",
    ),
    ("hw_a_date(d)", f"CASE WHEN d BETWEEN {DATE_MIN_DAYS} AND {DATE_MAX_DAYS} THEN d END"),
    # Nanoseconds that a zone such as +02:00 is ahead of UTC; 0 for Z, UTC and none
    (
        "hw_offset(z)",
        "CASE WHEN z IN ('', 'Z', 'UTC') THEN 0 ELSE CASE WHEN starts_with(z, '-') THEN -1 ELSE 1 END *"
        f" (CAST(substr(z, 2, 2) AS BIGINT) * {NS_PER_HOUR}"
        f" + coalesce(TRY_CAST(replace(substr(z, 4), ':', '') AS BIGINT), 0) * {NS_PER_MINUTE}) END",
    ),
    (
        "hw_timestamp_of_text(s)",
        f"TRY_CAST(CAST(hw_day_of_text(split_part(s, ' ', 1)) AS HUGEINT) * {NS_PER_DAY}"
        f" + CASE WHEN contains(s, ' ') THEN CASE WHEN regexp_full_match(s, '{_DATE} {_TIME}( ?{_ZONE})?')"
        f" THEN hw_time_of_text(regexp_extract(s, '{_TIME}')) - hw_offset(regexp_extract(s, '{_ZONE}$')) END"
        " ELSE 0 END AS BIGINT)",
    ),
    ("hw_date_from_text(s)", "hw_a_date(hw_day_of_text(trim(s)))"),
    ("hw_time_from_text(s)", "hw_time_of_text(trim(s))"),
    ("hw_timestamp_from_text(s)", "hw_timestamp_of_text(trim(s))"),
    # Dates of ISO 8601: whole, of a month or a year alone, by the day of the year, by week and weekday
    ("hw_year_start(s)", "hw_days(TRY_CAST(s[1:4] || '-01-01' AS DATE))"),
    (
        "hw_ordinal_day(s)",
        "list_transform([hw_year_start(s) + TRY_CAST(s[6:8] AS INTEGER) - 1], lambda d:"
        " CASE WHEN year(hw_date(d)) = TRY_CAST(s[1:4] AS BIGINT) THEN d END)[1]",
    ),
    (
        "hw_week_day(s)",
        "list_transform([hw_trunc_date('week', hw_year_start(s) + 3) + (TRY_CAST(s[7:8] AS INTEGER) - 1) * 7],"
        " lambda d: CASE WHEN isoyear(hw_date(d)) = TRY_CAST(s[1:4] AS BIGINT)"
        " THEN d + coalesce(TRY_CAST(s[10:10] AS INTEGER), 1) - 1 END)[1]",
    ),
    (
        "hw_iso8601_day(s)",
        "CASE WHEN starts_with(s, '0000') THEN NULL WHEN contains(s, 'W') THEN hw_week_day(s)"
        " WHEN length(s) = 8 THEN hw_ordinal_day(s) ELSE hw_days(TRY_CAST("
        "s || CASE length(s) WHEN 4 THEN '-01-01' WHEN 7 THEN '-01' ELSE '' END AS DATE)) END",
    ),
    (
        "hw_iso8601_date(s)",
        f"CASE WHEN regexp_full_match(s, '{_ISO_DATE}') THEN hw_a_date(hw_iso8601_day(s))"
        " ELSE hw_date_from_text(s) END",
    ),
    ("hw_zone(z)", f"CASE z {_ZONES} ELSE hw_offset(z) END"),
    (
        "hw_iso8601_timestamp(s)",
        f"CASE WHEN regexp_full_match(s, '{_ISO}') THEN list_transform([regexp_extract(s, '^{_ISO}$',"
        " ['y', 'h', 'm', 's', 'f', 'z'])], lambda p: CASE WHEN coalesce(TRY_CAST(p.h AS"
        " BIGINT), 0) > 23 OR coalesce(TRY_CAST(p.m AS BIGINT), 0) > 59 OR coalesce(TRY_CAST(p.s AS BIGINT), 0) > 59"
        f" THEN NULL ELSE TRY_CAST(CAST(hw_iso8601_day(p.y) AS HUGEINT) * {NS_PER_DAY}"
        f" + coalesce(TRY_CAST(p.h AS BIGINT), 0) * {NS_PER_HOUR} + coalesce(TRY_CAST(p.m AS BIGINT), 0)"
        f" * {NS_PER_MINUTE} + coalesce(TRY_CAST(p.s AS BIGINT), 0) * {NS_PER_S}"
        " + CAST(rpad(p.f, 9, '0') AS BIGINT) - hw_offset(p.z) AS BIGINT) END)[1] END",
    ),
    # Lists
    (
        "hw_by_time(l)",
        "list_transform(list_sort(list_transform(l, lambda p, i: struct_pack(t := p.t, i := i, v := p.v))),"
        " lambda p: struct_pack(t := p.t, v := p.v))",
    ),
    # Maps: lists of entries (f0, f1), ascending in f0
    (
        "hw_at(m, k)",
        "list_transform(m, lambda e: e.f1)[list_position(list_transform(m, lambda e: e.f0), k)]",
    ),
    # The first of each run of equal keys of a list of entries. A list that a lambda names must not be sliced there: the
    # engine would copy it for every element.
    (
        "hw_first_of_key(l)",
        "list_transform([struct_pack(s := list_sort(l), k := list_sort(list_transform(l, lambda e: e.f0)))], lambda o:"
        " list_filter(o.s, lambda e, i: i = 1 OR o.k[i - 1] IS DISTINCT FROM e.f0))[1]",
    ),
    # Values of equal keys gathered, in their order: where each key starts in the sorted list, and up to the next start
    (
        "hw_multimap(l)",
        "list_transform([struct_pack(v := list_transform(list_sort("
        "list_transform(l, lambda e, i: struct_pack(k := e.f0,"
        " i := i, v := e.f1))), lambda e: e.v), k := list_sort(list_transform(l, lambda e: e.f0)))], lambda o:"
        " list_transform([list_filter(list_transform(o.k, lambda k, i: CASE WHEN i = 1 OR o.k[i - 1] IS DISTINCT FROM k"
        " THEN i END), lambda i: i IS NOT NULL)], lambda b: list_transform(b, lambda i, n: struct_pack(f0 := o.k[i],"
        " f1 := list_select(o.v, generate_series(i, coalesce(b[n + 1], len(o.k) + 1) - 1)))))[1])[1]",
    ),
    # Places in a, ascending, of the first of each value that b has not
    (
        "hw_places_without(a, b)",
        "list_sort(list_filter(list_transform(hw_first_of_key(list_concat("
        "list_transform(b, lambda x: struct_pack(f0 := x,"
        " f1 := 0::BIGINT)), list_transform(a, lambda x, i: struct_pack(f0 := x, f1 := i)))), lambda e: e.f1),"
        " lambda i: i > 0))",
    ),
    ("hw_without(a, b)", "list_select(a, hw_places_without(a, b))"),
    # Values with weights, no more than Python can be given at once: as they are; each different pair once, if those are
    # few; else the means of slices of them in order
    ("hw_weight(l)", "list_sum(list_transform(l, lambda p: p.w))"),
    (
        "hw_slice(l)",
        "struct_pack(v := list_sum(list_transform(l, lambda p: p.v * p.w)) / hw_weight(l), w := hw_weight(l))",
    ),
    ("hw_in_order(l)", "list_select(l, list_grade_up(list_transform(l, lambda p: p.v)))"),
    (
        "hw_slices(l)",
        "list_transform([struct_pack(l := hw_in_order(l))], lambda o:"
        f" list_transform(list_transform(range({_FEW_VALUES}), lambda i: list_select(o.l, generate_series("
        f"1 + i * len(o.l) // {_FEW_VALUES}, (i + 1) * len(o.l) // {_FEW_VALUES}))), lambda s: hw_slice(s)))[1]",
    ),
    (
        "hw_thinned(l)",
        f"CASE WHEN len(l) > {_FEW_VALUES} THEN"
        f" CASE WHEN list_aggregate(l, 'approx_count_distinct') > {_FEW_VALUES // 2} THEN hw_slices(l) ELSE"
        " list_transform(map_entries(list_aggregate(l, 'histogram')),"
        " lambda e: struct_pack(v := e.key.v, w := e.key.w * e.value)) END ELSE l END",
    ),
    ("hw_in_turn(l)", "flatten(list_transform(l, lambda p: [p.v, p.w]))"),
    (
        "hw_join(l, d)",
        "CASE WHEN len(l) = 0 THEN '' ELSE"
        " substr(array_to_string(list_transform(l, lambda piece: d || piece), ''), length(d) + 1) END",
    ),
    (
        "hw_split_limit(s, d, n)",
        "list_append((string_split(s, d))[1 : n - 1], substr(s, 1 + list_sum(list_prepend(0, list_transform("
        "(string_split(s, d))[1 : n - 1], lambda piece: length(piece) + length(d))))::BIGINT))",
    ),
)


def statements() -> list[str]:
    """The statements that create all macros, in order: a macro uses only those before it."""
    return [f"CREATE MACRO {head} AS ({body})" for head, body in MACROS]
