"""Functions of the engine written in numpy over Arrow lists: series, weighted percentiles, skewness.

`engine.py` registers them; lowered statements call them by name. Each takes and gives whole Arrow arrays, one list a
row. A series is list<struct<t: int64, v: double>>, ascending in t; lists of instants are list<int64>.
NULL in any argument gives NULL. Source: sql.md 7, 6.10.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headwater.engine.arrow import ArrowFunction, whole
from headwater.errors import QueryFailed

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

SERIES = "STRUCT(t BIGINT, v DOUBLE)[]"
_POINT = pa.struct([("t", pa.int64()), ("v", pa.float64())])


@dataclass(frozen=True, slots=True)
class Points:
    """One series; `valid` is False where a value is NULL (only series that were interpolated hold such)."""

    t: Ints
    v: Floats
    valid: Bools

    def known(self) -> Points:
        """Without the points that have no value."""
        return self if self.valid.all() else Points(self.t[self.valid], self.v[self.valid], self.valid[self.valid])


# ------------------------------------------------------------------------------- Arrow to numpy and back


def _valid(column: pa.Array) -> Bools:
    return np.asarray(column.is_valid().to_numpy(zero_copy_only=False), dtype=np.bool_)


def _series(column: pa.Array) -> Iterator[Points | None]:
    """Each row's series; None for NULL."""
    points = column.values
    t = points.field("t").to_numpy(zero_copy_only=False)
    values = points.field("v")
    valid = _valid(values)
    v = np.where(valid, values.fill_null(0.0).to_numpy(zero_copy_only=False), np.nan)
    for (start, end), is_valid in zip(_bounds(column), _valid(column), strict=True):
        yield Points(t[start:end], v[start:end], valid[start:end]) if is_valid else None


def _ints(column: pa.Array) -> Iterator[Ints | None]:
    """Each row's list of integers without its NULLs; None for NULL."""
    items = column.values
    valid = _valid(items)
    values = items.fill_null(0).to_numpy(zero_copy_only=False)
    for (start, end), is_valid in zip(_bounds(column), _valid(column), strict=True):
        yield values[start:end][valid[start:end]] if is_valid else None


def _bounds(column: pa.Array) -> Iterator[tuple[int, int]]:
    offsets = column.offsets.to_pylist()
    return pairwise(offsets)


