"""`@parameters`: values given for them, and the types that PrepareQuery finds. Source: sql.md 4.8, query-api.md 3."""

from __future__ import annotations

import pytest
from sql_world import LIMITS, NOW, Catalog

from headwater.errors import Invalid
from headwater.model.time import NS_PER_HOUR
from headwater.model.types import Scalar
from headwater.sql.compile import Compiler, ParameterValue, Prepared, PreparedColumn, QueryPlan

COMPILER = Compiler(Catalog(), LIMITS)
OPS = ("ops", "metrics")


def prepared(text: str) -> Prepared:
    return COMPILER.prepare(text, NOW)


def types(text: str) -> dict[str, str]:
    return {each.name: str(each.type) for each in prepared(text).parameters}


def test_the_moment_of_a_scheduled_run_bounds_the_scan() -> None:
    text = (
        "SELECT count(*) FROM ops.metrics WHERE time >= bin(@scheduled_runtime, 1h) - 1h AND time < @scheduled_runtime"
    )
    runtime = NOW // NS_PER_HOUR * NS_PER_HOUR
    plan = COMPILER.compile(text, NOW, {"scheduled_runtime": ParameterValue(runtime, Scalar.TIMESTAMP)})
    assert isinstance(plan, QueryPlan)
    ((_, request),) = plan.scans
    assert (request.time.start_ns, request.time.end_ns) == (runtime - NS_PER_HOUR, runtime - 1)


def test_a_value_stands_where_a_literal_may() -> None:
    values = {"p": ParameterValue("it's", Scalar.VARCHAR), "n": ParameterValue(None, Scalar.BIGINT)}
    plan = COMPILER.compile("SELECT @p || 'x', @n", NOW, values)
    assert isinstance(plan, QueryPlan)
    assert "'it''sx'" in plan.sql
    assert [str(column.type) for column in plan.columns] == ["varchar", "bigint"]


def test_a_parameter_without_a_value_is_refused_where_it_stands() -> None:
    with pytest.raises(Invalid) as caught:
        COMPILER.compile("SELECT @a, @b", NOW, {"a": ParameterValue(1, Scalar.INTEGER)})
    assert caught.value.message == "line 1:12: Parameter '@b' has no value"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT 1 FROM ops.metrics WHERE hostname = @d", {"d": "varchar"}),
        ("SELECT 1 FROM ops.metrics WHERE time > @d", {"d": "timestamp"}),
        ("SELECT 1 FROM ops.metrics WHERE time BETWEEN @a AND @b", {"a": "timestamp", "b": "timestamp"}),
        ("SELECT 1 FROM ops.metrics WHERE hostname IN (@a, 'x', @b)", {"a": "varchar", "b": "varchar"}),
        ("SELECT 1 FROM ops.metrics WHERE time > ago(@since)", {"since": "interval day to second"}),
        ("SELECT 1 FROM ops.metrics WHERE measure_value::double > @limit", {"limit": "double"}),
        ("SELECT 1 FROM plant.telemetry WHERE cycles > @n AND fault = @f", {"n": "bigint", "f": "boolean"}),
        ("SELECT 1 FROM plant.telemetry WHERE @yes", {"yes": "boolean"}),
        ("SELECT bin(time, @step) FROM ops.metrics", {"step": "interval day to second"}),
        ("SELECT 1 FROM ops.metrics WHERE hostname LIKE @p", {"p": "varchar"}),
        ("SELECT CAST(@p AS double)", {"p": "unknown"}),
        ("SELECT @p", {"p": "unknown"}),
        ("SELECT @b, @a, @b FROM ops.metrics WHERE time > @b", {"b": "timestamp", "a": "unknown"}),
        ("SELECT @scheduled_runtime", {"scheduled_runtime": "timestamp"}),
        ("SELECT bin(@scheduled_runtime, 1h) - 1h", {"scheduled_runtime": "timestamp"}),
        ("SELECT 1 FROM plant.telemetry WHERE cycles = @n OR temperature = @n", {"n": "double"}),
        ("SELECT 1", {}),
    ],
)
def test_the_place_of_a_parameter_tells_its_type(text: str, expected: dict[str, str]) -> None:
    assert types(text) == expected


def test_columns_say_where_they_come_from() -> None:
    text = (
        "WITH c AS (SELECT hostname AS h, time, measure_value::double FROM ops.metrics WHERE time > @t)"
        " SELECT h, time, measure_value::double AS v, measure_value::double * 2 AS twice, 1, c.h AS hostname FROM c"
    )
    assert prepared(text).columns == (
        PreparedColumn("h", Scalar.VARCHAR, OPS, is_aliased=True),
        PreparedColumn("time", Scalar.TIMESTAMP, OPS, is_aliased=False),
        PreparedColumn("v", Scalar.DOUBLE, OPS, is_aliased=True),
        PreparedColumn("twice", Scalar.DOUBLE, None, is_aliased=True),
        PreparedColumn("_col4", Scalar.INTEGER, None, is_aliased=False),
        PreparedColumn("hostname", Scalar.VARCHAR, OPS, is_aliased=False),
    )


@pytest.mark.parametrize(
    "text",
    [
        "SELECT hostname FROM (SELECT * FROM ops.metrics) AS t",
        "SELECT hostname FROM ops.metrics GROUP BY hostname",
        "SELECT hostname FROM ops.metrics CROSS JOIN UNNEST(ARRAY[1]) AS u(n)",
        "SELECT a.hostname FROM ops.metrics a LEFT JOIN plant.telemetry b ON a.time = b.time",
    ],
)
def test_a_column_keeps_its_table_through_what_leaves_it_as_it_is(text: str) -> None:
    assert prepared(text).columns == (PreparedColumn("hostname", Scalar.VARCHAR, OPS, is_aliased=False),)


def test_the_columns_of_a_union_are_of_no_table() -> None:
    text = "SELECT hostname FROM ops.metrics UNION SELECT site FROM plant.telemetry"
    assert [column.table for column in prepared(text).columns] == [None]


def test_what_is_prepared_is_a_query() -> None:
    with pytest.raises(Invalid, match="line 1:1: Only queries can be prepared"):
        prepared("SHOW DATABASES")
    text = "UNLOAD (SELECT 1 FROM ops.metrics WHERE time > @t) TO 's3://bucket/a'"
    assert types(text) == {"t": "timestamp"}
    columns = Compiler(Catalog(), LIMITS).prepare(text, NOW).columns
    assert [(column.name, str(column.type), column.table, column.is_aliased) for column in columns] == [
        ("rows", "bigint", None, False),
        ("metadataFile", "varchar", None, False),
        ("manifestFile", "varchar", None, False),
    ]


def test_names_and_types_are_checked() -> None:
    with pytest.raises(Invalid, match="line 1:8: Column 'nope' does not exist"):
        prepared("SELECT nope FROM ops.metrics WHERE time > @t")
    with pytest.raises(Invalid, match=r"line 1:17: '\+' cannot be applied to varchar, "):
        prepared("SELECT hostname + @n FROM ops.metrics")
