"""SQL macros that lowered statements call: calendar, texts of values, values of texts.

`sql` writes their names, `engine.py` creates them. All times are integers (model/types.py), because the engine's own
functions round nanosecond timestamps; days go through its DATE, which is exact. Each macro gives NULL for NULL.
An argument may be evaluated several times: `sql/coercion.use_once` sees to it that long ones are not.
Source: sql.md 2, 5, 6.3, 6.9.
"""

from __future__ import annotations

from headwater.model.time import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE, NS_PER_S

_DATE = r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
_TIME = r"[0-9]{1,2}:[0-9]{1,2}(:[0-9]{1,2}(\.[0-9]{1,9})?)?"
_ZONE = r"(Z|UTC|[+-][0-9]{2}(:?[0-9]{2})?)"
_TIME_PARTS = r"^([0-9]+):([0-9]+)(?::([0-9]+)(?:\.([0-9]+))?)?$"
_ISO = (
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:T([0-9]{2})(?::([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?)?"
    r"(Z|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
_NUMBER = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"
_EPOCH = "DATE '1970-01-01'"

MACROS: tuple[tuple[str, str], ...] = (
    # Days and times of day
    ("hw_day(t)", f"CAST(t // {NS_PER_DAY} - CAST(t % {NS_PER_DAY} < 0 AS BIGINT) AS INTEGER)"),
    ("hw_time_of_day(t)", f"((t % {NS_PER_DAY}) + {NS_PER_DAY}) % {NS_PER_DAY}"),
    ("hw_date(d)", f"({_EPOCH} + CAST(d AS INTEGER))"),
    ("hw_days(a)", f"CAST(a - {_EPOCH} AS INTEGER)"),
    ("hw_fraction(t)", f"((t % {NS_PER_S}) + {NS_PER_S}) % {NS_PER_S}"),
    ("hw_floor(t, n)", "(t - ((t % n) + n) % n)"),
    ("hw_add_months_to_date(d, m)", "hw_days(CAST(hw_date(d) + to_months(CAST(m AS INTEGER)) AS DATE))"),
    (
        "hw_add_months(t, m)",
        f"t + CAST(hw_add_months_to_date(hw_day(t), m) - hw_day(t) AS BIGINT) * {NS_PER_DAY}",
    ),
    ("hw_trunc_date(u, d)", "hw_days(CAST(date_trunc(u, hw_date(d)) AS DATE))"),
    # Months between two instants, in whole elapsed ones towards zero: a month is over at the same day and time,
    # or on the last day of a shorter month.
    (
        "hw_months(a, b)",
        "((year(hw_date(hw_day(b))) - year(hw_date(hw_day(a)))) * 12"
        " + month(hw_date(hw_day(b))) - month(hw_date(hw_day(a))))",
    ),
    ("hw_elapsed_months(a, b)", "hw_months(a, b) - CAST(hw_add_months(a, hw_months(a, b)) > b AS BIGINT)"),
    ("hw_months_between(a, b)", "CASE WHEN b >= a THEN hw_elapsed_months(a, b) ELSE 0 - hw_elapsed_months(b, a) END"),
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
    (
        "hw_time_from_text(s)",
        f"CASE WHEN regexp_full_match(s, '{_TIME}') THEN list_transform("
        f"[regexp_extract(s, '{_TIME_PARTS}', ['h', 'm', 's', 'f'])], lambda p:"
        " CASE WHEN CAST(p.h AS BIGINT) < 24 AND CAST(p.m AS BIGINT) < 60 AND coalesce(TRY_CAST(p.s AS BIGINT), 0) < 60"
        f" THEN CAST(p.h AS BIGINT) * {NS_PER_HOUR} + CAST(p.m AS BIGINT) * {NS_PER_MINUTE}"
        f" + coalesce(TRY_CAST(p.s AS BIGINT), 0) * {NS_PER_S} + CAST(rpad(p.f, 9, '0') AS BIGINT) END)[1] END",
    ),
    (
        "hw_date_from_text(s)",
        f"CASE WHEN regexp_full_match(s, '{_DATE}') AND NOT starts_with(s, '0000')"
        " THEN hw_days(TRY_CAST(s AS DATE)) END",
    ),
    (
        "hw_timestamp_from_text(s)",
        f"TRY_CAST(CAST(hw_date_from_text(split_part(s, ' ', 1)) AS HUGEINT) * {NS_PER_DAY}"
        f" + CASE WHEN contains(s, ' ') THEN CASE WHEN regexp_full_match(s, '{_DATE} {_TIME}( ?{_ZONE})?')"
        f" THEN hw_time_from_text(regexp_extract(s, '{_TIME}')) - hw_offset(regexp_extract(s, '{_ZONE}$')) END"
        " ELSE 0 END AS BIGINT)",
    ),
    # Nanoseconds that a zone such as +02:00 is ahead of UTC; 0 for Z, UTC and none
    (
        "hw_offset(z)",
        "CASE WHEN z IN ('', 'Z', 'UTC') THEN 0 ELSE CASE WHEN starts_with(z, '-') THEN -1 ELSE 1 END *"
        f" (CAST(substr(z, 2, 2) AS BIGINT) * {NS_PER_HOUR}"
        f" + coalesce(TRY_CAST(replace(substr(z, 4), ':', '') AS BIGINT), 0) * {NS_PER_MINUTE}) END",
    ),
    (
        "hw_iso8601_timestamp(s)",
        f"CASE WHEN regexp_full_match(s, '{_ISO}') THEN list_transform([regexp_extract(s, '^{_ISO}$',"
        " ['y', 'h', 'm', 's', 'f', 'z'])], lambda p: CASE WHEN starts_with(p.y, '0000') OR coalesce(TRY_CAST(p.h AS"
        " BIGINT), 0) > 23 OR coalesce(TRY_CAST(p.m AS BIGINT), 0) > 59 OR coalesce(TRY_CAST(p.s AS BIGINT), 0) > 59"
        f" THEN NULL ELSE TRY_CAST(CAST(hw_days(TRY_CAST(p.y AS DATE)) AS HUGEINT) * {NS_PER_DAY}"
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
