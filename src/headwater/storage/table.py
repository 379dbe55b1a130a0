"""One table's records: its series, its memtable, its live blocks, and the version check over all of them.

The commit thread stages a group of writes (nothing visible yet), the log makes them durable, then `publish`
makes them visible. Queries take a `Snapshot`. A flush freezes the memtable and comes back with blocks. One
lock guards what these three share; it is held for tuples and masks, never for I/O.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from headwater.errors import Corrupt, Fault, NotFound
from headwater.files import Files
from headwater.model.block import Block, ManifestChange, TableManifest
from headwater.model.limits import Limits
from headwater.model.record import Conflict, LowerVersion, RecordColumns, SameVersion
from headwater.model.table import Columns, TableId
from headwater.storage.admission import Admission
from headwater.storage.block import BlockReader
from headwater.storage.chunk import Chunk, Mask, comparable, identity_keys
from headwater.storage.flush import Flushed, Frozen
from headwater.storage.memtable import Memtable
from headwater.storage.series import Ordinals, SeriesIndex

_OPEN_READERS = 16


@dataclass(eq=False, slots=True)
class LiveBlock:
    """A block of the manifest and the positions of its replaced rows, ascending; the array is swapped, not edited."""

    block: Block
    path: Path
    deleted: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    is_dirty: bool = False
    """`deleted` has rows that the manifest does not know."""

    def delete(self, rows: Sequence[int]) -> None:
        self.deleted = np.union1d(self.deleted, np.asarray(rows, np.int64))
        self.is_dirty = True


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One state of a table: chunks with their masks, blocks with their replaced rows."""

    columns: Columns
    chunks: tuple[tuple[Chunk, Mask | None], ...]
    blocks: tuple[tuple[LiveBlock, npt.NDArray[np.int64]], ...]
    release: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Staged:
    """What became of one write: records for the log, and those refused."""

    records: list[RecordColumns]
    conflicts: list[Conflict]


