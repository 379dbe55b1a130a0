"""Golden files: how a `.slt` file of tests/sql and tests/plans is read, and how an answer is written into one.

A file is a page of the manual: what time it is, which tables there are, what was written, and what is asked with the
answer to it. Everything happens in the order of the file.

    # a comment                         up to the end of the line; only between the parts below
    now       2024-01-01T00:10:00Z      the clock stands there; a later `now` moves it
    database  empty                     a database without tables
    table     metrics.cpu memory=24h magnetic=7d      and its database; late writes are on; `"a-b"."c.d"` is a name too
    write     metrics.cpu host=a cpu:double 2024-01-01T00:00:00Z step 1m  1 2 3
                                        single-measure records: dimensions, measure:type, time, values. `version=2`
                                        stands among the dimensions; a value with spaces is quoted: 'two words'
    write     plant.telemetry site=oslo measure_name=reading
              time                  device  temperature:double  fault:boolean
              2024-01-01T00:00:00Z  p-1     20.5                NULL
                                        indented lines are a table of records. A typed column is a measure, any other
                                        but `time` and `version` a dimension; NULL leaves it out. With `measure_name=`
                                        a line is one multi-measure record, without it a record for each measure.
                                        Instead of a column `time`, the first line may end in `TIME step 1m`, and then
                                        in `repeat 60`: the rows are written so many times, the time going on

    query                               SQL up to `----`, then `name:type` of each column and the rows, up to an empty
    SELECT 1 AS one, 'a' AS text        line. Two spaces or more part cells. Rows are compared sorted unless the query
    ----                                has an ORDER BY of its own
    one:integer  text:varchar
    1            a

    error ValidationException           the same with the exception's name and its message. Instead of SQL there may
    SELECT nope                         be a `write`; each rejected record is then a line `index: reason`
    ----
    line 1:8: Column 'nope' does not exist

    plan                                what is read of which table (tests/plans)

Before a case may stand `notimpl WHY` (we could), `notyet WHY` (the engine must first) or `never WHY`: the answer below
is the right one and we do not give it. Marks are counted, and a marked case that passes is an error.

Texts are those of the wire, but: NULL, `(empty)`; `[1, 2]` for an array, `(1, a)` for a row, `{TIME = 1.0, ...}` for a
timeseries. A text that would be lost or mistaken in a table is quoted as in JSON: "ends in a space ", "a \\u0020b".
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headwater.model.time import (
    NS_PER_DAY,
    NS_PER_HOUR,
    NS_PER_MINUTE,
    NS_PER_MS,
    NS_PER_S,
    NS_PER_US,
    parse_instant,
)

MARKS = ("notimpl", "notyet", "never")
END_OF_TEXT = "----"

Row = list[str]
Record = dict[str, Any]
"""One element of `Records`, as the wire has it."""

_UNIT_NS = {
    "ns": 1,
    "us": NS_PER_US,
    "ms": NS_PER_MS,
    "s": NS_PER_S,
    "m": NS_PER_MINUTE,
    "h": NS_PER_HOUR,
    "d": NS_PER_DAY,
}
_TARGET = re.compile(r'(?:"([^"]+)"|([^".]+))\.(?:"([^"]+)"|([^".]+))')
_KEY = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_TYPES = ("double", "bigint", "boolean", "varchar", "timestamp")


class BadGolden(Exception):
    """A golden file breaks its format."""


@dataclass(frozen=True)
class Now:
    time_ns: int


@dataclass(frozen=True)
class NewDatabase:
    name: str


@dataclass(frozen=True)
class NewTable:
    database: str
    name: str
    memory_hours: int
    magnetic_days: int


@dataclass(frozen=True)
class Write:
    database: str
    table: str
    records: list[Record]


@dataclass(frozen=True)
class Case:
    """A question with its answer. `text` is SQL, unless `write` is what is asked. Lines are counted from 1.

    `verb` is `query`, `plan` or `error NAME`; `answer` are the cells of the lines from `answer_line` on.
    """

    line: int
    verb: str
    text: str
    write: Write | None
    answer: list[Row]
    answer_line: int
    mark: str | None
    reason: str


Step = Now | NewDatabase | NewTable | Write | Case


@dataclass(frozen=True)
class Golden:
    path: Path
    steps: list[Step]

    @property
    def cases(self) -> list[Case]:
        return [step for step in self.steps if isinstance(step, Case)]

    @property
    def has_records(self) -> bool:
        return any(isinstance(step, Write) for step in self.steps)


def read_golden(path: Path) -> Golden:
    """The file's steps in its order. Raises BadGolden with file and line."""
    return Golden(path, _Reader(path).steps())


def with_answers(path: Path, answers: Sequence[tuple[Case, str, list[Row]]]) -> str:
    """The file's text with other answers: (case, verb, cells). All else stays as it is."""
    lines = path.read_text().splitlines()
    for case, verb, rows in sorted(answers, key=lambda answer: -answer[0].line):
        start = case.answer_line - 1
        lines[start : start + len(case.answer)] = aligned(rows)
        lines[case.line - 1] = verb
    return "\n".join(lines) + "\n"


