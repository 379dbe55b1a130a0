"""A disk that fills up: writes stop before the log is touched, resume by themselves, and the reserve makes room."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import Unavailable
from headwater.files import LocalFiles
from headwater.model.time import NS_PER_S, FixedClock
from headwater.storage.space import RESERVE_BYTES, RESERVE_FILE, Marks, Space
from support.faulty_files import FaultyFiles
from support.stopping import Machine
from support.stores import NOW_NS, StoreFolder, records, series

MIB = 1 << 20
FOLDER = Path("/data")
DEVICE_BYTES = 1 << 40
LOW = DEVICE_BYTES * 5 // 100


class FillingFiles(LocalFiles):
    """The local disk, of which a test says how much is free."""

    free = DEVICE_BYTES

    def free_bytes(self, path: Path, *, site: str) -> int:
        return self.free

    def device_bytes(self, path: Path, *, site: str) -> int:
        return DEVICE_BYTES


@pytest.mark.parametrize(
    ("device_mib", "low_mib", "resume_mib"), [(1_000, 512, 522), (10_240, 512, 614), (100_000, 5_000, 6_000)]
)
def test_the_mark_is_the_larger_of_both_limits(device_mib: int, low_mib: int, resume_mib: int):
    marks = Marks.of(device_mib * MIB, 5, 512 * MIB)
    assert (marks.low_bytes // MIB, marks.resume_bytes // MIB) == (low_mib, resume_mib)


@given(st.integers(0, 2**50), st.integers(0, 2**50), st.booleans())
def test_between_the_marks_it_stays_as_it_was(device_bytes: int, free_bytes: int, was_low: bool):
    marks = Marks.of(device_bytes, 5, 512 * MIB)
    is_between = marks.low_bytes <= free_bytes < marks.resume_bytes
    assert marks.is_low(free_bytes, was_low) == (was_low if is_between else free_bytes < marks.low_bytes)


def test_writes_stop_before_the_log_is_touched_and_resume_by_themselves(tmp_path: Path):
    files = FillingFiles()
    folder = StoreFolder(tmp_path, files)
    assert folder.write(records([(series("a"), NOW_NS, 1, 1.0)])) == []
    logged = folder.log.last_sequence
    for free, is_taken in ((LOW - 1, False), (LOW + 1, False), (LOW + DEVICE_BYTES // 100, True), (LOW, True)):
        files.free = free
        folder.clock.advance(NS_PER_S)
        write = records([(series("a"), NOW_NS + free, 1, 1.0)])
        if is_taken:
            assert folder.write(write) == []
            logged += 1
        else:
            with pytest.raises(Unavailable, match="nearly full"):
                folder.write(write)
        assert folder.log.last_sequence == logged
    assert sum(table.num_rows for table in folder.scan().memory) == 3
    folder.close()


def test_the_store_says_why_it_takes_no_records_and_that_it_does_again(tmp_path: Path):
    """Without a write that would notice: whoever asks whether the server is ready sends none."""
    files = FillingFiles()
    folder = StoreFolder(tmp_path, files)
    said = []
    for free in (DEVICE_BYTES, LOW - 1, LOW + 1, LOW + DEVICE_BYTES // 100):
        files.free = free
        folder.store.keep_space()
        said.append(folder.store.refusal())
    assert said == [None, "the disk is low", "the disk is low", None]
    folder.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_failed_log_is_said_for_good(tmp_path: Path):
    files = FaultyFiles()
    machine = Machine(tmp_path, files)
    machine.catalog.create_database("db", None)
    table = machine.table("t")
    assert machine.store.refusal() is None
    files.fail("datasync", "wal.append.sync")
    with pytest.raises(Unavailable):
        machine.store.submit(table, [records([(series("a"), NOW_NS, 1, 1.0)])]).result(30)
    machine.store.keep_space()
    assert machine.store.refusal() == "the log has failed"
    machine.catalog.close()


def test_a_full_disk_keeps_no_table_from_being_dropped(tmp_path: Path):
    files = FillingFiles()
    folder = StoreFolder(tmp_path, files)
    folder.write(records([(series("a"), NOW_NS, 1, 1.0)]))
    folder.store.flush()
    files.free = 0
    folder.clock.advance(NS_PER_S)
    folder.store.drop_table(folder.catalog.delete_table("db", "t"))
    assert list((tmp_path / "blocks").glob("*/*.parquet")) == []
    folder.close()


def test_the_reserve_is_kept_given_up_and_made_again():
    files = FaultyFiles()
    files.make_directory(FOLDER, site="test")
    space = Space(files, FOLDER, FixedClock(NOW_NS), 5, 512 * MIB)
    kept = []
    for free in (LOW, RESERVE_BYTES, RESERVE_BYTES - 1, RESERVE_BYTES, LOW, LOW + DEVICE_BYTES // 100):
        files.free = free
        space.keep()
        kept.append(len(files.contents().get(FOLDER / RESERVE_FILE, b"")))
    assert kept == [RESERVE_BYTES, RESERVE_BYTES, 0, 0, 0, RESERVE_BYTES]


def test_a_disk_that_fails_is_told_and_not_raised_by_the_keeper():
    files = FaultyFiles()
    files.make_directory(FOLDER, site="test")
    space = Space(files, FOLDER, FixedClock(NOW_NS), 5, 512 * MIB)
    files.fail("create", "space.create")
    space.keep()
    files.fail("free_bytes", "space.free")
    with pytest.raises(Unavailable, match="does not tell"):
        space.check()
