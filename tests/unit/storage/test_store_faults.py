"""What goes wrong around a flush, a drop or a refusal, and what the store is afterwards: as right as before."""

from __future__ import annotations

import errno
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from headwater.config import StorageSettings
from headwater.errors import Corrupt, NotFound, Throttled, Unavailable
from headwater.model.block import ManifestChange
from headwater.model.limits import Limits
from headwater.model.record import Layout, RecordColumns, TypeConflict
from headwater.model.series import Series
from headwater.model.table import Columns, MeasureType
from headwater.model.time import NS_PER_DAY
from headwater.storage.admission import Admission
from headwater.storage.series import SeriesIndex
from support.hooked_files import HookedFiles, raising
from support.stores import NOW_NS, StoreFolder, records, series


@pytest.fixture
def files() -> HookedFiles:
    return HookedFiles()


@pytest.fixture
def folder(tmp_path: Path, files: HookedFiles) -> StoreFolder:
    return StoreFolder(tmp_path, files)


def block_files(folder: StoreFolder) -> list[Path]:
    return [path for path in (folder.directory / "blocks").glob("*/*") if path.is_file()]


def count(folder: StoreFolder) -> int:
    scan = folder.scan()
    gone = [0 if part.deleted_rows is None else len(part.deleted_rows) for part in scan.blocks]
    rows = sum(part.rows for part in scan.blocks) - sum(gone) + sum(table.num_rows for table in scan.memory)
    scan.close()
    return rows


def single(measure_type: MeasureType, of: Series, time_ns: int) -> RecordColumns:
    value = np.array([1.0 if measure_type is MeasureType.DOUBLE else 1])
    times, ones = np.array([time_ns]), np.ones(1, np.int64)
    return RecordColumns(Layout.single(measure_type), np.arange(1), [of], times, ones, (value,))


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), pa.ArrowInvalid("a bug"), MemoryError()])
def test_a_block_that_cannot_be_written_leaves_records_and_no_rubbish(
    folder: StoreFolder, files: HookedFiles, error: BaseException
):
    folder.write(records([(series("a"), NOW_NS, 1, 1.0), (series("a"), NOW_NS - NS_PER_DAY, 1, 1.0)]))
    files.hooks["block.write"] = raising(error)
    for _ in range(3):
        with pytest.raises(type(error)):
            folder.store.flush()
    assert (count(folder), block_files(folder)) == (2, [])
    files.hooks.clear()
    folder.write(records([(series("a"), NOW_NS, 2, 2.0)]))
    folder.store.flush()
    assert (count(folder), len(block_files(folder))) == (2, 2)
    folder.close()


