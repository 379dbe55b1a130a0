"""Scans whose blocks are decoded in memory give what the files give; and no more is kept than there is room for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.model.record import Layout, RecordColumns
from headwater.model.scan import DimensionIn, Scan, ScanRequest, TimeRange
from headwater.model.table import MeasureType
from headwater.model.time import NS_PER_HOUR, NS_PER_S
from headwater.storage import decoded, wanted
from support.block_rows import block_rows
from support.stores import NOW_NS, StoreFolder, records, series

HOSTS = ("a", "b", "c", "d")
STEPS = 40
STEP_NS = NS_PER_HOUR
LAYOUT = Layout.multi(
    (
        ("usage", MeasureType.DOUBLE),
        ("count", MeasureType.BIGINT),
        ("state", MeasureType.VARCHAR),
        ("is_up", MeasureType.BOOLEAN),
        ("seen", MeasureType.TIMESTAMP),
    )
)
Row = tuple[str, int, int]
"""Host, step and version."""


def kept_in(folder: StoreFolder, count: int) -> None:
    """Let the store keep so many bytes."""
    folder.settings = replace(folder.settings, decoded_cache_bytes=count)
    folder.reopen()


def of_all_types(rows: list[Row]) -> RecordColumns:
    numbers = [100 * step + version for _, step, version in rows]
    return RecordColumns(
        LAYOUT,
        np.arange(len(rows)),
        [series(host) for host, _, _ in rows],
        np.array([NOW_NS + step * STEP_NS for _, step, _ in rows], np.int64),
        np.array([version for _, _, version in rows], np.int64),
        (
            np.array(numbers, np.float64) / 7,
            np.array(numbers, np.int64),
            [f"text {number}" for number in numbers],
            np.array([number % 2 == 0 for number in numbers], np.bool_),
            np.array(numbers, np.int64),
        ),
    )


def rows_of(scan: Scan, time: TimeRange, hosts: set[str] | None) -> list[tuple[Any, ...]]:
    """All columns of the rows of blocks that the request is about, whichever way they came."""
    found: list[tuple[Any, ...]] = []
    names = [column.name for column, _ in scan.request.columns]
    for table in [*map(block_rows, scan.blocks), *scan.decoded]:
        columns = {}
        for name in names:
            column = table[name] if name in table.column_names else pa.nulls(len(table))
            columns[name] = column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
        found += [tuple(str(row[name]) for name in names) for row in pa.table(columns).to_pylist()]
    scan.close()
    host, instant = names.index("host"), names.index("time")
    return sorted(
        row
        for row in found
        if time.start_ns <= int(row[instant]) <= time.end_ns and (hosts is None or row[host] in hosts)
    )


rows_written = st.lists(
    st.tuples(st.sampled_from(HOSTS), st.integers(0, STEPS), st.integers(1, 3)),
    min_size=1,
    max_size=60,
    unique_by=lambda row: row[:2],
)


@settings(max_examples=40, deadline=None)
@given(
    programs=st.lists(st.one_of(rows_written, st.just("compact")), min_size=1, max_size=4),
    group_rows=st.sampled_from([3, 16, 65_536]),
    run_rows=st.sampled_from([1, 1_024]),
    data=st.data(),
)
def test_decoded_rows_are_those_of_the_files(
    tmp_path_factory: pytest.TempPathFactory,
    programs: list[list[Row] | str],
    group_rows: int,
    run_rows: int,
    data: st.DataObject,
) -> None:
    folder = StoreFolder(tmp_path_factory.mktemp("decoded"))
    with (
        patch("headwater.storage.block_file.ROW_GROUP_ROWS", group_rows),
        patch.object(wanted, "RUN_ROWS", run_rows),
        patch.object(decoded, "RUN_ROWS", run_rows),
    ):
        for written in programs:
            if isinstance(written, str):
                folder.store.compact()
            else:
                folder.write(of_all_types(written))
                folder.store.flush()
        if not folder.store.columns(folder.table).measures:
            return
        kept_in(folder, 1 << 20)
        for _ in range(4):
            first, last = data.draw(st.integers(-1, STEPS)), data.draw(st.sampled_from([3, 20, STEPS, STEPS + 5]))
            time = TimeRange(NOW_NS + first * STEP_NS, NOW_NS + last * STEP_NS)
            hosts = data.draw(st.one_of(st.none(), st.sets(st.sampled_from(HOSTS), min_size=1)))
            conditions = () if hosts is None else (DimensionIn("host", frozenset(hosts)),)
            scan = folder.scan(time=time, dimensions=conditions)
            assert scan.blocks == ()
            with patch.object(decoded.DecodedBlocks, "find", return_value=None):
                by_files = folder.scan(time=time, dimensions=conditions)
            assert scan.extent == by_files.extent
            count = sum(table.num_rows for table in scan.decoded)
            rows = rows_of(by_files, time, hosts)
            assert rows_of(scan, time, hosts) == rows
            assert count == len(rows), "what is not in question is left out"
    folder.close()


def filled(folder: StoreFolder, blocks: int, rows: int = 1_000) -> None:
    for block in range(blocks):
        start_ns = NOW_NS + block * rows * NS_PER_S
        batch = [(series(HOSTS[at % 4]), start_ns + at * NS_PER_S, 1, at / 4) for at in range(rows)]
        assert folder.write(records(batch)) == []
        folder.store.flush()


def test_what_is_too_much_goes_by_the_files(tmp_path: Path) -> None:
    folder = StoreFolder(tmp_path)
    filled(folder, 4)
    kept_in(folder, 100_000)
    small = folder.scan(time=TimeRange(NOW_NS, NOW_NS + 500 * NS_PER_S))
    assert (len(small.blocks), sum(table.num_rows for table in small.decoded)) == (0, 501)
    assert len(folder.scan().blocks) == 4
    assert folder.scan().decoded == ()
    with patch.object(decoded.DecodedBlocks, "_layout", side_effect=AssertionError):
        assert len(folder.scan().blocks) == 4, "known without a look at the blocks"
    kept_in(folder, 0)
    assert len(folder.scan(time=TimeRange(NOW_NS, NOW_NS + 500 * NS_PER_S)).blocks) == 1
    folder.close()


def test_what_was_not_asked_for_before_goes_by_the_files_if_it_is_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoded, "FIRST_BYTES", 20_000)
    folder = StoreFolder(tmp_path)
    filled(folder, 3)
    kept_in(folder, 10_000_000)
    assert [len(folder.scan().blocks) for _ in range(3)] == [3, 0, 0]
    cut = ScanRequest(folder.table, (), TimeRange(NOW_NS + NS_PER_S, NOW_NS + 2_998 * NS_PER_S))
    kept_in(folder, 10_000_000)
    monkeypatch.setattr(decoded, "FIRST_BYTES", 10)
    assert [len(folder.store.scan(cut).blocks) for _ in range(3)] == [3, 0, 0]
    monkeypatch.setattr(decoded, "FIRST_BYTES", 20_000)
    folder.scan().close()
    folder.scan().close()
    filled(folder, 1, rows=500)
    assert [len(folder.scan().blocks) for _ in range(2)] == [0, 0], "the new block alone is not much"
    folder.close()


def test_a_count_decodes_nothing(tmp_path: Path) -> None:
    folder = StoreFolder(tmp_path)
    filled(folder, 2)
    kept_in(folder, 1_000_000)
    hosts = (DimensionIn("host", frozenset({"a", "b"})),)
    for conditions, rows in (((), 2_000), (hosts, 1_000)):
        scan = folder.store.scan(ScanRequest(folder.table, (), dimensions=conditions))
        assert (scan.blocks, sum(table.num_rows for table in scan.decoded)) == ((), rows)
        scan.close()
    assert folder.store._decoded.bytes < 2_000, "where the series are, and no more"
    part = TimeRange(NOW_NS + 10 * NS_PER_S, NOW_NS + 1_499 * NS_PER_S)
    scan = folder.store.scan(ScanRequest(folder.table, (), part))
    assert sum(table.num_rows for table in scan.decoded) == 1_490
    scan.close()
    folder.close()


def test_no_more_is_kept_than_there_is_room_for(tmp_path: Path) -> None:
    folder = StoreFolder(tmp_path)
    filled(folder, 8)
    kept_in(folder, 80_000)
    kept = folder.store._decoded
    for _ in range(2):
        for block in range(8):
            start_ns = NOW_NS + block * 1_000 * NS_PER_S
            scan = folder.scan(time=TimeRange(start_ns, start_ns + 999 * NS_PER_S))
            assert sum(table.num_rows for table in scan.decoded) == 1_000
            scan.close()
            assert 16_000 < kept.bytes <= 80_000
    folder.store.compact()
    assert kept.bytes < 1_000, "of blocks that are live no more nothing is kept"
    folder.close()
