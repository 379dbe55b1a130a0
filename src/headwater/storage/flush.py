"""A flush: frozen chunks become blocks, one for each UTC day, in three steps that a crash may part.

    freeze        the table's published records are set apart          (TableStore.freeze)
    write_blocks  they are sorted, cut by day, written and synced       (here)
    commit        the manifest names the blocks and the checkpoint      (catalog, one transaction)
    adopt         readers find the records in the blocks from now on    (TableStore.adopt)

Before the commit the files are rubbish that the next start removes; after it the log entries are not needed.
Order: reliability.md 2.5.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headwater.files import TEMPORARY_SUFFIX, Files
from headwater.model.block import Block
from headwater.model.record import Int64s
from headwater.model.table import Columns, TableId
from headwater.model.time import NS_PER_DAY
from headwater.model.types import Scalar
from headwater.storage.block import BlockContent, DirectoryEntry, write_block
from headwater.storage.chunk import Chunk, Mask, Moved, merged
from headwater.storage.series import SeriesIndex


@dataclass(frozen=True, slots=True)
class Frozen:
    """A generation set apart: each chunk with its mask at that moment, the last sequence in it, the columns."""

    chunks: tuple[tuple[Chunk, Mask | None], ...]
    last_sequence: int
    columns: Columns


@dataclass(frozen=True, slots=True)
class Flushed:
    """The blocks written, and for each frozen chunk where its rows went."""

    blocks: tuple[Block, ...]
    moved: tuple[Moved, ...]


def write_blocks(
    files: Files,
    path_of: Callable[[str], Path],
    table: TableId,
    frozen: Frozen,
    series: SeriesIndex,
    new_id: Callable[[], str],
) -> Flushed:
    """Write the live frozen records as blocks; on return every file is synced and nothing names it yet.

    When it raises, what it wrote is removed again, so that a full disk does not get fuller by each try.
    """
    written: list[Path] = []
    try:
        return _write_blocks(files, lambda block_id: _noted(written, path_of(block_id)), table, frozen, series, new_id)
    except BaseException:
        for path in written:
            for rubbish in (path, path.with_name(path.name + TEMPORARY_SUFFIX)):
                # What cannot be removed now is removed at the next start.
                with suppress(OSError):
                    files.remove(rubbish, site="flush.undo")
        raise


def _noted(written: list[Path], path: Path) -> Path:
    written.append(path)
    return path


def _write_blocks(
    files: Files,
    path_of: Callable[[str], Path],
    table: TableId,
    frozen: Frozen,
    series: SeriesIndex,
    new_id: Callable[[], str],
) -> Flushed:
    live = [np.arange(len(c)) if mask is None else np.flatnonzero(~mask) for c, mask in frozen.chunks]
    rows = merged([_only(c, kept) for (c, _), kept in zip(frozen.chunks, live, strict=True) if len(kept)])
    blocks: list[Block] = []
    total = 0 if rows is None else len(rows)
    block_index, position = np.zeros(total, np.int32), np.zeros(total, np.int64)
    if rows is not None:
        order = _sorted(rows, series)
        days = rows.time_ns[order] // NS_PER_DAY
        starts = np.flatnonzero(np.diff(days, prepend=days[0] - 1))
        for start, end in zip(starts, [*starts[1:], total], strict=True):
            part = order[start:end]
            block_index[part], position[part] = len(blocks), np.arange(end - start)
            block_id = new_id()
            content = _content(rows.take(part), series, frozen.columns)
            blocks.append(write_block(files, path_of(block_id), content, block_id, table, int(days[start])))
    ids = tuple(block.id for block in blocks)
    moved = []
    offset = 0
    for (chunk, _), kept in zip(frozen.chunks, live, strict=True):
        into_block, at = np.zeros(len(chunk), np.int32), np.full(len(chunk), -1, np.int64)
        into_block[kept] = block_index[offset : offset + len(kept)]
        at[kept] = position[offset : offset + len(kept)]
        offset += len(kept)
        moved.append(Moved(ids, into_block, at))
    return Flushed(tuple(blocks), tuple(moved))


def _only(chunk: Chunk, rows: npt.NDArray[np.intp]) -> Chunk:
    return chunk.take(rows) if len(rows) < len(chunk) else Chunk(*_parts(chunk))


def _parts(chunk: Chunk) -> tuple[npt.NDArray[np.int32], Int64s, Int64s, dict[str, pa.Array]]:
    """The rows without the mask, which may have grown since the freeze."""
    return chunk.ordinals, chunk.time_ns, chunk.version, chunk.columns


def _sorted(rows: Chunk, series: SeriesIndex) -> npt.NDArray[np.intp]:
    """Row numbers by day, then measure name, series id and time: a day's rows are together, in block order."""
    names = np.array(series.measure_name.values, object)
    rank = np.empty(len(names), np.int64)
    rank[np.argsort(names)] = np.arange(len(names))
    measure = rank[series.measure_name.codes_of(rows.ordinals)]
    return np.lexsort((rows.time_ns, series.ids.view[rows.ordinals], measure, rows.time_ns // NS_PER_DAY))


def _content(rows: Chunk, series: SeriesIndex, columns: Columns) -> BlockContent:
    """The Parquet columns of sorted rows of one day: only those in which some row has a value."""
    arrays: dict[str, pa.Array] = {}
    for column in columns.dimensions:
        coded = series.dimension(column.name).column(rows.ordinals)
        if coded.null_count < len(rows):
            arrays[column.physical] = coded
    arrays["measure_name"] = series.measure_name.column(rows.ordinals)
    arrays["time"] = pa.array(rows.time_ns).cast(pa.timestamp("ns"))
    for column in columns.measures:
        values = rows.columns.get(column.name)
        if values is not None and values.null_count < len(rows):
            is_time = column.type is Scalar.TIMESTAMP
            arrays[column.physical] = values.cast(pa.timestamp("ns")) if is_time else values
    arrays["_version"] = pa.array(rows.version)
    arrays["_series"] = pa.array(series.ids.view[rows.ordinals])
    return BlockContent(pa.table(arrays), _directory(rows, series), int(rows.time_ns.min()), int(rows.time_ns.max()))


def _directory(rows: Chunk, series: SeriesIndex) -> list[DirectoryEntry]:
    starts = np.flatnonzero(np.diff(rows.ordinals, prepend=-1))
    entries = []
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(rows)], strict=True):
        ordinal = int(rows.ordinals[start])
        known = series.series[ordinal]
        entries.append(
            DirectoryEntry(
                measure_name=known.measure_name,
                dimensions=known.sent,
                file_id=int(series.ids.view[ordinal]),
                measure_types=series.data_types(ordinal),
                first_row=start,
                rows=end - start,
                start_ns=int(rows.time_ns[start]),
                end_ns=int(rows.time_ns[end - 1]),
            )
        )
    return entries
