"""The exact way through validation: record by record, in the order sent, every rule in its place.

`validate` comes here when `quick` would not have the request. This is the meaning of WriteRecords as far as it can be
judged without the table and the clock; `quick` is the same at another speed.
Source: write-api.md 6.1-6.4, 7, 8; texts errors.md 1 and 1.1. The order of checks within a record is a guess:
dimensions, measure name, time, version, values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from headwater.errors import Invalid, RejectedRecord
from headwater.ingest import values
from headwater.ingest.parts import MULTI, Identity, Shape, byte_count, identity, multi_shape, single_shape
from headwater.ingest.values import UNIT_NS
from headwater.model.limits import Limits
from headwater.model.record import Layout, RecordColumns
from headwater.model.table import MeasureType
from headwater.wire.write_records import Record, WriteRecordsRequest


@dataclass(frozen=True, slots=True)
class _Checked:
    """One good record; `values` in the order of the layout's columns."""

    index: int
    identity: Identity
    time_ns: int
    version: int
    shape: Shape
    values: tuple[float | int | bool | str, ...]

    @property
    def varchar_bytes(self) -> int:
        return sum(byte_count(value) for value in self.values if isinstance(value, str))


def read(
    request: WriteRecordsRequest, limits: Limits, required_key: str | None
) -> tuple[list[RecordColumns], list[RejectedRecord]]:
    """The columns of the records within the limits, and the rejections of the others, by index.

    Raises Invalid for the first fault in the order of records.
    """
    accepted: dict[Layout, list[_Checked]] = {}
    rejected: list[RejectedRecord] = []
    for record in _check_all(request, limits):
        reason = record.identity.rejection(required_key) or record.shape.over_limit(limits, record.varchar_bytes)
        if reason is None:
            accepted.setdefault(record.shape.layout, []).append(record)
        else:
            rejected.append(RejectedRecord(record.index, reason))
    return [_columns(layout, records) for layout, records in accepted.items()], rejected


def _check_all(request: WriteRecordsRequest, limits: Limits) -> Iterator[_Checked]:
    for index, (record, own) in enumerate(zip(request.records, request.dimensions, strict=True)):
        merged = _merge(request.common, record)
        unit_ns = UNIT_NS[merged.time_unit or "MILLISECONDS"]
        series = identity(request.common_dimensions, own, merged.measure_name, limits)
        time_ns = _time(merged.time, unit_ns)
        version = _version(merged.version)
        shape, texts = _values(merged)
        yield _Checked(index, series, time_ns, version, shape, _typed(shape, texts, unit_ns))


def _merge(common: Record, record: Record) -> Record:
    """The record with what it leaves to the common attributes; dimensions are not part of it."""
    return Record(
        measure_name=record.measure_name or common.measure_name,
        measure_value=record.measure_value or common.measure_value,
        measure_value_type=record.measure_value_type or common.measure_value_type,
        time=record.time or common.time,
        time_unit=record.time_unit or common.time_unit,
        version=common.version if record.version is None else record.version,
        measure_values=(common.measure_values or []) + (record.measure_values or []),
    )


def _time(text: str | None, unit_ns: int) -> int:
    try:
        return values.int64(text or "", unit_ns)
    except ValueError:
        raise Invalid("Invalid time for record.") from None


def _version(version: int | None) -> int:
    if version is not None and version < 1:
        raise Invalid("The record version must be 1 or greater.")
    return 1 if version is None else version


def _values(record: Record) -> tuple[Shape, tuple[str, ...]]:
    """The shape of a merged record and the texts of its values, in the order sent."""
    measures = record.measure_values or []
    is_multi = record.measure_value_type == MULTI
    if (record.measure_value is not None) if is_multi else measures:
        raise Invalid("MeasureValues is only allowed for records of type MULTI.")
    if is_multi:
        shape = multi_shape(tuple(measure.name for measure in measures), tuple(measure.type for measure in measures))
        return shape, tuple(measure.value for measure in measures)
    shape = single_shape(record.measure_value_type or "DOUBLE")
    if record.measure_value is None:
        raise Invalid("A measure value is required for a record.")
    return shape, (record.measure_value,)


def _typed(shape: Shape, texts: tuple[str, ...], unit_ns: int) -> tuple[float | int | bool | str, ...]:
    """The values in the order sent, which is the layout's. The first bad one is the one that is told."""
    return tuple(
        _value(measure_type, text, unit_ns) for (_, measure_type), text in zip(shape.layout.columns, texts, strict=True)
    )


def _value(measure_type: MeasureType, text: str, unit_ns: int) -> float | int | bool | str:
    try:
        return values.value(measure_type, text, unit_ns)
    except ValueError:
        raise Invalid(f"Invalid value {text} for {measure_type.scalar.value} measure value type.") from None


def _columns(layout: Layout, records: list[_Checked]) -> RecordColumns:
    return RecordColumns(
        layout=layout,
        index=np.array([record.index for record in records], np.int64),
        series=[record.identity.series for record in records],
        time_ns=np.array([record.time_ns for record in records], np.int64),
        version=np.array([record.version for record in records], np.int64),
        values=tuple(
            values.column(measure_type, [record.values[place] for record in records])
            for place, (_, measure_type) in enumerate(layout.columns)
        ),
    )
