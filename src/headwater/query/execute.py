"""Executing a plan: scan, run, keep the result. `run` calls this on a thread of the query pool.

Knows nothing of pages, tokens and clients.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

import pyarrow as pa

from headwater.catalog.catalog import Catalog
from headwater.config import QuerySettings
from headwater.engine.engine import Engine
from headwater.engine.engine import Run as EngineRun
from headwater.errors import Conflict, Fault, Unavailable
from headwater.model.insights import Coverage, Insights, TableCoverage, Unloaded
from headwater.model.scan import Scan, ScanRequest, TimeRange
from headwater.model.table import MEASURE_NAME, Table, TableId, expiry_ns
from headwater.model.time import NS_PER_S, Clock
from headwater.objects import Buckets
from headwater.query.narrowing import narrowed
from headwater.query.result import Result
from headwater.query.spool import Spool
from headwater.query.unload import Unload
from headwater.sealing import Randomness
from headwater.sql.compile import QueryPlan, UnloadPlan
from headwater.storage.store import Store
from headwater.threads import begin_turn, pass_on

METERED_LEAST_BYTES = 10_000_000
"""What the service charges at least for a SELECT. Source: sql.md 2.3."""


@dataclass(eq=False, slots=True)
class Execution:
    """One run of a plan, from the moment it is queued. Tells how far it is; `cancel` ends it, whether begun or not."""

    query_id: str
    plan: QueryPlan | UnloadPlan
    now_ns: int
    """The run's now(): what is expired then is not seen."""
    engine_run: EngineRun = field(default_factory=EngineRun)
    wants_insights: bool = False
    scan_bytes: int = 0
    """What the scans hold that the run has to read."""
    tables: dict[TableId, TableCoverage] = field(default_factory=dict)
    """What of each table the scans read, if insights are wanted."""

    def cancel(self) -> None:
        self.engine_run.cancel()

    @property
    def progress_percent(self) -> float:
        """0 to 99: whoever asks does so because it has not ended."""
        return min(self.engine_run.progress_percent, 99.0)

    @property
    def scanned_bytes(self) -> int:
        """What it has read so far, as far as the engine's progress tells."""
        return int(self.scan_bytes * self.progress_percent / 100)


