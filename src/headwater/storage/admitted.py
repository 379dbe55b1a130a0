"""Records that a table has admitted, on their way from admission to the log and the memtable.

As `RecordColumns`, with ordinals in the place of series. `admission.py` makes them, `staging.py` judges them,
`entry.py` writes them to the log, `replay.py` reads them from there. Pure values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from headwater.model.record import Int64s, Layout, ValueColumn
from headwater.storage.series import Ordinals


@dataclass(frozen=True, slots=True, eq=False)
class Admitted:
    """Records of one layout. `index` is each one's place in its request, or in the order of a replay, ascending."""

    layout: Layout
    index: Int64s
    ordinals: Ordinals
    time_ns: Int64s
    version: Int64s
    values: tuple[ValueColumn, ...]

    def __len__(self) -> int:
        return len(self.ordinals)

    def take(self, rows: npt.NDArray[np.intp]) -> Admitted:
        """Only these rows, in this order."""
        return Admitted(
            self.layout,
            self.index[rows],
            self.ordinals[rows],
            self.time_ns[rows],
            self.version[rows],
            tuple([v[row] for row in rows.tolist()] if isinstance(v, list) else v[rows] for v in self.values),
        )


def joined(batches: Sequence[Admitted]) -> Admitted:
    """One after the other; all of one layout."""
    if len(batches) == 1:
        return batches[0]
    return Admitted(
        batches[0].layout,
        np.concatenate([batch.index for batch in batches]),
        np.concatenate([batch.ordinals for batch in batches]),
        np.concatenate([batch.time_ns for batch in batches]),
        np.concatenate([batch.version for batch in batches]),
        tuple(_joined_values(parts) for parts in zip(*(batch.values for batch in batches), strict=True)),
    )


def _joined_values(parts: Sequence[ValueColumn]) -> ValueColumn:
    if isinstance(parts[0], list):
        return list(chain.from_iterable(parts))
    return np.concatenate(parts)


def in_turns(batches: Sequence[Admitted]) -> Iterator[Admitted]:
    """All rows, such that those of one identity come in order of index and no batch has two of them.

    Mostly that is the batches as they are. Where identities repeat, all first ones come first, then all second ones.
    """
    keys = [identity_keys(batch.ordinals, batch.time_ns) for batch in batches]
    every = keys[0] if len(keys) == 1 else np.concatenate(keys) if keys else np.zeros(0, np.uint64)
    if len(np.unique(every)) == len(every):
        yield from batches
        return
    order = np.lexsort((np.concatenate([batch.index for batch in batches]), every))
    is_first = np.diff(every[order], prepend=~every[order[:1]]) != 0
    starts = np.flatnonzero(is_first)
    turn = np.empty(len(every), np.intp)
    turn[order] = np.arange(len(every)) - np.repeat(starts, np.diff(starts, append=len(every)))
    offsets = np.cumsum([0, *map(len, batches)])
    for number in range(int(turn.max()) + 1):
        for batch, start in zip(batches, offsets.tolist(), strict=False):
            rows = np.flatnonzero(turn[start : start + len(batch)] == number)
            if len(rows):
                yield batch.take(rows)


def identity_keys(ordinals: Ordinals, time_ns: Int64s) -> npt.NDArray[np.uint64]:
    """One 64-bit number per (series, time): equal for equal pairs, seldom equal for others."""
    mixed = time_ns.view(np.uint64) ^ (ordinals.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    mixed ^= mixed >> np.uint64(31)
    return mixed * np.uint64(0xBF58476D1CE4E5B9)