def _lists(values: pa.Array, lengths: list[int | None]) -> pa.Array:
    """A list array with rows of these lengths, None for NULL, over the rows' values one after another."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum([length or 0 for length in lengths], out=offsets[1:])
    mask = pa.array([length is None for length in lengths])
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=mask)


def _series_array(rows: list[Points | None]) -> pa.Array:
    known = [row for row in rows if row is not None]
    t = np.concatenate([row.t for row in known]) if known else np.zeros(0, np.int64)
    v = np.concatenate([row.v for row in known]) if known else np.zeros(0, np.float64)
    valid = np.concatenate([row.valid for row in known]) if known else np.zeros(0, np.bool_)
    values = pa.array(v, type=pa.float64(), mask=~valid)
    points = pa.StructArray.from_arrays([pa.array(t, type=pa.int64()), values], fields=list(_POINT))
    return _lists(points, [None if row is None else len(row.t) for row in rows])


def _rows(*columns: Any) -> list[Any]:
    return [whole(column) for column in columns]


# ---------------------------------------------------------------------------------------- interpolation

Interpolation = Callable[[Points, Ints], tuple[Floats, Bools]]


def _interpolate(method: Interpolation) -> Callable[..., pa.Array]:
    def compute(series: Any, instants: Any) -> pa.Array:
        series, instants = _rows(series, instants)
        rows: list[Points | None] = []
        for points, at in zip(_series(series), _ints(instants), strict=True):
            if points is None or at is None:
                rows.append(None)
                continue
            wanted = np.unique(at)
            rows.append(Points(wanted, *method(points.known(), wanted)))
        return _series_array(rows)

    return compute


def _refuse_equal_times(points: Points) -> None:
    if (points.t[1:] == points.t[:-1]).any():
        raise QueryFailed("Cannot interpolate a timeseries with duplicate timestamps")


def _seconds(points: Points, instants: Ints) -> tuple[Floats, Floats]:
    """Both as doubles near zero: nanoseconds since 1970 themselves need more digits than a double has."""
    origin = points.t[0]
    return (points.t - origin).astype(np.float64), (instants - origin).astype(np.float64)


def _linear(points: Points, instants: Ints) -> tuple[Floats, Bools]:
    _refuse_equal_times(points)
    if len(points.t) == 0:
        return np.zeros(len(instants)), np.zeros(len(instants), np.bool_)
    inside: Bools = (instants >= points.t[0]) & (instants <= points.t[-1])
    after = np.clip(np.searchsorted(points.t, instants, side="left"), 0, len(points.t) - 1)
    before = np.maximum(after - 1, 0)
    is_sample = points.t[after] == instants
    span = np.maximum(points.t[after] - points.t[before], 1)
    share = (instants - points.t[before]) / span
    with np.errstate(invalid="ignore", over="ignore"):
        between = points.v[before] + (points.v[after] - points.v[before]) * share
    return np.where(is_sample, points.v[after], between), inside


def _spline(points: Points, instants: Ints) -> tuple[Floats, Bools]:
    """The natural cubic spline; linear with fewer than three points."""
    if len(points.t) < 3:
        return _linear(points, instants)
    _refuse_equal_times(points)
    inside: Bools = (instants >= points.t[0]) & (instants <= points.t[-1])
    x, wanted = _seconds(points, instants)
    x, wanted = x / 1e9, wanted / 1e9
    bends = _bends(x, points.v)
    right = np.clip(np.searchsorted(points.t, instants, side="left"), 1, len(x) - 1)
    left = right - 1
    step = x[right] - x[left]
    a, b = (x[right] - wanted) / step, (wanted - x[left]) / step
    curve = ((a**3 - a) * bends[left] + (b**3 - b) * bends[right]) * step**2 / 6
    values = a * points.v[left] + b * points.v[right] + curve
    sample = np.clip(np.searchsorted(points.t, instants, side="left"), 0, len(x) - 1)
    return np.where(points.t[sample] == instants, points.v[sample], values), inside


def _bends(x: Floats, y: Floats) -> Floats:
    """Second derivatives of the natural spline at its knots: a tridiagonal system, solved by elimination."""
    h = np.diff(x)
    right_side = 6 * np.diff(np.diff(y) / h)
    diagonal = (2 * (h[:-1] + h[1:])).tolist()
    off, rest = h[1:-1].tolist(), right_side.tolist()
    for i in range(1, len(diagonal)):
        factor = off[i - 1] / diagonal[i - 1]
        diagonal[i] -= factor * off[i - 1]
        rest[i] -= factor * rest[i - 1]
    bends = [0.0] * len(x)
    for i in range(len(diagonal) - 1, -1, -1):
        following = off[i] * bends[i + 2] if i + 1 < len(diagonal) else 0.0
        bends[i + 1] = (rest[i] - following) / diagonal[i]
    return np.array(bends)


def _locf(points: Points, instants: Ints) -> tuple[Floats, Bools]:
    place = np.searchsorted(points.t, instants, side="right") - 1
    has_value: Bools = place >= 0
    if len(points.t) == 0:
        return np.zeros(len(instants)), has_value
    return points.v[np.maximum(place, 0)], has_value


def _locate(column: Any, instants: Any, exactly: Any) -> pa.Array:
    """For each wanted instant, ascending and once: the 1-based place of the last sample at or before it.

    With `exactly`, of the last sample at it. 0 where there is none. For series whose values are not doubles.
    """
    times, instants, exactly = _rows(column, instants, exactly)
    t_all: list[Ints] = []
    i_all: list[Ints] = []
    lengths: list[int | None] = []
    for own, at, exact in zip(_ints(times), _ints(instants), exactly.to_pylist(), strict=True):
        if own is None or at is None:
            lengths.append(None)
            continue
        wanted = np.unique(at)
        place = np.searchsorted(own, wanted, side="right")
        if exact and len(own):
            place = np.where(own[np.maximum(place - 1, 0)] == wanted, place, 0)
        t_all.append(wanted)
        i_all.append(place)
        lengths.append(len(wanted))
    t = np.concatenate(t_all) if t_all else np.zeros(0, np.int64)
    i = np.concatenate(i_all) if i_all else np.zeros(0, np.int64)
    fields = [pa.array(t, type=pa.int64()), pa.array(i, type=pa.int64())]
    return _lists(pa.StructArray.from_arrays(fields, names=["t", "i"]), lengths)


# ----------------------------------------------------------------- derivatives, integral, correlation


def _derivative(series: Any, interval: Any) -> pa.Array:
    """(v_i - v_{i-1}) * interval / (t_i - t_{i-1}) at each point but the first; NULL points do not count."""
    series, interval = _rows(series, interval)
    rows: list[Points | None] = []
    for points, unit in zip(_series(series), interval.to_pylist(), strict=True):
        if points is None or unit is None:
            rows.append(None)
            continue
        known = points.known()
        _refuse_equal_times(known)
        with np.errstate(invalid="ignore", over="ignore"):
            rate = np.diff(known.v) * float(unit) / np.diff(known.t)
        rows.append(Points(known.t[1:], rate, np.ones(len(rate), np.bool_)))
    return _series_array(rows)


def _integral(series: Any, interval: Any) -> pa.Array:
    """The area under the straight lines between the points, in value times interval."""
    series, interval = _rows(series, interval)
    areas: list[float | None] = []
    for points, unit in zip(_series(series), interval.to_pylist(), strict=True):
        if points is None or unit is None:
            areas.append(None)
            continue
        known = points.known()
        with np.errstate(invalid="ignore", over="ignore"):
            sum_ns = ((known.v[1:] + known.v[:-1]) / 2 * np.diff(known.t) / float(unit)).sum()
        areas.append(float(sum_ns))
    return pa.array(areas, type=pa.float64())


def _correlate(by_rank: bool) -> Callable[..., pa.Array]:
    def compute(left: Any, right: Any) -> pa.Array:
        left, right = _rows(left, right)
        found: list[float | None] = []
        for a, b in zip(_series(left), _series(right), strict=True):
            found.append(None if a is None or b is None else _correlation(a, b, by_rank))
        return pa.array(found, type=pa.float64())

    return compute


def _correlation(a: Points, b: Points, by_rank: bool) -> float:
    if not np.array_equal(a.t, b.t):
        raise QueryFailed("Cannot correlate timeseries with different timestamps")
    both = a.valid & b.valid
    x, y = a.v[both], b.v[both]
    if len(x) < 2:
        return math.nan
    if by_rank:
        x, y = _ranks(x), _ranks(y)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        dx, dy = _spread(x), _spread(y)
        return float(np.clip((dx * dy).sum() / np.sqrt((dx * dx).sum() * (dy * dy).sum()), -1.0, 1.0))


def _spread(values: Floats) -> Floats:
    """Distances from the mean, the largest of them 1, so that their squares stay in range. NaN if all are equal."""
    distance = values - values.mean()
    spread: Floats = distance / np.abs(distance).max()
    return spread


def _ranks(values: Floats) -> Floats:
    """Ranks from 1; equal values share their mean rank. NaN stays NaN."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return np.where(np.isnan(values), np.nan, ranks)


