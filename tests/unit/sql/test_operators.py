"""Operators on the engine: sql.md 5, for constants, columns, NULLs and NaN."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from evaluation import Value, big, date, evaluate, interval, null, run, same, series, time, ts, value_of
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.errors import Invalid, QueryFailed
from headwater.model.types import Array, Field, Row, Scalar
from headwater.sql import operators
from headwater.sql.constant import Constant

NAN, INF = math.nan, math.inf
Resolver = Callable[..., Any]


def apply(resolver: Resolver, *operands: Any) -> Any:
    """The operator's value, as constants and as columns, and folded where it can be: all the same."""
    as_constants, resolved = evaluate(resolver, operands, columns=False)
    as_columns, _ = evaluate(resolver, operands, columns=True)
    assert same(as_constants, as_columns)
    if resolved.constant is not None:
        assert same(resolved.constant.value, as_constants), resolved.constant
    return as_constants


def binary(operator: str, left: Any, right: Any) -> Any:
    return apply(lambda t, c: operators.binary(operator, t, c), left, right)


ARITHMETIC: list[tuple[Any, str, Any, Any]] = [
    (7, "/", 2, 3),
    (-7, "/", 2, -3),
    (7, "/", -2, -3),
    (7, "/", 2.0, 3.5),
    (-7, "%", 3, -1),
    (7, "%", -3, 1),
    (7.5, "%", 2, 1.5),
    (1, "+", 2, 3),
    (1, "+", big(2), 3),
    (1, "-", 2.5, -1.5),
    (3, "*", big(2**40), 3 * 2**40),
    (1.0, "/", 0, INF),
    (-1.0, "/", 0.0, -INF),
    (0.0, "/", 0.0, NAN),
    (1.0, "%", 0.0, NAN),
    (None, "+", 1, None),
    (1, "/", None, None),
    (None, "*", None, None),
    (interval("1d"), "-", interval("90m"), interval("22.5h").value),
    (interval("18month"), "+", interval("1year"), 30),
    (interval("1h"), "*", 3, interval("3h").value),
    (2, "*", interval("1h"), interval("2h").value),
    (interval("1h"), "*", 1.5, interval("90m").value),
    (interval("1h"), "/", 2, interval("30m").value),
    (interval("1y"), "/", 5, 2),
    (interval("1h"), "*", None, None),
    (ts("2024-03-01 00:00"), "-", interval("90m"), ts("2024-02-29 22:30").value),
    (ts("2024-01-31 10:00"), "+", interval("1month"), ts("2024-02-29 10:00").value),
    (ts("2024-03-31"), "-", interval("1month"), ts("2024-02-29").value),
    (interval("1month"), "+", ts("2024-01-31"), ts("2024-02-29").value),
    (interval("1d"), "+", date("2024-01-30"), date("2024-01-31").value),
    (date("2024-01-30"), "+", interval("2d"), date("2024-02-01").value),
    (date("2024-03-01"), "-", interval("1d"), date("2024-02-29").value),
    (date("2024-01-31"), "+", interval("1month"), date("2024-02-29").value),
    (time("23:30"), "+", interval("1h"), time("00:30").value),
    (time("00:30"), "-", interval("25h"), time("23:30").value),
    (ts("2024-01-01"), "+", None, None),
    (None, "-", interval("1h"), None),
    ("a", "||", "b", "ab"),
    ("a", "||", None, None),
    ([1], "||", [2, 3], [1, 2, 3]),
    ([1], "||", 2.5, [1.0, 2.5]),
    (0, "||", [1], [0, 1]),
    ([1], "||", None, [1, None]),
    ([1], "||", Value(None, Array(Scalar.INTEGER)), None),
]


@pytest.mark.parametrize("case", ARITHMETIC, ids=lambda c: f"{c[0]} {c[1]} {c[2]}"[:80])
def test_arithmetic(case: tuple[Any, str, Any, Any]) -> None:
    left, operator, right, expected = case
    found = binary(operator, left, right)
    assert same(found, expected), found


