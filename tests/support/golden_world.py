"""A golden file come to life: an Instance on a folder of its own, and the five ways in which its records may lie there.

Everything goes the way of a client but for the socket: WriteRecords as the bytes of a body, queries to the bytes of an
answer.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import Any

from headwater.config import load
from headwater.errors import Conflict, Fault, Rejected
from headwater.instance import Instance
from headwater.model.scan import ALL_TIME, DimensionIn, ScanRequest
from headwater.model.table import Retention
from headwater.model.time import TIME_MAX_NS, TIME_MIN_NS, FixedClock, parse_instant, timestamp_text
from headwater.query.run import CatalogNames
from headwater.query.token import Caller
from headwater.server.query_api import page_json
from headwater.sql import tree
from headwater.sql.compile import QueryPlan, compile_query
from headwater.sql.parser import parse
from headwater.wire.faults import name_of
from headwater.wire.write_records import decode_write_records
from support.golden import BadGolden, Case, Golden, NewDatabase, NewTable, Now, Record, Row, Step, Write, quoted
from support.golden_texts import heading, row_cells

WAIT_S = 30.0
CALLER = Caller("000000000000", "AKIAGOLDEN")
START_NS = parse_instant("2024-03-09T12:00:00Z")
"""What time it is in a file that does not say."""


class Life(Enum):
    """How the records lie when a query comes."""

    MEMORY = "memory"
    """All in memory."""
    FLUSHED = "flushed"
    """All in blocks, one for each write, which the engine reads itself."""
    RESTARTED = "restarted"
    """In memory, read back from the log by another Instance."""
    HALVED = "halved"
    """The first half of each write in a block, and the other half of the last one in memory."""
    COMPACTED = "compacted"
    """All in blocks that were merged, one for each day."""


@dataclass(frozen=True)
class Answer:
    """`verb` as in a case; rows as they came, the heading first. `is_ordered` if their order means anything."""

    verb: str
    rows: list[Row]
    is_ordered: bool


def is_right(case: Case, answer: Answer) -> bool:
    if answer.verb != case.verb:
        return False
    if answer.is_ordered:
        return answer.rows == case.answer
    return answer.rows[:1] == case.answer[:1] and sorted(answer.rows[1:]) == sorted(case.answer[1:])


class World:
    """Steps of the file are taken when a case needs them, each once."""

    def __init__(self, golden: Golden, life: Life, folder: Path, **settings: str) -> None:
        self._settings = settings
        self._golden = golden
        self._life = life
        self._folder = folder
        self._clock = FixedClock(START_NS)
        self._randomness = random.Random(1)
        self._taken = 0
        self._is_written = False
        self._broken = ""
        self._instance = self._open()

    def close(self) -> None:
        self._instance.close()

    def answer(self, case: Case) -> Answer:
        """What the server says to the case, after everything that stands above it."""
        place = self._golden.steps.index(case)
        for step in self._golden.steps[self._taken : place]:
            self._take(step)
            self._taken += 1
        if self._is_written:
            self._settle()
        self._is_written = False
        try:
            if case.write is not None:
                self._taken, self._is_written = place + 1, True
                self._submit(case.write, case.write.records)
                return Answer("query", [], is_ordered=True)
            return self._plan(case.text) if case.verb == "plan" else self._query(case.text)
        except Rejected as fault:
            reasons = [[f"{record.index}: {record.reason}"] for record in fault.records]
            return Answer(f"error {name_of(fault)}", reasons, is_ordered=True)
        except Fault as fault:
            message = [[quoted(line)] for line in fault.message.split("\n")]
            return Answer(f"error {name_of(fault)}", message, is_ordered=True)

    def _settle(self) -> None:
        """Bring all records to where this life has them when a query comes."""
        match self._life:
            case Life.RESTARTED:
                self.close()
                self._instance = self._open()
            case Life.FLUSHED:
                self._instance.store.flush()
            case Life.COMPACTED:
                self._instance.store.compact()

    def _open(self) -> Instance:
        settings = {"data": str(self._folder), "listen": "127.0.0.1:0", "log_level": "error", "log_segment_mb": "1"}
        if self._life is Life.FLUSHED:
            settings["decoded_cache_mb"] = "0"
        config = load(settings | self._settings, {}, None, processors=1)
        return Instance.open(config, clock=self._clock, randomness=self._randomness.randbytes)

    def _take(self, step: Step) -> None:
        """Raises BadGolden, then and for every case behind it: an answer without all the records means nothing."""
        try:
            if not self._broken:
                self._change(step)
        except Fault as fault:
            reasons = [record.reason for record in fault.records[:3]] if isinstance(fault, Rejected) else []
            self._broken = f"{type(step).__name__} is refused: {' '.join([fault.message, *reasons])}"
        if self._broken:
            raise BadGolden(self._broken)

    def _change(self, step: Step) -> None:
        match step:
            case Now(time_ns):
                self._clock.time_ns = time_ns
            case NewDatabase(name):
                self._instance.catalog.create_database(name, None)
            case NewTable():
                self._create(step)
            case Write():
                self._write(step)
            case Case(write=Write() as write):
                # A write that is asked about has happened too where only a later case was chosen to run.
                with suppress(Rejected):
                    self._submit(write, write.records)
                self._is_written = True

    def _create(self, table: NewTable) -> None:
        with suppress(Conflict):
            self._instance.catalog.create_database(table.database, None)
        retention = Retention(table.memory_hours, table.magnetic_days)
        late = {"EnableMagneticStoreWrites": True}
        self._instance.create_table(table.database, table.name, retention, late, None)

    def _write(self, write: Write) -> None:
        middle = len(write.records) // 2
        if self._life in (Life.HALVED, Life.COMPACTED) and middle:
            self._submit(write, write.records[:middle])
            self._instance.store.flush()
            self._submit(write, write.records[middle:])
        else:
            self._submit(write, write.records)
        if self._life is Life.FLUSHED:
            self._instance.store.flush()
        self._is_written = True

    def _submit(self, write: Write, records: list[Record]) -> None:
        """Raises the fault of the first request that is refused."""
        limits = self._instance.config.limits
        size = limits.records_per_request
        for start, end in pairwise([*range(0, len(records), size), len(records)]):
            request = {"DatabaseName": write.database, "TableName": write.table, "Records": records[start:end]}
            body = json.dumps(request).encode()
            self._instance.ingest.write(decode_write_records(body, limits)).result(WAIT_S)

    def _query(self, text: str) -> Answer:
        rows: list[Row] = []
        columns: Any = []
        for page in self._pages(text):
            columns = page["ColumnInfo"]
            rows += [row_cells(row, columns) for row in page["Rows"]]
        return Answer("query", [heading(columns), *rows], self._is_ordered(text))

    def _pages(self, text: str) -> Iterator[Any]:
        token = None
        while True:
            page = json.loads(page_json(self._instance.queries.run(CALLER, text, next_token=token)))
            yield page
            token = page.get("NextToken")
            if token is None:
                return

    def _is_ordered(self, text: str) -> bool:
        """True with an ORDER BY of its own, and for the statements whose order the service decides."""
        statement = parse(text, self._instance.config.limits)
        return not isinstance(statement, tree.Query) or bool(statement.order_by)

    def _plan(self, text: str) -> Answer:
        names = CatalogNames(self._instance.catalog, self._instance.store)
        plan = compile_query(text, names, self._clock.now_ns(), self._instance.config.limits)
        assert isinstance(plan, QueryPlan), "only a SELECT has scans"
        scans = [self._scan(request) for _, request in plan.scans]
        return Answer("plan", [["table", "columns", "time", "dimensions"], *scans], is_ordered=False)

    def _scan(self, request: ScanRequest) -> Row:
        table = self._instance.catalog.table_by_id(request.table)
        columns = ", ".join(sorted(column.name for column, _ in request.columns)) or "none"
        conditions = [_condition_text(condition) for condition in request.dimensions]
        return [
            f"{table.database}.{table.name}",
            columns,
            _time_text(request),
            " and ".join(sorted(conditions)) or "any",
        ]


def _condition_text(condition: DimensionIn) -> str:
    looks = [f"{condition.name} {shown}" for shown in sorted(pattern.shown for pattern in condition.patterns)]
    if condition.values or not looks:
        looks.insert(0, f"{condition.name} in ({', '.join(sorted(condition.values))})")
    return looks[0] if len(looks) == 1 else f"({' or '.join(looks)})"


def _time_text(request: ScanRequest) -> str:
    time = request.time
    if time == ALL_TIME:
        return "all"
    if time.start_ns > time.end_ns:
        return "never"
    start = "" if time.start_ns == TIME_MIN_NS else f"from {timestamp_text(time.start_ns)}"
    end = "" if time.end_ns == TIME_MAX_NS else f"to {timestamp_text(time.end_ns)}"
    return f"{start} {end}".strip()
