"""Queries that ask for too much: each ends with its fault, while another client writes and queries as if nothing were.

Source: reliability.md 5; the texts are ours.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

from support.server import ServerProcess, serving
from support.stock import Table, record, told

NEIGHBOUR_S = 2.5
"""What a write or a query of another client may take at most, on a machine that others use too."""

TIME_LIMIT_S = 4
MEMORY_MB = 128
CONCURRENCY = 2
WAITING = 32

TEN_THOUSAND = "UNNEST(sequence(1, 10000)) AS {0}({0})"
MANY = ", ".join(TEN_THOUSAND.format(name) for name in "ab")
ENDLESS = ", ".join(TEN_THOUSAND.format(name) for name in "abc")
NEVER_ENDS = f"SELECT count(*) FROM {ENDLESS} WHERE a * b % 7 = c % 5"
IN_PYTHON = f"SELECT count(json_extract_scalar('[' || CAST(a * b + c AS varchar) || ']', '$[0]')) FROM {ENDLESS}"
SLOW_BATCHES = (
    "SELECT max(levenshtein_distance(rpad(CAST(a AS varchar), 999, 'é'), rpad(CAST(b AS varchar), 999, 'è'))) "
    f"FROM {MANY}"
)

REFUSED = "ValidationException"
FAILED = "QueryExecutionException"
LIMITS = {
    "characters": (f"SELECT '{'x' * 262_144}'", REFUSED, "Member must have length less than or equal to 262144"),
    "tokens": ("SELECT 1" + " + 1" * 10_000, REFUSED, "The query text has more than 20000 tokens."),
    "nesting": ("SELECT " + "(" * 101 + "1" + ")" * 101, REFUSED, "The query nests more than 100 levels deep."),
    "time": (NEVER_ENDS, FAILED, f"Query timed out after {TIME_LIMIT_S} seconds"),
    "time in Python": (IN_PYTHON, FAILED, f"Query timed out after {TIME_LIMIT_S} seconds"),
    "memory": (f"SELECT count(DISTINCT a * b) FROM {MANY}", FAILED, "Query exceeded the memory limit of the server"),
    "a page": (
        "SELECT array_agg(a) FROM " + MANY.replace("10000", "1000"),
        REFUSED,
        "Query aborted as max page response size has been exceeded by the output result row",
    ),
    "elements": (
        "SELECT cardinality(flatten(repeat(repeat(1, 10000), 101)))",
        FAILED,
        "must not make an array of more than 1000000 elements",
    ),
    "a sequence": ("SELECT sequence(1, 10001 + length(''))", FAILED, "10000"),
    "a text": (
        "SELECT length(listagg(rpad('', 100000, 'x'), '')) FROM UNNEST(sequence(1, 200)) AS a(x)",
        FAILED,
        "A function must not make a text of more than 16777216 bytes",
    ),
    "a padded text": ("SELECT rpad('a', 1000001, 'x')", FAILED, "Target length must be in the range [0..1000000]"),
    "a text for a function": (
        "SELECT json_parse(rpad('', 65537, ' '))",
        FAILED,
        "A text of more than 65536 characters is too long for this function",
    ),
    "a regular expression": ("SELECT regexp_like('a', '(?=a)a')", REFUSED, "it looks ahead or behind"),
}


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server whose limits are soon met."""
    with serving(
        tmp_path_factory.mktemp("limited"),
        log_level="info",
        query_timeout_s=TIME_LIMIT_S,
        query_memory_mb=MEMORY_MB,
        query_concurrency=CONCURRENCY,
    ) as server:
        write = server.client("timestream-write")
        write.create_database(DatabaseName="calm")
        write.create_table(DatabaseName="calm", TableName="records")
        yield server


