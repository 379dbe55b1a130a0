"""A store on a disk that stops at every call in turn: what was acknowledged is there once, and nothing goes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater.model.table import TableId
from headwater.model.time import NS_PER_DAY, NS_PER_HOUR
from support.stopping import Machine, Workload, stop_at_every_call
from support.stores import NOW_NS, records, series

PARTS = 7


class Writes(Workload):
    """Writes, replacements, flushes of two days and a dropped table."""

    def run(self, machine: Machine, table: TableId) -> None:
        other = machine.table("other")
        for turn in range(4):
            self.write(machine, table, [("a", NOW_NS, turn + 1), ("b", NOW_NS - NS_PER_DAY, turn + 1)])
            if turn < 3:
                machine.store.submit(other, [records([(series("x"), NOW_NS + turn, 1, 1.0)])]).result(10)
            self.write(machine, table, [("c", NOW_NS + turn, 1), ("d", NOW_NS, turn + 1)])
            if turn % 2:
                machine.store.flush()
            self.write(machine, table, [("c", NOW_NS + turn, 2), ("d", NOW_NS + turn, 1)])
            if turn == 2:
                machine.store.drop_table(machine.catalog.delete_table("db", "other"))


class LaterLife(Workload):
    """Blocks merged with rows replaced before and meanwhile, blocks past retention, a dropped table that has blocks."""

    def run(self, machine: Machine, table: TableId) -> None:
        other = machine.table("other")
        machine.store.submit(other, [records([(series("x"), NOW_NS, 1, 1.0)])]).result(10)
        for turn in range(2):
            self.write(machine, table, [("a", NOW_NS, turn + 1), ("b", NOW_NS + turn, 1)])
            self.write(machine, table, [("old", NOW_NS - NS_PER_DAY + turn, 1)])
            machine.store.flush()
        self.write(machine, table, [("a", NOW_NS, 3), ("b", NOW_NS, 2)])
        machine.store.compact()
        self.write(machine, table, [("a", NOW_NS, 4), ("c", NOW_NS, 1)])
        machine.store.drop_table(machine.catalog.delete_table("db", "other"))
        machine.clock.advance(12 * NS_PER_HOUR)
        self.acknowledged = {key: version for key, version in self.acknowledged.items() if key[0] != "old"}
        machine.store.expire_due()
        machine.store.compact()


def shares(workload: type[Workload]) -> list[object]:
    """One share of the stops in every run of the tests, the others with `make crash`."""
    others = [pytest.param(workload, part, marks=pytest.mark.slow) for part in range(1, PARTS)]
    return [pytest.param(workload, 0), *others]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("workload", "part"), [*shares(Writes), *shares(LaterLife)])
def test_a_stop_at_any_call_loses_and_doubles_nothing(tmp_path: Path, workload: type[Workload], part: int) -> None:
    stop_at_every_call(tmp_path, workload, part, PARTS)