FAULTS: list[tuple[Any, str, Any, str]] = [
    (1, "/", 0, "Division by zero"),
    (1, "%", 0, "Division by zero"),
    (2**31 - 1, "+", 1, "integer addition overflow: 2147483647 + 1"),
    (-(2**31), "-", 1, "integer subtraction overflow: -2147483648 - 1"),
    (100_000, "*", 100_000, "integer multiplication overflow: 100000 * 100000"),
    (big(2**63 - 1), "+", 1, "bigint addition overflow: 9223372036854775807 + 1"),
    (-(2**31), "/", -1, "integer division overflow: -2147483648 / -1"),
    (big(-(2**63)), "/", -1, "bigint division overflow: -9223372036854775808 / -1"),
]


@pytest.mark.parametrize("columns", [False, True], ids=["constants", "columns"])
@pytest.mark.parametrize("case", FAULTS, ids=lambda c: f"{c[0]} {c[1]} {c[2]}"[:80])
def test_fault_of_a_run(case: tuple[Any, str, Any, str], columns: bool) -> None:
    left, operator, right, message = case
    with pytest.raises(QueryFailed) as fault:
        evaluate(lambda t, c: operators.binary(operator, t, c), (left, right), columns=columns)
    assert fault.value.message == message


REFUSED: list[tuple[str, Any, Any, str]] = [
    ("=", "a", big(1), "'=' cannot be applied to varchar, bigint"),
    ("+", "a", 1, "'+' cannot be applied to varchar, integer"),
    ("-", ts("2024-01-01"), ts("2024-01-01"), "'-' cannot be applied to timestamp, timestamp"),
    ("-", interval("1d"), date("2024-01-01"), "'-' cannot be applied to interval day to second, date"),
    ("+", interval("1d"), interval("1y"), "'+' cannot be applied to interval day to second, interval year to month"),
    ("/", 1, interval("1d"), "'/' cannot be applied to integer, interval day to second"),
    ("+", time("01:00"), interval("1y"), "'+' cannot be applied to time, interval year to month"),
    ("||", "a", 1, "'||' cannot be applied to varchar, integer"),
    ("<", series((0, 1.0)), series((0, 1.0)), "'<' cannot be applied to timeseries(double), timeseries(double)"),
    ("+", date("2024-01-01"), interval("1h"), "Cannot add hour, minutes or seconds to a date"),
    ("+", True, True, "'+' cannot be applied to boolean, boolean"),
    ("=", ts("2024-01-01"), "soon", "Value cannot be cast to timestamp: soon"),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda c: f"{c[1]} {c[0]} {c[2]}"[:80])
def test_refused(case: tuple[str, Any, Any, str]) -> None:
    operator, left, right, message = case
    operands = [value_of(left), value_of(right)]
    with pytest.raises(Invalid) as fault:
        operators.binary(operator, [o.type for o in operands], [Constant(o.value) for o in operands])
    assert fault.value.message == message


def test_hours_cannot_be_added_to_a_date_even_in_columns() -> None:
    with pytest.raises(QueryFailed, match="Cannot add hour, minutes or seconds to a date"):
        evaluate(lambda t, c: operators.binary("+", t, c), (date("2024-01-01"), interval("1h")), columns=True)


def test_instants_outside_their_range_are_faults() -> None:
    for columns in (False, True):
        with pytest.raises(QueryFailed, match="Timestamp is out of range"):
            evaluate(
                lambda t, c: operators.binary("+", t, c),
                (ts("2262-04-11 23:47:16.854775807"), interval("1ns")),
                columns=columns,
            )


# ------------------------------------------------------------------------------------------- comparison

DOUBLES = st.sampled_from([NAN, INF, -INF, 0.0, -0.0, 1.5, -1.5, None])
PYTHON = {
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def as_double(value: float | None) -> Value:
    return Value(value, Scalar.DOUBLE)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(PYTHON)), DOUBLES, DOUBLES, st.booleans(), st.booleans())
