"""What the dialect's grammar takes, what tree it makes of it, and where it says no."""

from __future__ import annotations

import re
import sys
import time
from bisect import bisect_left
from contextlib import suppress
from pathlib import Path

import pytest

from headwater.errors import Invalid
from headwater.model.limits import Limits
from headwater.sql import tree as t
from headwater.sql.parser import parse

LIMITS = Limits()
_SCRIPT = Path(__file__).with_name("worked_examples.sql").read_text()
WORKED_EXAMPLES = [statement + ";" for statement in re.split(r";$", _SCRIPT, flags=re.MULTILINE)[:-1]]


def inner(text: str) -> t.Query:
    """A query that is no statement by itself."""
    (table,) = query(f"WITH a AS ({text}) SELECT 1").with_tables
    return table.query


def query(text: str) -> t.Query:
    statement = parse(text, LIMITS)
    assert isinstance(statement, t.Query)
    return statement


def select(text: str) -> t.Select:
    body = query(text).body
    assert isinstance(body, t.Select)
    return body


def expression(text: str) -> t.Expression:
    (item,) = select(f"SELECT {text} AS x").items
    assert isinstance(item, t.SelectItem)
    return item.expression


def from_item(text: str) -> t.Relation:
    (relation,) = select(f"SELECT * FROM {text}").from_items
    return relation


def at(node: t.Node) -> tuple[int, int]:
    return node.line, node.column


def name(text: str) -> t.Identifier:
    return t.Identifier(0, 0, text)


def number(value: int) -> t.IntegerLiteral:
    return t.IntegerLiteral(0, 0, value)


def string(value: str) -> t.StringLiteral:
    return t.StringLiteral(0, 0, value)


def arithmetic(operator: str, left: t.Expression, right: t.Expression) -> t.Arithmetic:
    return t.Arithmetic(0, 0, operator, left, right)


def compared(operator: str, left: t.Expression, right: t.Expression) -> t.Comparison:
    return t.Comparison(0, 0, operator, left, right)


def one() -> t.Query:
    """The query `SELECT 1`."""
    return query("SELECT 1")


A, B, C, D = map(name, "abcd")


# Statements


def test_there_are_39_worked_examples() -> None:
    assert len(WORKED_EXAMPLES) == 39


@pytest.mark.parametrize("text", WORKED_EXAMPLES)
def test_every_worked_example_parses(text: str) -> None:
    parse(text, LIMITS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SHOW DATABASES", t.ShowDatabases(0, 0, None)),
        ("show databases like 'a%'", t.ShowDatabases(0, 0, "a%")),
        ("SHOW TABLES", t.ShowTables(0, 0, None, None)),
        ('SHOW TABLES FROM "net-example"', t.ShowTables(0, 0, name("net-example"), None)),
        ("SHOW TABLES FROM d LIKE 'x_'", t.ShowTables(0, 0, name("d"), "x_")),
        ("SHOW TABLES LIKE 'x_';", t.ShowTables(0, 0, None, "x_")),
        ("SHOW MEASURES FROM d.\"t\" LIKE 'm'", t.ShowMeasures(0, 0, t.Table(0, 0, "d", "t"), "m")),
        ('DESCRIBE "sampleDB".DevOps', t.Describe(0, 0, t.Table(0, 0, "sampleDB", "DevOps"))),
    ],
)
def test_statements_about_the_catalog(text: str, expected: t.Statement) -> None:
    assert parse(text, LIMITS) == expected


def test_unload_has_a_query_a_target_and_options() -> None:
    text = "UNLOAD (SELECT 1) TO 's3://b/f' WITH (Partitioned_By = ARRAY['a'], format='csv')"
    options = (
        t.UnloadOption(0, 0, "partitioned_by", t.ArrayConstructor(0, 0, (string("a"),))),
        t.UnloadOption(0, 0, "format", string("csv")),
    )
    assert parse(text, LIMITS) == t.Unload(0, 0, one(), string("s3://b/f"), options)
    assert parse("UNLOAD (SELECT 1) TO 's3://b'", LIMITS) == t.Unload(0, 0, one(), string("s3://b"), ())


def test_parentheses_that_add_nothing_are_not_kept() -> None:
    assert parse("((SELECT 1))", LIMITS) == one()
    assert query("((SELECT 1)) UNION SELECT 2") == query("(SELECT 1) UNION SELECT 2")
    assert isinstance(query("(SELECT 1 LIMIT 2) LIMIT 1").body, t.Query)


def test_one_semicolon_may_end_a_statement() -> None:
    assert parse("SELECT 1 ; -- done\n", LIMITS) == one()


