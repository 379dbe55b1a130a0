"""The parts of its time that a query for its newest rows is tried on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.model.scan import ScanRequest, TimeRange
from headwater.model.table import TableId
from headwater.model.time import NS_PER_HOUR, NS_PER_MINUTE
from headwater.query.narrowing import FIRST_NS, narrowed
from headwater.sql.plan import NewestFirst, QueryPlan

ALONE = ScanRequest(TableId("t"), ())


def plan(width_ns: int = 1, rows: int = 5, time: TimeRange | None = None) -> QueryPlan:
    request = ScanRequest(TableId("t"), (), time or TimeRange())
    return QueryPlan((), (("other", ALONE), ("scan", request)), "", NewestFirst("scan", width_ns, rows))


@given(
    width_ns=st.sampled_from([1, NS_PER_MINUTE, 7 * NS_PER_HOUR]),
    rows=st.integers(1, 20_000),
    start=st.integers(0, 2**60),
    length=st.integers(0, 2**60),
)
def test_each_part_ends_with_the_whole_begins_with_a_bin_and_is_longer_than_the_one_before(
    width_ns: int, rows: int, start: int, length: int
) -> None:
    whole = TimeRange(start, start + length)
    starts = [start]
    for part in reversed(list(narrowed(plan(width_ns, rows, TimeRange(start_ns=start)), whole))):
        (_, other), (_, request) = part.scans
        assert other == ALONE
        assert request.time.start_ns % width_ns == 0
        assert request.time.end_ns == TimeRange().end_ns
        starts.append(request.time.start_ns)
    assert starts == sorted(set(starts))
    assert all(start < whole.end_ns for start in starts[1:])


@pytest.mark.parametrize("length", [0, 1, FIRST_NS - 1])
def test_a_short_time_is_not_parted(length: int) -> None:
    assert list(narrowed(plan(), TimeRange(10**18, 10**18 + length))) == []
    assert list(narrowed(plan(), TimeRange(1, 0))) == []


def test_a_query_without_such_an_end_and_one_with_a_large_limit_are_not_parted() -> None:
    whole = TimeRange(0, 10**18)
    assert list(narrowed(QueryPlan((), (("scan", ALONE),), ""), whole)) == []
    assert list(narrowed(plan(rows=10_001), whole)) == []
    assert len(list(narrowed(plan(rows=10_000), whole))) == 4
