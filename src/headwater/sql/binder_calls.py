"""Calls bound: scalar functions, aggregates, window functions, and the forms that only look like functions.

Called through `binder_expressions.FORMS`. Source: sql.md 6.2, 6.3, 6.10, 6.11.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from headwater.errors import Invalid
from headwater.model.types import Scalar, SqlType
from headwater.sql import functions, operators, tree
from headwater.sql.binder_context import (
    Clause,
    ExpressionBinder,
    coerce,
    common_results,
    constants_of,
    fault,
    placed,
    types_of,
    unsupported,
)
from headwater.sql.binder_lambdas import FORMS as LAMBDA_FORMS
from headwater.sql.binder_lambdas import bind_lambda_call, has_lambda, unexpected
from headwater.sql.bound import (
    Aggregate,
    Call,
    Case,
    Coalesce,
    Expression,
    IsNull,
    Literal,
    Nullif,
    SortKey,
    Try,
    Windowed,
)
from headwater.sql.bound_walk import Subquery, walk
from headwater.sql.coercion import Constant, is_comparable
from headwater.sql.signature import Kind, Resolved


def bind_call(binder: ExpressionBinder, node: tree.FunctionCall) -> Expression:
    special = _SPECIAL.get(node.name)
    kind = functions.kind(node.name)
    if special is not None or (node.name in LAMBDA_FORMS and (kind is None or has_lambda(node))):
        _plain(node)
        return (special or bind_lambda_call)(binder, node)
    if node.over is not None:
        return _windowed(binder, node, kind)
    if kind is Kind.AGGREGATE:
        return _aggregate(binder, node)
    if kind is Kind.WINDOW:
        raise fault(node, f"Window function {node.name} requires an OVER clause")
    _plain(node)
    arguments = _arguments(binder, node)
    return binder.apply(node, lambda: _resolve(binder, node, arguments), arguments)


def _resolve(binder: ExpressionBinder, node: tree.FunctionCall, arguments: Sequence[Expression]) -> Resolved:
    return functions.resolve(node.name, types_of(arguments), constants_of(arguments), binder.binding.functions)


def _arguments(binder: ExpressionBinder, node: tree.FunctionCall) -> tuple[Expression, ...]:
    bound = tuple(binder.bind(argument) for argument in node.arguments if not isinstance(argument, tree.Lambda))
    if has_lambda(node):
        raise unexpected(node, types_of(bound), functions.shown(node.name))
    return bound


def _plain(node: tree.FunctionCall) -> None:
    """Refuse on a scalar call what belongs to aggregates."""
    if functions.kind(node.name) is None and node.name not in _SPECIAL and node.name not in LAMBDA_FORMS:
        raise fault(node, f"Function {node.name} not registered")
    if node.star or node.distinct or node.order_by or node.filter is not None or node.nulls is not None:
        raise fault(node, f"DISTINCT, ORDER BY, FILTER, NULLS and * are for aggregates: {node.name} is not one")
    if node.over is not None:
        raise fault(node, f"OVER is for aggregates and window functions: {node.name} is neither")


# Aggregates


def _aggregate(binder: ExpressionBinder, node: tree.FunctionCall) -> Expression:
    if not binder.clause.aggregates:
        raise _misplaced(binder, node)
    if node.nulls is not None:
        raise fault(node, "IGNORE NULLS and RESPECT NULLS are for window functions")
    inner = binder.within(Clause(f"The argument of {node.name}"))
    if binder.inner_scope is not None:
        inner = replace(inner, scope=binder.inner_scope)
    resolved, arguments = _resolved_arguments(inner, node)
    return Aggregate(
        name=resolved.name,
        arguments=arguments,
        type=resolved.result,
        distinct=_distinct(node, arguments),
        order_by=bind_sort_items(inner, node.order_by),
        filter=_filter(inner, node),
        function=resolved,
        line=node.line,
        column=node.column,
    )


def _misplaced(binder: ExpressionBinder, node: tree.FunctionCall) -> Invalid:
    return fault(
        node, f"{binder.clause.name} cannot contain aggregations, window functions or grouping operations: {node.name}"
    )


def _resolved_arguments(binder: ExpressionBinder, node: tree.FunctionCall) -> tuple[Resolved, tuple[Expression, ...]]:
    """The aggregate or window function of a call, and its arguments in the types it wants."""
    bound = () if node.star else _arguments(binder, node)
    if node.star and node.name != "count":
        raise fault(node, f"* is an argument of count only, not of {node.name}")

    def converted() -> tuple[Resolved, tuple[Expression, ...]]:
        resolved = _resolve(binder, node, bound)
        return resolved, tuple(map(coerce, bound, resolved.argument_types))

    return placed(node, converted)


def _distinct(node: tree.FunctionCall, arguments: Sequence[Expression]) -> bool:
    for argument in arguments if node.distinct else ():
        if not is_comparable(argument.type):
            raise fault(node, f"DISTINCT can only be applied to comparable types (actual: {argument.type})")
    return node.distinct


def _filter(binder: ExpressionBinder, node: tree.FunctionCall) -> Expression | None:
    if node.filter is None:
        return None
    return binder.boolean(node.filter, "FILTER clause must evaluate to a boolean: actual type {}")


def bind_sort_items(binder: ExpressionBinder, items: Sequence[tree.SortItem]) -> tuple[SortKey, ...]:
    """The sort keys of an aggregate or window; constants sort nothing and are left out."""
    bound = ((item, binder.bind(item.expression)) for item in items)
    return tuple(sort_key(item, expression) for item, expression in bound if not isinstance(expression, Literal))


def sort_key(item: tree.SortItem, expression: Expression) -> SortKey:
    if not is_comparable(expression.type):
        raise fault(item, f"Type {expression.type} is not orderable, and therefore cannot be used in ORDER BY")
    return SortKey(expression, item.descending, bool(item.nulls_first))


# Windows


def _windowed(binder: ExpressionBinder, node: tree.FunctionCall, kind: Kind | None) -> Expression:
    if kind is Kind.SCALAR or kind is None:
        _plain(node)
    if not binder.clause.windows:
        raise _misplaced(binder, node)
    if node.order_by:
        raise unsupported(node, "ORDER BY inside a window function")
    if kind is Kind.AGGREGATE and node.nulls == "IGNORE":
        raise fault(node, f"Cannot specify null treatment clause for {node.name} function")
    inner = binder.within(Clause(f"The window function {node.name}", aggregates=binder.clause.aggregates))
    window = _window(binder, node)
    resolved, arguments = _resolved_arguments(inner, node)
    partition_by = inner.bind_all(window.partition_by)
    for partition in partition_by:
        if not is_comparable(partition.type):
            raise fault(window, f"{partition.type} is not comparable, and therefore cannot be used in PARTITION BY")
    order_by = bind_sort_items(inner, window.order_by)
    frame, offsets = ("", ()) if window.frame is None else _frame(inner, window.frame, order_by)
    return Windowed(
        name=resolved.name,
        arguments=arguments,
        type=resolved.result,
        distinct=_distinct(node, arguments),
        filter=_filter(inner, node),
        ignore_nulls=node.nulls == "IGNORE",
        partition_by=partition_by,
        order_by=order_by,
        frame=frame,
        offsets=offsets,
        function=resolved,
        line=node.line,
        column=node.column,
    )


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


def _frame(
    binder: ExpressionBinder, frame: tree.Frame, order_by: tuple[SortKey, ...]
) -> tuple[str, tuple[Expression, ...]]:
    """A frame's text with {} for each offset, and the offsets."""
    bounds = (frame.start, frame.end or tree.FrameBound(frame.line, frame.column, "CURRENT ROW", None))
    texts: list[str] = []
    offsets: list[Expression] = []
    for bound in bounds:
        if bound.offset is not None:
            offsets.append(_offset(binder, frame, bound.offset, order_by))
            texts.append(f"({{}}) {bound.kind}")
        else:
            texts.append(bound.kind)
    if bounds[0].kind == "UNBOUNDED FOLLOWING" or bounds[1].kind == "UNBOUNDED PRECEDING":
        raise fault(frame, f"Window frame cannot go from {bounds[0].kind} to {bounds[1].kind}")
    return f"{frame.unit} BETWEEN {texts[0]} AND {texts[1]}", tuple(offsets)


