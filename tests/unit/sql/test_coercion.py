"""Conversions, literals and casts: sql.md 1.1, 2.4, 6.3; engine and folding held together."""

from __future__ import annotations

import math
from typing import Any

import pytest
from evaluation import ENGINE, big, date, interval, null, run, same, text_of, time, ts, value_of
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headwater.errors import Invalid, QueryFailed
from headwater.model.types import Array, Field, Row, Scalar, SqlType, Timeseries
from headwater.sql.coercion import (
    LONG_TEXT_CHARACTERS,
    coercion_cost,
    common_type,
    common_type_of,
    convert,
    engine_type,
    fold_cast,
    literal,
    lower_cast,
    use_once,
)
from headwater.sql.constant import Constant
from headwater.sql.texts import parse_date, parse_duration, parse_interval, parse_timestamp

BOOLEAN, INTEGER, BIGINT, DOUBLE, VARCHAR = (
    Scalar.BOOLEAN,
    Scalar.INTEGER,
    Scalar.BIGINT,
    Scalar.DOUBLE,
    Scalar.VARCHAR,
)
TIMESTAMP, DATE, TIME, UNKNOWN = Scalar.TIMESTAMP, Scalar.DATE, Scalar.TIME, Scalar.UNKNOWN
T = "2024-03-09 07:08:09.123456789"


def row(*types: SqlType, names: tuple[str | None, ...] = ()) -> Row:
    return Row(tuple(Field(name, kind) for name, kind in zip(names or (None,) * len(types), types, strict=True)))


# ----------------------------------------------------------------------------------------------- types


def test_common_types() -> None:
    assert common_type(INTEGER, BIGINT) is BIGINT
    assert common_type(DOUBLE, INTEGER) is DOUBLE
    assert common_type(UNKNOWN, VARCHAR) is VARCHAR
    assert common_type(DATE, TIMESTAMP) is TIMESTAMP
    assert common_type(BIGINT, VARCHAR) is None
    assert common_type(TIME, TIMESTAMP) is None
    assert common_type(Array(INTEGER), Array(UNKNOWN)) == Array(INTEGER)
    assert common_type(Timeseries(INTEGER), Timeseries(DOUBLE)) == Timeseries(DOUBLE)
    assert common_type(row(INTEGER, VARCHAR), row(DOUBLE, UNKNOWN, names=("a", None))) == row(
        DOUBLE, VARCHAR, names=("a", None)
    )
    assert common_type(row(INTEGER), row(INTEGER, INTEGER)) is None


def test_a_literal_stands_for_a_time_among_times() -> None:
    literal_, column = Constant("2024-01-01"), None
    assert common_type_of([VARCHAR, TIMESTAMP], [literal_, None]) is TIMESTAMP
    assert common_type_of([TIMESTAMP, VARCHAR, DATE], [None, literal_, None]) is TIMESTAMP
    assert common_type_of([VARCHAR, TIMESTAMP], [column, None]) is None
    assert common_type_of([], []) is UNKNOWN
    assert coercion_cost(VARCHAR, TIMESTAMP) is None
    assert coercion_cost(VARCHAR, BIGINT, is_literal=True) is None


def test_implicit_conversions_on_the_engine() -> None:
    for given_, target, expected in (
        (5, BIGINT, 5),
        (5, DOUBLE, 5.0),
        (date("2024-03-09"), TIMESTAMP, ts("2024-03-09").value),
        (None, Array(DOUBLE), None),
        ([1, None], Array(DOUBLE), [1.0, None]),
        ([date("1970-01-02"), None], Array(TIMESTAMP), [86_400 * 10**9, None]),
    ):
        value = value_of(given_)
        lowered = convert(text_of(value), value.type, target)
        assert same(run(f"SELECT {lowered}")[0], expected)
        assert run(f"SELECT typeof({lowered})") == [engine_type(target)]
    days = convert("x", row(DATE, INTEGER), row(TIMESTAMP, DOUBLE))
    source = "(VALUES ({'f0': 1::INTEGER, 'f1': 2::INTEGER}), (NULL)) t(x)"
    assert run(f"SELECT {days} FROM {source}") == [{"f0": 86_400 * 10**9, "f1": 2.0}, None]
    points = convert("x", Timeseries(INTEGER), Timeseries(DOUBLE))
    assert run(f"SELECT {points} FROM (SELECT [{{'t': 1::BIGINT, 'v': 2::INTEGER}}] AS x)") == [[{"t": 1, "v": 2.0}]]


# -------------------------------------------------------------------------------------------- literals


