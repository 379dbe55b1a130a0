"""Rows of a query as records: each row becomes none, one or several, as a target configuration says. Pure.

`jobs/scheduled_writes` maps a result a few thousand rows at a time and hands the columns to `Ingest.store`. `target`
has judged the configuration; what is judged here are values. A row that cannot be a record is a fault of that row
alone. Source: scheduled-queries.md 4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import isfinite

import numpy as np
import pyarrow as pa

from headwater.errors import Invalid, RejectedRecord
from headwater.ingest import values
from headwater.ingest.parts import Identity, Shape, byte_count, identity_of, multi_shape, single_shape
from headwater.model.limits import Limits
from headwater.model.record import Layout, RecordColumns
from headwater.model.scheduled_query import AttributeMapping, TargetConfiguration
from headwater.model.series import Series
from headwater.model.table import MeasureType
from headwater.model.types import OutputColumn
from headwater.wire.datum import double_texts
from headwater.wire.files import csv_lines

Value = float | int | bool | str
Cells = Sequence[Value | None]

_IDENTITIES_MAX = 32_768


@dataclass(frozen=True, slots=True)
class MappedRecord:
    """One record as it is written, for a report of what was not. `values` in the order of the layout's columns."""

    series: Series
    time_ns: int
    layout: Layout
    values: tuple[Value, ...]

    @property
    def bytes(self) -> int:
        """Names and values of dimensions and measures, and the time; numbers have 8 bytes. Source: write-api.md 6.3."""
        names = [self.series.measure_name, *(text for pair in self.series.sent for text in pair)]
        names += [name for name, _ in self.layout.columns]
        texts = [value for value in self.values if isinstance(value, str)]
        return sum(map(byte_count, names + texts)) + 8 * (1 + len(self.values) - len(texts))


@dataclass(frozen=True, slots=True)
class RowFault:
    """A row that became no record, or not all of its records: why, and the row as a line of CSV."""

    reason: str
    line: str


@dataclass(frozen=True, slots=True)
class Mapped:
    """What rows became. Indexes, of `columns` and of `rejected`, are places in `records`."""

    records: list[MappedRecord]
    columns: list[RecordColumns]
    rejected: list[RejectedRecord]
    faults: list[RowFault]


@dataclass(frozen=True, slots=True)
class _Entry:
    """One mapping: its records' measure name, None where a column tells it; `only` says which rows it is for."""

    name: str | None
    only: str | None
    is_multi: bool
    attributes: tuple[AttributeMapping, ...]


@dataclass(slots=True)
class _Batch:
    """Records of some rows, as they are made."""

    records: list[MappedRecord] = field(default_factory=list)
    by_layout: dict[Layout, list[int]] = field(default_factory=dict)
    rejected: list[RejectedRecord] = field(default_factory=list)

    def add(self, record: MappedRecord, rejection: str | None) -> None:
        place = len(self.records)
        self.records.append(record)
        if rejection is None:
            self.by_layout.setdefault(record.layout, []).append(place)
        else:
            self.rejected.append(RejectedRecord(place, rejection))

    def columns(self, version: int) -> list[RecordColumns]:
        return [self._columns(layout, places, version) for layout, places in self.by_layout.items()]

    def _columns(self, layout: Layout, places: list[int], version: int) -> RecordColumns:
        records = [self.records[place] for place in places]
        return RecordColumns(
            layout,
            np.array(places, np.int64),
            [record.series for record in records],
            np.array([record.time_ns for record in records], np.int64),
            np.full(len(records), version, np.int64),
            tuple(
                values.column(kind, [record.values[place] for record in records])
                for place, (_, kind) in enumerate(layout.columns)
            ),
        )


