"""Whether a table can take records at all: new columns, new series, and what must not collide.

Called by the commit thread before the version check. It registers what it admits; what it refuses it names.
Source: write-api.md 2, 6.7, 8; errors.md 1.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from headwater.model.limits import Limits
from headwater.model.record import (
    Conflict,
    ConflictKind,
    Layout,
    LimitConflict,
    NameConflict,
    RecordColumns,
    TypeConflict,
)
from headwater.model.series import Series
from headwater.model.table import ColumnKind, Columns
from headwater.storage.admitted import Admitted
from headwater.storage.keys import SeriesKeys
from headwater.storage.series import Ordinals, SeriesIndex

_KNOWN_LAYOUTS = 1_000
"""Clients may send ever new layouts of the same attributes; those seen lately are enough."""


class Admission:
    """Grows the columns and series of one table. `columns` is ahead of the published ones until the next publish."""

    def __init__(self, columns: Columns, series: SeriesIndex, limits: Limits) -> None:
        self.columns = columns
        self._series = series
        self._limits = limits
        self._known_layouts: set[Layout] = set()

    def admit(self, batches: Sequence[RecordColumns], conflicts: list[Conflict]) -> list[Admitted]:
        """The records of one request that the table can take; the others go to `conflicts`.

        Where records bring something new, each is judged by what those before it in the request have brought.
        """
        if len(batches) > 1 and not all(self._is_known(records) for records in batches):
            batches = list(_runs(batches))
        admitted = [self._admit(records, conflicts) for records in batches]
        return [rows for rows in admitted if len(rows)]

    def admit_keys(self, layout: Layout, keys: SeriesKeys) -> Ordinals | ConflictKind:
        """The ordinals of series that have been admitted with this layout before, in an earlier life of the table."""
        conflict = self._admit_layout(layout)
        if conflict:
            return conflict
        ordinals = self._series.find_keys(keys)
        unknown = np.flatnonzero(ordinals < 0)
        if len(unknown):
            for name in dict.fromkeys(name for shape in keys.shapes for name in shape):
                if name not in self.columns.by_name:
                    self.columns = self.columns.with_dimension(name)
            ordinals[unknown] = self._series.register_keys(keys.take(unknown))
        self._series.note_types(ordinals, layout.measure_data_type)
        return ordinals

    def _is_known(self, records: RecordColumns) -> bool:
        """Whether a batch brings nothing new."""
        if records.layout not in self._known_layouts:
            return False
        ordinals = self._series.find(records.series)
        return bool((ordinals >= 0).all()) and not len(self._series.lacking(ordinals, records.layout.measure_data_type))

    def _admit(self, records: RecordColumns, conflicts: list[Conflict]) -> Admitted:
        layout, columns = records.layout, self.columns
        conflict = self._admit_layout(layout)
        if conflict:
            conflicts.extend(Conflict(int(index), conflict) for index in records.index)
            return _rows(records, np.full(len(records), -1, np.int32))
        ordinals = self._series.find(records.series)
        refused: dict[int, ConflictKind] = {}
        if (ordinals < 0).any():
            self._add_series(records, ordinals, refused)
        self._note_types(layout.measure_data_type, ordinals, refused)
        conflicts.extend(Conflict(int(records.index[row]), kind) for row, kind in sorted(refused.items()))
        if refused and (ordinals < 0).all():
            # Nothing was registered: the columns that came with the layout are nobody's.
            self.columns = columns
            self._known_layouts.discard(layout)
        return _rows(records, ordinals)

    def _admit_layout(self, layout: Layout) -> ConflictKind | None:
        """Add the value columns of a layout that is new here, all or none."""
        if layout in self._known_layouts:
            return None
        conflict = self._add_columns(layout)
        if conflict is None:
            if len(self._known_layouts) >= _KNOWN_LAYOUTS:
                self._known_layouts.clear()
            self._known_layouts.add(layout)
        return conflict

    def _add_columns(self, layout: Layout) -> ConflictKind | None:
        columns = self.columns
        for name, measure_type in layout.columns:
            known = columns.by_name.get(name)
            if known is None:
                columns = columns.with_measure(name, layout.kind, measure_type)
            elif known.kind is ColumnKind.DIMENSION:
                return NameConflict(name, "dimension")
            elif known.type is not measure_type.scalar:
                return TypeConflict(name, known.type.value)
        attributes = sum(column.kind is ColumnKind.MULTI for column in columns.measures)
        if attributes > self._limits.attributes_per_table:
            return LimitConflict("attributes", self._limits.attributes_per_table)
        self.columns = columns
        return None

    def _add_series(self, records: RecordColumns, ordinals: Ordinals, refused: dict[int, ConflictKind]) -> None:
        """Register the series that are new here and put their ordinals in place; say why one cannot be."""
        new: dict[tuple[str, tuple[tuple[str, str], ...]], Series] = {}
        verdicts: dict[tuple[str, tuple[str, ...]], ConflictKind | None] = {}
        unknown = np.flatnonzero(ordinals < 0).tolist()
        for row in unknown:
            series = records.series[row]
            names = tuple([name for name, _ in series.sent])
            kind = series.measure_name, names
            if kind not in verdicts:
                verdicts[kind] = self._add_dimensions(series.measure_name, names, records.layout.measure_data_type)
            conflict = verdicts[kind]
            if conflict:
                refused[row] = conflict
            else:
                new.setdefault(series.key, series)
        if new:
            places = dict(zip(new, self._series.register(list(new.values())).tolist(), strict=True))
            for row in unknown:
                if row not in refused:
                    ordinals[row] = places[records.series[row].key]

    def _add_dimensions(self, measure_name: str, names: tuple[str, ...], data_type: str) -> ConflictKind | None:
        """Add the dimension columns of series that are new here, or say why such cannot be added."""
        new = []
        for name in names:
            known = self.columns.by_name.get(name)
            if known is None:
                new.append(name)
            elif known.kind is not ColumnKind.DIMENSION:
                return NameConflict(name, "measure")
        if len(self.columns.dimensions) + len(new) > self._limits.dimensions_per_table:
            return LimitConflict("dimensions", self._limits.dimensions_per_table)
        measures = self._series.measure_types
        if measure_name not in measures and len(measures) >= self._limits.measure_names_per_table:
            return LimitConflict("measure names", self._limits.measure_names_per_table)
        conflict = self._type_conflict(measure_name, data_type)
        if conflict is None:
            # Noted at once: the next series is judged by it.
            measures.setdefault(measure_name, {})
            for name in new:
                self.columns = self.columns.with_dimension(name)
        return conflict

    def _type_conflict(self, measure_name: str, data_type: str) -> TypeConflict | None:
        """A measure name of single-measure records belongs to one type."""
        others = self._series.measure_types.get(measure_name, {}).keys() - {data_type, "multi"}
        return TypeConflict(measure_name, min(others)) if others and data_type != "multi" else None

    def _note_types(self, data_type: str, ordinals: Ordinals, refused: dict[int, ConflictKind]) -> None:
        """Remember what is new about these series; refuse the rows whose measure name is of another type."""
        known = np.flatnonzero(ordinals >= 0)
        lacking = known[self._series.lacking(ordinals[known], data_type)]
        if not len(lacking):
            return
        verdicts: dict[int, TypeConflict | None] = {}
        codes = self._series.measure_name.codes_of(ordinals[lacking])
        for row, code in zip(lacking.tolist(), codes.tolist(), strict=True):
            if code not in verdicts:
                (name,) = self._series.measure_name.texts.take(np.array([code], np.int32))
                verdicts[code] = self._type_conflict(name, data_type)
            conflict = verdicts[code]
            if conflict:
                refused[row] = conflict
                ordinals[row] = -1
        self._series.note_types(ordinals[lacking[ordinals[lacking] >= 0]], data_type)


def _rows(records: RecordColumns, ordinals: Ordinals) -> Admitted:
    """The records whose ordinal is not -1."""
    rows = Admitted(records.layout, records.index, ordinals, records.time_ns, records.version, records.values)
    admitted = ordinals >= 0
    return rows if admitted.all() else rows.take(np.flatnonzero(admitted))


def _runs(batches: Sequence[RecordColumns]) -> Iterator[RecordColumns]:
    """The records in the order of the request, those together that follow each other in one batch."""
    index = np.concatenate([records.index for records in batches])
    batch_of = np.repeat(np.arange(len(batches)), [len(records) for records in batches])
    row_of = np.concatenate([np.arange(len(records)) for records in batches])
    order = np.argsort(index, kind="stable")
    starts = np.flatnonzero(np.diff(batch_of[order], prepend=-1)).tolist()
    for start, end in zip(starts, [*starts[1:], len(order)], strict=True):
        run = order[start:end]
        yield batches[batch_of[run[0]]].take(row_of[run])
