"""What a store must hold, as plain dictionaries: the judge of the simulation. Knows no file, log or block.

A record's value tells its version and variant, so that what a scan shows is all there is to know. Requests that were
sent and not answered are kept apart, in order: after a restart the store holds the records of the first few of them,
each whole, and of no others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from headwater.model.record import Conflict, ConflictKind, LowerVersion, SameVersion
from headwater.model.time import TIME_MIN_NS

VARIANTS = 3
COLUMN_OF = ("usage", "usage", "load")
"""The column that a record of each variant has its value in."""


class Broken(AssertionError):
    """A promise is broken."""


class Key(NamedTuple):
    host: str
    time_ns: int


class Cell(NamedTuple):
    version: int
    variant: int

    @property
    def value(self) -> float:
        return float(self.version * VARIANTS + self.variant)


class Row(NamedTuple):
    """One value as a scan shows it."""

    key: Key
    column: str
    value: float


class Sent(NamedTuple):
    """One record of a request."""

    key: Key
    cell: Cell


@dataclass(frozen=True)
class Request:
    """`late_before_ns` is where the memory tier began when it was sent, of a table that wants reports; else the
    beginning of time: nothing is late.
    """

    table: str
    records: tuple[Sent, ...]
    late_before_ns: int = TIME_MIN_NS


LostRecords = tuple[tuple[Key, int], ...]
"""What a report says: key and version of each record, in order."""


@dataclass
class TableModel:
    """`gone_before_ns`: records before it may have left the disk, and nobody asks for them again."""

    cells: dict[Key, Cell] = field(default_factory=dict)
    gone_before_ns: int = TIME_MIN_NS

    def apply(self, request: Request) -> list[tuple[int, ConflictKind]]:
        """Take a request; what of it must be refused, by its place."""
        refused: list[tuple[int, ConflictKind]] = []
        for place, (key, cell) in enumerate(request.records):
            stored = self.cells.get(key)
            if stored is None or cell.version > stored.version:
                self.cells[key] = cell
            elif cell.version < stored.version:
                refused.append((place, LowerVersion(cell.version, stored.version)))
            elif cell != stored:
                refused.append((place, SameVersion()))
        return refused

    def difference(self, found: Iterable[Row]) -> str:
        """How the rows differ from what must be there, empty if they do not."""
        rows = Counter(found)
        twice = [key for key, count in Counter(row.key for row in rows.elements()).items() if count > 1]
        if twice:
            return f"{twice[0]} is there more than once"
        wanted = {Row(key, COLUMN_OF[cell.variant], cell.value) for key, cell in self.cells.items()}
        if invented := rows.keys() - wanted:
            return f"{min(invented)} was never stored, or is not the newest"
        lost = [row for row in wanted - rows.keys() if row.key.time_ns >= self.gone_before_ns]
        return f"{min(lost)} is lost" if lost else ""


@dataclass
class Model:
    """All tables. `reports` wait for their bucket; `written_reports` may come again after a restart."""

    tables: dict[str, TableModel] = field(default_factory=dict)
    reports: Counter[LostRecords] = field(default_factory=Counter)
    written_reports: Counter[LostRecords] = field(default_factory=Counter)
    unanswered: list[Request] = field(default_factory=list)

    def answered(self, request: Request, conflicts: Sequence[Conflict]) -> None:
        """Take a request that has been acknowledged. Raises Broken when other records were refused than must be."""
        expected = self._apply(request)
        if [(int(conflict.index), conflict.kind) for conflict in conflicts] != expected:
            raise Broken(f"{request} was refused {conflicts}, and should be {expected}")

    def settle(self, found: dict[str, list[Row]], reports: Counter[LostRecords]) -> None:
        """After a restart: learn which of the unanswered requests are there. Raises Broken if none fits."""
        told = []
        for count in range(len(self.unanswered) + 1):
            after = self._with(self.unanswered[:count])
            difference = after.difference(found)
            if not difference:
                self._check_reports(reports, self._with(self.unanswered))
                self.tables, self.reports, self.written_reports = after.tables, reports, Counter()
                self.unanswered = []
                return
            told.append(difference)
        raise Broken(told[0] if len(told) == 1 else f"none of the states that may be is there: {told}")

    def difference(self, found: dict[str, list[Row]]) -> str:
        if found.keys() != self.tables.keys():
            return f"the tables {sorted(found)} are there, not {sorted(self.tables)}"
        told = (f"{name}: {told}" for name, table in self.tables.items() if (told := table.difference(found[name])))
        return next(told, "")

    def _apply(self, request: Request) -> list[tuple[int, ConflictKind]]:
        refused = self.tables[request.table].apply(request)
        lost = [request.records[place] for place, _ in refused]
        late = tuple(sorted((one.key, one.cell.version) for one in lost if one.key.time_ns < request.late_before_ns))
        if late:
            self.reports[late] += 1
        return refused

    def _with(self, requests: Iterable[Request]) -> Model:
        tables = {name: replace(table, cells=dict(table.cells)) for name, table in self.tables.items()}
        after = Model(tables, Counter(self.reports), self.written_reports)
        for request in requests:
            after._apply(request)
        return after

    def _check_reports(self, found: Counter[LostRecords], most: Model) -> None:
        """Those of answered requests are there; others only of requests that were sent."""
        if lost := self.reports - found:
            raise Broken(f"the report of {next(iter(lost))} is lost")
        if invented := found - most.reports - self.written_reports:
            raise Broken(f"the report of {next(iter(invented))} was never due")
