"""The names of a golden file without a server: its databases and tables, with the columns that its records give them.

For tests and benchmarks that compile the corpus (tests/sql/*.slt) and run nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from headwater.model.table import ColumnKind, Columns, MeasureType, TableId, measure_value_name
from support.golden import Case, NewDatabase, NewTable, Record, Write, read_golden

CORPUS = Path(__file__).parents[1] / "sql"


@dataclass
class GoldenNames:
    """`compile.Names` of one file, as they are at its end."""

    tables: dict[tuple[str, str], Columns] = field(default_factory=dict)
    databases: set[str] = field(default_factory=set)

    def has_database(self, name: str) -> bool:
        return name in self.databases

    def table(self, database: str, name: str) -> tuple[TableId, Columns] | None:
        columns = self.tables.get((database, name))
        return None if columns is None else (TableId(f"{database}.{name}"), columns)

    def write(self, write: Write) -> None:
        address = write.database, write.table
        for record in write.records if address in self.tables else ():
            self.tables[address] = _grown(self.tables[address], record)


def _grown(columns: Columns, record: Record) -> Columns:
    for dimension in record["Dimensions"]:
        if dimension["Name"] not in columns.by_name:
            columns = columns.with_dimension(dimension["Name"])
    values = record.get("MeasureValues", [])
    measures = [(value["Name"], ColumnKind.MULTI, MeasureType[value["Type"]]) for value in values]
    if not values:
        kind = MeasureType[record.get("MeasureValueType", "DOUBLE")]
        measures = [(measure_value_name(kind), ColumnKind.MEASURE_VALUE, kind)]
    for name, column_kind, measure_type in measures:
        if name not in columns.by_name:
            columns = columns.with_measure(name, column_kind, measure_type)
    return columns


def corpus() -> list[tuple[str, GoldenNames]]:
    """Every SQL text of the corpus, refused ones included, with the names it may use."""
    texts: list[tuple[str, GoldenNames]] = []
    for path in sorted(CORPUS.glob("*.slt")):
        names = GoldenNames()
        for step in read_golden(path).steps:
            match step:
                case NewDatabase(name):
                    names.databases.add(name)
                case NewTable():
                    names.databases.add(step.database)
                    names.tables.setdefault((step.database, step.name), Columns())
                case Write():
                    names.write(step)
                case Case(write=None, text=text):
                    texts.append((text, names))
    return texts
