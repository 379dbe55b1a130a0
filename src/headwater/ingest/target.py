"""Whether the rows of a query can become records of a table: the rules of a target configuration. Pure.

The server calls `check_target` when a scheduled query is created, with the columns its query has then; `jobs/scheduled`
calls it again at each run, since the table may have changed. What becomes of each row is `target_rows`' matter.
Source: scheduled-queries.md 4. That all of this is judged at creation is a guess, and so are the texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from headwater.errors import Invalid
from headwater.ingest import reasons
from headwater.ingest.names import check_dimension_name, check_measure_name
from headwater.model.record import Conflict, NameConflict, TypeConflict
from headwater.model.scheduled_query import AttributeMapping, MixedMeasureMapping, TargetConfiguration
from headwater.model.table import ColumnKind, Columns, MeasureType
from headwater.model.types import Scalar, SqlType

_SOURCES = {
    MeasureType.BIGINT: (Scalar.BIGINT, Scalar.INTEGER),
    MeasureType.DOUBLE: (Scalar.DOUBLE, Scalar.BIGINT, Scalar.INTEGER),
    MeasureType.BOOLEAN: (Scalar.BOOLEAN,),
    MeasureType.VARCHAR: (Scalar.VARCHAR,),
    MeasureType.TIMESTAMP: (Scalar.TIMESTAMP,),
}
"""The types of columns that a measure value can be read from; whole numbers are doubles too. A guess."""


def check_target(
    target: TargetConfiguration,
    columns: Sequence[tuple[str, SqlType]],
    existing: Columns | None,
    required_dimension: str | None = None,
) -> None:
    """Raise Invalid unless rows with these columns can be written as `target` says.

    `existing` is what the target table has by now, None if it has nothing; `required_dimension` is the dimension
    without which the table takes no record (`validate.required_dimension`).
    """
    result = _Result(columns)
    result.check(target.time_column, (Scalar.TIMESTAMP,), "TimeColumn")
    _check_dimensions(target, result, required_dimension)
    if target.measure_name_column is not None:
        result.check(target.measure_name_column, (Scalar.VARCHAR,), "MeasureNameColumn")
    multi, mixed = target.multi_measure_mappings, target.mixed_measure_mappings
    if (multi is None) == (not mixed):
        raise Invalid("Exactly one of MultiMeasureMappings and MixedMeasureMappings must be given.")
    if multi is not None:
        if multi.target_name is None and target.measure_name_column is None:
            raise Invalid("TargetMultiMeasureName is required without MeasureNameColumn.")
        if multi.target_name is not None:
            check_measure_name(multi.target_name)
        _check_attributes(multi.attributes, result)
    for mapping in mixed:
        _check_mixed(mapping, result, has_name_column=target.measure_name_column is not None)
    _check_table(target, existing or Columns())


def attributes_of(target: TargetConfiguration) -> Iterable[AttributeMapping]:
    """The attributes of all multi-measure records that a row can become."""
    if target.multi_measure_mappings is not None:
        yield from target.multi_measure_mappings.attributes
    for mapping in target.mixed_measure_mappings:
        yield from mapping.attributes


class _Result:
    """The columns of a result by name."""

    def __init__(self, columns: Sequence[tuple[str, SqlType]]) -> None:
        self._types: dict[str, list[SqlType]] = {}
        for name, kind in columns:
            self._types.setdefault(name, []).append(kind)

    def check(self, name: str, allowed: Sequence[Scalar], member: str) -> None:
        """Raise Invalid unless there is one such column, of an allowed type; one that is always NULL passes."""
        types = self._types.get(name, [])
        if not types:
            raise Invalid(f"{member}: the result of the query has no column {name}.")
        if len(types) > 1:
            raise Invalid(f"{member}: the result of the query has more than one column {name}.")
        if types[0] not in (*allowed, Scalar.UNKNOWN):
            wanted = " or ".join(map(str, allowed))
            raise Invalid(f"{member}: the column {name} is of type {types[0]} and must be of type {wanted}.")


def _check_dimensions(target: TargetConfiguration, result: _Result, required: str | None) -> None:
    if not target.dimensions:
        raise Invalid("DimensionMappings: at least one dimension is required for a record.")
    for name in target.dimensions:
        check_dimension_name(name)
        result.check(name, (Scalar.VARCHAR,), "DimensionMappings")
    if len(set(target.dimensions)) < len(target.dimensions):
        raise Invalid("DimensionMappings: a dimension is mapped more than once.")
    if required is not None and required not in target.dimensions:
        raise Invalid(f"DimensionMappings: {required} is the required partition key of the table and is not mapped.")


def _check_mixed(mapping: MixedMeasureMapping, result: _Result, *, has_name_column: bool) -> None:
    if has_name_column and mapping.measure_name is None:
        raise Invalid("MixedMeasureMappings: MeasureName is required with MeasureNameColumn.")
    if mapping.name is None:
        raise Invalid("MixedMeasureMappings: a mapping of type MULTI needs TargetMeasureName or MeasureName.")
    check_measure_name(mapping.name)
    if mapping.type is None:
        if not mapping.attributes:
            raise Invalid("MixedMeasureMappings: a mapping of type MULTI needs MultiMeasureAttributeMappings.")
        _check_attributes(mapping.attributes, result)
        return
    if mapping.type is MeasureType.TIMESTAMP:
        raise Invalid("MixedMeasureMappings: TIMESTAMP is an invalid measure value type.")
    if mapping.attributes:
        raise Invalid("MixedMeasureMappings: MultiMeasureAttributeMappings is only allowed for the type MULTI.")
    if mapping.source_column is None:
        raise Invalid(f"MixedMeasureMappings: a mapping of type {mapping.type.value} needs SourceColumn.")
    result.check(mapping.source_column, _SOURCES[mapping.type], "MixedMeasureMappings")


def _check_attributes(attributes: Sequence[AttributeMapping], result: _Result) -> None:
    names = [attribute.name for attribute in attributes]
    for attribute in attributes:
        check_measure_name(attribute.name)
        result.check(attribute.source_column, _SOURCES[attribute.type], "MultiMeasureAttributeMappings")
    if len(set(names)) < len(names):
        raise Invalid("MultiMeasureAttributeMappings: an attribute of a record is mapped more than once.")


def _check_table(target: TargetConfiguration, existing: Columns) -> None:
    """Names that are another kind of column, or another type, in the table or elsewhere in the target itself."""
    known = existing
    for name in target.dimensions:
        found = known.by_name.get(name)
        if found is None:
            known = known.with_dimension(name)
        elif found.kind is not ColumnKind.DIMENSION:
            raise Invalid(reasons.of_conflict(Conflict(0, NameConflict(name, "measure"))).reason)
    for attribute in attributes_of(target):
        found = known.by_name.get(attribute.name)
        if found is None:
            known = known.with_measure(attribute.name, ColumnKind.MULTI, attribute.type)
        elif found.kind is ColumnKind.DIMENSION:
            raise Invalid(reasons.of_conflict(Conflict(0, NameConflict(attribute.name, "dimension"))).reason)
        elif found.type is not attribute.type.scalar:
            raise Invalid(reasons.of_conflict(Conflict(0, TypeConflict(attribute.name, found.type.value))).reason)
