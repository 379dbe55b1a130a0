"""The law of the printer: the parser reads its text as the same tree."""

from __future__ import annotations

import re
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.errors import Invalid
from headwater.model.limits import Limits
from headwater.sql import tree as t
from headwater.sql.parser import parse
from support.golden_names import corpus
from support.sql_text import to_text

LIMITS = Limits()
_SCRIPT = Path(__file__).with_name("worked_examples.sql").read_text()
WORKED_EXAMPLES = re.split(r";$", _SCRIPT, flags=re.MULTILINE)[:-1]


@pytest.mark.parametrize("text", WORKED_EXAMPLES)
def test_a_worked_example_prints_as_an_equal_statement(text: str) -> None:
    statement = parse(text, LIMITS)
    assert parse(to_text(statement), LIMITS) == statement


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select  a.b , 'it''s' x from d.t", """SELECT "a"."b", 'it''s' AS "x" FROM "d"."t\""""),
        ("SELECT (a + b) * c - (d - 1)", 'SELECT ("a" + "b") * "c" - ("d" - 1)'),
        ("SELECT - -1, -(1), - (- a)", 'SELECT -(-1), -(1), - -"a"'),
        ("SELECT (a AND b) OR NOT (c OR d)", 'SELECT "a" AND "b" OR NOT ("c" OR "d")'),
        ("SELECT 5m, 1.50, 1e999, DATE '2024-01-01'", "SELECT 5minute, 1.5, 1e999, date '2024-01-01'"),
        ("SELECT Position('a' IN b), CURRENT_DATE", 'SELECT "position"(\'a\', "b"), current_date'),
        ('SELECT COUNT(*) FILTER (WHERE a), "say ""hi"""', 'SELECT count(*) FILTER (WHERE "a"), "say ""hi"""'),
    ],
)
def test_the_text_has_only_the_parentheses_it_needs(text: str, expected: str) -> None:
    assert to_text(parse(text, LIMITS)) == expected


# Trees as the parser makes them. `depth` bounds how many levels a strategy may still go down.


