"""How each form of bound expression is written for the engine. Called through `FORMS`, by `lower` only.

Single functions, operators, casts and literals are written by the tables they come from.
"""

# ruff: noqa: S608 (building SQL is the purpose; users' texts are in it only as literals that `coercion` quotes)

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from headwater.errors import Invalid
from headwater.model.types import Scalar, SqlType
from headwater.sql.bound import (
    Aggregate,
    Call,
    Case,
    Cast,
    Coalesce,
    Coerce,
    Exists,
    Expression,
    GroupingMask,
    InSubquery,
    IsNull,
    LambdaCall,
    Literal,
    Logical,
    MakeArray,
    MakeRow,
    Nullif,
    Quantified,
    Query,
    ScalarSubquery,
    SimpleCase,
    Slot,
    SlotRef,
    SortKey,
    Try,
    Windowed,
)
from headwater.sql.bound_walk import Subquery, rebuild, walk
from headwater.sql.coercion import LONG_TEXT_CHARACTERS, convert, engine_type, failure, lower_cast, struct, use_once
from headwater.sql.constant import Constant
from headwater.sql.operators import INFINITY, compared
from headwater.sql.signature import LambdaText, Modifiers


class Lowering(Protocol):
    """What expressions ask of the one who writes queries."""

    def expression(self, node: Expression) -> str: ...

    def all(self, expressions: Iterable[Expression]) -> str: ...

    def query(self, query: Query) -> str: ...

    def constant(self, constant: Constant, kind: SqlType) -> str: ...


def _slot(_: Lowering, node: SlotRef) -> str:
    return node.slot.name


def _literal(lowering: Lowering, node: Literal) -> str:
    return lowering.constant(node.constant, node.type)


def _call(lowering: Lowering, node: Call) -> str:
    return _written(lowering, node.arguments, lambda texts: _placed(node, lambda: node.function.lower(texts)))


def _placed(node: Call | Aggregate | Windowed, write: Callable[[], str]) -> str:
    """What `write` makes of the operands' texts; what it refuses, at the place of the call."""
    try:
        return write()
    except Invalid as unplaced:
        raise Invalid(f"line {node.line}:{node.column}: {unplaced.message}") from None


Write = Callable[[list[str]], str]


def _written(lowering: Lowering, operands: Sequence[Expression], write: Write) -> str:
    """What `write` makes of the operands' texts.

    The engine refuses a subquery in a lambda, and one that reads a WITH query in a macro's argument; there the operands
    are computed first, side by side, and bound to a name.
    """
    texts = [lowering.expression(operand) for operand in operands]
    if not (_has_subquery(operands) and _is_refined(write, len(texts))):
        return write(texts)
    body = write([f"once.f{place}" for place in range(len(texts))])
    return f"list_transform([{struct(texts)}], lambda once: {body})[1]"


def _has_subquery(operands: Iterable[Expression]) -> bool:
    return any(isinstance(part, Subquery) for operand in operands for part in walk(operand))


def _is_refined(write: Write, count: int) -> bool:
    """Whether `write` puts its operands into macros or lambdas."""
    shape = write([f"operand{place}" for place in range(count)])
    return "hw_" in shape or "lambda" in shape


_SURE_CALLS = frozenset({"=", "<>", "!=", "<", "<=", ">", ">=", "is distinct from", "between", "in", "not", "like"})
_SURE_OF_DOUBLES = frozenset("+-*/%")


def _logical(lowering: Lowering, node: Logical) -> str:
    """From the left, and no further than needed: an operand that may fail stands behind tests of those before it.

    The engine computes all operands. One whose text is long, or that holds a subquery, is not tested: the test computes
    it twice. Source: Trino.
    """
    texts = [lowering.expression(operand) for operand in node.operands]
    whole = f"({f' {node.operator} '.join(texts)})"
    last = max((place for place, operand in enumerate(node.operands) if _may_fail(operand)), default=0)
    settled, result = ("NOT", "false") if node.operator == "AND" else ("", "true")
    tests = [
        f"WHEN {settled} ({text}) THEN {result}"
        for text, operand in zip(texts[:last], node.operands[:last], strict=True)
        if len(text) <= LONG_TEXT_CHARACTERS and not _has_subquery((operand,))
    ]
    return f"CASE {' '.join(tests)} ELSE {whole} END" if tests else whole


def _may_fail(expression: Expression) -> bool:
    """Whether a value may fail the query; said of some that cannot, too. Subqueries are computed in any case."""
    return any(not _is_sure(part) for part in walk(expression))


def _is_sure(part: Expression) -> bool:
    if isinstance(part, Call):
        return part.name in _SURE_CALLS or (part.name in _SURE_OF_DOUBLES and part.type is Scalar.DOUBLE)
    return isinstance(part, SlotRef | Literal | Logical | Coerce | IsNull | Try | Windowed | SortKey | Subquery)


