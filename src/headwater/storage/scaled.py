"""Doubles stored as integers: a column whose values are all n / 10^k with a small k is kept as the n, with k beside it.

Gauges are written with a few decimals, so this takes half the room or less. It is exact, bit for bit: n and 10^k are
doubles themselves, so dividing them gives the double nearest to the decimal number, which the value was. A column with
a value that is not such stays as it is; if hardly a value comes twice, its bytes are stored by their place in the
double (Parquet's BYTE_STREAM_SPLIT), where signs and exponents compress. Pure; `block_file.py` writes by this, readers
of blocks undo it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Scales = Mapping[str, int]
"""By physical name, the k of each scaled column of a block."""

DECIMALS_MAX = 9
INTEGER_MAX = 2**53
"""Below this every integer is a double."""

_SAMPLED_ROWS = 16_384
_PIECE_ROWS = 262_144
_MINIBLOCK = 32


class Doubles(NamedTuple):
    """How a block has its columns of doubles: scaled, split by bytes, or, the others, with a dictionary."""

    scales: Scales
    split: frozenset[str]


def doubles_of(rows: pa.Table) -> Doubles:
    """What is smallest for these rows."""
    scales, split = {}, set()
    for name in (field.name for field in rows.schema if pa.types.is_float64(field.type)):
        values = _known(rows.column(name))
        decimals = _decimals(values)
        if decimals is not None:
            scales[name] = decimals
        elif _are_many(values[:_SAMPLED_ROWS]):
            split.add(name)
    return Doubles(scales, frozenset(split))


def scaled(rows: pa.Table, scales: Scales) -> pa.Table:
    """The rows with these columns as integers. Raises ValueError if a value would change."""
    for name, decimals in scales.items():
        place = rows.schema.get_field_index(name)
        column = rows.column(place)
        values = column.to_numpy(zero_copy_only=False)
        is_null = column.is_null().to_numpy() if column.null_count else None
        if is_null is not None:
            values = np.where(is_null, 0.0, values)
        integers = _integers(values, decimals)
        if integers is None:
            raise ValueError(f"column {name} has a value with more than {decimals} decimals")
        rows = rows.set_column(place, name, pa.array(integers, mask=is_null))
    return rows


def unscaled(column: pa.Array | pa.ChunkedArray, decimals: int) -> pa.Array:
    """The doubles of a scaled column."""
    integers = column.fill_null(0).to_numpy(zero_copy_only=False) if column.null_count else column.to_numpy()
    is_null = column.is_null().to_numpy(zero_copy_only=False) if column.null_count else None
    return pa.array(integers / 10.0**decimals, mask=is_null)


def _are_many(values: npt.NDArray[np.float64]) -> bool:
    """Whether most values differ."""
    return 2 * len(np.unique(values)) > len(values)


def _known(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """The values that are not null."""
    known: npt.NDArray[np.float64] = column.drop_null().to_numpy()
    return known


def _decimals(values: npt.NDArray[np.float64]) -> int | None:
    """The least number of decimals that all values have, None for too many, or where a dictionary is smaller."""
    sample = values[:_SAMPLED_ROWS]
    for decimals in range(DECIMALS_MAX + 1):
        integers = _integers(sample, decimals)
        if integers is not None and all(_integers(piece, decimals) is not None for piece in _pieces(values)):
            return decimals if _is_smaller(integers) else None
    return None


def _pieces(values: npt.NDArray[np.float64]) -> Iterator[npt.NDArray[np.float64]]:
    """The values, not so many at a time that looking at them would take much memory."""
    for start in range(0, len(values), _PIECE_ROWS):
        yield values[start : start + _PIECE_ROWS]


def _integers(values: npt.NDArray[np.float64], decimals: int) -> npt.NDArray[np.int64] | None:
    """The values times 10^decimals, if that loses nothing; else None."""
    power = 10.0**decimals
    with np.errstate(over="ignore", invalid="ignore"):
        products = np.rint(values * power)
    if not (np.abs(products) < INTEGER_MAX).all():
        return None
    same = products / power == values
    if not same.all() or np.signbit(values[products == 0]).any():
        return None
    return products.astype(np.int64)


def _is_smaller(integers: npt.NDArray[np.int64]) -> bool:
    """Whether differences of neighbours take fewer bits than the numbers of a dictionary would."""
    steps = np.diff(integers)
    whole = steps[: len(steps) // _MINIBLOCK * _MINIBLOCK].reshape(-1, _MINIBLOCK)
    if not len(whole):
        return True
    bits_of_step = np.log2(whole.max(axis=1) - whole.min(axis=1) + 1.0).mean()
    return bool(bits_of_step <= np.log2(len(np.unique(integers))))
