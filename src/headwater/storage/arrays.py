"""Growing arrays and an index over them: what a table keeps of each of its series, in a few bytes each.

`series.py` and `texts.py` build on these. One thread writes, any thread may read what was there before it asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]

_RECENT_MIN = 16_384
_RECENT_SHARE = 16


class Growable:
    """A numpy array that grows at its end. Views handed out stay valid when it grows."""

    def __init__(self, dtype: npt.DTypeLike, fill: int, values: npt.NDArray[Any] | None = None) -> None:
        """`values` are the entries to begin with."""
        self._data: npt.NDArray[Any] = np.full(64, fill, dtype)
        self._fill = fill
        self.count = 0
        if values is not None:
            self.extend(values)

    @property
    def view(self) -> npt.NDArray[Any]:
        return self._data[: self.count]

    @property
    def bytes(self) -> int:
        return self._data.nbytes

    def extend_to(self, count: int) -> None:
        """Grow to `count` entries, if there are fewer; new ones hold the fill value."""
        if count > len(self._data):
            # By half, not to twice: with ten million series the unused half would be seen.
            grown = np.full(max(count, len(self._data) * 3 // 2), self._fill, self._data.dtype)
            grown[: self.count] = self._data[: self.count]
            self._data = grown
        self.count = max(self.count, count)

    def extend(self, values: npt.NDArray[Any]) -> None:
        start = self.count
        self.extend_to(start + len(values))
        self._data[start : self.count] = values


class Places:
    """Where the thing with a 64-bit key is: sorted arrays for most, a dictionary for those added lately.

    Twelve bytes a key. Adding is cheap because the arrays are merged only when the dictionary has grown to a part of
    them. Of equal keys only one is found.
    """

    def __init__(self) -> None:
        # One tuple, swapped whole: a reader sees keys and places that belong together.
        self._sorted: tuple[Int64s, Codes] = np.zeros(0, np.int64), np.zeros(0, np.int32)
        self._recent: dict[int, int] = {}

    @property
    def bytes(self) -> int:
        return 12 * len(self._sorted[0]) + 100 * len(self._recent)

    def find(self, keys: Int64s) -> Codes:
        """The place of each key, -1 for one that is not here."""
        # Read before the arrays: what moves from the dictionary meanwhile is found in one of the two.
        recent = self._recent
        sorted_keys, places = self._sorted
        if not len(sorted_keys):
            return np.array([recent.get(key, -1) for key in keys.tolist()], np.int32)
        at = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
        found = np.where(sorted_keys[at] == keys, places[at], np.int32(-1))
        if recent:
            missing = np.flatnonzero(found < 0)
            if len(missing):
                found[missing] = [recent.get(key, -1) for key in keys[missing].tolist()]
        return found

    def add(self, keys: Int64s, places: Codes) -> None:
        """Keys that are not here yet."""
        if len(keys) < _RECENT_MIN:
            self._recent.update(zip(keys.tolist(), places.tolist(), strict=True))
            if len(self._recent) < max(_RECENT_MIN, len(self._sorted[0]) // _RECENT_SHARE):
                return
            keys = np.fromiter(self._recent.keys(), np.int64, len(self._recent))
            places = np.fromiter(self._recent.values(), np.int32, len(self._recent))
            self._merge(keys, places)
            self._recent = {}
        else:
            self._merge(keys, places)

    def _merge(self, keys: Int64s, places: Codes) -> None:
        order = np.argsort(keys, kind="stable")
        keys, places = keys[order], places[order]
        old_keys, old_places = self._sorted
        at = np.searchsorted(old_keys, keys)
        self._sorted = np.insert(old_keys, at, keys), np.insert(old_places, at, places)


def narrowed(codes: Sequence[int] | npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The same numbers, none negative, in as few little-endian bytes each as hold the largest."""
    array = np.asarray(codes)
    largest = int(array.max()) if len(array) else 0
    return array.astype("u1" if largest < 1 << 8 else "<u2" if largest < 1 << 16 else "<u4")


def widened(data: bytes, count: int) -> Codes:
    """The `count` numbers that `narrowed` gave as bytes. Raises ValueError if they are not so many."""
    width = len(data) // count if count else 1
    if width not in (1, 2, 4) or width * count != len(data):
        raise ValueError(f"{len(data)} bytes are no {count} codes")
    return np.frombuffer(data, f"<u{width}").astype(np.int32)
