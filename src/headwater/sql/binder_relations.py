"""FROM bound: tables, WITH queries, subqueries, UNNEST and joins, and the columns they bring into sight.

Called by `binder_select`. Source: sql.md 3, 4.1, 4.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import reduce

from headwater.errors import Invalid
from headwater.model.types import Array, Map, Row, Scalar, SqlType, Timeseries
from headwater.sql import operators, tree
from headwater.sql.binder_context import (
    Binding,
    Clause,
    Environment,
    ExpressionBinder,
    check_column_alias,
    coerce,
    fault,
    no_database,
    no_table,
    unsupported,
)
from headwater.sql.bound import (
    Coalesce,
    CommonTable,
    CommonTableUse,
    Derived,
    Expression,
    Extended,
    Join,
    Logical,
    Projection,
    Relation,
    Scan,
    Slot,
    SlotRef,
    Unnest,
    Unnested,
)
from headwater.sql.bound_walk import Subquery, rebuild, references, walk
from headwater.sql.coercion import common_type
from headwater.sql.scope import Ambiguous, Scope, ScopeColumn
from headwater.threads import in_turns


@dataclass(frozen=True, slots=True)
class Source:
    """A relation and the columns it brings into sight, in the order of `*`."""

    relation: Relation
    columns: tuple[ScopeColumn, ...]


MAX_ITEMS = 200
"""A longer list would be a tree too deep to walk. Source: ours."""


def bind_from(binding: Binding, environment: Environment, items: Sequence[tree.Relation]) -> Source | None:
    """The FROM clause: its items crossed, each UNNEST seeing the ones before it. None without FROM."""
    if not items:
        return None
    if len(items) > MAX_ITEMS:
        raise fault(items[MAX_ITEMS], f"FROM has more than {MAX_ITEMS} items")
    binder = _RelationBinder(binding, environment)
    first, *rest = items
    return reduce(binder.crossed, rest, binder.bind(first))


@dataclass(frozen=True, slots=True)
class _RelationBinder:
    binding: Binding
    environment: Environment

    def bind(self, node: tree.Relation) -> Source:
        if isinstance(node, tree.Aliased):
            return self._aliased(node, self.bind(node.relation))
        if isinstance(node, tree.Table):
            return self._common_table(node) if node.database is None else self._table(node, node.database)
        if isinstance(node, tree.SubqueryRelation):
            query = self.binding.bind_query(self.binding, node.query, self.environment)
            return Source(Derived(query), tuple(ScopeColumn((), each.name, each.slot) for each in query.outputs))
        if isinstance(node, tree.Unnest):
            return self._unnest(node, None, is_outer=False)
        return self._join(node)

    def crossed(self, left: Source, node: tree.Relation) -> Source:
        unnest = _unnest_of(node)
        if unnest is not None:
            return self._lateral(node, unnest, left, is_outer=False)
        right = self.bind(node)
        return Source(Join("CROSS", left.relation, right.relation, None), left.columns + right.columns)

    def _aliased(self, node: tree.Aliased, source: Source) -> Source:
        columns = [c for c in source.columns if c.bare]
        names = [c.name for c in columns]
        if node.columns:
            if len(node.columns) != len(columns):
                raise _column_count(node, node.columns, node.alias, len(columns))
            for name in node.columns:
                check_column_alias(node, name)
            names = [*node.columns]
        pairs = zip(columns, names, strict=True)
        return Source(source.relation, tuple(ScopeColumn((node.alias,), name, c.slot) for c, name in pairs))

    # Tables

    def _table(self, node: tree.Table, database: str) -> Source:
        if not self.binding.names.has_database(database):
            raise no_database(database, f"{database}.{node.name}", node)
        found = self.binding.names.table(database, node.name)
        if found is None:
            raise no_table(node, node)
        table, columns = found
        pairs = tuple((column, self.binding.slot(column.type, is_stored=True)) for column in columns.all())
        shown = tuple(ScopeColumn((database, node.name), column.name, slot) for column, slot in pairs)
        return Source(Scan(self.binding.scan_name(), table, (database, node.name), pairs), shown)

    def _common_table(self, node: tree.Table) -> Source:
        table = self._find_common_table(node)
        pairs = tuple((output.slot, self.binding.slot(output.slot.type)) for output in table.query.outputs)
        named = zip(table.query.outputs, pairs, strict=True)
        shown = tuple(ScopeColumn((node.name,), output.name, slot) for output, (_, slot) in in_turns(named))
        return Source(CommonTableUse(table, pairs), shown)

    def _find_common_table(self, node: tree.Table) -> CommonTable:
        """The WITH query of this name, else the only one that differs by case."""
        tables = self.environment.tables
        if node.name in tables:
            return tables[node.name]
        folded = [table for name, table in tables.items() if name.casefold() == node.name.casefold()]
        if len(folded) != 1:
            raise no_table(node, node)
        return folded[0]

    # UNNEST

    def _lateral(self, node: tree.Relation, unnest: tree.Unnest, left: Source, *, is_outer: bool) -> Source:
        """UNNEST beside a relation whose columns it sees."""
        source = self._unnest(unnest, left, is_outer=is_outer)
        if isinstance(node, tree.Aliased):
            source = self._aliased(node, source)
        return Source(source.relation, left.columns + source.columns)

    def _unnest(self, node: tree.Unnest, left: Source | None, *, is_outer: bool) -> Source:
        scope = Scope(left.columns if left else (), self.environment.scope)
        binder = ExpressionBinder(self.binding, self.environment, scope, Clause("UNNEST"))
        items: list[Unnested] = []
        columns: list[ScopeColumn] = []
        for argument in node.arguments:
            item, names = self._unnested(argument, binder.bind(argument))
            items.append(item)
            columns += (ScopeColumn((), name, slot) for name, slot in zip(names, item.slots, strict=True))
        ordinality = self.binding.slot(Scalar.BIGINT) if node.ordinality else None
        if ordinality is not None:
            columns.append(ScopeColumn((), "ordinality", ordinality))
        relation = Unnest(left.relation if left else None, tuple(items), ordinality, is_outer)
        return Source(relation, tuple(columns))

    def _unnested(self, node: tree.Expression, argument: Expression) -> tuple[Unnested, list[str | None]]:
        """One argument with the columns its elements give, and their names."""
        kind = argument.type
        if isinstance(kind, Map):
            kind = kind.entries
        if isinstance(kind, Timeseries):
            given: list[tuple[str | None, SqlType]] = [("time", Scalar.TIMESTAMP), ("value", kind.value)]
        elif isinstance(kind, Array) and isinstance(kind.element, Row):
            given = [(f.name, f.type) for f in kind.element.fields]
        elif isinstance(kind, Array):
            given = [(None, kind.element)]
        else:
            raise fault(node, f"Cannot unnest type: {kind}")
        raw = self.binding.slot(kind if isinstance(kind, Timeseries) else kind.element)
        return Unnested(argument, raw, tuple(self.binding.slot(t) for _, t in given)), [name for name, _ in given]

    # Joins

    def _join(self, node: tree.Join) -> Source:
        left = self.bind(node.left)
        if node.kind == "CROSS":
            return self.crossed(left, node.right)
        unnest = _unnest_of(node.right)
        if unnest is not None:
            if node.kind not in ("INNER", "LEFT") or not _is_true(node.on):
                raise fault(
                    node.right, f"{node.kind} JOIN involving UNNEST is only supported as LEFT or INNER with ON TRUE"
                )
            return self._lateral(node.right, unnest, left, is_outer=node.kind == "LEFT")
        right = self.bind(node.right)
        if node.on is None:
            return self._using(node, left, right)
        columns = left.columns + right.columns
        scope = Scope(columns, self.environment.scope)
        binder = ExpressionBinder(self.binding, self.environment, scope, Clause("JOIN ON clause"))
        condition = binder.condition(node.on)
        if node.kind == "INNER":
            return Source(Join(node.kind, left.relation, right.relation, condition), columns)
        sides = (_Side(self.binding, left), _Side(self.binding, right))
        condition = _without_subqueries(node, condition, sides)
        first, second = (side.relation for side in sides)
        return Source(Join(node.kind, first, second, condition), columns)

    def _using(self, node: tree.Join, left: Source, right: Source) -> Source:
        """JOIN USING: each merged column comes first, once, and has no qualifier. Source: Trino."""
        pairs = [(name, _side(name, left, "left"), _side(name, right, "right")) for name in node.using]
        equal = tuple(self._equal(*pair) for pair in pairs)
        condition = equal[0] if len(equal) == 1 else Logical("AND", equal)
        join = Join(node.kind, left.relation, right.relation, condition)
        merged = [self._merged(node, *pair) for pair in pairs]
        hidden = {slot.name for _, a, b in pairs for slot in (a, b)}
        rest = tuple(replace(c, bare=c.bare and c.slot.name not in hidden) for c in left.columns + right.columns)
        added = tuple(m for m in merged if not isinstance(m.expression, SlotRef))
        first = tuple(
            ScopeColumn((), name.name, m.expression.slot if isinstance(m.expression, SlotRef) else m.slot)
            for (name, _, _), m in zip(pairs, merged, strict=True)
        )
        return Source(Extended(join, added) if added else join, first + rest)

    def _equal(self, node: tree.Identifier, left: Slot, right: Slot) -> Expression:
        scope = Scope((), None)
        binder = ExpressionBinder(self.binding, self.environment, scope, Clause("JOIN USING"))
        pair = (_reference(node, left), _reference(node, right))
        return binder.apply(node, lambda: operators.binary("=", [left.type, right.type], [None, None]), pair)

    def _merged(self, node: tree.Join, name: tree.Identifier, left: Slot, right: Slot) -> Projection:
        """The column that stands for both: of the side that is never missing, or the first that is not NULL."""
        common = common_type(left.type, right.type)
        assert common is not None
        sides = (right, left) if node.kind == "RIGHT" else (left, right)
        if node.kind != "FULL" and sides[0].type == common:
            return Projection(sides[0], _reference(name, sides[0]))
        parts = tuple(coerce(_reference(name, side), common) for side in sides)
        return Projection(self.binding.slot(common), Coalesce(parts, common))


@dataclass(slots=True)
class _Side:
    """One side of a join, and what is computed there for its condition."""

    binding: Binding
    source: Source
    added: list[Projection] = field(default_factory=list)

    @property
    def relation(self) -> Relation:
        return Extended(self.source.relation, tuple(self.added)) if self.added else self.source.relation

    def add(self, expression: Expression) -> SlotRef:
        slot = self.binding.slot(expression.type)
        self.added.append(Projection(slot, expression))
        return SlotRef(slot, "", 0, 0)


def _without_subqueries(node: tree.Join, condition: Expression, sides: tuple[_Side, _Side]) -> Expression:
    """The condition of an outer join, its subqueries made columns of the side they speak of.

    The engine has errors of its own about a subquery there, of the kind that end it.
    """
    names = [{column.slot.name for column in side.source.columns} for side in sides]

    def moved(part: Expression) -> Expression:
        if not isinstance(part, Subquery):
            return rebuild(part, moved)
        used = {reference.slot.name for reference in references(part.query)}
        used |= {inner.slot.name for inner in walk(part) if isinstance(inner, SlotRef)}
        if not used & names[1]:
            return sides[0].add(part)
        if used & names[0] and node.kind == "LEFT":
            # The engine can do this one, and refuses it in the other joins.
            return part
        if used & names[0]:
            assert node.on is not None, "a join without a condition has no subquery in it"
            raise unsupported(node.on, f"A subquery over both sides in the condition of a {node.kind} JOIN")
        return sides[1].add(part)

    return moved(condition)


def _reference(node: tree.Identifier, slot: Slot) -> SlotRef:
    return SlotRef(slot, node.name, node.line, node.column)


def _side(node: tree.Identifier, source: Source, side: str) -> Slot:
    """The column of one side that USING names."""
    try:
        found = Scope(source.columns).find((node.name,))
    except Ambiguous:
        raise fault(node, f"Column '{node.name}' is ambiguous") from None
    if found is None:
        raise fault(node, f"Column '{node.name}' is missing from {side} side of join")
    return found[0]


def _unnest_of(node: tree.Relation) -> tree.Unnest | None:
    inner = node.relation if isinstance(node, tree.Aliased) else node
    return inner if isinstance(inner, tree.Unnest) else None


def _is_true(node: tree.Expression | None) -> bool:
    return isinstance(node, tree.BooleanLiteral) and node.value


def _column_count(node: tree.Node, columns: Sequence[str], alias: str, count: int) -> Invalid:
    return fault(node, f"Column alias list has {len(columns)} entries but '{alias}' has {count} columns available")
