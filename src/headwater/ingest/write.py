"""What becomes of a WriteRecords request: its table, the tier of each record, and what the client is told.

The server calls `Ingest.write`. Records go to the store as columns; the store logs them, decides versions and makes
them visible. Never touches a disk itself and never waits: the answer is a future.
Source: write-api.md 6.5-6.6, 7; storage.md 2, 5.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Lock
from typing import Protocol

from headwater.errors import Rejected, RejectedRecord, Unavailable
from headwater.ingest import reasons
from headwater.ingest.routing import Routed, route
from headwater.ingest.validate import Validated, validate
from headwater.model.facts import IngestFacts
from headwater.model.limits import Limits
from headwater.model.record import Conflict, LowerVersion, RecordColumns, SameVersion
from headwater.model.table import Table, TableId, time_windows
from headwater.model.time import NS_PER_MINUTE, Clock
from headwater.wire.write_records import WriteRecordsRequest


class Tables(Protocol):
    """What ingest needs of the catalog."""

    def table(self, database: str, name: str) -> Table:
        """The table as it is now. Raises NotFound for the database or the table."""


class Records(Protocol):
    """What ingest needs of the store."""

    def submit(self, table: TableId, batches: list[RecordColumns]) -> Future[list[Conflict]]:
        """Write records; when the future is done they are durable and visible, but for the conflicts."""


@dataclass(frozen=True, slots=True)
class Ingested:
    """How many records of a request went to each tier."""

    memory: int
    magnetic: int


@dataclass(slots=True)
class Tally:
    """Records counted since the start. Any thread may count."""

    memory: int = 0
    magnetic: int = 0
    rejected: int = 0
    _lock: Lock = field(default_factory=Lock)

    def add(self, memory: int, magnetic: int, rejected: int) -> None:
        with self._lock:
            self.memory += memory
            self.magnetic += magnetic
            self.rejected += rejected

    def facts(self) -> IngestFacts:
        with self._lock:
            return IngestFacts(self.memory, self.magnetic, self.rejected)


class Ingest:
    """Writes requests. `late_conflicts` counts magnetic-tier records dropped for their version since the start,
    `by_clients` and `by_jobs` what became of all records.
    """

    def __init__(self, tables: Tables, records: Records, clock: Clock, limits: Limits) -> None:
        self._tables = tables
        self._records = records
        self._clock = clock
        self._limits = limits
        self._count_lock = Lock()
        self.late_conflicts = 0
        self.by_clients = Tally()
        self.by_jobs = Tally()

    def write(self, request: WriteRecordsRequest) -> Future[Ingested]:
        """Validate a request now and submit its records; the future is done when they are durable and visible.

        Raises, with nothing submitted, NotFound for the table and Invalid for a fault of the request. The future
        raises Rejected if a record was not stored, and whatever the store's future raises. A late record that loses
        against a stored version counts as ingested. The future cannot be cancelled: records once submitted stay.
        """
        table = self._tables.table(request.database, request.table)
        return self._store(table, validate(request, self._limits, table.partition_key), self.by_clients)

    def store(self, table: Table, validated: Validated) -> Future[Ingested]:
        """Submit records that have been judged but for their times and versions. The future is that of `write`.

        For jobs, which make records of something else than requests.
        """
        return self._store(table, validated, self.by_jobs)

    def _store(self, table: Table, validated: Validated, tally: Tally) -> Future[Ingested]:
        magnetic_writes = table.magnetic_writes_enabled
        future_ns = self._limits.future_minutes * NS_PER_MINUTE
        windows = time_windows(table.retention, magnetic_writes, self._clock.now_ns(), future_ns)
        routed = route(validated.columns, validated.rejected, windows, magnetic_writes)
        outcome: Future[Ingested] = Future()
        outcome.set_running_or_notify_cancel()
        if routed.batches:
            stored = self._records.submit(table.id, routed.batches)
            stored.add_done_callback(lambda done: self._settle(done, routed, outcome, tally))
        else:
            _answer(outcome, routed, routed.rejected, tally)
        return outcome

    def _settle(self, stored: Future[list[Conflict]], routed: Routed, outcome: Future[Ingested], tally: Tally) -> None:
        """Turn the store's answer into the client's. Runs on the store's commit thread."""
        if stored.cancelled():
            outcome.set_exception(Unavailable("the store dropped the write"))
            return
        error = stored.exception()
        if error is not None:
            outcome.set_exception(error)
            return
        conflicts = stored.result()
        if conflicts:
            told = [conflict for conflict in conflicts if not _is_settled_later(conflict, routed.late)]
            with self._count_lock:
                self.late_conflicts += len(conflicts) - len(told)
            _answer(outcome, routed, [*routed.rejected, *map(reasons.of_conflict, told)], tally)
        else:
            _answer(outcome, routed, routed.rejected, tally)


def _is_settled_later(conflict: Conflict, late: frozenset[int]) -> bool:
    """True for what the service decides after the answer: versions in the magnetic tier. Source: storage.md 5."""
    return conflict.index in late and isinstance(conflict.kind, SameVersion | LowerVersion)


def _answer(outcome: Future[Ingested], routed: Routed, rejected: list[RejectedRecord], tally: Tally) -> None:
    late = len(routed.late)
    if rejected:
        # A record that was refused for its version had been sent to a tier; all others never were.
        refused = {record.index for record in rejected} - {record.index for record in routed.rejected}
        late -= len(refused & routed.late)
        memory = sum(map(len, routed.batches)) - len(routed.late) - len(refused - routed.late)
        tally.add(memory, late, len(rejected))
        outcome.set_exception(Rejected(sorted(rejected, key=lambda record: record.index)))
    else:
        memory = sum(map(len, routed.batches)) - late
        tally.add(memory, late, 0)
        outcome.set_result(Ingested(memory, late))
