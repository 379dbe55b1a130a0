"""Which HTTP server to build on: server CPU and latency of one WriteRecords call of 100 records, about 100 KB.

Each candidate reads the whole body and answers as WriteRecords does; nothing else runs, so the figures are the price
of HTTP alone. Clients send over kept-alive loopback connections, from processes of their own. Processor time
per request is the figure to trust on a shared machine; the load average is printed with it.

    python benchmarks/http_servers.py [seconds per candidate] [clients]
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httptools
import psutil
import uvicorn
import uvloop
from granian import Granian
from granian.constants import Interfaces
from rich.console import Console
from rich.table import Table

CANDIDATES = ("granian RSGI", "uvicorn", "asyncio Protocol + httptools", "stdlib threads")
ANSWER = b'{"RecordsIngested":{"Total":100,"MemoryStore":100,"MagneticStore":0}}'
CONTENT_TYPE = "application/x-amz-json-1.0"
START_LIMIT_S = 20.0


def body() -> bytes:
    """100 multi-measure records of the CPU workload: ten dimensions and ten doubles each."""
    tags = ("hostname", "region", "datacenter", "rack", "os", "arch", "team", "service", "version", "environment")
    metrics = ("user", "system", "idle", "nice", "iowait", "irq", "softirq", "steal", "guest", "guest_nice")
    records = [
        {
            "Dimensions": [{"Name": tag, "Value": f"{tag}_{host}"} for tag in tags],
            "MeasureName": "cpu",
            "MeasureValueType": "MULTI",
            "MeasureValues": [
                {"Name": f"usage_{metric}", "Value": f"{host * place % 100}.25", "Type": "DOUBLE"}
                for place, metric in enumerate(metrics)
            ],
            "Time": str(1_700_000_000_000 + host),
        }
        for host in range(100)
    ]
    return json.dumps({"DatabaseName": "bench", "TableName": "cpu", "Records": records}).encode()


def wire_answer() -> bytes:
    return f"HTTP/1.1 200 OK\r\ncontent-type: {CONTENT_TYPE}\r\ncontent-length: {len(ANSWER)}\r\n\r\n".encode() + ANSWER


# The candidates.


class BareProtocol(asyncio.Protocol):
    """What `server/http` is made of, without its limits."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.parser = httptools.HttpRequestParser(self)
        self.parts: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        pass

    def on_body(self, part: bytes) -> None:
        self.parts.append(part)

    def on_message_complete(self) -> None:
        b"".join(self.parts)
        self.parts = []
        self.transport.write(wire_answer())


async def bare(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(BareProtocol, "127.0.0.1", port)
    await server.serve_forever()


async def asgi(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    if scope["type"] != "http":
        return
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    b"".join(parts)
    headers = [(b"content-type", CONTENT_TYPE.encode()), (b"content-length", str(len(ANSWER)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": ANSWER})


class Rsgi:
    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        await protocol()
        protocol.response_bytes(200, [("content-type", CONTENT_TYPE)], ANSWER)


rsgi = Rsgi()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.wfile.write(wire_answer())

    def log_message(self, *_: object) -> None:
        pass


def serve(candidate: str, port: int) -> None:
    """Run one candidate until the process is ended."""
    match candidate:
        case "granian RSGI":
            Granian(
                "http_servers:rsgi",
                address="127.0.0.1",
                port=port,
                interface=Interfaces.RSGI,
                workers=1,
                log_enabled=False,
            ).serve()
        case "uvicorn":
            uvicorn.run(
                asgi, host="127.0.0.1", port=port, log_level="error", http="httptools", loop="uvloop", lifespan="off"
            )
        case "stdlib threads":
            ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
        case _:
            uvloop.run(bare(port))


# The measurement.


def client(port: int, seconds: float, results: multiprocessing.Queue[list[float]]) -> None:
    """Send one request after the other; reports each one's seconds."""
    payload = body()
    head = f"POST / HTTP/1.1\r\nHost: h\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {len(payload)}\r\n\r\n"
    request = head.encode() + payload
    durations = []
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end_s = time.perf_counter() + seconds
        while time.perf_counter() < end_s:
            started_s = time.perf_counter()
            connection.sendall(request)
            received = b""
            while not received.endswith(ANSWER):
                received += connection.recv(65_536)
            durations.append(time.perf_counter() - started_s)
    results.put(durations)


@contextmanager
def started(candidate: str) -> Iterator[tuple[psutil.Process, int]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, __file__, "--serve", candidate, str(port)], cwd=Path(__file__).parent)
    try:
        wait_for(port)
        yield psutil.Process(process.pid), port
    finally:
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
        process.kill()
        process.wait()


def wait_for(port: int) -> None:
    end_s = time.monotonic() + START_LIMIT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > end_s:
                raise
            time.sleep(0.02)


def cpu_s(process: psutil.Process) -> float:
    return sum(sum(p.cpu_times()[:2]) for p in (process, *process.children(recursive=True)))


def measure(candidate: str, seconds: float, clients: int) -> tuple[int, float, float, float]:
    """Requests, processor microseconds a request, p50 and p99 in milliseconds."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    with started(candidate) as (process, port):
        before_s = cpu_s(process)
        senders = [context.Process(target=client, args=(port, seconds, results)) for _ in range(clients)]
        for sender in senders:
            sender.start()
        durations = sorted(duration for _ in senders for duration in results.get())
        spent_s = cpu_s(process) - before_s
        for sender in senders:
            sender.join()
    count = len(durations)
    return count, spent_s / count * 1e6, statistics.median(durations) * 1e3, durations[int(count * 0.99)] * 1e3


def main(seconds: float, clients: int) -> None:
    table = Table(title=f"WriteRecords body of {len(body())} bytes, {clients} clients, load {os.getloadavg()[0]:.2f}")
    for heading in ("server", "requests/s", "server CPU us/request", "p50 ms", "p99 ms"):
        table.add_column(heading, justify="left" if heading == "server" else "right")
    figures = {candidate: measure(candidate, seconds, clients) for candidate in CANDIDATES}
    for candidate, (count, cpu_us, p50_ms, p99_ms) in sorted(figures.items(), key=lambda item: item[1][1]):
        table.add_row(candidate, f"{count / seconds:.0f}", f"{cpu_us:.0f}", f"{p50_ms:.2f}", f"{p99_ms:.2f}")
    Console().print(table)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2], int(sys.argv[3]))
    else:
        main(*(float(sys.argv[1]) if sys.argv[1:] else 3.0, int(sys.argv[2]) if sys.argv[2:] else 2))
