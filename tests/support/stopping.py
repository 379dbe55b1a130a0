"""Stores on a disk that stops at every call in turn, and what must hold afterwards.

The log and the blocks are on the disk double; the catalog is SQLite's own, and stands as the stop found it. A test has
a `Workload`; `stop_at_every_call` runs it once for each call that it makes of the disk.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path
from random import Random

import pytest

from headwater.catalog.catalog import Catalog
from headwater.config import StorageSettings, WalSettings
from headwater.errors import Fault
from headwater.files import Files
from headwater.model.block import Manifest
from headwater.model.limits import Limits
from headwater.model.scan import ScanRequest
from headwater.model.table import Retention, TableId
from headwater.model.time import FixedClock
from headwater.sealing import ChunkCache, Vault
from headwater.storage.series_file import SERIES_FILE
from headwater.storage.store import Store
from headwater.wal.log import Log
from support.block_rows import block_rows
from support.faulty_files import FaultyFiles, Stopped
from support.keys import PROVIDER
from support.stores import NOW_NS, records, series

Key = tuple[str, int]
"""Host and time of a record. Its value is its version."""

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
    """A store on `files`, with segments so small that a short run rolls and removes some.

    `random` makes ids and keys; the one by default never makes the same twice, also not for the next machine on the
    same disk. `through` stands between the store and its manifest. `has_failed` when the log has.
    """

    def __init__(
        self,
        directory: Path,
        files: Files,
        *,
        random: Random | None = None,
        clock: FixedClock | None = None,
        through: Callable[[Manifest], Manifest] = lambda manifest: manifest,
    ) -> None:
        random, limits = random or Random(next(_SEEDS)), Limits()
        self.clock = clock = clock or FixedClock(NOW_NS)
        self.directory = directory
        self.files = files
        self.has_failed = False
        files.make_directory(directory, site="test")
        self.catalog = Catalog.open(files, directory, PROVIDER, "1" * 12, "r", clock, random.randbytes, limits)
        try:
            files.make_directory(directory / "blocks", site="test")
            self.log = Log.open(files, directory / "log", WalSettings(2_048), self.catalog.keys.log, random.randbytes)
            self.vault = Vault(self.catalog.database_keys, ChunkCache(1 << 20))
            self.store = Store(
                files,
                self.vault,
                directory / "blocks",
                self.log,
                through(self.catalog.manifest),
                self.catalog,
                clock,
                StorageSettings(600, 256 << 20, 256 << 20),
                limits,
                lambda: random.randbytes(16).hex(),
                self._note_failure,
            )
            self.store.open()
        except BaseException:
            self.catalog.close()
            raise

    def _note_failure(self) -> None:
        self.has_failed = True

    def table(self, name: str) -> TableId:
        """A new table of this name, which keeps records for a day and an hour."""
        return self.catalog.create_table("db", name, Retention(1, 1), None, None).id

    def rows(self, table: TableId) -> list[tuple[Key, int]]:
        """Key and version of every live row."""
        columns = self.store.columns(table).all()
        scan = self.store.scan(ScanRequest(table, tuple((column, column.name) for column in columns)))
        found = [row for part in scan.memory for row in part.select(["host", "time", "usage"]).to_pylist()]
        for block in scan.blocks:
            content = block_rows(block)
            times = content["time"].cast("int64")
            place = content.schema.get_field_index("time")
            found += content.set_column(place, "time", times).select(["host", "time", "usage"]).to_pylist()
        scan.close()
        return [((row["host"], row["time"]), int(row["usage"])) for row in found]

    def end(self) -> None:
        """Let the threads and files go, without the clean mark of the log."""
        self.store.close()
        self.catalog.close()


class Workload:
    """What a test does to a store; what was acknowledged is noted at once."""

    def __init__(self) -> None:
        self.acknowledged: dict[Key, int] = {}

    def run(self, machine: Machine, table: TableId) -> None:
        """Overridden. Nothing in it may depend on chance."""

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


def stop_at_every_call(directory: Path, workload: Callable[[], Workload], part: int, parts: int) -> None:
    """Run the workload with a stop at each of its calls; one of `parts` shares of them."""
    files = StoppingFiles()
    machine, table = _started(directory / "whole", files)
    first = len(files.calls)
    whole = workload()
    whole.run(machine, table)
    end = len(files.calls)
    whole.check(machine, table)
    machine.end()
    for stop in range(first + part, end, parts):
        _stop_and_look(directory / str(stop), workload(), workload(), stop)


def _started(directory: Path, files: FaultyFiles) -> tuple[Machine, TableId]:
    directory.mkdir()
    machine = Machine(directory, files)
    machine.catalog.create_database("db", None)
    return machine, machine.table("t")


def _stop_and_look(directory: Path, workload: Workload, after: Workload, stop: int) -> None:
    files = StoppingFiles()
    machine, table = _started(directory, files)
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
        after.acknowledged = dict(workload.acknowledged)
        machine = Machine(directory, disk)
        after.check(machine, table)
        after.write(machine, table, [("a", NOW_NS, 99), ("e", NOW_NS, 99)])
        machine.store.compact()
        after.check(machine, table)
        machine.end()
        machine = Machine(directory, disk.restart())
        after.check(machine, table)
        named = {f"{block.id}.parquet" for block in machine.catalog.manifest.load(table).blocks}
        found = {path.name for path in disk.contents() if path.parent.name == table}
        assert found - {SERIES_FILE} == named
        machine.end()