# Literals


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("42", number(42)),
        ("007", number(7)),
        ("9223372036854775807", number(2**63 - 1)),
        ("-9223372036854775808", number(-(2**63))),
        ("- 7", number(-7)),
        ("1.5", t.DoubleLiteral(0, 0, 1.5)),
        (".5", t.DoubleLiteral(0, 0, 0.5)),
        ("5.", t.DoubleLiteral(0, 0, 5.0)),
        ("1e9", t.DoubleLiteral(0, 0, 1e9)),
        ("1.5E-3", t.DoubleLiteral(0, 0, 0.0015)),
        ("1e999", t.DoubleLiteral(0, 0, float("inf"))),
        ("-1.5", t.Unary(0, 0, "-", t.DoubleLiteral(0, 0, 1.5))),
        ("'it''s'", string("it's")),
        ("'-- \\d+'", string("-- \\d+")),
        ("U&'\\03A9\\+01F600\\\\''x'", string("Ω\U0001f600\\'x")),
        ("U&'!03A9!!\\' UESCAPE '!'", string("Ω!\\")),
        ("TRUE", t.BooleanLiteral(0, 0, True)),
        ("false", t.BooleanLiteral(0, 0, False)),
        ("NULL", t.NullLiteral(0, 0)),
        ("INTEGER '3'", t.TypedLiteral(0, 0, "integer", "3")),
        ("BIGINT '10'", t.TypedLiteral(0, 0, "bigint", "10")),
        ("DOUBLE '0.0'", t.TypedLiteral(0, 0, "double", "0.0")),
        ("DOUBLE PRECISION '0.0'", t.TypedLiteral(0, 0, "double", "0.0")),
        ("DATE '2024-02-29'", t.TypedLiteral(0, 0, "date", "2024-02-29")),
        ("TIME '01:00'", t.TypedLiteral(0, 0, "time", "01:00")),
        ("TIMESTAMP '2024-02-29 10:15'", t.TypedLiteral(0, 0, "timestamp", "2024-02-29 10:15")),
        ("INTERVAL '2' DAY", t.IntervalLiteral(0, 0, False, "2", "day", None)),
        ("interval '1' day", t.IntervalLiteral(0, 0, False, "1", "day", None)),
        ("INTERVAL -'1' WEEK", t.IntervalLiteral(0, 0, True, "1", "week", None)),
        ("INTERVAL +'1' year", t.IntervalLiteral(0, 0, False, "1", "year", None)),
        ("INTERVAL '2 03:04:05' DAY TO SECOND", t.IntervalLiteral(0, 0, False, "2 03:04:05", "day", "second")),
        ("INTERVAL '3-2' YEAR TO MONTH", t.IntervalLiteral(0, 0, False, "3-2", "year", "month")),
        ("15m", t.ShortIntervalLiteral(0, 0, "15", "minute")),
        ("72.5h", t.ShortIntervalLiteral(0, 0, "72.5", "hour")),
        ("60000ms", t.ShortIntervalLiteral(0, 0, "60000", "millisecond")),
        ("1month", t.ShortIntervalLiteral(0, 0, "1", "month")),
        ("-5m", t.Unary(0, 0, "-", t.ShortIntervalLiteral(0, 0, "5", "minute"))),
        ("ARRAY[1, 'a']", t.ArrayConstructor(0, 0, (number(1), string("a")))),
        ("ARRAY[]", t.ArrayConstructor(0, 0, ())),
        ("ROW(1, 'a')", t.RowConstructor(0, 0, (number(1), string("a")))),
        ("row(1)", t.RowConstructor(0, 0, (number(1),))),
        ("(1, 'a')", t.RowConstructor(0, 0, (number(1), string("a")))),
        ("(1)", number(1)),
        ("@d", t.Parameter(0, 0, "d")),
    ],
)
def test_literals(text: str, expected: t.Expression) -> None:
    assert expression(text) == expected


# Names


FREE_WORDS = """
    time timestamp date value hour day second rank interval query event DESC ASC row array filter first last show
    limit window over any some measures tables databases unload double precision nulls position try_cast if
    partition rows range current unbounded preceding sets to offset ignore at zone measure_value
"""


@pytest.mark.parametrize("word", FREE_WORDS.split())
def test_a_free_word_is_a_column_and_an_alias(word: str) -> None:
    item = t.SelectItem(0, 0, name(word), word)
    assert select(f"SELECT {word} AS {word}").items == (item,)
    assert select(f"SELECT {word} {word}").items == (item,)
    assert select(f"SELECT {word}, {word} FROM d.t").items == (t.SelectItem(0, 0, name(word), None),) * 2
    assert select(f"SELECT t.{word} FROM d.t WHERE {word} > 1 AND {word} IS NOT NULL").where
    assert query(f"SELECT 1 ORDER BY {word} DESC, {word}").order_by[0] == t.SortItem(0, 0, name(word), True, None)
    assert select(f"SELECT {word} FROM d.{word} {word} JOIN {word} USING ({word}) GROUP BY {word}").from_items


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("measure_value::double", name("measure_value::double")),
        ('"measure_value::double"', name("measure_value::double")),
        ("b.measure_value::double", t.Dereference(0, 0, B, "measure_value::double")),
        ("a.b.c", t.Dereference(0, 0, t.Dereference(0, 0, A, "b"), "c")),
        ('"a b"."c"', t.Dereference(0, 0, name("a b"), "c")),
        ("a[1][2]", t.Subscript(0, 0, t.Subscript(0, 0, A, number(1)), number(2))),
        ("f(1).x", t.Dereference(0, 0, t.FunctionCall(0, 0, "f", (number(1),)), "x")),
        ("interval - '1'", arithmetic("-", name("interval"), string("1"))),
    ],
)
def test_columns_fields_and_elements(text: str, expected: t.Expression) -> None:
    assert expression(text) == expected


# Operators

PRECEDENCE = [
    ("a OR b AND c", t.Logical(0, 0, "OR", (A, t.Logical(0, 0, "AND", (B, C))))),
    ("a AND b AND c", t.Logical(0, 0, "AND", (A, B, C))),
    ("a AND (b AND c)", t.Logical(0, 0, "AND", (A, t.Logical(0, 0, "AND", (B, C))))),
    ("a OR b OR c AND d OR a", t.Logical(0, 0, "OR", (A, B, t.Logical(0, 0, "AND", (C, D)), A))),
    ("NOT a AND b", t.Logical(0, 0, "AND", (t.Not(0, 0, A), B))),
    ("NOT NOT a = b", t.Not(0, 0, t.Not(0, 0, compared("=", A, B)))),
    ("a != b || c", compared("<>", A, t.Concatenation(0, 0, (B, C)))),
    ("a || b || c", t.Concatenation(0, 0, (A, B, C))),
    ("a || b + c || d", t.Concatenation(0, 0, (A, arithmetic("+", B, C), D))),
    ("a - b - c", arithmetic("-", arithmetic("-", A, B), C)),
    ("a - (b - c)", arithmetic("-", A, arithmetic("-", B, C))),
    ("a + b * c - d", arithmetic("-", arithmetic("+", A, arithmetic("*", B, C)), D)),
    ("a * b / c % d", arithmetic("%", arithmetic("/", arithmetic("*", A, B), C), D)),
    ("(a + b) * c", arithmetic("*", arithmetic("+", A, B), C)),
    ("-a * b", arithmetic("*", t.Unary(0, 0, "-", A), B)),
    ("-a[1]", t.Unary(0, 0, "-", t.Subscript(0, 0, A, number(1)))),
    ("- + a", t.Unary(0, 0, "-", t.Unary(0, 0, "+", A))),
    ("a -1", arithmetic("-", A, number(1))),
    ("a - -1", arithmetic("-", A, number(-1))),
    ("a <= b + c", compared("<=", A, arithmetic("+", B, C))),
    ("a BETWEEN b AND c AND d", t.Logical(0, 0, "AND", (t.Between(0, 0, A, B, C), D))),
    ("a NOT BETWEEN b + c AND d", t.Not(0, 0, t.Between(0, 0, A, arithmetic("+", B, C), D))),
    ("a IS NULL OR b", t.Logical(0, 0, "OR", (t.IsNull(0, 0, A), B))),
    ("a IS NOT NULL", t.Not(0, 0, t.IsNull(0, 0, A))),
    ("a IS DISTINCT FROM b", compared("IS DISTINCT FROM", A, B)),
    ("a IS NOT DISTINCT FROM b", t.Not(0, 0, compared("IS DISTINCT FROM", A, B))),
    ("a IN (b)", t.InList(0, 0, A, (B,))),
    ("a NOT IN (b, 1)", t.Not(0, 0, t.InList(0, 0, A, (B, number(1))))),
    ("a LIKE b", t.Like(0, 0, A, B, None)),
    ("a NOT LIKE b || c ESCAPE '!'", t.Not(0, 0, t.Like(0, 0, A, t.Concatenation(0, 0, (B, C)), string("!")))),
]


