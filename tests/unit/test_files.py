"""What only the machine's own file system has: modes, and locks between processes. And what the double must forget."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from headwater.errors import Locked
from headwater.files import SYNC_BYTES, Appender, LocalFiles
from support.faulty_files import SECTOR_BYTES, FaultyFiles, Stopped

DIRECTORY = Path("/data")


def test_directories_and_files_are_for_their_owner_only(tmp_path: Path) -> None:
    files = LocalFiles()
    files.make_directory(tmp_path / "a" / "b", site="test")
    files.write_file(tmp_path / "a" / "b" / "c", b"", site="test")
    files.lock(tmp_path / "a" / "lock", site="test").release()
    modes = [path.stat().st_mode & 0o777 for path in (tmp_path / "a", tmp_path / "a" / "b")]
    assert modes == [0o700, 0o700]
    assert (tmp_path / "a" / "b" / "c").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "a" / "lock").stat().st_mode & 0o777 == 0o600


def test_preallocated_space_is_really_taken(tmp_path: Path) -> None:
    LocalFiles().create(tmp_path / "a", size_bytes=5_000_000, site="test").close(site="test")
    LocalFiles().sync(tmp_path / "a", site="test")
    assert (tmp_path / "a").stat().st_blocks * 512 >= 5_000_000


def test_the_lock_is_against_other_processes_and_ends_with_a_killed_one(tmp_path: Path) -> None:
    holder = (
        "import sys, pathlib; from headwater.files import LocalFiles;"
        f"lock = LocalFiles().lock(pathlib.Path({str(tmp_path / 'lock')!r}), site='test');"
        "print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(Locked):
            LocalFiles().lock(tmp_path / "lock", site="test")
        process.send_signal(signal.SIGKILL)
        process.wait()
    LocalFiles().lock(tmp_path / "lock", site="test").release()


def faulty() -> FaultyFiles:
    files = FaultyFiles()
    files.make_directory(DIRECTORY, site="test")
    return files


def test_a_short_write_leaves_the_old_file() -> None:
    files = faulty()
    files.write_file(DIRECTORY / "a", b"old", site="test")
    files.shorten("test", 2)
    with pytest.raises(OSError, match="Only 2 of 3 bytes"):
        files.write_file(DIRECTORY / "a", b"new", site="test")
    assert files.read(DIRECTORY / "a", site="test") == b"old"


@pytest.mark.parametrize("kept", [0.0, 0.5, 1.0])
def test_a_file_written_in_place_of_another_is_the_old_or_the_new_wherever_power_is_lost(kept: float) -> None:
    old, new = b"o" * 2_000, b"n" * 3_000
    whole = faulty()
    whole.put(DIRECTORY / "a", old)
    whole.write_file(DIRECTORY / "a", new, site="test")
    assert whole.power_loss().contents() == {DIRECTORY / "a": new}
    for stop_at in range(1, len(whole.calls)):
        for seed in range(5):
            files = faulty()
            files.put(DIRECTORY / "a", old)
            files.stop_at = stop_at
            with pytest.raises(Stopped):
                files.write_file(DIRECTORY / "a", new, site="test")
            assert files.power_loss(kept, Random(seed)).contents()[DIRECTORY / "a"] in (old, new)


@pytest.mark.parametrize("lie", ["sync", "sync_directory"])
def test_without_either_sync_a_written_file_may_be_gone(lie: str) -> None:
    files = faulty()
    files.lies = frozenset({lie})
    files.write_file(DIRECTORY / "a", b"new", site="test")
    assert files.power_loss().contents().get(DIRECTORY / "a") != b"new"


def test_power_loss_tears_a_write_at_sectors() -> None:
    files = faulty()
    file = files.create(DIRECTORY / "a", size_bytes=3 * SECTOR_BYTES, site="test")
    files.publish(DIRECTORY / "a", DIRECTORY / "b", site="test")
    file.pwrite(b"x" * 3 * SECTOR_BYTES, 0, site="test")
    found = {files.power_loss(0.5, Random(seed)).contents()[DIRECTORY / "b"] for seed in range(200)}
    sectors = [b"\0" * SECTOR_BYTES, b"x" * SECTOR_BYTES]
    assert found == {a + b + c for a in sectors for b in sectors for c in sectors}


def test_what_a_failed_sync_was_to_write_is_read_until_power_is_lost_though_a_later_sync_succeeds() -> None:
    files = faulty()
    file = files.create(DIRECTORY / "a", site="test")
    files.publish(DIRECTORY / "a", DIRECTORY / "b", site="test")
    file.pwrite(b"x", 0, site="test")
    files.fail("datasync", "test", errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        file.datasync(site="test")
    file.datasync(site="test")
    assert files.restart().contents() == {DIRECTORY / "b": b"x"}
    assert files.power_loss().contents() == {DIRECTORY / "b": b""}


class _Noted:
    """An open file that notes its calls, and takes at most so many bytes at a time."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.calls: list[tuple[str, int, int]] = []

    def pwrite(self, data: bytes, offset: int, *, site: str) -> int:
        self.calls.append((site, offset, len(data)))
        return min(len(data), self.most)

    def datasync(self, *, site: str) -> None:
        self.calls.append((site, -1, 0))

    def truncate(self, size_bytes: int, *, site: str) -> None:
        raise AssertionError

    def close(self, *, site: str) -> None:
        raise AssertionError


def test_what_is_appended_reaches_the_disk_as_it_grows() -> None:
    file = _Noted(SYNC_BYTES)
    appender = Appender(file, "test")
    appender.append(b"x" * (2 * SYNC_BYTES + 7))
    appender.append(b"y" * (SYNC_BYTES - 7))
    assert appender.size_bytes == 3 * SYNC_BYTES
    assert file.calls == [
        ("test", 0, SYNC_BYTES),
        ("test", -1, 0),
        ("test", SYNC_BYTES, SYNC_BYTES),
        ("test", -1, 0),
        ("test", 2 * SYNC_BYTES, 7),
        ("test", 2 * SYNC_BYTES + 7, SYNC_BYTES - 7),
        ("test", -1, 0),
    ]


def test_bytes_that_are_not_taken_are_an_error() -> None:
    with pytest.raises(OSError, match="Only 4 of 5 bytes were written"):
        Appender(_Noted(4), "test").append(b"12345")
