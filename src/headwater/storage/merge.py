"""Merging blocks of one table and day into new ones, in the same order of rows, in flat memory.

`compaction.py` chooses the blocks. Every input is sorted in the same way, so a step takes from each the rows up to the
least of their last ones, in batches; what comes out is written row group by row group, and a block ends when it is
large enough. Replaced and expired rows are left out. Memory holds some batches of each input, one row group of the
output, and the series directories.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headwater.errors import Corrupt
from headwater.files import Files, SourceFile
from headwater.model.record import Int64s
from headwater.model.table import HIDDEN_COLUMNS, Columns, TableId
from headwater.sealing import Vault
from headwater.storage.block import ROW_GROUP_ROWS, BlockReader, DirectoryEntry, open_block
from headwater.storage.block_file import BlockFile
from headwater.storage.live import LiveBlock, Rows, Written, leading_key
from headwater.storage.scaled import INTEGER_MAX, Doubles, Scales, unscaled

BATCH_ROWS = 16_384

Step = Callable[[], None]
"""Called between steps; may rest, and may raise to end the merge."""

_Key = tuple[str, str, int]
"""Leading key, measure name, id in files: the order of series in a block. Equal leading keys are no harm."""


@dataclass(frozen=True, slots=True)
class Output:
    """What the merged blocks are to be. `dimension` is the one they are sorted by, `sorted_by` its physical name."""

    table: TableId
    day: int
    columns: Columns
    dimension: str | None
    sorted_by: str | None
    target_bytes: int
    oldest_ns: int
    path_of: Callable[[], tuple[str, Path]]
    """A new block id, and the path for it."""


class _Form(NamedTuple):
    """What all new blocks have in common: their columns, how doubles are stored, the series in order of rows."""

    schema: pa.Schema
    doubles: Doubles
    series: list[DirectoryEntry]


@dataclass(frozen=True, slots=True)
class _Sorted:
    """Rows in order: `rank` is the place of each row's series among those of all inputs."""

    rows: pa.Table
    rank: Int64s
    time_ns: Int64s


def merge(
    files: Files, vault: Vault, inputs: Sequence[tuple[LiveBlock, Rows]], output: Output, step: Step
) -> list[Written]:
    """Write the live rows of some blocks as new blocks, synced; nothing names them yet.

    Each input comes with its replaced rows. The answer is in order of rows, and empty if no row is left. When it
    raises, files that it has begun are there: Corrupt for a bad input, OSError, whatever `step` raises.
    """
    with ExitStack() as stack:
        opened = [stack.enter_context(closing(_Input(files, vault, live, gone))) for live, gone in inputs]
        series = _all_series(opened, output.dimension)
        form = _Form(_schema(opened, output.columns), _doubles(opened), list(series.values()))
        for each in opened:
            each.begin(series, form.schema, output)
        writing = stack.enter_context(closing(_Writing(files, vault, output, form)))
        for part in _in_order(opened):
            writing.add(part)
            step()
        return writing.end()


