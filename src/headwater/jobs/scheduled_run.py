"""One run of a scheduled query: the query, its rows as records of the target table, and how it ended.

`jobs/scheduled` makes one for each run and calls it on a thread of its own. Which runs there are, their history and
their notifications are not its matter. A run that is repeated after a crash writes the same records again, as a later
version of what the first try left. Source: scheduled-queries.md 3, 4, 6, 7.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from headwater.catalog.catalog import Catalog
from headwater.errors import Corrupt, Fault, Rejected, Throttled, Unavailable
from headwater.ingest.target import check_target
from headwater.ingest.target_rows import Mapped, RowMapper
from headwater.ingest.validate import Validated, required_dimension
from headwater.ingest.write import Ingest
from headwater.jobs.error_reports import ErrorReport
from headwater.jobs.scheduled_role import assume
from headwater.model.limits import Limits
from headwater.model.scheduled_query import (
    BegunRun,
    ExecutionStats,
    Run,
    RunInsights,
    RunStatus,
    ScheduledQuery,
    TargetConfiguration,
)
from headwater.model.time import NS_PER_S, Clock
from headwater.model.types import Scalar
from headwater.objects import Buckets
from headwater.query.job import JobQuery
from headwater.query.result import Result
from headwater.query.run import Queries
from headwater.rights.roles import Roles
from headwater.sql.compile import ParameterValue
from headwater.sql.parameters import RUNTIME

_log = structlog.get_logger("jobs")

ROWS_AT_ONCE = 2_000
"""So many rows are made records and written together."""

TRIES = 10
RETRY_FIRST_S = 0.1
"""How long a throttled write waits before its second try; twice as long before each further one."""

METERED_UNIT_BYTES = 1_024

_PASSING = (Throttled, Unavailable, Corrupt)
"""Faults that are not the user's. Any other would come again at the next run: then the query is disabled."""

INTERNAL = "An internal error occurred while the query ran."


CANCELLED = "The run was cancelled."


class Stopped(Exception):
    """The run was cancelled. Nothing is known of how it would have ended."""


