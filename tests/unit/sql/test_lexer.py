"""Tokens and their places; and that no text, however built, takes long."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from headwater.errors import Invalid
from headwater.model.limits import Limits
from headwater.sql.lexer import RESERVED, Token, lex

LIMITS = Limits()


def kinds(text: str) -> list[tuple[str, str]]:
    return [(token.kind, token.text) for token in lex(text, LIMITS)[:-1]]


def places(text: str) -> list[tuple[int, int]]:
    return [(token.line, token.column) for token in lex(text, LIMITS)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT select", [("reserved", "SELECT"), ("reserved", "select")]),
        ("time DESC measure_1 _x", [("name", "time"), ("name", "DESC"), ("name", "measure_1"), ("name", "_x")]),
        ('"a b" "say ""hi"""', [("quoted", "a b"), ("quoted", 'say "hi"')]),
        ("'it''s' ''", [("string", "it's"), ("string", "")]),
        ("U&'\\03A9' u&'a''b' u", [("unicode", "\\03A9"), ("unicode", "a'b"), ("name", "u")]),
        ("42 1.5 .5 5. 1e9 1.5E-3", [("number", n) for n in ("42", "1.5", ".5", "5.", "1e9", "1.5E-3")]),
        ("a.b 1-2", [("name", "a"), ("symbol", "."), ("name", "b"), ("number", "1"), ("symbol", "-"), ("number", "2")]),
        ("<> != <= >= || :: ->", [("symbol", s) for s in ("<>", "!=", "<=", ">=", "||", "::", "->")]),
        ("@scheduled_runtime", [("parameter", "scheduled_runtime")]),
        ("a--b\nc/*d*/e/f", [("name", "a"), ("name", "c"), ("name", "e"), ("symbol", "/"), ("name", "f")]),
        ("/* ** / */ x -- '", [("name", "x")]),
        ("", []),
    ],
)
def test_a_text_has_these_tokens(text: str, expected: list[tuple[str, str]]) -> None:
    assert kinds(text) == expected


@pytest.mark.parametrize(
    ("text", "digits", "unit"),
    [
        ("15m", "15", "minute"),
        ("72.5h", "72.5", "hour"),
        ("60000ms", "60000", "millisecond"),
        ("1month", "1", "month"),
        ("50ns", "50", "nanosecond"),
        ("50nanosecond", "50", "nanosecond"),
        ("3us", "3", "microsecond"),
        ("3microsecond", "3", "microsecond"),
        ("3millisecond", "3", "millisecond"),
        (".5s", ".5", "second"),
        ("5second", "5", "second"),
        ("5minute", "5", "minute"),
        ("1hour", "1", "hour"),
        ("2d", "2", "day"),
        ("10day", "10", "day"),
        ("8month", "8", "month"),
        ("1y", "1", "year"),
        ("5year", "5", "year"),
    ],
)
def test_a_number_glued_to_a_unit_is_a_short_interval(text: str, digits: str, unit: str) -> None:
    assert lex(text, LIMITS)[0] == Token("short_interval", digits, unit, 1, 1)
    assert lex(text.upper(), LIMITS)[0] == Token("short_interval", digits, unit, 1, 1)


def test_a_number_apart_from_a_unit_is_a_number() -> None:
    assert kinds("1 d") == [("number", "1"), ("name", "d")]


def test_places_count_lines_and_characters_from_one() -> None:
    assert places("a b\n  c\r\n\n/* x\ny */ d 'e\nf' \U0001f600"[:-1]) == [
        (1, 1),
        (1, 3),
        (2, 3),
        (5, 6),
        (5, 8),
        (6, 4),
    ]
    assert places("'\U0001f600' a") == [(1, 1), (1, 5), (1, 6)]


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("SELECT 'abc", 1, 8),
        ("SELECT 'a''b", 1, 8),
        ('SELECT "abc', 1, 8),
        ("SELECT U&'abc", 1, 8),
        ("SELECT 1 /* x", 1, 10),
        ("SELECT\n  'abc\n", 2, 3),
        ("SELECT `a`", 1, 8),
        ("SELECT 5hours", 1, 8),
        ("SELECT 5w", 1, 8),
        ("SELECT 1e3s", 1, 8),
        ("SELECT 1_000", 1, 8),
        ('SELECT ""', 1, 8),
        ("SELECT straße", 1, 12),
        ("SELECT a\x00", 1, 9),
        ("SELECT a | b", 1, 10),
        ("SELECT @ a", 1, 8),
        ("SELECT 1\u00a0", 1, 9),
    ],
)
def test_what_is_no_token_is_reported_where_it_starts(text: str, line: int, column: int) -> None:
    with pytest.raises(Invalid) as caught:
        lex(text, LIMITS)
    assert caught.value.message == f"The query syntax is invalid at line {line}:{column}"


