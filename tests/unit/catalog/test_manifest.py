"""The manifest: what is committed is found again, whole, in this process and the next."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.catalog.catalog import CATALOG_FILE, Catalog
from headwater.catalog.tables import decode_positions, encode_positions
from headwater.errors import Corrupt, NotFound, Unavailable
from headwater.files import LocalFiles
from headwater.model.block import Block, Manifest, ManifestChange, TableManifest
from headwater.model.limits import Limits
from headwater.model.table import ColumnKind, Columns, MeasureType, TableId
from headwater.model.time import FixedClock
from support.keys import PROVIDER

RANDOMNESS = random.Random(13)

ONE = Columns().with_dimension("host").with_measure("cpu", ColumnKind.MULTI, MeasureType.DOUBLE)
TWO = ONE.with_dimension("Host").with_measure("CPU", ColumnKind.MULTI, MeasureType.BIGINT)


def open_catalog(directory: Path) -> Catalog:
    clock = FixedClock(1_700_000_000_000_000_000)
    return Catalog.open(LocalFiles(), directory, PROVIDER, "1" * 12, "us-east-1", clock, RANDOMNESS.randbytes, Limits())


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    opened = open_catalog(tmp_path)
    opened.create_database("metrics", None)
    yield opened
    opened.close()


@pytest.fixture
def table(catalog: Catalog) -> TableId:
    return catalog.create_table("metrics", "cpu", None, None, None).id


def block(table: TableId, id: str) -> Block:
    return Block(id, table, 19_675, 1_000, 4_096, -5, 2**62, "ab" * 32, ("time", "cpu", "Host_2"))


def reloaded(catalog: Catalog, directory: Path, table: TableId) -> TableManifest:
    """What the next process sees."""
    catalog.close()
    again = open_catalog(directory)
    found = again.manifest.load(table)
    again.close()
    return found


def test_it_is_the_manifest_of_the_model(catalog: Catalog, table: TableId) -> None:
    manifest: Manifest = catalog.manifest
    assert manifest.tables() == [table]


def test_a_table_never_flushed_is_empty(catalog: Catalog, table: TableId) -> None:
    assert catalog.manifest.load(table) == TableManifest(Columns(), 0, (), {})


def test_a_change_is_seen_at_once_and_after_a_restart(catalog: Catalog, table: TableId, tmp_path: Path) -> None:
    a, b, c = (block(table, id) for id in "abc")
    catalog.manifest.commit(ManifestChange(table, ONE, 7, added=(a, b), deleted_rows={"a": [0, 3, 999]}))
    catalog.manifest.commit(ManifestChange(table, TWO, 9, added=(c,), removed=("b",), deleted_rows={"c": [1]}))
    expected = TableManifest(TWO, 9, (a, c), {"a": [0, 3, 999], "c": [1]})
    assert catalog.manifest.load(table) == expected
    found = reloaded(catalog, tmp_path, table)
    assert found == expected
    assert [column.name for column in found.columns.dimensions] == ["host", "Host"]
    assert [column.physical for column in found.columns.measures] == ["cpu", "CPU_2"]


def test_deleted_rows_of_a_block_are_replaced_and_go_with_it(catalog: Catalog, table: TableId, tmp_path: Path) -> None:
    change = ManifestChange(table, ONE, 1, added=(block(table, "a"), block(table, "b")))
    catalog.manifest.commit(change)
    catalog.manifest.commit(ManifestChange(table, ONE, 1, deleted_rows={"a": [1], "b": [2]}))
    catalog.manifest.commit(ManifestChange(table, ONE, 1, deleted_rows={"b": [2, 3]}))
    catalog.manifest.commit(ManifestChange(table, ONE, 1, removed=("a",)))
    assert catalog.manifest.load(table).deleted_rows == {"b": [2, 3]}
    catalog.manifest.commit(ManifestChange(table, ONE, 1, deleted_rows={"b": []}))
    assert reloaded(catalog, tmp_path, table) == TableManifest(ONE, 1, (block(table, "b"),), {})


def test_a_dropped_table_is_gone_with_all_its_rows(catalog: Catalog, table: TableId, tmp_path: Path) -> None:
    change = ManifestChange(table, ONE, 7, added=(block(table, "a"),), deleted_rows={"a": [0]})
    catalog.manifest.commit(change)
    catalog.delete_table("metrics", "cpu")
    for call in (lambda: catalog.manifest.load(table), lambda: catalog.manifest.commit(change)):
        with pytest.raises(NotFound):
            call()
    catalog.close()
    with sqlite3.connect(tmp_path / CATALOG_FILE) as connection:
        for name in ("tables", "columns", "blocks", "deleted_rows", "checkpoints"):
            assert connection.execute(f"SELECT count(*) FROM {name}").fetchone() == (0,)
    connection.close()
    again = open_catalog(tmp_path)
    assert again.manifest.tables() == []
    again.close()


@pytest.mark.parametrize(
    "change",
    [
        lambda table: ManifestChange(table, ONE, 6),
        lambda table: ManifestChange(table, Columns(), 7),
        lambda table: ManifestChange(table, ONE, 7, added=(block(table, "a"),)),
        lambda table: ManifestChange(table, ONE, 7, removed=("b",)),
        lambda table: ManifestChange(table, ONE, 7, deleted_rows={"b": [0]}),
    ],
    ids=["checkpoint back", "column lost", "block twice", "unknown block removed", "rows of an unknown block"],
)
def test_a_change_that_does_not_follow_is_a_bug(catalog: Catalog, table: TableId, tmp_path: Path, change) -> None:
    catalog.manifest.commit(ManifestChange(table, ONE, 7, added=(block(table, "a"),)))
    with pytest.raises(AssertionError):
        catalog.manifest.commit(change(table))
    assert reloaded(catalog, tmp_path, table) == TableManifest(ONE, 7, (block(table, "a"),), {})


def test_a_change_the_disk_does_not_take_leaves_everything_as_it_was(
    catalog: Catalog, table: TableId, tmp_path: Path
) -> None:
    """Another process that holds the database stands for a disk that fails: both refuse the transaction."""
    catalog.manifest.commit(ManifestChange(table, ONE, 7))
    holder = sqlite3.connect(tmp_path / CATALOG_FILE, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="database is locked"):
        catalog.manifest.commit(ManifestChange(table, TWO, 8, added=(block(table, "a"),)))
    holder.execute("ROLLBACK")
    holder.close()
    assert catalog.manifest.load(table) == TableManifest(ONE, 7, (), {})
    assert reloaded(catalog, tmp_path, table) == TableManifest(ONE, 7, (), {})


@pytest.mark.parametrize("of", ["columns", "blocks", "deleted_rows", "checkpoints"])
def test_a_changed_row_is_noticed(catalog: Catalog, table: TableId, tmp_path: Path, of: str) -> None:
    change = ManifestChange(table, ONE, 7, added=(block(table, "a"),), deleted_rows={"a": [0]})
    catalog.manifest.commit(change)
    catalog.close()
    with sqlite3.connect(tmp_path / CATALOG_FILE) as connection:
        connection.execute(f"UPDATE {of} SET checksum = checksum + 1")
    connection.close()
    with pytest.raises(Corrupt, match=f"a row of {of} fails its checksum"):
        open_catalog(tmp_path)


@given(st.lists(st.integers(0, 2**40), unique=True).map(sorted))
def test_positions_are_found_again(positions: list[int]) -> None:
    assert decode_positions(encode_positions(positions)) == positions