def _offset(
    binder: ExpressionBinder, frame: tree.Frame, node: tree.Expression, order_by: tuple[SortKey, ...]
) -> Expression:
    """How far a frame reaches. In a RANGE it is a difference of values of the one sort key."""
    offset = binder.bind(node)
    if frame.unit != "RANGE":
        if offset.type not in (Scalar.INTEGER, Scalar.BIGINT):
            raise fault(node, f"Window frame {frame.unit} value type must be a whole number (actual {offset.type})")
        return offset
    if len(order_by) != 1:
        raise fault(frame, "Window frame of type RANGE PRECEDING or FOLLOWING requires single sort item in ORDER BY")
    sorted_type = order_by[0].type
    wanted = _RANGE_OFFSETS.get(sorted_type) if isinstance(sorted_type, Scalar) else None
    if wanted is None:
        raise unsupported(frame, f"A RANGE frame over {sorted_type}")
    if offset.type not in wanted:
        raise fault(node, f"Window frame RANGE value type {offset.type} does not fit sort item type {sorted_type}")
    return offset


_WHOLE = (Scalar.INTEGER, Scalar.BIGINT)
_RANGE_OFFSETS: dict[SqlType, tuple[Scalar, ...]] = {
    Scalar.INTEGER: _WHOLE,
    Scalar.BIGINT: _WHOLE,
    Scalar.DOUBLE: (*_WHOLE, Scalar.DOUBLE),
    Scalar.TIMESTAMP: (Scalar.INTERVAL_DAY_TO_SECOND,),
    Scalar.INTERVAL_DAY_TO_SECOND: (Scalar.INTERVAL_DAY_TO_SECOND,),
}


