"""What lowered statements answer, run in the engine room: one line for each rule of sql.md 4 to 6 about queries.

Rows are compared in order only where the statement sorts them.
"""

from __future__ import annotations

from typing import Any

import pytest
from sql_world import NOW, query_plan, rows

from headwater.errors import QueryFailed

AB = "(VALUES (1, 'a'), (2, 'b')) AS l(k, v)"
XY = "(VALUES (2, 'x'), (3, 'y')) AS r(k, w)"
N = "(VALUES 1, 2, 2, NULL, 3) AS t(n)"
G = "(VALUES ('a', 1), ('b', 5), ('a', 2), ('b', NULL), ('c', NULL)) AS t(g, n)"
LISTS = "(VALUES (1, ARRAY[7, 8]), (2, NULL), (3, ARRAY[])) AS t(k, a)"
SERIES = (
    "(SELECT create_time_series(t, v) AS ts FROM (VALUES (TIMESTAMP '2024-03-09 00:00:00', 10.0),"
    " (TIMESTAMP '2024-03-09 00:00:50', 15.0), (TIMESTAMP '2024-03-09 00:00:20', 30.0)) AS d(t, v))"
)
MIDNIGHT = 1_709_942_400_000_000_000
S = 1_000_000_000

CASES: dict[str, list[Any]] = {
    # SELECT, WHERE, LIMIT
    "SELECT 1 WHERE false": [],
    "SELECT 1 LIMIT 0": [],
    "SELECT 1 LIMIT ALL": [(1,)],
    f"SELECT DISTINCT n FROM {N} ORDER BY n DESC": [(3,), (2,), (1,), (None,)],
    f"SELECT DISTINCT n % 2 AS x FROM {N} ORDER BY n % 2 LIMIT 1": [(0,)],
    f"SELECT n FROM {N} WHERE NOT (n = 2)": [(1,), (3,)],
    # NULLs come last both ways; a name of the output wins. Source: sql.md 4.1
    f"SELECT n FROM {N} ORDER BY n": [(1,), (2,), (2,), (3,), (None,)],
    f"SELECT n FROM {N} ORDER BY n DESC": [(3,), (2,), (2,), (1,), (None,)],
    f"SELECT n FROM {N} ORDER BY n NULLS FIRST LIMIT 1": [(None,)],
    f"SELECT v, k AS x FROM {AB} ORDER BY x DESC": [("b", 2), ("a", 1)],
    f"SELECT 3 - k AS k FROM {AB} ORDER BY k": [(1,), (2,)],
    f"SELECT 3 - k AS k, v FROM {AB} ORDER BY l.k": [(2, "a"), (1, "b")],
    f"SELECT 3 - k AS x, v FROM {AB} ORDER BY x + 1": [(1, "b"), (2, "a")],
    f"SELECT v FROM {AB} ORDER BY k DESC": [("b",), ("a",)],
    f"SELECT v FROM {AB} ORDER BY 1 DESC": [("b",), ("a",)],
    f"SELECT v FROM {AB} ORDER BY 'x', k DESC": [("b",), ("a",)],
    f"SELECT 3 - k AS k FROM {AB} ORDER BY (SELECT max(w) FROM {XY} WHERE r.k > l.k), l.k": [(1,), (2,)],
    # Groups
    f"SELECT g, sum(n) AS s, count(*), count(n) FROM {G} GROUP BY g ORDER BY s DESC": [
        ("b", 5, 2, 1),
        ("a", 3, 2, 2),
        ("c", None, 1, 0),
    ],
    f"SELECT g FROM {G} GROUP BY g HAVING sum(n) > 3": [("b",)],
    f"SELECT g FROM {G} GROUP BY g ORDER BY count(n) DESC, max(n) LIMIT 1": [("a",)],
    f"SELECT count(*) FROM {G} GROUP BY 'x'": [(5,)],
    f"SELECT 'x' AS c, count(*) FROM {G} GROUP BY 1": [("x", 5)],
    f"SELECT upper(g), upper(g) || '!' FROM {G} WHERE n = 5 GROUP BY upper(g)": [("B", "B!")],
    f"SELECT count(*) FROM {G} WHERE false": [(0,)],
    f"SELECT count(*), max(n) FROM {G} WHERE false GROUP BY ()": [(0, None)],
    f"SELECT g, count(*) FROM {G} WHERE false GROUP BY g": [],
    f"SELECT 1 FROM {G} HAVING true": [(1,)],
    f"SELECT typeof(count(*)) FROM {G}": [("bigint",)],
    f"SELECT g, (SELECT count(*) FROM {N} WHERE t.n = length(o.g)) FROM {G.replace(' t(', ' o(')} GROUP BY g": [
        ("a", 1),
        ("b", 1),
        ("c", 1),
    ],
    f"SELECT sum(n) FILTER (WHERE n > 1), count(DISTINCT n), array_agg(n ORDER BY n DESC) FROM {N}": [
        (7, 3, [3, 2, 2, 1, None])
    ],
    f"SELECT n, count(*) FROM {N} GROUP BY n ORDER BY n": [(1, 1), (2, 2), (3, 1), (None, 1)],
    f"SELECT g, 1 + sum(n) / count(*) FROM {G} GROUP BY g ORDER BY 1": [("a", 2), ("b", 3), ("c", None)],
    # Joins
    f"SELECT l.k, w FROM {AB} JOIN {XY} ON l.k = r.k": [(2, "x")],
    f"SELECT v, w FROM {AB} LEFT JOIN {XY} ON l.k = r.k": [("a", None), ("b", "x")],
    f"SELECT v, w FROM {AB} RIGHT JOIN {XY} ON l.k = r.k": [("b", "x"), (None, "y")],
    f"SELECT v, w FROM {AB} FULL JOIN {XY} ON l.k = r.k": [("a", None), ("b", "x"), (None, "y")],
    f"SELECT * FROM {AB} FULL JOIN {XY} USING (k)": [(1, "a", None), (2, "b", "x"), (3, None, "y")],
    f"SELECT * FROM {AB} RIGHT JOIN {XY} USING (k)": [(2, "b", "x"), (3, None, "y")],
    f"SELECT k, l.k, r.k FROM {AB} FULL JOIN {XY} USING (k)": [(1, 1, None), (2, 2, 2), (3, None, 3)],
    f"SELECT k FROM {AB} FULL JOIN {XY} USING (k) FULL JOIN (VALUES 3, 4) AS z(k) USING (k)": [(1,), (2,), (3,), (4,)],
    f"SELECT v, w FROM {AB}, {XY} WHERE l.k = r.k": [("b", "x")],
    f"SELECT count(*) FROM {AB} CROSS JOIN {XY}": [(4,)],
    f"SELECT v, w FROM {AB} LEFT JOIN {XY} ON true WHERE w = 'y'": [("a", "y"), ("b", "y")],
    f"SELECT v, w FROM {AB} LEFT JOIN {XY} ON l.k = r.k AND l.v = 'a'": [("a", None), ("b", None)],
    f"SELECT v, w FROM {AB} LEFT JOIN {XY} ON l.k = r.k AND w IN (SELECT 'x')": [("a", None), ("b", "x")],
    f"SELECT v, p FROM {AB} LEFT JOIN ({XY} JOIN (VALUES (2, 'p')) AS q(k, p) ON r.k = q.k) ON l.k = q.k": [
        ("a", None),
        ("b", "p"),
    ],
    # Set operations: INTERSECT binds tighter, DISTINCT is the default, names and types of the first
    f"SELECT n FROM {N} UNION SELECT 3": [(1,), (2,), (3,), (None,)],
    "SELECT 1 UNION ALL SELECT 1": [(1,), (1,)],
    "SELECT 1 UNION ALL SELECT 2 INTERSECT SELECT 2": [(1,), (2,)],
    "SELECT 1 UNION ALL SELECT 1 UNION SELECT 1": [(1,)],
    "SELECT 1 UNION SELECT 1 UNION ALL SELECT 1": [(1,), (1,)],
    f"SELECT n FROM {N} EXCEPT SELECT 2": [(1,), (3,), (None,)],
    f"SELECT n FROM {N} EXCEPT ALL SELECT 2": [(1,), (2,), (3,), (None,)],
    f"SELECT n FROM {N} INTERSECT ALL (VALUES 2, 2, 2)": [(2,), (2,)],
    "SELECT 1 AS x UNION ALL SELECT 2.5 ORDER BY x DESC LIMIT 1": [(2.5,)],
    "(SELECT 1 AS x ORDER BY x LIMIT 1) UNION ALL (VALUES 2)": [(1,), (2,)],
    "SELECT count(*) FROM (SELECT 1 UNION ALL SELECT 2)": [(2,)],
    "SELECT b FROM (SELECT 1 AS a, 'x' AS b UNION SELECT 2, 'x')": [("x",), ("x",)],
    "SELECT TIMESTAMP '1970-01-01' UNION SELECT DATE '1970-01-02'": [(0,), (86_400 * S,)],
    # WITH
    "WITH a AS (SELECT 1 AS x), b AS (SELECT x + 1 AS y FROM a) SELECT a.x, b.y, (SELECT count(*) FROM a) FROM a, b": [
        (1, 2, 1)
    ],
    "WITH a AS (SELECT 1 AS x) SELECT * FROM (WITH a AS (SELECT 2 AS x) SELECT * FROM a), a": [(2, 1)],
    "WITH a(p, q) AS (VALUES (1, 2)) SELECT q FROM a": [(2,)],
    f"WITH a AS (SELECT * FROM {SERIES}) SELECT cardinality((SELECT array_agg(1) FROM a)), cardinality(ARRAY[(SELECT 2"
    " FROM a)])": [(1, 1)],
    # Subqueries
    f"SELECT (SELECT v FROM {AB} WHERE k = 7)": [(None,)],
    f"SELECT k, (SELECT w FROM {XY} WHERE r.k = l.k) FROM {AB}": [(1, None), (2, "x")],
    f"SELECT v FROM {AB} WHERE k IN (SELECT k FROM {XY})": [("b",)],
    f"SELECT v FROM {AB} WHERE k NOT IN (SELECT k FROM {XY})": [("a",)],
    f"SELECT v FROM {AB} WHERE k NOT IN (SELECT n FROM {N})": [],
    f"SELECT 2 IN (SELECT n FROM {N}), 9 IN (SELECT n FROM {N}), NULL IN (SELECT 1)": [(True, None, None)],
    f"SELECT v FROM {AB} WHERE NOT EXISTS (SELECT 1 FROM {XY} WHERE r.k = l.k)": [("a",)],
    f"SELECT v, EXISTS (SELECT count(*) FROM {XY} WHERE r.k = l.k) FROM {AB}": [("a", True), ("b", True)],
    "SELECT 5 > ALL (VALUES 1, 2, 3), 2 = ANY (VALUES 1, NULL), 2 <> ALL (VALUES 1, 3), 1 < SOME (VALUES 0, 2)": [
        (True, None, True, True)
    ],
    "SELECT 1 = ANY (SELECT 1 WHERE false), 1 <> ALL (SELECT 1 WHERE false)": [(False, True)],
    "SELECT 3 IN (SELECT 3.0)": [(True,)],
    f"SELECT k, (SELECT w FROM {XY} WHERE r.k > l.k ORDER BY w DESC LIMIT 1) FROM {AB}": [(1, "y"), (2, "y")],
    f"SELECT k, (WITH z AS (SELECT k + 1 AS x) SELECT a.x + b.x FROM z a, z b) FROM {AB}": [(1, 4), (2, 6)],
    f"SELECT k, (SELECT sum(x) FROM (VALUES k, 10) AS u(x)) FROM {AB}": [(1, 11), (2, 12)],
    f"SELECT k, (SELECT sum(x) FROM UNNEST(a) AS u(x)) FROM {LISTS}": [(1, 15), (2, None), (3, None)],
    f"SELECT sum((SELECT max(n) FROM {N} WHERE n <= k)) FROM {AB}": [(3,)],
    # VALUES
    "SELECT * FROM (VALUES 1, 2)": [(1,), (2,)],
    "SELECT * FROM (VALUES ((1, 'a')), (2, NULL)) AS t(x, y)": [(1, "a"), (2, None)],
    "SELECT * FROM (VALUES TIMESTAMP '1970-01-01', '1970-01-02') AS t(x)": [(0,), (86_400 * S,)],
    # UNNEST. Source: sql.md 4.2
    "SELECT * FROM UNNEST(ARRAY[1, 2], ARRAY['x']) AS t(a, b)": [(1, "x"), (2, None)],
    f"SELECT k, x FROM {LISTS} CROSS JOIN UNNEST(a) AS u(x)": [(1, 7), (1, 8)],
    f"SELECT k, x FROM {LISTS}, UNNEST(a) AS u(x) WHERE x > 7": [(1, 8)],
    f"SELECT k, x, n FROM {LISTS} LEFT JOIN UNNEST(a) WITH ORDINALITY AS u(x, n) ON true": [
        (1, 7, 1),
        (1, 8, 2),
        (2, None, None),
        (3, None, None),
    ],
    f"SELECT k, x, y FROM {LISTS} LEFT JOIN UNNEST(a, ARRAY['p']) AS u(x, y) ON true": [
        (1, 7, "p"),
        (1, 8, None),
        (2, None, "p"),
        (3, None, "p"),
    ],
    f"SELECT k, n FROM {LISTS} CROSS JOIN UNNEST(a, ARRAY[1]) WITH ORDINALITY AS u(x, y, n)": [
        (1, 1),
        (1, 2),
        (2, 1),
        (3, 1),
    ],
    f"SELECT count(*) FROM {LISTS} CROSS JOIN UNNEST(a)": [(2,)],
    "SELECT x, y FROM UNNEST(CAST(ARRAY[ROW(1, 'a'), NULL] AS array(row(x bigint, y varchar))))": [
        (1, "a"),
        (None, None),
    ],
    f"SELECT time, value FROM {SERIES} CROSS JOIN UNNEST(ts)": [
        (MIDNIGHT, 10.0),
        (MIDNIGHT + 20 * S, 30.0),
        (MIDNIGHT + 50 * S, 15.0),
    ],
    f"SELECT n, at, cpu FROM {SERIES} CROSS JOIN UNNEST(ts) WITH ORDINALITY AS p(at, cpu, n) WHERE n = 2": [
        (2, MIDNIGHT + 20 * S, 30.0)
    ],
    "SELECT second, hour FROM unnest(ARRAY[1, 2]) t(second) cross join unnest(ARRAY[7]) AS t(hour)": [(1, 7), (2, 7)],
    # Windows. Source: sql.md 6.11
    "SELECT v, rank() OVER w, sum(v) OVER w, count(*) OVER (w ROWS UNBOUNDED PRECEDING)"
    " FROM (VALUES 10, 20, 20, 30) AS t(v) WINDOW w AS (ORDER BY v) ORDER BY v, 4": [
        (10, 1, 10, 1),
        (20, 2, 50, 2),
        (20, 2, 50, 3),
        (30, 4, 80, 4),
    ],
    "SELECT k, last_value(v) IGNORE NULLS OVER (ORDER BY k), lag(v) OVER (ORDER BY k), lead(k, 2, 0) OVER (ORDER BY k)"
    " FROM (VALUES (1, 5), (2, NULL), (3, 7)) AS t(k, v) ORDER BY k": [(1, 5, None, 3), (2, 5, 5, 0), (3, 7, None, 0)],
    f"SELECT g, sum(n), rank() OVER (ORDER BY sum(n) DESC) FROM {G} GROUP BY g"
    " ORDER BY rank() OVER (ORDER BY sum(n))": [
        ("a", 3, 2),
        ("b", 5, 1),
        ("c", None, 3),
    ],
    "SELECT v, sum(v) OVER (ORDER BY v RANGE BETWEEN 1 PRECEDING AND CURRENT ROW) FROM (VALUES 1, 2, 4) AS t(v)"
    " ORDER BY v": [(1, 1), (2, 3), (4, 4)],
    "SELECT count(*) OVER (ORDER BY t RANGE BETWEEN 1m PRECEDING AND CURRENT ROW) AS c FROM"
    " (VALUES from_milliseconds(0), from_milliseconds(30000), from_milliseconds(120000)) AS x(t) ORDER BY t": [
        (1,),
        (2,),
        (1,),
    ],
    # Conditional forms. Source: sql.md 6.2
    "SELECT CASE v WHEN 1 THEN 'a' WHEN 2.5 THEN 'b' ELSE 'c' END FROM (VALUES 1, 2) AS t(v) ORDER BY v": [
        ("a",),
        ("c",),
    ],
    "SELECT CASE WHEN 1 > 2 THEN 'x' END, CASE v WHEN NULL THEN 1 ELSE 2 END FROM (VALUES NULL, 1) AS t(v)": [
        (None, 2),
        (None, 2),
    ],
    "SELECT if(1 = 2, 'yes'), if(NULL, 1, 2), coalesce(NULL, v, 2.5), nullif(v, 1), nullif(v, NULL)"
    " FROM (VALUES 1) AS t(v)": [(None, 2, 1.0, None, 1)],
    "SELECT try(1 / v) FROM (VALUES 0, 2) AS t(v) ORDER BY v": [(None,), (0,)],
    "SELECT if(v <> 0, 1 / v, -1), if(v <> 0, 1 / v, -2) FROM (VALUES 0, 2) AS t(v) ORDER BY v": [(-1, -2), (0, 0)],
    "SELECT try(sum(v) / 0) FROM (VALUES 1) AS t(v)": [(None,)],
    # Arrays, rows
    "SELECT ARRAY[1, 2][2], ARRAY[v] || 2, ARRAY[v, 2.5], (v, 'a') FROM (VALUES 1) AS t(v)": [
        (2, [1, 2], [1.0, 2.5], {"f0": 1, "f1": "a"})
    ],
    "SELECT s.y.z FROM (SELECT CAST(ROW(ROW(4)) AS row(y row(z bigint))) AS s)": [(4,)],
    "SELECT cast('abcdef' AS varchar(3)), 'a' || v || 'c' || NULL, 'a' || v || 'c' FROM (VALUES 'b') AS t(v)": [
        ("abc", None, "abc")
    ],
    # Logic
    "SELECT v AND false, v OR true, NOT v, v AND true FROM (VALUES CAST(NULL AS boolean)) AS t(v)": [
        (False, True, None, None)
    ],
    f"SELECT count(*) FROM {N} WHERE n BETWEEN 2 AND 3": [(3,)],
    f"SELECT n IS DISTINCT FROM 1, n IS NOT DISTINCT FROM NULL FROM {N} WHERE n IS NULL": [(True, True)],
    "SELECT x, y FROM (VALUES (1, 2)) AS t(x, y) WHERE (x, y) = (1, 2)": [(1, 2)],
}


