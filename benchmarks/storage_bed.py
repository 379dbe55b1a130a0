"""What the benchmarks of the store share: a real store in this process, without HTTP, and the CPU workload as columns.

Hosts have ten tags and ten gauges of two decimals, as in `benchmarks/workload.py`, but are made a hundred times
faster: what is measured is the store. Figures are printed beside the issue's targets; nothing is asserted about them.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import structlog
from tests.support.stores import NOW_NS, StoreFolder

from benchmarks.workload import METRICS
from headwater.model.record import Int64s, Layout, RecordColumns
from headwater.model.series import Series
from headwater.model.table import MeasureType
from headwater.model.time import NS_PER_S

STEP_NS = 10 * NS_PER_S
ROWS_PER_REQUEST = 100
START_NS = NOW_NS
LAYOUT = Layout.multi(tuple((name, MeasureType.DOUBLE) for name in METRICS))

_GAUGES = np.round(np.random.default_rng(1).uniform(0, 100, 1 << 20), 2)
_REGIONS = ("us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-1")


@contextmanager
def bed(folder: Path | None = None) -> Iterator[StoreFolder]:
    """A store, in a temporary folder if none is given, that flushes when told and never else.

    It is left as a kill would leave it: a clean stop would flush, and that is not measured.
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory() as temporary:
        yield StoreFolder(folder or Path(temporary), segment_bytes=64 << 20, budget_bytes=64 << 30)


def isolated(measure: Callable[..., None], *arguments: int) -> None:
    """Run one measurement in a process of its own, so that none sees the memory of another."""
    process = multiprocessing.get_context("spawn").Process(target=measure, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == 0


def fleet(first: int, count: int) -> list[Series]:
    """So many hosts from number `first` on."""
    return [Series("cpu", tags(number)) for number in range(first, first + count)]


def tags(host: int) -> tuple[tuple[str, str], ...]:
    region = _REGIONS[host * 7 % 5]
    return (
        ("hostname", f"host_{host}"),
        ("region", region),
        ("datacenter", region + "abc"[host * 3 % 3]),
        ("rack", str(host * 11 % 100)),
        ("os", ("Ubuntu16.10", "Ubuntu16.04LTS", "Ubuntu15.10")[host % 3]),
        ("arch", ("x64", "x86")[host % 2]),
        ("team", ("SF", "NYC", "LON", "CHI")[host % 4]),
        ("service", str(host % 20)),
        ("service_version", str(host % 2)),
        ("service_environment", ("production", "staging", "test")[host % 3]),
    )


def gauges(rows: int, place: int) -> tuple[np.ndarray, ...]:
    """Ten columns of so many values; other places give other values."""
    start = place * 7_919 % (len(_GAUGES) - rows - len(METRICS))
    return tuple(_GAUGES[start + number : start + number + rows] for number in range(len(METRICS)))


def request(series: Sequence[Series], time_ns: Int64s | int, place: int = 0) -> RecordColumns:
    """Records of ten gauges, one for each of `series`, all at one time or each at its own."""
    rows = len(series)
    times = np.full(rows, time_ns, np.int64) if isinstance(time_ns, int) else time_ns
    return RecordColumns(LAYOUT, np.arange(rows), list(series), times, np.ones(rows, np.int64), gauges(rows, place))


def write_ticks(folder: StoreFolder, series: Sequence[Series], ticks: int, first_tick: int = 0) -> float:
    """Write a record of each series for each tick in requests of 100, sixteen of them on the way; seconds it took.

    Requests are sent before the older ones are answered, as many clients would: a sync is shared by those that wait.
    """
    started = time.perf_counter()
    waiting = []
    for tick in range(first_tick, first_tick + ticks):
        for first in range(0, len(series), ROWS_PER_REQUEST):
            of = series[first : first + ROWS_PER_REQUEST]
            waiting.append(folder.store.submit(folder.table, [request(of, START_NS + tick * STEP_NS, tick + first)]))
            if len(waiting) > 16:
                assert waiting.pop(0).result(60) == []
    for answer in waiting:
        assert answer.result(60) == []
    return time.perf_counter() - started


def resident_bytes() -> int:
    """Memory of this process that is in use now."""
    return int(psutil.Process().memory_info().rss)


def heading(title: str) -> None:
    print(f"{title}: load average {os.getloadavg()[0]:.2f}", flush=True)


def line(what: str, figure: str, target: str = "") -> None:
    """One figure; `target` is the issue's."""
    print(f"  {what:58} {figure:>22}  {f'(target {target})' if target else ''}", flush=True)
