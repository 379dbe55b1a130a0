"""Patterns that look ahead or behind find, in the engine, what Python's `re` finds, which looks around itself."""

from __future__ import annotations

import re
from random import Random

import pytest
from sql_world import rows

PATTERNS = (
    r"^(?!foo).*$",
    r"^(?!foo|bar)[a-z]+",
    r"\A(?!foo)[a-z]+",
    r"^(?=.*1)(?=.*b)[a-z0-9]{2,}",
    r"^(?=foo)",
    r"^(?!.*foo)",
    r"^(?!\d)\w+(?=,)",
    r"^((?!foo).)*$",
    r"^(?:(?!foo).)+$",
    r"(?<=a)b+",
    r"(?<=a|b)1",
    r"(?<=[ab])\d(?=[^a])",
    r"(?<=fo)o(b)(?=a)",
    r"(?<=a).*(?=b)",
    r"(?<=\()\w+(?=\))",
    r"(?<!a)b",
    r"(?<![0-9])\d{2}(?![0-9])",
    r"(?<!\w)foo(?!\w)",
    r"(?<![\d,])o",
    r"a(?=b)",
    r"\w+(?=,|$)",
    r"[ab]+?(?=1|b)",
    r"(a|b)+(?=1)",
    r"foo(?!bar)",
    r"b(?!a1)",
    r"a*(?!b)",
    r"a(b)?(?!b)",
    r"(?i)(?<=A)b",
    r"(?i)^(?!FOO)\w+",
    r"(?s)^((?!foo).)*$",
    r"[(?=]+",
    r"a\(?=?",
    r"(?<word>[ab]+)(?=1)",
)  # fmt: skip

WORDS = ("foo", "bar", "fo", "a", "b", "a1", "1", "11", ",", "(", ")", " ", "A", "\n", "o")


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_first_match_is_the_one_that_looking_around_finds(pattern: str) -> None:
    random = Random(pattern)
    texts = {"".join(random.choices(WORDS, k=random.randint(0, 5))) for _ in range(400)}
    # Java's and Python's $ stands before a last line end too, RE2's does not.
    texts = {text for text in texts if not text.endswith("\n")}
    theirs = re.compile(pattern.replace("(?<word>", "(?P<word>"), re.ASCII)
    group = min(1, theirs.groups)
    expected = []
    for text in sorted(texts):
        match = theirs.search(text)
        expected.append((text, match is not None, match and match[0], match and match[group]))
    table = ", ".join(f"('{text}')" for text in texts)
    asked = f"regexp_like(t, '{pattern}'), regexp_extract(t, '{pattern}'), regexp_extract(t, '{pattern}', {group})"
    assert rows(f"SELECT t, {asked} FROM (VALUES {table}) AS v(t) ORDER BY t") == expected
    assert any(match for _, match, *_ in expected)


def test_null_gives_null() -> None:
    assert rows("SELECT regexp_like(NULL, '^(?!a)'), regexp_extract(NULL, '(?<=a)b')") == [(None, None)]
    assert rows("SELECT regexp_extract('ab', '(?<=a)b', CAST(NULL AS integer))") == [(None,)]
