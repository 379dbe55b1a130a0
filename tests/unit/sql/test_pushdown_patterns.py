"""LIKE, regexp_like and starts_with handed to the scan: the same texts match there as in the engine, or more."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sql_world import engine, query_plan

from headwater.errors import QueryFailed
from headwater.model.scan import Scan, ScanRequest
from headwater.model.text_pattern import TextPattern, like, regular, starting_with
from headwater.sql.pushdown_facts import FACTS_MOST

ODD_TEXTS = [
    "",
    "a",
    "ab",
    "a\nb",
    "\n",
    "é",
    "e\u0301",
    "K",
    "\u212a",
    "ſ",
    "😀",
    "a%b",
    "a_b",
    "a\\b",
    "a'b",
    "A.B",
    "a$b",
]
LETTERS = "ab%_.\\$'\né😀k\u212aSſ^"
TEXTS = [*ODD_TEXTS, *(a + b for a in ODD_TEXTS for b in ODD_TEXTS)]


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def met(request: ScanRequest, texts: list[str]) -> list[str]:
    """The texts that meet what the request asks of the host name."""
    found = texts
    for condition in request.dimensions:
        matching = {
            text
            for pattern in condition.patterns
            for text, is_match in zip(found, pattern.matched(pa.array(found, pa.string())).tolist(), strict=True)
            if is_match
        }
        found = [text for text in found if text in condition.values or text in matching]
    return found


def answers(condition: str) -> tuple[list[str], list[str], ScanRequest]:
    """The host names that meet a condition: of all as the engine finds them, and of those that the scan gives."""
    plan = query_plan(f"SELECT hostname FROM ops.metrics WHERE {condition}")
    ((relation, request),) = plan.scans

    def run(texts: list[str]) -> list[str]:
        columns = {answer: pa.array(texts, pa.string()) for _, answer in request.columns}
        return engine().run(plan.sql, {relation: Scan(request, (pa.table(columns),), ())}, timeout_s=60)[0].to_pylist()

    return run(TEXTS), run(met(request, TEXTS)), request


@settings(max_examples=150, deadline=None)
@given(st.text(LETTERS, max_size=5), st.sampled_from(["", "$", "\\", "a"]))
@example("a$%b", "$")
@example("%", "")
@example("", "")
def test_like_is_the_engines(pattern: str, escape: str) -> None:
    if escape and like(pattern, escape) is None:
        return
    clause = f"hostname LIKE {quoted(pattern)}" + (f" ESCAPE {quoted(escape)}" if escape else "")
    whole, given_first, request = answers(clause)
    assert given_first == whole
    assert met(request, TEXTS) == whole, "exactly these are asked for"


_ATOMS = [
    "a",
    "b",
    "k",
    "S",
    "é",
    ".",
    "[ab]",
    "[^a]",
    r"\w",
    r"\W",
    r"\s",
    r"\d",
    r"\.",
    r"\n",
    r"\x{e9}",
    r"\Q.%\E",
    "😀",
]
_WHOLE = ["^", "$", r"\A", r"\z", r"\b", "(?i)", "(?s)", "(?m)", "(?im)"]


@st.composite
def regexes(draw: st.DrawFn, depth: int = 2) -> str:
    pieces = []
    for _ in range(draw(st.integers(1, 3))):
        if depth and draw(st.integers(0, 3)) == 0:
            piece = f"({'|'.join(draw(st.lists(regexes(depth - 1), min_size=1, max_size=2)))})"
        else:
            piece = draw(st.sampled_from(_ATOMS))
        pieces.append(piece + draw(st.sampled_from(["", "", "", "*", "+", "?", "{0,2}", "{2}", "*?"])))
    return draw(st.sampled_from(["", "", "", *_WHOLE])) + "".join(pieces) + draw(st.sampled_from(["", "", "$", r"\z"]))


@settings(max_examples=200, deadline=None)
@given(regexes(), st.sampled_from(["", "^", "^ab", r"\Aa"]), st.sampled_from(["", "|b"]))
@example("*", "^ab", "")
@example("?", "^a", "")
def test_regular_expressions_are_the_engines(regex: str, beginning: str, end: str) -> None:
    pattern = beginning + regex + end
    try:
        whole, given_first, request = answers(f"regexp_like(hostname, {quoted(pattern)})")
    except QueryFailed:
        return  # not a pattern
    assert given_first == whole
    if request.dimensions:
        assert met(request, TEXTS) == whole, "exactly these are asked for"


@settings(max_examples=50, deadline=None)
@given(st.text(LETTERS, max_size=3))
def test_beginnings_are_the_engines(prefix: str) -> None:
    whole, given_first, request = answers(f"starts_with(hostname, {quoted(prefix)})")
    assert given_first == whole == met(request, TEXTS)


_CONDITIONS = [
    "hostname LIKE 'a%'",
    "hostname LIKE '%b'",
    "hostname LIKE '_'",
    "hostname LIKE 'a_b'",
    "regexp_like(hostname, '^a.b')",
    "regexp_like(hostname, '(?i)k')",
    "starts_with(hostname, 'é')",
    "hostname = 'ab'",
    "hostname IN ('a', 'é', 'aa')",
    "hostname <> 'ab'",
    "hostname NOT LIKE 'a%'",
    "length(hostname) > 2",
    "hostname LIKE NULL",
]


@st.composite
def conditions(draw: st.DrawFn, depth: int = 3) -> str:
    if depth == 0 or draw(st.booleans()):
        return draw(st.sampled_from(_CONDITIONS))
    word = draw(st.sampled_from([" AND ", " OR "]))
    return f"({word.join(draw(st.lists(conditions(depth - 1), min_size=2, max_size=3)))})"


@settings(max_examples=150, deadline=None)
@given(conditions())
def test_conditions_combined_lose_nothing(condition: str) -> None:
    whole, given_first, _ = answers(condition)
    assert given_first == whole


@pytest.mark.parametrize(
    "condition",
    [
        "regexp_like(hostname, '\\p{L}')",
        "regexp_like(hostname, '\\PN')",
        "regexp_like(hostname, '(?i)é')",
        "regexp_like(hostname, '(?si)\\x{e9}')",
        "hostname LIKE az",
        "upper(hostname) LIKE 'A%'",
        "hostname NOT LIKE 'a%'",
        "hostname LIKE 'a%' OR az LIKE 'a%'",
        " OR ".join(f"hostname LIKE '{n}%'" for n in range(40)),
    ],
)
def test_what_is_left_to_the_engine(condition: str) -> None:
    ((_, request),) = query_plan(f"SELECT hostname FROM ops.metrics WHERE {condition}").scans
    assert request.dimensions == ()


def test_many_conditions_on_one_are_not_all_asked() -> None:
    condition = " AND ".join(f"hostname LIKE '%{n}%'" for n in range(20))
    ((_, request),) = query_plan(f"SELECT hostname FROM ops.metrics WHERE {condition}").scans
    assert len(request.dimensions) == FACTS_MOST


@pytest.mark.parametrize(
    ("regex", "prefix"),
    [
        ("^web-1", "web-1"),
        (r"\Aweb.*x", "web"),
        ("^web+", "web"),
        ("^web*", "we"),
        ("^web?x", "we"),
        ("^web{0,2}", "we"),
        ("^web$", "web"),
        ("^web(-a|-b)", ""),
        ("^a|b", ""),
        ("web", ""),
        ("(?i)^web", ""),
        ("(?m)^web", ""),
        (r"^web\.", "web"),
    ],
)
def test_the_beginning_of_a_regular_expression(regex: str, prefix: str) -> None:
    found = regular(regex)
    assert found is not None
    assert found.prefix == prefix


def test_a_condition_is_shown_as_it_is_said() -> None:
    made = [like("a'%"), like("a$_%", "$"), regular("^a"), starting_with("b")]
    assert [pattern.shown for pattern in made if pattern is not None and not isinstance(pattern, str)] == [
        "LIKE 'a''%'",
        "LIKE 'a$_%' ESCAPE '$'",
        "MATCHES '^a'",
        "STARTS WITH 'b'",
    ]
    assert regular("(") is None
    assert like("a$b", "$") is None


def test_a_pattern_that_takes_long_is_left_to_the_engine() -> None:
    slow = regular("(a|b)*a(a|b){500}c")
    assert slow is not None
    many = pa.array(["ab" * 1_000] * 100)
    assert slow.matched(many).all()
    assert not slow.matched(many[:1]).any()


def test_a_pattern_that_is_too_large_rules_out_nothing() -> None:
    pattern = like("%" + "_" * 90_000 + "a")
    assert isinstance(pattern, TextPattern)
    assert pattern.matched(pa.array(["us-east-1", "eu"])).all()


def test_signs_in_a_pattern_cost_no_more_than_letters() -> None:
    pattern = like("%us (east) $1, 2%")
    assert isinstance(pattern, TextPattern)
    texts = pa.array([f"host {n}" for n in range(20_000)] + ["in us (east) $1, 2 too"])
    assert pattern.matched(texts).tolist() == [False] * 20_000 + [True]
