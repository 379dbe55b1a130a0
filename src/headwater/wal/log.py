"""The write-ahead log: what was acknowledged and is not in a block yet, in order, on stable storage.

`storage/store` appends to it, replays it at start and moves its checkpoint; nothing else does. It orders and keeps
payloads and never looks into one. Two things on disk are told apart at start: a torn tail, the normal end of a crash,
which is dropped; and damage, which is refused and left as it is. Source: reliability.md 2 and 3.

An entry that a restarted process reads may be in the page cache only, left by a sync that failed. So everything since
the last sealed segment is written into a new segment and synced before the log takes the next append.
"""

from __future__ import annotations

import os
import threading
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import structlog

from headwater.config import WalSettings
from headwater.errors import Corrupt, LogFailed
from headwater.files import TEMPORARY_SUFFIX, Files
from headwater.sealing import DataKeys
from headwater.wal.mark import check_range, write_mark
from headwater.wal.segment import (
    SALT_BYTES,
    SEGMENT_SUFFIX,
    Segment,
    SegmentHeader,
    SegmentWriter,
    damage,
    inspect_segment,
    read_payloads,
    segment_name,
    segment_number,
)
from headwater.wal.spare import Spare

_logger = structlog.get_logger(__name__)

PREPARED_AT = 0.25
"""So full is a segment when the next one is made: a server that takes few records does without."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """What `open` found. `rewritten_entries` were read behind the last sealed segment and synced anew.

    `torn_bytes` were dropped: the part of the last batch that a crash left, which nobody was told is durable.
    """

    was_clean: bool
    rewritten_entries: int
    torn_bytes: int


class Log:
    """All segments of one directory. `append` and `close` belong to one thread, `checkpoint` and `prepare` to one each,
    which may be another; the properties and `replay` to any.
    """

    def __init__(
        self,
        files: Files,
        directory: Path,
        settings: WalSettings,
        keys: DataKeys,
        random_bytes: Callable[[int], bytes],
        sealed: list[Segment],
        active: SegmentWriter,
        recovery: Recovery,
    ) -> None:
        self.recovery = recovery
        self._files = files
        self._directory = directory
        self._settings = settings
        self._keys = keys
        self._random_bytes = random_bytes
        self._sealed = deque(sealed)
        self._active = active
        self._spare = Spare(files, directory, settings.segment_bytes)
        self._failure: LogFailed | None = None
        self._lock = threading.Lock()
        """Guards the segments and sizes in memory; never held while the disk works."""
        entry_bytes = array("I")
        for segment in (*sealed, active.snapshot()):
            entry_bytes.extend(segment.entry_bytes)
        self._entry_bytes = entry_bytes
        self._size_bytes = sum(entry_bytes)
        self._checkpoint = active.last_sequence - len(entry_bytes)

    @classmethod
    def open(
        cls,
        files: Files,
        directory: Path,
        settings: WalSettings,
        keys: DataKeys,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> Log:
        """Verify every entry, make durable what a crash left, and be ready for appends. `keys` seal the segments.

        Raises Corrupt for damage and NewerFormat for a newer release's file, both before anything is changed on
        disk; LogFailed when the disk fails.
        """
        try:
            files.make_directory(directory, site="wal.open.directory")
            names = files.list(directory, site="wal.open.list")
            segments = _read_segments(files, directory, names)
            live = without_superseded(segments)
            _check(live)
            first, last = (live[0].header.first_sequence, live[-1].last_sequence) if live else (1, 0)
            check_range(files, directory, first, last)
            sealed, tail = _split_tail(live)
            payloads = [payload for segment in tail for _, payload in read_payloads(files, keys, segment)]
            number = 1 + max((segment.header.number for segment in segments), default=0)
            key = keys.new(segment_name(number))
            header = SegmentHeader(number, last + 1 - len(payloads), last, random_bytes(SALT_BYTES), key.slot)
            # Nothing has been changed up to here.
            _remove(files, directory, [name for name in names if name.endswith(SEGMENT_SUFFIX + TEMPORARY_SUFFIX)])
            active = SegmentWriter.create(files, directory, header, key, settings.segment_bytes, payloads)
            kept = {segment.path for segment in sealed}
            _remove(files, directory, [segment.path.name for segment in segments if segment.path not in kept])
        except OSError as error:
            raise LogFailed(f"The log in {directory} cannot be opened: {error}") from error
        recovery = _report(live, tail)
        return cls(files, directory, settings, keys, random_bytes, sealed, active, recovery)

    @property
    def last_sequence(self) -> int:
        """Of the newest durable entry; 0 in a log that never had one."""
        return self._active.last_sequence

    @property
    def first_sequence(self) -> int:
        """Of the oldest entry still kept. The log cannot tell whether older ones were covered by a checkpoint or
        lost with their segment: the caller, who knows the checkpoint, can.
        """
        with self._lock:
            oldest = self._sealed[0] if self._sealed else self._active
            return oldest.header.first_sequence

    @property
    def size_bytes(self) -> int:
        """Bytes of the entries above the checkpoint, of all kept ones before the first `checkpoint`."""
        return self._size_bytes

    def append(self, payload: bytes) -> int:
        """Write one entry; return its sequence number when it is durable.

        Raises LogFailed when the disk fails or takes fewer bytes than given, and from then on always: the entry may
        or may not be there after a restart.
        """
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        try:
            if not self._active.has_room(len(payload)):
                self._roll(len(payload))
            entry_bytes = self._active.append(payload)
        except OSError as error:
            raise self._fail("take an entry", error) from error
        with self._lock:
            self._entry_bytes.append(entry_bytes)
            self._size_bytes += entry_bytes
        return self._active.last_sequence

    def replay(self, after: int) -> Iterator[tuple[int, bytes]]:
        """Yield sequence and payload of each entry above `after`, in order, without gaps, up to the last one that is
        durable when the first is asked for.

        Raises Corrupt when the log ends before `after`, so that it cannot be the log of that checkpoint, or when a
        file has changed since it was verified; LogFailed when one cannot be read.
        """
        with self._lock:
            segments = [*self._sealed, self._active.snapshot()]
        if after > segments[-1].last_sequence:
            raise Corrupt(f"The log ends at entry {segments[-1].last_sequence}, before the checkpoint {after}.")
        try:
            for segment in segments:
                if segment.last_sequence > after:
                    entries = read_payloads(self._files, self._keys, segment)
                    yield from (entry for entry in entries if entry[0] > after)
        except OSError as error:
            raise LogFailed(f"The log in {self._directory} cannot be read: {error}") from error

    def checkpoint(self, sequence: int) -> None:
        """Entries up to `sequence` are not needed any more: delete the segments that have no other.

        The oldest goes first, and durably, before the next: what is left after a crash has no gap. The segment that
        takes appends stays, and with it the count of sequences. Raises LogFailed when the disk fails.
        """
        assert sequence <= self.last_sequence
        with self._lock:
            covered = self._entry_bytes[: max(0, sequence - self._checkpoint)]
            del self._entry_bytes[: len(covered)]
            self._size_bytes -= sum(covered)
            self._checkpoint += len(covered)
        if not self._sealed or self._sealed[0].last_sequence > self._checkpoint:
            return
        try:
            write_mark(self._files, self._directory, self._checkpoint)
        except OSError as error:
            # The segments stay until the next checkpoint: a full disk is no reason to fail.
            _logger.warning("log not cut", directory=str(self._directory), error=str(error))
            return
        try:
            while self._sealed and self._sealed[0].last_sequence <= self._checkpoint:
                _remove(self._files, self._directory, [self._sealed[0].path.name])
                with self._lock:
                    self._sealed.popleft()
        except OSError as error:
            raise self._fail("remove a segment", error) from error

    def prepare(self) -> None:
        """Make the next segment's file while the one in use is filled; to be called several times a second.

        What goes wrong is only logged: `append` makes the file then, when it needs it.
        """
        if self._failure is not None or self._active.used_bytes < self._settings.segment_bytes * PREPARED_AT:
            return
        try:
            self._spare.make()
        except OSError as error:
            _logger.warning("log segment not made ahead", directory=str(self._directory), error=str(error))

    def close(self) -> None:
        """Seal the last segment, which is the mark of a clean stop. A failed log is left as it is.

        `prepare` must have ended. Raises LogFailed when the disk fails; nothing acknowledged is lost by that.
        """
        try:
            if self._failure is None:
                self._spare.discard()
                self._active.seal()
            self._active.close()
        except OSError as error:
            raise self._fail("be sealed", error) from error
        self._failure = LogFailed("The log is closed.")

    def _roll(self, payload_bytes: int) -> None:
        """Seal the active segment and go on in a new one that has room for the payload."""
        full, active = self._active.seal(), self._active
        number = active.header.number + 1
        key = self._keys.new(segment_name(number))
        header = SegmentHeader(
            number=number,
            first_sequence=full.next_sequence,
            synced=full.last_sequence,
            salt=self._random_bytes(SALT_BYTES),
            slot=key.slot,
        )
        size_bytes, made_ahead = self._settings.segment_bytes, self._spare.take
        fresh = SegmentWriter.create(
            self._files, self._directory, header, key, size_bytes, room_bytes=payload_bytes, made_ahead=made_ahead
        )
        with self._lock:
            self._sealed.append(full)
            self._active = fresh
        active.close()

    def _fail(self, what: str, error: OSError) -> LogFailed:
        """After a failed sync the kernel may call pages clean that it has dropped: no second try can be believed."""
        self._failure = LogFailed(f"The log in {self._directory} could not {what}: {error}")
        _logger.error("log failed", directory=str(self._directory), error=str(error))
        return self._failure


def _read_segments(files: Files, directory: Path, names: list[str]) -> list[Segment]:
    """All segment files, by number. Files of other names are not ours: damaged ones set aside, for example."""
    return [inspect_segment(files, directory / name) for name in names if segment_number(name) is not None]


def without_superseded(segments: list[Segment]) -> list[Segment]:
    """Leave out segments that begin at or after the beginning of a later one: an earlier start has rewritten their
    entries there and stopped before it had removed them.
    """
    live: list[Segment] = []
    for segment in reversed(segments):
        if not live or segment.header.first_sequence < live[-1].header.first_sequence:
            live.append(segment)
    return live[::-1]


def _check(live: list[Segment]) -> None:
    """Raise Corrupt if an entry is missing that was durable once.

    Each segment must reach to the beginning of the next. A lost footer alone is no damage: an earlier start may have
    read it from the page cache only. Behind the last segment's good entries there may be a torn tail, unless the file
    itself proves that the entry after them had been synced.
    """
    for segment, following in pairwise(live):
        if segment.next_sequence != following.header.first_sequence:
            raise damage(segment.path, segment.end, segment.next_sequence)
    if live and live[-1].synced >= live[-1].next_sequence:
        raise damage(live[-1].path, live[-1].end, live[-1].next_sequence)


def _split_tail(live: list[Segment]) -> tuple[list[Segment], list[Segment]]:
    """Segments up to the last sealed one, and those after it."""
    sealed_count = max((index + 1 for index, segment in enumerate(live) if segment.is_sealed), default=0)
    return live[:sealed_count], live[sealed_count:]


def _report(live: list[Segment], tail: list[Segment]) -> Recovery:
    """What the files said of the last stop; a torn tail is logged."""
    last = live[-1] if live else None
    if last and last.torn_bytes:
        _logger.warning(
            "torn tail dropped",
            segment=last.path.name,
            offset=last.end,
            after=last.last_sequence,
            bytes=last.torn_bytes,
        )
    return Recovery(not tail, sum(len(segment.entry_bytes) for segment in tail), last.torn_bytes if last else 0)


def _remove(files: Files, directory: Path, names: list[str]) -> None:
    """Remove files, and make that durable."""
    for name in names:
        files.remove(directory / name, site="wal.remove")
    if names:
        files.sync_directory(directory, site="wal.remove.sync")
