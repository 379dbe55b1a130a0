"""Calls that may take long, and that whoever must stop within a moment cannot wait for: to object stores, mostly.

Such a call runs on a thread of its own that nobody waits for at the end of the process. Nothing here knows what a call
does; it must do no harm when its answer is not looked at any more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")

_POLL_S = 0.1


class Stopped(Exception):
    """Whoever waits is to stop, and the answer is not there yet."""


class Call(Generic[T]):
    """One call, begun when this is made."""

    def __init__(self, work: Callable[[], T], name: str) -> None:
        self._future: Future[T] = Future()
        threading.Thread(target=self._run, args=(work,), name=name, daemon=True).start()

    def wait(self, stopping: threading.Event) -> T:
        """The answer. Raises what the call raised, or Stopped."""
        return awaited(self._future, stopping)

    def _run(self, work: Callable[[], T]) -> None:
        try:
            answer = work()
        except BaseException as error:
            self._future.set_exception(error)
        else:
            self._future.set_result(answer)


def awaited(future: Future[T], stopping: threading.Event) -> T:
    """The answer of a future, unless `stopping` is set first: then Stopped is raised."""
    while True:
        try:
            return future.result(_POLL_S)
        except TimeoutError:
            if future.done():
                raise
            if stopping.is_set():
                raise Stopped from None
