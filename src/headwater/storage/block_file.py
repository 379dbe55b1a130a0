"""A block file being written, row group after row group, in flat memory: sealed, hashed and described.

`flush.py` and `merge.py` write their rows through it. Reading is `block.py`; the format is docs/format/block.md.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from headwater.files import TEMPORARY_SUFFIX, Appender, Files, OpenFile
from headwater.model.block import Block
from headwater.model.table import TableId
from headwater.sealing import SealingFile, Vault
from headwater.storage.block import (
    DIRECTORY_KEY,
    FORMAT,
    FORMAT_KEY,
    ROW_GROUP_ROWS,
    SCALES_KEY,
    SORTED_BY_KEY,
    DirectoryEntry,
    pack_directory,
    place_of,
)
from headwater.storage.scaled import Doubles, scaled


class BlockFile:
    """Its path must end in the table's id and the block's: its key is made for that place.

    Every call may raise KeyUnusable, Unavailable, OSError; what is on disk then is to be removed. Close it always.
    """

    def __init__(self, files: Files, vault: Vault, path: Path, schema: pa.Schema, doubles: Doubles) -> None:
        """`schema` is that of the rows to be written; `doubles` says how to store those among them."""
        self._files = files
        self._path = path
        self._temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
        key = vault.keys.new(place_of(path))
        self._file = files.create(self._temporary, site="block.write")
        self._appended = _Hashed(self._file)
        self._sink = SealingFile(self._appended.append, key)
        self._rows = 0
        self._is_closed = False
        self._scales = doubles.scales
        encodings = dict.fromkeys(["time", *doubles.scales], "DELTA_BINARY_PACKED")
        encodings |= dict.fromkeys(doubles.split, "BYTE_STREAM_SPLIT")
        self._writer = pq.ParquetWriter(
            self._sink,
            scaled(schema.empty_table(), doubles.scales).schema,
            compression="zstd",
            compression_level=3,
            use_dictionary=[name for name in schema.names if name not in encodings],
            column_encoding=encodings,
            write_page_checksum=True,
            version="2.6",
        )

    @property
    def bytes(self) -> int:
        """Of what is written up to now, before it is sealed."""
        return self._sink.tell()

    def write(self, rows: pa.Table) -> None:
        """Add rows; they begin a new row group."""
        self._writer.write_table(scaled(rows, self._scales), ROW_GROUP_ROWS)
        self._rows += rows.num_rows

    def close(self) -> None:
        """Give the file back. Harmless when it is ended or closed."""
        if not self._is_closed:
            self._is_closed = True
            self._file.close(site="block.write")

    def end(
        self, directory: list[DirectoryEntry], block_id: str, table: TableId, day: int, sorted_by: str | None
    ) -> Block:
        """Make the file durable and describe it; it is live only when the manifest names it."""
        schema = self._writer.schema
        metadata = {FORMAT_KEY: str(FORMAT), DIRECTORY_KEY: pack_directory(directory)}
        if sorted_by is not None:
            metadata[SORTED_BY_KEY] = sorted_by
        if self._scales:
            metadata[SCALES_KEY] = msgspec.json.encode(dict(self._scales))
        self._writer.add_key_value_metadata(metadata)
        self._writer.close()
        self._sink.finish()
        self.close()
        self._files.publish(self._temporary, self._path, site="block.write")
        return Block(
            id=block_id,
            table=table,
            day=day,
            rows=self._rows,
            bytes=self._appended.size_bytes,
            start_ns=min(entry.start_ns for entry in directory),
            end_ns=max(entry.end_ns for entry in directory),
            sha256=self._appended.digest.hexdigest(),
            physical=tuple(schema.names),
            sorted_by=sorted_by,
            scales=dict(self._scales),
        )


class _Hashed(Appender):
    """Keeps the digest of what it writes."""

    def __init__(self, file: OpenFile) -> None:
        super().__init__(file, "block.write")
        self.digest = hashlib.sha256()

    def append(self, data: bytes) -> None:
        super().append(data)
        self.digest.update(data)
