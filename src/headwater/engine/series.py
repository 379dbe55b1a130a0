"""Functions of the engine on time series, in numpy over Arrow lists: interpolation, derivatives, correlation.

`engine.py` registers them; lowered statements call them by name. Each takes and gives whole Arrow arrays, one list a
row. A series is list<struct<t: int64, v: double>>, ascending in t; lists of instants are list<int64>. What can be is
computed for all rows of a batch at once: `Batch` has their points one after another. NULL in any argument gives NULL.
Source: sql.md 7.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from headwater.engine.arrow import ArrowFunction, Bools, Floats, Ints, lists, validity, whole
from headwater.errors import QueryFailed

SERIES = "STRUCT(t BIGINT, v DOUBLE)[]"
_POINT = pa.struct([("t", pa.int64()), ("v", pa.float64())])


@dataclass(frozen=True, slots=True)
class Instants:
    """Lists of instants of many rows: row i has those from offsets[i] to offsets[i + 1]. `there`: row is not NULL."""

    t: Ints
    offsets: Ints
    there: Bools

    @property
    def lengths(self) -> Ints:
        return np.diff(self.offsets)

    @property
    def rows(self) -> Ints:
        """The row of each instant."""
        return np.repeat(np.arange(len(self.there)), self.lengths)


@dataclass(frozen=True, slots=True)
class Batch(Instants):
    """Series of many rows. `valid` is False where a value is NULL (only series that were interpolated hold such)."""

    v: Floats
    valid: Bools

    def known(self) -> Batch:
        """Without the points that have no value."""
        if self.valid.all():
            return self
        counts = np.bincount(self.rows[self.valid], minlength=len(self.there))
        own = self.valid
        return replace(self, t=self.t[own], v=self.v[own], valid=self.valid[own], offsets=_offsets(counts))


def _offsets(lengths: Ints) -> Ints:
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


# ------------------------------------------------------------------------------- Arrow to numpy and back


def _series(column: Any) -> Batch:
    column = whole(column)
    points, there = column.flatten(), validity(column)
    values = points.field("v")
    valid = validity(values)
    v = np.where(valid, values.fill_null(0.0).to_numpy(zero_copy_only=False), np.nan)
    lengths = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    return Batch(points.field("t").to_numpy(zero_copy_only=False), _offsets(lengths), there, v, valid)


def _instants(column: Any) -> Instants:
    """NULLs among them are left out."""
    column = whole(column)
    items = column.flatten()
    known = validity(items)
    lengths = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    found = Instants(items.fill_null(0).to_numpy(zero_copy_only=False), _offsets(lengths), validity(column))
    if known.all():
        return found
    counts = np.bincount(found.rows[known], minlength=len(lengths))
    return replace(found, t=found.t[known], offsets=_offsets(counts))


def _wanted(column: Any) -> Instants:
    """Ascending, each once."""
    found = _instants(column)
    rows = found.rows
    is_new = np.ones(len(found.t), dtype=np.bool_)
    is_new[1:] = (np.diff(found.t) != 0) | (np.diff(rows) != 0)
    is_late = (found.t[1:] < found.t[:-1]) & (rows[1:] == rows[:-1])
    if not is_late.any() and is_new.all():
        return found
    order = np.lexsort((found.t, rows))
    t, rows = found.t[order], rows[order]
    is_new[1:] = (np.diff(t) != 0) | (np.diff(rows) != 0)
    return Instants(t[is_new], _offsets(np.bincount(rows[is_new], minlength=len(found.there))), found.there)


def _lengths(there: Bools, lengths: Ints) -> list[int | None]:
    return [length if is_there else None for length, is_there in zip(lengths.tolist(), there.tolist(), strict=True)]


def _series_array(t: Ints, v: Floats, valid: Bools, lengths: list[int | None]) -> pa.Array:
    values = pa.array(v, type=pa.float64(), mask=~valid)
    points = pa.StructArray.from_arrays([pa.array(t, type=pa.int64()), values], fields=list(_POINT))
    return lists(points, lengths)


def _both(points: Instants, wanted: Instants) -> tuple[Bools, Instants]:
    """Rows where neither is NULL, and the instants of those alone."""
    there = points.there & wanted.there
    if there.all() or wanted.there[~there].sum() == 0:
        return there, wanted
    keep = there[wanted.rows]
    return there, replace(wanted, t=wanted.t[keep], offsets=_offsets(np.where(there, wanted.lengths, 0)))


def _search(points: Instants, wanted: Instants) -> Ints:
    """For each wanted instant, how many of the points of its row are before it.

    All rows are searched at once, as one ascending list of (row, instant) in one integer each, or as few such lists as
    that takes.
    """
    found = np.zeros(len(wanted.t), dtype=np.int64)
    if not len(points.t) or not len(wanted.t):
        return found
    least = min(int(points.t.min()), int(wanted.t.min()))
    span = max(int(points.t.max()), int(wanted.t.max())) - least + 1
    step = max(1, 2**62 // span)
    for first in range(0, len(points.there), step):
        last = min(first + step, len(points.there))
        own, asked = (slice(each.offsets[first], each.offsets[last]) for each in (points, wanted))
        if last - first == 1:
            found[asked] = np.searchsorted(points.t[own], wanted.t[asked], side="left")
            continue
        keys, wants = (
            (each.t[at] - least) + (each.rows[at] - first) * span for each, at in ((points, own), (wanted, asked))
        )
        found[asked] = np.searchsorted(keys, wants, side="left") + points.offsets[first]
        found[asked] -= points.offsets[wanted.rows[asked]]
    return found


# ---------------------------------------------------------------------------------------- interpolation


@dataclass(frozen=True, slots=True)
class _Asked:
    """What an interpolation is told: `after` is the place in all points of the first one of the row not before the
    instant, `first` and `last` the row's ends. A row without points has none of these; `inside` is False there."""

    points: Batch
    wanted: Instants
    after: Ints
    first: Ints
    last: Ints
    inside: Bools

    @property
    def is_sample(self) -> Bools:
        at: Bools = self.points.t[self.after] == self.wanted.t
        return self.inside & at


