"""Rows of texts as records: what a data model makes of a chunk, column by column.

`batch_load_run` calls `RowMapper.map` with each chunk of a file and submits what it answers. Names and sizes are judged
by the rules of WriteRecords (`ingest/parts`), values by its grammar (`ingest/values`). What is wrong is a fault of its
row or its record alone. Neither versions nor what is stored are known here.
Source: batch-load.md 2, 3; which failure is of parsing and which of ingestion is a guess.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headwater.errors import Invalid
from headwater.ingest import values
from headwater.ingest.parts import Shape, byte_count, identity_of, multi_shape, single_shape
from headwater.jobs.batch_load_csv import BadFile, Chunk
from headwater.model.batch_load import DataModel, Dialect
from headwater.model.limits import Limits
from headwater.model.record import Int64s, RecordColumns, ValueColumn
from headwater.model.series import Series
from headwater.model.table import MeasureType, TimeWindows

Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]

NO_VALUE = "The row has no value for any measure of the data model."
NO_TIME = "Invalid time for record."
OUTSIDE = "The record timestamp is outside the time range of the data ingestion window."

_NO_SERIES = Series("", ())
_KNOWN_MAX = 65_536


@dataclass(frozen=True, slots=True)
class Mapped:
    """What a chunk became. A record's index is its row times `per_row`, plus which of the row's records it is.

    `unread` are rows that could not be read, `refused` the indexes of records that may not be stored; with reasons.
    """

    batches: list[RecordColumns]
    unread: list[tuple[int, str]]
    refused: list[tuple[int, str]]
    per_row: int


@dataclass(frozen=True, slots=True)
class _Cell:
    """A column of the file that holds measure values, and what they become."""

    column: int
    name: str
    type: MeasureType


@dataclass(frozen=True, slots=True)
class _Entry:
    """One record of a row: its measure name, None where a column has it; `only` says for which measure names it is."""

    name: str | None
    only: str | None
    is_multi: bool
    cells: tuple[_Cell, ...]


@dataclass(frozen=True, slots=True)
class _Values:
    """The typed values of one column; where there is none, in `present` and in `unread`, they mean nothing."""

    values: ValueColumn
    present: Mask
    unread: list[int]


@dataclass(frozen=True, slots=True)
class _Columns:
    """The columns of a chunk: texts by place, times, and values by place and type."""

    texts: dict[int, Sequence[str]]
    times: Int64s
    values: dict[tuple[int, MeasureType], _Values]


class _Known(dict[tuple[str, ...], tuple[Series, str | None]]):
    """The series of an entry by measure name, if a column has it, and dimensions; and why it is refused, if it is."""

    def __init__(self, name: str | None, dimensions: tuple[str, ...], limits: Limits, required: str | None) -> None:
        super().__init__()
        self.name = name
        self.any_refused = False
        self._dimensions = dimensions
        self._limits = limits
        self._required = required

    def __missing__(self, key: tuple[str, ...]) -> tuple[Series, str | None]:
        name, texts = (self.name, key) if self.name is not None else (key[0], key[1:])
        pairs = tuple([pair for pair in zip(self._dimensions, texts, strict=True) if pair[1]])
        try:
            made = identity_of(pairs, name or None, self._limits)
            known = made.series, made.rejection(self._required)
        except Invalid as fault:
            known = _NO_SERIES, fault.message
        if len(self) >= _KNOWN_MAX:
            self.clear()
        self.any_refused |= known[1] is not None
        self[key] = known
        return known


class RowMapper:
    """Makes records of the chunks of one file. One thread."""

    def __init__(
        self,
        model: DataModel,
        dialect: Dialect,
        header: Sequence[str],
        version: int,
        limits: Limits,
        required_dimension: str | None,
    ) -> None:
        """Raises BadFile if the header lacks a column of the model, or has it twice."""
        columns = _columns(model, header)
        self._null = dialect.null_value
        self._is_trimmed = bool(dialect.trim_white_space)
        self._unit_ns = values.UNIT_NS[model.time_unit]
        self._time = columns[model.time_column]
        self._names = None if model.measure_name_column is None else columns[model.measure_name_column]
        self._dimensions = [columns[mapping.source] for mapping in model.dimensions]
        self._entries = _entries(model, columns)
        self._version = version
        self._limits = limits
        names = tuple(mapping.name for mapping in model.dimensions)
        self._known = [_Known(entry.name, names, limits, required_dimension) for entry in self._entries]

    def map(self, chunk: Chunk, windows: TimeWindows) -> Mapped:
        """The records of a chunk that are inside the windows, and what is wrong with the others."""
        if not chunk.rows:
            return Mapped([], [], [], len(self._entries))
        texts = {place: self._texts(chunk.columns[place]) for place in self._needed()}
        unread: dict[int, str] = {}
        columns = _Columns(texts, self._times(texts[self._time], unread), self._values(texts, unread))
        good = np.ones(chunk.rows, np.bool_)
        good[list(unread)] = False
        made = np.zeros(chunk.rows, np.bool_)
        mapped = Mapped([], sorted(unread.items()), [], len(self._entries))
        for number, entry in enumerate(self._entries):
            for cells, rows in self._kinds(entry, good, columns):
                made[rows] = True
                self._add(mapped, number, cells, rows, columns, windows)
        mapped.refused.extend((row * mapped.per_row, NO_VALUE) for row in np.flatnonzero(good & ~made).tolist())
        return mapped

    def _needed(self) -> set[int]:
        cells = {cell.column for entry in self._entries for cell in entry.cells}
        return cells | {self._time, *self._dimensions} | ({self._names} if self._names is not None else set())

    def _texts(self, column: Sequence[str]) -> Sequence[str]:
        """The texts of a column; what stands for no value is empty."""
        if self._is_trimmed:
            column = [text.strip() for text in column]
        if self._null is not None and self._null in column:
            column = ["" if text == self._null else text for text in column]
        return column

    def _times(self, texts: Sequence[str], unread: dict[int, str]) -> Int64s:
        column, bad = _read(MeasureType.TIMESTAMP, texts, self._unit_ns)
        unread.update(dict.fromkeys(bad, NO_TIME))
        assert isinstance(column, np.ndarray)
        return column.astype(np.int64, copy=False)

    def _values(
        self, texts: dict[int, Sequence[str]], unread: dict[int, str]
    ) -> dict[tuple[int, MeasureType], _Values]:
        """The values of every column that measures are read from, each once."""
        found: dict[tuple[int, MeasureType], _Values] = {}
        for cell in dict.fromkeys(cell for entry in self._entries for cell in entry.cells):
            if (cell.column, cell.type) in found:
                continue
            column = _column(cell.type, texts[cell.column], self._unit_ns)
            found[cell.column, cell.type] = column
            for row in column.unread:
                unread.setdefault(row, f"Invalid value for {cell.type.scalar.value} measure value type: {cell.name}.")
        return found

    def _kinds(self, entry: _Entry, good: Mask, columns: _Columns) -> Iterator[tuple[tuple[_Cell, ...], Places]]:
        """The cells that records of an entry have, and the rows that have just these; in order of first appearance."""
        if entry.only is not None:
            assert self._names is not None
            good = good & np.array([name == entry.only for name in columns.texts[self._names]], np.bool_)
        present = [columns.values[cell.column, cell.type].present for cell in entry.cells]
        if all(one.all() for one in present):
            if good.any():
                yield entry.cells, np.flatnonzero(good)
            return
        rows = np.flatnonzero(good & np.any(present, axis=0))
        packed = np.packbits(np.stack(present, axis=1)[rows], axis=1)
        kinds, firsts, kind_of = np.unique(packed, axis=0, return_index=True, return_inverse=True)
        kind_of = kind_of.reshape(-1)
        for kind in np.argsort(firsts).tolist():
            has = np.unpackbits(kinds[kind], count=len(entry.cells))
            yield tuple(cell for cell, one in zip(entry.cells, has, strict=True) if one), rows[kind_of == kind]

    def _add(
        self,
        mapped: Mapped,
        number: int,
        cells: tuple[_Cell, ...],
        rows: Places,
        columns: _Columns,
        windows: TimeWindows,
    ) -> None:
        """The records that one entry makes of rows which have values in just these cells."""
        shape, index = _shape(self._entries[number], cells), rows * mapped.per_row + number
        series, refused = self._series(number, columns.texts, rows)
        taken = tuple(_taken(columns.values[cell.column, cell.type].values, rows) for cell in cells)
        times = columns.times[rows]
        inside = (times >= windows.start_ns) & (times < windows.end_ns)
        refused = dict.fromkeys(np.flatnonzero(~inside).tolist(), OUTSIDE) | refused
        for place, reason in _over_limit(shape, taken, self._limits).items():
            refused.setdefault(place, reason)
        mapped.refused.extend((int(index[place]), refused[place]) for place in sorted(refused))
        versions = np.full(len(rows), self._version, np.int64)
        batch = RecordColumns(shape.layout, index, series, times, versions, taken)
        if refused:
            kept = np.ones(len(rows), np.bool_)
            kept[list(refused)] = False
            batch = batch.take(np.flatnonzero(kept))
        if len(batch):
            mapped.batches.append(batch)

    def _series(
        self, number: int, texts: dict[int, Sequence[str]], rows: Places
    ) -> tuple[list[Series], dict[int, str]]:
        """The series of each row, and why some are refused, by place in `rows`."""
        known = self._known[number]
        columns = [texts[place] for place in self._dimensions]
        if known.name is None:
            assert self._names is not None
            columns.insert(0, texts[self._names])
        keys = list(zip(*columns, strict=True))
        if len(rows) < len(keys):
            keys = [keys[row] for row in rows.tolist()]
        found = [known[key] for key in keys]
        if not known.any_refused:
            return [series for series, _ in found], {}
        refused = {place: reason for place, (_, reason) in enumerate(found) if reason is not None}
        return [series for series, _ in found], refused


def _columns(model: DataModel, header: Sequence[str]) -> dict[str, int]:
    """The place of each column that the model names."""
    sources = [model.time_column, *(mapping.source for mapping in model.dimensions)]
    if model.measure_name_column is not None:
        sources.append(model.measure_name_column)
    if model.multi is not None:
        sources += [attribute.source for attribute in model.multi.attributes]
    for mixed in model.mixed:
        sources += [attribute.source for attribute in mixed.attributes] or [mixed.source or ""]
    for source in sources:
        if source not in header:
            raise BadFile(f"The header has no column {source}.")
        if header.count(source) > 1:
            raise BadFile(f"The header has the column {source} more than once.")
    return {source: header.index(source) for source in sources}


def _entries(model: DataModel, columns: dict[str, int]) -> list[_Entry]:
    has_names = model.measure_name_column is not None
    if model.multi is not None:
        cells = tuple(_Cell(columns[of.source], of.name, of.type) for of in model.multi.attributes)
        return [_Entry(None if has_names else model.multi.name, None, True, cells)]
    entries = []
    for mixed in model.mixed:
        cells = tuple(_Cell(columns[of.source], of.name, of.type) for of in mixed.attributes)
        if mixed.type is not None:
            assert mixed.source is not None
            cells = (_Cell(columns[mixed.source], mixed.name, mixed.type),)
        entries.append(_Entry(mixed.name, mixed.measure_name if has_names else None, mixed.type is None, cells))
    return entries


def _shape(entry: _Entry, cells: tuple[_Cell, ...]) -> Shape:
    """The data model's names were judged when the task was made."""
    if not entry.is_multi:
        return single_shape(cells[0].type.value)
    return multi_shape(tuple([cell.name for cell in cells]), tuple([cell.type.value for cell in cells]))


