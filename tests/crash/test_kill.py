"""SIGKILL at random moments, again and again: every acknowledged record is there once, nothing is invented.

Writers send through signed requests and keep a journal outside the data folder. The flush age is the least there is, so
blocks are written all the time, and half of the kills come when a flush is at its files. A failing run says its seed.
`pytest -m slow tests/crash` is the long version. Killing a process leaves the page cache: what a power cut does is
in `test_power_loss` and in tests/simulation.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from support.acknowledged import Found, Identity, Journal, violations
from support.server import ServerProcess
from support.under_load import assert_versions_only_rise, found_by, judged, make_tables, writing


def kill_within(server: ServerProcess, chance: random.Random, longest_s: float) -> None:
    """SIGKILL: either at any moment, or as soon as a flush has put a file into a folder of blocks."""
    time.sleep(chance.uniform(0.05, longest_s))
    if chance.random() < 0.5:
        before = files(server)
        end_s = time.monotonic() + 3
        while files(server) <= before and time.monotonic() < end_s:
            time.sleep(0.0005)
        time.sleep(chance.choice((0, 0, 0.002, 0.01)))
    server.kill()


def files(server: ServerProcess) -> set[str]:
    return {path.name for path in (server.data / "blocks").glob("*/*")}


def play(folder: Path, seed: int, kills: int, longest_s: float, sabotage: str = "") -> None:
    """Kill the server so many times under load, and judge it after each restart; and at the end stop it cleanly."""
    chance = random.Random(seed)
    journal = Journal(folder / "journal")
    server = ServerProcess(folder, sabotage, flush_age_s=0.1, log_segment_mb=1, log_limit_mb=2)
    server.start()
    try:
        make_tables(server)
        seen: dict[Identity, int] = {}
        with writing(server, journal, chance) as writers:
            for _ in range(kills):
                for writer in writers:
                    writer.resume()
                kill_within(server, chance, longest_s)
                for writer in writers:
                    writer.pause()
                server.start()
                seen = judged(server, journal, seen)
        found = found_by(server)
        assert server.stop() == 0
        server.start()
        assert sorted(found_by(server)) == sorted(found)
        judged(server, journal, seen)
        assert_versions_only_rise(server, seen)
        assert server.stop() == 0
        assert_judge_sees_a_loss(journal, found)
    finally:
        server.kill()
        journal.close()
    assert server.stderr.count('"flushed"') >= kills / 2
    assert "Traceback" not in server.stderr


def assert_judge_sees_a_loss(journal: Journal, found: list[Found]) -> None:
    """The negative control: with one acknowledged row less, or one row twice, the same judgement fails."""
    history = journal.read()
    acknowledged = {w.identity for number in history.acknowledged for w in history.requests[number]}
    lost = next(place for place, row in enumerate(found) if row.identity in acknowledged)
    assert not violations(history, found, {})
    assert violations(history, found[:lost] + found[lost + 1 :], {})
    assert violations(history, [*found, found[lost]], {})


def test_nothing_acknowledged_is_lost_by_kills(tmp_path: Path) -> None:
    play(tmp_path, seed=1, kills=4, longest_s=1.5)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(2, 6))
def test_nothing_acknowledged_is_lost_by_many_kills(tmp_path: Path, seed: int) -> None:
    play(tmp_path, seed, kills=15, longest_s=1.0)


LOSES_THE_LAST_ENTRY = """
from headwater.wal.log import Log
replay = Log.replay
Log.replay = lambda self, after: iter(list(replay(self, after))[:-1])
"""
ANSWERS_BEFORE_THE_LOG = """
from headwater.wal.log import Log
append, held = Log.append, []
def late(self, payload):
    held.append(payload)
    if len(held) > 1:
        append(self, held.pop(0))
    return self.last_sequence + 1
Log.append = late
"""
CHECKPOINT_TOO_EARLY = """
from dataclasses import replace
from headwater.storage.table import TableStore
change = TableStore.flush_change
TableStore.flush_change = lambda self, frozen, flushed: replace(
    change(self, frozen, flushed), checkpoint=max(frozen.last_sequence, self.memtable.last_sequence)
)
"""
FORGETS_REPLACED_ROWS = """
from dataclasses import replace
from headwater.storage.table import TableStore
change = TableStore.flush_change
TableStore.flush_change = lambda self, frozen, flushed: replace(change(self, frozen, flushed), deleted_rows={})
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "sabotage", [LOSES_THE_LAST_ENTRY, ANSWERS_BEFORE_THE_LOG, CHECKPOINT_TOO_EARLY, FORGETS_REPLACED_ROWS]
)
def test_a_server_broken_on_purpose_is_found_out(tmp_path: Path, sabotage: str) -> None:
    with pytest.raises(AssertionError, match="promises broken"):
        play(tmp_path, seed=1, kills=8, longest_s=1.5, sabotage=sabotage)
