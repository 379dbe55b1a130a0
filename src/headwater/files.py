"""The only door to the disk: what a file system must do for us, and the local one that does it.

Every room that keeps files is handed a `Files`; none calls `open`, `os` or `Path.write_*` itself. Each call names its
`site` (room, purpose, step: "wal.append.write"), so that a test double can stop, fail or shorten exactly that one.
Nothing here knows what is in a file. Foreign `OSError`s pass as they are: only the caller knows what they mean.

Directories are made 0700 and files 0600. Durability is always said in the name of the call: what is not synced, and
whose directory is not synced, may be gone after a power loss. Source: reliability.md 2.
"""

# ruff: noqa: ARG002 - the local file system has no use for the name of a call's site; doubles have.

from __future__ import annotations

import errno
import fcntl
import io
import os
import shutil
import threading
from pathlib import Path
from typing import Protocol

from headwater.errors import Locked

DIRECTORY_MODE = 0o700
FILE_MODE = 0o600
TEMPORARY_SUFFIX = ".new"
"""Ends the name of a file that is not live yet; after a crash such a file is rubbish."""

SYNC_BYTES = 256 * 1024
"""So much of a file that is written in one go is synced at a time."""

_ZEROS = bytes(4 * 1024 * 1024)


class OpenFile(Protocol):
    """A file open for writing at any place."""

    def pwrite(self, data: bytes, offset: int, *, site: str) -> int:
        """Write once at `offset`; return how many bytes were taken, which may be fewer. Not durable yet."""
        ...

    def datasync(self, *, site: str) -> None:
        """Make all that was written durable. After an error the file must not be trusted or synced again."""
        ...

    def truncate(self, size_bytes: int, *, site: str) -> None:
        """Cut the file to `size_bytes`. Not durable before `datasync`."""
        ...

    def close(self, *, site: str) -> None:
        """Give the file back. Syncs nothing."""
        ...


class Appender:
    """Writes a new file from its start on, and has it reach the disk as it grows.

    A disk that is handed a large file all at once lets every other sync wait, that of the log too: 100 to 200 ms were
    seen. The last bytes are not durable before they are synced.
    """

    def __init__(self, file: OpenFile, site: str) -> None:
        self._file = file
        self._site = site
        self._synced_bytes = 0
        self.size_bytes = 0

    def append(self, data: bytes) -> None:
        """Raises OSError, also when fewer bytes are taken than given."""
        for start in range(0, len(data), SYNC_BYTES):
            piece = data[start : start + SYNC_BYTES]
            taken = self._file.pwrite(piece, self.size_bytes, site=self._site)
            if taken != len(piece):
                raise OSError(errno.EIO, f"Only {taken} of {len(piece)} bytes were written")
            self.size_bytes += taken
            if self.size_bytes - self._synced_bytes >= SYNC_BYTES:
                self._file.datasync(site=self._site)
                self._synced_bytes = self.size_bytes


