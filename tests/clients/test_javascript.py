"""Programs on the JavaScript SDK (version 3) and its helper library: `javascript/checks.js`, run by Node.

The packages of the lock file are installed once into pytest's cache folder. Where Node, npm or the registry is missing
the tests are skipped and say so.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support.server import ServerProcess

SOURCE = Path(__file__).with_name("javascript")
OLDEST_NODE = 20
CHECKS = ("tables", "tags", "errors", "writes", "rejects", "pages", "nested", "useHelpers", "discover")
OUT_OF_REACH = re.compile(r"\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ENETUNREACH|ETIMEDOUT|E?SOCKETTIMEOUT)\b")


@pytest.fixture(scope="session")
def program(pytestconfig: pytest.Config) -> Path:
    """checks.js beside the packages that it imports."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("Node.js with npm is not installed")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.lstrip("v").partition(".")[0]) < OLDEST_NODE:
        pytest.skip(f"the SDK wants Node.js {OLDEST_NODE}, this is {version}")
    lock = (SOURCE / "package-lock.json").read_bytes()
    folder = pytestconfig.cache.mkdir(f"javascript-{hashlib.sha256(lock).hexdigest()[:12]}")
    shutil.copytree(SOURCE, folder, dirs_exist_ok=True)
    # npm writes this file last.
    if not (folder / "node_modules" / ".package-lock.json").exists():
        install(folder)
    return folder / "checks.js"


def install(folder: Path) -> None:
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1", "--fetch-retry-mintimeout=1000"]
    done = subprocess.run(["npm", "ci", *options], cwd=folder, capture_output=True, text=True, check=False, timeout=100)
    if done.returncode and (why := OUT_OF_REACH.search(done.stderr)):
        pytest.skip(f"the npm registry cannot be reached ({why[0]})")
    assert done.returncode == 0, done.stderr


def run(program: Path, server: ServerProcess, *words: str, **variables: str) -> str:
    """What the program printed. With no words these are the names of its checks."""
    done = subprocess.run(
        ["node", "--no-warnings", str(program), *words],
        env={**server.environment(), "AWS_REGION": server.region, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_check_is_forgotten(program: Path, server: ServerProcess) -> None:
    assert run(program, server).split() == list(CHECKS)


@pytest.mark.parametrize("name", CHECKS)
def test_with_an_endpoint_in_code(program: Path, server: ServerProcess, name: str) -> None:
    assert run(program, server, server.endpoint, name) == f"passed {name}\n"


@pytest.mark.parametrize(
    "variables",
    [["AWS_ENDPOINT_URL"], ["AWS_ENDPOINT_URL_TIMESTREAM_WRITE", "AWS_ENDPOINT_URL_TIMESTREAM_QUERY"]],
    ids=["one for all services", "one for each"],
)
def test_with_nothing_but_endpoint_variables(program: Path, server: ServerProcess, variables: list[str]) -> None:
    """The SDK then asks for an endpoint and takes the answer for a host name."""
    printed = run(program, server, "-", *CHECKS, **dict.fromkeys(variables, server.endpoint))
    assert printed.split("\n") == [*(f"passed {name}" for name in CHECKS), ""]