def _coerce(lowering: Lowering, node: Coerce) -> str:
    source = node.operand.type
    return _written(lowering, (node.operand,), lambda texts: convert(texts[0], source, node.type))


def _cast(lowering: Lowering, node: Cast) -> str:
    source = node.operand.type
    text = _written(lowering, (node.operand,), lambda texts: lower_cast(texts[0], source, node.type, node.safe))
    if node.length is None:
        return text
    if source in (Scalar.VARCHAR, Scalar.UNKNOWN):
        return f"substring({text}, 1, {node.length})"
    # Of a number there is nothing to cut. Source: Trino.
    message = f"concat('Value ', {{0}}, ' cannot be represented as varchar({node.length})')"
    otherwise = "NULL" if node.safe else failure(message, node.type)
    return use_once(f"CASE WHEN length({{0}}) > {node.length} THEN {otherwise} ELSE {{0}} END", [text])


def _case(lowering: Lowering, node: Case) -> str:
    pairs = zip(node.conditions, node.results, strict=True)
    whens = " ".join(f"WHEN {lowering.expression(when)} THEN {lowering.expression(then)}" for when, then in pairs)
    return f"CASE {whens} ELSE {lowering.expression(node.default)} END"


def _simple_case(lowering: Lowering, node: SimpleCase) -> str:
    """The operand is compared with each value, so a long one is computed once and bound to a name.

    A lambda takes no subquery; there the operand is repeated, and `lower` stops what grows too long.
    """
    operand = lowering.expression(node.operand)
    values = [lowering.expression(value) for value in node.values]
    results = [lowering.expression(result) for result in node.results]
    default = lowering.expression(node.default)

    def written(name: str) -> str:
        whens: list[str] = []
        for value, equal, result in zip(values, node.equals, results, strict=True):
            left = convert(name, node.operand.type, equal.argument_types[0])
            whens.append(f"WHEN {equal.lower((left, value))} THEN {result}")
        return f"CASE {' '.join(whens)} ELSE {default} END"

    if len(operand) <= LONG_TEXT_CHARACTERS or _has_subquery((*node.values, *node.results, node.default)):
        return written(operand)
    return f"list_transform([{operand}], lambda once: {written('once')})[1]"


def _coalesce(lowering: Lowering, node: Coalesce) -> str:
    return f"coalesce({lowering.all(node.operands)})"


def _nullif(lowering: Lowering, node: Nullif) -> str:
    operand = convert("{0}", node.operand.type, node.equal.argument_types[0])
    template = f"CASE WHEN {node.equal.lower((operand, '{1}'))} THEN NULL ELSE {{0}} END"
    return use_once(template, [lowering.expression(node.operand), lowering.expression(node.other)])


def _try(lowering: Lowering, node: Try) -> str:
    """The engine's TRY takes neither subqueries nor windows nor anything volatile: those are computed before it."""
    outside: dict[Expression, SlotRef] = {}

    def inside(part: Expression) -> Expression:
        is_volatile = isinstance(part, Call) and part.function.is_volatile
        if is_volatile or isinstance(part, Subquery | Windowed):
            name = f"outside.f{len(outside)}"
            return outside.setdefault(part, SlotRef(Slot(name, part.type), "", 0, 0))
        return rebuild(part, inside)

    body = f"TRY({lowering.expression(inside(node.operand))})"
    if not outside:
        return body
    return f"list_transform([{struct([*map(lowering.expression, outside)])}], lambda outside: {body})[1]"


def _make_array(lowering: Lowering, node: MakeArray) -> str:
    return f"[{lowering.all(node.elements)}]"


def _make_row(lowering: Lowering, node: MakeRow) -> str:
    return struct([*map(lowering.expression, node.elements)])


def _is_null(lowering: Lowering, node: IsNull) -> str:
    return f"({lowering.expression(node.operand)} IS NULL)"


def _scalar_subquery(lowering: Lowering, node: ScalarSubquery) -> str:
    return f"({lowering.query(node.query)})"


def _items(lowering: Lowering, node: InSubquery | Quantified) -> str:
    """The query whose one column is compared, in the type it is compared in."""
    return f"SELECT {lowering.expression(node.item)} FROM ({lowering.query(node.query)})"


def _in_subquery(lowering: Lowering, node: InSubquery) -> str:
    if not isinstance(node.item.type, Scalar):
        return _any_or_all(lowering, node, "=", "ANY")
    value, items = lowering.expression(node.value), _items(lowering, node)
    if node.item.type is not Scalar.DOUBLE:
        return f"({value} IN ({items}))"
    # The engine finds NaN equal to itself; the dialect finds it equal to nothing, so that it may be left out, but for
    # NULL, which is not known to be in any list that is not empty.
    numbers = f"SELECT item FROM ({items}) AS items(item) WHERE item IS NULL OR item <= {INFINITY}"
    return f"CASE WHEN {value} IS NULL THEN nullif(EXISTS ({items}), true) ELSE {value} IN ({numbers}) END"


