"""Cursors: the runs that clients are reading page by page, and the tokens that name a place in one.

A token may be used five times, for an hour, and no more once a later one of its run was used. A result that has
tokens is on disk (`spool`), so what is here is small; other results stay in memory for repeats of their call.
Source: query-api.md 1.1, 1.2.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from headwater.errors import Invalid
from headwater.model.time import NS_PER_S, Clock
from headwater.model.types import OutputColumn
from headwater.query import token as tokens
from headwater.query.result import Result
from headwater.query.token import Caller, PageToken, Place, invalid_token
from headwater.sealing import Randomness, SealingKey

TOKEN_LIFE_S = 3_600.0
TOKEN_USES = 5
REPEAT_WINDOW_S = 300.0
"""So long a call with a known ClientToken is the same run. Source: query-api.md 1.2 (guess)."""

RUN_BYTES = 4_000
"""What a run is counted with beside its result and its text."""

FIRST = Place(0)


@dataclass(eq=False, slots=True)
class Run:
    """One execution of a query. `result` is done when it has ended, well or not. `started_ns` is its now()."""

    query_id: str
    text: str
    caller: Caller
    columns: tuple[OutputColumn, ...]
    result: Future[Result]
    started_s: float
    started_ns: int
    client_token: str | None = None
    max_rows: int | None = None
    is_spooled: bool = False
    """Whether its result is on disk, so that it need not be held."""
    touched_s: float = 0.0
    """When its last token was given out."""
    held_bytes: int = 0
    """What it is counted with while it is kept."""
    newest: Place = FIRST
    uses: dict[Place, int] = field(default_factory=dict)
    waiting: int = 0
    """How many calls wait for its result."""


class Cursors:
    """The runs that can still be read. Any thread may call.

    A run is kept for repeats of its call, a few minutes, and once a token names a place in it, for its hour. The lists
    are in order of start and of the last token, so what is too old stands first.
    """

    def __init__(
        self,
        key: SealingKey,
        clock: Clock,
        memory_bytes: int,
        randomness: Randomness,
        forgotten: Callable[[Run], None],
    ) -> None:
        """`memory_bytes` is the room for what is kept; when it is used up the oldest are forgotten early.

        `forgotten` is told of runs whose tokens have ended.
        """
        self._key = key
        self._clock = clock
        self._memory_bytes = memory_bytes
        self._randomness = randomness
        self._forgotten = forgotten
        self._recent: OrderedDict[tuple[Caller, str], Run] = OrderedDict()
        self._open: OrderedDict[str, Run] = OrderedDict()
        self._held_bytes = 0
        self._lock = threading.Lock()

    def add(self, run: Run) -> None:
        """A run has begun. Without a client token it can only be named by a page token."""
        with self._lock:
            self._forget_old()
            if run.client_token:
                # Of two calls at the same time with one client token the later is the one that is repeated.
                displaced = self._recent.pop((run.caller, run.client_token), None)
                self._recent[run.caller, run.client_token] = run
                self._count(run)
                if displaced is not None:
                    self._discount(displaced)

    def ended(self, run: Run, memory_bytes: int) -> None:
        """Count the memory of a result from now on. May be said again for every page."""
        with self._lock:
            self._discount(run)
            self._count(run, memory_bytes)
            self._forget_old()

    def repeated(self, caller: Caller, client_token: str, text: str, max_rows: int | None) -> Run | None:
        """The run that an earlier call with this client token began, if it is recent.

        Raises Invalid when that call had other parameters.
        """
        with self._lock:
            self._forget_old()
            run = self._recent.get((caller, client_token))
        if run is not None and (run.text, run.max_rows) != (text, max_rows):
            raise Invalid("The client token was used before with other parameters.")
        return run

    def is_open(self, run: Run) -> bool:
        """Whether a token names a place in it."""
        with self._lock:
            return run.query_id in self._open

    def drop(self, run: Run) -> None:
        """Forget a run that nobody waits for any more: a call with its client token begins anew."""
        with self._lock:
            if self._is_recent(run):
                assert run.client_token is not None
                del self._recent[run.caller, run.client_token]
            self._open.pop(run.query_id, None)
            self._discount(run)

    def reopened(self, run: Run) -> Run:
        """Have a run again that a token names; the one that is here already, if two calls bring it at once."""
        with self._lock:
            run.touched_s = self._clock.monotonic_s()
            known = self._open.setdefault(run.query_id, run)
            if known is run and not run.held_bytes:
                self._count(run)
            return known

    def token(self, run: Run, place: Place) -> str:
        """Names a place of this run, which is kept for an hour from now on."""
        with self._lock:
            run.touched_s = self._clock.monotonic_s()
            self._open[run.query_id] = run
            self._open.move_to_end(run.query_id)
            if not run.held_bytes:
                self._count(run)
        expires_ns = self._clock.now_ns() + int(TOKEN_LIFE_S * NS_PER_S)
        named = PageToken(run.query_id, place, run.started_ns, expires_ns)
        return tokens.seal(self._key, named, run.caller, run.text, self._randomness)

    def opened(self, token: str, caller: Caller, text: str) -> tuple[PageToken, Run | None]:
        """What a token says, and its run if this process has it. Raises Invalid for one forged, of others, too old."""
        named = tokens.unseal(self._key, token, caller, text)
        if self._clock.now_ns() > named.expires_ns:
            raise invalid_token()
        with self._lock:
            self._forget_old()
            return named, self._open.get(named.query_id)

    def use(self, run: Run, place: Place) -> None:
        """Count one use of a token. Raises Invalid when it had all its uses, or a later one of the run was used."""
        with self._lock:
            if place < run.newest or run.uses.get(place, 0) >= TOKEN_USES:
                raise invalid_token()
            if place > run.newest:
                run.newest = place
                run.uses.clear()
            run.uses[place] = run.uses.get(place, 0) + 1

    def _forget_old(self) -> None:
        """Drop what is past its time, then the oldest while they need more room than there is."""
        now_s = self._clock.monotonic_s()
        while self._recent and (self._is_past(self._recent, now_s) or self._is_over_room(self._recent)):
            _, run = self._recent.popitem(last=False)
            if not self._is_kept(run):
                self._discount(run)
        while self._open and (self._is_past(self._open, now_s) or self._is_over_room(self._open)):
            _, run = self._open.popitem(last=False)
            if not self._is_kept(run):
                self._discount(run)
            self._forgotten(run)

    def _is_past(self, kept: OrderedDict[str, Run] | OrderedDict[tuple[Caller, str], Run], now_s: float) -> bool:
        oldest = next(iter(kept.values()))
        if kept is self._open:
            return now_s - oldest.touched_s > TOKEN_LIFE_S
        return now_s - oldest.started_s > REPEAT_WINDOW_S

    def _is_over_room(self, kept: OrderedDict[str, Run] | OrderedDict[tuple[Caller, str], Run]) -> bool:
        """The newest result stays, however large: its client is reading it."""
        return self._held_bytes > self._memory_bytes and len(kept) > 1

    def _count(self, run: Run, memory_bytes: int = 0) -> None:
        if self._is_kept(run):
            run.held_bytes = RUN_BYTES + len(run.text) + memory_bytes
            self._held_bytes += run.held_bytes

    def _discount(self, run: Run) -> None:
        self._held_bytes -= run.held_bytes
        run.held_bytes = 0

    def _is_recent(self, run: Run) -> bool:
        return run.client_token is not None and self._recent.get((run.caller, run.client_token)) is run

    def _is_kept(self, run: Run) -> bool:
        return run.query_id in self._open or self._is_recent(run)
