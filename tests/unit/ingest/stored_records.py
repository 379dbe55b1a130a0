"""Ingest on a real store in a folder, in each of the places where records may lie, and what is stored there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
from request_bodies import request

from headwater.errors import Rejected
from headwater.ingest.write import Ingest, Ingested
from headwater.model.limits import Limits
from headwater.model.table import ColumnKind, Retention, Table
from headwater.model.time import NS_PER_MS
from support.block_rows import block_rows
from support.stores import NOW_NS, StoreFolder

NOW_MS = NOW_NS // NS_PER_MS
LIVES = ("memory", "flushed", "restarted", "compacted")

Told = list[tuple[int, str, int | None]]
"""(index, reason, existing version) of each rejected record."""


class IngestFolder:
    """`write` requests to the table "d"."t"; `settle` brings what is stored to where a life has it."""

    def __init__(self, directory: Path, life: str = "memory", limits: Limits | None = None, **table: Any) -> None:
        self.life = life
        self.folder = StoreFolder(directory, limits=limits)
        self.folder.catalog.create_database("d", None)
        self.table = self.new_table("t", **table)

    def new_table(
        self,
        name: str,
        retention: Retention | None = None,
        magnetic_writes: bool = False,
        partition_key: tuple[dict[str, str], ...] | None = None,
    ) -> Table:
        properties = {"EnableMagneticStoreWrites": magnetic_writes}
        return self.folder.catalog.create_table("d", name, retention, properties, partition_key)

    def close(self) -> None:
        self.folder.close()

    def settle(self) -> None:
        match self.life:
            case "flushed":
                self.folder.store.flush()
            case "restarted":
                self.folder.reopen()
            case "compacted":
                self.folder.store.flush()
                self.folder.store.compact()

    def write(self, *records: dict[str, Any], common: dict[str, Any] | None = None, table: str = "t") -> Ingested:
        """Raises Rejected, and Invalid for a fault of the request."""
        sent = request(*records, common=common)
        object.__setattr__(sent, "table", table)
        ingest = Ingest(self.folder.catalog, self.folder.store, self.folder.clock, self.folder.limits)
        return ingest.write(sent).result(30)

    def told(self, *records: dict[str, Any], **how: Any) -> Told:
        """What the client is told of each rejected record; nothing if all are stored."""
        try:
            self.write(*records, **how)
        except Rejected as fault:
            return [(record.index, record.reason, record.existing_version) for record in fault.records]
        return []

    def stored(self, table: Table | None = None) -> dict[tuple[Any, ...], dict[str, Any]]:
        """Every live record: (measure name, time in ns, dimensions by name) and its values, doubles as `float.hex`."""
        self.folder.table = (table or self.table).id
        columns = self.folder.store.columns(self.folder.table)
        scan = self.folder.scan()
        tables = [memory for memory in scan.memory if len(memory)]
        for part in scan.blocks:
            found = block_rows(part)
            names = {column.physical: column.name for column in columns.all()}
            found = found.select([name for name in found.column_names if name in names])
            found = found.rename_columns([names[name] for name in found.column_names])
            tables.append(found.cast(pa.schema([field.with_type(_as_int64(field.type)) for field in found.schema])))
        scan.close()
        records: dict[tuple[Any, ...], dict[str, Any]] = {}
        for row in [row for found in tables for row in found.to_pylist()]:
            measure_name, time_ns = row.pop("measure_name"), row.pop("time")
            there = {name: value for name, value in row.items() if value is not None}
            dimensions = {
                name: there.pop(name) for name in sorted(there) if columns.by_name[name].kind is ColumnKind.DIMENSION
            }
            key = measure_name, time_ns, tuple(dimensions.items())
            assert key not in records, "a record is there twice"
            records[key] = {name: v.hex() if isinstance(v, float) else v for name, v in sorted(there.items())}
        return records

    def columns(self, table: Table | None = None) -> list[tuple[str, str]]:
        """(name, type) of the table's columns, in order."""
        columns = self.folder.store.columns((table or self.table).id)
        return [(column.name, column.type.value) for column in columns.all()]


def _as_int64(of: pa.DataType) -> pa.DataType:
    """Instants as ns, which Python's own have no place for."""
    return pa.int64() if pa.types.is_timestamp(of) else of
