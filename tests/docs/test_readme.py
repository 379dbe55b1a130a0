"""The README's tour, typed in from top to bottom against a real server: commands, Python, and what they print.

A block of output stands behind the block that prints it; `…` in it is any text of one line. Links and make targets of
the documents are checked as well.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from support.server import environment

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
BIN = Path(sys.executable).parent
DEFAULT_PORT = "8739"
TIMEOUT_S = 60.0

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    language: str
    text: str


def tour(port: str) -> list[Block]:
    """The fenced blocks of the tour, for a server on another port."""
    section = README.read_text("utf-8").partition("\n## Five-minute tour\n")[2].partition("\n## ")[0]
    return [Block(language, text.replace(DEFAULT_PORT, port)) for language, text in FENCE.findall(section)]


def as_printed(text: str) -> list[str]:
    """Lines without what cannot be seen: blanks at their ends, empty lines at top and bottom."""
    return [line.rstrip() for line in text.strip("\n").splitlines()]


def is_as_said(said: str, printed: str) -> bool:
    expected, found = as_printed(said), as_printed(printed)
    patterns = [re.escape(line).replace("…", ".*") for line in expected]
    return len(expected) == len(found) and all(map(re.fullmatch, patterns, found))


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


class Reader:
    """Someone who types the tour in, in `folder`: the first commands in one terminal, all others in a second one."""

    def __init__(self, folder: Path, port: str) -> None:
        self.folder = folder
        self.port = port
        self.environment = environment({"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"})
        self.names: dict[str, object] = {}

    def serve(self, commands: str) -> subprocess.Popen[bytes]:
        """Run the first block: what it makes is there already, and its server must not be in the reader's way."""
        make, serve = commands.strip().splitlines()
        assert make == "make setup"
        words = [str(BIN / "headwater"), *serve.split()[1:], "--listen", f"127.0.0.1:{self.port}"]
        output = self.folder / "output"
        with output.open("wb") as file:
            process = subprocess.Popen(words, cwd=self.folder, env=self.environment, stdout=file, stderr=file)
        deadline = time.monotonic() + TIMEOUT_S
        while not output.read_text().startswith("ready") and "\nready" not in output.read_text():
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return process

    def run(self, block: Block) -> str:
        return self.shell(block.text) if block.language == "sh" else self.python(block.text)

    def shell(self, commands: str) -> str:
        """Run commands; what they export is there for later ones."""
        script = f"set -euo pipefail\n{commands}\nenv -0 >environment\n"
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.folder, env=self.environment, capture_output=True, timeout=TIMEOUT_S
        )
        assert done.returncode == 0, done.stderr.decode()
        pairs = (self.folder / "environment").read_text().rstrip("\0").split("\0")
        self.environment = dict(pair.split("=", 1) for pair in pairs)
        return done.stdout.decode()

    def python(self, text: str) -> str:
        """Run statements in one session."""
        before = dict(os.environ)
        printed = io.StringIO()
        try:
            os.environ.clear()
            os.environ.update(self.environment)
            with contextlib.redirect_stdout(printed):
                exec(compile(text, README.name, "exec"), self.names)
        finally:
            os.environ.clear()
            os.environ.update(before)
        return printed.getvalue()


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reader:
    # The reader's Python is a new one: no test before this one has chosen credentials in it.
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    # The tour activates the environment that `make setup` has made here.
    (tmp_path / ".venv").symlink_to(BIN.parent)
    return Reader(tmp_path, free_port())


@contextlib.contextmanager
def serving(reader: Reader, commands: str) -> Iterator[None]:
    process = reader.serve(commands)
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(TIMEOUT_S) == 0


def test_the_tour_does_what_it_says(reader: Reader) -> None:
    start, *blocks = tour(reader.port)
    checked = 0
    with serving(reader, start.text):
        printed = ""
        for block in blocks:
            if block.language == "text":
                assert is_as_said(block.text, printed), f"README says:\n{block.text}\nprinted was:\n{printed}"
                checked += 1
            else:
                printed = reader.run(block)
    assert checked >= 6


def test_output_is_compared() -> None:
    assert is_as_said("\n a…c\nx\n", " abc  \nx")
    assert not is_as_said("a\nb", "a")
    assert not is_as_said("a.c", "abc")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files(document: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", document.read_text("utf-8"))
    files = [link.partition("#")[0] for link in links if not link.startswith(("http://", "https://", "#"))]
    assert [link for link in files if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_within_a_page_lead_to_headings(document: Path) -> None:
    text = document.read_text("utf-8")
    headings = {
        re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.+)$", text, re.M)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_named_files_exist(document: Path) -> None:
    """A file of ours is named by its path from the root, or from the package."""
    named = re.findall(r"`((?:[a-z_]+/)*[a-z_]+\.(?:py|slt|md))(?:`|::)", document.read_text("utf-8"))
    bases = (ROOT, ROOT / "src" / "headwater", document.parent)
    assert [name for name in named if "/" in name and not any((base / name).exists() for base in bases)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_make_targets_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", document.read_text("utf-8"), re.MULTILINE)) <= targets
