"""The face of the room: the text of a statement in, a plan out.

Called by `query`. A plan (plan.py) is everything needed to run the statement: which tables to read and the engine's SQL
over them, where to put the answer, or which list of the catalog to show. Nothing here reads data or runs anything.

    text -> shape (has it been compiled before?) -> tokens -> tree -> bound query -> template -> plan
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headwater.errors import Invalid
from headwater.model.limits import Limits
from headwater.model.types import Array, Map, OutputColumn, Row, SqlType, Timeseries, as_sent
from headwater.sql import tree
from headwater.sql.binder import bind
from headwater.sql.binder_context import Names, Parameters, fault, no_database, no_table
from headwater.sql.bound import BoundQuery
from headwater.sql.budget import Budget
from headwater.sql.constant import NOW, Constant, Given, Trace
from headwater.sql.lower import lower
from headwater.sql.parameters import Inferred, ParameterValue, Supplied
from headwater.sql.parser import parse
from headwater.sql.plan import (
    UNLOAD_COLUMNS,
    Describe,
    Plan,
    Prepared,
    PreparedColumn,
    QueryPlan,
    ShowDatabases,
    ShowMeasures,
    ShowTables,
    UnloadOptions,
    UnloadPlan,
    UnloadTarget,
)
from headwater.sql.plan_cache import PlanCache, RecordedNames
from headwater.sql.prepare import prepared_columns
from headwater.sql.pushdown import needs_of
from headwater.sql.shape import Literals, Shape, shape_of
from headwater.sql.signature import Context
from headwater.sql.template import Template, template
from headwater.sql.unload import bind_options, bind_target, check_columns
from headwater.threads import begin_turn, in_turns

__all__ = [
    "UNLOAD_COLUMNS",
    "Compiler",
    "Describe",
    "Names",
    "ParameterValue",
    "Plan",
    "Prepared",
    "PreparedColumn",
    "QueryPlan",
    "ShowDatabases",
    "ShowMeasures",
    "ShowTables",
    "UnloadOptions",
    "UnloadPlan",
    "UnloadTarget",
    "compile_query",
]


class Compiler:
    """Compiles the statements of a server, and remembers the queries among them. Any thread may call."""

    def __init__(self, names: Names, limits: Limits) -> None:
        self._names = names
        self._limits = limits
        self._cache = PlanCache()

    def compile(self, text: str, now_ns: int, parameters: Mapping[str, ParameterValue] | None = None) -> Plan:
        """The plan of one statement, with `now()` fixed at `now_ns`, of which only whole milliseconds count.

        `parameters` are values for `@names`, without the sign. Names that a plan of the catalog holds exist. Raises
        Invalid with the text of sql.md 8. Source: sql.md 4.8, 6.9.
        """
        begin_turn()
        instant = _instant(now_ns)
        shape = None if parameters else shape_of(text)
        if shape is not None:
            known = self._cache.plan(shape, (*shape.values, instant))
            if known is not None:
                return known
        budget = Budget(self._limits.sql_compile_s)
        statement = parse(text, self._limits, budget)
        if isinstance(statement, tree.Query) and shape is not None:
            return self._remembered(text, statement, shape, instant, budget)
        compilation = _Compilation(self._names, self._limits, budget, Supplied(parameters or {}))
        return compilation.plan(statement, instant)

    def prepare(self, text: str, now_ns: int) -> Prepared:
        """The columns of a query and the types of its `@parameters`. Raises Invalid. Source: query-api.md 3."""
        begin_turn()
        budget = Budget(self._limits.sql_compile_s)
        statement = parse(text, self._limits, budget)
        query = statement.query if isinstance(statement, tree.Unload) else statement
        if not isinstance(query, tree.Query):
            raise fault(query, "Only queries can be prepared")
        inferred = Inferred()
        compilation = _Compilation(self._names, self._limits, budget, inferred)
        bound = compilation.bound(query, Constant(_instant(now_ns)), None)
        columns = prepared_columns(bound.query, _columns(bound))
        if isinstance(statement, tree.Unload):
            columns = tuple(PreparedColumn(column.name, column.type, None, False) for column in UNLOAD_COLUMNS)
        return Prepared(columns, inferred.types())

    def _remembered(self, text: str, statement: tree.Query, shape: Shape, instant: int, budget: Budget) -> QueryPlan:
        trace = Trace()
        literals = Literals(text, shape, trace)
        names = RecordedNames(self._names)
        values = (*shape.values, instant)
        compilation = _Compilation(names, self._limits, budget, Supplied({}))
        made = compilation.template(statement, Constant(instant, Given(NOW, trace)), literals, trace)
        literals.pin_rest()
        plan = made.plan(values)
        self._cache.add(shape, made, names, values)
        return plan


def compile_query(
    text: str, names: Names, now_ns: int, limits: Limits, parameters: Mapping[str, ParameterValue] | None = None
) -> Plan:
    """As `Compiler.compile`, for one statement alone."""
    return Compiler(names, limits).compile(text, now_ns, parameters)


def _instant(now_ns: int) -> int:
    return now_ns // 1_000_000 * 1_000_000


@dataclass(frozen=True, slots=True)
class _Compilation:
    """One statement, once it is parsed."""

    names: Names
    limits: Limits
    budget: Budget
    parameters: Parameters

    def plan(self, statement: tree.Statement, instant: int) -> Plan:
        if isinstance(statement, tree.Query):
            return self._query(statement, instant)
        if isinstance(statement, tree.Unload):
            return self._unload(statement, instant)
        if isinstance(statement, tree.ShowDatabases):
            return ShowDatabases(statement.like)
        if isinstance(statement, tree.ShowTables):
            return self._show_tables(statement)
        database, table = self._existing(statement.table, statement)
        if isinstance(statement, tree.ShowMeasures):
            return ShowMeasures(database, table, statement.like)
        return Describe(database, table)

    def bound(self, statement: tree.Query, now: Constant, literals: Literals | None) -> BoundQuery:
        context = Context(now, self.limits.sequence_elements)
        try:
            return bind(statement, self.names, context, self.parameters, literals, self.budget)
        except RecursionError:
            # The parser bounds the height of a tree, but one level of it may take several calls.
            raise Invalid("The query nests too deep") from None

    def template(self, statement: tree.Query, now: Constant, literals: Literals | None, trace: Trace) -> Template:
        bound = self.bound(statement, now, literals)
        columns = _columns(bound)
        try:
            needs = needs_of(bound)
            return template(columns, bound, needs, lower(bound, needs, self.budget), trace)
        except RecursionError:
            # Types grow with the height of a tree.
            raise Invalid("The query nests too deep") from None

    def _query(self, statement: tree.Query, instant: int) -> QueryPlan:
        return self.template(statement, Constant(instant), None, Trace()).plan((instant,))

    def _unload(self, statement: tree.Unload, instant: int) -> UnloadPlan:
        query = self._query(statement.query, instant)
        check_columns(statement, query.columns)
        target = bind_target(statement.target)
        return UnloadPlan(query, target, bind_options(statement.options, query.columns))

    def _show_tables(self, statement: tree.ShowTables) -> ShowTables:
        if statement.database is None:
            return ShowTables(None, statement.like)
        database = statement.database
        if not self.names.has_database(database.name):
            raise no_database(database.name, database.name, statement)
        return ShowTables(database.name, statement.like)

    def _existing(self, table: tree.Table, statement: tree.Node) -> tuple[str, str]:
        """The names of a table that is there; faults are those of the whole statement."""
        assert table.database is not None, "the parser lets only full addresses through here"
        if not self.names.has_database(table.database):
            raise no_database(table.database, f"{table.database}.{table.name}", statement)
        if self.names.table(table.database, table.name) is None:
            raise no_table(table, statement)
        return table.database, table.name


def _columns(bound: BoundQuery) -> tuple[OutputColumn, ...]:
    """Names as clients see them: a column without one is called after its place. Source: sql.md 2.2."""
    outputs = bound.query.outputs
    for output in in_turns(outputs):
        if _depth(output.slot.type) > TYPE_DEPTH_MAX:
            raise Invalid(f"A result column nests types more than {TYPE_DEPTH_MAX} levels deep")
    return tuple(
        OutputColumn(f"_col{place}" if output.name is None else output.name, as_sent(output.slot.type))
        for place, output in in_turns(enumerate(outputs))
    )


TYPE_DEPTH_MAX = 30
"""Of a result column. Arrow gives up at 64 levels, of which a timeseries takes two. Source: ours."""


def _depth(kind: SqlType) -> int:
    inner: tuple[SqlType, ...] = ()
    if isinstance(kind, Array):
        inner = (kind.element,)
    elif isinstance(kind, Timeseries):
        inner = (kind.value,)
    elif isinstance(kind, Map):
        inner = (kind.key, kind.value)
    elif isinstance(kind, Row):
        inner = tuple(f.type for f in kind.fields)
    return 1 + max(map(_depth, inner), default=0)
