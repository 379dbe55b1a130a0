"""Cursors: tokens are bound to text and caller, have five uses and an hour; repeats find their run."""

from __future__ import annotations

import base64
import secrets
from concurrent.futures import Future

import pyarrow as pa
import pytest

from headwater.errors import Invalid
from headwater.model.time import NS_PER_S, FixedClock
from headwater.model.types import OutputColumn, Scalar
from headwater.query.cursor import REPEAT_WINDOW_S, RUN_BYTES, TOKEN_LIFE_S, TOKEN_USES, Cursors, Run
from headwater.query.result import Result, RowsInMemory
from headwater.query.token import Caller, Place
from headwater.sealing import SealingKey

COLUMNS = (OutputColumn("a", Scalar.BIGINT),)
TOKEN_A, TOKEN_B = "a" * 32, "b" * 32
ME, OTHER = Caller("000000000000", "AKIAME"), Caller("000000000000", "AKIAOTHER")
TEXT = "SELECT 1"


def finished(rows: int = 3) -> Future[Result]:
    done: Future[Result] = Future()
    done.set_result(Result(RowsInMemory(pa.table({"c0": list(range(rows))})), COLUMNS, 0, 0))
    return done


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(0)


@pytest.fixture
def ended() -> list[str]:
    """The runs whose tokens have ended, by query id."""
    return []


@pytest.fixture
def cursors(clock: FixedClock, ended: list[str]) -> Cursors:
    return Cursors(
        SealingKey(b"k" * 32),
        clock,
        1_000 + 2 * RUN_BYTES,
        secrets.token_bytes,
        lambda run: ended.append(run.query_id),
    )


def begin(cursors: Cursors, clock: FixedClock, query_id: str, client_token: str | None = None) -> Run:
    run = Run(query_id, TEXT, ME, COLUMNS, finished(), clock.monotonic_s(), clock.now_ns(), client_token)
    cursors.add(run)
    return run


def used(cursors: Cursors, token: str, caller: Caller = ME, text: str = TEXT) -> Place:
    """What a call with the token does. Raises Invalid."""
    named, run = cursors.opened(token, caller, text)
    if run is None:
        raise Invalid("no run")
    cursors.use(run, named.place)
    return named.place


def test_a_token_names_its_place_five_times(cursors: Cursors, clock: FixedClock):
    token = cursors.token(begin(cursors, clock, "Q1"), Place(2))
    assert [used(cursors, token) for _ in range(TOKEN_USES)] == [Place(2)] * 5
    with pytest.raises(Invalid, match="Invalid pagination token"):
        used(cursors, token)


def test_a_newer_token_ends_the_older_ones(cursors: Cursors, clock: FixedClock):
    run = begin(cursors, clock, "Q1")
    tokens = [cursors.token(run, place) for place in (Place(0, 1), Place(0, 2), Place(2), Place(4))]
    assert used(cursors, tokens[1]) == Place(0, 2)
    assert used(cursors, tokens[2]) == Place(2)
    for older in tokens[:2]:
        with pytest.raises(Invalid):
            used(cursors, older)
    assert used(cursors, tokens[2]) == Place(2)
    assert used(cursors, tokens[3]) == Place(4)


def test_a_token_of_another_text_or_caller_is_refused(cursors: Cursors, clock: FixedClock):
    token = cursors.token(begin(cursors, clock, "Q1"), Place(2))
    for caller, text in ((ME, "SELECT 2"), (OTHER, TEXT), (Caller("111111111111", "AKIAME"), TEXT)):
        with pytest.raises(Invalid, match="Invalid pagination token"):
            used(cursors, token, caller, text)
    assert used(cursors, token) == Place(2)


@pytest.mark.parametrize("forged", ["", "x", "====", "ünder", base64.urlsafe_b64encode(b"0" * 87).decode()])
def test_what_is_no_token_is_refused(cursors: Cursors, forged: str):
    with pytest.raises(Invalid, match="Invalid pagination token"):
        cursors.opened(forged, ME, TEXT)


