"""What a scan is to give: its request, and which series of the table that means; and the rows of a set that it means.

`scan.py` makes one for each scan, `decoded.py` uses it too. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
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

RUN_ROWS = 1_024
"""Rows in runs of this length on average are handed over where they are, shorter ones are copied together."""

_ARROW_TYPES = {
    Scalar.DOUBLE: pa.float64(),
    Scalar.BIGINT: pa.int64(),
    Scalar.BOOLEAN: pa.bool_(),
    Scalar.VARCHAR: pa.string(),
    Scalar.TIMESTAMP: pa.int64(),
}


class Wanted(NamedTuple):
    """Of the series in `chosen`, all if that is None, and only from their `floors` on.

    `ordinals` are those of `chosen`, ascending.
    """

    request: ScanRequest
    series: SeriesIndex
    chosen: Mask | None
    ordinals: npt.NDArray[np.intp] | None
    floors: Floors | None

    def table(self, mask: Mask | None, of_rows: Ordinals, arrays: Mapping[Column, pa.Array]) -> pa.Table | None:
        """The columns of the answer for those rows that `mask` has, all if it is None; None if it has no row.

        The rows are of these series. `arrays` are their measures, and their times where the answer has them.
        """
        if mask is not None:
            edges = np.flatnonzero(np.diff(mask, prepend=False, append=False))
            runs, count = edges.reshape(-1, 2), int(np.count_nonzero(mask))
            if not count:
                return None
            if len(runs) == 1 or count >= RUN_ROWS * len(runs):
                arrays = {column: _sliced(array, runs) for column, array in arrays.items()}
            else:
                rows = pa.array(np.flatnonzero(mask))
                arrays = {column: array.take(rows) for column, array in arrays.items()}
            of_rows = of_rows[mask]
        found = {answer: self._column(column, of_rows, arrays) for column, answer in self.request.columns}
        # A count needs rows, not values.
        return pa.table(found or {"rows": pa.nulls(len(of_rows), pa.bool_())})

    def _column(self, column: Column, of_rows: Ordinals, arrays: Mapping[Column, pa.Array]) -> pa.Array:
        if column == MEASURE_NAME:
            return self.series.measure_name.column(of_rows)
        if column.kind is ColumnKind.DIMENSION:
            return self.series.dimension(column.name).column(of_rows)
        array = arrays.get(column)
        return pa.nulls(len(of_rows), _ARROW_TYPES[column.type]) if array is None else array


def _sliced(array: pa.Array, runs: Int64s) -> pa.Array | pa.ChunkedArray:
    if len(runs) == 1:
        return array.slice(runs[0, 0], runs[0, 1] - runs[0, 0])
    return pa.chunked_array([array.slice(start, end - start) for start, end in runs.tolist()])
