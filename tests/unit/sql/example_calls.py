"""The calls of scalar functions among the examples of docs/sql.md, with one argument marked: constants no longer.

For laws about every function: `test_nulls.py`, `test_instants.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from headwater.model.limits import Limits
from headwater.sql import functions, tree
from headwater.sql.parser import parse
from headwater.sql.signature import Kind
from support.sql_page import PAGE, examples
from support.sql_text import to_text

_MARK = "\ue000"


@dataclass(frozen=True)
class Marked:
    """A call with one of its arguments marked: what is before it, it, and what is after it."""

    name: str
    place: int
    before: str
    argument: str
    after: str

    @property
    def of_null(self) -> str:
        return f"{self.before}NULL{self.after}"

    def of_column(self, condition: str) -> str:
        """The argument is a value that is known only while the query runs; NULL where the condition is false."""
        return f"{self.before}CASE WHEN {condition} THEN {self.argument} END{self.after}"


@dataclass(frozen=True)
class ExampleCall:
    """One call, marked in each argument that is not a lambda; `over` is the relation it is over, or empty."""

    name: str
    marked: tuple[Marked, ...]
    over: str

    def over_column(self, value: int) -> str:
        """FROM, with a column `n` of this value beside what is there."""
        column = f"(VALUES {value}) AS z (n)"
        return f"{self.over}, {column}" if self.over else f" FROM {column}"


def example_calls() -> Iterator[ExampleCall]:
    """The first call of each function with so many arguments."""
    found = set()
    for example in examples(PAGE.read_text("utf-8")):
        if example.value is None or "AS t (v)" in example.statement:
            continue
        statement = parse(example.statement, Limits())
        assert isinstance(statement, tree.Query)
        assert isinstance(statement.body, tree.Select)
        over = example.statement.removeprefix("SELECT ").removeprefix(example.expression)
        for call in _calls(statement.body.items):
            if (call.name, len(call.arguments)) not in found:
                found.add((call.name, len(call.arguments)))
                yield ExampleCall(call.name, tuple(_marked(call)), over)


def _calls(node: Any) -> Iterator[tree.FunctionCall]:
    """Calls of scalar functions of the registry, but for those within a lambda."""
    if isinstance(node, tree.FunctionCall) and functions.kind(node.name) is Kind.SCALAR:
        yield node
    parts = node if isinstance(node, tuple) else ()
    if isinstance(node, tree.Node) and not isinstance(node, tree.Lambda):
        parts = tuple(getattr(node, field.name) for field in fields(node))
    for part in parts:
        yield from _calls(part)


def _marked(call: tree.FunctionCall) -> Iterator[Marked]:
    for place, argument in enumerate(call.arguments):
        if not isinstance(argument, tree.Lambda):
            marked = (*call.arguments[:place], tree.StringLiteral(0, 0, _MARK), *call.arguments[place + 1 :])
            before, _, after = to_text(replace(call, arguments=marked)).partition(f"'{_MARK}'")
            yield Marked(call.name, place, before, to_text(argument), after)
