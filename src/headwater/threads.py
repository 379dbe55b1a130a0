"""How threads share processors and the interpreter: whatever works for a query stands back behind the rest.

`engine` and `query` start the threads that run queries with `stand_back`; `cli/serve` sets the interpreter's turns
and its search for garbage once for the process. `server` says what is `urgent`; what a query computes in Python works
in turns (`begin_turn`, `pass_on`, `in_turns`) and lets that go first, and leaves it a part of the disk (`resting`).
Starts no thread itself.
"""

from __future__ import annotations

import gc
import math
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

TURN_S = 0.0005
"""So long one thread may run Python while others wait. A write takes a dozen turns; Python's own 5 ms each would be
felt as soon as a query computes something in Python."""

NICENESS = 5
"""Gives a query's thread about a third of what a writing one gets when both want the same processor. More would let a
thread hold the interpreter, which writes need too, while it waits for a processor."""

GARBAGE_STEPS = (10_000, 10, 100)
"""Objects between two looks at the newest, and how many of each look there are to one at the next older. Nothing else
runs while Python looks for cycles: at its own pace a query that makes many objects has it look at all that there are,
for 50 to 100 ms. Here it is 100,000 objects at most, but for one look in ten million."""

WORK_S = 0.001
"""So long a query computes in Python before it looks whether something urgent waits. Most statements compile in it."""

ASIDE_S = 0.005
"""So long it lets urgent work go first, times the threads that do so: of writes without end queries leave a part."""


def take_short_turns() -> None:
    """Let the process's threads change over sooner than Python would."""
    sys.setswitchinterval(TURN_S)


@contextmanager
def garbage_in_steps() -> Iterator[None]:
    """Begun once all is there that stays: leaves that out, and looks through a little of the rest at a time."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_STEPS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def stand_back() -> None:
    """Lower the priority of this thread, and of those that it starts, for good. Only Linux knows it of a thread."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


RECENT_S = 0.1
"""Urgent work that came no longer ago is likely to be followed by more."""

REST_S = 0.02
"""The longest rest behind one piece of work."""


class _Urgent:
    """What is urgent now. The interpreter is one for the process, so is this."""

    def __init__(self) -> None:
        self.count = 0
        self.last_s = -math.inf
        self.is_over = threading.Event()
        self.is_over.set()
        self.aside = 0
        self._lock = threading.Lock()

    def add(self, change: int) -> None:
        with self._lock:
            self.count += change
            self.last_s = time.monotonic()
            if self.count:
                self.is_over.clear()
            else:
                self.is_over.set()

    def let_go_first(self) -> None:
        with self._lock:
            self.aside += 1
        self.is_over.wait(ASIDE_S * self.aside)
        with self._lock:
            self.aside -= 1


_urgent = _Urgent()


@contextmanager
def urgent() -> Iterator[None]:
    """Until the end of this there is something to answer that queries must not hold up."""
    _urgent.add(1)
    try:
        yield
    finally:
        _urgent.add(-1)


class _Turn(threading.local):
    """When this thread's turn ends. One that has begun none works for no query, and steps aside for nothing."""

    end_s = math.inf


_turn = _Turn()


def begin_turn() -> None:
    """From now on this thread computes something in Python for a query."""
    _turn.end_s = time.monotonic() + WORK_S


def pass_on() -> None:
    """Let urgent work go first, if there is any and this thread's turn is over. Cheap: to be called again and again."""
    if _urgent.count and time.monotonic() >= _turn.end_s:
        _urgent.let_go_first()
        begin_turn()


def in_turns(items: Iterable[T]) -> Iterator[T]:
    """These, of which there may be many; urgent work goes first between any two."""
    for item in items:
        pass_on()
        yield item


@contextmanager
def resting() -> Iterator[None]:
    """One step of what keeps the disk busy. If there was urgent work lately, a rest as long as the step follows it:
    without, each sync of the log would wait for one.
    """
    began_s = time.monotonic()
    yield
    now_s = time.monotonic()
    if now_s - _urgent.last_s < RECENT_S:
        rest(now_s - began_s)


def rest(worked_s: float) -> None:
    """Leave the interpreter and the disk to others as long as one had them, for `REST_S` at most."""
    time.sleep(min(worked_s, REST_S))
