"""A scan: what of a snapshot a request needs, memory as Arrow and blocks by name.

Series are chosen first, from the index; then chunks and blocks by time; then rows of chunks by both. The
engine sees one Arrow table for the small chunks together, and large chunks as they are (design.md 3.5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial, reduce
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headwater.errors import Corrupt
from headwater.files import Source
from headwater.model.scan import BlockPart, DimensionIn, Extent, Leading, Scan, ScanRequest, TimeRange
from headwater.model.table import MEASURE_NAME, TIME, Columns
from headwater.storage.chunk import Chunk, Mask
from headwater.storage.decoded import DecodedBlocks
from headwater.storage.floors import Floors
from headwater.storage.live import LiveBlock, Rows
from headwater.storage.series import SeriesIndex
from headwater.storage.table import Snapshot
from headwater.storage.tails import Tail
from headwater.storage.wanted import Found, Wanted, of_mask

HINTED_SERIES = 256
"""At most so many series are named to the engine as a hint for row groups."""

HINTED_VALUES = 256
"""At most so many values of what a block is sorted by are named to the engine as a hint for row groups; of more, the
first and the last."""

LISTED_SERIES = 50_000
"""The values of more series than these are not looked at for such a hint."""


def build_scan(
    request: ScanRequest,
    snapshot: Snapshot,
    series: SeriesIndex,
    is_damaged: Callable[[str], bool],
    open_block: Callable[[Path], Source],
    tail_of: Callable[[LiveBlock], Tail | None],
    decoded: DecodedBlocks,
) -> Scan:
    """The scan of one snapshot. The snapshot is released when the scan is closed.

    Raises Corrupt if it needs a damaged block; `is_damaged` tells by block id. `open_block` is for the reader of rows.
    `tail_of` gives the last rows of a block's series, if they are few. `decoded` may have all other rows.
    """
    chosen = series.select(request.dimensions)
    ordinals = None if chosen is None else _within(series, chosen, request.time)
    if ordinals is not None and not len(ordinals):
        snapshot.release()
        return Scan(request, (), ())
    floors = None if snapshot.newest_ns is None else Floors.of(snapshot.newest_ns, request.time, chosen)
    wanted = Wanted(request, series, chosen, ordinals, floors)
    chunks = list(snapshot.chunks)
    parts: list[BlockPart] = []
    blocks: list[tuple[LiveBlock, Rows]] = []
    for live, deleted, part in _blocks(wanted, snapshot, open_block):
        if is_damaged(live.block.id):
            raise Corrupt(f"block {live.path.name} is needed and damaged")
        tail = tail_of(live) if floors is not None and floors.are_exact else None
        if tail is None:
            parts.append(part)
            blocks.append((live, deleted))
        else:
            chunks.append((tail.chunk, tail.mask(deleted)))
    memory = wanted.tables(_part(wanted, chunk, deleted) for chunk, deleted in chunks)
    found = decoded.find(wanted, blocks) if blocks else None
    if found is None:
        return Scan(request, memory, tuple(parts), release=snapshot.release)
    extent = Extent(0, len(parts), sum(part.rows for part in parts), sum(part.bytes for part in parts))
    return Scan(request, memory, (), wanted.tables(found), extent, snapshot.release)


def _within(series: SeriesIndex, chosen: Mask, time: TimeRange) -> npt.NDArray[np.intp]:
    """Leave in `chosen` the series that may have records in a range; their ordinals.

    Times are noted when records are staged, so they cover all that is in any snapshot.
    """
    ordinals = np.flatnonzero(chosen)
    first_ns, last_ns = series.first_time.view[ordinals], series.last_time.view[ordinals]
    may_have = (first_ns <= time.end_ns) & (last_ns >= time.start_ns)
    chosen[ordinals[~may_have]] = False
    return ordinals[may_have]


def _part(wanted: Wanted, chunk: Chunk, deleted: Mask | None) -> Found | None:
    """The rows of one chunk that the request may want; None when there are none."""
    time = wanted.request.time
    if wanted.floors is not None:
        time = time.intersect(TimeRange(start_ns=wanted.floors.start_ns))
    if chunk.end_ns < time.start_ns or chunk.start_ns > time.end_ns:
        return None
    if wanted.ordinals is not None and not _has_any(chunk, wanted.ordinals):
        return None
    conditions: list[Mask] = []
    window = slice(0, len(chunk))
    if chunk.start_ns < time.start_ns or chunk.end_ns > time.end_ns:
        in_range = (chunk.time_ns >= time.start_ns) & (chunk.time_ns <= time.end_ns)
        # Records come about in order of time, so all else is asked of a part of the rows only.
        window = slice(int(in_range.argmax()), len(chunk) - int(in_range[::-1].argmax()))
        conditions.append(in_range[window])
    ordinals, time_ns = chunk.ordinals[window], chunk.time_ns[window]
    if deleted is not None:
        conditions.append(~deleted[window])
    if wanted.chosen is not None:
        conditions.append(wanted.is_of(ordinals))
    if wanted.floors is not None:
        conditions.append(time_ns >= wanted.floors.of_series[ordinals])
    mask = reduce(np.logical_and, conditions) if conditions else None
    measures = [column for column, _ in wanted.request.columns if column.name in chunk.columns]
    arrays = {column: chunk.columns[column.name][window] for column in measures}
    return of_mask(mask, ordinals, {TIME: pa.array(time_ns), **arrays})


def _has_any(chunk: Chunk, ordinals: npt.NDArray[np.intp]) -> bool:
    """Whether one of these series is among those from the first to the last of a chunk. Looks at no row."""
    first, behind = np.searchsorted(ordinals, (chunk.first_ordinal, chunk.last_ordinal + 1))
    return bool(first < behind)


def _blocks(
    wanted: Wanted, snapshot: Snapshot, open_block: Callable[[Path], Source]
) -> Iterator[tuple[LiveBlock, Rows, BlockPart]]:
    """The blocks that may hold what is wanted, with their replaced rows."""
    request, series, _, ordinals, floors = wanted
    ids = _hint(series, ordinals)
    leadings = _Leadings(wanted, snapshot.columns)
    from_ns = None
    start_ns, end_ns = request.time.start_ns, request.time.end_ns
    for live, deleted in snapshot.blocks:
        # The quick look first: of years of blocks most end here.
        if live.block.end_ns < start_ns or live.block.start_ns > end_ns:
            continue
        leading = leadings.of(live)
        if leading is not None and not leading.is_within(live.first, live.last):
            continue
        if floors is not None:
            of_block = floors.within(live.block.start_ns, live.block.end_ns)
            if not len(of_block):
                continue
            ids, from_ns = _hint(series, of_block), floors.oldest_ns(of_block)
        part = BlockPart(
            path=f"{live.path.parent.name}/{live.path.name}",
            open=partial(open_block, live.path),
            physical=frozenset(live.block.physical),
            scales=live.block.scales,
            rows=live.block.rows,
            bytes=live.block.bytes,
            deleted_rows=deleted if len(deleted) else None,
            series_ids=ids,
            from_ns=from_ns,
            leading=leading,
        )
        yield live, deleted, part


def _hint(series: SeriesIndex, ordinals: npt.NDArray[np.intp] | None) -> tuple[int, ...] | None:
    """The ids of these series, sorted, unless they are too many to be worth it."""
    if ordinals is None or len(ordinals) > HINTED_SERIES:
        return None
    return tuple(sorted(series.ids.view[ordinals].tolist()))


class _Leadings:
    """What a scan asks of the columns that blocks are sorted by."""

    def __init__(self, wanted: Wanted, columns: Columns) -> None:
        self._wanted = wanted
        self._conditions: dict[str, DimensionIn] = {}
        self._found: dict[str, Leading | None] = {}
        for condition in reversed(wanted.request.dimensions):
            column = columns.by_name.get(condition.name)
            if column is not None:
                self._conditions[column.physical] = condition

    def of(self, live: LiveBlock) -> Leading | None:
        """None where no condition says anything of the column."""
        column = live.block.sorted_by or MEASURE_NAME.physical
        if column not in self._found:
            condition = self._conditions.get(column)
            self._found[column] = None if condition is None else self._leading(column, condition)
        return self._found[column]

    def _leading(self, column: str, condition: DimensionIn) -> Leading | None:
        values = self._wanted.values_of(condition.name, LISTED_SERIES) if condition.patterns else condition.values
        if not values:
            return None
        few = tuple(sorted(values)) if len(values) <= HINTED_VALUES else None
        return Leading(column, min(values), max(values), few)
