"""What a name may mean at one place of a query: the columns in sight, and how a name finds its column.

The binder makes a scope for every FROM, ORDER BY and lambda; a subquery's scope has the one around it as `outer`.
Nothing here knows of tables or of the engine.

Names are compared byte by byte. Source: sql.md 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from headwater.model.types import Row
from headwater.sql.bound import Slot
from headwater.threads import in_turns


@dataclass(frozen=True, slots=True)
class ScopeColumn:
    """One column in sight.

    `qualifiers` are the names it may be qualified with: none for a computed column, the alias or the table's name.
    `name` is None for a column that only `*` can reach. A column merged by USING is found by its bare name in the
    merged form only, so the ones it was made of have `bare` False, which hides them from `*` too.
    """

    qualifiers: tuple[str, ...]
    name: str | None
    slot: Slot
    bare: bool = True

    def is_of(self, qualifier: tuple[str, ...]) -> bool:
        """Whether `qualifier`, an alias or a table with or without database, names the relation this column is of."""
        return self.qualifiers[-len(qualifier) :] == qualifier


class Ambiguous(Exception):
    """Several columns answer to one name. The binder makes it a fault with a position."""


@dataclass(slots=True)
class Scope:
    """The columns in sight at one level; `outer` is the level around it."""

    columns: tuple[ScopeColumn, ...]
    outer: Scope | None = None
    _slots: dict[tuple[str, ...], list[Slot]] = field(init=False, default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for column in in_turns(self.columns):
            for key in _keys(column):
                self._slots.setdefault(key, []).append(column.slot)

    def find(self, name: tuple[str, ...]) -> tuple[Slot, int] | None:
        """What a dotted name starts with: a column, here or further out, and how many parts of `name` say it.

        Several parts may be a qualified column or a field of a row, in this order at each level; what is left over
        names fields. None if there is no such column. Raises Ambiguous.
        """
        scope: Scope | None = self
        while scope is not None:
            for used in (3, 2):
                if len(name) >= used and (slots := scope._slots.get(name[:used])):
                    return _only(slots), used
            slots = scope._slots.get(name[:1], [])
            if slots and (len(name) == 1 or any(isinstance(slot.type, Row) for slot in slots)):
                return _only(slots), 1
            scope = scope.outer
        return None

    def star(self, qualifier: tuple[str, ...]) -> tuple[ScopeColumn, ...]:
        """What `*`, or `a.*`, stands for; empty if no relation is called that. Never looks further out."""
        return tuple(c for c in self.columns if c.bare and (not qualifier or c.is_of(qualifier)))


def _only(slots: Iterable[Slot]) -> Slot:
    distinct = set(slots)
    if len(distinct) > 1:
        raise Ambiguous
    return distinct.pop()


def _keys(column: ScopeColumn) -> Iterable[tuple[str, ...]]:
    """Every way to say the column: bare, with the last part of its qualifier, and with its database too."""
    if column.name is None:
        return
    if column.bare:
        yield (column.name,)
    for start in range(len(column.qualifiers)):
        yield (*column.qualifiers[start:], column.name)
