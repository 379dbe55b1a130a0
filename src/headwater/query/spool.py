"""The spool: results on disk, sealed, for those that are read page by page.

`run` gathers what the engine streams here: a small result stays in memory, a larger one goes to a file as it comes, so
that memory stays flat. A result of several pages is on disk before its first token is given out, which is why its
token is good after a restart. Its name is not synced: what a power loss takes is a result that can be had again.

One file a result, `<begin>-<number>-<query id>.result`, begin in seconds since 1970 and number in hexadecimal; sealed
(docs/format/sealed.md). The number counts: no two files of a process have one name, by which `sealing` keeps chunks.

    record batches    Arrow IPC messages, one behind the other
    trailer           msgpack: columns, schema, (offset, length, first row) of each batch, counts, insights
    8 bytes           length of the trailer, little-endian
"""

from __future__ import annotations

import itertools
import threading
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec
import pyarrow as pa
import structlog

from headwater.errors import Corrupt, Fault, QueryFailed, Unavailable
from headwater.files import TEMPORARY_SUFFIX, Appender, Files, OpenFile
from headwater.model.insights import Insights
from headwater.model.types import Array, Field, Map, OutputColumn, Row, Scalar, SqlType, Timeseries
from headwater.query.result import Result, Rows, RowsInMemory
from headwater.sealing import SealedSource, SealingFile, Vault
from headwater.threads import in_turns, resting

_log = structlog.get_logger("query")

KEPT_S = 7_200
"""A result file that no run of this process knows is rubbish when it is older: no token lives so long."""

IN_MEMORY_BYTES = 4 * 1024 * 1024
"""A result that grows larger goes to disk as it comes."""

_BATCH_BYTES = 512 * 1024
_SUFFIX = ".result"
_LENGTH_BYTES = 8


class _Batch(NamedTuple):
    offset: int
    length: int
    first_row: int


class _Trailer(msgspec.Struct, array_like=True):
    columns: list[tuple[str, object]]
    schema: bytes
    batches: list[_Batch]
    rows: int
    arrow_bytes: int
    scanned_bytes: int
    metered_bytes: int
    insights: Insights | None = None


# Made here and not at the first use, when several threads may read: see `wire/codec`.
_decode_trailer = msgspec.msgpack.Decoder(_Trailer).decode


class Spool:
    """The folder of results. Any thread may call. `directory` is made by the first `open`."""

    def __init__(self, files: Files, directory: Path, vault: Vault, result_bytes: int) -> None:
        """`result_bytes` is the largest result, as Arrow."""
        self._files = files
        self._directory = directory
        self._vault = vault
        self._result_bytes = result_bytes
        self._names: dict[str, str] = {}
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def open(self, now_s: int) -> None:
        """Find what an earlier process left, and remove what is too old or was being written."""
        self._files.make_directory(self._directory, site="spool.folder")
        for name in self._files.list(self._directory, site="spool.list"):
            begin, _, rest = name.removesuffix(_SUFFIX).partition("-")
            _, _, query_id = rest.partition("-")
            if name.endswith(_SUFFIX) and query_id and int(begin, 16) + KEPT_S >= now_s:
                self._names[query_id] = name
            else:
                self._files.remove(self._directory / name, site="spool.rubbish")

    def gather(self, query_id: str, now_s: int) -> Gathering:
        """Begin to keep the result of a run."""
        name = f"{now_s:x}-{next(self._numbers):x}-{query_id}{_SUFFIX}"
        return Gathering(self, query_id, name, self._result_bytes)

    def forget(self, query_id: str) -> None:
        """Remove the file of a result, if it has one."""
        with self._lock:
            name = self._names.pop(query_id, None)
        if name is not None:
            try:
                self._files.remove(self._directory / name, site="spool.remove")
            except OSError as error:
                _log.warning("result file not removed", error=str(error))

    def find(self, query_id: str) -> Result | None:
        """The result that an earlier process kept, or None if there is none that can be read."""
        with self._lock:
            name = self._names.get(query_id)
        if name is None:
            return None
        try:
            return self._read(name)
        except (OSError, Fault) as error:
            _log.warning("result file cannot be read", error=str(error))
            self.forget(query_id)
            return None

    def create(self, name: str) -> tuple[OpenFile, SealingFile]:
        """A new file of the folder and what seals it; `keep` gives it its name."""
        file = self._files.create(self._directory / (name + TEMPORARY_SUFFIX), site="spool.create")
        return file, SealingFile(Appender(file, "spool.write").append, self._vault.keys.new(_place(name)))

    def keep(self, name: str, query_id: str) -> Result:
        """Give a whole file its name. Later calls of `find` have it."""
        path = self._directory / name
        self._files.rename(path.with_name(name + TEMPORARY_SUFFIX), path, site="spool.rename")
        with self._lock:
            self._names[query_id] = name
        return self._read(name)

    def abandon(self, name: str) -> None:
        """Remove a file that is not whole."""
        try:
            self._files.remove(self._directory / (name + TEMPORARY_SUFFIX), site="spool.abandon")
        except OSError as error:
            _log.warning("result file not removed", error=str(error))

    def _read(self, name: str) -> Result:
        sealed = self._files.open_source(self._directory / name, site="spool.open")
        source = SealedSource(sealed, _place(name), self._vault)
        end = source.size_bytes - _LENGTH_BYTES
        length = int.from_bytes(source.read_at(end, _LENGTH_BYTES), "little")
        trailer = _decode_trailer(source.read_at(end - length, length))
        columns = tuple(OutputColumn(column, _type(plain)) for column, plain in trailer.columns)
        return Result(
            RowsOnDisk(source, trailer), columns, trailer.scanned_bytes, trailer.metered_bytes, trailer.insights
        )