def _quantified(lowering: Lowering, node: Quantified) -> str:
    if isinstance(node.item.type, Scalar) and node.item.type is not Scalar.DOUBLE:
        return f"({lowering.expression(node.value)} {node.operator} {node.quantifier} ({_items(lowering, node)}))"
    return _any_or_all(lowering, node, node.operator, node.quantifier)


def _any_or_all(lowering: Lowering, node: InSubquery | Quantified, operator: str, quantifier: str) -> str:
    """The comparison of each item, and what all answers together say; for types that the engine compares otherwise."""
    value = lowering.expression(node.value)
    one = compared(operator, node.item.type, value, "item")
    settling, otherwise = ("NOT answer", "true") if quantifier == "ALL" else ("answer", "false")
    settled = "false" if quantifier == "ALL" else "true"
    return (
        f"(SELECT CASE WHEN bool_or({settling}) THEN {settled} WHEN count(*) = count(answer) THEN {otherwise} END"
        f" FROM (SELECT {one} AS answer FROM ({_items(lowering, node)}) AS items(item)))"
    )


def _exists(lowering: Lowering, node: Exists) -> str:
    return f"EXISTS ({lowering.query(node.query)})"


def _sort_key(lowering: Lowering, node: SortKey) -> str:
    direction = "DESC" if node.descending else "ASC"
    nulls = "FIRST" if node.nulls_first else "LAST"
    return f"{lowering.expression(node.operand)} {direction} NULLS {nulls}"


def _modifiers(lowering: Lowering, node: Aggregate | Windowed, over: str | None) -> Modifiers:
    return Modifiers(
        distinct=node.distinct,
        order_by=lowering.all(node.order_by) if isinstance(node, Aggregate) else "",
        filter="" if node.filter is None else lowering.expression(node.filter),
        over=over,
        ignore_nulls=isinstance(node, Windowed) and node.ignore_nulls,
    )


def _aggregate(lowering: Lowering, node: Aggregate) -> str:
    return _over_rows(lowering, node, _modifiers(lowering, node, None))


def _windowed(lowering: Lowering, node: Windowed) -> str:
    parts: list[str] = []
    if node.partition_by:
        parts.append(f"PARTITION BY {lowering.all(node.partition_by)}")
    if node.order_by:
        parts.append(f"ORDER BY {lowering.all(node.order_by)}")
    if node.frame:
        parts.append(node.frame.format(*map(lowering.expression, node.offsets)))
    over = " ".join(parts)
    if " OVER (" in over and _has_subquery((*node.partition_by, *node.order_by, *node.offsets)):
        # The engine takes a window in a subquery there for one window inside the other.
        raise _unsupported(node, f"A subquery with a window function inside the OVER clause of {node.name}")
    return _over_rows(lowering, node, _modifiers(lowering, node, over))


def _grouping_mask(lowering: Lowering, node: GroupingMask) -> str:
    return f"CAST(GROUPING({lowering.all(node.arguments)}) AS {engine_type(node.type)})"


def _over_rows(lowering: Lowering, node: Aggregate | Windowed, modifiers: Modifiers) -> str:
    def write(texts: list[str]) -> str:
        return _placed(node, lambda: node.function.lower(texts, modifiers))

    if _has_subquery(node.arguments) and _is_refined(write, len(node.arguments)):
        raise _unsupported(node, f"A subquery inside {node.name}")
    return write([lowering.expression(argument) for argument in node.arguments])


def _unsupported(node: Aggregate | Windowed, construct: str) -> Invalid:
    return Invalid(f"line {node.line}:{node.column}: {construct} is not supported yet")


def _lambda_call(lowering: Lowering, node: LambdaCall) -> str:
    lambdas = [LambdaText(each.parameters, lowering.expression(each.body)) for each in node.lambdas]
    return node.function.lower([*map(lowering.expression, node.arguments)], lambdas=lambdas)


FORMS: dict[type[Expression], Callable[[Lowering, Any], str]] = {
    SlotRef: _slot,
    Literal: _literal,
    Call: _call,
    Logical: _logical,
    Coerce: _coerce,
    Cast: _cast,
    Case: _case,
    SimpleCase: _simple_case,
    Coalesce: _coalesce,
    Nullif: _nullif,
    Try: _try,
    MakeArray: _make_array,
    MakeRow: _make_row,
    IsNull: _is_null,
    ScalarSubquery: _scalar_subquery,
    InSubquery: _in_subquery,
    Quantified: _quantified,
    Exists: _exists,
    SortKey: _sort_key,
    Aggregate: _aggregate,
    GroupingMask: _grouping_mask,
    Windowed: _windowed,
    LambdaCall: _lambda_call,
}
