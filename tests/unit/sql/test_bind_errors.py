"""What the binder refuses, with the service's texts and positions (sql.md 8)."""

from __future__ import annotations

from contextlib import suppress

import pytest
from sql_world import plan

from headwater.errors import Invalid

T = "FROM (VALUES (1, 'a')) AS t(n, s)"

CASES = {
    # Source: observed from the service
    "SELECT nope FROM ops.metrics": "line 1:8: Column 'nope' does not exist",
    "SELECT time\nFROM ops.metrics m\nWHERE m.nope = 1": "line 3:7: Column 'm.nope' does not exist",
    "SELECT * FROM abc.sampleDB": "Requested database 'abc' not found for identifier 'abc.sampleDB' at line 1:15",
    'SELECT * FROM ops."no"': "Requested table 'no' not found for identifier 'ops.no' at line 1:15",
    "SHOW TABLES FROM nope": "Requested database 'nope' not found for identifier 'nope' at line 1:1",
    "DESCRIBE ops.nope": "Requested table 'nope' not found for identifier 'ops.nope' at line 1:1",
    f"SELECT n {T} WHERE n = 1 AND 3h": (
        "line 1:60: Right side of logical expression must evaluate to a boolean (actual: interval day to second): "
    ),
    f"SELECT n {T} WHERE s OR n = 1": (
        "line 1:50: Left side of logical expression must evaluate to a boolean (actual: varchar): "
    ),
    # Texts of Trino
    "SELECT foo(1)": "line 1:8: Function foo not registered",
    "SELECT 1,\n  abs('x')": (
        "line 2:3: Unexpected parameters (varchar) for function abs. Expected: abs(integer), abs(bigint), abs(double)"
    ),
    f"SELECT 1 {T} WHERE s = n": "line 1:52: '=' cannot be applied to varchar, integer",
    f"SELECT s + 1 {T}": "line 1:10: '+' cannot be applied to varchar, integer",
    f"SELECT n, count(*) {T} GROUP BY s": "line 1:8: 'n' must be an aggregate expression or appear in GROUP BY clause",
    f"SELECT t.n {T} GROUP BY n + 1": "line 1:8: 't.n' must be an aggregate expression or appear in GROUP BY clause",
    f"SELECT * {T} GROUP BY n": "line 1:8: 's' must be an aggregate expression or appear in GROUP BY clause",
    f"SELECT s {T} GROUP BY s ORDER BY n": (
        "line 1:64: 'n' must be an aggregate expression or appear in GROUP BY clause"
    ),
    f"SELECT s {T} GROUP BY s HAVING n > 1": (
        "line 1:62: 'n' must be an aggregate expression or appear in GROUP BY clause"
    ),
    f"SELECT s, (SELECT max(x) FROM (VALUES 1) AS u(x) WHERE x = n) {T} GROUP BY s": (
        "line 1:60: 'n' must be an aggregate expression or appear in GROUP BY clause"
    ),
    "SELECT v FROM (VALUES 1) AS a(v), (VALUES 1) AS b(v)": "line 1:8: Column 'v' is ambiguous",
    "SELECT Vv FROM (VALUES (1, 2)) AS a(vv, VV)": "line 1:8: Column 'Vv' does not exist",
    "SELECT Vv FROM (VALUES 1) AS a(vv)": "line 1:8: Column 'Vv' does not exist",
    "SELECT A.v FROM (VALUES 1) AS a(v)": "line 1:8: Column 'A.v' does not exist",
    "SELECT A.* FROM (VALUES 1) AS a(v)": "line 1:8: Unable to resolve reference A",
    "SELECT 1, 2 UNION SELECT 1, 2, 3": "line 1:1: UNION query has different number of fields: 2, 3",
    "SELECT 1 EXCEPT SELECT 'a'": "line 1:1: column 1 in EXCEPT query has incompatible types: integer, varchar",
    "SELECT (SELECT 1, 2)": "line 1:9: Multiple columns returned by subquery are not yet supported. Found 2",
    f"SELECT n {T} WHERE max(n) = 1": (
        "line 1:50: WHERE clause cannot contain aggregations, window functions or grouping operations: max"
    ),
    f"SELECT n {T} GROUP BY count(*)": (
        "line 1:53: GROUP BY clause cannot contain aggregations, window functions or grouping operations: count"
    ),
    f"SELECT n {T} WHERE n": "line 1:50: WHERE clause must evaluate to a boolean: actual type integer",
    f"SELECT n {T} ORDER BY 2": "line 1:53: ORDER BY position 2 is not in select list",
    f"SELECT n {T} GROUP BY 0": "line 1:53: GROUP BY position 0 is not in select list",
    f"SELECT DISTINCT n {T} ORDER BY s": (
        "line 1:62: For SELECT DISTINCT, ORDER BY expressions must appear in select list"
    ),
    "WITH a AS (SELECT 1), a AS (SELECT 2) SELECT 1": "line 1:23: WITH query name 'a' specified more than once",
    "WITH a(x, y) AS (SELECT 1) SELECT 1": (
        "line 1:6: Column alias list has 2 entries but 'a' has 1 columns available"
    ),
    "SELECT * FROM (VALUES 1) AS t(a, b)": (
        "line 1:15: Column alias list has 2 entries but 't' has 1 columns available"
    ),
    "SELECT 1 FROM UNNEST(1)": "line 1:22: Cannot unnest type: integer",
    "SELECT cast(TRUE AS date)": "line 1:8: Cannot cast boolean to date",
    "SELECT cast(1 AS decimal(3, 1))": "line 1:18: Unknown type: decimal(3, 1)",
    "SELECT time FROM ops.metrics WHERE time > 'abc'": "line 1:41: Value cannot be cast to timestamp: abc",
    "SELECT BIGINT '99999999999999999999'": "line 1:8: Cannot cast '99999999999999999999' to BIGINT",
    "SELECT *": "line 1:8: SELECT * not allowed in queries without FROM clause",
    f"SELECT u.* {T}": "line 1:8: Unable to resolve reference u",
    "SELECT row_number()": "line 1:8: Window function row_number requires an OVER clause",
    f"SELECT abs(DISTINCT n) {T}": (
        "line 1:8: DISTINCT, ORDER BY, FILTER, NULLS and * are for aggregates: abs is not one"
    ),
    'SELECT 1 AS "a:b"': "line 1:8: Column alias 'a:b' must not contain ':'",
    "SELECT create_time_series(now(), 1) AS ts ORDER BY ts": (
        "line 1:52: Type timeseries(integer) is not orderable, and therefore cannot be used in ORDER BY"
    ),
    "SELECT @p": "line 1:8: Parameter '@p' has no value",
    # What is not there yet says so, by name
    "SELECT 1 FROM (VALUES 1) AS a(x) FULL JOIN (VALUES 1) AS b(y) ON x IN (SELECT y)": (
        "line 1:68: A subquery over both sides in the condition of a FULL JOIN is not supported yet"
    ),
    f"SELECT n, (SELECT max(n)) {T}": (
        "line 1:19: An aggregate of nothing but columns of an outer query is not supported yet"
    ),
}


