"""One batch load task at work: files in order, a chunk at a time, from bytes in a bucket to records in the store.

`batch_load.BatchLoads` makes one of these for each active task and takes steps with it in turn. Bytes come ahead of
need, chunks wait for the store's answers in a short queue, so memory stays flat however large a file is. How far the
task is goes to the catalog every so often: after a crash, what was done since then is done again and changes nothing,
because the same record with the same version is accepted once more.
Source: batch-load.md 2, 5, 6, 8; reliability.md 7.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

import structlog

from headwater.catalog.batch_load import BatchLoadTasks
from headwater.errors import Corrupt, KeyUnusable, NotFound, Throttled, Unavailable
from headwater.ingest import reasons
from headwater.ingest.validate import required_dimension
from headwater.ingest.write import Records
from headwater.jobs.batch_load_csv import BadFile, Chunk, Rows
from headwater.jobs.batch_load_mapping import Mapped, RowMapper
from headwater.jobs.batch_load_report import Failures, report_body, report_key
from headwater.jobs.patience import Call, Stopped, awaited
from headwater.model.batch_load import (
    START,
    Dialect,
    Position,
    Progress,
    ReportPlace,
    SourceFile,
    Task,
    TaskStatus,
)
from headwater.model.limits import Limits
from headwater.model.record import Conflict
from headwater.model.table import Table, TablesById, time_windows
from headwater.model.time import NS_PER_MINUTE, Clock
from headwater.objects import Buckets, Encryption, ObjectFault, ObjectMissing, Objects

T = TypeVar("T")

_log = structlog.get_logger("jobs")

PART_BYTES = 8 * 1024 * 1024
CHUNKS_WAITING = 4
CHUNKS_PER_COMMIT = 8
"""How much is done again after a crash: with the chunks that wait, about a hundred thousand rows."""

STORE_RETRY_S = 0.2
STORE_PATIENCE = 300
"""So many times in a row the store may say that it takes no records now."""

CHANGED = "The file was changed while it was loaded."


class Storing(Records, Protocol):
    """What a load needs of the store."""

    @property
    def is_behind(self) -> bool:
        """Whether whoever is in no hurry should let it catch up."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every task needs."""

    tasks: BatchLoadTasks
    tables: TablesById
    records: Storing
    buckets: Buckets
    clock: Clock
    limits: Limits


@dataclass(frozen=True, slots=True)
class _Submitted:
    """A chunk on its way: what became of its rows, and the store's answer to come."""

    chunk: Chunk
    mapped: Mapped
    stored: Future[list[Conflict]] | None


