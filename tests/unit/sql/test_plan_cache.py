"""The law of the plan cache: what it answers is what a compilation would, whatever the literals and the time."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sql_world import LIMITS, NOW, Catalog

from headwater.errors import Invalid
from headwater.model.table import Columns, TableId
from headwater.model.time import NS_PER_HOUR
from headwater.sql.compile import Compiler, Names, Plan, QueryPlan, compile_query
from headwater.sql.shape import shape_of
from support.golden_names import corpus

LATER = NOW + 3 * NS_PER_HOUR + 123_000_000
_SCRIPT = Path(__file__).with_name("worked_examples.sql").read_text()
WORKED_EXAMPLES = re.split(r";$", _SCRIPT, flags=re.MULTILINE)[:-1]


def outcome(compiler: Compiler, text: str, now_ns: int) -> Plan | str:
    try:
        return compiler.compile(text, now_ns)
    except Invalid as fault:
        return fault.message


STRINGS = ["", "a", "it''s", "%", "2024-01-01", "2024-03-09 11:00:00", "day", "\0", "\x1a{0}", "}{", "é", "x" * 400]
NUMBERS = ["0", "1", "2", "7", "100", "86400", "2147483648", "1.5", "0.0", "1e3", "9223372036854775807"]
UNITS = ["0s", "1ns", "15m", "72.5h", "7d", "3month", "1y", "90m"]
_LITERAL = re.compile(r"'(?:[^']|'')*'|(?<![A-Za-z0-9_])[0-9][0-9.]*([A-Za-z]*)")


def varied(text: str, chance: random.Random, share: float) -> str:
    """The text with some literals replaced by others of the same make."""

    def other(match: re.Match[str]) -> str:
        if chance.random() > share:
            return match[0]
        if match[0].startswith("'"):
            return f"'{chance.choice(STRINGS)}'"
        return chance.choice(UNITS if match[1] else NUMBERS)

    return _LITERAL.sub(other, text)


def texts() -> Iterator[tuple[str, Names]]:
    yield from ((text, Catalog()) for text in WORKED_EXAMPLES)
    yield from corpus()


def test_a_cached_plan_is_the_compiled_one_with_other_literals_and_at_another_time() -> None:
    chance = random.Random(11)
    hits = tried = 0
    for text, names in texts():
        warm = Compiler(names, LIMITS)
        outcome(warm, varied(text, chance, 0.5), NOW)
        outcome(warm, text, NOW)
        for share in (0.0, 0.3, 1.0):
            other = varied(text, chance, share)
            expected = outcome(Compiler(names, LIMITS), other, LATER)
            assert outcome(warm, other, LATER) == expected, other
            tried += isinstance(expected, QueryPlan) and not share
            hits += not share and _is_cached(warm, other)
    assert hits / tried > 0.9, f"only {hits} of {tried} repeated texts were found"


def _is_cached(compiler: Compiler, text: str) -> bool:
    shape = shape_of(text)
    return shape is not None and compiler._cache.plan(shape, (*shape.values, LATER)) is not None


def _templates(compiler: Compiler, *queries: str) -> int:
    """How many of the queries had to be compiled."""
    made = 0
    for text in queries:
        made += not _is_cached(compiler, text)
        compiler.compile(text, NOW)
    return made


DASHBOARD = (
    "SELECT bin(time, 1m) AS t, avg(measure_value::double) AS mean FROM ops.metrics WHERE hostname = '{}'"
    " AND time BETWEEN from_milliseconds({}) AND from_milliseconds({}) AND measure_value::double > {}"
    " AND time > '{}' GROUP BY bin(time, 1m) ORDER BY t"
)


def test_one_compilation_serves_a_dashboard_whatever_its_host_and_times() -> None:
    compiler = Compiler(Catalog(), LIMITS)
    first = DASHBOARD.format("web-00", 1709942400000, 1709946000000, 0.5, "2024-03-09")
    second = DASHBOARD.format("it''s", 1709942460000, 1709946060000, 99.5, "2024-03-08 12:00:00")
    assert _templates(compiler, first, second) == 1
    assert compiler.compile(second, NOW) == compile_query(second, Catalog(), NOW, LIMITS)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("SELECT 1, time FROM ops.metrics ORDER BY 1", "SELECT 1, time FROM ops.metrics ORDER BY 2"),
        ("SELECT time FROM ops.metrics LIMIT 1", "SELECT time FROM ops.metrics LIMIT 2"),
        ("SELECT cast('abc' AS varchar(1))", "SELECT cast('abc' AS varchar(2))"),
        ("SELECT regexp_like(hostname, 'a') FROM ops.metrics", "SELECT regexp_like(hostname, 'b') FROM ops.metrics"),
        ("SELECT 1 / 1", "SELECT 1 / 0"),
        ("SELECT 1 + 1", "SELECT 1 + 2147483647"),
        ("SELECT 1", "SELECT 2147483648"),
        ("SELECT -1", "SELECT -2147483648"),
        ("SELECT -0", "SELECT -1"),
        ("SELECT 5m", "SELECT 5y"),
        ("SELECT DATE '2024-01-01'", "SELECT DATE '2024-13-01'"),
        ("SELECT 1 AS a GROUP BY 1", "SELECT 1 AS a GROUP BY 2"),
        ("SELECT 'a' LIKE 'b#' ESCAPE '#'", "SELECT 'a' LIKE 'b' ESCAPE '#'"),
        ("SELECT date_trunc('day', now())", "SELECT date_trunc('dog', now())"),
        ("SELECT approx_percentile(1, 0.5)", "SELECT approx_percentile(1, 1.5)"),
        ("SELECT U&'\\0041'", "SELECT U&'\\0042'"),
        ("SELECT INTERVAL '2' DAY", "SELECT INTERVAL 'x' DAY"),
        ("SELECT DATE '2024-01-01' + 1d", "SELECT DATE '2024-01-01' + 1h"),
        ("SELECT typeof(DATE '2024-01-01')", "SELECT typeof(DATE 'soon')"),
        ("SELECT 1 FROM (SELECT DATE '2024-01-01' AS a)", "SELECT 1 FROM (SELECT DATE 'soon' AS a)"),
        # What fails in one and not in the other.
        ("SELECT date('2024-01-01')", "SELECT date('soon')"),
        ("SELECT try(date('soon')), 1", "SELECT try(date('2024-01-01')), 1"),
        ("SELECT bin(now(), 1m)", "SELECT bin(now(), 0s)"),
        ("SELECT ago(-1 * 7d)", "SELECT ago(-1 * 100000d)"),
        ("SELECT TIMESTAMP '2262-04-01' + 1d", "SELECT TIMESTAMP '2262-04-01' + 20d"),
        ("SELECT parse_duration('1d')", "SELECT parse_duration('1x')"),
        ("SELECT 'a' LIKE 'a#%' ESCAPE '#'", "SELECT 'a' LIKE 'a#a' ESCAPE '#'"),
        ("SELECT regexp_replace('a', '(a)', '$1')", "SELECT regexp_replace('a', '(a)', '$2')"),
        ("SELECT 1 FROM (SELECT date('2024-01-01') AS a)", "SELECT 1 FROM (SELECT date('soon') AS a)"),
        (
            "SELECT time FROM ops.metrics WHERE time > now() + 1d",
            "SELECT time FROM ops.metrics WHERE time > now() + 100000d",
        ),
        ("SELECT ROW(1, 2.5)[1]", "SELECT ROW(1, 2.5)[2]"),
        ("SELECT 5 BETWEEN 1 AND 2", "SELECT 5 BETWEEN 1 AND NULL"),
    ],
)
def test_a_literal_that_decides_the_plan_is_part_of_it(first: str, second: str) -> None:
    compiler = Compiler(Catalog(), LIMITS)
    for text in (first, second, first):
        assert outcome(compiler, text, NOW) == outcome(Compiler(Catalog(), LIMITS), text, NOW)


def test_a_plan_ends_with_the_columns_it_was_made_for() -> None:
    class Growing(Catalog):
        columns = Columns().with_dimension("host")

        def table(self, database: str, name: str) -> tuple[TableId, Columns] | None:
            return TableId("t"), self.columns

    names = Growing()
    compiler = Compiler(names, LIMITS)
    text = "SELECT * FROM ops.metrics"
    before = compiler.compile(text, NOW)
    assert isinstance(before, QueryPlan)
    names.columns = names.columns.with_dimension("az")
    after = compiler.compile(text, NOW)
    assert isinstance(after, QueryPlan)
    assert [column.name for column in before.columns] == ["host", "measure_name", "time"]
    assert [column.name for column in after.columns] == ["host", "az", "measure_name", "time"]


def test_texts_with_parameters_are_not_mixed_up_with_others() -> None:
    compiler = Compiler(Catalog(), LIMITS)
    with pytest.raises(Invalid, match="line 1:8: Parameter '@p' has no value"):
        compiler.compile("SELECT @p", NOW)


@given(st.text(alphabet="'\"a1.;-/*\n &U\0 m", max_size=24))
def test_a_shape_and_its_literals_make_up_the_text(text: str) -> None:
    shape = shape_of(text)
    if shape is not None:
        places = iter(shape.offsets)
        rest = re.sub("\0[a-z]+[0-9]+\0", lambda _: "", shape.key)
        written = [_written(text, place) for place in places]
        assert len(rest) + sum(map(len, written)) == len(text)
        assert all(text.startswith(one, at) for one, at in zip(written, shape.offsets, strict=True))


def _written(text: str, offset: int) -> str:
    found = re.compile(r"'(?:[^']|'')*'|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?[A-Za-z0-9_]*").match(
        text, offset
    )
    assert found is not None
    return found[0]
