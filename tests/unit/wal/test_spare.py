"""The next segment's file is made ahead, so that no append waits for it; whatever becomes of it, the log goes on."""

from __future__ import annotations

import errno
from pathlib import Path
from random import Random

import pytest
from structlog.testing import capture_logs

from headwater.config import WalSettings
from headwater.wal.log import PREPARED_AT, Log
from headwater.wal.segment import segment_name
from headwater.wal.spare import Spare
from support.faulty_files import FaultyFiles
from support.keys import LOG_KEYS

DIRECTORY = Path("/data/wal")
SEGMENT_BYTES = 2_000


def open_log(files: FaultyFiles) -> Log:
    return Log.open(files, DIRECTORY, WalSettings(SEGMENT_BYTES), LOG_KEYS, Random(7).randbytes)


def names(files: FaultyFiles) -> list[str]:
    return sorted(path.name for path in files.contents())


def filled(files: FaultyFiles) -> Log:
    """A log with one entry, whose segment has room for no second."""
    log = open_log(files)
    log.append(b"1" * 1_500)
    return log


def test_an_append_takes_the_file_that_was_made_ahead() -> None:
    files = FaultyFiles()
    log = filled(files)
    log.prepare()
    assert names(files) == [segment_name(1), "spare1.log.new"]
    files.calls.clear()
    log.append(b"2" * 1_500)
    assert ("create", "wal.segment.create") not in files.calls
    assert names(files) == [segment_name(1), segment_name(2)]
    assert len(files.contents()[DIRECTORY / segment_name(2)]) == SEGMENT_BYTES
    for left in (files.restart(), files.power_loss()):
        assert [payload[:1] for _, payload in open_log(left).replay(0)] == [b"1", b"2"]


def test_nothing_is_made_ahead_before_the_segment_has_filled_up_a_little_nor_twice() -> None:
    files = FaultyFiles()
    log = open_log(files)
    log.append(b"1" * 100)
    log.prepare()
    assert names(files) == [segment_name(1)]
    log.append(b"2" * int(SEGMENT_BYTES * PREPARED_AT))
    log.prepare()
    files.calls.clear()
    log.prepare()
    assert files.calls == []


def test_a_file_that_is_taken_is_not_made_again_under_its_name() -> None:
    """The log may have taken it and not renamed it yet."""
    files = FaultyFiles()
    files.make_directory(DIRECTORY, site="test")
    spare = Spare(files, DIRECTORY, SEGMENT_BYTES)
    spare.make()
    taken = spare.take(SEGMENT_BYTES)
    spare.make()
    again = spare.take(SEGMENT_BYTES)
    assert taken is not None
    assert again is not None
    assert taken[0] != again[0]


def test_an_entry_that_needs_more_room_leaves_the_file_for_the_next() -> None:
    files = FaultyFiles()
    log = filled(files)
    log.prepare()
    log.append(b"2" * 2 * SEGMENT_BYTES)
    assert names(files) == [segment_name(1), segment_name(2), "spare1.log.new"]
    log.append(b"3")
    assert names(files) == [segment_name(1), segment_name(2), segment_name(3)]
    assert [payload[:1] for _, payload in open_log(files.restart()).replay(0)] == [b"1", b"2", b"3"]


def test_the_file_goes_with_a_stop_and_what_a_crash_leaves_with_the_next_start() -> None:
    files = FaultyFiles()
    log = filled(files)
    log.prepare()
    log.append(b"2" * 1_500)
    log.prepare()
    left = files.restart()
    log.close()
    assert names(files) == [segment_name(1), segment_name(2)]
    assert "spare2.log.new" in names(left)
    open_log(left)
    assert not any(name.startswith("spare") for name in names(left))


@pytest.mark.parametrize(
    ("operation", "site"),
    [("pwrite", "wal.spare.write"), ("datasync", "wal.spare.sync")],
)
def test_what_cannot_be_made_ahead_is_told_once_a_segment_and_made_when_it_is_needed(operation: str, site: str) -> None:
    files = FaultyFiles()
    log = filled(files)
    files.fail(operation, site, errno.ENOSPC)
    with capture_logs() as lines:
        for _ in range(3):
            log.prepare()
    assert [line["event"] for line in lines] == ["log segment not made ahead"]
    assert names(files) == [segment_name(1)]
    log.append(b"2" * 1_500)
    assert names(files) == [segment_name(1), segment_name(2)]
    log.prepare()
    assert names(files)[2:] == ["spare2.log.new"]


def test_a_failed_log_makes_nothing_ahead() -> None:
    files = FaultyFiles()
    log = filled(files)
    files.fail("datasync", "wal.append.sync")
    with pytest.raises(Exception, match="could not take an entry"):
        log.append(b"2")
    files.calls.clear()
    log.prepare()
    assert files.calls == []
