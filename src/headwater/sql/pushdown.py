"""What a bound query needs of its tables: which columns, which instants, which dimension values.

Called by `compile` between binding and lowering, in two steps. `needs_of` finds the columns that are read, which are
the same whatever the literals say. `requests_of` finds instants and dimension values for given literals, again for each
text that a plan serves. The query itself is not changed: a scan may answer more than was asked for, so every condition
stays where it was, and `lower` leaves out the columns nobody uses. Soundness is in one rule: a fact is handed down only
where rows that do not meet it cannot change the result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from headwater.model.scan import ALL_TIME, DimensionIn, ScanRequest, TimeRange
from headwater.model.table import TIME, Column, ColumnKind
from headwater.sql.bound import (
    BoundQuery,
    CommonTableUse,
    Derived,
    Exists,
    Expression,
    Extended,
    InSubquery,
    Join,
    Projection,
    Quantified,
    Query,
    Relation,
    ScalarSubquery,
    Scan,
    Select,
    SetOperation,
    SlotRef,
    Unnest,
    Values,
    Windowed,
)
from headwater.sql.bound_walk import walk
from headwater.sql.newest import newest_of
from headwater.sql.pushdown_facts import Facts, both, either, equal_columns, facts_of, preimage, spread
from headwater.threads import pass_on


@dataclass(frozen=True, slots=True)
class Needs:
    """What a query reads. `used` are the slots that somebody reads; `scans` has the columns each bound scan must give.

    `uses` counts, by name, the references to each WITH query; one that is never used is not there. `beside` are, for
    each UNNEST, by the name of its first element, the slots that are read where it has been done: of its source it
    need keep no others. `subqueries` are the queries inside expressions, each before the one that holds it.
    """

    used: frozenset[str]
    scans: dict[str, tuple[tuple[Column, str], ...]]
    uses: Counter[str]
    beside: dict[str, frozenset[str]]
    subqueries: tuple[Query, ...]


def needs_of(bound: BoundQuery) -> Needs:
    reader = _Reader()
    reader.use(output.slot.name for output in bound.query.outputs)
    reader.query(bound.query)
    return Needs(frozenset(reader.used), reader.scans, reader.uses, reader.beside, tuple(reader.subqueries))


def requests_of(bound: BoundQuery, needs: Needs, values: Sequence[Any]) -> dict[str, ScanRequest]:
    """The request of each scan, by its name, where the literals of the text have `values` (constant.py)."""
    walker = _FactWalker(needs, values)
    for query in needs.subqueries:
        walker.query(query, {})
    walker.query(bound.query, {})
    return walker.requests


@dataclass(slots=True)
class _Reader:
    """Goes from the result down to the tables, so that all readers of a column are met before what makes it."""

    used: set[str] = field(default_factory=set)
    scans: dict[str, tuple[tuple[Column, str], ...]] = field(default_factory=dict)
    uses: Counter[str] = field(default_factory=Counter)
    beside: dict[str, frozenset[str]] = field(default_factory=dict)
    subqueries: list[Query] = field(default_factory=list)

    def use(self, names: Iterable[str]) -> None:
        self.used.update(names)

    def read(self, expression: Expression) -> None:
        """Use what an expression refers to; walk the queries inside it."""
        for node in walk(expression):
            if isinstance(node, SlotRef):
                self.used.add(node.slot.name)
            elif isinstance(node, ScalarSubquery | InSubquery | Quantified | Exists):
                if isinstance(node, ScalarSubquery):
                    self.use(output.slot.name for output in node.query.outputs)
                elif not isinstance(node, Exists):
                    self.read(node.item)
                self.query(node.query)
                self.subqueries.append(node.query)

    def query(self, query: Query) -> None:
        if isinstance(query.body, Select):
            self._select(query.body)
        elif isinstance(query.body, SetOperation):
            self._set_operation(query.body)
        else:
            self._values(query.body)
        for table in reversed(query.common_tables):
            if self.uses[table.name]:
                self.query(table.query)

    def _select(self, select: Select) -> None:
        for key in select.order_by:
            self.read(key)
        for projection in select.projections:
            if select.is_distinct or projection.slot.name in self.used:
                self.read(projection.expression)
        if select.having is not None:
            self.read(select.having)
        if select.grouping is not None:
            for group in select.grouping.keys:
                self.read(group.expression)
            for aggregate in select.grouping.aggregates:
                if aggregate.slot.name in self.used:
                    self.read(aggregate.expression)
        if select.where is not None:
            self.read(select.where)
        if select.source is not None:
            self._relation(select.source)

    def _set_operation(self, operation: SetOperation) -> None:
        whole = operation.is_distinct or operation.kind != "UNION"
        for branch in operation.branches:
            for slot, item in zip(operation.slots, branch.items, strict=True):
                if whole or slot.name in self.used:
                    self.read(item)
            self.query(branch.query)

    def _values(self, values: Values) -> None:
        for row in values.rows:
            for cell in row:
                self.read(cell)

    def _relation(self, relation: Relation) -> None:
        if isinstance(relation, Scan):
            self._scan(relation)
        elif isinstance(relation, Derived):
            self.query(relation.query)
        elif isinstance(relation, CommonTableUse):
            self.uses[relation.table.name] += 1
            self.use(inner.name for inner, outer in relation.slots if outer.name in self.used)
        elif isinstance(relation, Join):
            if relation.condition is not None:
                self.read(relation.condition)
            self._relation(relation.right)
            self._relation(relation.left)
        elif isinstance(relation, Unnest):
            self.beside[relation.items[0].raw.name] = frozenset(self.used)
            for item in relation.items:
                self.read(item.argument)
            if relation.source is not None:
                self._relation(relation.source)
        elif isinstance(relation, Extended):
            for projection in relation.added:
                self.read(projection.expression)
            self._relation(relation.source)
        else:
            self._values(relation)

    def _scan(self, scan: Scan) -> None:
        pairs = [(column, slot.name) for column, slot in scan.columns if slot.name in self.used]
        if not pairs:
            # Only the number of rows matters; every row has a time.
            pairs = [(column, slot.name) for column, slot in scan.columns if column == TIME]
        self.scans[scan.name] = tuple(pairs)


@dataclass(slots=True)
class _FactWalker:
    """Carries facts from the result down to the tables.

    `asked` has, for each WITH query, one entry a reference: what that reference asks of it. So all that refer to one
    are walked before it, subqueries first of all.
    """

    needs: Needs
    values: Sequence[Any]
    requests: dict[str, ScanRequest] = field(default_factory=dict)
    asked: dict[str, list[Facts]] = field(default_factory=dict)
    newest: set[str] = field(default_factory=set)
    """Names of the scans of which the newest record of each series is enough."""

    # Queries: `facts` are about their output slots

    def query(self, query: Query, facts: Facts) -> None:
        if isinstance(query.body, Select):
            self._select(query.body, facts)
        elif isinstance(query.body, SetOperation):
            # A condition on the result is one on each branch, whatever the operation.
            for branch in query.body.branches:
                items = map(Projection, query.body.slots, branch.items)
                self.query(branch.query, self._through(items, facts))
        for table in reversed(query.common_tables):
            asked = self.asked.get(table.name)
            if asked is not None:
                self.query(table.query, either(asked))

    def _select(self, select: Select, facts: Facts) -> None:
        if select.source is None:
            return
        newest = newest_of(select, self.values)
        if newest is not None:
            self.newest.add(newest.name)
        inner = self._through_projections(select, facts)
        if select.having is not None:
            inner = both([inner, facts_of(select.having, self.values)])
        if select.grouping is not None:
            inner = self._through(select.grouping.keys, inner)
        if select.where is not None:
            inner = spread(both([inner, facts_of(select.where, self.values)]), equal_columns(select.where))
        self._relation(select.source, inner)

    def _through_projections(self, select: Select, facts: Facts) -> Facts:
        """Facts about a SELECT's output, as facts about what it computes from.

        None pass a LIMIT. Past windows only those about columns that all of them are partitioned by: whole partitions
        go.
        """
        if select.limit is not None or not facts:
            return {}
        inner = self._through(select.projections, facts)
        expressions = (*(projection.expression for projection in select.projections), *select.order_by)
        for node in (node for expression in expressions for node in walk(expression)):
            if isinstance(node, Windowed):
                whole = {key.slot.name for key in node.partition_by if isinstance(key, SlotRef)}
                inner = {name: fact for name, fact in inner.items() if name in whole}
        return inner

    def _through(self, projections: Iterable[Projection], facts: Facts) -> Facts:
        """Facts about computed columns, as facts about the columns they are computed from."""
        if not facts:
            return facts
        found: list[Facts] = []
        for projection in projections:
            fact = facts.get(projection.slot.name)
            if fact is None:
                continue
            if isinstance(fact, TimeRange):
                found.append(preimage(projection.expression, fact, self.values))
            elif isinstance(projection.expression, SlotRef):
                found.append({projection.expression.slot.name: fact})
        return both(found)

    # Relations: `facts` may be about any slots in sight

    def _relation(self, relation: Relation, facts: Facts) -> None:
        if isinstance(relation, Scan):
            self.requests[relation.name] = self._request(relation, facts)
        elif isinstance(relation, Derived):
            self.query(relation.query, facts)
        elif isinstance(relation, CommonTableUse):
            pairs = relation.slots
            asked = {inner.name: facts[outer.name] for inner, outer in pairs if outer.name in facts}
            self.asked.setdefault(relation.table.name, []).append(asked)
        elif isinstance(relation, Join):
            self._join(relation, facts)
        elif isinstance(relation, Unnest | Extended) and relation.source is not None:
            self._relation(relation.source, facts)

    def _join(self, join: Join, facts: Facts) -> None:
        """Facts from above reject NULL, so they may pass an outer join to either side: a row whose partners are gone
        comes out with NULLs, and the condition above drops it. The ON condition binds only a side that may be missing.
        """
        left, right = facts, facts
        if join.condition is not None:
            condition = facts_of(join.condition, self.values)
            within = spread(both([facts, condition]), equal_columns(join.condition))
            left = within if join.kind in ("INNER", "RIGHT") else facts
            right = within if join.kind in ("INNER", "LEFT") else facts
        self._relation(join.right, right)
        self._relation(join.left, left)

    def _request(self, scan: Scan, facts: Facts) -> ScanRequest:
        pass_on()
        known = [(column, facts[slot.name]) for column, slot in scan.columns if slot.name in facts] if facts else []
        texts = ((column.name, fact) for column, fact in known if isinstance(fact, tuple) and _is_key(column))
        dimensions = tuple(DimensionIn(name, *each) for name, fact in texts for each in fact)
        times = (fact for column, fact in known if column == TIME and isinstance(fact, TimeRange))
        time, is_newest = next(times, ALL_TIME), scan.name in self.newest
        return ScanRequest(scan.table, self.needs.scans[scan.name], time, dimensions, is_newest)


def _is_key(column: Column) -> bool:
    return column.kind in (ColumnKind.DIMENSION, ColumnKind.MEASURE_NAME)
