"""One file of the log: header and footer to bytes and back, and what an inspected file tells."""

from __future__ import annotations

from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import Corrupt, NewerFormat
from headwater.sealing import SLOT_BYTES
from headwater.wal import segment
from headwater.wal.cipher import ADDED_BYTES, PayloadCipher
from headwater.wal.entry import ENTRY_HEADER_BYTES, EntryCodec
from headwater.wal.segment import (
    FOOTER_BYTES,
    HEADER_BYTES,
    Footer,
    SegmentHeader,
    SegmentWriter,
    inspect_segment,
    read_payloads,
    segment_name,
    segment_number,
)
from support.faulty_files import FaultyFiles
from support.keys import LOG_KEYS

DIRECTORY = Path("/data/wal")
UINT64 = st.integers(0, 2**64 - 1)


def header(number: int) -> SegmentHeader:
    return SegmentHeader(number, 11, 10, b"saltsalt", b"k" * SLOT_BYTES)


def files_with_directory() -> FaultyFiles:
    files = FaultyFiles()
    files.make_directory(DIRECTORY, site="test")
    return files


def write(files: FaultyFiles, payloads: list[bytes], appended: list[bytes], size_bytes: int = 4096) -> SegmentWriter:
    key = LOG_KEYS.new(segment_name(3))
    header = SegmentHeader(3, 11, 10 + len(payloads), b"saltsalt", key.slot)
    writer = SegmentWriter.create(files, DIRECTORY, header, key, size_bytes, payloads)
    for payload in appended:
        writer.append(payload)
    return writer


SLOTS = st.binary(min_size=SLOT_BYTES, max_size=SLOT_BYTES)


@given(st.integers(0, 10**12 - 1), UINT64, UINT64, st.binary(min_size=8, max_size=8), SLOTS)
def test_a_header_decodes_to_what_was_encoded(number: int, first: int, synced: int, salt: bytes, slot: bytes) -> None:
    header = SegmentHeader(number, first, synced, salt, slot)
    assert SegmentHeader.decode(header.encode() + b"more", segment_name(number)) == header


@given(UINT64, UINT64, st.binary(max_size=40))
def test_a_footer_decodes_to_what_was_encoded(count: int, last: int, before: bytes) -> None:
    data = before + Footer(count, last).encode(b"saltsalt")
    assert Footer.decode(data, len(before), b"saltsalt") == Footer(count, last)
    assert Footer.decode(data, len(before), b"another.") is None
    assert Footer.decode(data[:-1], len(before), b"saltsalt") is None


def test_header_and_footer_have_the_bytes_of_the_format_page() -> None:
    assert header(3).encode().hex() == (
        "48575345474d4e54020003000000000000000b000000000000000a0000000000000073616c7473616c74"
        + "6b" * SLOT_BYTES
        + "963f581a"
    )
    assert Footer(2, 12).encode(b"saltsalt").hex() == "48574654020002000000000000000c00000000000000c7478ed1"


@given(st.integers(0, 10**12 - 1), st.integers(0, 10**12 - 1))
def test_names_are_of_numbers_and_sort_as_they_do(one: int, other: int) -> None:
    assert segment_number(segment_name(one)) == one
    assert (segment_name(one) < segment_name(other)) == (one < other)


@pytest.mark.parametrize("name", ["1.log", "000000000001.log.new", "000000000001.log.damaged", "00000000000a.log", "x"])
def test_other_names_are_no_segments(name: str) -> None:
    assert segment_number(name) is None


@given(st.lists(st.binary(max_size=200), max_size=5), st.lists(st.binary(max_size=200), max_size=5), st.booleans())
def test_a_segment_is_read_as_it_was_written(payloads: list[bytes], appended: list[bytes], sealing: bool) -> None:
    files = files_with_directory()
    writer = write(files, payloads, appended)
    ours = writer.seal() if sealing else writer.snapshot()
    read = inspect_segment(files, writer.path)
    assert (read.entry_bytes, read.is_sealed, read.torn_bytes) == (ours.entry_bytes, sealing, 0)
    assert list(read_payloads(files, LOG_KEYS, read)) == list(enumerate(payloads + appended, 11))
    assert read.last_sequence == writer.last_sequence == 10 + len(payloads) + len(appended)


def test_a_sealed_segment_gives_its_unused_space_back() -> None:
    files = files_with_directory()
    writer = write(files, [], [b"payload"])
    assert files.size(writer.path, site="test") == 4096
    assert files.size(writer.path, site="test") > writer.seal().end + FOOTER_BYTES
    assert files.size(writer.path, site="test") == writer.snapshot().end + FOOTER_BYTES


