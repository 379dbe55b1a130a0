"""One table's records: its series, its memtable and its live blocks.

The commit thread stages a group of writes (`staging.py`), the log makes them durable, then `publish` makes them
visible. Queries take a `Snapshot`. A flush freezes the memtable and comes back with blocks; compaction and retention
swap blocks. One lock guards what these share; it is held for tuples and masks, never for I/O.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog

from headwater.errors import Corrupt, Fault, NotFound
from headwater.files import Files
from headwater.model.block import Block, ManifestChange, TableManifest
from headwater.model.limits import Limits
from headwater.model.record import Conflict, ConflictKind, Int64s, Layout, RecordColumns
from headwater.model.scan import Extent, TimeRange
from headwater.model.table import Columns, TableId
from headwater.model.time import TIME_MIN_NS
from headwater.sealing import Vault
from headwater.storage.admitted import Admitted
from headwater.storage.arrays import Growable
from headwater.storage.block import BlockReader, DirectoryEntry
from headwater.storage.chunk import Chunk, Mask
from headwater.storage.decoded import DecodedBlocks
from headwater.storage.flush import Flushed, Frozen
from headwater.storage.keys import SeriesKeys
from headwater.storage.live import NO_ROWS, LiveBlock, LiveBlocks, Rows, Written, leading_key
from headwater.storage.memtable import Memtable
from headwater.storage.series import DATA_TYPES, Ordinals, SeriesIndex
from headwater.storage.series_file import KnownSeries, read_series_file, write_series_file
from headwater.storage.staging import Staged, Staging
from headwater.storage.tails import Tails

_log = structlog.get_logger("storage")

UNCOVERED_BLOCKS = 64
"""So many blocks that the series file does not cover, and it is written anew: to open one takes some milliseconds."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One state of a table: chunks with their masks, blocks with their replaced rows."""

    columns: Columns
    chunks: tuple[tuple[Chunk, Mask | None], ...]
    blocks: tuple[tuple[LiveBlock, Rows], ...]
    newest_ns: Int64s | None
    """By ordinal, where asked for: the time of the newest record that the series has in this state."""
    release: Callable[[], None]