def _is_sorted(text: str) -> bool:
    return "ORDER BY" in text.rsplit(")", 1)[-1] or text.rstrip().endswith("ORDER BY sum(n))")


def _key(row: tuple[Any, ...]) -> str:
    return repr(row)


@pytest.mark.parametrize("text", CASES, ids=range(len(CASES)))
def test_answer(text: str) -> None:
    answer, expected = rows(text), CASES[text]
    if _is_sorted(text):
        assert answer == expected
    assert sorted(answer, key=_key) == sorted(expected, key=_key)


FAILURES = {
    f"SELECT (SELECT v FROM {AB})": "Scalar sub-query has returned multiple rows",
    f"SELECT k FROM {AB} WHERE v = (SELECT w FROM {XY})": "Scalar sub-query has returned multiple rows",
    f"SELECT k, (SELECT w FROM {XY} WHERE r.k > l.k) FROM {AB}": "Scalar sub-query has returned multiple rows",
    "SELECT 1 / v FROM (VALUES 0) AS t(v)": "Division by zero",
    "SELECT ARRAY[1, 2, v][5] FROM (VALUES 1) AS t(v)": (
        "Array subscript must be less than or equal to array length: 5 > 3"
    ),
    "SELECT cast(v AS bigint) FROM (VALUES 'abc') AS t(v)": "Cannot cast 'abc' to BIGINT",
}


