"""What `headwater jobs` is told: what runs now, how each scheduled query ended last, and the server's own work."""

from __future__ import annotations

from pathlib import Path

from headwater.jobs.runner import Job, Runner
from headwater.model.job import JobLine
from headwater.model.time import NS_PER_MINUTE
from support.scheduled import ENDLESS, START_NS, World, make_tables, schedule, write_cpu


def test_runs_are_listed_while_they_go_on_and_when_they_have_ended(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.open() as instance:
        make_tables(instance, "cpu", "means")
        write_cpu(instance, {"a": [1]})
        short, long = schedule(instance, name="short"), schedule(instance, ENDLESS, name="long")
        assert lines_of(instance.jobs(), "scheduled query") == [
            JobLine("scheduled query", long.id, "ENABLED", detail="has not run"),
            JobLine("scheduled query", short.id, "ENABLED", detail="has not run"),
        ]
        world.clock.advance(NS_PER_MINUTE)
        instance.scheduled.run()
        while not instance.catalog.scheduled.runs(short.arn):
            assert not instance.scheduled.settle(0.01)
        running, _, ended = lines_of(instance.jobs(), "scheduled query")
        now_ns = START_NS + NS_PER_MINUTE
        assert (running.name, running.state, running.began_ns) == (long.id, "RUNNING", now_ns)
        assert running.detail == "for 2024-01-01T00:01:00.000Z, by schedule"
        assert running.progress_percent is not None
        detail = "AUTO_TRIGGER_SUCCESS, 1 records"
        assert ended == JobLine("scheduled query", short.id, "ENABLED", None, now_ns, detail)
        names = [line.name for line in lines_of(instance.jobs(), "maintenance")]
        assert {"compaction", "flush", "scheduled queries"} <= set(names)


def test_a_runner_tells_how_its_jobs_stand() -> None:
    runner = Runner((Job("idle", 3_600, lambda: None),))
    runner.start()
    runner.stop()
    (state,) = runner.states()
    assert (state.name, state.is_running, state.calls, state.failures) == ("idle", False, 0, 0)


def lines_of(lines: object, kind: str) -> list[JobLine]:
    assert isinstance(lines, list)
    return [line for line in lines if line.kind == kind]
