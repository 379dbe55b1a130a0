"""A real store in a folder, with a real log and catalog, for tests of storage; and records for it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from headwater.catalog.catalog import Catalog
from headwater.config import StorageSettings, WalSettings
from headwater.files import Files, LocalFiles
from headwater.model.limits import Limits
from headwater.model.record import Conflict, Layout, RecordColumns
from headwater.model.scan import Scan, ScanRequest
from headwater.model.series import Series
from headwater.model.table import MeasureType, TableId
from headwater.model.time import FixedClock
from headwater.storage.store import Store
from headwater.wal.log import Log

NOW_NS = 1_704_067_800_000_000_000


class StoreFolder:
    """`open` and `close` as often as you like; `table` is the one table "db"."t"."""

    def __init__(self, directory: Path, files: Files | None = None, limits: Limits | None = None) -> None:
        self.directory = directory
        self.files = files or LocalFiles()
        self.limits = limits or Limits()
        self.clock = FixedClock(NOW_NS)
        self.failures = 0
        self._randomness = random.Random(1)
        self.open()
        self.catalog.create_database("db", None)
        self.table = self.new_table("t")

    def new_table(self, name: str) -> TableId:
        table = self.catalog.create_table("db", name, None, None, None)
        self.store.create_table(table.id)
        return table.id

    def open(self) -> None:
        randomness: Callable[[int], bytes] = self._randomness.randbytes
        self.catalog = Catalog.open(self.files, self.directory, "1" * 12, "r", self.clock, randomness, self.limits)
        self.files.make_directory(self.directory / "blocks", site="test")
        self.log = Log.open(self.files, self.directory / "log", WalSettings(1 << 20))
        settings = StorageSettings(600, 256 << 20, 256 << 20)
        self.store = Store(
            self.files,
            self.directory / "blocks",
            self.log,
            self.catalog.manifest,
            self.clock,
            settings,
            self.limits,
            lambda: randomness(16).hex(),
            self._count_failure,
        )
        self.store.open()

    def close(self) -> None:
        self.store.close()
        self.log.close()
        self.catalog.close()

    def reopen(self) -> None:
        self.close()
        self.open()

    def write(self, *batches: RecordColumns) -> list[Conflict]:
        return self.store.submit(self.table, list(batches)).result(30)

    def scan(self, **conditions: object) -> Scan:
        columns = self.store.columns(self.table).all()
        named = tuple((column, column.name) for column in columns)
        return self.store.scan(ScanRequest(self.table, named, **conditions))  # type: ignore[arg-type]

    def _count_failure(self) -> None:
        self.failures += 1


def series(host: str, measure: str = "cpu") -> Series:
    return Series(measure, (("host", host),))


def records(rows: Sequence[tuple[Series, int, int, float]], name: str = "usage", first_index: int = 0) -> RecordColumns:
    """Multi-measure records of one DOUBLE from (series, time in ns, version, value)."""
    return RecordColumns(
        Layout.multi(((name, MeasureType.DOUBLE),)),
        np.arange(first_index, first_index + len(rows)),
        [row[0] for row in rows],
        np.array([row[1] for row in rows], np.int64),
        np.array([row[2] for row in rows], np.int64),
        (np.array([row[3] for row in rows], np.float64),),
    )
