"""One history of a store, made of one seed: what clients, jobs, clocks and the disk do, in what order.

`live` runs it and raises Broken, with the steps up to there, when a promise is. All chance comes of the seed, and no
two threads work at once but where a hook of the disk lets them, at a moment that is part of the history: the same seed
is the same history, call by call.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from headwater.errors import Fault
from headwater.model.table import expiry_ns
from headwater.model.time import NS_PER_HOUR, NS_PER_MINUTE, NS_PER_MS, NS_PER_S
from headwater.storage import compaction, table
from support.faulty_files import Stopped
from support.simulated_files import Disk, SimulatedFiles

from .model import VARIANTS, Broken, Cell, Key, Request, Sent
from .world import DATABASE, LATE, RETENTION, World

HOSTS = ("a", "b", "c")
TABLES = ("t", LATE, "other")
STEPS = (12, 40)
AGES_NS = (0, 0, NS_PER_S, 20 * NS_PER_MINUTE, 3 * NS_PER_HOUR, 20 * NS_PER_HOUR)


def live(seed: int, *, prepare: Callable[[SimulatedFiles], None] = lambda _: None) -> SimulatedFiles:
    """Live through the history of a seed on a disk that `prepare` may have made worse; the disk as it is then.

    Raises Broken.
    """
    with TemporaryDirectory(dir=_memory_folder()) as folder, _small(), _quiet_threads() as bugs:
        history = History(seed, Path(folder))
        prepare(history.world.files)
        try:
            history.run()
        except BaseException as error:
            error.add_note(f"seed {seed}: " + ", ".join(history.steps))
            raise
    if bugs:
        raise Broken(f"seed {seed}: a thread ended with {bugs[0]!r}") from bugs[0]
    return history.world.files


class History:
    """`steps` are the names of what was done, for whoever has to understand a failure."""

    def __init__(self, seed: int, directory: Path) -> None:
        self._random = random.Random(seed)
        self.world = World(directory, self._random)
        self.steps: list[str] = []
        self._choices: tuple[tuple[int, Callable[[], None]], ...] = (
            (40, self._write),
            (6, self._write_while_syncing),
            (5, self._flush_while_syncing),
            (8, self._flush),
            (4, self._write_while_flushing),
            (4, self._compact),
            (4, self._write_while_compacting),
            (6, self._jobs),
            (6, self._pass_time),
            (3, self._step_clock),
            (8, self._arm),
            (2, self._fill_disk),
            (2, self._drop_or_create),
            (2, self._settle_report),
            (4, self._check),
            (3, self._restart),
            (4, self._crash),
        )

    def run(self) -> None:
        world = self.world
        world.start()
        world.machine.catalog.create_database(DATABASE, None)
        for name in TABLES:
            world.create_table(name)
        weights = [weight for weight, _ in self._choices]
        for _ in range(self._random.randint(*STEPS)):
            (_, step) = self._random.choices(self._choices, weights)[0]
            self.steps.append(step.__name__.strip("_"))
            world.clock.advance(self._random.randint(50, 2_000) * NS_PER_MS)
            step()
            if world.must_end:
                self.steps.append("end")
                world.crash()
            if not world.is_up:
                world.start()
        self._end()

    def _end(self) -> None:
        """On a sound disk: all that is promised, once more after a clean stop and after a compaction of everything."""
        world = self.world
        world.files.disarm()
        world.files.is_full, world.files.free = False, 1 << 39
        world.check()
        world.stop()
        world.start()
        world.note_expiry()
        world.attempt(world.machine.store.compact)
        world.check()
        world.check_scrubbed()
        world.crash()
        world.start()
        world.leave()

    # Steps.

    def _write(self) -> None:
        self.world.write(self._request())

    def _write_while_syncing(self) -> None:
        """More requests come while the log syncs one: they are the next group."""
        world, more = self.world, [self._request() for _ in range(self._random.randint(1, 4))]
        futures: list[Callable[[], None]] = []
        world.files.hooks["datasync", "wal.append.sync"] = lambda: futures.append(world.send(more))
        world.write(self._request())
        world.files.hooks.clear()
        for finish in futures:
            finish()

    def _flush_while_syncing(self) -> None:
        """A flush is forced while the log syncs: it must not cover what is not synced yet."""
        world = self.world
        world.note_expiry()
        world.files.hooks["datasync", "wal.append.sync"] = self._flush_or_fail
        world.write(self._request())
        world.files.hooks.clear()

    def _flush_or_fail(self) -> None:
        try:
            self.world.machine.store.flush()
        except (Fault, OSError):
            return

    def _flush(self) -> None:
        self.world.note_expiry()
        self.world.attempt(self.world.machine.store.flush)

    def _write_while_flushing(self) -> None:
        self._meanwhile(("pwrite", "block.write"), self.world.machine.store.flush)

    def _compact(self) -> None:
        self.world.note_expiry()
        self.world.attempt(self.world.machine.store.compact)

    def _write_while_compacting(self) -> None:
        """Rows are replaced behind the back of a merge that has read them."""
        self._flush()
        if not self.world.must_end:
            self._meanwhile(("sync", "block.write"), self.world.machine.store.compact)

    def _meanwhile(self, site: tuple[str, str], what: Callable[[], None]) -> None:
        world, request = self.world, self._request()
        world.note_expiry()
        world.files.hooks[site] = lambda: world.write(request)
        world.attempt(what)
        world.files.hooks.clear()

    def _jobs(self) -> None:
        """The jobs of the runner, as their time has come."""
        store = self.world.machine.store
        for job in (self.world.machine.log.prepare, store.flush_due, store.compact_due, store.expire_due):
            self.world.note_expiry()
            if not self.world.must_end:
                self.world.attempt(job)
        # What the scrubber cannot read counts as damaged until the next start: rightly so, and no answer is wrong.
        if not self.world.must_end:
            with self.world.files.calm():
                self.world.check_scrubbed()

    def _pass_time(self) -> None:
        self.world.clock.advance(self._random.choice((NS_PER_MINUTE, 15 * NS_PER_MINUTE, 5 * NS_PER_HOUR)))

    def _step_clock(self) -> None:
        hours = self._random.choice((-48, -5, -1, 1, 5, 48, 24 * 365))
        self.world.clock.step(hours * NS_PER_HOUR + self._random.choice((0, 1)) * NS_PER_MINUTE)

    def _arm(self) -> None:
        what = self._random.choice((Disk.STOPS, Disk.STOPS, Disk.FAILS, Disk.FAILS, Disk.SHORT))
        self.world.files.arm(self._random.choice((0, 1, 2, 3, 5, 8, 13, 21, 34)), what)

    def _fill_disk(self) -> None:
        """The disk fills up, or is emptied; sometimes before anybody has noticed how full it is."""
        files = self.world.files
        files.is_full = not files.is_full
        files.free = 0 if files.is_full and self._random.random() < 0.5 else 1 << 39

    def _drop_or_create(self) -> None:
        if "other" in self.world.model.tables:
            self.world.drop_table("other")
        else:
            self.world.create_table("other")

    def _settle_report(self) -> None:
        self.world.settle_report()

    def _check(self) -> None:
        self.world.check()

    def _restart(self) -> None:
        self.world.stop()

    def _crash(self) -> None:
        self.world.crash()

    def _request(self) -> Request:
        name = self._random.choice(sorted(self.world.model.tables))
        sent = [one for _ in range(self._random.randint(1, 6)) if (one := self._record(name))]
        return Request(name, tuple(sent), self.world.late_before_ns(name))

    def _record(self, name: str) -> Sent | None:
        """A new record, or one that is there in another version. None where it would be past retention."""
        chance, stored = self._random, self.world.model.tables[name]
        now_ns = self.world.clock.now_ns()
        oldest_ns = max(stored.gone_before_ns, expiry_ns(RETENTION, now_ns))
        known = sorted(key for key in stored.cells if key.time_ns >= oldest_ns)
        if known and chance.random() < 0.6:
            key = chance.choice(known)
            version = max(1, stored.cells[key].version + chance.choice((-1, 0, 1, 1, 2)))
        else:
            key, version = Key(chance.choice(HOSTS), now_ns - chance.choice(AGES_NS)), chance.randint(1, 3)
        return Sent(key, Cell(version, chance.randrange(VARIANTS))) if key.time_ns >= oldest_ns else None


@contextmanager
def _small() -> Iterator[None]:
    """Limits that a short history reaches."""
    with ExitStack() as stack:
        stack.enter_context(patch.object(table, "UNCOVERED_BLOCKS", 3))
        stack.enter_context(patch.object(compaction, "FAN_IN", 3))
        yield


@contextmanager
def _quiet_threads() -> Iterator[list[BaseException]]:
    """A commit thread ends by what the disk did to it; by anything else it must not, and that is given back."""
    bugs: list[BaseException] = []

    def note(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not isinstance(args.exc_value, Stopped | Fault | OSError):
            bugs.append(args.exc_value)

    with patch.object(threading, "excepthook", note):
        yield bugs


def _memory_folder() -> Path | None:
    """For the catalog, whose syncs cost nothing there: no power is lost in a simulation but the simulated one."""
    shared = Path("/dev/shm")
    return shared if os.access(shared, os.W_OK) else None
