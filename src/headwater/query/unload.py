"""UNLOAD: the rows of a query as files in a bucket, with a manifest and the description of the columns.

`execute` calls this with the rows as they come, on a thread of the query pool. Memory stays flat: what was read is in
a file before more is read. Files appear whole; what a failed run has finished stays behind, without a manifest.
Source: sql.md 4.7, errors.md 2.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import BinaryIO, NamedTuple, Protocol, Self

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headwater.errors import QueryFailed
from headwater.model.insights import Unloaded
from headwater.model.types import OutputColumn, Scalar
from headwater.objects import Buckets, Encryption, ObjectFault, Objects, check_prefix
from headwater.query.result import Result, RowsInMemory
from headwater.sql.compile import UNLOAD_COLUMNS, UnloadOptions, UnloadPlan
from headwater.wire.datum import column_info
from headwater.wire.files import csv_header, csv_lines, parquet_table, plain_texts

PARTITIONS_MOST = 100
KEY_BYTES_MOST = 1_024

_AUTHOR = "Amazon Timestream"
_FORMAT_VERSION = "1.0"
_GROUP_ROWS = 65_536
_GROUP_BYTES = 64 * 1024 * 1024
_SEE = "See documentation for more details."


class _File(NamedTuple):
    """One finished file, as the manifest names it."""

    key: str
    bytes: int
    rows: int


class Unload:
    """One UNLOAD, from its plan to its answer."""

    def __init__(self, query_id: str, plan: UnloadPlan, buckets: Buckets, new_id: Callable[[], str]) -> None:
        """`new_id` makes the unique part of names. Raises QueryFailed if the bucket cannot be used."""
        self._plan = plan
        self._name = f"{query_id}_{new_id()}"
        self._query_id = query_id
        self._new_id = new_id
        options = plan.options
        encryption = Encryption(options.encryption, options.kms_key or "")
        try:
            self._objects = buckets.bucket(plan.target.bucket, encryption)
            check_prefix(plan.target.prefix)
            self._objects.check()
        except ObjectFault as error:
            raise _failed(error) from error
        folder = plan.target.prefix
        self._folder = f"{folder}/" if folder else ""
        self._check_folder()

    def run(self, batches: Iterable[pa.RecordBatch]) -> tuple[Result, Unloaded]:
        """Write all rows; the answer, and what is in the files. Raises QueryFailed."""
        files: list[_File] = []
        try:
            with _Partitions(self, files) as partitions:
                for table in _in_groups(batches):
                    partitions.add(table)
            result, size = self._finished(files)
            rows = sum(file.rows for file in files)
            return result, Unloaded(partitions.count, rows, size)
        except ObjectFault as error:
            raise _failed(error) from error

    def open(self, partition: Sequence[tuple[str, str]]) -> _Writing:
        """A new file of one partition. Raises QueryFailed if its key is too long."""
        options = self._plan.options
        folders = "".join(f"{name}={value}/" for name, value in partition)
        key = f"{self._folder}results/{folders}{self._query_id}_{self._new_id()}{_suffix(options)}"
        if len(key.encode()) > KEY_BYTES_MOST:
            raise QueryFailed(f"The generated S3 object key: {key} is too long. {_SEE}")
        columns = self._plan.query.columns[: len(self._plan.query.columns) - len(options.partitioned_by)]
        return _Writing(self._objects, key, columns, options)

    @property
    def plan(self) -> UnloadPlan:
        return self._plan

    def _check_folder(self) -> None:
        longest = len(f"{self._folder}results/{self._name}_manifest.json".encode())
        if longest > KEY_BYTES_MOST:
            prefix = self._plan.target.prefix
            raise QueryFailed(
                f"UNLOAD result file key when using the S3 prefix [{prefix}] provided in the destination will exceed "
                f"the S3 allowed key length. {_SEE}"
            )

    def _finished(self, files: list[_File]) -> tuple[Result, int]:
        rows, size = sum(file.rows for file in files), sum(file.bytes for file in files)
        metadata = self._put(
            "metadata",
            {
                "ColumnInfo": column_info(self._plan.query.columns),
                "Author": {"Name": _AUTHOR, "MetadataFileVersion": _FORMAT_VERSION},
            },
        )
        manifest = self._put(
            "manifest",
            {
                "result_files": [
                    {
                        "url": self._url(file.key),
                        "file_metadata": {"content_length_in_bytes": file.bytes, "row_count": file.rows},
                    }
                    for file in files
                ],
                "query_metadata": {
                    "content_length_in_bytes": size,
                    "total_content_length_in_bytes": size,
                    "total_row_count": rows,
                    "result_format": self._plan.options.format,
                    "result_version": f"{_AUTHOR} version 1.0.0",
                },
                "author": {"name": _AUTHOR, "manifest_file_version": _FORMAT_VERSION},
            },
        )
        table = pa.table({"c0": pa.array([rows], pa.int64()), "c1": [metadata], "c2": [manifest]})
        return Result(RowsInMemory(table), UNLOAD_COLUMNS, 0, 0), size

    def _put(self, what: str, value: object) -> str:
        key = f"{self._folder}{self._name}_{what}.json"
        self._objects.put(key, msgspec.json.encode(value))
        return self._url(key)

    def _url(self, key: str) -> str:
        return f"s3://{self._plan.target.bucket}/{key}"


def _in_groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The rows in tables of as many as a row group of Parquet has, fewer if they are long; none without rows."""
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        waiting.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
            yield pa.Table.from_batches(waiting)
            waiting, rows, size = [], 0, 0
    if rows:
        yield pa.Table.from_batches(waiting)


