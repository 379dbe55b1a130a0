"""Instants are integers to the engine: no statement hands one to the engine's own functions of time, which round them.

Where the engine's calendar is used, it is given a DATE that `hw_date` makes of whole days. Source: engine/macros.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import duckdb
import pytest
from example_calls import ExampleCall, example_calls
from sql_world import query_plan

from headwater.engine.macros import MACROS
from headwater.errors import Invalid
from headwater.sql.functions import REGISTRY
from headwater.sql.signature import Signature

TEMPORAL = ("DATE", "TIME", "INTERVAL")
"""How the names of the engine's types of time begin."""

TYPES = re.compile(r"\b(TIMESTAMP\w*|TIMESTAMPTZ|TIMETZ|INTERVAL|TIME)\b")
ON_DAYS = re.compile(r"hw_date\(|DATE \?")
"""How an argument of a function of time must begin: the engine's DATE, made of days."""

ALLOWED = {"to_months"}
"""Of whole months, added to a DATE."""

CALLS = [call for call in example_calls() if call.marked]


def engine_time_functions() -> set[str]:
    """Functions of the engine all of whose forms take or give a type of time."""
    with duckdb.connect() as connection:
        found = connection.execute(
            "SELECT function_name, parameter_types, return_type FROM duckdb_functions()"
        ).fetchall()
    of_time, others = set(), set()
    for name, parameters, result in found:
        types = [*(parameters or ()), result]
        is_of_time = any(kind is not None and kind.startswith(TEMPORAL) for kind in types)
        (of_time if is_of_time else others).add(name.lower())
    return of_time - others


TIME_FUNCTIONS = engine_time_functions()


def misused(sql: str) -> Iterator[str]:
    """What a text of the engine's SQL does with instants and must not. Texts between quotation marks say nothing."""
    text = re.sub(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"", "?", sql)
    yield from (f"type {match[0]}" for match in TYPES.finditer(text))
    for match in re.finditer(r"\b([a-z_0-9]+)\(", text):
        if match[1] in TIME_FUNCTIONS - ALLOWED and not any(map(ON_DAYS.match, arguments(text, match.end()))):
            yield text[match.start() : match.end() + 40]


def arguments(text: str, start: int) -> list[str]:
    """The arguments of a call, whose parenthesis opens just before `start`."""
    depth, parts = 1, [""]
    for character in text[start:]:
        depth += (character in "([{") - (character in ")]}")
        if depth == 0:
            break
        if character == "," and depth == 1:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def test_what_counts_as_misuse() -> None:
    assert {"date_trunc", "year", "strftime", "epoch_ms", "make_timestamp", "date_diff", "to_seconds"} <= TIME_FUNCTIONS
    assert {"max", "sum", "generate_series", "list_transform"} & TIME_FUNCTIONS == set()
    assert list(misused("SELECT date_trunc('day', t), year(hw_day(t)), CAST(t AS TIMESTAMP)")) != []
    assert [*misused("strftime(t, '%Y')")] == ["strftime(t, ?)"]
    assert list(misused("SELECT 'date_trunc(t)', year(hw_date(hw_day(t)))")) == []


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_no_function_of_time_gets_an_instant(call: ExampleCall) -> None:
    """Each argument is a column once, so that nothing is computed beforehand."""
    for marked in call.marked:
        try:
            plan = query_plan(f"SELECT {marked.of_column('n > 0')}{call.over_column(1)}")
        except Invalid:
            continue  # a constant is wanted there
        assert list(misused(plan.sql)) == []


def test_every_function_of_instants_is_asked() -> None:
    def is_of_time(signature: Signature) -> bool:
        return any(word in f"{signature.shown} {signature.gives}" for word in ("timestamp", "date", "time", "interval"))

    wanted = {name for name, own in REGISTRY.by_name.items() if any(map(is_of_time, own)) and own[0].arguments}
    asked = {call.name for call in CALLS}
    assert wanted - asked == {"avg", "sum", "create_time_series"}, "aggregates, of integers to the engine"


@pytest.mark.parametrize(
    "query",
    [
        "SELECT time + 1h, time - 1month, time BETWEEN ago(1h) AND now() FROM plant.telemetry",
        "SELECT CAST(time AS varchar), CAST(time AS date), CAST(time AS time) FROM plant.telemetry",
        "SELECT CAST(model AS timestamp), CAST(model AS date), CAST(model AS time) FROM plant.telemetry",
        "SELECT bin(time, 5m), min(time), max_by(temperature, time) FROM plant.telemetry GROUP BY bin(time, 5m)",
        "SELECT lag(time) OVER (ORDER BY time RANGE 1h PRECEDING) FROM plant.telemetry",
        "SELECT sum(1d), avg(1h), create_time_series(time, cycles) FROM plant.telemetry WHERE time > '2024-01-01'",
    ],
)
def test_no_operator_hands_one_over(query: str) -> None:
    assert list(misused(query_plan(query).sql)) == []


@pytest.mark.parametrize(("head", "body"), MACROS, ids=[head for head, _ in MACROS])
def test_no_macro_hands_one_over(head: str, body: str) -> None:
    assert list(misused(body)) == []
