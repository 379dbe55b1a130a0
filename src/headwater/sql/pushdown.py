"""What a bound query needs of its tables: which columns, which instants, which dimension values.

Called by `compile` between binding and lowering. The query itself is not changed: a scan may answer more than was asked
for, so every condition stays where it was, and `lower` leaves out the columns nobody uses. Soundness is in one rule:
a fact is handed down only where rows that do not meet it cannot change the result.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from headwater.model.scan import ALL_TIME, DimensionIn, ScanRequest, TimeRange
from headwater.model.table import TIME, Column, ColumnKind
from headwater.sql.bound import (
    BoundQuery,
    CommonTable,
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
from headwater.sql.pushdown_facts import Facts, both, either, equal_columns, facts_of, preimage, spread


@dataclass(frozen=True, slots=True)
class Needs:
    """What a query needs. `used` are the slots that somebody reads; `scans` are by the name of the bound scan.

    `uses` counts, by name, the references to each WITH query; one that is never used is not there. `beside` are, for
    each UNNEST, by the name of its first element, the slots that are read where it has been done: of its source it
    need keep no others.
    """

    used: frozenset[str]
    scans: dict[str, ScanRequest]
    uses: dict[str, int]
    beside: dict[str, frozenset[str]]


def needs_of(bound: BoundQuery) -> Needs:
    walker = _Walker()
    walker.use(output.slot.name for output in bound.query.outputs)
    walker.query(bound.query, {})
    uses = {name: len(facts) for name, facts in walker.common_facts.items()}
    return Needs(frozenset(walker.used), walker.scans, uses, walker.beside)


@dataclass(slots=True)
class _Walker:
    """Goes from the result down to the tables, so that all readers of a column are met before what makes it.

    `common_facts` has, for each WITH query, one entry a reference: what that reference asks of it.
    """

    used: set[str] = field(default_factory=set)
    scans: dict[str, ScanRequest] = field(default_factory=dict)
    beside: dict[str, frozenset[str]] = field(default_factory=dict)
    common_facts: dict[str, list[Facts]] = field(default_factory=dict)

    def use(self, names: Iterable[str]) -> None:
        self.used.update(names)

    def read(self, expression: Expression) -> None:
        """Use what an expression refers to; walk the queries inside it."""
        for node in walk(expression):
            if isinstance(node, SlotRef):
                self.used.add(node.slot.name)
            elif isinstance(node, ScalarSubquery):
                self.use(output.slot.name for output in node.query.outputs)
                self.query(node.query, {})
            elif isinstance(node, InSubquery | Quantified):
                self.read(node.item)
                self.query(node.query, {})
            elif isinstance(node, Exists):
                self.query(node.query, {})

    # Queries: `facts` are about their output slots

    def query(self, query: Query, facts: Facts) -> None:
        if isinstance(query.body, Select):
            self._select(query.body, facts)
        elif isinstance(query.body, SetOperation):
            self._set_operation(query.body, facts)
        else:
            self._values(query.body)
        for table in reversed(query.common_tables):
            self._common_table(table)

    def _common_table(self, table: CommonTable) -> None:
        asked = self.common_facts.get(table.name)
        if asked is not None:
            self.query(table.query, either(asked))

    def _select(self, select: Select, facts: Facts) -> None:
        for key in select.order_by:
            self.read(key)
        for projection in select.projections:
            if select.is_distinct or projection.slot.name in self.used:
                self.read(projection.expression)
        inner = _through_projections(select, facts)
        if select.having is not None:
            self.read(select.having)
            inner = both([inner, facts_of(select.having)])
        if select.grouping is not None:
            for group in select.grouping.keys:
                self.read(group.expression)
            for aggregate in select.grouping.aggregates:
                if aggregate.slot.name in self.used:
                    self.read(aggregate.expression)
            inner = _through(select.grouping.keys, inner)
        if select.where is not None:
            self.read(select.where)
            inner = spread(both([inner, facts_of(select.where)]), equal_columns(select.where))
        if select.source is not None:
            self._relation(select.source, inner)

    def _set_operation(self, operation: SetOperation, facts: Facts) -> None:
        """A condition on the result is one on each branch, whatever the operation."""
        whole = operation.is_distinct or operation.kind != "UNION"
        for branch in operation.branches:
            items = tuple(map(Projection, operation.slots, branch.items))
            for item in items:
                if whole or item.slot.name in self.used:
                    self.read(item.expression)
            self.query(branch.query, _through(items, facts))

    def _values(self, values: Values) -> None:
        for row in values.rows:
            for cell in row:
                self.read(cell)

    # Relations: `facts` may be about any slots in sight

    def _relation(self, relation: Relation, facts: Facts) -> None:
        if isinstance(relation, Scan):
            self.scans[relation.name] = self._request(relation, facts)
        elif isinstance(relation, Derived):
            self.query(relation.query, facts)
        elif isinstance(relation, CommonTableUse):
            self._use(relation, facts)
        elif isinstance(relation, Join):
            self._join(relation, facts)
        elif isinstance(relation, Unnest):
            self.beside[relation.items[0].raw.name] = frozenset(self.used)
            for item in relation.items:
                self.read(item.argument)
            if relation.source is not None:
                self._relation(relation.source, facts)
        elif isinstance(relation, Extended):
            for projection in relation.added:
                self.read(projection.expression)
            self._relation(relation.source, facts)
        else:
            self._values(relation)

    def _use(self, use: CommonTableUse, facts: Facts) -> None:
        self.used.update(inner.name for inner, outer in use.slots if outer.name in self.used)
        asked = {inner.name: facts[outer.name] for inner, outer in use.slots if outer.name in facts}
        self.common_facts.setdefault(use.table.name, []).append(asked)

    def _join(self, join: Join, facts: Facts) -> None:
        """Facts from above reject NULL, so they may pass an outer join to either side: a row whose partners are gone
        comes out with NULLs, and the condition above drops it. The ON condition binds only a side that may be missing.
        """
        left, right = facts, facts
        if join.condition is not None:
            self.read(join.condition)
            within = spread(both([facts, facts_of(join.condition)]), equal_columns(join.condition))
            left = within if join.kind in ("INNER", "RIGHT") else facts
            right = within if join.kind in ("INNER", "LEFT") else facts
        self._relation(join.right, right)
        self._relation(join.left, left)

    def _request(self, scan: Scan, facts: Facts) -> ScanRequest:
        pairs = [(column, slot.name) for column, slot in scan.columns if slot.name in self.used]
        if not pairs:
            # Only the number of rows matters; every row has a time.
            pairs = [(column, slot.name) for column, slot in scan.columns if column == TIME]
        known = [(column, facts[slot.name]) for column, slot in scan.columns if slot.name in facts]
        dimensions = tuple(
            DimensionIn(column.name, fact) for column, fact in known if isinstance(fact, frozenset) and _is_key(column)
        )
        times = (fact for column, fact in known if column == TIME and isinstance(fact, TimeRange))
        return ScanRequest(scan.table, tuple(pairs), next(times, ALL_TIME), dimensions)


def _is_key(column: Column) -> bool:
    return column.kind in (ColumnKind.DIMENSION, ColumnKind.MEASURE_NAME)


def _through_projections(select: Select, facts: Facts) -> Facts:
    """Facts about a SELECT's output, as facts about what it computes from.

    None pass a LIMIT. Past windows only those about columns that all of them are partitioned by: whole partitions go.
    """
    if select.limit is not None or not facts:
        return {}
    inner = _through(select.projections, facts)
    expressions = (*(projection.expression for projection in select.projections), *select.order_by)
    for node in (node for expression in expressions for node in walk(expression)):
        if isinstance(node, Windowed):
            whole = {key.slot.name for key in node.partition_by if isinstance(key, SlotRef)}
            inner = {name: fact for name, fact in inner.items() if name in whole}
    return inner


def _through(projections: Iterable[Projection], facts: Facts) -> Facts:
    """Facts about computed columns, as facts about the columns they are computed from."""
    found: list[Facts] = []
    for projection in projections:
        fact = facts.get(projection.slot.name)
        if fact is None:
            continue
        if isinstance(fact, TimeRange):
            found.append(preimage(projection.expression, fact))
        elif isinstance(projection.expression, SlotRef):
            found.append({projection.expression.slot.name: fact})
    return both(found)