class TableStore:
    """See the module. `columns` are the published ones; `checkpoint` is the manifest's."""

    def __init__(
        self,
        table: TableId,
        files: Files,
        vault: Vault,
        directory: Path,
        manifest: TableManifest,
        limits: Limits,
        decoded: DecodedBlocks,
    ) -> None:
        """Reads the series file, and the directories of the blocks that it does not cover.

        Raises Corrupt if one of these cannot be read or a block is not as large as it was.
        """
        self.id = table
        self.directory = directory
        self.columns = manifest.columns
        self.checkpoint = manifest.checkpoint
        known = _known_series(files, vault, directory)
        self.series = known.series
        self.memtable = Memtable()
        self.is_dropped = False
        self.unnamed: tuple[Frozen, Flushed] | None = None
        """A flush whose blocks are written and whose commit has not succeeded yet. Only flushes look at it."""
        self._named_columns = manifest.columns
        self._files = files
        self._vault = vault
        self._lock = threading.Lock()
        self._blocks = LiveBlocks()
        self._staging = Staging(files, vault, manifest.columns, self.series, limits, self._stored)
        for block in manifest.blocks:
            self._check_size(block)
            first, last = known.blocks.get(block.id) or self._read_directory(block)
            deleted = np.asarray(manifest.deleted_rows.get(block.id, NO_ROWS), np.int64)
            self._blocks.add(LiveBlock(block, self.block_path(block.id), first, last, deleted))
        self._covered = known.blocks.keys() & {block.id for block in manifest.blocks}
        """Ids of the blocks that the series file covers."""
        self._newest_ns = Growable(np.int64, TIME_MIN_NS, self.series.last_time.view)
        """As the index's last times, of published series and records only."""
        self.decoded = decoded
        self.tails = Tails(files, vault, self.series, lambda: self.columns)

    def block_path(self, block_id: str) -> Path:
        return self.directory / f"{block_id}.parquet"

    # Writing: the commit thread only.

    def stage(self, batches: Sequence[RecordColumns]) -> Staged:
        """Check one request against everything stored or staged. Nothing is visible before `publish`.

        As `Staging.stage`; raises NotFound if the table is dropped meanwhile.
        """
        try:
            return self._staging.stage(batches)
        except Fault:
            if self.is_dropped:
                # Its blocks were removed under our hands.
                raise NotFound("table", self.id) from None
            raise

    def publish(self, sequence: int, now_s: float) -> None:
        """Make all staged records visible, and hide those they replace; the log holds them under `sequence`."""
        self._publish((sequence, sequence), now_s)

    def _publish(self, sequences: tuple[int, int], now_s: float) -> None:
        chunks, replaced = self._staging.take()
        with self._lock:
            if not self.is_dropped:
                for target, rows in replaced:
                    self._delete(target, rows)
                self.memtable.publish(chunks, sequences, now_s)
                self.columns = self._staging.columns
                self._newest_ns.extend_to(len(self.series))
                for chunk in chunks:
                    np.maximum.at(self._newest_ns.view, chunk.ordinals, chunk.time_ns)

    def admit_keys(self, layout: Layout, keys: SeriesKeys) -> Ordinals | ConflictKind:
        """As `Admission.admit_keys`."""
        return self._staging.admit_keys(layout, keys)

    def replay(self, admitted: Sequence[Admitted], sequences: tuple[int, int], now_s: float) -> list[Conflict]:
        """Make records visible that the log holds in the entries between and with these two; the answer is what is
        refused of them, and should be nothing.
        """
        conflicts = self._staging.stage_admitted(admitted, []).conflicts
        self._publish(sequences, now_s)
        return conflicts

    def _delete(self, target: Chunk | LiveBlock, rows: Rows) -> None:
        """Hide rows; those that a flush has moved since they were staged are hidden where they are now."""
        if isinstance(target, Chunk) and target.moved is not None:
            for block_id, positions in target.moved.of(rows):
                self._blocks[block_id].delete(positions)
        else:
            target.delete(rows)

    def _stored(self, days: Iterable[int]) -> tuple[Sequence[Chunk], Sequence[LiveBlock]]:
        with self._lock:
            return self.memtable.chunks, self._blocks.of_days(days)

    # Reading: any thread.

    def extent(self) -> Extent:
        """How much there is now: rows in memory that nothing has replaced, and the live blocks."""
        snapshot = self.snapshot()
        try:
            blocks = [live.block for live, _ in snapshot.blocks]
            rows = sum(len(chunk) - (0 if gone is None else int(gone.sum())) for chunk, gone in snapshot.chunks)
            return Extent(rows, len(blocks), sum(b.rows for b in blocks), sum(b.bytes for b in blocks))
        finally:
            snapshot.release()

    def span(self) -> TimeRange:
        """From the first to the last time of what is stored, replaced records too; empty without any."""
        with self._lock:
            ends = [(chunk.start_ns, chunk.end_ns) for chunk in self.memtable.chunks]
            ends += [(live.block.start_ns, live.block.end_ns) for live in self._blocks.all()]
        if not ends:
            return TimeRange(1, 0)
        return TimeRange(min(start_ns for start_ns, _ in ends), max(end_ns for _, end_ns in ends))

    def snapshot(self, *, with_newest: bool = False) -> Snapshot:
        """The published state. The blocks in it stay on disk until `release` is called."""
        with self._lock:
            newest_ns = self._newest_ns.view.copy() if with_newest else None
            chunks = tuple((chunk, chunk.deleted) for chunk in self.memtable.chunks)
            blocks = tuple((live, live.deleted) for live in self._blocks.all())
            columns = self.columns
            held = self._blocks.hold()
        return Snapshot(columns, chunks, blocks, newest_ns, lambda: self._release(held))

    def _release(self, held: list[str]) -> None:
        with self._lock:
            self._blocks.let_go(held)
            paths = self._blocks.removable()
            is_empty = self.is_dropped and not self._blocks.has_retired
        # No manifest names these: what cannot be removed now is removed at the next start.
        for path in paths:
            with suppress(OSError):
                self._files.remove(path, site="block.remove")
        if is_empty:
            with suppress(OSError):
                self._files.remove_tree(self.directory, site="table.remove")

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

    def flush_change(self, frozen: Frozen, flushed: Flushed) -> ManifestChange:
        """What the manifest must be told: the new blocks, and every replaced row of the older ones.

        A commit that fails may have reached the disk all the same, and a crash would show it. So the blocks are kept,
        as `unnamed`, and the next flush commits these again instead of writing others.
        """
        with self._lock:
            self.unnamed = frozen, flushed
            deleted = {live.block.id: live.deleted.tolist() for live in self._blocks.all() if live.is_dirty}
        added = tuple(written.block for written in flushed.blocks)
        return ManifestChange(self.id, frozen.columns, frozen.last_sequence, added, (), deleted)

    def adopt(self, frozen: Frozen, flushed: Flushed, change: ManifestChange) -> None:
        """The manifest names the blocks: from now on readers find the frozen records there and not in memory."""
        known = change.deleted_rows or {}
        with self._lock:
            for live in self._blocks.all():
                live.is_dirty = live.is_dirty and len(known.get(live.block.id, ())) != len(live.deleted)
            for written in flushed.blocks:
                self._blocks.add(self.live_block(written))
            for (chunk, mask), moved in zip(frozen.chunks, flushed.moved, strict=True):
                chunk.moved = moved
                if chunk.deleted is not None:
                    # Rows replaced while the blocks were being written are in them: hide them there.
                    late = chunk.deleted if mask is None else chunk.deleted & ~mask
                    self._delete(chunk, np.flatnonzero(late))
            self.memtable.forget_frozen()
            self.unnamed = None
            self.checkpoint, self._named_columns = change.checkpoint, change.columns

    def save_series_if_due(self) -> None:
        """Write the series file anew if many blocks have come since. What that fails at is only logged: the blocks
        have it all. Not beside another change of blocks.
        """
        with self._lock:
            blocks = {live.block.id: (live.first, live.last) for live in self._blocks.all()}
            last_time = self._newest_ns.view.copy()
        if self.is_dropped or len(blocks.keys() - self._covered) < UNCOVERED_BLOCKS:
            return
        try:
            write_series_file(self._files, self._vault, self.directory, self.series, last_time, blocks)
            self._covered = set(blocks)
        except (OSError, Fault) as error:
            _log.warning("series file not written", table=self.id, error=str(error))

    # Swapping blocks: by compaction and retention, one at a time and not beside the commit of a flush.

    def blocks(self) -> tuple[tuple[LiveBlock, Rows], ...]:
        """All live blocks, each with its replaced rows at this moment."""
        with self._lock:
            return tuple((live, live.deleted) for live in self._blocks.all())

    def dimension_of(self, block: Block) -> str | None:
        """The dimension that a block is sorted by, None for the measure name."""
        return next((c.name for c in self.columns.dimensions if c.physical == block.sorted_by), None)

    def live_block(self, written: Written, deleted: Rows = NO_ROWS) -> LiveBlock:
        path = self.block_path(written.block.id)
        return LiveBlock(written.block, path, written.first, written.last, deleted)

    def swap_change(self, removed: Sequence[LiveBlock], added: Sequence[LiveBlock]) -> ManifestChange:
        """What the manifest must be told so that some blocks stand in the place of others."""
        deleted = {live.block.id: live.deleted.tolist() for live in added if len(live.deleted)}
        blocks, gone = tuple(live.block for live in added), tuple(live.block.id for live in removed)
        return ManifestChange(self.id, self._named_columns, self.checkpoint, blocks, gone, deleted)

    def swap(self, removed: Sequence[LiveBlock], added: Sequence[LiveBlock]) -> None:
        """The manifest says so: snapshots from now on hold `added`. Nothing may be staged meanwhile.

        The files of `removed` go when their last reader leaves.
        """
        ids = [live.block.id for live in removed]
        self._staging.forget(ids)
        self.tails.forget(ids)
        self.decoded.forget(ids)
        with self._lock:
            self._blocks.retire(ids)
            for live in added:
                self._blocks.add(live)
        self._release([])

    def drop(self) -> None:
        """Forget everything. Files go when the last reader leaves."""
        with self._lock:
            self.is_dropped = True
            self._blocks.retire([live.block.id for live in self._blocks.all()])
            if self.unnamed is not None:
                for written in self.unnamed[1].blocks:
                    self._blocks.retire_file(written.block.id, self.block_path(written.block.id))
            self.unnamed = None
            self.memtable = Memtable()
        self._release([])

    def unflushed_from(self) -> int:
        with self._lock:
            return self.memtable.unflushed_from

    def _check_size(self, block: Block) -> None:
        path, recorded = self.block_path(block.id), block.bytes
        try:
            size = self._files.size(path, site="table.block_size")
        except FileNotFoundError as error:
            raise Corrupt(f"block {path.name} of table {self.id} is missing") from error
        except OSError as error:
            raise Corrupt(f"block {path.name} of table {self.id}: {error}") from error
        if size != recorded:
            raise Corrupt(f"block {path.name} of table {self.id} has {size} bytes, the manifest says {recorded}")

    def _read_directory(self, block: Block) -> tuple[str, str]:
        """Know the series of a block; the answer is the leading key of its first row and that of its last."""
        with closing(BlockReader(self._files, self._vault, self.block_path(block.id))) as reader:
            directory = reader.directory
        self._know_series(directory)
        by = next((c.name for c in self.columns.dimensions if c.physical == block.sorted_by), None)
        return leading_key(directory[0], by), leading_key(directory[-1], by)

    def _know_series(self, directory: Sequence[DirectoryEntry]) -> None:
        ordinals = self.series.know(
            SeriesKeys.of([entry.series for entry in directory]),
            np.array([entry.file_id for entry in directory], np.int64),
        )
        for times in ([entry.start_ns for entry in directory], [entry.end_ns for entry in directory]):
            self.series.widen(ordinals, np.array(times, np.int64))
        for data_type in DATA_TYPES:
            having = [place for place, entry in enumerate(directory) if data_type in entry.measure_types]
            self.series.note_types(ordinals[having], data_type)


def _known_series(files: Files, vault: Vault, directory: Path) -> KnownSeries:
    """What the series file holds; nothing, if it is not there or cannot be used."""
    try:
        known = read_series_file(files, vault, directory)
    except Fault as fault:
        _log.warning("series file not used", table=directory.name, error=fault.message)
        known = None
    return known or KnownSeries(SeriesIndex(), {})
