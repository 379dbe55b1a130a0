"""HTTP/1.1 connections: bytes to requests, answers to bytes, in order, within limits.

`app` gives one `Connections` to the event loop, which makes a `Connection` for each client. The syntax is judged by
httptools (llhttp, strict); what a request means is the handler's matter (`chain`). Every bad input gets an answer in
the service's form and a closed connection; nothing a client sends can raise out of here.
Limits: reliability.md 5. Names of statuses in answers to broken HTTP are ours: the service's are not known.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from enum import Enum
from functools import lru_cache
from http import HTTPStatus
from typing import cast

import httptools

from headwater.errors import Fault, Invalid, Malformed, Throttled, TooLarge
from headwater.model.time import NS_PER_S

CONTENT_TYPE = b"application/x-amz-json-1.0"


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Times in seconds. `linger` is how long a refused client may go on sending before it is cut off."""

    body_bytes: int = 4 * 1024 * 1024
    head_bytes: int = 16 * 1024
    head_lines: int = 100
    connections: int = 1_000
    connections_per_address: int = 100
    head_s: float = 10.0
    body_s: float = 30.0
    idle_s: float = 60.0
    answer_s: float = 30.0
    linger_s: float = 2.0
    sweep_interval_s: float = 0.25


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One whole request. Header names are lower case, values as received; `target` is the raw path and query.

    `is_wanted` tells, from any thread, whether somebody still waits for the answer. `peer` is the IP address that the
    connection comes from.
    """

    method: str
    target: str
    headers: list[tuple[bytes, bytes]]
    body: bytes
    is_wanted: Callable[[], bool] = lambda: True
    peer: str = ""

    def header(self, name: bytes) -> str | None:
        """The value of a header that came exactly once, else None."""
        values = [value for key, value in self.headers if key == name]
        return values[0].decode("latin-1") if len(values) == 1 else None


@dataclass(frozen=True, slots=True)
class HttpResponse:
    status: int
    body: bytes
    request_id: str
    content_type: bytes = CONTENT_TYPE


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer to something that is no request: the connection ends behind it."""

    status: int
    fault: Fault


Handler = Callable[[HttpRequest], Awaitable[HttpResponse]]
Refuse = Callable[[Refusal], HttpResponse]


class Stage(Enum):
    """Where a connection stands in its next request."""

    IDLE = "idle"
    HEAD = "head"
    BODY = "body"
    REFUSED = "refused"


