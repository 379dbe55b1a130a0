"""The bytes of one object at any place: read from the bucket in ranges, or through the cache in whole segments.

`files.py` opens them. The bytes are those of a sealed file; who reads verifies them, and calls `renew` for what fails.
"""

from __future__ import annotations

from collections.abc import Callable

from headwater.bucket.cache import SEGMENT_BYTES, BlockCache
from headwater.files import Source

AHEAD_SEGMENTS = 4
"""Who reads on where the last request ended gets so many segments by one."""

Fetch = Callable[[int, int], bytes]
"""Start and length to bytes. Raises FileNotFoundError, Unavailable."""


class DirectSource(Source):
    """What lies in the bucket. Each read is a request."""

    def __init__(self, fetch: Fetch, size_bytes: int) -> None:
        self._fetch = fetch
        self._size_bytes = size_bytes

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def read_at(self, offset: int, length: int) -> bytes:
        length = min(length, self._size_bytes - offset)
        return self._fetch(offset, length) if length > 0 else b""

    def close(self) -> None:
        """There is nothing to give back."""


class CachedSource(Source):
    """Segments from the cache where it has them; those that it lacks side by side come by one request, and stay."""

    def __init__(self, fetch: Fetch, size_bytes: int, block: str, cache: BlockCache) -> None:
        self._fetch = fetch
        self._size_bytes = size_bytes
        self._block = block
        self._cache = cache
        self._fetched_to = -1
        """The segment after the last one that was fetched."""

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def read_at(self, offset: int, length: int) -> bytes:
        buffer = bytearray(max(0, min(length, self._size_bytes - offset)))
        return bytes(buffer[: self.read_into(offset, memoryview(buffer))])

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """Raises FileNotFoundError, Unavailable. Fewer bytes where the bucket gives fewer than it has said."""
        end = min(offset + len(buffer), self._size_bytes)
        at = offset
        while at < end:
            number, start = divmod(at, SEGMENT_BYTES)
            stop = min((number + 1) * SEGMENT_BYTES, end)
            if self._cache.read_into(self._block, number, start, buffer[at - offset : stop - offset]):
                at = stop
                continue
            data = self._missing(number, -(-end // SEGMENT_BYTES))[start : start + end - at]
            if not data:
                break
            buffer[at - offset : at - offset + len(data)] = data
            at += len(data)
        return max(0, at - offset)

    def renew(self, offset: int, length: int) -> bool:
        segments = range(offset // SEGMENT_BYTES, (offset + length - 1) // SEGMENT_BYTES + 1)
        return sum(self._cache.forget(self._block, number) for number in segments) > 0

    def close(self) -> None:
        """There is nothing to give back."""

    def _missing(self, first: int, stop: int) -> memoryview:
        """Segment `first` and those up to `stop` that follow it and are not kept either; they are from now on."""
        if first == self._fetched_to:
            stop = max(stop, first + AHEAD_SEGMENTS)
        stop = min(stop, -(-self._size_bytes // SEGMENT_BYTES))
        count = next((n for n in range(1, stop - first) if self._cache.has(self._block, first + n)), stop - first)
        start = first * SEGMENT_BYTES
        length = min(count * SEGMENT_BYTES, self._size_bytes - start)
        data = memoryview(self._fetch(start, length))
        if len(data) == length:
            for place in range(0, length, SEGMENT_BYTES):
                self._cache.put(self._block, first + place // SEGMENT_BYTES, data[place : place + SEGMENT_BYTES])
        self._fetched_to = first + count
        return data
