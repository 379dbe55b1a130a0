"""Hostile queries: how much each delays writes, how soon it ends when it is cancelled, and what memory it leaves.

One client writes 100 records 50 times a second: first alone, then while a query runs, again and again as it ends; so
for each query, because a machine that others use too is not the same a minute later, and three times, because one slow
sync of the disk is the slowest hundredth of a round: shown is the round with the ratio in the middle, and all ratios.
A round is done again, up to twice, when the host gave the machine's processors to others for over 1 % of it. A write's
time counts from the moment it was due, so that a stall delays those behind it too. At the end of its phase the query
is cancelled if it runs, and what the server's memory has grown by is looked at two seconds later.

    python -m benchmarks.hostile [seconds of each] [names of queries ...]
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
from botocore.exceptions import ClientError
from tests.support.server import ServerProcess, serving

from benchmarks import queries, workload
from benchmarks.client import Client, percentiles

RATE = 50
WARM_UP = 20
HOURS = 1
CALL_TIMEOUT_S = 70.0
FREED_S = 2.0
ROUNDS = 3
TRIES = 3
STOLEN_MAX = 0.01
BACK_OFF_S = 0.5
MIB = 1024 * 1024
TABLE = queries.TABLE


def _numbers(count: int, name: str) -> str:
    """A relation of numbers from 1; a sequence has at most 10,000."""
    return f"UNNEST(sequence(1, {count})) AS {name}({name})"


ROWS = _numbers(10_000, "a")
MANY = f"{_numbers(10_000, 'a')}, {_numbers(1_000, 'b')}"
PAIRS = f"{_numbers(10_000, 'a')}, {_numbers(10_000, 'b')}"
ENDLESS = f"{PAIRS}, {_numbers(10_000, 'c')}"
LONG_JSON = "'[' || array_join(repeat('{\"a\":[1,2.5,\"x\"]}', 3000), ',') || ']'"

HOSTILE = {
    "ordinary aggregation": f"SELECT count(*), avg(usage_user * usage_system) FROM {TABLE}, {_numbers(500, 'a')}",
    "cross join": f"SELECT count(*) FROM {ENDLESS} WHERE a * b % 7 = c % 5",
    "cross join of the table": f"SELECT count(*) FROM {TABLE} l, {TABLE} r, {TABLE} WHERE l.usage_user < r.usage_user",
    "deep nesting": "SELECT " + "round(" * 95 + "a" + ")" * 95 + f" FROM {MANY}",
    "IN list of 256 KB": "SELECT count(*) FROM {table} WHERE hostname IN ({list})".format(
        table=TABLE, list=", ".join(f"'host_{n:07}'" for n in range(9_900))
    ),
    "slow to compile": "SELECT " + ", ".join(["time + 1h - 1h"] * 2_200) + f" FROM {TABLE} LIMIT 1",
    "regular expression": f"SELECT count(*) FROM {MANY} WHERE regexp_like(rpad('', 200, 'a'), '(a+)+$|(a|aa)+b')",
    "pattern of each row": f"SELECT count(*) FROM {MANY} WHERE regexp_like('aaaa', CAST(a * b AS varchar) || '(a|b)*')",
    "rpad of 100 KB": f"SELECT max(length(rpad(CAST(a AS varchar), 100000, 'xyz'))) FROM {MANY}",
    "rows of 100 KB": f"SELECT rpad(CAST(a AS varchar), 100000, 'xyz') FROM {MANY}",
    "more than a vector has room for": f"SELECT max(length(rpad(CAST(a AS varchar), 1000000, 'xyz'))) FROM {ROWS}",
    "array_agg": f"SELECT cardinality(array_agg(rpad(CAST(a AS varchar), 100, 'x'))) FROM {PAIRS}",
    "array_join": f"SELECT length(array_join(array_agg(CAST(a AS varchar)), ',')) FROM {PAIRS} GROUP BY b % 100",
    "sort": f"SELECT a, b FROM {PAIRS} ORDER BY xxhash64(to_utf8(CAST(a AS varchar))), b % 77 DESC",
    "hash aggregation": f"SELECT count(*) FROM (SELECT a * b * 7919 % 99999989 AS k, max(a) FROM {PAIRS} GROUP BY 1)",
    "window": f"SELECT max(r) FROM (SELECT row_number() OVER (PARTITION BY a % 9 ORDER BY b DESC) AS r FROM {PAIRS})",
    "large result": f"SELECT a, b, rpad('', 100, 'x') FROM {MANY}",
    "one giant row": f"SELECT array_agg(a) FROM {MANY}",
    "large arrays": f"SELECT max(cardinality(array_sort(flatten(repeat(repeat(a, 100), 50))))) FROM {MANY}",
    "large maps": (
        f"SELECT max(n) FROM (SELECT cardinality(map_agg(CAST(a AS varchar), b)) AS n FROM {PAIRS} GROUP BY b) AS q"
    ),
    "JSON of a long text": f"SELECT count(json_extract({LONG_JSON} || CAST(a AS varchar), '$[5]')) FROM {ROWS}",
    "JSON of each row": f"SELECT count(json_extract_scalar('[' || CAST(a * b AS varchar) || ']', '$[0]')) FROM {MANY}",
    "URL of each row": f"SELECT count(url_extract_parameter('x://h/?k=' || CAST(a * b AS varchar), 'k')) FROM {MANY}",
    "format of each row": f"SELECT count(format('%,d %s %.3f', a * b, 'x', a * 1.5e0)) FROM {MANY}",
    "levenshtein_distance": (
        "SELECT max(levenshtein_distance(rpad(CAST(a AS varchar), 999, 'é'), rpad(CAST(b AS varchar), 999, 'è'))) "
        f"FROM {MANY}"
    ),
    "xxhash64 of long texts": f"SELECT max(xxhash64(to_utf8(rpad(CAST(a AS varchar), 65000, 'x')))) FROM {ROWS}",
    "numeric_histogram": f"SELECT numeric_histogram(10, a * 1.37e0 * b) FROM {MANY}",
    "interpolation": (
        f"SELECT hostname, interpolate_spline_cubic(create_time_series(time, usage_user), "
        f"sequence(min(time), max(time), 1s)) FROM {TABLE} CROSS JOIN {_numbers(200, 'a')} GROUP BY hostname, a"
    ),
    "combinations": f"SELECT max(cardinality(combinations(sequence(1, 30 + a % 7), 4))) FROM {ROWS}",
    "soundex of long texts": f"SELECT max(soundex(rpad(CAST(a AS varchar), 65000, 'xyz'))) FROM {ROWS}",
    "split_to_map": (
        f"SELECT max(cardinality(split_to_map(array_join(transform(sequence(1, 5000), x -> CAST(x * a AS varchar) "
        f"|| '=1'), ','), ',', '='))) FROM {ROWS}"
    ),
    "UNLOAD": f"UNLOAD (SELECT * FROM {TABLE}, {_numbers(500, 'a')}) TO 's3://out/all' WITH (format = 'CSV')",
}  # fmt: skip
TOGETHER = 40
"""So many at once fill every place there is: those that run and those that wait."""


@dataclass(frozen=True)
class Phase:
    """What writes and queries did for a while."""

    p50_ms: float
    p99_ms: float
    answers: list[str]
    cancel_s: float | None
    left_mib: float


@dataclass
class Asked:
    """One query that is asked again and again until `stop` is set, and what it was answered."""

    server: ServerProcess
    text: str
    stop: threading.Event = field(default_factory=threading.Event)
    answers: list[str] = field(default_factory=list)

    def __call__(self) -> None:
        while not self.stop.is_set():
            started = time.perf_counter()
            answer = _answer(self.server, self.text)
            self.answers.append(f"{answer} after {time.perf_counter() - started:.1f} s")
            if answer.startswith("ThrottlingException"):
                # As the SDKs wait, or so: without, the machine would do little else than refuse.
                self.stop.wait(BACK_OFF_S)


def main(seconds: float, names: list[str]) -> None:
    print(f"hostile: load average {os.getloadavg()[0]:.2f}")
    with tempfile.TemporaryDirectory() as folder:
        buckets = Path(folder) / "buckets"
        (buckets / "out").mkdir(parents=True)
        with serving(Path(folder), log_level="info", object_store=buckets.as_uri()) as server:
            print(f"  {queries.load(server, HOURS):,} records; {RATE} writes of 100 records a second", flush=True)
            with _writer(server) as writer:
                _write(writer, WARM_UP)
                together = (2 * list(HOSTILE.values()))[:TOGETHER]
                for name, texts in [(name, [text]) for name, text in HOSTILE.items()] + [("together", together)]:
                    if not names or name in names:
                        _show(name, [_round(server, writer, seconds, texts) for _ in range(ROUNDS)])


def _show(name: str, rounds: list[tuple[Phase, Phase]]) -> None:
    ranked = sorted(rounds, key=lambda both: both[1].p99_ms / both[0].p99_ms)
    alone, phase = ranked[len(ranked) // 2]
    ratios = "/".join(f"{during.p99_ms / before.p99_ms:.1f}" for before, during in ranked)
    cancel = "" if phase.cancel_s is None else f"cancelled in {phase.cancel_s:.2f} s"
    print(
        f"  {name:23} p50 {alone.p50_ms:5.1f} > {phase.p50_ms:5.1f} ms"
        f"  p99 {alone.p99_ms:5.1f} > {phase.p99_ms:5.1f} ms"
        f"  x{ratios:12}  {cancel:19}  {phase.left_mib:+5.0f} MiB  {len(phase.answers)} answers:"
        f" {phase.answers[0][:80]}",
        flush=True,
    )


def _round(server: ServerProcess, writer: Connection, seconds: float, texts: list[str]) -> tuple[Phase, Phase]:
    """Without and with the queries."""
    for _ in range(TRIES):
        stolen_s, began_s = _stolen_s(), time.perf_counter()
        both = _measured(server, writer, seconds, []), _measured(server, writer, seconds, texts)
        processor_s = (time.perf_counter() - began_s) * (os.cpu_count() or 1)
        if _stolen_s() - stolen_s < STOLEN_MAX * processor_s:
            break
    return both


def _stolen_s() -> float:
    """Time in which the machine's processors were to work and its host had none for them."""
    return float(getattr(psutil.cpu_times(), "steal", 0.0))


