"""What a scan looks at: few large tables of memory, and only the chunks and blocks that the request may want."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.model.scan import DimensionIn, TimeRange
from headwater.model.time import NS_PER_DAY, NS_PER_S
from headwater.storage.chunk import Mask
from headwater.storage.series import Ordinals
from headwater.storage.wanted import LARGE_ROWS, Found, of_mask
from support.stores import NOW_NS, StoreFolder, records, series

HOSTS = ("a", "b", "c")


def write(folder: StoreFolder, host: str, start_ns: int, count: int) -> None:
    assert folder.write(records([(series(host), start_ns + n, 1, 1.0) for n in range(count)])) == []


@settings(max_examples=10, deadline=None)
@given(sizes=st.lists(st.sampled_from([1, 30, 300, 3_000, 12_000]), min_size=1, max_size=40))
def test_no_table_of_memory_is_small_but_one(tmp_path_factory: pytest.TempPathFactory, sizes: list[int]) -> None:
    folder = StoreFolder(tmp_path_factory.mktemp("parts"))
    at_ns = NOW_NS
    for size in sizes:
        write(folder, "a", at_ns, size)
        at_ns += size
    found = folder.scan()
    rows = [table.num_rows for table in found.memory]
    assert sum(rows) == sum(sizes)
    assert sum(count < LARGE_ROWS for count in rows) <= 1
    found.close()
    folder.close()


def test_a_thousand_small_writes_are_a_handful_of_chunks(tmp_path: Path) -> None:
    """So neither a scan nor the search for an older version meets many."""
    folder = StoreFolder(tmp_path)
    futures = [folder.store.submit(folder.table, [records([(series("a"), NOW_NS + n, 1, 1.0)])]) for n in range(1_000)]
    assert [future.result(30) for future in futures] == [[]] * 1_000
    found = folder.scan()
    (table,) = found.memory
    assert (table.num_rows, table["usage"].num_chunks) == (1_000, 1)
    found.close()
    folder.close()


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows of each chunk a scan has looked at one by one."""
    counted: list[int] = []

    def counting(mask: Mask | None, of_rows: Ordinals, *rest: Any) -> Found | None:
        counted.append(len(of_rows))
        return of_mask(mask, of_rows, *rest)

    monkeypatch.setattr("headwater.storage.scan.of_mask", counting)
    return counted


@pytest.fixture
def folder(tmp_path: Path) -> StoreFolder:
    """Twelve chunks of memory, of one host and one minute each, and as many blocks of one day and three hosts."""
    folder = StoreFolder(tmp_path)
    for day in range(1, 5):
        for host in HOSTS:
            write(folder, host, NOW_NS - day * NS_PER_DAY, 2)
        folder.store.flush()
    for minute in range(4):
        for number, host in enumerate(HOSTS):
            write(folder, host, NOW_NS + 60 * minute * NS_PER_S, 10 * (1 + minute) + number)
    return folder


def only(host: str) -> tuple[DimensionIn, ...]:
    return (DimensionIn("host", frozenset({host})),)


def hosts_in(tables: tuple[pa.Table, ...]) -> set[str]:
    return {host for table in tables for host in table["host"].to_pylist()}


def test_one_host_in_a_part_of_a_minute_is_one_chunk(folder: StoreFolder, taken: list[int]) -> None:
    start_ns = NOW_NS + 120 * NS_PER_S
    found = folder.scan(time=TimeRange(start_ns, start_ns + 4), dimensions=only("b"))
    assert [table.num_rows for table in found.memory] == [5]
    assert hosts_in(found.memory) == {"b"}
    assert taken == [5]
    assert found.blocks == ()
    found.close()
    folder.close()


def test_a_day_is_its_block_alone(folder: StoreFolder, taken: list[int]) -> None:
    start_ns = NOW_NS - 2 * NS_PER_DAY
    found = folder.scan(time=TimeRange(start_ns, start_ns + 4), dimensions=only("b"))
    assert (found.memory, taken) == ((), [])
    (part,) = found.blocks
    assert part.rows == 6
    assert len(part.series_ids or ()) == 1
    found.close()
    folder.close()


@pytest.mark.parametrize("age_days", [-1, 9])
def test_of_a_series_that_has_nothing_in_the_range_nothing_is_looked_at(folder: StoreFolder, age_days: int) -> None:
    """By its first and last time, though blocks and chunks of the range are there for others."""
    write(folder, "old", NOW_NS - 9 * NS_PER_DAY, 1)
    write(folder, "new", NOW_NS + NS_PER_DAY, 1)
    folder.store.flush()
    at_ns = NOW_NS - age_days * NS_PER_DAY
    for host, is_there in (("old", age_days == 9), ("new", age_days == -1), ("a", False)):
        found = folder.scan(time=TimeRange(at_ns, at_ns), dimensions=only(host))
        assert (len(found.blocks), found.memory) == (int(is_there), ())
        found.close()
    folder.close()
