"""Pages of a result: put together they are all its rows, whatever the sizes of rows and pages."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import Invalid
from headwater.model.types import OutputColumn, Scalar
from headwater.query.result import Page, Result, RowsInMemory
from support.answers import rows_of

COLUMNS = (OutputColumn("a", Scalar.VARCHAR),)


def result_of(texts: list[str | None]) -> Result:
    return Result(RowsInMemory(pa.table({"c0": pa.array(texts, pa.string())})), COLUMNS, 0, 0)


@given(
    st.lists(st.one_of(st.none(), st.integers(0, 900).map(lambda size: "x" * size)), max_size=60),
    st.integers(1, 70),
    st.integers(1_000, 5_000),
)
def test_pages_are_all_rows_in_order(texts: list[str | None], max_rows: int, page_bytes: int):
    result = result_of(texts)
    found: list[list[dict[str, object]]] = []
    while len(found) < result.rows.count:
        page = result.page(len(found), max_rows, page_bytes)
        rows = rows_of(page.rows)
        assert 0 < len(rows) == page.count <= max_rows
        assert sum(map(len, page.rows)) < page_bytes
        following = result.page(len(found) + page.count, 1, page_bytes)
        is_full = sum(map(len, (*page.rows, b",", *following.rows))) >= page_bytes
        assert page.count == max_rows or not following.count or is_full
        found += rows
    assert found == [[{"NullValue": True} if text is None else {"ScalarValue": text}] for text in texts]
    assert result.page(result.rows.count, max_rows, page_bytes) == Page(0, [])


def test_a_row_larger_than_a_page_is_refused():
    with pytest.raises(Invalid, match="max page response size"):
        result_of(["x" * 2_000]).page(0, 10, 1_000)


def test_short_rows_do_not_have_many_long_ones_read(monkeypatch: pytest.MonkeyPatch):
    result = result_of(["x"] * 2_000 + ["x" * 20_000] * 2_000)
    read: list[int] = []
    slice_of = RowsInMemory.slice

    def counting(self: RowsInMemory, start: int, count: int) -> pa.Table:
        read.append(slice_of(self, start, count).nbytes)
        return slice_of(self, start, count)

    monkeypatch.setattr(RowsInMemory, "slice", counting)
    page = result.page(0, 4_000, 100_000)
    assert 2_000 < page.count < 2_010
    assert max(read) < 500_000
    # What is kept of the last rows is what the page has of them.
    assert sum(memoryview(piece).nbytes for piece in page.rows) < 100_000
    assert all(isinstance(piece, bytes) or 2 * len(piece) >= memoryview(piece).obj.size for piece in page.rows)
