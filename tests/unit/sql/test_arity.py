"""A call with too many arguments, or with none where some are needed, is told which there are."""

from __future__ import annotations

import pytest
from sql_world import query_plan

from headwater.errors import Invalid
from headwater.sql.functions import REGISTRY
from headwater.sql.signature import Kind

MANY = 9
"""More arguments than any function has that does not take as many as there are."""


def refusal(name: str, count: int) -> str:
    over = " OVER ()" if REGISTRY.kind(name) is Kind.WINDOW else ""
    with pytest.raises(Invalid) as caught:
        query_plan(f"SELECT {name}({', '.join(['NULL'] * count)}){over}")
    return caught.value.message


def expected(name: str, count: int) -> str:
    given = ", ".join(["unknown"] * count)
    return f"line 1:8: Unexpected parameters ({given}) for function {name}. Expected: {REGISTRY.shown(name)}"


# The grammar has forms of its own for these: words, `position(x IN y)`, `normalize(x, NFC)`.
OF_THE_GRAMMAR = {"current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"}
NAMES = sorted(REGISTRY.by_name.keys() - OF_THE_GRAMMAR - {"position", "normalize"})


@pytest.mark.parametrize("name", [name for name in NAMES if not any(row.is_variadic for row in REGISTRY.by_name[name])])
def test_too_many_arguments_are_refused(name: str) -> None:
    assert refusal(name, MANY) == expected(name, MANY)


@pytest.mark.parametrize("name", [name for name in NAMES if all(row.arguments for row in REGISTRY.by_name[name])])
def test_no_arguments_are_refused(name: str) -> None:
    assert refusal(name, 0) == expected(name, 0)
