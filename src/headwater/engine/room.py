"""What a statement's functions may make at once. Called by lowered statements (sql/functions/limits.py).

The engine computes an expression for a vector of rows at a time, a lambda's body for all elements of the vector's
arrays, and counts none of that as its memory. So where a value may be large the statement tells beforehand how large,
and is refused when the values of one vector would take too much. It never sees the values themselves.
"""

from __future__ import annotations

import threading

import pyarrow as pa
import pyarrow.compute as pc

from headwater.engine.arrow import ArrowFunction, whole
from headwater.errors import QueryFailed

ROOM_BYTES = 256 * 1024 * 1024
"""What a function may make of a vector of rows, and the bodies of a lambda of all that vector's elements (ours)."""


class _Lambdas(threading.local):
    """What the bodies of lambdas have made of the vector that this thread works on, by how deep a lambda stands."""

    def __init__(self) -> None:
        self.made: dict[int, int] = {}


_lambdas = _Lambdas()


def _fits(bytes_: pa.Array) -> pa.Array:
    """True for each row. Raises QueryFailed if all rows together need more room than there is."""
    return _allowed(_sum(bytes_), len(bytes_))


def _begins(depths: pa.Array, rows: pa.Array) -> pa.Array:
    """A lambda so deep begins with a vector; true for each row."""
    for depth in whole(depths).unique().to_pylist():
        _lambdas.made[depth] = 0
    return pa.repeat(pa.scalar(True), len(rows))


def _fits_in_lambda(depths: pa.Array, bytes_: pa.Array) -> pa.Array:
    """True for each element, as long as all that were made since the lambda began fit. Raises QueryFailed."""
    depth = depths[0].as_py() if len(depths) else 0
    _lambdas.made[depth] = _lambdas.made.get(depth, 0) + _sum(bytes_)
    return _allowed(_lambdas.made[depth], len(bytes_))


def _sum(bytes_: pa.Array) -> int:
    # Of doubles, because sizes that are refused may be of any magnitude.
    return int(pc.sum(bytes_.cast(pa.float64())).as_py() or 0)


def _allowed(made_bytes: int, rows: int) -> pa.Array:
    if made_bytes > ROOM_BYTES:
        raise QueryFailed("Query exceeded the memory limit of the server")
    return pa.repeat(pa.scalar(True), rows)


ROOM_FUNCTIONS = (
    ArrowFunction("arrow_fits", ("BIGINT",), "BOOLEAN", _fits),
    ArrowFunction("arrow_lambda_begins", ("INTEGER", "BIGINT"), "BOOLEAN", _begins),
    ArrowFunction("arrow_lambda_fits", ("INTEGER", "BIGINT"), "BOOLEAN", _fits_in_lambda),
)
