"""Columns, their physical names, and the windows of time that a table accepts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.model.table import ColumnKind, Columns, MeasureType, Retention, time_windows
from headwater.model.time import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE, instant_text, parse_instant

NAMES = st.text(alphabet="aAbBß_2", min_size=1, max_size=4)


def test_columns_come_dimensions_first_each_group_as_it_appeared():
    columns = Columns().with_dimension("host").with_measure("cpu", ColumnKind.MULTI, MeasureType.DOUBLE)
    columns = columns.with_dimension("az").with_measure("at", ColumnKind.MULTI, MeasureType.TIMESTAMP)
    assert [column.name for column in columns.all()] == ["host", "az", "measure_name", "time", "cpu", "at"]


@given(st.lists(NAMES, unique=True))
def test_physical_names_differ_in_more_than_case(names: list[str]):
    columns = Columns()
    for name in names:
        columns = columns.with_dimension(name)
    assert len({column.physical.casefold() for column in columns.all()}) == len(names) + 2
    assert [column.name for column in columns.dimensions] == names


@pytest.mark.parametrize("name", ["_version", "_SERIES", "Time", "file_row_number"])
def test_names_that_files_and_engines_use_get_another_physical_name(name: str):
    (column,) = Columns().with_dimension(name).dimensions
    assert (column.name, column.physical) == (name, f"{name}_2")


def test_the_windows_are_those_that_were_observed():
    now_ns = parse_instant("2023-11-28T18:37:10.452Z")
    memory = time_windows(Retention(12, 5), False, now_ns)
    assert instant_text(memory.start_ns) == "2023-11-28T06:12:10.452Z"
    assert instant_text(memory.end_ns) == "2023-11-28T18:52:10.452Z"
    both = time_windows(Retention(12, 5), True, now_ns)
    assert both.end_ns - both.start_ns == 5 * NS_PER_DAY + 12 * NS_PER_HOUR + 40 * NS_PER_MINUTE
    assert both.memory_start_ns == memory.start_ns
