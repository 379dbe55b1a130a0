"""One suite for every implementation of `Files`: the machine's disk, and the double that loses power."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headwater.errors import Locked
from headwater.files import Files, LocalFiles, SourceFile
from support.faulty_files import FaultyFiles


@pytest.fixture(params=["local", "in memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Files, Path]:
    """A file system and an empty directory in it."""
    files: Files = LocalFiles() if request.param == "local" else FaultyFiles()
    files.make_directory(tmp_path, site="test")
    return files, tmp_path


def test_a_written_file_is_read_back(place: tuple[Files, Path]) -> None:
    files, directory = place
    files.write_file(directory / "a", b"one", site="test")
    assert files.read(directory / "a", site="test") == b"one"
    assert files.size(directory / "a", site="test") == 3
    with SourceFile(files.open_source(directory / "a", site="test")) as reader:
        reader.seek(1)
        assert reader.read() == b"ne"
        assert reader.seek(-2, os.SEEK_END) == 1
        assert (reader.read(1), reader.tell(), reader.read(), reader.read(1)) == (b"n", 2, b"e", b"")


def test_each_thread_reads_a_file_from_a_position_of_its_own(place: tuple[Files, Path]) -> None:
    files, directory = place
    files.write_file(directory / "a", b"one", site="test")
    with SourceFile(files.open_source(directory / "a", site="test")) as reader, ThreadPoolExecutor(1) as other:
        assert reader.read(1) == b"o"
        assert other.submit(reader.read).result() == b"one"
        assert reader.read(1) == b"n"


def test_writing_a_file_again_puts_the_new_content_in_its_place(place: tuple[Files, Path]) -> None:
    files, directory = place
    files.write_file(directory / "a", b"a long old content", site="test")
    files.write_file(directory / "a", b"new", site="test")
    assert files.read(directory / "a", site="test") == b"new"
    assert files.list(directory, site="test") == ["a"]


def test_a_created_file_has_its_size_in_zeros_and_keeps_it(place: tuple[Files, Path]) -> None:
    files, directory = place
    file = files.create(directory / "a", size_bytes=10, site="test")
    assert file.pwrite(b"xy", 4, site="test") == 2
    file.datasync(site="test")
    file.close(site="test")
    assert files.read(directory / "a", site="test") == b"\0\0\0\0xy\0\0\0\0"


def test_creating_over_a_leftover_empties_it(place: tuple[Files, Path]) -> None:
    files, directory = place
    files.write_file(directory / "a", b"leftover", site="test")
    files.create(directory / "a", size_bytes=3, site="test").close(site="test")
    assert files.read(directory / "a", site="test") == b"\0\0\0"


def test_writes_behind_the_end_grow_the_file_and_truncate_cuts_it(place: tuple[Files, Path]) -> None:
    files, directory = place
    file = files.create(directory / "a", site="test")
    file.pwrite(b"abc", 2, site="test")
    assert files.read(directory / "a", site="test") == b"\0\0abc"
    file.truncate(3, site="test")
    file.close(site="test")
    assert files.read(directory / "a", site="test") == b"\0\0a"


def test_publish_gives_the_final_name_and_takes_the_temporary_one(place: tuple[Files, Path]) -> None:
    files, directory = place
    files.write_file(directory / "final", b"old", site="test")
    files.write_file(directory / "aside", b"new", site="test")
    files.publish(directory / "aside", directory / "final", site="test")
    assert files.list(directory, site="test") == ["final"]
    assert files.read(directory / "final", site="test") == b"new"


def test_names_are_listed_in_order_directories_among_them(place: tuple[Files, Path]) -> None:
    files, directory = place
    for name in ("c", "a"):
        files.write_file(directory / name, b"", site="test")
    files.make_directory(directory / "b" / "deep", site="test")
    assert files.list(directory, site="test") == ["a", "b", "c"]


def test_making_a_directory_twice_is_no_error(place: tuple[Files, Path]) -> None:
    files, directory = place
    files.make_directory(directory / "x" / "y", site="test")
    files.make_directory(directory / "x" / "y", site="test")
    assert files.exists(directory / "x" / "y", site="test")


def test_what_is_removed_does_not_exist(place: tuple[Files, Path]) -> None:
    files, directory = place
    files.write_file(directory / "a", b"", site="test")
    files.make_directory(directory / "b" / "deep", site="test")
    files.write_file(directory / "b" / "deep" / "c", b"", site="test")
    files.remove(directory / "a", site="test")
    files.remove_tree(directory / "b", site="test")
    assert files.list(directory, site="test") == []
    assert not files.exists(directory / "a", site="test")
    assert not files.exists(directory / "b" / "deep" / "c", site="test")


def test_missing_files_and_directories_are_file_not_found(place: tuple[Files, Path]) -> None:
    files, directory = place
    missing = directory / "missing"
    for call in (
        lambda: files.read(missing, site="test"),
        lambda: files.open_source(missing, site="test"),
        lambda: files.size(missing, site="test"),
        lambda: files.list(missing, site="test"),
        lambda: files.remove(missing, site="test"),
        lambda: files.remove_tree(missing, site="test"),
        lambda: files.sync(missing, site="test"),
        lambda: files.sync_directory(missing, site="test"),
        lambda: files.rename(missing, directory / "b", site="test"),
        lambda: files.create(missing / "a", site="test"),
    ):
        with pytest.raises(FileNotFoundError):
            call()


def test_there_is_free_space(place: tuple[Files, Path]) -> None:
    files, directory = place
    assert 0 < files.free_bytes(directory, site="test") <= files.device_bytes(directory, site="test")


def test_a_lock_is_held_until_it_is_released(place: tuple[Files, Path]) -> None:
    files, directory = place
    lock = files.lock(directory / "lock", site="test")
    with pytest.raises(Locked, match="Another process is using the data folder"):
        files.lock(directory / "lock", site="test")
    lock.release()
    files.lock(directory / "lock", site="test").release()


def test_a_link_is_a_second_name_of_the_same_file(place: tuple[Files, Path]) -> None:
    files, directory = place
    files.write_file(directory / "a", b"one", site="test")
    files.link(directory / "a", directory / "b", site="test")
    with pytest.raises(FileExistsError):
        files.link(directory / "a", directory / "b", site="test")
    files.remove(directory / "a", site="test")
    assert files.read(directory / "b", site="test") == b"one"
