"""Functions of the engine on texts that its own do not do, or do by bytes. NULL in any argument gives NULL.

`engine.py` registers them; lowered statements call them by name. Source: sql.md 6.4, 6.5; 2.1 for doubles.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pyarrow as pa

from headwater.engine.arrow import ArrowFunction, whole
from headwater.errors import QueryFailed

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def double_text(value: float) -> str:
    """The text of a double, as Java's Double.toString gives it with the fewest digits. Source: sql.md 2.1."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return repr(value)
    shortest = Decimal(repr(value)).as_tuple()
    if len(shortest.digits) == 1:
        # Java writes two digits at least, and then the nearest two: 4.9E-324 where one would do for 5e-324.
        shortest = Decimal(f"{value:.1e}").as_tuple()
    assert isinstance(shortest.exponent, int)
    digits = "".join(map(str, shortest.digits))
    power = shortest.exponent + len(digits) - 1
    return f"{'-' if shortest.sign else ''}{digits[0]}.{digits[1:].rstrip('0') or '0'}E{power}"


def _from_base(text: str, radix: int) -> int:
    if not 2 <= radix <= 36:
        raise QueryFailed("Radix must be between 2 and 36")
    digits = _DIGITS[:radix]
    if not re.fullmatch(f"[+-]?[{digits}]+", text, re.ASCII | re.IGNORECASE):
        raise QueryFailed(f"Not a valid base-{radix} number: {text}")
    value = int(text, radix)
    if not -(2**63) <= value < 2**63:
        raise QueryFailed(f"Not a valid base-{radix} number: {text}")
    return value


def _hamming_distance(left: str, right: str) -> int:
    if len(left) != len(right):
        raise QueryFailed("The input strings to hamming_distance function must have the same length")
    return sum(a != b for a, b in zip(left, right, strict=True))


def _levenshtein_distance(left: str, right: str) -> int:
    """Edits of single characters. The product of the lengths is the work, so it is limited (ours)."""
    if len(left) * len(right) > 1_000_000:
        raise QueryFailed("The combined inputs for Levenshtein distance are too large")
    above = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        row = [i]
        for j, b in enumerate(right, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (a != b)))
        above = row
    return above[-1]


def _place(text: str, part: str, instance: int, from_end: bool) -> int:
    """Where the instance-th occurrence starts, from 1, counted from either end; 0 if there are not so many.

    Occurrences may overlap; an empty part is found at 1, as in Trino.
    """
    if instance < 1:
        raise QueryFailed("'instance' must be a positive number")
    if not part:
        return 1
    place = len(text) if from_end else -1
    for _ in range(instance):
        if from_end:
            place = text.rfind(part, 0, place + len(part) - 1) if place > 0 else -1
        else:
            place = text.find(part, place + 1)
        if place < 0:
            return 0
    return place + 1


def _by_value(function: Callable[..., Any], kind: pa.DataType, *columns: Any) -> pa.Array:
    """A function of values applied to whole columns."""
    rows = zip(*(whole(column).to_pylist() for column in columns), strict=True)
    return pa.array([None if None in row else function(*row) for row in rows], type=kind)


def _double_texts(values: Any) -> pa.Array:
    return _by_value(double_text, pa.string(), values)


def _from_bases(texts: Any, radixes: Any) -> pa.Array:
    return _by_value(_from_base, pa.int64(), texts, radixes)


def _hamming_distances(lefts: Any, rights: Any) -> pa.Array:
    return _by_value(_hamming_distance, pa.int64(), lefts, rights)


def _levenshtein_distances(lefts: Any, rights: Any) -> pa.Array:
    return _by_value(_levenshtein_distance, pa.int64(), lefts, rights)


def _places(texts: Any, parts: Any, instances: Any, from_end: Any) -> pa.Array:
    return _by_value(_place, pa.int64(), texts, parts, instances, from_end)


TEXT_FUNCTIONS = (
    ArrowFunction("arrow_wide_double_text", ("DOUBLE",), "VARCHAR", _double_texts),
    ArrowFunction("arrow_from_base", ("VARCHAR", "BIGINT"), "BIGINT", _from_bases),
    ArrowFunction("arrow_hamming_distance", ("VARCHAR", "VARCHAR"), "BIGINT", _hamming_distances),
    ArrowFunction("arrow_levenshtein_distance", ("VARCHAR", "VARCHAR"), "BIGINT", _levenshtein_distances),
    ArrowFunction("arrow_place", ("VARCHAR", "VARCHAR", "BIGINT", "BOOLEAN"), "BIGINT", _places),
)