@pytest.mark.parametrize(("text", "expected"), PRECEDENCE)
def test_operators_bind_as_in_the_reference(text: str, expected: t.Expression) -> None:
    assert expression(text) == expected


def test_subqueries_of_every_kind() -> None:
    assert expression("(SELECT 1)") == t.ScalarSubquery(0, 0, one())
    assert expression("EXISTS (SELECT 1)") == t.Exists(0, 0, one())
    assert expression("NOT EXISTS (SELECT 1)") == t.Not(0, 0, t.Exists(0, 0, one()))
    assert expression("a IN (SELECT 1)") == t.InQuery(0, 0, A, one())
    assert expression("a NOT IN (WITH x AS (SELECT 1) SELECT 1)") == t.Not(
        0, 0, t.InQuery(0, 0, A, query("WITH x AS (SELECT 1) SELECT 1"))
    )
    assert expression("((SELECT 1) + 1)") == arithmetic("+", t.ScalarSubquery(0, 0, one()), number(1))
    assert expression("((SELECT 1) UNION SELECT 1)") == t.ScalarSubquery(0, 0, query("(SELECT 1) UNION SELECT 1"))
    assert expression("a IN ((SELECT 1) LIMIT 1)") == t.InQuery(0, 0, A, query("(SELECT 1) LIMIT 1"))
    assert expression("a IN ((SELECT 1), 2)") == t.InList(0, 0, A, (t.ScalarSubquery(0, 0, one()), number(2)))


@pytest.mark.parametrize("operator", ["=", "<>", "<", "<=", ">", ">="])
@pytest.mark.parametrize(("word", "quantifier"), [("ALL", "ALL"), ("any", "ANY"), ("SOME", "ANY")])
def test_quantified_comparisons(operator: str, word: str, quantifier: str) -> None:
    expected = t.Quantified(0, 0, operator, quantifier, number(5), inner("VALUES 1, 2"))
    assert expression(f"5 {operator} {word} (VALUES 1, 2)") == expected


def test_all_and_any_are_names_before_anything_but_a_query() -> None:
    assert expression("a = any(b)") == compared("=", A, t.FunctionCall(0, 0, "any", (B,)))
    assert expression("a = all") == compared("=", A, name("all"))


# Calls


def call(name: str, *arguments: t.Expression | t.Lambda, **rest: object) -> t.FunctionCall:
    return t.FunctionCall(0, 0, name, arguments, **rest)  # type: ignore[arg-type]


WINDOW_BY_A = t.Window(0, 0, None, (A,), (), None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now()", call("now")),
        ("BIN(a, b)", call("bin", A, B)),
        ('"Bin"(a)', call("bin", A)),
        ("count(*)", call("count", star=True)),
        ("count(DISTINCT a)", call("count", A, distinct=True)),
        ("count(ALL a)", call("count", A)),
        ("count(all)", call("count", name("all"))),
        ("array_agg(a ORDER BY b DESC)", call("array_agg", A, order_by=(t.SortItem(0, 0, B, True, None),))),
        ("sum(a) FILTER (WHERE b)", call("sum", A, filter=B)),
        ("last_value(a) IGNORE NULLS OVER (PARTITION BY a)", call("last_value", A, nulls="IGNORE", over=WINDOW_BY_A)),
        ("lag(a) respect nulls over w", call("lag", A, nulls="RESPECT", over="w")),
        ("sum(a) FILTER (WHERE b) OVER (PARTITION BY a)", call("sum", A, filter=B, over=WINDOW_BY_A)),
        ("if(a, b)", call("if", A, B)),
        ("filter(a, b)", call("filter", A, B)),
        ("date(a)", call("date", A)),
        ("array(a)", call("array", A)),
        ("current_date", call("current_date")),
        ("LOCALTIMESTAMP", call("localtimestamp")),
        ("grouping(a)", call("grouping", A)),
        ("position('n' IN a)", call("position", string("n"), A)),
        ("filter(a, x -> b)", call("filter", A, t.Lambda(0, 0, ("x",), B))),
        ("reduce(a, (s, x) -> b)", call("reduce", A, t.Lambda(0, 0, ("s", "x"), B))),
        ("f(() -> b)", call("f", t.Lambda(0, 0, (), B))),
        ("f((a), (b, c))", call("f", A, t.RowConstructor(0, 0, (B, C)))),
        ("extract(HOUR FROM a)", t.Extract(0, 0, "hour", A)),
        ("CASE WHEN a THEN b END", t.Case(0, 0, None, (t.When(0, 0, A, B),), None)),
        (
            "CASE a WHEN 1 THEN b WHEN 2 THEN c ELSE d END",
            t.Case(0, 0, A, (t.When(0, 0, number(1), B), t.When(0, 0, number(2), C)), D),
        ),
    ],
)
def test_calls_and_special_forms(text: str, expected: t.Expression) -> None:
    assert expression(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("BIGINT", t.ScalarType(0, 0, "bigint")),
        ("varchar(10)", t.ScalarType(0, 0, "varchar", (10,))),
        ("decimal(10, 2)", t.ScalarType(0, 0, "decimal", (10, 2))),
        ("double precision", t.ScalarType(0, 0, "double")),
        ("interval day to second", t.ScalarType(0, 0, "interval day to second")),
        ("INTERVAL YEAR TO MONTH", t.ScalarType(0, 0, "interval year to month")),
        ("array(array(time))", t.ArrayType(0, 0, t.ArrayType(0, 0, t.ScalarType(0, 0, "time")))),
        (
            'row(hot BIGINT, "a b" array(double), double, double precision, interval day to second)',
            t.RowType(
                0,
                0,
                (
                    t.RowField(0, 0, "hot", t.ScalarType(0, 0, "bigint")),
                    t.RowField(0, 0, "a b", t.ArrayType(0, 0, t.ScalarType(0, 0, "double"))),
                    t.RowField(0, 0, None, t.ScalarType(0, 0, "double")),
                    t.RowField(0, 0, None, t.ScalarType(0, 0, "double")),
                    t.RowField(0, 0, None, t.ScalarType(0, 0, "interval day to second")),
                ),
            ),
        ),
    ],
)
def test_types(text: str, expected: t.TypeName) -> None:
    assert expression(f"CAST(a AS {text})") == t.Cast(0, 0, A, expected, False)
    assert expression(f"try_cast(a AS {text})") == t.Cast(0, 0, A, expected, True)


