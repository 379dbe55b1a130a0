"""Scans as relations of the engine: memory tables and blocks under one name, with the columns a plan expects.

`engine.py` runs what `with_scans` makes. Blocks with the same columns are read as one list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pyarrow as pa

from headwater.engine.filesystem import url_of
from headwater.model.scan import ALL_TIME, BlockPart, Leading, Scan, ScanRequest
from headwater.model.table import TIME, Column
from headwater.model.types import Scalar

ENGINE_TYPES = {
    Scalar.BOOLEAN: "BOOLEAN",
    Scalar.BIGINT: "BIGINT",
    Scalar.DOUBLE: "DOUBLE",
    Scalar.VARCHAR: "VARCHAR",
    Scalar.TIMESTAMP: "BIGINT",
}
"""The types a stored column can have."""

SERIES_LISTED = 1_000
"""More series ids than this are not worth a list: the condition is only a hint."""


def quoted_name(name: str) -> str:
    """An identifier of the engine."""
    return '"' + name.replace('"', '""') + '"'


def quoted(text: str) -> str:
    """A string literal of the engine."""
    return "'" + text.replace("'", "''") + "'"


def with_scans(sql: str, scans: Mapping[str, Scan], query_of: Callable[[pa.Table], str]) -> str:
    """`sql` with every scan defined before it; if it begins with WITH itself, they join its list.

    `query_of` makes a query of the engine that reads a table in memory.
    """
    if not scans:
        return sql
    named = []
    for name, scan in scans.items():
        query = " UNION ALL ".join((*_memory(scan, query_of), *_blocks(scan, query_of))) or _empty(scan.request)
        named.append(f"{quoted_name(name)} AS NOT MATERIALIZED ({query})")
    has_own = sql.startswith("WITH ")
    return f"WITH {', '.join(named)}{', ' if has_own else ' '}{sql.removeprefix('WITH ')}"


def _memory(scan: Scan, query_of: Callable[[pa.Table], str]) -> Iterator[str]:
    by_schema: dict[pa.Schema, list[pa.Table]] = {}
    for table in (*scan.memory, *scan.decoded):
        by_schema.setdefault(table.schema, []).append(table)
    # Each table costs a part of a millisecond, however few its rows.
    for alike in by_schema.values():
        # They have just these columns, in this order.
        query = query_of(pa.concat_tables(alike))
        yield query if scan.request.columns else _select([], f"({query})")


def _blocks(scan: Scan, query_of: Callable[[pa.Table], str]) -> Iterator[str]:
    for group in _groups(scan):
        columns = [_block_column(column, answer, group[0]) for column, answer in scan.request.columns]
        files = ", ".join(quoted(url_of(part)) for part in group)
        source = f"read_parquet([{files}], hive_partitioning = false)"
        conditions = _conditions(scan.request, group[0])
        deleted = group[0].deleted_rows
        if deleted is not None:
            conditions.append(f"file_row_number NOT IN ({query_of(pa.table({'place': deleted}))})")
        yield _select(columns, source, conditions)


def _groups(scan: Scan) -> list[list[BlockPart]]:
    """Blocks that one read_parquet can take: the same columns asked for, the same conditions, nothing deleted."""
    asked = {column.physical for column, _ in scan.request.columns}
    groups: dict[object, list[BlockPart]] = {}
    for part in scan.blocks:
        alone = part.path if part.deleted_rows is not None else None
        scales = frozenset((name, scale) for name, scale in part.scales.items() if name in asked)
        key = (alone, part.physical & asked, scales, part.series_ids, part.from_ns, _leading(part))
        groups.setdefault(key, []).append(part)
    return list(groups.values())


def _select(columns: list[str], source: str, conditions: list[str] | None = None) -> str:
    """A scan that needs no column still has rows to count."""
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT {', '.join(columns) or '1'} FROM {source}{where}"  # noqa: S608  names and literals are quoted


def _block_column(column: Column, answer: str, part: BlockPart | None) -> str:
    """One column of a block under the answer's name: instants as integers, NULL of its type where the file lacks it."""
    own = quoted_name(column.physical)
    if part is None or column.physical not in part.physical:
        own = f"CAST(NULL AS {ENGINE_TYPES[column.type]})"
    elif column.physical in part.scales:
        own = f"(CAST({own} AS DOUBLE) / 1e{part.scales[column.physical]})"
    elif column is TIME:
        own = f"epoch_ns({own})"
    elif column.type is Scalar.TIMESTAMP:
        # The engine takes the ends of the range for infinities, which have no number.
        ends = f"WHEN {own} = 'infinity' THEN {2**63 - 1} WHEN {own} = '-infinity' THEN {-(2**63) + 1}"
        own = f"CASE {ends} ELSE epoch_ns({own}) END"
    return f"{own} AS {quoted_name(answer)}"


def _conditions(request: ScanRequest, part: BlockPart) -> list[str]:
    """Time range, series and leading values on the file's own columns, to leave out row groups which cannot match."""
    found = []
    time = quoted_name(TIME.physical)
    start_ns = request.time.start_ns if part.from_ns is None else max(part.from_ns, request.time.start_ns)
    if start_ns > ALL_TIME.start_ns:
        found.append(f"{time} >= make_timestamp_ns({start_ns})")
    if request.time.end_ns < ALL_TIME.end_ns:
        found.append(f"{time} <= make_timestamp_ns({request.time.end_ns})")
    if part.series_ids is not None and len(part.series_ids) <= SERIES_LISTED:
        ids = ", ".join(map(str, part.series_ids))
        found.append(f'"_series" IN ({ids})' if ids else "false")
    leading = _leading(part)
    if leading is not None:
        name = quoted_name(leading.column)
        if leading.values is None:
            found.append(f"{name} BETWEEN {quoted(leading.first)} AND {quoted(leading.last)}")
        else:
            found.append(f"{name} IN ({', '.join(map(quoted, leading.values))})")
    return found


def _leading(part: BlockPart) -> Leading | None:
    """What is asked of the column that the rows are sorted by, if the file has it."""
    return part.leading if part.leading is not None and part.leading.column in part.physical else None


def _empty(request: ScanRequest) -> str:
    columns = [_block_column(column, answer, None) for column, answer in request.columns]
    return f"SELECT {', '.join(columns) or '1'} WHERE false"
