"""What keeps functions written in Python from running on: which run a call is for, and whether that is over.

The engine looks whether a run was cancelled only between its batches, and a batch of ours may take minutes. So each
run has a number, which is a variable of its connection and the first argument of each call; `arrow.py` and
`values.py` make it known to the thread, and long loops ask `check`. `engine.py` says what the numbers mean.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from headwater.errors import QueryFailed
from headwater.threads import begin_turn, pass_on

RUN_VARIABLE = "headwater_run"


class Pace:
    """The runs that go on, by number. Any thread may call."""

    def __init__(self) -> None:
        self._runs: dict[int, Callable[[], bool]] = {}
        self._last = 0
        self._lock = threading.Lock()

    @contextmanager
    def run(self, is_over: Callable[[], bool]) -> Iterator[int]:
        """A number for a run; `is_over` tells whether it must end."""
        with self._lock:
            self._last += 1
            number = self._last
            self._runs[number] = is_over
        try:
            yield number
        finally:
            with self._lock:
                del self._runs[number]

    def work_for(self, number: int | None) -> bool:
        """From now on this thread works for that run; whether it worked for another before."""
        if _current.run == (self, number):
            return False
        _current.run = self, number
        _current.is_over = self._runs.get(number) if number is not None else None
        begin_turn()
        return True


class _Current(threading.local):
    run: tuple[Pace, int | None] | None = None
    is_over: Callable[[], bool] | None = None


_current = _Current()


def check() -> None:
    """Raises QueryFailed when the run that this thread works for is over; the engine's caller says why it is.

    Lets urgent work of others go first.
    """
    pass_on()
    if _current.is_over is not None and _current.is_over():
        raise QueryFailed("The query has ended")
