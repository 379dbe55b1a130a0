"""fsck finds one flipped bit in every kind of file, says where, changes nothing; what it repairs opens again."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from headwater.errors import Corrupt, Invalid, Locked
from headwater.files import LocalFiles
from headwater.upkeep.findings import Kind
from headwater.upkeep.folder import locked
from headwater.upkeep.repair import repair
from headwater.wal.segment import FOOTER_BYTES, HEADER_BYTES
from support.kept_folder import (
    SENSORS,
    add_result,
    damaged,
    extract,
    flip,
    hosts,
    looked_at,
    opened,
    write,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kept folder after another start: with entries of the log, one a host, and a result on disk."""
    data = extract(tmp_path_factory.mktemp("made") / "data")
    instance = opened(data)
    add_result(data, instance)
    for number in range(5):
        write(instance, f"new{number}", 1_000 + number, count=3)
    instance.close()
    return data


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "data"))


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    return tmp_path / "scratch"


def content(data: Path) -> dict[str, bytes]:
    files = [path for path in data.rglob("*") if path.is_file()]
    return {str(path.relative_to(data)): path.read_bytes() for path in files}


def last_segment(data: Path) -> Path:
    return max((data / "wal").glob("*.log"))


def block(data: Path) -> Path:
    return min((data / "blocks").glob("*/*.parquet"))


def repaired(data: Path, scratch: Path) -> list[str]:
    done = repair(LocalFiles(), data, looked_at(data, scratch))
    assert damaged(looked_at(data, scratch)) == []
    return done


def change(data: Path, statement: str) -> None:
    with closing(sqlite3.connect(data / "catalog.sqlite")) as connection:
        assert connection.execute(statement).rowcount == 1
        connection.commit()


def test_a_clean_folder_has_no_findings_and_is_not_changed(data: Path, scratch: Path) -> None:
    before = content(data)
    assert looked_at(data, scratch).findings == ()
    assert content(data) == before


def test_an_unclean_stop_is_no_damage(made: Path, tmp_path: Path, scratch: Path) -> None:
    data = extract(tmp_path / "data")
    instance = opened(data)
    write(instance, "late", 900)
    crashed = Path(shutil.copytree(data, tmp_path / "crashed"))
    instance.close()
    # Half an entry, which a crash leaves; and blocks of a flush that was cut short.
    segment = last_segment(crashed)
    text = segment.read_bytes()
    end = len(text.rstrip(b"\0"))
    segment.write_bytes(text[:end] + b"HWEN" + b"\x02\0" + b"x" * 50 + text[end + 56 :])
    (block(crashed).parent / "00.parquet.new").write_bytes(b"half")
    checked = looked_at(crashed, scratch)
    assert damaged(checked) == []
    notes = {finding.file: finding.wrong for finding in checked.findings}
    assert all(finding.kind is Kind.NOTE for finding in checked.findings)
    assert "torn tail" in notes[f"wal/{segment.name}"]
    assert any(name.endswith("00.parquet.new") and "rubbish" in wrong for name, wrong in notes.items())


@pytest.mark.parametrize("offset", [0, 9, 30, 88, 95, 1_000, -1], ids=str)
@pytest.mark.parametrize("kind", ["blocks/*/*.parquet", "blocks/*/series", "results/*"])
def test_one_flipped_bit_of_a_sealed_file_is_found(data: Path, scratch: Path, kind: str, offset: int) -> None:
    path = min(data.glob(kind))
    flip(path, offset)
    before = content(data)
    if offset == 9:
        # The high byte of the format version: what is newer cannot be judged, but for a block by its hash.
        assert not looked_at(data, scratch).is_whole or damaged(looked_at(data, scratch)) != []
    else:
        assert damaged(looked_at(data, scratch)) == [str(path.relative_to(data))]
    assert content(data) == before


def test_a_damaged_block_is_told_with_its_table_and_time(data: Path, scratch: Path) -> None:
    path = block(data)
    flip(path, 500, bit=3)
    (finding,) = looked_at(data, scratch).findings
    assert (finding.kind, finding.file) == (Kind.DAMAGE, str(path.relative_to(data)))
    assert finding.table in (SENSORS, '"plant"."by_line"')
    assert finding.place == "header or last chunk"
    assert finding.rows is not None
    assert finding.rows > 0
    assert finding.start_ns is not None
    assert finding.end_ns is not None
    assert finding.start_ns <= finding.end_ns


