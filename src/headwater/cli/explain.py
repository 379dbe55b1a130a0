"""What a server says a query would do, on paper: `headwater query --explain`. Asks nobody for anything."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TextIO

from headwater.cli.output import type_text

_OPEN, _CLOSE = "(", ")"
_WORD = re.compile(r"""(\s*)('(?:[^']|'')*'|"(?:[^"]|"")*"|[()]|[^\s()'"]+)""")
_BEGINNINGS = frozenset({"SELECT", "WITH", "FROM"})
_CLAUSES = frozenset({"FROM", "WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "UNION", "EXCEPT", "INTERSECT", "QUALIFY"})
_JOINS = frozenset({"LEFT", "RIGHT", "FULL", "INNER", "OUTER", "CROSS", "JOIN"})


def print_explanation(answer: Mapping[str, Any], stream: TextIO) -> None:
    """A section for the result's columns, one for each scan, and the engine's statement."""
    _section("result", [f"{column['Name']}  {type_text(column['Type'])}" for column in answer["ColumnInfo"]], stream)
    for scan in answer["Scans"]:
        title = f"{scan['Relation']}: {scan['DatabaseName']}.{scan['TableName']}"
        _section(_visible(title), _scan_lines(scan), stream)
    if not answer["Scans"]:
        _section("scans", ["none: the query reads no table"], stream)
    _section("engine statement", formatted(answer["EngineStatement"]).split("\n"), stream)


def _section(title: str, lines: list[str], stream: TextIO) -> None:
    stream.write("".join(f"{line}\n" for line in (title, *(f"  {_visible(line)}" for line in lines), "")))


def _scan_lines(scan: Mapping[str, Any]) -> list[str]:
    whole, read = scan["Table"], scan["Read"]
    lines = [
        f"columns  {', '.join(scan['Columns']) or 'none: rows are only counted'}",
        f"time     {_time(scan['Time'])}",
        f"where    {' AND '.join(map(_condition, scan['Conditions'])) or 'any series'}",
        f"memory   {read['MemoryRows']:,} of {whole['MemoryRows']:,} rows",
        f"blocks   {read['Blocks']:,} of {whole['Blocks']:,}: {whole['Blocks'] - read['Blocks']:,} pruned, "
        f"{read['BlockRows']:,} of {whole['BlockRows']:,} rows, {_bytes(read['BlockBytes'])} of "
        f"{_bytes(whole['BlockBytes'])} left",
    ]
    if scan["NewestOnly"]:
        lines.append("newest   only the newest record of each series")
    if "RowsEnough" in scan:
        lines.append(f"limit    {_limit(scan['RowsEnough'], scan['TriedFrom'])}")
    return lines


def _limit(rows: int, tried_from: list[str]) -> str:
    ends = f"{rows:,} row{'s are' if rows != 1 else ' is'} enough"
    return f"{ends}: tried first {', '.join(f'from {start}' for start in tried_from)}" if tried_from else ends


def _time(time: Mapping[str, Any]) -> str:
    if time.get("Never"):
        return "never: no instant can match"
    ends = [f"from {time['From']}"] if "From" in time else []
    ends += [f"to {time['To']}"] if "To" in time else []
    return " ".join(ends) or "all"


def _condition(condition: Mapping[str, Any]) -> str:
    name, values, patterns = condition["Name"], condition["Values"], condition["Patterns"]
    alternatives = [f"{name} {pattern}" for pattern in patterns]
    if condition["PatternCount"] > len(patterns):
        alternatives.append(f"{condition['PatternCount'] - len(patterns):,} more")
    if values or not patterns:
        rest = condition["ValueCount"] - len(values)
        more = f", and {rest:,} more" if rest else ""
        alternatives.insert(0, f"{name} IN ({', '.join(map(repr, values))}{more})")
    return alternatives[0] if len(alternatives) == 1 else f"({' OR '.join(alternatives)})"


def _bytes(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def formatted(sql: str) -> str:
    """A statement with a line for each clause, subqueries indented. Only white space outside of quotes changes."""
    text, previous = "", ""
    # For each parenthesis that is open, and for the statement itself, whether there is a query in it.
    queries = [True]
    for space, word in _WORD.findall(sql):
        if previous == _OPEN:
            queries.append(word in _BEGINNINGS)
        is_end = word == _CLOSE and queries.pop()
        is_clause = queries[-1] and _begins_clause(word, previous)
        is_new_line = is_end or is_clause or (previous == _OPEN and queries[-1])
        text += "\n" + "  " * (sum(queries) - 1) + word if is_new_line and text else space + word
        previous = word
    return text


def _begins_clause(word: str, previous: str) -> bool:
    """Whether a word begins a clause; IS DISTINCT FROM does not, nor does the second word of a join."""
    if word in _JOINS:
        return previous not in _JOINS
    return word in _CLAUSES and previous != "DISTINCT"


def _visible(text: str) -> str:
    """The text without characters that would command the terminal: names and values are data."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
