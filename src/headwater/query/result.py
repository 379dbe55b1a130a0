"""The whole result of a query, as Arrow, and its rows as JSON a page at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from headwater.errors import Invalid
from headwater.model.insights import Insights
from headwater.model.types import OutputColumn
from headwater.threads import begin_turn, pass_on
from headwater.wire.datum import rows_json

_FIRST_ROWS = 1_000
"""So many rows tell how large the others are."""

_STEP_ROWS = 4_000
"""At most so many are made into text at a time: those that follow may be larger."""

_SPARE = 1.01
"""So much more is made into text than the page has room for, as far as its rows so far tell."""


@dataclass(frozen=True, slots=True)
class Page:
    """`rows` is the JSON of so many rows, with commas between, in pieces."""

    count: int
    rows: list[bytes | memoryview]


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

    def page(self, start: int, max_rows: int, page_bytes: int) -> Page:
        """The rows from `start`: at most `max_rows` and `page_bytes`, but one row if any is left.

        Raises Invalid when a single row is larger than a page. Source: query-api.md 1.1.
        """
        rows = self.rows
        wanted = min(rows.count - start, max_rows)
        # Wide rows are made into text a few at a time: what does not fit the page is made in vain.
        most = min(_STEP_ROWS, 1 + page_bytes * rows.count // max(rows.bytes, 1))
        step = min(_FIRST_ROWS, most)
        page: list[bytes | memoryview] = []
        count = size = 0
        begin_turn()
        while count < wanted:
            pass_on()
            made = rows_json(rows.slice(start + count, min(step, wanted - count)), self.columns)
            fitting = int(np.searchsorted(made.ends, page_bytes - size, side="right"))
            if not fitting and not count:
                raise Invalid("Query aborted as max page response size has been exceeded by the output result row")
            if fitting:
                text = made.first(fitting)
                # A view would keep all that was made.
                page += [b","] * bool(count) + [bytes(text) if 2 * len(text) < len(made.text) else text]
            count += fitting
            if fitting < len(made):
                break
            size += int(made.ends[-1])
            step = min(most, 1 + int((page_bytes - size) * count / size * _SPARE))
        return Page(count, page)