@pytest.mark.parametrize(
    "offset", [0, 20, 36, 60, 119, HEADER_BYTES, HEADER_BYTES + 20, HEADER_BYTES + 40, -FOOTER_BYTES, -1]
)
def test_one_flipped_bit_of_a_segment_is_found(data: Path, scratch: Path, offset: int) -> None:
    path = last_segment(data)
    flip(path, offset, bit=1)
    before = content(data)
    assert damaged(looked_at(data, scratch)) == [f"wal/{path.name}"]
    assert content(data) == before


# A bit of offset 5 makes it a newer format, which is refused by name: test_golden_folder.
@pytest.mark.parametrize("offset", [0, 4, 6, 13, 14, 17])
def test_one_flipped_bit_of_the_mark_is_found(data: Path, scratch: Path, offset: int) -> None:
    flip(data / "wal/mark", offset)
    assert damaged(looked_at(data, scratch)) == ["wal/mark"]


@pytest.mark.parametrize("text", [b"AKIA", b"aws_secret_access_key", b"default"])
def test_one_flipped_bit_of_the_credentials_is_found(data: Path, scratch: Path, text: bytes) -> None:
    path = data / "credentials"
    flip(path, path.read_bytes().index(text) + len(text) - 1)
    assert damaged(looked_at(data, scratch)) == ["credentials"]


@pytest.mark.parametrize("value", [b"sensors", b"north", b"by_line", b"golden", b"kms:us-east-1"])
def test_one_flipped_bit_of_a_value_in_the_catalog_is_found(data: Path, scratch: Path, value: bytes) -> None:
    path = data / "catalog.sqlite"
    flip(path, path.read_bytes().rindex(value))
    assert damaged(looked_at(data, scratch)) == ["catalog.sqlite"]


def test_what_cannot_be_looked_at_is_no_verdict(data: Path, tmp_path: Path, scratch: Path) -> None:
    with locked(LocalFiles(), data), pytest.raises(Locked), locked(LocalFiles(), data):
        pass
    with pytest.raises(Invalid, match="is not a data folder"), locked(LocalFiles(), tmp_path):
        pass
    (data / "master.key").unlink()
    with pytest.raises(Invalid, match="is missing"):
        looked_at(data, scratch)
    assert not (data / "master.key").exists()


@pytest.mark.parametrize("lost", [2, 0, 4])
def test_every_entry_but_the_damaged_one_is_salvaged(data: Path, scratch: Path, lost: int) -> None:
    path = last_segment(data)
    instance = opened(data)
    instance.close()
    segment = path.read_bytes()
    offsets = [place for place in range(len(segment)) if segment.startswith(b"HWEN", place)][-5:]
    flip(path, offsets[lost] + 60)
    with pytest.raises(Corrupt, match="is damaged at offset"):
        opened(data)
    before = path.read_bytes()
    checked = looked_at(data, scratch)
    assert [len(gap) for gap in checked.log.lost] == [1]
    assert f"entries {checked.log.lost[0].start} to" in checked.findings[0].lost
    repaired(data, scratch)
    assert (data / "damaged/1/wal" / path.name).read_bytes() == before
    instance = opened(data)
    found = hosts(instance)
    assert {name for name in found if name.startswith("new")} == {f"new{n}" for n in range(5) if n != lost}
    write(instance, "after", 50)
    instance.close()
    instance = opened(data)
    assert hosts(instance)["after"] == 1
    instance.close()


@pytest.mark.parametrize("how", [lambda path: flip(path, 40), lambda path: path.unlink()], ids=["header", "missing"])
def test_a_lost_segment_leaves_a_log_that_goes_on(data: Path, scratch: Path, how: Callable[[Path], None]) -> None:
    instance = opened(data)
    write(instance, "behind", 70)
    instance.close()
    segments = sorted((data / "wal").glob("*.log"))
    assert len(segments) > 2
    how(segments[-2])
    with pytest.raises(Corrupt):
        opened(data)
    assert looked_at(data, scratch).log.lost
    repaired(data, scratch)
    instance = opened(data)
    assert hosts(instance)["behind"] == 1
    instance.close()


def with_a_block_of_its_own(data: Path, host: str) -> Path:
    """The block of records that no other file has any more."""
    instance = opened(data)
    instance.store.flush()
    before = set(data.glob("blocks/*/*.parquet"))
    write(instance, host, 300, count=40)
    instance.store.flush()
    (path,) = set(data.glob("blocks/*/*.parquet")) - before
    instance.close()
    return path