@pytest.mark.parametrize("text", CASES, ids=range(len(CASES)))
def test_fault(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        plan(text)
    assert caught.value.message == CASES[text]


def test_a_bare_table_name_can_only_be_a_with_query() -> None:
    with pytest.raises(Invalid, match="Requested table 'metrics' not found for identifier 'metrics' at line 1:15"):
        plan("SELECT * FROM metrics")


def test_group_by_never_sees_output_names() -> None:
    with pytest.raises(Invalid, match="line 1:66: Column 'slot' does not exist"):
        plan("SELECT bin(time, 1m) AS slot, count(*) FROM ops.metrics GROUP BY slot")


@pytest.mark.parametrize(
    "text",
    [
        "SELECT " + "CASE WHEN " * 95 + "true" + " THEN true END" * 95,
        "SELECT " + "NOT " * 195 + "true",
        "SELECT " + "1 + " * 195 + "1",
        "SELECT " + "CASE " * 90 + "1" + " WHEN 1 THEN 1 WHEN 2 THEN 3 END" * 90,
        "SELECT " + "nullif(" * 90 + "1" + ", 2)" * 90,
        "SELECT 1" + " UNION SELECT 1" * 2_000,
        "SELECT 1 FROM " + "(SELECT 1 FROM " * 40 + "(VALUES 1)" + ")" * 40,
        "SELECT 1 FROM " + ", ".join(f"(VALUES 1) AS t{i}" for i in range(1_000)),
        "SELECT " + "ARRAY[" * 60 + "1" + "]" * 60,
        "WITH c0 AS (SELECT 1 AS a)"
        + "".join(f", c{i + 1} AS (SELECT x.a FROM c{i} x, c{i} y)" for i in range(200))
        + "SELECT a FROM c200",
    ],
    ids=range(10),
)
def test_hostile_shapes_compile_or_are_refused_quickly(text: str) -> None:
    with suppress(Invalid):
        plan(text)
