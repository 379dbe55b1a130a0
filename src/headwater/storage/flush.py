"""A flush: frozen chunks become blocks, one for each UTC day, in three steps that a crash may part.

    freeze        the table's published records are set apart          (TableStore.freeze)
    write_blocks  they are sorted, cut by day, written and synced       (here); those past retention are left out
    commit        the manifest names the blocks and the checkpoint      (catalog, one transaction)
    adopt         readers find the records in the blocks from now on    (TableStore.adopt)

Before the commit the files are rubbish that the next start removes; after it the log entries are not needed.
Order: reliability.md 2.5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headwater.files import TEMPORARY_SUFFIX, Files
from headwater.model.block import Block
from headwater.model.record import Int64s
from headwater.model.table import ColumnKind, Columns, TableId
from headwater.model.time import NS_PER_DAY, TIME_MIN_NS
from headwater.model.types import Scalar
from headwater.sealing import Vault
from headwater.storage.block import DirectoryEntry
from headwater.storage.block_file import BlockFile
from headwater.storage.chunk import Chunk, Mask, Moved, merged
from headwater.storage.live import Written, leading_key
from headwater.storage.scaled import doubles_of
from headwater.storage.series import Ordinals, SeriesIndex
from headwater.storage.texts import Coded


@dataclass(frozen=True, slots=True)
class Frozen:
    """A generation set apart: each chunk with its mask at that moment, the last sequence in it, the columns."""

    chunks: tuple[tuple[Chunk, Mask | None], ...]
    last_sequence: int
    columns: Columns


@dataclass(frozen=True, slots=True)
class Sorting:
    """What is left out of blocks, and the order of the rest: records older than `oldest_ns` are past retention;
    `dimension` is the one that the table is partitioned by, None for the measure name.
    """

    oldest_ns: int = TIME_MIN_NS
    dimension: str | None = None

    def physical(self, columns: Columns) -> str | None:
        """What to sort by first, as blocks name it; None while no record has the dimension."""
        column = columns.by_name.get(self.dimension) if self.dimension is not None else None
        return column.physical if column is not None and column.kind is ColumnKind.DIMENSION else None


@dataclass(frozen=True, slots=True)
class Flushed:
    """The blocks written, and for each frozen chunk where its rows went; -1 is nowhere."""

    blocks: tuple[Written, ...]
    moved: tuple[Moved, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """Where new blocks go: `path_of` a block's id, which `new_id` makes."""

    files: Files
    vault: Vault
    path_of: Callable[[str], Path]
    new_id: Callable[[], str]


class _Content(NamedTuple):
    """Sorted rows of one day, and their directory in the same order."""

    rows: pa.Table
    directory: list[DirectoryEntry]


def write_blocks(target: Target, table: TableId, frozen: Frozen, series: SeriesIndex, sorting: Sorting) -> Flushed:
    """Write the live frozen records as blocks; on return every file is synced and nothing names it yet.

    When it raises, what it wrote is removed again, so that a full disk does not get fuller by each try.
    """
    written: list[Path] = []
    try:
        noting = replace(target, path_of=lambda block_id: _noted(written, target.path_of(block_id)))
        return _write_blocks(noting, table, frozen, series, sorting)
    except BaseException:
        remove_rubbish(target.files, written)
        raise


def remove_rubbish(files: Files, written: Iterable[Path]) -> None:
    """Remove blocks that will never be live, finished or not. What cannot be removed now is at the next start."""
    for path in written:
        for rubbish in (path, path.with_name(path.name + TEMPORARY_SUFFIX)):
            with suppress(OSError):
                files.remove(rubbish, site="flush.undo")


def _noted(written: list[Path], path: Path) -> Path:
    written.append(path)
    return path


