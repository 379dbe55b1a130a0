"""Sealed files: read as written, at any place; every change, move and cut is found; memory stays flat."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater import sealing
from headwater.errors import Corrupt, NewerFormat
from headwater.files import Source
from headwater.sealing import (
    CHUNK_BYTES,
    HEADER_BYTES,
    TAG_BYTES,
    ChunkCache,
    DataKey,
    SealedSource,
    SealingFile,
    Vault,
    slot_of,
)
from support.keys import LOG_KEYS

SIZES = st.one_of(st.integers(0, 100), st.integers(-2, 2).map(lambda n: n + 3 * CHUNK_BYTES), st.integers(0, 2**18))
SEALED_CHUNK = CHUNK_BYTES + TAG_BYTES


class Bytes(Source):
    """A file in memory that counts how often it is read."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.reads: list[tuple[int, int]] = []

    @property
    def size_bytes(self) -> int:
        return len(self.content)

    def read_at(self, offset: int, length: int) -> bytes:
        self.reads.append((offset, length))
        return self.content[offset : offset + length]

    def close(self) -> None:
        pass


def content_of(size: int) -> bytes:
    return Random(size).randbytes(size)


def seal(content: bytes, key: DataKey, step: int = 100_000) -> bytes:
    pieces: list[bytes] = []
    file = SealingFile(pieces.append, key)
    for start in range(0, len(content), step):
        file.write(content[start : start + step])
    assert file.tell() == len(content)
    file.finish()
    return b"".join(pieces)


def opened(sealed: Source | bytes, place: str = "place", cache_bytes: int = 0) -> SealedSource:
    source = Bytes(sealed) if isinstance(sealed, bytes) else sealed
    return SealedSource(source, place, Vault(LOG_KEYS, ChunkCache(cache_bytes)))


@given(SIZES, st.sampled_from([777, 65_536, 1_000_000]), st.sampled_from([0, 128 * 1024, 1 << 20]), st.data())
@settings(max_examples=60, deadline=None)
def test_what_was_written_is_read_at_any_place(size: int, step: int, cache_bytes: int, data: st.DataObject) -> None:
    content = content_of(size)
    source = opened(seal(content, LOG_KEYS.new("place"), step), cache_bytes=cache_bytes)
    assert source.size_bytes == size
    for _ in range(5):
        offset = data.draw(st.integers(0, size + 10))
        length = data.draw(st.integers(0, size + 10))
        assert source.read_at(offset, length) == content[offset : offset + length]


def test_a_sealed_file_has_the_bytes_of_the_format_page() -> None:
    key, slot = bytes(range(32)), bytes(range(76))
    associated = b"HWSEALED" + b"1/context/" + bytes(8) + b"\1"
    chunk = AESGCM(key).encrypt(bytes(12), b"hello", associated)
    sealed = seal(b"hello", DataKey(key, slot, b"context"))
    assert sealed == bytes.fromhex("48575345414c45440100") + slot + bytes.fromhex("b62e8a9f") + chunk


def test_nothing_of_the_content_is_readable_and_equal_contents_differ() -> None:
    content = b"a known value, again and again. " * 10_000
    one, other = seal(content, LOG_KEYS.new("place")), seal(content, LOG_KEYS.new("place"))
    assert b"known" not in one
    assert one[HEADER_BYTES : HEADER_BYTES + 1000] != other[HEADER_BYTES : HEADER_BYTES + 1000]
    assert one[HEADER_BYTES : HEADER_BYTES + 1000] != one[HEADER_BYTES + SEALED_CHUNK :][:1000]


def read_whole(sealed: bytes) -> bytes:
    source = opened(sealed)
    return source.read_at(0, source.size_bytes)


def test_every_flipped_bit_of_a_small_file_is_found() -> None:
    sealed = seal(b"some values", LOG_KEYS.new("place"))
    for bit in range(8 * len(sealed)):
        flipped = bytearray(sealed)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises((Corrupt, NewerFormat)):
            read_whole(bytes(flipped))


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_bytes_that_were_flipped_moved_cut_or_added_are_found(data: st.DataObject) -> None:
    sealed = LARGE
    kind = data.draw(st.sampled_from(["flip", "cut", "add", "swap", "leave out", "double", "chunk of another file"]))
    one, other = data.draw(st.permutations(range(4)))[:2]
    chunks = [sealed[HEADER_BYTES + i * SEALED_CHUNK :][:SEALED_CHUNK] for i in range(5)]
    match kind:
        case "flip":
            at = data.draw(st.integers(0, len(sealed) - 1))
            changed = sealed[:at] + bytes([sealed[at] ^ 1 << data.draw(st.integers(0, 7))]) + sealed[at + 1 :]
        case "cut":
            changed = sealed[: data.draw(st.integers(0, len(sealed) - 1))]
        case "add":
            changed = sealed + data.draw(st.binary(min_size=1, max_size=40))
        case _:
            if kind == "swap":
                chunks[one], chunks[other] = chunks[other], chunks[one]
            elif kind == "leave out":
                del chunks[one]
            elif kind == "double":
                chunks.insert(other, chunks[one])
            else:
                chunks[one] = ANOTHER[HEADER_BYTES + one * SEALED_CHUNK :][:SEALED_CHUNK]
            changed = sealed[:HEADER_BYTES] + b"".join(chunks)
    with pytest.raises((Corrupt, NewerFormat)):
        read_whole(changed)


