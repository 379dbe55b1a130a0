"""What leaves a table by age: how old is too old, which blocks are too old as a whole, and whether to trust the clock.

Expired records are hidden from queries the moment they expire (`query/run.py`). Here they leave the disk: at a flush,
at a compaction, and with the last of their block, which is at most a day later. Source: storage.md 1, 3;
reliability.md 3, "Clock".
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

import structlog

from headwater.errors import NotFound
from headwater.model.table import TableId, TablesById, expiry_ns
from headwater.model.time import NS_PER_HOUR, NS_PER_S, TIME_MIN_NS, Clock
from headwater.storage.live import LiveBlock

_log = structlog.get_logger("retention")

STEP_NS = NS_PER_HOUR
"""The wall clock may move by no more against the monotonic one from one look to the next."""

STEADY_S = 600.0
"""So long after a step nothing is deleted by age; nor after a start, before which the clock may have stepped."""


class ClockWatch:
    """Notices when the wall clock steps, by looking at both clocks now and then. `steps` counts since the start."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        now_s, self._offset_ns = self._look()
        self._steady_from_s = now_s + STEADY_S
        self.steps = 0

    def is_steady(self) -> bool:
        """Whether the clock has agreed with itself for long enough to delete by it."""
        with self._lock:
            now_s, offset_ns = self._look()
            step_ns = offset_ns - self._offset_ns
            self._offset_ns = offset_ns
            if abs(step_ns) > STEP_NS:
                self.steps += 1
                self._steady_from_s = now_s + STEADY_S
                _log.warning("the wall clock stepped: nothing expires for a while", step_s=step_ns / NS_PER_S)
            return now_s >= self._steady_from_s

    def _look(self) -> tuple[float, int]:
        now_s = self._clock.monotonic_s()
        return now_s, self._clock.now_ns() - int(now_s * NS_PER_S)


class Expiry:
    """How far back each table reaches now."""

    def __init__(self, tables: TablesById, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock
        self.watch = ClockWatch(clock)

    def oldest_ns(self, table: TableId) -> int:
        """Records before this may be deleted for good; TIME_MIN_NS while the clock is not to be trusted."""
        if not self.watch.is_steady():
            return TIME_MIN_NS
        try:
            retention = self._tables.table_by_id(table).retention
        except NotFound:
            # Dropped meanwhile, or of an account that is not served: its records are not ours to judge.
            return TIME_MIN_NS
        return max(TIME_MIN_NS, expiry_ns(retention, self._clock.now_ns()))


def expired(blocks: Iterable[LiveBlock], oldest_ns: int) -> list[LiveBlock]:
    """The blocks in which every record is older than `oldest_ns`."""
    return [live for live in blocks if live.block.end_ns < oldest_ns]
