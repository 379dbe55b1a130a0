"""Rows of time-series functions: making, interpolating, deriving, correlating. Source: sql.md 7.

A timeseries is a list of (t, v), ascending in t. Series of doubles go through the engine's Arrow functions whole; of
other types only their instants do (`arrow_locate`), and the values are picked by place.
"""

from __future__ import annotations

from headwater.model.time import NS_PER_S
from headwater.model.types import Timeseries
from headwater.sql.coercion import engine_type, failure, quoted, use_once
from headwater.sql.functions.aggregate import aggregated, refuse_distinct
from headwater.sql.functions.limits import checked
from headwater.sql.signature import Call, Kind, Signature, row


def _create(call: Call) -> str:
    """Sorted by time, equal times in their input order. Rows without a time are left out: NULL if no others are there.

    A NULL value at a time is a fault.
    """
    refuse_distinct(call)
    time, value = call.texts
    points = aggregated(call, "list", f"struct_pack(t := {time}, v := {value})", condition=f"{time} IS NOT NULL")
    whole = aggregated(call, "count", f"CASE WHEN {time} IS NOT NULL AND {value} IS NOT NULL THEN true END")
    rows = aggregated(call, "count", time)
    fault = failure(quoted("create_time_series does not accept NULL values"), call.result)
    made = checked(f"hw_by_time({points})", call.result, size=rows)
    return f"CASE WHEN {whole} < {rows} THEN {fault} ELSE {made} END"


# --------------------------------------------------------------------------------------- interpolation


def _interpolated(engine: str) -> str:
    return f"{engine}({{0}}, {{1}})"


def _interpolated_at(engine: str) -> str:
    """The value at one instant."""
    return f"CAST(({engine}({{0}}, [{{1}}]))[1].v AS DOUBLE)"


def _picked(call: Call, missing: str, is_exact: bool) -> str:
    """Values by place: {0} is the series, {1} the instants; `missing` stands where there is no sample."""
    assert isinstance(call.types[0], Timeseries)
    times = "list_transform({0}, lambda point: point.t)"
    values = f"list_prepend({missing}, list_transform({{0}}, lambda point: point.v))"
    places = f"arrow_locate({times}, {{1}}, {'true' if is_exact else 'false'})"
    picked = (
        f"list_zip(list_transform(once_found, lambda found: found.t),"
        f" list_select({values}, list_transform(once_found, lambda found: found.i + 1)))"
    )
    points = f"list_transform({picked}, lambda pair: struct_pack(t := pair[1], v := pair[2]))"
    found = f"list_transform([{places}], lambda once_found: {points})[1]"
    return use_once(f"CASE WHEN {{0}} IS NOT NULL AND {{1}} IS NOT NULL THEN {found} END", call.texts)


def _locf(call: Call) -> str:
    kind = call.types[0]
    assert isinstance(kind, Timeseries)
    return _picked(call, f"CAST(NULL AS {engine_type(kind.value)})", is_exact=False)


def _fill(call: Call) -> str:
    """A NULL constant leaves NULLs."""
    return _picked(call, "{2}", is_exact=True)


def _fill_at(call: Call) -> str:
    """The sample at the instant, else the constant; NULL for no series or no instant."""
    samples = "list_filter({0}, lambda point: point.t = {1})"
    value = f"coalesce(({samples})[-1].v, {{2}})"
    return use_once(f"CASE WHEN {{0}} IS NOT NULL AND {{1}} IS NOT NULL THEN {value} END", call.texts)


def _interpolation_rows() -> list[Signature]:
    rows = []
    for name, engine in (
        ("interpolate_linear", "arrow_interpolate_linear"),
        ("interpolate_spline_cubic", "arrow_interpolate_spline"),
        ("interpolate_locf", "arrow_interpolate_locf"),
    ):
        rows.append(
            row(
                f"{name}(timeseries(double), array(timestamp)) -> timeseries(double)",
                _interpolated(engine),
                source="7.3",
            )
        )
        rows.append(row(f"{name}(timeseries(double), timestamp) -> double", _interpolated_at(engine), source="7.3"))
    rows.append(row("interpolate_locf(timeseries(T), array(timestamp)) -> timeseries(T)", _locf, source="7.3"))
    rows.append(row("interpolate_fill(timeseries(T), array(timestamp), T) -> timeseries(T)", _fill, source="7.3"))
    rows.append(row("interpolate_fill(timeseries(double), timestamp, double) -> double", _fill_at, source="7.3"))
    return rows


# --------------------------------------------------------------------------------------------- the rest

_NOT_NEGATIVE = "list_filter(arrow_derivative({0}, {1}), lambda point: point.v >= 0 AND point.v <= 'Infinity'::DOUBLE)"

ROWS = (
    row("create_time_series(timestamp, T) -> timeseries(T)", _create, kind=Kind.AGGREGATE, source="7.2"),
    *_interpolation_rows(),
    row(
        "derivative_linear(timeseries(double), interval day to second) -> timeseries(double)",
        "arrow_derivative({0}, {1})",
        source="7.4",
    ),
    row(
        "non_negative_derivative_linear(timeseries(double), interval day to second) -> timeseries(double)",
        _NOT_NEGATIVE,
        source="7.4",
    ),
    row(
        "integral_trapezoidal(timeseries(double)) -> double",
        f"arrow_integral({{0}}, {NS_PER_S}::BIGINT)",
        source="7.5",
    ),
    row(
        "integral_trapezoidal(timeseries(double), interval day to second) -> double",
        "arrow_integral({0}, {1})",
        source="7.5",
    ),
    *(
        row(f"{name}(timeseries(double), timeseries(double)) -> double", f"arrow_{name}({{0}}, {{1}})", source="7.6")
        for name in ("correlate_pearson", "correlate_spearman")
    ),
)
