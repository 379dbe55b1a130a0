"""Calls with lambdas bound: `filter`, `reduce`, `transform`, the matches, `regexp_replace`.

Called by `binder_calls`. A lambda sees its parameters first, then all that its place in the query sees. Source: sql.md
5, 6.8, 7.7; what the guide does not list is Trino's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from headwater.errors import Invalid
from headwater.model.types import Array, Field, Row, Scalar, SqlType, Timeseries
from headwater.sql import functions, tree
from headwater.sql.binder_context import (
    Clause,
    ExpressionBinder,
    coerce,
    constant_of,
    constants_of,
    fault,
    placed,
    types_of,
    unsupported,
)
from headwater.sql.bound import Expression, Lambda, LambdaCall, Literal, Slot
from headwater.sql.bound_walk import Subquery, walk
from headwater.sql.coercion import Constant
from headwater.sql.functions import lambdas
from headwater.sql.functions.lambdas import Write
from headwater.sql.functions.regex import GROUPS_NAMED, Pattern
from headwater.sql.scope import Scope, ScopeColumn

_NO_ELEMENTS = Array(Scalar.UNKNOWN)


@dataclass(frozen=True, slots=True)
class _Given:
    """A call whose arguments have the right shape: `values`, then `lambdas`. `element` is what the first is made of."""

    binder: ExpressionBinder
    node: tree.FunctionCall
    values: list[Expression]
    lambdas: list[tree.Lambda]
    element: SqlType

    def call(self, type_: SqlType, bound: Sequence[Lambda], write: Write) -> LambdaCall:
        return LambdaCall(self.node.name, tuple(self.values), tuple(bound), type_, write)


@dataclass(frozen=True, slots=True)
class _Form:
    """How many ordinary arguments, then how many lambdas a function takes; `shown` is for faults.

    `of_null` is what a bare NULL as the first argument is taken for.
    """

    values: int
    lambdas: int
    takes_series: bool
    bind: Callable[[_Given], Expression]
    shown: str
    of_null: SqlType = _NO_ELEMENTS


def has_lambda(node: tree.FunctionCall) -> bool:
    return any(isinstance(argument, tree.Lambda) for argument in node.arguments)


def bind_lambda_call(binder: ExpressionBinder, node: tree.FunctionCall) -> Expression:
    form = FORMS[node.name]
    values = [binder.bind(argument) for argument in node.arguments if not isinstance(argument, tree.Lambda)]
    written = [argument for argument in node.arguments[form.values :] if isinstance(argument, tree.Lambda)]
    element = None
    if len(values) == form.values and len(written) == form.lambdas:
        values[0] = coerce(values[0], form.of_null) if values[0].type is Scalar.UNKNOWN else values[0]
        element = _element(values[0].type, form)
    if element is None:
        raise unexpected(node, types_of(values), form.shown)
    return form.bind(_Given(binder, node, values, written, element))


def unexpected(node: tree.FunctionCall, kinds: Sequence[SqlType], expected: str) -> Invalid:
    """The fault of arguments that fit no row; `kinds` are the types of those that are not lambdas."""
    rest = iter(kinds)
    given = ", ".join("function" if isinstance(a, tree.Lambda) else str(next(rest)) for a in node.arguments)
    return fault(node, f"Unexpected parameters ({given}) for function {node.name}. Expected: {expected}")


def _element(kind: SqlType, form: _Form) -> SqlType | None:
    """What a lambda gets of an array, of a timeseries a row of time and value; None for what the function refuses."""
    if kind is Scalar.VARCHAR and form.of_null is Scalar.VARCHAR:
        return kind
    if form.of_null is Scalar.VARCHAR:
        return None
    if isinstance(kind, Array):
        return kind.element
    if isinstance(kind, Timeseries) and form.takes_series:
        return Row((Field("time", Scalar.TIMESTAMP), Field("value", kind.value)))
    return None


def _parameter(binder: ExpressionBinder, place: int) -> str:
    """The engine's name of a parameter: equal lambdas have equal ones, and one inside another has none of its."""
    return f"p{binder.lambdas}_{place}"


