"""Rows of comparison functions. Source: sql.md 6.1."""

from __future__ import annotations

from headwater.sql.signature import Call, row


def _extreme(call: Call) -> str:
    """The engine skips NULLs; the dialect gives NULL if there is one. NaN counts as the largest (ours)."""
    all_there = " AND ".join(f"{text} IS NOT NULL" for text in call.texts)
    return f"CASE WHEN {all_there} THEN {call.name}({', '.join(call.texts)}) END"


ROWS = (
    row("greatest(E...) -> E", _extreme, source="6.1"),
    row("least(E...) -> E", _extreme, source="6.1"),
)
