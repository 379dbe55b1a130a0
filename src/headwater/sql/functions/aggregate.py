"""Rows of aggregates, create_time_series (series.py) apart. Source: sql.md 6.10; maps.py has those that make maps.

DISTINCT, ORDER BY, FILTER and OVER go to the engine's aggregate inside a lowering: `aggregated` writes it.
"""

from __future__ import annotations

from collections.abc import Callable

from headwater.errors import Invalid
from headwater.model.types import Array
from headwater.sql.coercion import DOUBLE, engine_type, failure, literal, quoted
from headwater.sql.functions.limits import checked
from headwater.sql.signature import Call, Kind, Signature, row

INTEGERS = ("integer", "bigint")
NUMBERS = (*INTEGERS, "double")
BEST = 10_000
"""The most values that max(x, n) and its like keep (ours)."""


def aggregated(call: Call, function: str, arguments: str, condition: str = "", order_by: str = "") -> str:
    """The engine's aggregate over `arguments`, with what the query put after its own: DISTINCT, FILTER, OVER, ...

    `condition` restricts the rows further; `order_by` is for arguments whose order the function itself decides.
    """
    asked = call.modifiers
    # A sum needs no order, and beside DISTINCT the engine takes none of what the function makes of its arguments.
    order = order_by or ("" if asked.distinct and function != "list" else asked.order_by)
    inside = f"{'DISTINCT ' if asked.distinct else ''}{arguments}"
    inside += f" ORDER BY {order}" if order else ""
    inside += " IGNORE NULLS" if asked.ignore_nulls else ""
    conditions = [f"({text})" for text in (asked.filter, condition) if text]
    text = f"{function}({inside})"
    text += f" FILTER (WHERE {' AND '.join(conditions)})" if conditions else ""
    return text if asked.over is None else f"{text} OVER ({asked.over})"


def over_engine(function: str, arguments: str = "{0}", around: str = "{}") -> Callable[[Call], str]:
    """A lowering to one aggregate of the engine; `around` is what is written around it."""
    return lambda call: around.format(aggregated(call, function, arguments.format(*call.texts)))


def _aggregate(
    text: str, lower: Callable[[Call], str], check: Callable[[Call], None] | None = None, source: str = "6.10"
) -> Signature:
    return row(text, lower, kind=Kind.AGGREGATE, check=check, source=source)


def _listed(call: Call) -> str:
    values = aggregated(call, "list", call.texts[0])
    return checked(values, call.result, size=f"len({values})")


def refuse_distinct(call: Call) -> None:
    """For lowerings to several aggregates of the engine, among which DISTINCT would not mean one thing."""
    if call.modifiers.distinct:
        raise Invalid(f"DISTINCT is not supported for {call.name} with these arguments")


# ------------------------------------------------------------------------------------------ best values


def _check_best(call: Call) -> None:
    count = call.value(len(call.types) - 1)
    if count is None or not 1 <= count <= BEST:
        raise Invalid(f"Argument n of {call.name} must be between 1 and {BEST}")


def _best(call: Call) -> str:
    """max(x, n): the n largest, the largest first; min(x, n): the smallest first."""
    way = "DESC" if call.name == "max" else "ASC"
    value = call.texts[0]
    found = aggregated(call, "list", value, condition=f"{value} IS NOT NULL", order_by=f"{value} {way}")
    return f"({found})[1 : {call.value(1)}]"


def _best_by(call: Call) -> str:
    refuse_distinct(call)
    way = "DESC" if call.name == "max_by" else "ASC"
    value, key = call.texts[:2]
    found = aggregated(call, "list", value, condition=f"{key} IS NOT NULL", order_by=f"{key} {way}")
    return f"({found})[1 : {call.value(2)}]"


# ---------------------------------------------------------------------------------------- percentiles


def _shares(call: Call) -> list[float]:
    """The constant percentages, a single one as a list."""
    place = 1 if len(call.types) == 2 else 2
    value = call.value(place)
    return list(value) if isinstance(value, list) else [value]


def _check_percentile(call: Call) -> None:
    if any(share is None or not 0 <= share <= 1 for share in _shares(call)):
        raise Invalid("Percentile must be between 0 and 1")
    if len(call.types) == 4 and (call.value(3) is None or not 0 < call.value(3) < 1):
        raise Invalid("Percentile accuracy must be exclusively between 0 and 1")


def _percentile(call: Call) -> str:
    """Nearest rank: the smallest value whose cumulative share is at least p."""
    shares = [literal(share, DOUBLE) for share in _shares(call)]
    asked = f"[{', '.join(shares)}]" if isinstance(call.result, Array) else shares[0]
    return aggregated(call, "quantile_disc", f"{call.texts[0]}, {asked}")


