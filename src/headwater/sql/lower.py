"""A bound query written as one statement of the engine's SQL.

Called by `compile`, after `pushdown` has said which columns anybody reads. Only generated names reach the text: slots
c1, c2, ..., relations r1, r2, ..., WITH queries w1, ..., scans scan_0, scan_1, ... in the order they are met.

Shape of a SELECT, with each step only where there is something to do:

    SELECT <projections, windows> FROM (
        SELECT <keys, aggregates> FROM <source> WHERE <condition> GROUP BY 1, 2
    ) AS r1 WHERE <having> ORDER BY <keys> LIMIT <n>

Groups are made in a step of their own and numbered, so the engine never compares texts of expressions to find keys.
A constant that comes from a literal of the text is not written but marked, as `HOLE`, its number, `HOLE`: its value is
written each time a plan is made (template.py). No other text here holds a NUL, for `coercion.quoted` lets none through.
Everything about single functions, operators, casts and literals is in the rooms' tables; this file is about queries.
"""

# ruff: noqa: S608 (building SQL is the purpose; users' texts are in it only as literals that `coercion` quotes)

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from headwater.errors import Invalid
from headwater.model.types import Row, SqlType, Timeseries
from headwater.sql.bound import (
    BoundQuery,
    CommonTableUse,
    Derived,
    Expression,
    Extended,
    Grouping,
    Join,
    Logical,
    Projection,
    Query,
    Relation,
    Scan,
    Select,
    SetOperation,
    Slot,
    SlotRef,
    Unnest,
    Unnested,
    Values,
)
from headwater.sql.bound_walk import Subquery, walk
from headwater.sql.budget import Budget
from headwater.sql.coercion import engine_type, literal
from headwater.sql.constant import Constant
from headwater.sql.lower_expressions import FORMS
from headwater.sql.pushdown import Needs

MAX_CHARACTERS = 4_000_000
"""Of any part of the engine's text: some forms repeat an operand, and nested they would grow without bound."""

HOLE = "\0"


@dataclass(frozen=True, slots=True)
class Lowered:
    """The engine's statement, its columns cast to the types of model/types.py.

    `holes` are what the marks in `text` stand for, by their numbers. `scans` pairs the names under which the text reads
    scans with those of the bound scans.
    """

    text: str
    holes: tuple[tuple[Constant, SqlType], ...]
    scans: tuple[tuple[str, str], ...]


def lower(bound: BoundQuery, needs: Needs, budget: Budget) -> Lowered:
    """Raises Invalid for a query whose text would be too long, or take too long to write."""
    lowering = _Lowering(needs, budget)
    text = lowering.result(bound.query)
    scans = tuple((name, scan) for scan, name in lowering.scan_names.items())
    return Lowered(text, tuple(lowering.holes), scans)