def test_a_parameter_without_a_name_is_named() -> None:
    with pytest.raises(Invalid) as caught:
        lex("SELECT ?", LIMITS)
    assert (
        caught.value.message == "The query syntax is invalid at line 1:8: a parameter without a name is not supported"
    )


def test_only_ascii_letters_make_a_word() -> None:
    # The Kelvin sign and the long s become ASCII letters when their case is folded.
    for letter in "\u212a\u017f\u0131":
        with pytest.raises(Invalid):
            lex(letter, LIMITS)


def test_words_in_use_as_names_are_not_reserved() -> None:
    assert not RESERVED & {"TIME", "TIMESTAMP", "DATE", "VALUE", "INTERVAL", "DESC", "LIMIT", "ALL", "ROW", "ARRAY"}


def test_the_text_may_not_have_more_characters_than_the_limit() -> None:
    lex(" " * LIMITS.sql_characters, LIMITS)
    with pytest.raises(Invalid, match=r"^The query text has more than 262144 characters\.$"):
        lex(" " * (LIMITS.sql_characters + 1), LIMITS)


def test_the_text_may_not_have_more_tokens_than_the_limit() -> None:
    assert len(lex("," * LIMITS.sql_tokens, LIMITS)) == LIMITS.sql_tokens + 1
    with pytest.raises(Invalid, match=r"^The query text has more than 20000 tokens\.$"):
        lex("," * (LIMITS.sql_tokens + 1), LIMITS)


HOSTILE = [
    "'",
    "''",
    "'a''",
    "a'",
    '"',
    '""',
    "/*",
    "/**/",
    "/* *",
    "*/",
    "--",
    "--\n",
    "-",
    "\n",
    " ",
    "\r",
    "/",
    "1",
    "1.",
    ".",
    "1e",
    "1e5",
    "a",
    "_",
    "U&'",
    "U&",
    "u",
    "@",
    "@a",
    "|",
    ":",
    "<",
    "é",
    "\U0001f600",
]


@pytest.mark.parametrize("piece", HOSTILE)
@pytest.mark.parametrize("start", ["", "SELECT ", "'", '"', "/*", "U&'", "1", "--"])
def test_a_hostile_text_of_full_length_is_quick(start: str, piece: str) -> None:
    text = (start + piece * LIMITS.sql_characters)[: LIMITS.sql_characters]
    before = time.process_time()
    with suppress(Invalid):
        lex(text, LIMITS)
    assert time.process_time() - before < 1


PIECES = [
    " ",
    "\n",
    "'a''b\n'",
    '"a""b"',
    "/* c\n*/",
    "-- d\n",
    "U&'\\00e4'",
    "-",
    "*",
    "a",
    "ab1",
    "1",
    "1.5",
    "1e4",
    "@p",
    ".",
    "(",
]


@given(st.lists(st.sampled_from(PIECES), max_size=30))
def test_tokens_stand_in_order_at_the_places_they_name(pieces: list[str]) -> None:
    text = "".join(pieces)
    try:
        tokens = lex(text, LIMITS)
    except Invalid:
        reject()
    found = [(token.line, token.column) for token in tokens]
    assert found == sorted(set(found))
    lines = text.split("\n")
    for token in tokens[:-1]:
        if token.kind in {"name", "reserved", "symbol"}:
            assert lines[token.line - 1].startswith(token.text, token.column - 1)
    assert found[-1] == (len(lines), len(lines[-1]) + 1)