@settings(max_examples=150, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=12))
@example("it's \0 'null'")
@example("\0")
def test_texts_survive_quoting(text: str) -> None:
    assert run(f"SELECT {literal(text, VARCHAR)}") == [text]


@settings(max_examples=150, deadline=None)
@given(st.floats())
@example(-0.0)
@example(5e-324)
@example(1.7976931348623157e308)
def test_doubles_survive_being_literals(number: float) -> None:
    assert same(run(f"SELECT {literal(number, DOUBLE)}")[0], number)


@pytest.mark.parametrize("number", [0, 7, -7, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63)])
def test_integers_survive_being_literals(number: int) -> None:
    kind = INTEGER if -(2**31) <= number < 2**31 else BIGINT
    text = literal(number, kind)
    assert run(f"SELECT {text}") == [number]
    assert run(f"SELECT typeof({text})") == [engine_type(kind)]


def test_nested_literals() -> None:
    kind = Array(row(INTEGER, VARCHAR))
    text = literal([[1, "a"], [None, None]], kind)
    assert run(f"SELECT {text}") == [[{"f0": 1, "f1": "a"}, {"f0": None, "f1": None}]]
    assert run(f"SELECT typeof({text})") == [engine_type(kind)]
    assert run(f"SELECT {literal([], Array(DOUBLE))}") == [[]]
    assert run(f"SELECT typeof({literal(None, kind)})") == [engine_type(kind)]


# ----------------------------------------------------------------------------------------------- casts

CASTS: list[tuple[Any, SqlType, Any]] = [
    ("12", BIGINT, 12),
    ("-12", INTEGER, -12),
    ("+5", BIGINT, 5),
    ("1.5", DOUBLE, 1.5),
    ("1e3", DOUBLE, 1000.0),
    (".5", DOUBLE, 0.5),
    ("-Infinity", DOUBLE, -math.inf),
    ("NaN", DOUBLE, math.nan),
    (2.5, BIGINT, 3),
    (-2.5, BIGINT, -3),
    (2.4, INTEGER, 2),
    (big(7), INTEGER, 7),
    (True, BIGINT, 1),
    (False, DOUBLE, 0.0),
    (0, BOOLEAN, False),
    (0.5, BOOLEAN, True),
    ("TRUE", BOOLEAN, True),
    ("f", BOOLEAN, False),
    ("1", BOOLEAN, True),
    (True, VARCHAR, "true"),
    (7, VARCHAR, "7"),
    (1e22, VARCHAR, "1.0E22"),
    (12345678.9, VARCHAR, "1.23456789E7"),
    (0.00012, VARCHAR, "1.2E-4"),
    (-0.0, VARCHAR, "-0.0"),
    (math.nan, VARCHAR, "NaN"),
    (-math.inf, VARCHAR, "-Infinity"),
    (100.0, VARCHAR, "100.0"),
    (ts(T), VARCHAR, T),
    (ts("1969-12-31 23:59:59.999999999"), VARCHAR, "1969-12-31 23:59:59.999999999"),
    (date("2024-02-29"), VARCHAR, "2024-02-29"),
    (time("01:00"), VARCHAR, "01:00:00.000000000"),
    (interval("36h"), VARCHAR, "1 12:00:00.000000000"),
    (interval("15month"), VARCHAR, "1-3"),
    ("2024-02-29", TIMESTAMP, ts("2024-02-29").value),
    ("2024-02-29 10:15", TIMESTAMP, ts("2024-02-29 10:15").value),
    (T, TIMESTAMP, ts(T).value),
    ("2024-02-29", DATE, date("2024-02-29").value),
    ("10:15:01.5", TIME, time("10:15:01.5").value),
    (ts(T), DATE, date("2024-03-09").value),
    (ts("1969-12-31 23:00"), DATE, -1),
    (ts(T), TIME, time("07:08:09.123456789").value),
    (date("2024-03-09"), TIMESTAMP, ts("2024-03-09").value),
    (None, DOUBLE, None),
    (["1", None], Array(BIGINT), [1, None]),
    ([1.5, 2.5], Array(VARCHAR), ["1.5", "2.5"]),
]

