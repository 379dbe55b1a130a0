"""What is left of runs when they have ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from traceback import extract_tb

import pytest

from headwater.config import load
from headwater.errors import Invalid, QueryFailed, Unavailable
from headwater.instance import Instance
from headwater.model.time import FixedClock
from support.stores import NOW_NS, records, series

TOKEN = "k" * 32


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    settings = {"data": str(tmp_path), "listen": "127.0.0.1:0", "log_level": "error", "log_segment_mb": "1"}
    opened = Instance.open(load(settings, {}, None, processors=1), clock=FixedClock(NOW_NS))
    opened.catalog.create_database("db", None)
    table = opened.create_table("db", "t", None, None, None)
    opened.store.submit(table.id, [records([(series("a"), NOW_NS, 1, 1.0)])]).result(10)
    yield opened
    opened.close()


def test_a_failed_run_fails_again_and_holds_nothing_of_what_it_read(instance: Instance):
    for _ in range(2):
        with pytest.raises(QueryFailed, match="Division by zero") as caught:
            instance.queries.run("SELECT 1 / (count(*) - 1) FROM db.t", TOKEN)
        assert caught.value.__cause__ is caught.value.__context__ is None
        assert not {"_read", "_result"} & {frame.name for frame in extract_tb(caught.value.__traceback__)}


def test_a_result_with_a_row_too_large_for_a_page_is_counted(instance: Instance):
    with pytest.raises(Invalid, match="max page response size"):
        instance.queries.run(f"SELECT {', '.join(['sequence(1, 10000)'] * 6)} FROM db.t", TOKEN)
    assert instance.queries._cursors._held_bytes > 6 * 10_000 * 8


def test_a_query_that_starts_while_the_server_closes_is_not_run(instance: Instance):
    instance.queries._is_closing = True
    with pytest.raises(Unavailable):
        instance.queries.run("SELECT count(*) FROM db.t")
