"""The statement as it was written: what `parser` makes, `binder` reads and `print` writes back as text.

Nothing here knows whether a name exists or what type a value has. Every node is immutable and carries the `line` and
`column` (from 1, columns count characters) that errors about it name. Positions take no part in comparison or hash:
two nodes are equal if they say the same thing, which is how `GROUP BY bin(time, 1m)` finds its select item.

Which position, as in Trino: a name, literal, call, CASE, CAST or subquery says its first token; `a.b` and `a[i]` the
start of `a`; AND and OR the start of the first operand; arithmetic, `||` and comparisons their operator; BETWEEN, IN,
LIKE and IS the word itself, or the NOT before it.

Words of the grammar (operators, units, kinds) are kept in one spelling: types, functions, units and options in lower
case, operators and kinds in upper case. Names of databases, tables and columns keep their case; whether they were
quoted is not kept.

The parser bounds the height of a tree (`parser.HEIGHT_FACTOR`), so a walk over it may recurse. Chains without end in
practice (AND, OR, `||`, UNION) are one node with many operands, in the order written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Node:
    """Base of all nodes: the position errors name."""

    line: int = field(compare=False)
    column: int = field(compare=False)

    def children(self) -> list[Node]:
        """The nodes directly below, in the order of the fields."""
        below: list[Node] = []
        # With slots, a class names only the fields it adds: not the position, which is in the base.
        for name in self.__slots__:
            value = getattr(self, name)
            if isinstance(value, Node):
                below.append(value)
            elif isinstance(value, tuple):
                below.extend(_nodes_in(value))
        return below


def _nodes_in(values: tuple[object, ...]) -> Iterator[Node]:
    for value in values:
        if isinstance(value, Node):
            yield value
        elif isinstance(value, tuple):
            yield from _nodes_in(value)


# Literals


@dataclass(frozen=True, slots=True)
class NullLiteral(Node):
    pass


@dataclass(frozen=True, slots=True)
class BooleanLiteral(Node):
    value: bool


@dataclass(frozen=True, slots=True)
class IntegerLiteral(Node):
    """A whole number within 64 bits; a minus sign before the digits is part of it."""

    value: int


@dataclass(frozen=True, slots=True)
class DoubleLiteral(Node):
    """A number with a point or an exponent; never negative, infinite if too large for a double."""

    value: float


@dataclass(frozen=True, slots=True)
class StringLiteral(Node):
    """`'it''s'` or `U&'...'`, its escapes resolved."""

    value: str


@dataclass(frozen=True, slots=True)
class TypedLiteral(Node):
    """`DATE '2024-02-29'`, `bigint '10'`: any one word before a string; `type` is that word in lower case."""

    type: str
    text: str


IntervalUnit = Literal["second", "minute", "hour", "day", "week", "month", "year"]


@dataclass(frozen=True, slots=True)
class IntervalLiteral(Node):
    """`INTERVAL '2' DAY`, `INTERVAL -'3-2' YEAR TO MONTH`. `text` is unchecked; `end` is None without TO."""

    negative: bool
    text: str
    start: IntervalUnit
    end: IntervalUnit | None


ShortUnit = Literal["nanosecond", "microsecond", "millisecond", "second", "minute", "hour", "day", "month", "year"]


@dataclass(frozen=True, slots=True)
class ShortIntervalLiteral(Node):
    """`15m`, `72.5h`, `8month`. `number` is the digits as written, perhaps with a point; `unit` is the long name."""

    number: str
    unit: ShortUnit


# Other values


@dataclass(frozen=True, slots=True)
class Parameter(Node):
    """`@name`; `name` is without the sign."""

    name: str


@dataclass(frozen=True, slots=True)
class Identifier(Node):
    """A name that stands alone: a column, or the start of `a.b`. `measure_value::double` is one name."""

    name: str


@dataclass(frozen=True, slots=True)
class Dereference(Node):
    """`base.name`: a column of a relation, or a field of a row; the tree cannot tell which."""

    base: Expression
    name: str


@dataclass(frozen=True, slots=True)
class Subscript(Node):
    base: Expression
    index: Expression


@dataclass(frozen=True, slots=True)
class ArrayConstructor(Node):
    elements: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class RowConstructor(Node):
    """`ROW(a, ...)`, or `(a, b, ...)` with two or more."""

    elements: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Unary(Node):
    operator: Literal["-", "+"]
    operand: Expression


@dataclass(frozen=True, slots=True)
class Arithmetic(Node):
    operator: Literal["+", "-", "*", "/", "%"]
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Concatenation(Node):
    """`a || b || c`: two or more operands; the position is that of the first operator."""

    operands: tuple[Expression, ...]


ComparisonOperator = Literal["=", "<>", "<", "<=", ">", ">="]


@dataclass(frozen=True, slots=True)
class Comparison(Node):
    """`!=` is `<>` here; IS NOT DISTINCT FROM is a Not around this."""

    operator: ComparisonOperator | Literal["IS DISTINCT FROM"]
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Quantified(Node):
    """`value operator ALL (query)`; SOME is ANY here."""

    operator: ComparisonOperator
    quantifier: Literal["ALL", "ANY"]
    value: Expression
    query: Query


@dataclass(frozen=True, slots=True)
class Between(Node):
    value: Expression
    low: Expression
    high: Expression


@dataclass(frozen=True, slots=True)
class InList(Node):
    """`value IN (a, ...)`, at least one item; NOT IN is a Not around it, as for all predicates below."""

    value: Expression
    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class InQuery(Node):
    value: Expression
    query: Query


@dataclass(frozen=True, slots=True)
class Like(Node):
    value: Expression
    pattern: Expression
    escape: Expression | None


@dataclass(frozen=True, slots=True)
class IsNull(Node):
    value: Expression


@dataclass(frozen=True, slots=True)
class Exists(Node):
    query: Query


@dataclass(frozen=True, slots=True)
class ScalarSubquery(Node):
    query: Query


@dataclass(frozen=True, slots=True)
class Not(Node):
    operand: Expression


@dataclass(frozen=True, slots=True)
class Logical(Node):
    """Two or more operands; one chain `a AND b AND c` is one node."""

    operator: Literal["AND", "OR"]
    operands: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class When(Node):
    """One branch of a CASE; `condition` is a value to compare with if the CASE has an operand."""

    condition: Expression
    result: Expression


@dataclass(frozen=True, slots=True)
class Case(Node):
    """`CASE [operand] WHEN ... [ELSE default] END`; at least one branch."""

    operand: Expression | None
    whens: tuple[When, ...]
    default: Expression | None


@dataclass(frozen=True, slots=True)
class Cast(Node):
    """CAST, or TRY_CAST if `safe`."""

    value: Expression
    type: TypeName
    safe: bool


@dataclass(frozen=True, slots=True)
class Extract(Node):
    """`extract(field FROM value)`; `field` is any one word, in lower case."""

    field: str
    value: Expression


@dataclass(frozen=True, slots=True)
class Lambda(Node):
    """`x -> body`, `(a, b) -> body`; stands only among the arguments of a call."""

    parameters: tuple[str, ...]
    body: Expression


@dataclass(frozen=True, slots=True)
class FunctionCall(Node):
    """A call: of a function, an aggregate or, with `over`, a window function. `name` is in lower case.

    `if`, `coalesce`, `nullif`, `try` and `grouping` are calls like any other; `position(a IN b)` is the call
    `position` of (a, b); `current_date` and its like are calls without arguments. `count(*)` has `star` and no
    arguments. `over` is a window, or the name of one in the WINDOW clause.
    """

    name: str
    arguments: tuple[Expression | Lambda, ...] = ()
    star: bool = False
    distinct: bool = False
    order_by: tuple[SortItem, ...] = ()
    filter: Expression | None = None
    nulls: Literal["IGNORE", "RESPECT"] | None = None
    over: Window | str | None = None


# Windows and sorting


@dataclass(frozen=True, slots=True)
class SortItem(Node):
    """`nulls_first` is None where the text does not say."""

    expression: Expression
    descending: bool
    nulls_first: bool | None


@dataclass(frozen=True, slots=True)
class FrameBound(Node):
    """`offset` is there with PRECEDING and FOLLOWING only."""

    kind: Literal["UNBOUNDED PRECEDING", "PRECEDING", "CURRENT ROW", "FOLLOWING", "UNBOUNDED FOLLOWING"]
    offset: Expression | None


@dataclass(frozen=True, slots=True)
class Frame(Node):
    """`end` is None where only a start was written, which means up to the current row."""

    unit: Literal["ROWS", "RANGE"]
    start: FrameBound
    end: FrameBound | None


@dataclass(frozen=True, slots=True)
class Window(Node):
    """What stands in the parentheses after OVER; `base` is the named window it starts from."""

    base: str | None
    partition_by: tuple[Expression, ...]
    order_by: tuple[SortItem, ...]
    frame: Frame | None


@dataclass(frozen=True, slots=True)
class NamedWindow(Node):
    """One definition of the WINDOW clause."""

    name: str
    window: Window


# Types


@dataclass(frozen=True, slots=True)
class ScalarType(Node):
    """One word in lower case and its numbers, unchecked: `double`, `varchar(10)`, `decimal(10, 2)`.

    `double precision` is `double`; `interval day to second` and `interval year to month` are one name each.
    """

    name: str
    arguments: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ArrayType(Node):
    element: TypeName


@dataclass(frozen=True, slots=True)
class MapType(Node):
    key: TypeName
    value: TypeName


@dataclass(frozen=True, slots=True)
class RowField(Node):
    name: str | None
    type: TypeName


@dataclass(frozen=True, slots=True)
class RowType(Node):
    fields: tuple[RowField, ...]


# Relations


@dataclass(frozen=True, slots=True)
class Table(Node):
    """`database.name`, or a CTE if `database` is None."""

    database: str | None
    name: str


@dataclass(frozen=True, slots=True)
class SubqueryRelation(Node):
    query: Query


@dataclass(frozen=True, slots=True)
class Unnest(Node):
    arguments: tuple[Expression, ...]
    ordinality: bool


@dataclass(frozen=True, slots=True)
class Aliased(Node):
    """`relation AS alias (columns)`; `columns` is empty where none were written."""

    relation: Relation
    alias: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Join(Node):
    """CROSS has neither `on` nor `using`, the others exactly one. The position is the start of `left`."""

    kind: Literal["CROSS", "INNER", "LEFT", "RIGHT", "FULL"]
    left: Relation
    right: Relation
    on: Expression | None
    using: tuple[Identifier, ...]


# Queries


@dataclass(frozen=True, slots=True)
class SelectItem(Node):
    expression: Expression
    alias: str | None


@dataclass(frozen=True, slots=True)
class AllColumns(Node):
    """`*` if `qualifier` is empty, else `a.*`, `d.t.*`."""

    qualifier: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GroupingElement(Node):
    """SIMPLE has one set: `()`, one expression, or several in parentheses. The others are lists of such sets."""

    kind: Literal["SIMPLE", "SETS", "ROLLUP", "CUBE"]
    sets: tuple[tuple[Expression, ...], ...]


@dataclass(frozen=True, slots=True)
class GroupBy(Node):
    """`distinct` is GROUP BY DISTINCT, which drops equal grouping sets."""

    distinct: bool
    elements: tuple[GroupingElement, ...]


@dataclass(frozen=True, slots=True)
class Select(Node):
    """One SELECT; `from_items` are crossed, and empty without FROM."""

    distinct: bool
    items: tuple[SelectItem | AllColumns, ...]
    from_items: tuple[Relation, ...]
    where: Expression | None
    group_by: GroupBy | None
    having: Expression | None
    windows: tuple[NamedWindow, ...]


@dataclass(frozen=True, slots=True)
class Values(Node):
    """`VALUES 1, (2), (3, 'a')`: each row as written, a RowConstructor where it has several columns."""

    rows: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class SetOperation(Node):
    """Two or more branches, taken from the left. The position is the start of the first branch.

    A branch is a SetOperation itself if it differs in kind or quantifier; in parentheses it is a Query.
    """

    kind: Literal["UNION", "INTERSECT", "EXCEPT"]
    distinct: bool
    branches: tuple[QueryBody, ...]


@dataclass(frozen=True, slots=True)
class CommonTable(Node):
    """One `name (columns) AS (query)` of a WITH."""

    name: str
    columns: tuple[str, ...]
    query: Query


@dataclass(frozen=True, slots=True)
class Query(Node):
    """A whole query. As a body or a branch it stood in parentheses, which are not kept if they add nothing.

    `limit` is None for LIMIT ALL too.
    """

    with_tables: tuple[CommonTable, ...]
    body: QueryBody
    order_by: tuple[SortItem, ...]
    limit: int | None


# Statements


@dataclass(frozen=True, slots=True)
class ShowDatabases(Node):
    like: str | None


@dataclass(frozen=True, slots=True)
class ShowTables(Node):
    database: Identifier | None
    like: str | None


@dataclass(frozen=True, slots=True)
class ShowMeasures(Node):
    """`table.database` is never None."""

    table: Table
    like: str | None


@dataclass(frozen=True, slots=True)
class Describe(Node):
    """`table.database` is never None."""

    table: Table


@dataclass(frozen=True, slots=True)
class UnloadOption(Node):
    """`name` is in lower case; `value` is unchecked."""

    name: str
    value: Expression


@dataclass(frozen=True, slots=True)
class Unload(Node):
    query: Query
    target: StringLiteral
    options: tuple[UnloadOption, ...]


Predicate = Comparison | Quantified | Between | InList | InQuery | Like | IsNull | Exists
Expression = (
    NullLiteral
    | BooleanLiteral
    | IntegerLiteral
    | DoubleLiteral
    | StringLiteral
    | TypedLiteral
    | IntervalLiteral
    | ShortIntervalLiteral
    | Parameter
    | Identifier
    | Dereference
    | Subscript
    | ArrayConstructor
    | RowConstructor
    | Unary
    | Arithmetic
    | Concatenation
    | Predicate
    | ScalarSubquery
    | Not
    | Logical
    | Case
    | Cast
    | Extract
    | FunctionCall
)
TypeName = ScalarType | ArrayType | MapType | RowType
Relation = Table | SubqueryRelation | Unnest | Aliased | Join
QueryBody = Select | Values | SetOperation | Query
Statement = Query | ShowDatabases | ShowTables | ShowMeasures | Describe | Unload
