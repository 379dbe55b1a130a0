"""Cursors: tokens are bound to the text, results live an hour and in bounded room, repeats find their run."""

from __future__ import annotations

import base64
from concurrent.futures import Future

import pyarrow as pa
import pytest

from headwater.errors import Invalid
from headwater.model.time import NS_PER_S, FixedClock
from headwater.model.types import OutputColumn, Scalar
from headwater.query.cursor import REPEAT_WINDOW_S, RUN_BYTES, RUN_LIFE_S, Cursors, Run
from headwater.query.result import Result

COLUMNS = (OutputColumn("a", Scalar.BIGINT),)
TOKEN_A, TOKEN_B = "a" * 32, "b" * 32


def finished(rows: int = 3) -> Future[Result]:
    done: Future[Result] = Future()
    done.set_result(Result(pa.table({"c0": list(range(rows))}), COLUMNS, 0, 0))
    return done


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(0)


@pytest.fixture
def cursors(clock: FixedClock) -> Cursors:
    return Cursors(b"k" * 32, clock, memory_bytes=1_000 + 2 * RUN_BYTES)


def begin(cursors: Cursors, clock: FixedClock, query_id: str, client_token: str | None = None) -> Run:
    run = Run(query_id, "SELECT 1", COLUMNS, finished(), clock.monotonic_s(), client_token)
    cursors.add(run)
    return run


def test_a_token_names_its_place_again_and_again(cursors: Cursors, clock: FixedClock):
    run = begin(cursors, clock, "Q1")
    token = cursors.token(run, 2)
    assert [cursors.resume(token, "SELECT 1") for _ in range(3)] == [(run, 2)] * 3


def test_a_token_of_another_text_is_refused(cursors: Cursors, clock: FixedClock):
    token = cursors.token(begin(cursors, clock, "Q1"), 2)
    with pytest.raises(Invalid, match="Invalid pagination token"):
        cursors.resume(token, "SELECT 2")


@pytest.mark.parametrize("forged", ["", "x", "====", "ünder", base64.urlsafe_b64encode(b"0" * 87).decode()])
def test_what_is_no_token_is_refused(cursors: Cursors, forged: str):
    with pytest.raises(Invalid, match="Invalid pagination token"):
        cursors.resume(forged, "SELECT 1")


def test_every_changed_character_is_refused(cursors: Cursors, clock: FixedClock):
    token = cursors.token(begin(cursors, clock, "Q1"), 2)
    for place, character in enumerate(token):
        changed = token[:place] + ("A" if character != "A" else "B") + token[place + 1 :]
        with pytest.raises(Invalid):
            cursors.resume(changed, "SELECT 1")


def test_a_run_is_gone_after_its_hour(cursors: Cursors, clock: FixedClock):
    token = cursors.token(begin(cursors, clock, "Q1"), 2)
    clock.advance(int(RUN_LIFE_S) * NS_PER_S)
    assert cursors.resume(token, "SELECT 1")[1] == 2
    clock.advance(NS_PER_S)
    with pytest.raises(Invalid):
        cursors.resume(token, "SELECT 1")


def test_the_same_client_token_is_the_same_run_for_a_while(cursors: Cursors, clock: FixedClock):
    run = begin(cursors, clock, "Q1", TOKEN_A)
    assert cursors.repeated(TOKEN_A, "SELECT 1", None) is run
    assert cursors.repeated(TOKEN_B, "SELECT 1", None) is None
    with pytest.raises(Invalid, match="other parameters"):
        cursors.repeated(TOKEN_A, "SELECT 2", None)
    clock.advance(int(REPEAT_WINDOW_S + 1) * NS_PER_S)
    assert cursors.repeated(TOKEN_A, "SELECT 1", None) is None


def test_the_oldest_results_make_room_and_the_newest_stays(cursors: Cursors, clock: FixedClock):
    tokens = []
    for number in range(3):
        run = begin(cursors, clock, f"Q{number}")
        tokens.append(cursors.token(run, 1))
        cursors.ended(run, 600 if number < 2 else 20 * RUN_BYTES)
        assert [_is_kept(cursors, token) for token in tokens] == {0: [True], 1: [False, True]}.get(
            number, [False, False, True]
        )


def test_two_calls_at_once_with_one_client_token_are_counted_once(cursors: Cursors, clock: FixedClock):
    for number in range(100):
        cursors.ended(begin(cursors, clock, f"Q{number}", TOKEN_A), 600)
    clock.advance(int(REPEAT_WINDOW_S + 1) * NS_PER_S)
    assert cursors.repeated(TOKEN_A, "SELECT 1", None) is None
    tokens = []
    for number in range(2):
        run = begin(cursors, clock, f"R{number}")
        tokens.append(cursors.token(run, 1))
        cursors.ended(run, 1)
    assert all(_is_kept(cursors, token) for token in tokens)


def test_texts_of_runs_take_room_too(cursors: Cursors, clock: FixedClock):
    for number in range(100):
        begin(cursors, clock, f"Q{number}", f"{number:032d}")
    kept = [cursors.repeated(f"{number:032d}", "SELECT 1", None) is not None for number in range(100)]
    assert kept == [False] * 98 + [True] * 2


def _is_kept(cursors: Cursors, token: str) -> bool:
    try:
        cursors.resume(token, "SELECT 1")
    except Invalid:
        return False
    return True
