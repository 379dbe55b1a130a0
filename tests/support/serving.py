"""A server to talk to, on loopback, with a real catalog and small stores in memory; and a client of raw bytes."""

from __future__ import annotations

import json
import random
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from headwater.catalog.catalog import Catalog
from headwater.config import Config, load
from headwater.errors import Invalid, Rejected, RejectedRecord
from headwater.files import LocalFiles
from headwater.jobs.batch_load import BatchLoads
from headwater.model.facts import (
    Facts,
    IngestFacts,
    LogFacts,
    NotificationFacts,
    QueryFacts,
    ReportFacts,
    Runs,
    StoreFacts,
)
from headwater.model.time import FixedClock
from headwater.model.types import OutputColumn, Scalar
from headwater.objects import NoBuckets
from headwater.server.app import Server
from headwater.server.http import HttpLimits
from headwater.wire.sigv4 import sign
from support.keys import PROVIDER

NOW_NS = 1_700_000_000_123_000_000
ACCOUNT, REGION = "123456789012", "us-east-1"
KEY, SECRET = "AKIDEXAMPLE", "secret"
TIMEOUT_S = 20.0
FAST = HttpLimits(head_s=0.3, body_s=0.3, idle_s=0.6, linger_s=0.3, sweep_interval_s=0.02)


FACTS = Facts(
    ingest={"WriteRecords": IngestFacts(5, 3, 2), "ScheduledQuery": IngestFacts(1, 0, 0)},
    store=StoreFacts(
        log=LogFacts(4_096, 7, 0.25, False, 0, 11, 0.5),
        memtable_bytes=2_048,
        memtable_age_s=1.5,
        blocks=3,
        block_bytes=3_000,
        block_rows=300,
        decoded_bytes=0,
        damaged_blocks=0,
        disk_free_bytes=10**9,
        disk_low_mark_bytes=10**8,
        is_disk_low=False,
        clock_steps=0,
        runs={name: Runs(1, 0) for name in ("flush", "compaction", "retention", "scrub")},
        late_rejected=4,
        late_reports_waiting=1,
    ),
    queries=QueryFacts(1, 2, {"succeeded": 9}, 12_345, 90_000_000),
    reports=ReportFacts(1, 2, 3),
    scheduled_running=1,
    scheduled_ended={"AUTO_TRIGGER_SUCCESS": 6},
    batch_load_tasks={"SUCCEEDED": 2},
    batch_load_ingested=1_000,
    batch_load_rejected=10,
    notifications=NotificationFacts(1, 8, 2),
    jobs={"flush": Runs(20, 1)},
)
"""A number for everything that metrics tell."""


@dataclass
class Ingested:
    memory: int
    magnetic: int


@dataclass
class MemoryIngest:
    """Keeps requests. A record whose measure name is `reject` is rejected; `hold` makes answers wait for `release`."""

    catalog: Catalog
    held: list[Future] = field(default_factory=list)
    written: list = field(default_factory=list)
    hold: bool = False
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def write(self, request):
        self.catalog.table(request.database, request.table)
        future: Future = Future()
        self.written.append(request)
        self.arrived.release()
        if self.hold:
            self.held.append(future)
            return future
        bad = [i for i, record in enumerate(request.records) if record.measure_name == "reject"]
        if bad:
            future.set_exception(Rejected([RejectedRecord(i, "too old", 200 if i else None) for i in bad]))
        else:
            future.set_result(Ingested(len(request.records), 0))
        return future

    def release(self):
        while self.held:
            self.held.pop().set_result(Ingested(1, 0))


@dataclass
class Page:
    query_id: str = "Q" * 63
    columns: tuple[OutputColumn, ...] = (OutputColumn("_col0", Scalar.BIGINT),)
    rows: list[bytes] = field(default_factory=lambda: [b'{"Data":[{"ScalarValue":"1"}]}'])
    next_token: str | None = None
    progress_percent: float = 100.0
    bytes_scanned: int = 0
    bytes_metered: int = 10_000_000
    insights: None = None
    output_rows: int = 1
    output_bytes: int = 8


@dataclass
class MemoryQueries:
    """Knows `SELECT 1`, `WAIT` (until `gate` opens), `BIG` (20 MB) and `BUG`; other texts do not parse."""

    gate: threading.Event = field(default_factory=threading.Event)
    waiting: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def run(
        self, caller, text, client_token=None, next_token=None, max_rows=None, is_wanted=None, wants_insights=False
    ):
        match text:
            case "SELECT 1":
                return Page(next_token="more" if max_rows == 1 else None)
            case "WAIT":
                self.waiting.release()
                assert self.gate.wait(TIMEOUT_S)
                return Page()
            case "BIG":
                return Page(rows=[b'"' + b"x" * 1_000_000 + b'"'] * 20)
            case "BUG":
                raise ZeroDivisionError("a secret of the inside")
        raise Invalid("line 1:1: that is no query")


