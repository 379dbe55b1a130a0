"""Programs on the Go SDK (version 2): `go/main.go`, built once into pytest's cache folder.

Where Go or the module proxy is missing the tests are skipped and say so.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support.server import ServerProcess

SOURCE = Path(__file__).with_name("go")
OLDEST_GO = (1, 24)
CHECKS = ("tables", "tags", "faults", "writes", "rejects", "pages")
OUT_OF_REACH = re.compile(r"dial tcp.*|no such host|i/o timeout|module lookup disabled.*")


@pytest.fixture(scope="session")
def program(pytestconfig: pytest.Config) -> Path:
    if not shutil.which("go"):
        pytest.skip("Go is not installed")
    version = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, check=True).stdout.strip()
    found = re.match(r"go(\d+)\.(\d+)", version)
    if found is None or (int(found[1]), int(found[2])) < OLDEST_GO:
        pytest.skip(f"the SDK wants Go {OLDEST_GO[0]}.{OLDEST_GO[1]}, this is {version}")
    file = pytestconfig.cache.mkdir("go") / "checks"
    build = ["go", "build", "-buildvcs=false", "-o", str(file), "."]
    done = subprocess.run(build, cwd=SOURCE, capture_output=True, text=True, check=False, timeout=110)
    if done.returncode and (why := OUT_OF_REACH.search(done.stderr)):
        pytest.skip(f"the Go module proxy cannot be reached ({why[0]})")
    assert done.returncode == 0, done.stderr
    return file


def run(program: Path, server: ServerProcess, *words: str, **variables: str) -> str:
    """What the program printed. With no words these are the names of its checks."""
    done = subprocess.run(
        [str(program), *words],
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
    """The SDK then asks for an endpoint and goes where the answer says."""
    printed = run(program, server, "-", *CHECKS, **dict.fromkeys(variables, server.endpoint))
    assert printed.split("\n") == [*(f"passed {name}" for name in CHECKS), ""]
