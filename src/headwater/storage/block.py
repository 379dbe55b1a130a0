"""Blocks: what such a file holds, and reading single rows of it for the version check.

A block is an ordinary Parquet file inside a sealed one (sealing.py): dimensions, `measure_name`, `time` and measures
under their physical names, beside the hidden `_version` and `_series`. Rows are sorted by (measure_name, series id,
time). Its metadata holds `headwater.format` and the series directory (docs/format/block.md). Queries read what
`open_block` gives through the engine; writing is `block_file.py`.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headwater.errors import Corrupt, NewerFormat
from headwater.files import Files, Source, SourceFile
from headwater.model.record import Int64s
from headwater.model.series import Series
from headwater.sealing import SealedSource, Vault
from headwater.storage.scaled import unscaled

FORMAT = 2
ROW_GROUP_ROWS = 65_536
FORMAT_KEY = b"headwater.format"
DIRECTORY_KEY = b"headwater.series"
SORTED_BY_KEY = b"headwater.sorted_by"
SCALES_KEY = b"headwater.scales"


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


# Made here and not at the first use, which may come on several threads at once: see `wire/codec`.
_decode_directory = msgspec.msgpack.Decoder(list[DirectoryEntry]).decode


@dataclass(frozen=True, slots=True)
class BlockDescription:
    """A block file in figures: rows of each row group, type of each column by physical name, which are scaled."""

    rows: int
    row_groups: tuple[int, ...]
    columns: dict[str, str]
    scales: dict[str, int]
    sorted_by: str | None
    format: int
    written_by: str


def open_block(files: Files, vault: Vault, path: Path) -> Source:
    """The Parquet file of a block, for any number of threads. Raises Corrupt, NewerFormat, KeyUnusable, Unavailable."""
    try:
        return SealedSource(files.open_source(path, site="block.read"), place_of(path), vault)
    except OSError as error:
        raise Corrupt(f"block {path.name}: {error}") from error


def place_of(path: Path) -> str:
    """What the keeper of keys knows a block by: where it must be to be opened."""
    return f"{path.parent.name}/{path.stem}"


def pack_directory(directory: list[DirectoryEntry]) -> bytes:
    """Compressed and in base64: readers of Parquet expect text in a file's metadata."""
    packed = msgspec.msgpack.encode(directory)
    return b"%d:%b" % (len(packed), base64.b64encode(pa.compress(packed, "zstd", asbytes=True)))


def _unpacked_bytes(text: bytes) -> int:
    return int(text.partition(b":")[0])


def _unpack(text: bytes) -> list[DirectoryEntry]:
    packed = pa.decompress(base64.b64decode(text.partition(b":")[2]), _unpacked_bytes(text), "zstd", asbytes=True)
    return _decode_directory(packed)


class BlockReader:
    """One block file opened for its directory and for rows of it. Not for several threads at once."""

    def __init__(self, files: Files, vault: Vault, path: Path) -> None:
        """Raises Corrupt if the file is no block, NewerFormat if a later release wrote it, KeyUnusable, Unavailable."""
        self._path = path
        self._source = SourceFile(open_block(files, vault, path))
        try:
            self._file = pq.ParquetFile(self._source)
            metadata = self._file.metadata.metadata or {}
            version = int(metadata[FORMAT_KEY])
            if version > FORMAT:
                raise NewerFormat(f"Block {path.name} has format {version}; this release knows formats up to {FORMAT}.")
            self._packed = metadata[DIRECTORY_KEY]
            self.directory_bytes = _unpacked_bytes(self._packed)
            """Of the series directory, decompressed."""
            self.scales: dict[str, int] = msgspec.json.decode(metadata.get(SCALES_KEY, b"{}"), type=dict[str, int])
        except (OSError, KeyError, ValueError, msgspec.DecodeError, pa.ArrowException) as error:
            raise Corrupt(f"block {path.name}: {error}") from error
        sizes = [self._file.metadata.row_group(i).num_rows for i in range(self._file.num_row_groups)]
        self.group_starts: Int64s = np.array([0, *accumulate(sizes)], np.int64)
        """The first row of each row group, and the number of rows."""

    @cached_property
    def directory(self) -> list[DirectoryEntry]:
        """The series in order of their rows. Raises Corrupt."""
        try:
            return _unpack(self._packed)
        except (OSError, ValueError, msgspec.DecodeError, pa.ArrowException) as error:
            raise Corrupt(f"block {self._path.name}: {error}") from error

    @cached_property
    def _by_id(self) -> dict[int, DirectoryEntry]:
        return {entry.file_id: entry for entry in self.directory}

    @property
    def rows(self) -> int:
        return int(self.group_starts[-1])

    @property
    def description(self) -> BlockDescription:
        """What the file says of itself beside the directory."""
        metadata = self._file.metadata
        sorted_by = (metadata.metadata or {}).get(SORTED_BY_KEY)
        return BlockDescription(
            rows=metadata.num_rows,
            row_groups=tuple(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)),
            columns={field.name: str(field.type) for field in self._file.schema_arrow},
            scales=self.scales,
            sorted_by=None if sorted_by is None else sorted_by.decode(),
            format=int(metadata.metadata[FORMAT_KEY]),
            written_by=str(metadata.created_by),
        )

    def entry(self, file_id: int) -> DirectoryEntry | None:
        """What the directory says of a series; None if the block has none of it."""
        return self._by_id.get(file_id)

    def groups(self, first_row: int, end_row: int) -> range:
        """The row groups that have these rows."""
        first, last = np.searchsorted(self.group_starts, [first_row, end_row - 1], "right") - 1
        return range(int(first), int(last) + 1)

    def groups_of(self, rows: Int64s) -> Int64s:
        """The row group of each row."""
        groups: Int64s = np.searchsorted(self.group_starts, rows, "right") - 1
        return groups

    def group_start(self, group: int) -> int:
        """The first row of a row group."""
        return int(self.group_starts[group])

    def column(self, group: int, name: str) -> pa.Array:
        """One column of one row group, by physical name; instants as int64, all doubles as such. Raises Corrupt."""
        try:
            column = self._file.read_row_group(group, columns=[name]).column(0).combine_chunks()
        except (OSError, pa.ArrowException) as error:
            raise Corrupt(f"block {self._path.name}, row group {group}, column {name}: {error}") from error
        if name in self.scales:
            return unscaled(column, self.scales[name])
        return column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column

    def close(self) -> None:
        self._file.close()
        self._source.close()
