"""Query latency through HTTP with signatures over 6 h of the CPU workload: 100 hosts, 216,000 records of ten metrics.

The same queries run twice: with every record in memory, then in blocks, after a restart that flushes. One client asks
one query after the other over one connection; each time from sending to the whole answer.

    python -m benchmarks.queries [times each] [hours]
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.server import ServerProcess, serving

from benchmarks import ingest, workload
from benchmarks.client import Client, percentiles

HOSTS = workload.RECORDS_PER_REQUEST
WARM_UP = 3
TABLE = f'"{workload.DATABASE}"."{workload.TABLE}"'


@dataclass(frozen=True)
class Case:
    """A query; `text` is given the number of the run, so that hosts differ. `target_ms` is the issue's, if any."""

    name: str
    target_ms: float | None
    text: Callable[[int], str]


CASES = (
    Case("SELECT 1", None, lambda _: "SELECT 1"),
    Case(
        "one host, one hour, max per minute",
        30,
        lambda n: (
            f"SELECT bin(time, 1m) AS minute, max(usage_user) AS most FROM {TABLE} "
            f"WHERE hostname = 'host_{n * 37 % HOSTS}' AND time >= ago(1h) GROUP BY bin(time, 1m) ORDER BY minute"
        ),
    ),
    Case(
        "average per host and hour, all hosts",
        80,
        lambda _: (
            f"SELECT hostname, bin(time, 1h) AS hour, avg(usage_user) AS mean FROM {TABLE} "
            "GROUP BY hostname, bin(time, 1h) ORDER BY hostname, hour"
        ),
    ),
    Case(
        "latest per host, max_by",
        80,
        lambda _: (
            f"SELECT hostname, max(time) AS latest, max_by(usage_user, time) AS usage FROM {TABLE} "
            "GROUP BY hostname ORDER BY hostname"
        ),
    ),
    Case(
        "latest per host, row_number",
        80,
        lambda _: (
            "SELECT hostname, time, usage_user FROM (SELECT hostname, time, usage_user, "
            f"row_number() OVER (PARTITION BY hostname ORDER BY time DESC) AS place FROM {TABLE}) "
            "WHERE place = 1 ORDER BY hostname"
        ),
    ),
)


def main(times: int = 100, hours: int = 6) -> None:
    with tempfile.TemporaryDirectory() as folder:
        print(f"queries: load average {os.getloadavg()[0]:.2f}")
        with serving(Path(folder), log_level="warning", flush_age_s=86_400) as server:
            records = load(server, hours)
            print(f"  {records:,} records in memory", flush=True)
            show(server, times)
        # A clean stop has flushed so much of the log already.
        with serving(Path(folder), log_level="warning") as server:
            print(f"  the same in {blocks(server)}", flush=True)
            show(server, times)


def load(server: ServerProcess, hours: int) -> int:
    """Write the workload of the last hours; how many records that was."""
    ingest.prepare(server)
    client = Client(server.host, server.port)
    ticks = hours * 3_600 // workload.STEP_S
    for body in workload.bodies(0, ticks, int(time.time())):
        client.ask(server.signed("WriteRecords", body))
    return ticks * HOSTS


def blocks(server: ServerProcess) -> str:
    sizes = [file.stat().st_size for file in (server.data / "blocks").rglob("*.parquet")]
    assert sizes, "nothing was flushed"
    return f"{len(sizes)} block{'s' if len(sizes) > 1 else ''} of {sum(sizes):,} bytes"


def show(server: ServerProcess, times: int) -> None:
    for case in CASES:
        rows, taken_ms = measure(server, case, times)
        p50_ms, p99_ms = percentiles(taken_ms)
        target = f"  target {case.target_ms:g} ms" if case.target_ms else ""
        print(f"    {case.name:38} {rows:4} rows  p50 {p50_ms:6.1f} ms  p99 {p99_ms:6.1f} ms{target}", flush=True)


def measure(server: ServerProcess, case: Case, times: int) -> tuple[int, list[float]]:
    """Rows of the answer and the milliseconds of each run behind the warm-up."""
    client = Client(server.host, server.port)
    signed = list(_signed(server, case, WARM_UP + times))
    answer = json.loads(client.ask(signed[0]))
    assert "NextToken" not in answer, "the answer has more than one page"
    return len(answer["Rows"]), client.time_ms(signed)[WARM_UP:]


def _signed(server: ServerProcess, case: Case, times: int) -> Iterator[bytes]:
    for number in range(times):
        yield server.signed("Query", json.dumps({"QueryString": case.text(number)}).encode())


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
