"""The ordered steps of a request: known, signed, JSON, shape, operation, answer.

`http` hands over whole requests and writes the answers. The event loop does little but pass things on: operations,
and the signatures and decoding of all but small queries, run in threads, a few for what is quick and others for
queries, so that neither waits for the other.
This is the border where what is not a fault becomes a 500: the client learns the request id, the log the rest.
Order of the steps: write-api.md 1.4.
"""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import structlog

from headwater.config import is_loopback
from headwater.errors import Denied, Fault, Throttled, Unavailable, UnknownOperation
from headwater.server import metrics
from headwater.server.http import CONTENT_TYPE, HttpRequest, HttpResponse, Refusal
from headwater.server.metrics import Metrics
from headwater.server.needs import Instance
from headwater.server.operations import OPERATIONS, OWN_OPERATIONS, Operation
from headwater.server.write_api import Call
from headwater.threads import urgent
from headwater.wire import codec, faults, sigv4

TARGET_PREFIX = "Timestream_20181101."
OWN_TARGET_PREFIX = "Headwater_1."
"""Before the names of operations that the service has not."""

WAITING_LIMIT_BYTES = 64 * 1024 * 1024
WAITING_QUERIES = 32
QUICK_THREADS = 4
ADMISSION_THREADS = 2

SMALL_BYTES = 4_096
"""The signature of a query of at most this size is checked by the event loop: a thread would wake up for as long."""

NO_OPERATION = "other"
"""What requests that name no operation are counted as: a client's text never stands in a metric."""

_FORWARDED = frozenset({b"forwarded", b"via", b"x-forwarded-for", b"x-real-ip"})

_log = structlog.get_logger("server")


class _Reply(NamedTuple):
    """What a request is answered with, before it has an id."""

    status: int
    body: bytes
    content_type: bytes = CONTENT_TYPE


