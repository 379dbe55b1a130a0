"""Texts of values to typed values: one at a time with its grammar spelled out, and a column at a time, fast.

`exact` uses the former, `quick` the latter; a test holds that they take the same texts and make the same values.
All functions raise ValueError (OverflowError from a column of integers) for a text that its type does not take.
Source: write-api.md 6.3, 6.4.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import isfinite

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


def read_column(measure_type: MeasureType, texts: Sequence[str], units_ns: Sequence[int]) -> ValueColumn:
    """The values of a whole column; `units_ns[i]` is the unit of the i-th record."""
    match measure_type:
        case MeasureType.DOUBLE:
            return _read_doubles(texts)
        case MeasureType.BIGINT:
            _check_characters(texts, b"0123456789+-,")
            return np.fromiter(map(int, texts), np.int64, len(texts))
        case MeasureType.TIMESTAMP:
            return read_int64s(texts, units_ns)
        case MeasureType.BOOLEAN:
            return _read_booleans(texts)
        case MeasureType.VARCHAR:
            return _read_varchars(texts)


def read_int64s(texts: Sequence[str], factors: Sequence[int]) -> Int64s:
    """A column of integers, each times its factor."""
    _check_characters(texts, b"0123456789+-,")
    return np.array([int(text) * factor for text, factor in zip(texts, factors, strict=True)], np.int64)


def _read_doubles(texts: Sequence[str]) -> npt.NDArray[np.float64]:
    # Of texts in these characters Python's float() takes exactly those of the grammar above.
    _check_characters(texts, b"0123456789+-.eE,")
    numbers = np.fromiter(map(float, texts), np.float64, len(texts))
    if not np.isfinite(numbers).all():
        raise ValueError("a double is out of range")
    return numbers


def _read_booleans(texts: Sequence[str]) -> npt.NDArray[np.bool_]:
    lowered = [text.lower() for text in texts]
    if not _BOOLEANS.keys() >= set(lowered):
        raise ValueError("a text is not a boolean")
    return np.array([text == "true" for text in lowered], np.bool_)


def _read_varchars(texts: Sequence[str]) -> list[str]:
    if max(map(len, texts)) > VARCHAR_BYTES_MAX or not "".join(texts).isascii():
        for text in texts:
            varchar(text)
    return list(texts)


def _check_characters(texts: Sequence[str], allowed: bytes) -> None:
    """Raise ValueError if a text has another character; a comma passes here and is refused by the conversion."""
    if ",".join(texts).encode().translate(None, allowed):
        raise ValueError("a number has a character that no number has")
