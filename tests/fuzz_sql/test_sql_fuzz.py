"""Queries drawn at random, asked of our engine and of a second one, and of ours in ways that must agree.

Five hundred seeds run always; `make fuzz-sql` runs 20,000 (N=n for another number, SEED=n to begin elsewhere). The same
seed draws the same query in every run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sql_checks import Checker, Failure
from sql_rows import make_tables
from sql_worlds import Ours, Theirs
from structlog.testing import capture_logs

from headwater.model.scan import TimeRange
from headwater.sql import bound, lower_expressions, pushdown_facts

SEEDS, SEEDS_A_TEST = 500, 100
LONG_FIRST = int(os.environ.get("FUZZ_SQL_SEED", "1000"))
LONG_COUNT = int(os.environ.get("FUZZ_SQL_N", "20000"))
PROGRESS_EVERY = 500


@contextmanager
def opened(folder: Path) -> Iterator[Checker]:
    tables = make_tables(1)
    with (
        capture_logs(),  # a line for each query would hide what fails
        closing(Ours(folder / "memory", tables, is_compacted=False)) as memory,
        closing(Ours(folder / "compacted", tables, is_compacted=True)) as compacted,
    ):
        yield Checker(tables, memory, compacted, Theirs(tables))


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checker]:
    with opened(tmp_path_factory.mktemp("engines")) as checker:
        yield checker


def check_all(checker: Checker, seeds: Iterable[int]) -> None:
    for seed in seeds:
        checker.check(seed)


@pytest.mark.parametrize("first", range(0, SEEDS, SEEDS_A_TEST))
def test_answers_agree(checker: Checker, first: int) -> None:
    checker.outcomes.clear()
    check_all(checker, range(first, first + SEEDS_A_TEST))
    # Else the test says nothing.
    assert checker.outcomes["second engine"] > SEEDS_A_TEST * 2 // 3, checker.outcomes


def _never_null(_: lower_expressions.Lowering, __: bound.IsNull) -> str:
    return "false"


def _half_of_a_case(lowering: lower_expressions.Lowering, node: bound.Nullif) -> str:
    return lowering.expression(node.operand)


def _never(_: str, __: list[int]) -> TimeRange:
    return pushdown_facts.NEVER


WRONG = {
    "IS NULL is false": lambda patch: patch.setitem(lower_expressions.FORMS, bound.IsNull, _never_null),
    "nullif keeps its value": lambda patch: patch.setitem(lower_expressions.FORMS, bound.Nullif, _half_of_a_case),
    "no instant is ever scanned": lambda patch: patch.setattr(pushdown_facts, "_range", _never),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_wrong_compiler_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: Callable[[pytest.MonkeyPatch], None]
) -> None:
    """With engines of its own: their plan caches keep what it made."""
    wrong(monkeypatch)
    with opened(tmp_path) as checker, pytest.raises(Failure):
        check_all(checker, range(SEEDS))


@pytest.mark.slow
def test_many_answers_agree(checker: Checker, capsys: pytest.CaptureFixture[str]) -> None:
    started_s, failures = time.monotonic(), []
    for number, seed in enumerate(range(LONG_FIRST, LONG_FIRST + LONG_COUNT), 1):
        try:
            checker.check(seed)
        except Failure as failure:
            failures.append(failure)
            with capsys.disabled():
                print(f"\n{failure}", flush=True)
        if number % PROGRESS_EVERY == 0:
            with capsys.disabled():
                print(f"{number} seeds, {time.monotonic() - started_s:.0f} s, {len(failures)} failures", flush=True)
    with capsys.disabled():
        print("", *(f"{count:6} {outcome}" for outcome, count in checker.outcomes.most_common()), sep="\n")
    assert not failures, f"{len(failures)} of {LONG_COUNT} seeds fail"
