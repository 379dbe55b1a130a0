"""What the operator's commands print, and their exit statuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headwater.cli.main import main
from support.kept_folder import extract, flip, hosts, opened


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return extract(tmp_path / "data")


def test_fsck_of_a_clean_folder(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fsck", "--data", str(data)]) == 0
    assert capsys.readouterr().out == f"{data}: clean\n"


def test_fsck_that_cannot_look(data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fsck", "--data", str(data / "nowhere")]) == 2
    assert "is not a data folder" in capsys.readouterr().err
    instance = opened(data)
    assert main(["fsck", "--data", str(data)]) == 2
    assert "Another process is using the data folder" in capsys.readouterr().err
    instance.close()
    monkeypatch.setenv("HEADWATER_MASTER_KEY", "ab" * 32)
    assert main(["fsck", "--data", str(data), "--repair"]) == 2
    assert "is not the master key" in capsys.readouterr().err


def test_fsck_finds_and_repairs(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flip(data / "wal/000000000002.log", 200)
    assert main(["fsck", "--data", str(data), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    (finding,) = document["findings"]
    assert document["damaged"] is True
    assert (finding["kind"], finding["file"], finding["place"]) == ("damage", "wal/000000000002.log", "offset 122")
    assert main(["fsck", "--data", str(data)]) == 1
    text = capsys.readouterr().out
    assert text.startswith("damage: wal/000000000002.log; offset 122; ")
    assert text.endswith(f"{data}: 1 damaged\n")
    assert main(["fsck", "--data", str(data), "--repair"]) == 0
    text = capsys.readouterr().out
    assert "repaired: wal/000000000002.log: moved to damaged/1/wal/000000000002.log" in text
    assert text.endswith(": 1 damaged, all repaired\n")
    assert main(["fsck", "--data", str(data)]) == 0
    instance = opened(data)
    assert hosts(instance)
    instance.close()


def test_fsck_says_what_it_cannot_repair(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "catalog.sqlite").write_bytes(b"x" * 10_000)
    assert main(["fsck", "--data", str(data)]) == 1
    assert "restore a backup" in capsys.readouterr().out
    assert main(["fsck", "--data", str(data), "--repair"]) == 2
    assert "nothing can be repaired" in capsys.readouterr().err


def test_a_backup_is_verified(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    backup = tmp_path / "backup"
    assert main(["backup", "--data", str(data), "--to", str(backup), "--copy", "--with-key"]) == 0
    assert "The master key is not in it" not in capsys.readouterr().out
    assert main(["restore", str(backup), "--verify"]) == 0
    flip(min(backup.glob("blocks/*/*.parquet")), 100)
    assert main(["restore", str(backup), "--verify"]) == 1
    told = capsys.readouterr()
    assert "is not what was backed up" in told.err
    assert told.out.endswith(", 1 damaged\n")
    assert main(["restore", str(backup), "--data", str(tmp_path / "new")]) == 1
    assert "is damaged; not what was backed up: blocks/" in capsys.readouterr().err
