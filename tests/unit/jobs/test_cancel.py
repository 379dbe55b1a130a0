"""Jobs are cancelled by the name that `headwater jobs` shows: what ends, what is kept, and what cannot be cancelled."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from csv_loads import Loads, now_ms

from headwater.errors import Invalid, NotFound
from headwater.instance import Instance
from headwater.jobs.batch_load import CANCELLED
from headwater.model.batch_load import DataModel, Load, MultiMeasures, ReportPlace, Source, Task, TaskStatus
from headwater.model.scheduled_query import RunStatus, State
from headwater.model.time import NS_PER_MINUTE
from support.scheduled import ENDLESS, SETTLE_S, World, make_tables, runs, schedule
from support.serving import make_instance

ROWS = "".join(f"{now_ms(row)},a,1,2\n" for row in range(200_000))


@pytest.fixture
def loads(tmp_path: Path) -> Iterator[Loads]:
    one = Loads(tmp_path)
    yield one
    one.close()


def wait_until(is_true: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + SETTLE_S
    while not is_true():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def line_of(instance: Instance, name: str) -> tuple[str, float | None]:
    """State and progress of the first line of that name."""
    line = next(line for line in instance.jobs() if line.name == name)
    return line.state, line.progress_percent


def test_a_run_that_is_cancelled_has_failed_and_is_not_begun_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.open() as instance:
        make_tables(instance, "cpu", "means")
        query = schedule(instance, ENDLESS)
        world.clock.advance(NS_PER_MINUTE)
        instance.scheduled.run()
        assert line_of(instance, query.id)[0] == "RUNNING"
        began_s = time.monotonic()
        assert query.id in instance.cancel_job(query.id)
        assert instance.scheduled.settle(SETTLE_S)
        assert time.monotonic() - began_s < 5
        (run,) = runs(instance, query)
        assert (run.status, run.failure_reason) == (RunStatus.AUTO_TRIGGER_FAILURE, "The run was cancelled.")
        assert instance.catalog.scheduled.get(query.arn).state is State.ENABLED
        assert line_of(instance, query.id)[0] == "ENABLED"
        with pytest.raises(Invalid, match="is not running"):
            instance.cancel_job(query.id)
    with world.open() as instance:
        instance.scheduled.run()
        assert instance.scheduled.running() == []


def test_a_batch_load_that_is_cancelled_stops_and_can_be_resumed(loads: Loads) -> None:
    instance = loads.instance
    loads.put("file.csv", "time,host,cpu,mem\n" + ROWS)
    id = loads.create()
    wait_until(lambda: loads.task(id).status is TaskStatus.IN_PROGRESS)
    state, percent = line_of(instance, id)
    assert state == "IN_PROGRESS"
    assert percent is not None
    assert 0 <= percent < 100
    instance.cancel_job(id)
    task = loads.ended(id)
    assert (task.status, task.message) == (TaskStatus.PROGRESS_STOPPED, CANCELLED)
    assert task.progress.ingested < 200_000
    assert line_of(instance, id) == ("PROGRESS_STOPPED", None)
    with pytest.raises(Invalid, match="only an active one"):
        instance.cancel_job(id)
    instance.batch_loads.resume(id)
    task = loads.ended(id)
    assert (task.status, task.progress.ingested) == (TaskStatus.SUCCEEDED, 200_000)
    assert loads.rows("SELECT count(*) FROM db.t") == [["200000"]]


def test_a_task_that_waits_for_its_turn_is_cancelled_too(tmp_path: Path) -> None:
    """Nobody works on tasks here until the test says so."""
    idle = make_instance(tmp_path)
    catalog = idle.catalog
    catalog.create_database("db", None)
    table = catalog.create_table("db", "t", None, None, None)
    model = DataModel("time", "MILLISECONDS", (), None, MultiMeasures("m", ()), ())
    load = Load(Source("none", None, None), model, None, ReportPlace("none", None, None, None), 1)
    catalog.batch_loads.create(Task("A" * 32, "db", "t", table.id, load, 0, 0), None, b"")
    idle.batch_loads.cancel("A" * 32)
    idle.batch_loads.run()
    task = catalog.batch_loads.task("A" * 32)
    assert (task.status, task.message) == (TaskStatus.PROGRESS_STOPPED, CANCELLED)
    catalog.close()


def test_what_cannot_be_cancelled(tmp_path: Path) -> None:
    with World(tmp_path).open() as instance:
        with pytest.raises(Invalid, match="the server's own work"):
            instance.cancel_job("compaction")
        with pytest.raises(NotFound):
            instance.cancel_job("nothing")


def test_a_list_is_made_while_queries_come_and_go(tmp_path: Path) -> None:
    with World(tmp_path).open() as instance:
        make_tables(instance, "cpu", "means")
        has_ended = threading.Event()

        def come_and_go() -> None:
            for number in range(40):
                query = schedule(instance, "SELECT 1 AS x", name=f"query-{number}", target=None)
                instance.scheduling.delete(query.arn)
            has_ended.set()

        thread = threading.Thread(target=come_and_go)
        thread.start()
        lists = 0
        while not has_ended.is_set():
            instance.jobs()
            lists += 1
        thread.join()
        assert lists > 40
        assert not [line for line in instance.jobs() if line.kind == "scheduled query"]
