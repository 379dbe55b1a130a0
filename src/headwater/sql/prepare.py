"""Where the columns of a result come from. Called by `compile` for PrepareQuery. Source: query-api.md 3."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.model.types import OutputColumn
from headwater.sql.bound import (
    CommonTableUse,
    Derived,
    Extended,
    Join,
    Query,
    Relation,
    Scan,
    Select,
    Slot,
    SlotRef,
    Unnest,
)
from headwater.sql.plan import PreparedColumn

_Origin = tuple[tuple[str, str], str]
"""The table of a column, and the column's name there."""


def prepared_columns(query: Query, columns: Sequence[OutputColumn]) -> tuple[PreparedColumn, ...]:
    """`columns` are those of the query as clients see them."""
    pairs = zip(columns, query.outputs, strict=True)
    return tuple(_prepared(query, column, output.slot, has_name=output.name is not None) for column, output in pairs)


def _prepared(query: Query, column: OutputColumn, slot: Slot, *, has_name: bool) -> PreparedColumn:
    origin = _in_query(query, slot)
    if origin is None:
        return PreparedColumn(column.name, column.type, None, has_name)
    table, name = origin
    return PreparedColumn(column.name, column.type, table, column.name != name)


def _in_query(query: Query, slot: Slot) -> _Origin | None:
    """The table's column that an output of a query is, unchanged."""
    select = query.body
    if not isinstance(select, Select):
        return None
    # A group's key that is a plain column keeps its slot: so what is computed from a key is found in the source.
    inner = next(projection.expression for projection in select.projections if projection.slot == slot)
    if not isinstance(inner, SlotRef) or select.source is None:
        return None
    return _in_relation(select.source, inner.slot)


def _in_relation(relation: Relation, slot: Slot) -> _Origin | None:
    if isinstance(relation, Scan):
        names = (column.name for column, own in relation.columns if own == slot)
        name = next(names, None)
        return None if name is None else (relation.address, name)
    if isinstance(relation, Derived):
        return _in_query(relation.query, slot)
    if isinstance(relation, CommonTableUse):
        inner = next((inner for inner, own in relation.slots if own == slot), None)
        return None if inner is None else _in_query(relation.table.query, inner)
    if isinstance(relation, Join):
        return _in_relation(relation.left, slot) or _in_relation(relation.right, slot)
    if isinstance(relation, Unnest | Extended) and relation.source is not None:
        return _in_relation(relation.source, slot)
    return None
