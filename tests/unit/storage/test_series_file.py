"""The series file: with it a table of many blocks is opened at once; without it, or with a bad one, all the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from headwater.model.scan import DimensionIn
from headwater.model.time import NS_PER_DAY
from headwater.storage import series_file, table
from headwater.storage.series_file import SERIES_FILE
from support.hooked_files import HookedFiles
from support.stores import NOW_NS, StoreFolder, records, series

DAYS = 5


@pytest.fixture
def files() -> HookedFiles:
    return HookedFiles()


@pytest.fixture
def folder(tmp_path: Path, files: HookedFiles, monkeypatch: pytest.MonkeyPatch) -> StoreFolder:
    """A block for each of five days, covered by the series file."""
    monkeypatch.setattr(table, "UNCOVERED_BLOCKS", DAYS)
    opened = StoreFolder(tmp_path, files)
    opened.write(records([(series(f"h{day}"), NOW_NS - day * NS_PER_DAY, 1, 1.0) for day in range(DAYS)]))
    opened.store.flush()
    return opened


def path_of(folder: StoreFolder) -> Path:
    (path,) = (folder.directory / "blocks").glob(f"*/{SERIES_FILE}")
    return path


def opened(folder: StoreFolder, files: HookedFiles) -> tuple[int, int, list[str]]:
    """Open the table anew: how many blocks were read for that, how many rows there are, and the hosts it finds."""
    read: list[None] = []
    folder.reopen()
    files.hooks["block.read"] = lambda: read.append(None)
    columns = folder.store.columns(folder.table)
    opened_blocks = len(read)
    files.hooks.clear()
    assert [column.name for column in columns.dimensions] == ["host"]
    scan = folder.scan()
    rows = sum(part.rows for part in scan.blocks)
    scan.close()
    hosts = []
    for day in range(DAYS + 1):
        scan = folder.scan(dimensions=(DimensionIn("host", frozenset({f"h{day}"})),))
        hosts += [f"h{day}"] if scan.blocks else []
        scan.close()
    return opened_blocks, rows, hosts


HOSTS = [f"h{day}" for day in range(DAYS)]


def test_a_table_is_opened_without_its_blocks(folder: StoreFolder, files: HookedFiles):
    measures = folder.store.measures(folder.table)
    assert opened(folder, files) == (0, DAYS, HOSTS)
    assert folder.store.measures(folder.table) == measures == [("cpu", "multi", ("host",))]
    again = records([(series(f"h{day}"), NOW_NS - day * NS_PER_DAY, 1, 1.0) for day in range(DAYS)])
    assert folder.write(again) == []
    assert sum(part.num_rows for part in folder.scan().memory) == 0
    folder.close()


def test_only_blocks_that_it_does_not_cover_are_read(folder: StoreFolder, files: HookedFiles):
    folder.write(records([(series("h5"), NOW_NS + 1, 1, 1.0)]))
    folder.store.flush()
    assert opened(folder, files) == (1, DAYS + 1, [*HOSTS, "h5"])
    folder.close()


def test_it_is_written_anew_when_many_blocks_have_come(folder: StoreFolder, files: HookedFiles):
    for turn in range(DAYS):
        folder.write(records([(series("h5"), NOW_NS + turn, 1, 1.0)]))
        folder.store.flush()
    assert opened(folder, files) == (0, 2 * DAYS, [*HOSTS, "h5"])
    folder.close()


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(b"X" + path.read_bytes()[1:]),
        lambda path: path.write_bytes(path.read_bytes()[:-1] + b"?"),
    ],
)
def test_without_it_or_with_a_damaged_one_the_blocks_are_read(
    folder: StoreFolder, files: HookedFiles, damage: Callable[[Path], None]
):
    damage(path_of(folder))
    assert opened(folder, files) == (DAYS, DAYS, HOSTS)
    folder.close()


def test_another_format_is_not_used(folder: StoreFolder, files: HookedFiles, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(series_file, "FORMAT", 2)
    assert opened(folder, files) == (DAYS, DAYS, HOSTS)
    folder.close()


def test_it_holds_nothing_in_clear(folder: StoreFolder):
    content = path_of(folder).read_bytes()
    assert content.startswith(b"HWSEALED")
    assert b"h3" not in content[100:]
    assert b"host" not in content
    folder.close()


def test_a_flush_goes_on_when_it_cannot_be_written(folder: StoreFolder, files: HookedFiles):
    def fail() -> None:
        raise OSError("disk full")

    files.hooks["series.write"] = fail
    for turn in range(DAYS):
        folder.write(records([(series("h5"), NOW_NS + turn, 1, 1.0)]))
        folder.store.flush()
    assert opened(folder, files) == (DAYS, 2 * DAYS, [*HOSTS, "h5"])
    folder.close()


def test_blocks_that_compaction_took_away_are_no_harm(folder: StoreFolder, files: HookedFiles):
    for turn in range(2):
        folder.write(records([(series("h0"), NOW_NS + 1 + turn, 1, 1.0)]))
        folder.store.flush()
    folder.store.compact()
    assert opened(folder, files)[1:] == (DAYS + 2, HOSTS)
    folder.close()


def test_it_goes_with_its_table(folder: StoreFolder):
    folder.store.drop_table(folder.catalog.delete_table("db", "t"))
    assert list((folder.directory / "blocks").glob("*/*")) == []
    folder.close()


def test_a_series_that_was_refused_its_sync_is_in_no_file(folder: StoreFolder, files: HookedFiles):
    """Staged and not published: a crash would leave a series that nobody was told of."""
    store_table = folder.store._tables.get(folder.table)
    store_table.stage([records([(series("ghost", "ghost"), NOW_NS, 1, 1.0)])])
    store_table._covered = set()
    store_table.save_series_if_due()
    known = series_file.read_series_file(files, folder.vault, path_of(folder).parent)
    assert known is not None
    assert known.series.find([series("ghost", "ghost"), series("h0")]).tolist() == [-1, 0]
