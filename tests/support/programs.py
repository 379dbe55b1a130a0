"""The client programs of `tests/clients`, made ready to run: packages installed and code compiled, once for all runs.

Each program takes an endpoint, or `-`, and the names of checks; without any it prints the names that it knows. What a
program needs is kept in pytest's cache folder. Where its toolchain or its registry is missing the test is skipped and
says so.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

CLIENTS = Path(__file__).parent.parent / "clients"
BUILD_TIMEOUT_S = 110.0

OLDEST_NODE = 20
OLDEST_GO = (1, 24)
NO_NPM = re.compile(r"\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ENETUNREACH|ETIMEDOUT|E?SOCKETTIMEOUT)\b")
NO_PROXY = re.compile(r"dial tcp.*|no such host|i/o timeout|module lookup disabled.*")

Words = tuple[str, ...]


def boto3_program(_: pytest.Cache) -> Words:
    return sys.executable, str(CLIENTS / "python" / "checks.py")


def javascript_program(cache: pytest.Cache) -> Words:
    """`javascript/checks.js` beside the packages of its lock file."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("Node.js with npm is not installed")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.lstrip("v").partition(".")[0]) < OLDEST_NODE:
        pytest.skip(f"the SDK wants Node.js {OLDEST_NODE}, this is {version}")
    source = CLIENTS / "javascript"
    lock = (source / "package-lock.json").read_bytes()
    folder = cache.mkdir(f"javascript-{hashlib.sha256(lock).hexdigest()[:12]}")
    shutil.copytree(source, folder, dirs_exist_ok=True)
    # npm writes this file last.
    if not (folder / "node_modules" / ".package-lock.json").exists():
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1", "--fetch-retry-mintimeout=1000"]
        _build(["npm", "ci", *options], folder, NO_NPM, "the npm registry")
    return "node", "--no-warnings", str(folder / "checks.js")


def go_program(folder: str, cache: pytest.Cache) -> Words:
    """The program in a folder of its own module: `go` is on version 2 of the SDK, `go1` on version 1."""
    if not shutil.which("go"):
        pytest.skip("Go is not installed")
    version = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, check=True).stdout.strip()
    found = re.match(r"go(\d+)\.(\d+)", version)
    if found is None or (int(found[1]), int(found[2])) < OLDEST_GO:
        pytest.skip(f"the SDK wants Go {OLDEST_GO[0]}.{OLDEST_GO[1]}, this is {version}")
    file = cache.mkdir(folder) / "checks"
    _build(["go", "build", "-buildvcs=false", "-o", str(file), "."], CLIENTS / folder, NO_PROXY, "the Go module proxy")
    return (str(file),)


PROGRAMS: dict[str, Callable[[pytest.Cache], Words]] = {
    "boto3": boto3_program,
    "javascript": javascript_program,
    "go": partial(go_program, "go"),
    "go1": partial(go_program, "go1"),
}
"""What makes each program ready: the words that start it. Skips the test where it cannot."""


def _build(words: list[str], folder: Path, unreachable: re.Pattern[str], registry: str) -> None:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=BUILD_TIMEOUT_S)
    if done.returncode and (why := unreachable.search(done.stderr)):
        pytest.skip(f"{registry} cannot be reached ({why[0]})")
    assert done.returncode == 0, done.stderr
