"""One SELECT bound, with the ORDER BY and LIMIT that belong to it.

Called by `binder`. The order of work is the order of meaning: FROM, WHERE, the select list and ORDER BY over the rows,
then, if there are groups, all of that once more over the groups. Source: sql.md 4.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from headwater.sql import tree
from headwater.sql.binder_context import Binding, Clause, Environment, ExpressionBinder, check_column_alias, fault
from headwater.sql.binder_grouping import (
    CUBE_KEYS_MAX,
    GROUPING_SETS_MAX,
    Grouper,
    GroupingSet,
    check_no_mask,
    expanded_sets,
    has_aggregate,
)
from headwater.sql.binder_relations import Source, bind_from
from headwater.sql.binder_windows import sort_key
from headwater.sql.bound import Expression, Grouping, Literal, Output, Projection, Query, Select, Slot, SlotRef, SortKey
from headwater.sql.bound_walk import rebuild
from headwater.sql.coercion import is_comparable
from headwater.sql.scope import Scope, ScopeColumn
from headwater.threads import in_turns

WHERE = Clause("WHERE clause")
GROUP_BY = Clause("GROUP BY clause")
HAVING = Clause("HAVING clause", aggregates=True)
SELECT = Clause("SELECT clause", aggregates=True, windows=True)
ORDER_BY = Clause("ORDER BY clause", aggregates=True, windows=True)


@dataclass(frozen=True, slots=True)
class _Item:
    """One column of the select list; `node` is where faults about it point."""

    node: tree.Node
    name: str | None
    projection: Projection


@dataclass(frozen=True, slots=True)
class _Key:
    """One item of ORDER BY, and where it stands."""

    key: SortKey
    node: tree.SortItem


def bind_select(
    binding: Binding,
    environment: Environment,
    node: tree.Select,
    order_by: Sequence[tree.SortItem],
    limit: int | None,
) -> Query:
    source = bind_from(binding, environment, node.from_items)
    scope = Scope(source.columns if source else (), environment.scope)
    rows = ExpressionBinder(binding, environment, scope, WHERE, windows=node.windows)
    where = None if node.where is None else rows.condition(node.where)
    items = [item for each in node.items for item in _items(rows.within(SELECT), each)]
    keys = _sort_keys(rows, order_by, items)
    having = None if node.having is None else rows.within(HAVING).condition(node.having)
    bound = _Bound(items, keys, having)
    grouping = None
    if node.group_by is not None or having is not None or has_aggregate(bound.expressions()):
        grouping, bound = _grouped(rows, source, node.group_by, bound)
    else:
        check_no_mask(bound.expressions())
    if node.distinct:
        bound = bound.made_distinct()
    select = Select(
        source=source.relation if source else None,
        where=where,
        grouping=grouping,
        having=bound.having,
        projections=tuple(item.projection for item in bound.items),
        is_distinct=node.distinct,
        order_by=tuple(key.key for key in bound.keys),
        limit=limit,
    )
    return Query((), select, tuple(Output(item.name, item.projection.slot) for item in bound.items))


@dataclass(frozen=True, slots=True)
class _Bound:
    """What a SELECT computes after WHERE."""

    items: list[_Item]
    keys: list[_Key]
    having: Expression | None

    def expressions(self) -> list[Expression]:
        return [*(item.projection.expression for item in self.items), *(key.key for key in self.keys)]

    def regrouped(self, grouper: Grouper) -> _Bound:
        """The same over groups."""

        def item(each: _Item) -> _Item:
            projection = replace(each.projection, expression=grouper.regroup(each.projection.expression))
            return replace(each, projection=projection)

        def key(each: _Key) -> _Key:
            return replace(each, key=replace(each.key, operand=grouper.regroup(each.key.operand)))

        having = None if self.having is None else grouper.regroup(self.having)
        return _Bound([*map(item, self.items)], [*map(key, self.keys)], having)

    def made_distinct(self) -> _Bound:
        """The same for SELECT DISTINCT, which can be sorted by its own columns only."""
        for item in in_turns(self.items):
            kind = item.projection.slot.type
            if not is_comparable(kind):
                raise fault(item.node, f"DISTINCT can only be applied to comparable types (actual: {kind})")
        shown: dict[Expression, SlotRef] = {}
        for item in in_turns(self.items if self.keys else ()):
            output = _output(item)
            shown.setdefault(item.projection.expression, output)
            shown.setdefault(output, output)
        keys = []
        for key in in_turns(self.keys):
            if key.key.operand not in shown:
                raise fault(key.node, "For SELECT DISTINCT, ORDER BY expressions must appear in select list")
            keys.append(replace(key, key=replace(key.key, operand=shown[key.key.operand])))
        return replace(self, keys=keys)


def _output(item: _Item) -> SlotRef:
    return SlotRef(item.projection.slot, item.name or "", item.node.line, item.node.column)


# The select list


def _items(binder: ExpressionBinder, node: tree.SelectItem | tree.AllColumns) -> list[_Item]:
    if isinstance(node, tree.AllColumns):
        return _starred(binder, node)
    if node.alias is not None:
        check_column_alias(node, node.alias)
    expression = binder.bind(node.expression)
    name = _own_name(node.expression) if node.alias is None else node.alias
    return [_Item(node, name, Projection(binder.binding.slot(expression.type), expression))]


def _own_name(node: tree.Expression) -> str | None:
    """What a column without alias is called. Source: sql.md 2.2."""
    return node.name if isinstance(node, tree.Identifier | tree.Dereference) else None


def _starred(binder: ExpressionBinder, node: tree.AllColumns) -> list[_Item]:
    columns = binder.scope.star(node.qualifier)
    if not columns and node.qualifier:
        raise fault(node, f"Unable to resolve reference {'.'.join(node.qualifier)}")
    if not columns:
        raise fault(node, "SELECT * not allowed in queries without FROM clause")

    def item(column: ScopeColumn) -> _Item:
        label = column.name or ""
        reference = SlotRef(column.slot, label, node.line, node.column)
        return _Item(node, column.name, Projection(binder.binding.slot(column.slot.type), reference))

    return [item(column) for column in columns]


# ORDER BY


def _sort_keys(rows: ExpressionBinder, nodes: Sequence[tree.SortItem], items: list[_Item]) -> list[_Key]:
    """The sort keys; constants sort nothing and are left out."""
    if not nodes:
        return []
    scope = Scope(_output_columns(items), rows.scope)
    binder = replace(rows, scope=scope, inner_scope=rows.scope, clause=ORDER_BY)
    by_slot = {item.projection.slot: item for item in in_turns(items)}
    keys = (_sort_key(binder, node, items, by_slot) for node in nodes)
    return [key for key in keys if key is not None]


def _output_columns(items: list[_Item]) -> tuple[ScopeColumn, ...]:
    """The output names in sight of ORDER BY. Columns of one name that are the same expression are one."""
    seen: dict[tuple[str, Expression], ScopeColumn] = {}
    for item in items:
        if item.name is not None:
            column = ScopeColumn((), item.name, item.projection.slot)
            seen.setdefault((item.name, item.projection.expression), column)
    return tuple(seen.values())


def _sort_key(
    binder: ExpressionBinder, node: tree.SortItem, items: list[_Item], by_slot: Mapping[Slot, _Item]
) -> _Key | None:
    if isinstance(node.expression, tree.IntegerLiteral):
        return _Key(sort_key(node, _output(_ordinal(node.expression, items, "ORDER BY"))), node)
    bound = binder.bind(node.expression)
    if isinstance(bound, Literal):
        return None
    if isinstance(bound, SlotRef) and bound.slot in by_slot:
        return _Key(sort_key(node, bound), node)

    def inlined(part: Expression) -> Expression:
        """An output name inside a larger expression means what it stands for."""
        if isinstance(part, SlotRef) and part.slot in by_slot:
            return by_slot[part.slot].projection.expression
        return rebuild(part, inlined)

    return _Key(sort_key(node, inlined(bound)), node)


def _ordinal(node: tree.IntegerLiteral, items: list[_Item], clause: str) -> _Item:
    if not 1 <= node.value <= len(items):
        raise fault(node, f"{clause} position {node.value} is not in select list")
    return items[node.value - 1]


# GROUP BY


def _grouped(
    rows: ExpressionBinder, source: Source | None, group_by: tree.GroupBy | None, bound: _Bound
) -> tuple[Grouping, _Bound]:
    slots = [column.slot for column in source.columns] if source else []
    sets = [] if group_by is None else _group_sets(rows.within(GROUP_BY), group_by, bound.items)
    grouper = Grouper(rows.binding, slots, sets)
    regrouped = bound.regrouped(grouper)
    return grouper.grouping, regrouped


def _group_sets(binder: ExpressionBinder, group_by: tree.GroupBy, items: list[_Item]) -> list[GroupingSet]:
    """The sets of keys, each of which makes groups: those of the elements, combined each with each."""
    combined: list[GroupingSet] = [()]
    for element in group_by.elements:
        sets = [tuple(_group_key(binder, node, items) for node in one) for one in element.sets]
        is_too_large = element.kind == "CUBE" and len(sets) > CUBE_KEYS_MAX
        expanded = [] if is_too_large else expanded_sets(element.kind, sets)
        if is_too_large or len(combined) * len(expanded) > GROUPING_SETS_MAX:
            raise fault(group_by, f"GROUP BY has more than {GROUPING_SETS_MAX} grouping sets")
        combined = [(*one, *other) for one in combined for other in expanded]
    if group_by.distinct:
        return [*{frozenset(one): one for one in reversed(combined)}.values()][::-1]
    return combined


def _group_key(binder: ExpressionBinder, node: tree.Expression, items: list[_Item]) -> Expression:
    if isinstance(node, tree.IntegerLiteral):
        key = _ordinal(node, items, "GROUP BY").projection.expression
        if has_aggregate([key]):
            raise fault(node, f"GROUP BY position {node.value} is an aggregate or holds one")
    else:
        key = binder.bind(node)
    if not is_comparable(key.type):
        raise fault(node, f"{key.type} is not comparable, and therefore cannot be used in GROUP BY")
    return key
