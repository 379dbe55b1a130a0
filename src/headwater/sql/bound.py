"""The query after binding: every name is a slot, every call a resolved function, every value has a type.

`binder` makes it, `pushdown` reads what it needs of the tables, `lower` writes it for the engine. Users' names are left
only in the names of the result columns and in the labels that errors about ungrouped columns show.

A **slot** is a column that some part of the query makes. Its name is unique in the whole statement, so a reference
needs no relation before it, not even from inside a correlated subquery, and two expressions are equal exactly if they
mean the same. Positions take no part in comparison.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal as Word

from headwater.model.table import Column, TableId
from headwater.model.types import Scalar, SqlType
from headwater.sql.constant import Constant
from headwater.sql.signature import Resolved


@dataclass(frozen=True, slots=True)
class Slot:
    """A column of some relation inside the statement; the engine knows it by `name`."""

    name: str
    type: SqlType
    is_stored: bool = field(default=False, compare=False)
    """Whether it is of a table, whose texts are short."""


# Expressions


@dataclass(frozen=True, slots=True)
class SlotRef:
    """A column, perhaps of a query further out. `label` is how the user called it."""

    slot: Slot
    label: str = field(compare=False)
    line: int = field(compare=False)
    column: int = field(compare=False)

    @property
    def type(self) -> SqlType:
        return self.slot.type


@dataclass(frozen=True, slots=True)
class Literal:
    """A value known now: written as one, or computed from such."""

    constant: Constant
    type: SqlType


@dataclass(frozen=True, slots=True)
class Placeholder:
    """An `@parameter` without a value. `wanted` collects the types it is converted to. Never lowered."""

    name: str
    type: SqlType
    wanted: list[SqlType] = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Call:
    """A scalar function or an operator; the arguments have the types it wants."""

    name: str
    arguments: tuple[Expression, ...]
    type: SqlType
    function: Resolved = field(compare=False, repr=False)
    line: int = field(compare=False)
    column: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Logical:
    """AND or OR of two or more booleans."""

    operator: Word["AND", "OR"]
    operands: tuple[Expression, ...]
    type: SqlType = Scalar.BOOLEAN


@dataclass(frozen=True, slots=True)
class Coerce:
    """An implicit conversion, which cannot fail."""

    operand: Expression
    type: SqlType


@dataclass(frozen=True, slots=True)
class Cast:
    """CAST, or TRY_CAST if `safe`; `length` is that of varchar(n): texts are cut, what else is longer fails."""

    operand: Expression
    type: SqlType
    safe: bool
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """Searched CASE; conditions are boolean, results and default have its type."""

    conditions: tuple[Expression, ...]
    results: tuple[Expression, ...]
    default: Expression
    type: SqlType


@dataclass(frozen=True, slots=True)
class SimpleCase:
    """`CASE operand WHEN value THEN result ...`: the first value for which `equals`, of the same place, holds."""

    operand: Expression
    values: tuple[Expression, ...]
    results: tuple[Expression, ...]
    default: Expression
    type: SqlType
    equals: tuple[Resolved, ...] = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Coalesce:
    operands: tuple[Expression, ...]
    type: SqlType


@dataclass(frozen=True, slots=True)
class Nullif:
    """`operand`, or NULL where `equal` holds between it and `other`."""

    operand: Expression
    other: Expression
    equal: Resolved = field(compare=False, repr=False)

    @property
    def type(self) -> SqlType:
        return self.operand.type


@dataclass(frozen=True, slots=True)
class Try:
    operand: Expression

    @property
    def type(self) -> SqlType:
        return self.operand.type


@dataclass(frozen=True, slots=True)
class MakeArray:
    elements: tuple[Expression, ...]
    type: SqlType


@dataclass(frozen=True, slots=True)
class MakeRow:
    elements: tuple[Expression, ...]
    type: SqlType


@dataclass(frozen=True, slots=True)
class IsNull:
    operand: Expression
    type: SqlType = Scalar.BOOLEAN


@dataclass(frozen=True, slots=True)
class ScalarSubquery:
    """The one value of a query with one column; NULL if it has no row, an error while running if it has several."""

    query: Query
    type: SqlType


@dataclass(frozen=True, slots=True)
class InSubquery:
    """`value IN (query)`; `item` is the query's column in the type that `value` has."""

    value: Expression
    query: Query
    item: Expression
    type: SqlType = Scalar.BOOLEAN


@dataclass(frozen=True, slots=True)
class Exists:
    query: Query
    type: SqlType = Scalar.BOOLEAN


@dataclass(frozen=True, slots=True)
class Quantified:
    """`value operator ALL|ANY (query)`."""

    value: Expression
    operator: str
    quantifier: Word["ALL", "ANY"]
    query: Query
    item: Expression
    type: SqlType = Scalar.BOOLEAN


@dataclass(frozen=True, slots=True)
class SortKey:
    """One item of an ORDER BY; NULLs come last unless the text said otherwise."""

    operand: Expression
    descending: bool
    nulls_first: bool

    @property
    def type(self) -> SqlType:
        return self.operand.type


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A call over the rows of a group. `line` and `column` are for the clauses that may not hold one."""

    name: str
    arguments: tuple[Expression, ...]
    type: SqlType
    distinct: bool
    order_by: tuple[SortKey, ...]
    filter: Expression | None
    function: Resolved = field(compare=False, repr=False)
    line: int = field(compare=False)
    column: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class GroupingMask:
    """`GROUPING(a, b)`: a bit for each argument, the last one lowest, set where a row's group is not made by it."""

    arguments: tuple[Expression, ...]
    type: SqlType
    line: int = field(compare=False)
    column: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Windowed:
    """A window function, or an aggregate with OVER. `frame` is empty where none was written.

    `frame` is in the engine's words, which are SQL's, with `{}` for each of `offsets`.
    """

    name: str
    arguments: tuple[Expression, ...]
    type: SqlType
    distinct: bool
    filter: Expression | None
    ignore_nulls: bool
    partition_by: tuple[Expression, ...]
    order_by: tuple[SortKey, ...]
    frame: str
    offsets: tuple[Expression, ...]
    function: Resolved = field(compare=False, repr=False)
    line: int = field(compare=False)
    column: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Lambda:
    """A function given to a `LambdaCall`, the only place for one. `parameters` are the engine's names; in `body` they,
    or fields of them, are slots like any others."""

    parameters: tuple[str, ...]
    body: Expression

    @property
    def type(self) -> SqlType:
        return self.body.type