def test_a_damaged_block_is_set_aside_and_all_else_answers(data: Path, scratch: Path) -> None:
    path = with_a_block_of_its_own(data, "lost")
    instance = opened(data)
    expected = {host: count for host, count in hosts(instance).items() if host != "lost"}
    instance.close()
    flip(path, 200)
    before = path.read_bytes()
    done = repaired(data, scratch)
    assert any("40 records taken out of the manifest" in line for line in done)
    assert (data / "damaged/1" / path.relative_to(data)).read_bytes() == before
    assert not path.exists()
    instance = opened(data)
    assert hosts(instance) == expected
    instance.close()


def test_a_missing_block_is_named_and_taken_out_of_the_manifest(data: Path, scratch: Path) -> None:
    path = with_a_block_of_its_own(data, "lost")
    path.unlink()
    (finding,) = looked_at(data, scratch).findings
    assert (finding.file, finding.rows) == (str(path.relative_to(data)), 40)
    repaired(data, scratch)
    instance = opened(data)
    assert "lost" not in hosts(instance)
    instance.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tags SET value = 'south' WHERE value = 'north'",
        "UPDATE tables SET memory_hours = 25 WHERE name = 'sensors'",
        "UPDATE checkpoints SET checksum = 1 WHERE rowid = (SELECT min(rowid) FROM checkpoints)",
        "UPDATE blocks SET rows = rows + 1 WHERE rowid = (SELECT min(rowid) FROM blocks)",
        "UPDATE blocks SET physical = 'no JSON' WHERE rowid = (SELECT max(rowid) FROM blocks)",
        "UPDATE columns SET place = place + 0, checksum = 1 WHERE rowid = (SELECT min(rowid) FROM columns)",
        "UPDATE secrets SET checksum = 1 WHERE name = 'root_key'",
    ],
)
def test_a_flawed_row_of_the_catalog_is_mended(data: Path, scratch: Path, statement: str) -> None:
    instance = opened(data)
    expected = hosts(instance)
    instance.close()
    change(data, statement)
    before = (data / "catalog.sqlite").read_bytes()
    with pytest.raises(Corrupt, match="fails its checksum"):
        opened(data)
    checked = looked_at(data, scratch)
    assert damaged(checked) == ["catalog.sqlite"]
    assert all("the row fails its checksum" in finding.wrong for finding in checked.findings)
    repaired(data, scratch)
    assert (data / "damaged/1/catalog.sqlite").read_bytes() == before
    instance = opened(data)
    assert hosts(instance) == expected
    instance.close()


@pytest.mark.parametrize("value", ["memory_hours", "name", "created_ns", "checksum"])
def test_one_turned_bit_of_a_row_is_put_right(data: Path, scratch: Path, value: str) -> None:
    select = "SELECT * FROM tables ORDER BY id"
    with closing(sqlite3.connect(data / "catalog.sqlite")) as connection:
        before = connection.execute(select).fetchall()
    turned = "name = 'sensorr'" if value == "name" else f"{value} = {value} + 4 - 2 * ({value} & 4)"
    change(data, f"UPDATE tables SET {turned} WHERE name = 'sensors'")
    repaired(data, scratch)
    with closing(sqlite3.connect(data / "catalog.sqlite")) as connection:
        assert connection.execute(select).fetchall() == before


def test_a_catalog_that_is_no_database_can_only_be_restored(data: Path, scratch: Path) -> None:
    (data / "catalog.sqlite").write_bytes(b"x" * 4_096)
    checked = looked_at(data, scratch)
    assert damaged(checked) == ["catalog.sqlite"]
    assert not checked.is_whole
    before = content(data)
    with pytest.raises(Invalid, match="restore a backup"):
        repair(LocalFiles(), data, checked)
    assert content(data) == before


def test_files_that_can_be_done_without_are_moved(data: Path, scratch: Path) -> None:
    spoiled = [min(data.glob("blocks/*/series")), min(data.glob("results/*")), data / "credentials"]
    before = {path: path.read_bytes() for path in spoiled[:2]}
    for path in spoiled[:2]:
        flip(path, 300)
    (data / "credentials").write_text("[default]\n")
    repaired(data, scratch)
    for path, kept in before.items():
        moved = data / "damaged/1" / path.relative_to(data)
        assert not path.exists()
        assert len(moved.read_bytes()) == len(kept)
    opened(data).close()
    assert "aws_secret_access_key" in (data / "credentials").read_text()


def test_a_second_repair_leaves_what_the_first_set_aside(data: Path, scratch: Path) -> None:
    for number in (1, 2):
        path = min(data.glob("blocks/*/*.parquet"))
        flip(path, 200)
        repaired(data, scratch)
        assert (data / f"damaged/{number}" / path.relative_to(data)).exists()
    assert repair(LocalFiles(), data, looked_at(data, scratch)) == []