def _column(kind: MeasureType, texts: Sequence[str], unit_ns: int) -> _Values:
    if "" not in texts:
        column, bad = _read(kind, texts, unit_ns)
        return _Values(column, np.ones(len(texts), np.bool_), bad)
    present = np.array([bool(text) for text in texts], np.bool_)
    rows = np.flatnonzero(present)
    filled = _filled(kind, len(texts))
    if not len(rows):
        return _Values(filled, present, [])
    column, bad = _read(kind, [texts[row] for row in rows.tolist()], unit_ns)
    if isinstance(filled, list):
        for row, text in zip(rows.tolist(), column, strict=True):
            filled[row] = str(text)
    else:
        filled[rows] = column
    return _Values(filled, present, rows[bad].tolist())


def _filled(kind: MeasureType, count: int) -> ValueColumn:
    if kind is MeasureType.VARCHAR:
        return [""] * count
    types = {MeasureType.DOUBLE: np.float64, MeasureType.BOOLEAN: np.bool_}
    return np.zeros(count, types.get(kind, np.int64))


def _read(kind: MeasureType, texts: Sequence[str], unit_ns: int) -> tuple[ValueColumn, list[int]]:
    """A column of texts, none of which is empty if it can be read at once; and the places of those that are bad."""
    try:
        (column,) = values.read_rows((kind,), texts, [unit_ns] * len(texts))
        return column, []
    except (ValueError, OverflowError):
        column, bad = _filled(kind, len(texts)), []
    for place, text in enumerate(texts):
        try:
            column[place] = values.value(kind, text, unit_ns)  # type: ignore[assignment]
        except ValueError:
            bad.append(place)
    return column, bad


def _taken(column: ValueColumn, rows: Places) -> ValueColumn:
    if len(rows) == len(column):
        return column
    return [column[row] for row in rows.tolist()] if isinstance(column, list) else column[rows]


def _over_limit(shape: Shape, columns: Sequence[ValueColumn], limits: Limits) -> dict[int, str]:
    """Why records of a shape are too large, by place."""
    texts = [column for column in columns if isinstance(column, list)]
    # A character takes at most four bytes.
    bound = 4 * sum(max(map(len, column)) for column in texts)
    if shape.over_limit(limits, bound) is None:
        return {}
    count = len(columns[0])
    sizes = [sum(map(byte_count, row)) for row in zip(*texts, strict=True)] if texts else [0] * count
    reasons = [shape.over_limit(limits, size) for size in sizes]
    return {place: reason for place, reason in enumerate(reasons) if reason is not None}
