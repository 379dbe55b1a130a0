"""The codec of one entry of the log: a payload with its place in the order and a checksum over both.

`wal/segment` calls it; nothing else knows how an entry looks. It opens no file and knows nothing of payloads, which are
sealed when they come here (`wal/cipher`): torn and damaged entries are told apart without a key. Each segment has a
codec of its own, seeded with the segment's salt: an entry that was copied in from elsewhere does not pass.

    offset  bytes  field (integers are unsigned, little-endian)
    ------  -----  --------------------------------------------------------------
         0      4  magic "HWEN"
         4      2  format version, 2
         6      4  payload length, as sealed
        10      8  sequence number
        18      8  sequence known to be synced when this entry was written
        26      4  CRC-32 of the payload
        30      4  CRC-32 of the salt and bytes 0-29
        34      n  payload, sealed

Described in docs/format/log.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from zlib import crc32

from headwater.errors import NewerFormat

ENTRY_MAGIC = b"HWEN"
FORMAT_VERSION = 2

_FIELDS = Struct("<4sHIQQI")
_CHECKSUM = Struct("<I")

ENTRY_HEADER_BYTES = _FIELDS.size + _CHECKSUM.size
PAYLOAD_MAX_BYTES = 2**32 - 1 - ENTRY_HEADER_BYTES


@dataclass(frozen=True, slots=True)
class EntryHeader:
    """What stands before a payload. `synced` is the highest sequence that was durable when this was written."""

    payload_bytes: int
    sequence: int
    synced: int
    payload_checksum: int

    @property
    def entry_bytes(self) -> int:
        return ENTRY_HEADER_BYTES + self.payload_bytes


class EntryCodec:
    """Entries of one segment to bytes and back."""

    def __init__(self, salt: bytes) -> None:
        self._seed = crc32(salt)

    def encode(self, sequence: int, synced: int, payload: bytes) -> bytes:
        assert len(payload) <= PAYLOAD_MAX_BYTES
        fields = _FIELDS.pack(ENTRY_MAGIC, FORMAT_VERSION, len(payload), sequence, synced, crc32(payload))
        return b"".join((fields, _CHECKSUM.pack(crc32(fields, self._seed)), payload))

    def header(self, data: bytes, offset: int) -> EntryHeader | None:
        """The header at `offset`, or None when none stands there whole.

        Raises NewerFormat when its checksum holds and its format version is one we do not know.
        """
        fields = data[offset : offset + _FIELDS.size]
        checksum = data[offset + _FIELDS.size : offset + ENTRY_HEADER_BYTES]
        if len(checksum) < _CHECKSUM.size or _CHECKSUM.unpack(checksum)[0] != crc32(fields, self._seed):
            return None
        magic, version, payload_bytes, sequence, synced, payload_checksum = _FIELDS.unpack(fields)
        if magic != ENTRY_MAGIC:
            return None
        if version > FORMAT_VERSION:
            raise NewerFormat(f"Entry {sequence} of the log has format version {version}; {FORMAT_VERSION} is known.")
        return EntryHeader(payload_bytes, sequence, synced, payload_checksum)

    def payload(self, data: bytes, offset: int, header: EntryHeader) -> bytes | None:
        """The payload of the entry at `offset`, or None when it is not the one its header speaks of."""
        start = offset + ENTRY_HEADER_BYTES
        payload = data[start : start + header.payload_bytes]
        if len(payload) < header.payload_bytes or crc32(payload) != header.payload_checksum:
            return None
        return payload
