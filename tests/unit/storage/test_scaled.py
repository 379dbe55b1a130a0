"""Doubles as integers in blocks: bit for bit the same again, wherever they are read; and when they are left alone."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.engine.engine import Engine
from headwater.files import SourceFile
from headwater.storage.scaled import doubles_of, scaled, unscaled
from support.block_rows import values_of
from support.stores import NOW_NS, StoreFolder, records, series

decimal_texts = st.builds(
    lambda number, decimals: f"{number / 10**decimals:.{decimals}f}", st.integers(-(10**9), 10**9), st.integers(0, 9)
)


def bits(values: list[float | None]) -> list[bytes | None]:
    return [None if value is None else struct.pack("<d", value) for value in values]


@given(texts=st.lists(st.none() | decimal_texts, min_size=1))
def test_decimal_numbers_come_back_bit_for_bit(texts: list[str | None]) -> None:
    values = [None if text is None else float(text) for text in texts]
    rows = pa.table({"v": pa.array(values, pa.float64())})
    for decimals in doubles_of(rows).scales.values():
        kept = scaled(rows, {"v": decimals})["v"]
        assert kept.type == pa.int64()
        assert bits(unscaled(kept, decimals).to_pylist()) == bits(values)


@given(values=st.lists(st.floats(width=64), min_size=1))
def test_other_doubles_do_too_or_are_left_alone(values: list[float]) -> None:
    rows = pa.table({"v": pa.array(values, pa.float64())})
    for decimals in doubles_of(rows).scales.values():
        assert bits(unscaled(scaled(rows, {"v": decimals})["v"], decimals).to_pylist()) == bits(values)


@pytest.mark.parametrize(
    "values", [[0.1, -0.0], [0.1, float("nan")], [float("inf")], [2.0**53], [1e300], [5e-324], [0.1234567891], [1 / 3]]
)
def test_what_no_small_integer_stands_for_is_left_alone(values: list[float]) -> None:
    assert doubles_of(pa.table({"v": pa.array(values)})).scales == {}


@pytest.mark.parametrize(
    ("values", "decimals"), [([1.0, 2.0], 0), ([0.5, 20.0], 1), ([2.0**53 - 1], 0), ([99.99, 0.0], 2), ([1e-9], 9)]
)
def test_the_least_number_of_decimals_is_found(values: list[float], decimals: int) -> None:
    assert doubles_of(pa.table({"v": pa.array(values)})).scales == {"v": decimals}


def test_a_few_values_that_jump_are_smaller_in_a_dictionary() -> None:
    chosen = np.random.default_rng(1).integers(0, 2, 10_000)
    columns = {"v": np.array([0.01, 80_000.0])[chosen], "w": np.arange(10_000.0), "x": np.sqrt(np.arange(10_000))}
    assert doubles_of(pa.table(columns)) == ({"w": 0}, {"x"})


def test_a_value_with_more_decimals_is_never_rounded() -> None:
    with pytest.raises(ValueError, match="more than 2 decimals"):
        scaled(pa.table({"v": [0.125]}), {"v": 2})


@pytest.fixture
def folder(tmp_path: Path) -> StoreFolder:
    return StoreFolder(tmp_path)


def scales(folder: StoreFolder) -> list[dict[str, int]]:
    scan = folder.scan()
    found = [dict(part.scales) for part in scan.blocks]
    for part in scan.blocks:
        own = pq.ParquetFile(SourceFile(part.open())).schema_arrow
        assert all(own.field(name).type == pa.int64() for name in part.scales)
    scan.close()
    return found


def sums(folder: StoreFolder) -> list[float]:
    """All values as the engine reads them."""
    engine = Engine(threads=1, memory_bytes=64 << 20)
    scan = folder.scan()
    try:
        found = engine.run('SELECT "usage" AS v FROM t ORDER BY 1', {"t": scan}, timeout_s=10)
        return [row["v"] for row in found.to_pylist()]
    finally:
        scan.close()
        engine.close()


@pytest.mark.parametrize(
    ("first", "second", "merged"),
    [
        ([0.5, 1.25], [3.0, 7.0], {"usage": 2}),
        ([0.5, 1.25], [1 / 3, 7.0], {}),
        ([1 / 7, 1 / 9], [1 / 3, 2 / 3], {}),
        ([0.5], [2.0**50 + 1], {}),
        ([0.123456789], [2.0**40], {}),
        ([-0.5, 12.5], [0.1], {"usage": 1}),
    ],
)
def test_blocks_of_other_scales_are_merged_exactly(
    folder: StoreFolder, first: list[float], second: list[float], merged: dict[str, int]
) -> None:
    for place, values in enumerate((first, second)):
        batch = [(series("a"), NOW_NS + 100 * place + step, 1, value) for step, value in enumerate(values)]
        folder.write(records(batch))
        folder.store.flush()
    before = sums(folder)
    assert bits(before) == bits(sorted([*first, *second]))
    folder.store.compact()
    assert scales(folder) == [merged]
    assert bits(sums(folder)) == bits(before)
    folder.reopen()
    assert scales(folder) == [merged]
    assert bits(sums(folder)) == bits(before)
    assert sorted(row[3] for row in values_of(folder.store, folder.table, ["usage"])) == before
    folder.close()


def test_a_late_record_is_compared_with_the_value_that_was_scaled(folder: StoreFolder) -> None:
    folder.write(records([(series("a"), NOW_NS, 1, 0.07), (series("a"), NOW_NS + 1, 1, 1.5)]))
    folder.store.flush()
    assert scales(folder) == [{"usage": 2}]
    assert folder.write(records([(series("a"), NOW_NS, 1, 0.07)])) == []
    assert len(folder.write(records([(series("a"), NOW_NS, 1, 0.08)]))) == 1
    folder.close()
