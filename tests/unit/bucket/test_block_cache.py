"""The cache of blocks on the disk: what it keeps and lets go; damage in it is never more than a second read."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from headwater.bucket.cache import SEGMENT_BYTES, BlockCache
from headwater.bucket.files import BucketFiles
from headwater.errors import Corrupt
from headwater.files import FILE_MODE, LocalFiles, OpenFile
from headwater.sealing import ChunkCache, SealedSource, SealingFile, Vault
from support.buckets import PLACE, HookedObjects, OneBucket, blocks_in
from support.hooked_files import HookedFiles, raising
from support.keys import LOG_KEYS

MIB = 1 << 20


class Crowded(HookedFiles):
    """A disk with `free` bytes; with none, no file can be made."""

    free = 1 << 40

    def free_bytes(self, path: Path, *, site: str) -> int:
        return self.free

    def create(self, path: Path, *, size_bytes: int = 0, mode: int = FILE_MODE, site: str) -> OpenFile:
        if not self.free:
            raise OSError("disk full")
        return super().create(path, size_bytes=size_bytes, mode=mode, site=site)


def segment(byte: int, size: int = SEGMENT_BYTES) -> memoryview:
    return memoryview(bytes([byte]) * size)


def kept(cache: BlockCache, block: str, number: int) -> bytes | None:
    buffer = bytearray(3)
    return bytes(buffer) if cache.read_into(block, number, 5, memoryview(buffer)) else None


def test_the_segments_used_longest_ago_make_room(tmp_path: Path) -> None:
    cache = BlockCache(LocalFiles(), tmp_path / "cache", 2 * MIB + 100, 0)
    cache.open(frozenset())
    for number in range(2):
        cache.put("a", number, segment(number))
    assert kept(cache, "a", 0) == b"\0\0\0"
    cache.put("b", 0, segment(7))
    assert [kept(cache, *key) for key in (("a", 0), ("a", 1), ("b", 0))] == [b"\0\0\0", None, b"\7\7\7"]
    assert cache.bytes == 2 * MIB
    assert sorted(path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()) == ["0", "0"]


def test_it_outlives_its_process_but_for_blocks_that_are_gone(tmp_path: Path) -> None:
    before = BlockCache(LocalFiles(), tmp_path, 8 * MIB, 0)
    before.open(frozenset())
    for block in ("a", "b"):
        before.put(block, 3, segment(1, 100))
    (tmp_path / "a" / "4-77.new").write_bytes(b"half")
    cache = BlockCache(LocalFiles(), tmp_path, 8 * MIB, 0)
    cache.open(frozenset({"a"}))
    assert kept(cache, "a", 3) == b"\1\1\1"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["3"]
    assert cache.bytes == 100


def test_a_smaller_limit_holds_from_the_start(tmp_path: Path) -> None:
    before = BlockCache(LocalFiles(), tmp_path, 8 * MIB, 0)
    before.open(frozenset())
    for number in range(5):
        before.put("a", number, segment(number))
    cache = BlockCache(LocalFiles(), tmp_path, 2 * MIB, 0)
    cache.open(frozenset({"a"}))
    assert cache.bytes == 2 * MIB
    assert len(list((tmp_path / "a").iterdir())) == 2


def test_it_gives_room_back_on_a_disk_that_is_short_of_it(tmp_path: Path) -> None:
    files = Crowded()
    cache = BlockCache(files, tmp_path, 64 * MIB, 1_000)
    cache.open(frozenset())
    for number in range(6):
        cache.put("a", number, segment(number))
    files.free = 999
    cache.put("a", 6, segment(6))
    assert (cache.bytes, cache.has("a", 5), cache.has("a", 6)) == (2 * MIB, True, False)


def test_a_disk_that_fails_it_is_only_a_miss(tmp_path: Path) -> None:
    files = Crowded()
    cache = BlockCache(files, tmp_path, 64 * MIB, 0)
    cache.open(frozenset())
    cache.put("a", 0, segment(0))
    (tmp_path / "a" / "0").write_bytes(b"cut")
    assert kept(cache, "a", 0) is None
    cache.put("a", 0, segment(0))
    files.hooks["cache.read"] = raising(OSError("bad sector"))
    assert kept(cache, "a", 0) is None
    files.free = 0
    cache.put("a", 1, segment(1))
    assert not cache.has("a", 1)


class Sealed:
    """A sealed block of 3 MB in a bucket, read through the cache."""

    def __init__(self, tmp_path: Path, cache_bytes: int = 64 * MIB) -> None:
        self.objects = HookedObjects(tmp_path / "bucket")
        self.folder = tmp_path / "data" / "blocks" / "t"
        self.folder.mkdir(parents=True)
        self.files: BucketFiles = blocks_in(OneBucket(self.objects), tmp_path / "data", cache_bytes=cache_bytes)
        self.content = Random(3).randbytes(3_000_000)
        temporary, self.path = self.folder / "a.parquet.new", self.folder / "a.parquet"
        with temporary.open("wb") as file:
            pieces: list[bytes] = []
            sealing = SealingFile(pieces.append, LOG_KEYS.new("t/a"))
            sealing.write(self.content)
            sealing.finish()
            file.write(b"".join(pieces))
        self.files.publish(temporary, self.path, site="test")

    def read(self, offset: int, length: int) -> bytes:
        vault = Vault(LOG_KEYS, ChunkCache(0))
        with closing(SealedSource(self.files.open_source(self.path, site="test"), "t/a", vault)) as source:
            return source.read_at(offset, length)

    def flip(self, path: Path, place: int) -> None:
        data = bytearray(path.read_bytes())
        data[place] ^= 1
        path.write_bytes(data)

    def segments(self) -> list[Path]:
        return sorted((self.folder.parents[1] / "cache" / "a").iterdir())


def test_a_new_block_is_near_at_once(tmp_path: Path) -> None:
    sealed = Sealed(tmp_path)
    sealed.objects.fail()
    assert sealed.read(0, 3_000_000) == sealed.content


@pytest.mark.parametrize(("number", "place"), [(0, 0), (0, 50), (0, 70_000), (1, 500_000), (2, -1)])
def test_damage_in_the_cache_is_found_dropped_and_read_again(tmp_path: Path, number: int, place: int) -> None:
    sealed = Sealed(tmp_path)
    sealed.flip(sealed.segments()[number], place)
    assert sealed.read(0, 3_000_000) == sealed.content
    sealed.objects.fail()
    assert sealed.read(0, 3_000_000) == sealed.content


@pytest.mark.parametrize("place", [0, 70_000, -1])
def test_damage_in_the_bucket_is_damage(tmp_path: Path, place: int) -> None:
    sealed = Sealed(tmp_path)
    (path,) = sealed.objects.blocks()
    sealed.flip(path, place)
    assert sealed.read(0, 3_000_000) == sealed.content
    sealed.files.open_original(sealed.path, site="test").close()
    for segment_file in sealed.segments():
        segment_file.unlink()
    with pytest.raises(Corrupt):
        sealed.read(0, 3_000_000)


def test_misses_side_by_side_take_one_request_and_reading_on_takes_more_at_once(tmp_path: Path) -> None:
    content = Random(4).randbytes(8 * MIB)
    (tmp_path / "blocks" / "t").mkdir(parents=True)
    objects = HookedObjects(tmp_path / "bucket")
    objects.put(PLACE.key("blocks/t/a.parquet"), content)
    files = blocks_in(OneBucket(objects), tmp_path)
    objects.requests = 0
    with closing(files.open_source(tmp_path / "blocks" / "t" / "a.parquet", site="test")) as source:
        for read, (start, length) in enumerate([(100, 2 * MIB), (3 * MIB, 10), (7 * MIB, 10), (0, 8 * MIB)], 1):
            assert source.read_at(start, length) == content[start : start + length]
            assert objects.requests == min(read, 3)
