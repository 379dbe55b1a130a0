"""What the store refuses to open: blocks that are missing or cut, and a log that ends before the blocks do."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from headwater.errors import Corrupt
from support.stores import NOW_NS, StoreFolder, records, series


@pytest.fixture
def folder(tmp_path: Path) -> StoreFolder:
    opened = StoreFolder(tmp_path)
    opened.write(records([(series("a"), NOW_NS, 1, 1.0)]))
    opened.store.flush()
    opened.close()
    return opened


def block_of(folder: StoreFolder) -> Path:
    (path,) = (folder.directory / "blocks").glob("*/*.parquet")
    return path


def read(folder: StoreFolder) -> None:
    folder.open()
    try:
        folder.scan()
    finally:
        folder.close()


def test_a_missing_block_is_named(folder: StoreFolder):
    path = block_of(folder)
    path.unlink()
    with pytest.raises(Corrupt, match=f"block {path.name} .* is missing"):
        read(folder)


def test_a_block_of_another_length_is_named(folder: StoreFolder):
    path = block_of(folder)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Corrupt, match=f"block {path.name} .* the manifest says"):
        read(folder)


def test_a_file_that_no_manifest_names_is_removed(folder: StoreFolder):
    rubbish = block_of(folder).with_name("0" * 32 + ".parquet")
    rubbish.write_bytes(b"what a crash left of a flush")
    read(folder)
    assert not rubbish.exists()
    assert block_of(folder).exists()


def test_a_lost_log_is_noticed(folder: StoreFolder):
    shutil.rmtree(folder.directory / "log")
    with pytest.raises(Corrupt, match="the log ends at sequence 0, it once went on to 1"):
        folder.open()


def test_a_log_cut_off_after_a_clean_stop_is_noticed(tmp_path: Path):
    folder = StoreFolder(tmp_path)
    for value in (1.0, 2.0):
        folder.write(records([(series("a"), NOW_NS + int(value), 1, value)]))
    folder.close()
    (segment,) = (tmp_path / "log").glob("*.log")
    segment.write_bytes(segment.read_bytes()[:-300])
    with pytest.raises(Corrupt, match="it once went on to 2"):
        folder.open()
