"""The disk with the blocks of one data folder in a bucket: a `Files` like any other, so that nobody else need know.

`instance.py` opens one where the settings name a place for blocks, and so do the commands that look into a folder. What
is `blocks/<table>/<block>.parquet` for the rooms above is an object of that key; all other files, the log and the
catalog among them, are on the disk as ever, and so is a block that was there before: it is read where it lies.

A block is written to the disk first, under its temporary name, and `publish` puts it into the bucket whole, by a
conditional put, before it returns; then it moves into the cache. What is removed is gone from here at once and from the
bucket with the next `sweep`, many objects by one request, so that no reader's end waits for it; or at the next start.

The bucket's faults: reading raises Unavailable, since they say nothing of the block; what changes something raises
OSError as a disk would. After one that outlasted its tries the bucket is left alone for some seconds, and all calls
fail at once.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path

import structlog

from headwater.bucket.cache import SEGMENT_BYTES, BlockCache
from headwater.bucket.owner import PLACE_FILE, check_owner, check_place, claim, prove
from headwater.bucket.source import CachedSource, DirectSource
from headwater.config import BlockStoreSettings
from headwater.errors import Unavailable
from headwater.files import FILE_MODE, Appender, Files, Lock, OpenFile, Source
from headwater.model.time import Clock
from headwater.objects import Buckets, ObjectExists, ObjectFault, ObjectMissing, Objects
from headwater.settings import BlockPlace

_log = structlog.get_logger("bucket")

CACHE_FOLDER = "cache"

REST_S = 5.0
"""So long a bucket that did not answer is not asked again: the thread that commits writes may be waiting for it."""

PUT_MAX_BYTES = 8 * 1024 * 1024
"""Larger blocks are put in parts of this size. A store takes no condition with those: the key is looked for first."""

_BLOCK_SUFFIX = ".parquet"

_Key = tuple[str, str]
"""A table's folder and the name of the file in it."""


def open_block_store(
    files: Files,
    data: Path,
    folder: Path,
    buckets: Buckets,
    settings: BlockStoreSettings,
    spare_bytes: Callable[[], int],
    clock: Clock,
    new_id: Callable[[], str],
) -> BucketFiles | None:
    """The file system for a server's blocks in `folder` of `data`, proven and claimed; None where no bucket holds them.

    The cache leaves `spare_bytes` of the disk alone. Raises Invalid for a
    place that cannot be used or is another folder's, Unavailable, OSError.
    """
    place = settings.place
    check_place(files, data, place)
    if place is None:
        return None
    try:
        objects = buckets.bucket(place.bucket)
        prove(objects, place, new_id())
        claim(files, data, objects, place, new_id())
        cache = BlockCache(files, data / CACHE_FOLDER, settings.cache_bytes, spare_bytes())
        opened = BucketFiles(files, folder, objects, place, cache, clock)
        opened.look()
    except ObjectFault as error:
        raise Unavailable(f"{place}: {error}") from error
    cache.open(frozenset(Path(name).stem for _, name in opened.known))
    return opened


def find_block_store(
    files: Files, data: Path, folder: Path, buckets: Buckets, settings: BlockStoreSettings, clock: Clock
) -> Files:
    """The file system for looking into a folder, perhaps beside its server: nothing is claimed, nothing cached.

    Raises Invalid, Unavailable.
    """
    place = settings.place if files.exists(data / PLACE_FILE, site="bucket.place") else None
    check_place(files, data, place)
    if place is None:
        return files
    try:
        objects = buckets.bucket(place.bucket)
        check_owner(files, data, objects, place)
        opened = BucketFiles(files, folder, objects, place, BlockCache(files, data / CACHE_FOLDER, 0, 0), clock)
        opened.look()
    except ObjectFault as error:
        raise Unavailable(f"{place}: {error}") from error
    return opened


