"""A store whose blocks lie in a bucket: it answers as any other, and outlives a bucket that cannot be reached."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from headwater.bucket.files import REST_S
from headwater.errors import Corrupt, Unavailable
from headwater.model.scan import Scan
from headwater.model.time import NS_PER_DAY, NS_PER_HOUR, NS_PER_S
from support.block_rows import block_rows
from support.buckets import HookedObjects, OneBucket, blocks_in
from support.stores import NOW_NS, StoreFolder, records, series


class BucketFolder(StoreFolder):
    """A store's folder whose blocks are in `objects`; each `open` is as a server's start."""

    def __init__(self, directory: Path, *, is_new: bool = True) -> None:
        self.objects = HookedObjects(directory / "bucket")
        self.cache_bytes = 0
        (directory / "data" / "blocks").mkdir(parents=True, exist_ok=True)
        super().__init__(directory / "data", is_new=is_new)

    def open(self) -> None:
        self.files = self.bucket = blocks_in(
            OneBucket(self.objects), self.directory, clock=self.clock, cache_bytes=self.cache_bytes
        )
        super().open()

    def after_a_rest(self) -> None:
        self.clock.advance(int((REST_S + 1) * NS_PER_S))


@pytest.fixture
def folder(tmp_path: Path) -> BucketFolder:
    return BucketFolder(tmp_path)


def hosts(scan: Scan) -> list[str]:
    found = [host for part in scan.memory for host in part["host"].to_pylist()]
    for block in scan.blocks:
        found += block_rows(block)["host"].to_pylist()
    scan.close()
    return sorted(found)


def fill(folder: BucketFolder, *names: str) -> None:
    """One flushed block for each of these hosts."""
    for name in names:
        folder.write(records([(series(name), NOW_NS, 1, 1.0)]))
        folder.store.flush()


def named(folder: BucketFolder) -> list[str]:
    return sorted(f"{block.id}.parquet" for block in folder.catalog.manifest.load(folder.table).blocks)


def objects_of(folder: BucketFolder) -> list[str]:
    folder.bucket.sweep()
    return [path.name for path in folder.objects.blocks()]


def test_blocks_are_objects_and_nothing_of_them_is_in_the_folder(folder: BucketFolder) -> None:
    fill(folder, "a", "b")
    assert hosts(folder.scan()) == ["a", "b"]
    assert objects_of(folder) == named(folder)
    assert not [path for path in folder.directory.rglob("*") if ".parquet" in path.name]
    folder.reopen()
    assert hosts(folder.scan()) == ["a", "b"]
    folder.close()


def test_compaction_retention_and_drops_take_objects_away_when_their_last_reader_leaves(folder: BucketFolder) -> None:
    fill(folder, *"abc")
    scan = folder.scan()
    folder.store.compact()
    assert len(objects_of(folder)) == 4
    assert hosts(scan) == ["a", "b", "c"]
    assert objects_of(folder) == named(folder)
    assert len(named(folder)) == 1
    folder.clock.advance(NS_PER_HOUR)
    folder.store.expire_due()
    folder.clock.advance(40_000 * NS_PER_DAY)
    fill(folder, "d")
    folder.store.drop_table(folder.catalog.delete_table("db", "t"))
    assert objects_of(folder) == []
    assert list((folder.directory / "blocks").iterdir()) == []
    folder.close()


def test_what_a_stop_left_in_the_bucket_is_removed_at_start(folder: BucketFolder) -> None:
    fill(folder, "a")
    other = folder.new_table("other")
    folder.close()
    for place in (folder.table, other, "0" * 32):
        path = folder.objects.blocks()[0].parents[1] / place / "rubbish.parquet"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
    folder.open()
    assert objects_of(folder) == named(folder)
    assert hosts(folder.scan()) == ["a"]
    folder.close()


def test_a_flush_that_cannot_reach_the_bucket_is_made_later(folder: BucketFolder) -> None:
    folder.write(records([(series("a"), NOW_NS, 1, 1.0)]))
    folder.objects.fail()
    for _ in range(3):
        with pytest.raises(OSError, match="some/where"):
            folder.store.flush()
        folder.after_a_rest()
    assert folder.write(records([(series("b"), NOW_NS, 1, 1.0)])) == []
    assert hosts(folder.scan()) == ["a", "b"]
    assert not list(folder.directory.rglob("*.new"))
    folder.objects.heal()
    folder.store.flush()
    assert objects_of(folder) == named(folder)
    assert (hosts(folder.scan()), folder.store.memtable_bytes) == (["a", "b"], 0)
    folder.close()


def test_a_stop_while_the_bucket_is_away_keeps_all_in_the_log(folder: BucketFolder) -> None:
    fill(folder, "a")
    folder.write(records([(series("b"), NOW_NS, 1, 1.0)]))
    folder.objects.fail()
    with pytest.raises(OSError, match="some/where"):
        folder.store.flush()
    folder.close()
    with pytest.raises(Unavailable, match="could not be reached"):
        folder.open()
    folder.objects.heal()
    folder.open()
    assert hosts(folder.scan()) == ["a", "b"]
    folder.close()


def test_only_what_needs_an_unreachable_block_fails_and_only_while_it_is(folder: BucketFolder) -> None:
    fill(folder, "a")
    folder.objects.fail()
    with pytest.raises(Unavailable, match="could not be reached"):
        hosts(folder.scan())
    with pytest.raises(Unavailable):
        folder.write(records([(series("a"), NOW_NS, 2, 2.0)]))
    assert folder.write(records([(series("a"), NOW_NS + 1, 1, 2.0)])) == []
    assert folder.store.damaged_blocks() == []
    folder.objects.heal()
    folder.after_a_rest()
    assert folder.write(records([(series("a"), NOW_NS, 2, 2.0)])) == []
    assert hosts(folder.scan()) == ["a", "a"]
    folder.close()


def test_the_scrubber_reads_the_bucket_and_waits_for_it(folder: BucketFolder) -> None:
    folder.cache_bytes = 64 << 20
    folder.reopen()
    fill(folder, "a", "b")
    folder.objects.fail()
    folder.store.scrub_due()
    assert folder.store.damaged_blocks() == []
    folder.objects.heal()
    damaged, missing = folder.objects.blocks()
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    missing.unlink()
    folder.store.scrub_due()
    assert folder.store.damaged_blocks() == []
    folder.clock.advance(61 * NS_PER_S)
    folder.store.scrub_due()
    assert sorted(block.id for block in folder.store.damaged_blocks()) == [damaged.stem, missing.stem]
    with pytest.raises(Corrupt):
        folder.scan()
    folder.close()


def test_the_cache_serves_a_bucket_that_is_away_also_after_a_restart(folder: BucketFolder) -> None:
    folder.cache_bytes = 64 << 20
    folder.reopen()
    fill(folder, "a", "b")
    folder.reopen()
    folder.objects.fail()
    assert hosts(folder.scan()) == ["a", "b"]
    shutil.rmtree(folder.directory / "cache")
    with pytest.raises(Unavailable):
        hosts(folder.scan())
    folder.objects.heal()
    folder.after_a_rest()
    assert hosts(folder.scan()) == ["a", "b"]
    folder.close()


def test_a_folder_with_blocks_of_its_own_moves_on_to_a_bucket(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    local = StoreFolder(tmp_path / "data")
    for name in "ab":
        local.write(records([(series(name), NOW_NS, 1, 1.0)]))
        local.store.flush()
    local.close()
    folder = BucketFolder(tmp_path, is_new=False)
    fill(folder, "c")
    assert (len(named(folder)), len(objects_of(folder))) == (3, 1)
    assert hosts(folder.scan()) == ["a", "b", "c"]
    folder.store.compact()
    assert objects_of(folder) == named(folder)
    assert [path.name for path in (folder.directory / "blocks" / folder.table).iterdir()] == []
    assert hosts(folder.scan()) == ["a", "b", "c"]
    folder.close()
