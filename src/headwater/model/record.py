"""Records on their way in, as columns: what validation makes and the store takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headwater.model.series import Series
from headwater.model.table import ColumnKind, MeasureType, measure_value_name

Int64s = npt.NDArray[np.int64]
ValueColumn = npt.NDArray[np.float64] | npt.NDArray[np.int64] | npt.NDArray[np.bool_] | list[str]
"""Values of one column: float64 for DOUBLE, int64 for BIGINT and TIMESTAMP (ns), bool for BOOLEAN, str for VARCHAR."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The value columns that a set of records has in common: every record has a value in each of them.

    One column named `measure_value::<type>` for single-measure records, the attributes for multi-measure ones
    in the order they were sent, which is the order in which a table's columns first appear.
    """

    kind: ColumnKind
    columns: tuple[tuple[str, MeasureType], ...]

    @classmethod
    def single(cls, measure_type: MeasureType) -> Layout:
        return cls(ColumnKind.MEASURE_VALUE, ((measure_value_name(measure_type), measure_type),))

    @classmethod
    def multi(cls, columns: tuple[tuple[str, MeasureType], ...]) -> Layout:
        return cls(ColumnKind.MULTI, columns)

    @property
    def measure_data_type(self) -> str:
        """The kind of measure these records hold: `multi`, or the single value's type. Source: sql.md 4.5."""
        return "multi" if self.kind is ColumnKind.MULTI else self.columns[0][1].scalar.value


@dataclass(frozen=True, slots=True)
class RecordColumns:
    """Validated records of one layout, column by column; all columns have the same length.

    `index` is each record's 0-based place in its request, ascending. `values[i]` belongs to `layout.columns[i]`.
    """

    layout: Layout
    index: Int64s
    series: list[Series]
    time_ns: Int64s
    version: Int64s
    values: tuple[ValueColumn, ...]

    def __len__(self) -> int:
        return len(self.series)

    def take(self, rows: npt.NDArray[np.intp]) -> RecordColumns:
        """Only these rows, in this order."""
        return RecordColumns(
            self.layout,
            self.index[rows],
            [self.series[row] for row in rows],
            self.time_ns[rows],
            self.version[rows],
            tuple([v[row] for row in rows] if isinstance(v, list) else v[rows] for v in self.values),
        )

    def row(self, row: int) -> dict[str, object]:
        """The values of one record by column name, as plain Python values."""
        return {
            name: values[row] if isinstance(values, list) else values[row].item()
            for (name, _), values in zip(self.layout.columns, self.values, strict=True)
        }


class ConflictKind:
    """Why the store did not take a record."""


@dataclass(frozen=True, slots=True)
class SameVersion(ConflictKind):
    """A record with the same identity and version holds other values."""


@dataclass(frozen=True, slots=True)
class LowerVersion(ConflictKind):
    """The stored record's version is higher."""

    version: int
    existing_version: int


@dataclass(frozen=True, slots=True)
class TypeConflict(ConflictKind):
    """The measure or attribute `name` is already of `type` in this table."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class NameConflict(ConflictKind):
    """The column `name` already exists as a `kind`: "dimension" or "measure"."""

    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class LimitConflict(ConflictKind):
    """One more `kind` ("dimensions", "measure names", "attributes") would pass the table's limit."""

    kind: str
    limit: int


@dataclass(frozen=True, slots=True)
class Conflict:
    """One record of a write that the store did not take, by its index in the request."""

    index: int
    kind: ConflictKind
