"""The file of the next segment, filled with zeros ahead: for the 60 to 400 ms that takes, every write would wait.

`wal/log` has one. It has the name of a segment that was never finished, so a start removes what a stop has left.
"""

from __future__ import annotations

import threading
from pathlib import Path

from headwater.files import SYNC_BYTES, TEMPORARY_SUFFIX, Appender, Files, OpenFile
from headwater.wal.segment import SEGMENT_SUFFIX

_ZEROS = bytes(SYNC_BYTES)


class Spare:
    """At most one file. `make` and `discard` belong to one thread, `take` to one, which may be another."""

    def __init__(self, files: Files, directory: Path, size_bytes: int) -> None:
        self._files = files
        self._directory = directory
        self._size_bytes = size_bytes
        self._made: tuple[Path, OpenFile] | None = None
        self._tries = 0
        self._is_tried = False
        self._lock = threading.Lock()
        """Guards what is known of the file; never held while the disk works."""

    def make(self) -> None:
        """Make the file, unless it is there or was tried since the last `take`. Raises OSError."""
        with self._lock:
            if self._made is not None or self._is_tried:
                return
            self._is_tried = True
            self._tries += 1
        # No name twice: the last one may be taken and not renamed yet.
        path = self._directory / f"spare{self._tries}{SEGMENT_SUFFIX}{TEMPORARY_SUFFIX}"
        file = self._files.create(path, site="wal.spare.create")
        try:
            appender = Appender(file, "wal.spare.write")
            while appender.size_bytes < self._size_bytes:
                appender.append(_ZEROS[: self._size_bytes - appender.size_bytes])
            file.datasync(site="wal.spare.sync")
        except OSError:
            self._give_up(path, file)
            raise
        with self._lock:
            self._made = path, file

    def take(self, size_bytes: int) -> tuple[Path, OpenFile] | None:
        """The file, to be renamed, if there is one of at least this size."""
        with self._lock:
            self._is_tried = False
            if size_bytes > self._size_bytes:
                return None
            taken, self._made = self._made, None
        return taken

    def discard(self) -> None:
        """Remove the file if there is one. Raises OSError."""
        taken = self.take(self._size_bytes)
        if taken is not None:
            self._give_up(*taken)

    def _give_up(self, path: Path, file: OpenFile) -> None:
        file.close(site="wal.spare.close")
        self._files.remove(path, site="wal.spare.remove")