def aligned(rows: Sequence[Row]) -> list[str]:
    """Cells in columns, two spaces between them."""
    widths: list[int] = []
    for row in rows:
        widths += [0] * (len(row) - len(widths))
        for place, cell in enumerate(row):
            widths[place] = max(widths[place], len(cell))
    return ["  ".join(cell.ljust(widths[place]) for place, cell in enumerate(row)).rstrip() for row in rows]


@dataclass
class _Reader:
    path: Path
    lines: list[str] = field(init=False)
    at: int = 0

    def __post_init__(self) -> None:
        self.lines = self.path.read_text().splitlines()

    def steps(self) -> list[Step]:
        steps: list[Step] = []
        mark: tuple[str, str] | None = None
        while self.at < len(self.lines):
            line = self.lines[self.at]
            word, _, rest = line.strip().partition(" ")
            if not word or word.startswith("#"):
                self.at += 1
            elif word in MARKS:
                if not rest.strip() or mark:
                    raise self._bad("a mark needs a reason and a case of its own")
                mark = word, rest.strip()
                self.at += 1
            elif word in ("query", "plan", "error"):
                steps.append(self._case(line.strip(), mark))
                mark = None
            else:
                steps.append(self._directive(word, rest.strip()))
        if mark:
            raise self._bad("a mark without a case")
        return steps

    def _bad(self, what: str) -> BadGolden:
        return BadGolden(f"{self.path}:{self.at + 1}: {what}")

    def _directive(self, word: str, rest: str) -> Step:
        try:
            match word:
                case "now":
                    step: Step = Now(parse_instant(rest))
                case "database":
                    step = NewDatabase(rest)
                case "table":
                    step = _table(rest)
                case "write":
                    step = self._write(rest)
                case _:
                    raise ValueError(f"{word!r} is no word of a golden file")
        except ValueError as error:
            raise self._bad(str(error)) from error
        self.at += 1
        return step

    def _write(self, rest: str) -> Write:
        rows: list[Row] = []
        while (
            self.at + 1 < len(self.lines)
            and self.lines[self.at + 1].startswith(" ")
            and self.lines[self.at + 1].strip()
        ):
            self.at += 1
            rows.append(cells(self.lines[self.at]))
        return parse_write(rest, rows)

    def _case(self, verb: str, mark: tuple[str, str] | None) -> Case:
        line = self.at + 1
        if verb.split()[0] == "error" and len(verb.split()) != 2:
            raise self._bad("`error` needs the exception's name")
        try:
            end = self.lines.index(END_OF_TEXT, self.at)
        except ValueError:
            raise self._bad(f"no {END_OF_TEXT} after this") from None
        body = self.lines[self.at + 1 : end]
        self.at = end + 1
        answer_line = self.at + 1
        while self.at < len(self.lines) and self.lines[self.at].strip():
            self.at += 1
        answer = [_answer_cells(verb, text) for text in self.lines[answer_line - 1 : self.at]]
        write = None
        if body and body[0].startswith("write "):
            try:
                write = parse_write(body[0].removeprefix("write "), [cells(text) for text in body[1:]])
            except ValueError as error:
                raise self._bad(str(error)) from error
        return Case(line, verb, "\n".join(body), write, answer, answer_line, *(mark or (None, "")))


def _answer_cells(verb: str, line: str) -> Row:
    """A message is one text, whatever spaces are in it."""
    return [line.strip()] if verb.startswith("error") else cells(line)


def words(text: str) -> list[str]:
    """Split at spaces; quotation marks of either kind hold a word together."""
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace_split, lexer.escape, lexer.commenters = True, "", ""
    return list(lexer)


def cells(line: str) -> Row:
    return [cell for cell in re.split(r"\s{2,}", line.strip()) if cell]


def duration_ns(text: str) -> int:
    found = re.fullmatch(r"(\d+)(ns|us|ms|s|m|h|d)", text)
    if not found:
        raise ValueError(f"{text!r} is no duration such as 250ms")
    return int(found[1]) * _UNIT_NS[found[2]]


def target(text: str) -> tuple[str, str]:
    found = _TARGET.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is no table such as db.table")
    return found[1] or found[2], found[3] or found[4]


def _first_word(text: str) -> tuple[str, str]:
    """A table's name, with its quotation marks, and what follows."""
    found = re.match(r"\S+", text)
    if not found:
        raise ValueError("a table is missing")
    return found[0], text[found.end() :]


def _table(text: str) -> NewTable:
    name, rest = _first_word(text)
    options = dict(part.split("=", 1) for part in rest.split())
    database, table = target(name)
    memory = duration_ns(options.pop("memory", "24h")) // NS_PER_HOUR
    magnetic = duration_ns(options.pop("magnetic", "73000d")) // NS_PER_DAY
    if options:
        raise ValueError(f"unknown options {sorted(options)}")
    return NewTable(database, table, memory, magnetic)


