"""Programs on the stock SDKs, in languages other than ours too, and every way in which they find a server.

The programs are in the folders beside this file, one for each SDK; `support/programs.py` makes them ready. Without any
endpoint setting they call the names of AWS by HTTPS: there a network and a hosts file of their own lead to the server,
and `headwater certs` has made the certificate.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from support.programs import PROGRAMS, Words, java_trust
from support.s3_servers import CLIENTS_BUCKET
from support.server import ServerProcess

CHECKS = {
    "boto3": ("writes", "faults", "discovers"),
    "javascript": (
        *("tables", "tags", "errors", "writes", "rejects", "pages", "nested", "useHelpers", "discover"),
        *("typedFaults", "settings", "schedules"),
    ),
    "go": ("tables", "tags", "faults", "writes", "rejects", "pages", "settings", "schedules"),
    "go1": ("tables", "faults", "writes", "rejects", "pages", "discovers"),
    "java": ("tables", "tags", "faults", "writes", "rejects", "pages", "nested", "settings", "discovers"),
    "java1": ("tables", "faults", "writes", "rejects", "discovers", "catalogs", "values", "fetches"),
}
"""The checks of each program; `go1` and `java1` are on version 1 of their SDK."""

WITH_BUCKETS = {
    "javascript": ("cancels", "unloads", "batchLoads"),
    "go": ("unloads", "batchLoads"),
    "java": ("async",),
    "java1": ("cancels",),
}
"""Checks that want an S3-compatible server, or take their time: they run with an endpoint in code only."""

SLOW = {"java": ("waits",)}
"""Checks that sit out what the server or the SDK waits for."""

READS_VARIABLES = ("boto3", "javascript", "go", "java")

ALL_AT_ONCE = ("java", "java1")
"""Programs that take longer to start than for a check: all checks are one test."""

IN_CODE = [
    (name, checks)
    for name in CHECKS
    for checks in ([CHECKS[name]] if name in ALL_AT_ONCE else [(check,) for check in CHECKS[name]])
]


@pytest.fixture(scope="session")
def program(pytestconfig: pytest.Config) -> Callable[[str], Words]:
    """The words that start a program. Skips the test where it cannot be made ready."""

    @cache
    def ready(name: str) -> Words:
        assert pytestconfig.cache is not None
        return PROGRAMS[name](pytestconfig.cache)

    return ready


@pytest.fixture(scope="session")
def trust(certificates: Path) -> dict[str, str]:
    """The variables by which programs of all languages trust the authority of the certificates."""
    authority = certificates / "ca.pem"
    bundle = dict.fromkeys(("AWS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"), str(authority))
    return {**bundle, "JDK_JAVA_OPTIONS": java_trust(authority)}


def passed(server: ServerProcess, words: Words, endpoint: str, names: tuple[str, ...], **variables: str) -> None:
    """Run the checks of a program, which must all pass."""
    done = server.run(*words, endpoint, *names, **variables)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n") == [*(f"passed {name}" for name in names), ""]


@pytest.mark.parametrize("name", CHECKS)
def test_no_check_is_forgotten(program: Callable[[str], Words], server: ServerProcess, name: str) -> None:
    known = CHECKS[name] + WITH_BUCKETS.get(name, ()) + SLOW.get(name, ())
    assert tuple(server.run(*program(name)).stdout.split()) == known


@pytest.mark.parametrize(("name", "checks"), IN_CODE, ids=[f"{name}-{'-'.join(checks)}" for name, checks in IN_CODE])
def test_with_an_endpoint_in_code(
    program: Callable[[str], Words], server: ServerProcess, name: str, checks: tuple[str, ...]
) -> None:
    passed(server, program(name), server.endpoint, checks)


@pytest.mark.parametrize(("name", "check"), [(name, check) for name in WITH_BUCKETS for check in WITH_BUCKETS[name]])
def test_jobs_and_buckets(
    program: Callable[[str], Words], server_with_buckets: ServerProcess, s3_endpoint: str, name: str, check: str
) -> None:
    buckets = {"BUCKETS": s3_endpoint, "BUCKET": CLIENTS_BUCKET}
    passed(server_with_buckets, program(name), server_with_buckets.endpoint, (check,), **buckets)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_what_is_waited_for(program: Callable[[str], Words], server: ServerProcess, name: str) -> None:
    passed(server, program(name), server.endpoint, SLOW[name])


@pytest.mark.parametrize(
    "variables",
    [["AWS_ENDPOINT_URL"], ["AWS_ENDPOINT_URL_TIMESTREAM_WRITE", "AWS_ENDPOINT_URL_TIMESTREAM_QUERY"]],
    ids=["one for all services", "one for each"],
)
@pytest.mark.parametrize("name", READS_VARIABLES)
def test_with_nothing_but_endpoint_variables(
    program: Callable[[str], Words], server: ServerProcess, name: str, variables: list[str]
) -> None:
    """The SDK then asks for an endpoint and goes where the answer says."""
    passed(server, program(name), "-", CHECKS[name], **dict.fromkeys(variables, server.endpoint))


@pytest.mark.parametrize("name", CHECKS)
def test_with_no_endpoint_setting_at_all(
    program: Callable[[str], Words], server_as_aws: ServerProcess, trust: dict[str, str], name: str
) -> None:
    passed(server_as_aws, program(name), "-", CHECKS[name], **trust)
