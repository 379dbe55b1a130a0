"""The series of one table: which there are, and what is known of each without reading a record.

The store keeps, per series, an ordinal (its place in the arrays here), the id it has in files, its first and
last time, and one code per dimension. Rows elsewhere carry only the ordinal, so a condition on dimensions is
answered once per series and not once per row. Memory grows with series, never with records.

Only the commit thread registers and updates; any thread may read the entries of published rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headwater.model.scan import DimensionIn
from headwater.model.series import Series
from headwater.model.time import TIME_MAX_NS, TIME_MIN_NS

Ordinals = npt.NDArray[np.int32]

DATA_TYPES = ("multi", "double", "bigint", "varchar", "boolean")
"""The kinds of measure a record may hold, by bit of `SeriesIndex.type_bits`. Source: sql.md 4.5."""


class Growable:
    """A numpy array that grows at its end. Views handed out stay valid when it grows."""

    def __init__(self, dtype: npt.DTypeLike, fill: int) -> None:
        self._data: npt.NDArray[Any] = np.full(64, fill, dtype)
        self._fill = fill
        self.count = 0

    @property
    def view(self) -> npt.NDArray[Any]:
        return self._data[: self.count]

    def append(self, value: int) -> None:
        self.extend_to(self.count + 1)
        self._data[self.count - 1] = value

    def extend_to(self, count: int) -> None:
        """Grow to `count` entries; new ones hold the fill value."""
        if count > len(self._data):
            grown = np.full(max(count, 2 * len(self._data)), self._fill, self._data.dtype)
            grown[: self.count] = self._data[: self.count]
            self._data = grown
        self.count = count


class Coded:
    """One string per series as a code into a list of distinct values; code -1 is "none"."""

    def __init__(self) -> None:
        self.values: list[str] = []
        self.codes = Growable(np.int32, -1)
        self._code_of: dict[str, int] = {}
        self._dictionary = pa.array([], pa.string())

    def set(self, ordinal: int, value: str) -> None:
        code = self._code_of.get(value)
        if code is None:
            code = self._code_of[value] = len(self.values)
            self.values.append(value)
        self.codes.extend_to(max(self.codes.count, ordinal + 1))
        self.codes.view[ordinal] = code

    def codes_of(self, ordinals: Ordinals) -> npt.NDArray[np.int32]:
        """The code of each row's series; series registered after the last one with this dimension have none."""
        codes = self.codes.view
        if len(ordinals) and int(ordinals.max()) >= len(codes):
            padded = np.full(int(ordinals.max()) + 1, -1, np.int32)
            padded[: len(codes)] = codes
            codes = padded
        return codes[ordinals]

    def column(self, ordinals: Ordinals) -> pa.DictionaryArray:
        """One value per row, dictionary-encoded, null for "none"."""
        codes = self.codes_of(ordinals)
        # Two readers may get here at once while values are added: each goes on with a dictionary that has its codes.
        dictionary = self._dictionary
        if len(dictionary) < len(self.values):
            dictionary = self._dictionary = pa.array(self.values, pa.string())
        indices = pa.array(codes, mask=codes < 0) if len(codes) and codes.min() < 0 else pa.array(codes)
        return pa.DictionaryArray.from_arrays(indices, dictionary)

    def chosen(self, values: frozenset[str], count: int) -> npt.NDArray[np.bool_]:
        """For each of `count` series, whether it has one of `values`."""
        # Values may be added meanwhile; what is newer than this count belongs to no series asked for.
        known = len(self.values)
        wanted = np.zeros(known + 1, np.bool_)
        wanted[[code for value in values if (code := self._code_of.get(value, known)) < known]] = True
        chosen = np.zeros(count, np.bool_)
        codes = self.codes.view[:count]
        chosen[: len(codes)] = wanted[codes]
        return chosen


