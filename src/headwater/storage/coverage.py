"""How much of a table a request reads, told from its series alone. `store.py` calls this; it reads no record.

A series counts as read if it meets the request's conditions and has records on both sides of, or in, its time range.
"""

from __future__ import annotations

import numpy as np

from headwater.model.insights import Coverage
from headwater.model.scan import ScanRequest
from headwater.storage.series import SeriesIndex

NOTHING = Coverage(0.0, 0)


def coverage(request: ScanRequest, series: SeriesIndex, dimension: str | None) -> Coverage:
    """Of a table partitioned by `dimension`, or by measure name where that is None.

    The spatial share counts values of the partition key; series without the dimension are one more value. The time is
    what the request's range and the records have in common.
    """
    count = len(series)
    first, last = series.first_time.view[:count], series.last_time.view[:count]
    read = (first <= request.time.end_ns) & (last >= request.time.start_ns)
    chosen = series.select(request.dimensions)
    if chosen is not None:
        read &= chosen[:count]
    ordinals = np.flatnonzero(read).astype(np.int32)
    if not len(ordinals):
        return NOTHING
    key = series.measure_name if dimension is None else series.dimension(dimension)
    values = len(np.unique(key.codes_of(np.arange(count, dtype=np.int32))))
    start_ns = max(int(first[ordinals].min()), request.time.start_ns)
    end_ns = min(int(last[ordinals].max()), request.time.end_ns)
    return Coverage(len(np.unique(key.codes_of(ordinals))) / values, end_ns - start_ns)
