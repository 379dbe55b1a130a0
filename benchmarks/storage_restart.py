"""How long a store takes to be ready: after a kill with records in the log only, and with very many blocks.

In one process: the store is left as a kill leaves it and the folder is opened again; Python's own start, about a
second, is in `benchmarks/restart.py`.

    python -m benchmarks.storage_restart [records] [blocks] [series]

In full: `python -m benchmarks.storage_restart 1000000 10000`.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from benchmarks.storage_bed import ROWS_PER_REQUEST, START_NS, bed, fleet, heading, isolated, line, request, write_ticks
from benchmarks.workload import METRICS
from headwater.model.scan import ScanRequest
from headwater.model.time import NS_PER_DAY

HOSTS_PER_BLOCK = 10


def main(records: int = 1_000_000, blocks: int = 2_000, series: int = 1_000) -> None:
    heading(f"restart: {records:,} records of {series:,} series in the log; {blocks:,} blocks")
    isolated(replay, records, series)
    isolated(many_blocks, blocks)


def replay(records: int, series: int) -> None:
    with bed() as folder:
        write_ticks(folder, fleet(0, series), records // series)
        log_bytes = folder.log.size_bytes
        started = time.perf_counter()
        folder.open()
        seconds = time.perf_counter() - started
        table = folder.store._tables.get(folder.table)
        assert table.memtable.rows == records // series * series, table.memtable.rows
        metrics = table.memtable.rows * len(METRICS)
        line(f"ready with {metrics:,} metrics in the log", f"{seconds:.2f} s", "<= 5 s for 10,000,000")
        line("replay, metrics/s", f"{metrics / seconds:,.0f}")
        line("log, bytes per metric", f"{log_bytes / metrics:.1f}")


def many_blocks(blocks: int) -> None:
    """A block for each day, all of the same hosts."""
    with bed() as folder:
        hosts = fleet(0, HOSTS_PER_BLOCK)
        days = START_NS - np.arange(blocks) * NS_PER_DAY
        for first in range(0, blocks, ROWS_PER_REQUEST):
            part = days[first : first + ROWS_PER_REQUEST]
            for host in hosts:
                assert folder.write(request([host] * len(part), part, first)) == []
        started = time.perf_counter()
        folder.store.flush()
        line("writing them, blocks/s", f"{blocks / (time.perf_counter() - started):,.0f}")
        started = time.perf_counter()
        folder.open()
        opened = time.perf_counter()
        columns = tuple((column, column.name) for column in folder.store.columns(folder.table).all())
        folder.store.scan(ScanRequest(folder.table, columns)).close()
        scanned = time.perf_counter()
        assert folder.write(request(hosts, START_NS + 1)) == []
        line(f"ready with {blocks:,} blocks", f"{opened - started:.2f} s", "<= 3 s for 10,000")
        line("then the first scan of their table", f"{scanned - opened:.2f} s")
        line("then the first write", f"{time.perf_counter() - scanned:.2f} s")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
