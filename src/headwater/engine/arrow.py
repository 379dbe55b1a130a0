"""What a function written in Python is to the engine. The other files of this room that hold functions say which."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from inspect import Parameter, Signature
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headwater.engine.pace import RUN_VARIABLE, Pace, check
from headwater.errors import Invalid, QueryFailed

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


SLICE_BYTES = 256 * 1024
"""So much of the arguments is made into Python's values at a time: other threads have to wait for that."""

SLICE_ITEMS = 64 * 1024
"""So many characters or elements are made into a part of the result at a time, for the same reason."""

LONG_CHARACTERS = 4_096
REST_S = 0.02
"""Behind a value of such a text, or of so many elements, a function rests as long as that took, at most so long: what
Python's libraries do with it, no other thread can interrupt, and a write needs the interpreter a dozen times."""

_turn = threading.Lock()
"""Held by the function that works: several at once would be no faster, but a write would wait for each."""

MADE_BYTES = 256 * 1024 * 1024
"""What one function may make of one batch. The engine does not count memory that is not its own (ours)."""

TEXT_CHARACTERS = 65_536
"""The longest text that a function in Python is given: the engine copies a batch of them at once (ours)."""


@dataclass(frozen=True, slots=True)
class ArrowFunction:
    """One function: its name, the engine's types of its arguments and result, and what computes whole columns."""

    name: str
    arguments: tuple[str, ...]
    result: str
    compute: Callable[..., pa.Array]

    @property
    def own_name(self) -> str:
        """What the engine calls it by, with the number of the run first. Statements say `name`, which is a macro."""
        return f"own_{self.name}"

    def macro(self) -> str:
        """The statement that makes `name` known."""
        names = [f"a{place}" for place in range(len(self.arguments))]
        # Cut without a condition, which would have the argument evaluated twice; what was cut is refused later.
        given = [
            f"substr({name}, 1, {TEXT_CHARACTERS + 1})" if kind == "VARCHAR" else name
            for name, kind in zip(names, self.arguments, strict=True)
        ]
        call = f"{self.own_name}(getvariable('{RUN_VARIABLE}'), {', '.join(given)})"
        return f"CREATE MACRO {self.name}({', '.join(names)}) AS {call}"

    def paced(self, pace: Pace) -> Callable[..., pa.Array]:
        """`compute` with the number of the run as its first column."""

        def compute(numbers: Any, *columns: Any) -> pa.Array:
            with pace.working_for(numbers[0].as_py() if len(numbers) else None):
                check()
                return self.compute(*columns)

        # The engine counts the parameters.
        parameters = [Parameter(f"column_{n}", Parameter.POSITIONAL_ONLY) for n in range(len(self.arguments) + 1)]
        vars(compute)["__signature__"] = Signature(parameters)
        return compute


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
        made = _Made(kind)
        for rows in _slices([whole(column) for column in columns]):
            with _turn:
                for row in rows:
                    made.add(_once(known, function, row))
        return made.array()

    return ArrowFunction(name, arguments, result, compute)


def _rest(started_s: float) -> None:
    """Leave the interpreter to others as long as what began then has kept it."""
    time.sleep(min(time.perf_counter() - started_s, REST_S))


class _Made:
    """The values of a result on their way into an array, not too many of them at a time."""

    def __init__(self, kind: pa.DataType) -> None:
        self._kind = kind
        self._values: list[Any] = []
        self._weight = 0
        self._arrays: list[pa.Array] = []
        self._bytes = 0

    def add(self, value: Any) -> None:
        """Raises QueryFailed when they need more memory than one function may have."""
        self._values.append(value)
        self._weight += len(value) if isinstance(value, str | list) else 1
        if self._weight > SLICE_ITEMS:
            self._convert()

    def array(self) -> pa.Array:
        self._convert()
        return pa.concat_arrays(self._arrays)

    def _convert(self) -> None:
        check()
        started_s = time.perf_counter()
        self._arrays.append(pa.array(self._values, type=self._kind))
        if self._weight > LONG_CHARACTERS:
            _rest(started_s)
        self._bytes += self._arrays[-1].nbytes
        self._values, self._weight = [], 0
        if self._bytes > MADE_BYTES:
            raise QueryFailed("Query exceeded the memory limit of the server")


def _slices(columns: list[pa.Array]) -> Iterator[Iterator[tuple[Any, ...]]]:
    """The rows of the columns as Python's values, not too many at a time."""
    count = len(columns[0])
    step = max(1, count * SLICE_BYTES // max(1, sum(column.nbytes for column in columns)))
    for start in range(0, count, step):
        yield zip(*(column.slice(start, step).to_pylist() for column in columns), strict=True)


def _once(known: dict[tuple[Any, ...], Any], function: Callable[..., Any], row: tuple[Any, ...]) -> Any:
    """The function's value for one row's arguments, which may be known already."""
    given = tuple(tuple(one) if isinstance(one, list) else one for one in row)
    # 0.0 and -0.0 are equal, but not to a function; their texts differ.
    key = tuple(repr(one) if one == 0 else one for one in given)
    if key not in known:
        check()
        started_s = time.perf_counter()
        size = max((len(one) for one in given if isinstance(one, str)), default=0)
        if size > TEXT_CHARACTERS:
            raise QueryFailed(f"A text of more than {TEXT_CHARACTERS} characters is too long for this function")
        known[key] = None if None in given else _failing(function, given)
        if size > LONG_CHARACTERS:
            _rest(started_s)
    return known[key]


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