def frame(text: str) -> t.Frame | None:
    called = expression(f"sum(a) OVER (ORDER BY b {text})")
    assert isinstance(called, t.FunctionCall)
    assert isinstance(called.over, t.Window)
    assert called.over.order_by == (t.SortItem(0, 0, B, False, None),)
    return called.over.frame


CURRENT_ROW = t.FrameBound(0, 0, "CURRENT ROW", None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("ROWS UNBOUNDED PRECEDING", t.Frame(0, 0, "ROWS", t.FrameBound(0, 0, "UNBOUNDED PRECEDING", None), None)),
        (
            "ROWS BETWEEN 4 PRECEDING AND CURRENT ROW",
            t.Frame(0, 0, "ROWS", t.FrameBound(0, 0, "PRECEDING", number(4)), CURRENT_ROW),
        ),
        (
            "range between current row and unbounded following",
            t.Frame(0, 0, "RANGE", CURRENT_ROW, t.FrameBound(0, 0, "UNBOUNDED FOLLOWING", None)),
        ),
        (
            "ROWS BETWEEN a + 1 PRECEDING AND 2 FOLLOWING",
            t.Frame(
                0,
                0,
                "ROWS",
                t.FrameBound(0, 0, "PRECEDING", arithmetic("+", A, number(1))),
                t.FrameBound(0, 0, "FOLLOWING", number(2)),
            ),
        ),
    ],
)
def test_window_frames(text: str, expected: t.Frame | None) -> None:
    assert frame(text) == expected


def test_windows_may_be_named_and_built_upon() -> None:
    body = select("SELECT sum(a) OVER (w ORDER BY b) FROM d.t WINDOW w AS (PARTITION BY a), v AS ()")
    assert body.windows == (
        t.NamedWindow(0, 0, "w", WINDOW_BY_A),
        t.NamedWindow(0, 0, "v", t.Window(0, 0, None, (), (), None)),
    )
    (item,) = body.items
    order_by = (t.SortItem(0, 0, B, False, None),)
    assert item == t.SelectItem(0, 0, call("sum", A, over=t.Window(0, 0, "w", (), order_by, None)), None)


# Queries


def test_a_select_has_all_its_clauses() -> None:
    text = """WITH c AS (SELECT 1), e (x, y) AS (SELECT 1)
        SELECT DISTINCT a, b AS n, t.*, *, d.t.*
        FROM d.t, c WHERE a GROUP BY a, (b, c) HAVING b
        ORDER BY a, b DESC NULLS FIRST, c ASC NULLS LAST LIMIT 5"""
    assert query(text) == t.Query(
        0,
        0,
        (t.CommonTable(0, 0, "c", (), one()), t.CommonTable(0, 0, "e", ("x", "y"), one())),
        t.Select(
            0,
            0,
            True,
            (
                t.SelectItem(0, 0, A, None),
                t.SelectItem(0, 0, B, "n"),
                t.AllColumns(0, 0, ("t",)),
                t.AllColumns(0, 0, ()),
                t.AllColumns(0, 0, ("d", "t")),
            ),
            (t.Table(0, 0, "d", "t"), t.Table(0, 0, None, "c")),
            A,
            t.GroupBy(
                0,
                0,
                False,
                (t.GroupingElement(0, 0, "SIMPLE", ((A,),)), t.GroupingElement(0, 0, "SIMPLE", ((B, C),))),
            ),
            B,
            (),
        ),
        (t.SortItem(0, 0, A, False, None), t.SortItem(0, 0, B, True, True), t.SortItem(0, 0, C, False, False)),
        5,
    )


@pytest.mark.parametrize("text", ["SELECT all", "SELECT all, 1", "SELECT all AS x FROM t", "SELECT all.x FROM t"])
def test_all_is_a_name_where_it_cannot_be_a_quantifier(text: str) -> None:
    assert select(text) == select(text.replace("all", '"all"'))


def test_all_is_a_name_among_grouping_elements_too() -> None:
    assert select("SELECT 1 GROUP BY all ORDER BY all") == select('SELECT 1 GROUP BY "all"')


def test_all_is_what_there_is_without_a_quantifier() -> None:
    assert query("SELECT ALL * FROM t LIMIT ALL") == query("SELECT * FROM t")
    assert query("SELECT a GROUP BY ALL a") == query("SELECT a GROUP BY a")
    assert query("SELECT 1 UNION DISTINCT SELECT 2") == query("SELECT 1 UNION SELECT 2")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("()", [("SIMPLE", ((),))]),
        ("a, 1", [("SIMPLE", ((A,),)), ("SIMPLE", ((number(1),),))]),
        ("(a)", [("SIMPLE", ((A,),))]),
        ("(a + b) * c", [("SIMPLE", ((arithmetic("*", arithmetic("+", A, B), C),),))]),
        ("ROW(a, b)", [("SIMPLE", ((t.RowConstructor(0, 0, (A, B)),),))]),
        ("GROUPING SETS ((a, b), a, ())", [("SETS", ((A, B), (A,), ()))]),
        ("ROLLUP (a, (b, c)), CUBE (d)", [("ROLLUP", ((A,), (B, C))), ("CUBE", ((D,),))]),
    ],
)
def test_grouping(text: str, expected: list[tuple[str, tuple[tuple[t.Expression, ...], ...]]]) -> None:
    group_by = select(f"SELECT 1 GROUP BY {text}").group_by
    assert group_by is not None
    assert [(element.kind, element.sets) for element in group_by.elements] == expected


