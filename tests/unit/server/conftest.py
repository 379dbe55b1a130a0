"""Servers for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.serving import FAST, Running, make_instance, running


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    """A server with the real limits."""
    with running(make_instance(tmp_path)) as started:
        yield started


@pytest.fixture
def hasty_server(tmp_path: Path) -> Iterator[Running]:
    """A server that waits for nobody longer than a moment."""
    with running(make_instance(tmp_path), FAST) as started:
        yield started
