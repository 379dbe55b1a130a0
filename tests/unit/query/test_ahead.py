"""Reading ahead changes when a page is made, and nothing of what it says."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pyarrow as pa
import pytest

from headwater.errors import Invalid
from headwater.model.types import OutputColumn, Scalar
from headwater.query.ahead import PAGES, ReadAhead
from headwater.query.result import Result, Rows, RowsInMemory

PAGE_BYTES = 10_000
WAIT_S = 10.0


class CountedRows(Rows):
    """Rows that tell how often they were read, behind a gate."""

    def __init__(self, *texts: str) -> None:
        self._rows = RowsInMemory(pa.table({"c0": list(texts)}))
        self.reads: list[int] = []
        self.gate = threading.Event()
        self.gate.set()

    @property
    def count(self) -> int:
        return self._rows.count

    @property
    def bytes(self) -> int:
        return self._rows.bytes

    @property
    def memory_bytes(self) -> int:
        return self._rows.memory_bytes

    def slice(self, start: int, count: int) -> pa.Table:
        self.reads.append(start)
        assert self.gate.wait(WAIT_S)
        return self._rows.slice(start, count)


@pytest.fixture
def read_ahead() -> Iterator[ReadAhead]:
    made = ReadAhead(PAGE_BYTES)
    yield made
    made.close()


def result_of(*texts: str) -> tuple[Result, CountedRows]:
    rows = CountedRows(*texts)
    return Result(rows, (OutputColumn("a", Scalar.VARCHAR),), 0, 0), rows


def wait_for(read_ahead: ReadAhead) -> None:
    """Until the thread has made what it was given."""
    read_ahead._pool.submit(int).result(WAIT_S)


def test_a_page_that_was_made_ahead_is_not_made_again(read_ahead: ReadAhead):
    result, rows = result_of("a", "b", "c")
    read_ahead.begin("Q", result, 1, 2)
    wait_for(read_ahead)
    assert rows.reads == [1]
    assert read_ahead.page("Q", result, 1, 2).count == 2
    assert rows.reads == [1]
    # It is given away once.
    assert read_ahead.page("Q", result, 1, 2) == result.page(1, 2, PAGE_BYTES)
    assert rows.reads == [1, 1, 1]


@pytest.mark.parametrize(("query_id", "start", "max_rows"), [("Q", 0, 2), ("Q", 1, 1), ("Q", 2, 2), ("R", 1, 2)])
def test_another_page_than_the_one_made_ahead(read_ahead: ReadAhead, query_id: str, start: int, max_rows: int):
    result, _ = result_of("a", "b", "c", "d")
    read_ahead.begin("Q", result, 1, 2)
    wait_for(read_ahead)
    assert read_ahead.page(query_id, result, start, max_rows) == result.page(start, max_rows, PAGE_BYTES)


def test_a_page_that_is_being_made_is_waited_for_and_one_behind_it_is_not(read_ahead: ReadAhead):
    slow, rows = result_of("a", "b")
    rows.gate.clear()
    read_ahead.begin("slow", slow, 1, 1)
    quick, quick_rows = result_of("x", "y")
    read_ahead.begin("quick", quick, 1, 1)
    assert read_ahead.page("quick", quick, 1, 1) == quick.page(1, 1, PAGE_BYTES)
    rows.gate.set()
    assert read_ahead.page("slow", slow, 1, 1) == slow.page(1, 1, PAGE_BYTES)
    wait_for(read_ahead)
    assert len(quick_rows.reads) == 2, "the call's and the test's own"


def test_the_latest_pages_are_kept(read_ahead: ReadAhead):
    made = [result_of("a", "b") for _ in range(PAGES + 1)]
    for number, (result, _) in enumerate(made):
        read_ahead.begin(f"Q{number}", result, 1, 1)
    wait_for(read_ahead)
    for _, rows in made:
        rows.reads.clear()
    for number, (result, _) in enumerate(made):
        read_ahead.page(f"Q{number}", result, 1, 1)
    assert [len(rows.reads) for _, rows in made] == [1] + [0] * PAGES


def test_what_went_wrong_ahead_goes_wrong_in_the_call(read_ahead: ReadAhead):
    result, rows = result_of("a", "x" * PAGE_BYTES)
    read_ahead.begin("Q", result, 1, 9)
    wait_for(read_ahead)
    with pytest.raises(Invalid, match="max page response size"):
        read_ahead.page("Q", result, 1, 9)
    assert len(rows.reads) == 2


def test_after_the_end_pages_are_made_by_the_call():
    closed = ReadAhead(PAGE_BYTES)
    result, rows = result_of("a", "b")
    rows.gate.clear()
    closed.begin("working", result, 0, 1)
    closed.begin("waiting", result, 1, 1)
    threading.Timer(0.05, rows.gate.set).start()
    closed.close()
    closed.begin("late", result, 0, 1)
    for query_id, start in (("working", 0), ("waiting", 1), ("late", 0)):
        assert closed.page(query_id, result, start, 1) == result.page(start, 1, PAGE_BYTES)
