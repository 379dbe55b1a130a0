"""`headwater query --explain` against a live server."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from support.server import ServerProcess
from support.stock import Table, record


def explained(server: ServerProcess, query: str, **variables: str) -> subprocess.CompletedProcess[str]:
    words = (sys.executable, "-m", "headwater", "query", "--endpoint", server.endpoint, "--explain", query)
    return server.run(*words, **variables)


def test_it_prints_what_a_query_would_read(server: ServerProcess, table: Table) -> None:
    now_s = time.time_ns() // 10**9
    old, new = (record("1", Time=str(now_s - age_s), TimeUnit="SECONDS") for age_s in (600, 10))
    table.put(old, new)
    done = explained(
        server,
        f'SELECT avg(measure_value::double) AS mean FROM "{table.database}"."{table.name}" '
        "WHERE host = 'a' AND time > ago(5m)",
    )
    assert (done.returncode, done.stderr) == (0, "")
    result, scan, statement = done.stdout.strip().split("\n\n")
    assert result == "result\n  mean  double"
    assert scan.startswith(f"scan_0: {table.database}.{table.name}\n")
    assert "  where    host IN ('a')\n" in scan
    assert "  time     from 20" in scan
    assert "  memory   1 of 2 rows\n" in scan
    assert "  blocks   0 of 0: 0 pruned" in scan
    assert statement.startswith("engine statement\n  SELECT")
    assert "\n  FROM" in statement
    assert "scan_0" in statement


def test_it_does_not_run_the_query(server: ServerProcess) -> None:
    done = explained(server, "SELECT 1 / (SELECT 0)")
    assert (done.returncode, done.stderr) == (0, "")
    assert "the query reads no table" in done.stdout


def test_what_is_wrong_with_a_query_is_said(server: ServerProcess) -> None:
    done = explained(server, "SELECT nope")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "headwater: ValidationException: line 1:8: Column 'nope' does not exist\n"
    assert "Only queries can be explained." in explained(server, "SHOW DATABASES").stderr


def test_a_stranger_is_told_nothing(server: ServerProcess) -> None:
    done = explained(server, "SELECT 1", AWS_ACCESS_KEY_ID="AKIDSTRANGER", AWS_SECRET_ACCESS_KEY="guess")
    assert (done.returncode, done.stdout) == (1, "")
    assert "UnrecognizedClientException" in done.stderr


def test_the_dialect_has_no_explain(table: Table) -> None:
    with pytest.raises(table.query.exceptions.ValidationException, match="invalid at line 1:1"):
        table.query.query(QueryString="EXPLAIN SELECT 1")
