"""Keys of many series, column by column: how series enter the index, and how the log and the series file name them.

A key is a measure name and dimensions. Written out for each series it is hundreds of bytes of which most repeat; here
each distinct text of a set of series stands once. Pure values; the packed form is drawn in docs/format/log.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from headwater.model.record import Int64s
from headwater.model.series import Series
from headwater.storage.arrays import Codes, narrowed, widened
from headwater.storage.texts import NONE


@dataclass(frozen=True, slots=True, eq=False)
class TextColumn:
    """One text per series, as a code into distinct `texts`; NONE where a series has none."""

    texts: list[str]
    codes: Codes

    def take(self, rows: npt.NDArray[np.intp]) -> TextColumn:
        return TextColumn(self.texts, self.codes[rows])


@dataclass(frozen=True, slots=True, eq=False)
class SeriesKeys:
    """`hashes` are `Series.id`; `shape` is for each series the place in `shapes` of its dimensions' names, as sent."""

    hashes: Int64s
    measure: TextColumn
    shapes: list[tuple[str, ...]]
    shape: Codes
    dimensions: dict[str, TextColumn]

    def __len__(self) -> int:
        return len(self.hashes)

    @classmethod
    def of(cls, series: Sequence[Series]) -> SeriesKeys:
        """The keys of these series, in their order."""
        shape_of: dict[tuple[str, ...], int] = {}
        rows_of: list[list[int]] = []
        shape = np.empty(len(series), np.int32)
        for row, one in enumerate(series):
            names = tuple([name for name, _ in one.sent])
            code = shape_of.setdefault(names, len(rows_of))
            if code == len(rows_of):
                rows_of.append([])
            rows_of[code].append(row)
            shape[row] = code
        dimensions: dict[str, tuple[dict[str, int], Codes]] = {}
        for names, rows in zip(shape_of, rows_of, strict=True):
            for place, name in enumerate(names):
                code_of, codes = dimensions.setdefault(name, ({}, np.full(len(series), NONE, np.int32)))
                codes[rows] = [code_of.setdefault(series[row].sent[place][1], len(code_of)) for row in rows]
        measure_of: dict[str, int] = {}
        measure = [measure_of.setdefault(one.measure_name, len(measure_of)) for one in series]
        return cls(
            hashes=np.array([one.id for one in series], np.int64),
            measure=TextColumn(list(measure_of), np.array(measure, np.int32)),
            shapes=list(shape_of),
            shape=shape,
            dimensions={name: TextColumn(list(of), codes) for name, (of, codes) in dimensions.items()},
        )

    def take(self, rows: npt.NDArray[np.intp]) -> SeriesKeys:
        """Only these series, in this order; texts that none of them has stay."""
        return SeriesKeys(
            self.hashes[rows],
            self.measure.take(rows),
            self.shapes,
            self.shape[rows],
            {name: column.take(rows) for name, column in self.dimensions.items()},
        )

    def key(self, row: int) -> tuple[str, tuple[tuple[str, str], ...]]:
        """Measure name, and dimensions as sent, of one series."""
        names = self.shapes[self.shape[row]]
        columns = [self.dimensions[name] for name in names]
        pairs = tuple([(name, column.texts[column.codes[row]]) for name, column in zip(names, columns, strict=True)])
        return self.measure.texts[self.measure.codes[row]], pairs

    def series(self, row: int) -> Series:
        return Series(*self.key(row))


class _PackedKeys(msgspec.Struct, array_like=True):
    """Codes are `narrowed`; those of a dimension are one more than here, so that 0 is none."""

    hashes: bytes
    measure_names: list[str]
    measures: bytes
    shapes: list[tuple[str, ...]]
    shape: bytes
    dimensions: list[tuple[str, list[str], bytes]]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_PackedKeys).decode


def pack_keys(keys: SeriesKeys) -> bytes:
    """MessagePack; layout in docs/format/log.md, "Series"."""
    return _encode(
        _PackedKeys(
            keys.hashes.astype("<i8").tobytes(),
            keys.measure.texts,
            narrowed(keys.measure.codes).tobytes(),
            keys.shapes,
            narrowed(keys.shape).tobytes(),
            [(name, column.texts, narrowed(column.codes + 1).tobytes()) for name, column in keys.dimensions.items()],
        )
    )


def unpack_keys(data: bytes) -> SeriesKeys:
    """What `pack_keys` was given. Raises ValueError, which includes msgspec's DecodeError."""
    packed = _decode(data)
    hashes = np.frombuffer(packed.hashes, "<i8")
    count = len(hashes)
    return SeriesKeys(
        hashes,
        TextColumn(packed.measure_names, widened(packed.measures, count)),
        packed.shapes,
        widened(packed.shape, count),
        {name: TextColumn(texts, widened(codes, count) - 1) for name, texts, codes in packed.dimensions},
    )