class RowMapper:
    """Makes records of the rows of one result. Not for several threads."""

    def __init__(
        self,
        target: TargetConfiguration,
        columns: Sequence[OutputColumn],
        limits: Limits,
        required_dimension: str | None,
    ) -> None:
        """`target` must have passed `check_target` with these columns and this dimension."""
        self._target = target
        self._columns = tuple(columns)
        self._places = {column.name: place for place, column in enumerate(columns)}
        self._limits = limits
        self._required_dimension = required_dimension
        self._entries = _entries(target)
        self._identities: dict[tuple[str, tuple[tuple[str, str], ...]], Identity] = {}

    def map(self, rows: pa.Table, version: int) -> Mapped:
        """The records of these rows, all of one version; columns by place, as the engine answers them."""
        batch = _Batch()
        faults: list[RowFault] = []
        make = self._maker(rows, batch)
        for row in range(rows.num_rows):
            before = len(batch.records)
            try:
                make(row)
                if len(batch.records) == before:
                    raise Invalid("The row has no value for any measure of the target.")
            except Invalid as fault:
                line = csv_lines(rows.slice(row, 1), self._columns, ",", "\\").decode().rstrip("\n")
                faults.append(RowFault(fault.message, line))
        return Mapped(batch.records, batch.columns(version), batch.rejected, faults)

    def _maker(self, rows: pa.Table, batch: _Batch) -> Callable[[int], None]:
        """What adds the records of one row to `batch`, and raises Invalid where that cannot be."""
        cells = {name: rows.column(place).to_pylist() for name, place in self._places.items() if name in self._needed()}
        target = self._target
        times, dimensions = cells[target.time_column], [(name, cells[name]) for name in target.dimensions]
        names = cells[target.measure_name_column] if target.measure_name_column is not None else None

        def make(row: int) -> None:
            time_ns = times[row]
            if time_ns is None:
                raise Invalid(f"The time column {target.time_column} is NULL.")
            pairs = tuple([(name, column[row]) for name, column in dimensions if column[row] is not None])
            told = None if names is None else names[row]
            for entry, present in self._present(cells, row, told):
                measure_name = entry.name or told
                if measure_name is None:
                    raise Invalid(f"The measure name column {target.measure_name_column} is NULL.")
                known = self._identity(measure_name, pairs)
                shape = _shape(entry, [attribute for attribute, _ in present])
                typed = tuple([_value(attribute.type, value) for attribute, value in present])
                record = MappedRecord(known.series, time_ns, shape.layout, typed)
                batch.add(record, self._rejection(known, shape, record))

        return make

    def _present(
        self, cells: dict[str, Cells], row: int, told: str | None
    ) -> Iterator[tuple[_Entry, list[tuple[AttributeMapping, Value]]]]:
        """The mappings that are for a row and have a value there, with what they have."""
        for entry in self._entries:
            if entry.only is not None and entry.only != told:
                continue
            present = [
                (attribute, value)
                for attribute in entry.attributes
                if (value := cells[attribute.source_column][row]) is not None
            ]
            if present:
                yield entry, present

    def _needed(self) -> set[str]:
        target = self._target
        sources = {attribute.source_column for entry in self._entries for attribute in entry.attributes}
        return sources | {target.time_column, *target.dimensions, target.measure_name_column or target.time_column}

    def _identity(self, measure_name: str, pairs: tuple[tuple[str, str], ...]) -> Identity:
        known = self._identities.get((measure_name, pairs))
        if known is None:
            if len(self._identities) >= _IDENTITIES_MAX:
                self._identities.clear()
            known = identity_of(pairs, measure_name, self._limits)
            self._identities[measure_name, pairs] = known
        return known

    def _rejection(self, known: Identity, shape: Shape, record: MappedRecord) -> str | None:
        varchar_bytes = sum(byte_count(value) for value in record.values if isinstance(value, str))
        return known.rejection(self._required_dimension) or shape.over_limit(self._limits, varchar_bytes)


def _entries(target: TargetConfiguration) -> list[_Entry]:
    multi = target.multi_measure_mappings
    if multi is not None:
        name = None if target.measure_name_column is not None else multi.target_name
        return [_Entry(name, None, True, multi.attributes)]
    entries = []
    for mapping in target.mixed_measure_mappings:
        only = mapping.measure_name if target.measure_name_column is not None else None
        if mapping.type is None:
            entries.append(_Entry(mapping.name, only, True, mapping.attributes))
        else:
            assert mapping.source_column is not None, "check_target lets no other pass"
            value = AttributeMapping(mapping.source_column, mapping.type)
            entries.append(_Entry(mapping.name, only, False, (value,)))
    return entries


def _shape(entry: _Entry, attributes: list[AttributeMapping]) -> Shape:
    if not entry.is_multi:
        return single_shape(attributes[0].type.value)
    return multi_shape(
        tuple([attribute.name for attribute in attributes]), tuple([attribute.type.value for attribute in attributes])
    )


def _value(kind: MeasureType, value: Value) -> Value:
    """A value of the result as one of a measure. Raises Invalid for those that WriteRecords would not take."""
    match kind:
        case MeasureType.DOUBLE:
            number = float(value)
            if isfinite(number):
                return number
            value = double_texts(pa.array([number], pa.float64()))[0].as_py()
        case MeasureType.VARCHAR:
            assert isinstance(value, str), "check_target: a text"
            if value and byte_count(value) <= values.VARCHAR_BYTES_MAX:
                return value
        case _:
            return value
    raise Invalid(f"Invalid value {value} for {kind.scalar.value} measure value type.")
