"""Texts that try to hurt: each is refused, or compiled, soon and with a fault of ours. Source: reliability.md 5."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from types import FrameType

import pytest
from sql_world import LIMITS, NOW, Catalog

from headwater import threads
from headwater.errors import Invalid
from headwater.sql.budget import Budget
from headwater.sql.compile import compile_query

MANY = 19_000
HOSTILE = {
    "parentheses": "SELECT " + "(" * MANY + "1" + ")" * 10,
    "balanced parentheses": "SELECT " + "(" * 9_000 + "1" + ")" * 9_000,
    "minus signs": "SELECT " + "- " * MANY + "1",
    "not": "SELECT " + "NOT " * MANY + "true",
    "a sum": "SELECT 1" + " + 1" * 9_000,
    "a chain of AND": "SELECT true" + " AND true" * 9_000,
    "a chain of ||": "SELECT 'a'" + " || 'a'" * 9_000,
    "subscripts": "SELECT a" + "[1]" * 6_000,
    "fields": "SELECT a" + ".b" * 9_000,
    "nested CASE": "SELECT " + "CASE WHEN true THEN " * 4_000 + "1",
    "nested subqueries": "SELECT * FROM " + "(SELECT * FROM " * 4_000 + "ops.metrics",
    "nested calls": "SELECT " + "abs(" * 9_000 + "1" + ")" * 9_000,
    "calls within the depth": "SELECT " + "round(" * 95 + "measure_value::double" + ")" * 95 + " FROM ops.metrics",
    "growing calls": "SELECT " + "date_trunc('day', " * 95 + "time" + ")" * 95 + " FROM ops.metrics",
    "nested arrays": "SELECT " + "ARRAY[" * 90 + "1" + "]" * 90,
    "nested rows": "SELECT " + "ROW(" * 90 + "1, 2" + ")" * 90,
    "nested lambdas": "SELECT " + "transform(ARRAY[1], x -> " * 60 + "1" + ")" * 60,
    "many columns": "SELECT " + ", ".join(f"time AS c{n}" for n in range(4_000)) + " FROM ops.metrics",
    "many values": "SELECT * FROM (VALUES " + ", ".join("(1, 'a')" for _ in range(2_500)) + ") AS t(a, b)",
    "a long list": "SELECT hostname IN (" + ", ".join(f"'h{n}'" for n in range(9_000)) + ") FROM ops.metrics",
    "many joins": "SELECT 1 FROM ops.metrics" + " CROSS JOIN ops.metrics" * 2_000,
    "many commas in FROM": "SELECT 1 FROM ops.metrics" + ", ops.metrics" * 2_000,
    "many unions": "SELECT 1" + " UNION ALL SELECT 1" * 3_000,
    "alternating set operations": "SELECT 1" + " UNION SELECT 1 EXCEPT SELECT 1" * 2_000,
    "WITH that doubles": "WITH a0 AS (SELECT 1 AS x), "
    + ", ".join(f"a{n + 1} AS (SELECT l.x FROM a{n} l, a{n} r)" for n in range(60))
    + " SELECT * FROM a60",
    "WITH that widens": "WITH a0 AS (SELECT 1 AS x, 2 AS y), "
    + ", ".join(f"a{n + 1} AS (SELECT * FROM a{n} l, a{n} r)" for n in range(20))
    + " SELECT * FROM a20",
    "a cube": "SELECT 1 FROM ops.metrics GROUP BY " + "CUBE (time, hostname), " * 3_000 + "()",
    "a wide cube": "SELECT 1 FROM ops.metrics GROUP BY CUBE (" + ", ".join(["time"] * 5_000) + ")",
    "grouping sets": "SELECT 1 FROM ops.metrics GROUP BY GROUPING SETS (" + ", ".join(["(time)"] * 4_000) + ")",
    "windows on windows": "SELECT 1 WINDOW w0 AS (), " + ", ".join(f"w{n + 1} AS (w{n})" for n in range(2_000)),
    "a long string": f"SELECT '{'x' * 250_000}'",
    "quotes": "SELECT '" + "''" * 100_000 + "'",
    "an open string": "SELECT '" + "x" * 250_000,
    "an open comment": "SELECT /*" + "*" * 250_000,
    "many open comments": "SELECT 1 " + "/* " * 80_000,
    "a long number": "SELECT " + "1" * 250_000,
    "a long exponent": "SELECT 1e" + "9" * 250_000,
    "a long fraction": "SELECT 0." + "1" * 250_000 + "h",
    "a long interval": f"SELECT INTERVAL '{'9' * 200_000}' DAY",
    "a long compound interval": f"SELECT INTERVAL '{'9' * 9_000}:00:00' HOUR TO SECOND",
    "a long typed number": f"SELECT BIGINT '{'9' * 200_000}', DOUBLE '{'9' * 20_000}'",
    "a long duration": f"SELECT parse_duration('{'9' * 9_000}d')",
    "a long name": f"SELECT {'a' * 250_000}",
    "line ends": "SELECT 1" + "\n" * 250_000 + "x y z",
    "too long": " " * 300_000 + "SELECT 1",
    "control characters": "SELECT '\x00\x01\x02\x03'",
    "a stray NUL": "SELECT \x00 1",
    "a lone surrogate": "SELECT '\ud800'",
    "other letters": "SELECT ＳＥＬＥＣＴ １",
    "a type": "SELECT CAST(NULL AS " + "array(" * 9_000 + "bigint" + ")" * 9_000 + ")",
    "a deep type": "SELECT CAST(NULL AS " + "array(" * 95 + "bigint" + ")" * 95 + ")",
    "repeated CASE operands": "SELECT " + "CASE hostname || " * 60 + "'a'" + " WHEN 'b' THEN 'c' ELSE 'd' END" * 60
    + " FROM ops.metrics",
    "a long list of numbers": "SELECT measure_value::double IN (" + ", ".join(f"{n}" for n in range(9_000))
    + ") FROM ops.metrics",
    "a long array": "SELECT ARRAY[" + ", ".join(f"{n}" for n in range(9_900)) + "]",
    "a call of many": "SELECT greatest(" + ", ".join(["measure_value::double"] * 4_900) + ") FROM ops.metrics",
    "many conditions": "SELECT 1 FROM ops.metrics WHERE " + " OR ".join(f"hostname = 'h{n}'" for n in range(4_900)),
    "many patterns": "SELECT 1 FROM ops.metrics WHERE "
    + " OR ".join(f"regexp_like(hostname, '^h{n}.*x')" for n in range(2_000)),
    "many groups": "SELECT count(*) FROM ops.metrics GROUP BY " + ", ".join(["hostname"] * 9_900),
    "many sort keys": "SELECT DISTINCT " + ", ".join(f"time AS t{n}" for n in range(2_000))
    + " FROM ops.metrics ORDER BY " + ", ".join(f"t{n}" for n in range(2_000)),
    "many stars": "SELECT " + ", ".join(["*"] * 2_000) + " FROM ops.metrics",
    "many subqueries": "SELECT " + ", ".join(["(SELECT max(time) FROM ops.metrics)"] * 1_200),
    "nested IN": "SELECT 1 WHERE " + "1.0 IN (SELECT 1.0 WHERE " * 45 + "true" + ")" * 45,
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_text_is_dealt_with_in_time(name: str) -> None:
    start = time.thread_time()
    try:
        compile_query(HOSTILE[name], Catalog(), NOW, LIMITS)
    except Invalid as fault:
        assert len(fault.message) < 300_000  # noqa: PT017 - a fault is one of the two good ends
    assert time.thread_time() - start < LIMITS.sql_compile_s + 1


class AlwaysUrgent:
    """There is something urgent all the time; counts the calls in Python between two times that it may go first."""

    count = 1

    def __init__(self) -> None:
        self.calls = 0
        self.most = 0

    def called(self, frame: FrameType, event: str, argument: object) -> None:
        self.calls += event in ("call", "c_call")

    def let_go_first(self) -> None:
        self.most = max(self.most, self.calls)
        self.calls = 0


CALLS_MAX = 60_000
"""About 10 ms, where a statement of the longest takes a second."""


@pytest.mark.parametrize("name", HOSTILE)
def test_urgent_work_goes_first_while_a_hostile_text_is_compiled(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = AlwaysUrgent()
    monkeypatch.setattr(threads, "_urgent", waiting)
    monkeypatch.setattr(threads, "WORK_S", 0.0)
    before = sys.getprofile()
    sys.setprofile(waiting.called)
    try:
        compile_query(HOSTILE[name], Catalog(), NOW, replace(LIMITS, sql_compile_s=60.0))
    except Invalid:
        pass
    finally:
        sys.setprofile(before)
    waiting.let_go_first()
    assert waiting.most < CALLS_MAX


def test_the_time_to_compile_is_limited() -> None:
    text = "SELECT " + ", ".join(["time + 1h - 1h"] * 3_000) + " FROM ops.metrics"
    with pytest.raises(Invalid, match=r"The query takes more than 0\.001 s to compile\."):
        compile_query(text, Catalog(), NOW, replace(LIMITS, sql_compile_s=0.001))


def test_a_budget_counts_the_time_it_is_told() -> None:
    now = iter([10.0, 11.9, 12.1])
    budget = Budget(2.0, lambda: next(now))
    for _ in range(64 + 63):
        budget.check()
    with pytest.raises(Invalid):
        budget.check()