class Neighbour:
    """Another client, which writes and queries until the block ends; `slowest_s` of its calls, none of which failed."""

    def __init__(self, server: ServerProcess, *, queries: bool = True) -> None:
        write, query = server.client("timestream-write"), server.client("timestream-query")
        self._table = Table(write, query, "calm", "records")
        self._queries = queries
        self._is_over = threading.Event()
        self._pool = ThreadPoolExecutor(1)
        self.calls = 0
        self.slowest_s = 0.0

    def __enter__(self) -> Neighbour:
        self._work = self._pool.submit(self._run)
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._work.result(30)
        self._pool.shutdown()
        assert self.calls > 0
        assert self.slowest_s < NEIGHBOUR_S

    def _run(self) -> None:
        while not self.calls or not self._is_over.wait(0.01):
            self._timed(lambda: self._table.put(record("1", MeasureName=f"call_{time.time_ns() % 7}")))
            if self._queries:
                self._timed(self._table.count)

    def _timed(self, call: Any) -> None:
        started_s = time.monotonic()
        call()
        self.slowest_s = max(self.slowest_s, time.monotonic() - started_s)
        self.calls += 1


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_is_told_and_harms_nobody_else(limited: ServerProcess, name: str) -> None:
    text, code, message = LIMITS[name]
    client = limited.client("timestream-query")
    with Neighbour(limited):
        found = told(lambda: client.query(QueryString=text))
    assert found[:2] == (code, 400)
    assert message in found[2]


@pytest.mark.parametrize("text", [NEVER_ENDS, IN_PYTHON, SLOW_BATCHES])
def test_a_cancelled_query_is_over_within_a_second(server: ServerProcess, query: Any, text: str) -> None:
    before = _begun(server)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(told, lambda: server.client("timestream-query").query(QueryString=text))
        query_id = _next_begun(server, before)
        _await_work(server)
        cancelled_s = time.monotonic()
        query.cancel_query(QueryId=query_id)
        assert answer.result(20)[0] == "ConflictException"
        assert time.monotonic() - cancelled_s < 1.5


def test_more_queries_than_may_wait_are_throttled(tmp_path: Path) -> None:
    with serving(tmp_path, log_level="info", query_concurrency=CONCURRENCY, query_timeout_s=60) as server:
        write, query = server.client("timestream-write"), server.client("timestream-query")
        write.create_database(DatabaseName="calm")
        write.create_table(DatabaseName="calm", TableName="records")
        with ThreadPoolExecutor(CONCURRENCY + WAITING) as pool:
            answers = [
                pool.submit(told, lambda: server.client("timestream-query").query(QueryString=NEVER_ENDS))
                for _ in range(CONCURRENCY + WAITING)
            ]
            deadline_s = time.monotonic() + 30
            while len(_begun(server)) < CONCURRENCY + WAITING:
                assert time.monotonic() < deadline_s
                time.sleep(0.05)
            with Neighbour(server, queries=False):
                refused = told(lambda: query.query(QueryString="SELECT 1"))
            for query_id in _begun(server):
                query.cancel_query(QueryId=query_id)
            assert {answer.result(30)[0] for answer in answers} == {"ConflictException"}
        assert refused == ("ThrottlingException", 429, "Too many queries are running or waiting. Send again later.")
        assert query.query(QueryString="SELECT 1")["Rows"]


def _begun(server: ServerProcess) -> list[str]:
    """The ids of all queries that have begun, in order."""
    lines = [line for line in server.stderr.splitlines() if '"query began"' in line]
    return [line.partition('"query_id": "')[2].partition('"')[0] for line in lines]


def _next_begun(server: ServerProcess, before: list[str]) -> str:
    deadline_s = time.monotonic() + 10
    while len(begun := _begun(server)) == len(before):
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    return begun[len(before)]


def _await_work(server: ServerProcess) -> None:
    """Until the server has worked for a while: the engine is in the middle of a query then."""
    process, deadline_s = psutil.Process(server.pid), time.monotonic() + 10
    begun_s = process.cpu_times().user
    while process.cpu_times().user < begun_s + 0.4:
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def test_faults_of_limits_leave_no_trace(limited: ServerProcess) -> None:
    """The log has no stack of a bug, and the server answers."""
    with pytest.raises(ClientError):
        limited.client("timestream-query").query(QueryString=LIMITS["memory"][0])
    assert "Traceback" not in limited.stderr
    assert limited.client("timestream-query").query(QueryString="SELECT 1")["Rows"]
