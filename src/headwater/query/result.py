"""The whole result of a query, as Arrow, and its rows as JSON a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from headwater.errors import Invalid
from headwater.model.types import OutputColumn
from headwater.wire.datum import rows_json

_STEP_ROWS = 2_000


@dataclass(frozen=True, slots=True)
class Result:
    """`scanned_bytes` is what the run read; `metered_bytes` what the service would have charged."""

    table: pa.Table
    columns: tuple[OutputColumn, ...]
    scanned_bytes: int
    metered_bytes: int

    @property
    def rows(self) -> int:
        return int(self.table.num_rows)

    @property
    def size_bytes(self) -> int:
        return int(self.table.nbytes)

    def page(self, start: int, max_rows: int, page_bytes: int) -> Sequence[bytes]:
        """JSON texts of the rows from `start`: at most `max_rows` and `page_bytes`, but one row if any is left.

        Raises Invalid when a single row is larger than a page. Source: query-api.md 1.1.
        """
        end = min(self.rows, start + max_rows)
        # Wide rows are made into text a few at a time: what does not fit the page is made in vain.
        step_rows = min(_STEP_ROWS, 1 + page_bytes * self.rows // max(self.size_bytes, 1))
        page: list[bytes] = []
        size = 0
        while start < end:
            step = rows_json(self.table.slice(start, min(step_rows, end - start)), self.columns)
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