def test_every_changed_character_is_refused(cursors: Cursors, clock: FixedClock):
    token = cursors.token(begin(cursors, clock, "Q1"), Place(2))
    for place, character in enumerate(token):
        changed = token[:place] + ("A" if character != "A" else "B") + token[place + 1 :]
        with pytest.raises(Invalid):
            cursors.opened(changed, ME, TEXT)


def test_a_token_is_of_no_use_after_its_hour(cursors: Cursors, clock: FixedClock, ended: list[str]):
    run = begin(cursors, clock, "Q1")
    token = cursors.token(run, Place(2))
    clock.advance(int(TOKEN_LIFE_S) * NS_PER_S)
    assert used(cursors, token) == Place(2)
    later = cursors.token(run, Place(3))
    clock.advance(NS_PER_S)
    with pytest.raises(Invalid):
        used(cursors, token)
    assert used(cursors, later) == Place(3)
    assert ended == []
    clock.advance(int(TOKEN_LIFE_S + 1) * NS_PER_S)
    begin(cursors, clock, "Q2")
    assert ended == ["Q1"]


def test_the_same_client_token_is_the_same_run_for_a_while(cursors: Cursors, clock: FixedClock):
    run = begin(cursors, clock, "Q1", TOKEN_A)
    assert cursors.repeated(ME, TOKEN_A, TEXT, None) is run
    assert cursors.repeated(ME, TOKEN_B, TEXT, None) is None
    assert cursors.repeated(OTHER, TOKEN_A, TEXT, None) is None
    with pytest.raises(Invalid, match="other parameters"):
        cursors.repeated(ME, TOKEN_A, "SELECT 2", None)
    clock.advance(int(REPEAT_WINDOW_S + 1) * NS_PER_S)
    assert cursors.repeated(ME, TOKEN_A, TEXT, None) is None


def test_a_dropped_run_is_begun_anew(cursors: Cursors, clock: FixedClock):
    run = begin(cursors, clock, "Q1", TOKEN_A)
    token = cursors.token(run, Place(0, 1))
    cursors.drop(run)
    assert cursors.repeated(ME, TOKEN_A, TEXT, None) is None
    assert cursors.opened(token, ME, TEXT)[1] is None


def test_the_oldest_results_make_room_and_the_newest_stays(cursors: Cursors, clock: FixedClock):
    tokens = []
    for number in range(3):
        run = begin(cursors, clock, f"Q{number}")
        tokens.append(cursors.token(run, Place(1)))
        cursors.ended(run, 600 if number < 2 else 20 * RUN_BYTES)
        kept = [cursors.opened(token, ME, TEXT)[1] is not None for token in tokens]
        assert kept == {0: [True], 1: [False, True]}.get(number, [False, False, True])


def test_two_calls_at_once_with_one_client_token_are_counted_once(cursors: Cursors, clock: FixedClock):
    for number in range(100):
        cursors.ended(begin(cursors, clock, f"Q{number}", TOKEN_A), 600)
    clock.advance(int(REPEAT_WINDOW_S + 1) * NS_PER_S)
    assert cursors.repeated(ME, TOKEN_A, TEXT, None) is None
    tokens = []
    for number in range(2):
        run = begin(cursors, clock, f"R{number}")
        tokens.append(cursors.token(run, Place(1)))
        cursors.ended(run, 1)
    assert all(cursors.opened(token, ME, TEXT)[1] is not None for token in tokens)


def test_texts_of_runs_take_room_too(cursors: Cursors, clock: FixedClock):
    for number in range(100):
        begin(cursors, clock, f"Q{number}", f"{number:032d}")
    kept = [cursors.repeated(ME, f"{number:032d}", TEXT, None) is not None for number in range(100)]
    assert kept == [False] * 98 + [True] * 2
