"""A backup is one state, whole or not there; what comes of it answers as the original did when it was made."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from headwater.errors import Conflict, Corrupt, Invalid
from headwater.files import Files, LocalFiles
from headwater.instance import Instance
from headwater.model.time import FixedClock
from headwater.upkeep import cut
from headwater.upkeep.contents import CONTENTS_FILE, Contents
from headwater.upkeep.cut import back_up
from headwater.upkeep.repair import repair
from headwater.upkeep.restore import restore, verify
from support.kept_folder import NOW_NS, damaged, extract, flip, hosts, looked_at, opened, write


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return extract(tmp_path / "data")


@pytest.fixture
def to(tmp_path: Path) -> Path:
    return tmp_path / "backup"


def made(data: Path, to: Path, files: Files | None = None, **how: object) -> Contents:
    return back_up(files or LocalFiles(), data, to, FixedClock(NOW_NS), **how)


def restored(backup: Path, data: Path, key: Path) -> dict[str, int]:
    """What a server answers from a backup; checked by fsck before."""
    restore(LocalFiles(), backup, data)
    shutil.copy(key, data / "master.key")
    checked = looked_at(data, data.with_name("scratch"))
    assert checked.findings == ()
    instance = opened(data)
    found = hosts(instance)
    instance.close()
    return found


class MeddlingFiles(LocalFiles):
    """Calls `meddle` before one call at a site, the first or a later one, and notes all sites."""

    def __init__(self, site: str, meddle: Callable[[], None], number: int = 1) -> None:
        self._site = site
        self._number = number
        self._meddle: Callable[[], None] | None = meddle
        self.calls: list[str] = []

    def _at(self, site: str) -> None:
        self.calls.append(site)
        if self.calls.count(self._site) == self._number and self._meddle is not None:
            meddle, self._meddle = self._meddle, None
            meddle()

    def link(self, source: Path, target: Path, *, site: str) -> None:
        self._at(site)
        super().link(source, target, site=site)

    def list(self, directory: Path, *, site: str) -> list[str]:
        self._at(site)
        return super().list(directory, site=site)

    def write_file(self, path: Path, data: bytes, *, mode: int = 0o600, site: str) -> None:
        self._at(site)
        super().write_file(path, data, mode=mode, site=site)


def test_a_stopped_folder_comes_back_as_it_was(data: Path, to: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    contents = made(data, to)
    assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file()} == before
    assert contents.records_in_blocks > 0
    assert verify(LocalFiles(), to) == (contents, [])
    assert not (to / "master.key").exists()
    assert not (to / "credentials").exists()
    instance = opened(data)
    expected = hosts(instance)
    instance.close()
    assert restored(to, tmp_path / "restored", data / "master.key") == expected


def test_an_open_folder_is_backed_up_with_all_that_was_acknowledged(data: Path, to: Path, tmp_path: Path) -> None:
    instance = opened(data)
    write(instance, "flushed", 600, count=5)
    instance.store.flush()
    write(instance, "logged", 700, count=7)
    expected = hosts(instance)
    made(data, to)
    write(instance, "later", 800)
    assert hosts(instance)["later"] == 1
    instance.close()
    assert restored(to, tmp_path / "restored", data / "master.key") == expected


def meddling(instance: Instance) -> Callable[[], None]:
    """What a server may do at any moment: write, flush, merge, cut the log."""

    def meddle() -> None:
        write(instance, "meanwhile", 5_000, count=4)
        instance.store.flush()
        instance.store.compact()

    return meddle


@pytest.mark.parametrize("site", ["backup.log", "backup.catalog", "backup.link"])
def test_blocks_and_segments_may_go_while_they_are_backed_up(data: Path, to: Path, tmp_path: Path, site: str) -> None:
    instance = opened(data)
    for number in range(3):
        write(instance, f"host{number}", 600 + number * 10, count=5)
        instance.store.flush()
    write(instance, "logged", 700, count=7)
    expected = hosts(instance)
    files = MeddlingFiles(site, meddling(instance))
    made(data, to, files)
    instance.close()
    found = restored(to, tmp_path / "restored", data / "master.key")
    assert found.pop("meanwhile", 4) == 4
    assert found == expected
    if site == "backup.link":
        assert files.calls.count("backup.catalog") > 1


def test_a_segment_given_up_behind_the_copy_of_the_catalog_is_in_the_backup(
    data: Path, to: Path, tmp_path: Path
) -> None:
    """The copy does not know of the blocks that a flush makes then: what is in them must come from the log."""
    instance = opened(data)
    expected = hosts(instance)
    segments = set(data.glob("wal/*.log"))
    files = MeddlingFiles("backup.log", instance.store.flush, number=2)
    made(data, to, files)
    assert len(set(data.glob("wal/*.log")) & segments) < len(segments)
    assert files.calls.count("backup.catalog") == 1
    instance.close()
    assert restored(to, tmp_path / "restored", data / "master.key") == expected


def test_a_folder_that_never_holds_still_is_given_up(data: Path, to: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the try again it would be a backup that lacks a block."""
    monkeypatch.setattr(cut, "ROUNDS", 3)
    path = min(data.glob("blocks/*/*.parquet"))
    path.unlink()
    waited: list[None] = []
    with pytest.raises(Corrupt, match="does not hold together"):
        made(data, to, wait=lambda: waited.append(None))
    assert len(waited) == 3
    assert not to.exists()
    assert not to.with_name("backup.new").exists()


