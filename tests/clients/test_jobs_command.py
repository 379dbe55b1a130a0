"""`headwater jobs` against a live server."""

from __future__ import annotations

import csv
import sys

from support.server import ServerProcess


def test_it_prints_the_jobs_of_a_server(server: ServerProcess) -> None:
    words = (sys.executable, "-m", "headwater", "jobs", "--endpoint", server.endpoint, "--format", "csv")
    done = server.run(*words)
    assert (done.returncode, done.stderr) == (0, "")
    lines = list(csv.DictReader(done.stdout.splitlines()))
    compaction = next(line for line in lines if line["name"] == "compaction")
    assert compaction["job"] == "maintenance"
    assert compaction["state"] in ("RUNNING", "IDLE")


def test_a_stranger_sees_none(server: ServerProcess) -> None:
    words = (sys.executable, "-m", "headwater", "jobs", "--endpoint", server.endpoint)
    done = server.run(*words, AWS_ACCESS_KEY_ID="AKIDSTRANGER", AWS_SECRET_ACCESS_KEY="guess")
    assert (done.returncode, done.stdout) == (1, "")
    assert "UnrecognizedClientException" in done.stderr