def test_room_is_kept_for_the_footer() -> None:
    files = files_with_directory()
    writer = write(files, [], [], size_bytes=300)
    largest = 300 - HEADER_BYTES - ENTRY_HEADER_BYTES - ADDED_BYTES - FOOTER_BYTES
    assert writer.has_room(largest)
    assert not writer.has_room(largest + 1)
    writer.append(b"x" * largest)
    writer.seal()
    assert files.size(writer.path, site="test") == 300


def test_a_segment_is_made_larger_for_payloads_that_need_it() -> None:
    files = files_with_directory()
    key = LOG_KEYS.new(segment_name(1))
    first = SegmentHeader(1, 1, 0, b"saltsalt", key.slot)
    writer = SegmentWriter.create(files, DIRECTORY, first, key, 100, [b"x" * 500], room_bytes=300)
    assert writer.has_room(300)
    assert not writer.has_room(301)


def test_what_stands_behind_a_bad_entry_still_proves_what_was_synced() -> None:
    files = files_with_directory()
    writer = write(files, [], [b"first", b"second", b"third"])
    data = bytearray(files.read(writer.path, site="test"))
    data[HEADER_BYTES + ENTRY_HEADER_BYTES] ^= 1
    files.put(writer.path, bytes(data))
    read = inspect_segment(files, writer.path)
    assert (read.next_sequence, read.synced) == (11, 12)


def test_an_image_of_an_entry_of_another_segment_proves_nothing() -> None:
    files = files_with_directory()
    image = EntryCodec(b"another.").encode(99, 98, b"")
    writer = write(files, [], [b"x" * 80])
    data = bytearray(files.read(writer.path, site="test"))
    data[HEADER_BYTES : HEADER_BYTES + 30] = bytes(30)
    data[HEADER_BYTES + 50 : HEADER_BYTES + 50 + len(image)] = image
    files.put(writer.path, bytes(data))
    read = inspect_segment(files, writer.path)
    assert (read.entry_bytes, read.synced) == (array("I"), 10)
    assert read.torn_bytes == len(bytes(data).rstrip(b"\0")) - HEADER_BYTES


def test_an_entry_opens_in_its_own_place_only() -> None:
    """Whoever can write to the disk can mend checksums, and still not move an entry, nor a segment's key."""
    key = LOG_KEYS.new(segment_name(3))
    cipher = PayloadCipher(key)
    sealed = cipher.seal(11, b"payload")
    assert b"payload" not in sealed
    assert cipher.unseal(11, sealed) == b"payload"
    assert cipher.unseal(12, sealed) is None
    assert PayloadCipher(LOG_KEYS.new(segment_name(3))).unseal(11, sealed) is None
    assert PayloadCipher(key._replace(context=b"elsewhere")).unseal(11, sealed) is None
    with pytest.raises(Corrupt):
        LOG_KEYS.open(segment_name(4), key.slot)


def test_reading_payloads_verifies_them_again() -> None:
    files = files_with_directory()
    writer = write(files, [], [b"first", b"second"])
    seen = writer.snapshot()
    data = bytearray(files.read(writer.path, site="test"))
    data[seen.end - 1] ^= 1
    files.put(writer.path, bytes(data))
    found = read_payloads(files, LOG_KEYS, seen)
    assert next(found) == (11, b"first")
    with pytest.raises(Corrupt, match=r"Segment 000000000003.log of the log is damaged at offset 177: entry 12"):
        next(found)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "does not begin with a segment header"),
        (b"\0" * 500, "does not begin with a segment header"),
        (header(3).encode()[:-1], "does not begin with a segment header"),
        (header(3).encode()[:-1] + b"?", "fails its checksum"),
        (header(4).encode(), "has the header of segment 4"),
    ],
)
def test_a_bad_header_is_damage(data: bytes, message: str) -> None:
    files = files_with_directory()
    files.put(DIRECTORY / segment_name(3), data)
    with pytest.raises(Corrupt, match=message):
        inspect_segment(files, DIRECTORY / segment_name(3))


def test_a_newer_format_version_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(segment, "FORMAT_VERSION", 3)
        newer = header(3).encode()
    with pytest.raises(NewerFormat, match=r"Segment 000000000003.log of the log has format version 3; 2 is known"):
        SegmentHeader.decode(newer, segment_name(3))
