"""Encryption at rest through the store: keys that change, are disabled and come back; files in other places."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from headwater.catalog import database_keys
from headwater.errors import Corrupt, KeyUnusable
from headwater.files import LocalFiles, SourceFile
from headwater.jobs.rewrap import Rewrap
from headwater.model.table import TableId
from headwater.sealing import HEADER_BYTES, KEY_ID_BYTES, slot_of
from support.keys import ONE_KEY, OTHER_KEY, KeyService
from support.stores import NOW_NS, StoreFolder, records, series

OTHER_DATABASE = "other"


@pytest.fixture
def service() -> KeyService:
    return KeyService()


@pytest.fixture
def folder(tmp_path: Path, service: KeyService) -> StoreFolder:
    """A store with one flushed block and one record in the log, in a database under ONE_KEY."""
    opened = StoreFolder(tmp_path, provider=service)
    opened.catalog.create_database("keyed", ONE_KEY)
    opened.table = opened.catalog.create_table("keyed", "t", None, None, None).id
    write(opened, "a", 1.0)
    opened.store.flush()
    write(opened, "b", 2.0)
    return opened


def write(folder: StoreFolder, host: str, value: float) -> None:
    assert folder.write(records([(series(host), NOW_NS, 1, value)])) == []


def values(folder: StoreFolder, table: TableId | None = None) -> list[float]:
    """All values of a table, ascending, in memory and in blocks."""
    folder.table = table or folder.table
    scan = folder.scan()
    found = [value for part in scan.memory for value in part["usage"].to_pylist()]
    for block in scan.blocks:
        found += pq.read_table(SourceFile(block.open()))["usage"].to_pylist()
    scan.close()
    return sorted(found)


def blocks_of(folder: StoreFolder) -> list[Path]:
    return sorted((folder.directory / "blocks" / folder.table).glob("*.parquet"))


def rewrap(folder: StoreFolder) -> None:
    Rewrap(LocalFiles(), folder.directory / "blocks", folder.catalog).run()


def key_in_header(path: Path) -> bytes:
    return slot_of(path.read_bytes()[:HEADER_BYTES], path.stem)[:KEY_ID_BYTES]


def disable(folder: StoreFolder, service: KeyService, key: str) -> None:
    service.disabled.add(key)
    folder.catalog.database_keys.refresh()


def test_new_blocks_use_another_key_at_once_and_old_ones_stay_readable(folder: StoreFolder) -> None:
    assert folder.catalog.update_database("keyed", OTHER_KEY).kms_key_id == OTHER_KEY
    folder.store.flush()
    assert len({key_in_header(path) for path in blocks_of(folder)}) == 2
    assert values(folder) == [1.0, 2.0]
    folder.reopen()
    assert values(folder) == [1.0, 2.0]


def test_rewrapped_blocks_need_the_new_key_only_and_are_not_written_again(
    folder: StoreFolder, service: KeyService
) -> None:
    before = {path: path.read_bytes() for path in blocks_of(folder)}
    folder.catalog.update_database("keyed", OTHER_KEY)
    assert folder.catalog.database_keys.outdated() == ["keyed"]
    rewrap(folder)
    assert folder.catalog.database_keys.outdated() == []
    disable(folder, service, ONE_KEY)
    assert values(folder) == [1.0, 2.0]
    folder.reopen()
    assert values(folder) == [1.0, 2.0]
    assert {path: path.read_bytes() for path in blocks_of(folder)} == before
    disable(folder, service, OTHER_KEY)
    with pytest.raises(KeyUnusable, match=OTHER_KEY):
        values(folder)


def test_a_key_may_be_changed_again_and_back(folder: StoreFolder, service: KeyService) -> None:
    for key in (OTHER_KEY, ONE_KEY, OTHER_KEY):
        folder.catalog.update_database("keyed", key)
        rewrap(folder)
    disable(folder, service, ONE_KEY)
    folder.reopen()
    assert values(folder) == [1.0, 2.0]


def test_rewrapping_goes_on_where_it_was_cut_short(
    folder: StoreFolder, service: KeyService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_keys, "_REWRAPPED_AT_ONCE", 1)
    folder.store.flush()
    write(folder, "c", 3.0)
    folder.store.flush()
    folder.catalog.update_database("keyed", OTHER_KEY)
    (first, second, third) = [f"{folder.table}/{path.stem}" for path in blocks_of(folder)]

    def slots(readable: set[str]) -> Callable[[str], bytes]:
        def slot(place: str) -> bytes:
            if place not in readable:
                raise OSError("cut short")
            return slot_of((folder.directory / "blocks" / f"{place}.parquet").read_bytes()[:HEADER_BYTES], place)

        return slot

    every = {first, second, third}
    with pytest.raises(OSError, match="cut short"):
        folder.catalog.database_keys.rewrap("keyed", every, slots({first, second}))
    assert folder.catalog.database_keys.outdated() == ["keyed"]
    folder.reopen()
    folder.catalog.database_keys.rewrap("keyed", every, slots({third}))
    disable(folder, service, ONE_KEY)
    folder.reopen()
    assert values(folder) == [1.0, 2.0, 3.0]


def test_a_key_stays_while_a_block_is_written_under_it(folder: StoreFolder) -> None:
    keys = folder.catalog.database_keys
    live = [f"{folder.table}/{path.stem}" for path in blocks_of(folder)]
    on_its_way = keys.new(f"{folder.table}/on-its-way")
    folder.catalog.update_database("keyed", OTHER_KEY)
    rewrap(folder)
    assert keys.outdated() == ["keyed"]
    assert keys.open(f"{folder.table}/on-its-way", on_its_way.slot) == on_its_way
    keys.rewrap("keyed", [*live, f"{folder.table}/on-its-way"], lambda _: on_its_way.slot)
    assert keys.outdated() == []
    assert keys.open(f"{folder.table}/on-its-way", on_its_way.slot).key == on_its_way.key


def test_the_same_key_changes_nothing(folder: StoreFolder) -> None:
    before = folder.catalog.database("keyed")
    folder.clock.advance(1)
    assert folder.catalog.update_database("keyed", ONE_KEY) is before
    assert folder.catalog.database_keys.outdated() == []


def test_of_two_updates_at_the_same_time_the_first_wins(folder: StoreFolder, service: KeyService) -> None:
    third = OTHER_KEY.replace("2", "3")

    def update_first() -> None:
        service.before_wrap = lambda: None
        folder.catalog.update_database("keyed", OTHER_KEY)

    service.before_wrap = update_first
    assert folder.catalog.update_database("keyed", third).kms_key_id == OTHER_KEY
    assert folder.catalog.database("keyed").kms_key_id == OTHER_KEY
    folder.reopen()
    assert values(folder) == [1.0, 2.0]


def test_an_unusable_key_is_refused_and_nothing_changed(folder: StoreFolder, service: KeyService) -> None:
    service.disabled.add(OTHER_KEY)
    before = folder.catalog.database("keyed")
    with pytest.raises(KeyUnusable, match=f"The KMS key {OTHER_KEY} doesn't exist, is disabled"):
        folder.catalog.update_database("keyed", OTHER_KEY)
    with pytest.raises(KeyUnusable):
        folder.catalog.create_database("new", OTHER_KEY)
    assert folder.catalog.database("keyed") is before
    assert not folder.catalog.has_database("new")


def test_a_disabled_key_stops_reads_and_writes_of_its_database_only(folder: StoreFolder, service: KeyService) -> None:
    keyed, free = folder.table, folder.new_table("free")
    disable(folder, service, ONE_KEY)
    for use in (lambda: values(folder, keyed), lambda: write(folder, "c", 3.0)):
        with pytest.raises(KeyUnusable, match=ONE_KEY):
            use()
    folder.table = free
    write(folder, "a", 9.0)
    folder.clock.advance(10**12)
    folder.catalog.database_keys.refresh()
    folder.store.flush_due()
    assert values(folder, free) == [9.0]
    assert folder.scan().blocks
    service.disabled.clear()
    folder.catalog.database_keys.refresh()
    assert values(folder, keyed) == [1.0, 2.0]


def test_a_start_without_a_key_leaves_its_tables_out_and_loses_nothing(
    folder: StoreFolder, service: KeyService
) -> None:
    keyed, free = folder.table, folder.new_table("free")
    folder.table = free
    write(folder, "a", 9.0)
    service.disabled.add(ONE_KEY)
    folder.reopen()
    assert values(folder, free) == [9.0]
    folder.store.flush()
    with pytest.raises(KeyUnusable):
        values(folder, keyed)
    # The log is kept for the table that could not be replayed, also over another start.
    folder.reopen()
    folder.table = free
    write(folder, "b", 10.0)
    service.disabled.clear()
    folder.catalog.database_keys.refresh()
    assert values(folder, keyed) == [1.0, 2.0]
    write(folder, "c", 3.0)
    folder.store.flush()
    folder.reopen()
    assert values(folder, keyed) == [1.0, 2.0, 3.0]
    assert values(folder, free) == [9.0, 10.0]


def test_a_block_in_the_place_of_another_is_found(folder: StoreFolder) -> None:
    folder.store.flush()
    one, other = blocks_of(folder)
    shutil.copyfile(one, other)
    with pytest.raises(Corrupt):
        values(folder)


def test_the_keys_of_a_deleted_database_are_gone(folder: StoreFolder) -> None:
    slot = slot_of(blocks_of(folder)[0].read_bytes()[:HEADER_BYTES], "")
    place = f"{folder.table}/{blocks_of(folder)[0].stem}"
    folder.catalog.delete_table("keyed", "t")
    folder.store.drop_table(folder.table)
    folder.catalog.delete_database("keyed")
    with pytest.raises(Corrupt, match="there is no database key"):
        folder.catalog.database_keys.open(place, slot)
    folder.catalog.create_database("keyed", ONE_KEY)
    folder.catalog.close()
    folder.open()
    with pytest.raises(Corrupt, match="there is no database key"):
        folder.catalog.database_keys.open(place, slot)