@dataclass(frozen=True, slots=True)
class LambdaCall:
    """A call that takes lambdas; the arguments have the types it wants."""

    name: str
    arguments: tuple[Expression, ...]
    lambdas: tuple[Lambda, ...]
    type: SqlType
    function: Resolved = field(compare=False, repr=False)


Expression = (
    SlotRef
    | Literal
    | Placeholder
    | Call
    | Logical
    | Coerce
    | Cast
    | Case
    | SimpleCase
    | Coalesce
    | Nullif
    | Try
    | MakeArray
    | MakeRow
    | IsNull
    | ScalarSubquery
    | InSubquery
    | Exists
    | Quantified
    | SortKey
    | Aggregate
    | GroupingMask
    | Windowed
    | Lambda
    | LambdaCall
)

# Relations


@dataclass(frozen=True, slots=True)
class Scan:
    """One reference to a table, with all its columns; `name` is unique among the scans of the statement.

    `address` is the names of the database and the table.
    """

    name: str
    table: TableId
    address: tuple[str, str]
    columns: tuple[tuple[Column, Slot], ...]


@dataclass(frozen=True, slots=True)
class Values:
    slots: tuple[Slot, ...]
    rows: tuple[tuple[Expression, ...], ...]


@dataclass(frozen=True, slots=True)
class Derived:
    """A query in FROM. Its output slots are the relation's."""

    query: Query


@dataclass(eq=False, slots=True)
class CommonTable:
    """One WITH query, bound once however often it is used. `name` is the engine's."""

    name: str
    query: Query


@dataclass(frozen=True, slots=True)
class CommonTableUse:
    """One reference to a WITH query: pairs of its output slots and the slots they are here."""

    table: CommonTable
    slots: tuple[tuple[Slot, Slot], ...]


@dataclass(frozen=True, slots=True)
class Unnested:
    """One argument of UNNEST: an array or timeseries. `raw` is an element, `slots` are the columns made of it.

    One slot for a plain element, one a field for a row, time and value for a timeseries.
    """

    argument: Expression
    raw: Slot
    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class Unnest:
    """Each row of `source` with the elements of its own arrays, zipped; `source` None is one row without columns.

    `is_outer` keeps a row all of whose arrays are NULL or empty, with NULLs. `ordinality` counts from 1.
    """

    source: Relation | None
    items: tuple[Unnested, ...]
    ordinality: Slot | None
    is_outer: bool


@dataclass(frozen=True, slots=True)
class Join:
    kind: Word["CROSS", "INNER", "LEFT", "RIGHT", "FULL"]
    left: Relation
    right: Relation
    condition: Expression | None


@dataclass(frozen=True, slots=True)
class Projection:
    slot: Slot
    expression: Expression


@dataclass(frozen=True, slots=True)
class Extended:
    """A relation with computed columns beside its own: what USING merges."""

    source: Relation
    added: tuple[Projection, ...]


Relation = Scan | Values | Derived | CommonTableUse | Unnest | Join | Extended


# Queries


@dataclass(frozen=True, slots=True)
class Grouping:
    """GROUP BY and the aggregates; without keys there is exactly one group. A key that is a plain column keeps its
    slot, so that references from subqueries go on to mean it.

    `sets` are the places of the keys that make groups together, for GROUPING SETS and its like; None for all at once.
    Each of `masks` is a GroupingMask of key slots.
    """

    keys: tuple[Projection, ...]
    aggregates: tuple[Projection, ...]
    sets: tuple[tuple[int, ...], ...] | None
    masks: tuple[Projection, ...]


@dataclass(frozen=True, slots=True)
class Select:
    """One SELECT with its ORDER BY and LIMIT.

    After `grouping`, every expression below it here speaks only of the grouping's slots (and of queries further out).
    With `is_distinct`, each key of `order_by` is a reference to a slot of `projections`.
    """

    source: Relation | None
    where: Expression | None
    grouping: Grouping | None
    having: Expression | None
    projections: tuple[Projection, ...]
    is_distinct: bool
    order_by: tuple[SortKey, ...]
    limit: int | None


@dataclass(frozen=True, slots=True)
class Branch:
    """One operand of a set operation; `items` are its columns, in the types of the result."""

    query: Query
    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class SetOperation:
    """Branches taken from the left; `slots` are the result's columns."""

    kind: Word["UNION", "INTERSECT", "EXCEPT"]
    is_distinct: bool
    branches: tuple[Branch, ...]
    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class Output:
    """A column of a query's result; `name` is None where the text gave none."""

    name: str | None
    slot: Slot


Body = Select | SetOperation | Values


@dataclass(frozen=True, slots=True)
class Query:
    common_tables: tuple[CommonTable, ...]
    body: Body
    outputs: tuple[Output, ...]


@dataclass(frozen=True, slots=True)
class BoundQuery:
    """A whole statement, bound. `slots` is how many it has: names of further ones start after it."""

    query: Query
    slots: int