def _weighted_percentile(call: Call) -> str:
    refuse_distinct(call)
    value, weight = call.texts[:2]
    there = f"{value} IS NOT NULL AND {weight} IS NOT NULL"
    values, weights = (aggregated(call, "list", text, there, order_by=value) for text in (value, weight))
    shares = ", ".join(literal(share, DOUBLE) for share in _shares(call))
    chosen = f"list_select({values}, arrow_weighted_places({weights}, [{shares}]))"
    return chosen if isinstance(call.result, Array) else f"({chosen})[1]"


def _percentile_rows() -> list[Signature]:
    rows = []
    for kind in NUMBERS:
        for share, result in (("double", kind), ("array(double)", f"array({kind})")):
            rows.append(_aggregate(f"approx_percentile({kind}, {share}) -> {result}", _percentile, _check_percentile))
            for more in ("", ", double"):
                text = f"approx_percentile({kind}, bigint, {share}{more}) -> {result}"
                rows.append(_aggregate(text, _weighted_percentile, _check_percentile))
    return rows


# ------------------------------------------------------------------------------------------- the rest


def _check_error(call: Call) -> None:
    error = call.value(1)
    if error is None or not 0.0040625 <= error <= 0.26:
        raise Invalid("Standard error must be in [0.0040625, 0.26]")


def _count_distinct(call: Call) -> str:
    """Exact, which is within any error. DISTINCT asked for again changes nothing."""
    return aggregated(call, "count", call.texts[0] if call.modifiers.distinct else f"DISTINCT {call.texts[0]}")


def _finite(function: str) -> Callable[[Call], str]:
    """NULL in place of a result that is no number: too few rows, or no spread. Source: Trino."""

    def lower(call: Call) -> str:
        found = aggregated(call, function, f"{call.texts[0]}, {call.texts[1]}")
        return f"CASE WHEN isfinite({found}) THEN {found} END"

    return lower


def _extreme_of(engine: str) -> Callable[[Call], str]:
    return over_engine(engine, "{0}, {1}")


def _sum(call: Call) -> str:
    return f"CAST({aggregated(call, 'sum', call.texts[0])} AS {engine_type(call.result)})"


# ------------------------------------------------------------------------------ beyond the guide


def _joined(call: Call) -> str:
    """listagg: NULLs are left out; in the order that WITHIN GROUP says."""
    value = call.texts[0]
    values = aggregated(call, "list", value, condition=f"{value} IS NOT NULL")
    separator = call.texts[1] if len(call.texts) > 1 else "''"
    size = f"list_sum(list_transform({values}, lambda text: strlen(text) + strlen({separator})))"
    return checked(f"array_to_string({values}, {separator})", call.result, size=size)


def _check_separator(call: Call) -> None:
    if call.value(1) is None:
        raise Invalid("The separator of listagg must not be NULL")


def _entropy(call: Call) -> str:
    """Bits, of counts; 0.0 for none."""
    refuse_distinct(call)
    count = call.texts[0]
    fault = failure(quoted("Entropy count argument must be non-negative"), DOUBLE)
    least = aggregated(call, "min", count)
    total = aggregated(call, "sum", count)
    logs = aggregated(call, "sum", f"CASE WHEN {count} > 0 THEN {count} * ln({count}) ELSE 0e0 END")
    bits = f"greatest((ln({total}) - {logs} / {total}) / ln(2e0), 0e0)"
    return f"CASE WHEN {least} < 0 THEN {fault} WHEN {total} > 0 THEN {bits} ELSE 0e0 END"


def _checksum(call: Call) -> str:
    """Whatever the order of the rows; NULL counts as a value. The digits are ours."""
    sum_ = aggregated(call, "sum", f"hash({call.texts[0]})")
    return f"lower(lpad(hex(CAST({sum_} % 18446744073709551616 AS UBIGINT)), 16, '0'))"


def _moments(least: int, power: int, result: str) -> Callable[[Call], str]:
    """A lowering to `result`, an expression of `n` values and the sums `second` and `other`, of the second and another
    power of their distances from the mean. Two passes, because sums of powers of the values would lose most digits.
    NULL for fewer than `least` values.
    """

    def lower(call: Call) -> str:
        value = call.texts[0]
        values = aggregated(call, "list", value, f"{value} IS NOT NULL")
        sums = (
            "struct_pack(n := CAST(len(own) AS DOUBLE),"
            " second := list_aggregate(list_transform(own, lambda v: pow(v - mean, 2)), 'kahan_sum'),"
            f" other := list_aggregate(list_transform(own, lambda v: pow(v - mean, {power})), 'kahan_sum'))"
        )
        found = f"CASE WHEN m.n >= {least} THEN {result} END"
        of_mean = f"list_transform([{sums}], lambda m: {found})[1]"
        of_values = f"list_transform([list_aggregate(own, 'favg')], lambda mean: {of_mean})[1]"
        return f"list_transform([{values}], lambda own: {of_values})[1]"

    return lower


