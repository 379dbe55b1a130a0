"""Hostile queries: how much each delays writes, how soon it ends when it is cancelled, and what memory it leaves.

One client writes 100 records 50 times a second, first alone, then while each query runs, again and again as it ends.
A write's time counts from the moment it was due, so that a stall delays the writes behind it too. Times are given
beside those of writes while an ordinary query loads every core, which is what the machine is worth then: a ratio above
2 to either is marked. Each figure is that of one phase, so p99 is what the third slowest of 250 writes took.

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
from typing import Any

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
MIB = 1024 * 1024
TABLE = queries.TABLE


def _numbers(count: int, name: str) -> str:
    """A relation of numbers from 1; a sequence has at most 10,000."""
    return f"UNNEST(sequence(1, {count})) AS {name}({name})"


TEN_MILLION = f"{_numbers(10_000, 'a')}, {_numbers(1_000, 'b')}"
HUNDRED_MILLION = f"{_numbers(10_000, 'a')}, {_numbers(10_000, 'b')}"
ENDLESS = f"{HUNDRED_MILLION}, {_numbers(10_000, 'c')}"
LONG_JSON = "'[' || array_join(repeat('{\"a\":[1,2.5,\"x\"]}', 10000), ',') || ']'"

HOSTILE = {
    "ordinary aggregation": f"SELECT count(*), avg(usage_user * usage_system) FROM {TABLE}, {_numbers(500, 'a')}",
    "cross join": f"SELECT count(*) FROM {ENDLESS} WHERE a * b % 7 = c % 5",
    "cross join of the table": f"SELECT count(*) FROM {TABLE} l, {TABLE} r, {TABLE} s WHERE l.usage_user < r.usage_user",
    "deep nesting": "SELECT " + "round(" * 95 + "a" + ")" * 95 + f" FROM {TEN_MILLION}",
    "IN list of 256 KB": "SELECT count(*) FROM {table} WHERE hostname IN ({list})".format(
        table=TABLE, list=", ".join(f"'host_{n:07}'" for n in range(9_900))
    ),
    "slow to compile": "SELECT " + ", ".join(["time + 1h - 1h"] * 2_200) + f" FROM {TABLE} LIMIT 1",
    "regular expression": f"SELECT count(*) FROM {TEN_MILLION} WHERE regexp_like(rpad('', 200, 'a'), '(a+)+$|(a|aa)+b')",
    "pattern of each row": f"SELECT count(*) FROM {TEN_MILLION} WHERE regexp_like('aaaa', CAST(a * b AS varchar) || '(a|b)*')",
    "rpad of a megabyte": f"SELECT max(length(rpad(CAST(a AS varchar), 1000000, 'xyz'))) FROM {_numbers(10_000, 'a')}",
    "array_agg": f"SELECT cardinality(array_agg(rpad(CAST(a AS varchar), 100, 'x'))) FROM {HUNDRED_MILLION}",
    "array_join": f"SELECT length(array_join(array_agg(CAST(a AS varchar)), ',')) FROM {HUNDRED_MILLION} GROUP BY b % 100",
    "sort": f"SELECT a, b FROM {HUNDRED_MILLION} ORDER BY xxhash64(to_utf8(CAST(a AS varchar))), b % 77 DESC",
    "hash aggregation": f"SELECT count(*) FROM (SELECT a * b * 7919 % 99999989 AS k, max(a) FROM {HUNDRED_MILLION} GROUP BY 1)",
    "window": f"SELECT max(r) FROM (SELECT row_number() OVER (PARTITION BY a % 10 ORDER BY b DESC, a) AS r FROM {HUNDRED_MILLION})",
    "large result": f"SELECT a, b, rpad('', 100, 'x') FROM {TEN_MILLION}",
    "one giant row": f"SELECT array_agg(a) FROM {TEN_MILLION}",
    "large arrays": f"SELECT max(cardinality(array_sort(flatten(repeat(repeat(a, 1000), 900))))) FROM {_numbers(10_000, 'a')}",
    "large maps": f"SELECT count(map_agg(CAST(a AS varchar), b)) FROM {HUNDRED_MILLION} GROUP BY b",
    "JSON of a long text": f"SELECT count(json_extract({LONG_JSON} || CAST(a AS varchar), '$[5]')) FROM {_numbers(10_000, 'a')}",
    "JSON of each row": f"SELECT count(json_extract_scalar('{{\"k\":[' || CAST(a * b AS varchar) || ']}}', '$.k[0]')) FROM {TEN_MILLION}",
    "URL of each row": f"SELECT count(url_extract_parameter('http://h/?k=' || CAST(a * b AS varchar), 'k')) FROM {TEN_MILLION}",
    "format of each row": f"SELECT count(format('%,d %s %.3f', a * b, 'x', a * 1.5e0)) FROM {TEN_MILLION}",
    "levenshtein_distance": (
        "SELECT max(levenshtein_distance(rpad(CAST(a AS varchar), 999, 'é'), rpad(CAST(b AS varchar), 999, 'è'))) "
        f"FROM {TEN_MILLION}"
    ),
    "xxhash64 of long texts": f"SELECT max(xxhash64(to_utf8(rpad(CAST(a AS varchar), 900000, 'x')))) FROM {_numbers(10_000, 'a')}",
    "numeric_histogram": f"SELECT numeric_histogram(10, a * 1.37e0 * b) FROM {TEN_MILLION}",
    "interpolation": (
        f"SELECT hostname, interpolate_spline_cubic(create_time_series(time, usage_user), "
        f"sequence(min(time), max(time), 1s)) FROM {TABLE} CROSS JOIN {_numbers(200, 'a')} GROUP BY hostname, a"
    ),
    "combinations": f"SELECT max(cardinality(combinations(sequence(1, 40 + a % 2), 4))) FROM {_numbers(10_000, 'a')}",
    "soundex of long texts": f"SELECT max(soundex(rpad(CAST(a AS varchar), 900000, 'xyz'))) FROM {_numbers(10_000, 'a')}",
    "split_to_map": (
        f"SELECT max(cardinality(split_to_map(array_join(transform(sequence(1, 10000), x -> CAST(x * a AS varchar) "
        f"|| '=1'), ','), ',', '='))) FROM {_numbers(10_000, 'a')}"
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
    worst_ms: float
    answers: list[str]
    cancel_s: float | None = None
    left_mib: float = 0.0


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


def main(seconds: float, names: list[str]) -> None:
    print(f"hostile: load average {os.getloadavg()[0]:.2f}")
    with tempfile.TemporaryDirectory() as folder:
        buckets = Path(folder) / "buckets"
        (buckets / "out").mkdir(parents=True)
        with serving(Path(folder), log_level="info", object_store=buckets.as_uri()) as server:
            print(f"  {queries.load(server, HOURS):,} records; {RATE} writes of 100 records a second", flush=True)
            with _writer(server) as writer:
                _write(writer, WARM_UP)
                alone = _measured(server, writer, seconds, [])
                _show("no query", alone, None)
                for name, text in HOSTILE.items():
                    if not names or name in names:
                        _show(name, _measured(server, writer, seconds, [text]), alone)
                if not names or "together" in names:
                    texts = [text for _, text in zip(range(TOGETHER), 2 * list(HOSTILE.values()), strict=False)]
                    _show(f"{TOGETHER} at once", _measured(server, writer, seconds, texts), alone)


def _show(name: str, phase: Phase, alone: Phase | None) -> None:
    ratio = "" if alone is None else f"  x{phase.p99_ms / alone.p99_ms:5.1f}"
    cancel = "" if phase.cancel_s is None else f"  cancelled in {phase.cancel_s:.2f} s"
    answer = f"  {len(phase.answers)} answers, {phase.answers[0][:90]}" if phase.answers else ""
    print(
        f"  {name:24} p50 {phase.p50_ms:7.1f} ms  p99 {phase.p99_ms:7.1f} ms{ratio:8}  worst {phase.worst_ms:7.1f} ms"
        f"{cancel}  memory {phase.left_mib:+.0f} MiB{answer}",
        flush=True,
    )


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
    return Phase(p50_ms, p99_ms, max(taken_ms), answers, cancel_s, left / MIB)


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
