"""A scan: what `sql` wants to read of a table, and what `storage` answers. The two rooms share only this."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headwater.files import Source
from headwater.model.table import Column, TableId
from headwater.model.text_pattern import TextPattern
from headwater.model.time import TIME_MAX_NS, TIME_MIN_NS


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Instants from `start_ns` up to and including `end_ns`. Empty when start is after end."""

    start_ns: int = TIME_MIN_NS
    end_ns: int = TIME_MAX_NS

    def intersect(self, other: TimeRange) -> TimeRange:
        return TimeRange(max(self.start_ns, other.start_ns), min(self.end_ns, other.end_ns))


ALL_TIME = TimeRange()


@dataclass(frozen=True, slots=True)
class DimensionIn:
    """A condition: the dimension (or `measure_name`) has one of these values, or matches one of these patterns.

    NULL never does.
    """

    name: str
    values: frozenset[str]
    patterns: frozenset[TextPattern] = frozenset()


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """Which rows and columns of one table a plan reads.

    The time is exact. Conditions are a promise in one direction: the answer holds every live record that meets them,
    and may hold others; whoever needs the exact set filters again. `columns` pairs each column with the name it has
    in the answer. With `newest`, of the records of a series that meet them only the newest must be in the answer.
    """

    table: TableId
    columns: tuple[tuple[Column, str], ...]
    time: TimeRange = ALL_TIME
    dimensions: tuple[DimensionIn, ...] = ()
    newest: bool = False


@dataclass(frozen=True, slots=True)
class Extent:
    """How much of a table there is, or a scan reads: live rows in memory, and blocks with all the rows they hold."""

    memory_rows: int
    blocks: int
    block_rows: int
    block_bytes: int


NOTHING = Extent(0, 0, 0, 0)


class Leading(NamedTuple):
    """What is in question of the text column that the rows of a block are sorted by: its physical name, all values from
    the first to the last, and which they are if they are few, in order.
    """

    column: str
    first: str
    last: str
    values: tuple[str, ...] | None

    def is_within(self, first: str, last: str) -> bool:
        """Whether one of them may be from `first` to `last`."""
        if self.values is None:
            return self.first <= last and self.last >= first
        return any(first <= value <= last for value in self.values)


@dataclass(frozen=True, slots=True)
class BlockPart:
    """What a scan reads of one block.

    `path` is a name that no other block has; `open` gives the bytes of its Parquet file, and may raise what reading a
    block raises. `physical` are the columns the file has; those of `scales` are integers, and doubles when divided by
    ten as often as it says. `deleted_rows` are positions to leave out, ascending.
    `series_ids`, if not None, are all the series in question: a hint for row groups, exact as a filter.
    `from_ns`, if not None, is the oldest instant in question.
    `leading`, if not None, is the same kind of hint, which keeps row groups of other values from being read.
    """

    path: str
    physical: frozenset[str]
    scales: Mapping[str, int]
    rows: int
    bytes: int
    open: Callable[[], Source] = field(repr=False)
    deleted_rows: npt.NDArray[np.int64] | None = None
    series_ids: tuple[int, ...] | None = None
    from_ns: int | None = None
    leading: Leading | None = None


@dataclass(slots=True)
class Scan:
    """The answer to a ScanRequest: one state of the table, held until `close`.

    `memory` are Arrow tables whose columns are the request's, by answer name, with times as int64 ns.
    Blocks hold them by physical name, times as timestamp[ns]; the engine renames and converts. `decoded` are tables
    like those of `memory`: the rows of further blocks, which `decoded_blocks` counts.
    """

    request: ScanRequest
    memory: tuple[pa.Table, ...]
    blocks: tuple[BlockPart, ...]
    decoded: tuple[pa.Table, ...] = ()
    decoded_blocks: Extent = NOTHING
    release: Callable[[], None] = field(default=lambda: None, repr=False)

    def close(self) -> None:
        """Let go of the blocks; they may be deleted from now on."""
        self.release()

    @property
    def extent(self) -> Extent:
        """How much of the table that is, wherever the rows of a block come from."""
        rows, other = sum(table.num_rows for table in self.memory), self.decoded_blocks
        return Extent(
            rows,
            len(self.blocks) + other.blocks,
            sum(part.rows for part in self.blocks) + other.block_rows,
            sum(part.bytes for part in self.blocks) + other.block_bytes,
        )

    @property
    def bytes(self) -> int:
        return sum(int(table.nbytes) for table in self.memory) + self.extent.block_bytes
