"""Makes a damaged data folder one that a server opens: sets aside what cannot be read, keeps all that can.

`cli/fsck --repair` calls it, with the folder locked, on what `check` found. Nothing is deleted: what is changed or
replaced goes to `damaged/<number>/` first, under its old place. A crash at any step leaves a folder that can be checked
and repaired again. Source: reliability.md 4.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

from headwater.catalog.catalog import CATALOG_FILE
from headwater.catalog.survey import forget_blocks, mend
from headwater.errors import Invalid
from headwater.files import Files
from headwater.instance import BLOCKS_FOLDER, LOG_FOLDER
from headwater.sealing import DataKeys
from headwater.storage.entry import SeriesPacker, encode_payload
from headwater.upkeep.findings import Checked
from headwater.upkeep.folder import copy_closed_catalog
from headwater.wal.mark import MARK_FILE, write_mark
from headwater.wal.segment import segment_number
from headwater.wal.survey import LogSurvey, rewrite

DAMAGED_FOLDER = "damaged"


def repair(files: Files, data: Path, checked: Checked) -> list[str]:
    """Repair all that was found; what was done, a line each. Raises Invalid if there is no way, OSError."""
    if checked.log is None or checked.log_keys is None:
        raise Invalid(f"Without a sound {CATALOG_FILE} nothing can be repaired: restore a backup.")
    if not checked.is_damaged:
        return []
    repairing = _Repair(files, data)
    return [
        *repairing.log(checked.log, checked.log_keys),
        *repairing.catalog(checked),
        *repairing.aside(checked.spoiled),
    ]


class _Repair:
    """One repair, with a folder of its own for what is set aside."""

    def __init__(self, files: Files, data: Path) -> None:
        self._files = files
        self._data = data
        everything = data / DAMAGED_FOLDER
        files.make_directory(everything, site="repair.folder")
        numbers = [int(name) for name in files.list(everything, site="repair.list") if name.isdigit()]
        self._folder = everything / str(1 + max(numbers, default=0))
        files.make_directory(self._folder, site="repair.folder")

    def log(self, survey: LogSurvey, keys: DataKeys) -> Iterator[str]:
        """Make one sound segment of all that can be read, and move the old ones away."""
        if not survey.flaws:
            return
        directory = self._data / LOG_FOLDER
        names = [name for name in self._files.list(directory, site="repair.list") if segment_number(name) is not None]
        # An entry without records stands for each that is lost: numbers go on without a gap.
        nothing = encode_payload([], SeriesPacker())
        written = rewrite(self._files, directory, survey, keys, nothing, secrets.token_bytes)
        self._link(directory / MARK_FILE)
        write_mark(self._files, directory, survey.first - 1)
        kept = survey.last - survey.first + 1 - sum(map(len, survey.lost))
        yield f"{LOG_FOLDER}/{written.name}: made of the {kept} entries that can be read"
        yield from self.aside(directory / name for name in names)

    def catalog(self, checked: Checked) -> Iterator[str]:
        """Mend flawed rows, and take damaged blocks out of the manifest before their files are moved."""
        path = self._data / CATALOG_FILE
        if checked.catalog.rows or checked.blocks:
            copy_closed_catalog(self._files, self._data, self._folder)
            yield f"{CATALOG_FILE}: kept as it was in {self._name(self._folder)}"
        if checked.catalog.rows:
            mend(self._files, path, checked.catalog, checked.rebuilt)
            yield f"{CATALOG_FILE}: {len(checked.catalog.rows)} rows mended"
        blocks = [self._data / BLOCKS_FOLDER / block.table / f"{block.id}.parquet" for block in checked.blocks]
        for file in blocks:
            self._link(file)
        if checked.blocks:
            forget_blocks(self._files, path, checked.blocks)
            rows = sum(block.rows for block in checked.blocks)
            yield f"{CATALOG_FILE}: {len(checked.blocks)} blocks with {rows} records taken out of the manifest"
        yield from self.aside([*blocks, *checked.orphans])

    def aside(self, paths: Iterable[Path]) -> Iterator[str]:
        """Move files away. One that is not there was what was wrong with it."""
        for path in paths:
            if self._files.exists(path, site="repair.exists"):
                target = self._target(path)
                if self._files.exists(target, site="repair.exists"):
                    # Linked before: a rename to another name of the same file would do nothing.
                    self._files.remove(path, site="repair.move")
                else:
                    self._files.rename(path, target, site="repair.move")
                self._files.sync_directory(target.parent, site="repair.move")
                self._files.sync_directory(path.parent, site="repair.move")
                yield f"{self._name(path)}: moved to {self._name(target)}"

    def _link(self, path: Path) -> None:
        """Keep a file under a second name before what it was is changed."""
        if self._files.exists(path, site="repair.exists"):
            target = self._target(path)
            self._files.link(path, target, site="repair.link")
            self._files.sync_directory(target.parent, site="repair.link")

    def _target(self, path: Path) -> Path:
        target = self._folder / path.relative_to(self._data)
        self._files.make_directory(target.parent, site="repair.folder")
        return target

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self._data))
