"""Ingest through HTTP with signatures: 100-record requests of the CPU workload, from one and from four processes.

Each client process makes and signs its requests first (a signature is good for five minutes), then all start together
and send as fast as they are answered, each over one connection and for hosts of its own. Server CPU is user and system
time of the server process between the first request and the last answer.

    python -m benchmarks.ingest [requests per run] [clients ...]
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import psutil
from tests.support.server import ServerProcess, serving

from benchmarks import workload
from benchmarks.client import Client, percentiles

CLIENT_TIMEOUT_S = 120.0
WARM_UP = 10
COUNT = f'SELECT count(*) FROM "{workload.DATABASE}"."{workload.TABLE}"'


@dataclass(frozen=True)
class Figures:
    """Of one run. `cpu_us` is server CPU time for one record."""

    clients: int
    records: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_us: float

    def __str__(self) -> str:
        rate = self.records / self.seconds
        return (
            f"{self.clients} client{'s' if self.clients > 1 else ' '}  {rate:9,.0f} records/s  "
            f"{rate * len(workload.METRICS):11,.0f} metrics/s  p50 {self.p50_ms:6.2f} ms  p99 {self.p99_ms:6.2f} ms  "
            f"server CPU {self.cpu_us:5.1f} us/record  ({self.records:,} records)"
        )


def main(requests: int, clients: tuple[int, ...]) -> None:
    """A run for each number of clients, on a new server, with as many requests in all."""
    print(f"ingest: load average {os.getloadavg()[0]:.2f}")
    for count in clients:
        with tempfile.TemporaryDirectory() as folder, serving(Path(folder), log_level="warning") as server:
            print(f"  {measure(server, requests // count, count)}", flush=True)


def measure(server: ServerProcess, requests: int, clients: int) -> Figures:
    """Load an empty server with `requests` requests from each client, after a warm-up of each."""
    prepare(server)
    context = multiprocessing.get_context("fork")
    start, end = context.Barrier(clients + 1), context.Barrier(clients + 1)
    results: Any = context.SimpleQueue()
    processes = [
        context.Process(target=_send, args=(server, requests, place, start, end, results.put))
        for place in range(clients)
    ]
    for process in processes:
        process.start()
    start.wait(CLIENT_TIMEOUT_S)
    cpu_before, started = cpu_s(server.pid), time.perf_counter()
    end.wait(CLIENT_TIMEOUT_S)
    seconds, used_s = time.perf_counter() - started, cpu_s(server.pid) - cpu_before
    sent = [results.get() for _ in processes]
    for process in processes:
        process.join(CLIENT_TIMEOUT_S)
    stored = server.client("timestream-query").query(QueryString=COUNT)["Rows"][0]["Data"][0]["ScalarValue"]
    assert int(stored) == clients * (requests + WARM_UP) * workload.RECORDS_PER_REQUEST, stored
    records = clients * requests * workload.RECORDS_PER_REQUEST
    p50_ms, p99_ms = percentiles([ms for taken in sent for ms in taken])
    return Figures(clients, records, seconds, p50_ms, p99_ms, used_s / records * 1e6)


def prepare(server: ServerProcess) -> None:
    """Make the database and the table."""
    write = server.client("timestream-write")
    write.create_database(DatabaseName=workload.DATABASE)
    write.create_table(
        DatabaseName=workload.DATABASE,
        TableName=workload.TABLE,
        RetentionProperties={"MemoryStoreRetentionPeriodInHours": 24, "MagneticStoreRetentionPeriodInDays": 7},
    )


def cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _send(
    server: ServerProcess, requests: int, place: int, start: Barrier, end: Barrier, put: Callable[[Any], None]
) -> None:
    end_s = int(time.time())
    texts = workload.bodies(workload.RECORDS_PER_REQUEST * place, requests + WARM_UP, end_s)
    signed = [server.signed("WriteRecords", text) for text in texts]
    client = Client(server.host, server.port)
    client.time_ms(signed[:WARM_UP])
    start.wait(CLIENT_TIMEOUT_S)
    taken_ms = client.time_ms(signed[WARM_UP:])
    end.wait(CLIENT_TIMEOUT_S)
    put(taken_ms)


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    main(numbers[0] if numbers else 600, tuple(numbers[1:]) or (1, 4))