LARGE = seal(content_of(4 * CHUNK_BYTES + 99), LOG_KEYS.new("place"))
ANOTHER = seal(content_of(4 * CHUNK_BYTES + 99), LOG_KEYS.new("place"))


def test_a_cut_between_chunks_is_found_when_the_file_is_opened() -> None:
    for chunks in range(5):
        with pytest.raises(Corrupt):
            opened(LARGE[: HEADER_BYTES + chunks * SEALED_CHUNK])


def test_a_file_opens_at_its_own_place_only() -> None:
    with pytest.raises(Corrupt, match="elsewhere"):
        opened(LARGE, "elsewhere")


@pytest.mark.parametrize("data", [b"", b"HWSEALED", b"PAR1" + bytes(200)])
def test_what_is_no_sealed_file_is_refused(data: bytes) -> None:
    with pytest.raises(Corrupt, match="place: not a sealed file"):
        opened(data)


def test_a_newer_format_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sealing, "FORMAT_VERSION", 2)
        newer = seal(b"", LOG_KEYS.new("place"))
    with pytest.raises(NewerFormat, match="place is sealed in format version 2; 1 is known"):
        slot_of(newer, "place")


def test_whole_chunks_are_one_read_and_parts_of_one_are_read_once() -> None:
    content = content_of(40 * CHUNK_BYTES)
    file = Bytes(seal(content, LOG_KEYS.new("place")))
    source = opened(file, cache_bytes=4 * CHUNK_BYTES)
    file.reads.clear()
    assert source.read_at(10, 10 * CHUNK_BYTES) == content[10 : 10 * CHUNK_BYTES + 10]
    assert [length for _, length in file.reads] == [SEALED_CHUNK, 9 * SEALED_CHUNK, SEALED_CHUNK]
    assert source.read_at(CHUNK_BYTES, 38 * CHUNK_BYTES) == content[CHUNK_BYTES : 39 * CHUNK_BYTES]
    assert [length for _, length in file.reads[3:]] == [16 * SEALED_CHUNK, 16 * SEALED_CHUNK, 6 * SEALED_CHUNK]
    file.reads.clear()
    assert source.read_at(0, 10) + source.read_at(10 * CHUNK_BYTES + 5, 5) == (
        content[:10] + content[10 * CHUNK_BYTES + 5 :][:5]
    )
    assert file.reads == []


def test_the_cache_keeps_the_chunks_used_last_and_no_more_than_it_may() -> None:
    cache = ChunkCache(3 * CHUNK_BYTES)
    for i in range(3):
        cache.put("a", i, b"%d" % i)
    assert cache.get("a", 0) == b"0"
    cache.put("b", 0, b"3")
    assert [cache.get("a", 0), cache.get("a", 1), cache.get("a", 2), cache.get("b", 0)] == [b"0", None, b"2", b"3"]


def test_many_threads_read_one_file() -> None:
    content = content_of(4 * CHUNK_BYTES + 99)
    source = opened(seal(content, LOG_KEYS.new("place")), cache_bytes=2 * CHUNK_BYTES)

    def read(seed: int) -> bool:
        random = Random(seed)
        places = [(random.randrange(len(content)), random.randrange(2 * CHUNK_BYTES)) for _ in range(50)]
        return all(source.read_at(offset, length) == content[offset : offset + length] for offset, length in places)

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(read, range(8)))


def test_writing_needs_little_memory_however_long_the_file() -> None:
    sizes: list[int] = []
    file = SealingFile(lambda piece: sizes.append(len(piece)), LOG_KEYS.new("place"))
    for _ in range(100):
        file.write(bytes(1 << 20))
    assert max(sizes) < 3 << 20
    assert sum(sizes) > 97 << 20


def test_a_data_key_prints_no_secret() -> None:
    key = LOG_KEYS.new("place")
    assert repr(key.key) not in repr(key)
    assert key.key.hex() not in repr(key)