def _measured(server: ServerProcess, writer: Connection, seconds: float, texts: list[str]) -> Phase:
    """Writes while these queries run; at the end those that still run are cancelled."""
    before = psutil.Process(server.pid).memory_info().rss
    asked = [Asked(server, text) for text in texts]
    threads = [threading.Thread(target=one) for one in asked]
    for thread in threads:
        thread.start()
    taken_ms = _write(writer, int(seconds * RATE))
    for one in asked:
        one.stop.set()
    cancel_s = _cancel(server, threads) if texts else None
    p50_ms, p99_ms = percentiles(taken_ms)
    if texts:
        time.sleep(FREED_S)
    left = psutil.Process(server.pid).memory_info().rss - before
    answers = [answer for one in asked for answer in one.answers]
    return Phase(p50_ms, p99_ms, answers, cancel_s, left / MIB)


def _cancel(server: ServerProcess, threads: list[threading.Thread]) -> float | None:
    """Cancel whatever runs; seconds until the last has its answer, None if none ran any more."""
    query = server.client("timestream-query")
    started, were_running = time.perf_counter(), False
    while any(thread.is_alive() for thread in threads):
        for query_id in re.findall(r'"query_id": ?"(\w+)", "event": "query began"', server.stderr)[-TOGETHER:]:
            try:
                query.cancel_query(QueryId=query_id)
                were_running = True
            except ClientError:
                pass
        assert time.perf_counter() - started < CALL_TIMEOUT_S, "a query goes on though it was cancelled"
        time.sleep(0.02)
    return time.perf_counter() - started if were_running else None


