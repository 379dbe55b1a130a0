"""The fast way through validation: a request in which nothing is wrong, column by column.

`validate` tries this first. It either returns the columns that `exact` would return, or None, because something is
off or rare; it never says what. A test holds that the two agree.
Records of a request are mostly alike, so every member is taken from all records at a time, and what can be asked of
all of them together is asked once.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple, cast

import numpy as np

from headwater.errors import Invalid
from headwater.ingest.parts import MULTI, Identity, Shape, byte_count, identities, kept_multi_shape, single_shape
from headwater.ingest.values import UNIT_NS, read_int64s, read_rows
from headwater.model.limits import Limits
from headwater.model.record import Int64s, RecordColumns
from headwater.model.table import MeasureType
from headwater.wire.write_records import MeasureValue, WriteRecordsRequest


class _Group(NamedTuple):
    """Records of one shape: their places in the request, ascending, and all their texts, record by record."""

    shape: Shape
    places: Sequence[int]
    texts: Sequence[str]


def read(request: WriteRecordsRequest, limits: Limits, required_key: str | None) -> list[RecordColumns] | None:
    """The columns of a request without any fault or rejection, else None."""
    members, common = request.members, request.common
    try:
        groups = _groups(request)
        names = _merged(members.measure_name, common.measure_name)
        sources = identities(request.common_dimensions, request.dimensions, names, limits)
        if _is_any_rejected(groups, sources, limits, required_key):
            return None
        units_ns = _units_ns(members.time_unit, common.time_unit or "MILLISECONDS")
        times = read_int64s(_merged(members.time, common.time), units_ns)
        versions = _versions(members.version, common.version)
        return [_columns(group, sources, times, versions, units_ns) for group in groups]
    except (Invalid, ValueError, OverflowError):
        return None


def _merged(own: Sequence[str | None], common: str | None) -> Sequence[str]:
    """One member of all records, with the common attribute where a record has none.

    Raises ValueError if a record has neither. No text is empty: the shapes see to that.
    """
    if all(own):
        return cast(Sequence[str], own)
    if common is None:
        raise ValueError("a required member is missing")
    return [one or common for one in own] if any(own) else [common] * len(own)


def _units_ns(own: Sequence[str | None], common: str) -> list[int]:
    if any(own):
        return [UNIT_NS[one or common] for one in own]
    return [UNIT_NS[common]] * len(own)


def _versions(own: Sequence[int | None], common: int | None) -> Int64s:
    usual = 1 if common is None else common
    if own.count(None) == len(own):
        versions = np.full(len(own), usual, np.int64)
    else:
        versions = np.array([usual if one is None else one for one in own], np.int64)
    if versions.min() < 1:
        raise ValueError("a version is below 1")
    return versions


def _columns(
    group: _Group, sources: list[Identity], times: Int64s, versions: Int64s, units_ns: list[int]
) -> RecordColumns:
    """The records of one group; the lists hold a value for every record of the request."""
    if len(group.places) == len(times):
        index = np.arange(len(times))
    else:
        index = np.array(group.places, np.int64)
        sources = [sources[place] for place in group.places]
        units_ns = [units_ns[place] for place in group.places]
        times, versions = times[index], versions[index]
    return RecordColumns(
        layout=group.shape.layout,
        index=index,
        series=[source.series for source in sources],
        time_ns=times,
        version=versions,
        values=read_rows(group.shape.types, group.texts, units_ns),
    )


def _groups(request: WriteRecordsRequest) -> list[_Group]:
    """The records by shape, in order of first appearance. Raises ValueError where a value is missing or too much."""
    members, common = request.members, request.common
    types = _merged(members.measure_value_type, common.measure_value_type or "DOUBLE")
    values: Sequence[str | None] = members.measure_value
    if common.measure_value:
        values = [one or common.measure_value for one in values]
    lists: Sequence[list[MeasureValue] | None] = members.measure_values
    if common.measure_values:
        lists = [common.measure_values + (own or []) for own in lists]
    kinds = dict.fromkeys(types)
    if len(kinds) == 1:
        return _groups_of_type(types[0], range(len(types)), values, lists)
    groups = []
    for kind in kinds:
        places = [place for place, of in enumerate(types) if of == kind]
        groups += _groups_of_type(kind, places, [values[place] for place in places], [lists[place] for place in places])
    return sorted(groups, key=lambda group: group.places[0])


def _groups_of_type(
    kind: str, places: Sequence[int], values: Sequence[str | None], lists: Sequence[list[MeasureValue] | None]
) -> list[_Group]:
    if kind == MULTI:
        if any(values):
            raise ValueError("MeasureValue is not for MULTI")
        return _multi_groups(places, [own or [] for own in lists])
    if any(lists):
        raise ValueError("MeasureValues is for MULTI only")
    return [_Group(single_shape(kind), places, _merged(values, None))]


def _multi_groups(places: Sequence[int], lists: list[list[MeasureValue]]) -> list[_Group]:
    """Multi-measure records by their names and types. The usual case is that these are the same in all."""
    count = len(lists[0])
    measures = list(chain.from_iterable(lists))
    names, types = [measure.name for measure in measures], [measure.type for measure in measures]
    is_one_shape = (
        set(map(len, lists)) == {count} and types == types[:count] * len(lists) and names == names[:count] * len(lists)
    )
    if is_one_shape:
        shape = kept_multi_shape(tuple(names[:count]), tuple(types[:count]))
        return [_Group(shape, places, [measure.value for measure in measures])]
    rows: dict[tuple[tuple[str, ...], tuple[str, ...]], list[int]] = {}
    for row, own in enumerate(lists):
        key = tuple([measure.name for measure in own]), tuple([measure.type for measure in own])
        rows.setdefault(key, []).append(row)
    return [
        _Group(
            kept_multi_shape(*key),
            [places[row] for row in alike],
            [measure.value for row in alike for measure in lists[row]],
        )
        for key, alike in rows.items()
    ]


def _is_any_rejected(groups: list[_Group], sources: list[Identity], limits: Limits, required_key: str | None) -> bool:
    if required_key is None:
        reasons = [source.over_limit for source in sources]
    else:
        reasons = [source.rejection(required_key) for source in sources]
    return any(reasons) or any(group.shape.over_limit(limits, _varchar_bytes(group, limits)) for group in groups)


def _varchar_bytes(group: _Group, limits: Limits) -> int:
    """The most bytes that the VARCHARs of one record take; or more than that if it is within the limit all the same."""
    types = group.shape.types
    places = [place for place, measure_type in enumerate(types) if measure_type is MeasureType.VARCHAR]
    if not places:
        return 0
    columns = [group.texts[place :: len(types)] for place in places]
    # A character takes at most four bytes.
    bound = 4 * sum([max(map(len, column)) for column in columns])
    if group.shape.fixed_bytes + bound <= limits.record_bytes:
        return bound
    return max(map(sum, zip(*(map(byte_count, column) for column in columns), strict=True)))
