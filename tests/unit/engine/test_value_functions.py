"""Functions of single values: when they are computed, what they refuse, and that runs are told apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from headwater import threads
from headwater.engine import values
from headwater.engine.function import TEXT_CHARACTERS
from headwater.engine.pace import Pace
from headwater.engine.values import ValueFunction
from headwater.errors import Invalid, QueryFailed
from headwater.threads import urgent


def made_of(compute: Callable[..., Any], arguments: tuple[str, ...] = ("VARCHAR",)) -> tuple[Pace, Callable[..., Any]]:
    pace = Pace()
    return pace, ValueFunction("arrow_tried", arguments, "VARCHAR", compute).paced(pace)


def test_what_was_computed_is_remembered_if_it_is_small_and_for_one_run():
    computed: list[str] = []

    def doubled(text: str) -> str:
        computed.append(text)
        return 2 * text

    pace, function = made_of(doubled)
    with pace.run(lambda: False) as number:
        assert [function(number, text) for text in ("a", "b", "a", None, "b")] == ["aa", "bb", "aa", None, "bb"]
        assert computed == ["a", "b"]
        long = "x" * (values.LONG_CHARACTERS // 2 + 1)
        for _ in range(2):
            assert len(function(number, long)) == 2 * len(long)
        assert computed == ["a", "b", long, long]
    with pace.run(lambda: False) as number:
        assert function(number, "a") == "aa"
    assert computed[-1] == "a"


def test_equal_numbers_with_other_texts_are_told_apart():
    pace, function = made_of(str, ("DOUBLE",))
    with pace.run(lambda: False) as number:
        assert [function(number, value) for value in (0.0, -0.0, 0.0)] == ["0.0", "-0.0", "0.0"]


def test_a_run_that_is_over_gets_no_more_values_not_even_remembered_ones():
    is_over = False
    pace, function = made_of(str.upper)
    with pace.run(lambda: is_over) as number:
        assert function(number, "a") == "A"
        is_over = True
        for text in ("b", "a"):
            with pytest.raises(QueryFailed, match="ended"):
                function(number, text)


def test_urgent_work_goes_first_between_values_that_are_remembered(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(threads, "WORK_S", 0.0)
    monkeypatch.setattr(threads, "ASIDE_S", 0.0)
    aside: list[None] = []
    let_go_first = threads._urgent.let_go_first
    monkeypatch.setattr(threads._urgent, "let_go_first", lambda: aside.append(let_go_first()))
    pace, function = made_of(str.upper)
    with pace.run(lambda: False) as number, urgent():
        assert [function(number, "a") for _ in range(10)] == ["A"] * 10
    assert len(aside) >= 9


def test_what_is_too_long_or_too_much_or_invalid_fails_the_query(monkeypatch: pytest.MonkeyPatch):
    def refusing(text: str) -> str:
        if text == "bad":
            raise Invalid("no good")
        return 100 * text

    monkeypatch.setattr(values, "MADE_BYTES", 1_000)
    pace, function = made_of(refusing)
    with pace.run(lambda: False) as number:
        with pytest.raises(QueryFailed, match="too long"):
            function(number, "x" * (TEXT_CHARACTERS + 1))
        with pytest.raises(QueryFailed, match="no good"):
            function(number, "bad")
        for _ in range(10):
            function(number, "x")
        with pytest.raises(QueryFailed, match="memory limit"):
            function(number, "x")
