"""Encryption at rest: the sealed file, written as a stream and read at any place, and small sealed values.

Blocks are sealed files; `wal` and `catalog` seal values. Where keys come from, and what wraps them, is not known here:
a data key is handed in, with the slot that its file carries for the keeper of keys and the context that binds all of it
to its place. Bytes in, bytes out. Source: reliability.md 6 "Encryption at rest"; drawn in docs/format/sealed.md.

    offset  bytes  field (integers are unsigned, little-endian)
    ------  -----  --------------------------------------------------------------
         0      8  magic "HWSEALED"
         8      2  format version, 1
        10     76  key slot: id of the wrapping key (16), the data key wrapped by it (60)
        86      4  CRC-32 of bytes 0-85
        90         chunks: 65,536 bytes of ciphertext (the last chunk: 0 to 65,536), then its tag (16)

A chunk is AES-256-GCM. The nonce is its number; the associated data are the format, the context, the number, and
whether it is the last: so chunks cannot be changed, moved, swapped, left out or cut off without being noticed.
"""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from struct import Struct
from typing import NamedTuple, Protocol, TypeVar
from zlib import crc32

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from headwater.errors import Corrupt, NewerFormat
from headwater.files import Source

FORMAT_VERSION = 1
KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
KEY_ID_BYTES = 16
SLOT_BYTES = KEY_ID_BYTES + NONCE_BYTES + KEY_BYTES + TAG_BYTES
CHUNK_BYTES = 64 * 1024

T = TypeVar("T")

_MAGIC = b"HWSEALED"
_HEADER = Struct(f"<8sH{SLOT_BYTES}s")
_CHECKSUM = Struct("<I")
_POSITION = Struct("<Q?")
_BATCHED_CHUNKS = 16
_SEALED_CHUNK_BYTES = CHUNK_BYTES + TAG_BYTES

HEADER_BYTES = _HEADER.size + _CHECKSUM.size

Randomness = Callable[[int], bytes]
"""Gives that many random bytes: `secrets.token_bytes`, or a seeded source in tests."""


class DataKey(NamedTuple):
    """The key of one file. `slot` is kept in the file in clear, for the keeper; `context` says whose place it is.

    A key belongs to one file and a chunk's number is its nonce: no nonce is used twice. Prints no secret.
    """

    key: bytes
    slot: bytes
    context: bytes

    def __repr__(self) -> str:
        return f"DataKey(slot={self.slot.hex()}, context={self.context!r})"


class DataKeys(Protocol):
    """The keeper of data keys: wraps each under a key of its own. `place` names a file, for ever the same one."""

    def new(self, place: str) -> DataKey:
        """A fresh key for the file at `place`. Raises KeyUnusable, Unavailable."""
        ...

    def open(self, place: str, slot: bytes) -> DataKey:
        """The key that was made for `place`, from the slot its file has.

        Raises Corrupt if the slot is not one that was made for that place, KeyUnusable, Unavailable.
        """
        ...

    def check(self, place: str) -> None:
        """Raises KeyUnusable or Unavailable if nothing of that place may be read or written now. No I/O."""
        ...


@dataclass(frozen=True, slots=True)
class SealingKey:
    """Encrypts and authenticates small values; what a value is for is part of it, so that none can be moved.

    Nonces are random: one key seals far fewer values than where two could meet.
    """

    key: bytes = field(repr=False)

    def seal(self, value: bytes, purpose: str, randomness: Randomness) -> bytes:
        """Nonce and AES-256-GCM ciphertext of `value`."""
        nonce = randomness(NONCE_BYTES)
        return nonce + AESGCM(self.key).encrypt(nonce, value, purpose.encode())

    def unseal(self, data: bytes, purpose: str) -> bytes:
        """Raises InvalidTag if `data` was not sealed by this key for this purpose."""
        return AESGCM(self.key).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], purpose.encode())


