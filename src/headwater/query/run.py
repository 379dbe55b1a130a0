"""The life of a query: compile, execute, page. `server` calls `Queries.run`, once for each call of a client.

A call answers within a minute whatever the query needs: one that is still running gets an empty page with a
token, and the client comes back. Source: query-api.md 1.1.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from dataclasses import dataclass, replace

import structlog

from headwater.catalog.catalog import Catalog
from headwater.config import QuerySettings
from headwater.engine.engine import Engine
from headwater.errors import Conflict, Invalid, NotFound, QueryFailed, Throttled
from headwater.model.facts import QueryFacts
from headwater.model.insights import Insights
from headwater.model.limits import Limits
from headwater.model.table import Columns, TableId
from headwater.model.time import NS_PER_S, Clock
from headwater.model.types import OutputColumn
from headwater.objects import Buckets
from headwater.query.ahead import ReadAhead
from headwater.query.cursor import Cursors, Run
from headwater.query.execute import Execution, Executor
from headwater.query.explain import Explanation, explain
from headwater.query.job import JobQuery, RoleNames
from headwater.query.metadata import metadata_result
from headwater.query.result import Page, Result
from headwater.query.spool import Spool
from headwater.query.token import Caller, PageToken, Place, invalid_token
from headwater.rights.roles import Role
from headwater.sealing import Randomness, SealingKey
from headwater.sql.compile import (
    UNLOAD_COLUMNS,
    Compiler,
    Names,
    ParameterValue,
    Plan,
    Prepared,
    QueryPlan,
    UnloadPlan,
    compile_query,
)
from headwater.storage.store import Store
from headwater.threads import stand_back

_log = structlog.get_logger("query")

CALL_LIMIT_S = 25.0
"""So long a call waits for its query. Clients hang up after 60 s, but Java 1 and JDBC after 50 s, Java 2 after 30 s."""

FIRST_PAGE_LIMIT_S = 5.0
"""So long the first call waits that names MaxRows. Its client expects an empty page, and learns what to cancel."""

GONE_CHECK_S = 0.25
"""So often a waiting call looks whether its client is still there."""

WAITING_QUERIES = 32

INSIGHTS_INTERVAL_S = 1.0

UNABLE = "Unable to poll results for a cancelled query."
"""Source: the description of ConflictException in the SDK."""

_CANCELLED_KEPT = 1_000


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """One page: `rows` are JSON, with commas between, in pieces. `next_token` is None on the last page."""

    query_id: str
    columns: tuple[OutputColumn, ...]
    rows: list[bytes | memoryview]
    next_token: str | None
    progress_percent: float
    bytes_scanned: int
    bytes_metered: int
    insights: Insights | None = None
    """On pages of a run that has ended, if its first call asked for them."""
    output_rows: int = 0
    output_bytes: int = 0
    """Of the whole result, as Arrow."""


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


def _always() -> bool:
    return True


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
        spool: Spool,
        buckets: Buckets,
        token_key: bytes,
        new_query_id: Callable[[], str],
        randomness: Randomness,
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._clock = clock
        self._settings = settings
        self._limits = limits
        self._new_query_id = new_query_id
        self._names = CatalogNames(catalog, store)
        self._compiler = Compiler(self._names, limits)
        self._spool = spool
        self._executor = Executor(catalog, store, engine, clock, settings, spool, buckets, randomness)
        key = SealingKey(token_key)
        self._cursors = Cursors(key, clock, settings.memory_bytes, randomness, lambda run: spool.forget(run.query_id))
        self._pool = ThreadPoolExecutor(settings.concurrency, "query", stand_back)
        self._read_ahead = ReadAhead(limits.page_bytes)
        self._admission = threading.Semaphore(settings.concurrency + WAITING_QUERIES)
        self._lock = threading.Lock()
        self._active: dict[str, tuple[Run, Execution]] = {}
        self._cancelled: OrderedDict[str, Caller] = OrderedDict()
        self._insights_again_s = -math.inf

    def close(self) -> None:
        """End the queries that run."""
        self._executor.close()
        self._pool.shutdown(cancel_futures=True)
        self._read_ahead.close()

    def run(
        self,
        caller: Caller,
        text: str,
        client_token: str | None = None,
        next_token: str | None = None,
        max_rows: int | None = None,
        is_wanted: Callable[[], bool] = _always,
        wants_insights: bool = False,
    ) -> QueryAnswer:
        """One page of a query; without `next_token` a new run of it begins. Ends the run if it is not wanted any more.

        Raises Invalid (text, names, types, token), QueryFailed (while running), Conflict (cancelled), Throttled.
        """
        if next_token is not None:
            named, run = self._cursors.opened(next_token, caller, text)
            run = run or self._revived(named, caller, text)
            self._cursors.use(run, named.place)
            return self._page(run, named.place, max_rows, is_wanted, is_first=False)
        known = self._cursors.repeated(caller, client_token, text, max_rows) if client_token else None
        if known is None:
            now_ns = self._clock.now_ns()
            if wants_insights:
                self._spend_insights()
            known = self._begin(self._new_query_id(), caller, text, now_ns, client_token, max_rows, wants_insights)
        return self._page(known, Place(0), max_rows, is_wanted, is_first=True)

    def prepare(self, text: str) -> Prepared:
        """The columns and parameters of a query, without running it. Raises Invalid."""
        return self._compiler.prepare(text, self._clock.now_ns())

    def explain(self, text: str) -> Explanation:
        """What a query would read, and the engine's statement, without running it. Raises Invalid, and as a scan."""
        now_ns = self._clock.now_ns()
        return explain(self._compiler.compile(text, now_ns), self._catalog, self._store, now_ns)

    def for_job(
        self, text: str, parameters: Mapping[str, ParameterValue], role: Role, *, wants_insights: bool = False
    ) -> JobQuery:
        """A SELECT for a job of the server, which runs it itself, with the rights of `role`.

        Raises Denied, Invalid (text, names, types, no SELECT).
        """
        now_ns = self._clock.now_ns()
        plan = self._compiled_for(role, text, now_ns, parameters)
        if not isinstance(plan, QueryPlan):
            raise Invalid("Only a SELECT can be scheduled.")
        execution = Execution(self._new_query_id(), plan, now_ns, wants_insights=wants_insights)
        return JobQuery(plan, execution, self._executor, self._spool)

    def _compiled_for(self, role: Role, text: str, now_ns: int, parameters: Mapping[str, ParameterValue]) -> Plan:
        """Raises Denied, Invalid."""
        if not role.is_limited:
            return self._compiler.compile(text, now_ns, parameters)
        # Not a plan of the server's cache: it was made without asking for this role's rights.
        names = RoleNames(self._names, role)
        plan = compile_query(text, names, now_ns, self._limits, parameters)
        if not names.has_read:
            role.require("timestream:SelectValues", "*")
        return plan

    def facts(self) -> QueryFacts:
        """How many run, wait and have ended. Those of jobs count too; what needs no engine, as SHOW, does not."""
        running, executor = self._executor.running(), self._executor
        with self._lock:
            waiting = sum(execution not in running for _, execution in self._active.values())
        return QueryFacts(len(running), waiting, dict(executor.ended), executor.scanned_bytes, executor.metered_bytes)

    def cancel(self, caller: Caller, query_id: str) -> str:
        """End a run; what to tell the client. Done again it changes nothing. Raises Invalid if it is not running."""
        with self._lock:
            active = self._active.get(query_id)
            if self._cancelled.get(query_id) == caller:
                return f"Query {query_id} has already been cancelled."
            if active is None or active[0].caller != caller:
                raise Invalid(f"Query {query_id} is not running.")
            self._cancelled[query_id] = caller
            if len(self._cancelled) > _CANCELLED_KEPT:
                self._cancelled.popitem(last=False)
        self._end(*active)
        return f"Query {query_id} was cancelled."

    def _spend_insights(self) -> None:
        """The service gives them to one query a second. Raises Throttled. Source: query-api.md 5."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            if now_s < self._insights_again_s:
                raise Throttled("Query insights are given to one query per second. Send again later.")
            self._insights_again_s = now_s + INSIGHTS_INTERVAL_S

    def _begin(
        self,
        query_id: str,
        caller: Caller,
        text: str,
        now_ns: int,
        client_token: str | None = None,
        max_rows: int | None = None,
        wants_insights: bool = False,
    ) -> Run:
        plan = self._compiler.compile(text, now_ns)
        started_s = self._clock.monotonic_s()
        if isinstance(plan, QueryPlan | UnloadPlan):
            execution = Execution(query_id, plan, now_ns, wants_insights=wants_insights)
            result = self._submit(execution)
            run = Run(query_id, text, caller, _columns_of(plan), result, started_s, now_ns, client_token, max_rows)
            with self._lock:
                self._active[query_id] = run, execution
            result.add_done_callback(lambda _: self._active.pop(query_id, None))
        else:
            result = Future()
            answer = metadata_result(plan, self._catalog, self._store)
            result.set_result(replace(answer, insights=Insights(())) if wants_insights else answer)
            columns = result.result().columns
            run = Run(query_id, text, caller, columns, result, started_s, now_ns, client_token, max_rows)
        self._cursors.add(run)
        _log.info("query began", query_id=query_id)
        return run

    def _submit(self, execution: Execution) -> Future[Result]:
        if not self._admission.acquire(blocking=False):
            raise Throttled("Too many queries are running or waiting. Send again later.")
        result = self._pool.submit(self._executor.execute, execution)
        result.add_done_callback(lambda _: self._admission.release())
        return result

    def _end(self, run: Run, execution: Execution) -> None:
        """Cancel a run: at once if it waits for its turn, else as soon as the engine stops."""
        execution.cancel()
        run.result.cancel()

    def _revived(self, named: PageToken, caller: Caller, text: str) -> Run:
        """A run that an earlier process began, or that had to make room: its kept result, or the run once more.

        It can be run again, with the same now(), as long as its client has seen no rows. Raises Invalid.
        """
        kept = self._spool.find(named.query_id)
        if kept is not None:
            done: Future[Result] = Future()
            done.set_result(kept)
            now_s = self._clock.monotonic_s()
            run = Run(named.query_id, text, caller, kept.columns, done, now_s, named.started_ns, is_spooled=True)
        elif named.place.row == 0 and named.query_id not in self._cancelled:
            run = self._begin(named.query_id, caller, text, named.started_ns)
        else:
            raise invalid_token()
        return self._cursors.reopened(run)

    def _page(
        self, run: Run, place: Place, max_rows: int | None, is_wanted: Callable[[], bool], *, is_first: bool
    ) -> QueryAnswer:
        limit_s = CALL_LIMIT_S if max_rows is None or not is_first else FIRST_PAGE_LIMIT_S
        if not self._has_ended(run, is_wanted, limit_s):
            return self._empty_page(run, place)
        result = _result_of(run)
        asked_rows = max_rows or result.rows.count
        try:
            if is_first and max_rows is not None and result.rows.count >= max(max_rows, 1):
                # The service sends rows at once only when there are fewer than MaxRows. Source: query-api.md 1.1.3.
                page = Page(0, [])
                next_place = Place(place.row, place.poll + 1)
            else:
                page = self._read_ahead.page(run.query_id, result, place.row, asked_rows)
                next_place = Place(place.row + page.count)
            if next_place.row < result.rows.count:
                token: str | None = self._token(run, next_place)
                self._read_ahead.begin(run.query_id, run.result.result(), next_place.row, asked_rows)
            else:
                token = None
        finally:
            # Also when a row is too large for a page: the result is kept all the same.
            self._cursors.ended(run, run.result.result().rows.memory_bytes)
        return QueryAnswer(
            run.query_id,
            run.columns,
            page.rows,
            token,
            100.0,
            result.scanned_bytes,
            result.metered_bytes,
            result.insights if page.count or token is None else None,
            result.rows.count,
            result.rows.bytes,
        )

    def _has_ended(self, run: Run, is_wanted: Callable[[], bool], limit_s: float) -> bool:
        """Wait for a run as long as a call may last. A client that has gone ends its run."""
        deadline_s = self._clock.monotonic_s() + limit_s
        with self._counted(run):
            while self._clock.monotonic_s() < deadline_s:
                try:
                    run.result.exception(timeout=GONE_CHECK_S)
                except FutureTimeout:
                    self._check_goes_on(run)
                    if not is_wanted():
                        self._abandon(run)
                except CancelledError:
                    return True
                else:
                    return True
        return False

    @contextmanager
    def _counted(self, run: Run) -> Iterator[None]:
        """One more call waits for a run."""
        with self._lock:
            run.waiting += 1
        try:
            yield
        finally:
            with self._lock:
                run.waiting -= 1

    def _check_goes_on(self, run: Run) -> None:
        """Raises Conflict or QueryFailed for a run that is cancelled or past its time, though the engine works on.

        It stops between its batches, which with large values may be seconds apart; nobody waits for that.
        """
        with self._lock:
            active = self._active.get(run.query_id)
        if active is None or not active[1].engine_run.is_over:
            return
        if active[1].engine_run.is_cancelled:
            raise Conflict(UNABLE)
        raise QueryFailed(f"Query timed out after {self._settings.timeout_s:g} seconds")

    def _abandon(self, run: Run) -> None:
        """Ends a run whose client has gone, unless a second try of that client has come to wait for it: Conflict."""
        with self._lock:
            active = self._active.get(run.query_id)
            if run.waiting > 1:
                raise Conflict(UNABLE)
        self._cursors.drop(run)
        _log.info("query abandoned", query_id=run.query_id)
        if active is not None:
            self._end(*active)

    def _empty_page(self, run: Run, place: Place) -> QueryAnswer:
        """What a client gets while its query runs: how far it is, and a token to ask again with."""
        token = self._cursors.token(run, Place(place.row, place.poll + 1))
        with self._lock:
            active = self._active.get(run.query_id)
        progress, scanned = (active[1].progress_percent, active[1].scanned_bytes) if active else (0.0, 0)
        return QueryAnswer(run.query_id, run.columns, [], token, progress, scanned, scanned)

    def _token(self, run: Run, place: Place) -> str:
        """A token of a run that has ended: from now on its result is on disk, and outlives this process."""
        if not run.is_spooled:
            kept: Future[Result] = Future()
            gathering = self._spool.gather(run.query_id, self._clock.now_ns() // NS_PER_S)
            try:
                kept.set_result(gathering.store(run.result.result()))
            finally:
                gathering.discard()
            run.result, run.is_spooled = kept, True
        return self._cursors.token(run, place)


def _columns_of(plan: QueryPlan | UnloadPlan) -> tuple[OutputColumn, ...]:
    return plan.columns if isinstance(plan, QueryPlan) else UNLOAD_COLUMNS


def _result_of(run: Run) -> Result:
    """Raises what the run ended with."""
    try:
        return run.result.result()
    except (CancelledError, Conflict) as error:
        raise Conflict(UNABLE) from error
