"""What encryption at rest costs: scans of sealed blocks against DuckDB on plain Parquet files, and the log's appends.

The same rows as plain files read by a plain DuckDB, as plain files through our file system, and sealed through it with
a cache too small to help and with one that holds all. Runs take turns; the median of the processor time of all threads,
which a busy machine changes less than the time that passes. Then one entry of the log, sealed and framed, against
framed only.

    python -m benchmarks.encryption [rows in thousands]
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headwater.catalog.keys import LogKeys
from headwater.engine.engine import Engine
from headwater.files import LocalFiles, Source
from headwater.model.scan import BlockPart, Scan, ScanRequest
from headwater.model.table import TIME, Column, ColumnKind, TableId
from headwater.model.types import Scalar
from headwater.sealing import ChunkCache, SealedSource, SealingFile, Vault
from headwater.wal.cipher import PayloadCipher
from headwater.wal.entry import EntryCodec

BLOCKS = 4
ROW_GROUP_ROWS = 65_536
REPEATS = 15
MEMORY_BYTES = 1 << 30
HOST = Column("host", ColumnKind.DIMENSION, Scalar.VARCHAR, "host")
MEASURES = tuple(Column(f"m{i}", ColumnKind.MULTI, Scalar.DOUBLE, f"m{i}") for i in range(8))
COLUMNS = (TIME, HOST, *MEASURES)
QUERIES = {
    "sum of 8 columns": f"SELECT {', '.join(f'sum({m.physical})' for m in MEASURES)} FROM s",
    "average by host": "SELECT host, avg(m0), count(*) FROM s GROUP BY host ORDER BY host",
    "1 of 8 hours": "SELECT count(*), max(m1) FROM s WHERE time < 3600000000000",
}


def main(thousands: int = 4_000) -> None:
    print(f"encryption: {thousands},000 rows in {BLOCKS} blocks, load average {os.getloadavg()[0]:.2f}")
    with tempfile.TemporaryDirectory() as folder:
        scans(Path(folder), thousands * 1_000 // BLOCKS)
    appends()


def scans(folder: Path, rows: int) -> None:
    keys = LogKeys("0" * 12, os.urandom(32), os.urandom)
    small, large = (Vault(keys, ChunkCache(size)) for size in (1 << 20, 1 << 30))
    paths = [folder / f"{i}.parquet" for i in range(BLOCKS)]
    seconds = {"plain": 0.0, "sealed": 0.0}
    for i, path in enumerate(paths):
        table = block_rows(i, rows)
        seconds["plain"] += timed(lambda path=path, table=table: write(table, path))
        seconds["sealed"] += timed(lambda path=path, table=table: write_sealed(table, path, keys))
    size = sum(path.stat().st_size for path in paths)
    print(
        f"  writing {size / 1e6:,.0f} MB of Parquet: plain {seconds['plain']:.2f} s, sealed {seconds['sealed']:.2f} s"
    )
    engine = Engine(threads=os.cpu_count() or 1, memory_bytes=MEMORY_BYTES)
    ways = {
        "DuckDB, plain files": plain_duckdb(paths),
        "file system, plain": through_engine(engine, "plain", [(p, opener(p)) for p in paths], rows),
        "file system, sealed, 1 MiB": through_engine(engine, "s", [(p, sealed(p, small)) for p in paths], rows),
        "file system, sealed, cached": through_engine(engine, "l", [(p, sealed(p, large)) for p in paths], rows),
    }
    print(f"  {'processor milliseconds':28}" + "".join(f"{name:>20}" for name in QUERIES))
    medians = {way: [[] for _ in QUERIES] for way in ways}
    for _ in range(REPEATS):
        for way, run in ways.items():
            for place, sql in enumerate(QUERIES.values()):
                medians[way][place].append(timed(lambda run=run, sql=sql: run(sql)))
    base = [statistics.median(times) for times in medians["DuckDB, plain files"]]
    for way, all_times in medians.items():
        cells = [(1e3 * (m := statistics.median(times)), m / b - 1) for times, b in zip(all_times, base, strict=True)]
        print(f"  {way:28}" + "".join(f"{ms:12.1f} ({more:+4.0%})" for ms, more in cells), flush=True)
    engine.close()


def block_rows(block: int, rows: int) -> pa.Table:
    """Rows of 100 hosts in order of host and time, two decimals a value, as the store keeps them."""
    random = np.random.default_rng(block)
    time_ns = np.tile(np.linspace(0, 8 * 3_600 * 10**9, rows // 100, endpoint=False, dtype=np.int64), 100)
    hosts = np.repeat([f"host_{i:03d}" for i in range(100)], rows // 100)
    values = {m.physical: np.round(np.cumsum(random.normal(0, 1, len(hosts))), 2) for m in MEASURES}
    return pa.table({"time": pa.array(time_ns).cast(pa.timestamp("ns")), "host": hosts, **values})


def write(table: pa.Table, target: object) -> None:
    pq.write_table(table, target, row_group_size=ROW_GROUP_ROWS, compression="zstd", compression_level=3)


def write_sealed(table: pa.Table, path: Path, keys: LogKeys) -> None:
    with path.with_suffix(".sealed").open("wb") as file:
        sealing = SealingFile(lambda data: file.write(data) and None, keys.new(path.name))
        write(table, sealing)
        sealing.finish()


def opener(path: Path) -> Callable[[], Source]:
    return lambda: LocalFiles().open_source(path, site="benchmark")


def sealed(path: Path, vault: Vault) -> Callable[[], Source]:
    return lambda: SealedSource(opener(path.with_suffix(".sealed"))(), path.name, vault)


def plain_duckdb(paths: list[Path]) -> Callable[[str], object]:
    database = duckdb.connect()
    database.execute(f"SET memory_limit = '{MEMORY_BYTES}B'; SET parquet_metadata_cache = true")
    files = ", ".join(f"'{path}'" for path in paths)
    database.execute(f"CREATE VIEW s AS SELECT epoch_ns(time) AS time, * EXCLUDE (time) FROM read_parquet([{files}])")
    return lambda sql: database.sql(sql).to_arrow_table()


def through_engine(
    engine: Engine, name: str, blocks: list[tuple[Path, Callable[[], Source]]], rows: int
) -> Callable[[str], object]:
    physical = frozenset(column.physical for column in COLUMNS)
    parts = tuple(BlockPart(f"{name}/{p.name}", physical, rows, p.stat().st_size, open) for p, open in blocks)
    request = ScanRequest(TableId("t"), tuple((column, column.name) for column in COLUMNS))
    return lambda sql: engine.run(sql, {"s": Scan(request, (), parts)}, timeout_s=60)


def appends() -> None:
    """Processor time of one entry with the payload of a request of 100 records with 10 measures."""
    payload = os.urandom(12_000)
    codec, cipher = EntryCodec(b"saltsalt"), PayloadCipher(LogKeys("0" * 12, bytes(32), os.urandom).new("log"))
    framed = timed(lambda: [codec.encode(n, n, payload) for n in range(20_000)]) / 20_000
    both = timed(lambda: [codec.encode(n, n, cipher.seal(n, payload)) for n in range(20_000)]) / 20_000
    print(f"  log entry of 12 KB: framed {framed * 1e6:.1f} us, sealed and framed {both * 1e6:.1f} us")


def timed(run: Callable[[], object]) -> float:
    """Seconds of processor time."""
    started = time.process_time()
    run()
    return time.process_time() - started


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