class Source(Protocol):
    """Bytes that any number of threads may read at any place at once: a file, or what stands for one."""

    @property
    def size_bytes(self) -> int: ...

    def read_at(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset` on; fewer only where the bytes end."""
        ...

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """As `read_at`, for as many bytes as the buffer has room for; how many there were.

        New memory for a large read costs several times what reading and decrypting it does.
        """
        data = self.read_at(offset, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def renew(self, offset: int, length: int) -> bool:
        """Told that these bytes are wrong: whether they came of a copy, so that to read again may give others."""
        return False

    def close(self) -> None: ...


class SourceFile(io.RawIOBase):
    """A source as a file object, for libraries that want one. Each thread has a position of its own, since such
    libraries seek and read from several threads at once. Closing it closes the source.
    """

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source
        self._position = threading.local()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self._source.size_bytes}[whence]
        self._position.offset = start + offset
        return start + offset

    def tell(self) -> int:
        return getattr(self._position, "offset", 0)

    def read(self, size: int = -1) -> bytes:
        offset = self.tell()
        data = self._source.read_at(offset, size if size >= 0 else max(0, self._source.size_bytes - offset))
        self._position.offset = offset + len(data)
        return data

    def close(self) -> None:
        if not self.closed:
            self._source.close()
        super().close()


class Lock(Protocol):
    """A held lock. Keep it: it ends with `release`, or with the process, however that ends."""

    def release(self) -> None: ...


class Files(Protocol):
    """A file system. The composed calls (`publish`, `write_file`) are here once, for every implementation."""

    def read(self, path: Path, *, site: str) -> bytes:
        """The whole file."""
        ...

    def open_source(self, path: Path, *, site: str) -> Source:
        """The file open for reading at any place; for files too large to read whole. The caller closes it."""
        ...

    def open_original(self, path: Path, *, site: str) -> Source:
        """As `open_source`, past copies that are kept nearer: for who wants to know whether the file is sound."""
        return self.open_source(path, site=site)

    def size(self, path: Path, *, site: str) -> int:
        """Bytes in the file."""
        ...

    def exists(self, path: Path, *, site: str) -> bool:
        """Whether a file or directory has this name."""
        ...

    def list(self, directory: Path, *, site: str) -> list[str]:
        """Names in a directory, sorted."""
        ...

    def make_directory(self, path: Path, *, site: str) -> None:
        """Make a directory and its missing parents, each one durable. One that exists is left as it is."""
        ...

    def create(self, path: Path, *, size_bytes: int = 0, mode: int = FILE_MODE, site: str) -> OpenFile:
        """Open a new file of `size_bytes` zero bytes, truly written, so that later writes within it change no metadata.

        A leftover of that name is emptied first. Neither the zeros nor the name are durable yet.
        """
        ...

    def rename(self, source: Path, target: Path, *, site: str) -> None:
        """Give a file another name, in one step, over a file that may have it. Not durable yet."""
        ...

    def link(self, source: Path, target: Path, *, site: str) -> None:
        """Give a file a second name, which no file has yet, on the same device. Not durable yet."""
        ...

    def sync(self, path: Path, *, site: str) -> None:
        """Make a file's content durable, whoever wrote it; not its name."""
        ...

    def sync_directory(self, directory: Path, *, site: str) -> None:
        """Make the names in a directory durable."""
        ...

    def remove(self, path: Path, *, site: str) -> None:
        """Remove a file. Durable only after its directory is synced."""
        ...

    def remove_tree(self, path: Path, *, site: str) -> None:
        """Remove a directory with all that is in it. Durable only after its parent is synced."""
        ...

    def free_bytes(self, path: Path, *, site: str) -> int:
        """Space left for us on the device of `path`."""
        ...

    def device_bytes(self, path: Path, *, site: str) -> int:
        """Size of the device of `path`."""
        ...

    def lock(self, path: Path, *, site: str) -> Lock:
        """Take the kernel's lock on the file `path`, made if missing. Raises Locked when another process has it."""
        ...

    def publish(self, temporary: Path, final: Path, *, site: str) -> None:
        """Make a written file live: sync it, rename it, sync the directory. Only then may anything refer to it."""
        self.sync(temporary, site=site)
        self.rename(temporary, final, site=site)
        self.sync_directory(final.parent, site=site)

    def write_file(self, path: Path, data: bytes, *, mode: int = FILE_MODE, site: str) -> None:
        """Put `data` durably in place of whatever `path` held; a crash leaves the old content or the new.

        Raises OSError when fewer bytes were taken than given; the old content stays.
        """
        temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
        file = self.create(temporary, mode=mode, site=site)
        try:
            written = file.pwrite(data, 0, site=site)
        finally:
            file.close(site=site)
        if written != len(data):
            raise OSError(errno.EIO, f"Only {written} of {len(data)} bytes were written", str(temporary))
        self.publish(temporary, path, site=site)


class LocalFiles(Files):
    """The machine's own file system."""

    def read(self, path: Path, *, site: str) -> bytes:
        return path.read_bytes()

    def open_source(self, path: Path, *, site: str) -> Source:
        return _LocalSource(os.open(path, os.O_RDONLY))

    def size(self, path: Path, *, site: str) -> int:
        return path.stat().st_size

    def exists(self, path: Path, *, site: str) -> bool:
        return path.exists()

    def list(self, directory: Path, *, site: str) -> list[str]:
        return sorted(entry.name for entry in directory.iterdir())

    def make_directory(self, path: Path, *, site: str) -> None:
        missing = [directory for directory in (path, *path.parents) if not directory.exists()]
        for directory in reversed(missing):
            directory.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
            self.sync_directory(directory.parent, site=site)

    def create(self, path: Path, *, size_bytes: int = 0, mode: int = FILE_MODE, site: str) -> OpenFile:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, mode)
        try:
            _fill_with_zeros(descriptor, size_bytes)
        except OSError:
            os.close(descriptor)
            raise
        return _LocalFile(descriptor)

    def rename(self, source: Path, target: Path, *, site: str) -> None:
        source.replace(target)

    def link(self, source: Path, target: Path, *, site: str) -> None:
        target.hardlink_to(source)

    def sync(self, path: Path, *, site: str) -> None:
        _sync(path, os.O_RDONLY)

    def sync_directory(self, directory: Path, *, site: str) -> None:
        _sync(directory, os.O_RDONLY | os.O_DIRECTORY)

    def remove(self, path: Path, *, site: str) -> None:
        path.unlink()

    def remove_tree(self, path: Path, *, site: str) -> None:
        shutil.rmtree(path)

    def free_bytes(self, path: Path, *, site: str) -> int:
        return shutil.disk_usage(path).free

    def device_bytes(self, path: Path, *, site: str) -> int:
        return shutil.disk_usage(path).total

    def lock(self, path: Path, *, site: str) -> Lock:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise Locked(f"Another process is using the data folder {path.parent}.") from error
        except OSError:
            os.close(descriptor)
            raise
        return _LocalLock(descriptor)


class _LocalFile(OpenFile):
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def pwrite(self, data: bytes, offset: int, *, site: str) -> int:
        return os.pwrite(self._descriptor, data, offset)

    def datasync(self, *, site: str) -> None:
        os.fdatasync(self._descriptor)

    def truncate(self, size_bytes: int, *, site: str) -> None:
        os.ftruncate(self._descriptor, size_bytes)

    def close(self, *, site: str) -> None:
        os.close(self._descriptor)


class _LocalSource(Source):
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._size_bytes = os.fstat(descriptor).st_size

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def read_at(self, offset: int, length: int) -> bytes:
        return os.pread(self._descriptor, length, offset)

    def read_into(self, offset: int, buffer: memoryview) -> int:
        return os.preadv(self._descriptor, [buffer], offset)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def __del__(self) -> None:
        self.close()


class _LocalLock(Lock):
    """An flock belongs to the open file, and the kernel drops it when the process ends: it cannot go stale."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        os.close(self._descriptor)


def _fill_with_zeros(descriptor: int, size_bytes: int) -> None:
    offset = 0
    while offset < size_bytes:
        offset += os.pwrite(descriptor, _ZEROS[: size_bytes - offset], offset)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