@pytest.mark.parametrize("kind", ["blocks/*/*.parquet", "wal/*1.log", "catalog.sqlite"])
def test_damage_is_refused_and_leaves_nothing(data: Path, to: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cut, "ROUNDS", 3)
    path = min(data.glob(kind))
    flip(path, path.read_bytes().rindex(b"north") if path.name == "catalog.sqlite" else 200)
    with pytest.raises(Corrupt, match="headwater fsck tells more"):
        made(data, to)
    assert sorted(path.name for path in to.parent.iterdir()) == ["data"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError(28, "No space left on device")], ids=str)
def test_a_backup_that_is_cut_short_leaves_nothing(data: Path, to: Path, stop: BaseException) -> None:
    def fail() -> None:
        raise stop

    with pytest.raises((KeyboardInterrupt, OSError)):
        made(data, to, MeddlingFiles("backup.link", fail))
    assert sorted(path.name for path in to.parent.iterdir()) == ["data"]
    made(data, to)


def test_blocks_are_linked_or_copied(data: Path, to: Path) -> None:
    made(data, to)
    made(data, to.with_name("copied"), link=False)
    for path in data.glob("blocks/*/*.parquet"):
        place = path.relative_to(data)
        assert (to / place).samefile(path)
        assert not (to.with_name("copied") / place).samefile(path)
        assert (to.with_name("copied") / place).read_bytes() == path.read_bytes()


def test_nobody_else_can_read_a_backup(data: Path, to: Path) -> None:
    before = os.umask(0)
    try:
        made(data, to, link=False, with_key=True)
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o777 for path in to.rglob("*") if path.is_file()}
    assert modes == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (to, *to.rglob("*")) if path.is_dir()} == {0o700}
    assert (to / "master.key").read_bytes() == (data / "master.key").read_bytes()


def test_nothing_is_overwritten(data: Path, to: Path, tmp_path: Path) -> None:
    to.mkdir()
    (to / "mine").write_text("mine")
    with pytest.raises(Conflict, match="not empty"):
        made(data, to)
    with pytest.raises(Invalid, match="in the data folder"):
        made(data, data / "backup")
    with pytest.raises(Invalid, match="is not a data folder"):
        made(tmp_path / "nowhere", tmp_path / "other")
    made(data, tmp_path / "good")
    with pytest.raises(Conflict, match="not empty"):
        restore(LocalFiles(), tmp_path / "good", data)
    with pytest.raises(Invalid, match="is not a whole backup"):
        restore(LocalFiles(), to, tmp_path / "restored")
    assert (to / "mine").read_text() == "mine"


@pytest.mark.parametrize("kind", ["blocks/*/*.parquet", "blocks/*/series", "wal/*1.log", "wal/mark", "catalog.sqlite"])
def test_a_damaged_backup_is_not_restored(data: Path, to: Path, tmp_path: Path, kind: str) -> None:
    made(data, to, link=False)
    path = min(to.glob(kind))
    flip(path, path.stat().st_size // 2, bit=5)
    name = str(path.relative_to(to))
    assert [line.partition(" ")[0] for line in verify(LocalFiles(), to)[1]] == [name]
    with pytest.raises(Corrupt, match=name):
        restore(LocalFiles(), to, tmp_path / "restored")
    assert not (tmp_path / "restored").exists()
    assert not (tmp_path / "restored.new").exists()


@pytest.mark.parametrize("offset", range(0, 400, 37))
def test_a_list_that_has_changed_is_not_believed(data: Path, to: Path, tmp_path: Path, offset: int) -> None:
    made(data, to)
    flip(to / CONTENTS_FILE, offset)
    with pytest.raises(Corrupt):
        restore(LocalFiles(), to, tmp_path / "restored")
    assert not (tmp_path / "restored").exists()


def test_a_backup_after_a_repair_lacks_what_the_repair_said(data: Path, to: Path, tmp_path: Path) -> None:
    """The way of the handbook: a backup is refused, fsck repairs, the backup is made."""
    flip(min(data.glob("blocks/*/*.parquet")), 300)
    scratch = tmp_path / "scratch"
    repair(LocalFiles(), data, looked_at(data, scratch))
    assert damaged(looked_at(data, scratch)) == []
    made(data, to)
    assert not (to / "damaged").exists()
    restored(to, tmp_path / "restored", data / "master.key")
