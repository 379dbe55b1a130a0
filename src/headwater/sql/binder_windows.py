"""ORDER BY items and what stands after OVER, bound: partitions, order and frame.

Called by the other binder files. Source: sql.md 6.11; what it leaves open is as in Trino.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from headwater.model.types import Scalar
from headwater.sql import operators, tree
from headwater.sql.binder_context import ExpressionBinder, fault
from headwater.sql.bound import Expression, Literal, SortKey
from headwater.sql.coercion import is_comparable


def bind_sort_items(binder: ExpressionBinder, items: Sequence[tree.SortItem]) -> tuple[SortKey, ...]:
    """The sort keys of an aggregate or window; constants sort nothing and are left out."""
    bound = ((item, binder.bind(item.expression)) for item in items)
    return tuple(sort_key(item, expression) for item, expression in bound if not isinstance(expression, Literal))


def sort_key(item: tree.SortItem, expression: Expression) -> SortKey:
    if not is_comparable(expression.type):
        raise fault(item, f"Type {expression.type} is not orderable, and therefore cannot be used in ORDER BY")
    return SortKey(expression, item.descending, bool(item.nulls_first))


@dataclass(frozen=True, slots=True)
class BoundWindow:
    """The fields of the same names in `bound.Windowed`."""

    partition_by: tuple[Expression, ...]
    order_by: tuple[SortKey, ...]
    frame: str
    offsets: tuple[Expression, ...]


def bind_window(binder: ExpressionBinder, node: tree.FunctionCall) -> BoundWindow:
    """The window of a call; `binder` is that of what stands inside it."""
    window = _window(binder, node)
    partition_by = binder.bind_all(window.partition_by)
    for partition in partition_by:
        if not is_comparable(partition.type):
            raise fault(window, f"{partition.type} is not comparable, and therefore cannot be used in PARTITION BY")
    order_by = bind_sort_items(binder, window.order_by)
    frame, offsets = ("", ()) if window.frame is None else _frame(binder, window.frame, order_by)
    return BoundWindow(partition_by, order_by, frame, offsets)


def _window(binder: ExpressionBinder, node: tree.FunctionCall) -> tree.Window:
    """The window of a call, a named one looked up."""
    over = node.over
    assert over is not None
    if isinstance(over, tree.Window):
        return over if over.base is None else _extended(over, _named_window(binder, over, over.base))
    return _named_window(binder, node, over)


def _named_window(binder: ExpressionBinder, node: tree.Node, name: str) -> tree.Window:
    """A window of the WINDOW clause. It may start from one defined before it, never from itself or a later one."""
    found: dict[str, tree.Window] = {}
    for definition in binder.windows:
        window = definition.window
        if window.base is not None:
            if window.base not in found:
                raise fault(window, f"Cannot resolve WINDOW name {window.base}")
            window = _extended(window, found[window.base])
        found[definition.name] = window
    if name not in found:
        raise fault(node, f"Cannot resolve WINDOW name {name}")
    return found[name]


def _extended(window: tree.Window, base: tree.Window) -> tree.Window:
    if window.partition_by or (window.order_by and base.order_by) or base.frame is not None:
        raise fault(window, "A window cannot change the PARTITION BY, ORDER BY or frame of the window it starts from")
    return replace(window, base=None, partition_by=base.partition_by, order_by=window.order_by or base.order_by)


# Frames

_RANKS = ("UNBOUNDED PRECEDING", "PRECEDING", "CURRENT ROW", "FOLLOWING", "UNBOUNDED FOLLOWING")


def _frame(
    binder: ExpressionBinder, frame: tree.Frame, order_by: tuple[SortKey, ...]
) -> tuple[str, tuple[Expression, ...]]:
    """A frame's text with {} for each offset, and the offsets."""
    bounds = (frame.start, frame.end or tree.FrameBound(frame.line, frame.column, "CURRENT ROW", None))
    _check_order(frame, bounds[0], bounds[1])
    texts: list[str] = []
    offsets: list[Expression] = []
    for bound in bounds:
        if bound.offset is not None:
            side = "ending" if bound is frame.end else "starting"
            offsets.append(_offset(binder, frame, bound, bound.offset, side, order_by))
            texts.append(f"({{}}) {bound.kind}")
        else:
            texts.append(bound.kind)
    return f"{frame.unit} BETWEEN {texts[0]} AND {texts[1]}", tuple(offsets)


def _check_order(frame: tree.Frame, start: tree.FrameBound, end: tree.FrameBound) -> None:
    if start.kind == "UNBOUNDED FOLLOWING":
        raise fault(frame, "Window frame start cannot be UNBOUNDED FOLLOWING")
    if end.kind == "UNBOUNDED PRECEDING":
        raise fault(frame, "Window frame end cannot be UNBOUNDED PRECEDING")
    if _RANKS.index(start.kind) > _RANKS.index(end.kind):
        raise fault(frame, f"Window frame starting from {start.kind} cannot end with {end.kind}")


def _offset(
    binder: ExpressionBinder,
    frame: tree.Frame,
    bound: tree.FrameBound,
    node: tree.Expression,
    side: str,
    order_by: tuple[SortKey, ...],
) -> Expression:
    """How far a frame reaches. In a RANGE it is a difference of values of the one sort key."""
    offset = binder.bind(node)
    if isinstance(offset, Literal) and offset.constant.holds(_is_no_distance):
        raise fault(node, f"Window frame {side} offset must not be negative or null")
    if frame.unit != "RANGE":
        if offset.type not in (Scalar.INTEGER, Scalar.BIGINT):
            raise fault(node, f"Window frame {frame.unit} value type must be a whole number (actual {offset.type})")
        return offset
    if len(order_by) != 1:
        raise fault(frame, "Window frame of type RANGE PRECEDING or FOLLOWING requires single sort item in ORDER BY")
    key = order_by[0]
    is_back = (bound.kind == "PRECEDING") != key.descending
    distance = operators.frame_distance(key.type, offset.type, is_back=is_back)
    if distance is None:
        raise fault(node, f"Window frame RANGE value type {offset.type} does not fit sort item type {key.type}")
    return binder.apply(node, lambda: distance, (key.operand, offset))


def _is_no_distance(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and value < 0)