class Executor:
    """Runs plans. Any number of threads may call `execute` at once.

    `ended` counts runs by outcome, `scanned_bytes` and `metered_bytes` what they read, all since the start.
    """

    def __init__(
        self,
        catalog: Catalog,
        store: Store,
        engine: Engine,
        clock: Clock,
        settings: QuerySettings,
        spool: Spool,
        buckets: Buckets,
        randomness: Randomness,
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._engine = engine
        self._clock = clock
        self._settings = settings
        self._spool = spool
        self._buckets = buckets
        self._randomness = randomness
        self._running: set[Execution] = set()
        self._lock = threading.Lock()
        self._is_closing = False
        # All keys are there from the start, so that others may read while one counts.
        self.ended = Counter(succeeded=0, failed=0, cancelled=0)
        self.scanned_bytes = 0
        self.metered_bytes = 0

    def close(self) -> None:
        """Cancel what runs; what is still to begin will not."""
        with self._lock:
            self._is_closing = True
            running = list(self._running)
        for execution in running:
            execution.cancel()

    def execute(self, execution: Execution) -> Result:
        """The result of a plan. Raises QueryFailed, Conflict when cancelled, Corrupt, Unavailable."""
        with self._lock:
            if self._is_closing:
                raise Unavailable("the server is stopping")
            self._running.add(execution)
        outcome = "failed"
        try:
            result = self._read(execution)
            outcome = "succeeded"
            return result
        except Fault as fault:
            if execution.engine_run.is_cancelled:
                outcome = "cancelled"
            # A failed run is kept as long as any other: without its frames, which hold what it read.
            fault.__cause__ = fault.__context__ = None
            raise fault.with_traceback(None)  # noqa: B904 - the cause is what must go
        finally:
            with self._lock:
                self._running.discard(execution)
                self.ended[outcome] += 1
                self.scanned_bytes += execution.scan_bytes if outcome == "succeeded" else execution.scanned_bytes
                self.metered_bytes += _metered(execution) if outcome == "succeeded" else 0

    def running(self) -> set[Execution]:
        """What runs now."""
        with self._lock:
            return set(self._running)

    def _read(self, execution: Execution) -> Result:
        plan = execution.plan
        if isinstance(plan, UnloadPlan):
            unload = Unload(execution.query_id, plan, self._buckets, lambda: self._randomness(8).hex())
            with self._rows(execution, plan.query) as rows:
                answer, unloaded = unload.run(rows)
            return replace(
                answer,
                scanned_bytes=execution.scan_bytes,
                metered_bytes=_metered(execution),
                insights=_insights(execution, unloaded),
            )
        for part in parts_tried(plan, self._catalog, self._store, execution.now_ns):
            found = self._gathered(execution, part)
            if plan.newest_first is not None and found.rows.count == plan.newest_first.rows:
                return found
            self._spool.forget(execution.query_id)
        return self._gathered(execution, plan)

    def _gathered(self, execution: Execution, plan: QueryPlan) -> Result:
        gathering = self._spool.gather(execution.query_id, self._clock.now_ns() // NS_PER_S)
        try:
            with self._rows(execution, plan) as rows:
                begin_turn()
                for batch in rows:
                    pass_on()
                    gathering.add(batch)
                schema = rows.schema
            insights = _insights(execution, None)
            return gathering.finish(schema, plan.columns, execution.scan_bytes, _metered(execution), insights)
        finally:
            gathering.discard()

    @contextmanager
    def _rows(self, execution: Execution, plan: QueryPlan) -> Iterator[pa.RecordBatchReader]:
        """The rows of a plan as the engine makes them. Raises Conflict when the run was cancelled meanwhile."""
        with ExitStack() as stack:
            scans: dict[str, Scan] = {}
            for relation, request in plan.scans:
                table = self._catalog.table_by_id(request.table)
                alive = without_expired(table, request, execution.now_ns)
                if execution.wants_insights:
                    self._note_coverage(execution, table, alive)
                scans[relation] = scan = self._store.scan(alive)
                stack.callback(scan.close)
            execution.scan_bytes = sum(scan.bytes for scan in scans.values())
            timeout_s = self._settings.timeout_s
            with self._engine.stream(plan.sql, scans, timeout_s=timeout_s, run=execution.engine_run) as rows:
                yield rows
                if execution.engine_run.is_cancelled:
                    raise Conflict("The query was cancelled")

    def _note_coverage(self, execution: Execution, table: Table, request: ScanRequest) -> None:
        """A table that is scanned twice counts with the more of each."""
        found = self._store.coverage(request, table.partition_dimension)
        known = execution.tables.get(table.id)
        if known is not None:
            found = Coverage(max(found.spatial, known.coverage.spatial), max(found.span_ns, known.coverage.span_ns))
        key = table.partition_dimension or MEASURE_NAME.name
        execution.tables[table.id] = TableCoverage(table.database, table.name, key, found)


def parts_tried(plan: QueryPlan, catalog: Catalog, store: Store, now_ns: int) -> Iterator[QueryPlan]:
    """What to try before the whole plan. Raises what `Store.span` raises."""
    if plan.newest_first is None:
        return iter(())
    request = dict(plan.scans)[plan.newest_first.relation]
    alive = without_expired(catalog.table_by_id(request.table), request, now_ns)
    return narrowed(plan, alive.time.intersect(store.span(request.table)))


def without_expired(table: Table, request: ScanRequest, now_ns: int) -> ScanRequest:
    """Records past both retentions are invisible from the moment they are. Source: storage.md 3."""
    alive = TimeRange(start_ns=expiry_ns(table.retention, now_ns))
    return replace(request, time=request.time.intersect(alive))


def _insights(execution: Execution, unloaded: Unloaded | None) -> Insights | None:
    return Insights(tuple(execution.tables.values()), unloaded) if execution.wants_insights else None


def _metered(execution: Execution) -> int:
    return max(execution.scan_bytes, METERED_LEAST_BYTES)
