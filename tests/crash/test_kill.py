"""SIGKILL at random moments, again and again: every acknowledged record is there once, nothing is invented.

Writers send through signed requests and keep a journal outside the data folder. The flush age is the least there is, so
blocks are written all the time, and half of the kills come when a flush is at its files. A failing run says its seed.
`pytest -m slow tests/crash` is the long version. Killing a process leaves the page cache: what a power cut does is
tested on the rooms themselves (tests/unit/wal, tests/behaviours).
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
from pathlib import Path

import pytest

from support.acknowledged import Found, Identity, Journal, Written, versions_of, violations
from support.server import ServerProcess
from support.serving import Client

DATABASE = "crash"
ONCE, OFTEN = "once", "often"
WRITERS = 4
UPSERT_HOSTS = 10
LAST_VERSIONS = 3


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


def kill_within(server: ServerProcess, chance: random.Random, longest_s: float) -> None:
    """SIGKILL: either at any moment, or as soon as a flush has put a file into a folder of blocks."""
    time.sleep(chance.uniform(0.05, longest_s))
    if chance.random() < 0.5:
        before = files(server)
        end_s = time.monotonic() + 3
        while files(server) <= before and time.monotonic() < end_s:
            time.sleep(0.0005)
        time.sleep(chance.choice((0, 0, 0.002, 0.01)))
    server.kill()


def files(server: ServerProcess) -> set[str]:
    return {path.name for path in (server.data / "blocks").glob("*/*")}


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


def play(folder: Path, seed: int, kills: int, longest_s: float, sabotage: str = "") -> None:
    """Kill the server so many times under load, and judge it after each restart; and at the end stop it cleanly."""
    chance = random.Random(seed)
    journal = Journal(folder / "journal")
    server = ServerProcess(folder, sabotage, flush_age_s=0.1, log_segment_mb=1, log_limit_mb=2)
    server.start()
    try:
        write = server.client("timestream-write")
        write.create_database(DatabaseName=DATABASE)
        for table in (ONCE, OFTEN):
            write.create_table(DatabaseName=DATABASE, TableName=table)
        seen: dict[Identity, int] = {}
        with writing(server, journal, chance) as writers:
            for _ in range(kills):
                for writer in writers:
                    writer.resume()
                kill_within(server, chance, longest_s)
                for writer in writers:
                    writer.pause()
                server.start()
                seen = judged(server, journal, seen)
        found = found_by(server)
        assert server.stop() == 0
        server.start()
        assert sorted(found_by(server)) == sorted(found)
        judged(server, journal, seen)
        assert_versions_only_rise(server, seen)
        assert server.stop() == 0
        assert_judge_sees_a_loss(journal, found)
    finally:
        server.kill()
        journal.close()
    assert server.stderr.count('"flushed"') >= kills / 2
    assert "Traceback" not in server.stderr


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


def assert_judge_sees_a_loss(journal: Journal, found: list[Found]) -> None:
    """The negative control: with one acknowledged row less, or one row twice, the same judgement fails."""
    history = journal.read()
    acknowledged = {w.identity for number in history.acknowledged for w in history.requests[number]}
    lost = next(place for place, row in enumerate(found) if row.identity in acknowledged)
    assert not violations(history, found, {})
    assert violations(history, found[:lost] + found[lost + 1 :], {})
    assert violations(history, [*found, found[lost]], {})


def test_nothing_acknowledged_is_lost_by_kills(tmp_path: Path) -> None:
    play(tmp_path, seed=1, kills=4, longest_s=1.5)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(2, 6))
def test_nothing_acknowledged_is_lost_by_many_kills(tmp_path: Path, seed: int) -> None:
    play(tmp_path, seed, kills=15, longest_s=1.0)


LOSES_THE_LAST_ENTRY = """
from headwater.wal.log import Log
replay = Log.replay
Log.replay = lambda self, after: iter(list(replay(self, after))[:-1])
"""
ANSWERS_BEFORE_THE_LOG = """
from headwater.wal.log import Log
append, held = Log.append, []
def late(self, payload):
    held.append(payload)
    if len(held) > 1:
        append(self, held.pop(0))
    return self.last_sequence + 1
Log.append = late
"""
CHECKPOINT_TOO_EARLY = """
from dataclasses import replace
from headwater.storage.table import TableStore
change = TableStore.change
TableStore.change = lambda self, frozen, flushed: replace(
    change(self, frozen, flushed), checkpoint=max(frozen.last_sequence, self.memtable.last_sequence)
)
"""
FORGETS_REPLACED_ROWS = """
from dataclasses import replace
from headwater.storage.table import TableStore
change = TableStore.change
TableStore.change = lambda self, frozen, flushed: replace(change(self, frozen, flushed), deleted_rows={})
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "sabotage", [LOSES_THE_LAST_ENTRY, ANSWERS_BEFORE_THE_LOG, CHECKPOINT_TOO_EARLY, FORGETS_REPLACED_ROWS]
)
def test_a_server_broken_on_purpose_is_found_out(tmp_path: Path, sabotage: str) -> None:
    with pytest.raises(AssertionError, match="promises broken"):
        play(tmp_path, seed=1, kills=8, longest_s=1.5, sabotage=sabotage)
