"""The codec of one entry: what goes in comes out, and nothing else does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import NewerFormat
from headwater.wal import entry
from headwater.wal.entry import ENTRY_HEADER_BYTES, EntryCodec

SEQUENCES = st.integers(0, 2**64 - 1)


@given(SEQUENCES, SEQUENCES, st.binary(max_size=2_000), st.binary(max_size=50), st.binary(max_size=50))
def test_decode_of_encode_is_the_same_wherever_it_stands(
    sequence: int, synced: int, payload: bytes, before: bytes, behind: bytes
) -> None:
    codec = EntryCodec(b"saltsalt")
    data = before + codec.encode(sequence, synced, payload) + behind
    header = codec.header(data, len(before))
    assert header is not None
    assert (header.sequence, header.synced, header.payload_bytes) == (sequence, synced, len(payload))
    assert header.entry_bytes == len(data) - len(before) - len(behind) == ENTRY_HEADER_BYTES + len(payload)
    assert codec.payload(data, len(before), header) == payload


def test_the_bytes_of_an_entry_are_those_of_the_format_page() -> None:
    assert EntryCodec(b"saltsalt").encode(7, 6, b"hello").hex() == (
        "4857454e0200050000000700000000000000060000000000000086a61036ba1d0e4f68656c6c6f"
    )


@pytest.mark.parametrize("bit", range(8 * ENTRY_HEADER_BYTES))
def test_no_flipped_bit_of_a_header_passes(bit: int) -> None:
    codec = EntryCodec(b"saltsalt")
    data = bytearray(codec.encode(7, 6, b"payload"))
    data[bit // 8] ^= 1 << bit % 8
    assert codec.header(bytes(data), 0) is None


def test_no_flipped_bit_of_a_payload_passes() -> None:
    codec = EntryCodec(b"saltsalt")
    whole = codec.encode(7, 6, b"payload")
    for bit in range(8 * ENTRY_HEADER_BYTES, 8 * len(whole)):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        header = codec.header(bytes(data), 0)
        assert header is not None
        assert codec.payload(bytes(data), 0, header) is None


def test_a_cut_entry_is_none() -> None:
    codec = EntryCodec(b"saltsalt")
    whole = codec.encode(7, 6, b"payload")
    for length in range(len(whole)):
        header = codec.header(whole[:length], 0)
        assert header is None or codec.payload(whole[:length], 0, header) is None


def test_an_entry_of_another_segment_is_none() -> None:
    assert EntryCodec(b"another.").header(EntryCodec(b"saltsalt").encode(7, 6, b"payload"), 0) is None


def test_a_newer_format_version_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(entry, "FORMAT_VERSION", 3)
        newer = EntryCodec(b"saltsalt").encode(7, 6, b"payload")
    with pytest.raises(NewerFormat, match="Entry 7 of the log has format version 3; 2 is known"):
        EntryCodec(b"saltsalt").header(newer, 0)
