"""Scheduled queries: which runs are due, each begun once, on threads of their own, and what is told of them.

The runner calls `run` every half second; the server calls `run_manually`. A slot is claimed in the catalog before it
is run, so that it is run once whatever the clock and the process do; a run that a crash or a stop cut short is begun
anew at the next start. What a run does is `scheduled_run`'s matter. Source: scheduled-queries.md 3, 7; what becomes of
missed slots is a *guess*.
"""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog

from headwater.catalog.scheduled import RUNS_KEPT
from headwater.errors import NotFound, Unavailable
from headwater.jobs import messages
from headwater.jobs.notify import Notifications
from headwater.jobs.scheduled_run import CANCELLED, INTERNAL, Outcome, Rooms, RunningQuery, Stopped
from headwater.model.scheduled_query import BegunRun, Run, RunStatus, ScheduledQuery, State
from headwater.model.time import NS_PER_MS, NS_PER_S, S_PER_DAY

_log = structlog.get_logger("jobs")

RUNS_AT_ONCE = 4
MANUAL_AT_ONCE = 2
"""Of all queries together, and those of them that were asked for by hand: many such keep no schedule waiting. The runs
of one query that its schedule begins never overlap."""

CATCH_UP_S = S_PER_DAY
"""Slots that were missed are run late, in order, unless they are older than this; then the latest such ones are."""

