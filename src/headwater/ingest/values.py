"""Texts of values to typed values: one at a time with its grammar spelled out, and a column at a time, fast.

`exact` uses the former, `quick` the latter; a test holds that they take the same texts and make the same values.
All functions raise ValueError (OverflowError from a column of integers) for a text that its type does not take.
Source: write-api.md 6.3, 6.4.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import chain
from math import isfinite
from typing import TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from headwater.model.record import Int64s, ValueColumn
from headwater.model.table import MeasureType
from headwater.model.time import NS_PER_MS, NS_PER_S, NS_PER_US, TIME_MAX_NS, TIME_MIN_NS

UNIT_NS = {"MILLISECONDS": NS_PER_MS, "SECONDS": NS_PER_S, "MICROSECONDS": NS_PER_US, "NANOSECONDS": 1}

VARCHAR_BYTES_MAX = 2_048

# Written so that no text can be matched in two ways: matching takes linear time.
_DOUBLE = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_BOOLEANS = {"true": True, "false": False}


def value(measure_type: MeasureType, text: str, unit_ns: int) -> float | int | bool | str:
    """The value of one text; a TIMESTAMP is counted in units of `unit_ns` and becomes ns since 1970."""
    match measure_type:
        case MeasureType.DOUBLE:
            return double(text)
        case MeasureType.BIGINT:
            return int64(text, 1)
        case MeasureType.TIMESTAMP:
            return int64(text, unit_ns)
        case MeasureType.BOOLEAN:
            return boolean(text)
        case MeasureType.VARCHAR:
            return varchar(text)


def double(text: str) -> float:
    """Decimal or exponent notation, in the range of binary64; what is too small becomes zero."""
    if not _DOUBLE.fullmatch(text):
        raise ValueError(text)
    number = float(text)
    if not isfinite(number):
        raise ValueError(text)
    return number


def int64(text: str, factor: int) -> int:
    """Optional sign and digits, times `factor`, within 64 bits."""
    if not _INTEGER.fullmatch(text):
        raise ValueError(text)
    number = int(text) * factor
    if not TIME_MIN_NS <= number <= TIME_MAX_NS:
        raise ValueError(text)
    return number


def boolean(text: str) -> bool:
    """`true` or `false` in any letter case: the case is a guess."""
    if text.lower() not in _BOOLEANS:
        raise ValueError(text)
    return _BOOLEANS[text.lower()]


def varchar(text: str) -> str:
    """Up to 2048 bytes of UTF-8; that it is not empty is the shape's business."""
    if len(text.encode()) > VARCHAR_BYTES_MAX:
        raise ValueError(text)
    return text


def column(measure_type: MeasureType, values: Sequence[float | int | bool | str]) -> ValueColumn:
    """Typed values as a column of the store."""
    match measure_type:
        case MeasureType.DOUBLE:
            return np.array(values, np.float64)
        case MeasureType.BIGINT | MeasureType.TIMESTAMP:
            return np.array(values, np.int64)
        case MeasureType.BOOLEAN:
            return np.array(values, np.bool_)
        case MeasureType.VARCHAR:
            return [str(text) for text in values]


def read_rows(types: Sequence[MeasureType], texts: Sequence[str], units_ns: Sequence[int]) -> tuple[ValueColumn, ...]:
    """The columns of records that were sent as `texts`, record by record; `units_ns[i]` is the unit of the i-th.

    Columns of one type are read in one go: a hundred records of ten doubles are one list of a thousand.
    """
    kinds, rows = set(types), len(units_ns)
    if len(kinds) == 1 and MeasureType.VARCHAR not in kinds:
        if MeasureType.TIMESTAMP in kinds and len(types) > 1:
            units_ns = [unit_ns for unit_ns in units_ns for _ in types]
        return tuple(np.ascontiguousarray(_read_numbers(types[0], texts, units_ns).reshape(rows, -1).T))
    columns: dict[int, ValueColumn] = {}
    for kind in kinds:
        places = [place for place, of in enumerate(types) if of is kind]
        of_kind = [texts[place :: len(types)] for place in places]
        if kind is MeasureType.VARCHAR:
            columns |= zip(places, map(_read_varchars, of_kind), strict=True)
        else:
            values = _read_numbers(kind, list(chain.from_iterable(of_kind)), list(units_ns) * len(places))
            columns |= zip(places, values.reshape(-1, rows), strict=True)
    return tuple([columns[place] for place in range(len(types))])