class _Input:
    """One block being read: the rows of the batch at hand that are not taken yet."""

    def __init__(self, files: Files, vault: Vault, live: LiveBlock, gone: Rows) -> None:
        with closing(BlockReader(files, vault, live.path)) as reader:
            self.directory, self.scales = reader.directory, reader.scales
        self.name = live.path.name
        self.last: tuple[int, int] | None = None
        self._gone = gone
        self._row = 0
        self._source = SourceFile(open_block(files, vault, live.path))
        self._file = pq.ParquetFile(self._source)
        self.schema: pa.Schema = _unscaled(self._file.schema_arrow.empty_table(), self.scales).schema

    def close(self) -> None:
        self._file.close()
        self._source.close()

    @property
    def split(self) -> frozenset[str]:
        """The columns whose bytes are split."""
        group = self._file.metadata.row_group(0)
        columns = [group.column(place) for place in range(group.num_columns)]
        return frozenset(c.path_in_schema for c in columns if "BYTE_STREAM_SPLIT" in c.encodings)

    @property
    def greatest(self) -> dict[str, int]:
        """Of each scaled column the greatest integer without its sign."""
        metadata = self._file.metadata
        found = dict.fromkeys(self.scales, 0)
        for group in (metadata.row_group(number) for number in range(metadata.num_row_groups)):
            for column in (group.column(place) for place in range(group.num_columns)):
                bounds = column.statistics
                if column.path_in_schema in found and bounds is not None and bounds.has_min_max:
                    ends = (found[column.path_in_schema], abs(bounds.min), abs(bounds.max))
                    found[column.path_in_schema] = max(ends)
        return found

    def begin(self, series: dict[_Key, DirectoryEntry], schema: pa.Schema, output: Output) -> None:
        ranks = {key: rank for rank, key in enumerate(series)}
        self._first_rows = np.array([entry.first_row for entry in self.directory], np.int64)
        self._ranks = np.array([ranks[_key(entry, output.dimension)] for entry in self.directory], np.int64)
        self._schema = schema
        self._oldest_ns = output.oldest_ns
        self._batches = self._read()
        self.fill()

    def fill(self) -> None:
        """Have the next rows at hand, if there are any: then `last` is rank and time of the last of them."""
        self.last = None
        for batch in self._batches:
            rows = np.arange(self._row, self._row + batch.num_rows)
            self._row += batch.num_rows
            time_ns = batch.column("time").cast(pa.int64()).to_numpy()
            kept = np.flatnonzero((time_ns >= self._oldest_ns) & ~np.isin(rows, self._gone, assume_unique=True))
            if len(kept):
                rank = self._ranks[np.searchsorted(self._first_rows, rows[kept], "right") - 1]
                table = _with_schema(_unscaled(pa.Table.from_batches([batch]), self.scales), self._schema)
                self._at_hand = _Sorted(table.take(kept) if len(kept) < len(rows) else table, rank, time_ns[kept])
                self.last = int(rank[-1]), int(time_ns[kept[-1]])
                return

    def _read(self) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._file.iter_batches(BATCH_ROWS, use_threads=False)
        except (OSError, pa.ArrowException) as error:
            raise Corrupt(f"block {self.name}: {error}") from error

    def take(self, bound: tuple[int, int]) -> _Sorted:
        """The rows at hand up to `bound`, both rank and time; they are not at hand any more."""
        part = self._at_hand
        first, end = np.searchsorted(part.rank, bound[0], "left"), np.searchsorted(part.rank, bound[0], "right")
        count = int(first + np.searchsorted(part.time_ns[first:end], bound[1], "right"))
        if count == len(part.rank):
            self.fill()
        else:
            self._at_hand = _Sorted(part.rows.slice(count), part.rank[count:], part.time_ns[count:])
        return _Sorted(part.rows.slice(0, count), part.rank[:count], part.time_ns[:count])


def _in_order(inputs: Sequence[_Input]) -> Iterator[_Sorted]:
    """All rows of all inputs, in parts."""
    while lasts := [each.last for each in inputs if each.last is not None]:
        bound = min(lasts)
        parts = [each.take(bound) for each in inputs if each.last is not None]
        parts = [part for part in parts if len(part.rank)]
        if len(parts) == 1:
            yield parts[0]
            continue
        rank = np.concatenate([part.rank for part in parts])
        time_ns = np.concatenate([part.time_ns for part in parts])
        order = np.lexsort((time_ns, rank))
        rows = pa.concat_tables([part.rows for part in parts]).unify_dictionaries().combine_chunks()
        yield _Sorted(rows.take(order), rank[order], time_ns[order])


class _Writing:
    """The blocks being written, one at a time."""

    def __init__(self, files: Files, vault: Vault, output: Output, form: _Form) -> None:
        self._files = files
        self._vault = vault
        self._output = output
        self._form = form
        self._waiting: list[_Sorted] = []
        self._waiting_rows = 0
        self._block: _OpenBlock | None = None
        self._written: list[Written] = []

    def add(self, part: _Sorted) -> None:
        self._waiting.append(part)
        self._waiting_rows += len(part.rank)
        while self._waiting_rows >= ROW_GROUP_ROWS:
            self._write(ROW_GROUP_ROWS)

    def end(self) -> list[Written]:
        """Finish the last block."""
        if self._waiting_rows:
            self._write(self._waiting_rows)
        if self._block is not None:
            self._written.append(self._block.end())
        return self._written

    def close(self) -> None:
        """Give back what an end too early has left open."""
        if self._block is not None:
            self._block.close()

    def _write(self, count: int) -> None:
        """One row group of so many of the rows that wait."""
        rows = pa.concat_tables([part.rows for part in self._waiting]).unify_dictionaries().combine_chunks()
        rank = np.concatenate([part.rank for part in self._waiting])
        time_ns = np.concatenate([part.time_ns for part in self._waiting])
        self._waiting = [_Sorted(rows.slice(count), rank[count:], time_ns[count:])]
        self._waiting_rows -= count
        if self._block is None:
            self._block = _OpenBlock(self._files, self._vault, self._output, self._form)
        self._block.write(_Sorted(rows.slice(0, count), rank[:count], time_ns[:count]))
        if self._block.bytes >= self._output.target_bytes:
            self._written.append(self._block.end())
            self._block = None


