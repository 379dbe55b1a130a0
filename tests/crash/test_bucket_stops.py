"""A stop before and after every request to a bucket that holds the blocks: nothing is lost, doubled or left behind.

The stops at calls of the disk in between are those of tests/unit/storage/test_store_crashes.py: the order is the same.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater.errors import Fault
from headwater.model.table import TableId
from headwater.model.time import NS_PER_DAY, FixedClock
from support.buckets import HookedObjects, OneBucket, blocks_in
from support.faulty_files import Stopped
from support.stopping import Machine, Workload
from support.stores import NOW_NS


class Life(Workload):
    """Flushes of two days, replaced records, a compaction, blocks past retention, a dropped table."""

    def run(self, machine: Machine, table: TableId) -> None:
        for turn in range(2):
            self.write(machine, table, [("a", NOW_NS, turn + 1), ("b", NOW_NS - NS_PER_DAY, turn + 1)])
            machine.store.flush()
        self.write(machine, table, [("a", NOW_NS, 3), ("c", NOW_NS, 1)])
        machine.store.compact()
        sweep(machine)
        other = machine.table("other")
        Workload().write(machine, other, [("x", NOW_NS, 1)])
        machine.store.flush()
        machine.store.drop_table(machine.catalog.delete_table("db", "other"))
        sweep(machine)
        self.write(machine, table, [("a", NOW_NS, 4)])
        machine.store.flush()


def sweep(machine: Machine) -> None:
    machine.files.sweep()  # type: ignore[attr-defined]


def started(directory: Path, objects: HookedObjects) -> Machine:
    (directory / "blocks").mkdir(parents=True, exist_ok=True)
    clock = FixedClock(NOW_NS)
    # Half the lives read through a cache that the stop leaves behind.
    files = blocks_in(OneBucket(objects), directory, clock=clock, cache_bytes=(len(directory.name) % 2) << 24)
    return Machine(directory, files, clock=clock)


def counted(tmp_path: Path) -> int:
    """How many requests the life makes from its first write on."""
    objects = HookedObjects(tmp_path / "bucket")
    machine = started(tmp_path / "whole", objects)
    machine.catalog.create_database("db", None)
    table, life = machine.table("t"), Life()
    objects.requests = 0
    life.run(machine, table)
    life.check(machine, table)
    requests = objects.requests
    machine.end()
    return requests


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_stop_at_any_request_loses_doubles_and_leaves_nothing(tmp_path: Path, when: str) -> None:
    requests = counted(tmp_path / "count")
    assert requests > 10
    for stop in range(requests):
        stop_and_look(tmp_path / str(stop), stop, when)


def stop_and_look(directory: Path, stop: int, when: str) -> None:
    objects = HookedObjects(directory / "bucket")
    machine = started(directory / f"data{stop}", objects)
    machine.catalog.create_database("db", None)
    table, life = machine.table("t"), Life()
    objects.requests = 0
    calls = 0

    def stopping(key: str) -> None:
        nonlocal calls
        calls += 1
        if calls > stop:
            raise Stopped(key)

    setattr(objects, when, stopping)
    with pytest.raises((Stopped, Fault)):
        life.run(machine, table)
    machine.end()
    setattr(objects, when, lambda _: None)
    machine = started(machine.directory, objects)
    life.check(machine, table)
    life.write(machine, table, [("a", NOW_NS, 99), ("e", NOW_NS, 99)])
    machine.store.compact()
    sweep(machine)
    life.check(machine, table)
    machine.end()
    machine = started(machine.directory, objects)
    life.check(machine, table)
    manifest = machine.catalog.manifest
    named = {f"{block.id}.parquet" for each in manifest.tables() for block in manifest.load(each).blocks}
    assert {path.name for path in objects.blocks()} == named
    assert not list(machine.directory.rglob("*.new"))
    machine.end()
