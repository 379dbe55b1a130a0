"""inspect says what is in a folder, of a running server too, and shows no value that is encrypted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headwater.cli.main import main
from headwater.errors import Invalid
from headwater.files import LocalFiles
from headwater.model.time import FixedClock
from headwater.upkeep.describe import Describer, described
from support.kept_folder import NOW_NS, SENSORS, config_of, extract, opened, write


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return extract(tmp_path / "data")


def asked(data: Path, tmp_path: Path, ask: object) -> dict[str, object]:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with described(LocalFiles(), data, config_of(data), FixedClock(NOW_NS), scratch) as describer:
        return ask(describer)


def test_the_manifest_in_words(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(data)]) == 0
    text = capsys.readouterr().out
    assert f"{SENSORS} (" in text
    assert "column measure_value::double: measure_value, double" in text
    assert '"second base"."Tëst"' in text
    assert "the log: 2 segments" in text
    for secret in ("h0", "l1", "7440.25", "ünïcode", "south"):
        assert secret not in text.replace(str(data), "")


def test_a_segment_in_words(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(data), "wal/000000000002.log"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("000000000002.log: entries ")
    assert lines[0].endswith("sealed")
    assert sum("1 records" in line for line in lines) == 2
    assert f"  {SENSORS}: 1 rows of measure_value::double, 2024-01-01 00:09:55" in "\n".join(lines)


def test_a_block_as_json(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = min(data.glob("blocks/*/*.parquet"))
    assert main(["inspect", str(data), str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["live"] is True
    assert sum(found["row_groups"]) == found["rows"]
    assert found["columns"]["time"] == "timestamp[ns]"
    assert found["from"][:10] == found["to"][:10] == found["day"]


@pytest.mark.parametrize("kind", ["wal/mark", "blocks/*/series", "catalog.sqlite"])
def test_every_other_file_is_known(data: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    assert main(["inspect", str(data), str(min(data.glob(kind)))]) == 0
    assert capsys.readouterr().out


def test_a_folder_in_use_is_described_as_it_is_now(data: Path, tmp_path: Path) -> None:
    instance = opened(data)
    try:
        write(instance, "new", 400, count=33)
        instance.store.flush()
        found = asked(data, tmp_path, Describer.manifest)
    finally:
        instance.close()
    sensors = next(table for table in found["tables"] if table["table"] == "sensors")
    assert any(block["rows"] in (33, 34) for block in sensors["blocks"])


def test_what_is_none_of_ours_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="is no segment"):
        asked(data, tmp_path, lambda describer: describer.file(data / "credentials"))
    assert main(["inspect", str(data), "wal/nope.log"]) == 1
    assert main(["inspect", str(tmp_path)]) == 1