Interpolation = Callable[[_Asked], tuple[Floats, Bools]]


def _interpolate(method: Interpolation) -> Callable[..., pa.Array]:
    def compute(series: Any, instants: Any) -> pa.Array:
        points = _series(series).known()
        there, wanted = _both(points, _wanted(instants))
        if not len(points.t):
            values, has_value = np.zeros(len(wanted.t)), np.zeros(len(wanted.t), np.bool_)
        else:
            values, has_value = method(_asked(points, wanted))
        return _series_array(wanted.t, values, has_value, _lengths(there, wanted.lengths))

    return compute


def _asked(points: Batch, wanted: Instants) -> _Asked:
    rows = wanted.rows
    first, last = points.offsets[rows], points.offsets[rows + 1] - 1
    is_empty = last < first
    before = _search(points, wanted)
    top = len(points.t) - 1
    after = np.minimum(np.minimum(first + before, np.maximum(last, 0)), top)
    inside = ~is_empty & (wanted.t >= points.t[np.minimum(first, top)]) & (wanted.t <= points.t[np.maximum(last, 0)])
    return _Asked(points, wanted, after, first, last, inside)


def _refuse_equal_times(points: Batch) -> None:
    rows = points.rows
    if ((points.t[1:] == points.t[:-1]) & (rows[1:] == rows[:-1])).any():
        raise QueryFailed("Cannot interpolate a timeseries with duplicate timestamps")


def _linear(asked: _Asked) -> tuple[Floats, Bools]:
    points = asked.points
    _refuse_equal_times(points)
    return _on_line(asked), asked.inside


def _on_line(asked: _Asked) -> Floats:
    points, after = asked.points, asked.after
    before = np.maximum(after - 1, np.minimum(asked.first, after))
    span = np.maximum(points.t[after] - points.t[before], 1)
    with np.errstate(invalid="ignore", over="ignore"):
        share = (asked.wanted.t - points.t[before]) / span
        between = points.v[before] + (points.v[after] - points.v[before]) * share
    return np.where(asked.is_sample, points.v[after], between)


def _spline(asked: _Asked) -> tuple[Floats, Bools]:
    """The natural cubic spline; linear with fewer than three points."""
    points = asked.points
    _refuse_equal_times(points)
    seconds = (points.t - points.t[np.minimum(points.offsets[points.rows], len(points.t) - 1)]) / 1e9
    bends = _bends(points, seconds)
    right = np.minimum(np.maximum(asked.after, asked.first + 1), np.maximum(asked.last, 0))
    left = np.maximum(right - 1, 0)
    origin = points.t[np.minimum(asked.first, len(points.t) - 1)]
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        wanted = (asked.wanted.t - origin) / 1e9
        step = seconds[right] - seconds[left]
        a, b = (seconds[right] - wanted) / step, (wanted - seconds[left]) / step
        curve = ((a**3 - a) * bends[left] + (b**3 - b) * bends[right]) * step**2 / 6
        values = a * points.v[left] + b * points.v[right] + curve
    is_short = asked.last - asked.first < 2
    values = np.where(is_short, _on_line(asked), values)
    return np.where(asked.is_sample, points.v[asked.after], values), asked.inside


