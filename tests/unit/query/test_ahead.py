"""Reading ahead changes when a page is made, and nothing of what it says."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pyarrow as pa
import pytest

from headwater.errors import Invalid
from headwater.model.types import OutputColumn, Scalar
from headwater.query.ahead import ReadAhead
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


def test_a_page_that_was_made_ahead_is_not_made_again(read_ahead: ReadAhead):
    result, rows = result_of("a", "b", "c")
    ahead = read_ahead.begin(result, 1, 2)
    ahead.page.result(WAIT_S)
    rows.reads.clear()
    assert read_ahead.page(ahead, result, 1, 2) == result.page(1, 2, PAGE_BYTES)
    assert rows.reads == [1]
    # A repeated call has it too.
    assert read_ahead.page(ahead, result, 1, 2).count == 2
    assert rows.reads == [1]


@pytest.mark.parametrize(("start", "max_rows"), [(0, 2), (1, 1), (2, 2)])
def test_another_page_than_the_one_made_ahead(read_ahead: ReadAhead, start: int, max_rows: int):
    result, _ = result_of("a", "b", "c", "d")
    ahead = read_ahead.begin(result, 1, 2)
    expected = result.page(start, max_rows, PAGE_BYTES)
    assert read_ahead.page(ahead, result, start, max_rows) == expected
    assert read_ahead.page(None, result, start, max_rows) == expected


def test_a_page_that_is_being_made_is_waited_for_and_one_behind_it_is_not(read_ahead: ReadAhead):
    slow, rows = result_of("a", "b")
    rows.gate.clear()
    first = read_ahead.begin(slow, 1, 1)
    quick, _ = result_of("x", "y")
    behind = read_ahead.begin(quick, 1, 1)
    assert read_ahead.page(behind, quick, 1, 1) == quick.page(1, 1, PAGE_BYTES)
    assert behind.page.cancelled()
    rows.gate.set()
    assert read_ahead.page(first, slow, 1, 1) == slow.page(1, 1, PAGE_BYTES)


def test_what_went_wrong_ahead_goes_wrong_in_the_call(read_ahead: ReadAhead):
    result, _ = result_of("a", "x" * PAGE_BYTES)
    ahead = read_ahead.begin(result, 1, 9)
    assert isinstance(ahead.page.exception(WAIT_S), Invalid)
    with pytest.raises(Invalid, match="max page response size"):
        read_ahead.page(ahead, result, 1, 9)


def test_after_the_end_pages_are_made_by_the_call():
    closed = ReadAhead(PAGE_BYTES)
    result, rows = result_of("a", "b")
    rows.gate.clear()
    working = closed.begin(result, 0, 1)
    waiting = closed.begin(result, 1, 1)
    threading.Timer(0.05, rows.gate.set).start()
    closed.close()
    assert closed.begin(result, 0, 1) is None
    for ahead, start in ((working, 0), (waiting, 1)):
        assert closed.page(ahead, result, start, 1) == result.page(start, 1, PAGE_BYTES)