class _Partitions:
    """The open file of each partition; leaving it without an error finishes them all."""

    def __init__(self, unload: Unload, files: list[_File]) -> None:
        self._unload = unload
        self._files = files
        self._names = unload.plan.options.partitioned_by
        self._types = unload.plan.query.columns
        self._open: dict[tuple[str, ...], _Writing] = {}
        self._seen: set[tuple[str, ...]] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for writing in self._open.values():
            if kind is None:
                self._files.append(writing.finish())
            else:
                writing.abandon()

    @property
    def count(self) -> int:
        """How many partitions have rows: without partition columns there is one at most."""
        return len(self._seen)

    def add(self, table: pa.Table) -> None:
        for values, part in self._parts(table):
            self._seen.add(values)
            if len(self._seen) > PARTITIONS_MOST:
                raise QueryFailed(f"UNLOAD cannot write more than {PARTITIONS_MOST} partitions")
            if values not in self._open:
                self._open[values] = self._unload.open(list(zip(self._names, values, strict=True)))
            writing = self._open[values]
            writing.add(part)
            if writing.is_full:
                self._files.append(self._open.pop(values).finish())

    def _parts(self, table: pa.Table) -> Iterator[tuple[tuple[str, ...], pa.Table]]:
        """The rows of each partition, without its columns."""
        count = len(self._names)
        if not count:
            yield (), table
            return
        first = table.num_columns - count
        rows = table.select(range(first))
        texts = [self._folder_texts(table, place) for place in range(first, table.num_columns)]
        keys = pa.table({str(place): text for place, text in enumerate(texts)})
        numbered = keys.append_column("row", pa.array(range(table.num_rows), pa.int64()))
        grouped = numbered.group_by([str(place) for place in range(count)], use_threads=False)
        for group in grouped.aggregate([("row", "list")]).to_pylist():
            yield tuple(group[str(place)] for place in range(count)), rows.take(pa.array(group["row_list"]))

    def _folder_texts(self, table: pa.Table, place: int) -> pa.Array:
        """The values of a partition's column as names of folders. Raises QueryFailed for what is not ASCII."""
        column, kind = table.column(place), self._types[place]
        assert isinstance(kind.type, Scalar)
        array = pa.concat_arrays([_without_dictionary(chunk) for chunk in column.chunks])
        texts = pc.fill_null(plain_texts(array, kind.type), "null")
        if not pc.all(pc.string_is_ascii(texts)).as_py():
            raise QueryFailed(f"UNLOAD partition column '{kind.name}' holds a value that is not ASCII")
        return texts


@dataclass(eq=False, slots=True)
class _Writing:
    """One file being written."""

    objects: Objects
    key: str
    columns: Sequence[OutputColumn]
    options: UnloadOptions
    rows: int = 0
    _stack: ExitStack = field(default_factory=ExitStack)
    _counted: _Counted | None = None
    _sink: _Sink | None = None

    def add(self, table: pa.Table) -> None:
        if self._sink is None:
            self._counted = _Counted(self._stack.enter_context(self.objects.writer(self.key)))
            kind = _Csv if self.options.format == "CSV" else _Parquet
            self._sink = kind(self._counted, self.columns, self.options)
        self._sink.write(table)
        self.rows += table.num_rows

    @property
    def is_full(self) -> bool:
        return self._counted is not None and self._counted.bytes >= self.options.file_bytes_max

    def finish(self) -> _File:
        """The object is there on return."""
        assert self._sink is not None
        assert self._counted is not None
        self._sink.close()
        self._stack.close()
        return _File(self.key, self._counted.bytes, self.rows)

    def abandon(self) -> None:
        """No object appears."""
        self._stack.pop_all()


class _Counted:
    """A file that counts what goes into it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.bytes = 0
        self.closed = False

    def write(self, data: bytes) -> int:
        self._file.write(data)
        self.bytes += len(data)
        return len(data)

    def flush(self) -> None:
        """What is written goes on its way by itself."""

    def close(self) -> None:
        """The file is its opener's to close."""
        self.closed = True

    def tell(self) -> int:
        return self.bytes

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False


class _Sink(Protocol):
    """What a format makes of rows."""

    def write(self, table: pa.Table) -> None: ...

    def close(self) -> None: ...


class _Csv:
    def __init__(self, file: _Counted, columns: Sequence[OutputColumn], options: UnloadOptions) -> None:
        self._columns = columns
        self._options = options
        is_packed = options.compression == "GZIP"
        self._packed = gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6, mtime=0) if is_packed else None
        self._file = self._packed or file
        if options.include_header:
            self._file.write(csv_header(columns, options.field_delimiter, options.escaped_by))

    def write(self, table: pa.Table) -> None:
        self._file.write(csv_lines(table, self._columns, self._options.field_delimiter, self._options.escaped_by))

    def close(self) -> None:
        if self._packed is not None:
            self._packed.close()


class _Parquet:
    def __init__(self, file: _Counted, columns: Sequence[OutputColumn], options: UnloadOptions) -> None:
        self._file = file
        self._columns = columns
        self._options = options
        self._writer: pq.ParquetWriter | None = None

    def write(self, table: pa.Table) -> None:
        rows = parquet_table(table, self._columns)
        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self._file,
                rows.schema,
                compression=self._options.compression,
                # Timestream's own files have these, and readers of them expect it. Source: sql.md 4.7.
                use_deprecated_int96_timestamps=True,
            )
        self._writer.write_table(rows, _GROUP_ROWS)

    def close(self) -> None:
        assert self._writer is not None
        self._writer.close()


def _without_dictionary(array: pa.Array) -> pa.Array:
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _suffix(options: UnloadOptions) -> str:
    if options.format == "PARQUET":
        return ".parquet"
    return ".gz" if options.compression == "GZIP" else ".csv"


def _failed(error: ObjectFault) -> QueryFailed:
    return QueryFailed(f"UNLOAD could not write to its destination: {error.message}")
