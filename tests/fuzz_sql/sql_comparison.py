"""Whether two answers are the same: as multisets of rows, or row by row; doubles to a relative tolerance."""

from __future__ import annotations

import math
from typing import Any

Row = tuple[Any, ...]

TOLERANCE = 1e-9


def are_equal(ours: list[Row], theirs: list[Row], *, is_ordered: bool) -> bool:
    if len(ours) != len(theirs):
        return False
    if is_ordered:
        return all(map(_alike, ours, theirs))
    return all(map(_alike, sorted(ours, key=_order), sorted(theirs, key=_order))) or _match(ours, theirs)


def _alike(one: Row, other: Row) -> bool:
    return len(one) == len(other) and all(map(_same, one, other))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float | int):
        if math.isnan(one) or math.isnan(other):
            return math.isnan(one) and math.isnan(other)
        return one == other or math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return type(one) is type(other) and bool(one == other)


def _order(row: Row) -> list[tuple[str, Any]]:
    """Any order that equal rows agree about; doubles last, as they may differ a little."""
    exact = [("", 0) if cell is None else (type(cell).__name__, cell) for cell in row if not isinstance(cell, float)]
    return exact + [("float", _sortable(cell)) for cell in row if isinstance(cell, float)]


def _sortable(number: float) -> float:
    return -math.inf if math.isnan(number) else number


def _match(ours: list[Row], theirs: list[Row]) -> bool:
    """As multisets, one by one: where doubles differ a little, sorting may not bring partners together."""
    left = list(theirs)
    for row in ours:
        partner = next((place for place, other in enumerate(left) if _alike(row, other)), None)
        if partner is None:
            return False
        del left[partner]
    return True
