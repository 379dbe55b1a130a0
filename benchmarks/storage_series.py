"""A table with very many series, and one with a very long series: does writing stay as fast, and what does it take?

Series come in requests of 100, each with a record of ten metrics, and then all of them send once more.

    python -m benchmarks.storage_series [series] [records of one series]

In full, 10 million series and 100 million records: `python -m benchmarks.storage_series 10000000 100000000`; it takes
half an hour, 6 GB of memory and 20 GB of disk.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from benchmarks.storage_bed import (
    START_NS,
    bed,
    fleet,
    heading,
    isolated,
    line,
    request,
    resident_bytes,
    write_ticks,
)
from headwater.model.time import NS_PER_DAY

PORTION = 20_000
FLUSHED_ROWS = 1_000_000
LONG_REQUEST_ROWS = 100
SAMPLE_PORTIONS = 5
STEP_OF_LONG_NS = 10_000_000


def main(series: int = 200_000, records: int = 1_000_000) -> None:
    heading(f"{series:,} series in one table; {records:,} records in one series")
    isolated(many_series, series)
    isolated(long_series, records)


def many_series(count: int) -> None:
    with bed() as folder:
        write_ticks(folder, fleet(0, 100), 1)
        table = folder.store._tables.get(folder.table)
        before, seconds = resident_bytes(), []
        for first in range(100, count, PORTION):
            hosts = fleet(first, min(PORTION, count - first))
            seconds.append(write_ticks(folder, hosts, 1) / len(hosts))
            if table.memtable.rows > FLUSHED_ROWS:
                folder.store.flush()
        folder.store.flush()
        line("bytes per series, resident", f"{(resident_bytes() - before) / count:,.0f}")
        line("bytes per series, counted", f"{table.series.bytes / count:,.0f}")
        _print_rates("new series/s", seconds)
        seconds = []
        for first in np.linspace(0, count - PORTION, 2 * SAMPLE_PORTIONS).astype(int).tolist():
            hosts = fleet(first, PORTION)
            seconds.append(write_ticks(folder, hosts, 1, 1) / PORTION)
        line("known series that nobody keeps at hand, records/s", f"{1 / np.mean(seconds):,.0f}")


def long_series(count: int) -> None:
    with bed() as folder:
        host, seconds = fleet(0, 1)[0], []
        table = folder.store._tables.get
        requests, portion = count // LONG_REQUEST_ROWS, PORTION // LONG_REQUEST_ROWS
        before = resident_bytes()
        for first in range(0, requests, portion):
            batches = [
                request([host] * LONG_REQUEST_ROWS, _times(number), number) for number in range(first, first + portion)
            ]
            started = time.perf_counter()
            answers = [folder.store.submit(folder.table, [batch]) for batch in batches]
            assert all(answer.result(60) == [] for answer in answers)
            seconds.append((time.perf_counter() - started) / (portion * LONG_REQUEST_ROWS))
            if table(folder.table).memtable.rows > FLUSHED_ROWS:
                folder.store.flush()
        folder.store.flush()
        line("one series: resident bytes, grown by", f"{(resident_bytes() - before) / 2**20:,.0f} MiB")
        _print_rates("records/s", seconds)
        live = [block for block, _ in table(folder.table).blocks()]
        line("one series: bytes on disk per metric", f"{sum(b.block.bytes for b in live) / count / 10:.2f}")
        _print_retries(folder, host, requests)


def _times(number: int) -> np.ndarray:
    first = START_NS - NS_PER_DAY + number * LONG_REQUEST_ROWS * STEP_OF_LONG_NS
    return first + np.arange(LONG_REQUEST_ROWS) * STEP_OF_LONG_NS


def _print_retries(folder, host, requests: int) -> None:
    """The same requests once more, from all over the series: each record is looked up in a block."""
    numbers = np.linspace(0, requests - 1, 50).astype(int).tolist()
    started = time.perf_counter()
    for number in numbers:
        assert folder.write(request([host] * LONG_REQUEST_ROWS, _times(number), number)) == []
    taken_ms = (time.perf_counter() - started) / len(numbers) * 1e3
    line("one series: a request of 100 sent again, from anywhere", f"{taken_ms:.1f} ms")


def _print_rates(what: str, seconds: list[float]) -> None:
    """`seconds` per thing, in order: the first ones and the last ones."""
    start, end = np.mean(seconds[:SAMPLE_PORTIONS]), np.mean(seconds[-SAMPLE_PORTIONS:])
    line(f"{what}, at the start", f"{1 / start:,.0f}")
    line(f"{what}, at the end", f"{1 / end:,.0f}", f"as at the start; now {start / end:.0%}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
