"""What latency does as a table grows: recent-window, last-point and newest-first queries over 1, 10 and 100 days.

A hundred hosts of ten gauges, a record a minute unless told otherwise, written to the store without HTTP, flushed by
day and compacted. Then a server opens the folder and one client asks over one connection, with signatures, as
`benchmarks.queries` does. The last column is the growth from the fewest days to the most.

    python -m benchmarks.growth [times each] [seconds between records] [days ...]
"""

from __future__ import annotations

import logging
import math
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import structlog
from tests.support.server import ServerProcess, serving

from benchmarks import storage_bed, workload
from benchmarks.client import percentiles
from benchmarks.queries import TABLE, Case, measure
from headwater.config import load
from headwater.instance import Instance
from headwater.model.record import Layout, RecordColumns
from headwater.model.series import Series
from headwater.model.table import MeasureType, Retention, TableId
from headwater.model.time import NS_PER_DAY, NS_PER_S

HOSTS = 100
DAYS = (1, 10, 100)
TARGET = 1.2
REQUEST_ROWS = 12_000
ROUNDS = 5
LAYOUT = Layout.multi(tuple((name, MeasureType.DOUBLE) for name in workload.METRICS))

CASES = (
    Case("SELECT 1", None, lambda _: "SELECT 1"),
    Case(
        "recent window: the last hour of one host",
        None,
        lambda n: f"SELECT time, usage_user FROM {TABLE} WHERE hostname = 'host_{n * 37 % HOSTS}' AND time >= ago(1h)",
    ),
    Case(
        "recent window: the same, max per minute",
        None,
        lambda n: (
            f"SELECT bin(time, 1m) AS minute, max(usage_user) AS most FROM {TABLE} "
            f"WHERE hostname = 'host_{n * 37 % HOSTS}' AND time >= ago(1h) GROUP BY bin(time, 1m) ORDER BY minute"
        ),
    ),
    Case(
        "last point: max_by per host",
        None,
        lambda _: f"SELECT hostname, max(time), max_by(usage_user, time) FROM {TABLE} GROUP BY hostname",
    ),
    Case(
        "last point: max_by of one host",
        None,
        lambda n: f"SELECT max_by(usage_user, time) FROM {TABLE} WHERE hostname = 'host_{n * 37 % HOSTS}'",
    ),
    Case(
        "order by limit: the 20 newest records",
        None,
        lambda _: f"SELECT * FROM {TABLE} ORDER BY time DESC LIMIT 20",
    ),
    Case(
        "order by limit: the 5 newest minutes",
        None,
        lambda _: (
            f"SELECT bin(time, 1m) AS minute, max(usage_user) FROM {TABLE} "
            "GROUP BY bin(time, 1m) ORDER BY 1 DESC LIMIT 5"
        ),
    ),
)


def main(times: int = 50, step_s: int = 60, *days: int) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    print(f"growth: load average {os.getloadavg()[0]:.2f}")
    asked = days or DAYS
    with tempfile.TemporaryDirectory() as folder:
        folders = [Path(folder) / str(count) for count in asked]
        for one, count in zip(folders, asked, strict=True):
            fill(one, count, step_s)
        p50_ms = latencies(folders, times)
    for case, *of_days in zip(CASES, *p50_ms, strict=True):
        figures = "  ".join(f"{count:4} d {p50:6.1f} ms" for count, p50 in zip(asked, of_days, strict=True))
        print(f"  {case.name:42} {figures}  x {of_days[-1] / of_days[0]:.2f}  target {TARGET:g}", flush=True)


def fill(folder: Path, days: int, step_s: int) -> None:
    """Make a data folder with records of so many days up to now, a block or two for each day."""
    started_s = time.monotonic()
    instance = Instance.open(load({"data": str(folder / "data"), "flush_age_s": "86400"}, {}, None, 1))
    try:
        instance.catalog.create_database(workload.DATABASE, None)
        retention = Retention(memory_hours=24, magnetic_days=10 * days + 365)
        table = instance.create_table(workload.DATABASE, workload.TABLE, retention, None, None).id
        series = storage_bed.fleet(0, HOSTS)
        time_ns = time.time_ns() - days * NS_PER_DAY
        step_ns = step_s * NS_PER_S
        records = 0
        # The newest record is new when all are written, however long that takes.
        while time_ns < (now_ns := time.time_ns()):
            end_ns = min(time_ns - time_ns % NS_PER_DAY + NS_PER_DAY, now_ns)
            ticks = np.arange(time_ns, end_ns, step_ns)
            records += _write(instance, table, series, ticks)
            instance.store.flush()
            time_ns = int(ticks[-1]) + step_ns
        instance.store.compact()
        extent = instance.store.extent(table)
    finally:
        instance.close()
    taken_s = time.monotonic() - started_s
    line = f"  {days} days: {records:,} records, {extent.blocks} blocks, {extent.block_bytes:,} bytes, {taken_s:.0f} s"
    print(line, flush=True)


def _write(instance: Instance, table: TableId, series: list[Series], ticks: np.ndarray) -> int:
    """A record of each series at each tick; how many."""
    at_once = REQUEST_ROWS // len(series)
    for first in range(0, len(ticks), at_once):
        times = np.repeat(ticks[first : first + at_once], len(series))
        rows = len(times)
        batch = RecordColumns(
            LAYOUT,
            np.arange(rows),
            series * (rows // len(series)),
            times,
            np.ones(rows, np.int64),
            storage_bed.gauges(rows, first),
        )
        assert instance.store.submit(table, [batch]).result(60) == []
    return len(ticks) * len(series)


def latencies(folders: list[Path], times: int) -> list[list[float]]:
    """Of each folder the median of each case in milliseconds, in its best round.

    All have a server, and the rounds go from one to the next: what a neighbour does to the machine is no growth.
    """
    with ExitStack() as stack:
        servers = [stack.enter_context(serving(folder, log_level="warning", flush_age_s=86_400)) for folder in folders]
        best = [[math.inf] * len(CASES) for _ in servers]
        for _ in range(ROUNDS):
            for place, case in enumerate(CASES):
                for of_server, server in zip(best, servers, strict=True):
                    of_server[place] = min(of_server[place], _p50_ms(server, case, times))
    print(f"  measured: load average {os.getloadavg()[0]:.2f}", flush=True)
    return best


def _p50_ms(server: ServerProcess, case: Case, times: int) -> float:
    _, taken_ms = measure(server, case, times)
    return percentiles(taken_ms)[0]


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
