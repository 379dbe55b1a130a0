"""The live blocks of one table: which there are, which of their rows are replaced, and who still reads old ones.

`table.py` holds one `LiveBlocks` and calls it under its lock; `compaction.py` and `retention.py` choose among the
blocks. Opens no file: what is to be removed from disk is handed back by name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from headwater.model.block import Block
from headwater.storage.block import DirectoryEntry

Rows = npt.NDArray[np.int64]
"""Positions in a block, ascending."""

NO_ROWS: Rows = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Written:
    """A block file that is written and synced. `first` and `last` are the leading keys of its first and last row."""

    block: Block
    first: str
    last: str


@dataclass(eq=False, slots=True)
class LiveBlock:
    """A block of the manifest and the positions of its replaced rows; the array is swapped, not edited.

    All leading keys of its rows are from `first` to `last`, in order of code points.
    """

    block: Block
    path: Path
    first: str
    last: str
    deleted: Rows = field(default_factory=lambda: NO_ROWS)
    is_dirty: bool = False
    """`deleted` has rows that the manifest does not know."""

    def delete(self, rows: Sequence[int] | Rows) -> None:
        added = np.unique(np.asarray(rows, np.int64))
        places = np.searchsorted(self.deleted, added)
        is_new = np.append(self.deleted, -1)[places] != added
        # Not a union, which would sort all of them again: a block may lose its rows one by one.
        self.deleted = np.insert(self.deleted, places[is_new], added[is_new])
        self.is_dirty = True

    @property
    def live_rows(self) -> int:
        return self.block.rows - len(self.deleted)


def leading_key(entry: DirectoryEntry, dimension: str | None) -> str:
    """What a series' rows are sorted by before all else: its value of `dimension`, empty for none, or the measure
    name where `dimension` is None.
    """
    if dimension is None:
        return entry.measure_name
    return next((value for name, value in entry.dimensions if name == dimension), "")


class LiveBlocks:
    """By id; knows who reads which, so that the file of a block that is live no more stays until they have left."""

    def __init__(self) -> None:
        self._live: dict[str, LiveBlock] = {}
        self._of_day: dict[int, dict[str, LiveBlock]] = {}
        self._readers_of: Counter[str] = Counter()
        self._retired: dict[str, Path] = {}

    def all(self) -> tuple[LiveBlock, ...]:
        return tuple(self._live.values())

    def of_days(self, days: Iterable[int]) -> list[LiveBlock]:
        """Those with records of these UTC days, each of which is named once."""
        return [live for day in days for live in self._of_day.get(day, {}).values()]

    def __getitem__(self, block_id: str) -> LiveBlock:
        return self._live[block_id]

    def __contains__(self, block_id: str) -> bool:
        return block_id in self._live

    def add(self, live: LiveBlock) -> None:
        self._live[live.block.id] = live
        self._of_day.setdefault(live.block.day, {})[live.block.id] = live

    def retire(self, block_ids: Iterable[str]) -> None:
        """These are live no more; `removable` names their files when nobody reads them."""
        for block_id in block_ids:
            live = self._live.pop(block_id)
            self._retired[block_id] = live.path
            del self._of_day[live.block.day][block_id]
            if not self._of_day[live.block.day]:
                del self._of_day[live.block.day]

    def retire_file(self, block_id: str, path: Path) -> None:
        """A file that was to become a live block and will not."""
        self._retired[block_id] = path

    def hold(self) -> list[str]:
        """Keep the files of all live blocks until `let_go` is called with the answer."""
        self._readers_of.update(self._live.keys())
        return list(self._live)

    def let_go(self, held: list[str]) -> None:
        """Harmless when called again with the same list."""
        self._readers_of.subtract(held)
        held.clear()

    def removable(self) -> list[Path]:
        """Files of retired blocks that nobody reads any more; each is named once."""
        unused = [block_id for block_id in self._retired if not self._readers_of[block_id]]
        for block_id in unused:
            del self._readers_of[block_id]
        return [self._retired.pop(block_id) for block_id in unused]

    @property
    def has_retired(self) -> bool:
        return bool(self._retired)
