"""Chunks: immutable sets of rows in memory, as Arrow columns beside the ordinals of their series.

A write makes a small chunk; small chunks become larger ones as they gather (`merged`). The only thing about
a chunk that ever changes is which of its rows were replaced, and that mask is swapped whole, never edited,
so whoever took a `Rows` of it keeps what it took.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headwater.model.record import Int64s, RecordColumns
from headwater.model.table import MeasureType
from headwater.storage.series import Ordinals

Mask = npt.NDArray[np.bool_]

ARROW_TYPES = {
    MeasureType.DOUBLE: pa.float64(),
    MeasureType.BIGINT: pa.int64(),
    MeasureType.BOOLEAN: pa.bool_(),
    MeasureType.VARCHAR: pa.string(),
    MeasureType.TIMESTAMP: pa.int64(),
}


class Moved(NamedTuple):
    """Where a chunk's rows went when it was flushed: for each row its block (a place in `block_ids`) and position."""

    block_ids: tuple[str, ...]
    block_index: npt.NDArray[np.int32]
    position: Int64s

    def of(self, row: int) -> tuple[str, int]:
        return self.block_ids[self.block_index[row]], int(self.position[row])


@dataclass(eq=False, slots=True)
class Chunk:
    """Rows of one table in order of arrival. `columns` are the measures by name; a row lacking one holds null."""

    ordinals: Ordinals
    time_ns: Int64s
    version: Int64s
    columns: dict[str, pa.Array]
    deleted: Mask | None = None
    moved: Moved | None = None
    start_ns: int = field(init=False)
    end_ns: int = field(init=False)
    bytes: int = field(init=False)
    _order: npt.NDArray[np.intp] | None = None
    _keys: npt.NDArray[np.uint64] | None = None

    def __post_init__(self) -> None:
        self.start_ns = int(self.time_ns.min())
        self.end_ns = int(self.time_ns.max())
        self.bytes = 20 * len(self) + sum(int(column.nbytes) for column in self.columns.values())

    def __len__(self) -> int:
        return len(self.time_ns)

    @classmethod
    def of(cls, records: RecordColumns, ordinals: Ordinals) -> Chunk:
        columns = {
            name: pa.array(values, ARROW_TYPES[measure_type])
            for (name, measure_type), values in zip(records.layout.columns, records.values, strict=True)
        }
        return cls(ordinals, records.time_ns, records.version, columns)

    def take(self, rows: Sequence[int] | npt.NDArray[np.intp]) -> Chunk:
        """A chunk of only these rows, in this order."""
        indices = np.asarray(rows)
        columns = {name: column.take(pa.array(indices)) for name, column in self.columns.items()}
        return Chunk(self.ordinals[indices], self.time_ns[indices], self.version[indices], columns)

    def values(self, row: int) -> dict[str, object]:
        """The measures of one row, nulls left out; doubles as texts of their bits, so that equal means identical."""
        found = {name: column[row].as_py() for name, column in self.columns.items()}
        return {name: comparable(value) for name, value in found.items() if value is not None}

    def delete(self, rows: Sequence[int]) -> None:
        """Hide rows that were replaced. Swaps the mask: earlier readers keep theirs."""
        deleted = np.zeros(len(self), np.bool_) if self.deleted is None else self.deleted.copy()
        deleted[list(rows)] = True
        self.deleted = deleted

    def find(self, ordinals: Ordinals, time_ns: Int64s) -> Int64s:
        """For each (series, time) the row that holds it and was not replaced, or -1."""
        found = np.full(len(time_ns), -1, np.int64)
        if self._keys is None:
            keys = identity_keys(self.ordinals, self.time_ns)
            self._order = np.argsort(keys, kind="stable")
            self._keys = keys[self._order]
        assert self._order is not None
        wanted = identity_keys(ordinals, time_ns)
        for i, place in enumerate(np.searchsorted(self._keys, wanted)):
            while place < len(self._keys) and self._keys[place] == wanted[i]:
                row = self._order[place]
                alive = self.deleted is None or not self.deleted[row]
                if alive and self.ordinals[row] == ordinals[i] and self.time_ns[row] == time_ns[i]:
                    found[i] = row
                    break
                place += 1
        return found


def identity_keys(ordinals: Ordinals, time_ns: Int64s) -> npt.NDArray[np.uint64]:
    """One 64-bit number per (series, time): equal for equal pairs, seldom equal for others."""
    mixed = time_ns.view(np.uint64) ^ (ordinals.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    mixed ^= mixed >> np.uint64(31)
    return mixed * np.uint64(0xBF58476D1CE4E5B9)


def comparable(value: object) -> object:
    """Doubles are equal when their bits are: -0.0 is not 0.0. Everything else is compared as it is."""
    return value.hex() if isinstance(value, float) else value


def merged(chunks: Sequence[Chunk]) -> Chunk | None:
    """One chunk with the live rows of several, in their order; None when no row is alive."""
    live = [c if c.deleted is None else c.take(np.flatnonzero(~c.deleted)) for c in chunks if _is_alive(c)]
    if len(live) <= 1:
        return live[0] if live else None
    types = {name: column.type for c in live for name, column in c.columns.items()}
    columns = {
        name: pa.concat_arrays([c.columns[name] if name in c.columns else pa.nulls(len(c), kind) for c in live])
        for name, kind in types.items()
    }
    return Chunk(
        np.concatenate([c.ordinals for c in live]),
        np.concatenate([c.time_ns for c in live]),
        np.concatenate([c.version for c in live]),
        columns,
    )


def _is_alive(chunk: Chunk) -> bool:
    return chunk.deleted is None or not chunk.deleted.all()
