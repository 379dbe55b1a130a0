"""Where to look for the newest record of each series: for scans that want no others. Pure; `scan.py` calls this."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headwater.model.record import Int64s
from headwater.model.scan import TimeRange
from headwater.model.time import TIME_MAX_NS, TIME_MIN_NS
from headwater.storage.chunk import Mask


@dataclass(frozen=True, slots=True)
class Floors:
    """Of each series the time from which on its newest record in a range is to be looked for, by ordinal.

    That is the very time of the newest record, or the start of the range for a series that has newer ones past the
    range. A series that has nothing in the range is past all time.
    """

    of_series: Int64s
    _sorted: Int64s
    _ordinals: npt.NDArray[np.intp]
    _unknown: npt.NDArray[np.intp]
    _oldest_ns: int

    @classmethod
    def of(cls, newest_ns: Int64s, time: TimeRange, chosen: Mask | None) -> Floors:
        """For the series of `chosen`, None is all."""
        is_past = newest_ns > time.end_ns
        floors = np.where(is_past, time.start_ns, newest_ns)
        floors[newest_ns < time.start_ns] = TIME_MAX_NS
        if chosen is not None:
            floors[~chosen[: len(floors)]] = TIME_MAX_NS
        order = np.argsort(floors, kind="stable")
        order = order[(floors[order] < TIME_MAX_NS) & ~is_past[order]]
        unknown = np.flatnonzero(is_past & (floors < TIME_MAX_NS))
        in_order = floors[order]
        return cls(floors, in_order, order, unknown, int(in_order[0]) if len(in_order) else TIME_MAX_NS)

    def within(self, start_ns: int, end_ns: int) -> npt.NDArray[np.intp]:
        """The series whose newest record may lie from `start_ns` to `end_ns`."""
        if end_ns < self._oldest_ns and not len(self._unknown):
            # So it is with all older blocks of a table whose series are all alive.
            return self._unknown
        first, behind = np.searchsorted(self._sorted, (start_ns, end_ns + 1))
        return np.concatenate([self._ordinals[first:behind], self._unknown])

    @property
    def are_exact(self) -> bool:
        """Whether there is no series but those whose newest record of all is in the range, and those without one."""
        return not len(self._unknown)

    @property
    def start_ns(self) -> int:
        """Before this there is nothing in question."""
        return TIME_MIN_NS if len(self._unknown) else self._oldest_ns

    def oldest_ns(self, ordinals: npt.NDArray[np.intp]) -> int:
        return int(self.of_series[ordinals].min())
