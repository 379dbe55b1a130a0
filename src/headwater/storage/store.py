"""The face of storage: write, scan, flush, close. Knows no SQL and no HTTP.

A write is staged, logged and synced, published, answered, in that order; requests that wait together share
one log entry and one sync (`_commit_loop`). What a 200 promises rests on that order. Reads take snapshots and
never wait for writes.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import structlog

from headwater.config import StorageSettings
from headwater.errors import Corrupt, Fault, NotFound, Throttled, Unavailable
from headwater.files import Files
from headwater.model.block import Manifest
from headwater.model.limits import Limits
from headwater.model.record import Conflict, RecordColumns
from headwater.model.scan import Scan, ScanRequest
from headwater.model.table import Columns, TableId
from headwater.model.time import Clock
from headwater.storage.entry import KnownSeries, SeriesPacker, decode_payload, encode_payload
from headwater.storage.flush import Flushed, Frozen, write_blocks
from headwater.storage.scan import build_scan
from headwater.storage.table import TableStore
from headwater.wal.log import Log

_log = structlog.get_logger("storage")

REPLAYED_BYTES = 8 * 1024 * 1024
"""A clean stop leaves no more than this in the log: about a third of a second of the next start."""

FULL_BUDGETS = 4
"""So many memory budgets of unflushed records, and writes wait for flushes that fail or fall behind."""

_GROUP_REQUESTS = 64
_WAITING_REQUESTS = 4_096


@dataclass(frozen=True, slots=True)
class _Submission:
    table: TableId
    batches: list[RecordColumns]
    done: Future[list[Conflict]]


class Store:
    """All tables' records. `open` before use; every method may be called from any thread."""

    def __init__(
        self,
        files: Files,
        directory: Path,
        log: Log,
        manifest: Manifest,
        clock: Clock,
        settings: StorageSettings,
        limits: Limits,
        new_id: Callable[[], str],
        on_failure: Callable[[], None],
    ) -> None:
        """`directory` holds a folder of blocks per table. `on_failure` is called once if the log fails for good."""
        self._files = files
        self._directory = directory
        self._log = log
        self._manifest = manifest
        self._clock = clock
        self._settings = settings
        self._limits = limits
        self._new_id = new_id
        self._on_failure = on_failure
        self._packer = SeriesPacker()
        self._tables: dict[TableId, TableStore] = {}
        self._existing: set[TableId] = set()
        self._tables_lock = threading.Lock()
        self._waiting: deque[_Submission] = deque()
        self._arrived = threading.Condition()
        self._flushing = threading.Lock()
        self._published_sequence = 0
        self._is_closing = False
        self._is_failed = False
        self._is_full = False
        self._thread = threading.Thread(target=self._commit_loop, name="commit", daemon=True)

    def open(self) -> None:
        """Remove files that no manifest names, replay the log, start taking writes. Raises Corrupt on damage."""
        self._existing = set(self._manifest.tables())
        flushed = max((self._manifest.load(table).checkpoint for table in self._existing), default=0)
        if self._log.last_sequence < flushed:
            raise Corrupt(f"the log ends at sequence {self._log.last_sequence}, blocks hold records up to {flushed}")
        self._remove_unnamed()
        replayed = 0
        checkpoints: dict[TableId, int] = {}
        known: KnownSeries = {}
        for sequence, payload in self._log.replay(0):
            self._published_sequence = sequence
            for table_id, records in decode_payload(payload, known):
                if table_id not in self._existing:
                    continue
                table = self._table(table_id)
                if sequence > checkpoints.setdefault(table_id, table.checkpoint):
                    conflicts = table.stage([records]).conflicts
                    if conflicts:
                        raise Corrupt(f"entry {sequence} of the log was accepted and is refused now: {conflicts[0]}")
                    table.publish(sequence, self._clock.monotonic_s())
                    replayed += len(records)
        self._published_sequence = max(self._published_sequence, self._log.last_sequence)
        _log.info("store opened", tables=len(self._existing), records_replayed=replayed)
        self._thread.start()

    def close(self) -> None:
        """Finish the writes that wait, then stop. The log keeps what is not flushed; closing it is the caller's.

        Much of it is flushed first, so that the next start need not replay it. What that fails at is only logged.
        """
        with self._arrived:
            self._is_closing = True
            self._arrived.notify()
        if self._thread.is_alive():
            self._thread.join()
        if not self._is_failed and self._log.size_bytes > REPLAYED_BYTES:
            try:
                self.flush()
            except (OSError, Fault):
                _log.exception("flush at close failed")

    def create_table(self, table_id: TableId) -> None:
        """The catalog has a new table; its folder is made with its first block."""
        with self._tables_lock:
            self._existing.add(table_id)

    def drop_table(self, table_id: TableId) -> None:
        """Forget a table that the catalog has deleted. Its files go when the last query that reads it ends."""
        with self._flushing:
            with self._tables_lock:
                self._existing.discard(table_id)
                table = self._tables.pop(table_id, None)
            if table is not None:
                table.drop()
            elif self._files.exists(self._folder(table_id), site="drop.exists"):
                self._files.remove_tree(self._folder(table_id), site="drop.remove")
            self._truncate()

    def submit(self, table_id: TableId, batches: list[RecordColumns]) -> Future[list[Conflict]]:
        """Store records; the answer comes when they are synced and visible, with those that were not taken.

        Records of one request are in the log together or not at all. Raises Throttled when too many wait
        or too much is unflushed, Unavailable when the log has failed. The future raises NotFound if the table is
        dropped meanwhile.
        """
        submission = _Submission(table_id, batches, Future())
        # From here on nobody can cancel it: the commit thread must be able to answer.
        submission.done.set_running_or_notify_cancel()
        with self._arrived:
            if self._is_failed or self._is_closing:
                raise Unavailable("the store takes no writes")
            if len(self._waiting) >= _WAITING_REQUESTS:
                raise Throttled("Too many writes are waiting. Send again later.")
            if self._is_full:
                raise Throttled("Memory is full of records that wait for the disk. Send again later.")
            self._waiting.append(submission)
            self._arrived.notify()
        return submission.done

    def columns(self, table_id: TableId) -> Columns:
        """The table's columns; those that its published records have."""
        return self._table(table_id).columns

    def measures(self, table_id: TableId) -> list[tuple[str, str, tuple[str, ...]]]:
        """(measure name, kind of measure, dimension names) for SHOW MEASURES, sorted by name."""
        return self._table(table_id).series.measures()

    def scan(self, request: ScanRequest) -> Scan:
        """One state of a table, as the request wants it: every acknowledged record once, newest version.

        A write acknowledged before this call is seen. Close the scan when its rows have been read.
        """
        table = self._table(request.table)
        snapshot = table.snapshot()
        try:
            return build_scan(request, snapshot, table.series)
        except BaseException:
            snapshot.release()
            raise

    @property
    def memtable_bytes(self) -> int:
        with self._tables_lock:
            return sum(table.memtable.bytes for table in self._tables.values())

    def flush_due(self) -> None:
        """Flush what is older than the flush age; and while memory or log are over budget, the largest table."""
        now_s = self._clock.monotonic_s()
        with self._tables_lock:
            tables = list(self._tables.values())
        for table in tables:
            is_old = table.memtable.active and now_s - table.memtable.oldest_arrival_s >= self._settings.flush_age_s
            if table.unnamed is not None or is_old:
                self._flush_or_tell(table)
        if self.memtable_bytes > self._settings.memory_budget_bytes:
            self._flush_or_tell(max(tables, key=lambda table: table.memtable.bytes))
        unflushed = [table for table in tables if table.unflushed_from()]
        if unflushed and self._log.size_bytes > self._settings.log_limit_bytes:
            self._flush_or_tell(min(unflushed, key=TableStore.unflushed_from))
        self._is_full = self.memtable_bytes > FULL_BUDGETS * self._settings.memory_budget_bytes

    def flush(self) -> None:
        """Flush every table now."""
        with self._tables_lock:
            tables = list(self._tables.values())
        for table in tables:
            self._flush(table)

    def _flush_or_tell(self, table: TableStore) -> None:
        """Flush one table; if that fails say so and let the others have their turn. Its records stay as they were."""
        try:
            self._flush(table)
        except (OSError, Fault) as error:
            _log.error("flush failed", table=table.id, error=str(error))

    def _flush(self, table: TableStore) -> None:
        """Commit blocks that an earlier flush could not, then write and commit what has come since."""
        with self._flushing:
            try:
                if table.unnamed is not None:
                    self._name_blocks(table, *table.unnamed)
                frozen = table.freeze()
                if frozen is not None:
                    self._name_blocks(table, frozen, self._write_blocks(table, frozen))
            except NotFound:
                # Deleted from the catalog meanwhile; `drop_table` waits for us and removes the blocks.
                return
            self._truncate()

    def _write_blocks(self, table: TableStore, frozen: Frozen) -> Flushed:
        try:
            self._files.make_directory(table.directory, site="flush.folder")
            return write_blocks(self._files, table.block_path, table.id, frozen, table.series, self._new_id)
        except BaseException:
            table.thaw()
            raise

    def _name_blocks(self, table: TableStore, frozen: Frozen, flushed: Flushed) -> None:
        change = table.change(frozen, flushed)
        self._manifest.commit(change)
        table.adopt(frozen, flushed, change)
        _log.info(
            "flushed",
            table=table.id,
            blocks=len(flushed.blocks),
            rows=sum(block.rows for block in flushed.blocks),
            bytes=sum(block.bytes for block in flushed.blocks),
        )

    def _truncate(self) -> None:
        """Give up the part of the log that no table needs. Held by `_flushing`: the log lets one thread do it."""
        # The published sequence is read first: what is published later has a higher one and stays.
        published = self._published_sequence
        with self._tables_lock:
            needed = [start for table in self._tables.values() if (start := table.unflushed_from())]
        self._log.checkpoint(min([published, *(start - 1 for start in needed)]))

    def _commit_loop(self) -> None:
        while True:
            with self._arrived:
                while not self._waiting and not self._is_closing:
                    self._arrived.wait()
                group = [self._waiting.popleft() for _ in range(min(len(self._waiting), _GROUP_REQUESTS))]
                if not group:
                    return
            self._commit(group)

    def _commit(self, group: Sequence[_Submission]) -> None:
        """Stage, log, publish and answer one group of requests."""
        accepted: list[tuple[TableId, RecordColumns]] = []
        touched: dict[TableId, TableStore] = {}
        answers: list[tuple[Future[list[Conflict]], list[Conflict] | BaseException]] = []
        try:
            for submission in group:
                try:
                    table = touched.setdefault(submission.table, self._table(submission.table))
                    staged = table.stage(submission.batches)
                except Fault as fault:
                    answers.append((submission.done, fault))
                    continue
                accepted.extend((submission.table, records) for records in staged.records)
                answers.append((submission.done, staged.conflicts))
            if accepted:
                sequence = self._log.append(encode_payload(accepted, self._packer))
                for table in touched.values():
                    table.publish(sequence, self._clock.monotonic_s())
                self._published_sequence = sequence
        except BaseException as error:
            self._fail(group, error)
            raise
        for done, answer in answers:
            if isinstance(answer, BaseException):
                done.set_exception(answer)
            else:
                done.set_result(answer)

    def _fail(self, group: Sequence[_Submission], error: BaseException) -> None:
        """The log or our own code failed: nothing after this is acknowledged, and the process is to end."""
        with self._arrived:
            self._is_failed = True
            waiting = [*group, *self._waiting]
            self._waiting.clear()
        for submission in waiting:
            submission.done.set_exception(Unavailable(f"the write could not be made durable: {error}"))
        self._on_failure()

    def _table(self, table_id: TableId) -> TableStore:
        with self._tables_lock:
            table = self._tables.get(table_id)
            if table is None:
                if table_id not in self._existing:
                    raise NotFound("table", table_id)
                manifest = self._manifest.load(table_id)
                table = TableStore(table_id, self._files, self._folder(table_id), manifest, self._limits)
                self._tables[table_id] = table
            return table

    def _folder(self, table_id: TableId) -> Path:
        return self._directory / table_id

    def _remove_unnamed(self) -> None:
        """Files that no manifest names are what a crash left of a flush, or of a dropped table."""
        for name in self._files.list(self._directory, site="open.list"):
            folder = self._directory / name
            if TableId(name) not in self._existing:
                self._files.remove_tree(folder, site="open.remove_table")
                continue
            live = {f"{block.id}.parquet" for block in self._manifest.load(TableId(name)).blocks}
            for file in self._files.list(folder, site="open.list"):
                if file not in live:
                    self._files.remove(folder / file, site="open.remove_block")