def shape(body: t.QueryBody) -> object:
    """Set operations as nested lists; a query in parentheses as a tuple of one; a select as its one number."""
    match body:
        case t.SetOperation():
            return [body.kind + ("" if body.distinct else " ALL"), *map(shape, body.branches)]
        case t.Query():
            return (shape(body.body),)
        case t.Select(items=(t.SelectItem(expression=t.IntegerLiteral(value=value)),)):
            return value
        case _:
            raise AssertionError(body)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("S 1 UNION S 2 UNION S 3", ["UNION", 1, 2, 3]),
        ("S 1 UNION ALL S 2 UNION ALL S 3", ["UNION ALL", 1, 2, 3]),
        ("S 1 UNION ALL S 2 UNION S 3", ["UNION", ["UNION ALL", 1, 2], 3]),
        ("S 1 UNION S 2 EXCEPT S 3 EXCEPT S 4", ["EXCEPT", ["UNION", 1, 2], 3, 4]),
        ("S 1 UNION S 2 INTERSECT S 3 UNION S 4", ["UNION", 1, ["INTERSECT", 2, 3], 4]),
        ("S 1 INTERSECT ALL S 2 INTERSECT S 3", ["INTERSECT", ["INTERSECT ALL", 1, 2], 3]),
        ("S 1 UNION (S 2 UNION S 3)", ["UNION", 1, (["UNION", 2, 3],)]),
    ],
)
def test_set_operations_join_from_the_left_and_intersect_binds_tighter(text: str, expected: object) -> None:
    assert shape(query(re.sub(r"\bS\b", "SELECT", text)).body) == expected


def test_values_stand_bare_or_in_parentheses() -> None:
    pair = t.RowConstructor(0, 0, (number(1), string("a")))
    values = t.Values(0, 0, (number(1), number(2), pair, pair))
    assert expression("EXISTS (VALUES 1, (2), (1, 'a'), ((1, 'a')))") == t.Exists(
        0, 0, t.Query(0, 0, (), values, (), None)
    )


# Relations

TA, TB, TC = (t.Table(0, 0, None, letter) for letter in "abc")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"d"."t"', t.Table(0, 0, "d", "t")),
        ("d.t AS x", t.Aliased(0, 0, t.Table(0, 0, "d", "t"), "x", ())),
        ("d.t x (p, q)", t.Aliased(0, 0, t.Table(0, 0, "d", "t"), "x", ("p", "q"))),
        ("(SELECT 1)", t.SubqueryRelation(0, 0, one())),
        ("(SELECT 1) x", t.Aliased(0, 0, t.SubqueryRelation(0, 0, one()), "x", ())),
        ("(VALUES 1) AS t(v)", t.Aliased(0, 0, t.SubqueryRelation(0, 0, inner("VALUES 1")), "t", ("v",))),
        ("(WITH x AS (SELECT 1) SELECT 1)", t.SubqueryRelation(0, 0, query("WITH x AS (SELECT 1) SELECT 1"))),
        ("((SELECT 1))", t.SubqueryRelation(0, 0, one())),
        ("((SELECT 1) ORDER BY 1)", t.SubqueryRelation(0, 0, query("(SELECT 1) ORDER BY 1"))),
        ("((SELECT 1) UNION SELECT 1)", t.SubqueryRelation(0, 0, query("(SELECT 1) UNION SELECT 1"))),
        ("((SELECT 1) LIMIT 1)", t.SubqueryRelation(0, 0, query("(SELECT 1) LIMIT 1"))),
        ("((SELECT 1) limit)", t.Aliased(0, 0, t.SubqueryRelation(0, 0, one()), "limit", ())),
        ("((SELECT 1) CROSS JOIN b)", t.Join(0, 0, "CROSS", t.SubqueryRelation(0, 0, one()), TB, None, ())),
        ("(((a)))", TA),
        ("UNNEST(a, b)", t.Unnest(0, 0, (A, B), False)),
        ("unnest(a) t(second)", t.Aliased(0, 0, t.Unnest(0, 0, (A,), False), "t", ("second",))),
        (
            "UNNEST(a) WITH ORDINALITY AS p (x, n)",
            t.Aliased(0, 0, t.Unnest(0, 0, (A,), True), "p", ("x", "n")),
        ),
        ("a CROSS JOIN UNNEST(b)", t.Join(0, 0, "CROSS", TA, t.Unnest(0, 0, (B,), False), None, ())),
        ("a JOIN b ON c", t.Join(0, 0, "INNER", TA, TB, C, ())),
        ("a INNER JOIN b USING (c, d)", t.Join(0, 0, "INNER", TA, TB, None, (C, D))),
        ("a LEFT JOIN b ON c", t.Join(0, 0, "LEFT", TA, TB, C, ())),
        ("a RIGHT OUTER JOIN b ON c", t.Join(0, 0, "RIGHT", TA, TB, C, ())),
        ("a FULL JOIN b ON true", t.Join(0, 0, "FULL", TA, TB, t.BooleanLiteral(0, 0, True), ())),
        ("a JOIN b ON c JOIN c ON d", t.Join(0, 0, "INNER", t.Join(0, 0, "INNER", TA, TB, C, ()), TC, D, ())),
        ("a JOIN b JOIN c ON d ON c", t.Join(0, 0, "INNER", TA, t.Join(0, 0, "INNER", TB, TC, D, ()), C, ())),
        ("a CROSS JOIN (b CROSS JOIN c)", t.Join(0, 0, "CROSS", TA, t.Join(0, 0, "CROSS", TB, TC, None, ()), None, ())),
    ],
)
def test_relations(text: str, expected: t.Relation) -> None:
    assert from_item(text) == expected