class Gathering:
    """One result on its way in, batch after batch. End it with `finish` or with `discard`."""

    def __init__(self, spool: Spool, query_id: str, name: str, result_bytes: int) -> None:
        self._spool = spool
        self._query_id = query_id
        self._name = name
        self._result_bytes = result_bytes
        self._waiting: list[pa.RecordBatch] = []
        self._schema: pa.Schema | None = None
        self._file: OpenFile | None = None
        self._sealing: SealingFile | None = None
        self._batches: list[_Batch] = []
        self._rows = self._bytes = self._waiting_bytes = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Take the next rows. Raises QueryFailed when the result gets too large, Unavailable when the disk fails."""
        self._bytes += int(batch.nbytes)
        if self._bytes > self._result_bytes:
            raise QueryFailed(f"The result of the query exceeds the limit of {self._result_bytes} bytes")
        self._waiting.append(batch)
        self._waiting_bytes += int(batch.nbytes)
        if self._waiting_bytes > (IN_MEMORY_BYTES if self._file is None else _BATCH_BYTES):
            self._write_waiting()

    def finish(
        self,
        schema: pa.Schema,
        columns: tuple[OutputColumn, ...],
        scanned: int,
        metered: int,
        insights: Insights | None = None,
    ) -> Result:
        """The result: in memory if it is small, else on disk. Raises Unavailable."""
        if self._sealing is None:
            rows = RowsInMemory(pa.Table.from_batches(self._waiting, schema))
            return Result(rows, columns, scanned, metered, insights)
        self._write_waiting()
        return self._finished(columns, scanned, metered, insights)

    def store(self, result: Result) -> Result:
        """A result in memory, put on disk; one that is there already stays. Raises Unavailable."""
        if isinstance(result.rows, RowsOnDisk):
            return result
        whole = result.rows.slice(0, result.rows.count)
        self._bytes, self._waiting = result.rows.bytes, whole.to_batches()
        self._schema = whole.schema
        self._write_waiting()
        return self._finished(result.columns, result.scanned_bytes, result.metered_bytes, result.insights)

    def discard(self) -> None:
        """Leave nothing behind. Safe to call at any time, also when nothing was begun."""
        self._waiting = []
        if self._file is not None:
            self._file.close(site="spool.close")
            self._file = None
            self._spool.abandon(self._name)

    def _write_waiting(self) -> None:
        try:
            if self._sealing is None:
                self._file, self._sealing = self._spool.create(self._name)
            # The engine's batches are small: each on its own would cost more than what is in it.
            batches = [_plain(batch) for batch in self._waiting]
            whole = pa.Table.from_batches(batches, None if batches else self._schema).combine_chunks()
            for piece in in_turns(piece for batch in whole.to_batches() for piece in _pieces(batch)):
                with resting():
                    data = piece.serialize()
                    self._batches.append(_Batch(self._sealing.tell(), data.size, self._rows))
                    self._sealing.write(data.to_pybytes())
                self._rows += piece.num_rows
            self._schema = whole.schema
        except OSError as error:
            raise Unavailable(f"a result could not be written to disk: {error}") from error
        self._waiting, self._waiting_bytes = [], 0

    def _finished(
        self, columns: tuple[OutputColumn, ...], scanned: int, metered: int, insights: Insights | None
    ) -> Result:
        assert self._sealing is not None
        assert self._file is not None
        assert self._schema is not None
        schema = self._schema.serialize().to_pybytes()
        named = [(column.name, _plain_type(column.type)) for column in columns]
        trailer = msgspec.msgpack.encode(
            _Trailer(named, schema, self._batches, self._rows, self._bytes, scanned, metered, insights)
        )
        try:
            self._sealing.write(trailer + len(trailer).to_bytes(_LENGTH_BYTES, "little"))
            self._sealing.finish()
            self._file.close(site="spool.close")
            self._file = None
            return self._spool.keep(self._name, self._query_id)
        except OSError as error:
            raise Unavailable(f"a result could not be written to disk: {error}") from error


class RowsOnDisk(Rows):
    """The rows of one file; what is read of it is verified."""

    def __init__(self, source: SealedSource, trailer: _Trailer) -> None:
        self._source = source
        self._trailer = trailer
        self._schema = pa.ipc.read_schema(pa.py_buffer(trailer.schema))
        self._starts = [batch.first_row for batch in trailer.batches]

    @property
    def count(self) -> int:
        return self._trailer.rows

    @property
    def bytes(self) -> int:
        return self._trailer.arrow_bytes

    @property
    def memory_bytes(self) -> int:
        return 0

    def slice(self, start: int, count: int) -> pa.Table:
        first = bisect_right(self._starts, start) - 1
        last = bisect_right(self._starts, start + max(count, 1) - 1)
        batches = [self._batch(batch) for batch in self._trailer.batches[max(first, 0) : last]]
        table = pa.Table.from_batches(batches, self._schema)
        return table.slice(start - self._starts[first], count) if batches else table

    def _batch(self, batch: _Batch) -> pa.RecordBatch:
        try:
            data = self._source.read_at(batch.offset, batch.length)
            return pa.ipc.read_record_batch(pa.py_buffer(data), self._schema)
        except (OSError, Corrupt, pa.ArrowInvalid) as error:
            raise Unavailable(f"a result on disk cannot be read: {error}") from error


def _pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The batch in parts of a size that is worth reading for one page."""
    rows = max(1, batch.num_rows * _BATCH_BYTES // max(batch.nbytes, 1))
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)


def _plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch without dictionaries, which would have to be kept beside it."""
    arrays = [column.dictionary_decode() if pa.types.is_dictionary(column.type) else column for column in batch.columns]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def _plain_type(kind: SqlType) -> object:
    """A type as msgpack can hold it: a scalar's name, or a list that begins with the kind."""
    match kind:
        case Scalar():
            return kind.name
        case Array(element):
            return ["array", _plain_type(element)]
        case Timeseries(value):
            return ["timeseries", _plain_type(value)]
        case Map(key, value):
            return ["map", _plain_type(key), _plain_type(value)]
        case Row(fields):
            return ["row", *([field.name, _plain_type(field.type)] for field in fields)]


def _type(plain: object) -> SqlType:
    """The type of `_plain_type`."""
    match plain:
        case str():
            return Scalar[plain]
        case ["array", element]:
            return Array(_type(element))
        case ["timeseries", value]:
            return Timeseries(_type(value))
        case ["map", key, value]:
            return Map(_type(key), _type(value))
        case ["row", *fields]:
            return Row(tuple(Field(field[0], _type(field[1])) for field in cast(list[list[Any]], fields)))
    raise Corrupt(f"{plain!r} is no type")


def _place(name: str) -> str:
    return f"results/{name}"
