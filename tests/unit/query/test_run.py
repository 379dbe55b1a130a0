"""What is left of runs when they have ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import extract_tb
from typing import Any

import pytest

from headwater.config import load
from headwater.errors import Conflict, Fault, Invalid, QueryFailed, Unavailable
from headwater.instance import Instance
from headwater.model.time import NS_PER_DAY, FixedClock
from headwater.query.run import CALL_LIMIT_S, FIRST_PAGE_LIMIT_S, GONE_CHECK_S
from headwater.query.token import Caller
from support.answers import rows_of
from support.stores import NOW_NS, records, series

TOKEN = "k" * 32
ME, OTHER = Caller("000000000000", "AKIAME"), Caller("000000000000", "AKIAOTHER")


@contextmanager
def opened(folder: Path) -> Iterator[Instance]:
    """The data folder, opened; the same one again when asked twice."""
    settings = {"data": str(folder), "listen": "127.0.0.1:0", "log_level": "error", "log_segment_mb": "1"}
    instance = Instance.open(load(settings, {}, None, processors=1), clock=FixedClock(NOW_NS))
    yield instance
    instance.close()


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    with opened(tmp_path) as found:
        found.catalog.create_database("db", None)
        table = found.create_table("db", "t", None, None, None)
        found.store.submit(table.id, [records([(series("a"), NOW_NS, 1, 1.0)])]).result(10)
        yield found


def test_a_failed_run_fails_again_and_holds_nothing_of_what_it_read(instance: Instance):
    for _ in range(2):
        with pytest.raises(QueryFailed, match="Division by zero") as caught:
            instance.queries.run(ME, "SELECT 1 / (count(*) - 1) FROM db.t", TOKEN)
        assert caught.value.__cause__ is caught.value.__context__ is None
        assert not {"_read", "_result"} & {frame.name for frame in extract_tb(caught.value.__traceback__)}


def test_a_result_with_a_row_too_large_for_a_page_is_counted(instance: Instance):
    with pytest.raises(Invalid, match="max page response size"):
        instance.queries.run(ME, f"SELECT {', '.join(['sequence(1, 10000)'] * 6)} FROM db.t", TOKEN)
    assert instance.queries._cursors._held_bytes > 6 * 10_000 * 8


def test_a_query_that_starts_while_the_server_closes_is_not_run(instance: Instance):
    instance.queries._executor.close()
    with pytest.raises(Unavailable):
        instance.queries.run(ME, "SELECT count(*) FROM db.t")


def test_tries_that_gave_too_few_rows_leave_no_files(instance: Instance, tmp_path: Path):
    times = [NOW_NS - at for at in range(9)] + [NOW_NS - 2 * NS_PER_DAY - at for at in range(9)]
    table = instance.catalog.table("db", "t").id
    instance.store.submit(table, [records([(series("a"), time_ns, 1, 2.0) for time_ns in times])]).result(10)
    text = "SELECT rpad('', 900000, 'x') FROM db.t ORDER BY time DESC LIMIT 15"
    page = instance.queries.run(ME, text)
    assert len(rows_of(page.rows)) + len(pages_of(instance, text, page.next_token)) == 15
    assert len(list((tmp_path / "results").iterdir())) == 1


def pages_of(instance: Instance, text: str, token: str | None, caller: Caller = ME) -> list[list[dict[str, Any]]]:
    """The rest of a run's rows from a token on."""
    found: list[list[dict[str, Any]]] = []
    while token is not None:
        answer = instance.queries.run(caller, text, None, token, 1_000)
        found += rows_of(answer.rows)
        token = answer.next_token
    return found


MANY = "SELECT a, rpad('', 300, 'x') FROM UNNEST(sequence(1, 9000)) AS t(a)"


def test_tokens_are_good_after_a_restart(tmp_path: Path):
    with opened(tmp_path) as instance:
        whole = instance.queries.run(ME, MANY, max_rows=1_000)
        second = instance.queries.run(ME, MANY, None, whole.next_token, 1_000)
        rest = pages_of(instance, MANY, second.next_token)
    with opened(tmp_path) as instance:
        assert pages_of(instance, MANY, second.next_token) == rest
        assert len(rows_of(second.rows)) + len(rest) == 9_000
        assert (whole.rows, instance.queries.run(ME, MANY).query_id == whole.query_id) == ([], False)


def test_a_token_of_a_lost_result_begins_the_run_again_only_before_its_first_row(tmp_path: Path):
    with opened(tmp_path) as instance:
        first = instance.queries.run(ME, MANY, max_rows=1_000)
        second = instance.queries.run(ME, MANY, None, first.next_token, 1_000)
    for path in (tmp_path / "results").iterdir():
        path.unlink()
    with opened(tmp_path) as instance:
        with pytest.raises(Invalid, match="Invalid pagination token"):
            instance.queries.run(ME, MANY, None, second.next_token, 1_000)
        again = instance.queries.run(ME, MANY, None, first.next_token, 1_000)
        assert (again.query_id, again.rows) == (first.query_id, second.rows)