class _Lowering:
    def __init__(self, needs: Needs, budget: Budget) -> None:
        self._needs = needs
        self._budget = budget
        self._names = 0
        self._stored: set[str] = set()
        self.scan_names: dict[str, str] = {}
        self.holes: dict[tuple[Constant, SqlType], str] = {}

    def _name(self, letter: str) -> str:
        self._names += 1
        return f"{letter}{self._names}"

    def _used(self, projections: Iterable[Projection]) -> list[Projection]:
        return [p for p in projections if p.slot.name in self._needs.used]

    # Queries

    def result(self, query: Query) -> str:
        """The outermost query, every column of exactly its type.

        It never starts with WITH: the engine room puts its own WITH before it, and the engine loses the inner one of
        two that follow each other.
        """
        body = query.body
        if isinstance(body, Select):
            select = self._select(body, is_result=True)
            text = self._with(query, select)
            return text if text is select else f"SELECT * FROM ({text}) AS {self._name('r')}"
        columns = ", ".join(_cast_to_type(output.slot.name, output.slot) for output in query.outputs)
        return f"SELECT {columns} FROM {self._derived(query)}"

    def query(self, query: Query) -> str:
        body = query.body
        if isinstance(body, Select):
            return self._with(query, self._select(body))
        text = self._set_operation(body) if isinstance(body, SetOperation) else self._values(body)
        return self._with(query, text)

    def _with(self, query: Query, body: str) -> str:
        """WITH queries read more than once come first; those read once stand where they are read."""
        shared = [table for table in query.common_tables if self._needs.uses.get(table.name, 0) > 1]
        texts = [f"{table.name} AS ({self.query(table.query)})" for table in shared]
        return f"WITH {', '.join(texts)} {body}" if texts else body

    def _derived(self, query: Query) -> str:
        return f"({self.query(query)}) AS {self._name('r')}"

    def _condition(self, condition: Expression) -> str:
        """What rows must meet. Of several conditions the engine computes each only where those before it are met."""
        if isinstance(condition, Logical) and condition.operator == "AND":
            return " AND ".join(map(self.expression, condition.operands))
        return self.expression(condition)

    def _select(self, select: Select, *, is_result: bool = False) -> str:
        source = "" if select.source is None else f" FROM {self.relation(select.source)}"
        where = "" if select.where is None else f" WHERE {self._condition(select.where)}"
        if select.grouping is not None:
            source = f" FROM ({self._grouped(select.grouping, source, where)}) AS {self._name('r')}"
            where = "" if select.having is None else f" WHERE {self._condition(select.having)}"
        kept = select.projections if select.is_distinct or is_result else self._used(select.projections)
        columns = [self._column(p, is_result=is_result) for p in kept] or [f"1 AS {self._name('x')}"]
        distinct = "DISTINCT " if select.is_distinct else ""
        text = f"SELECT {distinct}{', '.join(columns)}{source}{where}"
        if select.order_by:
            text += f" ORDER BY {self.all(select.order_by)}"
        return text if select.limit is None else f"{text} LIMIT {select.limit}"

    def _column(self, projection: Projection, *, is_result: bool = False) -> str:
        text = self.expression(projection.expression)
        if is_result and text not in self._stored:
            return _cast_to_type(text, projection.slot)
        return text if text == projection.slot.name else f"{text} AS {projection.slot.name}"

    def _grouped(self, grouping: Grouping, source: str, where: str) -> str:
        """The query that makes groups: all keys, in order, before the aggregates."""
        if grouping.sets is not None or grouping.masks:
            return self._grouped_by_sets(grouping, source, where)
        columns = [self._column(p) for p in (*grouping.keys, *self._used(grouping.aggregates))]
        places = ", ".join(str(place) for place in range(1, len(grouping.keys) + 1))
        group_by = f" GROUP BY {places}" if places else ""
        listed = ", ".join(columns) or f"count(*) AS {self._name('x')}"
        return f"SELECT {listed}{source}{where}{group_by}"

    def _grouped_by_sets(self, grouping: Grouping, source: str, where: str) -> str:
        """Keys are made into columns first: the engine finds them in sets and in GROUPING by their names."""
        made = [self._column(key) for key in grouping.keys if not _is_same(key)]
        rest = ["*"] if source else []
        inner = f" FROM (SELECT {', '.join([*rest, *made])}{source}{where}) AS {self._name('r')}" if made else source
        names = [key.slot.name for key in grouping.keys]
        sets = grouping.sets if grouping.sets is not None else (tuple(range(len(names))),)
        listed = ", ".join(f"({', '.join(names[place] for place in one)})" for one in sets)
        others = [self._column(p) for p in (*self._used(grouping.aggregates), *self._used(grouping.masks))]
        columns = ", ".join([*names, *others]) or f"count(*) AS {self._name('x')}"
        return f"SELECT {columns}{inner}{'' if made else where} GROUP BY GROUPING SETS ({listed})"

    def _set_operation(self, operation: SetOperation) -> str:
        word = operation.kind if operation.is_distinct else f"{operation.kind} ALL"
        keep_all = operation.is_distinct or operation.kind != "UNION"
        branches: list[str] = []
        for branch in operation.branches:
            items = [*map(Projection, operation.slots, branch.items)]
            kept = items if keep_all else self._used(items)
            columns = ", ".join(map(self._column, kept)) or f"1 AS {self._name('x')}"
            branches.append(f"SELECT {columns} FROM {self._derived(branch.query)}")
        return f" {word} ".join(branches)

    def _values(self, values: Values) -> str:
        """Rows as VALUES; as SELECTs where they refer to queries around them, which VALUES cannot."""
        cells = (cell for row in values.rows for cell in row)
        if any(isinstance(node, SlotRef | Subquery) for cell in cells for node in walk(cell)):
            rows = [[*map(Projection, values.slots, row)] for row in values.rows]
            return " UNION ALL ".join(f"SELECT {', '.join(map(self._column, row))}" for row in rows)
        names = ", ".join(slot.name for slot in values.slots)
        listed = ", ".join(f"({self.all(row)})" for row in values.rows)
        return f"SELECT {names} FROM (VALUES {listed}) AS {self._name('r')}({names})"

    # Relations: texts that may stand in FROM

    def relation(self, relation: Relation) -> str:
        text = self._relation(relation)
        if len(text) > MAX_CHARACTERS:
            raise Invalid("The query is too complex")
        return text

    def _relation(self, relation: Relation) -> str:
        if isinstance(relation, Scan):
            return self._scan(relation)
        if isinstance(relation, Derived):
            return self._derived(relation.query)
        if isinstance(relation, CommonTableUse):
            return self._common_table_use(relation)
        if isinstance(relation, Join):
            return self._join(relation)
        if isinstance(relation, Unnest):
            return self._unnest(relation)
        if isinstance(relation, Extended):
            columns = [*self._passed(relation.source), *map(self._column, self._used(relation.added))]
            return self._wrapped(columns, f" FROM {self.relation(relation.source)}")
        return f"({self._values(relation)}) AS {self._name('r')}"

    def _wrapped(self, columns: Sequence[str], source: str) -> str:
        listed = ", ".join(columns) or f"1 AS {self._name('x')}"
        return f"(SELECT {listed}{source}) AS {self._name('r')}"

    def _scan(self, scan: Scan) -> str:
        # The engine room gives these columns the types that they have.
        self._stored.update(slot.name for _, slot in scan.columns)
        return self.scan_names.setdefault(scan.name, f"scan_{len(self.scan_names)}")

    def _common_table_use(self, use: CommonTableUse) -> str:
        pairs = [(inner, own) for inner, own in use.slots if own.name in self._needs.used]
        is_shared = self._needs.uses[use.table.name] > 1
        source = use.table.name if is_shared else self._derived(use.table.query)
        return self._wrapped([f"{inner.name} AS {own.name}" for inner, own in pairs], f" FROM {source}")

    def _join(self, join: Join) -> str:
        left, right = self.relation(join.left), self.relation(join.right)
        if isinstance(join.right, Join):
            right = f"({right})"
        if join.condition is None:
            return f"{left} CROSS JOIN {right}"
        return f"{left} {join.kind} JOIN {right} ON {self._condition(join.condition)}"

    def _passed(self, relation: Relation | None) -> list[str]:
        """The columns of a relation that somebody reads."""
        slots: Iterable[Slot] = () if relation is None else _slots(relation)
        return [slot.name for slot in slots if slot.name in self._needs.used]

    # UNNEST is the engine's unnest in a select list over the relation beside it: no lateral join is needed

    def _unnest(self, unnest: Unnest) -> str:
        beside = self._needs.beside[unnest.items[0].raw.name]
        passed = [name for name in self._passed(unnest.source) if name in beside]
        source = "" if unnest.source is None else f" FROM {self.relation(unnest.source)}"
        lists = [self.expression(item.argument) for item in unnest.items]
        if unnest.is_outer or unnest.ordinality is not None:
            names = [self._name("x") for _ in lists]
            named = (f"{text} AS {name}" for text, name in zip(lists, names, strict=True))
            source = f" FROM {self._wrapped([*passed, *named], source)}"
            lists = names
        longest = f"coalesce(greatest({', '.join(f'len({text})' for text in lists)}), 0)"
        if unnest.is_outer:
            lists = [f"CASE WHEN {longest} = 0 THEN [NULL] ELSE {text} END" for text in lists]
        raws = [f"unnest({text}) AS {item.raw.name}" for text, item in zip(lists, unnest.items, strict=True)]
        if unnest.ordinality is not None:
            count = f"unnest(CASE WHEN {longest} = 0 THEN [NULL] ELSE range(1, {longest} + 1) END)"
            plain = f"unnest(range(1, {longest} + 1))"
            raws.append(f"{count if unnest.is_outer else plain} AS {unnest.ordinality.name}")
        inner = self._wrapped([*passed, *raws], source)
        fields = [field for item in unnest.items for field in _fields(item)]
        counter = [] if unnest.ordinality is None else [unnest.ordinality.name]
        return self._wrapped([*passed, *fields, *counter], f" FROM {inner}")

    # Expressions

    def all(self, expressions: Iterable[Expression]) -> str:
        return ", ".join(map(self.expression, expressions))

    def constant(self, constant: Constant, kind: SqlType) -> str:
        """A value, or the mark for it."""
        if constant.origin is None:
            return literal(constant.value, kind)
        return self.holes.setdefault((constant, kind), f"{HOLE}{len(self.holes)}{HOLE}")

    def expression(self, node: Expression) -> str:
        self._budget.check()
        text = FORMS[type(node)](self, node)
        if len(text) > MAX_CHARACTERS:
            raise Invalid("The query is too complex")
        return text