def _bind(
    given: _Given, node: tree.Lambda, parameters: Sequence[str], slots: Sequence[Slot], wanted: SqlType | None
) -> Lambda:
    """A lambda of the call, whose parameters are `slots`. Its body has the type `wanted`, or any for None."""
    if len(node.parameters) != len(slots):
        there = len(node.parameters)
        raise fault(node, f"Expected a lambda that takes {len(slots)} argument(s) but got {there}")
    columns = tuple(ScopeColumn((), name, slot) for name, slot in zip(node.parameters, slots, strict=True))
    outer = given.binder
    inner = replace(outer, scope=Scope(columns, outer.scope), inner_scope=None, clause=_BODY, lambdas=outer.lambdas + 1)
    body = inner.bind(node.body)
    if any(isinstance(part, Subquery) for part in walk(body)):
        raise unsupported(node, "A subquery inside a lambda expression")
    if wanted is not None and body.type not in (wanted, Scalar.UNKNOWN):
        raise fault(node.body, f"A lambda of {given.node.name} must give {wanted} here (actual: {body.type})")
    return Lambda(tuple(parameters), body if wanted is None else coerce(body, wanted))


_BODY = Clause("Lambda expression")


def _over_elements(given: _Given, wanted: SqlType | None) -> Lambda:
    """The one lambda of a call, over one element."""
    name = _parameter(given.binder, 0)
    return _bind(given, given.lambdas[0], [name], [Slot(name, given.element)], wanted)


# Functions


def _filtered(given: _Given) -> Expression:
    kind = given.values[0].type
    return given.call(kind, [_over_elements(given, Scalar.BOOLEAN)], partial(lambdas.filtered, kind))


def _transformed(given: _Given) -> Expression:
    bound = _over_elements(given, None)
    return given.call(Array(bound.body.type), [bound], lambdas.transformed)


def _matched(given: _Given) -> Expression:
    bound = _over_elements(given, Scalar.BOOLEAN)
    return given.call(Scalar.BOOLEAN, [bound], partial(lambdas.matched, given.node.name))


def _reduced(given: _Given) -> Expression:
    """The state keeps the type it starts with: nothing is converted to it on the way. Source: sql.md 7.7."""
    kind, state = types_of(given.values)
    pair, item = _parameter(given.binder, 0), _parameter(given.binder, 1)
    own = Slot(f"{pair}.{lambdas.STATE}", state)
    element = Slot(f"{item}.{lambdas.ITEM}", given.element)
    step = _bind(given, given.lambdas[0], [pair, item], [own, element], state)
    last = _bind(given, given.lambdas[1], [pair], [own], None)
    return given.call(last.body.type, [step, last], partial(lambdas.reduced, kind, given.element, state))


def _replaced(given: _Given) -> Expression:
    """The lambda gets the groups of a match, not the match. Source: sql.md 6.8."""
    node, values = given.node, given.values
    context = given.binder.binding.functions
    resolve = partial(functions.resolve, "regexp_replace", types_of(values), constants_of(values), context)
    types = placed(node, resolve).argument_types
    name = _parameter(given.binder, 0)
    groups = Slot(name, Array(Scalar.VARCHAR))
    bound = _bind(given, given.lambdas[0], [name], [groups], Scalar.VARCHAR)
    text = constant_of(values[1])
    assert text is not None, "a pattern that is not a constant has been refused"
    if text.value is None:
        return Literal(Constant(None), Scalar.VARCHAR)
    pattern = Pattern(text.value)
    if pattern.groups > GROUPS_NAMED:
        raise unsupported(node, f"A lambda over more than {GROUPS_NAMED} groups")
    if pattern.matches_empty:
        raise unsupported(node, "A lambda for a pattern that matches the empty text")
    subject = coerce(values[0], types[0])
    return LambdaCall(node.name, (subject,), (bound,), Scalar.VARCHAR, partial(lambdas.replaced, pattern))


_TRUTH = "function(T, boolean)"
_POINT = "row(time timestamp, value T)"

FORMS = {
    "filter": _Form(
        1, 1, True, _filtered, f"filter(array(T), {_TRUTH}), filter(timeseries(T), function({_POINT}, boolean))"
    ),
    "reduce": _Form(
        2,
        2,
        True,
        _reduced,
        "reduce(array(T), S, function(S, T, S), function(S, R)),"
        f" reduce(timeseries(T), S, function(S, {_POINT}, S), function(S, R))",
    ),
    "transform": _Form(1, 1, False, _transformed, "transform(array(T), function(T, U))"),
    "any_match": _Form(1, 1, False, _matched, f"any_match(array(T), {_TRUTH})"),
    "all_match": _Form(1, 1, False, _matched, f"all_match(array(T), {_TRUTH})"),
    "none_match": _Form(1, 1, False, _matched, f"none_match(array(T), {_TRUTH})"),
    "regexp_replace": _Form(
        2, 1, False, _replaced, "regexp_replace(varchar, varchar, function(array(varchar), varchar))", Scalar.VARCHAR
    ),
}