FAILING_CASTS: list[tuple[Any, SqlType, str]] = [
    ("abc", DOUBLE, "Cannot cast 'abc' to DOUBLE"),
    ("1_000", DOUBLE, "Cannot cast '1_000' to DOUBLE"),
    ("abc", BIGINT, "Cannot cast 'abc' to BIGINT"),
    ("1.5", BIGINT, "Cannot cast '1.5' to BIGINT"),
    (" 12", BIGINT, "Cannot cast ' 12' to BIGINT"),
    ("", INTEGER, "Cannot cast '' to INTEGER"),
    ("9223372036854775808", BIGINT, "Cannot cast '9223372036854775808' to BIGINT"),
    ("yes", BOOLEAN, "Cannot cast 'yes' to BOOLEAN"),
    (math.nan, BIGINT, "Cannot cast 'NaN' to BIGINT"),
    (1e30, BIGINT, "Cannot cast '1.0E30' to BIGINT"),
    (9.223372036854775807e18, BIGINT, "Cannot cast '9.223372036854776E18' to BIGINT"),
    (big(2**31), INTEGER, "Cannot cast '2147483648' to INTEGER"),
    ("abc", TIMESTAMP, "Value cannot be cast to timestamp: abc"),
    ("2024-03-09T10:00:00", TIMESTAMP, "Value cannot be cast to timestamp: 2024-03-09T10:00:00"),
    ("2024-02-30", DATE, "Value cannot be cast to date: 2024-02-30"),
    ("25:00", TIME, "Value cannot be cast to time: 25:00"),
    (["1", "x"], Array(BIGINT), "Cannot cast 'x' to BIGINT"),
]


def cast(given_: Any, target: SqlType, *, safe: bool, column: bool) -> Any:
    value = value_of(given_)
    lowered = lower_cast("c" if column else text_of(value), value.type, target, safe)
    sql = f"SELECT {lowered}, typeof({lowered}) FROM (SELECT {text_of(value)} AS c)"
    table = ENGINE.run(sql, {}, timeout_s=20)
    assert table.column(1).to_pylist() == [engine_type(target)]
    return table.column(0).to_pylist()[0]


@pytest.mark.parametrize("column", [False, True], ids=["constant", "column"])
@pytest.mark.parametrize("case", CASTS, ids=lambda c: f"{c[0]} as {c[1]}"[:60])
def test_cast(case: tuple[Any, SqlType, Any], column: bool) -> None:
    given_, target, expected = case
    assert same(cast(given_, target, safe=False, column=column), expected)
    assert same(cast(given_, target, safe=True, column=column), expected)
    value = value_of(given_)
    folded = fold_cast(Constant(value.value), value.type, target)
    assert folded is None or same(folded.value, expected)


@pytest.mark.parametrize("column", [False, True], ids=["constant", "column"])
@pytest.mark.parametrize("case", FAILING_CASTS, ids=lambda c: f"{c[0]} as {c[1]}"[:60])
def test_failing_cast(case: tuple[Any, SqlType, str], column: bool) -> None:
    given_, target, message = case
    with pytest.raises(QueryFailed) as fault:
        cast(given_, target, safe=False, column=column)
    assert fault.value.message == message
    safe = cast(given_, target, safe=True, column=column)
    assert safe is None or safe == [1, None]
    if not isinstance(target, Array):
        lowered = lower_cast("c", value_of(given_).type, target, safe=False)
        assert run(f"SELECT TRY({lowered}) FROM (SELECT {text_of(value_of(given_))} AS c)") == [None]


def test_null_of_every_type_casts_to_null() -> None:
    for source in Scalar:
        for target in (BOOLEAN, BIGINT, DOUBLE, VARCHAR, TIMESTAMP, DATE, TIME):
            try:
                lowered = lower_cast("c", source, target, safe=False)
            except Invalid:
                continue
            assert run(f"SELECT {lowered} FROM (SELECT {literal(None, source)} AS c)") == [None]
    assert cast(null(VARCHAR), DOUBLE, safe=False, column=True) is None


def test_cast_of_rows_gives_fields_their_types() -> None:
    lowered = lower_cast("c", row(INTEGER, INTEGER), row(BIGINT, VARCHAR, names=("hits", "total")), safe=False)
    assert run(f"SELECT {lowered} FROM (SELECT {literal([0, 1], row(INTEGER, INTEGER))} AS c)") == [
        {"f0": 0, "f1": "1"}
    ]


def test_meaningless_casts_are_refused() -> None:
    for source, target in ((TIMESTAMP, BIGINT), (BOOLEAN, TIMESTAMP), (Array(INTEGER), VARCHAR), (TIME, DATE)):
        with pytest.raises(Invalid, match=r"Cannot cast .* to .*"):
            lower_cast("c", source, target, safe=True)


# ----------------------------------------------------------------------------------------------- texts

DOUBLES = st.one_of(st.floats(), st.floats(1e-4, 1e8), st.integers(-(2**53), 2**53).map(float))


