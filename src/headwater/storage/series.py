"""The series of one table: which there are, and what is known of each without reading a record.

The store keeps, per series, an ordinal (its place in the arrays here), the id it has in files, its first and
last time, and one code per dimension: about a hundred bytes and its own texts. Rows elsewhere carry only the ordinal,
so a condition on dimensions is answered once per series and not once per row. Memory grows with series, never with
records.

Only the commit thread registers and updates; any thread may read the entries of published rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headwater.model.record import Int64s
from headwater.model.scan import DimensionIn
from headwater.model.series import Series
from headwater.model.table import MEASURE_NAME
from headwater.model.time import TIME_MAX_NS, TIME_MIN_NS
from headwater.storage.arrays import Codes, Growable, Places
from headwater.storage.keys import SeriesKeys, TextColumn
from headwater.storage.texts import NONE, Coded

Ordinals = npt.NDArray[np.int32]

DATA_TYPES = ("multi", "double", "bigint", "varchar", "boolean")
"""The kinds of measure a record may hold, by bit of `SeriesIndex.type_bits`. Source: sql.md 4.5."""

_RECENT_MAX = 32_768
_ID_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class SeriesArrays:
    """The content of an index, for its file: arrays by ordinal, and what they point to. `displaced` are ordinals."""

    ids: Int64s
    first_time: Int64s
    last_time: Int64s
    type_bits: npt.NDArray[np.uint8]
    shape: Codes
    measure_name: Coded
    dimensions: dict[str, Coded]
    shapes: list[tuple[str, ...]]
    measure_types: dict[str, dict[str, list[str]]]
    displaced: list[int]


class SeriesIndex:
    """All series of one table by ordinal, in order of first appearance."""

    def __init__(self) -> None:
        self.ids = Growable(np.int64, 0)
        self.first_time = Growable(np.int64, TIME_MAX_NS)
        self.last_time = Growable(np.int64, TIME_MIN_NS)
        self.type_bits = Growable(np.uint8, 0)
        self.measure_name = Coded()
        self.dimensions: dict[str, Coded] = {}
        self.measure_types: dict[str, dict[str, dict[str, None]]] = {}
        """measure name -> kind of measure (`multi`, `double`, ...) -> the dimensions seen with it, in order."""
        self.shapes: list[tuple[str, ...]] = []
        """Names of dimensions in the order sent, each combination once."""
        self.shape = Growable(np.int32, 0)
        self._shape_code: dict[tuple[str, ...], int] = {}
        self._names_code: dict[tuple[str, ...], int] = {}
        self._names_of_shape: list[int] = []
        self._places = Places()
        self._displaced: dict[tuple[str, tuple[tuple[str, str], ...]], int] = {}
        """Ordinals of series whose file id is not their hash, by key."""
        self._recent: dict[Series, int] = {}
        """Ordinals of the objects that came lately: clients send the same series again and again."""

    @classmethod
    def of(cls, arrays: SeriesArrays) -> SeriesIndex:
        """The index that `arrays` was asked of, as far as it was asked."""
        index = cls()
        count = len(arrays.ids)
        index.first_time = Growable(np.int64, TIME_MAX_NS, arrays.first_time)
        index.last_time = Growable(np.int64, TIME_MIN_NS, arrays.last_time)
        index.type_bits = Growable(np.uint8, 0, arrays.type_bits)
        index.measure_name, index.dimensions = arrays.measure_name, arrays.dimensions
        index.measure_types = {
            name: {kind: dict.fromkeys(dimensions) for kind, dimensions in kinds.items()}
            for name, kinds in arrays.measure_types.items()
        }
        for shape in arrays.shapes:
            index._code_of_shape(shape)
        index.shape = Growable(np.int32, 0, arrays.shape)
        index._places.add(arrays.ids, np.arange(count, dtype=np.int32))
        index.ids = Growable(np.int64, 0, arrays.ids)
        displaced = np.array(arrays.displaced, np.int32)
        keys = index.keys(displaced)
        index._displaced = {keys.series(row).key: ordinal for row, ordinal in enumerate(arrays.displaced)}
        return index

    def arrays(self, count: int) -> SeriesArrays:
        """What is known of the first `count` series. Any thread; what is noted meanwhile may or may not be in it."""
        return SeriesArrays(
            ids=self.ids.view[:count],
            first_time=self.first_time.view[:count],
            last_time=self.last_time.view[:count],
            type_bits=self.type_bits.view[:count],
            shape=self.shape.view[:count],
            measure_name=self.measure_name,
            dimensions=dict(self.dimensions),
            shapes=list(self.shapes),
            measure_types={
                name: {kind: list(dimensions) for kind, dimensions in list(kinds.items())}
                for name, kinds in list(self.measure_types.items())
            },
            displaced=[ordinal for ordinal in list(self._displaced.values()) if ordinal < count],
        )

    def __len__(self) -> int:
        # The last array to grow: what is counted is there in all others.
        return self.ids.count

    @property
    def bytes(self) -> int:
        """What the index holds in memory, about."""
        arrays = (self.ids, self.first_time, self.last_time, self.type_bits, self.shape)
        coded = (self.measure_name, *self.dimensions.values())
        return sum(array.bytes for array in arrays) + sum(one.bytes for one in coded) + self._places.bytes

    def find(self, series: Sequence[Series]) -> Ordinals:
        """The ordinal of each series, -1 for one that is not here."""
        recent = self._recent
        ordinals = np.array([recent.get(one, -1) for one in series], np.int32)
        missing = np.flatnonzero(ordinals < 0)
        if len(missing):
            asked = [series[place] for place in missing.tolist()]
            found = self.find_keys(SeriesKeys.of(asked))
            ordinals[missing] = found
            self._remember(asked, found)
        return ordinals

    def find_keys(self, keys: SeriesKeys) -> Ordinals:
        """The same for packed keys."""
        found = self._places.find(keys.hashes)
        hits = np.flatnonzero(found >= 0)
        if len(hits):
            same = self._have(found[hits], keys.take(hits))
            found[hits[~same]] = -1
        if self._displaced:
            for row in np.flatnonzero(found < 0).tolist():
                found[row] = self._displaced.get(keys.series(row).key, -1)
        return found

    def register(self, series: Sequence[Series]) -> Ordinals:
        """Add series that `find` does not know, all different; their ordinals."""
        ordinals = self.register_keys(SeriesKeys.of(series))
        self._remember(series, ordinals)
        return ordinals

    def register_keys(self, keys: SeriesKeys, file_ids: Int64s | None = None) -> Ordinals:
        """Add series that `find_keys` does not know, all different; their ordinals, in order.

        `file_ids` are the ids they have in files, if they are in any. Two series whose hashes are equal get different
        file ids: the later one the next free number.
        """
        ordinals = np.arange(len(self), len(self) + len(keys), dtype=np.int32)
        if file_ids is None:
            file_ids = self._free_ids(keys.hashes)
        for row in np.flatnonzero(file_ids != keys.hashes).tolist():
            self._displaced[keys.series(row).key] = int(ordinals[row])
        self.measure_name.put(ordinals, _translated(self.measure_name, keys.measure))
        for name, column in keys.dimensions.items():
            coded = self.dimensions.get(name)
            if coded is None:
                coded = self.dimensions[name] = Coded()
            rows = np.flatnonzero(column.codes != NONE)
            coded.put(ordinals[rows], _translated(coded, column.take(rows)))
        self.shape.extend(np.array([self._code_of_shape(shape) for shape in keys.shapes], np.int32)[keys.shape])
        for array in (self.first_time, self.last_time, self.type_bits):
            array.extend_to(len(self) + len(keys))
        self._places.add(file_ids, ordinals)
        self.ids.extend(file_ids)
        return ordinals

    def know(self, keys: SeriesKeys, file_ids: Int64s) -> Ordinals:
        """The ordinals of these series, which have these ids in files; those that are not here yet are registered."""
        ordinals = self.find_keys(keys)
        unknown = np.flatnonzero(ordinals < 0)
        if len(unknown):
            ordinals[unknown] = self.register_keys(keys.take(unknown), file_ids[unknown])
        return ordinals

    def keys(self, ordinals: Ordinals) -> SeriesKeys:
        """The keys of these series, in their order."""
        hashes = self.ids.view[ordinals]
        shapes, shape = np.unique(self.shape.view[ordinals], return_inverse=True)
        names = [self.shapes[code] for code in shapes.tolist()]
        keys = SeriesKeys(
            hashes=hashes,
            measure=_used(self.measure_name, ordinals),
            shapes=names,
            shape=shape.astype(np.int32),
            dimensions={name: _used(self.dimensions[name], ordinals) for name in dict.fromkeys(sum(names, ()))},
        )
        if self._displaced:
            for row in np.flatnonzero(np.isin(ordinals, list(self._displaced.values()))).tolist():
                hashes[row] = keys.series(row).id
        return keys

    def dimension(self, name: str) -> Coded:
        """The values of one dimension; one that no series has is a column without values."""
        return self.dimensions.get(name) or Coded()

    def coded(self, name: str) -> Coded:
        """The values of a dimension or of `measure_name`."""
        return self.measure_name if name == MEASURE_NAME.name else self.dimension(name)

    def note_types(self, ordinals: Ordinals, data_type: str) -> None:
        """Remember that these series have records of this kind of measure. Source: sql.md 4.5."""
        lacking = ordinals[self.lacking(ordinals, data_type)]
        if not len(lacking):
            return
        self.type_bits.view[lacking] |= 1 << DATA_TYPES.index(data_type)
        pairs = dict.fromkeys(
            zip(self.measure_name.codes_of(lacking).tolist(), self.shape.view[lacking].tolist(), strict=True)
        )
        for measure, shape in pairs:
            (name,) = self.measure_name.texts.take(np.array([measure], np.int32))
            dimensions = self.measure_types.setdefault(name, {}).setdefault(data_type, {})
            dimensions.update(dict.fromkeys(self.shapes[shape]))

    def data_types(self, ordinal: int) -> tuple[str, ...]:
        """The kinds of measure a series has records of."""
        bits = int(self.type_bits.view[ordinal])
        return tuple(name for place, name in enumerate(DATA_TYPES) if bits >> place & 1)

    def lacking(self, ordinals: Ordinals, data_type: str) -> npt.NDArray[np.intp]:
        """The rows whose series is not known to have records of this kind of measure."""
        bit = 1 << DATA_TYPES.index(data_type)
        return np.flatnonzero(self.type_bits.view[ordinals] & bit == 0)

    def widen(self, ordinals: Ordinals, time_ns: Int64s) -> None:
        """Let the first and last time of each series cover these records."""
        np.minimum.at(self.first_time.view, ordinals, time_ns)
        np.maximum.at(self.last_time.view, ordinals, time_ns)

    def of_ids(self, file_ids: Int64s) -> Ordinals:
        """The series that have these ids in files; all are known."""
        return self._places.find(file_ids)

    def select(self, conditions: Sequence[DimensionIn]) -> npt.NDArray[np.bool_] | None:
        """Which series meet all conditions, as a mask over ordinals; None when there is no condition."""
        if not conditions:
            return None
        count = len(self)
        chosen = np.ones(count, np.bool_)
        for condition in conditions:
            chosen &= self.coded(condition.name).chosen(condition, count)
        return chosen

    def measures(self) -> list[tuple[str, str, tuple[str, ...]]]:
        """(measure name, kind of measure, names of its dimensions), sorted by name."""
        return [
            (name, data_type, tuple(dimensions))
            for name, types in sorted(self.measure_types.items())
            for data_type, dimensions in sorted(types.items())
        ]

    def _remember(self, series: Sequence[Series], ordinals: Ordinals) -> None:
        if len(self._recent) + len(series) > _RECENT_MAX:
            self._recent.clear()
        self._recent.update((one, place) for one, place in zip(series, ordinals.tolist(), strict=True) if place >= 0)

    def _have(self, ordinals: Ordinals, keys: SeriesKeys) -> npt.NDArray[np.bool_]:
        """Whether each of these series has the key beside it."""
        names = np.array([self._names_code.get(tuple(sorted(shape)), -1) for shape in keys.shapes], np.int32)
        known_names = np.array(self._names_of_shape, np.int32)[self.shape.view[ordinals]]
        same: npt.NDArray[np.bool_] = names[keys.shape] == known_names
        same &= _known(self.measure_name, keys.measure) == self.measure_name.codes_of(ordinals)
        for name, column in keys.dimensions.items():
            coded = self.dimensions.get(name)
            if coded is None:
                same &= column.codes == NONE
            else:
                same &= _known(coded, column) == coded.codes_of(ordinals)
        return same

    def _code_of_shape(self, shape: tuple[str, ...]) -> int:
        code = self._shape_code.get(shape)
        if code is None:
            names = tuple(sorted(shape))
            self._names_of_shape.append(self._names_code.setdefault(names, len(self._names_code)))
            self.shapes.append(shape)
            code = self._shape_code[shape] = len(self.shapes) - 1
        return code

    def _free_ids(self, hashes: Int64s) -> Int64s:
        """The hashes themselves, but for those that a series has already."""
        is_taken = self._places.find(hashes) >= 0
        if not is_taken.any() and len(np.unique(hashes)) == len(hashes):
            return hashes
        ids, given = hashes.copy(), set()
        for row, file_id in enumerate(hashes.tolist()):
            while file_id in given or self._places.find(np.array([file_id]))[0] >= 0:
                file_id = file_id + 1 if file_id < _ID_MAX else -_ID_MAX - 1
            given.add(file_id)
            ids[row] = file_id
        return ids


def _translated(coded: Coded, column: TextColumn) -> Codes:
    """The codes of a column's rows here; texts are added. All rows have one."""
    used, rows = np.unique(column.codes, return_inverse=True)
    codes: Codes = coded.texts.add([column.texts[code] for code in used.tolist()])[rows]
    return codes


def _known(coded: Coded, column: TextColumn) -> Codes:
    """The codes of a column's rows here; NONE for none, and another negative number for a text that is not here."""
    found = coded.texts.find(column.texts)
    table = np.append(np.where(found == NONE, np.int32(NONE - 1), found), np.int32(NONE))
    codes: Codes = table[column.codes]
    return codes


def _used(coded: Coded, ordinals: Ordinals) -> TextColumn:
    """The texts that these series have."""
    used, codes = np.unique(coded.codes_of(ordinals), return_inverse=True)
    nones = int(len(used) > 0 and used[0] == NONE)
    return TextColumn(coded.texts.take(used[nones:]), (codes - nones).astype(np.int32))
