"""A backup: one state of a data folder, cut while a server may be writing to it, and asking nothing of that server.

`cli/backup` calls it. The state is the one a crash would leave at the moment of the cut, which is why a start can read
it: first the log's segments are held open, so that none is gone when it is read; then the catalog is copied, in one of
its transactions; then the log is read, up to its last whole entry. So the log reaches over all that the catalog's
checkpoints name, and everything that was acknowledged before the call is in one or the other. Blocks never change and
each has a name of its own: they are linked or copied last, and where the server has removed one meanwhile the cut is
made again, with all blocks kept that both cuts have.

Reads no record and needs no key: what is encrypted stays so. The master key is not copied unless that is wanted.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from headwater import __version__
from headwater.catalog.catalog import CATALOG_FILE
from headwater.catalog.survey import copy_catalog, read_manifest, survey_catalog
from headwater.errors import Conflict, Corrupt, Invalid
from headwater.files import TEMPORARY_SUFFIX, Files, Source
from headwater.instance import BLOCKS_FOLDER, LOG_FOLDER
from headwater.keyring.providers import MASTER_KEY_FILE
from headwater.model.block import Block, Manifest
from headwater.model.time import Clock
from headwater.storage.series_file import SERIES_FILE
from headwater.storage.verify import hash_file
from headwater.upkeep.contents import FORMAT_VERSION, Contents, CopiedFile, copy_file, write_contents
from headwater.upkeep.folder import require_folder
from headwater.wal.log import without_superseded
from headwater.wal.mark import MARK_FILE, write_mark
from headwater.wal.segment import Footer, Segment, inspect_bytes, segment_number

ROUNDS = 30
"""So many cuts are tried. Each copies only blocks that are new since the one before: the last ones take no time."""


class _Moved(Exception):
    """The server has changed what was being cut."""


@dataclass(frozen=True, slots=True)
class _LogCut:
    segments: Mapping[str, bytes]
    first_sequence: int
    last_sequence: int


def back_up(
    files: Files,
    data: Path,
    to: Path,
    clock: Clock,
    *,
    with_key: bool = False,
    link: bool = True,
    wait: Callable[[], None] = lambda: None,
) -> Contents:
    """Make the folder `to`, whole and durable or not at all; what is in it.

    With `link`, blocks share their bytes with the server's where both are on one device. `wait` is called before a cut
    is made again. Raises Invalid, Conflict, Corrupt (a block or the log is damaged), Unavailable, OSError.
    """
    require_folder(files, data)
    if data in (to, *to.parents):
        raise Invalid(f"{to} is in the data folder: a backup belongs elsewhere.")
    with made_aside(files, to, "backup") as aside:
        contents = _Backup(files, data, aside, link).make(clock.now_ns(), with_key, wait)
        write_contents(files, aside, contents)
    return contents


@contextmanager
def made_aside(files: Files, folder: Path, site: str) -> Iterator[Path]:
    """A new folder to be filled in the block of code, which then takes the place of `folder`, durably; or none at all.

    Raises Conflict if there is something at either place, OSError. `site` begins the names of the calls of the disk.
    """
    check_vacant(files, folder)
    aside = folder.with_name(folder.name + TEMPORARY_SUFFIX)
    check_vacant(files, aside)
    files.make_directory(aside, site=f"{site}.folder")
    try:
        yield aside
        files.rename(aside, folder, site=f"{site}.rename")
        files.sync_directory(folder.parent, site=f"{site}.rename")
    except BaseException:
        if files.exists(aside, site=f"{site}.undo"):
            files.remove_tree(aside, site=f"{site}.undo")
        raise


def check_vacant(files: Files, folder: Path) -> None:
    """Raises Conflict if there is something there. An empty folder is nothing."""
    if files.exists(folder, site="backup.exists") and files.list(folder, site="backup.exists"):
        raise Conflict(f"{folder} is there already and not empty.")


class _Backup:
    def __init__(self, files: Files, data: Path, aside: Path, link: bool) -> None:
        self._files = files
        self._data = data
        self._aside = aside
        self._link = link
        self._blocks: dict[str, CopiedFile] = {}

    def make(self, made_ns: int, with_key: bool, wait: Callable[[], None]) -> Contents:
        manifest, log = self._state(wait)
        live = {_path_of(block) for block in _blocks(manifest)}
        for path in self._blocks.keys() - live:
            self._files.remove(self._aside / path, site="backup.block")
        copied = [self._blocks[path] for path in sorted(live)]
        copied += [*self._write_log(log), *self._series(manifest), self._described(CATALOG_FILE)]
        if with_key:
            copied.append(self._key())
        for folder in sorted({(self._aside / file.path).parent for file in copied}):
            self._files.sync_directory(folder, site="backup.sync")
        rows = sum(block.rows for block in _blocks(manifest))
        return Contents(FORMAT_VERSION, __version__, made_ns, log.last_sequence, rows, copied)

    def _state(self, wait: Callable[[], None]) -> tuple[Manifest, _LogCut]:
        """Cut until nothing moves under our hands, with every block in place."""
        moved = _Moved()
        for _ in range(ROUNDS):
            try:
                manifest, log = self._cut()
                for block in _blocks(manifest):
                    self._take(block)
            except _Moved as error:
                moved = error
                wait()
            else:
                return manifest, log
        raise Corrupt(f"{self._data} does not hold together: {moved}. headwater fsck tells more.") from moved

    def _cut(self) -> tuple[Manifest, _LogCut]:
        """Catalog and log, in an order that makes them one state."""
        with ExitStack() as stack:
            held = self._hold(stack, {})
            target = self._aside / CATALOG_FILE
            # SQLite gives what it writes the mode that is there.
            self._files.write_file(target, b"", site="backup.catalog")
            copy_catalog(self._data / CATALOG_FILE, target)
            survey = survey_catalog(self._files, target)
            if survey.problems or survey.rows:
                raise Corrupt(f"The catalog of {self._data} is damaged; headwater fsck tells more.")
            self._files.sync(target, site="backup.catalog")
            manifest = read_manifest(self._files, target)
            log = _cut_log({path: _whole(source) for path, source in self._hold(stack, held).items()})
        flushed = max((manifest.load(table).checkpoint for table in manifest.tables()), default=0)
        if log.last_sequence < flushed:
            raise _Moved(f"the log ends at entry {log.last_sequence}, blocks hold records up to {flushed}")
        return manifest, log

    def _hold(self, stack: ExitStack, held: Mapping[Path, Source]) -> dict[Path, Source]:
        """The segments that there are now, beside those held: open, so that they can be read though they be removed."""
        directory, sources = self._data / LOG_FOLDER, dict(held)
        for name in self._files.list(directory, site="backup.log"):
            path = directory / name
            if segment_number(name) is not None and path not in sources:
                try:
                    source = self._files.open_source(path, site="backup.log")
                except FileNotFoundError as error:
                    raise _Moved(f"{path} is gone") from error
                stack.callback(source.close)
                sources[path] = source
        return sources

    def _take(self, block: Block) -> None:
        """Link or copy one block, once, and verify it."""
        path = _path_of(block)
        if path in self._blocks:
            return
        source, target = self._data / path, self._aside / path
        self._files.make_directory(target.parent, site="backup.block")
        try:
            digest, size_bytes = self._linked(source, target) or copy_file(self._files, source, target)
        except FileNotFoundError as error:
            raise _Moved(f"{path} is gone") from error
        if digest != block.sha256:
            raise Corrupt(f"{path} is damaged: its hash is not the manifest's. headwater fsck tells more.")
        self._blocks[path] = CopiedFile(path, size_bytes, digest)

    def _linked(self, source: Path, target: Path) -> tuple[str, int] | None:
        """Hash and length of a file that now has a second name; None where that cannot be."""
        if not self._link:
            return None
        try:
            self._files.link(source, target, site="backup.link")
        except FileNotFoundError:
            raise
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK):
                raise
            self._link = False
            return None
        return hash_file(self._files, target)

    def _write_log(self, log: _LogCut) -> list[CopiedFile]:
        folder = self._aside / LOG_FOLDER
        self._files.make_directory(folder, site="backup.log")
        for name, data in log.segments.items():
            self._files.write_file(folder / name, data, site="backup.log")
        write_mark(self._files, folder, log.first_sequence - 1)
        return [self._described(f"{LOG_FOLDER}/{name}") for name in (*log.segments, MARK_FILE)]

    def _series(self, manifest: Manifest) -> list[CopiedFile]:
        """Series files, for a quick start; one that is just being replaced can be done without."""
        copied = []
        for table in manifest.tables():
            path = f"{BLOCKS_FOLDER}/{table}/{SERIES_FILE}"
            if manifest.load(table).blocks and self._files.exists(self._data / path, site="backup.series"):
                digest, size_bytes = copy_file(self._files, self._data / path, self._aside / path)
                copied.append(CopiedFile(path, size_bytes, digest))
        return copied

    def _key(self) -> CopiedFile:
        source = self._data / MASTER_KEY_FILE
        if not self._files.exists(source, site="backup.key"):
            raise Invalid(f"{source} is not there: the master key is kept elsewhere, and cannot be copied from here.")
        digest, size_bytes = copy_file(self._files, source, self._aside / MASTER_KEY_FILE)
        return CopiedFile(MASTER_KEY_FILE, size_bytes, digest)

    def _described(self, path: str) -> CopiedFile:
        digest, size_bytes = hash_file(self._files, self._aside / path)
        return CopiedFile(path, size_bytes, digest)


def _cut_log(segments: Mapping[Path, bytes]) -> _LogCut:
    """The live segments up to the last whole entry, each of them sealed. Raises _Moved if they are not of one moment.

    A segment that takes entries while it is read may show a later entry and not the one before it: then, too.
    """
    try:
        found: list[Segment] = [inspect_bytes(segments[path], path) for path in sorted(segments)]
    except Corrupt as fault:
        raise _Moved(fault.message) from fault
    live = without_superseded(found)
    if not live:
        raise _Moved("the log has no segment")
    for segment, following in pairwise(live):
        if segment.next_sequence != following.header.first_sequence:
            raise _Moved(f"{segment.path.name} does not reach up to {following.path.name}")
    if live[-1].synced >= live[-1].next_sequence:
        raise _Moved(f"{live[-1].path.name} lacks entry {live[-1].next_sequence}")
    return _LogCut(
        {segment.path.name: _sealed(segment, segments[segment.path]) for segment in live},
        live[0].header.first_sequence,
        live[-1].last_sequence,
    )


def _sealed(segment: Segment, data: bytes) -> bytes:
    """The segment as if no entry were to follow its last whole one."""
    footer = Footer(len(segment.entry_bytes), segment.last_sequence)
    return data[: segment.end] + footer.encode(segment.header.salt)


def _whole(source: Source) -> bytes:
    return source.read_at(0, source.size_bytes)


def _blocks(manifest: Manifest) -> list[Block]:
    return [block for table in manifest.tables() for block in manifest.load(table).blocks]


def _path_of(block: Block) -> str:
    return f"{BLOCKS_FOLDER}/{block.table}/{block.id}.parquet"