class SealingFile(io.RawIOBase):
    """A file open for writing that seals what is written and hands it on in order. Memory stays flat.

    `finish` writes the last chunk; without it the file cannot be read. `close` alone does not.
    """

    def __init__(self, write: Callable[[bytes], None], key: DataKey) -> None:
        """`write` takes the bytes of the sealed file, piece after piece."""
        assert len(key.slot) == SLOT_BYTES
        super().__init__()
        self._write = write
        self._cipher = AESGCM(key.key)
        self._bound = _bound(key.context)
        self._waiting = bytearray()
        self._chunks = 0
        fields = _HEADER.pack(_MAGIC, FORMAT_VERSION, key.slot)
        self._header = fields + _CHECKSUM.pack(crc32(fields))

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._waiting += data
        # One byte is kept back: only `finish` knows which chunk is the last.
        whole = (len(self._waiting) - 1) // CHUNK_BYTES
        if whole >= _BATCHED_CHUNKS:
            self._hand_on(self._sealed(whole))
        return len(data)

    def tell(self) -> int:
        return self._chunks * CHUNK_BYTES + len(self._waiting)

    def finish(self) -> None:
        """Hand on all that waits, the last chunk marked as such."""
        whole = self._sealed(max(0, len(self._waiting) - 1) // CHUNK_BYTES)
        self._hand_on(whole + self._sealed_chunk(self._waiting, is_last=True))

    def _hand_on(self, sealed: bytes) -> None:
        self._write(self._header + sealed)
        self._header = b""

    def _sealed(self, count: int) -> bytes:
        """The next chunks, none of which is the last."""
        chunks = []
        with memoryview(self._waiting) as waiting:
            for start in range(0, count * CHUNK_BYTES, CHUNK_BYTES):
                with waiting[start : start + CHUNK_BYTES] as chunk:
                    chunks.append(self._sealed_chunk(chunk, is_last=False))
        del self._waiting[: count * CHUNK_BYTES]
        return b"".join(chunks)

    def _sealed_chunk(self, chunk: bytearray | memoryview, *, is_last: bool) -> bytes:
        number = self._chunks
        self._chunks += 1
        return self._cipher.encrypt(_nonce(number), chunk, self._bound + _POSITION.pack(number, is_last))


class ChunkCache:
    """Decrypted chunks of all readers that share it, the latest used ones, up to `max_bytes` of them together."""

    def __init__(self, max_bytes: int) -> None:
        self._max_chunks = max_bytes // CHUNK_BYTES
        self._chunks: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, place: str, number: int) -> bytes | None:
        key = place, number
        with self._lock:
            chunk = self._chunks.get(key)
            if chunk is not None:
                self._chunks.move_to_end(key)
            return chunk

    def put(self, place: str, number: int, chunk: bytes) -> None:
        with self._lock:
            self._chunks[place, number] = chunk
            while len(self._chunks) > self._max_chunks:
                self._chunks.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Vault:
    """What it takes to write and read sealed files: the keeper of their keys, and what of them was read last."""

    keys: DataKeys
    cache: ChunkCache


