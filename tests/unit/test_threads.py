"""What a query computes in Python lets urgent work go first, but not for ever."""

from __future__ import annotations

import gc
import math
import threading
import time

import pytest

from headwater import threads
from headwater.threads import begin_turn, garbage_in_steps, in_turns, pass_on, resting, urgent

WAIT_S = 10.0


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns that are over at once, and let urgent work go first for as long as it takes."""
    monkeypatch.setattr(threads, "WORK_S", 0.0)
    monkeypatch.setattr(threads, "ASIDE_S", WAIT_S)


def passing_on() -> tuple[threading.Thread, threading.Event]:
    """A thread that passes on once in its turn, and what it sets behind that."""
    passed = threading.Event()

    def work() -> None:
        begin_turn()
        pass_on()
        passed.set()

    thread = threading.Thread(target=work)
    thread.start()
    return thread, passed


@pytest.mark.usefixtures("patient")
def test_a_turn_goes_on_at_once_when_nothing_is_urgent():
    started_s = time.monotonic()
    begin_turn()
    pass_on()
    with urgent():
        pass
    pass_on()
    assert time.monotonic() - started_s < WAIT_S


@pytest.mark.usefixtures("patient")
def test_a_turn_goes_on_when_all_that_was_urgent_is_over():
    with urgent():
        with urgent():
            thread, passed = passing_on()
            assert not passed.wait(0.05)
        assert not passed.wait(0.05)
    assert passed.wait(WAIT_S / 2)
    thread.join()


@pytest.mark.usefixtures("patient")
def test_urgent_work_goes_first_between_two_of_many():
    reached: list[int] = []
    is_done = threading.Event()

    def work() -> None:
        begin_turn()
        for number in in_turns([1, 2, 3]):
            reached.append(number)
        is_done.set()

    with urgent():
        thread = threading.Thread(target=work)
        thread.start()
        assert not is_done.wait(0.05)
        assert reached == []
    assert is_done.wait(WAIT_S / 2)
    assert reached == [1, 2, 3]
    thread.join()


def test_there_is_a_rest_behind_a_step_only_if_there_was_urgent_work_lately(monkeypatch: pytest.MonkeyPatch):
    rests: list[float] = []
    monkeypatch.setattr(time, "sleep", rests.append)
    monkeypatch.setattr(threads._urgent, "last_s", -math.inf)
    with resting():
        pass
    assert rests == []
    with urgent():
        pass
    with resting():
        began_s = time.monotonic()
        while time.monotonic() < began_s + 0.002:
            pass
    assert 0.002 <= rests.pop() <= threads.REST_S


def test_a_turn_that_is_not_over_stands_aside_for_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(threads, "WORK_S", WAIT_S)
    monkeypatch.setattr(threads, "ASIDE_S", 100 * WAIT_S)
    with urgent():
        thread, passed = passing_on()
        assert passed.wait(WAIT_S)
    thread.join()


@pytest.mark.usefixtures("patient")
def test_a_thread_that_works_for_no_query_stands_aside_for_nothing():
    passed = threading.Event()
    with urgent():
        thread = threading.Thread(target=lambda: (pass_on(), passed.set()))
        thread.start()
        assert passed.wait(WAIT_S / 2)
    thread.join()


def test_urgent_work_without_end_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(threads, "WORK_S", 0.0)
    with urgent():
        thread, passed = passing_on()
        assert passed.wait(WAIT_S)
    thread.join()


def test_what_fails_is_not_urgent_any_more():
    def fail() -> None:
        with urgent():
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert threads._urgent.count == 0
    assert threads._urgent.is_over.is_set()


def test_what_is_there_at_the_start_is_not_looked_through_again():
    before = gc.get_threshold()
    with garbage_in_steps():
        assert gc.get_threshold() == threads.GARBAGE_STEPS
        assert gc.get_freeze_count() > 0
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)
