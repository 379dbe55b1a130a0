"""How long jobs take their time, and end within a moment when they are told to."""

from __future__ import annotations

import threading

from headwater.model.time import Clock

REST_MAX_S = 0.5
"""Longest rest at a time: a step that took longer than it should does not stop a job for minutes."""


class Stopping(Exception):
    """The job is to end now; what it has begun is left as if it had not."""


class Pace:
    """Shared by the jobs of a store. A job calls `rest` or `throttle` between steps of well under a second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._stopping = threading.Event()

    def stop(self) -> None:
        """From now on every step raises Stopping, also those that rest."""
        self._stopping.set()

    def rest(self, since_s: float, share: float) -> float:
        """Rest so that the work since `since_s` has taken `share` of the time; when the next step begins.

        Raises Stopping.
        """
        worked_s = self._clock.monotonic_s() - since_s
        self._wait(min(REST_MAX_S, worked_s * (1 / share - 1)))
        return self._clock.monotonic_s()

    def throttle(self, size_bytes: int, bytes_per_s: float) -> None:
        """Rest as long as so many bytes may take. Raises Stopping."""
        self._wait(size_bytes / bytes_per_s)

    def _wait(self, duration_s: float) -> None:
        if self._stopping.wait(duration_s):
            raise Stopping
