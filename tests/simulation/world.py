"""A real store, log and catalog on a simulated disk, through starts and ends of every kind.

`history` decides what happens; here it is done, and what it means for the model is said. The catalog's file is SQLite's
own and on a real disk: a transaction that has returned is durable. One that failed may be durable all the same, which
only a crash shows (`Between`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np

from headwater.catalog.catalog import Catalog
from headwater.errors import Fault, Unavailable
from headwater.model.block import Block, Manifest, ManifestChange, TableManifest
from headwater.model.limits import Limits
from headwater.model.record import RecordColumns
from headwater.model.table import Retention, TableId, expiry_ns, time_windows
from headwater.model.time import NS_PER_S, FixedClock
from headwater.storage.series_file import SERIES_FILE
from support.block_rows import values_of
from support.faulty_files import Stopped
from support.keys import PROVIDER
from support.simulated_files import SimulatedFiles
from support.stopping import Machine
from support.stores import NOW_NS, records, series

from .model import COLUMN_OF, Broken, Key, LostRecords, Model, Request, Row, TableModel

DATABASE = "db"
RETENTION = Retention(1, 1)
LATE = "late"
"""The table that takes late records, and wants reports of those it drops."""

DISK = Path("/data")

_LATE_WRITES = {
    "EnableMagneticStoreWrites": True,
    "MagneticStoreRejectedDataLocation": {"S3Configuration": {"BucketName": "rejected"}},
}
_STARTS = 6
_STEP_S = 3_600.0
_STEADY_S = 600.0


class Clocks(FixedClock):
    """Wall time, which may step, and monotonic time, which begins with the machine."""

    def __init__(self) -> None:
        super().__init__(NOW_NS)
        self._ran_ns = 1_000 * NS_PER_S
        self._offset_ns = self.time_ns - self._ran_ns
        self._steady_from_s = 0.0

    def monotonic_s(self) -> float:
        return self._ran_ns / NS_PER_S

    def advance(self, duration_ns: int) -> None:
        super().advance(duration_ns)
        self._ran_ns += duration_ns

    def step(self, duration_ns: int) -> None:
        """The wall clock is set."""
        self.time_ns += duration_ns

    def may_delete(self) -> bool:
        """Whether a record may be deleted by this wall clock: not for ten minutes after it is found to have stepped,
        also while the server was down. The judge's own rule, to be asked whenever the store may look at its clock.
        Source: reliability.md 3, "Clock".
        """
        offset_ns = self.time_ns - self._ran_ns
        if abs(offset_ns - self._offset_ns) > _STEP_S * NS_PER_S:
            self._steady_from_s = self.monotonic_s() + _STEADY_S
        self._offset_ns = offset_ns
        return self.monotonic_s() >= self._steady_from_s


class Between(Manifest):
    """The manifest as the store has it: a commit is a call of the disk, which may fail, or end the machine before or
    behind it. `reached` is a change whose commit failed, and which is on disk all the same for the next start to see.
    """

    def __init__(self, manifest: Manifest, files: SimulatedFiles, random: Random) -> None:
        self._manifest = manifest
        self._files = files
        self._random = random
        self.reached: ManifestChange | None = None

    def tables(self) -> list[TableId]:
        return self._manifest.tables()

    def load(self, table: TableId) -> TableManifest:
        return self._manifest.load(table)

    def blocks(self) -> list[Block]:
        return self._manifest.blocks()

    @property
    def log_end(self) -> int:
        return self._manifest.log_end

    def note_log_end(self, sequence: int) -> None:
        self._files.point("manifest.log_end")
        self._manifest.note_log_end(sequence)

    def commit(self, change: ManifestChange) -> None:
        self.reached = None
        try:
            self._files.point("manifest.commit")
        except OSError as error:
            if self._random.random() < 0.5:
                self.reached = change
            raise Unavailable("the catalog could not be written") from error
        self._manifest.commit(change)
        # No failure can come here; the end can.
        with suppress(OSError):
            self._files.point("manifest.committed")


class World:
    """`start` first; `is_up` while there is a machine. `model` is what it must hold."""

    def __init__(self, directory: Path, random: Random) -> None:
        self.model = Model()
        self.clock = Clocks()
        self.files = SimulatedFiles()
        self._directory = directory
        self._random = random
        self._machine: Machine | None = None
        self._between: Between | None = None

    # Starts and ends.

    @property
    def is_up(self) -> bool:
        return self._machine is not None

    @property
    def machine(self) -> Machine:
        assert self._machine is not None
        return self._machine

    @property
    def must_end(self) -> bool:
        """The machine has stopped, or the log has failed and the process ends."""
        return self.files.at_stop is not None or (self.is_up and self.machine.has_failed)

    def start(self) -> None:
        """Start on what the disk holds, again while faults keep it from it, and compare all of it with the model."""
        for attempt in range(_STARTS):
            if attempt == _STARTS - 1:
                self._give_room()
                self.files.disarm()
            before = self.files.faults
            try:
                self.note_expiry()
                self._machine = self._opened()
                break
            except (Stopped, Fault, OSError) as error:
                if self.files.faults == before and not self.files.is_full:
                    raise Broken(f"it does not start: {error}") from error
            self._end_of_disk()
        with self.files.calm():
            self._check_files()
            self.model.settle(self._found(), self._reports())

    def stop(self) -> None:
        """A clean stop; then perhaps a power loss, which must not matter."""
        machine = self.machine
        try:
            machine.store.close()
            machine.log.close()
        except (Stopped, Fault, OSError):
            self.crash()
            return
        self._let_go()
        self.files = self.files.power_loss() if self._random.random() < 0.5 else self.files.restart()

    def crash(self) -> None:
        """The process is killed, or the machine loses power: what was not synced is there, or not, or in part."""
        reached = self._between.reached if self._between else None
        self._let_go()
        self._end_of_disk()
        if reached is not None:
            self._commit_late(reached)

    def _end_of_disk(self) -> None:
        left = self.files.at_stop or self.files
        if self._random.random() < 0.3:
            self.files = left.restart()
        else:
            kept = self._random.choice((0.0, 0.0, 0.5, 0.9, 1.0))
            self.files = left.power_loss(kept, Random(self._random.random()))

    def leave(self) -> None:
        """The end of the history: nobody looks at the disk again."""
        self._let_go()

    def _let_go(self) -> None:
        machine, self._machine, self._between = self.machine, None, None
        # What a stopped machine still does is done to a disk that nobody looks at again.
        with suppress(Stopped, Fault, OSError):
            machine.end()

    def _opened(self) -> Machine:
        def between(manifest: Manifest) -> Manifest:
            self._between = Between(manifest, self.files, self._random)
            return self._between

        return Machine(self._directory, self.files, random=self._random, clock=self.clock, through=between)

    def _commit_late(self, change: ManifestChange) -> None:
        with self.files.calm():
            catalog = Catalog.open(
                self.files, self._directory, PROVIDER, "1" * 12, "r", self.clock, self._random.randbytes, Limits()
            )
        catalog.manifest.commit(change)
        catalog.close()

    # What clients do.

    def create_table(self, name: str) -> None:
        magnetic = _LATE_WRITES if name == LATE else None
        self._transaction()
        self.machine.catalog.create_table(DATABASE, name, RETENTION, magnetic, None)
        self.model.tables[name] = TableModel()

    def drop_table(self, name: str) -> None:
        self._transaction()
        table = self.machine.catalog.delete_table(DATABASE, name)
        del self.model.tables[name]
        self.attempt(lambda: self.machine.store.drop_table(table))

    def write(self, *requests: Request) -> None:
        """Send requests, and take their answers."""
        self.send(requests)()

    def send(self, requests: Sequence[Request]) -> Callable[[], None]:
        """Send requests; the answer takes their answers."""
        sent = []
        for request in (request for request in requests if request.records):
            # One that is refused before it is queued must never be there.
            with suppress(Fault, Stopped):
                table = self._table(request.table)
                sent.append((request, self.machine.store.submit(table, _batches(request))))

        def take() -> None:
            for request, answer in sent:
                try:
                    self.model.answered(request, answer.result(30))
                except Fault:
                    if self.must_end:
                        self.model.unanswered.append(request)

        return take

    def attempt(self, what: Callable[[], None]) -> None:
        """Do something that faults of the disk may keep from being done, and that changes no answer."""
        before = self.files.faults
        try:
            what()
        except Stopped:
            assert self.files.at_stop is not None
        except (Fault, OSError) as error:
            if self.files.faults == before and not self.files.is_full and not self.must_end:
                raise Broken(f"it failed on a sound disk: {error}") from error

    def note_expiry(self) -> None:
        """From now on what is past retention may be gone, if the clock is to be believed."""
        if self.clock.may_delete():
            for table in self.model.tables.values():
                table.gone_before_ns = max(table.gone_before_ns, expiry_ns(RETENTION, self.clock.now_ns()))

    def late_before_ns(self, table: str) -> int:
        windows = time_windows(RETENTION, table == LATE, self.clock.now_ns())
        return windows.memory_start_ns if table == LATE else Request.late_before_ns

    def settle_report(self) -> None:
        """A report has been written to its bucket."""
        pending = self.machine.store.late.pending()
        if pending:
            self.machine.store.late.settled(pending[0].id)
            lost = _lost(pending[0])
            self.model.reports[lost] -= 1
            self.model.written_reports[lost] += 1

    def _table(self, name: str) -> TableId:
        return self.machine.catalog.table(DATABASE, name).id

    def _transaction(self) -> None:
        if self._between is not None:
            self._between.reached = None

    def _give_room(self) -> None:
        self.files.is_full, self.files.free = False, 1 << 39

    # What the judge sees.

    def check(self) -> None:
        with self.files.calm():
            difference = self.model.difference(self._found())
        if difference:
            raise Broken(difference)

    def check_scrubbed(self) -> None:
        """No block is other than what was written."""
        self.machine.store.scrub_due()
        if damaged := self.machine.store.damaged_blocks():
            raise Broken(f"damaged blocks: {damaged}")

    def _found(self) -> dict[str, list[Row]]:
        names = [table.name for table in self.machine.catalog.list_tables(None, None, 100)]
        try:
            return {name: _rows(self.machine, self._table(name)) for name in names}
        except (Fault, OSError) as error:
            raise Broken(f"it cannot be read: {error}") from error

    def _reports(self) -> Counter[LostRecords]:
        return Counter(_lost(report) for report in self.machine.store.late.pending())

    def _check_files(self) -> None:
        """No file is left that nothing names."""
        for table in self.machine.catalog.list_tables(None, None, 100):
            named = {f"{block.id}.parquet" for block in self.machine.catalog.manifest.load(table.id).blocks}
            found = {path.name for path in self.files.contents() if path.parent.name == table.id}
            if found - {SERIES_FILE} != named:
                raise Broken(f"{found - named} of {table.name} are nobody's, {named - found} are missing")


def _lost(report: object) -> LostRecords:
    return tuple(
        sorted((Key(dict(one.dimensions)["host"], one.time_ns), one.version) for one in report.records)  # type: ignore[attr-defined]
    )


def _batches(request: Request) -> list[RecordColumns]:
    batches = []
    for column in dict.fromkeys(COLUMN_OF[one.cell.variant] for one in request.records):
        places = [place for place, one in enumerate(request.records) if COLUMN_OF[one.cell.variant] == column]
        rows = [
            (series(one.key.host), one.key.time_ns, one.cell.version, one.cell.value)
            for one in (request.records[place] for place in places)
        ]
        batches.append(replace(records(rows, column), index=np.array(places)))
    return batches


def _rows(machine: Machine, table: TableId) -> list[Row]:
    if not machine.store.columns(table).measures:
        return []
    found = values_of(machine.store, table, tuple(dict.fromkeys(COLUMN_OF)))
    return [Row(Key(host, time_ns), measure, value) for host, time_ns, measure, value in found]
