"""The last row of each series of a block, kept in memory: what last-point queries want of blocks.

`table.py` owns one `Tails`, `scan.py` asks it, on any thread. A block never changes, so neither does its tail; to read
it takes a pass over the block, to keep it a row for each series.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from headwater.files import Files
from headwater.model.record import Int64s
from headwater.model.table import Columns
from headwater.sealing import Vault
from headwater.storage.block import BlockReader
from headwater.storage.chunk import Chunk, Mask
from headwater.storage.live import LiveBlock, Rows
from headwater.storage.series import SeriesIndex

SERIES_MAX = 20_000
"""Of a block with more series the engine reads what it needs."""

BYTES_MAX = 32 * 1024 * 1024
"""For the tails of one table."""


@dataclass(frozen=True, slots=True)
class Tail:
    """`positions` are where the rows of `chunk` stand in the block, ascending."""

    chunk: Chunk
    positions: Int64s

    def mask(self, deleted: Rows) -> Mask | None:
        """Which rows are among these replaced ones; None if none is."""
        gone: Mask = np.isin(self.positions, deleted)
        return gone if gone.any() else None


class Tails:
    """The tails used last, as far as they fit."""

    def __init__(self, files: Files, vault: Vault, series: SeriesIndex, columns: Callable[[], Columns]) -> None:
        """`columns` gives the table's present ones, which are those of all its blocks."""
        self._files = files
        self._vault = vault
        self._series = series
        self._columns = columns
        self._kept: OrderedDict[str, Tail | None] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, live: LiveBlock) -> Tail | None:
        """The tail of a block, None if it has too many series. Raises Corrupt, KeyUnusable, Unavailable."""
        with self._lock:
            if live.block.id in self._kept:
                self._kept.move_to_end(live.block.id)
                return self._kept[live.block.id]
        tail = self._read(live)
        with self._lock:
            self._kept[live.block.id] = tail
            while sum(kept.chunk.bytes for kept in self._kept.values() if kept is not None) > BYTES_MAX:
                self._kept.popitem(last=False)
        return tail

    def forget(self, block_ids: list[str]) -> None:
        """These blocks are live no more."""
        with self._lock:
            for block_id in block_ids:
                self._kept.pop(block_id, None)

    def _read(self, live: LiveBlock) -> Tail | None:
        with closing(BlockReader(self._files, self._vault, live.path)) as reader:
            directory = reader.directory
            if len(directory) > SERIES_MAX:
                return None
            positions = np.array([entry.first_row + entry.rows - 1 for entry in directory], np.int64)
            ordinals = self._series.of_ids(np.array([entry.file_id for entry in directory], np.int64))
            columns = {
                column.name: _taken(reader, column.physical, positions)
                for column in self._columns().measures
                if column.physical in live.block.physical
            }
            time_ns = np.array([entry.end_ns for entry in directory], np.int64)
            # Nobody asks a scan for versions.
            return Tail(Chunk(ordinals, time_ns, np.ones(len(positions), np.int64), columns), positions)


def _taken(reader: BlockReader, physical: str, positions: Int64s) -> pa.Array:
    """One column at ascending positions."""
    groups = reader.groups_of(positions)
    parts = [
        reader.column(group, physical).take(pa.array(positions[groups == group] - reader.group_start(group)))
        for group in np.unique(groups).tolist()
    ]
    whole = pa.concat_arrays(parts)
    return whole.dictionary_decode() if pa.types.is_dictionary(whole.type) else whole
