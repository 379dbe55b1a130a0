"""The catalog for those who look after a data folder: a copy while a server runs, what is wrong with it, mending.

`upkeep` calls it. Nothing here needs a key; `mend` and `forget_blocks` change a catalog, nothing else does. What it is
when all is well is `catalog.py`.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from headwater.catalog import tables
from headwater.catalog.manifest import CatalogManifest
from headwater.catalog.sqlite import CatalogFile
from headwater.errors import Corrupt, Unavailable
from headwater.files import Files
from headwater.model.block import Block, ManifestChange
from headwater.model.table import TableId

_PROBLEMS_MAX = 100
_CORRECTED_MAX_BYTES = 4_096

_WAIT_S = 10.0
"""How long a copy waits for a server that is just opening or closing the file."""


@dataclass(frozen=True, slots=True)
class FlawedRow:
    """A row that is not what was written; `key` are the values that should name it, `values` all of them."""

    table: str
    key: Mapping[str, Any]
    values: Mapping[str, Any]

    @property
    def plain(self) -> dict[str, Any]:
        """The values without the checksum."""
        return {name: value for name, value in self.values.items() if name != "checksum"}

    @property
    def corrected(self) -> dict[str, Any] | None:
        """What was written, if one bit of it has turned since; None if it is more than that."""
        of, stored = tables.METADATA.tables[self.table], int(self.values["checksum"])
        if (tables.sealed(of, self.plain)["checksum"] ^ stored).bit_count() == 1:
            return self.plain
        for name, value in self.plain.items():
            for other in _one_bit_away(value):
                right = {**self.plain, name: other}
                if tables.sealed(of, right)["checksum"] == stored:
                    return right
        return None


@dataclass(frozen=True, slots=True)
class CatalogSurvey:
    """`problems` are what SQLite says of the file's structure; they leave nothing else to be believed."""

    problems: tuple[str, ...]
    rows: tuple[FlawedRow, ...]
    accounts: frozenset[str]


def copy_catalog(source: Path, target: Path) -> None:
    """One state of a catalog as a single file, also of one that a server is changing. The caller syncs it.

    Raises Unavailable, Corrupt.
    """
    try:
        with (
            closing(sqlite3.connect(source, timeout=_WAIT_S, isolation_level=None)) as original,
            closing(sqlite3.connect(target, isolation_level=None)) as copy,
        ):
            # All pages in one step, which is one read transaction: none of a later change.
            original.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.OperationalError as error:
        raise Unavailable(f"The catalog {source} cannot be copied: {error}") from error
    except sqlite3.DatabaseError as error:
        raise Corrupt(f"The catalog {source} cannot be copied: {error}") from error


def survey_catalog(files: Files, path: Path) -> CatalogSurvey:
    """Verify the structure and every row. To be called on a copy: SQLite may write beside what it opens.

    Raises NewerFormat.
    """
    try:
        with closing(CatalogFile.open(files, path)) as file, file.transaction() as connection:
            found = connection.exec_driver_sql(f"PRAGMA integrity_check({_PROBLEMS_MAX})").scalars().all()
            rows = [
                FlawedRow(of.name, tables.key_of(of, row), dict(row))
                for of in tables.METADATA.sorted_tables
                for row in tables.flawed(connection, of)
            ]
            accounts = connection.execute(sa.select(tables.ACCESS_KEYS.c.account).distinct()).scalars().all()
    except (Corrupt, Unavailable) as fault:
        return CatalogSurvey((fault.message.removeprefix("catalog: "),), (), frozenset())
    problems = tuple(str(problem) for problem in found if problem != "ok")
    return CatalogSurvey(problems, tuple(rows), frozenset(accounts))


def read_manifest(files: Files, path: Path) -> CatalogManifest:
    """The manifest in a copy of a catalog, without any key. Raises NewerFormat, Corrupt, Unavailable."""
    with closing(CatalogFile.open(files, path)) as file:
        return CatalogManifest.open(file)


def mend(files: Files, path: Path, survey: CatalogSurvey, rebuilt: Mapping[str, Block]) -> None:
    """Make the catalog one that opens. One transaction, durable on return. Raises Corrupt, Unavailable.

    A row in which one bit has turned is put right, since the checksum tells which. Of others those of the manifest's
    blocks are written anew if `rebuilt` has them, by id, as their files describe them, and removed if not; the rest is
    taken as it stands.
    """
    with closing(CatalogFile.open(files, path)) as file, file.transaction() as connection:
        for row in survey.rows:
            of = tables.METADATA.tables[row.table]
            chosen = sa.and_(*(of.c[name] == value for name, value in row.key.items()))
            block = rebuilt.get(str(row.key.get("id"))) if of is tables.BLOCKS else None
            right = row.corrected
            if block is not None:
                connection.execute(of.update().where(chosen), tables.block_row(row.key["account"], block))
            elif right is None and of is tables.BLOCKS:
                rows_of = tables.DELETED_ROWS
                connection.execute(rows_of.delete().where(rows_of.c.block_id == row.key["id"]))
                connection.execute(of.delete().where(chosen))
            else:
                connection.execute(of.update().where(chosen), tables.sealed(of, right or row.plain))


def forget_blocks(files: Files, path: Path, blocks: Iterable[Block]) -> None:
    """Take blocks out of the manifest, with what it knows of their rows. Durable. Raises Corrupt, Unavailable."""
    removed: dict[TableId, list[str]] = defaultdict(list)
    for block in blocks:
        removed[block.table].append(block.id)
    with closing(CatalogFile.open(files, path)) as file:
        manifest = CatalogManifest.open(file)
        for table, ids in removed.items():
            live = manifest.load(table)
            manifest.commit(ManifestChange(table, live.columns, live.checkpoint, removed=tuple(ids)))


def _one_bit_away(value: int | str | bytes | None) -> Iterator[int | str | bytes]:
    """What a value may have been before one of its bits turned. None of a very long one."""
    match value:
        case int():
            # The sign is a bit of its own.
            yield from (value ^ (1 << bit) for bit in range(63))
            yield value ^ -(1 << 63)
        case str():
            yield from (text for data in _turned(value.encode()) if (text := _decoded(data)) is not None)
        case bytes():
            yield from _turned(value)


def _turned(data: bytes) -> Iterator[bytes]:
    for bit in range(8 * len(data) if len(data) <= _CORRECTED_MAX_BYTES else 0):
        turned = bytearray(data)
        turned[bit // 8] ^= 1 << bit % 8
        yield bytes(turned)


def _decoded(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None