def _answer(server: ServerProcess, text: str) -> str:
    """What the server answers, in few words."""
    body = json.dumps({"QueryString": text}).encode()
    with socket.create_connection((server.host, server.port), CALL_TIMEOUT_S) as connection:
        connection.sendall(
            server.signed("Query", body).replace(b"\r\nContent-Length", b"\r\nConnection: close\r\nContent-Length")
        )
        received = bytearray()
        while data := connection.recv(1 << 20):
            received += data
    head, _, rest = bytes(received).partition(b"\r\n\r\n")
    if head.startswith(b"HTTP/1.1 200 "):
        answer = json.loads(rest)
        return f"{len(answer['Rows'])} rows{' and more' if 'NextToken' in answer else ''}"
    fault = json.loads(rest)
    return f"{fault['__type'].partition('#')[2]}: {fault['message']}"


# ------------------------------------------------------------------------------------------------ the writer


@contextmanager
def _writer(server: ServerProcess) -> Iterator[Connection]:
    """A process of its own that writes when told to, so that nothing here delays it."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_write_when_told, args=(server, theirs), daemon=True)
    process.start()
    yield ours
    ours.send(0)
    process.join()


def _write(writer: Connection, count: int) -> list[float]:
    writer.send(count)
    taken_ms: list[float] = writer.recv()
    return taken_ms


def _write_when_told(server: ServerProcess, told: Connection) -> None:
    client = Client(server.host, server.port)
    first_host = 0
    while count := told.recv():
        first_host += workload.RECORDS_PER_REQUEST
        texts = workload.bodies(first_host, count, int(time.time()))
        signed = [server.signed("WriteRecords", text) for text in texts]
        told.send(_paced(client, signed))


def _paced(client: Client, requests: list[bytes]) -> list[float]:
    """Send at a steady rate; milliseconds of each from when it was due."""
    taken: list[float] = []
    start = time.perf_counter()
    for place, request in enumerate(requests):
        due = start + place / RATE
        time.sleep(max(0.0, due - time.perf_counter()))
        client.ask(request)
        taken.append((time.perf_counter() - due) * 1e3)
    return taken


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 5.0, sys.argv[2:])
