"""The runner: jobs again and again, whatever one of them raises, and an end that waits for nobody long."""

from __future__ import annotations

import threading

from headwater.jobs.runner import Job, Runner


def test_a_job_that_fails_is_called_again_and_a_long_one_is_cancelled():
    calls: list[int] = []
    has_failed, is_working, is_cancelled = threading.Event(), threading.Event(), threading.Event()

    def fail() -> None:
        calls.append(1)
        if len(calls) > 1:
            has_failed.set()
        raise ValueError("a bug")

    def work() -> None:
        is_working.set()
        assert is_cancelled.wait(10)

    runner = Runner((Job("bad", 0.001, fail), Job("long", 0.001, work, is_cancelled.set)))
    runner.start()
    assert has_failed.wait(10)
    assert is_working.wait(10)
    runner.stop()
    assert is_cancelled.is_set()
