"""The operator's commands on a real server: a backup under load, a restore that has all of it, fsck's exit statuses."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from headwater.files import LocalFiles
from headwater.model.time import SystemClock
from headwater.upkeep.cut import back_up
from headwater.upkeep.restore import restore
from support.kept_folder import looked_at
from support.server import ServerProcess, environment, serving

COMMAND_TIMEOUT_S = 60
WRITERS = 2
RECORDS = 20


def headwater(*words: object, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "headwater", *map(str, words)],
        env=environment(variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_TIMEOUT_S,
    )


class Load:
    """Writers that send one request after the other, each for a host of its own; what was acknowledged."""

    def __init__(self, server: ServerProcess) -> None:
        self.acknowledged: set[str] = set()
        self.sent: set[str] = set()
        self._server = server
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(n,)) for n in range(WRITERS)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *how: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, more: int) -> None:
        """Until so many more requests are acknowledged."""
        enough = len(self.acknowledged) + more
        deadline = time.monotonic() + COMMAND_TIMEOUT_S
        while len(self.acknowledged) < enough:
            assert time.monotonic() < deadline
            assert all(thread.is_alive() for thread in self._threads)
            time.sleep(0.01)

    def _write(self, writer: int) -> None:
        client = self._server.client("timestream-write")
        number = 0
        while not self._stop.is_set():
            number += 1
            host = f"w{writer}-{number}"
            self.sent.add(host)
            client.write_records(DatabaseName="plant", TableName="hosts", Records=records(host))
            self.acknowledged.add(host)


def records(host: str) -> list[dict[str, Any]]:
    now_ms = int(time.time() * 1_000)
    return [
        {
            "Dimensions": [{"Name": "host", "Value": host}],
            "MeasureName": "load",
            "MeasureValue": str(i),
            "MeasureValueType": "DOUBLE",
            "Time": str(now_ms - i * 1_000),
        }
        for i in range(RECORDS)
    ]


def hosts(server: ServerProcess) -> dict[str, int]:
    client = server.client("timestream-query")
    pages = client.get_paginator("query").paginate(
        QueryString='SELECT host, count(*), count(DISTINCT time) FROM "plant"."hosts" GROUP BY host'
    )
    rows = [[datum["ScalarValue"] for datum in row["Data"]] for page in pages for row in page["Rows"]]
    assert all(count == times for _, count, times in rows)
    return {host: int(count) for host, count, _ in rows}


def make_table(server: ServerProcess) -> None:
    client = server.client("timestream-write")
    client.create_database(DatabaseName="plant")
    client.create_table(DatabaseName="plant", TableName="hosts")


def test_a_backup_under_load_has_every_record_acknowledged_before(tmp_path: Path) -> None:
    """Made in this process, which is another one than the server's, because a command takes a second to load."""
    files, clock = LocalFiles(), SystemClock()
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    # Everything moves: a flush each second, merges, segments of a megabyte that are given up.
    restless = {"flush_age_s": 1, "log_segment_mb": 1, "log_limit_mb": 2}
    with serving(tmp_path / "first", **restless) as server:
        make_table(server)
        expected: list[tuple[Path, set[str]]] = []
        with Load(server) as load:
            for number in range(3):
                load.wait_for(40)
                to = tmp_path / f"backup{number}"
                expected.append((to, set(load.acknowledged)))
                back_up(files, server.data, to, clock, wait=lambda: time.sleep(0.05))
            load.wait_for(10)
        sent, key = set(load.sent), server.data / "master.key"
        assert load.acknowledged <= hosts(server).keys()
    for to, acknowledged in expected:
        data = tmp_path / "second" / "data"
        shutil.rmtree(data, ignore_errors=True)
        restore(files, to, data)
        shutil.copy(key, data / "master.key")
        assert looked_at(data, tmp_path / "scratch").findings == ()
        with serving(tmp_path / "second") as second:
            found = hosts(second)
        assert acknowledged <= found.keys() <= sent
        assert set(found.values()) == {RECORDS}


def test_what_was_backed_up_is_restored_and_the_old_access_key_is_good(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    data, backup = tmp_path / "second" / "data", tmp_path / "backup"
    with serving(tmp_path / "first") as server:
        make_table(server)
        server.client("timestream-write").write_records(DatabaseName="plant", TableName="hosts", Records=records("h"))
        made = headwater("backup", "--data", server.data, "--to", backup)
        assert (made.returncode, made.stderr) == (0, "")
        assert "The master key is not in it" in made.stdout
        again = headwater("backup", "--data", server.data, "--to", backup)
        assert (again.returncode, again.stdout) == (1, "")
        assert "is there already and not empty" in again.stderr
        credentials = server.credentials
    done = headwater("restore", backup, "--data", data)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"put it at {data / 'master.key'}" in done.stdout
    shutil.copy(server.data / "master.key", data)
    with serving(tmp_path / "second") as second:
        assert second.credentials != credentials
        second.credentials = credentials
        assert hosts(second) == {"h": RECORDS}


def test_fsck_says_by_its_status_what_it_found(tmp_path: Path) -> None:
    """The other statuses: tests/unit/upkeep/test_commands.py."""
    with serving(tmp_path) as server:
        make_table(server)
        server.client("timestream-write").write_records(DatabaseName="plant", TableName="hosts", Records=records("h"))
        running = headwater("fsck", "--data", server.data)
        assert running.returncode == 2
        assert "Another process is using the data folder" in running.stderr
    stopped = headwater("fsck", "--data", server.data)
    assert (stopped.returncode, stopped.stdout, stopped.stderr) == (0, f"{server.data}: clean\n", "")
