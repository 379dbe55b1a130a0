"""What functions may make at once, and that hostile statements take no more than that of a process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from headwater.engine.engine import Engine
from headwater.engine.room import ROOM_BYTES
from headwater.errors import QueryFailed


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    made = Engine(threads=1, memory_bytes=256 << 20)
    yield made
    made.close()


def test_the_values_of_a_vector_are_counted_together(engine: Engine):
    each = ROOM_BYTES // 1_000
    for rows, is_refused in ((1_000, False), (1_001, True)):
        sql = f"SELECT bool_and(arrow_fits({each} + least(n, 0))) FROM (SELECT unnest(range({rows})) AS n)"
        if is_refused:
            with pytest.raises(QueryFailed, match="memory limit"):
                engine.run(sql, {}, timeout_s=9)
        else:
            assert engine.run(sql, {}, timeout_s=9).column(0).to_pylist() == [True]


def test_no_values_and_nulls_take_no_room(engine: Engine):
    sql = "SELECT bool_and(arrow_fits(n)) FROM (VALUES (NULL::BIGINT), (1)) t(n)"
    assert engine.run(sql, {}, timeout_s=9).column(0).to_pylist() == [True]


def test_bodies_of_a_lambda_are_counted_until_it_begins_again(engine: Engine):
    """8,000 bodies of a row in four parts; rows after the first vector begin with nothing counted."""

    def counting(rows: int, each: int) -> str:
        begun = "CASE WHEN arrow_lambda_begins(0, len(l)) THEN l END"
        bodies = f"list_transform({begun}, lambda x: arrow_lambda_fits(0, {each} + least(x, 0)))"
        fits = f"list_transform([l], lambda l: {bodies})"
        source = f"SELECT [n, n, n, n] AS l FROM range({rows}) AS r(n)"
        return f"SELECT count({fits}[1]) FROM ({source})"

    each = ROOM_BYTES // 8_192
    assert engine.run(counting(10_000, each), {}, timeout_s=9).column(0).to_pylist() == [10_000]
    with pytest.raises(QueryFailed, match="memory limit"):
        engine.run(counting(10_000, each + 1), {}, timeout_s=9)


STATEMENTS = (
    "SELECT cardinality(repeat('x', 1000000000))",
    "SELECT length(lpad('x', 2000000000, 'y'))",
    "SELECT length(replace(rpad('x', 1000000, 'x'), 'x', rpad('y', 1000000, 'y')))",
    "SELECT cardinality(transform(sequence(1, 10000), x -> sequence(1, 10000)))",
    "SELECT max(length(rpad(CAST(a AS varchar), 1000000, 'xyz'))) FROM UNNEST(sequence(1, 10000)) AS t(a)",
)
GROWN_MIB = 1_024

CHILD = """
import resource, sys
from headwater.engine.engine import Engine
from headwater.errors import QueryFailed
from headwater.model.time import NS_PER_S
from tests.unit.sql.sql_world import query_plan

def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

engine = Engine(threads=2, memory_bytes=256 << 20)
before = peak_mib()
for text in sys.argv[1:]:
    try:
        engine.run(query_plan(text).sql, {}, timeout_s=20)
    except QueryFailed as fault:
        assert "timed out" not in fault.message
    else:
        raise AssertionError(text)
assert engine.run("SELECT 1", {}, timeout_s=9).num_rows == 1
engine.close()
print(peak_mib() - before)
"""


def test_hostile_statements_take_little_memory():
    child = subprocess.run([sys.executable, "-c", CHILD, *STATEMENTS], capture_output=True, text=True, timeout=60)
    assert child.returncode == 0, child.stderr
    assert int(child.stdout) < GROWN_MIB
