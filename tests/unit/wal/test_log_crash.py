"""Stop at every disk call of a long history, start again on what is left, and compare with a journal kept outside.

The journal is the model: what was acknowledged must be there, what was never given must not, and the order holds. The
last tests break the disk on purpose and show that the same sweep then finds lost entries.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from headwater.config import WalSettings
from headwater.errors import Corrupt, LogFailed
from headwater.wal.log import Log
from support.faulty_files import FaultyFiles, Stopped
from support.keys import LOG_KEYS

DIRECTORY = Path("/data/wal")
SETTINGS = WalSettings(segment_bytes=1200)


@dataclass
class Journal:
    """`acknowledged[i]` has sequence i + 1. `unknown` was given and not answered. Up to `checkpoint` may be gone."""

    acknowledged: list[bytes] = field(default_factory=list)
    unknown: list[bytes] = field(default_factory=list)
    checkpoint: int = 0


class Lost(AssertionError):
    """What the log replays is not what the journal says."""


def open_log(files: FaultyFiles) -> Log:
    return Log.open(files, DIRECTORY, SETTINGS, LOG_KEYS, Random(7).randbytes)


def append(log: Log, journal: Journal, payload: bytes) -> None:
    journal.unknown = [payload]
    sequence = log.append(payload)
    journal.unknown = []
    journal.acknowledged.append(payload)
    assert sequence == len(journal.acknowledged)


def checkpoint(log: Log, journal: Journal, sequence: int) -> None:
    journal.checkpoint = sequence
    log.checkpoint(sequence)


def history(files: FaultyFiles, journal: Journal) -> None:
    """Appends of all sizes, rolls, checkpoints, a clean stop and a start after it."""
    random = Random(1)
    log = open_log(files)
    for size in (0, 30, 700, 300, 400, 3_000, 10, 600):
        append(log, journal, random.randbytes(size))
        log.prepare()
    checkpoint(log, journal, 3)
    append(log, journal, random.randbytes(900))
    log.prepare()
    log.close()
    log = open_log(files)
    append(log, journal, random.randbytes(800))
    append(log, journal, random.randbytes(800))
    checkpoint(log, journal, 10)
    append(log, journal, random.randbytes(20))


def after(files: FaultyFiles) -> Iterator[FaultyFiles]:
    """The ways a stop may be found by the next start: killed only; power lost and nothing, all, or some of it kept."""
    yield files.restart()
    yield files.power_loss(0.0)
    yield files.power_loss(1.0)
    for seed in range(4):
        yield files.power_loss(0.5, Random(seed))


def check(log: Log, journal: Journal) -> None:
    """Compare a started log with the journal, and take what it shows of the unknown entry as a promise from now on."""
    replayed = list(log.replay(0))
    known = journal.acknowledged + journal.unknown
    for sequence, payload in replayed:
        if sequence > len(known) or payload != known[sequence - 1]:
            raise Lost(f"entry {sequence} was invented")
    sequences = [sequence for sequence, _ in replayed]
    if sequences != list(range(log.first_sequence, log.last_sequence + 1)):
        raise Lost(f"gaps in {sequences}")
    if log.first_sequence > journal.checkpoint + 1 or log.last_sequence < len(journal.acknowledged):
        raise Lost(f"{len(journal.acknowledged)} acknowledged, {log.first_sequence} to {log.last_sequence} there")
    journal.acknowledged = known[: log.last_sequence]
    journal.unknown = []


def sweep(lies: frozenset[str] = frozenset()) -> int:
    """Stop at each disk call; then start, lose power, start and append. Returns how many ends were looked at."""
    looked_at = 0
    for stop_at in range(count_of_calls()):
        stopped, journal = run_until(stop_at, lies)
        for left in after(stopped):
            seen = Journal(list(journal.acknowledged), list(journal.unknown), journal.checkpoint)
            left.lies = lies
            log = start(left, seen)
            append(log, seen, b"goes on")
            start(left.power_loss(), seen)
            looked_at += 1
    return looked_at


def count_of_calls() -> int:
    files = FaultyFiles()
    history(files, Journal())
    return len(files.calls)


def run_until(stop_at: int, lies: frozenset[str]) -> tuple[FaultyFiles, Journal]:
    files, journal = FaultyFiles(), Journal()
    files.stop_at, files.lies = stop_at, lies
    with pytest.raises(Stopped):
        history(files, journal)
    return files, journal


def start(files: FaultyFiles, journal: Journal) -> Log:
    try:
        log = open_log(files)
    except Corrupt as fault:
        raise Lost(fault.message) from fault
    check(log, journal)
    return log


def test_the_history_passes_every_call_of_the_log() -> None:
    """Else the sweep would not be one: a new call of the log has to be reached by the history."""
    files = FaultyFiles()
    history(files, Journal())
    assert {site for _, site in files.calls} == {
        "wal.open.directory",
        "wal.open.list",
        "wal.inspect.read",
        "wal.segment.create",
        "wal.segment.write",
        "wal.segment.publish",
        "wal.segment.close",
        "wal.spare.create",
        "wal.spare.write",
        "wal.spare.sync",
        "wal.spare.close",
        "wal.spare.remove",
        "wal.append.write",
        "wal.append.sync",
        "wal.seal.write",
        "wal.seal.truncate",
        "wal.seal.sync",
        "wal.remove",
        "wal.remove.sync",
        "wal.mark.exists",
        "wal.mark.read",
        "wal.mark.write",
    }


def test_wherever_it_stops_every_acknowledged_entry_is_there_none_is_invented_and_the_order_holds() -> None:
    assert sweep() == 7 * count_of_calls()


def test_a_start_may_itself_be_stopped_at_every_call() -> None:
    """After some stops of the history, stop the start that follows at each of its calls, and start once more."""
    for stop_at in range(0, count_of_calls(), 3):
        stopped, journal = run_until(stop_at, frozenset())
        for kept, seed in ((0.0, 0), (0.5, 1), (1.0, 2)):
            first = stopped.power_loss(kept, Random(seed))
            open_log(left := first.restart())
            for second_stop_at in range(len(left.calls)):
                again = first.restart()
                again.stop_at = second_stop_at
                with pytest.raises(Stopped):
                    open_log(again)
                seen = Journal(list(journal.acknowledged), list(journal.unknown), journal.checkpoint)
                log = start(again.power_loss(kept, Random(seed)), seen)
                append(log, seen, b"goes on")


HARMLESS = {
    *((operation, "wal.mark.write") for operation in ("create", "pwrite", "close", "sync", "rename", "sync_directory")),
    *(("create", "wal.spare.create"), ("pwrite", "wal.spare.write"), ("datasync", "wal.spare.sync")),
}
"""Without its mark the log is not cut, and what is not made ahead is made when it is needed: the log goes on."""


def test_a_failed_call_loses_nothing_either() -> None:
    """Each call fails once with an I/O error; the process ends, is started again, and then power is lost."""
    whole = FaultyFiles()
    history(whole, Journal())
    for operation, site in sorted(set(whole.calls)):
        files, journal = FaultyFiles(), Journal()
        files.fail(operation, site)
        with nullcontext() if (operation, site) in HARMLESS else pytest.raises(LogFailed):
            history(files, journal)
        for left in (files.restart(), *after(files)):
            seen = Journal(list(journal.acknowledged), list(journal.unknown), journal.checkpoint)
            append(start(left, seen), seen, b"goes on")
            start(left.power_loss(), seen)


@pytest.mark.parametrize("lie", ["datasync", "sync", "sync_directory"])
def test_the_sweep_finds_a_disk_that_does_not_sync(lie: str) -> None:
    with pytest.raises(Lost):
        sweep(frozenset({lie}))


def test_the_sweep_finds_an_answer_before_the_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for a log broken on purpose: an entry counts as acknowledged before it is appended."""

    def early(log: Log, journal: Journal, payload: bytes) -> None:
        journal.acknowledged.append(payload)
        log.append(payload)

    monkeypatch.setitem(globals(), "append", early)
    with pytest.raises(Lost):
        sweep()


def test_the_sweep_finds_a_checkpoint_that_is_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    def early(log: Log, journal: Journal, sequence: int) -> None:
        log.checkpoint(log.last_sequence)

    monkeypatch.setitem(globals(), "checkpoint", early)
    with pytest.raises(Lost):
        sweep()