def test_an_alias_is_never_the_word_that_continues_the_clause() -> None:
    assert query("SELECT 1 LIMIT 5").limit == 5
    assert query("SELECT * FROM t LIMIT 5").limit == 5
    assert query("SELECT * FROM (SELECT 1) LIMIT 5").limit == 5
    assert select("SELECT * FROM t WINDOW w AS ()").windows
    assert select("SELECT 1 limit FROM t").items == (t.SelectItem(0, 0, number(1), "limit"),)
    assert from_item("t limit LIMIT 5") == t.Aliased(0, 0, t.Table(0, 0, None, "t"), "limit", ())
    assert select("SELECT count(*) filter, sum(a) over, lag(a) ignore FROM t").items == (
        t.SelectItem(0, 0, call("count", star=True), "filter"),
        t.SelectItem(0, 0, call("sum", A), "over"),
        t.SelectItem(0, 0, call("lag", A), "ignore"),
    )


# Positions


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("a", 8),
        ("t.a", 8),
        ("(a + b).c", 8),
        ("a[1]", 8),
        ("f(a)", 8),
        ("CAST(a AS x)", 8),
        ("(SELECT 1)", 8),
        ("a = b", 10),
        ("a + b * c", 10),
        ("a * b + c", 14),
        ("a || b || c", 10),
        ("- a", 8),
        ("-1", 8),
        ("1 = 1 AND b", 8),
        ("NOT a", 8),
        ("a NOT IN (1)", 10),
        ("a BETWEEN b AND c", 10),
        ("a IS NOT NULL", 10),
        ("(1, 2)", 8),
    ],
)
def test_a_node_stands_where_trino_reports_it(text: str, column: int) -> None:
    assert at(expression(text)) == (1, column)


def test_positions_count_lines() -> None:
    body = select("SELECT\n  a,\n  'x\ny' AS b\nFROM d.t")
    assert [at(item) for item in body.items] == [(2, 3), (3, 3)]
    assert [at(relation) for relation in body.from_items] == [(5, 6)]


# Refused

REFUSED = [
    ("SHOW TABLES FROM net-example", 1, 21),
    ("", 1, 1),
    ("  -- nothing\n ", 2, 2),
    ("SELECT", 1, 7),
    ("SELECT ", 1, 8),
    ("SELECT 1 FROM", 1, 14),
    ("SELECT 1 +", 1, 11),
    ("SELECT a,", 1, 10),
    ("SELECT a,\n  FROM t", 2, 3),
    ("SELECT (1", 1, 10),
    ("SELECT 1)", 1, 9),
    ("SELECT 1; SELECT 2", 1, 11),
    ("SELECT 1;;", 1, 10),
    ("SELEC 1", 1, 1),
    ("select time::date", 1, 12),
    ("SELECT measure_value::", 1, 23),
    ("SELECT measure_value::1", 1, 23),
    ("SELECT a AS measure_value::double", 1, 26),
    ("SELECT a = b = c", 1, 14),
    ("SELECT a IS NULL IS NULL", 1, 18),
    ("SELECT a = NOT b", 1, 12),
    ("SELECT 1 + NOT b", 1, 12),
    ("SELECT a IS TRUE", 1, 13),
    ("SELECT a NOT b", 1, 14),
    ("SELECT a IN ()", 1, 14),
    ("SELECT time AT TIME ZONE 'UTC'", 1, 13),
    ("SELECT * FROM t WHERE a AT TIME ZONE 'UTC'", 1, 25),
    ("SELECT * FROM t LIMIT 5 OFFSET 5", 1, 25),
    ("SELECT * FROM t ORDER BY a OFFSET 5", 1, 28),
    ("SELECT * FROM t OFFSET 5", 1, 17),
    ("SELECT * FROM t ORDER BY a FETCH FIRST 5 ROWS ONLY", 1, 28),
    ("SELECT * FROM t LIMIT 1.5", 1, 23),
    ("SELECT * FROM t LIMIT 9223372036854775808", 1, 23),
    ("SELECT * FROM t ORDER BY a LIMIT -1", 1, 34),
    ("SELECT ?", 1, 8),
    ("SELECT `a`", 1, 8),
    ("SELECT 9223372036854775808", 1, 8),
    ("SELECT -9223372036854775809", 1, 9),
    ("SELECT 5hours", 1, 8),
    ("SELECT 1w", 1, 8),
    ("SELECT INTERVAL '2' DAYS", 1, 21),
    ("SELECT INTERVAL '2'", 1, 20),
    ("SELECT U&'\\00'", 1, 8),
    ("SELECT U&'\\D800'", 1, 8),
    ("SELECT U&'\\+110000'", 1, 8),
    ("SELECT U&'a' UESCAPE 'f'", 1, 22),
    ("SELECT U&'a' UESCAPE ''", 1, 22),
    ("EXPLAIN SELECT 1", 1, 1),
    ("INSERT INTO t VALUES 1", 1, 1),
    ("CREATE TABLE t (a bigint)", 1, 1),
    ("DELETE FROM t", 1, 1),
    ("DESC d.t", 1, 1),
    ("TABLE t", 1, 1),
    ("WITH RECURSIVE a AS (SELECT 1) SELECT 1", 1, 6),
    ("WITH a (SELECT 1) SELECT 1", 1, 9),
    ("SELECT * FROM a NATURAL JOIN b", 1, 17),
    ("SELECT * FROM a JOIN b", 1, 23),
    ("SELECT * FROM a CROSS JOIN b ON c", 1, 30),
    ("SELECT * FROM a LEFT b", 1, 22),
    ("SELECT * FROM a.b.c", 1, 18),
    ("SELECT * FROM net-example.t", 1, 18),
    ("SELECT * FROM (a", 1, 17),
    ("SELECT * FROM (SELECT 1", 1, 24),
    ("SELECT * FROM ((SELECT 1) UNION b)", 1, 33),
    ("SELECT * FROM select", 1, 15),
    ("SELECT from FROM t", 1, 8),
    ("SELECT a AS order FROM t", 1, 13),
    ("SELECT a order FROM t", 1, 16),
    ("SELECT t.group FROM t", 1, 10),
    ("SELECT f(a, )", 1, 13),
    ("SELECT f(DISTINCT)", 1, 18),
    ("SELECT count(DISTINCT *)", 1, 23),
    ("SELECT f(*, 1)", 1, 10),
    ("SELECT a.f(1)", 1, 11),
    ("SELECT x -> 1", 1, 10),
    ("SELECT f(x, a.b -> 1)", 1, 17),
    ("SELECT CASE END", 1, 13),
    ("SELECT CASE a ELSE 1 END", 1, 15),
    ("SELECT CASE WHEN a THEN 1", 1, 26),
    ("SELECT CAST(a bigint)", 1, 15),
    ("SELECT CAST(a AS varchar(x))", 1, 26),
    ("SELECT CAST(a AS timestamp with time zone)", 1, 28),
    ('SELECT CAST(a AS "bigint")', 1, 18),
    ("SELECT CAST(a AS row())", 1, 22),
    ("SELECT position(a, b)", 1, 18),
    ("SELECT extract(hour, a)", 1, 20),
    ("SELECT EXISTS (1)", 1, 16),
    ("SELECT NORMALIZE(a, 1)", 1, 21),
    ("SELECT ROW()", 1, 12),
    ("SELECT ()", 1, 9),
    ("SELECT ARRAY[1", 1, 15),
    ("SELECT a[]", 1, 10),
    ("SELECT sum(a) OVER (ROWS)", 1, 25),
    ("SELECT sum(a) OVER (ROWS BETWEEN 1 PRECEDING)", 1, 45),
    ("SELECT sum(a) OVER (ORDER BY b RANGES 1 PRECEDING)", 1, 32),
    ("SELECT sum(a) FILTER (b)", 1, 23),
    ("SELECT 1 GROUP BY", 1, 18),
    ("SELECT 1 ORDER BY a NULLS", 1, 26),
    ("SELECT 1 UNION", 1, 15),
    ("SELECT 1 IN (VALUES)", 1, 20),
    ("SELECT @", 1, 8),
    ("SHOW", 1, 5),
    ("SHOW VIEWS", 1, 6),
    ("SHOW MEASURES FROM t", 1, 21),
    ("SHOW DATABASES LIKE a", 1, 21),
    ("DESCRIBE t", 1, 11),
    ("UNLOAD SELECT 1 TO 'x'", 1, 8),
    ("UNLOAD (SELECT 1)", 1, 18),
    ("UNLOAD (SELECT 1) TO x", 1, 22),
    ("UNLOAD (SELECT 1) TO 'x' WITH ()", 1, 32),
    ("SELECT 'abc", 1, 8),
    ("SELECT /* abc", 1, 8),
]


