"""The face of the room: the text of a statement in, a plan out.

Called by `query`. A plan is everything needed to run the statement and knows no text any more: which tables to read and
the engine's SQL over them, or which list of the catalog to show. Nothing here reads data or runs anything.
"""

from __future__ import annotations

from dataclasses import dataclass

from headwater.errors import Invalid
from headwater.model.limits import Limits
from headwater.model.scan import ScanRequest
from headwater.model.types import Array, OutputColumn, Row, SqlType, Timeseries
from headwater.sql import tree
from headwater.sql.binder import bind
from headwater.sql.binder_context import Names, missing, unsupported
from headwater.sql.bound import Query
from headwater.sql.lower import lower
from headwater.sql.parser import parse
from headwater.sql.pushdown import needs_of
from headwater.sql.signature import Context

__all__ = [
    "Describe",
    "Names",
    "Plan",
    "QueryPlan",
    "ShowDatabases",
    "ShowMeasures",
    "ShowTables",
    "compile_query",
]


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """A query. `sql` is one engine statement; its columns are `columns` by place, carried as model/types.py says.

    It reads each scan by the relation name paired with it, and its columns by their names in the scan's answer.
    """

    columns: tuple[OutputColumn, ...]
    scans: tuple[tuple[str, ScanRequest], ...]
    sql: str


@dataclass(frozen=True, slots=True)
class ShowDatabases:
    """`like` is a LIKE pattern, None for all; here and below. Source: sql.md 4.3."""

    like: str | None


@dataclass(frozen=True, slots=True)
class ShowTables:
    """`database` is None for all databases. Source: sql.md 4.4."""

    database: str | None
    like: str | None


@dataclass(frozen=True, slots=True)
class ShowMeasures:
    """Source: sql.md 4.5."""

    database: str
    table: str
    like: str | None


@dataclass(frozen=True, slots=True)
class Describe:
    """Source: sql.md 4.6."""

    database: str
    table: str


Plan = QueryPlan | ShowDatabases | ShowTables | ShowMeasures | Describe


def compile_query(text: str, names: Names, now_ns: int, limits: Limits) -> Plan:
    """The plan of one statement, with `now()` fixed at `now_ns`, of which only whole milliseconds count (sql.md 6.9).

    Names that a plan of the catalog holds exist. Raises Invalid with the text of sql.md 8.
    """
    statement = parse(text, limits)
    if isinstance(statement, tree.Query):
        return _query_plan(statement, names, Context(now_ns // 1_000_000 * 1_000_000, limits.sequence_elements))
    if isinstance(statement, tree.ShowDatabases):
        return ShowDatabases(statement.like)
    if isinstance(statement, tree.ShowTables):
        return _show_tables(statement, names)
    if isinstance(statement, tree.Unload):
        raise unsupported(statement, "UNLOAD")
    database, table = _existing(statement.table, names)
    if isinstance(statement, tree.ShowMeasures):
        return ShowMeasures(database, table, statement.like)
    return Describe(database, table)


def _query_plan(statement: tree.Query, names: Names, context: Context) -> QueryPlan:
    try:
        bound = bind(statement, names, context)
        sql, scans = lower(bound, needs_of(bound))
    except RecursionError:
        # The parser bounds the height of a tree, but one level of it may take several calls, and types grow with it.
        raise Invalid("The query nests too deep") from None
    return QueryPlan(_columns(bound.query), scans, sql)


def _columns(query: Query) -> tuple[OutputColumn, ...]:
    """Names as clients see them: a column without one is called after its place. Source: sql.md 2.2."""
    for output in query.outputs:
        if _depth(output.slot.type) > TYPE_DEPTH_MAX:
            raise Invalid(f"A result column nests types more than {TYPE_DEPTH_MAX} levels deep")
    return tuple(
        OutputColumn(f"_col{place}" if output.name is None else output.name, output.slot.type)
        for place, output in enumerate(query.outputs)
    )


TYPE_DEPTH_MAX = 30
"""Of a result column. Arrow gives up at 64 levels, of which a timeseries takes two. Source: ours."""


def _depth(kind: SqlType) -> int:
    inner: tuple[SqlType, ...] = ()
    if isinstance(kind, Array):
        inner = (kind.element,)
    elif isinstance(kind, Timeseries):
        inner = (kind.value,)
    elif isinstance(kind, Row):
        inner = tuple(f.type for f in kind.fields)
    return 1 + max(map(_depth, inner), default=0)


def _show_tables(statement: tree.ShowTables, names: Names) -> ShowTables:
    if statement.database is None:
        return ShowTables(None, statement.like)
    database = statement.database
    if not names.has_database(database.name):
        raise Invalid(
            f"Requested database '{database.name}' not found for identifier '{database.name}'"
            f" at line {database.line}:{database.column}"
        )
    return ShowTables(database.name, statement.like)


def _existing(table: tree.Table, names: Names) -> tuple[str, str]:
    """The names of a table that is there."""
    assert table.database is not None, "the parser lets only full addresses through here"
    if not names.has_database(table.database):
        raise missing("database", table.database, table)
    if names.table(table.database, table.name) is None:
        raise missing("table", table.name, table)
    return table.database, table.name