_TOGETHER = 8
"""So many rows are worth solving in step; fewer go one by one."""


def _bends(points: Batch, seconds: Floats) -> Floats:
    """Second derivatives of the natural splines at their knots: a tridiagonal system a row, solved by elimination.

    Rows of like length are solved in step, the longest first, so that those at work are always the first ones.
    """
    bends = np.zeros(len(points.t))
    lengths = points.lengths
    order = np.argsort(-lengths, kind="stable")
    order = order[lengths[order] >= 3]
    while len(order):
        # Until the lengths differ too much for going in step to be worth it.
        group = order[lengths[order] * 2 > lengths[order[0]]]
        order = order[len(group) :]
        if len(group) < _TOGETHER:
            for row in group:
                own = slice(points.offsets[row], points.offsets[row + 1])
                bends[own] = _row_bends(seconds[own], points.v[own])
        else:
            _solve_in_step(bends, points.offsets[group], lengths[group], seconds, points.v)
    return bends


def _row_bends(x: Floats, y: Floats) -> Floats:
    with np.errstate(invalid="ignore", over="ignore"):
        h = np.diff(x)
        rest = (6 * np.diff(np.diff(y) / h)).tolist()
    diagonal, off = (2 * (h[:-1] + h[1:])).tolist(), h[1:-1].tolist()
    for i in range(1, len(diagonal)):
        factor = off[i - 1] / diagonal[i - 1]
        diagonal[i] -= factor * off[i - 1]
        rest[i] -= factor * rest[i - 1]
    bends = [0.0] * len(x)
    for i in range(len(diagonal) - 1, -1, -1):
        following = off[i] * bends[i + 2] if i + 1 < len(diagonal) else 0.0
        bends[i + 1] = (rest[i] - following) / diagonal[i]
    return np.array(bends)


def _solve_in_step(bends: Floats, starts: Ints, lengths: Ints, x: Floats, y: Floats) -> None:
    """`_row_bends` of many rows, one knot of each at a time; `lengths` descend."""
    longest = int(lengths[0])
    diagonal, rest, off = (np.zeros((longest, len(starts))) for _ in range(3))
    at_work = np.searchsorted(-lengths, -np.arange(longest + 1), side="left")
    with np.errstate(invalid="ignore", over="ignore"):
        for i in range(1, longest - 1):
            knots = starts[: at_work[i + 1]] + i
            h, following = x[knots] - x[knots - 1], x[knots + 1] - x[knots]
            slope = (y[knots + 1] - y[knots]) / following - (y[knots] - y[knots - 1]) / h
            own = slice(len(knots))
            diagonal[i, own], rest[i, own], off[i, own] = 2 * (h + following), 6 * slope, following
            if i > 1:
                factor = off[i - 1, own] / diagonal[i - 1, own]
                diagonal[i, own] -= factor * off[i - 1, own]
                rest[i, own] -= factor * rest[i - 1, own]
        above = np.zeros(len(starts))
        for i in range(longest - 2, 0, -1):
            count = int(at_work[i + 1])
            # The knot above is the last one of rows that end there: its bend is 0, as `above` is.
            above[:count] = (rest[i, :count] - off[i, :count] * above[:count]) / diagonal[i, :count]
            bends[starts[:count] + i] = above[:count]


def _locf(asked: _Asked) -> tuple[Floats, Bools]:
    place = _last_at(asked.points, asked.wanted)
    rows = asked.wanted.rows
    return asked.points.v[np.maximum(asked.points.offsets[rows] + place - 1, 0)], place > 0


def _last_at(points: Instants, wanted: Instants) -> Ints:
    """For each instant the 1-based place in its row of the last point at or before it; 0 where there is none."""
    following = wanted.t < np.iinfo(np.int64).max
    later = replace(wanted, t=np.where(following, wanted.t + 1, wanted.t))
    return _search(points, later)


