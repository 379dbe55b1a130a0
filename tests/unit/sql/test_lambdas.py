"""Calls with lambdas: what they answer, what they see, and how they are refused. Source: sql.md 5, 6.8, 7.7."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sql_world import plan, query_plan, rows

from headwater.errors import Invalid, QueryFailed

S = 1_000_000_000
POINTS = "(VALUES (TIMESTAMP '1970-01-01 00:00:00', 10.0), (TIMESTAMP '1970-01-01 00:00:20', 30.0)) AS d(t, v)"
SERIES = f"(SELECT create_time_series(t, v) AS ts, min(t) AS oldest FROM {POINTS}) AS s"
BY_N = "FROM (VALUES 1, 2) AS t(n)"

ANSWERS: dict[str, list[Any]] = {
    # Arrays
    "SELECT filter(ARRAY[5, NULL, 7], x -> x > 5), filter(ARRAY[1], x -> NULL), filter(NULL, x -> true)": [
        ([7], [], None)
    ],
    "SELECT transform(ARRAY[1, NULL], x -> x * 1.5), transform(ARRAY[], x -> 1), transform(NULL, x -> 1)": [
        ([1.5, None], [], None)
    ],
    "SELECT reduce(ARRAY['a', 'b'], '', (s, x) -> s || x, s -> length(s)), reduce(ARRAY[], 7, (s, x) -> 0, s -> s)": [
        (2, 7)
    ],
    "SELECT reduce(NULL, 0, (s, x) -> s, s -> 5), reduce(ARRAY[1], 0, (s, x) -> NULL, s -> coalesce(s, 9))": [
        (None, 9)
    ],
    "SELECT reduce(ARRAY[1, 2, 4], CAST(ROW(0, 0) AS ROW(sum INTEGER, n INTEGER)),"
    " (s, x) -> CAST(ROW(s.sum + x, s.n + 1) AS ROW(sum INTEGER, n INTEGER)), s -> s.sum * 10 + s.n)": [(73,)],
    "SELECT transform(ARRAY[DATE '2024-01-01'], d -> d + 1d), transform(ARRAY[1.5E10], d -> CAST(d AS varchar))": [
        ([19_724], ["1.5E10"])
    ],
    "SELECT any_match(ARRAY[1, NULL], x -> x = 1), any_match(ARRAY[2, NULL], x -> x = 1),"
    " any_match(ARRAY[2], x -> x = 1), any_match(ARRAY[], x -> true), any_match(NULL, x -> true)": [
        (True, None, False, False, None)
    ],
    "SELECT all_match(ARRAY[1, NULL], x -> x = 1), all_match(ARRAY[2, NULL], x -> x = 1),"
    " all_match(ARRAY[1], x -> x = 1), all_match(ARRAY[], x -> false)": [(None, False, True, True)],
    "SELECT none_match(ARRAY[1, NULL], x -> x = 1), none_match(ARRAY[2, NULL], x -> x = 1),"
    " none_match(ARRAY[2], x -> x = 1), none_match(ARRAY[], x -> true)": [(False, None, True, True)],
    # Timeseries
    f"SELECT filter(ts, x -> x.value > 15), filter(ts, x -> x.time > oldest + 1h) FROM {SERIES}": [
        ([{"t": 20 * S, "v": 30.0}], [])
    ],
    f"SELECT reduce(ts, DOUBLE '0.0', (s, x) -> s + x.value, s -> s) FROM {SERIES}": [(40.0,)],
    f"SELECT reduce(ts, BIGINT '0', (s, x) -> s + to_milliseconds(x.time), s -> s) FROM {SERIES}": [(20_000,)],
    f"SELECT filter(create_time_series(t, v), x -> true) FROM {POINTS} WHERE v > 99": [(None,)],
    # What a lambda sees
    f"SELECT filter(ARRAY[1, 2], x -> x > n), filter(ARRAY[9], n -> n = 9) {BY_N}": [([2], [9]), ([], [9])],
    f"SELECT filter(ARRAY[1, 2], x -> x > n) {BY_N} GROUP BY filter(ARRAY[1, 2], y -> y > n)": [([2],), ([],)],
    f"SELECT sum(reduce(ARRAY[1, 2], 0, (s, x) -> s + x, s -> s)) {BY_N}": [(6,)],
    f"SELECT n, (SELECT reduce(array_agg(w), n, (s, x) -> s + x, s -> s) FROM (VALUES 5, 6) AS u(w)) {BY_N}": [
        (1, 12),
        (2, 13),
    ],
    "SELECT transform(ARRAY[1, 2], x -> transform(ARRAY[10, 20], y -> x + y))": [([[11, 21], [12, 22]],)],
    f"SELECT n AS m {BY_N} ORDER BY reduce(ARRAY[n], 0, (s, x) -> s - x - m, s -> s)": [(2,), (1,)],
    "SELECT filter((SELECT array_agg(n) FROM (VALUES 1, 2) AS t(n)), x -> x > 1)": [([2],)],
    "SELECT try(transform(ARRAY[1, 0], x -> 1 / x)), transform(ARRAY[1, 0], x -> try(1 / x))": [(None, [1, None])],
    # Texts
    r"SELECT regexp_replace('ab cd', '(\w)(\w)', m -> m[2] || m[1]), regexp_replace('a{0}', '\w', m -> '{1}')": [
        ("ba dc", "{1}{{1}}")
    ],
    "SELECT regexp_replace('xabx', '(a)(c)?(b)', m -> coalesce(m[2], '-')), regexp_replace('xa', 'a', m -> NULL)": [
        ("x-x", None)
    ],
    "SELECT regexp_replace('x', 'a', m -> 'b'), regexp_replace('', 'a', m -> 'b'), regexp_replace(NULL, 'a', m -> 'b'),"
    " regexp_replace('a', NULL, m -> 'b')": [("x", "", None, None)],
}

REFUSED = {
    "SELECT filter(ARRAY[1], x -> x)": "line 1:30: A lambda of filter must give boolean here (actual: integer)",
    "SELECT filter(ARRAY[1], (x, y) -> true)": "line 1:25: Expected a lambda that takes 1 argument(s) but got 2",
    "SELECT transform(1, x -> x)": (
        "line 1:8: Unexpected parameters (integer, function) for function transform. Expected: transform(array(T),"
        " function(T, U)), transform(timeseries(T), function(row(time timestamp, value T), U))"
    ),
    f"SELECT any_match(ts, x -> true) FROM {SERIES}": (
        "line 1:8: Unexpected parameters (timeseries(double), function) for function any_match."
        " Expected: any_match(array(T), function(T, boolean))"
    ),
    "SELECT any_match(x -> true, ARRAY[1])": (
        "line 1:8: Unexpected parameters (function, array(integer)) for function any_match."
        " Expected: any_match(array(T), function(T, boolean))"
    ),
    "SELECT all_match(ARRAY[1])": (
        "line 1:8: Unexpected parameters (array(integer)) for function all_match."
        " Expected: all_match(array(T), function(T, boolean))"
    ),
    "SELECT length(x -> 1)": (
        "line 1:8: Unexpected parameters (function) for function length. Expected: length(varchar), length(varbinary)"
    ),
    "SELECT if(true, x -> 1)": (
        "line 1:8: Unexpected parameters (boolean, function) for function if. Expected: if(...)"
    ),
    "SELECT nope(x -> 1)": "line 1:8: Function nope not registered",
    "SELECT transform(ARRAY[1], x -> nope)": "line 1:33: Column 'nope' does not exist",
    "SELECT transform(ARRAY[1], x -> X)": "line 1:33: Column 'X' does not exist",
    f"SELECT filter(ts, x -> x.nope = 1) FROM {SERIES}": "line 1:24: Column 'x.nope' does not exist",
    "SELECT reduce(ARRAY[1], 0, (s, x) -> s + 1.5, s -> s)": (
        "line 1:40: A lambda of reduce must give integer here (actual: double)"
    ),
    "SELECT transform(ARRAY[1], x -> sum(x))": (
        "line 1:33: Lambda expression cannot contain aggregations, window functions or grouping operations: sum"
    ),
    "SELECT transform(ARRAY[1], x -> (SELECT 1))": "line 1:34: Lambda expression cannot contain subqueries",
    "SELECT filter(ARRAY[1], x -> true) OVER ()": (
        "line 1:8: OVER is for aggregates and window functions: filter is neither"
    ),
    f"SELECT n, filter(ARRAY[1], x -> x > n) {BY_N} GROUP BY 2": (
        "line 1:8: 'n' must be an aggregate expression or appear in GROUP BY clause"
    ),
    "SELECT regexp_replace('a', 'a', m -> 1)": (
        "line 1:38: A lambda of regexp_replace must give varchar here (actual: integer)"
    ),
    "SELECT regexp_replace(1, 'a', m -> 'a')": (
        "line 1:8: Unexpected parameters (integer, varchar, function) for function regexp_replace."
        " Expected: regexp_replace(varchar, varchar), regexp_replace(varchar, varchar, varchar),"
        " regexp_replace(varchar, varchar, function(array(varchar), varchar))"
    ),
    "SELECT regexp_replace('a', 'a*', m -> 'b')": (
        "line 1:8: A lambda for a pattern that matches the empty text is not supported yet"
    ),
    r"SELECT regexp_replace('a', '\b', m -> 'b')": (
        "line 1:8: A lambda for a pattern that matches the empty text is not supported yet"
    ),
    "SELECT regexp_replace(s, s, m -> 'b') FROM (VALUES 'a') AS t(s)": (
        "line 1:8: Argument 2 of function regexp_replace must be a constant"
    ),
}


@pytest.mark.parametrize("text", ANSWERS, ids=range(len(ANSWERS)))
def test_answer(text: str) -> None:
    assert rows(text) == ANSWERS[text]


@pytest.mark.parametrize("text", REFUSED, ids=range(len(REFUSED)))
def test_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        plan(text)
    assert caught.value.message == REFUSED[text]


def test_a_fault_within_a_lambda_fails_the_query() -> None:
    with pytest.raises(QueryFailed, match="Division by zero"):
        rows("SELECT reduce(ARRAY[1, 0], 1, (s, x) -> s / x, s -> s)")


def test_types_of_results() -> None:
    text = (
        "SELECT transform(ARRAY[1], x -> x > 0), reduce(ARRAY[1], 0, (s, x) -> s, s -> ROW(s)), filter(NULL, x -> true)"
    )
    assert [str(column.type) for column in query_plan(text).columns] == [
        "array(boolean)",
        "row(integer)",
        "array(unknown)",
    ]


@given(st.lists(st.none() | st.integers(-5, 5), max_size=8), st.integers(-5, 5))
def test_lambdas_are_what_python_says(values: list[int | None], bound: int) -> None:
    array = f"ARRAY[{', '.join('NULL' if value is None else str(value) for value in values)}]"
    array = f"CAST({array} AS array(integer))"
    ((kept, doubled, total),) = rows(
        f"SELECT filter({array}, x -> x > {bound}), transform({array}, x -> x * 2),"
        f" reduce({array}, 0, (s, x) -> s + coalesce(x, {bound}), s -> s)"
    )
    assert kept == [value for value in values if value is not None and value > bound]
    assert doubled == [None if value is None else value * 2 for value in values]
    assert total == sum(bound if value is None else value for value in values)


@given(st.text("ab-", max_size=12))
def test_a_lambda_that_gives_the_match_back_changes_nothing(text: str) -> None:
    quoted = f"'{text}'"
    ((same, swapped),) = rows(
        f"SELECT regexp_replace({quoted}, '(a+)(b)?', m -> m[1] || coalesce(m[2], '')),"
        f" regexp_replace({quoted}, '(a)(b)', m -> m[2] || m[1])"
    )
    assert same == text
    assert swapped == text.replace("ab", "ba")
