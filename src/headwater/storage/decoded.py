"""Columns of blocks, decoded and kept in memory: what dashboards ask for again and again.

`scan.py` asks for the rows of a scan. If all that it wants of blocks fits, it gets Arrow tables of just the rows in
question, and the engine opens no file; a larger scan goes by the files. One cache for all tables, on any thread: row
groups by column, the latest used ones up to a number of bytes. A block never changes, so neither does what is kept.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from headwater.files import Files
from headwater.model.record import Int64s
from headwater.model.table import TIME, Column, ColumnKind
from headwater.model.types import Scalar
from headwater.sealing import Vault
from headwater.storage.block import BlockReader
from headwater.storage.chunk import Mask
from headwater.storage.live import LiveBlock, Rows
from headwater.storage.series import Ordinals, SeriesIndex
from headwater.storage.wanted import RUN_ROWS, Found, Wanted, of_mask, of_runs

SHARE = 2
"""A scan may want one part in so many of the cache."""

FIRST_BYTES = 16 * 1024 * 1024
"""What is decoded the first time that it is asked for. A scan that lacks more goes by the files, and the next one like
it finds it noted: that is taken as a sign that there will be more of them."""

DIRECTORY_BYTES_MAX = 2 * 1024 * 1024
"""Of a block with a longer series directory the engine reads what it needs: it has very many short series."""

_MEASURES = (ColumnKind.MEASURE_VALUE, ColumnKind.MULTI)
_ENTRY_BYTES = 200
_LAYOUT, _NOTED = -1, -2
"""What stands in the place of a row group where something else is kept of a block."""

_VARCHAR_BYTES = 40


class Layout(NamedTuple):
    """Where the series of a block are. `first_row` and `group_start` have one more at the end, the number of rows."""

    ordinals: Ordinals
    first_row: Int64s
    start_ns: Int64s
    end_ns: Int64s
    group_start: Int64s

    @property
    def bytes(self) -> int:
        return sum(array.nbytes for array in self)

    def groups(self, wanted: Wanted) -> list[int]:
        """The row groups that may have rows in question."""
        time = wanted.request.time
        is_wanted = (self.end_ns >= time.start_ns) & (self.start_ns <= time.end_ns)
        if wanted.chosen is not None:
            is_wanted &= wanted.chosen[self.ordinals]
        if wanted.floors is not None:
            is_wanted &= self.end_ns >= wanted.floors.of_series[self.ordinals]
        series = np.flatnonzero(is_wanted)
        first = np.searchsorted(self.group_start, self.first_row[series], "right") - 1
        last = np.searchsorted(self.group_start, self.first_row[series + 1], "left") - 1
        # One more at the first group of each series, one less behind its last.
        steps = np.bincount(first, minlength=len(self.group_start))
        steps -= np.bincount(last + 1, minlength=len(self.group_start))
        found: list[int] = np.flatnonzero(np.cumsum(steps[:-1])).tolist()
        return found

    def series_of(self, group: int) -> tuple[Ordinals, Int64s]:
        """The series of a row group, in order of its rows, and how many rows each has there."""
        start, end = self.group_start[group], self.group_start[group + 1]
        first, behind = np.searchsorted(self.first_row, start, "right") - 1, np.searchsorted(self.first_row, end)
        return self.ordinals[first:behind], np.diff(self.first_row[first : behind + 1].clip(start, end))


class _Part(NamedTuple):
    """What a scan wants of one block."""

    live: LiveBlock
    deleted: Rows
    layout: Layout
    groups: list[int]
    columns: list[Column]


class DecodedBlocks:
    """The cache."""

    def __init__(self, files: Files, vault: Vault, max_bytes: int) -> None:
        self._files = files
        self._vault = vault
        self._max_bytes = max_bytes
        self._kept: OrderedDict[tuple[str, int, str], pa.Array | Layout | None] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def find(self, wanted: Wanted, blocks: Sequence[tuple[LiveBlock, Rows]]) -> list[Found] | None:
        """The rows in question of these blocks, without the replaced ones, which stand beside them; None if that is
        too much to be kept. Raises Corrupt, KeyUnusable, Unavailable.
        """
        if _least_bytes(wanted, blocks) > self._max_bytes // SHARE or not self._max_bytes:
            return None
        parts: list[_Part] = []
        whole = lacking = 0
        for live, deleted in blocks:
            layout = self._layout(live, wanted.series)
            if layout is None:
                return None
            part = _Part(live, deleted, layout, layout.groups(wanted), _read(wanted, live))
            parts.append(part)
            for key, size in self._sizes(part):
                whole += size
                lacking += 0 if key in self._kept else size
            if whole > self._max_bytes // SHARE:
                return None
        if lacking > FIRST_BYTES and not self._note([part.live.block.id for part in parts], wanted):
            return None
        return [found for part in parts for found in self._found(part, wanted)]

    @property
    def bytes(self) -> int:
        """What is kept now."""
        return self._bytes

    def forget(self, block_ids: Sequence[str]) -> None:
        """These blocks are live no more."""
        gone = set(block_ids)
        with self._lock:
            for key in [key for key in self._kept if key[0] in gone]:
                self._bytes -= _size(self._kept.pop(key))

    def _sizes(self, part: _Part) -> Iterator[tuple[tuple[str, int, str], int]]:
        """What is needed of a block, and about how many bytes each takes."""
        for group in part.groups:
            rows = int(part.layout.group_start[group + 1] - part.layout.group_start[group])
            for column in part.columns:
                yield (part.live.block.id, group, column.physical), _width(column) * rows

    def _note(self, block_ids: list[str], wanted: Wanted) -> bool:
        """Whether somebody has wanted these columns of these blocks before."""
        names = "\n".join(sorted(column.physical for column, _ in wanted.request.columns))
        were_wanted = [(block_id, _NOTED, names) in self._kept for block_id in block_ids]
        for block_id in block_ids:
            self._keep((block_id, _NOTED, names), None)
        return all(were_wanted)

    def _found(self, part: _Part, wanted: Wanted) -> Iterator[Found]:
        with ExitStack() as stack:
            reader: BlockReader | None = None
            for group in part.groups:
                arrays: dict[Column, pa.Array] = {}
                for column in part.columns:
                    key = part.live.block.id, group, column.physical
                    array = self._find(key)
                    if array is None:
                        if reader is None:
                            reader = stack.enter_context(closing(self._open(part.live)))
                        array = reader.column(group, column.physical)
                        if pa.types.is_dictionary(array.type):
                            array = array.dictionary_decode()
                        self._keep(key, array)
                    arrays[column] = array
                found = _rows(part, group, arrays, wanted)
                if found is not None:
                    yield found

    def _layout(self, live: LiveBlock, series: SeriesIndex) -> Layout | None:
        """None if the block has too many series."""
        key = live.block.id, _LAYOUT, ""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        with closing(self._open(live)) as reader:
            layout = None if reader.directory_bytes > DIRECTORY_BYTES_MAX else _layout_of(reader, series)
        self._keep(key, layout)
        return layout

    def _open(self, live: LiveBlock) -> BlockReader:
        return BlockReader(self._files, self._vault, live.path)

    def _find(self, key: tuple[str, int, str]) -> pa.Array | None:
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found

    def _keep(self, key: tuple[str, int, str], value: pa.Array | Layout | None) -> None:
        with self._lock:
            if key in self._kept:
                self._bytes -= _size(self._kept.pop(key))
            self._kept[key] = value
            self._bytes += _size(value)
            while self._bytes > self._max_bytes:
                self._bytes -= _size(self._kept.popitem(last=False)[1])


def _width(column: Column) -> int:
    """About how many bytes a value takes."""
    return _VARCHAR_BYTES if column.type is Scalar.VARCHAR else 8


def _least_bytes(wanted: Wanted, blocks: Sequence[tuple[LiveBlock, Rows]]) -> int:
    """What is needed for certain: known without a look at the blocks, of which there may be thousands."""
    if wanted.chosen is not None or wanted.floors is not None:
        return 0
    whole = [live for live, _ in blocks if not _is_cut(wanted, live)]
    return sum(live.block.rows * sum(map(_width, _read(wanted, live))) for live in whole)


def _size(value: pa.Array | Layout | None) -> int:
    if value is None:
        return _ENTRY_BYTES
    return _ENTRY_BYTES + (value.bytes if isinstance(value, Layout) else int(value.nbytes))


def _layout_of(reader: BlockReader, series: SeriesIndex) -> Layout:
    directory = reader.directory
    return Layout(
        series.of_ids(np.array([entry.file_id for entry in directory], np.int64)),
        np.array([*(entry.first_row for entry in directory), reader.rows], np.int64),
        np.array([entry.start_ns for entry in directory], np.int64),
        np.array([entry.end_ns for entry in directory], np.int64),
        reader.group_starts,
    )


def _read(wanted: Wanted, live: LiveBlock) -> list[Column]:
    """The columns that come from the block's rows; all others are told by the series."""
    asked = [column for column, _ in wanted.request.columns]
    found = [column for column in asked if column.kind in _MEASURES and column.physical in live.block.physical]
    return [TIME, *found] if TIME in asked or _is_cut(wanted, live) else found


