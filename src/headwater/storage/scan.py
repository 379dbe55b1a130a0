"""A scan: what of a snapshot a request needs, memory as Arrow and blocks by name.

Series are chosen first, from the index; then chunks and blocks by time; then rows of chunks by both. The
engine sees one Arrow table for the small chunks together, and large chunks as they are (design.md 3.5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headwater.errors import Corrupt
from headwater.files import Source
from headwater.model.scan import BlockPart, Scan, ScanRequest, TimeRange
from headwater.model.table import MEASURE_NAME, TIME, Column, ColumnKind, Columns
from headwater.model.types import Scalar
from headwater.storage.chunk import Chunk, Mask
from headwater.storage.floors import Floors
from headwater.storage.live import LiveBlock, Rows
from headwater.storage.series import SeriesIndex
from headwater.storage.table import Snapshot
from headwater.storage.tails import Tail

LARGE_ROWS = 10_000
"""Chunks below this are put together before an engine sees them."""

HINTED_SERIES = 256
"""At most so many series are named to the engine as a hint for row groups."""

HINTED_VALUES = 256
"""At most so many values of what a block is sorted by are named to the engine as a hint for row groups."""

_ARROW_TYPES = {
    Scalar.DOUBLE: pa.float64(),
    Scalar.BIGINT: pa.int64(),
    Scalar.BOOLEAN: pa.bool_(),
    Scalar.VARCHAR: pa.string(),
    Scalar.TIMESTAMP: pa.int64(),
}


def build_scan(
    request: ScanRequest,
    snapshot: Snapshot,
    series: SeriesIndex,
    is_damaged: Callable[[str], bool],
    open_block: Callable[[Path], Source],
    tail_of: Callable[[LiveBlock], Tail | None],
) -> Scan:
    """The scan of one snapshot. The snapshot is released when the scan is closed.

    Raises Corrupt if it needs a damaged block; `is_damaged` tells by block id. `open_block` is for the reader of rows.
    `tail_of` gives the last rows of a block's series, if they are few.
    """
    chosen = series.select(request.dimensions)
    ordinals = None if chosen is None else _within(series, chosen, request.time)
    if ordinals is not None and not len(ordinals):
        snapshot.release()
        return Scan(request, (), ())
    floors = None if snapshot.newest_ns is None else Floors.of(snapshot.newest_ns, request.time, chosen)
    wanted = _Wanted(request, series, chosen, ordinals, floors)
    chunks = list(snapshot.chunks)
    parts = []
    for live, deleted, part in _blocks(wanted, snapshot, open_block):
        if is_damaged(live.block.id):
            raise Corrupt(f"block {live.path.name} is needed and damaged")
        tail = tail_of(live) if floors is not None and floors.are_exact else None
        if tail is None:
            parts.append(part)
        else:
            chunks.append((tail.chunk, tail.mask(deleted)))
    return Scan(request, _memory(wanted, chunks), tuple(parts), snapshot.release)


class _Wanted(NamedTuple):
    """What a scan is to give: of the series in `chosen`, all if that is None, and only from their `floors` on.

    `ordinals` are those of `chosen`, ascending.
    """

    request: ScanRequest
    series: SeriesIndex
    chosen: Mask | None
    ordinals: npt.NDArray[np.intp] | None
    floors: Floors | None


def _within(series: SeriesIndex, chosen: Mask, time: TimeRange) -> npt.NDArray[np.intp]:
    """Leave in `chosen` the series that may have records in a range; their ordinals.

    Times are noted when records are staged, so they cover all that is in any snapshot.
    """
    ordinals = np.flatnonzero(chosen)
    first_ns, last_ns = series.first_time.view[ordinals], series.last_time.view[ordinals]
    may_have = (first_ns <= time.end_ns) & (last_ns >= time.start_ns)
    chosen[ordinals[~may_have]] = False
    return ordinals[may_have]


def _memory(wanted: _Wanted, chunks: Iterable[tuple[Chunk, Mask | None]]) -> tuple[pa.Table, ...]:
    small: list[pa.Table] = []
    large: list[pa.Table] = []
    for chunk, deleted in chunks:
        part = _part(wanted, chunk, deleted)
        if part is not None:
            (large if part.num_rows >= LARGE_ROWS else small).append(part)
    if small:
        large.append(pa.concat_tables(small).unify_dictionaries().combine_chunks() if len(small) > 1 else small[0])
    return tuple(large)


def _part(of: _Wanted, chunk: Chunk, deleted: Mask | None) -> pa.Table | None:
    """The rows of one chunk that the request may want; None when there are none."""
    request, series, chosen, ordinals, floors = of
    time = request.time
    if chunk.end_ns < time.start_ns or chunk.start_ns > time.end_ns:
        return None
    if ordinals is not None and not _has_any(chunk, ordinals):
        return None
    wanted = None if deleted is None else ~deleted
    if chunk.start_ns < time.start_ns or chunk.end_ns > time.end_ns:
        in_range = (chunk.time_ns >= time.start_ns) & (chunk.time_ns <= time.end_ns)
        wanted = in_range if wanted is None else wanted & in_range
    if chosen is not None:
        of_series = chosen[chunk.ordinals]
        wanted = of_series if wanted is None else wanted & of_series
    if floors is not None:
        is_new = chunk.time_ns >= floors.of_series[chunk.ordinals]
        wanted = is_new if wanted is None else wanted & is_new
    if wanted is not None:
        rows = np.flatnonzero(wanted)
        if not len(rows):
            return None
        if len(rows) < len(chunk):
            names = {column.name for column, _ in request.columns}
            kept = {name: values for name, values in chunk.columns.items() if name in names}
            chunk = Chunk(chunk.ordinals, chunk.time_ns, chunk.version, kept).take(rows)
    arrays = {answer: _column(column, chunk, series) for column, answer in request.columns}
    if not arrays:
        # A count needs rows, not values.
        arrays = {"rows": pa.nulls(len(chunk), pa.bool_())}
    return pa.table(arrays)


def _has_any(chunk: Chunk, ordinals: npt.NDArray[np.intp]) -> bool:
    """Whether one of these series is among those from the first to the last of a chunk. Looks at no row."""
    first, behind = np.searchsorted(ordinals, (chunk.first_ordinal, chunk.last_ordinal + 1))
    return bool(first < behind)


def _column(column: Column, chunk: Chunk, series: SeriesIndex) -> pa.Array:
    if column == TIME:
        return pa.array(chunk.time_ns)
    if column == MEASURE_NAME:
        return series.measure_name.column(chunk.ordinals)
    if column.kind is ColumnKind.DIMENSION:
        return series.dimension(column.name).column(chunk.ordinals)
    values = chunk.columns.get(column.name)
    return pa.nulls(len(chunk), _ARROW_TYPES[column.type]) if values is None else values


def _blocks(
    wanted: _Wanted, snapshot: Snapshot, open_block: Callable[[Path], Source]
) -> Iterator[tuple[LiveBlock, Rows, BlockPart]]:
    """The blocks that may hold what is wanted, with their replaced rows."""
    request, series, _, ordinals, floors = wanted
    ids = _hint(series, ordinals)
    from_ns = None
    start_ns, end_ns = request.time.start_ns, request.time.end_ns
    for live, deleted in snapshot.blocks:
        # The quick look first: of years of blocks most end here.
        if live.block.end_ns < start_ns or live.block.start_ns > end_ns:
            continue
        leading = _leading(request, live, snapshot.columns)
        if leading is not None and not any(live.first <= value <= live.last for value in leading[1]):
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


def _leading(request: ScanRequest, live: LiveBlock, columns: Columns) -> tuple[str, tuple[str, ...]] | None:
    """The condition of the request on what a block is sorted by: physical name and values, sorted; None without one."""
    sorted_by = live.block.sorted_by or MEASURE_NAME.physical
    for condition in request.dimensions:
        column = columns.by_name.get(condition.name)
        if column is not None and column.physical == sorted_by and len(condition.values) <= HINTED_VALUES:
            return sorted_by, tuple(sorted(condition.values))
    return None
