"""Operators, typed: each function answers with a `Resolved` like that of a function call (signature.py).

The binder calls them and puts `line L:C: ` before their faults. `types` are the operands', `constants` their values
where known, None elsewhere. Source: sql.md 5.

The engine orders NaN above all and calls it equal to itself; the dialect says that every comparison with NaN is false.
Comparisons of doubles add a condition for that, and leave it out where a constant on one side makes it needless.
"""

from __future__ import annotations

import math
import operator as python
from collections.abc import Callable, Sequence
from typing import Any

from headwater.errors import Invalid
from headwater.model import text_pattern
from headwater.model.time import NS_PER_DAY
from headwater.model.types import Array, Map, Row, Scalar, SqlType
from headwater.sql.calendar import add_months, add_months_to_days, in_date_range, in_time_range
from headwater.sql.coercion import (
    BIGINT,
    BIGINT_MAX,
    BIGINT_MIN,
    BOOLEAN,
    DATE,
    DAY_TO_SECOND,
    DOUBLE,
    INT_MAX,
    INT_MIN,
    INTEGER,
    NUMBERS,
    TIME,
    TIMESTAMP,
    UNKNOWN,
    VARCHAR,
    YEAR_TO_MONTH,
    coercion_cost,
    common_type,
    common_type_of,
    engine_type,
    failure,
    fold_constant,
    is_castable,
    is_comparable,
    lower_cast,
    quoted,
    use_once,
)
from headwater.sql.constant import Changed, Constant, combined
from headwater.sql.signature import Kind, Resolved, failing, refused
from headwater.threads import in_turns

Types = Sequence[SqlType]
Constants = Sequence[Constant | None]
Fold = Callable[..., Any]

INFINITY = "'Infinity'::DOUBLE"
"""Every double but NaN is at most this."""

