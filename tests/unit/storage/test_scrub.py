"""The scrubber finds blocks that are not what was written, and only those; what happens to them then."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from headwater.errors import Corrupt
from headwater.model.scan import DimensionIn, TimeRange
from headwater.model.time import NS_PER_DAY, NS_PER_S
from support.hooked_files import HookedFiles, raising
from support.stores import NOW_NS, StoreFolder, records, series


@pytest.fixture
def files() -> HookedFiles:
    return HookedFiles()


@pytest.fixture
def folder(tmp_path: Path, files: HookedFiles) -> StoreFolder:
    opened = StoreFolder(tmp_path, files)
    for day in range(2):
        opened.write(records([(series("a"), NOW_NS - day * NS_PER_DAY, 1, 1.0)]))
        opened.store.flush()
    return opened


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def path_of(folder: StoreFolder, day: int) -> Path:
    (block,) = [b for b in folder.catalog.manifest.load(folder.table).blocks if b.day == NOW_NS // NS_PER_DAY - day]
    return folder.directory / "blocks" / folder.table / f"{block.id}.parquet"


@pytest.mark.parametrize("place", [0, 20, 95, -1])
def test_a_flipped_bit_is_found_and_only_queries_that_need_the_block_fail(folder: StoreFolder, place: int):
    flip(path_of(folder, 1), place)
    folder.store.scrub_due()
    assert [block.id for block in folder.store.damaged_blocks()] == [path_of(folder, 1).stem]
    with pytest.raises(Corrupt):
        folder.scan()
    folder.scan(time=TimeRange(start_ns=NOW_NS - 1)).close()
    folder.scan(dimensions=(DimensionIn("host", frozenset({"none"})),)).close()
    assert path_of(folder, 1).exists()
    folder.close()


def test_a_block_that_is_gone_or_cut_is_damaged(folder: StoreFolder):
    path_of(folder, 0).unlink()
    path_of(folder, 1).write_bytes(path_of(folder, 1).read_bytes()[:-1])
    folder.store.scrub_due()
    assert len(folder.store.damaged_blocks()) == 2
    folder.close()


def test_all_blocks_are_read_after_a_start_and_then_once_an_interval(folder: StoreFolder):
    folder.store.scrub_due()
    assert folder.store.damaged_blocks() == []
    flip(path_of(folder, 0), 100)
    folder.store.scrub_due()
    assert folder.store.damaged_blocks() == []
    folder.clock.advance(7 * 86_400 * NS_PER_S)
    folder.store.scrub_due()
    assert len(folder.store.damaged_blocks()) == 1
    folder.close()


def test_a_block_that_is_merged_away_while_it_is_read_is_not_damaged(folder: StoreFolder, files: HookedFiles):
    folder.write(records([(series("b"), NOW_NS, 1, 1.0)]))

    def compact() -> None:
        files.hooks.clear()
        folder.store.compact()

    files.hooks["scrub.open"] = compact
    folder.store.scrub_due()
    assert folder.store.damaged_blocks() == []
    folder.close()


def test_a_damaged_block_that_retention_removes_is_forgotten(folder: StoreFolder):
    flip(path_of(folder, 1), 100)
    folder.store.scrub_due()
    folder.clock.advance(73_001 * NS_PER_DAY)
    folder.store.expire_due()
    folder.store.scrub_due()
    assert folder.store.damaged_blocks() == []
    folder.close()


def test_a_stop_ends_a_scrub(folder: StoreFolder, files: HookedFiles):
    flip(path_of(folder, 1), 100)
    files.hooks["scrub.open"] = folder.store.stop_jobs
    folder.store.scrub_due()
    assert folder.store.damaged_blocks() == []
    folder.close()


def test_a_block_is_not_damaged_because_descriptors_have_run_out(folder: StoreFolder, files: HookedFiles):
    files.hooks["scrub.open"] = raising(OSError(errno.EMFILE, "too many open files"))
    folder.store.scrub_due()
    assert folder.store.damaged_blocks() == []
    folder.scan().close()
    folder.close()