STOP_S = 1.0


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A run that goes on now."""

    begun: BegunRun
    trigger_ms: int
    progress_percent: float


class Scheduled:
    """All runs of all scheduled queries. Any thread may call."""

    def __init__(self, rooms: Rooms, notifications: Notifications) -> None:
        self._rooms = rooms
        self._queries = rooms.catalog.scheduled
        self._notifications = notifications
        self._lock = threading.Lock()
        self._ended = threading.Condition(self._lock)
        self._active: list[RunningQuery] = []
        self._slots: dict[str, tuple[ScheduledQuery, int | None]] = {}
        self._last_trigger_ms: dict[str, int] = {}
        self._is_stopping = False
        self._by_status: Counter[RunStatus] = Counter()

    def run(self) -> None:
        """Begin what is due, as far as there is room. Returns at once."""
        with self._lock:
            self._begin_due()

    def run_manually(
        self, arn: str, invocation_s: int, client_token: str | None, *, wants_insights: bool = False
    ) -> None:
        """Ask for a run with this `@scheduled_runtime`, which will happen also after a restart. Raises NotFound."""
        self._queries.begin_manual(arn, invocation_s, client_token, wants_insights=wants_insights)
        self.run()

    def running(self) -> list[RunningJob]:
        """What goes on now, the oldest first."""
        with self._lock:
            return [RunningJob(one.begun, one.trigger_ms, one.progress_percent) for one in self._active]

    def cancel(self, query_id: str) -> int:
        """End the runs of a query that go on, by its name with the suffix; how many those are. Each counts as failed,
        which disables nothing."""
        with self._lock:
            found = [one for one in self._active if one.query.id == query_id]
            for one in found:
                one.cancel(CANCELLED)
        return len(found)

    def ended(self) -> dict[RunStatus, int]:
        """How many runs have ended how, since the start."""
        with self._lock:
            return {status: self._by_status[status] for status in RunStatus}

    def settle(self, timeout_s: float) -> bool:
        """Wait until nothing runs and nothing is due any more; whether that came in time."""
        with self._ended:
            return self._ended.wait_for(lambda: not self._active, timeout_s)

    def stop(self) -> None:
        """Cut the runs short and begin no others; after this nothing is written to the catalog."""
        with self._lock:
            self._is_stopping = True
            for one in self._active:
                one.cancel()
        if not self.settle(STOP_S):
            _log.warning("scheduled queries did not stop in time", arns=[one.query.arn for one in self._active])

    def _begin_due(self) -> None:
        """Runs that are begun already come first: what a crash cut short, and what was asked for by hand."""
        if self._is_stopping:
            return
        queries = {query.arn: query for query in self._queries.all()}
        for one in self._active:
            if one.query.arn not in queries:
                one.cancel()
        unfinished = list(self._queries.unfinished())
        waiting = list((Counter(unfinished) - Counter(one.begun for one in self._active)).elements())
        for begun in waiting:
            if not begun.is_manual or self._count(is_manual=True) < MANUAL_AT_ONCE:
                self._begin(queries, begun)
        busy = {begun.arn for begun in unfinished if not begun.is_manual}
        for slot_s, query in self._due(queries, busy):
            # A query may be deleted at any moment.
            with suppress(NotFound):
                if len(self._active) < RUNS_AT_ONCE and self._queries.claim(query.arn, slot_s):
                    self._begin(queries, BegunRun(query.arn, slot_s, is_manual=False))
                    self._slots.pop(query.arn)

    def _count(self, *, is_manual: bool) -> int:
        return sum(one.begun.is_manual is is_manual for one in self._active)

    def _due(self, queries: dict[str, ScheduledQuery], busy: set[str]) -> list[tuple[int, ScheduledQuery]]:
        """The next slot of each query that is due now and not running, the oldest first."""
        now_s = self._rooms.clock.now_ns() // NS_PER_S
        # A query is another object when its state has changed: then its next slot has, too.
        self._slots = {arn: known for arn, known in self._slots.items() if queries.get(arn) is known[0]}
        due = []
        for query in queries.values():
            if query.arn not in self._slots:
                with suppress(NotFound):
                    self._slots[query.arn] = query, self._queries.next_slot_s(query.arn)
            slot_s = self._slots.get(query.arn, (query, None))[1]
            if slot_s is not None and slot_s <= now_s and query.arn not in busy:
                due.append((_not_too_old(query, slot_s, now_s), query))
        return sorted(due, key=lambda one: one[0])

    def _begin(self, queries: dict[str, ScheduledQuery], begun: BegunRun) -> None:
        """If there is room; else it waits for the next time."""
        if len(self._active) >= RUNS_AT_ONCE or begun.arn not in queries:
            return
        with suppress(NotFound):
            one = RunningQuery(self._rooms, queries[begun.arn], begun, self._trigger_ms(begun.arn))
            self._active.append(one)
            threading.Thread(target=self._work, args=(one,), name="scheduled-query", daemon=True).start()

    def _trigger_ms(self, arn: str) -> int:
        """Now, but later than any earlier run began: records of a later run replace those of an earlier one also
        when the clock has been set back between them."""
        known_ms = self._last_trigger_ms.get(arn)
        if known_ms is None:
            known_ms = max((run.trigger_ms for run in self._queries.runs(arn, RUNS_KEPT)), default=0)
        self._last_trigger_ms[arn] = max(self._rooms.clock.now_ns() // NS_PER_MS, known_ms + 1)
        return self._last_trigger_ms[arn]

    def _work(self, one: RunningQuery) -> None:
        """A thread's life: one run, and then what has become due meanwhile."""
        outcome: Outcome | None
        try:
            outcome = one.execute()
        except Stopped:
            outcome = one.cancelled_outcome()
        except Exception:
            # One of the two borders of style.md, "Errors": a bug in one run must not take the others with it.
            _log.exception("job failed", job="scheduled query", arn=one.query.arn)
            status = RunStatus.of(is_manual=one.begun.is_manual, has_failed=True)
            outcome = Outcome(Run(one.begun.invocation_s, one.trigger_ms, status, failure_reason=INTERNAL))
        with self._ended:
            self._active.remove(one)
            try:
                if outcome is not None and not self._is_stopping:
                    self._end(one.query, outcome)
                self._begin_due()
            except Unavailable as fault:
                _log.error("runs of scheduled queries cannot be written down", reason=fault.message)
            finally:
                self._ended.notify_all()

    def _end(self, query: ScheduledQuery, outcome: Outcome) -> None:
        """Write down how a run ended, then tell. A query that was deleted meanwhile has nothing to tell."""
        try:
            has_disabled = self._queries.record_run(query.arn, outcome.run, disables=outcome.is_fatal)
            next_s = self._queries.next_invocation_s(query.arn)
        except NotFound:
            return
        run = outcome.run
        self._by_status[run.status] += 1
        _log.info("scheduled query ended", arn=query.arn, status=run.status.value, invocation_s=run.invocation_s)
        self._notifications.send(messages.finished(query, run, next_s))
        if has_disabled:
            self._notifications.send(messages.updated(replace(query, state=State.DISABLED)))


def _not_too_old(query: ScheduledQuery, slot_s: int, now_s: int) -> int:
    """The missed slot, or if that is too old the first one that is not; if all are, one of the latest."""
    age_s = CATCH_UP_S
    while slot_s < now_s - age_s:
        later_s = query.schedule.next_after(now_s - age_s - 1)
        if later_s is not None and later_s <= now_s:
            _log.warning("slots missed for long are not run", arn=query.arn, first_s=slot_s, next_s=later_s)
            return later_s
        age_s *= 2
    return slot_s
