"""The persisted forms of the catalog: its SQL tables, and how values of `model` become rows and back.

Used by the rest of this room only. Runs no transaction. The layout is drawn in docs/format/catalog.md. Only SQL that
SQLite and PostgreSQL both have; names compare byte by byte in both, and nothing here sorts by a name.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy import BigInteger, Column, ForeignKeyConstraint, LargeBinary, PrimaryKeyConstraint, Table, Text

from headwater import errors
from headwater.model import block, table
from headwater.model.types import Scalar

FORMAT_VERSION = 1

METADATA = sa.MetaData()


def _table(name: str, *items: sa.schema.SchemaItem) -> Table:
    """A table whose rows each carry a checksum of all their other values (`sealed`)."""
    return Table(name, METADATA, *items, Column("checksum", BigInteger, nullable=False))


def _text(name: str, nullable: bool = False) -> Column[str]:
    return Column(name, Text, nullable=nullable)


def _integer(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


FORMAT = _table("format", _integer("version"), PrimaryKeyConstraint("version"))

PROPERTIES = _table(
    "properties",
    _text("account"),
    _text("name"),
    _text("value"),
    PrimaryKeyConstraint("account", "name"),
)

DATABASES = _table(
    "databases",
    _text("account"),
    _text("name"),
    _text("kms_key_id"),
    _integer("created_ns"),
    _integer("updated_ns"),
    PrimaryKeyConstraint("account", "name"),
)

TABLES = _table(
    "tables",
    _text("account"),
    _text("id"),
    _text("database_name"),
    _text("name"),
    _integer("memory_hours"),
    _integer("magnetic_days"),
    _text("magnetic_writes", nullable=True),
    _text("partition_key", nullable=True),
    _integer("created_ns"),
    _integer("updated_ns"),
    PrimaryKeyConstraint("account", "id"),
    sa.UniqueConstraint("account", "database_name", "name"),
    ForeignKeyConstraint(["account", "database_name"], ["databases.account", "databases.name"]),
)


def _of_table() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["account", "table_id"], ["tables.account", "tables.id"])


COLUMNS = _table(
    "columns",
    _text("account"),
    _text("table_id"),
    _text("name"),
    _integer("place"),
    _text("kind"),
    _text("type"),
    _text("physical"),
    PrimaryKeyConstraint("account", "table_id", "name"),
    _of_table(),
)

CHECKPOINTS = _table(
    "checkpoints",
    _text("account"),
    _text("table_id"),
    _integer("sequence"),
    PrimaryKeyConstraint("account", "table_id"),
    _of_table(),
)

BLOCKS = _table(
    "blocks",
    _text("account"),
    _text("table_id"),
    _text("id"),
    _integer("day"),
    _integer("rows"),
    _integer("bytes"),
    _integer("start_ns"),
    _integer("end_ns"),
    _text("sha256"),
    _text("physical"),
    _text("sorted_by", nullable=True),
    PrimaryKeyConstraint("account", "table_id", "id"),
    _of_table(),
)

DELETED_ROWS = _table(
    "deleted_rows",
    _text("account"),
    _text("table_id"),
    _text("block_id"),
    Column("positions", LargeBinary, nullable=False),
    PrimaryKeyConstraint("account", "table_id", "block_id"),
    ForeignKeyConstraint(["account", "table_id", "block_id"], ["blocks.account", "blocks.table_id", "blocks.id"]),
)

TAGS = _table(
    "tags",
    _text("account"),
    _text("resource"),
    _text("key"),
    _text("value"),
    PrimaryKeyConstraint("account", "resource", "key"),
)

DATABASE_KEYS = _table(
    "database_keys",
    _text("account"),
    _text("id"),
    _text("database_name"),
    _integer("number"),
    _text("kms_key_id"),
    Column("wrapped", LargeBinary, nullable=False),
    _integer("created_ns"),
    PrimaryKeyConstraint("account", "id"),
    sa.UniqueConstraint("account", "database_name", "number"),
    ForeignKeyConstraint(["account", "database_name"], ["databases.account", "databases.name"]),
)

REWRAPPED_KEYS = _table(
    "rewrapped_keys",
    _text("account"),
    _text("place"),
    Column("slot", LargeBinary, nullable=False),
    PrimaryKeyConstraint("account", "place"),
)

SCHEDULED_QUERIES = _table(
    "scheduled_queries",
    _text("account"),
    _text("id"),
    _text("name"),
    _text("state"),
    _integer("claimed_s"),
    Column("definition", LargeBinary, nullable=False),
    PrimaryKeyConstraint("account", "id"),
    sa.UniqueConstraint("account", "name"),
)

SCHEDULED_RUNS = _table(
    "scheduled_runs",
    _text("account"),
    _text("query_id"),
    _integer("number"),
    Column("details", LargeBinary, nullable=False),
    PrimaryKeyConstraint("account", "query_id", "number"),
    ForeignKeyConstraint(["account", "query_id"], ["scheduled_queries.account", "scheduled_queries.id"]),
)

ACCESS_KEYS = _table(
    "access_keys",
    _text("account"),
    _text("id"),
    Column("secret", LargeBinary, nullable=False),
    _integer("created_ns"),
    PrimaryKeyConstraint("account", "id"),
)

SECRETS = _table(
    "secrets",
    _text("name"),
    Column("value", LargeBinary, nullable=False),
    PrimaryKeyConstraint("name"),
)

BATCH_LOAD_TASKS = _table(
    "batch_load_tasks",
    _text("account"),
    _text("id"),
    _text("client_token", nullable=True),
    _text("request"),
    Column("details", LargeBinary, nullable=False),
    PrimaryKeyConstraint("account", "id"),
)


def _of_batch_load() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["account", "task_id"], ["batch_load_tasks.account", "batch_load_tasks.id"])


BATCH_LOAD_FILES = _table(
    "batch_load_files",
    _text("account"),
    _text("task_id"),
    _integer("place"),
    Column("details", LargeBinary, nullable=False),
    PrimaryKeyConstraint("account", "task_id", "place"),
    _of_batch_load(),
)

BATCH_LOAD_FAILURES = _table(
    "batch_load_failures",
    _text("account"),
    _text("task_id"),
    _integer("number"),
    _integer("place"),
    Column("lines", LargeBinary, nullable=False),
    PrimaryKeyConstraint("account", "task_id", "number"),
    _of_batch_load(),
)

Row = Mapping[Any, Any]
"""Values by column name, as the database gives them back."""


def sealed(of: Table, row: dict[str, Any]) -> dict[str, Any]:
    """The row with its checksum, ready to insert. `row` names every other column of the table."""
    return {**row, "checksum": _checksum(of, row)}


def read(connection: sa.Connection, of: Table) -> Iterator[Row]:
    """All rows of a table, in no promised order. Raises Corrupt for one that is not what was written."""
    for row in connection.execute(sa.select(of)).mappings():
        if row["checksum"] != _checksum(of, row):
            raise errors.Corrupt(f"catalog: a row of {of.name} fails its checksum: {key_of(of, row)}")
        yield row


def flawed(connection: sa.Connection, of: Table) -> list[Row]:
    """The rows that are not what was written."""
    return [row for row in connection.execute(sa.select(of)).mappings() if row["checksum"] != _checksum(of, row)]


def key_of(of: Table, row: Row) -> dict[str, Any]:
    """What names a row among those of its table."""
    return {column.name: row[column.name] for column in of.primary_key}


def _checksum(of: Table, row: Row) -> int:
    values = [row[column.name] for column in of.columns if column.name != "checksum"]
    plain = [value.hex() if isinstance(value, bytes) else value for value in values]
    return zlib.crc32(json.dumps([of.name, *plain], separators=(",", ":")).encode())


def database_row(account: str, database: table.Database) -> dict[str, Any]:
    return sealed(
        DATABASES,
        {
            "account": account,
            "name": database.name,
            "kms_key_id": database.kms_key_id,
            "created_ns": database.created_ns,
            "updated_ns": database.updated_ns,
        },
    )


def database_of(row: Row) -> table.Database:
    return table.Database(row["name"], row["kms_key_id"], row["created_ns"], row["updated_ns"])


def table_row(account: str, of: table.Table) -> dict[str, Any]:
    return sealed(
        TABLES,
        {
            "account": account,
            "id": of.id,
            "database_name": of.database,
            "name": of.name,
            "memory_hours": of.retention.memory_hours,
            "magnetic_days": of.retention.magnetic_days,
            "magnetic_writes": None if of.magnetic_writes is None else json.dumps(of.magnetic_writes),
            "partition_key": None if of.partition_key is None else json.dumps(of.partition_key),
            "created_ns": of.created_ns,
            "updated_ns": of.updated_ns,
        },
    )


def table_of(row: Row) -> table.Table:
    magnetic_writes, partition_key = row["magnetic_writes"], row["partition_key"]
    return table.Table(
        id=table.TableId(row["id"]),
        database=row["database_name"],
        name=row["name"],
        retention=table.Retention(row["memory_hours"], row["magnetic_days"]),
        created_ns=row["created_ns"],
        updated_ns=row["updated_ns"],
        magnetic_writes=None if magnetic_writes is None else json.loads(magnetic_writes),
        partition_key=None if partition_key is None else tuple(json.loads(partition_key)),
    )


def tag_row(account: str, resource: str, key: str, value: str) -> dict[str, Any]:
    return sealed(TAGS, {"account": account, "resource": resource, "key": key, "value": value})


def column_row(account: str, id: table.TableId, place: int, column: table.Column) -> dict[str, Any]:
    """`place` is the 0-based place of the column in its group: among the dimensions, or among the measures."""
    return sealed(
        COLUMNS,
        {
            "account": account,
            "table_id": id,
            "name": column.name,
            "place": place,
            "kind": column.kind.name,
            "type": column.type.name,
            "physical": column.physical,
        },
    )


def columns_of(rows: list[Row]) -> table.Columns:
    """The columns of one table, from its rows in any order."""
    found = [
        table.Column(row["name"], table.ColumnKind[row["kind"]], Scalar[row["type"]], row["physical"])
        for row in sorted(rows, key=lambda row: int(row["place"]))
    ]
    dimensions = tuple(column for column in found if column.kind is table.ColumnKind.DIMENSION)
    measures = tuple(column for column in found if column.kind is not table.ColumnKind.DIMENSION)
    return table.Columns(dimensions, measures)


def block_row(account: str, of: block.Block) -> dict[str, Any]:
    return sealed(
        BLOCKS,
        {
            "account": account,
            "table_id": of.table,
            "id": of.id,
            "day": of.day,
            "rows": of.rows,
            "bytes": of.bytes,
            "start_ns": of.start_ns,
            "end_ns": of.end_ns,
            "sha256": of.sha256,
            "physical": json.dumps([[name, of.scales[name]] if name in of.scales else name for name in of.physical]),
            "sorted_by": of.sorted_by,
        },
    )


def block_of(row: Row) -> block.Block:
    columns = [(one, None) if isinstance(one, str) else tuple(one) for one in json.loads(row["physical"])]
    return block.Block(
        id=row["id"],
        table=table.TableId(row["table_id"]),
        day=row["day"],
        rows=row["rows"],
        bytes=row["bytes"],
        start_ns=row["start_ns"],
        end_ns=row["end_ns"],
        sha256=row["sha256"],
        physical=tuple(name for name, _ in columns),
        sorted_by=row["sorted_by"],
        scales={name: scale for name, scale in columns if scale is not None},
    )


def encode_positions(positions: list[int]) -> bytes:
    """Ascending row positions as the zlib-compressed differences between them, 64-bit little-endian."""
    return zlib.compress(np.diff(np.asarray(positions, dtype="<i8"), prepend=0).tobytes())


def decode_positions(data: bytes) -> list[int]:
    positions: list[int] = np.cumsum(np.frombuffer(zlib.decompress(data), dtype="<i8")).tolist()
    return positions
