"""Blocks: writing one day's rows as a Parquet file, and reading single rows of it for the version check.

A block is an ordinary Parquet file that any tool opens: dimensions, `measure_name`, `time` and measures under
their physical names, beside the hidden `_version` and `_series`. Rows are sorted by (measure_name, series id,
time). Its metadata holds `headwater.format` and the series directory (docs/format/block.md). Queries read
blocks through the engine, not through here.
"""

from __future__ import annotations

import base64
import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headwater.errors import Corrupt, NewerFormat
from headwater.files import Files
from headwater.model.block import Block
from headwater.model.record import Int64s
from headwater.model.series import Series
from headwater.model.table import TableId

FORMAT = 1
ROW_GROUP_ROWS = 65_536
_FORMAT_KEY = b"headwater.format"
_DIRECTORY_KEY = b"headwater.series"
_CACHED_ROW_GROUPS = 64


class DirectoryEntry(msgspec.Struct, frozen=True, array_like=True):
    """One series of a block: its key (dimensions as sent), id in files, kinds of measure, rows and their times."""

    measure_name: str
    dimensions: tuple[tuple[str, str], ...]
    file_id: int
    measure_types: tuple[str, ...]
    first_row: int
    rows: int
    start_ns: int
    end_ns: int

    @property
    def series(self) -> Series:
        return Series(self.measure_name, self.dimensions)


@dataclass(frozen=True, slots=True)
class BlockContent:
    """What a flush hands over: sorted rows of one day, and their directory in the same order."""

    table: pa.Table
    directory: list[DirectoryEntry]
    start_ns: int
    end_ns: int


def write_block(files: Files, path: Path, content: BlockContent, block_id: str, table: TableId, day: int) -> Block:
    """Write and sync a block file and describe it; it is live only when the manifest names it."""
    metadata = {_FORMAT_KEY: str(FORMAT), _DIRECTORY_KEY: _pack(content.directory)}
    sink = pa.BufferOutputStream()
    pq.write_table(
        content.table.replace_schema_metadata(metadata),
        sink,
        row_group_size=ROW_GROUP_ROWS,
        compression="zstd",
        compression_level=3,
        use_dictionary=[name for name in content.table.column_names if name != "time"],
        column_encoding={"time": "DELTA_BINARY_PACKED"},
        write_page_checksum=True,
        version="2.6",
    )
    data = sink.getvalue()
    files.write_file(path, data, site="block.write")
    return Block(
        id=block_id,
        table=table,
        day=day,
        rows=content.table.num_rows,
        bytes=int(data.size),
        start_ns=content.start_ns,
        end_ns=content.end_ns,
        sha256=hashlib.sha256(data).hexdigest(),
        physical=tuple(content.table.column_names),
    )


def _pack(directory: list[DirectoryEntry]) -> bytes:
    """Compressed and in base64: readers of Parquet expect text in a file's metadata."""
    packed = msgspec.msgpack.encode(directory)
    return b"%d:%b" % (len(packed), base64.b64encode(pa.compress(packed, "zstd", asbytes=True)))


def _unpack(text: bytes) -> list[DirectoryEntry]:
    size, _, encoded = text.partition(b":")
    packed = pa.decompress(base64.b64decode(encoded), int(size), "zstd", asbytes=True)
    return msgspec.msgpack.decode(packed, type=list[DirectoryEntry])


class BlockReader:
    """One block file opened for its directory and for single rows. Not for several threads at once."""

    def __init__(self, files: Files, path: Path) -> None:
        """Raises Corrupt if the file is no block, NewerFormat if a later release wrote it."""
        self._path = path
        try:
            self._file = pq.ParquetFile(files.open_reader(path, site="block.read"), page_checksum_verification=True)
            metadata = self._file.metadata.metadata or {}
            version = int(metadata[_FORMAT_KEY])
            if version > FORMAT:
                raise NewerFormat(f"Block {path.name} has format {version}; this release knows formats up to {FORMAT}.")
            self.directory = _unpack(metadata[_DIRECTORY_KEY])
        except (OSError, KeyError, ValueError, msgspec.DecodeError, pa.ArrowException) as error:
            raise Corrupt(f"block {path.name}: {error}") from error
        self._by_id = {entry.file_id: entry for entry in self.directory}
        starts = [self._file.metadata.row_group(i).num_rows for i in range(self._file.num_row_groups)]
        self._group_starts = np.concatenate([[0], np.cumsum(starts)])
        self._cache: OrderedDict[tuple[int, str], pa.ChunkedArray] = OrderedDict()

    def find(self, file_id: int, time_ns: int) -> int | None:
        """The row of this series and time, or None. Replaced rows are found too."""
        entry = self._by_id.get(file_id)
        if entry is None or not entry.start_ns <= time_ns <= entry.end_ns:
            return None
        first, last = entry.first_row, entry.first_row + entry.rows
        for group in range(self._group_of(first), self._group_of(last - 1) + 1):
            start = int(self._group_starts[group])
            times = self._times(group)[max(first - start, 0) : last - start]
            # Versions of one instant may stand side by side; the newest is the last.
            place = int(np.searchsorted(times, time_ns, "right")) - 1
            if place >= 0 and times[place] == time_ns:
                return max(first, start) + place
        return None

    def close(self) -> None:
        self._file.close()

    def version(self, row: int) -> int:
        return int(self._cell("_version", row))

    def values(self, row: int, names: dict[str, str]) -> dict[str, object]:
        """The non-null values of one row; `names` maps names of measures to physical ones."""
        present = set(self._file.schema_arrow.names)
        found = {name: self._cell(physical, row) for name, physical in names.items() if physical in present}
        return {name: value for name, value in found.items() if value is not None}

    def _group_of(self, row: int) -> int:
        return int(np.searchsorted(self._group_starts, row, "right")) - 1

    def _times(self, group: int) -> Int64s:
        times: Int64s = self._column(group, "time").cast(pa.int64()).to_numpy()
        return times

    def _cell(self, name: str, row: int) -> Any:
        group = self._group_of(row)
        cell = self._column(group, name)[row - int(self._group_starts[group])]
        return cell.value if pa.types.is_timestamp(cell.type) else cell.as_py()

    def _column(self, group: int, name: str) -> pa.ChunkedArray:
        key = group, name
        if key not in self._cache:
            try:
                self._cache[key] = self._file.read_row_group(group, columns=[name]).column(0)
            except (OSError, pa.ArrowException) as error:
                raise Corrupt(f"block {self._path.name}, row group {group}, column {name}: {error}") from error
            if len(self._cache) > _CACHED_ROW_GROUPS:
                self._cache.popitem(last=False)
        self._cache.move_to_end(key)
        return self._cache[key]
