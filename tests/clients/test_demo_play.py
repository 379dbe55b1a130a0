"""The whole of `headwater demo` at a smaller scale: two workloads through boto3, a kill in the middle, its checks."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from headwater.cli.demo import FLUSH_AGE_S, Scale, isolate, play
from headwater.cli.demo_server import DemoServer

SMALL = Scale(devices=9, video_instants=60, hosts=12, cpu_instants=900)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[DemoServer]:
    before = dict(os.environ)
    server = DemoServer(tmp_path, FLUSH_AGE_S)
    try:
        isolate(server.data / "credentials")
        yield server
    finally:
        server.stop()
        os.environ.clear()
        os.environ.update(before)


def test_a_small_demo_holds_all_its_checks(server: DemoServer) -> None:
    printed = io.StringIO()
    play(Console(file=printed, width=140, highlight=False), server, SMALL)
    text = printed.getvalue()
    assert text.count("Checked:") == 3
    assert "all 10,800 acknowledged records are there" in text
    assert "All checks held." in text