def _locate(column: Any, instants: Any, exactly: Any) -> pa.Array:
    """For each wanted instant, ascending and once: the 1-based place of the last sample at or before it.

    With `exactly`, of the last sample at it. 0 where there is none. For series whose values are not doubles.
    """
    points = _instants(column)
    there, wanted = _both(points, _wanted(instants))
    place = _last_at(points, wanted)
    if len(points.t) and validity(whole(exactly)).all() and whole(exactly)[0].as_py():
        found = points.t[np.maximum(points.offsets[wanted.rows] + place - 1, 0).clip(max=len(points.t) - 1)]
        place = np.where(found == wanted.t, place, 0)
    fields = [pa.array(wanted.t, type=pa.int64()), pa.array(place, type=pa.int64())]
    return lists(pa.StructArray.from_arrays(fields, names=["t", "i"]), _lengths(there, wanted.lengths))


# ----------------------------------------------------------------- derivatives, integral, correlation


def _units(interval: Any) -> tuple[Floats, Bools]:
    interval = whole(interval)
    units = interval.fill_null(1).to_numpy(zero_copy_only=False).astype(np.float64)
    if (units <= 0).any():
        raise QueryFailed("The interval must be greater than zero")
    return units, validity(interval)


def _derivative(series: Any, interval: Any) -> pa.Array:
    """(v_i - v_{i-1}) * interval / (t_i - t_{i-1}) at each point but the first; NULL points do not count."""
    points = _series(series).known()
    units, is_unit = _units(interval)
    there = points.there & is_unit
    _refuse_equal_times(points)
    rows = points.rows
    is_inner = (rows[1:] == rows[:-1]) & there[rows[1:]]
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        rate = np.diff(points.v) * units[rows[1:]] / np.diff(points.t)
    lengths = np.where(there, np.maximum(points.lengths - 1, 0), 0)
    values = rate[is_inner]
    return _series_array(points.t[1:][is_inner], values, np.ones(len(values), np.bool_), _lengths(there, lengths))


def _integral(series: Any, interval: Any) -> pa.Array:
    """The area under the straight lines between the points, in value times interval."""
    points = _series(series).known()
    units, is_unit = _units(interval)
    there = points.there & is_unit
    rows = points.rows
    is_inner = rows[1:] == rows[:-1]
    with np.errstate(invalid="ignore", over="ignore"):
        areas = (points.v[1:] + points.v[:-1]) / 2 * np.diff(points.t) / units[rows[1:]]
    sums = np.zeros(len(there))
    np.add.at(sums, rows[1:][is_inner], areas[is_inner])
    return pa.array(sums, type=pa.float64(), mask=~there)


def _correlate(by_rank: bool) -> Callable[..., pa.Array]:
    def compute(left: Any, right: Any) -> pa.Array:
        a, b = _series(left), _series(right)
        found: list[float | None] = []
        for row, is_there in enumerate((a.there & b.there).tolist()):
            found.append(_correlation(_row(a, row), _row(b, row), by_rank) if is_there else None)
        return pa.array(found, type=pa.float64())

    return compute


def _row(points: Batch, row: int) -> tuple[Ints, Floats, Bools]:
    own = slice(points.offsets[row], points.offsets[row + 1])
    return points.t[own], points.v[own], points.valid[own]


def _correlation(a: tuple[Ints, Floats, Bools], b: tuple[Ints, Floats, Bools], by_rank: bool) -> float:
    if not np.array_equal(a[0], b[0]):
        raise QueryFailed("Cannot correlate timeseries with different timestamps")
    both = a[2] & b[2]
    x, y = a[1][both], b[1][both]
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


SERIES_FUNCTIONS = (
    ArrowFunction("arrow_interpolate_linear", (SERIES, "BIGINT[]"), SERIES, _interpolate(_linear)),
    ArrowFunction("arrow_interpolate_spline", (SERIES, "BIGINT[]"), SERIES, _interpolate(_spline)),
    ArrowFunction("arrow_interpolate_locf", (SERIES, "BIGINT[]"), SERIES, _interpolate(_locf)),
    ArrowFunction("arrow_locate", ("BIGINT[]", "BIGINT[]", "BOOLEAN"), "STRUCT(t BIGINT, i BIGINT)[]", _locate),
    ArrowFunction("arrow_derivative", (SERIES, "BIGINT"), SERIES, _derivative),
    ArrowFunction("arrow_integral", (SERIES, "BIGINT"), "DOUBLE", _integral),
    ArrowFunction("arrow_correlate_pearson", (SERIES, SERIES), "DOUBLE", _correlate(False)),
    ArrowFunction("arrow_correlate_spearman", (SERIES, SERIES), "DOUBLE", _correlate(True)),
)