class Chain:
    """Answers requests, whatever they are. Used from one event loop."""

    def __init__(self, instance: Instance, randomness: Callable[[int], bytes]) -> None:
        self._instance = instance
        self._randomness = randomness
        self._metrics = Metrics(instance.facts)
        self._quick = ThreadPoolExecutor(QUICK_THREADS, "request")
        # Of their own, too: a crowd of queries would stand before a write.
        self._admission = ThreadPoolExecutor(ADMISSION_THREADS, "query-admission")
        # A query's thread waits for its result, so there is one for each that `query` lets run or wait.
        slow_limit = instance.config.query.concurrency + WAITING_QUERIES
        self._slow = ThreadPoolExecutor(slow_limit, "query-request")
        self._slow_places = threading.Semaphore(slow_limit)
        self._waiting_bytes = 0
        self.is_draining = False

    def close(self) -> None:
        """Take no more work. What runs already is ended by the instance."""
        self._quick.shutdown(wait=False, cancel_futures=True)
        self._admission.shutdown(wait=False, cancel_futures=True)
        self._slow.shutdown(wait=False, cancel_futures=True)

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """The answer to a request. Never raises."""
        return await self._handled(request, self._answer)

    async def handle_metrics(self, request: HttpRequest) -> HttpResponse:
        """The answer to a request at the address that is for metrics alone. Never raises."""
        return await self._handled(request, self._answer_metrics)

    async def _handled(self, request: HttpRequest, answer: Callable[[HttpRequest], Awaitable[_Reply]]) -> HttpResponse:
        started_s = self._instance.clock.monotonic_s()
        request_id = self._new_request_id()
        fault: Fault | None = None
        try:
            reply = await answer(request)
        except Fault as error:
            fault = error
        except Exception as error:
            fault = Unavailable(type(error).__name__)
            fault.__cause__ = error
        try:
            if fault is not None:
                reply = _Reply(faults.status_of(fault), faults.body_of(fault, request_id))
            duration_s = self._instance.clock.monotonic_s() - started_s
            operation = _operation_name(request)
            self._metrics.count(
                operation or NO_OPERATION, reply.status, faults.name_of(fault) if fault is not None else "", duration_s
            )
            _log_request(request, request_id, operation, reply, duration_s * 1e3, fault)
            return HttpResponse(reply.status, reply.body, request_id, reply.content_type)
        finally:
            # It knows this frame by its traceback: left here, both would stay until Python looks for such rings.
            fault = None

    def refuse(self, refusal: Refusal) -> HttpResponse:
        """The answer to bytes that are no request."""
        request_id = self._new_request_id()
        body = faults.body_of(refusal.fault, request_id)
        self._metrics.count(NO_OPERATION, int(refusal.status), faults.name_of(refusal.fault), 0.0)
        _log.info("refused", request_id=request_id, status=int(refusal.status), fault=type(refusal.fault).__name__)
        return HttpResponse(refusal.status, body, request_id)

    def _new_request_id(self) -> str:
        """26 characters of A-Z2-7, as the service's. Source: write-api.md 1."""
        return base64.b32encode(self._randomness(17))[:26].decode()

    async def _answer(self, request: HttpRequest) -> _Reply:
        if request.method in ("GET", "HEAD"):
            if request.target == "/metrics":
                self._check_may_read_metrics(request)
                return await self._metrics_reply()
            return self._probe(request.target)
        operation = operation_of(request)
        if self._waiting_bytes + len(request.body) > WAITING_LIMIT_BYTES:
            raise Throttled("Too many bytes are waiting to be written. Send again later.")
        self._waiting_bytes += len(request.body)
        try:
            result = await (
                self._slowly(operation, request) if operation.is_slow else self._quickly(operation, request)
            )
        finally:
            self._waiting_bytes -= len(request.body)
        return _Reply(200, result if isinstance(result, bytes) else codec.encode(result))

    async def _answer_metrics(self, request: HttpRequest) -> _Reply:
        if request.method in ("GET", "HEAD"):
            if request.target == "/metrics":
                return await self._metrics_reply()
            return self._probe(request.target)
        raise UnknownOperation("")

    async def _metrics_reply(self) -> _Reply:
        text = await asyncio.get_running_loop().run_in_executor(self._quick, self._metrics.text)
        return _Reply(200, text, metrics.CONTENT_TYPE)

    def _check_may_read_metrics(self, request: HttpRequest) -> None:
        """Where clients of the service call, metrics are for this machine; what a proxy passes on comes from elsewhere.

        Raises UnknownOperation if metrics have an address of their own, Denied.
        """
        if self._instance.config.server.metrics is not None:
            raise UnknownOperation("")
        if not is_loopback(request.peer) or any(name in _FORWARDED for name, _ in request.headers):
            raise Denied("Metrics are told to the server's own machine only, or at the address of metrics_listen.")

    def _probe(self, target: str) -> _Reply:
        """The two paths for service managers; they need no signature and tell no names. Source: reliability.md 7.

        A server that is not ready is alive: to start it again would help nobody.
        """
        match target:
            case "/health":
                return _Reply(200, b'{"status":"alive"}')
            case "/ready" if self.is_draining:
                return _Reply(503, b'{"status":"stopping"}')
            case "/ready":
                reason = self._instance.refusal()
                if reason is None:
                    return _Reply(200, b'{"status":"ready"}')
                return _Reply(503, codec.encode({"status": "not ready", "reason": reason}))
        raise UnknownOperation("")

    async def _quickly(self, operation: Operation, request: HttpRequest) -> bytes | Mapping[str, object]:
        with urgent():
            result = await _outcome(self._quick.submit(self._admit_and_run, operation, request))
            answer: bytes | Mapping[str, object] = result if operation.finish is None else operation.finish(result)
        return answer

    async def _slowly(self, operation: Operation, request: HttpRequest) -> bytes | Mapping[str, object]:
        answer: bytes | Mapping[str, object] = await _outcome(self._begun(operation, request))
        return answer

    def _begun(self, operation: Operation, request: HttpRequest) -> Future[Any]:
        if len(request.body) <= SMALL_BYTES:
            return self._admit_and_begin(operation, request)
        return self._admission.submit(self._admit_and_begin, operation, request)

    def _admit_and_run(self, operation: Operation, request: HttpRequest) -> Any:
        decoded, call = self._admit(operation, request)
        return operation.run(self._instance, decoded, call)

    def _admit_and_begin(self, operation: Operation, request: HttpRequest) -> Future[Any]:
        decoded, call = self._admit(operation, request)
        if not self._slow_places.acquire(blocking=False):
            raise Throttled("Too many queries are running or waiting. Send again later.")
        running = self._slow.submit(operation.run, self._instance, decoded, call)
        running.add_done_callback(lambda _: self._slow_places.release())
        return running

    def _admit(self, operation: Operation, request: HttpRequest) -> tuple[Any, Call]:
        """Check the signature on the raw bytes, then read the body. Raises Unauthenticated, Malformed, InvalidShape."""
        server = self._instance.config.server
        principal = ""
        if not server.insecure_dev:
            path, _, query = request.target.partition("?")
            principal = sigv4.verify(
                request.method,
                path,
                query,
                request.headers,
                request.body,
                secret_of=self._instance.secret_of,
                now_ns=self._instance.clock.now_ns(),
                region=server.region,
                skew_s=server.clock_skew_s,
            )
        return operation.decode(request.body, self._instance.config.limits), _call(request, principal)


