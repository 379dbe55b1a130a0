"""The engines that generated queries are asked of: ours in two states of the same records, and DataFusion.

Records go the way of a client but for the socket: WriteRecords as the bytes of a body, queries to the bytes of rows.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datafusion
import pyarrow as pa
from sql_rows import NOW_NS, TableRows

from headwater.config import load
from headwater.instance import Instance
from headwater.model.table import Retention
from headwater.model.time import FixedClock, parse_instant
from headwater.model.types import Scalar
from headwater.query.token import Caller
from headwater.wire.write_records import decode_write_records
from support.answers import rows_of

WAIT_S = 30.0
CALLER = Caller("000000000000", "AKIAFUZZ")
Rows = list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Declined(Exception):
    """An engine has answered with an error."""

    reason: str


class Ours:
    """A server's Instance. `is_compacted`: all records in blocks that were merged; else all in memory."""

    def __init__(self, folder: Path, tables: list[TableRows], *, is_compacted: bool) -> None:
        settings = {"data": str(folder), "listen": "127.0.0.1:0", "log_level": "error"}
        config = load(settings, {}, None, processors=1)
        self.instance = Instance.open(config, clock=FixedClock(NOW_NS), randomness=random.Random(1).randbytes)
        self.instance.catalog.create_database("fuzz", None)
        for table in tables:
            self.instance.create_table("fuzz", table.name, Retention(24, 7), None, None)
            middle = len(table.records) // 2
            self._submit(table.name, table.records[:middle])
            if is_compacted:
                self.instance.store.flush()
            self._submit(table.name, table.records[middle:])
        if is_compacted:
            self.instance.store.compact()

    def close(self) -> None:
        self.instance.close()

    def _submit(self, table: str, records: list[dict[str, Any]]) -> None:
        limits = self.instance.config.limits
        for start in range(0, len(records), limits.records_per_request):
            some = records[start : start + limits.records_per_request]
            body = json.dumps({"DatabaseName": "fuzz", "TableName": table, "Records": some}).encode()
            self.instance.ingest.write(decode_write_records(body, limits)).result(WAIT_S)

    def answer(self, query: str) -> Rows:
        """Raises the fault that a client would be told."""
        found: Rows = []
        token = None
        while True:
            page = self.instance.queries.run(CALLER, query, next_token=token)
            kinds = [column.type for column in page.columns]
            found += [tuple(map(_value, row, kinds)) for row in rows_of(page.rows)]
            token = page.next_token
            if token is None:
                return found


def _value(datum: dict[str, Any], kind: object) -> Any:
    """A cell as Python sees it; an instant as nanoseconds."""
    written = datum.get("ScalarValue")
    if written is None:
        return None
    match kind:
        case Scalar.BIGINT | Scalar.INTEGER:
            return int(written)
        case Scalar.DOUBLE:
            return float(written)
        case Scalar.BOOLEAN:
            return written == "true"
        case Scalar.TIMESTAMP:
            return parse_instant(written)
        case Scalar.VARCHAR:
            return written
    raise AssertionError(f"no query is drawn with a column of type {kind}")


_ARROW = {
    "bigint": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "varchar": pa.string(),
    "timestamp": pa.timestamp("ns"),
}


class Theirs:
    """DataFusion, over the rows as Arrow tables."""

    def __init__(self, tables: list[TableRows]) -> None:
        settings = datafusion.SessionConfig().with_target_partitions(1)
        self._context = datafusion.SessionContext(settings)
        for table in tables:
            arrays = {
                name: pa.array([row[name] for row in table.rows], _ARROW[kind]) for name, kind in table.types.items()
            }
            self._context.register_record_batches(table.name, [pa.table(arrays).to_batches()])

    def answer(self, query: str) -> Rows:
        """Raises Declined."""
        try:
            batches = self._context.sql(query).collect()
        except BaseException as error:  # its panics are no Exception
            if isinstance(error, KeyboardInterrupt):
                raise
            raise Declined(str(error).split("\n", 1)[0][:200]) from None
        found: Rows = []
        for batch in batches:
            found += zip(*(_instants(column).to_pylist() for column in batch.columns), strict=True)
        return found


def _instants(column: pa.Array) -> pa.Array:
    return column.cast(pa.timestamp("ns")).cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
