"""Room on the disk: below a low mark writes are refused, before the log is touched; above it they resume by themselves.

`store.py` asks `check` before each write and lets `keep` run once a second. What makes room goes on below the mark, and
so that it can, also on a disk that others have filled to the end, a reserve file is kept and given up then.
Source: reliability.md 2.7.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import structlog

from headwater.errors import Unavailable
from headwater.files import Files
from headwater.model.time import Clock

_log = structlog.get_logger("storage")

RESERVE_FILE = "reserve"
RESERVE_BYTES = 32 * 1024 * 1024

_CHECK_INTERVAL_S = 0.05
_RESUME_PERCENT = 1


@dataclass(frozen=True, slots=True)
class Marks:
    """Free bytes: writes stop below `low_bytes` and resume at `resume_bytes`."""

    low_bytes: int
    resume_bytes: int

    @classmethod
    def of(cls, device_bytes: int, low_percent: int, low_bytes: int) -> Marks:
        """For a device of this size: the larger of the two limits, and one percent of the device more."""
        low = max(device_bytes * low_percent // 100, low_bytes)
        return cls(low, low + device_bytes * _RESUME_PERCENT // 100)

    def is_low(self, free_bytes: int, was_low: bool) -> bool:
        return free_bytes < (self.resume_bytes if was_low else self.low_bytes)


class Space:
    """Watches the device of the data folder. Any thread may call."""

    def __init__(self, files: Files, folder: Path, clock: Clock, low_percent: int, low_bytes: int) -> None:
        self._files = files
        self._folder = folder
        self._clock = clock
        self._limits = low_percent, low_bytes
        self._lock = threading.Lock()
        self._checked_s: float | None = None
        self.is_low = False
        self.free_bytes = 0
        self.mark_bytes = 0
        """All as of the last look; below the mark the disk is low."""

    def check(self) -> None:
        """Raises Unavailable while the disk is low. Looks again when the last look is 50 ms old."""
        with self._lock:
            now_s = self._clock.monotonic_s()
            if self._checked_s is None or now_s - self._checked_s >= _CHECK_INTERVAL_S:
                self._checked_s = now_s
                try:
                    self._look()
                except OSError as error:
                    raise Unavailable(f"the disk of {self._folder} does not tell its space: {error}") from error
        if self.is_low:
            raise Unavailable(f"the disk of {self._folder} is nearly full: no writes until there is room")

    def keep(self) -> None:
        """Give up the reserve file on a full disk; make it while there is room. Never raises for the disk's sake."""
        path = self._folder / RESERVE_FILE
        try:
            with self._lock:
                free_bytes = self._look()
            is_there = self._files.exists(path, site="space.exists")
            if is_there and free_bytes < RESERVE_BYTES:
                self._files.remove(path, site="space.remove")
                _log.warning("reserve file given up", free_bytes=free_bytes)
            elif not is_there and not self.is_low:
                file = self._files.create(path, size_bytes=RESERVE_BYTES, site="space.create")
                file.close(site="space.close")
        except OSError as error:
            _log.warning("reserve file not kept", error=str(error))

    def _look(self) -> int:
        """Note whether the disk is low; the free bytes."""
        free_bytes = self._files.free_bytes(self._folder, site="space.free")
        marks = Marks.of(self._files.device_bytes(self._folder, site="space.device"), *self._limits)
        is_low = marks.is_low(free_bytes, self.is_low)
        if is_low != self.is_low:
            _log.warning("disk is low" if is_low else "disk has room again", free_bytes=free_bytes)
        self.is_low, self.free_bytes, self.mark_bytes = is_low, free_bytes, marks.low_bytes
        return free_bytes
