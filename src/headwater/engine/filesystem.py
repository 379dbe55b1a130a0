"""Blocks as files of the engine: a file system of our own scheme, which has what the running scans name and no more.

`engine.py` registers one with its database, and lets it serve the blocks of a run. The engine's other ways to files are
shut. It decrypts nothing itself: a block brings the source of its bytes. One source of a block is shared by all that
the engine opens of it; the engine reads one open file from several threads, so each has a position of its own.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from fsspec import AbstractFileSystem

from headwater.errors import Corrupt, Fault
from headwater.files import Source, SourceFile
from headwater.model.scan import BlockPart

SCHEME = "headwater"

_BUFFER_BYTES = 4 * 1024 * 1024

T = TypeVar("T")

_MODIFIED = datetime(2000, 1, 1, tzinfo=UTC)
"""Blocks never change, so what the engine keeps of one stays true."""


def url_of(part: BlockPart) -> str:
    """What a statement calls a block."""
    return f"{SCHEME}://{part.path}"


@dataclass(eq=False, slots=True)
class Served:
    """A block that some run may read. `fault` is what reading it ended with: the engine would only tell its text."""

    part: BlockPart
    users: int = 0
    source: Source | None = None
    fault: BaseException | None = None


class BlockFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """Read only. Any thread may call."""

    protocol = SCHEME
    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self._served: dict[str, Served] = {}
        self._lock = threading.Lock()

    @contextmanager
    def serving(self, parts: Iterable[BlockPart]) -> Iterator[list[Served]]:
        """Let the engine read these blocks until the block of code ends."""
        urls = {url_of(part): part for part in parts}
        with self._lock:
            served = [self._served.setdefault(url, Served(part)) for url, part in urls.items()]
            for one in served:
                one.users += 1
        try:
            yield served
        finally:
            with self._lock:
                for url, one in zip(urls, served, strict=True):
                    one.users -= 1
                    if one.users == 0:
                        del self._served[url]
            for one in served:
                if one.users == 0 and one.source is not None:
                    one.source.close()

    def open(self, path: str, mode: str = "rb", **_: Any) -> SourceFile:
        """An open block. Raises FileNotFoundError for all else."""
        if mode != "rb":
            raise PermissionError(path)
        return _BlockHandle(self._get(path))

    def info(self, path: str, **_: Any) -> dict[str, object]:
        return {"name": path, "size": _source(self._get(path)).size_bytes, "type": "file"}

    def modified(self, path: str) -> datetime:
        self._get(path)
        return _MODIFIED

    def glob(self, path: str, **_: Any) -> list[str]:
        """A name stands for itself: the characters of patterns are nothing special in it."""
        return [path] if path in self._served else []

    def exists(self, path: str, **_: Any) -> bool:
        return path in self._served

    def _get(self, path: str) -> Served:
        served = self._served.get(path)
        if served is None:
            raise FileNotFoundError(path)
        return served


class _BlockHandle(SourceFile):
    """One of several that share a source; closing it leaves the source open. Notes what reading fails with."""

    def __init__(self, served: Served) -> None:
        super().__init__(_source(served))
        self._served = served

    def read(self, size: int = -1) -> bytes:
        """Through a buffer that the thread keeps, unless it is a very long read."""
        if not 0 <= size <= _BUFFER_BYTES:
            return self._noting_faults(lambda: super(_BlockHandle, self).read(size))
        buffer = _buffer()[:size]
        count = self._noting_faults(lambda: self._source.read_into(self.tell(), buffer))
        self.seek(count, os.SEEK_CUR)
        return bytes(buffer[:count])

    def _noting_faults(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except (Fault, OSError) as error:
            self._served.fault = error
            raise

    def close(self) -> None:
        io.RawIOBase.close(self)


_buffers = threading.local()


def _buffer() -> memoryview:
    if not hasattr(_buffers, "room"):
        _buffers.room = memoryview(bytearray(_BUFFER_BYTES))
    room: memoryview = _buffers.room
    return room


def _source(served: Served) -> Source:
    """The open source; two threads that ask first may open two, of which one is forgotten and closes itself."""
    if served.source is None:
        try:
            served.source = served.part.open()
        except (Fault, OSError) as error:
            served.fault = error
            raise
    return served.source


def fault_among(served: Iterable[Served]) -> Fault | None:
    """What reading a block failed with, if it did."""
    found = next((one.fault for one in served if one.fault is not None), None)
    if found is None or isinstance(found, Fault):
        return found
    return Corrupt(f"A block could not be read: {found}")
