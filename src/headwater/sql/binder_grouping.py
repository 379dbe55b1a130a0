"""GROUP BY: which expressions are keys, which aggregates there are, and what may stand beside them.

Called by `binder_select` once all expressions of a SELECT are bound over its FROM. What it answers speaks of groups.
Source: sql.md 4.1; GROUPING SETS and its like are Trino's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import combinations

from headwater.sql.binder_context import Binding, fault, unsupported
from headwater.sql.bound import (
    Aggregate,
    Case,
    Expression,
    Grouping,
    GroupingMask,
    IsNull,
    Lambda,
    Literal,
    Projection,
    Slot,
    SlotRef,
)
from headwater.sql.bound_walk import Subquery, rebuild, references, walk
from headwater.sql.tree import Identifier
from headwater.threads import in_turns

GroupingSet = tuple[Expression, ...]

CUBE_KEYS_MAX = 11
GROUPING_SETS_MAX = 2**CUBE_KEYS_MAX
"""Source: Trino."""


def has_aggregate(expressions: Iterable[Expression]) -> bool:
    return any(isinstance(node, Aggregate) for expression in expressions for node in walk(expression))


def check_no_mask(expressions: Iterable[Expression]) -> None:
    """Refuse GROUPING where there are no groups."""
    for node in (node for expression in expressions for node in walk(expression)):
        if isinstance(node, GroupingMask):
            place = Identifier(node.line, node.column, "grouping")
            raise fault(place, "A GROUPING() operation can only be used with a corresponding GROUP BY clause")


def expanded_sets(kind: str, sets: Sequence[GroupingSet]) -> list[GroupingSet]:
    """The sets that one element of GROUP BY means; a CUBE is of at most CUBE_KEYS_MAX."""
    if kind == "ROLLUP":
        return [_joined(sets[:count]) for count in range(len(sets), -1, -1)]
    if kind == "CUBE":
        return [_joined(some) for count in range(len(sets), -1, -1) for some in combinations(sets, count)]
    return list(sets)


def _joined(sets: Iterable[GroupingSet]) -> GroupingSet:
    return tuple(key for one in sets for key in in_turns(one))


class Grouper:
    """Rewrites expressions over the FROM of one SELECT into expressions over its groups.

    Equal aggregates become one. A column that is no key, outside an aggregate, is a fault.
    """

    def __init__(self, binding: Binding, source: Sequence[Slot], sets: Sequence[GroupingSet]) -> None:
        self._binding = binding
        self._any_column = next(iter(source), None)
        self._source = frozenset(slot.name for slot in source)
        self._keys: dict[Expression, Slot] = {}
        self._aggregates: dict[Aggregate, Slot] = {}
        self._masks: dict[GroupingMask, Slot] = {}
        for key in in_turns(_joined(sets)):
            if key not in self._keys:
                self._keys[key] = key.slot if isinstance(key, SlotRef) else binding.slot(key.type)
        places = {key: place for place, key in in_turns(enumerate(self._keys))}
        self._sets = tuple(tuple(dict.fromkeys(places[key] for key in in_turns(one))) for one in sets)
        # A constant means the same before and after grouping, and functions may want to see that it is one.
        self._replaced = {key: slot for key, slot in in_turns(self._keys.items()) if not isinstance(key, Literal)}
        self._plain = {slot.name for key, slot in self._keys.items() if isinstance(key, SlotRef)}

    @property
    def grouping(self) -> Grouping:
        """The keys, and the aggregates met so far."""
        return Grouping(
            keys=tuple(Projection(slot, key) for key, slot in self._keys.items()),
            aggregates=tuple(Projection(slot, each) for each, slot in self._aggregates.items()),
            sets=self._sets if len(self._sets) > 1 else None,
            masks=tuple(Projection(slot, each) for each, slot in self._masks.items()),
        )

    def regroup(self, node: Expression) -> Expression:
        if isinstance(node, SlotRef):
            return self._column(node)
        if node in self._replaced:
            return SlotRef(self._replaced[node], "", 0, 0)
        if isinstance(node, Aggregate):
            slot = self._aggregates.setdefault(self._own(node), self._binding.slot(node.type))
            return SlotRef(slot, node.name, node.line, node.column)
        if isinstance(node, GroupingMask):
            return self._mask(node)
        if isinstance(node, Subquery):
            for reference in references(node.query):
                self._column(reference)
        return rebuild(node, self.regroup)

    def _mask(self, node: GroupingMask) -> SlotRef:
        for argument in node.arguments:
            if argument not in self._keys:
                place = Identifier(node.line, node.column, "grouping")
                raise fault(place, "The arguments to GROUPING() must be expressions referenced by the GROUP BY clause")
        keys = tuple(SlotRef(self._keys[argument], "", 0, 0) for argument in node.arguments)
        mask = GroupingMask(keys, node.type, node.line, node.column)
        return SlotRef(self._masks.setdefault(mask, self._binding.slot(node.type)), "grouping", node.line, node.column)

    def _own(self, node: Aggregate) -> Aggregate:
        """An aggregate of columns of outer queries alone is this query's all the same; the engine thinks otherwise.

        So its first argument is made to look at a column that is this query's own.
        """
        parameters = {name for part in walk(node) if isinstance(part, Lambda) for name in part.parameters}
        slots = {part.slot.name for part in walk(node) if isinstance(part, SlotRef)}
        names = {name for name in slots if name.partition(".")[0] not in parameters}
        if not names or names & self._source or any(isinstance(part, Subquery) for part in walk(node)):
            return node
        if self._any_column is None or not node.arguments:
            place = Identifier(node.line, node.column, node.name)
            raise unsupported(place, "An aggregate of nothing but columns of an outer query")
        first, *rest = node.arguments
        own = IsNull(SlotRef(self._any_column, "", node.line, node.column))
        return replace(node, arguments=(Case((own,), (first,), first, first.type), *rest))

    def _column(self, node: SlotRef) -> SlotRef:
        if node.slot.name in self._source and node.slot.name not in self._plain:
            place = Identifier(node.line, node.column, node.label)
            raise fault(place, f"'{node.label}' must be an aggregate expression or appear in GROUP BY clause")
        return node
