"""The manifest: which blocks of each table are live, to where the log is in them, and which of their rows are replaced.

`catalog.Catalog` opens this, `storage` uses it by the protocol of `model/block`. It covers the tables of every account:
a block that no table of the manifest names is rubbish to the store. Reads come from memory; a change is one transaction
and is in memory once it is committed.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa

from headwater.catalog import tables
from headwater.catalog.sqlite import CatalogFile
from headwater.errors import NotFound
from headwater.model.block import Block, ManifestChange, TableManifest
from headwater.model.table import Column, Columns, TableId


@dataclass(frozen=True, slots=True)
class _Stored:
    """One table's manifest as it is kept in memory: replaced rows stay compressed, they are read once a start."""

    account: str
    columns: Columns = Columns()  # noqa: RUF009 - immutable, so one empty value can serve all
    checkpoint: int = 0
    blocks: dict[str, Block] = field(default_factory=dict)
    deleted_rows: dict[str, bytes] = field(default_factory=dict)


_LOG_END = "log_end"


class CatalogManifest:
    """Implements `model.block.Manifest`."""

    def __init__(self, file: CatalogFile, stored: dict[TableId, _Stored], log_end: int) -> None:
        self._file = file
        self._stored = stored
        self._log_end = log_end
        self._lock = threading.Lock()

    @classmethod
    def open(cls, file: CatalogFile) -> CatalogManifest:
        """Read all of it, in six statements however many tables there are. Raises Corrupt."""
        with file.transaction() as connection:
            accounts = {TableId(row["id"]): row["account"] for row in tables.read(connection, tables.TABLES)}
            columns = _by_table(tables.read(connection, tables.COLUMNS))
            checkpoints = {row["table_id"]: row["sequence"] for row in tables.read(connection, tables.CHECKPOINTS)}
            blocks = _by_table(tables.read(connection, tables.BLOCKS))
            deleted = _by_table(tables.read(connection, tables.DELETED_ROWS))
            ends = [int(row["value"]) for row in tables.read(connection, tables.PROPERTIES) if row["name"] == _LOG_END]
        stored = {
            id: _Stored(
                account,
                tables.columns_of(columns.get(id, [])),
                checkpoints.get(id, 0),
                {row["id"]: tables.block_of(row) for row in blocks.get(id, [])},
                {row["block_id"]: row["positions"] for row in deleted.get(id, [])},
            )
            for id, account in accounts.items()
        }
        return cls(file, stored, max(ends, default=0))

    def tables(self) -> list[TableId]:
        """Every table that exists, of all accounts, in no promised order."""
        with self._lock:
            return list(self._stored)

    def blocks(self) -> list[Block]:
        """The live blocks of all tables, in no promised order."""
        with self._lock:
            stored = list(self._stored.values())
        return [block for one in stored for block in one.blocks.values()]

    def load(self, table: TableId) -> TableManifest:
        """The live state of one table; an empty one for a table never flushed. Raises NotFound for a dropped one."""
        stored = self._get(table)
        return TableManifest(
            stored.columns,
            stored.checkpoint,
            tuple(stored.blocks.values()),
            {id: tables.decode_positions(data) for id, data in stored.deleted_rows.items()},
        )

    @property
    def log_end(self) -> int:
        with self._lock:
            stored = list(self._stored.values())
        return max([self._log_end, *(one.checkpoint for one in stored)])

    def note_log_end(self, sequence: int) -> None:
        """Raises Unavailable if the disk does not take it."""
        of = tables.PROPERTIES
        with self._file.changing:
            with self._file.transaction() as connection:
                connection.execute(of.delete().where(of.c.account == "", of.c.name == _LOG_END))
                row = {"account": "", "name": _LOG_END, "value": str(sequence)}
                connection.execute(of.insert(), tables.sealed(of, row))
            self._log_end = sequence

    def commit(self, change: ManifestChange) -> None:
        """Make the change durable, whole or not at all, before returning.

        Raises NotFound if the table was dropped meanwhile, Unavailable if the disk does not take it.
        """
        with self._file.changing:
            old = self._get(change.table)
            new = _changed(old, change)
            with self._file.transaction() as connection:
                _write(connection, old, new, change)
            with self._lock:
                self._stored[change.table] = new

    def add_table(self, account: str, table: TableId) -> None:
        """Know a table that the catalog has just made. Memory only."""
        with self._lock:
            self._stored[table] = _Stored(account)

    def delete_rows(self, connection: sa.Connection, table: TableId) -> None:
        """Delete all rows of a table that the catalog is dropping, in the caller's transaction."""
        key = _key(self._get(table), table)
        for of in (tables.DELETED_ROWS, tables.BLOCKS, tables.CHECKPOINTS, tables.COLUMNS):
            _delete(connection, of, key)

    def forget_table(self, table: TableId) -> None:
        """Forget a table that the catalog has dropped. Memory only."""
        with self._lock:
            del self._stored[table]

    def _get(self, table: TableId) -> _Stored:
        with self._lock:
            stored = self._stored.get(table)
        if stored is None:
            raise NotFound("table", table)
        return stored


