"""How threads share processors and the interpreter: whatever works for a query stands back behind the rest.

`engine`, `query` and `server` start the threads of queries with `stand_back`; `cli/serve` sets the interpreter's turns
once for the process. Starts no thread itself.
"""

from __future__ import annotations

import os
import sys
import threading

TURN_S = 0.0005
"""So long one thread may run Python while others wait. A write takes a dozen turns; Python's own 5 ms each would be
felt as soon as a query computes something in Python."""

NICENESS = 5
"""Gives a query's thread about a third of what a writing one gets when both want the same processor. More would let a
thread hold the interpreter, which writes need too, while it waits for a processor."""


def take_short_turns() -> None:
    """Let the process's threads change over sooner than Python would."""
    sys.setswitchinterval(TURN_S)


def stand_back() -> None:
    """Lower the priority of this thread, and of those that it starts, for good. Only Linux knows it of a thread."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
