"""What was read of blocks in a bucket, kept on the local disk: the segments used last, up to a number of bytes.

`source.py` asks it before the bucket and puts into it what the bucket gave. It outlives the process. It is a help and
no truth: whatever of it is missing, cut off or damaged is read from the bucket again, and who reads a block verifies
what it gets (sealing.py). So nothing here is synced, and no failure of the disk is more than a line of the log.

    DIR/cache/<block>/<number>     a segment: 1 MiB of the block's file, fewer bytes for the last one
    DIR/cache/<block>/*.new        one being written; rubbish after a crash
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import closing, suppress
from pathlib import Path

import structlog

from headwater.files import TEMPORARY_SUFFIX, Files, OpenFile

_log = structlog.get_logger("bucket")

SEGMENT_BYTES = 1024 * 1024
"""A cell of ranged reads: most reads of a block ask for a row group's column or two, of some hundred kilobytes."""

_GIVEN_BACK = 4
"""On a disk that is short of room the cache gives back so many segments for each one that it was to take."""

_Segment = tuple[str, int]


class BlockCache:
    """`folder` is all its own. With 0 bytes it keeps nothing. Any thread may call."""

    def __init__(self, files: Files, folder: Path, max_bytes: int, spare_bytes: int) -> None:
        """It takes nothing while the disk has less than `spare_bytes` free: records come first."""
        self._files = files
        self._folder = folder
        self._max_bytes = max_bytes
        self._spare_bytes = spare_bytes
        self._kept: OrderedDict[_Segment, int] = OrderedDict()
        self._kept_bytes = 0
        self._lock = threading.Lock()

    @property
    def is_on(self) -> bool:
        return self._max_bytes > 0

    @property
    def bytes(self) -> int:
        """Kept now."""
        return self._kept_bytes

    def has(self, block: str, number: int) -> bool:
        """Whether a segment is kept, as far as is known without looking."""
        return (block, number) in self._kept

    def open(self, blocks: frozenset[str]) -> None:
        """Know what an earlier process has left, of these blocks only: all else is removed. Raises OSError."""
        self._files.make_directory(self._folder, site="cache.folder")
        for block in self._files.list(self._folder, site="cache.list"):
            if block not in blocks:
                self._files.remove_tree(self._folder / block, site="cache.remove")
                continue
            for name in self._files.list(self._folder / block, site="cache.list"):
                path = self._folder / block / name
                if name.isdecimal():
                    self._note((block, int(name)), self._files.size(path, site="cache.size"))
                else:
                    self._files.remove(path, site="cache.remove")
        self._shrink(0)

    def read_into(self, block: str, number: int, offset: int, buffer: memoryview) -> bool:
        """Fill the buffer from a segment, `offset` bytes into it; False if that is not all there."""
        key = block, number
        with self._lock:
            if key not in self._kept:
                return False
            self._kept.move_to_end(key)
        try:
            with closing(self._files.open_source(self._path(key), site="cache.read")) as source:
                if source.read_into(offset, buffer) == len(buffer):
                    return True
        except OSError as error:
            _log.warning("cache not read", block=block, error=str(error))
        self.forget(block, number)
        return False

    def put(self, block: str, number: int, data: memoryview) -> None:
        """Keep a segment, in place of those used longest ago."""
        key = block, number
        if len(data) > self._max_bytes or key in self._kept:
            return
        try:
            if self._files.free_bytes(self._folder, site="cache.free") < self._spare_bytes:
                self._shrink(_GIVEN_BACK * SEGMENT_BYTES)
                return
            self._write(key, data)
        except OSError as error:
            _log.warning("cache not written", block=block, error=str(error))
            return
        self._note(key, len(data))
        self._shrink(0)

    def forget(self, block: str, number: int | None = None) -> bool:
        """Drop one segment of a block, or all; whether there was any."""
        with self._lock:
            gone = [key for key in self._kept if key[0] == block] if number is None else [(block, number)]
            gone = [key for key in gone if key in self._kept]
            for key in gone:
                self._kept_bytes -= self._kept.pop(key)
        self._remove(gone)
        if number is None and gone:
            with suppress(OSError):
                self._files.remove_tree(self._folder / block, site="cache.remove")
        return bool(gone)

    def _path(self, key: _Segment) -> Path:
        return self._folder / key[0] / str(key[1])

    def _write(self, key: _Segment, data: memoryview) -> None:
        path = self._path(key)
        # Two threads may have missed the same segment: each writes a file of its own.
        temporary = path.with_name(f"{path.name}-{threading.get_ident()}{TEMPORARY_SUFFIX}")
        if not self._files.exists(path.parent, site="cache.folder"):
            self._files.make_directory(path.parent, site="cache.folder")
        file: OpenFile = self._files.create(temporary, site="cache.write")
        try:
            taken = file.pwrite(bytes(data), 0, site="cache.write")
        finally:
            file.close(site="cache.write")
        if taken == len(data):
            self._files.rename(temporary, path, site="cache.write")
        else:
            self._files.remove(temporary, site="cache.write")
            raise OSError(f"only {taken} of {len(data)} bytes were written")

    def _note(self, key: _Segment, size_bytes: int) -> None:
        with self._lock:
            self._kept_bytes += size_bytes - self._kept.pop(key, 0)
            self._kept[key] = size_bytes

    def _shrink(self, more_bytes: int) -> None:
        """Let go of the segments used longest ago, down to the limit and by `more_bytes` below what there is now."""
        with self._lock:
            target = min(self._max_bytes, self._kept_bytes - more_bytes)
            gone = []
            while self._kept and self._kept_bytes > target:
                key, size_bytes = self._kept.popitem(last=False)
                self._kept_bytes -= size_bytes
                gone.append(key)
        self._remove(gone)

    def _remove(self, gone: list[_Segment]) -> None:
        """Who reads one of these files just now still has it open."""
        for key in gone:
            with suppress(OSError):
                self._files.remove(self._path(key), site="cache.remove")
