"""The server as a whole: it listens, serves until told to stop, and stops cleanly.

`cli/serve` calls `serve` with an opened instance; tests run a `Server` in a thread. Opens and closes no data.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable

import structlog
import uvloop

from headwater.config import is_loopback
from headwater.files import LocalFiles
from headwater.server.chain import Chain
from headwater.server.http import Connections, HttpLimits
from headwater.server.needs import Instance
from headwater.server.tls import Tls, tls_of

STOP_GRACE_S = 10.0
BACKLOG = 1_024
TLS_HANDSHAKE_S = 10.0

_log = structlog.get_logger("server")

OnReady = Callable[[str, int], None]
Randomness = Callable[[int], bytes]


def serve(instance: Instance, on_ready: OnReady, randomness: Randomness = os.urandom) -> None:
    """Serve `instance` at its configured address until SIGTERM or SIGINT.

    `on_ready` gets the bound host and port once clients are answered. After the first signal running requests have
    10 s to finish, a second one ends them at once. Raises OSError if it cannot listen, Invalid if it cannot use the
    TLS files.
    """
    Server(instance, on_ready, randomness).run()


class Server:
    """One listening server. `run` blocks; `stop` may be called from any thread, also before `run`."""

    def __init__(
        self,
        instance: Instance,
        on_ready: OnReady,
        randomness: Randomness = os.urandom,
        limits: HttpLimits | None = None,
    ) -> None:
        self._instance = instance
        self._settings = instance.config.server
        self._files = LocalFiles()
        self._on_ready = on_ready
        self._limits = limits or http_limits(instance)
        self._chain = Chain(instance, randomness)
        self._connections = Connections(self._chain.handle, self._chain.refuse, self._limits, instance.clock.now_ns)
        self._metrics_connections = Connections(
            self._chain.handle_metrics, self._chain.refuse, self._limits, instance.clock.now_ns
        )
        self.metrics_address: tuple[str, int] | None = None
        """Where metrics have a listener of their own, once it listens."""
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stops_asked = 0

    def run(self) -> None:
        uvloop.run(self._main())

    def stop(self) -> None:
        """Stop: the first time let running requests finish, the second time at once."""
        with self._lock:
            self._stops_asked += 1
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._wake.set)

    async def _main(self) -> None:
        loop = asyncio.get_running_loop()
        tls = tls_of(self._settings, self._files, self._instance.clock)
        with self._lock:
            self._wake = asyncio.Event()
            self._loop = loop
        listener = await self._listen(self._connections, (self._settings.host, self._settings.port), tls)
        listeners = [listener]
        sweeps = [loop.create_task(served.sweep()) for served in (self._connections, self._metrics_connections)]
        try:
            if self._settings.metrics is not None:
                # A scraper on this machine need not know the certificate.
                own_tls = None if is_loopback(self._settings.metrics[0]) else tls
                listeners.append(await self._listen(self._metrics_connections, self._settings.metrics, own_tls))
                self.metrics_address = _address_of(listeners[-1])
                _log.info("listening for metrics", host=self.metrics_address[0], port=self.metrics_address[1])
            self._listen_to_signals(loop, tls)
            host, port = _address_of(listener)
            _log.info("listening", host=host, port=port)
            self._on_ready(host, port)
            await self._until(lambda: self._stops_asked > 0, None)
            _log.info("stopping", connections=len(self._connections.live))
            self._chain.is_draining = True
            for one in listeners:
                one.close()
            self._connections.drain()
            self._metrics_connections.drain()
            await self._until(lambda: self._stops_asked > 1 or not self._connections.live, STOP_GRACE_S)
        finally:
            for one in listeners:
                one.close()
            for sweep in sweeps:
                sweep.cancel()
            self._connections.abort()
            self._metrics_connections.abort()
            self._chain.close()
            with self._lock:
                self._loop = None
        _log.info("stopped")

    async def _listen(
        self, connections: Connections, address: tuple[str, int], tls: Tls | None
    ) -> asyncio.base_events.Server:
        """Raises OSError."""
        return await asyncio.get_running_loop().create_server(
            connections.protocol,
            *address,
            backlog=BACKLOG,
            ssl=tls.context if tls else None,
            ssl_handshake_timeout=TLS_HANDSHAKE_S if tls else None,
        )

    async def _until(self, is_true: Callable[[], bool], limit_s: float | None) -> None:
        """Wait for a condition, which is looked at again at each `stop` and, with a limit, every few moments."""
        loop = asyncio.get_running_loop()
        end_s = None if limit_s is None else loop.time() + limit_s
        while not is_true() and (end_s is None or loop.time() < end_s):
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), None if end_s is None else 0.02)
            except TimeoutError:
                continue

    def _listen_to_signals(self, loop: asyncio.AbstractEventLoop, tls: Tls | None) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        if tls is not None:
            loop.add_signal_handler(signal.SIGHUP, tls.reload)


def _address_of(listener: asyncio.base_events.Server) -> tuple[str, int]:
    host, port = listener.sockets[0].getsockname()[:2]
    return host, port


def http_limits(instance: Instance) -> HttpLimits:
    limits, server = instance.config.limits, instance.config.server
    return HttpLimits(
        body_bytes=limits.request_body_bytes,
        head_bytes=limits.header_bytes,
        head_lines=limits.header_lines,
        connections=server.connections,
    )
