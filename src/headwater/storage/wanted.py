"""What a scan is to give: its request, and which series of the table that means; and the rows of a set that it means.

`scan.py` makes one for each scan, `decoded.py` uses it too. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headwater.model.record import Int64s
from headwater.model.scan import ScanRequest
from headwater.model.table import MEASURE_NAME, Column, ColumnKind
from headwater.model.types import Scalar
from headwater.storage.chunk import Mask
from headwater.storage.floors import Floors
from headwater.storage.series import Ordinals, SeriesIndex
from headwater.storage.texts import ARRAY_BYTES_MAX

RUN_ROWS = 1_024
"""Rows in runs of this length on average are handed over where they are, shorter ones are copied together."""

FEW_SERIES = 8
"""So few are compared with one by one, which a processor does faster than looking up each row's."""

LARGE_ROWS = 10_000
"""Sets of fewer rows are put together before an engine sees them."""

_ARROW_TYPES = {
    Scalar.DOUBLE: pa.float64(),
    Scalar.BIGINT: pa.int64(),
    Scalar.BOOLEAN: pa.bool_(),
    Scalar.VARCHAR: pa.string(),
    Scalar.TIMESTAMP: pa.int64(),
}


class Found(NamedTuple):
    """Rows in question: series, how many rows each has there, one behind the other; one each if that is None. And of
    the columns asked for the measures and times that the rows have."""

    series: Ordinals
    counts: Int64s | None
    arrays: Mapping[Column, pa.Array | pa.ChunkedArray]

    @property
    def rows(self) -> int:
        return len(self.series) if self.counts is None else int(self.counts.sum())


class Wanted(NamedTuple):
    """Of the series in `chosen`, all if that is None, and only from their `floors` on.

    `ordinals` are those of `chosen`, ascending.
    """

    request: ScanRequest
    series: SeriesIndex
    chosen: Mask | None
    ordinals: npt.NDArray[np.intp] | None
    floors: Floors | None

    def is_of(self, of_rows: Ordinals) -> Mask:
        """For rows of these series, whether they are of a chosen one."""
        assert self.chosen is not None
        assert self.ordinals is not None
        if len(self.ordinals) > FEW_SERIES:
            return self.chosen[of_rows]
        return reduce(np.logical_or, [of_rows == ordinal for ordinal in self.ordinals])

    def values_of(self, name: str, most: int) -> frozenset[str]:
        """The values of a dimension, or the measure names, that the chosen series have, if these are no more than
        `most`; none otherwise. All of them have one.
        """
        if self.ordinals is None or len(self.ordinals) > most:
            return frozenset()
        coded = self.series.coded(name)
        return frozenset(coded.texts.take(np.unique(coded.codes_of(self.ordinals.astype(np.int32)))))

    def tables(self, found: Iterable[Found | None]) -> tuple[pa.Table, ...]:
        """The columns of the answer for these rows, small sets of them in one table."""
        sets = [one for one in found if one is not None]
        small = [one for one in sets if one.rows < LARGE_ROWS]
        large = [one for one in sets if one.rows >= LARGE_ROWS]
        return tuple(map(self._table, [*large, _together(small)] if small else large))

    def _table(self, found: Found) -> pa.Table:
        columns = {answer: self._column(column, found) for column, answer in self.request.columns}
        # A count needs rows, not values.
        return pa.table(columns or {"rows": pa.nulls(found.rows, pa.bool_())})

    def _column(self, column: Column, found: Found) -> pa.Array | pa.ChunkedArray:
        if column == MEASURE_NAME:
            return self.series.measure_name.column(found.series, found.counts)
        if column.kind is ColumnKind.DIMENSION:
            return self.series.dimension(column.name).column(found.series, found.counts)
        return _values(found, column)


def of_mask(mask: Mask | None, of_rows: Ordinals, arrays: Mapping[Column, pa.Array]) -> Found | None:
    """The rows that `mask` has, all if it is None; None if it has no row.

    The rows are of these series. `arrays` are their measures, and their times where the answer has them.
    """
    if mask is None:
        return Found(of_rows, None, arrays)
    rows = np.flatnonzero(mask)
    if not len(rows):
        return None
    breaks = np.flatnonzero(np.diff(rows) != 1)
    runs = np.stack((rows[np.append(0, breaks + 1)], rows[np.append(breaks, -1)] + 1), axis=1)
    return Found(of_rows[rows], None, _in_runs(runs, rows, arrays))


def of_runs(runs: Int64s, series: Ordinals, arrays: Mapping[Column, pa.Array]) -> Found | None:
    """The rows from the first to behind the last of each run, which are of one series each; None if there is no row."""
    has_rows = runs[:, 0] < runs[:, 1]
    runs, series = runs[has_rows], series[has_rows]
    counts = runs[:, 1] - runs[:, 0]
    rows = np.arange(counts.sum()) + np.repeat(runs[:, 1] - np.cumsum(counts), counts)
    return Found(series, counts, _in_runs(runs, rows, arrays)) if len(rows) else None


def _in_runs(
    runs: Int64s, rows: npt.NDArray[np.intp], arrays: Mapping[Column, pa.Array]
) -> Mapping[Column, pa.Array | pa.ChunkedArray]:
    """These rows, which are those of these runs."""
    if len(runs) == 1 or len(rows) >= RUN_ROWS * len(runs):
        return {column: _sliced(array, runs) for column, array in arrays.items()}
    places = pa.array(rows)
    return {column: array.take(places) for column, array in arrays.items()}


def _together(sets: Sequence[Found]) -> Found:
    """All rows of at least one set, one behind the other."""
    if len(sets) == 1:
        return sets[0]
    counts = [np.ones(one.rows, np.int64) if one.counts is None else one.counts for one in sets]
    has_counts = any(one.counts is not None for one in sets)
    columns = {column for one in sets for column in one.arrays}
    arrays = {column: _joined([c for one in sets for c in _chunks(_values(one, column))]) for column in columns}
    series = np.concatenate([one.series for one in sets])
    return Found(series, np.concatenate(counts) if has_counts else None, arrays)


def _joined(chunks: list[pa.Array]) -> pa.Array | pa.ChunkedArray:
    """One array, unless that would be more text than an array can hold."""
    return pa.concat_arrays(chunks) if sum(c.nbytes for c in chunks) < ARRAY_BYTES_MAX else pa.chunked_array(chunks)


def _values(found: Found, column: Column) -> pa.Array | pa.ChunkedArray:
    array = found.arrays.get(column)
    return pa.nulls(found.rows, _ARROW_TYPES[column.type]) if array is None else array


def _chunks(array: pa.Array | pa.ChunkedArray) -> list[pa.Array]:
    chunks: list[pa.Array] = array.chunks if isinstance(array, pa.ChunkedArray) else [array]
    return chunks


def _sliced(array: pa.Array, runs: Int64s) -> pa.Array | pa.ChunkedArray:
    if len(runs) == 1:
        return array.slice(runs[0, 0], runs[0, 1] - runs[0, 0])
    return pa.chunked_array([array.slice(start, end - start) for start, end in runs.tolist()])
