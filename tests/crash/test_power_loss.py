"""The power fails under a server that is writing: on ext4 and on XFS nothing acknowledged is lost, nothing is invented.

The server's folder is a file system on a loop device, which is shut down by the kernel without flushing: what was not
synced, of files, names and the catalog, is gone. Root only, so `make crash` is where this runs.
"""

from __future__ import annotations

import random
import subprocess
import time
from pathlib import Path

import pytest

from support.acknowledged import Identity, Journal
from support.server import NotStarted, ServerProcess
from support.under_load import assert_versions_only_rise, judged, make_tables, writing
from support.volumes import LoopVolume, loop_volume, why_not

CUTS = 5
ENDS_WITHIN_S = 5.0
"""A server whose log fails ends itself in this time. Source: reliability.md 2.6."""

SYNCS_NOTHING = "import os\nos.fdatasync = os.fsync = lambda descriptor: None"
SYNCS_NO_ENTRIES = "import os\nos.fdatasync = lambda descriptor: None"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def lose_power(folder: Path, kind: str, seed: int, sabotage: str = "") -> None:
    """Cut the power under load, again and again, and judge the server after each start."""
    if reason := why_not(kind):
        pytest.skip(reason)
    chance = random.Random(seed)
    journal = Journal(folder / "journal")
    server = ServerProcess(folder, sabotage, flush_age_s=0.1, log_segment_mb=1, log_limit_mb=2, disk_low_mb=64)
    with loop_volume(folder, server.data, kind) as volume:
        try:
            _play(server, volume, journal, chance)
        finally:
            server.kill()
            journal.close()


def _play(server: ServerProcess, volume: LoopVolume, journal: Journal, chance: random.Random) -> None:
    server.start()
    make_tables(server)
    seen: dict[Identity, int] = {}
    with writing(server, journal, chance) as writers:
        for _ in range(CUTS):
            for writer in writers:
                writer.resume()
            time.sleep(chance.uniform(0.1, 1.5))
            volume.cut_power()
            _await_end(server)
            for writer in writers:
                writer.pause()
            volume.unmount()
            volume.mount()
            server.start()
            seen = judged(server, journal, seen)
    assert_versions_only_rise(server, seen)
    assert server.stop() == 0


def _await_end(server: ServerProcess) -> None:
    """The log cannot be synced any more: the process says so by its status, and soon."""
    assert server.process is not None
    try:
        assert server.process.wait(ENDS_WITHIN_S) != 0
    except subprocess.TimeoutExpired:
        server.kill()
        pytest.fail(f"the server went on for {ENDS_WITHIN_S} s without its disk")


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_power_loss_loses_nothing_acknowledged(tmp_path: Path, kind: str, seed: int) -> None:
    lose_power(tmp_path, kind, seed)


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
@pytest.mark.parametrize("sabotage", [SYNCS_NOTHING, SYNCS_NO_ENTRIES], ids=["no syncs", "no syncs of entries"])
def test_a_server_that_does_not_sync_is_found_out(tmp_path: Path, kind: str, sabotage: str) -> None:
    """The negative control: the acknowledged is gone, or the server finds its own folder damaged."""
    with pytest.raises((AssertionError, NotStarted), match=r"promises broken|exit status"):
        lose_power(tmp_path, kind, 1, sabotage)
