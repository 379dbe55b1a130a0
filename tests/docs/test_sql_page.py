"""docs/sql.md: every function of the registry has a row with its signatures, and every example answers what it says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

import pytest

from headwater.sql.functions import REGISTRY
from support.golden import Case, Golden, NewTable, aligned, parse_write
from support.golden_world import Life, World
from support.sql_page import PAGE, Example, examples, remade, rows, signatures

TEXT = PAGE.read_text("utf-8")
EXAMPLES = examples(TEXT)

PUMPS = [
    ["time", "device", "temperature:double", "fault:boolean"],
    ["2024-03-09T11:00:00Z", "p-1", "20.5", "false"],
    ["2024-03-09T11:00:00Z", "p-2", "18.25", "false"],
    ["2024-03-09T11:20:00Z", "p-1", "22.5", "true"],
    ["2024-03-09T11:40:00Z", "p-1", "21", "NULL"],
]
"""The table that the page's statements are about."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    write = parse_write("plant.pumps site=oslo measure_name=reading", PUMPS)
    golden = Golden(PAGE, [NewTable("plant", "pumps", 24, 7), write, *map(case, EXAMPLES)])
    world = World(golden, Life.MEMORY, tmp_path_factory.mktemp("sql_page"))
    yield world
    world.close()


@cache
def case(example: Example) -> Case:
    return Case(example.line, "query", example.statement, None, [], example.line, None, "")


def test_signatures_are_made_anew_after_a_change() -> None:
    assert remade(TEXT) == TEXT, "run: make docs"


def test_every_function_has_one_row() -> None:
    assert sorted(rows(TEXT)) == sorted(REGISTRY.by_name)


def test_every_function_has_an_example() -> None:
    called = {
        name.lower() for example in EXAMPLES if example.fault is None for name in re.findall(r"\w+", example.expression)
    }
    assert set(REGISTRY.by_name) - called == set()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"{example.line}")
def test_examples_answer_what_they_say(example: Example, world: World) -> None:
    answer = world.answer(case(example))
    if example.fault is not None:
        assert (answer.verb[:5], "\n".join(row[0] for row in answer.rows).strip('"')) == ("error", example.fault)
    elif example.block is not None:
        assert "\n".join(aligned(answer.rows)) == example.block.rstrip("\n")
    else:
        assert ", ".join(row[0] for row in answer.rows[1:]) == example.value


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pi", "`pi()` → `double`"),
        ("now", "`now()` → `timestamp`"),
        ("count", "`count(* or T)` → `bigint`"),
        ("round", "`round(number[, integer])` → `number`"),
        (
            "avg",
            "`avg(number)` → `double`<br>`avg(interval day to second)` → `interval day to second`<br>"
            "`avg(interval year to month)` → `interval year to month`",
        ),
        ("lead", "`lead(T[, bigint[, T]])` → `T`"),
        (
            "concat_ws",
            "`concat_ws(varchar, varchar...)` → `varchar`<br>`concat_ws(varchar, array(varchar))` → `varchar`",
        ),
        ("year", "`year(timestamp or date or interval year to month)` → `bigint`"),
        (
            "approx_percentile",
            "`approx_percentile(number, double)` → `number`<br>"
            "`approx_percentile(number, bigint, double[, double])` → `number`<br>"
            "`approx_percentile(number, array(double))` → `array(number)`<br>"
            "`approx_percentile(number, bigint, array(double)[, double])` → `array(number)`",
        ),
    ],
)
def test_signatures_say_all_ways_to_call_a_function(name: str, expected: str) -> None:
    assert signatures(name) == expected