def _read_numbers(
    measure_type: MeasureType, texts: Sequence[str], units_ns: Sequence[int]
) -> npt.NDArray[np.float64] | Int64s | npt.NDArray[np.bool_]:
    """`units_ns` is asked of instants only: `units_ns[i]` is the unit of `texts[i]`."""
    match measure_type:
        case MeasureType.DOUBLE:
            return _read_doubles(texts)
        case MeasureType.TIMESTAMP:
            return read_int64s(texts, units_ns)
        case MeasureType.BIGINT:
            return _read_bigints(texts)
        case _:
            return _read_booleans(texts)


def read_int64s(texts: Sequence[str], factors: Sequence[int]) -> Int64s:
    """A column of integers, each times its factor. One text for all, as of a fleet's measures, is read once."""
    first = factors[0]
    if len(set(factors)) > 1:
        _check_characters(texts, b"0123456789+-,")
        return np.array([int(text) * factor for text, factor in zip(texts, factors, strict=True)], np.int64)
    if len(set(texts)) == 1:
        return np.full(len(texts), int64(texts[0], first), np.int64)
    numbers = _read_bigints(texts)
    if int(numbers.min()) * first < TIME_MIN_NS or int(numbers.max()) * first > TIME_MAX_NS:
        raise OverflowError("an instant has more than 64 bits")
    return numbers * first


def _read_bigints(texts: Sequence[str]) -> Int64s:
    numbers: Sequence[int] | None = _decoded(texts, _decode_int64s)
    if numbers is None:
        _check_characters(texts, b"0123456789+-,")
        numbers = list(map(int, texts))
    return np.array(numbers, np.int64)


def _read_doubles(texts: Sequence[str]) -> npt.NDArray[np.float64]:
    decoded: Sequence[float] | None = _decoded(texts, _decode_doubles)
    if decoded is not None:
        return np.array(decoded, np.float64)
    # Of texts in these characters Python's float() takes exactly those of the grammar above.
    _check_characters(texts, b"0123456789+-.eE,")
    doubles = np.array(list(map(float, texts)), np.float64)
    if not np.isfinite(doubles).all():
        raise ValueError("a double is out of range")
    return doubles


_decode_int64s = msgspec.json.Decoder(list[int]).decode
_decode_doubles = msgspec.json.Decoder(list[float]).decode

N = TypeVar("N", int, float)


def _decoded(texts: Sequence[str], decode: Callable[[str], list[N]]) -> list[N] | None:
    """The numbers if all are numbers of JSON, which are a part of our grammars; three times as fast as one by one.

    None is no verdict: the texts may be good or bad. What is out of range the decoder refuses. A text with a comma
    makes more numbers than there are texts; "-0" would lose its sign.
    """
    joined = ",".join(texts)
    if any(space in joined for space in " \t\r\n") or "-0," in joined or joined.endswith("-0"):
        return None
    try:
        numbers = decode(f"[{joined}]")
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None
    return numbers if len(numbers) == len(texts) else None


def _read_booleans(texts: Sequence[str]) -> npt.NDArray[np.bool_]:
    try:
        return np.array([_BOOLEANS[text] for text in texts], np.bool_)
    except KeyError:
        return np.array([boolean(text) for text in texts], np.bool_)


def _read_varchars(texts: Sequence[str]) -> list[str]:
    # A character takes at most four bytes.
    if 4 * max(map(len, texts)) > VARCHAR_BYTES_MAX:
        for text in texts:
            varchar(text)
    return list(texts)


def _check_characters(texts: Sequence[str], allowed: bytes) -> None:
    """Raise ValueError if a text has another character; a comma passes here and is refused by the conversion."""
    if ",".join(texts).encode().translate(None, allowed):
        raise ValueError("a number has a character that no number has")
