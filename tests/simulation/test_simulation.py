"""Many histories of the store, each of one seed; and stores and disks broken on purpose, each of which they find.

`make sim SEEDS=100000` lives through more, `make sim SEED=17` through one again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from headwater.model.block import ManifestChange
from headwater.storage.compaction import _Follower
from headwater.storage.flush import Flushed, Frozen
from headwater.storage.live import LiveBlock
from headwater.storage.retention import ClockWatch
from headwater.storage.table import TableStore
from headwater.wal.entry import ENTRY_HEADER_BYTES, EntryCodec, EntryHeader
from headwater.wal.log import Log
from simulation.history import live
from simulation.model import Broken
from support.simulated_files import SimulatedFiles, Site

SEEDS = 32
CONTROL_SEEDS = 100
"""So many histories at most until a broken store must have been found out. It takes 22 at most today; each control says
where it begins, so that it need not take as long every time.
"""


@pytest.mark.parametrize("part", range(4))
def test_nothing_is_lost_doubled_or_halved(part: int) -> None:
    faults = 0
    for seed in range(part * SEEDS // 4, (part + 1) * SEEDS // 4):
        faults += live(seed).faults
    assert faults, "no fault came: these histories prove nothing"


def test_the_same_seed_is_the_same_history() -> None:
    assert live(11).calls == live(11).calls


def find(prepare: Callable[[SimulatedFiles], None] = lambda _: None, first_seed: int = 0) -> None:
    """Live until a promise is broken. Raises Broken then."""
    for seed in range(first_seed, first_seed + CONTROL_SEEDS):
        live(seed, prepare=prepare)


@dataclass(frozen=True)
class Lie:
    """A disk on which the syncs of some sites do nothing."""

    name: str
    sites: frozenset[Site]


LIES = (
    Lie("entry of the log", frozenset({("datasync", "wal.append.sync")})),
    Lie("rewritten tail of the log", frozenset({("sync", "wal.segment.publish")})),
    Lie("name of a segment", frozenset({("sync_directory", "wal.segment.publish")})),
    Lie("block", frozenset({("sync", "block.write")})),
    Lie("name of a block", frozenset({("sync_directory", "block.write")})),
)


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.name)
def test_a_sync_that_is_left_out_is_found(lie: Lie) -> None:
    def leave_out(files: SimulatedFiles) -> None:
        files.lying = lie.sites

    with pytest.raises(Broken):
        find(leave_out)


def test_a_failed_sync_that_is_believed_is_found() -> None:
    def hide(files: SimulatedFiles) -> None:
        files.hides_failures = True

    with pytest.raises(Broken):
        find(hide, first_seed=6)


Change = Callable[[TableStore, Frozen, Flushed], ManifestChange]


@dataclass(frozen=True)
class Sabotage:
    """A method of ours, and the worse one that takes its place; it is given the right one first."""

    name: str
    owner: type
    method: str
    worse: Callable[..., Any] = field(repr=False)
    first_seed: int = 0


def answer_early(append: Callable[[Log, bytes], int], log: Log, payload: bytes) -> int:
    held = log.__dict__.setdefault("held", [])
    held.append(payload)
    if len(held) > 1:
        append(log, held.pop(0))
    return log.last_sequence + 1


def cover_too_much(change: Change, table: TableStore, frozen: Frozen, flushed: Flushed) -> ManifestChange:
    return replace(change(table, frozen, flushed), checkpoint=frozen.last_sequence + 1)


def forget_replaced(change: Change, table: TableStore, frozen: Frozen, flushed: Flushed) -> ManifestChange:
    return replace(change(table, frozen, flushed), deleted_rows={})


def cut_too_far(checkpoint: Callable[[Log, int], None], log: Log, _: int) -> None:
    checkpoint(log, log.last_sequence)


def follow_nothing(_: object, follower: _Follower) -> list[LiveBlock]:
    return follower._new


def trust_any_clock(*_: object) -> bool:
    return True


def verify_nothing(_: object, codec: EntryCodec, data: bytes, offset: int, header: EntryHeader) -> bytes:
    start = offset + ENTRY_HEADER_BYTES
    return data[start : start + header.payload_bytes]


SABOTAGES = (
    Sabotage("answers before the log", Log, "append", answer_early),
    Sabotage("covers an entry that is not synced", TableStore, "flush_change", cover_too_much),
    Sabotage("forgets replaced rows", TableStore, "flush_change", forget_replaced),
    Sabotage("cuts the log too far", Log, "checkpoint", cut_too_far),
    Sabotage("forgets rows replaced during a merge", _Follower, "added", follow_nothing),
    Sabotage("trusts any clock", ClockWatch, "is_steady", trust_any_clock, 21),
    Sabotage("does not verify entries", EntryCodec, "payload", verify_nothing, 8),
)


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda sabotage: sabotage.name)
def test_a_store_broken_on_purpose_is_found(monkeypatch: pytest.MonkeyPatch, sabotage: Sabotage) -> None:
    right = getattr(sabotage.owner, sabotage.method)
    monkeypatch.setattr(sabotage.owner, sabotage.method, lambda *given: sabotage.worse(right, *given))
    with pytest.raises(Broken):
        find(first_seed=sabotage.first_seed)
