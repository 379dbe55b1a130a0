"""GROUP BY: which expressions are keys, which aggregates there are, and what may stand beside them.

Called by `binder_select` once all expressions of a SELECT are bound over its FROM. What it answers speaks of groups.
Source: sql.md 4.1.
"""

from __future__ import annotations

from collections.abc import Iterable

from headwater.sql.binder_context import Binding, fault, unsupported
from headwater.sql.bound import Aggregate, Expression, Grouping, Lambda, Literal, Projection, Slot, SlotRef
from headwater.sql.bound_walk import Subquery, rebuild, references, walk
from headwater.sql.tree import Identifier


def has_aggregate(expressions: Iterable[Expression]) -> bool:
    return any(isinstance(node, Aggregate) for expression in expressions for node in walk(expression))


class Grouper:
    """Rewrites expressions over the FROM of one SELECT into expressions over its groups.

    Equal aggregates become one. A column that is no key, outside an aggregate, is a fault.
    """

    def __init__(self, binding: Binding, source: frozenset[str], keys: Iterable[Expression]) -> None:
        self._binding = binding
        self._source = source
        self._keys: dict[Expression, Slot] = {}
        self._aggregates: dict[Aggregate, Slot] = {}
        for key in keys:
            if key not in self._keys:
                self._keys[key] = key.slot if isinstance(key, SlotRef) else binding.slot(key.type)
        # A constant means the same before and after grouping, and functions may want to see that it is one.
        self._replaced = {key: slot for key, slot in self._keys.items() if not isinstance(key, Literal)}
        self._plain = {slot.name for key, slot in self._keys.items() if isinstance(key, SlotRef)}

    @property
    def grouping(self) -> Grouping:
        """The keys, and the aggregates met so far."""
        keys = (Projection(slot, key) for key, slot in self._keys.items())
        return Grouping(tuple(keys), tuple(Projection(slot, each) for each, slot in self._aggregates.items()))

    def regroup(self, node: Expression) -> Expression:
        if isinstance(node, SlotRef):
            return self._column(node)
        if node in self._replaced:
            return SlotRef(self._replaced[node], "", 0, 0)
        if isinstance(node, Aggregate):
            self._check_own(node)
            slot = self._aggregates.setdefault(node, self._binding.slot(node.type))
            return SlotRef(slot, node.name, node.line, node.column)
        if isinstance(node, Subquery):
            for reference in references(node.query):
                self._column(reference)
        return rebuild(node, self.regroup)

    def _check_own(self, node: Aggregate) -> None:
        """An aggregate of columns of outer queries alone is this query's all the same; the engine thinks otherwise."""
        parameters = {name for part in walk(node) if isinstance(part, Lambda) for name in part.parameters}
        slots = {part.slot.name for part in walk(node) if isinstance(part, SlotRef)}
        names = {name for name in slots if name.partition(".")[0] not in parameters}
        if names and not names & self._source and not any(isinstance(part, Subquery) for part in walk(node)):
            place = Identifier(node.line, node.column, node.name)
            raise unsupported(place, "An aggregate of nothing but columns of an outer query")

    def _column(self, node: SlotRef) -> SlotRef:
        if node.slot.name in self._source and node.slot.name not in self._plain:
            place = Identifier(node.line, node.column, node.label)
            raise fault(place, f"'{node.label}' must be an aggregate expression or appear in GROUP BY clause")
        return node
