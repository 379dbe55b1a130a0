"""Functions of the engine on texts that its own do not do, or do by bytes. NULL in any argument gives NULL.

`engine.py` registers them; lowered statements call them by name. Source: sql.md 6.4, 6.5, 6.8; 2.1 for doubles; what
the guide does not list is Trino's.
"""

from __future__ import annotations

import math
import re
import unicodedata
from decimal import Decimal
from itertools import islice
from typing import Literal, cast

import numpy as np

from headwater.engine.pace import check
from headwater.engine.values import ValueFunction
from headwater.errors import QueryFailed
from headwater.model.patterns import Pattern, check_splits, replacement

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
    if not re.fullmatch(f"[+-]?[{digits}]+", text, re.ASCII | re.IGNORECASE) or len(text) > 100:
        raise QueryFailed(f"Not a valid base-{radix} number: {text}")
    value = int(text, radix)
    if not -(2**63) <= value < 2**63:
        raise QueryFailed(f"Not a valid base-{radix} number: {text}")
    return value


# ------------------------------------------------------------------------------------ distance and place


def _hamming_distance(left: str, right: str) -> int:
    if len(left) != len(right):
        raise QueryFailed("The input strings to hamming_distance function must have the same length")
    return sum(a != b for a, b in zip(left, right, strict=True))


def _levenshtein_distance(left: str, right: str) -> int:
    """Edits of single characters. The product of the lengths is the work, so the caller limits it.

    A column of the table of distances at a time, as the bits of integers: in which rows of the longer text the distance
    grows by one from the row above, and in which it falls. Source: Myers, A fast bit-vector algorithm for approximate
    string matching (1999), as Hyyro (2001) changed it for whole texts.
    """
    short, long = sorted((left, right), key=len)
    if not short:
        return len(long)
    characters = np.frombuffer(long.encode("utf-32-le"), np.uint32)
    places: dict[str, int] = {}
    rows, last = (1 << len(long)) - 1, 1 << len(long) - 1
    grows, falls, distance = rows, 0, len(long)
    for character in short:
        check()
        if character not in places:
            found = np.packbits(characters == ord(character), bitorder="little")
            places[character] = int.from_bytes(found.tobytes(), "little")
        equal = places[character]
        diagonal = ((((equal & grows) + grows) ^ grows) | equal | falls) & rows
        right_grows, right_falls = falls | rows & ~(diagonal | grows), grows & diagonal
        distance += bool(right_grows & last) - bool(right_falls & last)
        right_grows, right_falls = right_grows << 1 | 1, right_falls << 1
        grows, falls = right_falls | rows & ~(diagonal | right_grows), right_grows & diagonal
    return distance


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


# ------------------------------------------------------------------------------------------ likeness, form

_SOUNDS = str.maketrans("BFPVCGJKQSXZDTLMNRAEIOUY", "111122222222334556000000", "HW")
"""H and W do not part two letters that sound alike; vowels do."""

_SOUND = re.compile(r"([1-6])\1*")


def _soundex(text: str) -> str:
    """Four characters of how an English word sounds. Letters of other alphabets have no code. Source: Trino."""
    upper = text.upper()
    letters = "".join(filter(str.isalpha, upper))
    if foreign := re.search("[^A-Z]", letters):
        raise QueryFailed(f"The character is not mapped: {foreign[0]} (index={upper.index(foreign[0])})")
    if not letters:
        return ""
    sounds = (letters[0].translate(_SOUNDS) or "0") + letters[1:].translate(_SOUNDS)
    # What sounds like the first letter, right behind it, is of one run with that.
    runs = islice(_SOUND.finditer(sounds), 4)
    return (letters[0] + "".join(run[1] for run in runs if run.start()))[:4].ljust(4, "0")


def _is_luhn(text: str) -> bool:
    """Whether the last digit is the check digit of those before it. Source: Trino."""
    if not re.fullmatch("[0-9]+", text):
        raise QueryFailed("Input contains non-digit characters" if text else "Input is empty")
    doubled = (2 * int(digit) for digit in text[-2::-2])
    return (sum(map(int, text[-1::-2])) + sum(value // 10 + value % 10 for value in doubled)) % 10 == 0


def _normalize(text: str, form: str) -> str:
    return unicodedata.normalize(cast(Literal["NFC", "NFD", "NFKC", "NFKD"], form), text)


# ----------------------------------------------------------------------------------- regular expressions


def _pattern(text: str) -> str:
    return Pattern(text).text


def _pattern_of_group(text: str, group: int) -> str:
    pattern = Pattern(text)
    if group > pattern.groups:
        raise QueryFailed(f"Pattern has {pattern.groups} groups. Cannot access group {group}")
    return pattern.text


def _pattern_to_split(text: str) -> str:
    pattern = Pattern(text)
    check_splits(pattern, text)
    return pattern.text


def _replacement(pattern: str, by: str) -> str:
    return replacement(by, Pattern(pattern))


_TWO_TEXTS = ("VARCHAR", "VARCHAR")

TEXT_FUNCTIONS = (
    ValueFunction("arrow_wide_double_text", ("DOUBLE",), "VARCHAR", double_text),
    ValueFunction("arrow_from_base", ("VARCHAR", "BIGINT"), "BIGINT", _from_base),
    ValueFunction("arrow_hamming_distance", _TWO_TEXTS, "BIGINT", _hamming_distance),
    ValueFunction("arrow_levenshtein_distance", _TWO_TEXTS, "BIGINT", _levenshtein_distance),
    ValueFunction("arrow_place", (*_TWO_TEXTS, "BIGINT", "BOOLEAN"), "BIGINT", _place),
    ValueFunction("arrow_soundex", ("VARCHAR",), "VARCHAR", _soundex),
    ValueFunction("arrow_luhn_check", ("VARCHAR",), "BOOLEAN", _is_luhn),
    ValueFunction("arrow_normalize", _TWO_TEXTS, "VARCHAR", _normalize),
    ValueFunction("arrow_pattern", ("VARCHAR",), "VARCHAR", _pattern),
    ValueFunction("arrow_pattern_of_group", ("VARCHAR", "BIGINT"), "VARCHAR", _pattern_of_group),
    ValueFunction("arrow_pattern_to_split", ("VARCHAR",), "VARCHAR", _pattern_to_split),
    ValueFunction("arrow_replacement", _TWO_TEXTS, "VARCHAR", _replacement),
)
