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
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headwater.files import TEMPORARY_SUFFIX, Files
from headwater.model.block import Block
from headwater.model.record import Int64s
from headwater.model.table import Column, ColumnKind, Columns, TableId
from headwater.model.time import NS_PER_DAY, TIME_MIN_NS
from headwater.model.types import Scalar
from headwater.sealing import Vault
from headwater.storage.block import ROW_GROUP_ROWS, DirectoryEntry
from headwater.storage.block_file import BlockFile
from headwater.storage.chunk import Chunk, Mask, Moved, concatenated
from headwater.storage.live import Written, leading_key
from headwater.storage.scaled import Doubles, doubles_of
from headwater.storage.series import Ordinals, SeriesIndex
from headwater.storage.texts import NONE, Coded

SLICE_ROWS = 4 * ROW_GROUP_ROWS
"""So many rows are made into columns of a file at a time."""


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
    chunks = [chunk for chunk, _ in frozen.chunks]
    bounds = [0, *accumulate(map(len, chunks))]
    block_index, position = np.zeros(bounds[-1], np.int32), np.full(bounds[-1], -1, np.int64)
    blocks: list[Written] = []
    live = _live(frozen, sorting.oldest_ns)
    if len(live):
        rows = concatenated(chunks)
        dimension = sorting.dimension if sorting.physical(frozen.columns) is not None else None
        days = (rows.time_ns[live] // NS_PER_DAY).astype(np.int32)
        in_order = _sorted(rows.ordinals[live], rows.time_ns[live], days, series, dimension)
        order, days = live[in_order], days[in_order]
        del live, in_order
        starts = np.flatnonzero(np.diff(days, prepend=days[0] - 1))
        for start, end in zip(starts, [*starts[1:], len(order)], strict=True):
            part = order[start:end]
            block_index[part], position[part] = len(blocks), np.arange(end - start)
            contents = _Contents(rows, part, series, frozen.columns)
            block = _write_block(target, contents, table, int(days[start]), sorting.physical(frozen.columns))
            first, last = contents.directory[0], contents.directory[-1]
            blocks.append(Written(block, leading_key(first, dimension), leading_key(last, dimension)))
    ids = tuple(written.block.id for written in blocks)
    moved = [Moved(ids, block_index[start:end], position[start:end]) for start, end in pairwise(bounds)]
    return Flushed(tuple(blocks), tuple(moved))


def _write_block(target: Target, contents: _Contents, table: TableId, day: int, sorted_by: str | None) -> Block:
    block_id, schema = target.new_id(), contents.slice(0, 0).schema
    with closing(BlockFile(target.files, target.vault, target.path_of(block_id), schema, contents.doubles)) as file:
        for start in range(0, len(contents), SLICE_ROWS):
            file.write(contents.slice(start, SLICE_ROWS))
        return file.end(contents.directory, block_id, table, day, sorted_by)


def _live(frozen: Frozen, oldest_ns: int) -> npt.NDArray[np.intp]:
    """The rows that were not replaced and are not past retention, counted through all chunks."""
    kept = [np.zeros(0, np.bool_)]
    for chunk, mask in frozen.chunks:
        is_live = np.ones(len(chunk), np.bool_) if mask is None else ~mask
        kept.append(is_live & (chunk.time_ns >= oldest_ns) if chunk.start_ns < oldest_ns else is_live)
    return np.flatnonzero(np.concatenate(kept))


def _sorted(
    ordinals: Ordinals, time_ns: Int64s, days: npt.NDArray[np.int32], series: SeriesIndex, dimension: str | None
) -> npt.NDArray[np.intp]:
    """Row numbers by day, then by `dimension` if there is one, measure name, series id and time: in block order."""
    is_here = np.zeros(int(ordinals.max()) + 1, np.bool_)
    is_here[ordinals] = True
    here = np.flatnonzero(is_here).astype(np.int32)
    keys = [series.ids.view[here], _ranks(series.measure_name, here)]
    if dimension is not None:
        keys.append(_ranks(series.dimension(dimension), here))
    rank = np.empty(len(is_here), np.int32)
    rank[here[np.lexsort(keys)]] = np.arange(len(here), dtype=np.int32)
    return np.lexsort((time_ns, rank[ordinals], days))


def _ranks(coded: Coded, ordinals: Ordinals) -> Int64s:
    """For each series a number that orders by its value; none comes first."""
    texts = coded.texts.dictionary()
    rank = np.empty(len(texts) + 1, np.int64)
    # Bytes of UTF-8 are in the order of the characters.
    rank[pc.sort_indices(texts).to_numpy()] = np.arange(len(texts))
    # Code -1, which is none, takes the last place of the array.
    rank[-1] = -1
    ranks: Int64s = rank[coded.codes_of(ordinals)]
    return ranks


class _Contents:
    """Rows of one day in block order, as the columns of its file: those in which some row has a value.

    They are made a slice at a time: all of them at once would take several times the memory of the chunks. `directory`
    are their series, `doubles` says how the file has its doubles.
    """

    def __init__(self, rows: Chunk, order: npt.NDArray[np.intp], series: SeriesIndex, columns: Columns) -> None:
        self._rows = rows
        self._order = order
        self._series = series
        ordinals = rows.ordinals[order]
        starts = np.flatnonzero(np.diff(ordinals, prepend=-1))
        self.directory = _directory(starts, ordinals[starts], rows.time_ns[order], series)
        self._dimensions = [
            column
            for column in columns.dimensions
            if (series.dimension(column.name).codes_of(ordinals[starts]) != NONE).any()
        ]
        self._measures: list[Column] = []
        scales: dict[str, int] = {}
        split: set[str] = set()
        for column in columns.measures:
            values = rows.taken(column.name, order)
            if values is not None and values.null_count < len(values):
                self._measures.append(column)
                found = doubles_of(pa.table({column.physical: values}))
                scales |= found.scales
                split |= found.split
        self.doubles = Doubles(scales, frozenset(split))

    def __len__(self) -> int:
        return len(self._order)

    def slice(self, start: int, count: int) -> pa.Table:
        """The Parquet columns of some rows."""
        order = self._order[start : start + count]
        ordinals = self._rows.ordinals[order]
        arrays: dict[str, pa.Array] = {}
        for column in self._dimensions:
            arrays[column.physical] = self._series.dimension(column.name).column(ordinals)
        arrays["measure_name"] = self._series.measure_name.column(ordinals)
        arrays["time"] = pa.array(self._rows.time_ns[order]).cast(pa.timestamp("ns"))
        for column in self._measures:
            values = self._rows.columns[column.name].take(pa.array(order))
            arrays[column.physical] = values.cast(pa.timestamp("ns")) if column.type is Scalar.TIMESTAMP else values
        arrays["_version"] = pa.array(self._rows.version[order])
        arrays["_series"] = pa.array(self._series.ids.view[ordinals])
        return pa.table(arrays)


def _directory(
    starts: npt.NDArray[np.intp], ordinals: Ordinals, time_ns: Int64s, series: SeriesIndex
) -> list[DirectoryEntry]:
    """The series of rows in block order: `ordinals` begin at `starts`."""
    keys = series.keys(ordinals)
    entries: list[DirectoryEntry] = []
    ends = [*starts[1:].tolist(), len(time_ns)]
    for ordinal, start, end in zip(ordinals.tolist(), starts.tolist(), ends, strict=True):
        measure_name, dimensions = keys.key(len(entries))
        entries.append(
            DirectoryEntry(
                measure_name=measure_name,
                dimensions=dimensions,
                file_id=int(series.ids.view[ordinal]),
                measure_types=series.data_types(ordinal),
                first_row=start,
                rows=end - start,
                start_ns=int(time_ns[start]),
                end_ns=int(time_ns[end - 1]),
            )
        )
    return entries
