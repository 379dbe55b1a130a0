"""Batch load tasks: what each is to do and how far it is, in the catalog's file.

`catalog.Catalog` opens this; `jobs` makes tasks and works on them, `server` shows them. A change is one transaction, on
stable storage when the call returns, so a restart goes on where the last one says. Tasks are kept for ever. All that
names files or columns is sealed; so are reasons, which may hold measure names. Never reads a file of a task.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import sqlalchemy as sa

from headwater.catalog import checks, tables
from headwater.catalog.keys import Keys
from headwater.catalog.sqlite import CatalogFile
from headwater.errors import Conflict, Invalid, NotFound, Throttled
from headwater.model.batch_load import BatchLoadLimits, FailedLines, Progress, SourceFile, Task, TaskStatus
from headwater.model.time import NS_PER_HOUR, Clock

# Made here and not at the first use, which may come on several threads at once: see `wire/codec`.
_decode_task = msgspec.json.Decoder(Task).decode
_decode_file = msgspec.json.Decoder(SourceFile).decode
_decode_failed = msgspec.json.Decoder(list[FailedLines]).decode


class BatchLoadTasks:
    """The tasks of one account, oldest first. Any thread may call; of one task's progress only its worker tells."""

    def __init__(self, file: CatalogFile, account: str, keys: Keys, clock: Clock, limits: BatchLoadLimits) -> None:
        self._file = file
        self._account = account
        self._keys = keys
        self._clock = clock
        self._limits = limits
        self._lock = threading.Lock()
        self._tasks: dict[str, Task] = {}
        self._requests: dict[str, tuple[str, str]] = {}
        """Task id and the request's hash, by the client token's."""

    def load(self, connection: sa.Connection) -> None:
        """Read them. Raises Corrupt."""
        for row in tables.read(connection, tables.BATCH_LOAD_TASKS):
            if row["account"] == self._account:
                details = self._keys.unseal(row["details"], self._purpose(row["id"]))
                self._note(_decode_task(details), row["client_token"], row["request"])
        self._tasks = dict(sorted(self._tasks.items(), key=lambda item: (item[1].created_ns, item[0])))

    def of_request(self, client_token: str | None, request: bytes) -> Task | None:
        """The task that a request with this token has made. Raises Conflict if that was another request."""
        if client_token is None:
            return None
        with self._lock:
            known = self._requests.get(self._hash(client_token.encode()))
            if known is None:
                return None
            if known[1] != self._hash(request):
                raise Conflict("The client token was used before, for another batch load task.")
            return self._tasks[known[0]]

    def create(self, task: Task, client_token: str | None, request: bytes) -> Task:
        """Keep a new task, or find the one that the token has made. Raises Conflict, QuotaExceeded."""
        with self._file.changing:
            made = self.of_request(client_token, request)
            if made is not None:
                return made
            self._check_active(task)
            token, hashed = self._hash(client_token.encode()) if client_token else None, self._hash(request)
            row = {"account": self._account, "id": task.id, "client_token": token, "request": hashed}
            of = tables.BATCH_LOAD_TASKS
            with self._file.transaction() as connection:
                connection.execute(of.insert(), tables.sealed(of, {**row, "details": self._sealed(task)}))
            self._note(task, token, hashed)
        return task

    def task(self, id: str) -> Task:
        """Raises NotFound."""
        with self._lock:
            task = self._tasks.get(id)
        if task is None:
            raise NotFound("batch load task", id)
        return task

    def page(self, status: TaskStatus | None, after: str | None, limit: int) -> list[Task]:
        """At most `limit` tasks, the newest first, beginning behind the task `after`; without a status, of all."""
        with self._lock:
            tasks = list(reversed(self._tasks.values()))
        if after is not None:
            last = self.task(after)
            tasks = [task for task in tasks if (task.created_ns, task.id) < (last.created_ns, last.id)]
        return [task for task in tasks if status in (None, task.status)][:limit]

    def active(self) -> list[Task]:
        """Those that are to be worked on, oldest first."""
        with self._lock:
            return [task for task in self._tasks.values() if task.status.is_active]

    def totals(self) -> tuple[Counter[TaskStatus], Progress]:
        """How many tasks stand where, and what became of the records of all of them together."""
        with self._lock:
            tasks = list(self._tasks.values())
        ingested = sum(task.progress.ingested for task in tasks)
        refused = sum(task.progress.ingestion_failures for task in tasks)
        return Counter(task.status for task in tasks), Progress(ingested=ingested, ingestion_failures=refused)

    def resume(self, id: str) -> None:
        """Let a stopped task go on. Raises NotFound, Invalid for another state, Throttled over the quota."""
        with self._file.changing:
            task = self.task(id)
            if task.status is not TaskStatus.PROGRESS_STOPPED:
                raise Invalid(f"The batch load task {id} is {task.status.value}: only a stopped one can be resumed.")
            assert task.resumable_until_ns is not None
            if self._clock.now_ns() >= task.resumable_until_ns:
                raise Invalid(f"The batch load task {id} can no longer be resumed.")
            if len(self.active()) >= self._limits.active_per_account:
                raise Throttled("Too many batch load tasks are active. Resume again later.")
            self._put(replace(task, status=TaskStatus.PENDING_RESUME, message=None, resumable_until_ns=None))

    def begin(self, id: str, files: Sequence[SourceFile] | None) -> None:
        """A task is being worked on; `files` are its files, told at the first time."""
        of = tables.BATCH_LOAD_FILES
        with self._file.changing, self._file.transaction() as connection:
            if files:
                connection.execute(of.insert(), [self._file_row(id, file) for file in files])
            self._put(replace(self.task(id), status=TaskStatus.IN_PROGRESS), connection)

    def files(self, id: str) -> list[SourceFile]:
        """The files of a task that has begun, in order of place; none before. Raises Corrupt."""
        with self._file.transaction() as connection:
            rows = [row for row in tables.read(connection, tables.BATCH_LOAD_FILES) if row["task_id"] == id]
        sealed = [(row["details"], self._purpose(id, "file", row["place"])) for row in rows]
        files = [_decode_file(self._keys.unseal(*one)) for one in sealed]
        return sorted(files, key=lambda file: file.place)

    def advance(self, id: str, progress: Progress, file: SourceFile, failed: Sequence[FailedLines]) -> None:
        """A file is loaded up to `file.position`; `failed` are lines of it that are new for the report."""
        of, lines = tables.BATCH_LOAD_FILES, tables.BATCH_LOAD_FAILURES
        chosen = of.update().where(of.c.account == self._account, of.c.task_id == id, of.c.place == file.place)
        with self._file.changing, self._file.transaction() as connection:
            connection.execute(chosen, self._file_row(id, file))
            if failed:
                number = connection.scalar(sa.select(sa.func.count()).where(*self._is_of(lines, id)))
                connection.execute(lines.insert(), self._lines_row(id, number or 0, file.place, failed))
            self._put(replace(self.task(id), progress=progress), connection)

    def failures(self, id: str) -> list[tuple[int, list[FailedLines]]]:
        """Everything for the report: places of files, each with failed lines, in the order they were told."""
        with self._file.transaction() as connection:
            rows = [row for row in tables.read(connection, tables.BATCH_LOAD_FAILURES) if row["task_id"] == id]
        found = []
        for row in sorted(rows, key=lambda row: int(row["number"])):
            data = zlib.decompress(self._keys.unseal(row["lines"], self._purpose(id, "lines", row["number"])))
            found.append((int(row["place"]), _decode_failed(data)))
        return found

    def finish(self, id: str, status: TaskStatus, message: str | None, progress: Progress) -> None:
        """A task has ended, or stopped for now."""
        hours = self._limits.resumable_hours if status is TaskStatus.PROGRESS_STOPPED else None
        until_ns = None if hours is None else self._clock.now_ns() + hours * NS_PER_HOUR
        with self._file.changing:
            task = replace(self.task(id), status=status, message=message, resumable_until_ns=until_ns)
            self._put(replace(task, progress=progress))

    def _check_active(self, task: Task) -> None:
        active = self.active()
        of_table = sum(one.table_id == task.table_id for one in active)
        checks.check_quota("active batch load tasks of a table", of_table, self._limits.active_per_table)
        checks.check_quota("active batch load tasks", len(active), self._limits.active_per_account)

    def _put(self, task: Task, connection: sa.Connection | None = None) -> None:
        """Put a task in the place of its older form, within a transaction or in one of its own."""
        if connection is None:
            with self._file.transaction() as own:
                self._put(task, own)
            return
        task = replace(task, updated_ns=self._clock.now_ns())
        of = tables.BATCH_LOAD_TASKS
        chosen = sa.and_(of.c.account == self._account, of.c.id == task.id)
        row = dict(connection.execute(sa.select(of).where(chosen)).mappings().one())
        del row["checksum"]
        changed = tables.sealed(of, {**row, "details": self._sealed(task)})
        connection.execute(of.update().where(chosen), changed)
        with self._lock:
            self._tasks[task.id] = task

    def _note(self, task: Task, token: str | None, request: str) -> None:
        with self._lock:
            self._tasks[task.id] = task
            if token is not None:
                self._requests[token] = (task.id, request)

    def _hash(self, data: bytes) -> str:
        return hmac.digest(self._keys.token_key, b"batch load" + data, hashlib.sha256).hex()

    def _sealed(self, task: Task) -> bytes:
        return self._keys.seal(msgspec.json.encode(task), self._purpose(task.id))

    def _purpose(self, id: str, *parts: object) -> str:
        return "/".join(("batch_load", self._account, id, *map(str, parts)))

    def _file_row(self, id: str, file: SourceFile) -> dict[str, object]:
        details = self._keys.seal(msgspec.json.encode(file), self._purpose(id, "file", file.place))
        row = {"account": self._account, "task_id": id, "place": file.place, "details": details}
        return tables.sealed(tables.BATCH_LOAD_FILES, row)

    def _lines_row(self, id: str, number: int, place: int, failed: Sequence[FailedLines]) -> dict[str, object]:
        packed = zlib.compress(msgspec.json.encode(failed))
        sealed = self._keys.seal(packed, self._purpose(id, "lines", number))
        row = {"account": self._account, "task_id": id, "number": number, "place": place, "lines": sealed}
        return tables.sealed(tables.BATCH_LOAD_FAILURES, row)

    def _is_of(self, of: sa.Table, id: str) -> tuple[sa.ColumnElement[bool], ...]:
        return of.c.account == self._account, of.c.task_id == id
