"""How an explanation of a query is printed."""

from __future__ import annotations

import re
from io import StringIO
from typing import Any

import pytest

from headwater.cli.explain import formatted, print_explanation

WHOLE = {"MemoryRows": 1_200, "Blocks": 7, "BlockRows": 70_000, "BlockBytes": 5_000_000}
READ = {"MemoryRows": 30, "Blocks": 2, "BlockRows": 20_000, "BlockBytes": 900}


def condition(**changed: Any) -> dict[str, Any]:
    return {
        "Name": "host",
        "Values": ["a", "b"],
        "ValueCount": 5,
        "Patterns": [],
        "PatternCount": 0,
        **changed,
    }


def scan(**changed: Any) -> dict[str, Any]:
    return {
        "Relation": "scan_0",
        "DatabaseName": "ops",
        "TableName": "cpu",
        "Columns": ["host", "time"],
        "Time": {"From": "2024-03-09 00:00:00.000000000"},
        "Conditions": [condition()],
        "NewestOnly": False,
        "TriedFrom": [],
        "Table": WHOLE,
        "Read": READ,
        **changed,
    }


def printed(*scans: dict[str, Any], sql: str = "SELECT 1") -> str:
    stream = StringIO()
    columns = [{"Name": "n", "Type": {"ScalarType": "BIGINT"}}]
    print_explanation({"ColumnInfo": columns, "Scans": scans, "EngineStatement": sql}, stream)
    return stream.getvalue()


def test_an_explanation_has_a_section_for_each_part() -> None:
    assert printed(scan(), sql="SELECT c1 FROM scan_0") == (
        "result\n"
        "  n  bigint\n"
        "\n"
        "scan_0: ops.cpu\n"
        "  columns  host, time\n"
        "  time     from 2024-03-09 00:00:00.000000000\n"
        "  where    host IN ('a', 'b', and 3 more)\n"
        "  memory   30 of 1,200 rows\n"
        "  blocks   2 of 7: 5 pruned, 20,000 of 70,000 rows, 900 B of 4.8 MiB left\n"
        "\n"
        "engine statement\n"
        "  SELECT c1\n"
        "  FROM scan_0\n"
        "\n"
    )


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"Columns": []}, "columns  none: rows are only counted"),
        ({"Time": {}}, "time     all"),
        ({"Time": {"Never": True}}, "time     never: no instant can match"),
        ({"Conditions": []}, "where    any series"),
        ({"Conditions": [condition(Values=[], ValueCount=0)]}, "where    host IN ()"),
        (
            {"Conditions": [condition(Values=[], ValueCount=0, Patterns=["LIKE 'a%'"], PatternCount=1), condition()]},
            "where    host LIKE 'a%' AND host IN ('a', 'b', and 3 more)",
        ),
        (
            {"Conditions": [condition(ValueCount=2, Patterns=["LIKE 'a%'", "MATCHES 'b'"], PatternCount=4)]},
            "where    (host IN ('a', 'b') OR host LIKE 'a%' OR host MATCHES 'b' OR 2 more)",
        ),
        ({"NewestOnly": True}, "newest   only the newest record of each series"),
        ({"RowsEnough": 1}, "limit    1 row is enough"),
        ({"RowsEnough": 5, "TriedFrom": ["A", "B"]}, "limit    5 rows are enough: tried first from A, from B"),
    ],
)
def test_what_a_scan_is_not_asked_is_said(changed: dict[str, Any], line: str) -> None:
    assert f"  {line}\n" in printed(scan(**changed))


def test_a_query_without_tables_says_so() -> None:
    assert "none: the query reads no table" in printed()


def test_data_does_not_command_the_terminal() -> None:
    assert "\x1b" not in printed(scan(TableName="\x1b[2J"), sql="SELECT '\x1b[2J'")


@pytest.mark.parametrize(
    ("sql", "lines"),
    [
        ("SELECT a, b FROM t WHERE a = ' FROM (' LIMIT 3", ["SELECT a, b", "FROM t", "WHERE a = ' FROM ('", "LIMIT 3"]),
        ("SELECT sum(a) FROM (SELECT a FROM t) AS q", ["SELECT sum(a)", "FROM (", "  SELECT a", "  FROM t", ") AS q"]),
        ("SELECT a FROM t LEFT JOIN u ON (a = b)", ["SELECT a", "FROM t", "LEFT JOIN u ON (a = b)"]),
        ("SELECT max(a) OVER (ORDER BY b) FROM t", ["SELECT max(a) OVER (ORDER BY b)", "FROM t"]),
        ("SELECT a IS DISTINCT FROM b FROM t", ["SELECT a IS DISTINCT FROM b", "FROM t"]),
    ],
)
def test_each_clause_of_the_statement_has_a_line(sql: str, lines: list[str]) -> None:
    assert formatted(sql).split("\n") == lines
    assert re.sub(r"\s", "", formatted(sql)) == re.sub(r"\s", "", sql)