def test_the_smallest_doubles_have_two_digits_as_javas_have() -> None:
    numbers = {5e-324: "4.9E-324", -5e-324: "-4.9E-324", 1e-323: "9.9E-324", 2e-323: "2.0E-323", 1e23: "1.0E23"}
    rows = ", ".join(f"({literal(number, DOUBLE)})" for number in numbers)
    assert run(f"SELECT hw_double_text(x) FROM (VALUES {rows}) t(x)") == [*numbers.values()]


@settings(max_examples=300, deadline=None)
@given(st.lists(DOUBLES, min_size=1, max_size=8))
def test_text_of_a_double_is_javas_and_reads_back(numbers: list[float]) -> None:
    rows = ", ".join(f"({literal(number, DOUBLE)})" for number in numbers)
    for number, text in zip(numbers, run(f"SELECT hw_double_text(x) FROM (VALUES {rows}) t(x)"), strict=True):
        if not math.isfinite(number):
            continue
        assert same(float(text), number)
        mantissa, _, exponent = text.partition("E")
        assert "." in mantissa
        assert bool(exponent) == (number != 0 and not 1e-3 <= abs(number) < 1e7)
        if exponent:
            assert 1 <= abs(float(mantissa)) < 10
        digits = mantissa.replace(".", "").lstrip("-0").rstrip("0")
        assert len(digits) <= len(f"{abs(number):.17g}".partition("e")[0].replace(".", "").lstrip("0").rstrip("0"))


SIXTY = "[0-6]?[0-9]"
TIMES = st.one_of(
    st.integers(-(2**63), 2**63 - 1).map(lambda t: run(f"SELECT hw_timestamp_text({literal(t, BIGINT)})")[0]),
    st.from_regex(
        r"\A[0-2][0-9]{3}-[01]?[0-9]-[0-3]?[0-9]( [0-2]?[0-9]:[0-6]?[0-9](:[0-6]?[0-9](\.[0-9]{1,10})?)?"
        r"( ?(Z|UTC|[+-][0-9]{1,3}(:?[0-9]{1,2})?))?)?\Z"
    ),
    st.text(max_size=6),
)


@settings(max_examples=200, deadline=None)
@given(TIMES)
@example("2024-02-30")
@example("0000-01-01")
@example("1677-09-21 00:12:43.145224192")
@example("1677-09-21 00:12:43.145224191")
@example("2262-04-11 23:47:16.854775808")
def test_engine_reads_times_as_folding_does(text: str) -> None:
    def read(parse: Any) -> int | None:
        try:
            return int(parse(text))
        except Invalid:
            return None

    sql = "SELECT hw_{}_from_text({})"
    assert run(sql.format("timestamp", literal(text, VARCHAR))) == [read(parse_timestamp)]
    assert run(sql.format("date", literal(text, VARCHAR))) == [read(parse_date)]


def test_durations_and_intervals() -> None:
    day_ns = 86_400 * 10**9
    assert parse_duration("1d") == (day_ns, Scalar.INTERVAL_DAY_TO_SECOND)
    assert parse_duration("50ns") == (50, Scalar.INTERVAL_DAY_TO_SECOND)
    assert parse_duration("8month") == (8, Scalar.INTERVAL_YEAR_TO_MONTH)
    assert parse_duration("1.5y") == (18, Scalar.INTERVAL_YEAR_TO_MONTH)
    assert parse_interval("2", "DAY") == (2 * day_ns, Scalar.INTERVAL_DAY_TO_SECOND)
    assert parse_interval("1.5", "second") == (1_500_000_000, Scalar.INTERVAL_DAY_TO_SECOND)
    assert parse_interval("2 03:04:05", "DAY", "SECOND")[0] == 2 * day_ns + 11_045 * 10**9
    assert parse_interval("3-2", "YEAR", "MONTH") == (38, Scalar.INTERVAL_YEAR_TO_MONTH)
    assert parse_interval("-1", "WEEK", sign=-1)[0] == 7 * day_ns
    for bad in ("5hours", "5 quarters", "m", "1e3s", "99999999999999d"):
        with pytest.raises(Invalid):
            parse_duration(bad)
    for bad_text, unit, to in (("1.5", "DAY", None), ("x", "DAY", None), ("1", "DAY", "SECOND"), ("1", "EON", None)):
        with pytest.raises(Invalid, match="Invalid INTERVAL literal"):
            parse_interval(bad_text, unit, to)


def test_nested_calls_do_not_grow_a_statement_exponentially() -> None:
    text = "x"
    for _ in range(60):
        text = use_once("CASE WHEN {0} > 1 THEN {0} - 1 ELSE {0} END", [text])
    assert len(text) < 60 * (LONG_TEXT_CHARACTERS + 300)
    assert run(f"SELECT {text} FROM (SELECT 100 AS x)") == [40]