SLOW = (
    "SELECT count(*) FROM UNNEST(sequence(1, 10000)) a(x), UNNEST(sequence(1, 10000)) b(y), "
    "UNNEST(sequence(1, 10000)) c(z) WHERE x * y % 7 = z % 5"
)


def running(
    instance: Instance, text: str, client_token: str | None = None, is_wanted: Callable[[], bool] = lambda: True
) -> tuple[threading.Thread, list[BaseException], str]:
    """A call that waits for its query, in a thread; what it raised; the query's id."""
    raised: list[BaseException] = []

    def call() -> None:
        try:
            instance.queries.run(ME, text, client_token, is_wanted=is_wanted)
        except Fault as fault:
            raised.append(fault)

    thread = threading.Thread(target=call)
    thread.start()
    while not instance.queries._active:
        time.sleep(0.005)
    return thread, raised, next(iter(instance.queries._active))


def test_a_cancelled_query_ends_within_a_second_and_says_so_twice(instance: Instance):
    thread, raised, query_id = running(instance, SLOW)
    with pytest.raises(Invalid, match="not running"):
        instance.queries.cancel(OTHER, query_id)
    began_s = time.monotonic()
    assert instance.queries.cancel(ME, query_id) == f"Query {query_id} was cancelled."
    assert instance.queries.cancel(ME, query_id) == f"Query {query_id} has already been cancelled."
    thread.join(10)
    assert time.monotonic() - began_s < 1.0
    assert [type(fault) for fault in raised] == [Conflict]
    assert raised[0].message == "Unable to poll results for a cancelled query."


def test_what_is_not_running_cannot_be_cancelled(instance: Instance):
    ended = instance.queries.run(ME, "SELECT 1")
    for query_id in (ended.query_id, "UNKNOWN"):
        with pytest.raises(Invalid, match=f"Query {query_id} is not running"):
            instance.queries.cancel(ME, query_id)


def test_a_client_that_has_gone_ends_its_query_and_may_begin_it_anew(instance: Instance):
    began_s = time.monotonic()
    for _ in range(2):
        with pytest.raises(Conflict):
            instance.queries.run(ME, SLOW, TOKEN, is_wanted=lambda: False)
    assert time.monotonic() - began_s < 2.0
    assert not instance.queries._active


def test_a_second_try_of_a_client_that_has_gone_has_the_run(instance: Instance):
    """An SDK that hangs up sends the call again at once, mostly before its first connection is known to be gone."""
    second_waits = threading.Event()

    def told() -> bool:
        second_waits.set()
        return True

    first, first_raised, query_id = running(instance, SLOW, TOKEN, is_wanted=lambda: not second_waits.is_set())
    second, second_raised, _ = running(instance, SLOW, TOKEN, is_wanted=told)
    first.join(10)
    assert [type(fault) for fault in first_raised] == [Conflict]
    assert instance.queries.cancel(ME, query_id) == f"Query {query_id} was cancelled."
    second.join(10)
    assert [type(fault) for fault in second_raised] == [Conflict]


def test_a_long_query_answers_empty_pages_with_progress(instance: Instance, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("headwater.query.run.CALL_LIMIT_S", 0.0)
    text = "SELECT count(*) FROM UNNEST(sequence(1, 10000)) a(x), UNNEST(sequence(1, 10000)) b(y)"
    answer = instance.queries.run(ME, text)
    assert (answer.rows, answer.progress_percent < 100) == ([], True)
    monkeypatch.undo()
    assert pages_of(instance, text, answer.next_token) == [[{"ScalarValue": "100000000"}]]


def test_a_call_is_answered_before_any_stock_client_hangs_up():
    """Who hangs up ends the query, and begins it anew. Java 2 does so after 30 s, unless it is told otherwise."""
    assert FIRST_PAGE_LIMIT_S < CALL_LIMIT_S < 30.0 - GONE_CHECK_S - 2.0


def test_a_first_page_of_some_rows_comes_soon_and_names_what_to_cancel(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("headwater.query.run.FIRST_PAGE_LIMIT_S", 0.0)
    first = instance.queries.run(ME, SLOW, max_rows=10)
    assert (first.rows, first.progress_percent < 100) == ([], True)
    assert instance.queries.cancel(ME, first.query_id) == f"Query {first.query_id} was cancelled."
    with pytest.raises(Conflict):
        instance.queries.run(ME, SLOW, next_token=first.next_token, max_rows=10)


def test_the_first_page_is_empty_unless_there_are_fewer_rows_than_asked_for(instance: Instance):
    text = "SELECT a FROM UNNEST(sequence(1, 3)) AS t(a)"
    assert len(rows_of(instance.queries.run(ME, text, max_rows=4).rows)) == 3
    for max_rows in (1, 2, 3):
        first = instance.queries.run(ME, text, max_rows=max_rows)
        assert (first.rows, first.columns[0].name) == ([], "a")
        assert len(pages_of(instance, text, first.next_token)) == 3