class SeriesIndex:
    """All series of one table by ordinal, in order of first appearance."""

    def __init__(self) -> None:
        self.series: list[Series] = []
        self.ids = Growable(np.int64, 0)
        self.first_time = Growable(np.int64, TIME_MAX_NS)
        self.last_time = Growable(np.int64, TIME_MIN_NS)
        self.type_bits = Growable(np.uint8, 0)
        self.measure_name = Coded()
        self.dimensions: dict[str, Coded] = {}
        self.measure_types: dict[str, dict[str, dict[str, None]]] = {}
        """measure name -> kind of measure (`multi`, `double`, ...) -> the dimensions seen with it, in order."""
        self._ordinal_of_id: dict[int, int] = {}
        self._displaced: dict[tuple[str, tuple[tuple[str, str], ...]], int] = {}
        """Ordinals of series whose file id is not their hash, by key."""

    def __len__(self) -> int:
        return len(self.series)

    def find(self, series: Series) -> int | None:
        """The ordinal of an equal series, or None."""
        ordinal = self._ordinal_of_id.get(series.id)
        if ordinal is not None:
            known = self.series[ordinal]
            if known is series or known.key == series.key:
                return ordinal
        return self._displaced.get(series.key) if self._displaced else None

    def register(self, series: Series, file_id: int | None = None) -> int:
        """Add a series that `find` does not know; `file_id` is the one it has in files, if it is in any.

        Two series whose hashes are equal get different file ids: the later one the next free number.
        """
        if file_id is None:
            file_id = series.id
            while file_id in self._ordinal_of_id:
                file_id = _next_id(file_id)
        ordinal = len(self.series)
        self.measure_name.set(ordinal, series.measure_name)
        for name, value in series.dimensions:
            coded = self.dimensions.get(name)
            if coded is None:
                coded = self.dimensions[name] = Coded()
            coded.set(ordinal, value)
        self.ids.append(file_id)
        self.first_time.append(TIME_MAX_NS)
        self.last_time.append(TIME_MIN_NS)
        self.type_bits.append(0)
        self.series.append(series)
        self._ordinal_of_id[file_id] = ordinal
        if file_id != series.id:
            self._displaced[series.key] = ordinal
        return ordinal

    def dimension(self, name: str) -> Coded:
        """The values of one dimension; one that no series has is a column without values."""
        return self.dimensions.get(name) or Coded()

    def lacking(self, ordinals: Ordinals, data_type: str) -> npt.NDArray[np.intp]:
        """The rows whose series is not known to have records of this kind of measure."""
        bit = 1 << DATA_TYPES.index(data_type)
        return np.flatnonzero(self.type_bits.view[ordinals] & bit == 0)

    def note_measure(self, ordinal: int, data_type: str) -> None:
        """Remember that a series has records of this kind of measure. Source: sql.md 4.5."""
        self.type_bits.view[ordinal] |= 1 << DATA_TYPES.index(data_type)
        series = self.series[ordinal]
        dimensions = self.measure_types.setdefault(series.measure_name, {}).setdefault(data_type, {})
        for name, _ in series.sent:
            dimensions.setdefault(name)

    def data_types(self, ordinal: int) -> tuple[str, ...]:
        """The kinds of measure a series has records of."""
        bits = int(self.type_bits.view[ordinal])
        return tuple(name for place, name in enumerate(DATA_TYPES) if bits >> place & 1)

    def widen(self, ordinals: Ordinals, time_ns: npt.NDArray[np.int64]) -> None:
        """Let the first and last time of each series cover these records."""
        np.minimum.at(self.first_time.view, ordinals, time_ns)
        np.maximum.at(self.last_time.view, ordinals, time_ns)

    def select(self, conditions: Sequence[DimensionIn]) -> npt.NDArray[np.bool_] | None:
        """Which series meet all conditions, as a mask over ordinals; None when there is no condition."""
        if not conditions:
            return None
        count = len(self.series)
        chosen = np.ones(count, np.bool_)
        for condition in conditions:
            coded = self.measure_name if condition.name == "measure_name" else self.dimensions.get(condition.name)
            chosen &= coded.chosen(condition.values, count) if coded else np.zeros(count, np.bool_)
        return chosen

    def measures(self) -> list[tuple[str, str, tuple[str, ...]]]:
        """(measure name, kind of measure, names of its dimensions), sorted by name."""
        return [
            (name, data_type, tuple(dimensions))
            for name, types in sorted(self.measure_types.items())
            for data_type, dimensions in sorted(types.items())
        ]


def _next_id(file_id: int) -> int:
    return file_id + 1 if file_id < 2**63 - 1 else -(2**63)
