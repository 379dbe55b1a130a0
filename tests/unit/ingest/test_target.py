"""Targets of scheduled queries: which configurations are refused, and what records become of rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from headwater.errors import Invalid
from headwater.ingest.target import check_target
from headwater.ingest.target_rows import Mapped, RowMapper
from headwater.model.limits import Limits
from headwater.model.scheduled_query import (
    AttributeMapping,
    MixedMeasureMapping,
    MultiMeasureMappings,
    TargetConfiguration,
)
from headwater.model.table import ColumnKind, Columns, MeasureType
from headwater.model.types import OutputColumn, Scalar

COLUMNS = (
    OutputColumn("t", Scalar.TIMESTAMP),
    OutputColumn("host", Scalar.VARCHAR),
    OutputColumn("zone", Scalar.VARCHAR),
    OutputColumn("kind", Scalar.VARCHAR),
    OutputColumn("load", Scalar.DOUBLE),
    OutputColumn("hits", Scalar.BIGINT),
    OutputColumn("seen", Scalar.TIMESTAMP),
    OutputColumn("twice", Scalar.BIGINT),
    OutputColumn("twice", Scalar.BIGINT),
)
ARROW = [pa.int64(), pa.string(), pa.string(), pa.string(), pa.float64(), pa.int64(), pa.int64(), pa.int64()]
LOAD = AttributeMapping("load", MeasureType.DOUBLE)
HITS = AttributeMapping("hits", MeasureType.BIGINT, "count")
MULTI = TargetConfiguration("db", "t", "t", ("host", "zone"), MultiMeasureMappings("m", (LOAD, HITS)))
MIXED = TargetConfiguration(
    "db",
    "t",
    "t",
    ("host",),
    mixed_measure_mappings=(
        MixedMeasureMapping(MeasureType.DOUBLE, source_column="load"),
        MixedMeasureMapping(MeasureType.BIGINT, source_column="hits", target_name="requests"),
        MixedMeasureMapping(None, target_name="all", attributes=(LOAD, HITS)),
    ),
)
BY_KIND = replace(
    MIXED,
    measure_name_column="kind",
    mixed_measure_mappings=(
        MixedMeasureMapping(MeasureType.DOUBLE, measure_name="cpu", source_column="load"),
        MixedMeasureMapping(None, measure_name="web", target_name="pages", attributes=(HITS,)),
    ),
)


def check(target: TargetConfiguration, existing: Columns | None = None, required: str | None = None) -> None:
    check_target(target, [(column.name, column.type) for column in COLUMNS], existing, required)


def mixed(**members: Any) -> TargetConfiguration:
    return replace(MIXED, mixed_measure_mappings=(MixedMeasureMapping(**members),))


def multi(*attributes: AttributeMapping, name: str | None = "m") -> TargetConfiguration:
    return replace(MULTI, multi_measure_mappings=MultiMeasureMappings(name, attributes))


def mapped(target: TargetConfiguration, *rows: dict[str, object], required: str | None = None) -> Mapped:
    """What rows become; a column that a row leaves out is NULL. Only columns that are there once can be told."""
    columns = COLUMNS[: len(ARROW) - 1]
    cells = [pa.array([row.get(c.name) for row in rows], kind) for c, kind in zip(columns, ARROW, strict=False)]
    table = pa.Table.from_arrays(cells, names=[column.name for column in columns])
    return RowMapper(target, columns, Limits(), required).map(table, 7)


def told(result: Mapped) -> list[tuple[object, ...]]:
    """Measure name, dimensions, time and values by column, of each record."""
    return [
        (
            record.series.measure_name,
            dict(record.series.sent),
            record.time_ns,
            {name: value for (name, _), value in zip(record.layout.columns, record.values, strict=True)},
        )
        for record in result.records
    ]


@pytest.mark.parametrize("target", [MULTI, MIXED, BY_KIND, replace(MULTI, measure_name_column="kind")])
def test_good_targets_pass(target: TargetConfiguration) -> None:
    check(target)
    check(target, Columns().with_dimension("host").with_measure("load", ColumnKind.MULTI, MeasureType.DOUBLE), "host")


TABLE = (
    Columns()
    .with_dimension("load")
    .with_measure("zone", ColumnKind.MULTI, MeasureType.DOUBLE)
    .with_measure("count", ColumnKind.MULTI, MeasureType.DOUBLE)
)


@pytest.mark.parametrize(
    ("target", "existing", "rule"),
    [
        (replace(MULTI, time_column="no"), None, "TimeColumn: the result of the query has no column no."),
        (replace(MULTI, time_column="hits"), None, "of type bigint and must be of type timestamp."),
        (replace(MULTI, dimensions=()), None, "at least one dimension"),
        (replace(MULTI, dimensions=("hits",)), None, "of type bigint and must be of type varchar."),
        (replace(MULTI, dimensions=("host", "host")), None, "mapped more than once"),
        (replace(MULTI, dimensions=("ts_x",)), None, "The name ts_x is reserved."),
        (replace(MULTI, measure_name_column="load"), None, "MeasureNameColumn: the column load"),
        (replace(MULTI, multi_measure_mappings=None), None, "Exactly one of"),
        (replace(MULTI, mixed_measure_mappings=MIXED.mixed_measure_mappings), None, "Exactly one of"),
        (multi(LOAD, name=None), None, "TargetMultiMeasureName is required without MeasureNameColumn."),
        (multi(LOAD, LOAD), None, "mapped more than once"),
        (multi(AttributeMapping("twice", MeasureType.BIGINT)), None, "more than one column twice."),
        (multi(AttributeMapping("load", MeasureType.BIGINT)), None, "must be of type bigint or integer."),
        (multi(AttributeMapping("load", MeasureType.DOUBLE, "host")), None, "already used by a dimension"),
        (mixed(type=MeasureType.DOUBLE, measure_name="x"), None, "needs SourceColumn."),
        (mixed(type=MeasureType.TIMESTAMP, source_column="seen"), None, "TIMESTAMP is an invalid"),
        (mixed(type=None, target_name="x"), None, "needs MultiMeasureAttributeMappings."),
        (mixed(type=None, attributes=(LOAD,)), None, "needs TargetMeasureName or MeasureName."),
        (replace(BY_KIND, mixed_measure_mappings=MIXED.mixed_measure_mappings), None, "MeasureName is required"),
        (replace(MULTI, dimensions=("zone",)), TABLE, "The name zone is already used by a measure"),
        (replace(MULTI, dimensions=("host",)), TABLE, "The name load is already used by a dimension"),
        (replace(multi(HITS), dimensions=("host",)), TABLE, "The measure count already exists with the type double."),
    ],
)
def test_bad_targets_are_refused(target: TargetConfiguration, existing: Columns | None, rule: str) -> None:
    with pytest.raises(Invalid) as fault:
        check(target, existing)
    assert rule in fault.value.message


def test_a_required_partition_key_must_be_mapped() -> None:
    with pytest.raises(Invalid) as fault:
        check(MULTI, None, "rack")
    assert fault.value.message == (
        "DimensionMappings: rack is the required partition key of the table and is not mapped."
    )


def test_a_row_becomes_one_multi_measure_record() -> None:
    result = mapped(MULTI, {"t": 5, "host": "a", "zone": "z", "load": 1.5, "hits": 3})
    assert told(result) == [("m", {"host": "a", "zone": "z"}, 5, {"load": 1.5, "count": 3})]
    (columns,) = result.columns
    assert columns.version.tolist() == [7]
    assert (result.faults, result.rejected) == ([], [])


def test_null_is_left_out() -> None:
    result = mapped(MULTI, {"t": 5, "host": "a", "load": 1.5}, {"t": 6, "zone": "z", "hits": 3})
    assert told(result) == [("m", {"host": "a"}, 5, {"load": 1.5}), ("m", {"zone": "z"}, 6, {"count": 3})]
    assert [columns.index.tolist() for columns in result.columns] == [[0], [1]]


def test_a_column_may_tell_the_measure_name() -> None:
    target = replace(MULTI, measure_name_column="kind")
    result = mapped(target, {"t": 5, "host": "a", "kind": "web", "load": 1.0}, {"t": 5, "host": "a", "load": 1.0})
    assert told(result) == [("web", {"host": "a"}, 5, {"load": 1.0})]
    assert [fault.reason for fault in result.faults] == ["The measure name column kind is NULL."]


def test_a_row_becomes_a_record_for_each_mixed_mapping_that_has_a_value() -> None:
    result = mapped(MIXED, {"t": 5, "host": "a", "load": 1.5, "hits": 3}, {"t": 6, "host": "a", "load": 2.5})
    a = {"host": "a"}
    assert told(result) == [
        ("load", a, 5, {"measure_value::double": 1.5}),
        ("requests", a, 5, {"measure_value::bigint": 3}),
        ("all", a, 5, {"load": 1.5, "count": 3}),
        ("load", a, 6, {"measure_value::double": 2.5}),
        ("all", a, 6, {"load": 2.5}),
    ]


def test_mixed_mappings_are_for_rows_of_their_measure_name() -> None:
    result = mapped(
        BY_KIND,
        {"t": 5, "host": "a", "kind": "cpu", "load": 1.5, "hits": 3},
        {"t": 5, "host": "a", "kind": "web", "load": 1.5, "hits": 3},
        {"t": 5, "host": "a", "kind": "other", "load": 1.5, "hits": 3},
    )
    assert told(result) == [
        ("cpu", {"host": "a"}, 5, {"measure_value::double": 1.5}),
        ("pages", {"host": "a"}, 5, {"count": 3}),
    ]
    (fault,) = result.faults
    assert fault.reason == "The row has no value for any measure of the target."
    assert fault.line == "1970-01-01 00:00:00.000000005,a,,other,1.5,3,"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"host": "a", "load": 1.0}, "The time column t is NULL."),
        ({"t": 5, "load": 1.0}, "At least one dimension is required for a record."),
        ({"t": 5, "host": "a"}, "The row has no value for any measure of the target."),
        ({"t": 5, "host": "a", "load": float("inf")}, "Invalid value Infinity for double measure value type."),
    ],
)
def test_a_row_that_cannot_be_a_record_is_a_fault_of_its_own(row: dict[str, object], reason: str) -> None:
    result = mapped(MULTI, row, {"t": 5, "host": "b", "hits": 1})
    assert [fault.reason for fault in result.faults] == [reason]
    assert len(result.records) == 1


def test_whole_numbers_are_doubles_too_and_texts_have_bounds() -> None:
    target = multi(AttributeMapping("hits", MeasureType.DOUBLE), AttributeMapping("kind", MeasureType.VARCHAR))
    good = {"t": 5, "host": "a", "hits": 3, "kind": "x" * 2_048}
    result = mapped(target, {**good, "kind": "x"}, {**good, "kind": ""}, {**good, "kind": "é" * 1_025}, good)
    assert [type(record.values[0]) for record in result.records] == [float, float]
    assert [fault.reason[:14] for fault in result.faults] == 2 * ["Invalid value "]
    assert [(one.index, one.reason) for one in result.rejected] == [
        (1, "The record exceeds the maximum size of 2048 bytes.")
    ]


def test_records_without_the_partition_key_are_rejected() -> None:
    result = mapped(MULTI, {"t": 5, "zone": "z", "load": 1.0}, {"t": 5, "host": "a", "load": 1.0}, required="host")
    assert [one.index for one in result.rejected] == [0]
    assert [columns.index.tolist() for columns in result.columns] == [[1]]