def _outcome(future: Future[Any]) -> asyncio.Future[Any]:
    """What a future has as its result in the end, if that is a future itself.

    One thread hands on to the next: by way of the event loop each step would wait until it has its turn.
    """
    outcome: Future[Any] = Future()
    # From here on nobody can cancel it, so it can always be set.
    outcome.set_running_or_notify_cancel()
    future.add_done_callback(partial(_hand_on, outcome))
    return asyncio.wrap_future(outcome)


def _hand_on(outcome: Future[Any], done: Future[Any]) -> None:
    if done.cancelled():
        outcome.set_exception(Unavailable("the server is stopping"))
    elif (fault := done.exception()) is not None:
        outcome.set_exception(fault)
    elif isinstance(result := done.result(), Future):
        result.add_done_callback(partial(_hand_on, outcome))
    else:
        outcome.set_result(result)


def operation_of(request: HttpRequest) -> Operation:
    """What the X-Amz-Target header names. Raises UnknownOperation, of which the service says no more."""
    target = request.header(b"x-amz-target")
    path = request.target.partition("?")[0]
    operation = _named(target or "")
    if request.method != "POST" or path != "/" or operation is None:
        raise UnknownOperation("")
    return operation


def _named(target: str) -> Operation | None:
    if target.startswith(OWN_TARGET_PREFIX):
        return OWN_OPERATIONS.get(target.removeprefix(OWN_TARGET_PREFIX))
    return OPERATIONS.get(target.removeprefix(TARGET_PREFIX)) if target.startswith(TARGET_PREFIX) else None


def _call(request: HttpRequest, principal: str) -> Call:
    agents = (request.header(name) for name in (b"user-agent", b"x-amz-user-agent"))
    return Call(
        host=request.header(b"host") or "",
        user_agent=" ".join(agent for agent in agents if agent),
        principal=principal,
        is_wanted=request.is_wanted,
    )


def _log_request(
    request: HttpRequest, request_id: str, operation: str, reply: _Reply, duration_ms: float, fault: Fault | None
) -> None:
    """One line for each request; never a body, a signature or a query text. The stack of a 5xx is only here."""
    known = {
        "request_id": request_id,
        "operation": operation,
        "status": reply.status,
        "duration_ms": round(duration_ms, 3),
        "request_bytes": len(request.body),
        "response_bytes": len(reply.body),
    }
    if reply.status >= 500 and fault is not None:
        _log.error("request", fault=type(fault).__name__, reason=fault.message, exc_info=fault, **known)
    elif fault is not None:
        _log.info("request", fault=faults.name_of(fault), **known)
    elif request.method == "POST":
        _log.info("request", **known)
    else:
        _log.debug("request", **known)


def _operation_name(request: HttpRequest) -> str:
    """The operation's name if there is one: other targets are a client's text, and stay out of logs and metrics."""
    operation = _named(request.header(b"x-amz-target") or "")
    return operation.name if operation else ""