COMPARISONS = {"=": "=", "<>": "<>", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_FOLDED_COMPARISONS = {
    "=": python.eq,
    "<>": python.ne,
    "<": python.lt,
    "<=": python.le,
    ">": python.gt,
    ">=": python.ge,
}


def binary(operator: str, types: Types, constants: Constants) -> Resolved:
    """A binary operator: arithmetic, `||`, or a comparison. Raises Invalid for types it does not take."""
    if operator in COMPARISONS:
        return comparison(operator, types, constants)
    if operator == "||":
        return _concatenation(types, constants)
    return _arithmetic(operator, types, constants)


def _cannot(operator: str, types: Types) -> Invalid:
    """Source: sql.md 8."""
    return Invalid(f"'{operator}' cannot be applied to {', '.join(map(str, types))}")


def _resolved(
    name: str,
    result: SqlType,
    types: Types,
    lower: str | Callable[[tuple[str, ...]], str],
    constant: Constant | None = None,
) -> Resolved:
    def write(texts: tuple[str, ...], *_: object) -> str:
        return use_once(lower, texts) if isinstance(lower, str) else lower(texts)

    return Resolved(name, Kind.SCALAR, result, tuple(types), write, constant)


def _folded(name: str, fold: Fold | None, types: Types, targets: Types, constants: Constants) -> Constant | None:
    """The operator's value, if all operands are known and `fold` can compute it; faults are left to the run."""
    known = [constant for constant in constants if constant is not None]
    if fold is None or len(known) < len(constants):
        return None
    triples = zip(known, types, targets, strict=True)
    converted = [fold_constant(constant, own, target) for constant, own, target in triples]

    def computed(*values: Any) -> Any:
        if None in values:
            return None
        result = fold(*values)
        if result is None:
            raise Changed
        return result

    try:
        return combined((name, tuple(targets)), computed, converted)
    except Changed:
        for constant in converted:
            constant.pin()
        return None


# --------------------------------------------------------------------------------------- comparison


def comparable(operator: str, types: Types, constants: Constants) -> SqlType:
    """The type all sides of a comparison are converted to. Raises Invalid if there is none, or it has no order."""
    common = common_type_of(types, constants)
    if common is None or not is_comparable(common):
        raise _cannot(operator, types)
    return common


def comparison(operator: str, types: Types, constants: Constants) -> Resolved:
    """`= <> != < <= > >=` of two operands."""
    symbol, common = COMPARISONS[operator], comparable(operator, types, constants)
    values = _converted(types, common, constants)
    fold = _FOLDED_COMPARISONS[symbol] if isinstance(common, Scalar) and common is not VARCHAR else None
    folded = _folded(symbol, fold, types, (common, common), constants)
    return _resolved(operator, BOOLEAN, (common, common), compared(symbol, common, "{0}", "{1}", values), folded)


def _converted(types: Types, common: SqlType, constants: Constants) -> list[Constant | None]:
    pairs = zip(types, constants, strict=True)
    return [None if constant is None else fold_constant(constant, own, common) for own, constant in in_turns(pairs)]


def compared(symbol: str, kind: SqlType, left: str, right: str, constants: Constants = (None, None)) -> str:
    """Compare two expressions of `kind`; `constants` are their values where known. May repeat both texts."""
    if isinstance(kind, Map):
        return _compared_arrays(symbol, kind.entries, left, right)
    if isinstance(kind, Array):
        return _compared_arrays(symbol, kind, left, right)
    if isinstance(kind, Row):
        return _compared_rows(symbol, kind, left, right)
    if kind is DOUBLE:
        return _compared_doubles(symbol, left, right, constants)
    return f"({left} {symbol} {right})"


def _compared_doubles(symbol: str, left: str, right: str, constants: Constants) -> str:
    is_left_number, is_right_number = (_is_number(constant) for constant in constants)
    plain = f"{left} {symbol} {right}"
    if symbol in ("=", "<>"):
        if is_left_number or is_right_number:
            return f"({plain})"
        if symbol == "=":
            return f"({plain} AND ({left} <= {INFINITY} OR {right} IS NULL))"
        return f"({plain} OR ({left} > {INFINITY} AND {right} IS NOT NULL))"
    # An order is wrong only where the greater side is NaN.
    greater, is_greater_number, other, is_other_number = (
        (left, is_left_number, right, is_right_number)
        if symbol in (">", ">=")
        else (right, is_right_number, left, is_left_number)
    )
    if is_greater_number:
        return f"({plain})"
    if is_other_number:
        return f"({plain} AND {greater} <= {INFINITY})"
    return f"({plain} AND ({greater} <= {INFINITY} OR {other} IS NULL))"


def _is_number(constant: Constant | None) -> bool:
    return constant is not None and constant.holds(lambda value: value is not None and not math.isnan(value))


def _compared_arrays(symbol: str, kind: Array, left: str, right: str) -> str:
    """Equality is three-valued in the elements; an order of arrays that hold NULL is a fault, as in Trino."""
    if symbol not in ("=", "<>"):
        fault = failure(quoted("ARRAY comparison not supported for arrays with null elements"), BOOLEAN)
        has_null = f"list_count({left}) < len({left}) OR list_count({right}) < len({right})"
        return f"CASE WHEN {has_null} THEN {fault} ELSE {left} {symbol} {right} END"
    pairs = (
        f"list_transform(list_zip({left}, {right}), lambda pair: {compared('=', kind.element, 'pair[1]', 'pair[2]')})"
    )
    equal, unequal = ("true", "false") if symbol == "=" else ("false", "true")
    return (
        f"CASE WHEN {left} IS NULL OR {right} IS NULL THEN NULL WHEN len({left}) <> len({right}) THEN {unequal}"
        f" WHEN list_contains({pairs}, false) THEN {unequal} WHEN list_count({pairs}) = len({left}) THEN {equal} END"
    )


def _compared_rows(symbol: str, kind: Row, left: str, right: str) -> str:
    """Equality field by field; an order from left to right, NULL where a NULL decides it."""
    sides = [(f"({left}).f{i}", f"({right}).f{i}", f.type) for i, f in enumerate(kind.fields)]
    if symbol in ("=", "<>"):
        equal = " AND ".join(compared("=", kind, a, b) for a, b, kind in sides)
        return f"({equal})" if symbol == "=" else f"(NOT ({equal}))"
    strict, (*heads, last) = symbol[0], sides
    steps = " ".join(
        f"WHEN {compared('<>', kind, a, b)} IS NOT FALSE THEN {compared(strict, kind, a, b)}" for a, b, kind in heads
    )
    final = compared(symbol, last[2], last[0], last[1])
    return f"CASE {steps} ELSE {final} END" if heads else final


def is_distinct(types: Types, constants: Constants) -> Resolved:
    """IS DISTINCT FROM: NULLs are equal to each other, and so are NaNs."""
    common = comparable("IS DISTINCT FROM", types, constants)
    return _resolved("is distinct from", BOOLEAN, (common, common), "({0} IS DISTINCT FROM {1})")


def between(types: Types, constants: Constants) -> Resolved:
    """x BETWEEN a AND b, of three operands, both ends included; NULL where one of them is."""
    if (common := common_type_of(types, constants)) is None or not is_comparable(common):
        raise Invalid(f"Cannot check if {types[0]} is BETWEEN {types[1]} and {types[2]}")
    values = _converted(types, common, constants)
    template = _between(common, values)
    bounds = (f"{{{place}}} IS NOT NULL" for place in (1, 2) if not _is_there(values[place]))
    if there := " AND ".join(bounds):
        # The other bound alone may say that it is false. Source: sql.md 5.
        template = f"CASE WHEN {there} THEN {template} END"
    return _resolved("between", BOOLEAN, (common,) * 3, template)


def _between(common: SqlType, values: Constants) -> str:
    if not isinstance(common, Scalar) or (common is DOUBLE and not _is_number(values[2])):
        low = compared(">=", common, "{0}", "{1}", (values[0], values[1]))
        high = compared("<=", common, "{0}", "{2}", (values[0], values[2]))
        return f"({low} AND {high})"
    if common is DOUBLE and not _is_number(values[1]):
        low = compared(">=", common, "{0}", "{1}", (values[0], values[1]))
        return f"({low} AND {{0}} <= {{2}})"
    return "({0} BETWEEN {1} AND {2})"


def _is_there(constant: Constant | None) -> bool:
    return constant is not None and constant.holds(lambda value: value is not None)


def in_list(types: Types, constants: Constants) -> Resolved:
    """x IN (a, b, ...): the first operand is x."""
    common = common_type_of(types, constants)
    if common is None or not is_comparable(common):
        raise Invalid(f"IN value and list items must be the same type: {', '.join(map(str, types))}")
    values = _converted(types, common, constants)
    is_plain = isinstance(common, Scalar) and (common is not DOUBLE or all(map(_is_number, in_turns(values[1:]))))
    if is_plain:
        template = f"({{0}} IN ({', '.join(f'{{{i}}}' for i in range(1, len(types)))}))"
    else:
        steps = (compared("=", common, "{0}", f"{{{i}}}", (values[0], values[i])) for i in range(1, len(types)))
        template = f"({' OR '.join(steps)})"
    return _resolved("in", BOOLEAN, (common,) * len(types), template)


# ------------------------------------------------------------------------------- logic, text, places


def logical(operator: str, types: Types) -> Resolved:
    """`and`, `or`, `not`. Source of the texts: sql.md 8."""
    for side, kind in zip(("Left side", "Right side"), types, strict=False):
        if kind not in (BOOLEAN, UNKNOWN):
            what = "Value of logical NOT expression" if len(types) == 1 else f"{side} of logical expression"
            raise Invalid(f"{what} must evaluate to a boolean (actual: {kind}): ")
    template = "(NOT {0})" if len(types) == 1 else f"({{0}} {operator.upper()} {{1}})"
    return _resolved(operator, BOOLEAN, (BOOLEAN,) * len(types), template)


def like(types: Types, constants: Constants) -> Resolved:
    """s LIKE p [ESCAPE c]. The escape must be a constant of one character (ours).

    It must come before `%`, `_` or itself. Source: Trino.
    """
    if any(kind not in (VARCHAR, UNKNOWN) for kind in types):
        raise Invalid(f"LIKE cannot be applied to {', '.join(map(str, types))}")
    if len(types) == 2:
        return _resolved("like", BOOLEAN, (VARCHAR,) * 2, "({0} LIKE {1})")
    escape, pattern = constants[2], constants[1]
    if escape is None or (escape.value is not None and len(escape.value) != 1):
        raise Invalid("Escape string must be a single character")
    template = "({0} LIKE {1} ESCAPE {2})"
    if escape.value is None or (pattern is not None and pattern.value is None):
        return _resolved("like", BOOLEAN, (VARCHAR,) * 3, template)
    if pattern is None:
        rest = "{1}"
        for escaped in ("{2}", "'%'", "'_'"):
            rest = f"replace({rest}, {{2}} || {escaped}, '')"
        fault = failure(quoted(_ESCAPE_FAULT), BOOLEAN)
        template = f"CASE WHEN {{0}} IS NOT NULL AND contains({rest}, {{2}}) THEN {fault} ELSE {template} END"
    elif text_pattern.like(pattern.value, escape.value) is None:
        return failing(_ESCAPE_FAULT, BOOLEAN, (VARCHAR,) * 3)
    return _resolved("like", BOOLEAN, (VARCHAR,) * 3, template)


_ESCAPE_FAULT = "Escape character must be followed by '%', '_' or the escape character itself"


def _concatenation(types: Types, constants: Constants) -> Resolved:
    """`||` of texts, of two arrays, or of an array and an element on either side."""
    left, right = types
    if all(kind in (VARCHAR, UNKNOWN) for kind in types):
        folded = _folded("||", python.add, types, (VARCHAR, VARCHAR), constants)
        return _resolved("||", VARCHAR, (VARCHAR, VARCHAR), "({0} || {1})", folded)
    if isinstance(left, Array) or isinstance(right, Array):
        arrays = [kind if isinstance(kind, Array) else Array(kind) for kind in types]
        common = common_type(arrays[0], arrays[1])
        if isinstance(common, Array):
            return _joined_arrays(types, common)
    raise _cannot("||", types)


def _joined_arrays(types: Types, common: Array) -> Resolved:
    is_array = [isinstance(kind, Array) for kind in types]
    targets = [common if whole else common.element for whole in is_array]
    left, right = (f"{{{i}}}" if whole else f"[{{{i}}}]" for i, whole in enumerate(is_array))
    conditions = " AND ".join(f"{{{i}}} IS NOT NULL" for i, whole in enumerate(is_array) if whole)
    return _resolved("||", common, targets, f"CASE WHEN {conditions} THEN list_concat({left}, {right}) END")


def subscript(types: Types) -> Resolved:
    """a[i], from 1; a place outside the array fails the query. Source of the texts: sql.md 8."""
    array, index = types
    if isinstance(array, Map):
        return _key_subscript(array, index)
    if not isinstance(array, Array) or index not in (INTEGER, BIGINT, UNKNOWN):
        raise _cannot("[]", types)
    return _resolved("[]", array.element, (array, BIGINT), element_template(array.element, "negative"))


def _key_subscript(kind: Map, index: SqlType) -> Resolved:
    """map[key]; a key that is not there fails the query. Source of the text: Trino."""
    if coercion_cost(index, kind.key) is None:
        raise _cannot("[]", (kind, index))
    shown = lower_cast("{1}", kind.key, VARCHAR, safe=False) if is_castable(kind.key, VARCHAR) else "'?'"
    shown = "{1}" if kind.key is VARCHAR else shown
    fault = failure(f"concat('Key not present in map: ', {shown})", kind.value)
    keys = "list_transform({0}, lambda entry: entry.f0)"
    template = (
        f"CASE WHEN {{0}} IS NULL OR {{1}} IS NULL THEN NULL WHEN list_contains({keys}, {{1}}) THEN hw_at({{0}}, {{1}})"
        f" ELSE {fault} END"
    )
    return _resolved("[]", kind.value, (kind, kind.key), template)


def element_template(kind: SqlType, below_zero: str) -> str:
    """A template for the element of array {0} at {1}; `below_zero` says how places below zero are met.

    "negative": a fault, as is a place beyond the end; "end": counted from the end, and NULL beyond either end.
    """
    zero = failure(quoted("SQL array indices start at 1"), kind)
    if below_zero == "end":
        return f"CASE WHEN {{0}} IS NULL THEN NULL WHEN {{1}} = 0 THEN {zero} ELSE ({{0}})[{{1}}] END"
    negative = failure("concat('Array subscript is negative: ', {1})", kind)
    beyond = "concat('Array subscript must be less than or equal to array length: ', {1}, ' > ', len({0}))"
    return (
        f"CASE WHEN {{0}} IS NULL THEN NULL WHEN {{1}} = 0 THEN {zero} WHEN {{1}} < 0 THEN {negative}"
        f" WHEN {{1}} > len({{0}}) THEN {failure(beyond, kind)} ELSE ({{0}})[{{1}}] END"
    )


def field(kind: SqlType, index: int) -> Resolved:
    """row.field, by its 0-based place."""
    assert isinstance(kind, Row)
    return _resolved(".", kind.fields[index].type, (kind,), f"({{0}}).f{index}")


def frame_distance(key: SqlType, offset: SqlType, *, is_back: bool) -> Resolved | None:
    """How far from a row's sort key the edge of its RANGE frame lies, in the key's own units; of (key, offset).

    `is_back` if the edge has the smaller value. None for types without a difference. A NULL key has no distance: its
    frame is its peers.
    """
    if not isinstance(key, Scalar) or not isinstance(offset, Scalar):
        return None
    template = _DISTANCES.get((key, offset))
    if template is None:
        return None
    edge = template.replace("±", "-" if is_back else "+")
    if "{0}" in edge:
        edge = f"coalesce({{0}} - {edge}, 0)" if is_back else f"coalesce({edge} - {{0}}, 0)"
    return _resolved("frame distance", key, (key, offset), edge)


_DISTANCES: dict[tuple[Scalar, Scalar], str] = {
    **{(key, offset): "{1}" for key in (INTEGER, BIGINT) for offset in (INTEGER, BIGINT)},
    **{(DOUBLE, offset): "{1}" for offset in NUMBERS},
    (TIMESTAMP, DAY_TO_SECOND): "{1}",
    (TIMESTAMP, YEAR_TO_MONTH): "hw_add_months({0}, 0 ± {1})",
    (TIME, DAY_TO_SECOND): "{1}",
    (DAY_TO_SECOND, DAY_TO_SECOND): "{1}",
    (YEAR_TO_MONTH, YEAR_TO_MONTH): "{1}",
    (DATE, YEAR_TO_MONTH): "hw_add_months_to_date({0}, 0 ± {1})",
}


# --------------------------------------------------------------------------------------- arithmetic


def negate(kind: SqlType, constant: Constant | None) -> Resolved:
    """Unary minus of a number or an interval."""
    if kind is DOUBLE:
        return _resolved("-", kind, (kind,), "(-({0}))", _folded("negate", python.neg, (kind,), (kind,), (constant,)))
    if kind in (INTEGER, BIGINT, DAY_TO_SECOND, YEAR_TO_MONTH):
        engine = engine_type(kind)
        folded = _folded("negate", lambda value: _fitting(engine, -value), (kind,), (kind,), (constant,))
        # Of a constant the engine takes the sign for part of the number, and widens that where it must fail.
        template = "(-({0}))" if constant is None else "(0 - {0})"
        return _resolved("-", kind, (kind,), template, folded)
    if kind is UNKNOWN:
        return _resolved("-", kind, (kind,), "{0}", Constant(None))
    raise _cannot("-", (kind,))


def _fitting(engine: str, value: int) -> int | None:
    low, high = (INT_MIN, INT_MAX) if engine == "INTEGER" else (BIGINT_MIN, BIGINT_MAX)
    return value if low <= value <= high else None


def _arithmetic(operator: str, types: Types, constants: Constants) -> Resolved:
    left, right = types
    if all(kind in (*NUMBERS, UNKNOWN) for kind in types):
        common = common_type(left, right)
        assert isinstance(common, Scalar)
        return _on_numbers(operator, BIGINT if common is UNKNOWN else common, types, constants)
    left, right = _without_unknown(operator, left, right)
    for rules in (_on_intervals, _scaled_interval, _shifted_time):
        resolved = rules(operator, left, right, constants)
        if resolved is not None:
            return resolved
    raise _cannot(operator, types)


def _without_unknown(operator: str, left: SqlType, right: SqlType) -> tuple[SqlType, SqlType]:
    """NULL beside an interval is an interval (a number for `*` and `/`), beside a time an interval."""
    if UNKNOWN not in (left, right):
        return left, right
    known = right if left is UNKNOWN else left
    if known in (DAY_TO_SECOND, YEAR_TO_MONTH):
        other: SqlType = BIGINT if operator in ("*", "/") else known
    else:
        other = DAY_TO_SECOND if known in (TIMESTAMP, TIME) else YEAR_TO_MONTH
    return (other, right) if left is UNKNOWN else (left, other)


_ON_INTEGERS = {"+": "+", "-": "-", "*": "*", "/": "//", "%": "%"}


def _on_numbers(operator: str, kind: Scalar, types: Types, constants: Constants) -> Resolved:
    """Integers: the engine fails on overflow and division by zero. Doubles: IEEE 754, so x / 0 is infinite or NaN."""
    if kind is DOUBLE:
        template = f"({{0}} {operator} {{1}})"
        fold = {"+": python.add, "-": python.sub, "*": python.mul, "/": _double_quotient}.get(operator)
    else:
        template = f"({{0}} {_ON_INTEGERS[operator]} {{1}})"
        fold = _integer_fold(operator, engine_type(kind))
    return _resolved(operator, kind, (kind, kind), template, _folded(operator, fold, types, (kind, kind), constants))


def _double_quotient(left: float, right: float) -> float | None:
    return left / right if right != 0 else None


def _integer_fold(operator: str, engine: str) -> Fold:
    """The operator on Python's integers; None where the engine has to say what is wrong."""

    def fold(left: int, right: int) -> int | None:
        if operator in ("/", "%"):
            if right == 0:
                return None
            quotient = abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)
            return _fitting(engine, quotient if operator == "/" else left - quotient * right)
        exact = {"+": python.add, "-": python.sub, "*": python.mul}[operator]
        return _fitting(engine, exact(left, right))

    return fold


