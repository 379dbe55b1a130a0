"""The face of storage: write, scan, flush, and what becomes of blocks later. Knows no SQL and no HTTP.

A write goes through `commit.py`, a read through `scan.py` and never waits for writes; `changes.py` brings records to
disk. Jobs call the methods that end in `_due`.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path

import structlog

from headwater.config import FULL_BUDGETS, StorageSettings
from headwater.errors import Corrupt, Fault, KeyUnusable, NotFound, Unavailable
from headwater.files import Files
from headwater.model.block import Block, Manifest
from headwater.model.facts import LogFacts, Runs, StoreFacts
from headwater.model.insights import Coverage
from headwater.model.limits import Limits
from headwater.model.record import Conflict, RecordColumns
from headwater.model.scan import Extent, Scan, ScanRequest, TimeRange
from headwater.model.table import Columns, TableId, TablesById
from headwater.model.time import Clock
from headwater.sealing import Vault
from headwater.storage.block import open_block
from headwater.storage.changes import Changes
from headwater.storage.commit import Committer
from headwater.storage.compaction import Compaction
from headwater.storage.coverage import coverage
from headwater.storage.decoded import DecodedBlocks
from headwater.storage.late import LateWrites, decode_reports, has_reports
from headwater.storage.opened import OpenTables
from headwater.storage.pace import Pace
from headwater.storage.replay import Replay
from headwater.storage.retention import Expiry, expired
from headwater.storage.scan import build_scan
from headwater.storage.scrub import Scrubber
from headwater.storage.space import Space
from headwater.storage.table import TableStore
from headwater.wal.log import Log

_log = structlog.get_logger("storage")

BEHIND_BUDGETS = 2
"""So many memory budgets of unflushed records, and loads in the background rest."""

REPLAYED_BYTES = 8 * 1024 * 1024
"""A clean stop leaves no more than this in the log: about a third of a second of the next start."""


class Store:
    """All tables' records. `open` before use; every method may be called from any thread."""

    def __init__(
        self,
        files: Files,
        vault: Vault,
        directory: Path,
        log: Log,
        manifest: Manifest,
        catalog: TablesById,
        clock: Clock,
        settings: StorageSettings,
        limits: Limits,
        new_id: Callable[[], str],
        on_failure: Callable[[], None],
    ) -> None:
        """`directory` holds a folder of blocks per table. `on_failure` is called once if the log fails for good."""
        self._log = log
        self._manifest = manifest
        self._clock = clock
        self._settings = settings
        self._keys = vault.keys
        self._open_block = partial(open_block, files, vault)
        self._decoded = DecodedBlocks(files, vault, settings.decoded_cache_bytes)
        self._tables = OpenTables(files, vault, directory, manifest, limits, self._decoded, self._replay_one)
        self.late = LateWrites(catalog, clock, new_id)
        self._expiry = Expiry(catalog, clock)
        self._committer = Committer(log, self.late, clock, self._tables.get, on_failure)
        self._pace = Pace(clock)
        self._scrubber = Scrubber(files, manifest, clock, self._pace, self._tables.path_of, settings)
        self._changes = Changes(
            files,
            vault,
            log,
            manifest,
            catalog,
            self._tables,
            self._committer,
            self.late,
            self._expiry,
            new_id,
            settings.log_limit_bytes,
        )
        self._compaction = Compaction(
            files,
            vault,
            self._tables,
            self._changes,
            self._scrubber,
            clock,
            self._pace,
            new_id,
            settings.block_target_bytes,
        )
        self._space = Space(files, directory.parent, clock, settings.disk_low_percent, settings.disk_low_bytes)
        self._reshaping = threading.Lock()
        """Held by whoever takes blocks away: compaction and retention."""
        self._replayed_records = 0
        self._replay_s = 0.0
        self._expiries = 0
        self._failures: Counter[str] = Counter()

    def open(self) -> None:
        """Remove files that no manifest names, replay the log, start taking writes. Raises Corrupt on damage."""
        checkpoints = {table: self._manifest.load(table).checkpoint for table in self._manifest.tables()}
        known = self._manifest.log_end
        if self._log.last_sequence < known:
            raise Corrupt(f"the log ends at sequence {self._log.last_sequence}, it once went on to {known}")
        self._tables.remove_unnamed()
        began_s = self._clock.monotonic_s()
        replayed = self._replayed_records = self._replay(checkpoints)
        self._replay_s = self._clock.monotonic_s() - began_s
        _log.info("store opened", tables=len(checkpoints), records_replayed=replayed)
        self._committer.start(self._log.last_sequence)

    def close(self) -> None:
        """Finish the writes that wait, then stop. The log keeps what is not flushed; closing it is the caller's.

        Much of it is flushed first, so that the next start need not replay it. What that fails at is only logged.
        """
        self.stop_jobs()
        self._committer.stop()
        if not self._committer.is_failed and self._log.size_bytes > REPLAYED_BYTES:
            try:
                self.flush()
            except (OSError, Fault):
                _log.exception("flush at close failed")
        if not self._committer.is_failed and self._log.last_sequence > self._manifest.log_end:
            try:
                # From now on a log whose end is cut off is told from one that a crash has torn.
                self._manifest.note_log_end(self._log.last_sequence)
            except Fault:
                _log.exception("end of the log not noted")

    def drop_table(self, table_id: TableId) -> None:
        """Forget a table that the catalog has deleted. Its files go when the last query that reads it ends."""
        self._changes.drop(table_id)

    def submit(self, table_id: TableId, batches: list[RecordColumns]) -> Future[list[Conflict]]:
        """Store records; the answer comes when they are synced and visible, with those that were not taken.

        Records of one request are in the log together or not at all. Raises Throttled when too many wait
        or too much is unflushed, Unavailable when the log has failed or the disk is nearly full, KeyUnusable,
        NotFound. The future raises NotFound if the table is dropped meanwhile.
        """
        self._keys.check(table_id)
        self._space.check()
        return self._committer.submit(table_id, batches)

    def columns(self, table_id: TableId) -> Columns:
        """The table's columns; those that its published records have."""
        return self._tables.get(table_id).columns

    def measures(self, table_id: TableId) -> list[tuple[str, str, tuple[str, ...]]]:
        """(measure name, kind of measure, dimension names) for SHOW MEASURES, sorted by name."""
        return self._tables.get(table_id).series.measures()

    def scan(self, request: ScanRequest) -> Scan:
        """One state of a table, as the request wants it: every acknowledged record once, newest version.

        A write acknowledged before this call is seen. Close the scan when its rows have been read. Raises KeyUnusable
        or Unavailable if the database's key may not be used, NotFound, Corrupt.
        """
        self._keys.check(request.table)
        table = self._tables.get(request.table)
        snapshot = table.snapshot(with_newest=request.newest)
        try:
            damaged, tail_of = self._scrubber.is_damaged, table.tails.of
            return build_scan(request, snapshot, table.series, damaged, self._open_block, tail_of, table.decoded)
        except BaseException:
            snapshot.release()
            raise

    def extent(self, table: TableId) -> Extent:
        """All that a table has now. Raises NotFound."""
        return self._tables.get(table).extent()

    def span(self, table: TableId) -> TimeRange:
        """The time in which all records of a table lie. Raises NotFound, Corrupt, KeyUnusable, Unavailable."""
        return self._tables.get(table).span()

    def coverage(self, request: ScanRequest, dimension: str | None) -> Coverage:
        """How much of the table the request reads, if `dimension` is its partition key; None is the measure name.

        Raises NotFound, Corrupt, KeyUnusable, Unavailable.
        """
        return coverage(request, self._tables.get(request.table).series, dimension)

    @property
    def is_behind(self) -> bool:
        """Whether flushes have fallen behind: a time to rest for whoever writes much and is in no hurry."""
        return self.memtable_bytes > BEHIND_BUDGETS * self._settings.memory_budget_bytes

    @property
    def memtable_bytes(self) -> int:
        return sum(table.memtable.bytes for table in self._tables.all())

    def refusal(self) -> str | None:
        """Why no records are taken now, in a few words without names; None if they are. Quick, and asks no disk."""
        if self._committer.is_failed:
            return "the log has failed"
        return "the disk is low" if self._space.is_low else None

    def facts(self) -> StoreFacts:
        """How the store stands. Asks memory only, but walks over all blocks: for a look now and then."""
        now_s, blocks = self._clock.monotonic_s(), self._manifest.blocks()
        memtables = [table.memtable for table in self._tables.all()]
        arrivals_s = [memtable.oldest_arrival_s for memtable in memtables if memtable.active]
        compaction, failures = self._compaction, self._failures
        return StoreFacts(
            log=LogFacts(
                bytes=self._log.size_bytes,
                appends=self._committer.appends,
                append_s=self._committer.append_s,
                is_failed=self._committer.is_failed,
                torn_bytes=self._log.recovery.torn_bytes,
                replayed_records=self._replayed_records,
                replay_s=self._replay_s,
            ),
            memtable_bytes=sum(memtable.bytes for memtable in memtables),
            memtable_age_s=max((now_s - arrival_s for arrival_s in arrivals_s), default=0.0),
            blocks=len(blocks),
            block_bytes=sum(block.bytes for block in blocks),
            block_rows=sum(block.rows for block in blocks),
            decoded_bytes=self._decoded.bytes,
            damaged_blocks=len(self._scrubber.damaged()),
            disk_free_bytes=self._space.free_bytes,
            disk_low_mark_bytes=self._space.mark_bytes,
            is_disk_low=self._space.is_low,
            clock_steps=self._expiry.watch.steps,
            runs={
                "flush": Runs(self._changes.flushes, failures["flush"]),
                "compaction": Runs(compaction.runs, compaction.failures),
                "retention": Runs(self._expiries, failures["retention"]),
                "scrub": Runs(self._scrubber.runs, self._scrubber.failures),
            },
            late_rejected=self.late.rejected_count,
            late_reports_waiting=self.late.pending_count,
        )

    def keep_space(self) -> None:
        """Look after the reserve of the disk; to be called every second or so."""
        self._space.keep()

    def flush_due(self) -> None:
        """Flush what is older than the flush age; and while memory or log are over budget, the largest table.

        A table whose key may not be used cannot be flushed; the others must not be flushed ever more often for it.
        """
        now_s = self._clock.monotonic_s()
        tables = [table for table in self._tables.all() if self._is_usable(table.id)]
        memory_bytes = sum(table.memtable.bytes for table in tables)
        for table in tables:
            is_old = table.memtable.active and now_s - table.memtable.oldest_arrival_s >= self._settings.flush_age_s
            if table.unnamed is not None or is_old:
                self._flush_or_tell(table)
        if memory_bytes > self._settings.memory_budget_bytes:
            self._flush_or_tell(max(tables, key=lambda table: table.memtable.bytes))
        if self._log.size_bytes > self._settings.log_limit_bytes:
            oldest = min(self._tables.needed_from(), default=0)
            for table in tables:
                if oldest and table.unflushed_from() == oldest:
                    self._flush_or_tell(table)
        self._committer.is_full = self.memtable_bytes > FULL_BUDGETS * self._settings.memory_budget_bytes

    def flush(self) -> None:
        """Flush every table now, but for those whose key may not be used."""
        for table in self._tables.all():
            if self._is_usable(table.id):
                self._changes.flush(table)
        self._changes.truncate()

    def expire_due(self) -> None:
        """Remove the blocks in which every record is past retention."""
        with self._reshaping:
            for table_id in self._manifest.tables():
                try:
                    self._expire(table_id)
                except (OSError, Fault) as error:
                    self._failures["retention"] += 1
                    _log.error("retention failed", table=table_id, error=str(error))

    def compact_due(self) -> None:
        """Merge small blocks where it is worth it. Ends early when `stop_jobs` is called."""
        with self._reshaping:
            self._compaction.run_due()

    def compact(self) -> None:
        """Flush, and merge all blocks that can be merged, whatever it costs. Raises Corrupt, OSError, Unavailable."""
        self.flush()
        with self._reshaping:
            for table in self._tables.all():
                with suppress(NotFound):
                    self._compaction.run_all(table)

    def scrub_due(self) -> None:
        """Verify the hashes of all blocks, at the first call and then once an interval."""
        self._scrubber.run_due()

    def damaged_blocks(self) -> list[Block]:
        """The blocks known to be damaged. Queries that need one raise Corrupt."""
        return self._scrubber.damaged()

    def stop_jobs(self) -> None:
        """Let those of the calls above that take long end within a second; what they have begun is undone."""
        self._pace.stop()

    def _is_usable(self, table_id: TableId) -> bool:
        """Whether its blocks may be read and written now."""
        try:
            self._keys.check(table_id)
        except (KeyUnusable, Unavailable, NotFound):
            return False
        return True

    def _expire(self, table_id: TableId) -> None:
        oldest_ns = self._expiry.oldest_ns(table_id)
        try:
            if all(block.end_ns >= oldest_ns for block in self._manifest.load(table_id).blocks):
                return
            table = self._tables.get(table_id)
            gone = expired((live for live, _ in table.blocks()), oldest_ns)
            self._changes.swap(table, gone, list)
        except NotFound:
            return
        self._expiries += 1
        _log.info("expired", table=table_id, blocks=len(gone), rows=sum(live.block.rows for live in gone))

    def _flush_or_tell(self, table: TableStore) -> None:
        """Flush one table; if that fails say so and let the others have their turn. Its records stay as they were."""
        try:
            self._changes.flush(table)
        except (OSError, Fault) as error:
            self._failures["flush"] += 1
            _log.error("flush failed", table=table.id, error=str(error))

    def _replay_one(self, table: TableStore) -> None:
        """Bring what the log holds of a table back into memory that the first replay had to leave out."""
        replay = Replay({table.id: table.checkpoint}, lambda _: table, self._clock.monotonic_s())
        for sequence, payload in self._log.replay(table.checkpoint):
            if not has_reports(payload):
                replay.add(sequence, payload)
        replay.finish()
        _log.info("table replayed", table=table.id, records=replay.records)

    def _replay(self, checkpoints: Mapping[TableId, int]) -> int:
        """Bring what the log holds above the checkpoints back into memory; how many records that were."""
        replay = Replay(checkpoints, self._tables.for_replay, self._clock.monotonic_s())
        for sequence, payload in self._log.replay(0):
            if has_reports(payload):
                self.late.wait(sequence, [report for report in decode_reports(payload) if report.table in checkpoints])
            else:
                replay.add(sequence, payload)
        replay.finish()
        return replay.records