def test_writes_wait_while_memory_is_full_of_what_cannot_be_flushed(
    folder: StoreFolder, files: HookedFiles, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(folder.store, "_settings", StorageSettings(600, 1, 256 << 20))
    folder.write(records([(series("a"), NOW_NS, 1, 1.0)]))
    files.hooks["block.write"] = raising(OSError("disk full"))
    folder.store.flush_due()
    with pytest.raises(Throttled):
        folder.write(records([(series("b"), NOW_NS, 1, 1.0)]))
    files.hooks.clear()
    folder.store.flush_due()
    assert folder.write(records([(series("b"), NOW_NS, 1, 1.0)])) == []
    assert count(folder) == 2
    folder.close()


@pytest.mark.parametrize("error", [Unavailable("disk full"), AssertionError("a bug")])
def test_blocks_whose_commit_fails_are_committed_by_the_next_flush(
    folder: StoreFolder, monkeypatch: pytest.MonkeyPatch, error: BaseException
):
    folder.write(records([(series("a"), NOW_NS, 1, 1.0)]))
    with monkeypatch.context() as patch:
        patch.setattr(folder.catalog.manifest, "commit", raising(error))
        for version in (2, 3, 4):
            with pytest.raises(type(error)):
                folder.store.flush()
            folder.write(records([(series("a"), NOW_NS, version, 1.0), (series("b"), NOW_NS + version, 1, 1.0)]))
        assert (count(folder), len(block_files(folder))) == (4, 1)
    folder.store.flush()
    assert (count(folder), len(block_files(folder)), folder.log.size_bytes) == (4, 2, 0)
    folder.reopen()
    assert count(folder) == 4
    folder.close()


def test_a_commit_that_fails_but_is_on_disk_all_the_same_is_no_damage(
    folder: StoreFolder, monkeypatch: pytest.MonkeyPatch
):
    folder.write(records([(series("a"), NOW_NS, 1, 1.0)]))
    commit = folder.catalog.manifest.commit

    def commit_and_fail(change: ManifestChange) -> None:
        commit(change)
        raise Unavailable("the disk failed when it had written")

    with monkeypatch.context() as patch:
        patch.setattr(folder.catalog.manifest, "commit", commit_and_fail)
        with pytest.raises(Unavailable):
            folder.store.flush()
    folder.reopen()
    assert count(folder) == 1
    folder.close()


def test_blocks_without_a_name_go_with_their_table(folder: StoreFolder, monkeypatch: pytest.MonkeyPatch):
    folder.write(records([(series("a"), NOW_NS, 1, 1.0)]))
    with monkeypatch.context() as patch:
        patch.setattr(folder.catalog.manifest, "commit", raising(Unavailable("disk full")))
        with pytest.raises(Unavailable):
            folder.store.flush()
    folder.store.drop_table(folder.catalog.delete_table("db", "t"))
    folder.store.flush()
    assert block_files(folder) == []
    folder.close()


def test_one_table_that_cannot_be_flushed_holds_up_no_other(folder: StoreFolder, files: HookedFiles):
    other = folder.new_table("other")
    folder.write(records([(series("a"), NOW_NS, 1, 1.0)]))
    folder.store.submit(other, [records([(series("a"), NOW_NS, 1, 1.0)])]).result(10)
    folder.clock.advance(10**15)
    failures = [OSError(errno.EIO, "once")]
    files.hooks["block.write"] = lambda: raising(failures.pop())() if failures else None
    folder.store.flush_due()
    assert len(block_files(folder)) == 1
    folder.store.flush_due()
    assert len(block_files(folder)) == 2
    folder.close()


def test_a_table_dropped_while_its_blocks_are_looked_up_is_not_found(folder: StoreFolder, files: HookedFiles):
    folder.write(records([(series("a"), NOW_NS, 1, 1.0)]))
    folder.store.flush()
    files.hooks["block.read"] = lambda: folder.store.drop_table(folder.catalog.delete_table("db", "t"))
    with pytest.raises(NotFound):
        folder.write(records([(series("a"), NOW_NS, 2, 2.0)]))
    files.hooks.clear()
    folder.table = folder.new_table("t")
    assert folder.write(records([(series("a"), NOW_NS, 1, 1.0)])) == []
    assert (count(folder), folder.failures) == (1, 0)
    folder.close()


def test_the_log_is_cut_by_one_thread_at_a_time(folder: StoreFolder, files: HookedFiles):
    full, empty = folder.new_table("full"), folder.new_table("empty")
    for turn in range(420):
        rows = [(series(f"{turn}-{i}"), NOW_NS, 1, 1.0) for i in range(100)]
        folder.store.submit(full, [records(rows)]).result(10)
    assert folder.log.size_bytes > 1 << 20, "there is a segment to remove"
    both = threading.Barrier(2)
    second = threading.Thread(target=folder.store.drop_table, args=(empty,))

    def meet() -> None:
        try:
            if second.ident is None:
                second.start()
            both.wait(0.3)
        except threading.BrokenBarrierError:
            return

    files.hooks["wal.remove"] = meet
    folder.store.drop_table(folder.catalog.delete_table("db", "full"))
    second.join()
    assert folder.write(records([(series("a"), NOW_NS, 1, 1.0)])) == []
    folder.close()


def test_a_write_that_stores_nothing_keeps_no_log(folder: StoreFolder):
    folder.write(records([(series("a"), NOW_NS, 1, 1.0)]))
    folder.store.flush()
    table = folder.store._tables.get(folder.table)
    table.stage([records([(series("a"), NOW_NS, 1, 1.0)])])
    table.publish(2, 0.0)
    assert table.unflushed_from() == 0
    folder.close()


def test_a_refused_record_leaves_no_column_behind(folder: StoreFolder):
    folder.write(single(MeasureType.DOUBLE, series("a"), NOW_NS))
    columns = folder.store.columns(folder.table)
    wider = Series("cpu", (("host", "a"), ("zone", "z")))
    (conflict,) = folder.write(single(MeasureType.BIGINT, wider, NOW_NS))
    assert conflict.kind == TypeConflict("cpu", "double")
    folder.write(single(MeasureType.DOUBLE, series("a"), NOW_NS + 1))
    assert folder.store.columns(folder.table) == columns
    folder.close()


def test_a_dimension_that_no_series_has_is_null_in_memory_and_blocks(folder: StoreFolder):
    folder.write(records([(series("a"), NOW_NS, 1, 1.0)]))
    folder.store.flush()
    stored = folder.catalog.manifest.load(folder.table)
    columns = stored.columns.with_dimension("zone")
    folder.catalog.manifest.commit(ManifestChange(folder.table, columns, stored.checkpoint))
    folder.reopen()
    folder.write(records([(series("a"), NOW_NS + 1, 1, 1.0)]))
    scan = folder.scan()
    assert [table["zone"].to_pylist() for table in scan.memory] == [[None]]
    scan.close()
    folder.store.flush()
    assert count(folder) == 2
    folder.close()


def test_series_with_one_hash_stay_apart_when_one_of_them_is_in_no_file(
    folder: StoreFolder, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("headwater.model.series.series_id", lambda *_: 7)
    table = folder.store._tables.get(folder.table)
    table.series.register([series("ghost")])
    batch = [(series(host), NOW_NS - day * NS_PER_DAY, 1, 1.0) for host in ("a", "b") for day in range(3)]
    for row in batch:
        folder.write(records([row]))
        folder.store.flush()
    folder.reopen()
    assert folder.write(records(batch)) == []
    assert count(folder) == 6
    folder.close()


def test_a_log_that_is_refused_now_is_named_and_not_skipped(folder: StoreFolder):
    folder.write(records([(series("a"), NOW_NS, 1, 1.0)]), records([(series("a"), NOW_NS + 1, 1, 1.0)], "other"))
    folder.close()
    folder.limits = Limits(attributes_per_table=1)
    with pytest.raises(Corrupt, match="entry 1 of the log was accepted and is refused now"):
        folder.open()


def test_a_submitted_write_cannot_be_cancelled(folder: StoreFolder):
    done = folder.store.submit(folder.table, [records([(series("a"), NOW_NS, 1, 1.0)])])
    assert not done.cancel()
    assert done.result(10) == []
    folder.close()


def test_layouts_of_the_same_attributes_do_not_gather():
    admission = Admission(Columns(), SeriesIndex(), Limits())
    names = [f"a{number}" for number in range(60)]
    for first in names:
        for second in names:
            layout = Layout.multi(tuple((name, MeasureType.DOUBLE) for name in dict.fromkeys((first, second))))
            values = tuple(np.ones(1) for _ in layout.columns)
            one = np.ones(1, np.int64)
            admission.admit([RecordColumns(layout, one, [series("a")], one, one, values)], [])
    assert len(admission._known_layouts) <= 1_000
    assert len(admission.columns.measures) == 60


def test_files_of_a_table_dropped_just_before_a_crash_are_removed_at_the_next_start(folder: StoreFolder):
    folder.write(records([(series("a"), NOW_NS, 1, 1.0)]))
    folder.store.flush()
    # The catalog has deleted it, and the process ends before the store hears of it.
    folder.catalog.delete_table("db", "t")
    folder.reopen()
    assert list((folder.directory / "blocks").iterdir()) == []
    folder.close()


def test_the_folder_of_a_dropped_table_goes_with_its_last_reader(folder: StoreFolder):
    folder.write(records([(series("a"), NOW_NS, 1, 1.0)]))
    folder.store.flush()
    scan = folder.scan()
    folder.store.drop_table(folder.catalog.delete_table("db", "t"))
    assert len(block_files(folder)) == 1
    scan.close()
    assert list((folder.directory / "blocks").iterdir()) == []
    folder.close()


def test_a_table_takes_writes_as_soon_as_the_catalog_has_it(folder: StoreFolder):
    other = folder.catalog.create_table("db", "new", None, None, None).id
    assert folder.store.submit(other, [records([(series("a"), NOW_NS, 1, 1.0)])]).result(10) == []
    assert folder.store.columns(other).by_name["host"].name == "host"
    folder.close()
