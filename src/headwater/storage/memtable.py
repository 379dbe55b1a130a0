"""The memtable of one table: its records that are in no block yet.

Written by the commit thread, frozen by a flush, read by queries. Chunks gather in tiers of sixteen, so a scan
meets few of them and appending stays cheap. A frozen generation is left alone until its blocks are live.
"""

from __future__ import annotations

from collections.abc import Sequence

from headwater.storage.chunk import Chunk, merged

FAN_OUT = 16
"""So many chunks of one size class become one of the next."""

_SMALL_ROWS = 256
_LARGEST_CLASS = 4


class Memtable:
    """Chunks of published rows: the active ones, and those of a generation being flushed.

    Both tuples are replaced, never changed; the caller (TableStore) holds its lock while it calls.
    `first_sequence` and `last_sequence` bound the log entries that hold the active rows; both 0 when empty.
    """

    def __init__(self) -> None:
        self.active: tuple[Chunk, ...] = ()
        self.frozen: tuple[Chunk, ...] = ()
        self.first_sequence = 0
        self.frozen_first_sequence = 0
        self.last_sequence = 0
        self.oldest_arrival_s = 0.0

    @property
    def chunks(self) -> tuple[Chunk, ...]:
        """All published chunks, oldest first."""
        return self.frozen + self.active

    @property
    def bytes(self) -> int:
        return sum(c.bytes for c in self.frozen) + sum(c.bytes for c in self.active)

    @property
    def rows(self) -> int:
        return sum(map(len, self.frozen)) + sum(map(len, self.active))

    @property
    def unflushed_from(self) -> int:
        """The first sequence that is needed for a replay, 0 when all is in blocks."""
        return self.frozen_first_sequence or self.first_sequence

    def publish(self, chunks: Sequence[Chunk], sequences: tuple[int, int], now_s: float) -> None:
        """Make rows visible that the log holds durably in the entries from the first to the last of `sequences`.

        Without rows nothing of it is needed here.
        """
        if not chunks:
            return
        if not self.active:
            self.first_sequence, self.oldest_arrival_s = sequences[0], now_s
        self.last_sequence = sequences[1]
        self.active = tuple(_gathered([*self.active, *chunks]))

    def freeze(self) -> tuple[Chunk, ...]:
        """Set the active rows apart for a flush."""
        assert not self.frozen, "one generation is flushed at a time"
        self.frozen, self.active = self.active, ()
        self.frozen_first_sequence, self.first_sequence = self.first_sequence, 0
        return self.frozen

    def thaw(self) -> None:
        """A flush failed: its rows are active again."""
        self.active, self.frozen = self.frozen + self.active, ()
        self.first_sequence, self.frozen_first_sequence = self.frozen_first_sequence or self.first_sequence, 0

    def forget_frozen(self) -> None:
        """The frozen rows are in live blocks now."""
        self.frozen, self.frozen_first_sequence = (), 0


def _size_class(chunk: Chunk) -> int:
    rows, size_class = len(chunk), 0
    while rows > _SMALL_ROWS and size_class < _LARGEST_CLASS:
        rows //= FAN_OUT
        size_class += 1
    return size_class


def _gathered(chunks: list[Chunk]) -> list[Chunk]:
    """Merge the newest chunks wherever sixteen of one size class have gathered; order of arrival is kept."""
    while chunks and (size_class := _size_class(chunks[-1])) < _LARGEST_CLASS:
        run = peers = 0
        for chunk in reversed(chunks):
            of_chunk = _size_class(chunk)
            if of_chunk > size_class:
                break
            run += 1
            peers += of_chunk == size_class
        if peers < FAN_OUT:
            break
        one = merged(chunks[-run:])
        chunks[-run:] = [one] if one else []
    return chunks