class BucketFiles(Files):
    """See the module. Any thread may call."""

    def __init__(
        self, local: Files, folder: Path, objects: Objects, place: BlockPlace, cache: BlockCache, clock: Clock
    ) -> None:
        self._local = local
        self._folder = folder
        self._objects = objects
        self._place = place
        self._cache = cache
        self._clock = clock
        self._lock = threading.Lock()
        self._sizes: dict[str, dict[str, int]] = {}
        """Bytes of each object by table and name. The prefix is ours alone: what we have done to it is all there is."""
        self._rubbish: set[_Key] = set()
        """Objects that may be there and shall not: what was removed, uploads that failed."""
        self._rests_until_s = float("-inf")

    @property
    def known(self) -> list[_Key]:
        """All objects that are blocks."""
        with self._lock:
            return [(table, name) for table, sizes in self._sizes.items() for name in sizes]

    def look(self) -> None:
        """Know what is in the bucket. Raises ObjectFault."""
        prefix = self._place.key("blocks/")
        for stat in self._objects.list(prefix):
            table, _, name = stat.key.removeprefix(prefix).partition("/")
            self._note((table, name), stat.bytes)

    # Blocks, wherever they lie.

    def open_source(self, path: Path, *, site: str) -> Source:
        key = self._key_away(path, site)
        if key is None:
            return self._local.open_source(path, site=site)
        if not self._cache.is_on:
            return self.open_original(path, site=site)
        return CachedSource(partial(self._fetch, key), self._size(key), _block(key), self._cache)

    def open_original(self, path: Path, *, site: str) -> Source:
        key = self._key_away(path, site)
        if key is None:
            return self._local.open_original(path, site=site)
        return DirectSource(partial(self._fetch, key), self._size(key))

    def read(self, path: Path, *, site: str) -> bytes:
        if self._key(path) is None:
            return self._local.read(path, site=site)
        with closing(self.open_source(path, site=site)) as source:
            return source.read_at(0, source.size_bytes)

    def size(self, path: Path, *, site: str) -> int:
        key = self._key_away(path, site)
        return self._local.size(path, site=site) if key is None else self._size(key)

    def exists(self, path: Path, *, site: str) -> bool:
        key = self._key_away(path, site)
        if key is None:
            return self._local.exists(path, site=site) or bool(self._names(path))
        try:
            self._size(key)
        except FileNotFoundError:
            return False
        return True

    def list(self, directory: Path, *, site: str) -> list[str]:
        away = self._names(directory)
        if away and not self._local.exists(directory, site=site):
            return sorted(away)
        return sorted({*self._local.list(directory, site=site), *away})

    def publish(self, temporary: Path, final: Path, *, site: str) -> None:
        if self._key(final) is None:
            self._local.publish(temporary, final, site=site)
        else:
            # No sync: the answer of the bucket is what makes a block durable.
            self.rename(temporary, final, site=site)

    def rename(self, source: Path, target: Path, *, site: str) -> None:
        """Into the bucket and out of it too; between two objects it is not needed and not possible."""
        to, away = self._key(target), self._key_away(source, site)
        if away is not None:
            if to is not None:
                raise OSError(errno.EXDEV, "objects have no other names", str(source))
            self.link(source, target, site=site)
            self.remove(source, site=site)
            self.sweep()
        elif to is not None:
            self._upload(source, to, site)
            self._local.remove(source, site=site)
        else:
            self._local.rename(source, target, site=site)

    def link(self, source: Path, target: Path, *, site: str) -> None:
        """A block that is an object is copied: the other name holds what the block held."""
        if self._key_away(source, site) is None:
            self._local.link(source, target, site=site)
            return
        with closing(self.open_original(source, site=site)) as original:
            try:
                self._copy(original, target, site)
            except BaseException:
                with suppress(OSError):
                    self._local.remove(target, site=site)
                raise

    def sync(self, path: Path, *, site: str) -> None:
        if self._key_away(path, site) is None:
            self._local.sync(path, site=site)

    def sync_directory(self, directory: Path, *, site: str) -> None:
        if directory.parent != self._folder or self._local.exists(directory, site=site):
            self._local.sync_directory(directory, site=site)

    def remove(self, path: Path, *, site: str) -> None:
        key = self._key_away(path, site)
        if key is None:
            self._local.remove(path, site=site)
        else:
            self._forget([key])

    def remove_tree(self, path: Path, *, site: str) -> None:
        away = [(path.name, name) for name in self._names(path)] if path.parent == self._folder else []
        self._forget(away)
        if not away or self._local.exists(path, site=site):
            self._local.remove_tree(path, site=site)

    def sweep(self) -> None:
        """Remove from the bucket what was removed here. What fails is tried again by the next call."""
        with self._lock:
            gone = sorted(self._rubbish)
        if not gone:
            return
        try:
            with self._changing():
                self._objects.delete(*[self._object(key) for key in gone])
        except OSError as error:
            _log.warning("rubbish left in the bucket", objects=len(gone), error=str(error))
            return
        with self._lock:
            self._rubbish.difference_update(gone)

    def make_directory(self, path: Path, *, site: str) -> None:
        """Also what a flush begins with, before it sorts a million records: it need not while the bucket rests."""
        if path.parent == self._folder:
            with self._changing():
                pass
        self._local.make_directory(path, site=site)

    # What has nothing to do with blocks.

    def create(self, path: Path, *, size_bytes: int = 0, mode: int = FILE_MODE, site: str) -> OpenFile:
        return self._local.create(path, size_bytes=size_bytes, mode=mode, site=site)

    def free_bytes(self, path: Path, *, site: str) -> int:
        return self._local.free_bytes(path, site=site)

    def device_bytes(self, path: Path, *, site: str) -> int:
        return self._local.device_bytes(path, site=site)

    def lock(self, path: Path, *, site: str) -> Lock:
        return self._local.lock(path, site=site)

    # The bucket.

    def _key(self, path: Path) -> _Key | None:
        """Of a path that is a block's."""
        if path.suffix != _BLOCK_SUFFIX or path.parent.parent != self._folder:
            return None
        return path.parent.name, path.name

    def _key_away(self, path: Path, site: str) -> _Key | None:
        """Of a block's path, unless the block lies on the disk."""
        key = self._key(path)
        return None if key is None or (not self._is_known(key) and self._local.exists(path, site=site)) else key

    def _object(self, key: _Key) -> str:
        return self._place.key(f"blocks/{key[0]}/{key[1]}")

    def _names(self, directory: Path) -> Sequence[str]:
        """What there is in a directory of objects: tables, or blocks of one."""
        with self._lock:
            if directory == self._folder:
                return [table for table, sizes in self._sizes.items() if sizes]
            return list(self._sizes.get(directory.name, ())) if directory.parent == self._folder else []

    def _is_known(self, key: _Key) -> bool:
        with self._lock:
            return key[1] in self._sizes.get(key[0], ())

    def _note(self, key: _Key, size_bytes: int) -> None:
        with self._lock:
            self._sizes.setdefault(key[0], {})[key[1]] = size_bytes

    def _size(self, key: _Key) -> int:
        """Raises FileNotFoundError, Unavailable. A running server may have put it there since a command has looked."""
        with self._lock:
            known, is_gone = self._sizes.get(key[0], {}).get(key[1]), key in self._rubbish
        if known is not None:
            return known
        with self._asking():
            stat = None if is_gone else self._objects.stat(self._object(key))
        if stat is None:
            raise FileNotFoundError(errno.ENOENT, "there is no such object", self._object(key))
        return stat.bytes

    def _fetch(self, key: _Key, start: int, length: int) -> bytes:
        """Bytes of a block. Raises FileNotFoundError, Unavailable."""
        with self._asking():
            return self._objects.get_range(self._object(key), start, length)

    def _upload(self, temporary: Path, key: _Key, site: str) -> None:
        """Put a block into the bucket, and its bytes near. Raises OSError; what is there then is rubbish."""
        with closing(self._local.open_source(temporary, site=site)) as source:
            try:
                with self._changing():
                    if source.size_bytes <= PUT_MAX_BYTES:
                        self._put_whole(key, source.read_at(0, source.size_bytes))
                    else:
                        self._put_in_parts(key, source)
            except BaseException:
                self._forget([key])
                raise
            self._note(key, source.size_bytes)
            self._keep_near(key, source)

    def _put_whole(self, key: _Key, data: bytes) -> None:
        try:
            self._objects.put_new(self._object(key), data)
        except ObjectExists:
            # A try that was taken for failed may have succeeded. A block of others is never the same: keys are random.
            if self._objects.get(self._object(key)) != data:
                raise

    def _put_in_parts(self, key: _Key, source: Source) -> None:
        name = self._object(key)
        if self._objects.stat(name) is not None:
            raise ObjectExists(f"There is an object {name} already.")
        with self._objects.writer(name) as file:
            for offset in range(0, source.size_bytes, PUT_MAX_BYTES):
                file.write(source.read_at(offset, PUT_MAX_BYTES))
        stat = self._objects.stat(name)
        if stat is None or stat.bytes != source.size_bytes:
            raise ObjectFault(f"The object {name} has not the {source.size_bytes} bytes that were put.")

    def _keep_near(self, key: _Key, source: Source) -> None:
        """What is new is read most."""
        for number, start in enumerate(range(0, source.size_bytes, SEGMENT_BYTES)):
            self._cache.put(_block(key), number, memoryview(source.read_at(start, SEGMENT_BYTES)))

    def _forget(self, keys: Iterable[_Key]) -> None:
        """These objects are not there any more, as far as anybody here can see."""
        for key in keys:
            with self._lock:
                self._sizes.get(key[0], {}).pop(key[1], None)
                self._rubbish.add(key)
            self._cache.forget(_block(key))

    def _copy(self, original: Source, target: Path, site: str) -> None:
        copy = self._local.create(target, site=site)
        try:
            appender = Appender(copy, site)
            for offset in range(0, original.size_bytes, PUT_MAX_BYTES):
                appender.append(original.read_at(offset, PUT_MAX_BYTES))
            copy.datasync(site=site)
        finally:
            copy.close(site=site)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Around a request: what fails becomes Unavailable, what is missing FileNotFoundError."""
        if self._clock.monotonic_s() < self._rests_until_s:
            raise Unavailable(f"{self._place} did not answer some seconds ago and is not asked yet")
        try:
            yield
        except ObjectMissing as error:
            raise FileNotFoundError(errno.ENOENT, str(error)) from error
        except ObjectExists as error:
            raise Unavailable(str(error)) from error
        except ObjectFault as error:
            self._rests_until_s = self._clock.monotonic_s() + REST_S
            raise Unavailable(f"{self._place}: {error}") from error

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """As `_asking`, for what callers know as a failing disk."""
        try:
            with self._asking():
                yield
        except Unavailable as fault:
            raise OSError(errno.EIO, fault.message) from fault


def _block(key: _Key) -> str:
    """What the cache knows a block by."""
    return Path(key[1]).stem
