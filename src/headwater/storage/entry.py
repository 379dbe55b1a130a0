"""What the store puts in a log entry: the accepted records of one group of requests, by table and layout.

An entry explains itself: it holds the whole key of every series it speaks of, so a replay needs nothing but the
log and the blocks. Layout: docs/format/log.md, "Payload".
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np

from headwater.errors import Corrupt
from headwater.model.record import Layout, RecordColumns, ValueColumn
from headwater.model.series import Series
from headwater.model.table import ColumnKind, MeasureType, TableId

PAYLOAD_FORMAT = 1

_NUMPY_TYPES = {
    MeasureType.DOUBLE: np.dtype("<f8"),
    MeasureType.BIGINT: np.dtype("<i8"),
    MeasureType.BOOLEAN: np.dtype("?"),
    MeasureType.TIMESTAMP: np.dtype("<i8"),
}


class _Batch(msgspec.Struct, array_like=True):
    """`series` are the distinct ones, `row_series` an int32 into them for each row; columns are raw bytes or texts."""

    table: str
    kind: str
    columns: list[tuple[str, str]]
    series: list[msgspec.Raw]
    row_series: bytes
    time_ns: bytes
    version: bytes
    values: list[bytes | list[str]]


class _Payload(msgspec.Struct, array_like=True):
    format: int
    batches: list[_Batch]


class SeriesPacker:
    """Packed keys of series, kept because the same ones come in every request."""

    def __init__(self, limit: int = 200_000) -> None:
        self._packed: dict[Series, msgspec.Raw] = {}
        self._limit = limit

    def pack(self, series: Series) -> msgspec.Raw:
        packed = self._packed.get(series)
        if packed is None:
            if len(self._packed) >= self._limit:
                self._packed.clear()
            packed = self._packed[series] = msgspec.Raw(_encode((series.measure_name, series.sent)))
        return packed


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Payload).decode
_decode_key = msgspec.msgpack.Decoder(tuple[str, tuple[tuple[str, str], ...]]).decode


def encode_payload(batches: Iterable[tuple[TableId, RecordColumns]], packer: SeriesPacker) -> bytes:
    """The bytes of one entry."""
    return _encode(_Payload(PAYLOAD_FORMAT, [_packed(table, records, packer) for table, records in batches]))


KnownSeries = dict[bytes, Series]
"""Series by their packed keys: one for a whole replay, since entries name the same series again and again."""


def decode_payload(payload: bytes, known: KnownSeries) -> list[tuple[TableId, RecordColumns]]:
    """What `encode_payload` was given; `index` counts rows of the batch. Adds to `known`. Raises Corrupt."""
    try:
        decoded = _decode(payload)
        if decoded.format != PAYLOAD_FORMAT:
            raise Corrupt(f"log entry has payload format {decoded.format}; this release knows format {PAYLOAD_FORMAT}")
        return [(TableId(batch.table), _unpacked(batch, known)) for batch in decoded.batches]
    except (msgspec.DecodeError, ValueError, KeyError) as error:
        raise Corrupt(f"log entry cannot be read: {error}") from error


def _packed(table: TableId, records: RecordColumns, packer: SeriesPacker) -> _Batch:
    place: dict[Series, int] = {}
    row_series = [place.setdefault(series, len(place)) for series in records.series]
    return _Batch(
        table,
        records.layout.kind.name,
        [(name, measure_type.name) for name, measure_type in records.layout.columns],
        [packer.pack(series) for series in place],
        np.array(row_series, "<i4").tobytes(),
        records.time_ns.tobytes(),
        records.version.tobytes(),
        [values if isinstance(values, list) else values.tobytes() for values in records.values],
    )


def _unpacked(batch: _Batch, known: KnownSeries) -> RecordColumns:
    distinct = []
    for packed in batch.series:
        raw = bytes(packed)
        if raw not in known:
            known[raw] = Series(*_decode_key(raw))
        distinct.append(known[raw])
    rows = np.frombuffer(batch.row_series, "<i4")
    columns = tuple((name, MeasureType[measure_type]) for name, measure_type in batch.columns)
    values: list[ValueColumn] = [
        column if isinstance(column, list) else _numbers(column, measure_type)
        for (_, measure_type), column in zip(columns, batch.values, strict=True)
    ]
    return RecordColumns(
        layout=Layout(ColumnKind[batch.kind], columns),
        index=np.arange(len(rows)),
        series=[distinct[row] for row in rows],
        time_ns=np.frombuffer(batch.time_ns, "<i8"),
        version=np.frombuffer(batch.version, "<i8"),
        values=tuple(values),
    )


def _numbers(data: bytes, measure_type: MeasureType) -> ValueColumn:
    numbers: ValueColumn = np.frombuffer(data, _NUMPY_TYPES[measure_type])  # type: ignore[assignment]
    return numbers