def make(node: type[t.Node], *fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(partial(node, 0, 0), *fields)


def some(items: st.SearchStrategy[Any], at_least: int = 1) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(items, min_size=at_least, max_size=at_least + 1).map(tuple)


def maybe(item: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | item


names = st.sampled_from(["a", "Time", "select", 'say "hi"', "measure_value::double", "row", "array", "é b", "limit"])
words = st.sampled_from(["date", "bigint", "time", "double", "row", "array", "limit"])
strings = st.text(alphabet="ab'\"\\-%\n Ω", max_size=4)
literals = st.one_of(
    make(t.NullLiteral),
    make(t.BooleanLiteral, st.booleans()),
    make(t.IntegerLiteral, st.integers(-(2**63), 2**63 - 1)),
    make(t.DoubleLiteral, st.floats(min_value=0, allow_nan=False)),
    make(t.StringLiteral, strings),
    make(t.TypedLiteral, words, strings),
    make(
        t.IntervalLiteral,
        st.booleans(),
        strings,
        st.sampled_from(get_args(t.IntervalUnit)),
        maybe(st.sampled_from(get_args(t.IntervalUnit))),
    ),
    make(
        t.ShortIntervalLiteral,
        st.from_regex(r"(?a:\d{1,3}(\.\d{0,2})?|\.\d{1,2})", fullmatch=True),
        st.sampled_from(get_args(t.ShortUnit)),
    ),
    make(t.Parameter, st.sampled_from(["p", "Scheduled_runtime"])),
    make(t.Identifier, names),
)


@cache
def expressions(depth: int) -> st.SearchStrategy[Any]:
    if depth == 0:
        return literals
    e = expressions(depth - 1)
    q = queries(depth - 1)
    comparison = st.sampled_from(get_args(t.ComparisonOperator))
    return st.one_of(
        literals,
        make(t.Dereference, e, names),
        make(t.Subscript, e, e),
        make(t.ArrayConstructor, some(e, 0)),
        make(t.RowConstructor, some(e)),
        make(t.Unary, st.sampled_from("+-"), e),
        make(t.Arithmetic, st.sampled_from("+-*/%"), e, e),
        make(t.Concatenation, some(e, 2)),
        make(t.Comparison, comparison | st.just("IS DISTINCT FROM"), e, e),
        make(t.Quantified, comparison, st.sampled_from(["ALL", "ANY"]), e, q),
        make(t.Between, e, e, e),
        make(t.InList, e, some(e)),
        make(t.InQuery, e, q),
        make(t.Like, e, e, maybe(e)),
        make(t.IsNull, e),
        make(t.Exists, q),
        make(t.ScalarSubquery, q),
        make(t.Not, e),
        make(t.Logical, st.sampled_from(["AND", "OR"]), some(e, 2)),
        make(t.Case, maybe(e), some(make(t.When, e, e)), maybe(e)),
        make(t.Cast, e, types(depth - 1), st.booleans()),
        make(t.Extract, words, e),
        calls(depth - 1),
    )


@cache
def calls(depth: int) -> st.SearchStrategy[Any]:
    e = expressions(depth)
    name = st.sampled_from(["f", "if", "position", "current_date", "row", "any", "filter", 'say "hi"', "select"])
    argument = e | make(t.Lambda, some(names, 0), e)
    after = (
        maybe(e),
        st.sampled_from([None, "IGNORE", "RESPECT"]),
        maybe(names | windows(depth)),
    )
    none, no = st.just(()), st.just(False)
    return st.one_of(
        make(t.FunctionCall, name, none, st.booleans(), no, none, *after),
        make(t.FunctionCall, name, some(argument), no, st.booleans(), some(sort_items(depth), 0), *after),
    )


@cache
def types(depth: int) -> st.SearchStrategy[Any]:
    scalar = st.one_of(
        make(t.ScalarType, words | st.sampled_from(["interval day to second", "interval year to month"])),
        make(t.ScalarType, st.sampled_from(["varchar", "decimal"]), some(st.integers(0, 99), 0)),
    )
    if depth == 0:
        return scalar
    below = types(depth - 1)
    return st.one_of(
        scalar,
        make(t.ArrayType, below),
        make(t.MapType, below, below),
        make(t.RowType, some(make(t.RowField, maybe(names), below))),
    )


@cache
def sort_items(depth: int) -> st.SearchStrategy[Any]:
    return make(t.SortItem, expressions(depth), st.booleans(), st.sampled_from([None, True, False]))


@cache
def windows(depth: int) -> st.SearchStrategy[Any]:
    e = expressions(depth)
    bound = st.one_of(
        make(
            t.FrameBound,
            st.sampled_from(["UNBOUNDED PRECEDING", "CURRENT ROW", "UNBOUNDED FOLLOWING"]),
            st.none(),
        ),
        make(t.FrameBound, st.sampled_from(["PRECEDING", "FOLLOWING"]), e),
    )
    frame = make(t.Frame, st.sampled_from(["ROWS", "RANGE"]), bound, maybe(bound))
    return make(t.Window, maybe(names), some(e, 0), some(sort_items(depth), 0), maybe(frame))


@cache
def relations(depth: int) -> st.SearchStrategy[Any]:
    table = make(t.Table, maybe(names), names)
    if depth == 0:
        return table
    below = relations(depth - 1)
    e = expressions(depth - 1)
    inner = st.sampled_from(["INNER", "LEFT", "RIGHT", "FULL"])
    return st.one_of(
        table,
        make(t.SubqueryRelation, queries(depth - 1)),
        make(t.Unnest, some(e), st.booleans()),
        make(t.Aliased, below, names, some(names, 0)),
        make(t.Join, st.just("CROSS"), below, below, st.none(), st.just(())),
        make(t.Join, inner, below, below, e, st.just(())),
        make(t.Join, inner, below, below, st.none(), some(make(t.Identifier, names))),
    )


@cache
def selects(depth: int) -> st.SearchStrategy[Any]:
    e = expressions(depth)
    sets = some(e, 0)
    grouping = st.one_of(
        make(t.GroupingElement, st.just("SIMPLE"), st.tuples(sets)),
        make(t.GroupingElement, st.sampled_from(["SETS", "ROLLUP", "CUBE"]), some(sets)),
    )
    item = make(t.SelectItem, e, maybe(names)) | make(t.AllColumns, some(names, 0))
    return make(
        t.Select,
        st.booleans(),
        some(item),
        some(relations(depth), 0),
        maybe(e),
        maybe(make(t.GroupBy, st.booleans(), some(grouping))),
        maybe(e),
        some(make(t.NamedWindow, names, windows(depth)), 0),
    )


@cache
def branches(depth: int) -> st.SearchStrategy[Any]:
    """What may stand between two set operators whatever they are."""
    plain = selects(depth) | make(t.Values, some(expressions(depth)))
    return plain | queries(depth - 1) if depth else plain


@cache
def bodies(depth: int) -> st.SearchStrategy[Any]:
    def united(left: Any, kind: str, distinct: bool, rest: tuple[Any, ...]) -> t.QueryBody:
        # Neighbours of one kind and quantifier are one node.
        if isinstance(left, t.SetOperation) and (left.kind, left.distinct) == (kind, distinct):
            return t.SetOperation(0, 0, left.kind, distinct, left.branches + rest)
        return t.SetOperation(0, 0, kind, distinct, (left, *rest))  # type: ignore[arg-type]

    branch = branches(depth)
    intersection = st.builds(united, branch, st.just("INTERSECT"), st.booleans(), some(branch))
    term = branch | intersection
    operator = st.sampled_from(["UNION", "EXCEPT"])
    union = st.builds(united, term, operator, st.booleans(), some(term))
    return st.one_of(branch, intersection, union, st.builds(united, union, operator, st.booleans(), some(term)))


@cache
def queries(depth: int) -> st.SearchStrategy[Any]:
    if depth == 0:
        item = make(t.SelectItem, make(t.IntegerLiteral, st.integers(0, 9)), st.none())
        no, none = st.just(()), st.none()
        select = make(t.Select, st.just(False), st.tuples(item), no, none, none, none, no)
        return make(t.Query, no, select, no, none)
    table = make(t.CommonTable, names, some(names, 0), queries(depth - 1))

    def plain(tables: Any, body: Any, order_by: Any, limit: int | None) -> t.Query:
        # Parentheses that add nothing are not kept.
        if isinstance(body, t.Query) and not (tables or order_by or limit is not None):
            return body
        return t.Query(0, 0, tables, body, order_by, limit)

    limit = maybe(st.integers(0, 2**63 - 1))
    return st.builds(plain, some(table, 0), bodies(depth - 1), some(sort_items(depth - 1), 0), limit)


tables = make(t.Table, names, names)
statements = st.one_of(
    queries(3),
    make(t.ShowDatabases, maybe(strings)),
    make(t.ShowTables, maybe(make(t.Identifier, names)), maybe(strings)),
    make(t.ShowMeasures, tables, maybe(strings)),
    make(t.Describe, tables),
    make(
        t.Unload,
        queries(2),
        make(t.StringLiteral, strings),
        some(make(t.UnloadOption, words, expressions(1)), 0),
    ),
)


def is_statement(statement: t.Statement) -> bool:
    """VALUES is a query, but no statement and nothing to unload."""
    body: object = statement.query if isinstance(statement, t.Unload) else statement
    while isinstance(body, t.Query):
        body = body.body
    return not isinstance(body, t.Values)


def assert_reads_back(statement: t.Statement) -> None:
    text = to_text(statement)
    assert parse(text, LIMITS) == statement, text


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
@given(expressions(3))
def test_an_expression_reads_back_as_the_same_tree(expression: t.Expression) -> None:
    item = t.SelectItem(0, 0, expression, None)
    assert_reads_back(t.Query(0, 0, (), t.Select(0, 0, False, (item,), (), None, None, None, ()), (), None))


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
@given(statements.filter(is_statement))
def test_a_statement_reads_back_as_the_same_tree(statement: t.Statement) -> None:
    assert_reads_back(statement)


# Texts that are almost right: whatever the parser makes of them, it can be said again

_TOKEN = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|@?[A-Za-z_]\w*|[0-9][\w.]*|->|<>|[<>!|]=|\|\||::|\S")
PIECES = [token for text, _ in corpus() for token in _TOKEN.findall(text)]
SENTENCES = [_TOKEN.findall(text) for text, _ in corpus()]


@st.composite
def spoilt(draw: st.DrawFn) -> str:
    """A statement of the corpus with some tokens gone, doubled, moved or replaced."""
    tokens = list(draw(st.sampled_from(SENTENCES)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(tokens) - 1, 0)))
        match draw(st.sampled_from(["drop", "double", "swap", "replace", "insert", "graft"])):
            case "drop":
                del tokens[at : at + draw(st.integers(1, 3))]
            case "double":
                tokens[at:at] = tokens[at : at + 2]
            case "swap":
                tokens[at : at + 2] = reversed(tokens[at : at + 2])
            case "replace":
                tokens[at : at + 1] = [draw(st.sampled_from(PIECES))]
            case "insert":
                tokens[at:at] = [draw(st.sampled_from(PIECES))]
            case _:
                other = draw(st.sampled_from(SENTENCES))
                start = draw(st.integers(0, len(other) - 1))
                tokens[at:at] = other[start : start + 8]
    return " ".join(tokens)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=400)
@given(spoilt())
def test_what_the_parser_accepts_it_can_say_again(text: str) -> None:
    try:
        statement = parse(text, LIMITS)
    except Invalid:
        return
    assert parse(to_text(statement), LIMITS) == statement


def test_spoilt_texts_are_now_and_then_accepted() -> None:
    """Else the property above says nothing."""
    accepted = 0
    for sentence in SENTENCES:
        for at in range(0, len(sentence), 5):
            with suppress(Invalid):
                parse(" ".join(sentence[:at] + sentence[at + 1 :]), LIMITS)
                accepted += 1
    assert accepted > len(SENTENCES) // 4
