"""Compaction: fewer blocks, the same rows, nothing replaced in them; what happens beside it, and what stops it."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from headwater.config import StorageSettings
from headwater.errors import Corrupt, NotFound, Unavailable
from headwater.model.block import Block, ManifestChange
from headwater.model.table import TableId
from headwater.model.time import NS_PER_DAY, NS_PER_S
from headwater.storage.compaction import FAN_IN, QUIET_S, RETRY_S, choose
from headwater.storage.live import LiveBlock
from support.block_rows import block_rows
from support.hooked_files import HookedFiles, raising
from support.stores import NOW_NS, StoreFolder, records, series

MIB = 1 << 20


@pytest.fixture
def files() -> HookedFiles:
    return HookedFiles()


@pytest.fixture
def folder(tmp_path: Path, files: HookedFiles) -> StoreFolder:
    return StoreFolder(tmp_path, files)


def blocks(folder: StoreFolder) -> tuple[Block, ...]:
    return folder.catalog.manifest.load(folder.table).blocks


def block_files(folder: StoreFolder) -> set[str]:
    return {path.stem for path in (folder.directory / "blocks").glob("*/*")}


def rows(folder: StoreFolder) -> list[tuple[str, int, float]]:
    """(host, time, value) of every live row."""
    scan = folder.scan()
    tables = [*scan.memory, *(block_rows(part) for part in scan.blocks)]
    scan.close()
    found: list[tuple[str, int, float]] = []
    for table in tables:
        times = table["time"].cast(pa.int64()).to_pylist()
        found += zip(table["host"].to_pylist(), times, table["usage"].to_pylist(), strict=True)
    return sorted(found)


def write(folder: StoreFolder, *hosts: str, at_ns: int = NOW_NS, version: int = 1) -> None:
    """One record a host in a block of its own, with the version for a value."""
    assert folder.write(records([(series(host), at_ns, version, float(version)) for host in hosts])) == []
    folder.store.flush()


def live(bytes: int, rows: int = 100, id: str = "b") -> LiveBlock:
    block = Block(f"{id}{bytes}", TableId("t"), 0, rows, bytes, 0, 1, "", ())
    return LiveBlock(block, Path("b"), "", "")


def sizes(chosen: list[tuple[LiveBlock, object]]) -> list[int]:
    return [one.block.bytes for one, _ in chosen]


NONE = np.zeros(0, np.int64)


def test_seven_small_blocks_wait_for_an_eighth():
    small = [(live(1_000 + i), NONE) for i in range(FAN_IN)]
    assert choose(small[1:], MIB, is_quiet=False) == []
    assert len(choose(small, MIB, is_quiet=False)) == FAN_IN


def test_a_merge_takes_the_smaller_classes_along_and_leaves_large_blocks():
    day = [(live(100_000 + i), NONE) for i in range(FAN_IN)] + [(live(500), NONE), (live(900_000), NONE)]
    assert sizes(choose(day, 2 * MIB, is_quiet=False)) == [500, *range(100_000, 100_000 + FAN_IN)]
    assert choose([(live(600_000 + i), NONE) for i in range(20)], MIB, is_quiet=False) == []


def test_a_quiet_day_is_merged_but_for_blocks_that_would_hardly_grow():
    assert sizes(choose([(live(n), NONE) for n in (30, 10, 20)], MIB, is_quiet=True)) == [10, 20, 30]
    assert sizes(choose([(live(n), NONE) for n in (10, 10, 400_000)], MIB, is_quiet=True)) == [10, 10]
    assert choose([(live(10), NONE), (live(400_000), NONE)], MIB, is_quiet=True) == []


def test_a_block_with_many_replaced_rows_is_written_anew_alone_however_large():
    gone = np.arange(31)
    assert sizes(choose([(live(10 * MIB), gone), (live(10), NONE)], MIB, is_quiet=False)) == [10 * MIB]
    assert choose([(live(10 * MIB), gone[:30])], MIB, is_quiet=False) == []


def test_a_byte_is_written_few_times_until_its_block_has_the_target_size():
    target, flushed = 256 * MIB, 200_000
    day: list[LiveBlock] = []
    written = 0
    for number in range(3_000):
        day.append(live(flushed, id=f"{number}-"))
        while chosen := choose([(one, NONE) for one in day], target, is_quiet=False):
            size = sum(sizes(chosen))
            gone = {one.block.id for one, _ in chosen}
            day = [one for one in day if one.block.id not in gone]
            parts = [target] * (size // target) + [size % target]
            day += [live(part, id=f"{number}-{len(day)}-{place}-") for place, part in enumerate(parts) if part]
            written += size
    assert written / (3_000 * flushed) <= 5
    assert len(day) <= 4 * FAN_IN


def test_small_blocks_of_a_day_become_one_with_the_same_rows(folder: StoreFolder):
    for turn in range(FAN_IN):
        write(folder, f"h{turn}", "same", at_ns=NOW_NS + turn)
        write(folder, "other-day", at_ns=NOW_NS - NS_PER_DAY + turn)
    before = rows(folder)
    folder.store.compact_due()
    assert len(blocks(folder)) == 2
    assert (rows(folder), block_files(folder)) == (before, {block.id for block in blocks(folder)})
    folder.reopen()
    assert rows(folder) == before
    folder.close()


def test_replaced_rows_are_folded_away(folder: StoreFolder):
    for version in range(1, 4):
        write(folder, "a", "b", version=version)
    write(folder, "c")
    folder.store.compact()
    (block,) = blocks(folder)
    assert (block.rows, folder.catalog.manifest.load(folder.table).deleted_rows) == (3, {})
    assert rows(folder) == [("a", NOW_NS, 3.0), ("b", NOW_NS, 3.0), ("c", NOW_NS, 1.0)]
    assert folder.write(records([(series("a"), NOW_NS, 3, 3.0), (series("c"), NOW_NS + 1, 1, 1.0)])) == []
    folder.close()


def test_a_day_without_live_rows_left_is_no_block(folder: StoreFolder, monkeypatch: pytest.MonkeyPatch):
    write(folder, "a")
    write(folder, "a", version=2)
    _, second = blocks(folder)
    folder.catalog.manifest.commit(
        ManifestChange(folder.table, folder.store.columns(folder.table), 2, deleted_rows={second.id: [0]})
    )
    folder.reopen()
    folder.store.columns(folder.table)
    folder.store.compact()
    assert (blocks(folder), block_files(folder)) == ((), set())
    folder.close()


def test_a_merge_ends_a_block_at_the_target_size_and_sorts_across_inputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("headwater.storage.merge.ROW_GROUP_ROWS", 512)
    monkeypatch.setattr("headwater.storage.merge.BATCH_ROWS", 64)
    folder = StoreFolder(tmp_path)
    folder.settings = StorageSettings(600, 256 << 20, 256 << 20, block_target_bytes=11_000)
    folder.reopen()
    rng, hosts = np.random.default_rng(1), [series(f"h{host}") for host in range(5)]
    expected = []
    for part in range(8):
        at = NOW_NS + 8 * rng.permutation(500) + part
        batch = [(hosts[i % 5], int(at_ns), 1, float(i)) for i, at_ns in enumerate(at)]
        folder.write(records(batch))
        folder.store.flush()
        expected += [(f"h{i % 5}", int(at_ns), float(i)) for i, at_ns in enumerate(at)]
    folder.store.compact()
    found = blocks(folder)
    assert [block.rows % 512 == 0 for block in found] == [True] * (len(found) - 1) + [False]
    assert len(found) > 1
    assert rows(folder) == sorted(expected)
    scan = folder.scan()
    keys: list[tuple[int, int]] = []
    for part in scan.blocks:
        table = block_rows(part)
        keys += zip(table["_series"].to_pylist(), table["time"].cast(pa.int64()).to_pylist(), strict=True)
    scan.close()
    assert keys == sorted(keys)
    folder.close()


def test_rows_replaced_while_blocks_are_merged_are_replaced_in_the_new_one(folder: StoreFolder, files: HookedFiles):
    write(folder, "a", "b", "c")
    write(folder, "d")

    def replace() -> None:
        files.hooks.clear()
        folder.write(records([(series("b"), NOW_NS, 2, 2.0), (series("d"), NOW_NS, 2, 2.0)]))

    files.hooks["block.write"] = replace
    folder.store.compact()
    assert len(blocks(folder)) == 1
    expected = [("a", NOW_NS, 1.0), ("b", NOW_NS, 2.0), ("c", NOW_NS, 1.0), ("d", NOW_NS, 2.0)]
    assert rows(folder) == expected
    folder.reopen()
    assert rows(folder) == expected
    folder.close()


def test_rows_replaced_between_the_manifest_and_the_swap_are_not_forgotten(
    folder: StoreFolder, monkeypatch: pytest.MonkeyPatch
):
    write(folder, "a", "b")
    write(folder, "c")
    commit = folder.catalog.manifest.commit

    def commit_and_replace(change: ManifestChange) -> None:
        commit(change)
        if change.removed:
            folder.write(records([(series("b"), NOW_NS, 2, 2.0)]))

    expected = [("a", NOW_NS, 1.0), ("b", NOW_NS, 2.0), ("c", NOW_NS, 1.0)]
    with monkeypatch.context() as patch:
        patch.setattr(folder.catalog.manifest, "commit", commit_and_replace)
        folder.store.compact()
    assert rows(folder) == expected
    folder.store.flush()
    folder.reopen()
    assert rows(folder) == expected
    folder.close()


def test_readers_keep_the_old_blocks_until_they_leave(folder: StoreFolder):
    write(folder, "a")
    write(folder, "b")
    scan = folder.scan()
    folder.store.compact()
    assert sum(block_rows(part).num_rows for part in scan.blocks) == 2
    assert len(block_files(folder)) == 3
    scan.close()
    assert len(block_files(folder)) == 1
    folder.close()


def test_a_stop_ends_a_merge_and_leaves_no_rubbish(folder: StoreFolder, files: HookedFiles):
    for turn in range(FAN_IN):
        write(folder, f"h{turn}")
    files.hooks["block.read"] = folder.store.stop_jobs
    folder.store.compact_due()
    assert (len(blocks(folder)), len(block_files(folder))) == (FAN_IN, FAN_IN)
    folder.close()


def test_a_merge_that_fails_is_undone_and_tried_again_later(folder: StoreFolder, files: HookedFiles):
    for turn in range(FAN_IN):
        write(folder, f"h{turn}")
    files.hooks["block.write"] = raising(OSError("disk full"))
    folder.store.compact_due()
    assert (len(blocks(folder)), len(block_files(folder))) == (FAN_IN, FAN_IN)
    files.hooks.clear()
    folder.store.compact_due()
    assert len(blocks(folder)) == FAN_IN
    folder.clock.advance(int(RETRY_S) * NS_PER_S)
    folder.store.compact_due()
    assert (len(blocks(folder)), len(block_files(folder))) == (1, 1)
    folder.close()


def test_a_disk_that_is_nearly_full_is_left_alone(folder: StoreFolder, monkeypatch: pytest.MonkeyPatch):
    for turn in range(FAN_IN):
        write(folder, f"h{turn}")
    monkeypatch.setattr(folder.files, "free_bytes", lambda path, *, site: 2 * sum(b.bytes for b in blocks(folder)) - 1)
    folder.store.compact_due()
    assert len(blocks(folder)) == FAN_IN
    folder.close()


def test_a_quiet_day_is_merged_after_an_hour(folder: StoreFolder):
    write(folder, "a")
    write(folder, "b")
    folder.store.compact_due()
    assert len(blocks(folder)) == 2
    folder.clock.advance(int(QUIET_S) * NS_PER_S)
    folder.store.compact_due()
    assert len(blocks(folder)) == 1
    folder.close()


def test_blocks_of_a_commit_that_failed_are_kept_for_the_next_start(
    folder: StoreFolder, monkeypatch: pytest.MonkeyPatch
):
    write(folder, "a")
    write(folder, "b")
    commit = folder.catalog.manifest.commit

    def commit_and_fail(change: ManifestChange) -> None:
        commit(change)
        raise Unavailable("the disk failed when it had written")

    with monkeypatch.context() as patch:
        patch.setattr(folder.catalog.manifest, "commit", commit_and_fail)
        with pytest.raises(Unavailable):
            folder.store.compact()
    assert len(rows(folder)) == 2
    folder.reopen()
    assert (len(rows(folder)), len(block_files(folder))) == (2, 1)
    folder.close()


def test_a_table_dropped_during_a_merge_leaves_nothing(folder: StoreFolder, files: HookedFiles):
    write(folder, "a")
    write(folder, "b")

    def drop() -> None:
        files.hooks.clear()
        folder.store.drop_table(folder.catalog.delete_table("db", "t"))

    files.hooks["block.write"] = drop
    folder.store.compact()
    assert not list((folder.directory / "blocks").iterdir())
    with pytest.raises(NotFound):
        folder.store.columns(folder.table)
    folder.close()


def test_a_damaged_input_is_marked_and_left_alone(folder: StoreFolder):
    for turn in range(FAN_IN + 1):
        write(folder, f"h{turn}")
    bad = blocks(folder)[3]
    path = folder.directory / "blocks" / folder.table / f"{bad.id}.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    folder.vault.cache._chunks.clear()
    folder.store.compact_due()
    assert folder.store.damaged_blocks() == [bad]
    with pytest.raises(Corrupt):
        folder.scan()
    folder.clock.advance(int(RETRY_S) * NS_PER_S)
    folder.store.compact_due()
    assert {block.id for block in blocks(folder)} >= {bad.id}
    assert len(blocks(folder)) == 2
    folder.close()


def test_writes_and_reads_go_on_while_blocks_are_merged(folder: StoreFolder):
    is_over = threading.Event()

    def compact() -> None:
        while not is_over.is_set():
            folder.store.compact()

    other = threading.Thread(target=compact)
    other.start()
    for version in range(1, 25):
        folder.write(records([(series(host), NOW_NS, version, float(version)) for host in "abcde"]))
        assert rows(folder) == [(host, NOW_NS, float(version)) for host in "abcde"]
    is_over.set()
    other.join()
    folder.reopen()
    assert rows(folder) == [(host, NOW_NS, 24.0) for host in "abcde"]
    folder.close()
