"""The version check: what a write does to what is stored, decided before anything is logged or visible.

The commit thread stages the writes of a group one after the other through `Staging.stage`; `table.py` publishes what
has gathered when the log holds it. A record newer than all of its series needs no look-up, one comparison says so; any
other is looked for in memory and in the blocks of its day (`lookup.py`). Changes neither.
Source: write-api.md 6.6; design.md 3.3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headwater.files import Files
from headwater.model.limits import Limits
from headwater.model.record import Conflict, ConflictKind, Int64s, Layout, LowerVersion, RecordColumns, SameVersion
from headwater.model.table import Columns
from headwater.model.time import NS_PER_DAY
from headwater.sealing import Vault
from headwater.storage.admission import Admission
from headwater.storage.admitted import Admitted, identity_keys, in_turns
from headwater.storage.chunk import Chunk, Mask
from headwater.storage.keys import SeriesKeys
from headwater.storage.live import LiveBlock
from headwater.storage.lookup import BlockLookup, same_values
from headwater.storage.series import Ordinals, SeriesIndex

Places = npt.NDArray[np.intp]

Stored = Callable[[Iterable[int]], tuple[Sequence[Chunk], Sequence[LiveBlock]]]
"""The published chunks, and the live blocks of some days, at this moment."""

Replaced = tuple[Chunk | LiveBlock, Int64s]
"""Rows that newer versions replace: where they are."""


@dataclass(frozen=True, slots=True)
class Staged:
    """What became of one write: records for the log, and those refused, in order of index."""

    records: list[Admitted]
    conflicts: list[Conflict]


@dataclass(frozen=True, slots=True)
class _Found:
    """Stored records with the identities of some rows of a batch: `places` in `target`, one for each of `rows`."""

    target: Chunk | LiveBlock
    rows: Places
    places: Int64s


class Staging:
    """Chunks and replaced rows that wait for the log. The commit thread only, and before it runs the replay."""

    def __init__(
        self, files: Files, vault: Vault, columns: Columns, series: SeriesIndex, limits: Limits, stored: Stored
    ) -> None:
        self._series = series
        self._stored = stored
        self._admission = Admission(columns, series, limits)
        self._lookup = BlockLookup(files, vault)
        self._chunks: list[Chunk] = []
        self._replaced: list[Replaced] = []

    @property
    def columns(self) -> Columns:
        """Those of the published records, and those that staged records add."""
        return self._admission.columns

    def stage(self, batches: Sequence[RecordColumns]) -> Staged:
        """Check one request against everything stored or staged.

        Records whose identity, version and values are stored already are accepted and left out of `records`.
        Raises Corrupt for a bad block; nothing of the request is staged then.
        """
        conflicts: list[Conflict] = []
        return self.stage_admitted(self._admission.admit(batches, conflicts), conflicts)

    def stage_admitted(self, admitted: Sequence[Admitted], conflicts: list[Conflict]) -> Staged:
        """The same from where the table has taken the records; `conflicts` are those there are already."""
        staged = Staged([], conflicts)
        chunks, replaced = len(self._chunks), len(self._replaced)
        try:
            for batch in in_turns(admitted):
                self._stage(batch, staged)
        except BaseException:
            # What is not answered with success must not become visible with the rest of the group.
            del self._chunks[chunks:], self._replaced[replaced:]
            raise
        conflicts.sort(key=lambda conflict: conflict.index)
        return staged

    def admit_keys(self, layout: Layout, keys: SeriesKeys) -> Ordinals | ConflictKind:
        """As `Admission.admit_keys`."""
        return self._admission.admit_keys(layout, keys)

    def take(self) -> tuple[list[Chunk], list[Replaced]]:
        """All that is staged, and from now on nothing is. Each target of a replacement stands there once."""
        chunks, replaced = self._chunks, self._replaced
        self._chunks, self._replaced = [], []
        if len(replaced) < 2:
            return chunks, replaced
        of_target: dict[Chunk | LiveBlock, list[Int64s]] = {}
        for target, rows in replaced:
            of_target.setdefault(target, []).append(rows)
        return chunks, [(target, np.concatenate(parts)) for target, parts in of_target.items()]

    def forget(self, block_ids: Sequence[str]) -> None:
        """These blocks are live no more."""
        self._lookup.forget(block_ids)

    def _stage(self, batch: Admitted, staged: Staged) -> None:
        series, times = self._series, batch.time_ns
        is_known = (times <= series.last_time.view[batch.ordinals]) & (times >= series.first_time.view[batch.ordinals])
        if is_known.any():
            kept = self._resolve(batch, np.flatnonzero(is_known), staged.conflicts)
            if not kept.all():
                batch = batch.take(np.flatnonzero(kept))
                if not len(batch):
                    return
        self._chunks.append(Chunk.of(batch))
        series.widen(batch.ordinals, batch.time_ns)
        staged.records.append(batch)

    def _resolve(self, batch: Admitted, rows: Places, conflicts: list[Conflict]) -> Mask:
        """Decide the rows that may meet a stored record; the answer says which rows of all to store.

        The rules are write-api.md 6.6, in the order of its table.
        """
        kept = np.ones(len(batch), np.bool_)
        for found in self._locate(batch, rows):
            version, stored = batch.version[found.rows], self._versions(found)
            newer = np.flatnonzero(version > stored)
            if len(newer):
                self._replaced.append((found.target, found.places[newer]))
            kept[found.rows[version <= stored]] = False
            for hit in np.flatnonzero(version < stored).tolist():
                kind = LowerVersion(int(version[hit]), int(stored[hit]))
                conflicts.append(Conflict(int(batch.index[found.rows[hit]]), kind))
            equal = np.flatnonzero(version == stored)
            if len(equal):
                rows_equal = found.rows[equal]
                differs = ~self._are_same(found.target, found.places[equal], batch, rows_equal)
                conflicts.extend(Conflict(index, SameVersion()) for index in batch.index[rows_equal[differs]].tolist())
        return kept

    def _locate(self, batch: Admitted, rows: Places) -> list[_Found]:
        """The stored records with the identities of these rows, each in its newest place."""
        found: list[_Found] = []
        ordinals, time_ns = batch.ordinals[rows], batch.time_ns[rows]
        keys = identity_keys(ordinals, time_ns)
        first_ns, last_ns = int(time_ns.min()), int(time_ns.max())
        published, blocks = self._stored({time // NS_PER_DAY for time in time_ns.tolist()})
        for chunk in (*reversed(self._chunks), *reversed(published)):
            if chunk.end_ns < first_ns or chunk.start_ns > last_ns:
                continue
            places = chunk.find(keys, ordinals, time_ns)
            if places is not None:
                left = _note(found, chunk, rows, places)
                rows, keys, ordinals, time_ns = rows[left], keys[left], ordinals[left], time_ns[left]
                if not len(rows):
                    return found
        for live in blocks:
            if live.block.end_ns >= first_ns and live.block.start_ns <= last_ns:
                places = self._lookup.find(live, self._series.ids.view[ordinals], time_ns)
                left = _note(found, live, rows, places)
                rows, ordinals, time_ns = rows[left], ordinals[left], time_ns[left]
        return found

    def _versions(self, found: _Found) -> Int64s:
        if isinstance(found.target, Chunk):
            return found.target.version[found.places]
        return self._lookup.versions(found.target, found.places)

    def _are_same(self, target: Chunk | LiveBlock, places: Int64s, batch: Admitted, rows: Places) -> Mask:
        """Whether these stored records have exactly the values of these rows: the same columns, the same bits."""
        given = {
            name: [values[row] for row in rows.tolist()] if isinstance(values, list) else values[rows]
            for (name, _), values in zip(batch.layout.columns, batch.values, strict=True)
        }
        same = np.ones(len(rows), np.bool_)
        for column in self._admission.columns.measures:
            if isinstance(target, Chunk):
                stored = target.taken(column.name, places)
            else:
                stored = self._lookup.taken(target, column.physical, places)
            same &= same_values(stored, given.get(column.name))
        return same


def _note(found: list[_Found], target: Chunk | LiveBlock, rows: Places, places: Int64s) -> Mask:
    """Add the rows that have a place in `target`; the answer says which have not."""
    is_hit = places >= 0
    if is_hit.any():
        found.append(_Found(target, rows[is_hit], places[is_hit]))
    return ~is_hit