class SealedSource(Source):
    """The plain bytes of a sealed file, at any place, for any number of threads. Verified before they are given."""

    def __init__(self, sealed: Source, place: str, vault: Vault) -> None:
        """`sealed` are the file's bytes; it is closed with this. The last chunk is read and verified here.

        Raises Corrupt if it is no sealed file or not the one of this place, NewerFormat, KeyUnusable, OSError.
        """
        self._sealed = sealed
        self._place = place
        self._cache = vault.cache
        key = vault.keys.open(
            place, self._twice(lambda: slot_of(sealed.read_at(0, HEADER_BYTES), place), 0, HEADER_BYTES)
        )
        self._cipher = AESGCM(key.key)
        self._bound = _bound(key.context)
        body_bytes = sealed.size_bytes - HEADER_BYTES
        self._chunks = -(-body_bytes // _SEALED_CHUNK_BYTES)
        self._size_bytes = body_bytes - self._chunks * TAG_BYTES
        if self._chunks == 0 or self._size_bytes < (self._chunks - 1) * CHUNK_BYTES:
            raise Corrupt(f"{place}: the file is cut off")
        self._chunk(self._chunks - 1)

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def read_at(self, offset: int, length: int) -> bytes:
        """As `read_into`."""
        buffer = bytearray(max(0, min(length, self._size_bytes - offset)))
        self.read_into(offset, memoryview(buffer))
        return bytes(buffer)

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """Raises Corrupt where the file is not what was written, OSError.

        Chunks of which only a part is asked for are kept in the cache, since the rest of them is often asked for next;
        to keep the others too would cost more than to decrypt them again.
        """
        end = min(offset + len(buffer), self._size_bytes)
        at = offset
        while at < end:
            number, start = divmod(at, CHUNK_BYTES)
            whole = self._whole_chunks(at, end)
            if whole:
                stop = min(at + whole * CHUNK_BYTES, end)
                self._read_whole(number, whole, buffer[at - offset : stop - offset])
            else:
                stop = min((number + 1) * CHUNK_BYTES, end)
                buffer[at - offset : stop - offset] = self._chunk(number)[start : start + stop - at]
            at = stop
        return max(0, end - offset)

    def close(self) -> None:
        self._sealed.close()

    def _whole_chunks(self, at: int, end: int) -> int:
        """How many chunks, from `at` on and up to so many at once, are asked for with all their bytes."""
        if at % CHUNK_BYTES:
            return 0
        count = (end - at) // CHUNK_BYTES
        has_last = end == self._size_bytes and end % CHUNK_BYTES != 0
        return min(count + has_last, _BATCHED_CHUNKS)

    def _read_whole(self, first: int, count: int, target: memoryview) -> None:
        """Decrypt consecutive chunks straight into their place."""
        start, length = HEADER_BYTES + first * _SEALED_CHUNK_BYTES, len(target) + count * TAG_BYTES

        def read() -> None:
            sealed = _scratch()[:length]
            read_bytes = self._sealed.read_into(start, sealed)
            for i in range(count):
                chunk = sealed[i * _SEALED_CHUNK_BYTES : min(read_bytes, (i + 1) * _SEALED_CHUNK_BYTES)]
                self._open(first + i, chunk, target[i * CHUNK_BYTES : (i + 1) * CHUNK_BYTES])

        self._twice(read, start, length)

    def _twice(self, read: Callable[[], T], start: int, length: int) -> T:
        """The answer of `read`, asked once more where damage may be that of a copy."""
        try:
            return read()
        except Corrupt:
            if not self._sealed.renew(start, length):
                raise
            return read()

    def _chunk(self, number: int) -> bytes:
        """One chunk, from the cache if it is there."""
        chunk = self._cache.get(self._place, number)
        if chunk is None:
            buffer = bytearray(min(CHUNK_BYTES, self._size_bytes - number * CHUNK_BYTES))
            self._read_whole(number, 1, memoryview(buffer))
            chunk = bytes(buffer)
            self._cache.put(self._place, number, chunk)
        return chunk

    def _open(self, number: int, sealed: memoryview, target: memoryview) -> None:
        position = _POSITION.pack(number, number == self._chunks - 1)
        try:
            self._cipher.decrypt_into(_nonce(number), sealed, self._bound + position, target)
        except (InvalidTag, ValueError) as error:
            raise Corrupt(f"{self._place}: the chunk at {number * CHUNK_BYTES} is not what was written") from error


def slot_of(header: bytes, place: str) -> bytes:
    """The key slot in the first bytes of a sealed file. Raises NewerFormat, judging by magic and version, Corrupt."""
    if len(header) < HEADER_BYTES or not header.startswith(_MAGIC):
        raise Corrupt(f"{place}: not a sealed file")
    fields = header[: _HEADER.size]
    _, version, slot = _HEADER.unpack(fields)
    if version > FORMAT_VERSION:
        raise NewerFormat(f"{place} is sealed in format version {version}; {FORMAT_VERSION} is known.")
    if _CHECKSUM.unpack_from(header, _HEADER.size)[0] != crc32(fields) or version != FORMAT_VERSION:
        raise Corrupt(f"{place}: the header fails its checksum")
    return bytes(slot)


_buffers = threading.local()


def _scratch() -> memoryview:
    """Room for the sealed chunks of one read: this thread's, and the same at each call."""
    if not hasattr(_buffers, "sealed"):
        _buffers.sealed = memoryview(bytearray(_BATCHED_CHUNKS * _SEALED_CHUNK_BYTES))
    room: memoryview = _buffers.sealed
    return room


def _nonce(number: int) -> bytes:
    return number.to_bytes(NONCE_BYTES, "little")


def _bound(context: bytes) -> bytes:
    """What the associated data of all chunks begins with."""
    return b"%b%d/%b/" % (_MAGIC, FORMAT_VERSION, context)
