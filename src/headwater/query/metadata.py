"""SHOW and DESCRIBE: answered from the catalog and the store, without the engine. Source: sql.md 4.3-4.6."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa

from headwater.catalog.catalog import Catalog
from headwater.model.types import Array, Field, OutputColumn, Row, Scalar
from headwater.query.result import Result, RowsInMemory
from headwater.sql.compile import Describe, ShowDatabases, ShowMeasures, ShowTables
from headwater.storage.store import Store

MetadataPlan = ShowDatabases | ShowTables | ShowMeasures | Describe
ColumnType = Scalar | Array

_DIMENSIONS = Array(Row((Field("dimension_name", Scalar.VARCHAR), Field("data_type", Scalar.VARCHAR))))
_ALL = 1_000_000


def metadata_result(plan: MetadataPlan, catalog: Catalog, store: Store) -> Result:
    """The rows of a metadata statement; nothing is scanned and nothing metered."""
    match plan:
        case ShowDatabases(like=like):
            names = [database.name for database in catalog.list_databases(None, _ALL)]
            return _result([("Database", Scalar.VARCHAR)], [[name] for name in names if _is_like(name, like)])
        case ShowTables(database=database, like=like):
            names = [table.name for table in catalog.list_tables(database, None, _ALL)]
            return _result([("Table", Scalar.VARCHAR)], [[name] for name in names if _is_like(name, like)])
        case ShowMeasures(database=database, table=table, like=like):
            measures = store.measures(catalog.table(database, table).id)
            rows = [
                [name, data_type, [{"f0": dimension, "f1": "varchar"} for dimension in dimensions]]
                for name, data_type, dimensions in measures
                if _is_like(name, like)
            ]
            columns: list[tuple[str, ColumnType]] = [
                ("measure_name", Scalar.VARCHAR),
                ("data_type", Scalar.VARCHAR),
                ("dimensions", _DIMENSIONS),
            ]
            return _result(columns, rows)
        case Describe(database=database, table=table):
            known = store.columns(catalog.table(database, table).id).all()
            headings = ("Column", "Type", "Timestream attribute type")
            rows = [[column.name, column.type.value, column.kind.value] for column in known]
            return _result([(heading, Scalar.VARCHAR) for heading in headings], rows)


def _result(columns: Sequence[tuple[str, ColumnType]], rows: Iterable[Sequence[object]]) -> Result:
    by_column = list(zip(*rows, strict=True)) or [() for _ in columns]
    arrays = [
        pa.array(values, _arrow_type(column_type)) for values, (_, column_type) in zip(by_column, columns, strict=True)
    ]
    table = pa.Table.from_arrays(arrays, names=[f"c{place}" for place in range(len(arrays))])
    return Result(RowsInMemory(table), tuple(OutputColumn(*column) for column in columns), 0, 0)


def _arrow_type(column_type: ColumnType) -> pa.DataType:
    if isinstance(column_type, Array):
        return pa.list_(pa.struct([("f0", pa.string()), ("f1", pa.string())]))
    return pa.string()


def _is_like(text: str, pattern: str | None) -> bool:
    """SQL LIKE without escapes: `%` any run, `_` one character. Time is at most the product of the lengths."""
    if pattern is None:
        return True
    reachable = {0}
    for character in pattern:
        if character == "%":
            reachable = set(range(min(reachable), len(text) + 1)) if reachable else reachable
        else:
            reachable = {at + 1 for at in reachable if at < len(text) and character in ("_", text[at])}
    return len(text) in reachable