# ------------------------------------------------------------------------- percentiles, skewness


def _weighted_places(ordered_weights: Any, shares: Any) -> pa.Array:
    """For each share, the 1-based place of the first value whose cumulative share of the weights reaches it."""
    weights, shares = _rows(ordered_weights, shares)
    values: list[Ints] = []
    lengths: list[int | None] = []
    flat = shares.values.to_numpy(zero_copy_only=False)
    for own, (start, end) in zip(_ints(weights), _bounds(shares), strict=True):
        if own is None or len(own) == 0:
            lengths.append(None)
            continue
        if (own < 1).any():
            raise QueryFailed("percentile weight must be > 0")
        reached = np.cumsum(own)
        values.append(np.searchsorted(reached / reached[-1], flat[start:end], side="left") + 1)
        lengths.append(end - start)
    joined = np.concatenate(values) if values else np.zeros(0, np.int64)
    return _lists(pa.array(joined, type=pa.int64()), lengths)


def _skewness(samples: Any) -> pa.Array:
    """sqrt(n) * m3 / m2^1.5 over sums of powers of the distance from the mean; NULL under three values."""
    (samples,) = _rows(samples)
    flat = samples.values.to_numpy(zero_copy_only=False)
    found: list[float | None] = []
    for (start, end), is_valid in zip(_bounds(samples), _valid(samples), strict=True):
        if not is_valid or end - start < 3:
            found.append(None)
            continue
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            distance = flat[start:end] - flat[start:end].mean()
            found.append(float(np.sqrt(end - start) * (distance**3).sum() / (distance**2).sum() ** 1.5))
    return pa.array(found, type=pa.float64())


SERIES_FUNCTIONS = (
    ArrowFunction("arrow_interpolate_linear", (SERIES, "BIGINT[]"), SERIES, _interpolate(_linear)),
    ArrowFunction("arrow_interpolate_spline", (SERIES, "BIGINT[]"), SERIES, _interpolate(_spline)),
    ArrowFunction("arrow_interpolate_locf", (SERIES, "BIGINT[]"), SERIES, _interpolate(_locf)),
    ArrowFunction("arrow_locate", ("BIGINT[]", "BIGINT[]", "BOOLEAN"), "STRUCT(t BIGINT, i BIGINT)[]", _locate),
    ArrowFunction("arrow_derivative", (SERIES, "BIGINT"), SERIES, _derivative),
    ArrowFunction("arrow_integral", (SERIES, "BIGINT"), "DOUBLE", _integral),
    ArrowFunction("arrow_correlate_pearson", (SERIES, SERIES), "DOUBLE", _correlate(False)),
    ArrowFunction("arrow_correlate_spearman", (SERIES, SERIES), "DOUBLE", _correlate(True)),
    ArrowFunction("arrow_weighted_places", ("BIGINT[]", "DOUBLE[]"), "BIGINT[]", _weighted_places),
    ArrowFunction("arrow_skewness", ("DOUBLE[]",), "DOUBLE", _skewness),
)
