"""A stop at every disk call of what comes late in a store's life: series files, and blocks that get another key.

As tests/unit/storage/test_store_crashes.py, which has the rest; its helper says what must hold after each stop.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater.jobs.rewrap import Rewrap
from headwater.model.table import TableId
from headwater.storage import table as table_module
from support.keys import ONE_KEY, OTHER_KEY
from support.stopping import Machine, Workload, stop_at_every_call
from support.stores import NOW_NS

PARTS = 9


class SeriesFiles(Workload):
    """Each flush writes the series file anew, in place of one that covers fewer blocks."""

    def run(self, machine: Machine, table: TableId) -> None:
        for turn in range(3):
            self.write(machine, table, [("a", NOW_NS, turn + 1), (f"new-{turn}", NOW_NS, 1)])
            machine.store.flush()
        machine.store.compact()
        self.write(machine, table, [("a", NOW_NS, 9), ("new-0", NOW_NS, 2)])


class OtherKeys(Workload):
    """The database gets another key twice, between and behind its blocks, and old data keys are wrapped anew."""

    def run(self, machine: Machine, table: TableId) -> None:
        rewrap = Rewrap(machine.files, machine.directory / "blocks", machine.catalog)
        for turn, key in enumerate((ONE_KEY, OTHER_KEY)):
            self.write(machine, table, [("a", NOW_NS, turn + 1), (f"b-{turn}", NOW_NS, 1)])
            machine.store.flush()
            machine.catalog.update_database("db", key)
            self.write(machine, table, [("a", NOW_NS + 1, turn + 1)])
            rewrap.run()
        machine.store.compact()
        rewrap.run()


@pytest.fixture(autouse=True)
def early_series_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_module, "UNCOVERED_BLOCKS", 1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("workload", [SeriesFiles, OtherKeys])
@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.slow) for part in range(1, PARTS))])
def test_a_stop_at_any_call_loses_and_doubles_nothing(tmp_path: Path, workload: type[Workload], part: int) -> None:
    stop_at_every_call(tmp_path, workload, part, PARTS)