def _write_blocks(target: Target, table: TableId, frozen: Frozen, series: SeriesIndex, sorting: Sorting) -> Flushed:
    live = [_kept(chunk, mask, sorting.oldest_ns) for chunk, mask in frozen.chunks]
    dimension = sorting.dimension if sorting.physical(frozen.columns) is not None else None
    rows = merged([_only(c, kept) for (c, _), kept in zip(frozen.chunks, live, strict=True) if len(kept)])
    blocks: list[Written] = []
    total = 0 if rows is None else len(rows)
    block_index, position = np.zeros(total, np.int32), np.zeros(total, np.int64)
    if rows is not None:
        order = _sorted(rows, series, dimension)
        days = rows.time_ns[order] // NS_PER_DAY
        starts = np.flatnonzero(np.diff(days, prepend=days[0] - 1))
        for start, end in zip(starts, [*starts[1:], total], strict=True):
            part = order[start:end]
            block_index[part], position[part] = len(blocks), np.arange(end - start)
            sorted_by = sorting.physical(frozen.columns)
            content = _content(rows.take(part), series, frozen.columns)
            block = _write_block(target, content, table, int(days[start]), sorted_by)
            first, last = content.directory[0], content.directory[-1]
            blocks.append(Written(block, leading_key(first, dimension), leading_key(last, dimension)))
    ids = tuple(written.block.id for written in blocks)
    moved = []
    offset = 0
    for (chunk, _), kept in zip(frozen.chunks, live, strict=True):
        into_block, at = np.zeros(len(chunk), np.int32), np.full(len(chunk), -1, np.int64)
        into_block[kept] = block_index[offset : offset + len(kept)]
        at[kept] = position[offset : offset + len(kept)]
        offset += len(kept)
        moved.append(Moved(ids, into_block, at))
    return Flushed(tuple(blocks), tuple(moved))


def _write_block(target: Target, content: _Content, table: TableId, day: int, sorted_by: str | None) -> Block:
    block_id, doubles = target.new_id(), doubles_of(content.rows)
    with closing(BlockFile(target.files, target.vault, target.path_of(block_id), content.rows.schema, doubles)) as file:
        file.write(content.rows)
        return file.end(content.directory, block_id, table, day, sorted_by)


def _kept(chunk: Chunk, mask: Mask | None, oldest_ns: int) -> npt.NDArray[np.intp]:
    """The rows that were not replaced and are not past retention."""
    if chunk.start_ns >= oldest_ns:
        return np.arange(len(chunk)) if mask is None else np.flatnonzero(~mask)
    kept = chunk.time_ns >= oldest_ns
    return np.flatnonzero(kept if mask is None else kept & ~mask)


def _only(chunk: Chunk, rows: npt.NDArray[np.intp]) -> Chunk:
    return chunk.take(rows) if len(rows) < len(chunk) else Chunk(*_parts(chunk))


def _parts(chunk: Chunk) -> tuple[npt.NDArray[np.int32], Int64s, Int64s, dict[str, pa.Array]]:
    """The rows without the mask, which may have grown since the freeze."""
    return chunk.ordinals, chunk.time_ns, chunk.version, chunk.columns


def _sorted(rows: Chunk, series: SeriesIndex, dimension: str | None) -> npt.NDArray[np.intp]:
    """Row numbers by day, then by `dimension` if there is one, measure name, series id and time: in block order."""
    measure = _ranks(series.measure_name, rows.ordinals)
    keys = [rows.time_ns, series.ids.view[rows.ordinals], measure]
    if dimension is not None:
        keys.append(_ranks(series.dimension(dimension), rows.ordinals))
    return np.lexsort((*keys, rows.time_ns // NS_PER_DAY))


def _ranks(coded: Coded, ordinals: Ordinals) -> Int64s:
    """For each row a number that orders by its value; none comes first."""
    names = np.array(coded.values, object)
    rank = np.empty(len(names) + 1, np.int64)
    rank[np.argsort(names)] = np.arange(len(names))
    # Code -1, which is none, takes the last place of the array.
    rank[-1] = -1
    ranks: Int64s = rank[coded.codes_of(ordinals)]
    return ranks


def _content(rows: Chunk, series: SeriesIndex, columns: Columns) -> _Content:
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
    return _Content(pa.table(arrays), _directory(rows, series))


def _directory(rows: Chunk, series: SeriesIndex) -> list[DirectoryEntry]:
    starts = np.flatnonzero(np.diff(rows.ordinals, prepend=-1))
    keys = series.keys(rows.ordinals[starts])
    entries: list[DirectoryEntry] = []
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(rows)], strict=True):
        ordinal = int(rows.ordinals[start])
        measure_name, dimensions = keys.key(len(entries))
        entries.append(
            DirectoryEntry(
                measure_name=measure_name,
                dimensions=dimensions,
                file_id=int(series.ids.view[ordinal]),
                measure_types=series.data_types(ordinal),
                first_row=start,
                rows=end - start,
                start_ns=int(rows.time_ns[start]),
                end_ns=int(rows.time_ns[end - 1]),
            )
        )
    return entries
