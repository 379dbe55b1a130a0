"""Calls bound: scalar functions, aggregates, window functions, and the forms that only look like functions.

Called through `binder_expressions.FORMS`. Source: sql.md 6.2, 6.3, 6.10, 6.11.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from headwater.errors import Invalid
from headwater.model.types import Scalar
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
)
from headwater.sql.binder_lambdas import bind_lambda_call, has_lambda, unexpected
from headwater.sql.binder_windows import bind_sort_items, bind_window
from headwater.sql.bound import (
    Aggregate,
    Case,
    Coalesce,
    Coerce,
    Expression,
    GroupingMask,
    IsNull,
    Literal,
    Nullif,
    SortKey,
    Try,
    Windowed,
)
from headwater.sql.bound_walk import walk
from headwater.sql.coercion import is_comparable
from headwater.sql.constant import Constant
from headwater.sql.lexer import syntax_error
from headwater.sql.signature import Kind, Resolved


def bind_call(binder: ExpressionBinder, node: tree.FunctionCall) -> Expression:
    special = _SPECIAL.get(node.name)
    kind = functions.kind(node.name)
    if special is not None or (kind is Kind.SCALAR and has_lambda(node)):
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
    if node.name == "ago" and types_of(arguments) == [Scalar.VARCHAR]:
        # The service calls this one wrong type an error of syntax. Source: sql.md 8.
        raise syntax_error(node.line, node.column)
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
    if functions.kind(node.name) is None and node.name not in _SPECIAL:
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
    order_by = bind_sort_items(inner, node.order_by)
    if node.distinct:
        order_by = _among(node, arguments, order_by)
    return Aggregate(
        name=resolved.name,
        arguments=arguments,
        type=resolved.result,
        distinct=_distinct(node, arguments),
        order_by=order_by,
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


def _among(
    node: tree.FunctionCall, arguments: Sequence[Expression], order_by: Sequence[SortKey]
) -> tuple[SortKey, ...]:
    """Sort keys that are arguments, as the arguments: of rows that DISTINCT makes one, another key would be any."""
    found = {argument.operand if isinstance(argument, Coerce) else argument: argument for argument in arguments}
    for key in order_by:
        if key.operand not in found:
            raise fault(node, "For aggregate function with DISTINCT, ORDER BY expressions must appear in arguments")
    return tuple(replace(key, operand=found[key.operand]) for key in order_by)


def _filter(binder: ExpressionBinder, node: tree.FunctionCall) -> Expression | None:
    if node.filter is None:
        return None
    return binder.boolean(node.filter, "FILTER clause must evaluate to a boolean: actual type {}")


# Windows


def _windowed(binder: ExpressionBinder, node: tree.FunctionCall, kind: Kind | None) -> Expression:
    if kind is Kind.SCALAR or kind is None:
        _plain(node)
    if not binder.clause.windows:
        raise _misplaced(binder, node)
    if node.order_by:
        raise fault(node, "Window function with ORDER BY is not supported")
    if kind is Kind.AGGREGATE and node.nulls == "IGNORE":
        raise fault(node, f"Cannot specify null treatment clause for {node.name} function")
    inner = binder.within(Clause(f"The window function {node.name}", aggregates=binder.clause.aggregates))
    resolved, arguments = _resolved_arguments(inner, node)
    window = bind_window(inner, node)
    return Windowed(
        name=resolved.name,
        arguments=arguments,
        type=resolved.result,
        distinct=_distinct(node, arguments),
        filter=_filter(inner, node),
        ignore_nulls=node.nulls == "IGNORE",
        partition_by=window.partition_by,
        order_by=window.order_by,
        frame=window.frame,
        offsets=window.offsets,
        function=resolved,
        line=node.line,
        column=node.column,
    )


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
    _count(node, 1, 1)
    return Try(_arguments(binder, node)[0])


def _typeof(binder: ExpressionBinder, node: tree.FunctionCall) -> Expression:
    """A constant, but an aggregate in it still makes the query an aggregation: so it stays in the expression."""
    _count(node, 1, 1)
    operand = _arguments(binder, node)[0]
    name = Literal(Constant(str(operand.type)), Scalar.VARCHAR)
    if any(isinstance(part, Aggregate) for part in walk(operand)):
        return Case((IsNull(operand),), (name,), name, Scalar.VARCHAR)
    return name


def _grouping(binder: ExpressionBinder, node: tree.FunctionCall) -> Expression:
    """GROUPING of keys; that they are keys, the grouping finds out. Integers as Trino has them."""
    _count(node, 1, 63)
    if not binder.clause.aggregates:
        raise _misplaced(binder, node)
    inner = binder if binder.inner_scope is None else replace(binder, scope=binder.inner_scope)
    arguments = _arguments(inner, node)
    kind = Scalar.INTEGER if len(arguments) < 32 else Scalar.BIGINT
    return GroupingMask(arguments, kind, node.line, node.column)


_SPECIAL: dict[str, Callable[[ExpressionBinder, tree.FunctionCall], Expression]] = {
    "if": _if,
    "coalesce": _coalesce,
    "nullif": _nullif,
    "try": _try,
    "typeof": _typeof,
    "grouping": _grouping,
}