def parse_write(text: str, rows: list[Row]) -> Write:
    """The records of a `write`: what follows the word, and the cells of the indented lines. Raises ValueError."""
    where, rest = _first_word(text.strip())
    database, table = target(where)
    parts = words(rest)
    common: Record = {"TimeUnit": "NANOSECONDS", "Dimensions": []}
    measure_name = None
    while parts and (key := _KEY.fullmatch(parts[0])):
        del parts[0]
        if key[1] == "measure_name":
            measure_name = key[2]
        elif key[1] == "version":
            common["Version"] = int(key[2])
        else:
            common["Dimensions"].append({"Name": key[1], "Value": key[2]})
    records = _tabled(measure_name, parts, rows) if rows else _listed(parts)
    made = [{**common, **record, "Dimensions": common["Dimensions"] + record["Dimensions"]} for record in records]
    return Write(database, table, made)


def _listed(parts: list[str]) -> Iterator[Record]:
    """`cpu:double 2024-01-01T00:00:00Z step 1m 1 2 3`."""
    if len(parts) < 3:
        raise ValueError("a write needs a measure:type, a time and values")
    name, kind = _measure(parts[0])
    times, values = _times(parts[1:])
    if not values or (len(values) > 1 and times.step_ns is None):
        raise ValueError("several values need a `step`")
    for place, text in enumerate(values):
        yield {"Dimensions": [], "Time": times.at(place), **_single(name, kind, text)}


def _tabled(measure_name: str | None, parts: list[str], rows: list[Row]) -> Iterator[Record]:
    times, rest = _times(parts) if parts else (None, [])
    heading = rows[0]
    repeats = 1
    if rest[:1] == ["repeat"]:
        repeats, rest = int(rest[1]), rest[2:]
    if rest or (times is None) != ("time" in heading):
        raise ValueError("a table of records needs a column `time` or `TIME step 1m` on the first line")
    for place, row in enumerate(rows[1:] * repeats):
        if len(row) != len(heading):
            raise ValueError(f"row {row} has not the columns {heading}")
        time = None if times is None else times.at(place)
        yield from _row_records(measure_name, dict(zip(heading, row, strict=True)), time)


def _row_records(measure_name: str | None, row: dict[str, str], time: str | None) -> Iterator[Record]:
    base: Record = {"Dimensions": []}
    measures = []
    for name, text in row.items():
        if name == "time":
            time = str(parse_instant(text))
        elif name == "version":
            base["Version"] = int(text)
        elif text == "NULL":
            continue
        elif ":" in name:
            measures.append((*_measure(name), unquoted(text)))
        else:
            base["Dimensions"].append({"Name": name, "Value": unquoted(text)})
    base["Time"] = time
    if measure_name is None:
        yield from ({**base, **_single(*measure)} for measure in measures)
        return
    values = [{"Name": n, "Value": _value(kind, text), "Type": kind.upper()} for n, kind, text in measures]
    yield {**base, "MeasureName": measure_name, "MeasureValueType": "MULTI", "MeasureValues": values}


@dataclass(frozen=True)
class _Times:
    start_ns: int
    step_ns: int | None

    def at(self, place: int) -> str:
        return str(self.start_ns + place * (self.step_ns or 0))


def _times(parts: list[str]) -> tuple[_Times, list[str]]:
    """`TIME [step DURATION]`, and what follows."""
    start_ns = parse_instant(parts[0])
    if parts[1:2] == ["step"]:
        return _Times(start_ns, duration_ns(parts[2])), parts[3:]
    return _Times(start_ns, None), parts[1:]


def _measure(text: str) -> tuple[str, str]:
    name, _, kind = text.rpartition(":")
    if not name or kind not in _TYPES:
        raise ValueError(f"{text!r} is no measure such as cpu:double")
    return name, kind


def _single(name: str, kind: str, text: str) -> Record:
    return {"MeasureName": name, "MeasureValueType": kind.upper(), "MeasureValue": _value(kind, text)}


def _value(kind: str, text: str) -> str:
    return str(parse_instant(text)) if kind == "timestamp" else text


def quoted(text: str, *, inside: bool = False) -> str:
    """A text as a cell, or as a part of one, such that nothing is lost or mistaken."""
    if not text:
        return "(empty)"
    is_plain = text.isprintable() and text == text.strip() and "  " not in text and not text.startswith(('"', "#"))
    is_plain = is_plain and text not in ("NULL", "(empty)", END_OF_TEXT)
    if inside:
        is_plain = is_plain and not re.search(r"[][(){},=]", text)
    return text if is_plain else json.dumps(text, ensure_ascii=not text.isprintable()).replace("  ", " \\u0020")


def unquoted(cell: str) -> str:
    if cell == "(empty)":
        return ""
    return str(json.loads(cell)) if cell.startswith('"') else cell
