"""Functions of groups and arrays in numpy, against what they are by definition."""

from __future__ import annotations

from itertools import combinations

from headwater.engine.statistics import _places_of


def test_combinations_come_with_the_first_element_changing_fastest() -> None:
    for size in range(9):
        for length in range(6):
            # As sorted by their last element, then the last but one, and so on.
            expected = sorted(combinations(range(1, size + 1), length), key=lambda places: places[::-1])
            assert [tuple(row) for row in _places_of(size, length).tolist()] == expected
