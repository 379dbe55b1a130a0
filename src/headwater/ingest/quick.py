"""The fast way through validation: a request in which nothing is wrong, column by column.

`validate` tries this first. It either returns the columns that `exact` would return, or None, because something is
off or rare; it never says what. A test holds that the two agree.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headwater.errors import Invalid
from headwater.ingest.parts import MULTI, Identity, Shape, identity, kept_multi_shape, single_shape
from headwater.ingest.values import UNIT_NS, read_column, read_int64s
from headwater.model.limits import Limits
from headwater.model.record import RecordColumns
from headwater.model.table import MeasureType
from headwater.wire.write_records import MeasureValue, WriteRecordsRequest


class _Group:
    """The records of one shape, as they were sent: parallel lists, `rows[i]` with the texts of the i-th."""

    __slots__ = ("identities", "index", "rows", "times", "units_ns", "versions")

    def __init__(self) -> None:
        self.index: list[int] = []
        self.identities: list[Identity] = []
        self.times: list[str] = []
        self.units_ns: list[int] = []
        self.versions: list[int] = []
        self.rows: list[Sequence[str]] = []


def read(request: WriteRecordsRequest, limits: Limits, required_key: str | None) -> list[RecordColumns] | None:
    """The columns of a request without any fault or rejection, else None."""
    try:
        groups = _group(request)
        if groups is None or len({shape.layout for shape in groups}) != len(groups):
            return None
        if any(_is_over_limit(shape, group, limits, required_key) for shape, group in groups.items()):
            return None
        return [_columns(shape, group) for shape, group in groups.items()]
    except (Invalid, ValueError, OverflowError):
        return None


def _group(request: WriteRecordsRequest) -> dict[Shape, _Group] | None:
    """Merge the common attributes into each record and sort the records by shape; None if a part is missing."""
    common = request.common
    common_dimensions = request.common_dimensions
    name, kind, text, time = common.measure_name, common.measure_value_type, common.measure_value, common.time
    unit_ns = UNIT_NS[common.time_unit or "MILLISECONDS"]
    version = 1 if common.version is None else common.version
    names, kinds, texts = _attributes(common.measure_values)
    groups: dict[Shape, _Group] = {}
    for index, (record, dimensions) in enumerate(zip(request.records, request.dimensions, strict=True)):
        row: Sequence[str]
        measure_value = record.measure_value or text
        measure_type = record.measure_value_type or kind
        if measure_type == MULTI:
            if measure_value is not None:
                return None
            own_names, own_kinds, row = _attributes(record.measure_values)
            if names:
                own_names, own_kinds, row = names + own_names, kinds + own_kinds, texts + row
            shape = kept_multi_shape(own_names, own_kinds)
        else:
            if measure_value is None or names or record.measure_values:
                return None
            shape = single_shape(measure_type or "DOUBLE")
            row = (measure_value,)
        record_time = record.time or time
        if record_time is None:
            return None
        group = groups.get(shape)
        if group is None:
            group = groups[shape] = _Group()
        group.index.append(index)
        group.identities.append(identity(common_dimensions, dimensions, record.measure_name or name))
        group.times.append(record_time)
        group.units_ns.append(unit_ns if record.time_unit is None else UNIT_NS[record.time_unit])
        group.versions.append(version if record.version is None else record.version)
        group.rows.append(row)
    return groups


def _attributes(
    measure_values: list[MeasureValue] | None,
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Names, types and texts, in the order sent."""
    if not measure_values:
        return (), (), ()
    return (
        tuple([measure.name for measure in measure_values]),
        tuple([measure.type for measure in measure_values]),
        tuple([measure.value for measure in measure_values]),
    )


def _is_over_limit(shape: Shape, group: _Group, limits: Limits, required_key: str | None) -> bool:
    varchars = [
        place for place, (_, measure_type) in enumerate(shape.layout.columns) if measure_type is MeasureType.VARCHAR
    ]
    varchar_bytes = max(sum(len(row[place].encode()) for place in varchars) for row in group.rows) if varchars else 0
    return shape.over_limit(limits, varchar_bytes) is not None or any(
        identity.over_limit(limits, required_key) is not None for identity in group.identities
    )


def _columns(shape: Shape, group: _Group) -> RecordColumns:
    if min(group.versions) < 1:
        raise ValueError("a version is below 1")
    return RecordColumns(
        layout=shape.layout,
        index=np.array(group.index, np.int64),
        series=[identity.series for identity in group.identities],
        time_ns=read_int64s(group.times, group.units_ns),
        version=np.array(group.versions, np.int64),
        values=tuple(
            read_column(measure_type, texts, group.units_ns)
            for texts, (_, measure_type) in zip(zip(*group.rows, strict=True), shape.layout.columns, strict=True)
        ),
    )
