"""WriteRecords against a real server, with thousands of requests that are nearly right.

Whatever is sent: never a 5xx, never a request written by half, never more memory. Requests go through a socket to a
process of its own; what its tables then hold is asked for in SQL and compared with a ledger that believes only the
answers. The long run has 20,000 requests: `make fuzz-write`. FUZZ_SEED=n in the environment makes another run.
"""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, seed, settings
from ledger import Key, Ledger, Values, typed
from write_bodies import MINUTE_MS, Drawn, Moment, drawn_requests

from headwater.model.time import parse_instant
from support.server import ServerProcess, serving
from support.serving import Answer, Client

SEED = int(os.environ.get("FUZZ_SEED", "1"))
REQUESTS_A_BATCH = 500
"""After so many requests the tables are made anew, and hypothesis forgets what it drew."""
REQUESTS_A_COMPARISON = 25
GROWTH_MAX_BYTES = 24 << 20
STATUSES = {200, 400, 404, 419}

RETENTION = {"MemoryStoreRetentionPeriodInHours": 1, "MagneticStoreRetentionPeriodInDays": 30}
LATE = {"MagneticStoreWriteProperties": {"EnableMagneticStoreWrites": True}}


def key(enforcement: str) -> dict[str, Any]:
    entry = {"Type": "DIMENSION", "Name": "host", "EnforcementInRecord": enforcement}
    return {"Schema": {"CompositePartitionKey": [entry]}}


TABLES: dict[str, dict[str, Any]] = {
    "plain": {},
    "late": LATE,
    "required": key("REQUIRED"),
    "optional-late": {**key("OPTIONAL"), **LATE},
}


def draw_requests(number: int) -> list[Drawn]:
    """A batch of requests, all drawn before one is sent: hypothesis would repeat a failing one, on other tables."""
    found: list[Drawn] = []

    @seed(number)
    @settings(max_examples=REQUESTS_A_BATCH, database=None, deadline=None, phases=[Phase.generate])
    @given(drawn_requests(len(TABLES)))
    def draw(drawn: Drawn) -> None:
        found.append(drawn)

    draw()
    return found


class Fuzzed:
    """A server, its four tables, and a ledger of each."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.statuses: Counter[int] = Counter()
        self.faults: Counter[str] = Counter()
        self.client = Client(socket.create_connection((server.host, server.port), 20))
        self.ledgers: dict[str, Ledger] = {}
        self.now_ms = 0
        self.call("CreateDatabase", {"DatabaseName": "fuzz"})

    def run(self, requests: int, number: int) -> None:
        """Send so many requests, drawn from the seed `number`."""
        for batch in range(requests // REQUESTS_A_BATCH):
            self.make_tables()
            drawn = draw_requests(number * 1_000 + batch)
            try:
                self.play(drawn)
            except AssertionError as error:
                error.add_note(f"in batch {batch} of seed {number}; to repeat the run: FUZZ_SEED={SEED}")
                raise

    def make_tables(self) -> None:
        self.now_ms = time.time_ns() // 10**6
        for name, more in TABLES.items():
            names = {"DatabaseName": "fuzz", "TableName": name}
            if self.ledgers:
                self.call("DeleteTable", names)
            self.call("CreateTable", {**names, "RetentionProperties": RETENTION, **more})
        late_before_ns = (self.now_ms - 120 * MINUTE_MS) * 10**6
        self.ledgers = {name: Ledger(late_before_ns) for name in TABLES}

    def play(self, drawn: list[Drawn]) -> None:
        at = Moment(self.now_ms, tuple(TABLES))
        for count, request in enumerate(drawn, 1):
            self.send(request.body(at))
            if count % REQUESTS_A_COMPARISON == 0:
                self.compare()
        self.compare()

    def send(self, body: bytes) -> None:
        answer = self.ask("WriteRecords", body)
        self.statuses[answer.status] += 1
        told = answer.json
        if answer.status in (200, 419):
            self.ledgers[json.loads(body)["TableName"]].answered(body, answer.status, told)
        else:
            assert told["message"] == told["Message"] != ""
            self.faults[told["__type"].rpartition("#")[2]] += 1
        assert answer.status in STATUSES, (body, told)

    def compare(self) -> None:
        """The tables hold what the ledgers say, no more and no less, to the bit."""
        for name, ledger in self.ledgers.items():
            assert self.rows(name, ledger.dimensions()) == ledger.rows()

    def rows(self, table: str, dimensions: set[str]) -> dict[Key, Values]:
        """All that a table holds; `dimensions` tells its columns from those of measures."""
        text, more = f'SELECT * FROM fuzz."{table}"', {}
        found: dict[Key, Values] = {}
        while True:
            page = self.call("Query", {"QueryString": text, **more})
            columns = [(column["Name"], column["Type"]["ScalarType"]) for column in page["ColumnInfo"]]
            for row in page["Rows"]:
                cells = {name: cell(kind, datum) for (name, kind), datum in zip(columns, row["Data"], strict=True)}
                values = {name: value for name, value in cells.items() if value is not None}
                series = frozenset((name, values.pop(name)) for name in dimensions & set(values))
                key = values.pop("time"), values.pop("measure_name"), series
                assert key not in found, "a record is there twice"
                found[key] = values
            if "NextToken" not in page:
                return found
            more = {"NextToken": page["NextToken"]}

    def call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request that nothing is wrong with."""
        answer = self.ask(operation, json.dumps(request).encode())
        assert answer.status == 200, answer.json
        return answer.json

    def ask(self, operation: str, body: bytes) -> Answer:
        target = f"X-Amz-Target: Timestream_20181101.{operation}\r\nContent-Length: {len(body)}"
        self.client.send(f"POST / HTTP/1.1\r\nHost: localhost\r\n{target}\r\n\r\n".encode() + body)
        return self.client.answer()

    def memory_bytes(self) -> int:
        """What the process holds of the machine's memory."""
        status = Path(f"/proc/{self.server.pid}/status").read_text()
        return int(re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)[1]) * 1024


def cell(kind: str, datum: dict[str, Any]) -> Any:
    """A value as the ledger has it; None for NULL."""
    if "NullValue" in datum:
        return None
    text = datum["ScalarValue"]
    return parse_instant(text) if kind == "TIMESTAMP" else typed(kind, text)


@pytest.fixture
def fuzzed(tmp_path: Path) -> Iterator[Fuzzed]:
    # Records go to blocks every second, so that the comparison is of memory and blocks together.
    with serving(tmp_path, insecure_dev="true", log_level="warning", flush_age_s="1") as server:
        fuzzed = Fuzzed(server)
        with fuzzed.client:
            yield fuzzed
        assert "Traceback" not in server.stderr


def test_two_thousand_requests(fuzzed: Fuzzed) -> None:
    fuzzed.run(2_000, SEED)
    # What is not reached is not tested: enough is stored, enough is rejected, and each kind of fault is there.
    assert fuzzed.statuses[200] > 200
    assert fuzzed.statuses[419] > 100
    assert fuzzed.statuses[404] > 5
    assert set(fuzzed.faults) == {"ValidationException", "SerializationException", "ResourceNotFoundException"}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_thousand_requests_leave_the_memory_as_it_was(fuzzed: Fuzzed) -> None:
    held = []
    for part in range(4):
        fuzzed.run(5_000, SEED * 10 + part)
        held.append(fuzzed.memory_bytes())
    # The first part warms up: caches fill, threads start, the engine takes its share.
    assert held[-1] - held[0] < GROWTH_MAX_BYTES, [size >> 20 for size in held]
