"""Words as names: every word that is not reserved, anywhere a name may stand; none that is. Source: sql.md 1."""

from __future__ import annotations

import pytest

from headwater.errors import Invalid
from headwater.model.limits import Limits
from headwater.sql.lexer import RESERVED
from headwater.sql.parser import parse

LIMITS = Limits()

_FREE_WORDS = """
    all any array asc at bernoulli bin catalog coalesce column columns comment commit count current data database
    databases date day desc distributed double event exclude explain fetch filter first following format functions
    groups hour if ignore input interval json last lateral level limit logical map measure_name measure_value measures
    minute month next no none nullif nulls offset only option ordinality output over partition partitions position
    preceding precision query range rank read rename replace respect row rows schema second session set sets show some
    start stats system tables tablesample text ties time timestamp to transaction try try_cast type unbounded unload
    use validate value verbose view window work write year zone
"""
FREE = _FREE_WORDS.split()
FORMS = [
    "SELECT {} FROM d.t",
    "SELECT {}, {} FROM d.t",
    "SELECT DISTINCT {} FROM d.t",
    "SELECT 1 AS {}",
    "SELECT 1 {}",
    "SELECT ({}), -{}, {} - 1, {} || 'a', {} = 1, NOT {}, ({})[1] FROM d.t",
    "SELECT t.{}, {}.t, {}.* FROM d.t",
    "SELECT a FROM {}.{}",
    "SELECT a FROM d.t {}",
    "SELECT a FROM d.t AS {} ({})",
    "SELECT a FROM (SELECT 1) {} CROSS JOIN d.t",
    "SELECT a FROM d.t {} JOIN d.t b USING ({})",
    "SELECT a FROM d.t JOIN d.t {} ON {}.a = {}.b",
    "SELECT a FROM UNNEST({}) {}",
    "WITH {} ({}) AS (SELECT 1) SELECT {} FROM {}",
    "SELECT {} FROM d.t WHERE {} > 1 AND {} IN ({}, 1) GROUP BY {} HAVING {} ORDER BY {} DESC NULLS LAST LIMIT 1",
    "SELECT max({}), f({}, {}) FROM d.t",
    "SELECT sum({}) FILTER (WHERE {}) OVER (PARTITION BY {} ORDER BY {}) FROM d.t",
    "SELECT CASE {} WHEN {} THEN {} ELSE {} END, CAST({} AS double) FROM d.t",
    "SELECT filter(a, {} -> {}), reduce(a, 0, (s, {}) -> {}, s -> s) FROM d.t",
    "SHOW TABLES FROM {}",
    "SHOW MEASURES FROM {}.{}",
    "DESCRIBE {}.{}",
]


@pytest.mark.parametrize("form", FORMS)
def test_a_free_word_is_a_name_as_if_it_were_quoted(form: str) -> None:
    for word in (*FREE, *map(str.upper, FREE)):
        assert parse(form.replace("{}", word), LIMITS) == parse(form.replace("{}", f'"{word}"'), LIMITS), word


@pytest.mark.parametrize("form", ["SELECT {} FROM d.t", "SELECT 1 AS {}", "SELECT a FROM d.{}", "DESCRIBE d.{}"])
def test_a_reserved_word_is_a_name_only_where_it_is_quoted(form: str) -> None:
    # These stand for a value of their own, and CASE and its like begin one.
    values = {word for word in RESERVED if word.startswith(("CURRENT_", "LOCAL"))} | {"NULL", "TRUE", "FALSE"}
    for word in RESERVED - (values if form.startswith("SELECT {}") else set()):
        parse(form.replace("{}", f'"{word}"'), LIMITS)
        with pytest.raises(Invalid, match="The query syntax is invalid at line 1:"):
            parse(form.replace("{}", word), LIMITS)
