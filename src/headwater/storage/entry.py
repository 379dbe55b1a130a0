"""What the store puts in a log entry: the accepted records of one group of requests, by table and layout.

An entry explains itself: it holds the whole key of every series it speaks of, so a replay needs nothing but the
log and the blocks. Layout: docs/format/log.md, "Payload".
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
import numpy as np

from headwater.errors import Corrupt
from headwater.model.record import Int64s, Layout, ValueColumn
from headwater.model.table import ColumnKind, MeasureType, TableId
from headwater.storage.admitted import Admitted
from headwater.storage.arrays import Codes, narrowed, widened
from headwater.storage.keys import pack_keys
from headwater.storage.series import Ordinals, SeriesIndex

PAYLOAD_FORMAT = 1

_PACKED_MAX_BYTES = 8 * 1024 * 1024

_NUMPY_TYPES = {
    MeasureType.DOUBLE: np.dtype("<f8"),
    MeasureType.BIGINT: np.dtype("<i8"),
    MeasureType.BOOLEAN: np.dtype("?"),
    MeasureType.TIMESTAMP: np.dtype("<i8"),
}


class _Batch(msgspec.Struct, array_like=True):
    """See docs/format/log.md."""

    table: str
    kind: str
    columns: list[tuple[str, str]]
    rows: int
    series: bytes
    row_series: bytes
    time_ns: bytes
    version: bytes
    values: list[bytes | list[str]]


class _Payload(msgspec.Struct, array_like=True):
    format: int
    batches: list[_Batch]


@dataclass(frozen=True, slots=True)
class Logged:
    """Records of one table and layout as the log has them. `keys` are packed; `series` is each row's place in them."""

    table: TableId
    layout: Layout
    keys: bytes
    series: Codes
    time_ns: Int64s
    version: Int64s
    values: tuple[ValueColumn, ...]


class SeriesPacker:
    """Packed keys of the sets of series that came lately: many clients send the same set every few seconds."""

    def __init__(self) -> None:
        self._packed: OrderedDict[tuple[TableId, bytes], tuple[bytes, bytes]] = OrderedDict()
        self._bytes = 0

    def pack(self, table: TableId, series: SeriesIndex, ordinals: Ordinals) -> tuple[bytes, bytes]:
        """The keys of the rows' series, each once; and which one each row has, nothing if they are one to one."""
        key = table, ordinals.tobytes()
        packed = self._packed.get(key)
        if packed is None:
            used, row_series = np.unique(ordinals, return_inverse=True)
            is_plain = len(used) == len(ordinals)
            keys = pack_keys(series.keys(ordinals if is_plain else used))
            packed = self._packed[key] = keys, b"" if is_plain else narrowed(row_series).tobytes()
            self._bytes += _packed_bytes(key, packed)
            while self._bytes > _PACKED_MAX_BYTES:
                self._bytes -= _packed_bytes(*self._packed.popitem(last=False))
        else:
            self._packed.move_to_end(key)
        return packed


def _packed_bytes(key: tuple[TableId, bytes], packed: tuple[bytes, bytes]) -> int:
    return len(key[1]) + len(packed[0]) + len(packed[1]) + 400


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Payload).decode


def encode_payload(batches: Iterable[tuple[TableId, SeriesIndex, Admitted]], packer: SeriesPacker) -> bytes:
    """The bytes of one entry."""
    return _encode(_Payload(PAYLOAD_FORMAT, [_packed(*batch, packer) for batch in batches]))


def decode_payload(payload: bytes) -> list[Logged]:
    """What `encode_payload` was given. Raises Corrupt."""
    try:
        decoded = _decode(payload)
        if decoded.format != PAYLOAD_FORMAT:
            raise Corrupt(f"log entry has payload format {decoded.format}; this release knows format {PAYLOAD_FORMAT}")
        return [_unpacked(batch) for batch in decoded.batches]
    except (ValueError, KeyError) as error:
        raise Corrupt(f"log entry cannot be read: {error}") from error


def _packed(table: TableId, series: SeriesIndex, rows: Admitted, packer: SeriesPacker) -> _Batch:
    keys, row_series = packer.pack(table, series, rows.ordinals)
    return _Batch(
        table,
        rows.layout.kind.name,
        [(name, measure_type.name) for name, measure_type in rows.layout.columns],
        len(rows),
        keys,
        row_series,
        _once(rows.time_ns).tobytes(),
        _once(rows.version).tobytes(),
        [values if isinstance(values, list) else values.tobytes() for values in rows.values],
    )


def _once(numbers: Int64s) -> Int64s:
    """Only the first when all are equal, as times and versions of a request often are."""
    return numbers[:1] if (numbers == numbers[0]).all() else numbers


def _unpacked(batch: _Batch) -> Logged:
    columns = tuple((name, MeasureType[measure_type]) for name, measure_type in batch.columns)
    return Logged(
        table=TableId(batch.table),
        layout=Layout(ColumnKind[batch.kind], columns),
        keys=batch.series,
        series=widened(batch.row_series, batch.rows) if batch.row_series else np.arange(batch.rows, dtype=np.int32),
        time_ns=_each(batch.time_ns, batch.rows),
        version=_each(batch.version, batch.rows),
        values=tuple(
            column if isinstance(column, list) else _numbers(column, measure_type)
            for (_, measure_type), column in zip(columns, batch.values, strict=True)
        ),
    )


def _each(data: bytes, rows: int) -> Int64s:
    numbers = np.frombuffer(data, "<i8")
    return np.full(rows, numbers[0]) if len(numbers) == 1 else numbers


def _numbers(data: bytes, measure_type: MeasureType) -> ValueColumn:
    numbers: ValueColumn = np.frombuffer(data, _NUMPY_TYPES[measure_type])  # type: ignore[assignment]
    return numbers