def test_doubles_compare_as_ieee_754(
    symbol: str, left: float | None, right: float | None, is_left_known: bool, is_right_known: bool
) -> None:
    """Whichever side is a constant, NaN equals nothing and has no order, and NULL gives NULL."""
    known = [Constant(v) if k else None for v, k in ((left, is_left_known), (right, is_right_known))]
    resolved = operators.binary(symbol, [Scalar.DOUBLE] * 2, known)
    expected = None if left is None or right is None else PYTHON[symbol](left, right)
    values = ", ".join("NULL" if v is None else f"'{v}'" for v in (left, right))
    source = f"(SELECT a::DOUBLE AS a, b::DOUBLE AS b FROM (VALUES ({values})) t(a, b))"
    assert run(f"SELECT {resolved.lower(['a', 'b'])} FROM {source}") == [expected]
    assert resolved.constant is None or resolved.constant.value == expected


@settings(max_examples=100, deadline=None)
@given(DOUBLES, DOUBLES, DOUBLES, st.booleans())
def test_between_and_in_of_doubles(x: float | None, low: float | None, high: float | None, columns: bool) -> None:
    operands = [as_double(v) for v in (x, low, high)]
    at_least = None if x is None or low is None else x >= low
    at_most = None if x is None or high is None else x <= high
    expected = None if None in (at_least, at_most) else at_least and at_most
    assert evaluate(operators.between, operands, columns=columns)[0] is expected
    equal = [None if x is None or v is None else x == v for v in (low, high)]
    is_in = True if True in equal else None if None in equal else False
    assert evaluate(operators.in_list, operands, columns=columns)[0] is is_in


def test_constants_on_one_side_leave_the_comparison_plain() -> None:
    """So that the engine can use it to skip row groups."""

    def text(symbol: str, constant: float) -> str:
        known = [None, Constant(constant)]
        return operators.binary(symbol, [Scalar.DOUBLE] * 2, known).lower(["x", "1.5e0"])

    assert text("=", 1.5) == "(x = 1.5e0)"
    assert text("<", 1.5) == "(x < 1.5e0)"
    assert text(">", 1.5) == "(x > 1.5e0 AND x <= 'Infinity'::DOUBLE)"
    assert "IS NULL" in text("=", NAN)
    assert operators.binary("<", [Scalar.BIGINT] * 2, [None, None]).lower(["x", "y"]) == "(x < y)"


def test_comparison_of_other_types() -> None:
    assert binary("=", 1, 1.0) is True
    assert binary("<", "a", "b") is True
    assert binary("!=", "a", "b") is True
    assert binary(">", ts("2024-01-01 00:00:01"), date("2024-01-01")) is True
    assert binary("=", ts("2024-01-01"), "2024-01-01") is True
    assert binary("<=", interval("1d"), interval("24h")) is True
    assert binary("=", None, 1) is None
    assert binary("=", True, False) is False
    assert apply(operators.between, ts("2023-10-01"), "2023-09-19", "2023-11-01") is True
    assert apply(operators.between, 2, 1, None) is None
    assert apply(operators.between, 0, 1, None) is None
    assert apply(operators.in_list, 2, 1, None) is None
    assert apply(operators.in_list, 1, 1, None) is True
    assert apply(operators.in_list, "a", "b", "a") is True
    assert apply(operators.in_list, date("2024-01-01"), "2024-01-01") is True
    with pytest.raises(Invalid, match="IN value and list items must be the same type: varchar, integer"):
        operators.in_list([Scalar.VARCHAR, Scalar.INTEGER], [None, None])
    with pytest.raises(Invalid, match="Cannot check if varchar is BETWEEN integer and integer"):
        operators.between([Scalar.VARCHAR, Scalar.INTEGER, Scalar.INTEGER], [None] * 3)


def test_arrays_and_rows_compare_with_three_values() -> None:
    assert binary("=", [1, 2], [1, 2]) is True
    assert binary("=", [1, 2], [1]) is False
    assert binary("=", [1, None], [1, None]) is None
    assert binary("=", [1, None], [2, 3]) is False
    assert binary("<>", [1, None], [2, 3]) is True
    assert binary("<>", [], []) is False
    assert binary("=", [NAN], [NAN]) is False
    assert binary("<", [1, 2], [1, 3]) is True
    assert binary("=", [1], None) is None
    with pytest.raises(QueryFailed, match="ARRAY comparison not supported for arrays with null elements"):
        binary("<", [1, None], [1, 2])
    pair = Row((Field(None, Scalar.INTEGER), Field(None, Scalar.VARCHAR)))
    one, other, part = (Value(v, pair) for v in ([1, "a"], [1, "b"], [1, None]))
    assert binary("=", one, one) is True
    assert binary("=", one, part) is None
    assert binary("<>", one, other) is True
    assert binary("<", one, other) is True
    assert binary(">=", one, other) is False
    assert binary("<", one, part) is None


