"""Every function has golden cases of each kind that it can have. What a case shows is read off its SQL.

ordinary     a `query` that calls it without NULL
null         a `query` that calls it with NULL among its arguments; an aggregate or window function: with NULL anywhere
empty        a case that calls it with '', ARRAY[] or map(), if it takes a text, array, map or series; an aggregate:
             with WHERE false
edge         two different calls in queries, or a call that fails for what its arguments are
wrong type   an `error` that says which parameters it expects
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from headwater.errors import Invalid
from headwater.model.limits import Limits
from headwater.model.types import Array, Map, Scalar, Timeseries
from headwater.sql import functions, tree
from headwater.sql.parser import parse
from headwater.sql.signature import Any_, Kind, Nested, Pattern, Variable
from support.golden import Case, read_golden
from support.sql_text import to_text

GOLDEN = Path(__file__).parents[2] / "sql"

EXEMPT = {
    (name, "wrong type"): "a word without parentheses"
    for name in ("current_date", "current_time", "current_timestamp", "localtime", "localtimestamp")
}

Kinds = dict[str, set[str]]


def test_every_function_has_golden_cases_of_each_kind() -> None:
    shown = _shown()
    missing = {
        name: sorted(kind for kind in _wanted(name) - shown[name] if (name, kind) not in EXEMPT)
        for name in functions.REGISTRY.by_name
    }
    assert {name: kinds for name, kinds in missing.items() if kinds} == {}


def test_no_exemption_is_out_of_date() -> None:
    shown = _shown()
    assert [one for one in EXEMPT if one[1] in shown[one[0]] or one[1] not in _wanted(one[0])] == []


def _wanted(name: str) -> set[str]:
    rows = functions.REGISTRY.by_name[name]
    patterns = [pattern for row in rows for pattern in row.arguments]
    wanted = {"ordinary", "wrong type"}
    if patterns:
        wanted |= {"null", "edge"}
    if any(map(_may_be_empty, patterns)) or rows[0].kind is Kind.AGGREGATE:
        wanted.add("empty")
    return wanted


def _may_be_empty(pattern: Pattern) -> bool:
    return pattern is Scalar.VARCHAR or (isinstance(pattern, Nested) and pattern.make in (Array, Map, Timeseries))


def _shown() -> defaultdict[str, set[str]]:
    """For each function the kinds of cases there are."""
    shown: defaultdict[str, set[str]] = defaultdict(set)
    calls: defaultdict[str, set[str]] = defaultdict(set)
    for path in sorted(GOLDEN.rglob("*.slt")):
        for case in read_golden(path).cases:
            if case.mark is None and case.write is None:
                _read(case, shown, calls)
    for name, texts in calls.items():
        if len(texts) > 1:
            shown[name].add("edge")
    return shown


def _read(case: Case, shown: defaultdict[str, set[str]], calls: defaultdict[str, set[str]]) -> None:
    try:
        statement = parse(case.text, Limits())
    except Invalid:
        return
    nodes = list(_walk(statement))
    has_null = any(isinstance(node, tree.NullLiteral) for node in nodes)
    is_none = any(isinstance(node, tree.Select) and _is_false(node.where) for node in nodes)
    message = "\n".join(cell for row in case.answer for cell in row)
    for node in nodes:
        if isinstance(node, tree.Extract):
            node = tree.FunctionCall(0, 0, node.field, (node.value,))
        if not isinstance(node, tree.FunctionCall) or functions.kind(node.name) is None:
            continue
        is_scalar = functions.kind(node.name) is Kind.SCALAR
        below = [part for argument in node.arguments for part in _walk(argument)]
        if any(map(_is_empty, below)):
            shown[node.name].add("empty")
        if case.verb != "query":
            says_types = f"for function {node.name}. Expected: " in message
            shown[node.name].add("wrong type" if says_types else "edge")
            continue
        own_null = any(isinstance(part, tree.NullLiteral) for part in below)
        calls[node.name].add(to_text(node))
        shown[node.name].add("null" if own_null or (has_null and not is_scalar) else "ordinary")
        if is_none:
            shown[node.name].add("empty")


def _is_empty(node: tree.Node) -> bool:
    match node:
        case tree.StringLiteral(value=""):
            return True
        case tree.ArrayConstructor(elements=()):
            return True
        case tree.FunctionCall(name="map", arguments=()):
            return True
    return False


def _is_false(node: tree.Node | None) -> bool:
    return isinstance(node, tree.BooleanLiteral) and not node.value


def _walk(node: Any) -> Iterator[tree.Node]:
    if isinstance(node, tree.Node):
        yield node
        for one in fields(node):
            yield from _walk(getattr(node, one.name))
    elif isinstance(node, tuple):
        for part in node:
            yield from _walk(part)


@pytest.mark.parametrize("name", ["filter", "greatest"])
def test_what_is_wanted(name: str) -> None:
    """A function of arrays may get an empty one; one of anything need not."""
    assert _wanted(name) == {"ordinary", "wrong type", "null", "edge"} | ({"empty"} if name == "filter" else set())
    assert isinstance(functions.REGISTRY.by_name["greatest"][0].arguments[0], Variable | Any_)