@dataclass(frozen=True, slots=True)
class Rooms:
    """What a run needs of the server."""

    catalog: Catalog
    queries: Queries
    ingest: Ingest
    buckets: Buckets
    clock: Clock
    limits: Limits
    new_id: Callable[[], str]
    roles: Roles


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. `is_fatal` if the next one would end so too."""

    run: Run
    is_fatal: bool = False


class RunningQuery:
    """`execute` is called once. The other calls may come from any thread."""

    def __init__(self, rooms: Rooms, query: ScheduledQuery, begun: BegunRun, trigger_ms: int) -> None:
        """`trigger_ms` is also the version of the records: it must be greater than that of any earlier run."""
        self.query = query
        self.begun = begun
        self.trigger_ms = trigger_ms
        self._rooms = rooms
        self._cancelled = threading.Event()
        self._cancel_reason: str | None = None
        self._job: JobQuery | None = None
        self._stats = ExecutionStats()
        self._report = ErrorReport(
            rooms.buckets, query, begun.invocation_s, trigger_ms, rooms.new_id(), is_manual=begun.is_manual
        )

    def cancel(self, reason: str | None = None) -> None:
        """Make `execute` raise Stopped within a moment. With a reason that is how the run has ended: else it is begun
        anew at the next start."""
        self._cancel_reason = reason or self._cancel_reason
        self._cancelled.set()
        if self._job is not None:
            self._job.cancel()

    @property
    def progress_percent(self) -> float:
        """Of the query; 100 while its rows are written."""
        return 100.0 if self._stats.result_rows else self._job.progress_percent if self._job else 0.0

    def cancelled_outcome(self) -> Outcome | None:
        """How the run has ended that raised Stopped; None if it is to be begun anew."""
        if self._cancel_reason is None:
            return None
        status = RunStatus.of(is_manual=self.begun.is_manual, has_failed=True)
        return Outcome(
            Run(self.begun.invocation_s, self.trigger_ms, status, self._stats, failure_reason=self._cancel_reason)
        )

    def execute(self) -> Outcome:
        """Run to the end, whatever that is. Raises Stopped, and no fault."""
        started_s = self._rooms.clock.monotonic_s()
        fault: Fault | None = None
        insights: RunInsights | None = None
        try:
            insights = self._run()
        except Fault as error:
            self._stop_if_cancelled()
            fault = error
        location = None if fault else self._report.finish()
        self._stop_if_cancelled()
        if self._report.failure is not None:
            _log.error("error report not written", arn=self.query.arn, reason=self._report.failure)
        stats = replace(self._stats, execution_ms=round((self._rooms.clock.monotonic_s() - started_s) * 1_000))
        has_failed = fault is not None or self._report.errors > 0
        run = Run(
            self.begun.invocation_s,
            self.trigger_ms,
            RunStatus.of(is_manual=self.begun.is_manual, has_failed=has_failed),
            stats,
            location,
            self._reason(fault),
            insights,
        )
        return Outcome(run, fault is not None and not isinstance(fault, _PASSING))

    def _run(self) -> RunInsights | None:
        role = assume(self._rooms.roles, self.query, self._report.place)
        runtime = ParameterValue(self.begun.invocation_s * NS_PER_S, Scalar.TIMESTAMP)
        job = self._rooms.queries.for_job(
            self.query.query_string, {RUNTIME: runtime}, role, wants_insights=self.begun.wants_insights
        )
        with job:
            self._job = job
            self._stop_if_cancelled()
            result = job.run()
            self._stats = ExecutionStats(
                metered_bytes=result.metered_bytes, scanned_bytes=result.scanned_bytes, result_rows=result.rows.count
            )
            if self.query.target is not None:
                self._write(self.query.target, result)
            touched = result.insights
            return None if touched is None else RunInsights(touched, result.rows.count, result.rows.bytes)

    def _write(self, target: TargetConfiguration, result: Result) -> None:
        """All rows, some at a time. Raises Invalid, NotFound, Throttled, Unavailable, Stopped."""
        table = self._rooms.catalog.table(target.database, target.table)
        required = required_dimension(table.partition_key)
        # What the table's columns have against it, each record hears for itself.
        check_target(target, [(column.name, column.type) for column in result.columns], None, required)
        mapper = RowMapper(target, result.columns, self._rooms.limits, required)
        written_bytes = 0
        for start in range(0, result.rows.count, ROWS_AT_ONCE):
            self._stop_if_cancelled()
            rows = result.rows.slice(start, min(ROWS_AT_ONCE, result.rows.count - start))
            mapped = mapper.map(rows, self.trigger_ms)
            refused = self._store(target, mapped)
            for fault in mapped.faults:
                self._report.add_row(fault)
            for place, reason in refused.items():
                self._report.add_record(reason, mapped.records[place])
            written_bytes += sum(r.bytes for place, r in enumerate(mapped.records) if place not in refused)
            self._stats = replace(
                self._stats,
                written_bytes=-(-written_bytes // METERED_UNIT_BYTES) * METERED_UNIT_BYTES,
                records_ingested=self._stats.records_ingested + len(mapped.records) - len(refused),
            )

    def _store(self, target: TargetConfiguration, mapped: Mapped) -> dict[int, str]:
        """Write records; the reasons of those that were not taken, by place. Waits while writes are throttled."""
        validated = Validated(mapped.columns, mapped.rejected)
        for attempt in range(TRIES):
            try:
                table = self._rooms.catalog.table(target.database, target.table)
                self._rooms.ingest.store(table, validated).result()
            except Rejected as fault:
                return {record.index: record.reason for record in fault.records}
            except Throttled:
                self._cancelled.wait(RETRY_FIRST_S * 2**attempt)
                self._stop_if_cancelled()
            else:
                return {}
        raise Throttled("The results could not be written: too much is being written at once.")

    def _stop_if_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise Stopped

    def _reason(self, fault: Fault | None) -> str | None:
        if fault is None:
            errors = self._report.errors
            return f"{errors} rows or records of the result could not be written." if errors else None
        # What these say is for the log only.
        if isinstance(fault, Unavailable | Corrupt):
            _log.error("scheduled query failed", arn=self.query.arn, reason=fault.message)
            return INTERNAL
        return fault.message