# Forms that look like functions


def _count(node: tree.FunctionCall, low: int, high: int) -> None:
    if not low <= len(node.arguments) <= high:
        raise fault(node, f"Invalid number of arguments for function {node.name}: {len(node.arguments)}")


def _if(binder: ExpressionBinder, node: tree.FunctionCall) -> Expression:
    _count(node, 2, 3)
    condition, *results = _arguments(binder, node)
    if condition.type not in (Scalar.BOOLEAN, Scalar.UNKNOWN):
        raise fault(node, f"IF condition must evaluate to a boolean (actual: {condition.type})")
    if len(results) == 1:
        results.append(Literal(Constant(None), Scalar.UNKNOWN))
    (then, default), common = common_results(binder, node, results)
    return Case((coerce(condition, Scalar.BOOLEAN),), (then,), default, common)


def _coalesce(binder: ExpressionBinder, node: tree.FunctionCall) -> Expression:
    _count(node, 1, 10_000)
    bound = _arguments(binder, node)
    kinds = ", ".join(dict.fromkeys(map(str, types_of(bound))))
    common = binder.common(bound, node, f"All COALESCE operands must be the same type: {kinds}")
    return placed(node, lambda: Coalesce(tuple(coerce(operand, common) for operand in bound), common))


def _nullif(binder: ExpressionBinder, node: tree.FunctionCall) -> Expression:
    _count(node, 2, 2)
    operand, other = _arguments(binder, node)

    def made() -> Expression:
        equal = operators.binary("=", types_of((operand, other)), [None, *constants_of((other,))])
        return Nullif(operand, coerce(other, equal.argument_types[1]), equal)

    return placed(node, made)


def _try(binder: ExpressionBinder, node: tree.FunctionCall) -> Expression:
    """The engine's TRY takes neither subqueries nor windows nor anything volatile."""
    _count(node, 1, 1)
    operand = _arguments(binder, node)[0]
    for part in walk(operand):
        if isinstance(part, Subquery):
            raise unsupported(node, "TRY of a subquery")
        if isinstance(part, Windowed):
            raise unsupported(node, "TRY of a window function")
        if isinstance(part, Call) and part.function.is_volatile:
            raise unsupported(node, f"TRY of {part.name}")
    return Try(operand)


def _typeof(binder: ExpressionBinder, node: tree.FunctionCall) -> Expression:
    """A constant, but an aggregate in it still makes the query an aggregation: so it stays in the expression."""
    _count(node, 1, 1)
    operand = _arguments(binder, node)[0]
    name = Literal(Constant(str(operand.type)), Scalar.VARCHAR)
    if any(isinstance(part, Aggregate) for part in walk(operand)):
        return Case((IsNull(operand),), (name,), name, Scalar.VARCHAR)
    return name


def _grouping(_: ExpressionBinder, node: tree.FunctionCall) -> Expression:
    raise unsupported(node, "GROUPING")


_SPECIAL: dict[str, Callable[[ExpressionBinder, tree.FunctionCall], Expression]] = {
    "if": _if,
    "coalesce": _coalesce,
    "nullif": _nullif,
    "try": _try,
    "typeof": _typeof,
    "grouping": _grouping,
}
