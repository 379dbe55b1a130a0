"""A file system in memory that forgets what was not synced, and stops, fails, shortens or lies where a test says so.

It keeps two states: what a running system reads (the page cache), and what is on the platter. A power loss leaves the
second, with any part of what was on its way. The composed calls come from `Files`, so their true order is tested.

One simplification: a directory is durable as soon as it is made. What is in it is not.
"""

from __future__ import annotations

import errno
import os
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Self

from headwater.errors import Locked
from headwater.files import FILE_MODE, Files, Lock, OpenFile, Source

SECTOR_BYTES = 512
"""What a disk writes whole or not at all."""


class Stopped(BaseException):
    """The machine ends at this call. No error: nothing in the tested code may catch it."""


@dataclass(eq=False)
class _Content:
    """One file. `pending` are changes since the last sync, in order: bytes at an offset, or None: cut there."""

    cached: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)

    def change(self, offset: int, data: bytes | None) -> None:
        _apply(self.cached, offset, data)
        self.pending.append((offset, data))

    def sync(self) -> None:
        """Only what is pending reaches the platter: pages that a failed sync called clean never do."""
        for offset, data in self.pending:
            _apply(self.durable, offset, data)
        self.pending.clear()


_Change = tuple[Path, _Content | None]


class FaultyFiles(Files):
    """Every call is counted in `calls` as (operation, site); the call number `stop_at` raises Stopped instead of
    returning, with its change on its way. Operations in `lies` answer well and do nothing.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.stop_at: int | None = None
        self.lies: frozenset[str] = frozenset()
        self._cached: dict[Path, _Content] = {}
        self._durable: dict[Path, _Content] = {}
        self._pending: dict[Path, list[tuple[_Change, ...]]] = {}
        self._directories: set[Path] = {Path("/")}
        self._locked: set[Path] = set()
        self._failures: dict[tuple[str, str], int] = {}
        self._taken_bytes: dict[str, int] = {}
        self.free = 1 << 39
        """What `free_bytes` answers; the device has twice as much as there is at first."""

    def fail(self, operation: str, site: str, number: int = errno.EIO) -> None:
        """Let the next such call raise OSError with this number. A failed sync also loses what it was to sync."""
        self._failures[operation, site] = number

    def shorten(self, site: str, taken_bytes: int) -> None:
        """Let the next write at `site` take only so many bytes."""
        self._taken_bytes[site] = taken_bytes

    def restart(self) -> Self:
        """The process has ended, the machine has not: what was written can be read, synced or not.

        The answer is a copy: one stop may be looked at in several ways.
        """
        after = type(self)()
        state = deepcopy((self._cached, self._durable, self._pending))
        after._cached, after._durable, after._pending = state
        after._directories = set(self._directories)
        return after

    def power_loss(self, kept: float = 0.0, random: Random | None = None) -> Self:
        """What the next start finds. Of all that was not synced, each sector and each change of a name is there with
        probability `kept`.
        """
        random = random or Random(0)
        names = dict(self._durable)
        for changes in self._pending.values():
            for change in changes:
                if random.random() < kept:
                    _rename(names, change)
        after = type(self)()
        after._directories = set(self._directories)
        for path, content in names.items():
            left = bytearray(content.durable)
            for offset, data in content.pending:
                _apply_partly(left, offset, data, kept, random)
            after._cached[path] = after._durable[path] = _Content(left, bytearray(left))
        return after

    def put(self, path: Path, data: bytes) -> None:
        """Put a file there durably, past all faults."""
        self._directories |= set(path.parents)
        self._cached[path] = self._durable[path] = _Content(bytearray(data), bytearray(data))

    def contents(self) -> dict[Path, bytes]:
        """All files, as a running system reads them."""
        return {path: bytes(content.cached) for path, content in self._cached.items()}

    def read(self, path: Path, *, site: str) -> bytes:
        self._call("read", site)
        return bytes(self._find(path).cached)

    def open_source(self, path: Path, *, site: str) -> Source:
        self._call("open_source", site)
        return _FaultySource(bytes(self._find(path).cached))

    def size(self, path: Path, *, site: str) -> int:
        self._call("size", site)
        return len(self._find(path).cached)

    def exists(self, path: Path, *, site: str) -> bool:
        self._call("exists", site)
        return path in self._cached or path in self._directories

    def list(self, directory: Path, *, site: str) -> list[str]:
        self._call("list", site)
        self._find_directory(directory)
        return sorted(path.name for path in (*self._cached, *self._directories) if path.parent == directory != path)

    def make_directory(self, path: Path, *, site: str) -> None:
        self._call("make_directory", site)
        self._directories |= {path, *path.parents}

    def create(self, path: Path, *, size_bytes: int = 0, mode: int = FILE_MODE, site: str) -> OpenFile:
        self._find_directory(path.parent)
        content = self._cached.get(path)
        if content is None:
            content = _Content()
            self._rename(path.parent, ((path, content),))
        content.change(0, None)
        content.change(0, bytes(size_bytes))
        self._call("create", site)
        return _FaultyFile(self, content)

    def rename(self, source: Path, target: Path, *, site: str) -> None:
        self._rename(target.parent, ((source, None), (target, self._find(source))))
        self._call("rename", site)

    def link(self, source: Path, target: Path, *, site: str) -> None:
        if target in self._cached:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        self._rename(target.parent, ((target, self._find(source)),))
        self._call("link", site)

    def sync(self, path: Path, *, site: str) -> None:
        self._sync_content("sync", self._find(path), site)

    def sync_directory(self, directory: Path, *, site: str) -> None:
        self._find_directory(directory)
        self._call("sync_directory", site)
        if "sync_directory" not in self.lies:
            for change in self._pending.pop(directory, []):
                _rename(self._durable, change)

    def remove(self, path: Path, *, site: str) -> None:
        self._find(path)
        self._rename(path.parent, ((path, None),))
        self._call("remove", site)

    def remove_tree(self, path: Path, *, site: str) -> None:
        self._find_directory(path)
        gone = tuple((file, None) for file in self._cached if path in file.parents)
        self._rename(path.parent, gone)
        self._directories = {
            directory for directory in self._directories if path not in (directory, *directory.parents)
        }
        self._call("remove_tree", site)

    def free_bytes(self, path: Path, *, site: str) -> int:
        self._call("free_bytes", site)
        return self.free

    def device_bytes(self, path: Path, *, site: str) -> int:
        self._call("device_bytes", site)
        return 1 << 40

    def lock(self, path: Path, *, site: str) -> Lock:
        self._call("lock", site)
        if path in self._locked:
            raise Locked(f"Another process is using the data folder {path.parent}.")
        self._locked.add(path)
        return _FaultyLock(self._locked, path)

    def _call(self, operation: str, site: str) -> None:
        self.calls.append((operation, site))
        if self.stop_at == len(self.calls) - 1:
            raise Stopped
        number = self._failures.pop((operation, site), None)
        if number is not None:
            raise OSError(number, os.strerror(number))

    def _sync_content(self, operation: str, content: _Content, site: str) -> None:
        try:
            self._call(operation, site)
        except OSError:
            content.pending.clear()
            raise
        if operation not in self.lies:
            content.sync()

    def _pwrite(self, content: _Content, data: bytes, offset: int, site: str) -> int:
        taken_bytes = self._taken_bytes.pop(site, len(data))
        content.change(offset, data[:taken_bytes])
        self._call("pwrite", site)
        return taken_bytes

    def _rename(self, directory: Path, change: tuple[_Change, ...]) -> None:
        _rename(self._cached, change)
        self._pending.setdefault(directory, []).append(change)

    def _find(self, path: Path) -> _Content:
        if path not in self._cached:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return self._cached[path]

    def _find_directory(self, path: Path) -> None:
        if path not in self._directories:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


class _FaultyFile(OpenFile):
    def __init__(self, files: FaultyFiles, content: _Content) -> None:
        self._files = files
        self._content = content

    def pwrite(self, data: bytes, offset: int, *, site: str) -> int:
        return self._files._pwrite(self._content, data, offset, site)

    def datasync(self, *, site: str) -> None:
        self._files._sync_content("datasync", self._content, site)

    def truncate(self, size_bytes: int, *, site: str) -> None:
        self._content.change(size_bytes, None)
        self._files._call("truncate", site)

    def close(self, *, site: str) -> None:
        self._files._call("close", site)


class _FaultySource(Source):
    def __init__(self, content: bytes) -> None:
        self._content = content

    @property
    def size_bytes(self) -> int:
        return len(self._content)

    def read_at(self, offset: int, length: int) -> bytes:
        return self._content[offset : offset + length]

    def close(self) -> None:
        pass


class _FaultyLock(Lock):
    def __init__(self, locked: set[Path], path: Path) -> None:
        self._locked = locked
        self._path = path

    def release(self) -> None:
        self._locked.discard(self._path)


def _rename(names: dict[Path, _Content], change: tuple[_Change, ...]) -> None:
    for path, content in change:
        if content is None:
            names.pop(path, None)
        else:
            names[path] = content


def _apply(target: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del target[offset:]
    else:
        target.extend(bytes(max(0, offset - len(target))))
        target[offset : offset + len(data)] = data


def _apply_partly(target: bytearray, offset: int, data: bytes | None, kept: float, random: Random) -> None:
    """Write those sectors of `data` that chance keeps; a cut is kept or not."""
    if data is None:
        if random.random() < kept:
            _apply(target, offset, None)
        return
    at = 0
    while at < len(data):
        until = min(len(data), at + SECTOR_BYTES - (offset + at) % SECTOR_BYTES)
        if random.random() < kept:
            _apply(target, offset + at, data[at:until])
        at = until
