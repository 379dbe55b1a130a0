"""What leaves by age, and when the clock is not to be trusted."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater.model.table import Retention
from headwater.model.time import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE, NS_PER_S, Clock
from headwater.storage.retention import STEADY_S, ClockWatch
from support.block_rows import block_rows
from support.stores import NOW_NS, StoreFolder, records, series

DAY_START_NS = NOW_NS // NS_PER_DAY * NS_PER_DAY


class TwoClocks(Clock):
    """Wall time and monotonic time that go their own ways."""

    def __init__(self, wall_ns: int) -> None:
        self.wall_ns = wall_ns
        self.monotonic_ns = 0

    def now_ns(self) -> int:
        return self.wall_ns

    def monotonic_s(self) -> float:
        return self.monotonic_ns / NS_PER_S

    def advance(self, duration_ns: int) -> None:
        self.wall_ns += duration_ns
        self.monotonic_ns += duration_ns


@pytest.fixture
def folder(tmp_path: Path) -> StoreFolder:
    """Its table keeps records for an hour and a day."""
    opened = StoreFolder(tmp_path)
    opened.catalog.update_table("db", "t", Retention(1, 1), None, None)
    return opened


def times(folder: StoreFolder) -> list[int]:
    """Of all rows that are stored, in order."""
    scan = folder.scan()
    found = [time for table in scan.memory for time in table["time"].to_pylist()]
    found += [time for part in scan.blocks for time in block_rows(part)["time"].cast("int64").to_pylist()]
    scan.close()
    return sorted(found)


def block_count(folder: StoreFolder) -> int:
    return len(list((folder.directory / "blocks").glob("*/*")))


def write(folder: StoreFolder, *at_ns: int) -> None:
    folder.write(records([(series("a"), time_ns, 1, 1.0) for time_ns in at_ns]))


def test_a_block_goes_when_its_last_record_is_past_both_retentions(folder: StoreFolder):
    folder.clock.time_ns = DAY_START_NS
    write(folder, DAY_START_NS - 2, DAY_START_NS - 1, DAY_START_NS)
    folder.store.flush()
    folder.clock.time_ns += NS_PER_DAY + NS_PER_HOUR - 1
    folder.store.expire_due()
    assert block_count(folder) == 2
    folder.clock.advance(1)
    folder.store.expire_due()
    assert (times(folder), block_count(folder)) == ([DAY_START_NS], 1)
    folder.reopen()
    assert times(folder) == [DAY_START_NS]
    folder.close()


def test_tables_that_nobody_has_opened_expire_too(folder: StoreFolder):
    write(folder, NOW_NS)
    folder.store.flush()
    folder.reopen()
    folder.clock.advance(3 * NS_PER_DAY)
    folder.store.expire_due()
    assert block_count(folder) == 0
    folder.close()


def test_expired_records_do_not_reach_blocks(folder: StoreFolder):
    write(folder, NOW_NS, NOW_NS + NS_PER_MINUTE)
    folder.clock.advance(NS_PER_DAY + NS_PER_HOUR + 1)
    folder.store.flush()
    assert times(folder) == [NOW_NS + NS_PER_MINUTE]
    folder.clock.advance(NS_PER_HOUR)
    write(folder, NOW_NS + 2 * NS_PER_HOUR)
    folder.store.compact()
    assert times(folder) == [NOW_NS + 2 * NS_PER_HOUR]
    folder.reopen()
    assert times(folder) == [NOW_NS + 2 * NS_PER_HOUR]
    folder.close()


def test_a_flush_of_expired_records_only_is_no_block_and_frees_the_log(folder: StoreFolder):
    write(folder, NOW_NS)
    folder.clock.advance(2 * NS_PER_DAY)
    folder.store.flush()
    assert (block_count(folder), folder.log.size_bytes) == (0, 0)
    folder.reopen()
    assert times(folder) == []
    folder.close()


def test_an_expired_record_that_is_written_again_is_a_new_one(folder: StoreFolder):
    write(folder, NOW_NS)
    folder.clock.advance(2 * NS_PER_DAY)
    folder.store.flush()
    assert folder.write(records([(series("a"), NOW_NS, 1, 5.0)])) == []
    folder.close()


def test_shorter_retention_deletes_and_longer_retention_keeps(folder: StoreFolder):
    write(folder, NOW_NS)
    folder.store.flush()
    folder.clock.advance(2 * NS_PER_DAY)
    folder.catalog.update_table("db", "t", Retention(1, 10), None, None)
    folder.store.expire_due()
    assert times(folder) == [NOW_NS]
    folder.catalog.update_table("db", "t", Retention(1, 1), None, None)
    folder.store.expire_due()
    assert block_count(folder) == 0
    folder.close()


def test_readers_keep_expired_blocks_until_they_leave(folder: StoreFolder):
    write(folder, NOW_NS)
    folder.store.flush()
    scan = folder.scan()
    folder.clock.advance(3 * NS_PER_DAY)
    folder.store.expire_due()
    (part,) = scan.blocks
    assert block_rows(part).num_rows == 1
    scan.close()
    assert block_count(folder) == 0
    folder.close()


def test_a_clock_that_steps_deletes_nothing_for_ten_minutes():
    clock = TwoClocks(NOW_NS)
    watch = ClockWatch(clock)
    assert not watch.is_steady(), "it may have stepped before the start"
    clock.advance(NS_PER_DAY)
    assert watch.is_steady()
    clock.wall_ns += NS_PER_HOUR
    assert watch.is_steady(), "an hour is allowed"
    clock.wall_ns += NS_PER_HOUR + 1
    assert (watch.is_steady(), watch.steps) == (False, 1)
    clock.advance(int(STEADY_S - 1) * NS_PER_S)
    assert not watch.is_steady()
    clock.wall_ns -= 2 * NS_PER_HOUR
    assert (watch.is_steady(), watch.steps) == (False, 2)
    clock.advance(int(STEADY_S - 1) * NS_PER_S)
    assert not watch.is_steady()
    clock.advance(NS_PER_S)
    assert (watch.is_steady(), watch.steps) == (True, 2)


def test_a_step_of_years_deletes_no_block(tmp_path: Path):
    folder = StoreFolder(tmp_path)
    folder.catalog.update_table("db", "t", Retention(1, 1), None, None)
    clock = TwoClocks(NOW_NS)
    folder.clock = clock  # type: ignore[assignment]
    folder.reopen()
    write(folder, NOW_NS)
    folder.store.flush()
    clock.wall_ns += 1_000 * NS_PER_DAY
    write(folder, NOW_NS + 1)
    folder.store.expire_due()
    folder.store.flush()
    assert times(folder) == [NOW_NS, NOW_NS + 1]
    clock.wall_ns -= 1_000 * NS_PER_DAY
    folder.store.expire_due()
    clock.advance(2 * NS_PER_DAY)
    folder.store.expire_due()
    assert block_count(folder) == 0
    folder.close()


def test_a_step_while_the_server_is_down_deletes_nothing_for_ten_minutes(tmp_path: Path):
    folder = StoreFolder(tmp_path)
    folder.catalog.update_table("db", "t", Retention(1, 1), None, None)
    write(folder, NOW_NS)
    folder.store.flush()
    folder.clock.advance(1_000 * NS_PER_DAY)
    folder.reopen()
    for is_there in (True, False):
        folder.store.expire_due()
        assert block_count(folder) == is_there
        folder.clock.advance(int(STEADY_S) * NS_PER_S)
    folder.close()
