"""Rows of mathematical, bitwise and geospatial functions. Source: sql.md 6.4, 6.7; what it does not list is Trino's."""

from __future__ import annotations

import math

from headwater.sql.coercion import BIGINT, DOUBLE, VARCHAR, failure, quoted
from headwater.sql.signature import Signature, row

INTEGERS = ("integer", "bigint")
NUMBERS = (*INTEGERS, "double")

_ON_DOUBLES = {
    # The engine's is a power, and a digit off where the root is a whole number.
    "cbrt": "CASE WHEN pow(round(cbrt({0})), 3) = {0} THEN round(cbrt({0})) ELSE cbrt({0}) END",
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


_RANDOM = ("random", "rand")


def _random_below(name: str, kind: str) -> Signature:
    fault = failure(quoted("bound must be positive"), BIGINT)
    lower = f"CAST(CASE WHEN {{0}} <= 0 THEN {fault} ELSE floor(random() * {{0}}) END AS {kind.upper()})"
    return row(f"{name}({kind}) -> {kind}", lower, is_volatile=True, source="6.4")


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


# ------------------------------------------------------------------------------ beyond the guide

_EARTH_RADIUS_KM = "6371.01e0"
_OPERAND = failure(quoted("operand must not be NaN"), BIGINT)
_BUCKETS = failure(quoted("bucketCount must be greater than 0"), BIGINT)
_BOUNDS = failure(quoted("bounds must be finite and differ"), BIGINT)
_WIDTH_BUCKET = (
    "CASE WHEN {0} + {1} + {2} IS NULL OR {3} IS NULL THEN NULL"
    f" WHEN isnan({{0}}) THEN {_OPERAND} WHEN {{3}} <= 0 THEN {_BUCKETS}"
    f" WHEN NOT isfinite({{1}}) OR NOT isfinite({{2}}) OR {{1}} = {{2}} THEN {_BOUNDS}"
    " WHEN {0} < least({1}, {2}) THEN CASE WHEN {1} > {2} THEN {3} + 1 ELSE 0 END"
    " WHEN {0} >= greatest({1}, {2}) THEN CASE WHEN {1} > {2} THEN 0 ELSE {3} + 1 END"
    " WHEN {1} > {2} THEN {3} - CAST(floor({3} * ({0} - {2}) / ({1} - {2}) + 1) AS BIGINT) + 1"
    " WHEN {2} > {1} THEN CAST(floor({3} * ({0} - {1}) / ({2} - {1}) + 1) AS BIGINT) END"
)
_NO_BINS = failure(quoted("Bins cannot be an empty array"), BIGINT)
_IN_BINS = (
    f"CASE WHEN len({{1}}) = 0 THEN {_NO_BINS} WHEN isnan({{0}}) THEN {_OPERAND}"
    " WHEN {0} IS NOT NULL AND {1} IS NOT NULL THEN len(list_filter({1}, lambda bin: bin <= {0}))::BIGINT END"
)


def _wilson(sign: str) -> str:
    """An end of the Wilson interval of {0} successes among {1} trials, {2} standard deviations wide."""
    faults = "".join(
        f"WHEN {condition} THEN {failure(quoted(message), DOUBLE)} "
        for condition, message in (
            ("{0} < 0", "number of successes must not be negative"),
            ("{1} <= 0", "number of trials must be positive"),
            ("{0} > {1}", "number of successes must not be larger than number of trials"),
            ("{2} < 0", "z-score must not be negative"),
        )
    )
    share = "({0}::DOUBLE / {1}::DOUBLE)"
    half = f"{{2}} * sqrt(({share} * (1e0 - {share}) + {{2}} * {{2}} / (4e0 * {{1}})) / {{1}})"
    middle = f"{share} + {{2}} * {{2}} / (2e0 * {{1}})"
    return f"CASE {faults} ELSE ({middle} {sign} {half}) / (1e0 + {{2}} * {{2}} / {{1}}) END"


def _great_circle() -> str:
    """Kilometres between two places, latitude and longitude in degrees, on a sphere. Source: Trino (Vincenty)."""
    latitude = failure(quoted("Latitude must be between -90 and 90"), DOUBLE)
    longitude = failure(quoted("Longitude must be between -180 and 180"), DOUBLE)
    first, second, turn = "radians({0})", "radians({2})", "radians({1} - {3})"
    across = f"cos({second}) * sin({turn})"
    along = f"cos({first}) * sin({second}) - sin({first}) * cos({second}) * cos({turn})"
    towards = f"sin({first}) * sin({second}) + cos({first}) * cos({second}) * cos({turn})"
    return (
        f"CASE WHEN NOT (abs({{0}}) <= 90 AND abs({{2}}) <= 90) THEN {latitude}"
        f" WHEN NOT (abs({{1}}) <= 180 AND abs({{3}}) <= 180) THEN {longitude}"
        f" ELSE atan2(sqrt(pow({across}, 2) + pow({along}, 2)), {towards}) * {_EARTH_RADIUS_KM} END"
    )


def _random_between(name: str, kind: str) -> Signature:
    fault = failure(quoted("start value must be less than stop value"), BIGINT)
    width = "({1}::HUGEINT - {0})::DOUBLE"
    drawn = f"({{0}}::HUGEINT + floor(random() * {width})::HUGEINT)"
    lower = f"CAST(CASE WHEN {{0}} >= {{1}} THEN {fault} ELSE {drawn} END AS {kind.upper()})"
    return row(f"{name}({kind}, {kind}) -> {kind}", lower, is_volatile=True, source="Trino")


_TRUNCATED = (
    "CASE WHEN {1} IS NULL THEN NULL WHEN NOT isfinite({0}) OR {1} > 300 THEN {0} WHEN {1} < -300 THEN 0e0"
    " WHEN {1} < 0 THEN trunc({0} / pow(1e1, -{1})) * pow(1e1, -{1})"
    " WHEN isfinite({0} * pow(1e1, {1})) THEN trunc({0} * pow(1e1, {1})) / pow(1e1, {1}) ELSE {0} END"
)

_BEYOND = (
    row("log(double, double) -> double", "(ln({1}) / ln({0}))", source="Trino"),
    row("sinh(double) -> double", "sinh({0})", source="Trino"),
    row("truncate(double, integer) -> double", _TRUNCATED, source="Trino"),
    row("width_bucket(double, double, double, bigint) -> bigint", _WIDTH_BUCKET, source="Trino"),
    row("width_bucket(double, array(double)) -> bigint", _IN_BINS, source="Trino"),
    row("wilson_interval_lower(bigint, bigint, double) -> double", _wilson("-"), source="Trino"),
    row("wilson_interval_upper(bigint, bigint, double) -> double", _wilson("+"), source="Trino"),
    row("normal_cdf(double, double, double) -> double", "arrow_normal_cdf({0}, {1}, {2})", source="Trino"),
    row(
        "inverse_normal_cdf(double, double, double) -> double",
        "arrow_inverse_normal_cdf({0}, {1}, {2})",
        source="Trino",
    ),
    *(
        row(f"{name}(bigint, bigint) -> bigint", f"arrow_{engine}({{0}}, {{1}})", source="Trino")
        for name, engine in (
            ("bitwise_left_shift", "left_shift"),
            ("bitwise_right_shift", "right_shift"),
            ("bitwise_right_shift_arithmetic", "right_shift_arithmetic"),
        )
    ),
    *(_random_between(name, kind) for name in _RANDOM for kind in INTEGERS),
    row("great_circle_distance(double, double, double, double) -> double", _great_circle(), source="Trino"),
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
    *(row(f"{name}() -> double", "random()", is_volatile=True, source="6.4") for name in _RANDOM),
    *(_random_below(name, kind) for name in _RANDOM for kind in INTEGERS),
    row("is_finite(double) -> boolean", "isfinite({0})", source="6.4"),
    row("is_infinite(double) -> boolean", "isinf({0})", source="6.4"),
    row("is_nan(double) -> boolean", "isnan({0})", source="6.4"),
    row("from_base(varchar, bigint) -> bigint", "arrow_from_base({0}, {1})", source="6.4"),
    row(
        "to_base(bigint, bigint) -> varchar",
        # The least bigint has no positive twin: its last digit is taken off first.
        f"CASE WHEN {{1}} NOT BETWEEN 2 AND 36 THEN {failure(_RADIX_FAULT, VARCHAR)} WHEN {{0}} < 0"
        " THEN '-' || CASE WHEN {0} // {1} = 0 THEN '' ELSE lower(to_base(0 - {0} // {1}, {1}::INTEGER)) END"
        " || lower(to_base(0 - {0} % {1}, {1}::INTEGER)) ELSE lower(to_base({0}, {1}::INTEGER)) END",
        source="6.4",
    ),
    row("bit_count(bigint, bigint) -> bigint", _in_bits(), source="6.7"),
    row("bitwise_and(bigint, bigint) -> bigint", "({0} & {1})", source="6.7"),
    row("bitwise_or(bigint, bigint) -> bigint", "({0} | {1})", source="6.7"),
    row("bitwise_xor(bigint, bigint) -> bigint", "xor({0}, {1})", source="6.7"),
    row("bitwise_not(bigint) -> bigint", "(~{0})", source="6.7"),
    *_BEYOND,
)
