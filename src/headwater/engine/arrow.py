"""What a function written in Python is to the engine. The other files of this room that hold functions say which."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from inspect import Parameter, Signature
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headwater.errors import Invalid, QueryFailed

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ArrowFunction:
    """One function: its name, the engine's types of its arguments and result, and what computes whole columns."""

    name: str
    arguments: tuple[str, ...]
    result: str
    compute: Callable[..., pa.Array]


def whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """One array of what the engine passes."""
    if isinstance(column, pa.ChunkedArray):
        return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    return column


def by_value(
    name: str, function: Callable[..., Any], arguments: tuple[str, ...], result: str, kind: pa.DataType
) -> ArrowFunction:
    """A function of single values, computed once for equal arguments of one batch. NULL in any argument gives NULL.

    What it refuses as Invalid has come up while the query runs, so it fails the query.
    """

    def compute(*columns: Any) -> pa.Array:
        known: dict[tuple[Any, ...], Any] = {}
        values = []
        for row in zip(*(whole(column).to_pylist() for column in columns), strict=True):
            given = tuple(tuple(one) if isinstance(one, list) else one for one in row)
            # 0.0 and -0.0 are equal, but not to a function; their texts differ.
            key = tuple(repr(one) if one == 0 else one for one in given)
            if key not in known:
                known[key] = None if None in given else _failing(function, given)
            values.append(known[key])
        return pa.array(values, type=kind)

    # The engine counts the parameters.
    parameters = [Parameter(f"column_{place}", Parameter.POSITIONAL_ONLY) for place in range(len(arguments))]
    vars(compute)["__signature__"] = Signature(parameters)
    return ArrowFunction(name, arguments, result, compute)


def _failing(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    try:
        return function(*arguments)
    except Invalid as fault:
        raise QueryFailed(fault.message) from fault


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


def floats(column: pa.Array) -> Iterator[Floats | None]:
    """Each row's list of doubles without its NULLs; None for NULL."""
    items = column.values
    known = validity(items)
    values = items.fill_null(0.0).to_numpy(zero_copy_only=False)
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
