"""A real store in a folder, with a real log and catalog, for tests of storage; and records for it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from headwater.catalog.catalog import Catalog
from headwater.catalog.keys import KeyProvider
from headwater.config import StorageSettings, WalSettings
from headwater.errors import Fault
from headwater.files import Files, LocalFiles
from headwater.model.limits import Limits
from headwater.model.record import Conflict, Layout, RecordColumns
from headwater.model.scan import Scan, ScanRequest
from headwater.model.series import Series
from headwater.model.table import MeasureType, TableId
from headwater.model.time import FixedClock
from headwater.sealing import ChunkCache, Vault
from headwater.storage.store import Store
from headwater.wal.log import Log

from .keys import PROVIDER

NOW_NS = 1_704_067_800_000_000_000


class StoreFolder:
    """`open` and `close` as often as you like; `table` is the one table "db"."t"."""

    def __init__(
        self,
        directory: Path,
        files: Files | None = None,
        limits: Limits | None = None,
        segment_bytes: int = 1 << 20,
        budget_bytes: int = 256 << 20,
        provider: KeyProvider = PROVIDER,
        *,
        is_new: bool = True,
    ) -> None:
        """`budget_bytes` is that of the memtables and that of the log. One that is not new has the table already."""
        self.directory = directory
        self.provider = provider
        self.segment_bytes = segment_bytes
        self.settings = StorageSettings(600, budget_bytes, budget_bytes)
        self.files = files or LocalFiles()
        self.limits = limits or Limits()
        self.clock = FixedClock(NOW_NS)
        self.failures = 0
        self._randomness = random.Random(1)
        self.open()
        if is_new:
            self.catalog.create_database("db", None)
        try:
            self.table = self.new_table("t") if is_new else self.catalog.table("db", "t").id
        except Fault:
            self.close()
            raise

    def new_table(self, name: str) -> TableId:
        return self.catalog.create_table("db", name, None, None, None).id

    def open(self) -> None:
        randomness: Callable[[int], bytes] = self._randomness.randbytes
        self.catalog = Catalog.open(
            self.files, self.directory, self.provider, "1" * 12, "r", self.clock, randomness, self.limits
        )
        self.files.make_directory(self.directory / "blocks", site="test")
        self.log = Log.open(self.files, self.directory / "log", WalSettings(self.segment_bytes), self.catalog.keys.log)
        self.vault = Vault(self.catalog.database_keys, ChunkCache(1 << 20))
        self.store = Store(
            self.files,
            self.vault,
            self.directory / "blocks",
            self.log,
            self.catalog.manifest,
            self.catalog,
            self.clock,
            self.settings,
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
