"""Replay: what the log holds above the checkpoints, back into memory at start.

The store gives every entry; records gather until there are many, so that a million of them take a few hundred steps
of the version check and not a million. Nothing is logged again, nothing is refused: what is there was accepted once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from headwater.errors import Corrupt
from headwater.model.record import Conflict, ConflictKind, Layout
from headwater.model.table import TableId
from headwater.storage.admitted import Admitted, joined
from headwater.storage.entry import Logged, decode_payload
from headwater.storage.keys import unpack_keys
from headwater.storage.series import Ordinals
from headwater.storage.table import TableStore

_GATHERED_ROWS = 65_536
_KNOWN_SETS = 4_096


@dataclass(slots=True)
class _Gathered:
    """The records of one table that wait. `entries` are sequence and rows of each of their entries, in order."""

    table: TableStore
    rows: dict[Layout, list[Admitted]] = field(default_factory=dict)
    entries: list[tuple[int, int]] = field(default_factory=list)
    count: int = 0
    known: OrderedDict[tuple[Layout, bytes], Ordinals] = field(default_factory=OrderedDict)
    """Ordinals of packed keys, by layout: entries name the same sets of series again and again."""


class Replay:
    """`add` each entry in order, then `finish`. One thread."""

    def __init__(
        self, checkpoints: Mapping[TableId, int], table_of: Callable[[TableId], TableStore | None], now_s: float
    ) -> None:
        """`checkpoints` are those of all tables that exist; only a table with records above its own is asked for.

        `table_of` answers None for one that is to be left out.
        """
        self._checkpoints = checkpoints
        self._table_of = table_of
        self._now_s = now_s
        self._gathered: dict[TableId, _Gathered] = {}
        self.records = 0
        """Replayed up to now."""

    def add(self, sequence: int, payload: bytes) -> None:
        """Raises Corrupt for an entry that cannot be read, or whose records the table does not take any more."""
        for logged in decode_payload(payload):
            checkpoint = self._checkpoints.get(logged.table)
            if checkpoint is None or sequence <= checkpoint:
                continue
            gathered = self._gathered.get(logged.table)
            if gathered is None:
                table = self._table_of(logged.table)
                if table is None:
                    continue
                gathered = self._gathered[logged.table] = _Gathered(table)
            self._add(gathered, sequence, logged)

    def finish(self) -> None:
        """Make visible what is gathered."""
        for gathered in self._gathered.values():
            self._store(gathered)

    def _add(self, gathered: _Gathered, sequence: int, logged: Logged) -> None:
        ordinals = _ordinals(gathered, sequence, logged)
        rows = Admitted(
            logged.layout,
            np.arange(gathered.count, gathered.count + len(logged.series)),
            ordinals[logged.series],
            logged.time_ns,
            logged.version,
            logged.values,
        )
        gathered.rows.setdefault(logged.layout, []).append(rows)
        gathered.entries.append((sequence, len(rows)))
        gathered.count += len(rows)
        self.records += len(rows)
        if gathered.count >= _GATHERED_ROWS:
            self._store(gathered)

    def _store(self, gathered: _Gathered) -> None:
        if not gathered.count:
            return
        conflicts = gathered.table.replay(
            [joined(batches) for batches in gathered.rows.values()],
            (gathered.entries[0][0], gathered.entries[-1][0]),
            self._now_s,
        )
        if conflicts:
            raise _refused(_entry_of(gathered, conflicts[0]), conflicts[0].kind)
        gathered.rows, gathered.entries, gathered.count = {}, [], 0


def _ordinals(gathered: _Gathered, sequence: int, logged: Logged) -> Ordinals:
    """Those of the packed keys."""
    key = logged.layout, logged.keys
    ordinals = gathered.known.get(key)
    if ordinals is None:
        try:
            admitted = gathered.table.admit_keys(logged.layout, unpack_keys(logged.keys))
        except (ValueError, IndexError) as error:
            raise Corrupt(f"entry {sequence} of the log has series that cannot be read: {error}") from error
        if isinstance(admitted, ConflictKind):
            raise _refused(sequence, admitted)
        ordinals = gathered.known[key] = admitted
        if len(gathered.known) > _KNOWN_SETS:
            gathered.known.popitem(last=False)
    return ordinals


def _entry_of(gathered: _Gathered, conflict: Conflict) -> int:
    ends = np.cumsum([rows for _, rows in gathered.entries])
    return gathered.entries[int(np.searchsorted(ends, conflict.index, "right"))][0]


def _refused(sequence: int, kind: ConflictKind) -> Corrupt:
    return Corrupt(f"entry {sequence} of the log was accepted and is refused now: {kind}")