def _on_intervals(operator: str, left: SqlType, right: SqlType, constants: Constants) -> Resolved | None:
    if left != right or left not in (DAY_TO_SECOND, YEAR_TO_MONTH) or operator not in ("+", "-"):
        return None
    fold = _integer_fold(operator, engine_type(left))
    folded = _folded(operator, fold, (left, right), (left, right), constants)
    return _resolved(operator, left, (left, right), f"({{0}} {operator} {{1}})", folded)


def _scaled_interval(operator: str, left: SqlType, right: SqlType, constants: Constants) -> Resolved | None:
    """interval * number, number * interval, interval / number; a double scales and then drops the fraction."""
    intervals = [kind for kind in (left, right) if kind in (DAY_TO_SECOND, YEAR_TO_MONTH)]
    numbers = [kind for kind in (left, right) if kind in NUMBERS]
    if (
        len(intervals) != 1
        or len(numbers) != 1
        or operator not in ("*", "/")
        or (operator == "/" and right in intervals)
    ):
        return None
    interval, number = intervals[0], numbers[0]
    engine = engine_type(interval)
    symbol = _ON_INTEGERS[operator] if number is not DOUBLE else operator
    if number is DOUBLE:
        template, fold = f"CAST(trunc({{0}} {symbol} {{1}}) AS {engine})", None
    else:
        template, fold = f"CAST({{0}} {symbol} {{1}} AS {engine})", _integer_fold(operator, engine)
    types = (left, right)
    return _resolved(operator, interval, types, template, _folded(operator, fold, types, types, constants))


