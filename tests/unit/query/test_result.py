"""Pages of a result: put together they are all its rows, whatever the sizes of rows and pages."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import Invalid
from headwater.model.types import OutputColumn, Scalar
from headwater.query.result import Result, RowsInMemory
from headwater.wire.datum import rows_json

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
    found: list[bytes] = []
    while len(found) < result.rows.count:
        page = result.page(len(found), max_rows, page_bytes)
        assert 0 < len(page) <= max_rows
        assert sum(map(len, page)) <= page_bytes
        found += page
    assert found == rows_json(result.rows.slice(0, result.rows.count), COLUMNS)
    assert list(result.page(result.rows.count, max_rows, page_bytes)) == []


def test_a_row_larger_than_a_page_is_refused():
    with pytest.raises(Invalid, match="max page response size"):
        result_of(["x" * 2_000]).page(0, 10, 1_000)
