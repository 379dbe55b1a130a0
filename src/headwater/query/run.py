"""The life of a query: compile, scan, run, page. `server` calls `Queries.run`, once for each call of a client.

A call answers within a minute whatever the query needs: one that is still running gets an empty page with a
token, and the client comes back. Source: query-api.md 1.1.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import ExitStack
from dataclasses import dataclass, replace

from headwater.catalog.catalog import Catalog
from headwater.config import QuerySettings
from headwater.engine.engine import Engine
from headwater.engine.engine import Run as EngineRun
from headwater.errors import Fault, NotFound, Throttled, Unavailable
from headwater.model.limits import Limits
from headwater.model.scan import Scan, ScanRequest, TimeRange
from headwater.model.table import Columns, TableId, expiry_ns
from headwater.model.time import Clock
from headwater.model.types import OutputColumn
from headwater.query.cursor import Cursors, Run
from headwater.query.metadata import metadata_result
from headwater.query.result import Result
from headwater.sql.compile import Names, QueryPlan, compile_query
from headwater.storage.store import Store

CALL_LIMIT_S = 50.0
"""So long a call waits for its query; clients give up after 60 s."""

WAITING_QUERIES = 32

_METERED_LEAST_BYTES = 10_000_000
"""What the service charges at least for a SELECT. Source: sql.md 2.3."""


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """One page: `rows` are JSON texts. `next_token` is None on the last page."""

    query_id: str
    columns: tuple[OutputColumn, ...]
    rows: list[bytes]
    next_token: str | None
    progress_percent: float
    bytes_scanned: int
    bytes_metered: int


@dataclass(frozen=True, slots=True)
class CatalogNames(Names):
    """The names a query may use, as they are when it is compiled."""

    catalog: Catalog
    store: Store

    def has_database(self, name: str) -> bool:
        return self.catalog.has_database(name)

    def table(self, database: str, name: str) -> tuple[TableId, Columns] | None:
        try:
            table = self.catalog.table(database, name)
            return table.id, self.store.columns(table.id)
        except NotFound:
            return None


class Queries:
    """All queries of a server. Any thread may call."""

    def __init__(
        self,
        catalog: Catalog,
        store: Store,
        engine: Engine,
        clock: Clock,
        settings: QuerySettings,
        limits: Limits,
        token_key: bytes,
        new_query_id: Callable[[], str],
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._engine = engine
        self._clock = clock
        self._settings = settings
        self._limits = limits
        self._new_query_id = new_query_id
        self._names = CatalogNames(catalog, store)
        self._cursors = Cursors(token_key, clock, settings.memory_bytes // 2)
        self._executor = ThreadPoolExecutor(settings.concurrency, "query")
        self._running: set[EngineRun] = set()
        self._lock = threading.Lock()
        self._is_closing = False
        self._admission = threading.Semaphore(settings.concurrency + WAITING_QUERIES)

    def close(self) -> None:
        """End the queries that run."""
        with self._lock:
            self._is_closing = True
            running = list(self._running)
        for run in running:
            run.cancel()
        self._executor.shutdown(cancel_futures=True)

    def run(
        self,
        text: str,
        client_token: str | None = None,
        next_token: str | None = None,
        max_rows: int | None = None,
    ) -> QueryAnswer:
        """One page of a query; without `next_token` a new run of it begins.

        Raises Invalid (text, names, types, token), QueryFailed (while running), Throttled.
        """
        if next_token is not None:
            run, row = self._cursors.resume(next_token, text)
            return self._page(run, row, max_rows, is_first=False)
        run = (client_token and self._cursors.repeated(client_token, text, max_rows)) or self._begin(
            text, client_token, max_rows
        )
        return self._page(run, 0, max_rows, is_first=True)

    def _begin(self, text: str, client_token: str | None, max_rows: int | None) -> Run:
        plan = compile_query(text, self._names, self._clock.now_ns(), self._limits)
        if isinstance(plan, QueryPlan):
            columns, result = plan.columns, self._submit(plan)
        else:
            result = Future()
            result.set_result(metadata_result(plan, self._catalog, self._store))
            columns = result.result().columns
        run = Run(self._new_query_id(), text, columns, result, self._clock.monotonic_s(), client_token, max_rows)
        self._cursors.add(run)
        return run

    def _submit(self, plan: QueryPlan) -> Future[Result]:
        if not self._admission.acquire(blocking=False):
            raise Throttled("Too many queries are running or waiting. Send again later.")
        result = self._executor.submit(self._execute, plan)
        result.add_done_callback(lambda _: self._admission.release())
        return result

    def _execute(self, plan: QueryPlan) -> Result:
        try:
            return self._read(plan)
        except Fault as fault:
            # A failed run is kept as long as any other: without its frames, which hold what it read.
            fault.__cause__ = fault.__context__ = None
            raise fault.with_traceback(None)  # noqa: B904 - the cause is what must go

    def _read(self, plan: QueryPlan) -> Result:
        run = EngineRun()
        with self._lock:
            if self._is_closing:
                raise Unavailable("the server is stopping")
            self._running.add(run)
        with ExitStack() as stack:
            stack.callback(self._running.discard, run)
            scans: dict[str, Scan] = {}
            for relation, request in plan.scans:
                scans[relation] = scan = self._store.scan(self._without_expired(request))
                stack.callback(scan.close)
            table = self._engine.run(plan.sql, scans, timeout_s=self._settings.timeout_s, run=run)
            scanned = sum(scan.bytes for scan in scans.values())
        return Result(table, plan.columns, scanned, max(scanned, _METERED_LEAST_BYTES))

    def _without_expired(self, request: ScanRequest) -> ScanRequest:
        """Records past both retentions are invisible from the moment they are. Source: storage.md 3."""
        retention = self._catalog.table_by_id(request.table).retention
        alive = TimeRange(start_ns=expiry_ns(retention, self._clock.now_ns()))
        return replace(request, time=request.time.intersect(alive))

    def _page(self, run: Run, row: int, max_rows: int | None, *, is_first: bool) -> QueryAnswer:
        try:
            result = run.result.result(timeout=CALL_LIMIT_S)
        except FutureTimeout:
            return QueryAnswer(run.query_id, run.columns, [], self._cursors.token(run, row), 0.0, 0, 0)
        try:
            if is_first and max_rows is not None and result.rows >= max(max_rows, 1):
                # The service sends rows at once only when there are fewer than MaxRows. Source: query-api.md 1.1.3.
                rows: list[bytes] = []
            else:
                rows = list(result.page(row, max_rows or result.rows, self._limits.page_bytes))
            end = row + len(rows)
            token = self._cursors.token(run, end) if end < result.rows else None
        finally:
            # Also when a row is too large for a page: the result is kept all the same.
            self._cursors.ended(run, result.size_bytes)
        return QueryAnswer(run.query_id, run.columns, rows, token, 100.0, result.scanned_bytes, result.metered_bytes)
