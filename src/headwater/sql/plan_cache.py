"""Templates of queries by the shape of their texts, the least recently used forgotten. Used by `compile` only.

A template found here has been made from a text of the same shape (shape.py), over tables that are as they were, with
the same values of pinned literals and the same answers about the others. Any thread may call.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from headwater.errors import Invalid
from headwater.model.table import Columns, TableId
from headwater.sql.binder_context import Names
from headwater.sql.constant import NOW, Changed
from headwater.sql.plan import QueryPlan
from headwater.sql.shape import Shape
from headwater.sql.template import Template

SHAPES = 512
TEMPLATES_OF_A_SHAPE = 16
"""There are several where literals are pinned."""


@dataclass(slots=True)
class RecordedNames:
    """Names that remembers what it has answered: a template is of use as long as the answers are the same."""

    names: Names
    databases: dict[str, bool] = field(default_factory=dict)
    tables: dict[tuple[str, str], tuple[TableId, Columns] | None] = field(default_factory=dict)

    def has_database(self, name: str) -> bool:
        answer = self.databases[name] = self.names.has_database(name)
        return answer

    def table(self, database: str, name: str) -> tuple[TableId, Columns] | None:
        answer = self.tables[database, name] = self.names.table(database, name)
        return answer

    def are_as_they_were(self) -> bool:
        return all(self.names.table(*address) == answer for address, answer in self.tables.items()) and all(
            self.names.has_database(name) == answer for name, answer in self.databases.items()
        )


@dataclass(frozen=True, slots=True)
class _Entry:
    template: Template
    names: RecordedNames
    pinned: tuple[tuple[int, Any], ...]

    def plan(self, values: Sequence[Any]) -> QueryPlan | None:
        """The plan for `values`; None if the template does not fit them."""
        if any(values[place] != known for place, known in self.pinned) or not self.names.are_as_they_were():
            return None
        try:
            return self.template.plan(values) if self.template.fits(values) else None
        except (Changed, Invalid):
            # What is wrong with the values, if anything, a compilation says with its position.
            return None


class PlanCache:
    def __init__(self) -> None:
        self._shapes: OrderedDict[str, tuple[_Entry, ...]] = OrderedDict()
        self._lock = threading.Lock()

    def plan(self, shape: Shape, values: Sequence[Any]) -> QueryPlan | None:
        with self._lock:
            entries = self._shapes.get(shape.key)
            if entries is None:
                return None
            self._shapes.move_to_end(shape.key)
        return next((plan for entry in entries if (plan := entry.plan(values)) is not None), None)

    def add(self, shape: Shape, template: Template, names: RecordedNames, values: Sequence[Any]) -> None:
        """Keep a template made from `values`, unless it is good for this one instant only."""
        pinned = template.trace.pinned
        if NOW in pinned:
            return
        entry = _Entry(template, names, tuple((place, values[place]) for place in sorted(pinned)))
        with self._lock:
            others = self._shapes.pop(shape.key, ())
            self._shapes[shape.key] = (entry, *others[: TEMPLATES_OF_A_SHAPE - 1])
            if len(self._shapes) > SHAPES:
                self._shapes.popitem(last=False)
