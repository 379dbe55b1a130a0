"""Functions of single values, written in Python. The engine hands over one value after the other, so that other threads
may run in between however long the texts are: a column of long ones it would copy while no other can run Python.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from headwater.engine.function import TEXT_CHARACTERS, Function
from headwater.engine.pace import Pace, check
from headwater.errors import Invalid, QueryFailed
from headwater.threads import rest

LONG_CHARACTERS = 4_096
"""Behind a value of such a text, or of so many elements, a function rests: what Python's libraries do with it, no other
thread can interrupt, and a write needs the interpreter a dozen times."""

KNOWN_VALUES = 1_024
"""So many results a thread remembers: of constants, and of columns with few values."""

BATCH_VALUES = 2_048
MADE_BYTES = 256 * 1024 * 1024
"""What functions may make of a batch of the engine, which does not count memory that is not its own (ours)."""

_ELEMENT_BYTES = 64

_turn = threading.Lock()
"""Held by the function that works: several at once would be no faster, but a write would wait for each."""


@dataclass(frozen=True, slots=True)
class ValueFunction(Function):
    """`compute` gets and gives Python's values. NULL in any argument gives NULL.

    What it refuses as Invalid has come up while the query runs, so it fails the query.
    """

    compute: Callable[..., Any]

    def paced(self, pace: Pace) -> Callable[..., Any]:
        def compute(number: int | None, *given: Any) -> Any:
            if pace.work_for(number):
                _made.begin()
            check()
            return None if None in given else self._once(given)

        return self.with_signature(compute)

    def _once(self, given: tuple[Any, ...]) -> Any:
        size = max((len(one) for one in given if isinstance(one, str)), default=0)
        if size > TEXT_CHARACTERS:
            raise QueryFailed(f"A text of more than {TEXT_CHARACTERS} characters is too long for this function")
        if size > LONG_CHARACTERS or any(isinstance(one, list) for one in given):
            return _made.counted(self._computed(given, size))
        # 0.0 and -0.0 are equal, but not to a function; their texts differ.
        key = (self.name, *(repr(one) if one == 0 else one for one in given))
        known = _made.known
        if key in known:
            return _made.counted(known[key])
        found = self._computed(given, size)
        if _weight(found) <= LONG_CHARACTERS:
            if len(known) >= KNOWN_VALUES:
                known.clear()
            known[key] = found
        return _made.counted(found)

    def _computed(self, given: tuple[Any, ...], size: int) -> Any:
        started_s = time.perf_counter()
        with _turn:
            found = _failing(self.compute, tuple(tuple(one) if isinstance(one, list) else one for one in given))
        if max(size, _weight(found)) > LONG_CHARACTERS:
            rest(time.perf_counter() - started_s)
        return found


class _Made(threading.local):
    """What this thread has made of the latest values, and their results as far as they are remembered."""

    def __init__(self) -> None:
        self.known: dict[tuple[Any, ...], Any] = {}
        self._values = self._bytes = 0

    def begin(self) -> None:
        """For another run."""
        self.known.clear()
        self._values = self._bytes = 0

    def counted(self, value: Any) -> Any:
        """Raises QueryFailed when a batch of such values needs more memory than one function may have."""
        if self._values == BATCH_VALUES:
            self._values = self._bytes = 0
        self._values += 1
        self._bytes += _weight(value)
        if self._bytes > MADE_BYTES:
            raise QueryFailed("Query exceeded the memory limit of the server")
        return value


_made = _Made()


def _weight(value: Any) -> int:
    """About how many bytes it takes, beyond a few."""
    return len(value) if isinstance(value, str) else _ELEMENT_BYTES * len(value) if isinstance(value, list) else 0


def _failing(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    try:
        return function(*arguments)
    except Invalid as fault:
        raise QueryFailed(fault.message) from fault
