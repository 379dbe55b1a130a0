"""Single rows of blocks, for the version check: is this identity there, in which version, with which values.

`staging.py` asks, on the commit thread. A question goes to the rows of one series, by the block's directory; what is
read is one column of one row group, and the last used ones stay decoded, as far as they fit. Late records mostly
come for the same hours, so a hundred of them cost few reads.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headwater.files import Files
from headwater.model.record import Int64s, ValueColumn
from headwater.sealing import Vault
from headwater.storage.block import BlockReader
from headwater.storage.chunk import Mask
from headwater.storage.live import LiveBlock

_OPEN_READERS = 16
_DECODED_MAX_BYTES = 64 * 1024 * 1024


class BlockLookup:
    """Readers and decoded columns of the blocks of one table. One thread."""

    def __init__(self, files: Files, vault: Vault) -> None:
        self._files = files
        self._vault = vault
        self._readers: OrderedDict[str, BlockReader] = OrderedDict()
        self._decoded: OrderedDict[tuple[str, int, str], pa.Array] = OrderedDict()
        self._decoded_bytes = 0

    def find(self, live: LiveBlock, file_ids: Int64s, time_ns: Int64s) -> Int64s:
        """For each (series, time) the row that holds it and was not replaced, or -1. Raises Corrupt."""
        reader, found = self._reader(live), np.full(len(time_ns), -1, np.int64)
        for row, (file_id, time) in enumerate(zip(file_ids.tolist(), time_ns.tolist(), strict=True)):
            entry = reader.entry(file_id)
            if entry is None or not entry.start_ns <= time <= entry.end_ns:
                continue
            first, end = entry.first_row, entry.first_row + entry.rows
            for group in reader.groups(first, end):
                start = reader.group_start(group)
                times = self._column(live, group, "time").to_numpy()[max(first - start, 0) : end - start]
                # Versions of one instant may stand side by side; the newest is the last.
                place = int(np.searchsorted(times, time, "right")) - 1
                if place >= 0 and times[place] == time:
                    found[row] = max(first, start) + place
        if len(live.deleted):
            places = np.minimum(np.searchsorted(live.deleted, found), len(live.deleted) - 1)
            found[live.deleted[places] == found] = -1
        return found

    def versions(self, live: LiveBlock, rows: Int64s) -> Int64s:
        """The versions of rows of a block."""
        taken = self.taken(live, "_version", rows)
        assert taken is not None, "every block has versions"
        versions: Int64s = taken.to_numpy()
        return versions

    def taken(self, live: LiveBlock, physical: str, rows: Int64s) -> pa.Array | None:
        """The values of one column at some rows, instants as int64; None when the block lacks the column."""
        if physical not in live.block.physical:
            return None
        reader = self._reader(live)
        parts = []
        groups = reader.groups_of(rows)
        order = np.argsort(groups, kind="stable")
        for group in np.unique(groups).tolist():
            within = rows[order][groups[order] == group] - reader.group_start(group)
            parts.append(self._column(live, group, physical).take(pa.array(within)))
        back = np.empty(len(rows), np.int64)
        back[order] = np.arange(len(rows))
        return pa.concat_arrays(parts).take(pa.array(back))

    def forget(self, block_ids: Sequence[str]) -> None:
        """These blocks are live no more."""
        for block_id in block_ids:
            reader = self._readers.pop(block_id, None)
            if reader is not None:
                reader.close()
        gone = frozenset(block_ids)
        for key in [key for key in self._decoded if key[0] in gone]:
            self._decoded_bytes -= self._decoded.pop(key).nbytes

    def _column(self, live: LiveBlock, group: int, name: str) -> pa.Array:
        key = live.block.id, group, name
        column = self._decoded.get(key)
        if column is None:
            column = self._decoded[key] = self._reader(live).column(group, name)
            self._decoded_bytes += column.nbytes
            while self._decoded_bytes > _DECODED_MAX_BYTES and len(self._decoded) > 1:
                self._decoded_bytes -= self._decoded.popitem(last=False)[1].nbytes
        else:
            self._decoded.move_to_end(key)
        return column

    def _reader(self, live: LiveBlock) -> BlockReader:
        block_id = live.block.id
        reader = self._readers.get(block_id)
        if reader is None:
            reader = self._readers[block_id] = BlockReader(self._files, self._vault, live.path)
            if len(self._readers) > _OPEN_READERS:
                self._readers.popitem(last=False)[1].close()
        self._readers.move_to_end(block_id)
        return reader


def same_values(stored: pa.Array | None, given: ValueColumn | None) -> Mask:
    """Whether each stored value is the given one, or both are none. Doubles are equal when their bits are."""
    if stored is None:
        return np.array([given is None])
    if given is None:
        nulls: Mask = stored.is_null().to_numpy(zero_copy_only=False)
        return nulls
    valid: Mask = stored.is_valid().to_numpy(zero_copy_only=False)
    if isinstance(given, list):
        same: Mask = pc.fill_null(pc.equal(stored, pa.array(given, pa.string())), False).to_numpy(zero_copy_only=False)
        return valid & same
    filled = pc.fill_null(stored, False if given.dtype == np.bool_ else 0)
    values: npt.NDArray[Any] = filled.to_numpy(zero_copy_only=False)
    if given.dtype == np.float64:
        same = values.astype(np.float64, copy=False).view(np.int64) == given.view(np.int64)
    else:
        same = values == given
    return valid & same