@pytest.mark.parametrize("text", FAILURES, ids=range(len(FAILURES)))
def test_failure_while_running(text: str) -> None:
    with pytest.raises(QueryFailed) as caught:
        rows(text)
    assert caught.value.message == FAILURES[text]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT try(1 / v), try(1 + 1 / v) FROM (VALUES 0) AS t(v)", [(None, None)]),
        ("SELECT try(1 / v), if(v <> 0, 1 / v, -1) FROM (VALUES 0) AS t(v)", [(None, -1)]),
        ("SELECT coalesce(v, 1 / v), coalesce(v, 1 / v + 1) FROM (VALUES 0) AS t(v)", [(0, 0)]),
    ],
)
def test_a_fault_nobody_would_meet_twice(text: str, expected: list[Any]) -> None:
    assert rows(text) == expected


def test_a_column_nobody_reads_is_not_computed() -> None:
    assert rows("SELECT a FROM (SELECT v AS a, 1 / v AS b FROM (VALUES 0) AS t(v))") == [(0,)]


def test_now_is_one_instant_of_whole_milliseconds() -> None:
    assert rows("SELECT now(), ago(1h), current_timestamp") == [(NOW, NOW - 3_600 * S, NOW)]


def test_a_series_beside_its_unnested_points_is_not_carried_along() -> None:
    sql = query_plan(f"SELECT time FROM {SERIES} CROSS JOIN UNNEST(ts)").sql
    assert sql.count("unnest(") == 1
    carried = sql.split("unnest(")[0].rsplit("SELECT", 1)[1]
    assert carried.strip() == "", "only the element, not the series, leaves the UNNEST"


def test_a_with_query_used_once_stands_where_it_is_used() -> None:
    assert "WITH" not in query_plan("WITH a AS (SELECT 1 AS x) SELECT x FROM a").sql


def test_the_statement_never_starts_with_with() -> None:
    text = "WITH a AS (SELECT max(time) AS t FROM ops.metrics) SELECT (SELECT t FROM a), (SELECT t FROM a)"
    assert query_plan(text).sql.startswith("SELECT * FROM (WITH ")
    assert rows(text) == [(NOW, NOW)]


def test_a_subquery_among_the_arguments_of_a_macro() -> None:
    text = (
        "WITH g AS (SELECT ARRAY[from_milliseconds(0)] AS ticks)"
        " SELECT interpolate_locf(ts, (SELECT ticks FROM g)), cardinality((SELECT ticks FROM g)),"
        f" cast((SELECT 'x' FROM g) AS varchar), bin((SELECT ticks[1] FROM g), 1h) FROM {SERIES}"
    )
    assert rows(text) == [([{"t": 0, "v": None}], 1, "x", 0)]
