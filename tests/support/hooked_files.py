"""The local disk, with something to do first at one site."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from headwater.files import LocalFiles, Source


class HookedFiles(LocalFiles):
    """`hooks` are called, by site, before a file is opened, synced or removed there."""

    def __init__(self) -> None:
        self.hooks: dict[str, Callable[[], None]] = {}

    def open_source(self, path: Path, *, site: str) -> Source:
        self.hooks.get(site, lambda: None)()
        return super().open_source(path, site=site)

    def remove(self, path: Path, *, site: str) -> None:
        self.hooks.get(site, lambda: None)()
        super().remove(path, site=site)

    def sync(self, path: Path, *, site: str) -> None:
        self.hooks.get(site, lambda: None)()
        super().sync(path, site=site)


def raising(error: BaseException) -> Callable[..., None]:
    """A hook that fails."""

    def fail(*_: object) -> None:
        raise error

    return fail
