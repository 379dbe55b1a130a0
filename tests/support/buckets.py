"""Buckets for tests: in a folder, with something to do at each request; and a file system whose blocks lie in one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from obstore.store import LocalStore

from headwater.bucket.files import BucketFiles, open_block_store
from headwater.config import BlockStoreSettings
from headwater.files import Files, LocalFiles
from headwater.model.time import Clock, FixedClock
from headwater.objects import Buckets, Encryption, ObjectFault, Objects
from headwater.settings import BlockPlace

BUCKET = "a-bucket"
PLACE = BlockPlace(BUCKET, "some/where")

_NONCES = Random(5)


class HookedObjects(Objects):
    """A bucket in a folder. `before` and `after` are called around each request, with its first key."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(LocalStore(folder), BUCKET)
        self.folder = folder
        self.before: Callable[[str], None] = lambda _: None
        self.after: Callable[[str], None] = lambda _: None
        self.requests = 0

    @contextmanager
    def _faults(self, *keys: str) -> Iterator[None]:
        key = keys[0] if keys else ""
        self.before(key)
        with super()._faults(*keys):
            yield
        self.requests += 1
        self.after(key)

    def fail(self) -> None:
        """No request is answered until `heal`."""

        def unreachable(key: str) -> None:
            raise ObjectFault(f"The bucket {BUCKET} could not be reached for {key!r}.")

        self.before = unreachable

    def heal(self) -> None:
        self.before = lambda _: None

    def blocks(self) -> list[Path]:
        """The files of all objects that are blocks."""
        return sorted((self.folder / PLACE.prefix).glob("blocks/*/*"))


class OneBucket(Buckets):
    """Where there is this bucket, by whatever name."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def bucket(self, name: str, encryption: Encryption | None = None) -> Objects:
        return self._objects


def blocks_in(
    buckets: Buckets,
    data: Path,
    *,
    local: Files | None = None,
    cache_bytes: int = 64 << 20,
    clock: Clock | None = None,
    place: BlockPlace = PLACE,
) -> BucketFiles:
    """What a server opens at its start, for the folder `blocks` of `data`."""
    settings = BlockStoreSettings(place, cache_bytes)
    opened = open_block_store(
        local or LocalFiles(),
        data,
        data / "blocks",
        buckets,
        settings,
        lambda: 0,
        clock or FixedClock(0),
        lambda: _NONCES.randbytes(16).hex(),
    )
    assert opened is not None
    return opened
