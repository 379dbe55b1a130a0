"""The catalog's database file: opened, checked, and changed one transaction at a time.

Used by the rest of this room only, and the one place that knows the database underneath is SQLite. The file is not
reached through `files.py`: SQLite does its own writing and syncing, in write-ahead mode with `synchronous=FULL`, so
that a transaction is on stable storage when it returns.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import StaticPool

from headwater.catalog import tables
from headwater.errors import Corrupt, NewerFormat, Unavailable
from headwater.files import Files

_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA fullfsync=ON",
    "PRAGMA foreign_keys=ON",
    "PRAGMA cell_size_check=ON",
    # What is deleted is overwritten: a retired key is gone.
    "PRAGMA secure_delete=ON",
)


_BUSY_TIMEOUT_S = 1.0
"""How long a change waits for another program that reads the file: there is no other server, the folder is locked."""


class CatalogFile:
    """One connection to the file. `changing` is held by whoever checks something and then changes it."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self.changing = threading.RLock()

    @classmethod
    def open(cls, files: Files, path: Path) -> CatalogFile:
        """Open the file, making it and its tables if this is the first time.

        Raises NewerFormat before anything is touched, Corrupt, Unavailable.
        """
        if files.exists(path, site="catalog.exists"):
            _refuse_newer(path)
        else:
            # SQLite gives its side files the mode of this one.
            files.write_file(path, b"", site="catalog.create")
        engine = sa.create_engine("sqlite://", creator=lambda: _connect(path), poolclass=StaticPool)
        sa.event.listen(engine, "begin", _begin)
        file = cls(engine)
        try:
            file._check()
        except BaseException:
            file.close()
            raise
        return file

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """Run one transaction: committed and synced when the block ends, rolled back when it raises.

        Raises Unavailable if the disk does not take the change, Corrupt if the file is not a sound database.
        """
        with self.changing, _as_faults(), self._engine.begin() as connection:
            yield connection

    def close(self) -> None:
        self._engine.dispose()

    def _check(self) -> None:
        with self.transaction() as connection:
            found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
            if found != "ok":
                raise Corrupt(f"catalog: {found}")
            if sa.inspect(connection).has_table(tables.FORMAT.name):
                # Before a row is verified: a newer release may compute checksums in another way.
                _refuse(connection.scalar(sa.select(sa.func.max(tables.FORMAT.c.version))) or 0)
            tables.METADATA.create_all(connection)
            if not list(tables.read(connection, tables.FORMAT)):
                row = tables.sealed(tables.FORMAT, {"version": tables.FORMAT_VERSION})
                connection.execute(tables.FORMAT.insert(), row)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    for pragma in _PRAGMAS:
        connection.execute(pragma)
    return connection


def _begin(connection: sa.Connection) -> None:
    """The driver's own rule of when a transaction begins leaves out tables being made; ours has no exception."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _refuse_newer(path: Path) -> None:
    """Raise NewerFormat if the file says so, without SQLite making, replaying or removing any side file.

    An immutable view does not see what still stands in the side file; `_check` looks again when it is open.
    """
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro&immutable=1", uri=True)) as connection:
        try:
            row = connection.execute("SELECT max(version) FROM format").fetchone()
        except sqlite3.DatabaseError:
            return
    _refuse(row[0] or 0)


def _refuse(version: int) -> None:
    if version > tables.FORMAT_VERSION:
        raise NewerFormat(
            f"The catalog has format version {version}, this release knows versions up to {tables.FORMAT_VERSION}."
        )


@contextmanager
def _as_faults() -> Iterator[None]:
    """Turn the driver's exceptions into faults. A broken constraint stays as it is: that is a bug of ours."""
    try:
        yield
    except OperationalError as error:
        raise Unavailable(f"catalog: {error.orig}") from error
    except sa.exc.IntegrityError:
        raise
    except DatabaseError as error:
        raise Corrupt(f"catalog: {error.orig}") from error