def _by_table(rows: Iterable[tables.Row]) -> dict[str, list[tables.Row]]:
    grouped: dict[str, list[tables.Row]] = defaultdict(list)
    for row in rows:
        grouped[row["table_id"]].append(row)
    return grouped


def _changed(old: _Stored, change: ManifestChange) -> _Stored:
    """The state after the change. The store's wish must follow from the state before: else it is a bug of ours."""
    assert change.checkpoint >= old.checkpoint, "a checkpoint never goes back"
    assert set(old.columns.all()) <= set(change.columns.all()), "columns are only ever added"
    blocks = {**old.blocks, **{block.id: block for block in change.added}}
    assert len(blocks) == len(old.blocks) + len(change.added), "the id of a block is new"
    assert set(change.removed) <= set(blocks), "a removed block is a live one"
    new_positions = change.deleted_rows or {}
    deleted = {**old.deleted_rows, **{id: tables.encode_positions(rows) for id, rows in new_positions.items() if rows}}
    gone = {*change.removed, *(id for id, rows in new_positions.items() if not rows)}
    assert set(new_positions) <= set(blocks), "replaced rows are rows of a live block"
    return replace(
        old,
        columns=change.columns,
        checkpoint=change.checkpoint,
        blocks={id: block for id, block in blocks.items() if id not in change.removed},
        deleted_rows={id: data for id, data in deleted.items() if id not in gone},
    )


def _write(connection: sa.Connection, old: _Stored, new: _Stored, change: ManifestChange) -> None:
    """Write what differs. A row that changes is deleted and inserted: every database does that alike."""
    key = _key(old, change.table)
    columns = [
        tables.column_row(old.account, change.table, place, column)
        for place, column in _places(new.columns)
        if column.name not in old.columns.by_name
    ]
    _insert(connection, tables.COLUMNS, columns)
    if new.checkpoint != old.checkpoint:
        _delete(connection, tables.CHECKPOINTS, key)
        row = tables.sealed(tables.CHECKPOINTS, {**key, "sequence": new.checkpoint})
        _insert(connection, tables.CHECKPOINTS, [row])
    rewritten = {id for id, data in old.deleted_rows.items() if new.deleted_rows.get(id) is not data}
    for id in rewritten:
        _delete(connection, tables.DELETED_ROWS, {**key, "block_id": id})
    for id in change.removed:
        _delete(connection, tables.BLOCKS, {**key, "id": id})
    added = [tables.block_row(old.account, block) for block in change.added if block.id in new.blocks]
    _insert(connection, tables.BLOCKS, added)
    positions = [
        tables.sealed(tables.DELETED_ROWS, {**key, "block_id": id, "positions": data})
        for id, data in new.deleted_rows.items()
        if old.deleted_rows.get(id) is not data
    ]
    _insert(connection, tables.DELETED_ROWS, positions)


def _places(columns: Columns) -> list[tuple[int, Column]]:
    return [*enumerate(columns.dimensions), *enumerate(columns.measures)]


def _key(stored: _Stored, table: TableId) -> dict[str, Any]:
    return {"account": stored.account, "table_id": table}


def _insert(connection: sa.Connection, of: sa.Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(of.insert(), rows)


def _delete(connection: sa.Connection, of: sa.Table, key: dict[str, Any]) -> None:
    connection.execute(of.delete().where(*(of.c[name] == value for name, value in key.items())))