def test_is_distinct_from() -> None:
    def distinct(left: Any, right: Any) -> Any:
        return apply(operators.is_distinct, left, right)

    assert distinct(None, None) is False
    assert distinct(1, None) is True
    assert distinct(1, 1.0) is False
    assert distinct(NAN, NAN) is False


# ----------------------------------------------------------------------------------- logic, text, places


@pytest.mark.parametrize(
    ("left", "right", "both", "either"),
    [
        (False, None, False, None),
        (None, True, None, True),
        (None, None, None, None),
        (True, False, False, True),
    ],
)
def test_logic_is_three_valued(left: Any, right: Any, both: Any, either: Any) -> None:
    kinds = [Value(v, Scalar.BOOLEAN) for v in (left, right)]
    assert apply(lambda t, c: operators.logical("and", t), *kinds) is both
    assert apply(lambda t, c: operators.logical("or", t), *kinds) is either
    assert apply(lambda t, c: operators.logical("not", t), kinds[0]) is (None if left is None else not left)


def test_logic_wants_booleans() -> None:
    with pytest.raises(Invalid) as fault:
        operators.logical("and", [Scalar.BOOLEAN, Scalar.INTERVAL_DAY_TO_SECOND])
    assert fault.value.message == (
        "Right side of logical expression must evaluate to a boolean (actual: interval day to second): "
    )


def test_like() -> None:
    def like(*operands: Any) -> Any:
        return apply(operators.like, *operands)

    assert like("web-01", "web-%") is True
    assert like("web-01", "WEB%") is False
    assert like("ab", "_") is False
    assert like("a\nb", "a%b") is True
    assert like("50%", "50!%", "!") is True
    assert like("50x", "50!%", "!") is False
    assert like(null(Scalar.VARCHAR), "a") is None
    for operands, message in (
        (("a", "b", "!!"), "Escape string must be a single character"),
        ((1, "b"), "LIKE cannot be applied to integer, varchar"),
    ):
        with pytest.raises(Invalid, match=message):
            like(*operands)
    with pytest.raises(QueryFailed, match="Escape character must be followed by"):
        like("a", "b!", "!")


def test_subscript() -> None:
    def at(*operands: Any) -> Any:
        return apply(lambda t, _: operators.subscript(t), *operands)

    assert at(["a", "b"], 1) == "a"
    assert at([1, None], 2) is None
    assert at(Value(None, Array(Scalar.BIGINT)), 5) is None
    for index, message in (
        (5, "Array subscript must be less than or equal to array length: 5 > 3"),
        (0, "SQL array indices start at 1"),
        (-1, "Array subscript is negative: -1"),
    ):
        with pytest.raises(QueryFailed) as fault:
            at([1, 2, 3], index)
        assert fault.value.message == message
    with pytest.raises(Invalid, match=r"'\[\]' cannot be applied to varchar, integer"):
        operators.subscript([Scalar.VARCHAR, Scalar.INTEGER])


def test_field_of_a_row() -> None:
    kind = Row((Field("a", Scalar.INTEGER), Field(None, Scalar.VARCHAR)))
    assert apply(lambda t, _: operators.field(t[0], 1), Value([1, "x"], kind)) == "x"


def test_negation() -> None:
    def negated(operand: Any) -> Any:
        return apply(lambda t, c: operators.negate(t[0], c[0]), operand)

    assert negated(5) == -5
    assert negated(big(-5)) == 5
    assert same(negated(0.0), -0.0)
    assert negated(interval("1h")) == -interval("1h").value
    assert negated(null(Scalar.BIGINT)) is None
    with pytest.raises(QueryFailed, match="integer subtraction overflow"):
        negated(-(2**31))
    with pytest.raises(Invalid, match="'-' cannot be applied to varchar"):
        operators.negate(Scalar.VARCHAR, None)