class _OpenBlock:
    """One block being written, and its series directory as it grows."""

    def __init__(self, files: Files, vault: Vault, output: Output, form: _Form) -> None:
        self._output = output
        self._series = form.series
        self._id, path = output.path_of()
        self._file = BlockFile(files, vault, path, form.schema, form.doubles)
        self._directory: list[DirectoryEntry] = []
        self._rank = -1
        self._rows = 0

    @property
    def bytes(self) -> int:
        """Of the row groups that are written."""
        return self._file.bytes

    def write(self, part: _Sorted) -> None:
        """Add one row group."""
        self._file.write(part.rows)
        starts = np.flatnonzero(np.diff(part.rank, prepend=-1)).tolist()
        for start, end in zip(starts, [*starts[1:], len(part.rank)], strict=True):
            self._note(int(part.rank[start]), end - start, int(part.time_ns[start]), int(part.time_ns[end - 1]))

    def end(self) -> Written:
        """Make the file durable."""
        of, dimension = self._output, self._output.dimension
        block = self._file.end(self._directory, self._id, of.table, of.day, of.sorted_by)
        return Written(block, leading_key(self._directory[0], dimension), leading_key(self._directory[-1], dimension))

    def close(self) -> None:
        self._file.close()

    def _note(self, rank: int, rows: int, start_ns: int, end_ns: int) -> None:
        """The next rows are of this series. Its rows may go on from the row group before."""
        if rank == self._rank:
            last = self._directory[-1]
            self._directory[-1] = msgspec.structs.replace(last, rows=last.rows + rows, end_ns=end_ns)
        else:
            entry = self._series[rank]
            changed = msgspec.structs.replace(entry, first_row=self._rows, rows=rows, start_ns=start_ns, end_ns=end_ns)
            self._directory.append(changed)
        self._rank = rank
        self._rows += rows


def _all_series(inputs: Sequence[_Input], dimension: str | None) -> dict[_Key, DirectoryEntry]:
    """The series of all inputs, in the order of rows. Their kinds of measure are those of any input."""
    found: dict[_Key, DirectoryEntry] = {}
    for each in inputs:
        for entry in each.directory:
            key = _key(entry, dimension)
            known = found.setdefault(key, entry)
            if known.measure_types != entry.measure_types:
                types = dict.fromkeys((*known.measure_types, *entry.measure_types))
                found[key] = msgspec.structs.replace(known, measure_types=tuple(types))
    return dict(sorted(found.items()))


def _key(entry: DirectoryEntry, dimension: str | None) -> _Key:
    return leading_key(entry, dimension), entry.measure_name, entry.file_id


def _schema(inputs: Sequence[_Input], columns: Columns) -> pa.Schema:
    """The columns that some input has, in the order of the table's, the hidden ones last."""
    found = {field.name: field for each in inputs for field in each.schema}
    names = [column.physical for column in columns.all()] + [*sorted(HIDDEN_COLUMNS, reverse=True)]
    return pa.schema([found[name] for name in names if name in found])


def _doubles(inputs: Sequence[_Input]) -> Doubles:
    """As the inputs have them, as far as they agree; a column that one has split will not do with a dictionary."""
    scales = _scales(inputs)
    return Doubles(scales, frozenset().union(*(each.split for each in inputs)) - scales.keys())


def _scales(inputs: Sequence[_Input]) -> Scales:
    """The columns that are scaled in all inputs that have them: by as many decimals as the one that has most."""
    mixed = {name for each in inputs for name in each.schema.names if name not in each.scales}
    found: dict[str, int] = {}
    for each in inputs:
        for name, decimals in each.scales.items():
            if name not in mixed:
                found[name] = max(found.get(name, 0), decimals)
    for each in inputs:
        for name, greatest in each.greatest.items():
            if name in found and greatest * 10 ** (found[name] - each.scales[name]) >= INTEGER_MAX:
                del found[name]
    return found


def _unscaled(rows: pa.Table, scales: Scales) -> pa.Table:
    """The rows with doubles for what is scaled."""
    for name, decimals in scales.items():
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(place, name, unscaled(rows.column(place), decimals))
    return rows


def _with_schema(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """The same rows with nulls in the columns they lack."""
    present = set(rows.column_names)
    columns = [rows[f.name] if f.name in present else pa.nulls(rows.num_rows, f.type) for f in schema]
    return pa.table(columns, schema=schema)
