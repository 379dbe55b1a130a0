"""The rules of a data model: what no file could be loaded with is refused when the task is made. Pure.

`batch_load.BatchLoads` asks once per task. Names are judged as those of records are; which columns a file has is seen
when it is read. Source: batch-load.md 3; the texts are guesses.
"""

from __future__ import annotations

from collections.abc import Sequence

from headwater.errors import Invalid
from headwater.ingest import reasons
from headwater.ingest.names import check_dimension_name, check_measure_name
from headwater.ingest.parts import byte_count, multi_shape, single_shape
from headwater.model.batch_load import Attribute, DataModel, MixedMeasure
from headwater.model.limits import Limits


def check_model(model: DataModel, limits: Limits, required_dimension: str | None) -> None:
    """Raise Invalid unless rows can become records. `required_dimension` is what the table takes no record without."""
    _check_dimensions(model, limits, required_dimension)
    if (model.multi is None) == (not model.mixed):
        raise Invalid("Exactly one of MultiMeasureMappings and MixedMeasureMappings must be given.")
    if model.multi is not None:
        if model.measure_name_column is None and model.multi.name is None:
            raise Invalid("TargetMultiMeasureName is required without MeasureNameColumn.")
        if model.multi.name is not None:
            _check_measure_name(model.multi.name, limits)
        _check_attributes(model.multi.attributes, limits)
    for mixed in model.mixed:
        _check_mixed(mixed, limits, has_name_column=model.measure_name_column is not None)


def _check_dimensions(model: DataModel, limits: Limits, required: str | None) -> None:
    names = [mapping.name for mapping in model.dimensions]
    for name in names:
        check_dimension_name(name)
        if len(name) > limits.dimension_name_bytes:
            raise Invalid(reasons.name_too_long("dimension", limits.dimension_name_bytes))
        if names.count(name) > 1:
            raise Invalid(f"The dimension {name} is mapped more than once.")
    if required is not None and required not in names:
        raise Invalid(f"The required partition key dimension {required} of the table is not mapped.")


def _check_mixed(mixed: MixedMeasure, limits: Limits, *, has_name_column: bool) -> None:
    if has_name_column and mixed.measure_name is None:
        raise Invalid("MeasureName is required for a MixedMeasureMapping with MeasureNameColumn.")
    if mixed.target is None and mixed.measure_name is None and mixed.source is None:
        raise Invalid("TargetMeasureName or MeasureName is required for a MixedMeasureMapping of type MULTI.")
    _check_measure_name(mixed.name, limits)
    if mixed.type is None:
        if not mixed.attributes:
            raise Invalid("MultiMeasureAttributeMappings is required for a MixedMeasureMapping of type MULTI.")
        _check_attributes(mixed.attributes, limits)
        return
    if mixed.attributes:
        raise Invalid("MultiMeasureAttributeMappings is only allowed for a MixedMeasureMapping of type MULTI.")
    if mixed.source is None:
        raise Invalid(f"SourceColumn is required for a MixedMeasureMapping of type {mixed.type.value}.")
    single_shape(mixed.type.value)


def _check_attributes(attributes: Sequence[Attribute], limits: Limits) -> None:
    shape = multi_shape(tuple([one.name for one in attributes]), tuple([one.type.value for one in attributes]))
    reason = shape.over_limit(limits, 0)
    if reason is not None:
        raise Invalid(reason)


def _check_measure_name(name: str, limits: Limits) -> None:
    check_measure_name(name)
    if byte_count(name) > limits.measure_name_bytes:
        raise Invalid(reasons.name_too_long("measure", limits.measure_name_bytes))