class MemoryInstance:
    """What `server/needs.Instance` asks for."""

    def __init__(self, config: Config, directory: Path) -> None:
        self.config = config
        self.clock = FixedClock(NOW_NS)
        randomness = random.Random(1).randbytes
        self.catalog = Catalog.open(
            LocalFiles(), directory, PROVIDER, ACCOUNT, REGION, self.clock, randomness, self.config.limits
        )
        self.token_key = b"k" * 32
        self.ingest = MemoryIngest(self.catalog)
        self.queries = MemoryQueries()
        self.batch_loads = BatchLoads(
            self.catalog, self.ingest, NoBuckets(), self.clock, config.limits, lambda: randomness(16).hex()
        )

        self.refused_for: str | None = None

    def facts(self):
        return FACTS

    def refusal(self):
        return self.refused_for

    def secret_of(self, access_key_id):
        return SECRET if access_key_id == KEY else None

    def create_table(self, database, name, retention, magnetic_writes, partition_key, tags):
        return self.catalog.create_table(database, name, retention, magnetic_writes, partition_key, tags)

    def drop_table(self, database, name):
        self.catalog.delete_table(database, name)


def make_instance(directory: Path, **settings: str) -> MemoryInstance:
    flags = {"data": str(directory), "listen": "127.0.0.1:0", "account": ACCOUNT, "region": REGION, **settings}
    return MemoryInstance(load(flags, {}, None, processors=2), directory)


class Running:
    """A server in a thread."""

    def __init__(self, instance: MemoryInstance, limits: HttpLimits | None) -> None:
        self.instance = instance
        self.address: tuple[str, int] = ("", 0)
        self._ready = threading.Event()
        self.server = Server(instance, self._on_ready, random.Random(2).randbytes, limits)
        self.thread = threading.Thread(target=self.server.run, daemon=True)

    def _on_ready(self, host: str, port: int) -> None:
        self.address = host, port
        self._ready.set()

    def start(self) -> None:
        self.thread.start()
        assert self._ready.wait(TIMEOUT_S)

    def connect(self) -> Client:
        return Client(socket.create_connection(self.address, TIMEOUT_S))

    def call(self, operation: str, request: object, **how: object) -> tuple[int, dict]:
        """Status and body of one signed call."""
        with self.connect() as client:
            client.send(self.request(operation, request, **how))
            answer = client.answer()
            return answer.status, answer.json

    def request(self, operation: str, request: object, *, secret: str = SECRET, more: str = "") -> bytes:
        """The bytes of a signed call."""
        body = request if isinstance(request, bytes) else json.dumps(request).encode()
        headers = {
            "Host": f"127.0.0.1:{self.address[1]}",
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": f"Timestream_20181101.{operation}",
        }
        signed = sign("POST", "/", headers, body, access_key_id=KEY, secret=secret, region=REGION, now_ns=NOW_NS)
        lines = "".join(f"{name}: {value}\r\n" for name, value in signed)
        return f"POST / HTTP/1.1\r\n{lines}Content-Length: {len(body)}\r\n{more}\r\n".encode() + body


@contextmanager
def running(instance: MemoryInstance, limits: HttpLimits | None = None) -> Iterator[Running]:
    server = Running(instance, limits)
    server.start()
    try:
        yield server
    finally:
        server.server.stop()
        server.server.stop()
        server.thread.join(TIMEOUT_S)
        instance.catalog.close()
        assert not server.thread.is_alive()


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    raw: bytes

    @property
    def json(self) -> dict:
        return json.loads(self.body)


class Client:
    """One connection; reads answers by their Content-Length."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._buffer = b""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> Answer:
        """The next answer; interim ones are passed over. Raises EOFError when the connection ended instead."""
        while b"\r\n\r\n" not in self._buffer:
            self._receive()
        head, _, rest = self._buffer.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        status = int(lines[0].split(" ")[1])
        if status < 200:
            self._buffer = rest
            return self.answer()
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
        end = len(head) + 4 + int(headers["content-length"])
        while len(self._buffer) < end:
            self._receive()
        raw, self._buffer = self._buffer[:end], self._buffer[end:]
        return Answer(status, headers, raw[len(head) + 4 :], raw)

    def is_closed(self) -> bool:
        """Whether the server has ended the connection; waits for that or for bytes."""
        try:
            return not self._buffer and self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def _receive(self) -> None:
        data = self.socket.recv(65_536)
        if not data:
            raise EOFError(self._buffer)
        self._buffer += data
