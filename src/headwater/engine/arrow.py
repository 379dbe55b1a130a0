"""What a function written in Python is to the engine. `series.py` and `texts.py` hold the functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa


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
