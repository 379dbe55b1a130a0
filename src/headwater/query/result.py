"""The whole result of a query, as Arrow, and its rows as JSON a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from headwater.errors import Invalid
from headwater.model.insights import Insights
from headwater.model.types import OutputColumn
from headwater.wire.datum import rows_json

_STEP_ROWS = 2_000


class Rows(Protocol):
    """Rows that are kept somewhere. `bytes` is their size as Arrow; `memory_bytes` what of it is in memory."""

    @property
    def count(self) -> int: ...

    @property
    def bytes(self) -> int: ...

    @property
    def memory_bytes(self) -> int: ...

    def slice(self, start: int, count: int) -> pa.Table:
        """`count` rows from `start`, all of which there are. Raises Corrupt, Unavailable."""
        ...


@dataclass(frozen=True, slots=True)
class RowsInMemory:
    """Rows as one Arrow table."""

    table: pa.Table

    @property
    def count(self) -> int:
        return int(self.table.num_rows)

    @property
    def bytes(self) -> int:
        return int(self.table.nbytes)

    @property
    def memory_bytes(self) -> int:
        return self.bytes

    def slice(self, start: int, count: int) -> pa.Table:
        return self.table.slice(start, count)


@dataclass(frozen=True, slots=True)
class Result:
    """`scanned_bytes` is what the run read; `metered_bytes` what the service would have charged.

    `insights` are there if the run was asked for them.
    """

    rows: Rows
    columns: tuple[OutputColumn, ...]
    scanned_bytes: int
    metered_bytes: int
    insights: Insights | None = None

    def page(self, start: int, max_rows: int, page_bytes: int) -> Sequence[bytes]:
        """JSON texts of the rows from `start`: at most `max_rows` and `page_bytes`, but one row if any is left.

        Raises Invalid when a single row is larger than a page. Source: query-api.md 1.1.
        """
        rows = self.rows
        end = min(rows.count, start + max_rows)
        # Wide rows are made into text a few at a time: what does not fit the page is made in vain.
        step_rows = min(_STEP_ROWS, 1 + page_bytes * rows.count // max(rows.bytes, 1))
        page: list[bytes] = []
        size = 0
        while start < end:
            step = rows_json(rows.slice(start, min(step_rows, end - start)), self.columns)
            for row in step:
                size += len(row) + 1
                if size > page_bytes:
                    if not page:
                        raise Invalid(
                            "Query aborted as max page response size has been exceeded by the output result row"
                        )
                    return page
                page.append(row)
            start += len(step)
        return page
