"""Blocks of a table that is partitioned by a dimension: in its order, so that little is read for one value of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pyarrow.parquet as pq
import pytest

from headwater.config import StorageSettings
from headwater.engine.engine import Engine
from headwater.files import Source, SourceFile
from headwater.model.scan import DimensionIn, Leading, Scan
from headwater.model.series import Series
from support.block_rows import block_rows
from support.stores import NOW_NS, StoreFolder, records

KEY = [{"Type": "DIMENSION", "Name": "host", "EnforcementInRecord": "OPTIONAL"}]
HOSTS = 40
ROWS_A_HOST = 2_000


SENSORS = 7
SERIES = [
    [Series("cpu", (("sensor", f"s{sensor}"), ("host", f"h{host:02}"))) for sensor in range(SENSORS)]
    for host in range(HOSTS)
]


@pytest.fixture(params=["host", None])
def folder(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> StoreFolder:
    """80,000 rows in two flushed blocks; merged blocks have ten row groups."""
    monkeypatch.setattr("headwater.storage.merge.ROW_GROUP_ROWS", 8_192)
    random = Random(1)
    opened = StoreFolder(tmp_path)
    opened.settings = StorageSettings(600, 256 << 20, 256 << 20, block_target_bytes=2_000_000)
    opened.reopen()
    opened.table = opened.catalog.create_table("db", "p", None, None, KEY if request.param else None).id
    opened.partition = request.param  # type: ignore[attr-defined]
    for half in range(2):
        rows = ROWS_A_HOST // 2
        batch = [
            (SERIES[host][row % SENSORS], NOW_NS + half * rows + row, 1, random.random())
            for row in range(rows)
            for host in range(HOSTS)
        ]
        opened.write(records(batch))
        opened.store.flush()
    return opened


def groups_to_read(scan: Scan, host: str) -> tuple[int, int]:
    """Row groups whose statistics may have the host, and all of them, of all blocks of a scan."""
    needed = every = 0
    for part in scan.blocks:
        metadata = pq.ParquetFile(SourceFile(part.open())).metadata
        place = metadata.schema.names.index("host")
        for group in range(metadata.num_row_groups):
            statistics = metadata.row_group(group).column(place).statistics
            needed += statistics.min <= host <= statistics.max
            every += 1
    return needed, every


def test_one_value_is_in_few_row_groups(folder: StoreFolder):
    folder.store.compact()
    (block,) = folder.catalog.manifest.load(folder.table).blocks
    partition = folder.partition  # type: ignore[attr-defined]
    assert (block.sorted_by, block.rows) == (partition, HOSTS * ROWS_A_HOST)
    scan = folder.scan(dimensions=(DimensionIn("host", frozenset({"h03"})),))
    (part,) = scan.blocks
    assert part.leading == (Leading("host", "h03", "h03", ("h03",)) if partition else None)
    named = pq.ParquetFile(SourceFile(part.open())).metadata.metadata.get(b"headwater.sorted_by")
    assert named == (b"host" if partition else None)
    needed, every = groups_to_read(scan, "h03")
    assert every == 10
    assert needed == 1 if partition else needed >= 9
    scan.close()
    folder.close()


def test_blocks_of_other_values_are_not_named(folder: StoreFolder):
    folder.settings = StorageSettings(600, 256 << 20, 256 << 20, block_target_bytes=100_000)
    folder.reopen()
    folder.store.columns(folder.table)
    group = [live for live, _ in folder.store._tables.get(folder.table).blocks()]
    folder.store._compaction._compact(folder.store._tables.get(folder.table), [(live, live.deleted) for live in group])
    everything = folder.scan()
    blocks = len(everything.blocks)
    everything.close()
    scan = folder.scan(dimensions=(DimensionIn("host", frozenset({"h03"})),))
    assert blocks > 1
    assert (len(scan.blocks) < blocks) == (folder.partition is not None)  # type: ignore[attr-defined]
    found = sum(np.sum(np.array(block_rows(part)["host"].to_pylist()) == "h03") for part in scan.blocks)
    assert found == ROWS_A_HOST
    scan.close()
    folder.close()


def test_rows_are_sorted_by_dimension_measure_series_and_time(folder: StoreFolder):
    folder.write(records([(Series("cpu", (("sensor", "s1"),)), NOW_NS, 1, 1.0)]))
    folder.store.compact()
    folder.reopen()
    folder.store.compact()
    (part,) = folder.scan().blocks
    table = block_rows(part)
    hosts = [host or "" for host in table["host"].to_pylist()] if folder.partition else [""] * table.num_rows  # type: ignore[attr-defined]
    series, times = table["_series"].to_pylist(), table["time"].cast("int64").to_pylist()
    keys = list(zip(hosts, series, times, strict=True))
    assert keys == sorted(keys)
    assert folder.write(records([(Series("cpu", (("sensor", "s1"),)), NOW_NS, 2, 2.0)])) == []
    folder.close()


class CountingSource(Source):
    """The bytes of a block, counted as they are read."""

    def __init__(self, source: Source, read: list[int]) -> None:
        self._source = source
        self._read = read

    @property
    def size_bytes(self) -> int:
        return self._source.size_bytes

    def read_at(self, offset: int, length: int) -> bytes:
        self._read.append(length)
        return self._source.read_at(offset, length)

    def close(self) -> None:
        self._source.close()


def test_the_engine_reads_a_part_of_a_block_for_one_value(folder: StoreFolder):
    folder.store.compact()
    scan = folder.scan(dimensions=(DimensionIn("host", frozenset({"h03"})),))
    read: list[int] = []
    (part,) = scan.blocks
    counted = replace(part, open=lambda: CountingSource(part.open(), read), series_ids=None)
    engine = Engine(threads=1, memory_bytes=256 << 20)
    # The condition is not in the statement: without the hint all is read, as for a table that is not partitioned.
    result = engine.run("SELECT sum(usage) AS total FROM t", {"t": replace(scan, blocks=(counted,))}, timeout_s=30)
    assert result.num_rows == 1
    if folder.partition:  # type: ignore[attr-defined]
        assert sum(read) < part.bytes / 3
    else:
        assert sum(read) > part.bytes / 2
    engine.close()
    scan.close()
    folder.close()
