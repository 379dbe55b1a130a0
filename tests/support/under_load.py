"""Writers that send without end to a server that may end at any moment, and what of theirs is there afterwards.

They keep a journal outside the data folder; `acknowledged.py` is the judge. Tests of kills, of power cuts and of full
disks share them.
"""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from .acknowledged import Found, Identity, Journal, Written, versions_of, violations
from .server import ServerProcess
from .serving import Client

DATABASE = "crash"
ONCE, OFTEN = "once", "often"
WRITERS = 4
UPSERT_HOSTS = 10
LAST_VERSIONS = 3


def make_tables(server: ServerProcess) -> None:
    """The database and both tables that writers write to."""
    write = server.client("timestream-write")
    write.create_database(DatabaseName=DATABASE)
    for table in (ONCE, OFTEN):
        write.create_table(DatabaseName=DATABASE, TableName=table)


class Writer(threading.Thread):
    """Sends requests until told to stop; begins again where it stood when the server is back.

    Even ones write new records, odd ones new versions of the same few. A request without an answer is sent again or
    given up, as chance has it: either is safe.
    """

    def __init__(self, server: ServerProcess, journal: Journal, place: int, chance: random.Random) -> None:
        super().__init__(name=f"writer-{place}", daemon=True)
        self._server = server
        self._journal = journal
        self._place = place
        self._chance = chance
        self._base_ns = time.time_ns()
        self._count = 0
        self._client: Client | None = None
        self._unanswered: list[Written] = []
        self._may_send = threading.Event()
        self._is_over = False
        self.faults: list[str] = []

    def resume(self) -> None:
        self._may_send.set()

    def pause(self) -> None:
        self._may_send.clear()

    def end(self) -> None:
        self._is_over = True
        self._may_send.set()
        self.join(20)

    def run(self) -> None:
        while True:
            self._may_send.wait()
            if self._is_over:
                return
            is_repeat = bool(self._unanswered) and self._chance.random() < 0.5
            written = self._unanswered if is_repeat else self._next()
            self._unanswered = written
            number = self._journal.sending(written)
            try:
                status, body = self._send(written)
            except (OSError, EOFError):
                self._client = None
                time.sleep(0.01)
                continue
            self._unanswered = []
            if status == 200:
                self._journal.acknowledged(number)
            elif status != 500:
                self.faults.append(f"request {number}: {status} {body!r}")

    def _next(self) -> list[Written]:
        if self._place % 2:
            self._count += 1
            return [
                Written(Identity(OFTEN, f"w{self._place}-{n}", self._base_ns), self._count, 100 * self._count + n)
                for n in range(UPSERT_HOSTS)
            ]
        first, self._count = self._count, self._count + self._chance.choice((1, 5, 20, 60))
        return [
            Written(Identity(ONCE, f"w{self._place}-{n % 7}", self._base_ns + n), 1, n)
            for n in range(first, self._count)
        ]

    def _send(self, written: list[Written]) -> tuple[int, bytes]:
        if self._client is None:
            self._client = Client(socket.create_connection((self._server.host, self._server.port), 20))
        self._client.send(self._server.signed("WriteRecords", body_of(written)))
        answer = self._client.answer()
        return answer.status, answer.body


def body_of(written: list[Written]) -> bytes:
    records = [
        {
            "Dimensions": [{"Name": "host", "Value": one.identity.host}],
            "MeasureValue": str(one.value),
            "Time": str(one.identity.time_ns),
            "Version": one.version,
        }
        for one in written
    ]
    common = {"MeasureName": "value", "MeasureValueType": "BIGINT", "TimeUnit": "NANOSECONDS"}
    names = {"DatabaseName": DATABASE, "TableName": written[0].identity.table}
    return json.dumps({**names, "CommonAttributes": common, "Records": records}).encode()


def send_once(server: ServerProcess, operation: str, body: bytes) -> tuple[int, bytes]:
    """Status and body of the answer to one call."""
    with Client(socket.create_connection((server.host, server.port), 20)) as client:
        client.send(server.signed(operation, body))
        answer = client.answer()
        return answer.status, answer.body


def found_by(server: ServerProcess) -> list[Found]:
    """All rows of both tables. Read without boto3, which takes ten times as long for as many rows."""
    found = []
    with Client(socket.create_connection((server.host, server.port), 60)) as client:
        for table in (ONCE, OFTEN):
            call = {"QueryString": f"SELECT host, time, measure_value::bigint FROM {DATABASE}.{table}"}
            is_last = False
            while not is_last:
                client.send(server.signed("Query", json.dumps(call).encode()))
                answer = client.answer()
                if b"Column 'host' does not exist" in answer.body:
                    # A table that has never had a record has no columns.
                    break
                assert answer.status == 200, answer.body
                page = answer.json
                for host, instant, value in ([d["ScalarValue"] for d in row["Data"]] for row in page["Rows"]):
                    found.append(Found(Identity(table, host, time_ns_of(instant)), int(value)))
                is_last = "NextToken" not in page
                call["NextToken"] = page.get("NextToken")
    return found


def time_ns_of(text: str) -> int:
    seconds, _, rest = text.partition(".")
    return int(datetime.fromisoformat(f"{seconds}+00:00").timestamp()) * 10**9 + int(rest)


@contextmanager
def writing(server: ServerProcess, journal: Journal, chance: random.Random) -> Iterator[list[Writer]]:
    writers = [Writer(server, journal, place, random.Random(chance.random())) for place in range(WRITERS)]
    for writer in writers:
        writer.start()
    try:
        yield writers
    finally:
        for writer in writers:
            writer.end()
    assert [fault for writer in writers for fault in writer.faults] == []


def judged(server: ServerProcess, journal: Journal, seen: dict[Identity, int]) -> dict[Identity, int]:
    """The versions that are there now; fails if a promise is broken."""
    found = found_by(server)
    # Read behind the rows: what is found must have been journalled before it was sent.
    history = journal.read()
    told = violations(history, found, seen)
    assert not told, f"{len(told)} promises broken: {told[:5]}"
    return versions_of(history, found)


def assert_versions_only_rise(server: ServerProcess, seen: dict[Identity, int]) -> None:
    """A version below the one that stands is rejected, and the answer names the one that stands."""
    with Client(socket.create_connection((server.host, server.port), 20)) as client:
        risen = [identity for identity, version in seen.items() if version > 1][:LAST_VERSIONS]
        assert risen
        for identity in risen:
            client.send(server.signed("WriteRecords", body_of([Written(identity, 1, -1)])))
            answer = client.answer()
            assert answer.status == 419
            assert answer.json["RejectedRecords"][0]["ExistingVersion"] >= seen[identity]
