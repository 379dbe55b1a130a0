"""Rows of mathematical and bitwise functions. Source: sql.md 6.4, 6.7."""

from __future__ import annotations

import math

from headwater.sql.coercion import BIGINT, VARCHAR, failure, quoted
from headwater.sql.signature import Signature, row

INTEGERS = ("integer", "bigint")
NUMBERS = (*INTEGERS, "double")

_ON_DOUBLES = {
    "cbrt": "cbrt({0})",
    "exp": "exp({0})",
    "ln": "ln({0})",
    "log2": "log2({0})",
    "log10": "log10({0})",
    "sqrt": "sqrt({0})",
    "degrees": "degrees({0})",
    "radians": "radians({0})",
    "acos": "acos({0})",
    "asin": "asin({0})",
    "atan": "atan({0})",
    "sin": "sin({0})",
    "cos": "cos({0})",
    "tan": "tan({0})",
    "cosh": "cosh({0})",
    "tanh": "tanh({0})",
    "truncate": "trunc({0})",
}
_DOUBLE_SIGN = "CASE WHEN {0} > 0 AND {0} <= 'Infinity'::DOUBLE THEN 1e0 WHEN {0} < 0 THEN (-1e0) ELSE {0} END"
_RADIX_FAULT = quoted("Radix must be between 2 and 36")


def _of_numbers() -> list[Signature]:
    """Functions that keep the type of their argument."""
    rows = []
    for kind in NUMBERS:
        is_double = kind == "double"
        rows += [
            row(f"abs({kind}) -> {kind}", "abs({0})", source="6.4"),
            row(f"sign({kind}) -> {kind}", _DOUBLE_SIGN if is_double else _integer_sign(kind), source="6.4"),
            row(f"mod({kind}, {kind}) -> {kind}", "({0} % {1})", source="6.4"),
            row(f"round({kind}, integer) -> {kind}", "round({0}, {1})", source="6.4"),
        ]
        rows += [
            row(f"{name}({kind}) -> {kind}", f"{engine}({{0}})" if is_double else "{0}", source="6.4")
            for name, engine in (("ceiling", "ceil"), ("ceil", "ceil"), ("floor", "floor"), ("round", "round"))
        ]
    return rows


def _integer_sign(kind: str) -> str:
    return f"CAST(sign({{0}}) AS {kind.upper()})"


def _random_below(kind: str) -> Signature:
    fault = failure(quoted("bound must be positive"), BIGINT)
    lower = f"CAST(CASE WHEN {{0}} <= 0 THEN {fault} ELSE floor(random() * {{0}}) END AS {kind.upper()})"
    return row(f"random({kind}) -> {kind}", lower, is_volatile=True, source="6.4")


def _in_bits() -> str:
    """`bit_count(x, bits)`: x must fit into `bits`. Source of the second text: sql.md 8."""
    width = failure("concat('Bits specified in bit_count must be between 2 and 64, got ', {1})", BIGINT)
    unfit = failure(
        "concat('Number must be representable with the bits specified. ', {0},"
        " ' can not be represented with ', {1}, ' bits')",
        BIGINT,
    )
    limit = "(1::BIGINT << ({1} - 1)::INTEGER)"
    return (
        "CAST(CASE WHEN {1} = 64 THEN bit_count({0})"
        f" WHEN {{1}} < 2 OR {{1}} > 64 THEN {width}"
        f" WHEN {{0}} < 0 - {limit} OR {{0}} > {limit} - 1 THEN {unfit}"
        " ELSE bit_count({0} & ((1::BIGINT << ({1} - 1)::INTEGER) * 2::HUGEINT - 1)::BIGINT) END AS BIGINT)"
    )


ROWS = (
    *_of_numbers(),
    *(row(f"{name}(double) -> double", lower, source="6.4") for name, lower in _ON_DOUBLES.items()),
    *(row(f"{name}(double, double) -> double", "pow({0}, {1})", source="6.4") for name in ("pow", "power")),
    row("atan2(double, double) -> double", "atan2({0}, {1})", source="6.4"),
    row("e() -> double", "exp(1e0)", fold=lambda: math.e, source="6.4"),
    row("pi() -> double", "pi()", fold=lambda: math.pi, source="6.4"),
    row("infinity() -> double", "'Infinity'::DOUBLE", fold=lambda: math.inf, source="6.4"),
    row("nan() -> double", "'NaN'::DOUBLE", fold=lambda: math.nan, source="6.4"),
    row("rand() -> double", "random()", is_volatile=True, source="6.4"),
    row("random() -> double", "random()", is_volatile=True, source="6.4"),
    *map(_random_below, INTEGERS),
    row("is_finite(double) -> boolean", "isfinite({0})", source="6.4"),
    row("is_infinite(double) -> boolean", "isinf({0})", source="6.4"),
    row("is_nan(double) -> boolean", "isnan({0})", source="6.4"),
    row("from_base(varchar, bigint) -> bigint", "arrow_from_base({0}, {1})", source="6.4"),
    row(
        "to_base(bigint, bigint) -> varchar",
        f"CASE WHEN {{1}} NOT BETWEEN 2 AND 36 THEN {failure(_RADIX_FAULT, VARCHAR)} WHEN {{0}} < 0"
        " THEN '-' || lower(to_base(abs({0}), {1}::INTEGER)) ELSE lower(to_base({0}, {1}::INTEGER)) END",
        source="6.4",
    ),
    row("bit_count(bigint, bigint) -> bigint", _in_bits(), source="6.7"),
    row("bitwise_and(bigint, bigint) -> bigint", "({0} & {1})", source="6.7"),
    row("bitwise_or(bigint, bigint) -> bigint", "({0} | {1})", source="6.7"),
    row("bitwise_xor(bigint, bigint) -> bigint", "xor({0}, {1})", source="6.7"),
    row("bitwise_not(bigint) -> bigint", "(~{0})", source="6.7"),
)
