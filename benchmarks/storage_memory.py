"""What records cost in memory: per hot metric, per active dimension set; and what a snapshot costs with many of them.

    python -m benchmarks.storage_memory [records] [dimension sets]

Ten million live records: `python -m benchmarks.storage_memory 10000000` (about 2 GB and some minutes).
"""

from __future__ import annotations

import sys
import time

import numpy as np

from benchmarks.storage_bed import (
    ROWS_PER_REQUEST,
    START_NS,
    STEP_NS,
    bed,
    fleet,
    heading,
    isolated,
    line,
    request,
    resident_bytes,
    write_ticks,
)
from benchmarks.workload import METRICS
from headwater.model.record import Layout, RecordColumns
from headwater.model.series import Series
from headwater.model.table import MeasureType

HOSTS = 1_000
SNAPSHOTS = 200


def main(records: int = 1_000_000, sets: int = 50_000) -> None:
    heading(f"memory, {records:,} records of ten metrics, {sets:,} dimension sets")
    isolated(hot_rows, records)
    isolated(multi_measure_sets, sets)
    isolated(single_measure_sets, sets // 10)


def hot_rows(records: int) -> None:
    """Many records of few hosts, all in memory, and snapshots of them."""
    with bed() as folder:
        hosts = fleet(0, HOSTS)
        write_ticks(folder, hosts, 1)
        before = resident_bytes()
        ticks = max(1, records // HOSTS)
        seconds = write_ticks(folder, hosts, ticks, 1)
        grown = resident_bytes() - before
        metrics = ticks * HOSTS * len(METRICS)
        line("hot rows, resident bytes per metric", f"{grown / metrics:.1f}", "<= 48")
        line("hot rows, counted bytes per metric", f"{folder.store.memtable_bytes / metrics:.1f}")
        line("writes, records/s", f"{ticks * HOSTS / seconds:,.0f}")
        table = folder.store._tables.get(folder.table)
        taken = []
        for _ in range(SNAPSHOTS):
            started = time.perf_counter()
            table.snapshot().release()
            taken.append(time.perf_counter() - started)
        line(f"snapshot of {ticks * HOSTS:,} live records, p99", f"{np.percentile(taken, 99) * 1e3:.3f} ms", "< 1 ms")


def multi_measure_sets(sets: int) -> None:
    """Dimension sets with one record of ten measures each."""
    with bed() as folder:
        write_ticks(folder, fleet(0, ROWS_PER_REQUEST), 1)
        before = resident_bytes()
        for first in range(ROWS_PER_REQUEST, sets, 10_000):
            write_ticks(folder, fleet(first, min(10_000, sets - first)), 1)
        grown = resident_bytes() - before
        line("one multi-measure record a set, bytes per dimension set", f"{grown / sets:,.0f}", "<= 8,192")


def single_measure_sets(sets: int) -> None:
    """Dimension sets with ten single-measure records each."""
    layout = Layout.single(MeasureType.DOUBLE)
    with bed() as folder:
        before = resident_bytes()
        for host in fleet(0, sets):
            series = [Series(name, host.sent) for name in METRICS]
            records = request(series, START_NS + STEP_NS, 1)
            single = RecordColumns(
                layout, records.index, series, records.time_ns, records.version, (records.values[0],)
            )
            assert folder.write(single) == []
        grown = resident_bytes() - before
        line("ten single-measure records a set, bytes per dimension set", f"{grown / sets:,.0f}", "<= 8,192")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