@dataclass(slots=True)
class Connections:
    """All connections of a server: their limits, their count, and the clock that ends slow ones."""

    handler: Handler
    refuse: Refuse
    limits: HttpLimits
    now_ns: Callable[[], int]
    live: set[Connection] = field(default_factory=set)
    per_address: Counter[str] = field(default_factory=Counter)
    is_draining: bool = False

    def protocol(self) -> Connection:
        return Connection(self)

    async def sweep(self) -> None:
        """End what is over its time, until cancelled. One timer for all: a timer each would cost every request."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self.limits.sweep_interval_s)
            now_s = loop.time()
            for connection in list(self.live):
                connection.check_time(now_s)

    def drain(self) -> None:
        """Take no more requests: idle connections end now, others behind their last answer."""
        self.is_draining = True
        for connection in list(self.live):
            connection.drain()

    def abort(self) -> None:
        for connection in list(self.live):
            connection.abort()


class Connection(asyncio.Protocol):
    """One client. Requests wait in `_queue` and are answered one by one, so answers keep the order of requests."""

    def __init__(self, connections: Connections) -> None:
        self._all = connections
        self._limits = connections.limits
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._queue: deque[tuple[HttpRequest | Refusal, bool]] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._can_write = asyncio.Event()
        self._can_write.set()
        self._stage = Stage.IDLE
        self._address = ""
        self._deadline_s = 0.0
        self._write_deadline_s: float | None = None
        self._is_last_queued = False
        self._has_ended = False
        self._start_request()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self._address = str(peer[0]) if peer else ""
        self._all.live.add(self)
        self._all.per_address[self._address] += 1
        self._set_stage(Stage.IDLE)
        if (
            len(self._all.live) > self._limits.connections
            or self._all.per_address[self._address] > self._limits.connections_per_address
        ):
            refusal = Refusal(HTTPStatus.TOO_MANY_REQUESTS, Throttled("Too many connections."))
            self._transport.write(_encoded(self._all.refuse(refusal), self._all.now_ns(), is_last=True))
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._all.live.discard(self)
        self._all.per_address[self._address] -= 1
        if not self._all.per_address[self._address]:
            del self._all.per_address[self._address]
        self._queue.clear()
        self._can_write.set()

    def data_received(self, data: bytes) -> None:
        if not self._is_open():
            return
        if self._stage in (Stage.IDLE, Stage.HEAD):
            self._unparsed_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # The parser stops here because of a head that is refused already.
            assert not self._is_open()
        except httptools.HttpParserCallbackError:
            # A bug of ours, not of the client: the event loop logs it and ends the connection.
            raise
        except httptools.HttpParserError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, Malformed(f"The request is not well-formed HTTP: {error}."))
        if self._stage is Stage.HEAD and self._unparsed_bytes > self._limits.head_bytes:
            self._refuse_head()
        if self._queue and not self._is_lost():
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """A client may end its side and still read: keep the other side open while an answer is due."""
        if self._stage in (Stage.HEAD, Stage.BODY):
            self._refuse(HTTPStatus.BAD_REQUEST, Malformed("The connection ended within the request."))
        self._is_last_queued = self._has_ended = True
        # With TLS there is no half-open connection.
        return self._worker is not None and self._transport.can_write_eof()

    def pause_writing(self) -> None:
        self._can_write.clear()
        self._write_deadline_s = self._loop.time() + self._limits.answer_s

    def resume_writing(self) -> None:
        self._can_write.set()
        self._write_deadline_s = None

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._is_open():
            self._start_request()
            self._set_stage(Stage.HEAD)

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._head_bytes += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value) + 4
        if len(self._headers) >= self._limits.head_lines or self._head_bytes > self._limits.head_bytes:
            self._refuse_head()
        elif self._is_open():
            self._headers.append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        if not self._is_open():
            return
        if self._head_bytes > self._limits.head_bytes:
            self._refuse_head()
            return
        refusal = self._head_refusal()
        if refusal is not None:
            self._refuse(refusal.status, refusal.fault)
            return
        self._set_stage(Stage.BODY)
        expects = any(name == b"expect" and value.lower() == b"100-continue" for name, value in self._headers)
        if expects and not self._queue and self._worker is None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, part: bytes) -> None:
        if self._is_open():
            self._body.append(part)

    def on_message_complete(self) -> None:
        if not self._is_open():
            return
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        method = self._parser.get_method().decode("latin-1")
        request = HttpRequest(
            method, self._url.decode("latin-1"), self._headers, body, self._is_waited_for, self._address
        )
        keep_alive = self._parser.should_keep_alive()
        self._start_request()
        self._set_stage(Stage.IDLE)
        self._enqueue(request, is_last=not keep_alive)

    # What the other side of this file calls.

    def check_time(self, now_s: float) -> None:
        """Act on a deadline that has passed."""
        if self._write_deadline_s is not None and now_s > self._write_deadline_s:
            self.abort()
        elif self._worker is None and now_s > self._deadline_s:
            match self._stage:
                case Stage.IDLE:
                    self._transport.close()
                case Stage.HEAD | Stage.BODY:
                    self._refuse(HTTPStatus.REQUEST_TIMEOUT, Invalid("The request did not arrive in time."))
                case Stage.REFUSED:
                    self.abort()

    def drain(self) -> None:
        if self._worker is None and self._stage in (Stage.IDLE, Stage.REFUSED):
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    # The rest is private to a connection.

    def _start_request(self) -> None:
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._unparsed_bytes = 0
        self._body: list[bytes] = []

    def _set_stage(self, stage: Stage) -> None:
        self._stage = stage
        self._restart_clock()

    def _restart_clock(self) -> None:
        limits = self._limits
        seconds = {
            Stage.IDLE: limits.idle_s,
            Stage.HEAD: limits.head_s,
            Stage.BODY: limits.body_s,
            Stage.REFUSED: limits.linger_s,
        }
        self._deadline_s = self._loop.time() + seconds[self._stage]

    def _is_open(self) -> bool:
        return self._stage is not Stage.REFUSED and not self._is_last_queued

    def _is_lost(self) -> bool:
        return self._transport.is_closing()

    def _is_waited_for(self) -> bool:
        """A client that has ended its side may still read, but those that ended altogether look the same for long."""
        return not (self._has_ended or self._is_lost())

    def _head_refusal(self) -> Refusal | None:
        """What the head alone forbids, before any byte of the body is read."""
        by_name = dict(self._headers)
        if self._parser.should_upgrade():
            return Refusal(HTTPStatus.BAD_REQUEST, Malformed("The connection cannot be upgraded to another protocol."))
        if self._parser.get_http_version() not in ("1.0", "1.1"):
            return Refusal(HTTPStatus.BAD_REQUEST, Malformed("Only HTTP/1.0 and HTTP/1.1 are spoken here."))
        if b"transfer-encoding" in by_name:
            return Refusal(HTTPStatus.LENGTH_REQUIRED, Invalid("Send Content-Length; Transfer-Encoding is not read."))
        if b"content-encoding" in by_name:
            return Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, Invalid("A Content-Encoding is not read."))
        length = by_name.get(b"content-length")
        if length is None:
            if self._parser.get_method() == b"POST":
                return Refusal(HTTPStatus.LENGTH_REQUIRED, Invalid("Content-Length is required."))
            return None
        if int(length) > self._limits.body_bytes:
            text = f"The body of {int(length)} bytes exceeds the limit of {self._limits.body_bytes} bytes."
            return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, TooLarge(text))
        return None

    def _refuse_head(self) -> None:
        limits = self._limits
        text = f"The headers exceed the limit of {limits.head_bytes} bytes or {limits.head_lines} lines."
        self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, Invalid(text))

    def _refuse(self, status: int, fault: Fault) -> None:
        """Answer behind the requests that are waiting, then end. What comes from now on is dropped unread."""
        if self._is_open():
            self._start_request()
            self._set_stage(Stage.REFUSED)
            self._enqueue(Refusal(status, fault), is_last=True)

    def _enqueue(self, item: HttpRequest | Refusal, *, is_last: bool) -> None:
        self._is_last_queued = is_last
        self._queue.append((item, is_last))
        if self._worker is None:
            self._worker = self._loop.create_task(self._answer_all())

    async def _answer_all(self) -> None:
        """Answer what is queued, one after the other; ends when the queue is empty."""
        while self._queue and not self._is_lost():
            item, is_last = self._queue.popleft()
            if not self._queue:
                # Only who reads hears that the client has gone.
                self._transport.resume_reading()
            is_refusal = isinstance(item, Refusal)
            response = self._all.refuse(item) if isinstance(item, Refusal) else await self._all.handler(item)
            if isinstance(item, HttpRequest) and item.method == "HEAD":
                response = replace(response, body=b"")
            if self._is_lost():
                break
            is_last = is_last or (self._all.is_draining and not self._queue)
            self._transport.write(_encoded(response, self._all.now_ns(), is_last=is_last))
            await self._can_write.wait()
            if is_last:
                self._finish(is_refusal)
                break
        self._worker = None
        if not self._is_lost():
            self._restart_clock()
            if self._is_last_queued and self._stage is not Stage.REFUSED:
                self._transport.close()
            else:
                self._transport.resume_reading()

    def _finish(self, is_refusal: bool) -> None:
        """End the connection. A refused client may still be sending: closing at once would reset the connection
        and lose the answer on its way, so its bytes are read and dropped until it stops or `linger` is over."""
        if self._has_ended or not is_refusal:
            self._transport.close()
        elif self._transport.can_write_eof():
            self._transport.write_eof()


def _encoded(response: HttpResponse, now_ns: int, *, is_last: bool) -> bytes:
    return b"".join(
        (
            _status_line(response.status),
            b"x-amzn-RequestId: ",
            response.request_id.encode(),
            b"\r\nContent-Type: ",
            response.content_type,
            b"\r\nContent-Length: ",
            str(len(response.body)).encode(),
            b"\r\nDate: ",
            _http_date(now_ns // NS_PER_S),
            b"\r\nConnection: close\r\n\r\n" if is_last else b"\r\n\r\n",
            response.body,
        )
    )


@lru_cache(maxsize=64)
def _status_line(status: int) -> bytes:
    names = {int(known): known.phrase for known in HTTPStatus}
    return f"HTTP/1.1 {status} {names.get(status, 'Error')}\r\n".encode()


@lru_cache(maxsize=4)
def _http_date(seconds: int) -> bytes:
    return formatdate(seconds, usegmt=True).encode()