class TableStore:
    """See the module. `columns` are the published ones."""

    def __init__(self, table: TableId, files: Files, directory: Path, manifest: TableManifest, limits: Limits) -> None:
        """Reads the series directories of all live blocks. Raises Corrupt if one cannot be read."""
        self.id = table
        self.directory = directory
        self.columns = manifest.columns
        self.checkpoint = manifest.checkpoint
        self.series = SeriesIndex()
        self.memtable = Memtable()
        self.is_dropped = False
        self.unnamed: tuple[Frozen, Flushed] | None = None
        """A flush whose blocks are written and whose commit has not succeeded yet. Only flushes look at it."""
        self._files = files
        self._lock = threading.Lock()
        self._admission = Admission(manifest.columns, self.series, limits)
        self._staged_chunks: list[Chunk] = []
        self._staged_deletes: list[tuple[Chunk | LiveBlock, int]] = []
        self._readers: OrderedDict[str, BlockReader] = OrderedDict()
        self._readers_of: Counter[str] = Counter()
        self._retired: dict[str, Path] = {}
        self._blocks: dict[str, LiveBlock] = {}
        for block in manifest.blocks:
            live = LiveBlock(block, self.block_path(block.id))
            live.deleted = np.asarray(manifest.deleted_rows.get(block.id, []), np.int64)
            self._check_size(live)
            self._blocks[block.id] = live
            self._know_series(live)

    def block_path(self, block_id: str) -> Path:
        return self.directory / f"{block_id}.parquet"

    # Writing: the commit thread only.

    def stage(self, batches: Sequence[RecordColumns]) -> Staged:
        """Check one request against everything stored or staged. Nothing is visible before `publish`.

        Records whose identity, version and values are stored already are accepted and left out of `records`.
        Conflicts come in order of index. Raises Corrupt for a bad block, NotFound if the table is dropped meanwhile.
        """
        conflicts: list[Conflict] = []
        admitted = [self._admission.admit(records, conflicts) for records in batches]
        staged = Staged([], conflicts)
        chunks, deletes = len(self._staged_chunks), len(self._staged_deletes)
        try:
            for records, ordinals in _in_order(admitted):
                if len(records):
                    self._stage(records, ordinals, staged)
        except Fault:
            # What is not answered with success must not become visible with the rest of the group.
            del self._staged_chunks[chunks:], self._staged_deletes[deletes:]
            if self.is_dropped:
                # Its blocks were removed under our hands.
                raise NotFound("table", self.id) from None
            raise
        conflicts.sort(key=lambda conflict: conflict.index)
        return staged

    def publish(self, sequence: int, now_s: float) -> None:
        """Make all staged records visible, and hide those they replace; the log holds them under `sequence`."""
        with self._lock:
            if not self.is_dropped:
                for target, row in self._staged_deletes:
                    self._delete(target, row)
                self.memtable.publish(self._staged_chunks, sequence, now_s)
                self.columns = self._admission.columns
        self._staged_chunks, self._staged_deletes = [], []

    def _delete(self, target: Chunk | LiveBlock, row: int) -> None:
        """Hide one row; one that a flush has moved since it was staged is hidden where it is now."""
        if isinstance(target, Chunk) and target.moved is not None:
            block_id, position = target.moved.of(row)
            self._blocks[block_id].delete([position])
        else:
            target.delete([row])

    def _stage(self, records: RecordColumns, ordinals: Ordinals, staged: Staged) -> None:
        times = records.time_ns
        series = self.series
        is_known = (times <= series.last_time.view[ordinals]) & (times >= series.first_time.view[ordinals])
        if is_known.any():
            keep = self._resolve(records, ordinals, np.flatnonzero(is_known), staged.conflicts)
            if not keep.all():
                rows = np.flatnonzero(keep)
                records, ordinals = records.take(rows), ordinals[rows]
                if not len(rows):
                    return
        self._staged_chunks.append(Chunk.of(records, ordinals))
        series.widen(ordinals, records.time_ns)
        staged.records.append(records)

    def _resolve(
        self, records: RecordColumns, ordinals: Ordinals, rows: npt.NDArray[np.intp], conflicts: list[Conflict]
    ) -> Mask:
        """Decide the rows that may meet a stored record; the answer says which rows of all to store.

        The rules are write-api.md 6.6, in the order of its table.
        """
        keep = np.ones(len(records), np.bool_)
        for row, (target, place) in self._locate(ordinals, records.time_ns, rows).items():
            version = int(records.version[row])
            if isinstance(target, Chunk):
                stored_version = int(target.version[place])
            else:
                stored_version = self._reader(target).version(place)
            if version > stored_version:
                self._staged_deletes.append((target, place))
                continue
            keep[row] = False
            index = int(records.index[row])
            if version < stored_version:
                conflicts.append(Conflict(index, LowerVersion(version, stored_version)))
            elif self._stored_values(target, place) != _comparable(records.row(row)):
                conflicts.append(Conflict(index, SameVersion()))
        return keep

    def _locate(
        self, ordinals: Ordinals, time_ns: npt.NDArray[np.int64], rows: npt.NDArray[np.intp]
    ) -> dict[int, tuple[Chunk | LiveBlock, int]]:
        """Where the stored record with the identity of each of these rows is, newest place first."""
        found: dict[int, tuple[Chunk | LiveBlock, int]] = {}
        with self._lock:
            published, blocks = self.memtable.chunks, tuple(self._blocks.values())
        for chunk in (*reversed(self._staged_chunks), *reversed(published)):
            if not len(rows):
                return found
            places = chunk.find(ordinals[rows], time_ns[rows])
            hits = np.flatnonzero(places >= 0)
            for hit in hits:
                found[int(rows[hit])] = (chunk, int(places[hit]))
            rows = np.delete(rows, hits)
        for row in rows:
            time, file_id = int(time_ns[row]), int(self.series.ids.view[ordinals[row]])
            for live in blocks:
                if live.block.start_ns <= time <= live.block.end_ns:
                    place = self._reader(live).find(file_id, time)
                    if place is not None and not _contains(live.deleted, place):
                        found[int(row)] = (live, place)
                        break
        return found

    def _stored_values(self, target: Chunk | LiveBlock, place: int) -> dict[str, object]:
        if isinstance(target, Chunk):
            return target.values(place)
        names = {column.name: column.physical for column in self._admission.columns.measures}
        return _comparable(self._reader(target).values(place, names))

    # Reading: any thread.

    def snapshot(self) -> Snapshot:
        """The published state. The blocks in it stay on disk until `release` is called."""
        with self._lock:
            chunks = tuple((chunk, chunk.deleted) for chunk in self.memtable.chunks)
            blocks = tuple((live, live.deleted) for live in self._blocks.values())
            columns = self.columns
            self._readers_of.update(live.block.id for live, _ in blocks)
        held = [live.block.id for live, _ in blocks]
        return Snapshot(columns, chunks, blocks, lambda: self._release(held))

    def _release(self, held: list[str]) -> None:
        with self._lock:
            self._readers_of.subtract(held)
            held.clear()
            unused = [block_id for block_id in self._retired if not self._readers_of[block_id]]
            paths = [self._retired.pop(block_id) for block_id in unused]
            for block_id in unused:
                del self._readers_of[block_id]
        for path in paths:
            # No manifest names it: what cannot be removed now is removed at the next start.
            with suppress(OSError):
                self._files.remove(path, site="block.remove")

    # Flushing: one flush at a time; see flush.py for what happens between these.

    def freeze(self) -> Frozen | None:
        """Set the published records apart for a flush; None when there are none."""
        with self._lock:
            if not self.memtable.active or self.is_dropped:
                return None
            chunks = self.memtable.freeze()
            return Frozen(tuple((c, c.deleted) for c in chunks), self.memtable.last_sequence, self.columns)

    def thaw(self) -> None:
        """The blocks could not be written: the records are as before."""
        with self._lock:
            self.memtable.thaw()

    def change(self, frozen: Frozen, flushed: Flushed) -> ManifestChange:
        """What the manifest must be told: the new blocks, and every replaced row of the older ones.

        A commit that fails may have reached the disk all the same, and a crash would show it. So the blocks are kept,
        as `unnamed`, and the next flush commits these again instead of writing others.
        """
        with self._lock:
            self.unnamed = frozen, flushed
            deleted = {live.block.id: live.deleted.tolist() for live in self._blocks.values() if live.is_dirty}
        return ManifestChange(self.id, frozen.columns, frozen.last_sequence, flushed.blocks, (), deleted)

    def adopt(self, frozen: Frozen, flushed: Flushed, change: ManifestChange) -> None:
        """The manifest names the blocks: from now on readers find the frozen records there and not in memory."""
        known = change.deleted_rows or {}
        with self._lock:
            for live in self._blocks.values():
                live.is_dirty = live.is_dirty and len(known.get(live.block.id, ())) != len(live.deleted)
            for block in flushed.blocks:
                self._blocks[block.id] = LiveBlock(block, self.block_path(block.id))
            for (chunk, mask), moved in zip(frozen.chunks, flushed.moved, strict=True):
                chunk.moved = moved
                if chunk.deleted is not None:
                    # Rows replaced while the blocks were being written are in them: hide them there.
                    late = chunk.deleted if mask is None else chunk.deleted & ~mask
                    for row in np.flatnonzero(late):
                        self._delete(chunk, int(row))
            self.memtable.forget_frozen()
            self.unnamed = None
            self.checkpoint = change.checkpoint

    def drop(self) -> None:
        """Forget everything. Files go when the last reader leaves."""
        with self._lock:
            self.is_dropped = True
            self._retired |= {block_id: live.path for block_id, live in self._blocks.items()}
            if self.unnamed is not None:
                self._retired |= {block.id: self.block_path(block.id) for block in self.unnamed[1].blocks}
            self._blocks, self.unnamed = {}, None
            self.memtable = Memtable()
        self._release([])

    def unflushed_from(self) -> int:
        with self._lock:
            return self.memtable.unflushed_from

    def _check_size(self, live: LiveBlock) -> None:
        name, recorded = live.path.name, live.block.bytes
        try:
            size = self._files.size(live.path, site="table.block_size")
        except FileNotFoundError as error:
            raise Corrupt(f"block {name} of table {self.id} is missing") from error
        except OSError as error:
            raise Corrupt(f"block {name} of table {self.id}: {error}") from error
        if size != recorded:
            raise Corrupt(f"block {name} of table {self.id} has {size} bytes, the manifest says {recorded}")

    def _know_series(self, live: LiveBlock) -> None:
        with closing(BlockReader(self._files, live.path)) as reader:
            directory = reader.directory
        for entry in directory:
            series = entry.series
            ordinal = self.series.find(series)
            if ordinal is None:
                ordinal = self.series.register(series, entry.file_id)
            times = np.array([entry.start_ns, entry.end_ns])
            self.series.widen(np.array([ordinal, ordinal], np.int32), times)
            for data_type in entry.measure_types:
                self.series.note_measure(ordinal, data_type)

    def _reader(self, live: LiveBlock) -> BlockReader:
        """A reader kept for the version check: the commit thread's, and before it runs the replaying thread's."""
        block_id = live.block.id
        reader = self._readers.get(block_id)
        if reader is None:
            reader = self._readers[block_id] = BlockReader(self._files, live.path)
            if len(self._readers) > _OPEN_READERS:
                self._readers.popitem(last=False)[1].close()
        self._readers.move_to_end(block_id)
        return reader


def _in_order(admitted: list[tuple[RecordColumns, Ordinals]]) -> list[tuple[RecordColumns, Ordinals]]:
    """The batches as they are when all identities differ; else one record at a time, as the request has them."""
    keys = [identity_keys(ordinals, records.time_ns) for records, ordinals in admitted]
    every = keys[0] if len(keys) == 1 else np.concatenate(keys) if keys else np.zeros(0, np.uint64)
    if len(np.unique(every)) == len(every):
        return admitted
    singles = [
        (records.take(np.array([row])), ordinals[row : row + 1])
        for records, ordinals in admitted
        for row in range(len(records))
    ]
    return sorted(singles, key=lambda single: int(single[0].index[0]))


def _comparable(values: dict[str, object]) -> dict[str, object]:
    return {name: comparable(value) for name, value in values.items()}


def _contains(ascending: npt.NDArray[np.int64], value: int) -> bool:
    place = int(np.searchsorted(ascending, value))
    return place < len(ascending) and int(ascending[place]) == value
