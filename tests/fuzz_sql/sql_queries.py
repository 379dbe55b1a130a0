"""Queries drawn at random from a seed: joins, grouping, windows, subqueries, set operations, WITH, ORDER BY and LIMIT.

Every query's answer is determined as a multiset of rows; one with an ORDER BY orders by all of its columns, so that a
LIMIT takes determined rows too. Where the order of rows decides (row_number, lag, frames of rows) there is one such
window in a SELECT: rows that tie in everything may then stand in any order.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import count

from sql_expressions import COMPARABLE, TYPES, Expressions, Scope, drawn_literal
from sql_nodes import NOTHING, Node, call, joined, literal, optional, text
from sql_rows import TableRows

Types = tuple[str, ...]

_SET_OPERATIONS = (*["UNION", "UNION ALL", "INTERSECT", "EXCEPT"] * 3, "INTERSECT ALL", "EXCEPT ALL")


@dataclass(frozen=True, slots=True)
class Drawn:
    """A query and the types of its columns, which are called c0, c1, ... if it has them all named."""

    query: Node
    types: Types
    is_ordered: bool


@dataclass(frozen=True, slots=True)
class Filtered:
    """Rows of a relation: what the rules about WHERE are tried on."""

    select: Node
    source: Node
    predicate: Node

    def where(self, condition: Node) -> Node:
        return text("SELECT ", self.select, " FROM ", self.source, " WHERE ", condition)

    @property
    def whole(self) -> Node:
        return text("SELECT ", self.select, " FROM ", self.source)


@dataclass(frozen=True, slots=True)
class _Relation:
    node: Node
    scope: Scope


@dataclass(frozen=True, slots=True)
class _Common:
    """A WITH query: its name and the types of c0, c1, ..."""

    name: str
    types: Types


def drawn_query(seed: int, tables: list[TableRows]) -> Drawn:
    return Queries(random.Random(f"query {seed}"), tables).statement()


def drawn_filtered(seed: int, tables: list[TableRows]) -> Filtered:
    return Queries(random.Random(f"filtered {seed}"), tables).filtered()


class Queries:
    def __init__(self, rng: random.Random, tables: list[TableRows]) -> None:
        self._rng = rng
        self._tables = tables
        self._expressions = Expressions(rng, self._held)
        self._numbers = count()
        self._commons: list[_Common] = []

    def statement(self) -> Drawn:
        rng = self._rng
        head = NOTHING
        if rng.random() < 0.25:
            tables = []
            for _ in range(rng.randint(1, 2)):
                name = f"w{next(self._numbers)}"
                types = self._types()
                tables.append(text(f"{name} AS ", Node("derived", (self._body(types, 1), NOTHING))))
                self._commons.append(_Common(name, types))
            head = text("WITH ", joined(tables), " ")
        types = self._types()
        body = self._body(types, 2)
        is_ordered = rng.random() < 0.4
        if is_ordered:
            limit = optional(" LIMIT ", literal(str(rng.randint(0, 30)), "")) if rng.random() < 0.5 else NOTHING
            body = Node("ordered", (body, text(" ORDER BY ", self._all_columns(len(types)), limit)))
        return Drawn(text(head, body), types, is_ordered)

    def filtered(self) -> Filtered:
        relation = self._relation(1)
        items = [self._expressions.draw(kind, relation.scope, 1) for kind in self._types()]
        return Filtered(self._items(items), relation.node, self._expressions.predicate(relation.scope, 3))

    def _types(self) -> Types:
        return tuple(self._rng.choice(TYPES) for _ in range(self._rng.randint(1, 4)))

    def _all_columns(self, columns: int) -> Node:
        """Sort keys over every column of the answer, by place or by name."""
        places = list(range(columns))
        self._rng.shuffle(places)
        written = [self._rng.choice([str(place + 1), f"c{place}"]) for place in places]
        keys = [Node("sorted_column", (key, f"c{place}")) for key, place in zip(written, places, strict=True)]
        return joined([self._sorted(key) for key in keys])

    def _sorted(self, key: Node) -> Node:
        order = self._rng.choice(["", "", "ASC", "DESC"])
        return Node("sort", (key, order, self._rng.choice(["", "", "NULLS FIRST", "NULLS LAST"])))

    def _body(self, types: Types, depth: int) -> Node:
        rng = self._rng
        if rng.random() < 0.15:
            kind = rng.choice(_SET_OPERATIONS)
            return Node("set_operation", (self._select(types, depth), kind, self._select(types, depth)))
        return self._select(types, depth)

    def _select(self, types: Types, depth: int) -> Node:
        rng = self._rng
        relation = self._relation(depth)
        where = NOTHING
        if rng.random() < 0.5:
            where = optional(" WHERE ", self._expressions.predicate(relation.scope, 2))
        source = text(" FROM ", relation.node, where)
        form = rng.random()
        if form < 0.35:
            return self._grouped(types, relation.scope, source)
        if form < 0.6:
            windows = self._windows(types, relation.scope)
            items = [self._item(kind, windows, Scope(windows.columns + relation.scope.columns)) for kind in types]
            return text("SELECT ", self._items(items), source)
        distinct = "DISTINCT " if form < 0.7 else ""
        items = [self._expressions.draw(kind, relation.scope, 2) for kind in types]
        return text(f"SELECT {distinct}", self._items(items), source)

    def _items(self, items: list[Node]) -> Node:
        return joined([text(item, f" AS c{place}") for place, item in enumerate(items)])

    def _item(self, kind: str, first: Scope, scope: Scope) -> Node:
        """One of `first` if there is one, as it is or in an expression."""
        chosen = first.of(kind)
        if chosen and self._rng.random() < 0.7:
            return self._rng.choice(chosen)
        return self._expressions.draw(kind, scope, 1)

    # Grouping

    def _grouped(self, types: Types, scope: Scope, source: Node) -> Node:
        rng = self._rng
        is_plain = rng.random() < 0.75
        keys = self._keys(scope, is_plain)
        aggregates = [self._aggregate(rng.choice(["bigint", "double", "boolean", "varchar", "timestamp"]), scope)]
        aggregates += [self._aggregate(kind, scope) for kind in types]
        inner = Scope((*keys, *aggregates))
        if keys and rng.random() < 0.15:
            inner = Scope(inner.columns + self._windows(types, inner).columns)
        items = [self._item(kind, inner, inner) for kind in types]
        grouping = text(" GROUP BY ", self._group_by(keys, is_plain)) if keys else NOTHING
        having = NOTHING
        if rng.random() < 0.3:
            having = optional(Node("having", (self._expressions.predicate(Scope((*keys, *aggregates)), 1),)))
        return text("SELECT ", self._items(items), source, grouping, having)

    def _keys(self, scope: Scope, is_plain: bool) -> list[Node]:
        rng = self._rng
        if rng.random() < 0.15 or not scope.columns:
            return []
        keys: list[Node] = []
        for _ in range(rng.randint(1, 3)):
            column = rng.choice(scope.columns)
            if is_plain and column.type == "timestamp" and rng.random() < 0.7:
                column = call("bin", column, rng.choice(["5m", "1h", "1d"]), type="timestamp")
            elif is_plain and column.type == "varchar" and rng.random() < 0.2:
                column = call("upper", column, type="varchar")
            if column not in keys:
                keys.append(column)
        return keys

    def _group_by(self, keys: list[Node], is_plain: bool) -> Node:
        if is_plain:
            return joined(keys)
        match self._rng.randint(0, 2):
            case 0:
                return text("ROLLUP (", joined(keys), ")")
            case 1:
                return text("CUBE (", joined(keys), ")")
            case _:
                return text("GROUPING SETS ((", joined(keys), "), (), (", keys[0], "))")

    def _aggregate(self, kind: str, scope: Scope) -> Node:
        if self._rng.random() < 0.15:
            return self._aggregated(kind, scope, text(" FILTER (WHERE ", self._expressions.predicate(scope, 1), ")"))
        return self._aggregated(kind, scope, NOTHING)

    def _aggregated(self, kind: str, scope: Scope, suffix: Node) -> Node:
        rng = self._rng
        argument = self._expressions.draw(kind, scope, 1)
        distinct = rng.choice(["", "", "", "DISTINCT "])
        if kind == "bigint" and rng.random() < 0.6:
            anything = self._expressions.draw(rng.choice(TYPES), scope, 1)
            counted = text("count(", distinct, anything, ")")
            return text(rng.choice([text("count(*)"), counted]), suffix, type=kind)
        match kind:
            case "bigint" | "double" if rng.random() < 0.5:
                return text("sum(", distinct, argument, ")", suffix, type=kind)
            case "double":
                averaged = self._expressions.draw(rng.choice(["bigint", "double"]), scope, 1)
                return Node(f"avg_{averaged.type}", (distinct, averaged, suffix), kind)
            case "boolean":
                aggregate = call(rng.choice(["bool_and", "bool_or", "every"]), argument, type=kind)
                return text(aggregate, suffix, type=kind)
        return text(call(rng.choice(["min", "max"]), argument, type=kind), suffix, type=kind)

    # Windows

    def _windows(self, types: Types, scope: Scope) -> Scope:
        """A few window functions over the rows of a scope; at most one that tells rows with equal keys apart."""
        rng = self._rng
        made = [self._peers_alike(rng.choice(types), scope) for _ in range(rng.randint(1, 2))]
        if rng.random() < 0.6:
            made.append(self._row_by_row(scope))
        return Scope(tuple(made))

    def _partition(self, scope: Scope) -> Node:
        if self._rng.random() < 0.3 or not scope.columns:
            return NOTHING
        return text("PARTITION BY ", self._rng.choice(scope.columns), " ")

    def _peers_alike(self, kind: str, scope: Scope) -> Node:
        rng = self._rng
        over = self._partition(scope)
        key = self._sorted(rng.choice(scope.columns))
        if kind == "bigint" and rng.random() < 0.5:
            name = rng.choice(["rank", "dense_rank"])
            return Node("ranking", (f"{name}()", text(" OVER (", over, "ORDER BY ", key, ")")), kind)
        if kind == "double" and rng.random() < 0.4:
            ranked = call(rng.choice(["percent_rank", "cume_dist"]), type=kind)
            return text(ranked, " OVER (", over, "ORDER BY ", key, ")", type=kind)
        ordered = text("ORDER BY ", key) if rng.random() < 0.5 else NOTHING
        return self._over(kind, scope, text(" OVER (", over, ordered, ")"))

    def _over(self, kind: str, scope: Scope, window: Node) -> Node:
        """An aggregate of the rows in a window."""
        argument = self._expressions.draw(kind, scope, 1)
        names = ["min", "max"]
        if kind == "boolean":
            names = ["bool_or", "bool_and"]
        elif kind == "bigint":
            names += ["sum", "sum", "count"]
        elif kind == "double":
            if self._rng.random() < 0.3:
                averaged = self._expressions.draw(self._rng.choice(["bigint", "double"]), scope, 1)
                return Node(f"avg_{averaged.type}", ("", averaged, window), kind)
            names += ["sum", "sum"]
        return text(call(self._rng.choice(names), argument, type=kind), window, type=kind)

    def _row_by_row(self, scope: Scope) -> Node:
        rng = self._rng
        columns = list(scope.columns)
        rng.shuffle(columns)
        keys = joined([self._sorted(column) for column in columns])
        over = text(" OVER (", self._partition(scope), "ORDER BY ", keys)
        argument = rng.choice(columns)
        kind = argument.type
        match rng.randint(0, 5):
            case 0:
                return Node("ranking", ("row_number()", text(over, ")")), "bigint")
            case 1:
                return Node("ranking", (f"ntile({rng.randint(1, 5)})", text(over, ")")), "bigint")
            case 2:
                offset = rng.choice(["", ", 1", ", 2", ", 0"])
                nulls = rng.choice(["", "", " IGNORE NULLS"])
                function = rng.choice(["lag", "lead"])
                return Node("neighbour", (function, argument, offset, nulls, text(over, ")")), kind)
            case 3:
                name = rng.choice(["first_value", "last_value"])
                nulls = rng.choice(["", "", " IGNORE NULLS"])
                return text(f"{name}(", argument, f"){nulls}", over, " ", self._frame(), ")", type=kind)
            case 4:
                return text("nth_value(", argument, f", {rng.randint(1, 3)})", over, " ", self._frame(), ")", type=kind)
            case _:
                return self._over(rng.choice(["bigint", "double"]), scope, text(over, " ", self._frame(), ")"))

    def _frame(self) -> Node:
        rng = self._rng
        start = rng.choice(["UNBOUNDED PRECEDING", "3 PRECEDING", "1 PRECEDING", "CURRENT ROW"])
        end = rng.choice(["CURRENT ROW", "1 FOLLOWING", "UNBOUNDED FOLLOWING"])
        return text(f"ROWS BETWEEN {start} AND {end}")

    # Relations

    def _relation(self, depth: int) -> _Relation:
        form = self._rng.random()
        if depth > 0 and form < 0.25:
            return self._join(depth - 1)
        if depth > 0 and form < 0.4:
            return self._derived(depth - 1)
        if form < 0.47:
            return self._values()
        if self._commons and form < 0.8:
            common = self._rng.choice(self._commons)
            alias = self._alias()
            return _named(text(common.name), alias, common.types)
        return self._table()

    def _alias(self) -> str:
        return f"t{next(self._numbers)}"

    def _table(self) -> _Relation:
        table = self._rng.choice([*self._tables, *self._tables[:2]])
        alias = self._alias()
        columns = [Node("column", (alias, name), kind) for name, kind in table.types.items()]
        node = Node("named", (Node("table", (table.name,)), alias, *table.types))
        return _Relation(node, Scope(tuple(columns)))

    def _values(self) -> _Relation:
        alias = self._alias()
        types = tuple(self._rng.choice(COMPARABLE) for _ in range(self._rng.randint(1, 3)))
        rows = []
        for place in range(self._rng.randint(1, 4)):
            # A first row without NULL gives every column its type.
            cells = [
                text("NULL") if place and self._rng.random() < 0.2 else drawn_literal(self._rng, kind) for kind in types
            ]
            rows.append(text("(", joined(cells), ")"))
        return _Relation(Node("values", (joined(rows), alias, *_names(types))), _numbered(alias, types))

    def _derived(self, depth: int) -> _Relation:
        types = self._types()
        alias = self._alias()
        order = NOTHING
        if self._rng.random() < 0.3:
            limit = text(" LIMIT ", literal(str(self._rng.randint(0, 20)), ""))
            order = optional(" ORDER BY ", self._all_columns(len(types)), limit)
        return _named(Node("derived", (self._body(types, depth), order)), alias, types)

    def _join(self, depth: int) -> _Relation:
        rng = self._rng
        left, right = self._relation(depth), self._relation(depth)
        scope = Scope(left.scope.columns + right.scope.columns)
        kind = rng.choice(["JOIN", "JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
        condition = self._equal(left.scope, right.scope)
        if condition is None:
            return _Relation(text("(", left.node, " CROSS JOIN ", right.node, ")"), scope)
        if rng.random() < 0.4:
            # Trino, and so perhaps the service, takes no correlated subquery in the condition of an outer join.
            plain = self._expressions if kind == "JOIN" else Expressions(rng)
            more = [condition, plain.predicate(scope, 1)]
            condition = text("(", joined(more, " AND "), ")", type="boolean")
        return _Relation(text("(", left.node, f" {kind} ", right.node, " ON ", condition, ")"), scope)

    def _equal(self, left: Scope, right: Scope) -> Node | None:
        pairs = [(a, b) for a in left.columns for b in right.columns if a.type == b.type and a.type != "boolean"]
        if not pairs:
            return None
        # Columns of one name have values in common.
        named = [(a, b) for a, b in pairs if a.parts[1:] == b.parts[1:]]
        one, other = self._rng.choice(named if named and self._rng.random() < 0.7 else pairs)
        if one.type == "timestamp":
            one, other = (call("bin", side, "1h", type="timestamp") for side in (one, other))
        return text("(", one, " = ", other, ")", type="boolean")

    # Queries inside expressions

    def _held(self, kind: str, around: Scope, depth: int) -> Node | None:
        """A subquery; where it looks at the rows around it, by one equality."""
        rng = self._rng
        relation = self._table()
        inner = relation.scope
        conditions = [self._expressions.predicate(inner, 0)]
        is_scalar = kind != "boolean" or rng.random() < 0.2
        outer = [column for column in around.columns if column.kind == "column" and column.type == "varchar"]
        if outer and rng.random() < 0.6:
            own = rng.choice(inner.of("varchar"))
            conditions.append(text("(", own, " = ", rng.choice(outer), ")", type="boolean"))
        where = text(" FROM ", relation.node, " WHERE ", joined(conditions, " AND "))
        if is_scalar:
            aggregate = self._aggregated(kind, inner, NOTHING)
            return text("(SELECT ", aggregate, where, ")", type=kind)
        no = rng.choice(["", "", "NOT "])
        if rng.random() < 0.5:
            return text(f"({no}EXISTS (SELECT 1", where, "))", type="boolean")
        compared = rng.choice(COMPARABLE)
        value = self._expressions.draw(compared, around, 0)
        chosen = self._expressions.draw(compared, inner, 0)
        if rng.random() < 0.25:
            return Node("in_with_nulls", (value, no, text("SELECT ", chosen, where)), "boolean")
        value = call("coalesce", value, drawn_literal(rng, compared), type=compared)
        found = text("SELECT ", chosen, where, " AND ", chosen, " IS NOT NULL")
        return text("(", value, f" {no}IN (", found, "))", type="boolean")


def _names(types: Types) -> list[str]:
    return [f"c{place}" for place in range(len(types))]


def _numbered(alias: str, types: Types) -> Scope:
    return Scope(tuple(Node("column", (alias, name), kind) for name, kind in zip(_names(types), types, strict=True)))


def _named(source: Node, alias: str, types: Types) -> _Relation:
    return _Relation(Node("named", (source, alias, *_names(types))), _numbered(alias, types))
