"""A scalar function gives NULL for NULL in any argument: asked of the examples of docs/sql.md, in each place."""

from __future__ import annotations

import pytest
from example_calls import ExampleCall, Marked, example_calls
from sql_world import rows

from headwater.errors import Invalid
from headwater.sql.functions import REGISTRY
from headwater.sql.signature import Kind

OTHERWISE = {
    ("format", 1): "NULL is written as null",
    ("format", 2): "NULL is written as null",
    ("concat_ws", 1): "NULLs among the texts are left out",
    ("concat_ws", 2): "NULLs among the texts are left out",
    ("concat_ws", 3): "NULLs among the texts are left out",
    ("repeat", 0): "an array of NULLs",
    ("array_sort", 0): "what its lambda subtracts has no type",
    ("reduce", 1): "the state at the start has no type",
    ("normalize", 1): "a form, not a value",
}
"""By function and place of the argument: what is so instead, or why it cannot be asked."""

CALLS = [call for call in example_calls() if call.marked]


def asked(call: ExampleCall) -> list[Marked]:
    return [marked for marked in call.marked if (marked.name, marked.place) not in OTHERWISE]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_null_in_null_out(call: ExampleCall) -> None:
    calls = [marked.of_null for marked in asked(call)] or ["NULL"]
    assert rows(f"SELECT {', '.join(calls)}{call.over}") == [(None,) * len(calls)]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_null_of_a_column(call: ExampleCall) -> None:
    for marked in asked(call):
        assert found(f"SELECT {marked.of_column('n > 0')}{call.over_column(0)}") in ([(None,)], "must be a constant")


def found(query: str) -> object:
    """The answer; of a function that wants a constant there, what it says."""
    try:
        return rows(query)
    except Invalid as fault:
        if "must be a constant" not in fault.message:
            raise
        return "must be a constant"


def test_every_scalar_function_with_arguments_is_asked() -> None:
    scalars = {name for name, own in REGISTRY.by_name.items() if own[0].kind is Kind.SCALAR and own[0].arguments}
    assert scalars - {call.name for call in CALLS} == set()


def test_no_exception_is_out_of_date() -> None:
    places = {(marked.name, marked.place) for call in CALLS for marked in call.marked}
    assert set(OTHERWISE) - places == set()
