"""Compaction: the small blocks of one table and day become few large ones, without their replaced and expired rows.

    choose     which blocks of a day, if any are worth it                      (here, pure)
    merge      their live rows, written as new blocks and synced               (merge.py)
    follow     rows replaced meanwhile are replaced in the new blocks too      (here)
    swap       manifest, readers, then the old files, as their readers leave   (changes.py)

Before the swap the new files are rubbish that the next start removes, after it the old ones are; a merge that is cut
short is begun again. Blocks fall into size classes, and eight of one class become one of a higher: each byte is written
once for each class it climbs, which bounds what compaction adds to writing (design.md 3.6; write amplification).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog

from headwater.errors import Corrupt, Fault, NotFound, Unavailable
from headwater.files import Files
from headwater.model.table import TableId
from headwater.model.time import Clock
from headwater.sealing import Vault
from headwater.storage.changes import Changes
from headwater.storage.flush import remove_rubbish
from headwater.storage.live import LiveBlock, Rows, Written
from headwater.storage.lookup import BlockLookup
from headwater.storage.merge import Output, merge
from headwater.storage.opened import OpenTables
from headwater.storage.pace import Pace, Stopping
from headwater.storage.scrub import Scrubber
from headwater.storage.table import TableStore

_log = structlog.get_logger("compaction")

FAN_IN = 8
"""So many blocks of one size class of one day are merged."""

INPUTS_MAX = 64
"""No more blocks are merged at once: each takes a few batches of memory."""

SMALLEST_CLASS_BYTES = 64 * 1024
"""Blocks below this are all of the lowest class."""

REPLACED_SHARE = 0.3
"""A block with more replaced rows than this is written anew even alone."""

QUIET_S = 3_600.0
"""A day that has got no block for so long is merged further: its blocks wait for no others."""

SHARE = 0.5
"""Of the time of one processor, so that queries and writes come first."""

RETRY_S = 60.0
"""After a failure, before the next try with that table."""

Chosen = list[tuple[LiveBlock, Rows]]
"""Blocks of one day in one order of rows, each with its replaced rows."""


def choose(blocks: Chosen, target_bytes: int, is_quiet: bool) -> Chosen:
    """The blocks of one day that are worth merging now, the smallest first; none if there are not enough.

    `is_quiet`: no more blocks are to be expected for this day.
    """
    rewritten = [(live, gone) for live, gone in blocks if len(gone) > REPLACED_SHARE * live.block.rows]
    if rewritten:
        return rewritten[:1]
    small = sorted(
        (pair for pair in blocks if 2 * pair[0].block.bytes <= target_bytes), key=lambda pair: pair[0].block.bytes
    )[:INPUTS_MAX]
    for size_class in sorted({_size_class(live) for live, _ in small}, reverse=True):
        if sum(_size_class(live) == size_class for live, _ in small) >= FAN_IN:
            return [pair for pair in small if _size_class(pair[0]) <= size_class]
    return _balanced(small) if is_quiet else []


def choose_all(blocks: Chosen, target_bytes: int) -> Chosen:
    """All blocks of one day that can be made better at all: for who wants it now, whatever it costs."""
    chosen = [pair for pair in blocks if len(pair[1]) or 2 * pair[0].block.bytes <= target_bytes]
    return chosen if len(chosen) > 1 or any(len(gone) for _, gone in chosen) else []


def _balanced(small: Chosen) -> Chosen:
    """The most of the smallest blocks that make the largest of them half as large again, or more: a few late rows do
    not rewrite a large block again and again.
    """
    sizes = np.cumsum([live.block.bytes for live, _ in small])
    count = max((n for n in range(2, len(small) + 1) if 3 * small[n - 1][0].block.bytes <= 2 * sizes[n - 1]), default=0)
    return small[:count]


def _size_class(live: LiveBlock) -> int:
    size_class, limit = 0, SMALLEST_CLASS_BYTES
    while live.block.bytes > limit:
        size_class, limit = size_class + 1, limit * FAN_IN
    return size_class


@dataclass(slots=True)
class _Seen:
    """The blocks of a day at the last look, and since when there have been just these."""

    blocks: frozenset[str]
    since_s: float


class Compaction:
    """Merges one group of blocks at a time, on the thread that calls. `runs` and `failures` count since the start."""

    def __init__(
        self,
        files: Files,
        vault: Vault,
        tables: OpenTables,
        changes: Changes,
        scrubber: Scrubber,
        clock: Clock,
        pace: Pace,
        new_id: Callable[[], str],
        target_bytes: int,
    ) -> None:
        self._files = files
        self._vault = vault
        self._tables = tables
        self._changes = changes
        self._scrubber = scrubber
        self._clock = clock
        self._pace = pace
        self._new_id = new_id
        self._target_bytes = target_bytes
        self._seen: dict[tuple[TableId, int, str | None], _Seen] = {}
        self._retry_s: dict[TableId, float] = {}
        self.runs = 0
        self.failures = 0
        self.read_bytes = 0
        self.written_bytes = 0

    def run_due(self) -> None:
        """Merge what is worth it, in all open tables, until nothing is or `Pace.stop` is called."""
        while due := self._due():
            if not self._compact_or_tell(*due[0]):
                return

    def run_all(self, table: TableStore) -> None:
        """Merge all that can be merged in one table, each block once. Raises Corrupt, OSError, NotFound, Unavailable,
        and Stopping when `Pace.stop` is called.
        """
        for group in self._groups(table):
            chosen = choose_all(group, self._target_bytes)
            if chosen:
                self._compact(table, chosen)

    def _due(self) -> list[tuple[TableStore, Chosen]]:
        now_s = self._clock.monotonic_s()
        due, seen = [], {}
        self._retry_s = {table: retry_s for table, retry_s in self._retry_s.items() if retry_s > now_s}
        for table in self._tables.all():
            for group in self._groups(table):
                blocks = frozenset(live.block.id for live, _ in group)
                key = table.id, group[0][0].block.day, group[0][0].block.sorted_by
                before = self._seen.get(key)
                seen[key] = before if before is not None and before.blocks == blocks else _Seen(blocks, now_s)
                chosen = choose(group, self._target_bytes, now_s - seen[key].since_s >= QUIET_S)
                if chosen and table.id not in self._retry_s:
                    due.append((table, chosen))
        self._seen = seen
        return due

    def _groups(self, table: TableStore) -> list[Chosen]:
        """The sound blocks by day and order of rows."""
        groups: dict[tuple[int, str | None], Chosen] = defaultdict(list)
        for live, gone in table.blocks():
            if not self._scrubber.is_damaged(live.block.id):
                groups[live.block.day, live.block.sorted_by].append((live, gone))
        return list(groups.values())

    def _compact_or_tell(self, table: TableStore, chosen: Chosen) -> bool:
        """Merge one group; whether to go on. What a failure has begun is undone; the table is tried again later."""
        try:
            self._compact(table, chosen)
        except Stopping:
            return False
        except (OSError, Fault) as error:
            self._retry_s[table.id] = self._clock.monotonic_s() + RETRY_S
            if isinstance(error, NotFound):
                # Dropped under our hands.
                return True
            self.failures += 1
            _log.error("compaction failed", table=table.id, error=str(error))
            if isinstance(error, Corrupt):
                with suppress(Stopping, Unavailable):
                    self._scrubber.check(table.id, [live.block for live, _ in chosen])
        return True

    def _compact(self, table: TableStore, chosen: Chosen) -> None:
        started_s = self._clock.monotonic_s()
        paths: list[Path] = []
        self._check_room(table, chosen)
        # The snapshot keeps the files: a dropped table removes them only when we have left.
        snapshot = table.snapshot()
        try:
            written = self._merge(table, chosen, paths)
            removed = [live for live, _ in chosen]
            added = [table.live_block(one) for one in written]
            with closing(_Follower(self._files, self._vault, chosen, added)) as follower:
                self._changes.swap(table, removed, follower.added)
        except (Stopping, NotFound, Corrupt, OSError):
            # Another fault may come of a commit that has reached the disk all the same: the next start will tell.
            remove_rubbish(self._files, paths)
            raise
        finally:
            snapshot.release()
        self._tell(table, removed, written, self._clock.monotonic_s() - started_s)

    def _check_room(self, table: TableStore, chosen: Chosen) -> None:
        """Old and new blocks are on the disk at once. Raises Unavailable where that takes over half of what is left."""
        needed = sum(live.block.bytes for live, _ in chosen)
        free = self._files.free_bytes(table.directory, site="compaction.room")
        if 2 * needed > free:
            raise Unavailable(f"merging {needed} bytes of blocks needs twice that, the disk has {free}")

    def _merge(self, table: TableStore, chosen: Chosen, paths: list[Path]) -> list[Written]:
        """Write the new blocks; every path that is begun is noted in `paths` before."""
        first = chosen[0][0].block
        dimension = table.dimension_of(first)

        def next_path() -> tuple[str, Path]:
            block_id = self._new_id()
            paths.append(table.block_path(block_id))
            return block_id, paths[-1]

        output = Output(
            table=table.id,
            day=first.day,
            columns=table.columns,
            dimension=dimension,
            sorted_by=first.sorted_by,
            target_bytes=self._target_bytes,
            oldest_ns=self._changes.sorting(table.id).oldest_ns,
            path_of=next_path,
        )
        stepped_s = self._clock.monotonic_s()

        def step() -> None:
            nonlocal stepped_s
            stepped_s = self._pace.rest(stepped_s, SHARE)

        return merge(self._files, self._vault, chosen, output, step)

    def _tell(self, table: TableStore, removed: Sequence[LiveBlock], written: Sequence[Written], took_s: float) -> None:
        read_bytes = sum(live.block.bytes for live in removed)
        written_bytes = sum(one.block.bytes for one in written)
        self.runs += 1
        self.read_bytes += read_bytes
        self.written_bytes += written_bytes
        _log.info(
            "compacted",
            table=table.id,
            day=removed[0].block.day,
            blocks=len(removed),
            into=len(written),
            rows=sum(one.block.rows for one in written),
            bytes_read=read_bytes,
            bytes=written_bytes,
            seconds=round(took_s, 3),
        )


class _Follower:
    """Finds in the new blocks the rows that have been replaced in the old ones since these were read."""

    def __init__(self, files: Files, vault: Vault, chosen: Chosen, new: list[LiveBlock]) -> None:
        self._lookup = BlockLookup(files, vault)
        self._old = [live for live, _ in chosen]
        self._known = {live.block.id: gone for live, gone in chosen}
        self._new = new

    def close(self) -> None:
        self._lookup.forget([live.block.id for live in (*self._old, *self._new)])

    def added(self) -> list[LiveBlock]:
        """The new blocks, with all that is replaced by now."""
        for live in self._old:
            replaced, known = live.deleted, self._known[live.block.id]
            if len(replaced) > len(known):
                self._follow(live, np.setdiff1d(replaced, known, assume_unique=True))
                self._known[live.block.id] = replaced
        return self._new

    def _follow(self, live: LiveBlock, rows: Rows) -> None:
        series, time_ns = self._lookup.taken(live, "_series", rows), self._lookup.taken(live, "time", rows)
        assert series is not None, "every block has series"
        assert time_ns is not None, "every block has times"
        for new in self._new:
            places = self._lookup.find(new, series.to_numpy(), time_ns.to_numpy())
            if (places >= 0).any():
                new.delete(places[places >= 0])
