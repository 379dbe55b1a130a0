"""The types of the dialect: what a column of a query result or of a table may be.

`sql` decides them, `engine` carries them as Arrow, `wire/datum` writes them. In Arrow, between those rooms:

    ============================  =============================================================
    boolean                       bool
    integer                       int32
    bigint                        int64
    double                        float64
    varchar                       string (or dictionary of string, large_string)
    timestamp                     int64, nanoseconds since 1970 UTC
    date                          int32, days since 1970
    time                          int64, nanoseconds since midnight
    interval day to second        int64, nanoseconds
    interval year to month        int32, months
    unknown                       int32, always null
    array(T)                      list<T>
    row(...)                      struct<f0, f1, ...>: fields by place, names are ours
    timeseries(T)                 list<struct<t: int64 ns, v: T>>, ascending in t
    varbinary                     string, two lower-case hexadecimal digits a byte
    json                          string, the JSON text
    map(K, V)                     list<struct<f0: K, f1: V>>, ascending in f0, each key once
    ============================  =============================================================

The last three are not known to the service's clients: they live inside a query only, and leave it `as_sent`.

Times are plain integers there because engines round nanosecond timestamps in their own functions (design.md 4).
Source: sql.md 2.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from headwater.errors import Invalid

PARTS_MAX = 2_000
"""Types inside a type: a row of rows doubles with a few characters of a query, and the work on its type with it."""


class Scalar(Enum):
    """Scalar types; the value is the text of `typeof` and DESCRIBE, the name is the wire's ScalarType."""

    BOOLEAN = "boolean"
    INTEGER = "integer"
    BIGINT = "bigint"
    DOUBLE = "double"
    VARCHAR = "varchar"
    TIMESTAMP = "timestamp"
    DATE = "date"
    TIME = "time"
    INTERVAL_DAY_TO_SECOND = "interval day to second"
    INTERVAL_YEAR_TO_MONTH = "interval year to month"
    UNKNOWN = "unknown"
    VARBINARY = "varbinary"
    JSON = "json"

    def __str__(self) -> str:
        return self.value

    @property
    def parts(self) -> int:
        return 1


@dataclass(frozen=True, slots=True)
class _Nested:
    """A type of others. Raises Invalid when they are too many."""

    parts: int = field(init=False, compare=False, repr=False)

    def _count(self, *inner: SqlType) -> None:
        parts = 1 + sum(kind.parts for kind in inner)
        if parts > PARTS_MAX:
            raise Invalid(f"A type of more than {PARTS_MAX} parts is not supported")
        object.__setattr__(self, "parts", parts)


@dataclass(frozen=True, slots=True)
class Array(_Nested):
    element: SqlType

    def __post_init__(self) -> None:
        self._count(self.element)

    def __str__(self) -> str:
        return f"array({self.element})"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a row; `name` is None for an unnamed one."""

    name: str | None
    type: SqlType

    def __str__(self) -> str:
        return f"{self.name} {self.type}" if self.name else str(self.type)


@dataclass(frozen=True, slots=True)
class Row(_Nested):
    fields: tuple[Field, ...]

    def __post_init__(self) -> None:
        self._count(*(field.type for field in self.fields))

    def __str__(self) -> str:
        return f"row({', '.join(map(str, self.fields))})"


@dataclass(frozen=True, slots=True)
class Timeseries(_Nested):
    value: SqlType

    def __post_init__(self) -> None:
        self._count(self.value)

    def __str__(self) -> str:
        return f"timeseries({self.value})"


@dataclass(frozen=True, slots=True)
class Map(_Nested):
    key: SqlType
    value: SqlType

    def __post_init__(self) -> None:
        self._count(self.key, self.value)

    def __str__(self) -> str:
        return f"map({self.key}, {self.value})"

    @property
    def entries(self) -> Array:
        """What it is to whoever looks at it as an array."""
        return Array(Row((Field("key", self.key), Field("value", self.value))))


SqlType = Scalar | Array | Row | Timeseries | Map


def as_sent(kind: SqlType) -> SqlType:
    """The type under which a value leaves a query: its Arrow form is the same, and clients know it.

    A map is an array of rows of key and value, a varbinary its hexadecimal text, a JSON value its text. Source: ours;
    the service has none of these on the wire (sql.md 2).
    """
    match kind:
        case Scalar.VARBINARY | Scalar.JSON:
            return Scalar.VARCHAR
        case Array(element):
            return Array(as_sent(element))
        case Timeseries(value):
            return Timeseries(as_sent(value))
        case Row(fields):
            return Row(tuple(Field(field.name, as_sent(field.type)) for field in fields))
        case Map():
            return as_sent(kind.entries)
        case _:
            return kind


@dataclass(frozen=True, slots=True)
class OutputColumn:
    """One column of a query result: the name the client sees and its type."""

    name: str
    type: SqlType
