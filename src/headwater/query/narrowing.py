"""Trying a query on the newest part of its time first: for those that want some rows, the newest or any. Pure.

`execute` runs one plan after the other until one gives as many rows as the LIMIT; the last one is the whole query. So
such a query takes as long over years of records as over a day.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from headwater.model.scan import ScanRequest, TimeRange
from headwater.model.time import NS_PER_MINUTE
from headwater.sql.plan import QueryPlan

FIRST_NS = 10 * NS_PER_MINUTE
GROWTH = 12
TRIES = 4
"""Ten minutes, two hours, a day, twelve days."""

ROWS_MOST = 10_000
"""A larger LIMIT is as good as none."""


def narrowed(plan: QueryPlan, time: TimeRange) -> Iterator[QueryPlan]:
    """The plans to try before `plan` itself, where the records that it may read lie in `time`."""
    wanted = plan.newest_first
    if wanted is None or wanted.rows > ROWS_MOST or time.start_ns >= time.end_ns:
        return
    span_ns = max(FIRST_NS, 2 * wanted.width_ns * wanted.rows)
    for _ in range(TRIES):
        start_ns = (time.end_ns - span_ns) // wanted.width_ns * wanted.width_ns
        if start_ns <= time.start_ns:
            return
        yield replace(plan, scans=tuple(_from(scan, wanted.relation, start_ns) for scan in plan.scans))
        span_ns *= GROWTH


def _from(scan: tuple[str, ScanRequest], relation: str, start_ns: int) -> tuple[str, ScanRequest]:
    name, request = scan
    return (name, replace(request, time=request.time.intersect(TimeRange(start_ns)))) if name == relation else scan
