"""Functions of whole columns, written in Python: what they are to the engine, and Arrow's lists as numpy arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headwater.engine.function import Function
from headwater.engine.pace import Pace, check

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ArrowFunction(Function):
    """`compute` gets its arguments and gives its result as whole columns."""

    compute: Callable[..., pa.Array]

    def paced(self, pace: Pace) -> Callable[..., pa.Array]:
        def compute(numbers: Any, *columns: Any) -> pa.Array:
            pace.work_for(numbers[0].as_py() if len(numbers) else None)
            check()
            return self.compute(*columns)

        return self.with_signature(compute)


def whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """One array of what the engine passes."""
    if isinstance(column, pa.ChunkedArray):
        return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    return column


# --------------------------------------------------------------------------- Arrow lists and numpy arrays


def validity(column: pa.Array) -> Bools:
    """Where the column is not NULL."""
    return np.asarray(column.is_valid().to_numpy(zero_copy_only=False), dtype=np.bool_)


def ints(column: pa.Array) -> Iterator[Ints | None]:
    """Each row's list of integers without its NULLs; None for NULL."""
    items = column.values
    known = validity(items)
    values = items.fill_null(0).to_numpy(zero_copy_only=False)
    for (start, end), is_valid in zip(bounds(column), validity(column), strict=True):
        yield values[start:end][known[start:end]] if is_valid else None


def bounds(column: pa.Array) -> Iterator[tuple[int, int]]:
    """Where each row's list begins and ends in the values."""
    return pairwise(column.offsets.to_pylist())


def lists(values: pa.Array, lengths: Sequence[int | None]) -> pa.Array:
    """A list array with rows of these lengths, None for NULL, over the rows' values one after another."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum([length or 0 for length in lengths], out=offsets[1:])
    mask = pa.array([length is None for length in lengths])
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=mask)
