"""What records take on disk and how fast they get there: bytes per metric, write amplification, flush, merge, scan.

The day of the CPU workload: 100 hosts, a record of ten gauges each 10 s, random walks, flushed once an hour of data
and then compacted. Gauges are of two decimals, whole numbers, or doubles with all their digits; records are
multi-measure ones, or single-measure ones of one gauge each. Everything in the folder is counted but the log, which is
empty then. Written are the entries of the log, the flushed blocks and the merged ones, against eight bytes a value.

    python -m benchmarks.storage_size [hours]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from tests.support.stores import StoreFolder

from benchmarks.storage_bed import LAYOUT, START_NS, STEP_NS, bed, fleet, heading, isolated, line
from benchmarks.workload import METRICS
from headwater.engine.engine import Engine
from headwater.model.record import Layout, RecordColumns
from headwater.model.scan import ScanRequest
from headwater.model.series import Series
from headwater.model.table import MeasureType

HOSTS = 100
TICKS_AN_HOUR = 360
TICKS_A_REQUEST = 10
KINDS = ("two decimals", "whole numbers", "full doubles")
TARGETS = {"two decimals": "<= 1.9, goal 1.5", "whole numbers": "<= 0.95", "full doubles": "<= 8.0"}
SINGLE = Layout.single(MeasureType.DOUBLE)
DAY_START_NS = START_NS // 86_400_000_000_000 * 86_400_000_000_000

Gauges = npt.NDArray[np.float64]


def main(hours: int = 24) -> None:
    heading(f"size on disk, {HOSTS} hosts, {hours} h")
    for kind in range(len(KINDS)):
        isolated(measure, kind, 1, hours)
    isolated(measure, 0, 0, hours)


def measure(kind: int, is_multi: int, hours: int) -> None:
    with bed() as folder:
        flush_s, log_bytes = 0.0, 0
        for gauges in walks(KINDS[kind], hours):
            write(folder, gauges, is_multi=bool(is_multi))
            log_bytes += folder.log.size_bytes
            started = time.perf_counter()
            folder.store.flush()
            flush_s += time.perf_counter() - started
        flushed_bytes = blocks_bytes(folder)
        started = time.perf_counter()
        folder.store.compact()
        compact_s = time.perf_counter() - started
        metrics = hours * TICKS_AN_HOUR * HOSTS * len(METRICS)
        written = log_bytes + flushed_bytes + blocks_bytes(folder)
        layout = "multi-measure" if is_multi else "single-measure"
        size = blocks_bytes(folder) + (folder.directory / "catalog.sqlite").stat().st_size
        line(
            f"{layout}, {KINDS[kind]}: bytes per metric",
            f"{size / metrics:.2f}",
            TARGETS[KINDS[kind]] if is_multi else "",
        )
        line("  written for each byte of values, log and all", f"{written / (8 * metrics):.2f}", "<= 10")
        line("  flush, MB/s of values", f"{8 * metrics / flush_s / 1e6:,.0f}")
        line(
            "  compaction, MB/s of values; of blocks read",
            f"{8 * metrics / compact_s / 1e6:,.0f}; {flushed_bytes / compact_s / 1e6:,.0f}",
        )
        if is_multi:
            scan(folder, metrics)


def walks(kind: str, hours: int) -> Iterator[Gauges]:
    """The gauges of each hour: ticks, hosts, metrics."""
    chance = np.random.default_rng(1)
    now = chance.uniform(0, 100, (HOSTS, len(METRICS)))
    for _ in range(hours):
        hour = np.empty((TICKS_AN_HOUR, *now.shape))
        for tick in range(TICKS_AN_HOUR):
            now = np.clip(now + chance.standard_normal(now.shape), 0, 100)
            hour[tick] = now
        yield hour if kind == "full doubles" else np.round(hour, 2 if kind == "two decimals" else 0)


_tick = 0


def write(folder: StoreFolder, gauges: Gauges, *, is_multi: bool) -> None:
    """An hour of records, ten ticks of all hosts a request."""
    global _tick
    if is_multi:
        series = fleet(0, HOSTS)
    else:
        series = [Series(metric, host.sent) for host in fleet(0, HOSTS) for metric in METRICS]
    for start in range(0, TICKS_AN_HOUR, TICKS_A_REQUEST):
        part = gauges[start : start + TICKS_A_REQUEST]
        values = part.reshape(-1, len(METRICS)) if is_multi else part.reshape(-1, 1)
        times = DAY_START_NS + (_tick + np.repeat(np.arange(TICKS_A_REQUEST), len(series))) * STEP_NS
        folder.write(batch(series * TICKS_A_REQUEST, times, values, LAYOUT if is_multi else SINGLE))
        _tick += TICKS_A_REQUEST


def batch(series: Sequence[Series], times: npt.NDArray[np.int64], values: Gauges, layout: Layout) -> RecordColumns:
    columns = tuple(np.ascontiguousarray(column) for column in values.T)
    rows = len(series)
    return RecordColumns(layout, np.arange(rows), list(series), times, np.ones(rows, np.int64), columns)


def blocks_bytes(folder: StoreFolder) -> int:
    return sum(path.stat().st_size for path in (folder.directory / "blocks").rglob("*") if path.is_file())


def scan(folder: StoreFolder, metrics: int) -> None:
    """Sums of all gauges by the engine over sealed blocks, and by DuckDB over the same rows in a Parquet file."""
    sums = ", ".join(f'sum("{metric}")' for metric in METRICS)
    with tempfile.TemporaryDirectory() as temporary, closing(Engine(threads=2, memory_bytes=2 << 30)) as engine:
        plain = duckdb.connect()
        plain.execute("SET threads = 2")
        path = Path(temporary) / "plain.parquet"
        rows = _scanned(folder, engine, "SELECT * FROM t")
        plain.register("rows", rows)
        plain.execute(f"COPY rows TO '{path}' (FORMAT parquet, COMPRESSION zstd)")
        for how, kept_bytes in (("from the files", 0), ("decoded in memory", 16 * rows.nbytes)):
            folder.settings = replace(folder.settings, decoded_cache_bytes=kept_bytes)
            folder.reopen()
            taken: dict[str, float] = {"ours": 9e9, "plain": 9e9}
            for _ in range(7):
                started = time.perf_counter()
                ours = _scanned(folder, engine, f"SELECT {sums} FROM t")
                taken["ours"] = min(taken["ours"], time.perf_counter() - started)
                started = time.perf_counter()
                theirs = plain.execute(f"SELECT {sums} FROM '{path}'").to_arrow_table()
                taken["plain"] = min(taken["plain"], time.perf_counter() - started)
                assert np.allclose(*(np.array([column[0].as_py() for column in one.columns]) for one in (ours, theirs)))
            line(f"  scan {how}, million values/s", f"{metrics / taken['ours'] / 1e6:.0f}")
            line("  of the rate of plain DuckDB on plain Parquet", f"{taken['plain'] / taken['ours']:.2f}", ">= 0.7")


def _scanned(folder: StoreFolder, engine: Engine, text: str) -> pa.Table:
    """The answer of a query of the gauges of all rows."""
    columns = tuple((c, c.name) for c in folder.store.columns(folder.table).all() if c.name in METRICS)
    with closing(folder.store.scan(ScanRequest(folder.table, columns))) as found:
        return engine.run(text, {"t": found}, timeout_s=60)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
