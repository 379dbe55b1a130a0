"""A scan for the newest record of each series gives it, whatever lies where; and little else."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.model.scan import DimensionIn, Scan, TimeRange
from headwater.model.time import NS_PER_DAY, NS_PER_HOUR
from support.block_rows import block_rows
from support.stores import NOW_NS, StoreFolder, records, series

HOSTS = ("a", "b", "c", "d")
STEP_NS = NS_PER_HOUR
STEPS = 60
"""Three days."""

steps = st.one_of(
    st.tuples(
        st.just("write"),
        st.lists(st.tuples(st.sampled_from(HOSTS), st.integers(0, STEPS), st.integers(1, 3)), min_size=1, max_size=12),
    ),
    st.sampled_from([("flush", None), ("compact", None), ("reopen", None)]),
)


def rows_of(scan: Scan) -> set[tuple[str, int, float]]:
    """Host, time and value of what an engine would see."""
    found: set[tuple[str, int, float]] = set()
    for table in scan.memory:
        found |= {(row["host"], row["time"], row["usage"]) for row in table.to_pylist()}
    for part in scan.blocks:
        rows = block_rows(part)
        rows = rows.set_column(rows.schema.get_field_index("time"), "time", rows["time"].cast(pa.int64()))
        for row in rows.to_pylist():
            is_hinted = part.series_ids is None or row["_series"] in part.series_ids
            if is_hinted and (part.from_ns is None or row["time"] >= part.from_ns):
                found.add((row["host"], row["time"], row["usage"]))
    scan.close()
    return found


@settings(max_examples=60, deadline=None)
@given(program=st.lists(steps, min_size=1, max_size=10), data=st.data())
def test_the_newest_record_in_a_range_is_always_there(
    tmp_path_factory: pytest.TempPathFactory, program: list[tuple[str, Any]], data: st.DataObject
) -> None:
    folder = StoreFolder(tmp_path_factory.mktemp("newest"))
    model: dict[tuple[str, int], tuple[int, float]] = {}
    value = 0.0
    for name, rows in program:
        if name == "write":
            batch = []
            for host, step, version in {(host, step): (host, step, version) for host, step, version in rows}.values():
                value += 1
                batch.append((series(host), NOW_NS - NS_PER_DAY + step * STEP_NS, version, value))
                if version > model.get((host, step), (0, 0.0))[0]:
                    model[host, step] = version, value
            folder.write(records(batch))
        elif name == "reopen":
            folder.reopen()
        else:
            getattr(folder.store, name)()
    first, last = sorted((data.draw(st.integers(-1, STEPS)), data.draw(st.sampled_from([5, 20, 40, STEPS, STEPS + 5]))))
    time = TimeRange(NOW_NS - NS_PER_DAY + first * STEP_NS, NOW_NS - NS_PER_DAY + last * STEP_NS)
    hosts = data.draw(st.one_of(st.none(), st.sets(st.sampled_from(HOSTS), min_size=1)))
    conditions = () if hosts is None else (DimensionIn("host", frozenset(hosts)),)
    most = data.draw(st.sampled_from([0, 20_000]))
    if folder.store.columns(folder.table).by_name:
        with patch("headwater.storage.tails.SERIES_MAX", most):
            found = rows_of(folder.scan(time=time, dimensions=conditions, newest=True))
        every = rows_of(folder.scan(time=time, dimensions=conditions))
        assert found <= every
        for host in hosts or HOSTS:
            steps_of = [step for of, step in model if of == host and first <= step <= last]
            if steps_of:
                newest = max(steps_of)
                assert (host, NOW_NS - NS_PER_DAY + newest * STEP_NS, model[host, newest][1]) in found
    folder.close()


@pytest.mark.parametrize("most", [0, 20_000])
def test_of_many_records_few_are_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """In memory one of each series; of blocks only those where a series ends, from there on or their very last rows."""
    monkeypatch.setattr("headwater.storage.tails.SERIES_MAX", most)
    folder = StoreFolder(tmp_path)
    for day in range(3):
        batch = [
            (series(host), NOW_NS + day * NS_PER_DAY + step * 10**9, 1, 1.0) for host in HOSTS for step in range(50)
        ]
        folder.write(records(batch))
        folder.store.flush()
    folder.write(records([(series("gone"), NOW_NS, 1, 1.0)]))
    folder.store.flush()
    scan = folder.scan(newest=True)
    ends = {("gone", NOW_NS)} | {(host, NOW_NS + 2 * NS_PER_DAY + 49 * 10**9) for host in HOSTS}
    if most:
        assert scan.blocks == ()
        assert {(row["host"], row["time"]) for table in scan.memory for row in table.to_pylist()} == ends
    else:
        assert {(part.from_ns, len(part.series_ids or ())) for part in scan.blocks} == {
            (NOW_NS, 1),
            (NOW_NS + 2 * NS_PER_DAY + 49 * 10**9, 4),
        }
    scan.close()
    folder.write(records([(series(host), NOW_NS + 3 * NS_PER_DAY + step, 1, 2.0) for host in HOSTS for step in (1, 2)]))
    scan = folder.scan(newest=True, dimensions=(DimensionIn("host", frozenset(HOSTS)),))
    assert scan.blocks == ()
    assert sum(table.num_rows for table in scan.memory) == len(HOSTS)
    scan.close()
    folder.close()


def test_a_record_that_was_never_published_is_no_series_last_one(tmp_path: Path) -> None:
    """The commit thread knows it from the moment it is staged; queries and the series file must not."""
    folder = StoreFolder(tmp_path)
    folder.write(records([(series("a"), NOW_NS, 1, 1.0)]))
    table = folder.store._tables.get(folder.table)
    table.stage([records([(series("a"), NOW_NS + 1, 1, 2.0)])])
    assert rows_of(folder.scan(newest=True)) == {("a", NOW_NS, 1.0)}
    folder.close()
