"""Nothing of the service's model is only said to be supported: a running server is seen to do it.

What the server reads comes from its shapes, what it answers from the exchanges of `support.conformance_story`. Whatever
is neither there nor a row of `support.conformance_differences` fails here, and so does a row that is no longer true.
After a change of the rows: `make docs`.
"""

from __future__ import annotations

import pytest

from headwater.server.operations import OPERATIONS
from support.conformance import Item, covers, decoded_by, items_of, missing, seen_in, seen_in_error
from support.conformance_differences import MISSING, NOTES, OTHERWISE
from support.conformance_story import Exchange, tell

ALL = [item for operation in OPERATIONS for item in items_of(operation)]


@pytest.fixture(scope="module")
def exchanges(tmp_path_factory: pytest.TempPathFactory) -> list[Exchange]:
    return tell(tmp_path_factory.mktemp("conformance"))


@pytest.fixture(scope="module")
def seen(exchanges: list[Exchange]) -> set[Item]:
    """All that was answered: output members, errors, and members of errors."""
    found: set[Item] = set()
    for exchange in exchanges:
        if exchange.error is None:
            found |= seen_in(exchange.operation, exchange.body)
        else:
            found |= seen_in_error(exchange.operation, exchange.error, exchange.body)
    return found


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_input_member_is_read_or_has_its_reason(operation: str) -> None:
    modelled = {item for item in items_of(operation) if item.part == "input"}
    read = decoded_by(operation)
    assert not read - modelled, "the server reads what the model does not have"
    told(modelled - read, "not in the shape of the request")
    contradicted(modelled & read)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_output_member_is_given_or_has_its_reason(operation: str, seen: set[Item]) -> None:
    modelled = {item for item in items_of(operation) if item.part == "output"}
    told(modelled - seen, "in no answer of tests/support/conformance_story.py")
    contradicted(modelled & seen)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_error_is_provoked_or_has_its_reason(operation: str, seen: set[Item]) -> None:
    modelled = {item for item in items_of(operation) if item.part == "error"}
    told(modelled - seen, "provoked by no step of tests/support/conformance_story.py")
    contradicted(modelled & seen)


def told(absent: set[Item], how: str) -> None:
    untold = sorted(str(item) for item in absent if missing(item) is None)
    assert not untold, f"{how}, and without a row in MISSING of tests/support/conformance_differences.py: {untold}"


def contradicted(here: set[Item]) -> None:
    wrong = sorted(str(item) for item in here if missing(item) is not None)
    assert not wrong, f"here, against a row of tests/support/conformance_differences.py: {wrong}"


@pytest.mark.parametrize("row", [*MISSING, *OTHERWISE], ids=lambda row: f"{row.operations}-{row.path}")
def test_every_row_speaks_of_something(row) -> None:
    items = [item for item in ALL if covers(row, item)]
    assert items
    if row.operations != "*":
        assert {item.operation for item in items} == set(row.operations.split())
    if row in OTHERWISE:
        assert not any(map(missing, items))


def test_notes_are_about_operations_that_are_here() -> None:
    assert set(NOTES) <= set(OPERATIONS)
