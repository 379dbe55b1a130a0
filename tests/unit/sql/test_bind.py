"""Names, types and columns of what the binder makes: what a client reads in ColumnInfo."""

from __future__ import annotations

import pytest
from sql_world import query_plan

METRICS = (
    "region varchar, az varchar, hostname varchar, measure_name varchar, time timestamp, "
    "measure_value::double double, measure_value::bigint bigint, measure_value::varchar varchar"
)

CASES = {
    # Names of result columns. Source: sql.md 2.2
    "SELECT 1, 'abc', NULL, 2.5": "_col0 integer, _col1 varchar, _col2 unknown, _col3 double",
    "SELECT * FROM ops.metrics": METRICS,
    "SELECT m.* FROM ops.metrics m": METRICS,
    "SELECT metrics.*, 1 FROM ops.metrics": f"{METRICS}, _col8 integer",
    "SELECT m.time, time AS t, time t2, m.measure_value::double FROM ops.metrics AS m": (
        "time timestamp, t timestamp, t2 timestamp, measure_value::double double"
    ),
    'SELECT "measure_value::double" FROM ops.metrics': "measure_value::double double",
    "SELECT time, time FROM ops.metrics": "time timestamp, time timestamp",
    "SELECT * FROM (SELECT 1, 2 AS b)": "_col0 integer, b integer",
    "SELECT * FROM (VALUES (1, 'a')) AS t(x, y)": "x integer, y varchar",
    "SELECT * FROM (VALUES (1, 'a'), (2.5, NULL))": "_col0 double, _col1 varchar",
    "SELECT 1 AS a UNION SELECT 2 AS b": "a integer",
    "WITH c(x) AS (SELECT 1 AS a) SELECT * FROM c": "x integer",
    "WITH c AS (SELECT measure_value::double FROM ops.metrics) SELECT c.measure_value::double FROM c": (
        "measure_value::double double"
    ),
    # Names that differ by case only are different names. Source: sql.md 1
    "SELECT host, Host, HOST FROM (SELECT host, Host, 1 AS x FROM odd.cases) AS t(host, Host, HOST)": (
        "host varchar, Host varchar, HOST integer"
    ),
    "SELECT measure_value::DOUBLE FROM ops.metrics": "measure_value::double double",
    'SELECT "a b", measure_name, "q""q" FROM odd.cases': 'a b double, measure_name varchar, q"q bigint',
    # UNNEST. Source: sql.md 4.2
    "SELECT * FROM UNNEST(ARRAY[1, 2], ARRAY['x']) AS t(a, b)": "a integer, b varchar",
    "SELECT * FROM UNNEST(ARRAY[1]) WITH ORDINALITY AS t(a, n)": "a integer, n bigint",
    "SELECT * FROM (SELECT create_time_series(now(), 1.0) AS ts) CROSS JOIN UNNEST(ts)": (
        "ts timeseries(double), time timestamp, value double"
    ),
    "SELECT x, y FROM UNNEST(CAST(ARRAY[ROW(1, 'a')] AS array(row(x bigint, y varchar))))": "x bigint, y varchar",
    # USING merges. Source: Trino
    "SELECT * FROM (VALUES (1, 2)) AS a(k, x) JOIN (VALUES (1.5, 'y')) AS b(k, y) USING (k)": (
        "k double, x integer, y varchar"
    ),
    "SELECT a.*, b.k FROM (VALUES (1, 2)) AS a(k, x) JOIN (VALUES (1, 'y')) AS b(k, y) USING (k)": (
        "x integer, k integer"
    ),
    # Types. Source: sql.md 1.1, 2.4, 6
    "SELECT 2147483648, -2147483648, 1e3": "_col0 bigint, _col1 integer, _col2 double",
    "SELECT DATE '2024-01-01', TIME '01:00', 3h, 15month, TIMESTAMP '2024-01-01'": (
        "_col0 date, _col1 time, _col2 interval day to second, _col3 interval year to month, _col4 timestamp"
    ),
    "SELECT ARRAY[1, 2.5], ARRAY[], ROW(1, 'a'), (1, NULL)": (
        "_col0 array(double), _col1 array(unknown), _col2 row(integer, varchar), _col3 row(integer, unknown)"
    ),
    "SELECT CAST(ROW(1) AS row(x bigint)), CAST(ROW(1) AS row(x bigint)).x": "_col0 row(x bigint), x bigint",
    "SELECT if(true, 1), if(true, 1, 2.5), coalesce(NULL, 1), nullif(1, 2.5), CASE WHEN true THEN 1 ELSE 2.5 END": (
        "_col0 integer, _col1 double, _col2 integer, _col3 integer, _col4 double"
    ),
    "SELECT count(*), sum(x), avg(x), max(x), array_agg(x) FROM (VALUES 1) AS t(x)": (
        "_col0 bigint, _col1 bigint, _col2 double, _col3 integer, _col4 array(integer)"
    ),
    "SELECT now() - 1h, DATE '2024-01-31' + 1month, 1d - 90m, 2 * 1h": (
        "_col0 timestamp, _col1 date, _col2 interval day to second, _col3 interval day to second"
    ),
    "SELECT 1 = 2, 1 IN (1), EXISTS (SELECT 1), NULL IS NULL, 'a' LIKE 'a', 1 > ALL (SELECT 1)": (
        "_col0 boolean, _col1 boolean, _col2 boolean, _col3 boolean, _col4 boolean, _col5 boolean"
    ),
    "SELECT extract(year FROM now()), year('2024-01-01'), (SELECT 1.5)": "_col0 bigint, _col1 bigint, _col2 double",
}


@pytest.mark.parametrize("text", CASES, ids=range(len(CASES)))
def test_columns(text: str) -> None:
    shown = ", ".join(f"{column.name} {column.type}" for column in query_plan(text).columns)
    assert shown == CASES[text]


def test_columns_that_differ_by_case_only_both_work() -> None:
    ((_, request),) = query_plan("SELECT Host, host FROM odd.cases").scans
    assert [(column.name, column.physical) for column, _ in request.columns] == [("host", "host"), ("Host", "Host_2")]


def test_users_names_never_reach_the_engine() -> None:
    made = query_plan('SELECT "a b" AS "drop", \'text\' AS t FROM odd.cases AS "x; --" GROUP BY "a b"')
    assert not any(name in made.sql for name in ("a b", "drop", "x;", "odd", "cases"))
