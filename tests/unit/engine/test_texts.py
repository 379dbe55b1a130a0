"""Functions of texts in Python, against what they are by definition."""

from __future__ import annotations

import random

from headwater.engine.texts import _levenshtein_distance


def _by_table(left: str, right: str) -> int:
    above = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        row = [i]
        for j, b in enumerate(right, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (a != b)))
        above = row
    return above[-1]


def test_levenshtein_distance_is_that_of_the_whole_table() -> None:
    chosen = random.Random(5)
    for _ in range(3_000):
        left, right = ("".join(chosen.choices("abé😀", k=chosen.randrange(longest))) for longest in (12, 90))
        expected = _by_table(left, right)
        assert _levenshtein_distance(left, right) == _levenshtein_distance(right, left) == expected, (left, right)
