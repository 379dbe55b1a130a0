"""The rows of a block of a scan, and those of a whole table, read in one piece and not by the engine."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from headwater.files import SourceFile
from headwater.model.scan import BlockPart, ScanRequest
from headwater.model.table import TableId
from headwater.storage.store import Store


def block_rows(part: BlockPart) -> pa.Table:
    """Those that are not replaced, in their order."""
    table = pq.read_table(SourceFile(part.open()))
    for name, decimals in part.scales.items():
        values = [None if number is None else number / 10**decimals for number in table[name].to_pylist()]
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(values, pa.float64()))
    gone = set() if part.deleted_rows is None else set(part.deleted_rows.tolist())
    return table.take(pa.array([row for row in range(table.num_rows) if row not in gone], pa.int64()))


def values_of(store: Store, table: TableId, measures: Sequence[str]) -> list[tuple[str, int, str, float]]:
    """Host, time, measure and value of each value of these measures in each live row, in no order."""
    columns = store.columns(table).all()
    scan = store.scan(ScanRequest(table, tuple((column, column.name) for column in columns)))
    try:
        parts = list(scan.memory)
        names = {column.physical: column.name for column in columns}
        for block in scan.blocks:
            rows = block_rows(block)
            rows = rows.rename_columns([names.get(name, name) for name in rows.column_names])
            place = rows.schema.get_field_index("time")
            parts.append(rows.set_column(place, "time", rows["time"].cast(pa.int64())))
    finally:
        scan.close()
    return [
        (row["host"], row["time"], name, row[name])
        for part in parts
        for row in part.to_pylist()
        for name in measures
        if row.get(name) is not None
    ]
