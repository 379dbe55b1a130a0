"""Walks over bound expressions and queries, for the parts of the binder and the pushdown that look at all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from headwater.sql.bound import (
    Aggregate,
    Body,
    Call,
    Case,
    Cast,
    Coalesce,
    Coerce,
    Derived,
    Exists,
    Expression,
    Extended,
    GroupingMask,
    InSubquery,
    IsNull,
    Join,
    Lambda,
    LambdaCall,
    Literal,
    Logical,
    MakeArray,
    MakeRow,
    Nullif,
    Placeholder,
    Quantified,
    Query,
    Relation,
    ScalarSubquery,
    Select,
    SetOperation,
    SimpleCase,
    SlotRef,
    SortKey,
    Try,
    Unnest,
    Values,
    Windowed,
)
from headwater.threads import pass_on

Subquery = ScalarSubquery | InSubquery | Exists | Quantified
"""Expressions that hold a query."""

_PARTS: dict[type, tuple[str, ...]] = {
    SlotRef: (),
    Literal: (),
    Placeholder: (),
    Call: ("arguments",),
    Logical: ("operands",),
    Coerce: ("operand",),
    Cast: ("operand",),
    Case: ("conditions", "results", "default"),
    SimpleCase: ("operand", "values", "results", "default"),
    Coalesce: ("operands",),
    Nullif: ("operand", "other"),
    Try: ("operand",),
    MakeArray: ("elements",),
    MakeRow: ("elements",),
    IsNull: ("operand",),
    ScalarSubquery: (),
    InSubquery: ("value",),
    Exists: (),
    Quantified: ("value",),
    SortKey: ("operand",),
    Aggregate: ("arguments", "order_by", "filter"),
    GroupingMask: ("arguments",),
    Windowed: ("arguments", "filter", "partition_by", "order_by", "offsets"),
    Lambda: ("body",),
    LambdaCall: ("arguments", "lambdas"),
}
"""The fields of each node that hold expressions of the same query; a subquery's own are not among them."""


def children(node: Expression) -> Iterator[Expression]:
    """The expressions directly below `node`, without those inside a subquery."""
    for part in _PARTS[type(node)]:
        value = getattr(node, part)
        if isinstance(value, tuple):
            yield from value
        elif value is not None:
            yield value


def conjuncts(condition: Expression | None) -> Iterator[Expression]:
    """The conditions that all hold where `condition` does; none without one."""
    if isinstance(condition, Logical) and condition.operator == "AND":
        for operand in condition.operands:
            yield from conjuncts(operand)
    elif condition is not None:
        yield condition


def walk(node: Expression) -> Iterator[Expression]:
    """`node` and all expressions below it, without those inside a subquery, in no promised order."""
    rest = [node]
    while rest:
        current = rest.pop()
        yield current
        pass_on()
        rest.extend(children(current))


def rebuild(node: Expression, change: Callable[[Expression], Expression]) -> Expression:
    """`node` with each child replaced by `change(child)`."""
    changed: dict[str, Any] = {}
    for part in _PARTS[type(node)]:
        old = getattr(node, part)
        if isinstance(old, tuple):
            changed[part] = tuple(map(change, old))
        elif old is not None:
            changed[part] = change(old)
    return replace(node, **changed) if changed else node


def references(query: Query) -> Iterator[SlotRef]:
    """Every column reference inside a query, its WITH queries and subqueries included."""
    for table in query.common_tables:
        yield from references(table.query)
    yield from _references(query.body)


def _references(node: Body | Relation) -> Iterator[SlotRef]:
    for expression in own_expressions(node):
        for part in walk(expression):
            if isinstance(part, SlotRef):
                yield part
            elif isinstance(part, Subquery):
                yield from references(part.query)
    for below in _inputs(node):
        yield from references(below) if isinstance(below, Query) else _references(below)


def own_expressions(node: Body | Relation) -> Iterator[Expression]:
    """The expressions directly in a body or relation, without those of its inputs."""
    if isinstance(node, Values):
        for row in node.rows:
            yield from row
    elif isinstance(node, SetOperation):
        for branch in node.branches:
            yield from branch.items
    elif isinstance(node, Select):
        yield from _select_expressions(node)
    elif isinstance(node, Unnest):
        yield from (item.argument for item in node.items)
    elif isinstance(node, Join) and node.condition is not None:
        yield node.condition
    elif isinstance(node, Extended):
        yield from (projection.expression for projection in node.added)


def _select_expressions(node: Select) -> Iterator[Expression]:
    yield from (projection.expression for projection in node.projections)
    yield from node.order_by
    yield from (condition for condition in (node.where, node.having) if condition is not None)
    if node.grouping is not None:
        yield from (each.expression for each in (*node.grouping.keys, *node.grouping.aggregates))


def _inputs(node: Body | Relation) -> Iterator[Query | Relation]:
    if isinstance(node, SetOperation):
        yield from (branch.query for branch in node.branches)
    elif isinstance(node, Derived):
        yield node.query
    elif isinstance(node, Join):
        yield node.left
        yield node.right
    elif isinstance(node, Select | Unnest | Extended) and node.source is not None:
        yield node.source
