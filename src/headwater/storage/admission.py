"""Whether a table can take records at all: new columns, new series, and what must not collide.

Called by the commit thread before the version check. It registers what it admits; what it refuses it names.
Source: write-api.md 2, 6.7, 8; errors.md 1.1.
"""

from __future__ import annotations

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

    def admit(self, records: RecordColumns, conflicts: list[Conflict]) -> tuple[RecordColumns, Ordinals]:
        """The records that the table can take, with the ordinals of their series; the others go to `conflicts`."""
        layout, columns = records.layout, self.columns
        if layout not in self._known_layouts:
            conflict = self._add_columns(layout)
            if conflict:
                conflicts.extend(Conflict(int(index), conflict) for index in records.index)
                return records.take(np.zeros(0, np.intp)), np.zeros(0, np.int32)
            if len(self._known_layouts) >= _KNOWN_LAYOUTS:
                self._known_layouts.clear()
            self._known_layouts.add(layout)
        refused: dict[int, ConflictKind] = {}
        ordinals = np.empty(len(records), np.int32)
        find = self._series.find
        for row, series in enumerate(records.series):
            ordinal = find(series)
            if ordinal is None:
                conflict = self._refusal(series, layout.measure_data_type)
                if conflict:
                    refused[row], ordinal = conflict, -1
                else:
                    ordinal = self._register(series)
            ordinals[row] = ordinal
        self._note_types(layout.measure_data_type, ordinals, refused)
        if not refused:
            return records, ordinals
        conflicts.extend(Conflict(int(records.index[row]), kind) for row, kind in sorted(refused.items()))
        rows = np.array([row for row in range(len(records)) if row not in refused], np.intp)
        if not len(rows):
            # Nothing was registered: the columns that came with the layout are nobody's.
            self.columns = columns
            self._known_layouts.discard(layout)
        return records.take(rows), ordinals[rows]

    def _add_columns(self, layout: Layout) -> ConflictKind | None:
        """Add the value columns of a layout that is new here, all or none."""
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

    def _refusal(self, series: Series, data_type: str) -> ConflictKind | None:
        """Why a series that is new here cannot be added, or None."""
        new = 0
        for name, _ in series.dimensions:
            known = self.columns.by_name.get(name)
            if known is None:
                new += 1
            elif known.kind is not ColumnKind.DIMENSION:
                return NameConflict(name, "measure")
        if len(self.columns.dimensions) + new > self._limits.dimensions_per_table:
            return LimitConflict("dimensions", self._limits.dimensions_per_table)
        names = self._series.measure_types
        if series.measure_name not in names and len(names) >= self._limits.measure_names_per_table:
            return LimitConflict("measure names", self._limits.measure_names_per_table)
        return self._type_conflict(series.measure_name, data_type)

    def _type_conflict(self, measure_name: str, data_type: str) -> TypeConflict | None:
        """A measure name of single-measure records belongs to one type."""
        others = self._series.measure_types.get(measure_name, {}).keys() - {data_type, "multi"}
        return TypeConflict(measure_name, min(others)) if others and data_type != "multi" else None

    def _register(self, series: Series) -> int:
        for name, _ in series.sent:
            if name not in self.columns.by_name:
                self.columns = self.columns.with_dimension(name)
        return self._series.register(series)

    def _note_types(self, data_type: str, ordinals: Ordinals, refused: dict[int, ConflictKind]) -> None:
        """Remember what is new about these series; refuse the rows whose measure name is of another type."""
        for row in self._series.lacking(np.maximum(ordinals, 0), data_type) if len(self._series) else ():
            ordinal = int(ordinals[row])
            if ordinal < 0:
                continue
            conflict = self._type_conflict(self._series.series[ordinal].measure_name, data_type)
            if conflict:
                refused[int(row)] = conflict
            else:
                self._series.note_measure(ordinal, data_type)