def _cast_to_type(text: str, slot: Slot) -> str:
    return f"CAST({text} AS {engine_type(slot.type)}) AS {slot.name}"


def _is_same(projection: Projection) -> bool:
    """Whether a slot is computed from nothing but itself."""
    return isinstance(projection.expression, SlotRef) and projection.expression.slot == projection.slot


def _slots(relation: Relation) -> Iterator[Slot]:
    """All columns a relation has in the engine's text."""
    if isinstance(relation, Scan):
        yield from (slot for _, slot in relation.columns)
    elif isinstance(relation, Derived):
        yield from (output.slot for output in relation.query.outputs)
    elif isinstance(relation, CommonTableUse):
        yield from (own for _, own in relation.slots)
    elif isinstance(relation, Join):
        yield from _slots(relation.left)
        yield from _slots(relation.right)
    elif isinstance(relation, Unnest):
        yield from () if relation.source is None else _slots(relation.source)
        yield from (slot for item in relation.items for slot in item.slots)
        yield from () if relation.ordinality is None else (relation.ordinality,)
    elif isinstance(relation, Extended):
        yield from _slots(relation.source)
        yield from (projection.slot for projection in relation.added)
    else:
        yield from relation.slots


def _fields(item: Unnested) -> Iterator[str]:
    """The columns made of one unnested element."""
    kind = item.raw.type
    if isinstance(kind, Timeseries):
        names = ["t", "v"]
    elif isinstance(kind, Row):
        names = [f"f{place}" for place in range(len(kind.fields))]
    else:
        yield f"{item.raw.name} AS {item.slots[0].name}"
        return
    yield from (f"{item.raw.name}.{name} AS {slot.name}" for name, slot in zip(names, item.slots, strict=True))