def _shifted_time(operator: str, left: SqlType, right: SqlType, constants: Constants) -> Resolved | None:
    """date, time or timestamp ± interval, and interval + any of them."""
    if operator == "+" and left in (DAY_TO_SECOND, YEAR_TO_MONTH) and right in (TIMESTAMP, DATE, TIME):
        turned = _shifted_time("+", right, left, constants[::-1])
        if turned is None:
            return None
        return _resolved("+", turned.result, (left, right), lambda texts: turned.lower(texts[::-1]), turned.constant)
    rule = _SHIFTS.get((left, right)) if isinstance(left, Scalar) and isinstance(right, Scalar) else None
    if rule is None or operator not in ("+", "-"):
        return None
    template, fold = rule
    if left is DATE and right is DAY_TO_SECOND:
        _check_whole_days(constants[1])
    sign = 1 if operator == "+" else -1
    types = (left, right)
    try:
        folded = _folded(operator, lambda value, interval: fold(value, sign * interval), types, types, constants)
    except Invalid as fault:
        return refused(fault, constants, left, types)
    return _resolved(operator, left, (left, right), template.replace("±", operator), folded)


DAYS_FAULT = "Cannot add hour, minutes or seconds to a date"


def _check_whole_days(interval: Constant | None) -> None:
    if interval is not None and interval.holds(lambda value: value is not None and value % NS_PER_DAY != 0):
        raise Invalid(DAYS_FAULT)


