"""How much processor time one statement may take to compile. Used by the parser, the binder and `lower`."""

from __future__ import annotations

import time
from collections.abc import Callable

from headwater.errors import Invalid
from headwater.threads import pass_on

_CHECKS_A_LOOK = 64


class Budget:
    """Counted in the thread that makes it, from then on. A limit is met with some milliseconds' delay."""

    __slots__ = ("_checks", "_end_s", "_processor_s", "_seconds")

    def __init__(self, seconds: float, processor_s: Callable[[], float] = time.thread_time) -> None:
        self._seconds = seconds
        self._processor_s = processor_s
        self._end_s = processor_s() + seconds
        self._checks = 0

    def check(self) -> None:
        """Raises Invalid once the time is over. Cheap: to be called for every node."""
        self._checks += 1
        if self._checks % _CHECKS_A_LOOK == 0:
            pass_on()
            if self._processor_s() > self._end_s:
                raise Invalid(f"The query takes more than {self._seconds:g} s to compile.")
