"""What databases, tables and columns are. No I/O, no rules of an operation."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import NewType, Protocol

from headwater.model.time import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE
from headwater.model.types import Scalar

TableId = NewType("TableId", str)
"""Opaque, never reused, safe in a path: names of tables are not."""


class ColumnKind(Enum):
    """Why a column exists; the value is DESCRIBE's "Timestream attribute type". Source: sql.md 4.6."""

    DIMENSION = "DIMENSION"
    MEASURE_NAME = "MEASURE_NAME"
    TIME = "TIMESTAMP"
    MEASURE_VALUE = "MEASURE_VALUE"
    MULTI = "MULTI"


class MeasureType(Enum):
    """Type of a measure value on the wire; MULTI is a kind of record, not a type of value."""

    DOUBLE = "DOUBLE"
    BIGINT = "BIGINT"
    BOOLEAN = "BOOLEAN"
    VARCHAR = "VARCHAR"
    TIMESTAMP = "TIMESTAMP"

    @property
    def scalar(self) -> Scalar:
        return Scalar[self.name]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table. `physical` is its name in files and engines, unique without regard to case."""

    name: str
    kind: ColumnKind
    type: Scalar
    physical: str


MEASURE_NAME = Column("measure_name", ColumnKind.MEASURE_NAME, Scalar.VARCHAR, "measure_name")
TIME = Column("time", ColumnKind.TIME, Scalar.TIMESTAMP, "time")


def measure_value_name(measure_type: MeasureType) -> str:
    """`measure_value::double`: the column of single-measure records of one type."""
    return f"measure_value::{measure_type.scalar.value}"


@dataclass(frozen=True, slots=True)
class Columns:
    """All columns of a table, each group in order of first appearance. Immutable: growth makes a new one.

    Iteration is in the order of `SELECT *`: dimensions, measure_name, time, measures. Source: sql.md 3.
    """

    dimensions: tuple[Column, ...] = ()
    measures: tuple[Column, ...] = ()
    by_name: dict[str, Column] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {c.name: c for c in self.all()})

    def all(self) -> tuple[Column, ...]:
        return (*self.dimensions, MEASURE_NAME, TIME, *self.measures)

    def with_dimension(self, name: str) -> Columns:
        added = Column(name, ColumnKind.DIMENSION, Scalar.VARCHAR, self._physical(name))
        return Columns((*self.dimensions, added), self.measures)

    def with_measure(self, name: str, kind: ColumnKind, measure_type: MeasureType) -> Columns:
        added = Column(name, kind, measure_type.scalar, self._physical(name))
        return Columns(self.dimensions, (*self.measures, added))

    def _physical(self, name: str) -> str:
        """The name itself where no column differs from it by case only, else with the first free numbered suffix."""
        taken = {c.physical.casefold() for c in self.all()} | HIDDEN_COLUMNS | ENGINE_COLUMNS
        physical, number = name, 1
        while physical.casefold() in taken:
            number += 1
            physical = f"{name}_{number}"
        return physical


HIDDEN_COLUMNS = frozenset({"_version", "_series"})
"""Columns of every block that no query can name; both are BIGINT."""

ENGINE_COLUMNS = frozenset({"file_row_number", "file_index", "filename"})
"""Names that engines give to columns of their own when they read files."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long records stay in each tier, counted from their own time. Source: write-api.md 4."""

    memory_hours: int = 6
    magnetic_days: int = 73_000

    @property
    def memory_ns(self) -> int:
        return self.memory_hours * NS_PER_HOUR

    @property
    def magnetic_ns(self) -> int:
        return self.magnetic_days * NS_PER_DAY


@dataclass(frozen=True, slots=True)
class TimeWindows:
    """Which record times a table accepts at one moment; half open. Source: storage.md 2.

    [memory_start_ns, end_ns) goes to the memory tier, [start_ns, memory_start_ns) to the magnetic one.
    """

    start_ns: int
    memory_start_ns: int
    end_ns: int


PAST_GRACE_NS = 25 * NS_PER_MINUTE
FUTURE_LIMIT_NS = 15 * NS_PER_MINUTE


def time_windows(
    retention: Retention, magnetic_writes: bool, now_ns: int, future_ns: int = FUTURE_LIMIT_NS
) -> TimeWindows:
    """The windows of a table with `retention` at `now_ns`. Source: storage.md 2, exact."""
    memory_start = now_ns - retention.memory_ns - PAST_GRACE_NS
    start = memory_start - retention.magnetic_ns if magnetic_writes else memory_start
    return TimeWindows(start, memory_start, now_ns + future_ns)


def expiry_ns(retention: Retention, now_ns: int) -> int:
    """Records older than this are gone: both retentions add up. Source: storage.md 1."""
    return now_ns - retention.memory_ns - retention.magnetic_ns


@dataclass(frozen=True, slots=True)
class Database:
    """`name` is what clients say; times are ns since 1970."""

    name: str
    kms_key_id: str
    created_ns: int
    updated_ns: int


@dataclass(frozen=True, slots=True)
class Table:
    """`magnetic_writes` and `partition_key` are the wire's structures as they were sent, or None."""

    id: TableId
    database: str
    name: str
    retention: Retention
    created_ns: int
    updated_ns: int
    magnetic_writes: dict[str, object] | None = None
    partition_key: tuple[dict[str, str], ...] | None = None

    @property
    def magnetic_writes_enabled(self) -> bool:
        return bool(self.magnetic_writes and self.magnetic_writes["EnableMagneticStoreWrites"])

    @property
    def partition_dimension(self) -> str | None:
        """The dimension that the table is partitioned by; None when that is measure_name. Source: write-api.md 7."""
        for part in self.partition_key or ():
            if part["Type"] == "DIMENSION":
                return part["Name"]
        return None


class TablesById(Protocol):
    """What rooms below the catalog's users may ask of it: the settings of a table."""

    def table_by_id(self, id: TableId) -> Table:
        """The table as it is now. Raises NotFound for a dropped one."""
