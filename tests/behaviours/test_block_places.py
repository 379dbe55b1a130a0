"""One suite for every place of blocks: the local disk, a bucket in a folder, and a bucket of S3-compatible servers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from headwater.files import Files, LocalFiles, SourceFile
from support.buckets import BUCKET, HookedObjects, OneBucket, blocks_in
from support.s3_servers import gateway, make_bucket, moto

SMALL = Random(1).randbytes(70_000)
LARGE = Random(2).randbytes(20_000_001)


@pytest.fixture(scope="module")
def moto_address() -> Iterator[str]:
    with moto() as address:
        yield address


@pytest.fixture(scope="module")
def gateway_address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    assert request.config.cache is not None
    with gateway(request.config.cache, tmp_path_factory.mktemp("gateway")) as address:
        yield address


@pytest.fixture(params=["disk", "folder", "moto", pytest.param("gateway", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Files, Path]:
    """A file system, and the folder of a table in it."""
    (tmp_path / "blocks" / "t").mkdir(parents=True)
    match request.param:
        case "disk":
            return LocalFiles(), tmp_path / "blocks" / "t"
        case "folder":
            return blocks_in(OneBucket(HookedObjects(tmp_path / "bucket")), tmp_path), tmp_path / "blocks" / "t"
        case server:
            name = f"{BUCKET}-{abs(hash(request.node.name)) % 10**8}"
            objects = make_bucket(request.getfixturevalue(f"{server}_address"), name).bucket(name)
            objects.delete(*[stat.key for stat in objects.list()])
            return blocks_in(OneBucket(objects), tmp_path), tmp_path / "blocks" / "t"


def publish(files: Files, path: Path, content: bytes) -> None:
    temporary = path.with_name(f"{path.name}.new")
    file = files.create(temporary, site="test")
    file.pwrite(content, 0, site="test")
    file.close(site="test")
    files.publish(temporary, path, site="test")


@pytest.mark.parametrize("content", [b"", b"x", SMALL, LARGE], ids=["empty", "a byte", "small", "large"])
def test_a_published_block_is_there_whole(place: tuple[Files, Path], content: bytes) -> None:
    files, folder = place
    publish(files, folder / "a.parquet", content)
    assert files.size(folder / "a.parquet", site="test") == len(content)
    assert files.exists(folder / "a.parquet", site="test")
    assert files.list(folder, site="test") == ["a.parquet"]
    assert files.read(folder / "a.parquet", site="test") == content
    with closing(files.open_original(folder / "a.parquet", site="test")) as source:
        assert (source.size_bytes, source.read_at(0, len(content) + 1)) == (len(content), content)


def test_a_block_is_read_at_any_place_and_to_its_end(place: tuple[Files, Path]) -> None:
    files, folder = place
    publish(files, folder / "a.parquet", LARGE)
    for open_any in (files.open_source, files.open_original):
        with closing(open_any(folder / "a.parquet", site="test")) as source:
            for start, length in ((0, 5), (1_048_570, 12), (3_000_000, 4_000_000), (20_000_000, 9), (20_000_001, 9)):
                assert source.read_at(start, length) == LARGE[start : start + length]
            buffer = bytearray(100)
            assert source.read_into(len(LARGE) - 40, memoryview(buffer)) == 40
            assert buffer[:40] == LARGE[-40:]
    with SourceFile(files.open_source(folder / "a.parquet", site="test")) as file:
        assert file.seek(-3, os.SEEK_END) == len(LARGE) - 3
        assert file.read() == LARGE[-3:]


def test_what_is_removed_is_gone(place: tuple[Files, Path]) -> None:
    files, folder = place
    for name in ("a.parquet", "b.parquet"):
        publish(files, folder / name, SMALL)
    files.remove(folder / "a.parquet", site="test")
    assert not files.exists(folder / "a.parquet", site="test")
    assert files.list(folder, site="test") == ["b.parquet"]
    for gone in (files.size, files.read, files.open_source):
        with pytest.raises(FileNotFoundError):
            gone(folder / "a.parquet", site="test")
    files.remove_tree(folder, site="test")
    assert not files.exists(folder, site="test")
    assert files.list(folder.parent, site="test") == []


def test_a_block_is_taken_out_under_another_name(place: tuple[Files, Path]) -> None:
    files, folder = place
    elsewhere = folder.parents[1] / "elsewhere"
    elsewhere.mkdir()
    for name in ("a.parquet", "b.parquet"):
        publish(files, folder / name, SMALL)
    files.link(folder / "a.parquet", elsewhere / "a.parquet", site="test")
    files.rename(folder / "b.parquet", elsewhere / "b.parquet", site="test")
    assert files.list(folder, site="test") == ["a.parquet"]
    assert (elsewhere / "a.parquet").read_bytes() == (elsewhere / "b.parquet").read_bytes() == SMALL


def test_files_that_are_no_blocks_lie_beside_them(place: tuple[Files, Path]) -> None:
    files, folder = place
    publish(files, folder / "a.parquet", SMALL)
    files.write_file(folder / "series", b"known", site="test")
    assert files.list(folder, site="test") == ["a.parquet", "series"]
    assert (folder / "series").read_bytes() == files.read(folder / "series", site="test") == b"known"
    files.rename(folder / "series", folder / "other", site="test")
    files.sync(folder / "a.parquet", site="test")
    files.sync_directory(folder, site="test")
    files.remove(folder / "other", site="test")
    assert files.list(folder, site="test") == ["a.parquet"]
