"""Queries bound: WITH, set operations, VALUES, and what may be in parentheses. The face of all `binder*` files.

Called by `compile`. A statement goes in as it was written; out comes a query in which every name is a slot and every
value has a type, or Invalid with the position of the first thing wrong. Nothing here knows the engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from headwater.model.types import SqlType
from headwater.sql import tree
from headwater.sql.binder_context import (
    Binding,
    Clause,
    Environment,
    ExpressionBinder,
    Names,
    Parameters,
    check_column_alias,
    coerce,
    constants_of,
    fault,
    placed,
    types_of,
)
from headwater.sql.binder_expressions import FORMS
from headwater.sql.binder_select import bind_select
from headwater.sql.binder_windows import sort_key
from headwater.sql.bound import (
    BoundQuery,
    Branch,
    CommonTable,
    Derived,
    Expression,
    Literal,
    Output,
    Projection,
    Query,
    Select,
    SetOperation,
    SlotRef,
    SortKey,
    Values,
)
from headwater.sql.budget import Budget
from headwater.sql.coercion import common_type, common_type_of, is_comparable
from headwater.sql.scope import Scope, ScopeColumn
from headwater.sql.shape import Literals
from headwater.sql.signature import Context


def bind(
    query: tree.Query,
    names: Names,
    functions: Context,
    parameters: Parameters,
    literals: Literals | None,
    budget: Budget,
) -> BoundQuery:
    """Bind a whole query. Raises Invalid."""
    binding = Binding(names, functions, parameters, literals, budget, _query, FORMS)
    bound = _query(binding, query, Environment(None, {}))
    return BoundQuery(bound, binding.slots)


def _query(binding: Binding, node: tree.Query, environment: Environment) -> Query:
    tables: list[CommonTable] = []
    named = dict(environment.tables)
    for definition in node.with_tables:
        if definition.name in [d.name for d in node.with_tables[: len(tables)]]:
            raise fault(definition, f"WITH query name '{definition.name}' specified more than once")
        table = _common_table(binding, definition, replace(environment, tables=dict(named)))
        tables.append(table)
        named[definition.name] = table
    inner = replace(environment, tables=named)
    body = node.body
    if isinstance(body, tree.Select):
        query = bind_select(binding, inner, body, node.order_by, node.limit)
    else:
        query = _body(binding, body, inner)
        if node.order_by or node.limit is not None:
            query = _sorted(binding, inner, query, node)
    return replace(query, common_tables=(*tables, *query.common_tables))


def _common_table(binding: Binding, node: tree.CommonTable, environment: Environment) -> CommonTable:
    query = _query(binding, node.query, environment)
    if node.columns:
        if len(node.columns) != len(query.outputs):
            given, there = len(node.columns), len(query.outputs)
            raise fault(node, f"Column alias list has {given} entries but '{node.name}' has {there} columns available")
        for name in node.columns:
            check_column_alias(node, name)
        outputs = zip(node.columns, query.outputs, strict=True)
        query = replace(query, outputs=tuple(Output(name, output.slot) for name, output in outputs))
    return CommonTable(binding.common_table_name(), query)


def _body(binding: Binding, node: tree.QueryBody, environment: Environment) -> Query:
    if isinstance(node, tree.Select):
        return bind_select(binding, environment, node, (), None)
    if isinstance(node, tree.Values):
        return _values(binding, node, environment)
    if isinstance(node, tree.SetOperation):
        return _set_operation(binding, node, environment)
    return _query(binding, node, environment)


def _sorted(binding: Binding, environment: Environment, query: Query, node: tree.Query) -> Query:
    """ORDER BY and LIMIT over anything but a SELECT see its columns only."""
    columns = tuple(ScopeColumn((), output.name, output.slot) for output in query.outputs)
    binder = ExpressionBinder(binding, environment, Scope(columns, environment.scope), Clause("ORDER BY clause"))
    projections = tuple(
        Projection(output.slot, SlotRef(output.slot, output.name or "", node.line, node.column))
        for output in query.outputs
    )
    keys = (_sort_key(binder, item, query.outputs) for item in node.order_by)
    select = Select(
        source=Derived(query),
        where=None,
        grouping=None,
        having=None,
        projections=projections,
        is_distinct=False,
        order_by=tuple(key for key in keys if key is not None),
        limit=node.limit,
    )
    return Query((), select, query.outputs)


def _sort_key(binder: ExpressionBinder, item: tree.SortItem, outputs: Sequence[Output]) -> SortKey | None:
    """One sort key; None for a constant, which sorts nothing."""
    node = item.expression
    if not isinstance(node, tree.IntegerLiteral):
        bound = binder.bind(node)
        return None if isinstance(bound, Literal) else sort_key(item, bound)
    if not 1 <= node.value <= len(outputs):
        raise fault(node, f"ORDER BY position {node.value} is not in select list")
    return sort_key(item, SlotRef(outputs[node.value - 1].slot, "", node.line, node.column))


# VALUES


def _values(binding: Binding, node: tree.Values, environment: Environment) -> Query:
    binder = ExpressionBinder(binding, environment, Scope((), environment.scope), Clause("VALUES"))
    rows = [_row(binder, row) for row in node.rows]
    for row in rows:
        if len(row) != len(rows[0]):
            raise fault(node, f"Values rows have mismatched sizes: {len(rows[0])} vs {len(row)}")
    kinds = [_values_type(node, column) for column in zip(*rows, strict=True)]
    slots = tuple(map(binding.slot, kinds))
    converted = placed(node, lambda: tuple(tuple(map(coerce, row, kinds)) for row in rows))
    return Query((), Values(slots, converted), tuple(Output(None, slot) for slot in slots))


def _row(binder: ExpressionBinder, node: tree.Expression) -> tuple[Expression, ...]:
    if isinstance(node, tree.RowConstructor):
        return binder.bind_all(node.elements)
    return (binder.bind(node),)


def _values_type(node: tree.Values, column: Sequence[Expression]) -> SqlType:
    kind = common_type_of(types_of(column), constants_of(column))
    if kind is None:
        raise fault(node, f"Values rows have mismatched types: {', '.join(dict.fromkeys(map(str, types_of(column))))}")
    return kind


# Set operations


def _set_operation(binding: Binding, node: tree.SetOperation, environment: Environment) -> Query:
    queries = [_body(binding, branch, environment) for branch in node.branches]
    first = queries[0].outputs
    kinds = [output.slot.type for output in first]
    for query in queries[1:]:
        kinds = _common_types(node, kinds, query.outputs)
    if node.distinct or node.kind != "UNION":
        _check_comparable(node, kinds)
    slots = tuple(map(binding.slot, kinds))
    branches = tuple(Branch(query, _items(node, query.outputs, kinds)) for query in queries)
    operation = SetOperation(node.kind, node.distinct, branches, slots)
    named = zip(first, slots, strict=True)
    return Query((), operation, tuple(Output(output.name, slot) for output, slot in named))


def _common_types(node: tree.SetOperation, kinds: list[SqlType], outputs: Sequence[Output]) -> list[SqlType]:
    """Source of the first text: sql.md 8."""
    if len(kinds) != len(outputs):
        raise fault(node, f"{node.kind} query has different number of fields: {len(kinds)}, {len(outputs)}")
    common: list[SqlType] = []
    for place, (kind, output) in enumerate(zip(kinds, outputs, strict=True), start=1):
        wider = common_type(kind, output.slot.type)
        if wider is None:
            there = f"{kind}, {output.slot.type}"
            raise fault(node, f"column {place} in {node.kind} query has incompatible types: {there}")
        common.append(wider)
    return common


def _check_comparable(node: tree.SetOperation, kinds: Sequence[SqlType]) -> None:
    for kind in kinds:
        if not is_comparable(kind):
            raise fault(node, f"Type {kind} is not comparable and therefore cannot be used in {node.kind}")


def _items(node: tree.Node, outputs: Sequence[Output], kinds: Sequence[SqlType]) -> tuple[Expression, ...]:
    references = (SlotRef(output.slot, output.name or "", node.line, node.column) for output in outputs)
    return tuple(map(coerce, references, kinds))
