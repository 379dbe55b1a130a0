"""Chunks: immutable sets of rows in memory, as Arrow columns beside the ordinals of their series.

A write makes a small chunk; small chunks become larger ones as they gather (`merged`). The only thing about
a chunk that ever changes is which of its rows were replaced, and that mask is swapped whole, never edited,
so whoever took a `Rows` of it keeps what it took.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headwater.model.record import Int64s
from headwater.model.table import MeasureType
from headwater.storage.admitted import Admitted, identity_keys
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
    """Where a chunk's rows went when it was flushed: for each row its block (a place in `block_ids`) and position,
    -1 for a row that went nowhere.
    """

    block_ids: tuple[str, ...]
    block_index: npt.NDArray[np.int32]
    position: Int64s

    def of(self, rows: Int64s) -> Iterator[tuple[str, Int64s]]:
        """The blocks that have some of these rows, each with their positions in it."""
        rows = rows[self.position[rows] >= 0]
        for place in np.unique(self.block_index[rows]).tolist():
            yield self.block_ids[place], self.position[rows[self.block_index[rows] == place]]


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
    first_ordinal: int = field(init=False)
    last_ordinal: int = field(init=False)
    bytes: int = field(init=False)
    _order: npt.NDArray[np.intp] | None = None
    _keys: npt.NDArray[np.uint64] | None = None

    def __post_init__(self) -> None:
        self.start_ns = int(self.time_ns.min())
        self.end_ns = int(self.time_ns.max())
        self.first_ordinal = int(self.ordinals.min())
        self.last_ordinal = int(self.ordinals.max())
        self.bytes = 20 * len(self) + sum(int(column.nbytes) for column in self.columns.values())

    def __len__(self) -> int:
        return len(self.time_ns)

    @classmethod
    def of(cls, batch: Admitted) -> Chunk:
        columns = {
            name: pa.array(values, ARROW_TYPES[measure_type])
            for (name, measure_type), values in zip(batch.layout.columns, batch.values, strict=True)
        }
        return cls(batch.ordinals, batch.time_ns, batch.version, columns)

    def take(self, rows: Sequence[int] | npt.NDArray[np.intp]) -> Chunk:
        """A chunk of only these rows, in this order."""
        indices = np.asarray(rows)
        columns = {name: column.take(pa.array(indices)) for name, column in self.columns.items()}
        return Chunk(self.ordinals[indices], self.time_ns[indices], self.version[indices], columns)

    def taken(self, name: str, rows: Int64s) -> pa.Array | None:
        """The values of one measure at some rows; None when no row has it."""
        column = self.columns.get(name)
        return None if column is None else column.take(pa.array(rows))

    def delete(self, rows: Int64s) -> None:
        """Hide rows that were replaced. Swaps the mask: earlier readers keep theirs."""
        deleted = np.zeros(len(self), np.bool_) if self.deleted is None else self.deleted.copy()
        deleted[rows] = True
        self.deleted = deleted

    def find(self, keys: npt.NDArray[np.uint64], ordinals: Ordinals, time_ns: Int64s) -> Int64s | None:
        """For each (series, time) the row that holds it and was not replaced, or -1; None when it is -1 for all.

        `keys` are their `identity_keys`.
        """
        if self._keys is None:
            own = identity_keys(self.ordinals, self.time_ns)
            self._order = np.argsort(own, kind="stable")
            # One more at the end, so that there is a key wherever a search stops.
            self._keys = np.append(own[self._order], ~np.uint64(0))
        assert self._order is not None
        places = self._keys.searchsorted(keys)
        hits = (self._keys[places] == keys).nonzero()[0]
        if not len(hits):
            return None
        found = np.full(len(keys), -1, np.int64)
        for hit in hits.tolist():
            end = int(self._keys.searchsorted(keys[hit], "right"))
            for row in self._order[places[hit] : end].tolist():
                is_live = self.deleted is None or not self.deleted[row]
                if is_live and self.ordinals[row] == ordinals[hit] and self.time_ns[row] == time_ns[hit]:
                    found[hit] = row
                    break
        return found


def merged(chunks: Sequence[Chunk]) -> Chunk | None:
    """One chunk with the live rows of several, in their order; None when no row is alive."""
    live = [c if c.deleted is None else c.take(np.flatnonzero(~c.deleted)) for c in chunks if _is_alive(c)]
    return concatenated(live) if live else None


def concatenated(chunks: Sequence[Chunk]) -> Chunk:
    """All rows of at least one chunk, replaced ones too; a single one as it is."""
    if len(chunks) == 1:
        return chunks[0]
    types = {name: column.type for c in chunks for name, column in c.columns.items()}
    columns = {
        name: pa.concat_arrays([c.columns[name] if name in c.columns else pa.nulls(len(c), kind) for c in chunks])
        for name, kind in types.items()
    }
    return Chunk(
        np.concatenate([c.ordinals for c in chunks]),
        np.concatenate([c.time_ns for c in chunks]),
        np.concatenate([c.version for c in chunks]),
        columns,
    )


def _is_alive(chunk: Chunk) -> bool:
    return chunk.deleted is None or not chunk.deleted.all()
