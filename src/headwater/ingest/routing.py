"""Which tier each record goes to by its time, and which records the table does not take now. Pure.

`write` calls `route` with what `validate` made and the table's windows at this moment.
Source: storage.md 2, 5.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from headwater.errors import RejectedRecord
from headwater.ingest import reasons
from headwater.model.record import RecordColumns
from headwater.model.table import TimeWindows


@dataclass(frozen=True, slots=True)
class Routed:
    """The records inside the table's windows, `late` those of them for the magnetic tier, and all rejections yet."""

    batches: list[RecordColumns]
    late: frozenset[int]
    rejected: list[RejectedRecord]


def route(
    columns: Iterable[RecordColumns], rejected: list[RejectedRecord], windows: TimeWindows, magnetic_writes: bool
) -> Routed:
    """Part the records into those inside the windows, with their tier, and those outside, which are rejected."""
    batches: list[RecordColumns] = []
    late: list[int] = []
    outside: list[int] = []
    for batch in columns:
        first, last = int(batch.time_ns.min()), int(batch.time_ns.max())
        if first < windows.start_ns or last >= windows.end_ns:
            is_inside = (batch.time_ns >= windows.start_ns) & (batch.time_ns < windows.end_ns)
            outside.extend(batch.index[~is_inside].tolist())
            batch = batch.take(np.flatnonzero(is_inside))
        if first < windows.memory_start_ns:
            late.extend(batch.index[batch.time_ns < windows.memory_start_ns].tolist())
        if len(batch):
            batches.append(batch)
    if outside:
        reason = reasons.outside(windows, magnetic_writes)
        rejected = [*rejected, *(RejectedRecord(index, reason) for index in outside)]
    return Routed(batches, frozenset(late), rejected)
