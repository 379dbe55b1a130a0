"""A store on a disk that stops at every call in turn: what was acknowledged is there once, and nothing goes back.

The log and the blocks are on the disk double; the catalog is SQLite's own, and stands as the stop found it.
"""

from __future__ import annotations

import io
import shutil
from collections import Counter
from itertools import count
from pathlib import Path
from random import Random

import pyarrow.parquet as pq
import pytest

from headwater.catalog.catalog import Catalog
from headwater.config import StorageSettings, WalSettings
from headwater.errors import Fault
from headwater.files import Files
from headwater.model.limits import Limits
from headwater.model.scan import ScanRequest
from headwater.model.table import TableId
from headwater.model.time import NS_PER_DAY, FixedClock
from headwater.storage.store import Store
from headwater.wal.log import Log
from support.faulty_files import FaultyFiles, Stopped
from support.stores import NOW_NS, records, series

Key = tuple[str, int]
"""Host and time of a record. Its value is its version."""

PARTS = 4
_SEEDS = count()


class StoppingFiles(FaultyFiles):
    """Keeps a copy of itself as it was when it stopped: the code that unwinds may still change what is here."""

    def __init__(self) -> None:
        super().__init__()
        self.at_stop: FaultyFiles | None = None

    def _call(self, operation: str, site: str) -> None:
        try:
            super()._call(operation, site)
        except Stopped:
            self.at_stop = self.restart()
            raise


class Machine:
    """A store on `files`, with segments so small that a short run rolls and removes some."""

    def __init__(self, directory: Path, files: Files) -> None:
        # Ids are never used twice, also not by the next machine on the same disk.
        random, limits, clock = Random(next(_SEEDS)), Limits(), FixedClock(NOW_NS)
        self.files = files
        files.make_directory(directory, site="test")
        self.catalog = Catalog.open(files, directory, "1" * 12, "r", clock, random.randbytes, limits)
        files.make_directory(directory / "blocks", site="test")
        self.log = Log.open(files, directory / "log", WalSettings(2_048), random.randbytes)
        self.store = Store(
            files,
            directory / "blocks",
            self.log,
            self.catalog.manifest,
            clock,
            StorageSettings(600, 256 << 20, 256 << 20),
            limits,
            lambda: random.randbytes(16).hex(),
            lambda: None,
        )
        self.store.open()

    def table(self, name: str) -> TableId:
        """A new table of this name."""
        table = self.catalog.create_table("db", name, None, None, None)
        self.store.create_table(table.id)
        return table.id

    def rows(self, table: TableId) -> list[tuple[Key, int]]:
        """Key and version of every live row."""
        columns = self.store.columns(table).all()
        scan = self.store.scan(ScanRequest(table, tuple((column, column.name) for column in columns)))
        found = [row for part in scan.memory for row in part.select(["host", "time", "usage"]).to_pylist()]
        for block in scan.blocks:
            content = pq.read_table(io.BytesIO(self.files.read(Path(block.path), site="test")))
            times = content["time"].cast("int64").to_pylist()
            gone = set() if block.deleted_rows is None else set(block.deleted_rows.tolist())
            stored = zip(content["host"].to_pylist(), times, content["usage"].to_pylist(), strict=True)
            found += [
                {"host": host, "time": time_ns, "usage": usage}
                for place, (host, time_ns, usage) in enumerate(stored)
                if place not in gone
            ]
        scan.close()
        return [((row["host"], row["time"]), int(row["usage"])) for row in found]

    def end(self) -> None:
        """Let the threads and files go, without the clean mark of the log."""
        self.store.close()
        self.catalog.close()


class Workload:
    """Writes, replacements, flushes of two days and a dropped table; what was acknowledged is noted at once."""

    def __init__(self) -> None:
        self.acknowledged: dict[Key, int] = {}

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

    def write(self, machine: Machine, table: TableId, rows: list[tuple[str, int, int]]) -> None:
        batch = records([(series(host), time_ns, version, float(version)) for host, time_ns, version in rows])
        machine.store.submit(table, [batch]).result(10)
        for host, time_ns, version in rows:
            key = host, time_ns
            self.acknowledged[key] = max(version, self.acknowledged.get(key, 0))

    def check(self, machine: Machine, table: TableId) -> None:
        """What was acknowledged is there, in that version or a later one, and everything is there once."""
        rows = machine.rows(table) if self.acknowledged else []
        assert max(Counter(key for key, _ in rows).values(), default=1) == 1
        found = dict(rows)
        assert not {key: version for key, version in self.acknowledged.items() if found.get(key, 0) < version}


def started(directory: Path, files: FaultyFiles) -> tuple[Machine, TableId]:
    directory.mkdir()
    machine = Machine(directory, files)
    machine.catalog.create_database("db", None)
    return machine, machine.table("t")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("part", range(PARTS))
def test_a_stop_at_any_call_loses_and_doubles_nothing(tmp_path: Path, part: int) -> None:
    files = StoppingFiles()
    machine, table = started(tmp_path / "whole", files)
    first = len(files.calls)
    Workload().run(machine, table)
    machine.end()
    for stop in range(first + part, len(files.calls), PARTS):
        _stop_and_look(tmp_path / str(stop), stop)


def _stop_and_look(directory: Path, stop: int) -> None:
    files, workload = StoppingFiles(), Workload()
    machine, table = started(directory, files)
    files.stop_at = stop
    with pytest.raises((Stopped, Fault)):
        workload.run(machine, table)
    machine.end()
    assert files.at_stop is not None
    catalog = shutil.copytree(directory, directory.with_name(f"{stop}-catalog"))
    kept = (0.0, 0.5, 1.0)[stop % 3]
    for disk in (files.at_stop.restart(), files.at_stop.power_loss(kept, Random(stop))):
        shutil.rmtree(directory)
        shutil.copytree(catalog, directory)
        after = Workload()
        after.acknowledged |= workload.acknowledged
        machine = Machine(directory, disk)
        after.check(machine, table)
        after.write(machine, table, [("a", NOW_NS, 9), ("e", NOW_NS, 1)])
        machine.store.flush()
        after.check(machine, table)
        machine.end()
        machine = Machine(directory, disk.restart())
        after.check(machine, table)
        machine.end()
