"""Work woken by the clock: one thread that calls each job when its interval has passed.

A job that fails is logged and called again the next time. Nothing here knows what a job does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

_log = structlog.get_logger("jobs")


@dataclass(frozen=True, slots=True)
class Job:
    """`run` is called every `interval_s` seconds, counted from the end of the call before. `cancel` makes a call that
    takes long end within a moment, and is called when the runner stops.
    """

    name: str
    interval_s: float
    run: Callable[[], None]
    cancel: Callable[[], None] = lambda: None


@dataclass(slots=True)
class JobState:
    """How a job stands: `calls` have ended, `failures` of them in an exception."""

    name: str
    is_running: bool = False
    calls: int = 0
    failures: int = 0


class Runner:
    """One thread per job, so that a long one delays no other."""

    def __init__(self, jobs: tuple[Job, ...]) -> None:
        self._jobs = jobs
        self._stopping = threading.Event()
        self._states = [JobState(job.name) for job in jobs]
        self._threads = [
            threading.Thread(target=self._loop, args=(job, state), name=job.name, daemon=True)
            for job, state in zip(jobs, self._states, strict=True)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Cancel the running calls and wait for their end; no new ones begin."""
        self._stopping.set()
        for job in self._jobs:
            job.cancel()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def states(self) -> list[JobState]:
        """Of all jobs, in their order, as they are at the moment."""
        return [replace(state) for state in self._states]

    def _loop(self, job: Job, state: JobState) -> None:
        while not self._stopping.wait(job.interval_s):
            state.is_running = True
            try:
                job.run()
            except Exception:
                # One of the two borders of style.md, "Errors": a job must not die of one bad run.
                _log.exception("job failed", job=job.name)
                state.failures += 1
            state.is_running = False
            state.calls += 1