_SHIFTS: dict[tuple[Scalar, Scalar], tuple[str, Fold]] = {
    (TIMESTAMP, DAY_TO_SECOND): ("hw_plus({0}, 0 ± {1})", lambda value, interval: in_time_range(value + interval)),
    (TIMESTAMP, YEAR_TO_MONTH): ("hw_add_months({0}, 0::BIGINT ± {1})", add_months),
    (DATE, YEAR_TO_MONTH): ("hw_add_months_to_date({0}, 0::BIGINT ± {1})", add_months_to_days),
    (DATE, DAY_TO_SECOND): (
        f"CASE WHEN {{1}} % {NS_PER_DAY} <> 0 THEN {failure(quoted(DAYS_FAULT), DATE)}"
        f" ELSE hw_in_dates({{0}} ± {{1}} // {NS_PER_DAY}) END",
        lambda value, interval: in_date_range(value + interval // NS_PER_DAY),
    ),
    (TIME, DAY_TO_SECOND): (
        f"hw_time_of_day({{0}} ± {{1}} % {NS_PER_DAY})",
        lambda value, interval: (value + interval) % NS_PER_DAY,
    ),
}
_DISTANCES[DATE, DAY_TO_SECOND] = (
    f"CASE WHEN {{1}} % {NS_PER_DAY} <> 0 THEN {failure(quoted(DAYS_FAULT), DATE)}"
    f" ELSE CAST({{1}} // {NS_PER_DAY} AS INTEGER) END"
)
