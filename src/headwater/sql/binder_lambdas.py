"""Calls with lambdas bound. Their rows are in the function table like all others; this finds types for their bodies.

Called by `binder_calls`. A lambda sees its parameters first, then all that its place in the query sees. Source: sql.md
5, 6.8, 7.7; what the guide does not list is Trino's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from headwater.errors import Invalid
from headwater.model.types import Scalar, SqlType
from headwater.sql import functions, tree
from headwater.sql.binder_context import (
    Clause,
    ExpressionBinder,
    coerce,
    constants_of,
    fault,
    placed,
    types_of,
)
from headwater.sql.bound import Expression, Lambda, LambdaCall, Slot
from headwater.sql.scope import Scope, ScopeColumn
from headwater.sql.signature import Begun, LambdaGiven


def has_lambda(node: tree.FunctionCall) -> bool:
    return any(isinstance(argument, tree.Lambda) for argument in node.arguments)


def bind_lambda_call(binder: ExpressionBinder, node: tree.FunctionCall) -> Expression:
    """Ordinary arguments first: what they are decides what the lambdas get. Lambdas in their order."""
    values = [binder.bind(argument) for argument in node.arguments if not isinstance(argument, tree.Lambda)]
    written = [argument for argument in node.arguments if isinstance(argument, tree.Lambda)]
    rest = iter(types_of(values))
    given = [LambdaGiven() if isinstance(argument, tree.Lambda) else next(rest) for argument in node.arguments]
    context = binder.binding.functions
    begun = placed(node, lambda: functions.begin(node.name, given, constants_of(values), context))
    bound = tuple(_bind(binder, node, begun, index, each) for index, each in enumerate(written))

    def ended() -> Expression:
        resolved = begun.end()
        arguments = tuple(map(coerce, values, resolved.argument_types))
        return LambdaCall(resolved.name, arguments, bound, resolved.result, resolved)

    return placed(node, ended)


def _bind(binder: ExpressionBinder, call: tree.FunctionCall, begun: Begun, index: int, node: tree.Lambda) -> Lambda:
    """The index-th lambda of a call. Its body is of the type that the row and the lambdas before it say, if they do."""
    kinds, places = begun.parameters(index), begun.places[index]
    if len(node.parameters) != len(kinds):
        there = len(node.parameters)
        raise fault(node, f"Expected a lambda that takes {len(kinds)} argument(s) but got {there}")
    # The engine's names: equal lambdas have equal ones, and one inside another has none of its.
    own = [f"p{binder.lambdas}_{place}" for place in range(_parameters(places))]
    slots = [Slot(place.format(*own), kind) for place, kind in zip(places, kinds, strict=True)]
    columns = tuple(ScopeColumn((), name, slot) for name, slot in zip(node.parameters, slots, strict=True))
    scope = Scope(columns, binder.scope)
    inner = replace(binder, scope=scope, inner_scope=None, clause=_BODY, lambdas=binder.lambdas + 1)
    body = inner.bind(node.body)
    return Lambda(tuple(own), _typed(call, node, body, begun.told(index, body.type)))


def _typed(call: tree.FunctionCall, node: tree.Lambda, body: Expression, wanted: SqlType) -> Expression:
    """The state of `reduce` keeps the type it starts with: nothing is converted on the way. Source: sql.md 7.7."""
    if body.type not in (wanted, Scalar.UNKNOWN):
        raise fault(node.body, f"A lambda of {call.name} must give {wanted} here (actual: {body.type})")
    return coerce(body, wanted)


def _parameters(places: Sequence[str]) -> int:
    """How many parameters the engine's lambda has, of which `places` are texts over."""
    return 2 if any("{1}" in place for place in places) else 1


_BODY = Clause("Lambda expression")


def unexpected(node: tree.FunctionCall, kinds: Sequence[SqlType], expected: str) -> Invalid:
    """The fault of a lambda where there can be none; `kinds` are the types of the other arguments."""
    rest = iter(kinds)
    given = ", ".join("function" if isinstance(a, tree.Lambda) else str(next(rest)) for a in node.arguments)
    return fault(node, f"Unexpected parameters ({given}) for function {node.name}. Expected: {expected}")
