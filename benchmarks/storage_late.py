"""Out-of-order records: one in a hundred falls into hours that are in blocks already, and is looked up there.

Requests of 100 records of ten metrics; first all in order, then with one late record in each: half of these are new,
half are there already in a lower version. The issue wants half the throughput of the first run.

    python -m benchmarks.storage_late [flushed records] [requests]
"""

from __future__ import annotations

import sys
import time

import numpy as np
from tests.support.stores import StoreFolder

from benchmarks.storage_bed import START_NS, STEP_NS, bed, fleet, heading, isolated, line, request, write_ticks
from headwater.model.record import RecordColumns
from headwater.model.series import Series

HOSTS = 1_000
AT_ONCE = 16


def main(flushed: int = 1_000_000, requests: int = 4_000) -> None:
    heading(f"late records, {flushed:,} records in blocks")
    isolated(late, flushed, requests)


def late(flushed: int, requests: int) -> None:
    with bed() as folder:
        hosts = fleet(0, HOSTS)
        ticks = flushed // HOSTS
        for first in range(0, ticks, 500):
            # Every other tick is left free for late records that are new.
            for tick in range(first, min(ticks, first + 500)):
                write_ticks(folder, hosts, 1, 2 * tick)
            folder.store.flush()
        chance, rates, next_tick = np.random.default_rng(1), {}, 2 * ticks
        for turn, is_late in enumerate((False, True, False, True)):
            batches = [_request(hosts, next_tick + number, number) for number in range(requests)]
            next_tick += requests
            if is_late:
                for number, batch in enumerate(batches):
                    batch.time_ns[0] = START_NS + int(chance.integers(2 * ticks - 1)) * STEP_NS
                    batch.version[0] = 2 + turn * requests + number
            rates[is_late] = _rate(folder, batches)
        line("in order, records/s", f"{rates[False]:,.0f}")
        line("1 % out of order, records/s", f"{rates[True]:,.0f}", f">= 50 %; now {rates[True] / rates[False]:.0%}")


def _request(hosts: list[Series], tick: int, number: int) -> RecordColumns:
    """A hundred records of one tick."""
    first = number * 100 % HOSTS
    return request(hosts[first : first + 100], START_NS + tick * STEP_NS, number)


def _rate(folder: StoreFolder, batches: list[RecordColumns]) -> float:
    """Records a second, with sixteen requests on the way."""
    started, waiting = time.perf_counter(), []
    for batch in batches:
        waiting.append(folder.store.submit(folder.table, [batch]))
        if len(waiting) > AT_ONCE:
            assert waiting.pop(0).result(60) == []
    assert all(answer.result(60) == [] for answer in waiting)
    return sum(map(len, batches)) / (time.perf_counter() - started)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