_SKEWNESS = _moments(3, 3, "sqrt(m.n) * m.other / pow(m.second, 1.5)")
"""Of the population."""

_KURTOSIS = _moments(
    4,
    4,
    "(m.n - 1) * m.n * (m.n + 1) / ((m.n - 2) * (m.n - 3)) * m.other / pow(m.second, 2)"
    " - 3 * pow(m.n - 1, 2) / ((m.n - 2) * (m.n - 3))",
)
"""Excess kurtosis of a sample."""


_REGRESSIONS = ("regr_avgx", "regr_avgy", "regr_r2", "regr_sxx", "regr_sxy", "regr_syy")

_BEYOND = (
    _aggregate("bitwise_xor_agg(bigint) -> bigint", over_engine("bit_xor"), source="Trino"),
    _aggregate("checksum(T) -> varbinary", _checksum, source="Trino"),
    _aggregate("entropy(double) -> double", _entropy, source="Trino"),
    _aggregate("kurtosis(double) -> double", _KURTOSIS, source="Trino"),
    _aggregate("listagg(varchar) -> varchar", _joined, source="Trino"),
    _aggregate("listagg(varchar, varchar) -> varchar", _joined, _check_separator, source="Trino"),
    *(
        _aggregate(f"{name}(double, double) -> double", over_engine(name, "{0}, {1}"), source="Trino")
        for name in _REGRESSIONS
    ),
    _aggregate(
        "regr_count(double, double) -> bigint",
        over_engine("regr_count", "{0}, {1}", "CAST({} AS BIGINT)"),
        source="Trino",
    ),
)

ROWS = (
    _aggregate("arbitrary(T) -> T", over_engine("any_value")),
    _aggregate("any_value(T) -> T", over_engine("any_value"), source="Trino"),
    _aggregate("array_agg(T) -> array(T)", _listed),
    *(_aggregate(f"avg({kind}) -> double", over_engine("avg")) for kind in NUMBERS),
    *(
        _aggregate(f"avg({kind}) -> {kind}", over_engine("avg", around=f"CAST(trunc({{}}) AS {engine})"))
        for kind, engine in (("interval day to second", "BIGINT"), ("interval year to month", "INTEGER"))
    ),
    *(_aggregate(f"{name}(boolean) -> boolean", over_engine("bool_and")) for name in ("bool_and", "every")),
    _aggregate("bool_or(boolean) -> boolean", over_engine("bool_or")),
    _aggregate("count() -> bigint", over_engine("count", "*")),
    _aggregate("count(T) -> bigint", over_engine("count")),
    _aggregate("count_if(boolean) -> bigint", over_engine("count", "CASE WHEN {0} THEN true END")),
    _aggregate("geometric_mean(double) -> double", over_engine("avg", "ln({0})", "exp({})")),
    _aggregate("max(E) -> E", over_engine("max")),
    _aggregate("min(E) -> E", over_engine("min")),
    _aggregate("max(E, bigint) -> array(E)", _best, _check_best),
    _aggregate("min(E, bigint) -> array(E)", _best, _check_best),
    _aggregate("max_by(T, E) -> T", _extreme_of("arg_max_null")),
    _aggregate("min_by(T, E) -> T", _extreme_of("arg_min_null")),
    _aggregate("max_by(T, E, bigint) -> array(T)", _best_by, _check_best),
    _aggregate("min_by(T, E, bigint) -> array(T)", _best_by, _check_best),
    _aggregate("sum(integer) -> bigint", _sum),
    _aggregate("sum(bigint) -> bigint", _sum),
    _aggregate("sum(double) -> double", over_engine("sum")),
    _aggregate("sum(interval day to second) -> interval day to second", _sum),
    _aggregate("sum(interval year to month) -> interval year to month", _sum),
    _aggregate("bitwise_and_agg(bigint) -> bigint", over_engine("bit_and")),
    _aggregate("bitwise_or_agg(bigint) -> bigint", over_engine("bit_or")),
    _aggregate("approx_distinct(E) -> bigint", _count_distinct),
    _aggregate("approx_distinct(E, double) -> bigint", _count_distinct, _check_error),
    *_percentile_rows(),
    *(
        _aggregate(f"{name}(double, double) -> double", _finite(name))
        for name in ("corr", "regr_slope", "regr_intercept")
    ),
    *(
        _aggregate(f"{name}(double, double) -> double", over_engine(name, "{0}, {1}"))
        for name in ("covar_pop", "covar_samp")
    ),
    _aggregate("skewness(double) -> double", _SKEWNESS),
    *(
        _aggregate(f"{name}(double) -> double", over_engine(engine))
        for name, engine in (
            ("stddev", "stddev_samp"),
            ("stddev_samp", "stddev_samp"),
            ("stddev_pop", "stddev_pop"),
            ("variance", "var_samp"),
            ("var_samp", "var_samp"),
            ("var_pop", "var_pop"),
        )
    ),
    *_BEYOND,
)