@pytest.mark.parametrize(("text", "line", "column"), REFUSED)
def test_the_first_token_that_does_not_fit_is_reported(text: str, line: int, column: int) -> None:
    with pytest.raises(Invalid) as caught:
        parse(text, LIMITS)
    place, _, construct = caught.value.message.partition(": ")
    assert place == f"The query syntax is invalid at line {line}:{column}"
    assert not construct or construct.endswith(" is not supported")


@pytest.mark.parametrize(
    ("text", "place", "construct"),
    [
        ("SELECT 1 OFFSET 1", "1:10", "OFFSET"),
        ("SELECT a FROM d.t AS b OFFSET 5", "1:24", "OFFSET"),
        ("SELECT 1 FETCH NEXT 1 ROW ONLY", "1:10", "FETCH FIRST"),
        ("SELECT 1 WHERE a AT TIME ZONE 'UTC' = b", "1:18", "AT TIME ZONE"),
        ("SELECT 1 FROM d.t MATCH_RECOGNIZE (PATTERN (a))", "1:19", "MATCH_RECOGNIZE"),
        ("SELECT 1 FROM d.t, LATERAL (SELECT 1)", "1:20", "LATERAL"),
        ("SELECT 1 FROM d.t NATURAL LEFT JOIN d.t", "1:19", "NATURAL JOIN"),
        ("SELECT 1 FROM a.b.c", "1:18", "a table's name of three parts"),
        ("SELECT sum(a) OVER (GROUPS 1 PRECEDING)", "1:21", "a frame of GROUPS"),
        ("explain SELECT 1", "1:1", "EXPLAIN"),
        ("VALUES 1", "1:1", "VALUES as a statement"),
        ("UNLOAD ((VALUES 1) LIMIT 1) TO 'x'", "1:10", "VALUES as a statement"),
        ("SELECT 1 WHERE a = ?", "1:20", "a parameter without a name"),
    ],
)
def test_what_is_known_of_other_dialects_is_named_behind_the_place(text: str, place: str, construct: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse(text, LIMITS)
    assert caught.value.message == f"The query syntax is invalid at line {place}: {construct} is not supported"


# Limits

NESTS = {
    "parentheses": ("SELECT ", "(", "1", ")", ""),
    "calls": ("SELECT ", "f(", "1", ")", ""),
    "lambdas": ("SELECT ", "f(x -> ", "1", ")", ""),
    "arrays": ("SELECT ", "ARRAY[", "1", "]", ""),
    "subscripts": ("SELECT ", "a[", "1", "]", ""),
    "cases": ("SELECT ", "CASE WHEN ", "a", " THEN 1 END", ""),
    "else": ("SELECT ", "CASE WHEN a THEN b ELSE ", "1", " END", ""),
    "extract": ("SELECT ", "extract(hour FROM ", "a", ")", ""),
    "position": ("SELECT ", "position(1 IN ", "a", ")", ""),
    "in": ("SELECT ", "a IN (", "1", ")", ""),
    "between": ("SELECT ", "a BETWEEN (", "1", ") AND 2", ""),
    "scalar subqueries": ("SELECT ", "(SELECT ", "1", ")", ""),
    "exists": ("SELECT ", "EXISTS (SELECT 1 WHERE ", "a", ")", ""),
    "in queries": ("SELECT ", "a IN (SELECT ", "1", ")", ""),
    "quantified": ("SELECT ", "a > ALL (SELECT ", "1", ")", ""),
    "partitions": ("SELECT ", "sum(a) OVER (PARTITION BY ", "1", ")", ""),
    "window orders": ("SELECT ", "sum(a) OVER (ORDER BY ", "1", ")", ""),
    "frames": ("SELECT ", "sum(a) OVER (ROWS ", "1", " PRECEDING)", ""),
    "filters": ("SELECT ", "sum(a) FILTER (WHERE ", "b", ")", ""),
    "argument orders": ("SELECT ", "f(a ORDER BY ", "1", ")", ""),
    "array types": ("SELECT CAST(a AS ", "array(", "bigint", ")", ")"),
    "row types": ("SELECT CAST(a AS ", "row(x ", "bigint", ")", ")"),
    "tables": ("SELECT * FROM ", "(", "a", ")", ""),
    "subqueries": ("SELECT * FROM ", "(SELECT * FROM ", "a", ")", ""),
    "queries in parentheses": ("SELECT * FROM ", "(", "SELECT 1", ")", ""),
    "joins in parentheses": ("SELECT * FROM ", "(a CROSS JOIN ", "b", ")", ""),
    "joins of joins": ("SELECT * FROM ", "a JOIN ", "b", " ON c", ""),
    "join conditions": ("SELECT * FROM a JOIN b ON ", "EXISTS (SELECT * FROM a JOIN b ON ", "c", ")", ""),
    "unnest": ("SELECT 1 FROM ", "UNNEST((SELECT 1 FROM ", "a", "))", ""),
    "with": ("", "WITH a AS (", "SELECT 1", ") SELECT 1", ""),
    "branches": ("", "SELECT 1 UNION (", "SELECT 1", ")", ""),
    "statements": ("", "(", "SELECT 1", ")", ""),
    "values": ("SELECT * FROM (", "VALUES (", "1", ")", ")"),
    "grouping sets": ("SELECT 1 ", "GROUP BY GROUPING SETS ((1, (SELECT 1 ", "", ")))", ""),
    "not": ("SELECT ", "NOT ", "a", "", ""),
    "signs": ("SELECT ", "- ", "a", "", ""),
    "fields": ("SELECT a", ".b", "", "", ""),
    "elements": ("SELECT a", "[1]", "", "", ""),
    "sums": ("SELECT a", " + b", "", "", ""),
    "joins": ("SELECT * FROM a", " CROSS JOIN b", "", "", ""),
    "mixed branches": ("SELECT 1", " UNION SELECT 1 UNION ALL SELECT 1", "", "", ""),
}


def nested(kind: str, depth: int) -> str:
    before, opening, middle, closing, after = NESTS[kind]
    return before + opening * depth + middle + closing * depth + after


@pytest.mark.parametrize("kind", NESTS)
def test_twenty_levels_of_anything_are_taken(kind: str) -> None:
    parse(nested(kind, 20), LIMITS)


@pytest.mark.parametrize("depth", [300, 3000])
@pytest.mark.parametrize("kind", NESTS)
def test_deeper_nesting_than_the_limit_is_refused_by_name(kind: str, depth: int) -> None:
    text = (
        r"line \d+:\d+: The query nests (operators )?more than [12]00 levels deep\.|The query text has more than 20000"
    )
    with pytest.raises(Invalid, match=text):
        parse(nested(kind, depth), LIMITS)


@pytest.mark.parametrize("kind", NESTS)
def test_what_is_taken_leaves_stack_to_the_caller(kind: str) -> None:
    # Python allows 1,000 calls within one another, and the server and its threads use some of them.
    deepest = bisect_left(range(20, 200), 1, key=lambda depth: not _is_taken(nested(kind, depth))) + 19
    depth = depth_max = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal depth, depth_max
        depth += (event == "call") - (event == "return")
        depth_max = max(depth_max, depth)

    sys.setprofile(count)
    try:
        parse(nested(kind, deepest), LIMITS)
    finally:
        sys.setprofile(None)
    assert depth_max < 720


def _is_taken(text: str) -> bool:
    try:
        parse(text, LIMITS)
    except Invalid:
        return False
    return True


def test_the_nesting_limit_is_the_one_handed_in() -> None:
    limits = Limits(sql_depth=5)
    parse("SELECT (((1)))", limits)
    with pytest.raises(Invalid, match=r"^line 1:12: The query nests more than 5 levels deep\.$"):
        parse("SELECT ((((1))))", limits)


@pytest.mark.parametrize("word", ["AND", "OR", "||"])
def test_long_chains_are_one_node(word: str) -> None:
    chain = expression(f" {word} ".join(["a"] * 9_000))
    assert isinstance(chain, t.Logical | t.Concatenation)
    assert len(chain.operands) == 9_000


def test_long_unions_are_one_node() -> None:
    body = query(" UNION ALL ".join(["SELECT 1"] * 3_000)).body
    assert isinstance(body, t.SetOperation)
    assert len(body.branches) == 3_000


def test_a_sum_may_have_many_terms_but_not_any_number() -> None:
    parse("SELECT " + " + ".join(["a"] * 190), LIMITS)
    with pytest.raises(Invalid, match=r"^line 1:\d+: The query nests operators more than 200 levels deep\.$"):
        parse("SELECT " + " + ".join(["a"] * 9_000), LIMITS)


def test_many_small_expressions_are_no_chain() -> None:
    parse("SELECT " + ", ".join(["a + b * c"] * 2_500), LIMITS)


HOSTILE = [
    "(",
    "((SELECT 1) ",
    "(a,",
    "f(a,",
    "f((a,b,c),",
    "SELECT ",
    "SELECT * FROM (",
    "NOT ",
    "- ",
    "a.",
    "a[",
    "a b ",
    "CASE ",
    "1 IN (",
    "x -> ",
    "a JOIN ",
    "WITH a AS (",
    "1 UNION SELECT ",
    "measure_value::",
    "'a' ",
    "INTERVAL ",
    "9",
    "9.",
    "@a ",
    "ALL ",
    "LIMIT ",
    "a, ",
    "(a + ",
    "a AND ",
]


@pytest.mark.parametrize("piece", HOSTILE)
@pytest.mark.parametrize("start", ["", "SELECT ", "SELECT * FROM ", "SELECT f("])
def test_a_hostile_text_is_quick(start: str, piece: str) -> None:
    text = (start + piece * LIMITS.sql_characters)[: LIMITS.sql_characters]
    # As many pieces as give not quite too many tokens, so that the parser sees them as well.
    fewer = start + piece * (LIMITS.sql_tokens // (len(piece.split()) + 3))
    before = time.process_time()
    for one_text in (text, fewer):
        with suppress(Invalid):
            parse(one_text, LIMITS)
    assert time.process_time() - before < 2
