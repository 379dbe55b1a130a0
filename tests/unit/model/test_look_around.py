"""Patterns that look ahead or behind: which are refused, and how soon. What others find: tests/unit/sql."""

from __future__ import annotations

import time

import pytest

from headwater.errors import Invalid
from headwater.model.look_around import first_match


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?!x)a",
        r"(?=a)a",
        r"(?<=a+)b",
        r"(?<!ab)c",
        r"a(?=b)|c",
        r"(?<=a)b|c",
        r"(a(?=b))",
        r"(?:a(?=b))c",
        r"(?<=(a))b",
        r"a(?=b",
        r"a(?=b)*",
        r"(?<=a)+b",
        r"(?<=a)(?i)B(?=c)",
        r"(?i)(?<!a)b",
        r"^(?!(a)).b",
        r"a(?!b*)",
        r"^((?!a*).)*$",
        r"(?m)^(?!a)b",
        "^" + "(?!a)" * 17,
        "a(?!" + "b" * 33 + ")",
        "(?<=",
    ],
)
def test_what_cannot_be_found_in_linear_time_is_refused_with_the_pattern_as_it_was_written(pattern: str) -> None:
    with pytest.raises(Invalid) as refused:
        first_match(pattern)
    assert refused.value.message.endswith(f": {pattern}")


@pytest.mark.parametrize("pattern", ["^" + "(?=a)" * 40_000, "a(?=b)" * 40_000, "(?=" * 80_000, "(?<=a)" * 40_000])
def test_a_long_pattern_is_refused_soon(pattern: str) -> None:
    started_s = time.thread_time()
    with pytest.raises(Invalid):
        first_match(pattern)
    assert time.thread_time() - started_s < 2
