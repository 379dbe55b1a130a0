"""The disk of a simulation: the double of `faulty_files`, with faults that come after so many calls of any kind, a full
disk, hooks that run in the middle of a call, and syncs of one site that are left out.

`tests/simulation` is written against it. One fault is armed at a time; `faults` counts those that came.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Self

from headwater.files import FILE_MODE, OpenFile

from .faulty_files import FaultyFiles, Stopped, _Content

Site = tuple[str, str]
"""Operation and site of a call."""


class Disk(Enum):
    """What may happen at a call."""

    STOPS = "the machine stops"
    FAILS = "input/output error"
    SHORT = "the next write is short"


class SimulatedFiles(FaultyFiles):
    """See the module. Calls of one site in `lying` answer well and sync nothing; with `hides_failures` so does each
    sync that failed. A copy made by `restart` or `power_loss` has neither faults nor hooks, and keeps lying.
    """

    def __init__(self) -> None:
        super().__init__()
        self.at_stop: Self | None = None
        self.is_full = False
        self.faults = 0
        self.lying: frozenset[Site] = frozenset()
        self.hides_failures = False
        self.hooks: dict[Site, Callable[[], None]] = {}
        """Each runs once, on the thread that makes the call, before the call has its effect on the platter."""
        self._armed: tuple[int, Disk] | None = None

    def arm(self, after_calls: int, what: Disk) -> None:
        """Let `what` happen at the call after so many more."""
        self._armed = after_calls, what

    def disarm(self) -> None:
        self._armed = None

    @contextmanager
    def calm(self) -> Iterator[None]:
        """No faults and no hooks meanwhile: for the judge's own reads."""
        held, self._armed = self._armed, None
        full, self.is_full = self.is_full, False
        hooks, self.hooks = self.hooks, {}
        try:
            yield
        finally:
            self._armed, self.is_full, self.hooks = held, full, hooks

    def point(self, name: str) -> None:
        """A call of something else that is as good a moment for a fault: a transaction of the catalog."""
        self._call("point", name)

    def restart(self) -> Self:
        return self._like_before(super().restart())

    def power_loss(self, *args: object, **named: object) -> Self:
        return self._like_before(super().power_loss(*args, **named))  # type: ignore[arg-type]

    def _like_before(self, after: Self) -> Self:
        after.lying, after.hides_failures, after.free = self.lying, self.hides_failures, self.free
        after.is_full, after.faults = self.is_full, self.faults
        # One list for the whole history: the same seed must make the same calls.
        after.calls = self.calls
        return after

    def create(self, path: Path, *, size_bytes: int = 0, mode: int = FILE_MODE, site: str) -> OpenFile:
        self._check_room(bool(size_bytes))
        return super().create(path, size_bytes=size_bytes, mode=mode, site=site)

    def sync_directory(self, directory: Path, *, site: str) -> None:
        if ("sync_directory", site) in self.lying:
            self._call("sync_directory", site)
            return
        super().sync_directory(directory, site=site)

    def _sync_content(self, operation: str, content: _Content, site: str) -> None:
        if (operation, site) in self.lying:
            self._call(operation, site)
            return
        try:
            super()._sync_content(operation, content, site)
        except OSError:
            if not self.hides_failures:
                raise

    def _pwrite(self, content: _Content, data: bytes, offset: int, site: str) -> int:
        self._check_room(offset + len(data) > len(content.cached))
        if self._armed is not None and self._armed[1] is Disk.SHORT and self._armed[0] <= 0:
            self._armed = None
            self.faults += 1
            self.shorten(site, len(data) // 2)
        return super()._pwrite(content, data, offset, site)

    def _check_room(self, is_growing: bool) -> None:
        if self.is_full and is_growing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _call(self, operation: str, site: str) -> None:
        if self.at_stop is not None:
            raise Stopped
        if hook := self.hooks.pop((operation, site), None):
            hook()
        super()._call(operation, site)
        if self._armed is None:
            return
        left, what = self._armed
        self._armed = left - 1, what
        if left > 0 or what is Disk.SHORT:
            return
        self._armed = None
        self.faults += 1
        if what is Disk.STOPS:
            self.at_stop = self.restart()
            raise Stopped
        raise OSError(errno.EIO, os.strerror(errno.EIO))
