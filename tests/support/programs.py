"""The client programs of `tests/clients`, made ready to run: packages installed and code compiled, once for all runs.

Each program takes an endpoint, or `-`, and the names of checks; without any it prints the names that it knows. What a
program needs is kept in pytest's cache folder. Where its toolchain or its registry is missing the test is skipped and
says so. Telegraf, which `telegraf` makes ready, is no program of ours and takes what its users give it.
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
SLOW_BUILD_TIMEOUT_S = 900.0
"""For tests that are marked slow: those of Telegraf fetch and compile 500 packages."""

OLDEST_NODE = 20
OLDEST_JAVA = 17
NO_NPM = re.compile(r"\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ENETUNREACH|ETIMEDOUT|E?SOCKETTIMEOUT)\b")
NO_MAVEN = re.compile(r"Could not (?:transfer|find) artifact \S+|\S+ (?:failed to transfer from|was not found in)")
NO_PROXY = re.compile(r"dial tcp.*|no such host|i/o timeout|module lookup disabled.*")
_GO_OF_MODULE = re.compile(r"^go (\d+)\.(\d+)", re.MULTILINE)

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
    return _go_build(folder, ".", cache, BUILD_TIMEOUT_S)


def telegraf(cache: pytest.Cache) -> Words:
    """The Telegraf agent from its own module, with the output to Timestream and files of line protocol as its input."""
    package = "github.com/influxdata/telegraf/cmd/telegraf"
    tags = "custom,outputs.timestream,inputs.file,parsers.influx"
    return _go_build("telegraf", package, cache, SLOW_BUILD_TIMEOUT_S, "-tags", tags)


def java_program(main: str, cache: pytest.Cache) -> Words:
    """The class `main` of `java/`, on the jars of its pom.xml: one fetch for the programs of both versions of the SDK.

    Maven only fetches, by one plugin; to compile with it would fetch as much again.
    """
    for tool in ("java", "javac", "mvn"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    version = subprocess.run(["javac", "-version"], capture_output=True, text=True, check=True).stdout
    found = re.match(r"javac (\d+)", version)
    if found is None or int(found[1]) < OLDEST_JAVA:
        pytest.skip(f"the programs want Java {OLDEST_JAVA}, this is {version.strip()}")
    source = CLIENTS / "java"
    jars = _once(cache, "jars", [source / "pom.xml"], _fetch_jars)
    classes = _once(cache, "classes", sorted(source.iterdir()), partial(_compile, jars))
    # For a program of seconds: the compiler that is ready first.
    return "java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", f"{classes}:{jars}/*", main


def _once(cache: pytest.Cache, kind: str, files: list[Path], make: Callable[[list[Path], Path], None]) -> Path:
    """A folder that is made of these files, unless an earlier run did. It gets its name when it is whole."""
    content = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]
    parent = cache.mkdir("java")
    folder = parent / f"{kind}-{content}"
    if not folder.exists():
        unfinished = parent / f"{kind}-unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        make(files, unfinished)
        unfinished.rename(folder)
    return folder


def _fetch_jars(files: list[Path], folder: Path) -> None:
    goal = "org.apache.maven.plugins:maven-dependency-plugin:copy-dependencies"
    words = ["mvn", "--batch-mode", "--quiet", "--file", str(files[0]), goal, f"-DoutputDirectory={folder}"]
    _build(words, folder.parent, NO_MAVEN, "Maven's repository")


def _compile(jars: Path, files: list[Path], folder: Path) -> None:
    sources = [str(file) for file in files if file.suffix == ".java"]
    subprocess.run(["javac", "-d", str(folder), "-cp", f"{jars}/*", *sources], check=True, timeout=BUILD_TIMEOUT_S)


def java_trust(authority: Path) -> str:
    """Options of Java's, for JDK_JAVA_OPTIONS: to trust an authority, which goes into a file beside its own.

    Nothing where there is no Java.
    """
    if not shutil.which("keytool"):
        return ""
    store, secret = authority.with_name("trust.p12"), "changeit"
    words = ["keytool", "-importcert", "-noprompt", "-alias", "headwater", "-file", str(authority)]
    subprocess.run([*words, "-keystore", str(store), "-storepass", secret], capture_output=True, check=True)
    return f"-Djavax.net.ssl.trustStore={store} -Djavax.net.ssl.trustStorePassword={secret}"


PROGRAMS: dict[str, Callable[[pytest.Cache], Words]] = {
    "boto3": boto3_program,
    "javascript": javascript_program,
    "go": partial(go_program, "go"),
    "go1": partial(go_program, "go1"),
    "java": partial(java_program, "Java2"),
    "java1": partial(java_program, "Java1"),
}
"""What makes each program ready: the words that start it. Skips the test where it cannot."""


def _go_build(folder: str, package: str, cache: pytest.Cache, timeout_s: float, *flags: str) -> Words:
    """A package of the module in a folder of `tests/clients`. Its go.mod says how old Go may be."""
    if not shutil.which("go"):
        pytest.skip("Go is not installed")
    module = CLIENTS / folder
    oldest = _GO_OF_MODULE.search((module / "go.mod").read_text())
    assert oldest is not None
    version = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, check=True).stdout.strip()
    found = re.match(r"go(\d+)\.(\d+)", version)
    if found is None or (int(found[1]), int(found[2])) < (int(oldest[1]), int(oldest[2])):
        pytest.skip(f"{folder} wants Go {oldest[1]}.{oldest[2]}, this is {version}")
    file = cache.mkdir(folder) / folder
    words = ["go", "build", "-buildvcs=false", *flags, "-o", str(file), package]
    _build(words, module, NO_PROXY, "the Go module proxy", timeout_s)
    return (str(file),)


def _build(
    words: list[str], folder: Path, unreachable: re.Pattern[str], registry: str, timeout_s: float = BUILD_TIMEOUT_S
) -> None:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=timeout_s)
    if done.returncode and (why := unreachable.search(done.stderr + done.stdout)):
        pytest.skip(f"{registry} cannot be reached ({why[0]})")
    assert done.returncode == 0, done.stderr or done.stdout