@dataclass(slots=True)
class _Loading:
    """One file being loaded: the chunks on their way, and what is known of those before them."""

    file: SourceFile
    progress: Progress
    position: Position = START
    waiting: deque[_Submitted] = field(default_factory=deque)
    failures: Failures = field(default_factory=Failures)
    settled: int = 0

    def count(self, submitted: _Submitted, conflicts: list[Conflict]) -> None:
        """Add what became of a chunk."""
        chunk, mapped, progress = submitted.chunk, submitted.mapped, self.progress
        unread = chunk.failed + [(chunk.lines[row], reason) for row, reason in mapped.unread]
        refused = mapped.refused + [(one.index, reasons.of_conflict(one).reason) for one in conflicts]
        failed = unread + [(chunk.lines[index // mapped.per_row], reason) for index, reason in refused]
        for lines, reason in sorted(failed):
            self.failures.add(lines, reason)
        ingested = sum(map(len, mapped.batches)) - len(conflicts)
        self.progress = replace(
            progress,
            processed=progress.processed + ingested + len(unread) + len(refused),
            ingested=progress.ingested + ingested,
            parse_failures=progress.parse_failures + len(unread),
            ingestion_failures=progress.ingestion_failures + len(refused),
            bytes_metered=progress.bytes_metered + chunk.end.offset - self.position.offset,
        )
        self.position = chunk.end
        self.settled += 1

    def fail(self, bad: BadFile) -> None:
        """The file cannot be loaded, or not any further."""
        self.failures.add((bad.line, bad.line), bad.reason)
        self.progress = replace(self.progress, file_failures=self.progress.file_failures + 1)


class _Ended(Exception):
    """The task cannot go on: for good (FAILED), or for now (PROGRESS_STOPPED)."""

    def __init__(self, status: TaskStatus, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Run:
    """A task from where it is to its end. One thread."""

    def __init__(self, task: Task, around: Surroundings, stopping: threading.Event) -> None:
        self.task = task
        self._around = around
        self._stopping = stopping
        self._progress = task.progress
        self._ranges = 0

    def steps(self) -> Iterator[None]:
        """The work, piece by piece: what comes between two is up to the caller. Raises Stopped."""
        task_errors: list[str] = []
        try:
            for file in self._begin():
                if not file.is_done:
                    yield from self._load(file)
            status, message = TaskStatus.SUCCEEDED, None
        except _Ended as ended:
            status, message = ended.status, ended.message
            task_errors.append(ended.message)
        if status is TaskStatus.SUCCEEDED and self._progress.has_failures:
            status = TaskStatus.FAILED
        if self._progress.has_failures or task_errors:
            message = self._report(message, task_errors)
        self._around.tasks.finish(self.task.id, status, message, self._progress)
        _log.info("batch load ended", task=self.task.id, status=status.value, records=self._progress.ingested)

    def _begin(self) -> list[SourceFile]:
        """The task's files, found and told to the catalog when it is first worked on."""
        tasks, files = self._around.tasks, self._around.tasks.files(self.task.id)
        if files:
            tasks.begin(self.task.id, None)
            return files
        found = self._found()
        tasks.begin(self.task.id, found)
        return found

    def _found(self) -> list[SourceFile]:
        source, limits = self.task.load.source, self._around.limits.batch_load
        try:
            listed = self._patiently(lambda: self._source().list(source.prefix or ""))
        except ObjectFault as fault:
            raise _stopped_by(fault) from fault
        # Consoles of object stores make empty objects to show folders.
        stats = [stat for stat in listed if not (stat.key.endswith("/") and stat.bytes == 0)]
        if not stats:
            raise _Ended(TaskStatus.FAILED, f"There is no file with the prefix {source.prefix or ''!r} in the bucket.")
        if len(stats) > limits.files:
            raise _Ended(TaskStatus.FAILED, f"The task has {len(stats)} files, more than {limits.files}.")
        if sum(stat.bytes for stat in stats) > limits.task_bytes:
            raise _Ended(TaskStatus.FAILED, f"The files of the task have more than {limits.task_bytes} bytes.")
        return [SourceFile(place, stat.key, stat.bytes, stat.etag) for place, stat in enumerate(stats)]

    def _load(self, file: SourceFile) -> Iterator[None]:
        """Load one file from where it is. One that cannot be loaded is a failure of its own."""
        loading = _Loading(file, self._progress, file.position)
        try:
            self._check(file)
            mapper, chunks = self._opened(file)
            for chunk in chunks:
                self._submit(loading, chunk, mapper)
                while len(loading.waiting) >= CHUNKS_WAITING:
                    self._settle(loading)
                if loading.settled >= CHUNKS_PER_COMMIT:
                    self._commit(loading)
                yield
            self._check(file)
        except BadFile as bad:
            self._settle_all(loading)
            loading.fail(bad)
        except ObjectFault as fault:
            self._settle_all(loading)
            self._commit(loading)
            raise _stopped_by(fault) from fault
        self._settle_all(loading)
        self._commit(loading, is_done=True)

    def _opened(self, file: SourceFile) -> tuple[RowMapper, Iterator[Chunk]]:
        """What makes records of the file's rows, and the rows from where it is loaded up to. Raises BadFile."""
        load = self.task.load
        dialect = load.source.dialect or Dialect()
        rows = self._rows(file, dialect, START)
        header = rows.header()
        if file.position != START:
            rows = self._rows(file, dialect, file.position)
        required = required_dimension(self._table().partition_key)
        mapper = RowMapper(load.model, dialect, header, load.record_version, self._around.limits, required)
        return mapper, iter(lambda: rows.chunk(len(header)), None)

    def _rows(self, file: SourceFile, dialect: Dialect, position: Position) -> Rows:
        return Rows(self._parts(file, position.offset), dialect, self._around.limits.batch_load.row_bytes, position)

    def _parts(self, file: SourceFile, start: int) -> Iterator[bytes]:
        """The bytes of a file from `start`; while one part is worked on, the next one comes."""
        objects = self._source()

        def begun(at: int) -> Call[bytes]:
            length = min(PART_BYTES, file.bytes - at)
            return Call(lambda: objects.get_range(file.key, at, length), "batch load read")

        coming = begun(start) if start < file.bytes else None
        while coming is not None:
            try:
                part = coming.wait(self._stopping)
            except ObjectMissing as fault:
                raise BadFile("The file is not there any more.") from fault
            start += len(part)
            coming = begun(start) if part and start < file.bytes else None
            yield part

    def _check(self, file: SourceFile) -> None:
        """Raise BadFile if the object is not what it was when the task began."""
        if file.bytes > self._around.limits.batch_load.file_bytes:
            raise BadFile(f"The file has more than {self._around.limits.batch_load.file_bytes} bytes.")
        stat = self._patiently(lambda: self._source().stat(file.key))
        if stat is None:
            raise BadFile("The file is not there any more.")
        if (stat.bytes, stat.etag) != (file.bytes, file.etag):
            raise BadFile(CHANGED)

    def _submit(self, loading: _Loading, chunk: Chunk, mapper: RowMapper) -> None:
        table, limits = self._table(), self._around.limits
        # Both retentions together, whether or not late writes are taken. Source: batch-load.md 8.
        windows = time_windows(
            table.retention, True, self._around.clock.now_ns(), limits.future_minutes * NS_PER_MINUTE
        )
        mapped = mapper.map(chunk, windows)
        self._rest()
        stored = self._stored(mapped) if mapped.batches else None
        loading.waiting.append(_Submitted(chunk, mapped, stored))

    def _rest(self) -> None:
        """Let flushes catch up, so that a long load takes no more memory than a short one; not for ever."""
        for _ in range(STORE_PATIENCE):
            if not self._around.records.is_behind:
                return
            if self._stopping.wait(STORE_RETRY_S):
                raise Stopped

    def _stored(self, mapped: Mapped) -> Future[list[Conflict]]:
        """Hand records to the store, again and again while it has no room."""
        for _ in range(STORE_PATIENCE):
            try:
                return self._around.records.submit(self.task.table_id, mapped.batches)
            except (Throttled, Unavailable) as fault:
                _log.debug("the store has no room for a batch load", task=self.task.id, reason=fault.message)
                if self._stopping.wait(STORE_RETRY_S):
                    raise Stopped from None
            except NotFound as fault:
                raise self._without_table() from fault
            except KeyUnusable as fault:
                raise _Ended(TaskStatus.PROGRESS_STOPPED, fault.message) from fault
        raise _Ended(TaskStatus.PROGRESS_STOPPED, "The server could not store records for some time.")

    def _settle_all(self, loading: _Loading) -> None:
        while loading.waiting:
            self._settle(loading)

    def _settle(self, loading: _Loading) -> None:
        """Wait for the oldest chunk on its way, and count what became of it."""
        submitted = loading.waiting[0]
        try:
            conflicts = [] if submitted.stored is None else awaited(submitted.stored, self._stopping)
        except NotFound as fault:
            raise self._without_table() from fault
        except Unavailable as fault:
            # The log has failed and the process ends; the next one goes on.
            raise Stopped from fault
        except Corrupt as fault:
            _log.error("batch load stopped", task=self.task.id, reason=fault.message)
            raise _Ended(TaskStatus.PROGRESS_STOPPED, "Stored records could not be read.") from fault
        loading.waiting.popleft()
        loading.count(submitted, conflicts)

    def _commit(self, loading: _Loading, *, is_done: bool = False) -> None:
        """Tell the catalog how far the file is. Raises _Ended when the report has no more room."""
        self._ranges += loading.failures.count
        self._progress = loading.progress
        file = replace(loading.file, position=loading.position, is_done=is_done)
        self._around.tasks.advance(self.task.id, self._progress, file, loading.failures.taken())
        loading.settled = 0
        if self._ranges > self._around.limits.batch_load.error_ranges and not is_done:
            raise _Ended(TaskStatus.PROGRESS_STOPPED, "The task has too many errors. Resume it to load the rest.")

    def _report(self, message: str | None, task_errors: list[str]) -> str:
        """Put the report into its bucket; the answer says where it is, or why it is not."""
        tasks, place = self._around.tasks, self.task.load.report
        body = report_body(self.task, tasks.files(self.task.id), tasks.failures(self.task.id), task_errors)
        key = report_key(self.task)
        said = message or "Some records were not loaded."
        try:
            self._patiently(lambda: self._around.buckets.bucket(place.bucket, _encryption(place)).put(key, body))
        except ObjectFault as fault:
            return f"{said} The error report could not be written: {fault.message}"[:2_048]
        return f"{said} See the error report at s3://{place.bucket}/{key}."[:2_048]

    def _source(self) -> Objects:
        return self._around.buckets.bucket(self.task.load.source.bucket)

    def _table(self) -> Table:
        try:
            return self._around.tables.table_by_id(self.task.table_id)
        except NotFound as fault:
            raise self._without_table() from fault

    def _without_table(self) -> _Ended:
        return _Ended(TaskStatus.FAILED, f"The table {self.task.table} does not exist.")

    def _patiently(self, work: Callable[[], T]) -> T:
        """The answer of an object store. Raises ObjectFault, Stopped."""
        return Call(work, "batch load").wait(self._stopping)


def _stopped_by(fault: ObjectFault) -> _Ended:
    return _Ended(TaskStatus.PROGRESS_STOPPED, fault.message)


def _encryption(place: ReportPlace) -> Encryption:
    return Encryption(place.encryption or "SSE_S3", place.kms_key_id or "")