def _is_cut(wanted: Wanted, live: LiveBlock) -> bool:
    """Whether the block has rows of a series whose time is not in question."""
    time = wanted.request.time
    is_within = time.start_ns <= live.block.start_ns and live.block.end_ns <= time.end_ns
    return wanted.floors is not None or not is_within


def _rows(part: _Part, group: int, arrays: dict[Column, pa.Array], wanted: Wanted) -> Found | None:
    """The rows in question of one row group; None if there are none."""
    series, counts = part.layout.series_of(group)
    start, end = part.layout.group_start[group : group + 2]
    first, behind = np.searchsorted(part.deleted, (start, end))
    if first == behind and len(series) * RUN_ROWS <= end - start:
        return _runs(part, series, counts, arrays, wanted)
    conditions: list[Mask] = []
    if _is_cut(wanted, part.live):
        time_ns, time = arrays[TIME].to_numpy(), wanted.request.time
        conditions += [time_ns >= time.start_ns, time_ns <= time.end_ns]
        if wanted.floors is not None:
            conditions.append(time_ns >= np.repeat(wanted.floors.of_series[series], counts))
    if wanted.chosen is not None:
        conditions.append(np.repeat(wanted.chosen[series], counts))
    if first < behind:
        is_live = np.ones(end - start, np.bool_)
        is_live[part.deleted[first:behind] - start] = False
        conditions.append(is_live)
    mask = np.logical_and.reduce(conditions) if conditions else None
    return of_mask(mask, np.repeat(series, counts), arrays)


def _runs(
    part: _Part, series: Ordinals, counts: Int64s, arrays: dict[Column, pa.Array], wanted: Wanted
) -> Found | None:
    """As `_rows`, of a row group with few series: those of each stand together, in order of time."""
    runs = np.stack((np.cumsum(counts) - counts, np.cumsum(counts)), axis=1)
    if wanted.chosen is not None:
        is_chosen = wanted.chosen[series]
        series, runs = series[is_chosen], runs[is_chosen]
    if _is_cut(wanted, part.live):
        time_ns, time = arrays[TIME].to_numpy(), wanted.request.time
        for run, ordinal in zip(runs, series, strict=True):
            own_ns = time_ns[run[0] : run[1]]
            first_ns = time.start_ns if wanted.floors is None else max(time.start_ns, wanted.floors.of_series[ordinal])
            run[:] = run[0] + np.searchsorted(own_ns, first_ns), run[0] + np.searchsorted(own_ns, time.end_ns, "right")
    return of_runs(runs, series, arrays)
