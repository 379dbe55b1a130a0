"""Expressions bound: names to slots, literals to values, operators to typed calls.

`FORMS` has the function for each kind of tree node; calls of functions are in `binder_calls`. Each answers with an
expression whose type is known, or raises Invalid with a position.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from headwater.model.types import Array, Field, Row, Scalar, SqlType
from headwater.sql import functions, operators, tree
from headwater.sql.binder_calls import bind_call
from headwater.sql.binder_context import (
    ExpressionBinder,
    coerce,
    common_results,
    constant_of,
    constants_of,
    fault,
    placed,
    types_of,
    unsupported,
)
from headwater.sql.binder_literals import bind_interval, bind_short_interval, bind_typed, type_of
from headwater.sql.bound import (
    Case,
    Cast,
    Exists,
    Expression,
    InSubquery,
    IsNull,
    Literal,
    Logical,
    MakeArray,
    MakeRow,
    Quantified,
    Query,
    ScalarSubquery,
    SimpleCase,
    Slot,
    SlotRef,
)
from headwater.sql.coercion import INT_MAX, INT_MIN, fold_cast, is_castable
from headwater.sql.constant import Constant, combined
from headwater.sql.scope import Ambiguous
from headwater.sql.signature import Resolved

# Names


def _identifier(binder: ExpressionBinder, node: tree.Identifier) -> Expression:
    return _named(binder, node, (node.name,))


def _dereference(binder: ExpressionBinder, node: tree.Dereference) -> Expression:
    name = _dotted(node)
    if name is not None:
        return _named(binder, node, name)
    return _field(binder, node, binder.bind(node.base), node.name)


def _dotted(node: tree.Expression) -> tuple[str, ...] | None:
    """The parts of `a.b.c`; None if it starts with anything but a name."""
    parts: list[str] = []
    while isinstance(node, tree.Dereference):
        parts.append(node.name)
        node = node.base
    return (node.name, *reversed(parts)) if isinstance(node, tree.Identifier) else None


def _named(binder: ExpressionBinder, node: tree.Node, name: tuple[str, ...]) -> Expression:
    shown = ".".join(name)
    try:
        found = binder.scope.find(name)
    except Ambiguous:
        raise fault(node, f"Column '{shown}' is ambiguous") from None
    if found is None:
        raise fault(node, f"Column '{shown}' does not exist")
    slot, used = found
    expression: Expression = SlotRef(slot, ".".join(name[:used]), node.line, node.column)
    for part in name[used:]:
        expression = _field(binder, node, expression, part, shown)
    return expression


def _field(
    binder: ExpressionBinder, node: tree.Node, base: Expression, name: str, shown: str | None = None
) -> Expression:
    kind = base.type
    if not isinstance(kind, Row):
        raise fault(node, f"Column '{shown}' does not exist" if shown else f"Expression is not of type row: {kind}")
    index = _field_index(kind, name)
    if index is None:
        raise fault(node, f"Column '{shown}' does not exist" if shown else f"Field '{name}' does not exist in {kind}")
    return binder.apply(node, lambda: operators.field(kind, index), (base,))


def _field_index(row: Row, name: str) -> int | None:
    """The place of a field: the exact name, else the only one that differs by case."""
    exact = [i for i, f in enumerate(row.fields) if f.name == name]
    folded = [i for i, f in enumerate(row.fields) if f.name is not None and f.name.casefold() == name.casefold()]
    if exact:
        return exact[0]
    return folded[0] if len(folded) == 1 else None


# Literals


def _null(_: ExpressionBinder, __: tree.NullLiteral) -> Expression:
    return Literal(Constant(None), Scalar.UNKNOWN)


def _boolean(_: ExpressionBinder, node: tree.BooleanLiteral) -> Expression:
    return Literal(Constant(node.value), Scalar.BOOLEAN)


def _integer(binder: ExpressionBinder, node: tree.IntegerLiteral) -> Expression:
    kind = Scalar.INTEGER if INT_MIN <= node.value <= INT_MAX else Scalar.BIGINT
    if node.value >= 0:
        return Literal(binder.binding.constant(node, node.value), kind)
    if node.value < -INT_MAX:
        # Its digits alone are of another type than the number.
        return Literal(Constant(node.value), kind)
    digits = binder.binding.constant(node, -node.value, is_inside=True)
    return Literal(combined("negative", operator.neg, (digits,)), kind)


def _double(binder: ExpressionBinder, node: tree.DoubleLiteral) -> Expression:
    return Literal(binder.binding.constant(node, node.value), Scalar.DOUBLE)


def _string(binder: ExpressionBinder, node: tree.StringLiteral) -> Expression:
    return Literal(binder.binding.constant(node, node.value), Scalar.VARCHAR)


def _typed(binder: ExpressionBinder, node: tree.TypedLiteral) -> Expression:
    if node.type == "json":
        text = tree.StringLiteral(node.line, node.column, node.text)
        return bind_call(binder, tree.FunctionCall(node.line, node.column, "json_parse", (text,)))
    return bind_typed(node, binder.binding.constant(node, node.text, is_inside=True))


def _interval(binder: ExpressionBinder, node: tree.IntervalLiteral) -> Expression:
    return bind_interval(node, binder.binding.constant(node, node.text, is_inside=True))


def _short_interval(binder: ExpressionBinder, node: tree.ShortIntervalLiteral) -> Expression:
    literal = bind_short_interval(node)
    return Literal(binder.binding.constant(node, literal.constant.value), literal.type)


def _parameter(binder: ExpressionBinder, node: tree.Parameter) -> Expression:
    return binder.binding.parameters.bind(node)


# Operators


def _operator(
    binder: ExpressionBinder,
    node: tree.Node,
    operands: Sequence[tree.Expression],
    resolve: Callable[[list[SqlType], list[Constant | None]], Resolved],
) -> Expression:
    bound = binder.bind_all(operands)
    return binder.apply(node, lambda: resolve(types_of(bound), constants_of(bound)), bound)


def _unary(binder: ExpressionBinder, node: tree.Unary) -> Expression:
    bound = binder.bind(node.operand)
    if node.operator == "+":
        placed(node, lambda: operators.negate(bound.type, None))
        return bound
    return binder.apply(node, lambda: operators.negate(bound.type, constant_of(bound)), (bound,))


def _binary(binder: ExpressionBinder, node: tree.Arithmetic) -> Expression:
    return _operator(binder, node, (node.left, node.right), lambda t, c: operators.binary(node.operator, t, c))


def _comparison(binder: ExpressionBinder, node: tree.Comparison) -> Expression:
    if node.operator == "IS DISTINCT FROM":
        return _operator(binder, node, (node.left, node.right), operators.is_distinct)
    symbol = node.operator
    return _operator(binder, node, (node.left, node.right), lambda t, c: operators.binary(symbol, t, c))


def _concatenation(binder: ExpressionBinder, node: tree.Concatenation) -> Expression:
    """Texts are joined in pairs of pairs, so that a long chain is not a deep tree; arrays from the left."""
    bound = list(binder.bind_all(node.operands))
    is_text = all(operand.type in (Scalar.VARCHAR, Scalar.UNKNOWN) for operand in bound)
    if not is_text and len(bound) > MAX_ARRAY_OPERANDS:
        raise unsupported(node, f"|| of more than {MAX_ARRAY_OPERANDS} arrays")

    def joined(parts: list[Expression]) -> Expression:
        if len(parts) == 1:
            return parts[0]
        middle = len(parts) // 2 if is_text else -1
        pair = (joined(parts[:middle]), joined(parts[middle:]))
        if all(isinstance(part.type, Array) for part in pair):
            return _concat(binder, node, pair)
        return binder.apply(node, lambda: operators.binary("||", types_of(pair), constants_of(pair)), pair)

    is_known = all(isinstance(operand, Literal) for operand in bound)
    grows = len(bound) > SHORT_OPERANDS or sum(map(_may_be_long, bound)) > 1
    return _concat(binder, node, bound) if is_text and grows and not is_known else joined(bound)


def _concat(binder: ExpressionBinder, node: tree.Concatenation, operands: Sequence[Expression]) -> Expression:
    """The function, which looks at how much it makes: what is put together with itself doubles at every step."""
    types, constants = types_of(operands), constants_of(operands)
    return binder.apply(node, lambda: functions.resolve("concat", types, constants, binder.binding.functions), operands)


def _may_be_long(text: Expression) -> bool:
    if isinstance(text, SlotRef):
        return not text.slot.is_stored
    if isinstance(text, Cast):
        return text.operand.type not in _SHORT_WHEN_CAST
    return not isinstance(text, Literal)


_SHORT_WHEN_CAST = frozenset(Scalar) - {Scalar.VARCHAR, Scalar.VARBINARY, Scalar.JSON}


MAX_ARRAY_OPERANDS = 100
SHORT_OPERANDS = 16
"""More texts than these are looked at for their length together, however short each may be."""


def _between(binder: ExpressionBinder, node: tree.Between) -> Expression:
    return _operator(binder, node, (node.value, node.low, node.high), operators.between)


def _in_list(binder: ExpressionBinder, node: tree.InList) -> Expression:
    return _operator(binder, node, (node.value, *node.items), operators.in_list)


def _like(binder: ExpressionBinder, node: tree.Like) -> Expression:
    escape = () if node.escape is None else (node.escape,)
    return _operator(binder, node, (node.value, node.pattern, *escape), operators.like)


def _is_null(binder: ExpressionBinder, node: tree.IsNull) -> Expression:
    return IsNull(binder.bind(node.value))


def _not(binder: ExpressionBinder, node: tree.Not) -> Expression:
    bound = binder.bind(node.operand)
    return binder.apply(node.operand, lambda: operators.logical("not", [bound.type]), (bound,))


def _logical(binder: ExpressionBinder, node: tree.Logical) -> Expression:
    sides = ("Left", *("Right",) * (len(node.operands) - 1))
    texts = (f"{side} side of logical expression must evaluate to a boolean (actual: {{}}): " for side in sides)
    return Logical(node.operator, tuple(map(binder.boolean, node.operands, texts)))


def _subscript(binder: ExpressionBinder, node: tree.Subscript) -> Expression:
    base = binder.bind(node.base)
    if isinstance(base.type, Row):
        place = _place(node.index, base.type)
        return binder.apply(node, lambda: operators.field(base.type, place), (base,))
    bound = (base, binder.bind(node.index))
    return binder.apply(node, lambda: operators.subscript(types_of(bound)), bound)


def _place(node: tree.Expression, row: Row) -> int:
    """The 0-based place of the field that a subscript names: fields have types of their own. Source: Trino."""
    if not isinstance(node, tree.IntegerLiteral):
        raise fault(node, "Subscript expression on ROW requires a constant index")
    if node.value <= 0:
        raise fault(node, f"Invalid subscript index: {node.value}. ROW indices start at 1")
    if node.value > len(row.fields):
        raise fault(node, f"Subscript index out of bounds: {node.value}, max value is {len(row.fields)}")
    return node.value - 1


def _array(binder: ExpressionBinder, node: tree.ArrayConstructor) -> Expression:
    bound = binder.bind_all(node.elements)
    common = binder.common(
        bound, node, f"All ARRAY elements must be the same type: {', '.join(map(str, types_of(bound)))}"
    )
    elements = placed(node, lambda: tuple(coerce(element, common) for element in bound))
    known = [element.constant.value for element in elements if isinstance(element, Literal)]
    if len(known) == len(elements):
        return Literal(Constant(known), Array(common))
    return MakeArray(elements, Array(common))


def _row(binder: ExpressionBinder, node: tree.RowConstructor) -> Expression:
    elements = binder.bind_all(node.elements)
    kind = placed(node, lambda: Row(tuple(Field(None, element.type) for element in elements)))
    known = [element.constant.value for element in elements if isinstance(element, Literal)]
    return Literal(Constant(known), kind) if len(known) == len(elements) else MakeRow(elements, kind)


# CASE and CAST


def _case(binder: ExpressionBinder, node: tree.Case) -> Expression:
    results = [*binder.bind_all([when.result for when in node.whens])]
    results.append(Literal(Constant(None), Scalar.UNKNOWN) if node.default is None else binder.bind(node.default))
    (*converted, default), common = common_results(binder, node, results)
    if node.operand is not None:
        return _simple_case(binder, node, binder.bind(node.operand), converted, default)
    text = "CASE WHEN clause must evaluate to a boolean (actual: {})"
    conditions = tuple(binder.boolean(when.condition, text) for when in node.whens)
    return Case(conditions, tuple(converted), default, common)


def _simple_case(
    binder: ExpressionBinder, node: tree.Case, operand: Expression, results: Sequence[Expression], default: Expression
) -> Expression:
    def compared(value: Expression) -> tuple[Expression, Resolved]:
        equal = operators.binary("=", types_of((operand, value)), [None, constant_of(value)])
        return coerce(value, equal.argument_types[1]), equal

    pairs = [placed(when, partial(compared, binder.bind(when.condition))) for when in node.whens]
    values, equals = tuple(value for value, _ in pairs), tuple(equal for _, equal in pairs)
    return SimpleCase(operand, values, tuple(results), default, default.type, equals)


def _cast(binder: ExpressionBinder, node: tree.Cast) -> Expression:
    operand, kind = binder.bind(node.value), type_of(node.type)
    if not is_castable(operand.type, kind):
        raise fault(node, f"Cannot cast {operand.type} to {kind}")
    length = node.type.arguments[0] if isinstance(node.type, tree.ScalarType) and node.type.arguments else None
    folded = fold_cast(operand.constant, operand.type, kind) if isinstance(operand, Literal) else None
    if folded is not None and length is None:
        return Literal(folded, kind)
    return Cast(operand, kind, node.safe, length)


# Subqueries


def _one_column(binder: ExpressionBinder, node: tree.Query) -> tuple[Query, Slot]:
    query = binder.query(node)
    if len(query.outputs) != 1:
        raise fault(node, f"Multiple columns returned by subquery are not yet supported. Found {len(query.outputs)}")
    return query, query.outputs[0].slot


def _scalar_subquery(binder: ExpressionBinder, node: tree.ScalarSubquery) -> Expression:
    query, slot = _one_column(binder, node.query)
    return ScalarSubquery(query, slot.type)


def _exists(binder: ExpressionBinder, node: tree.Exists) -> Expression:
    return Exists(binder.query(node.query))


def _compared_with_query(
    binder: ExpressionBinder, node: tree.InQuery | tree.Quantified, operator: str
) -> tuple[Expression, Query, Expression]:
    """The value, the query and its column, both sides in the type they are compared in."""
    value = binder.bind(node.value)
    query, slot = _one_column(binder, node.query)
    constants = [constant_of(value), None]
    common = placed(node, lambda: operators.comparable(operator, [value.type, slot.type], constants))
    item = SlotRef(slot, slot.name, node.query.line, node.query.column)
    return placed(node, lambda: (coerce(value, common), query, coerce(item, common)))


def _in_query(binder: ExpressionBinder, node: tree.InQuery) -> Expression:
    value, query, item = _compared_with_query(binder, node, "=")
    return InSubquery(value, query, item)


def _quantified(binder: ExpressionBinder, node: tree.Quantified) -> Expression:
    value, query, item = _compared_with_query(binder, node, node.operator)
    return Quantified(value, node.operator, node.quantifier, query, item)


def _extract(binder: ExpressionBinder, node: tree.Extract) -> Expression:
    """`extract(FIELD FROM x)` is the function of that name. Source: sql.md 6.9."""
    if node.field not in EXTRACT_FIELDS:
        raise fault(node, f"Invalid EXTRACT field: {node.field}")
    return bind_call(binder, tree.FunctionCall(node.line, node.column, node.field, (node.value,)))


EXTRACT_FIELDS = frozenset({
    "year", "quarter", "month", "week", "day", "day_of_month", "day_of_week", "dow", "day_of_year", "doy",
    "year_of_week", "yow", "hour", "minute", "second",
})  # fmt: skip

FORMS: dict[type[tree.Node], Callable[[ExpressionBinder, Any], Expression]] = {
    tree.NullLiteral: _null,
    tree.BooleanLiteral: _boolean,
    tree.IntegerLiteral: _integer,
    tree.DoubleLiteral: _double,
    tree.StringLiteral: _string,
    tree.TypedLiteral: _typed,
    tree.IntervalLiteral: _interval,
    tree.ShortIntervalLiteral: _short_interval,
    tree.Parameter: _parameter,
    tree.Identifier: _identifier,
    tree.Dereference: _dereference,
    tree.Subscript: _subscript,
    tree.ArrayConstructor: _array,
    tree.RowConstructor: _row,
    tree.Unary: _unary,
    tree.Arithmetic: _binary,
    tree.Concatenation: _concatenation,
    tree.Comparison: _comparison,
    tree.Quantified: _quantified,
    tree.Between: _between,
    tree.InList: _in_list,
    tree.InQuery: _in_query,
    tree.Like: _like,
    tree.IsNull: _is_null,
    tree.Exists: _exists,
    tree.ScalarSubquery: _scalar_subquery,
    tree.Not: _not,
    tree.Logical: _logical,
    tree.Case: _case,
    tree.Cast: _cast,
    tree.Extract: _extract,
    tree.FunctionCall: bind_call,
}
