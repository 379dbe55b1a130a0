"""Cursors: the runs that clients are reading page by page, and the tokens that name a place in one.

A token is a run's id and a row, sealed with the server's key and bound to the text of the query, so a token of
another text or one that was changed is refused. Results stay in memory for an hour, or until newer ones need the
room. Source: query-api.md 1.1.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
import threading
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass

from headwater.errors import Invalid
from headwater.model.time import Clock
from headwater.model.types import OutputColumn
from headwater.query.result import Result

RUN_LIFE_S = 3_600.0
REPEAT_WINDOW_S = 300.0
"""So long a call with a known ClientToken is the same run. Source: query-api.md 1.2 (guess)."""

RUN_BYTES = 4_000
"""What a run is counted with beside its result and its text."""

_PLACE = struct.Struct("<Q")
_MAC_BYTES = 16


@dataclass(eq=False, slots=True)
class Run:
    """One execution of a query. `result` is done when it has ended, well or not."""

    query_id: str
    text: str
    columns: tuple[OutputColumn, ...]
    result: Future[Result]
    started_s: float
    client_token: str | None = None
    max_rows: int | None = None
    held_bytes: int = 0
    """What it is counted with while it is kept."""


class Cursors:
    """The runs that can still be read. Any thread may call.

    A run is kept for repeats of its call, a few minutes, and once a token names a place in it, for its hour. Both
    lists are in order of start, so what is too old stands first.
    """

    def __init__(self, key: bytes, clock: Clock, memory_bytes: int) -> None:
        """`memory_bytes` is the room for results; when it is used up the oldest are forgotten early."""
        self._key = key
        self._clock = clock
        self._memory_bytes = memory_bytes
        self._recent: OrderedDict[str, Run] = OrderedDict()
        self._open: OrderedDict[str, Run] = OrderedDict()
        self._held_bytes = 0
        self._lock = threading.Lock()

    def add(self, run: Run) -> None:
        """A run has begun. Without a client token it can only be named by a page token."""
        with self._lock:
            self._forget_old()
            if run.client_token:
                # Of two calls at the same time with one client token the later is the one that is repeated.
                displaced = self._recent.pop(run.client_token, None)
                self._recent[run.client_token] = run
                self._count(run)
                if displaced is not None:
                    self._forget(displaced)

    def ended(self, run: Run, result_bytes: int) -> None:
        """Count the memory of a result from now on. May be said again for every page."""
        with self._lock:
            self._forget(run)
            self._count(run, result_bytes)
            self._forget_old()

    def repeated(self, client_token: str, text: str, max_rows: int | None) -> Run | None:
        """The run that an earlier call with this client token began, if it is recent.

        Raises Invalid when that call had other parameters.
        """
        with self._lock:
            self._forget_old()
            run = self._recent.get(client_token)
        if run is not None and (run.text, run.max_rows) != (text, max_rows):
            raise Invalid("The client token was used before with other parameters.")
        return run

    def token(self, run: Run, row: int) -> str:
        """Names the place before `row` of this run, which is kept for its hour from now on."""
        with self._lock:
            self._open[run.query_id] = run
            if not run.held_bytes:
                self._count(run)
        body = run.query_id.encode() + _PLACE.pack(row)
        return _encoded(self._mac(body, run.text) + body)

    def resume(self, token: str, text: str) -> tuple[Run, int]:
        """The run and row that a token names. Raises Invalid if it is not of this text, forged, or too old."""
        try:
            raw = base64.b64decode(token.encode(), altchars=b"-_", validate=True)
        except (binascii.Error, UnicodeEncodeError) as error:
            raise _bad_token() from error
        mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        # The last character of base64 has bits to spare: only the text that was given out counts.
        if _encoded(raw) != token or len(body) <= _PLACE.size or not hmac.compare_digest(mac, self._mac(body, text)):
            raise _bad_token()
        with self._lock:
            self._forget_old()
            run = self._open.get(body[: -_PLACE.size].decode())
        if run is None:
            raise _bad_token()
        return run, _PLACE.unpack(body[-_PLACE.size :])[0]

    def _mac(self, body: bytes, text: str) -> bytes:
        digest = hashlib.sha256(text.encode()).digest()
        return hmac.digest(self._key, body + digest, "sha256")[:_MAC_BYTES]

    def _forget_old(self) -> None:
        """Drop what is past its time, then the oldest results while they need more room than there is."""
        now_s = self._clock.monotonic_s()
        for kept, life_s in ((self._recent, REPEAT_WINDOW_S), (self._open, RUN_LIFE_S)):
            while kept and (now_s - next(iter(kept.values())).started_s > life_s or self._is_over_room(kept)):
                _, run = kept.popitem(last=False)
                if not self._is_kept(run):
                    self._forget(run)

    def _count(self, run: Run, result_bytes: int = 0) -> None:
        if self._is_kept(run):
            run.held_bytes = RUN_BYTES + len(run.text) + result_bytes
            self._held_bytes += run.held_bytes

    def _forget(self, run: Run) -> None:
        self._held_bytes -= run.held_bytes
        run.held_bytes = 0

    def _is_over_room(self, kept: OrderedDict[str, Run]) -> bool:
        """The newest result stays, however large: its client is reading it."""
        return self._held_bytes > self._memory_bytes and len(kept) > 1

    def _is_kept(self, run: Run) -> bool:
        return run.query_id in self._open or (
            run.client_token is not None and self._recent.get(run.client_token) is run
        )


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode()


def _bad_token() -> Invalid:
    return Invalid("Invalid pagination token")
