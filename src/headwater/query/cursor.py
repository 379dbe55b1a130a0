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
from dataclasses import dataclass, field

from headwater.errors import Invalid
from headwater.model.time import Clock
from headwater.model.types import OutputColumn
from headwater.query.result import Result

RUN_LIFE_S = 3_600.0
REPEAT_WINDOW_S = 300.0
"""So long a call with a known ClientToken is the same run. Source: query-api.md 1.2 (guess)."""

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
    max_rows: int | None = field(default=None)


class Cursors:
    """All runs that can still be read. Any thread may call."""

    def __init__(self, key: bytes, clock: Clock, memory_bytes: int) -> None:
        self._key = key
        self._clock = clock
        self._memory_bytes = memory_bytes
        self._runs: OrderedDict[str, Run] = OrderedDict()
        self._repeatable: dict[str, Run] = {}
        self._lock = threading.Lock()

    def add(self, run: Run) -> None:
        with self._lock:
            self._runs[run.query_id] = run
            if run.client_token:
                self._repeatable[run.client_token] = run
            self._forget_old()

    def repeated(self, client_token: str, text: str, max_rows: int | None) -> Run | None:
        """The run that an earlier call with this token began, if it is recent.

        Raises Invalid when that call had other parameters.
        """
        with self._lock:
            run = self._repeatable.get(client_token)
            if run is None or self._clock.monotonic_s() - run.started_s > REPEAT_WINDOW_S:
                return None
        if (run.text, run.max_rows) != (text, max_rows):
            raise Invalid("The client token was used before with other parameters.")
        return run

    def token(self, run: Run, row: int) -> str:
        """Names the place before `row` of this run."""
        body = run.query_id.encode() + _PLACE.pack(row)
        return base64.urlsafe_b64encode(self._mac(body, run.text) + body).decode()

    def resume(self, token: str, text: str) -> tuple[Run, int]:
        """The run and row that a token names. Raises Invalid if it is not of this text, forged, or too old."""
        try:
            raw = base64.b64decode(token.encode(), altchars=b"-_", validate=True)
        except (binascii.Error, UnicodeEncodeError) as error:
            raise _bad_token() from error
        mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if len(body) <= _PLACE.size or not hmac.compare_digest(mac, self._mac(body, text)):
            raise _bad_token()
        with self._lock:
            self._forget_old()
            run = self._runs.get(body[: -_PLACE.size].decode())
        if run is None:
            raise _bad_token()
        return run, _PLACE.unpack(body[-_PLACE.size :])[0]

    def _mac(self, body: bytes, text: str) -> bytes:
        digest = hashlib.sha256(text.encode()).digest()
        return hmac.digest(self._key, body + digest, "sha256")[:_MAC_BYTES]

    def _forget_old(self) -> None:
        """Drop runs past their hour, then the oldest finished ones while results need more room than they have."""
        now_s = self._clock.monotonic_s()
        for query_id, run in list(self._runs.items()):
            if now_s - run.started_s > RUN_LIFE_S:
                self._forget(query_id)
        held = {query_id: _held_bytes(run) for query_id, run in self._runs.items()}
        total = sum(held.values())
        for query_id, size in held.items():
            if total <= self._memory_bytes or query_id == next(reversed(self._runs)):
                break
            if self._runs[query_id].result.done():
                self._forget(query_id)
                total -= size

    def _forget(self, query_id: str) -> None:
        run = self._runs.pop(query_id)
        if run.client_token and self._repeatable.get(run.client_token) is run:
            del self._repeatable[run.client_token]


def _held_bytes(run: Run) -> int:
    return run.result.result().size_bytes if run.result.done() and run.result.exception() is None else 0


def _bad_token() -> Invalid:
    return Invalid("Invalid pagination token")
