"""The data folder that release 0.1 left: every later release answers from it as that one did, and refuses newer files.

`make_version1.py` made it once; it is never made anew. When a format gets a new version, a folder is added beside it.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import struct
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from zlib import crc32

import pytest

from formats.make_version1 import NOW_NS, answers, open_folder
from headwater.config import load
from headwater.errors import NewerFormat
from headwater.files import LocalFiles
from headwater.model.time import FixedClock
from headwater.upkeep.check import check
from headwater.upkeep.contents import CONTENTS_FILE, read_contents
from headwater.wal.segment import HEADER_BYTES

HERE = Path(__file__).parent
ARCHIVE = HERE / "version1.tar.xz"
SHA256 = "c5360a14fd0393f5635ee344391d4b00e285f6ac1e9d0aa4b2cf5ea0181752b0"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(data, filter="data")
    return data


def contents(folder: Path) -> dict[str, bytes]:
    """All that stands in a folder, but for the lock that whoever looks makes."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def plain(found: list[dict[str, object]]) -> list[dict[str, object]]:
    return json.loads(json.dumps(found))


def test_the_folder_is_the_one_that_was_kept() -> None:
    assert hashlib.sha256(ARCHIVE.read_bytes()).hexdigest() == SHA256


def test_a_server_answers_from_it_as_the_one_that_wrote_it(folder: Path) -> None:
    kept = json.loads((HERE / "version1.json").read_text("utf-8"))
    instance = open_folder(folder, FixedClock(NOW_NS))
    try:
        assert plain(answers(instance)) == kept
        instance.store.compact()
        assert plain(answers(instance)) == kept
    finally:
        instance.close()
    instance = open_folder(folder, FixedClock(NOW_NS))
    try:
        assert plain(answers(instance)) == kept
        assert instance.catalog.tags("plant", None) == {"team": "north"}
        assert instance.catalog.tags("plant", "sensors") == {"kind": "golden"}
        assert instance.catalog.database("plant").kms_key_id.endswith("555555555555")
    finally:
        instance.close()


def test_nothing_in_it_is_damaged(folder: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    config = load({"data": str(folder), "listen": "127.0.0.1:0"}, {}, None, processors=1)
    before = contents(folder)
    assert check(LocalFiles(), folder, config, FixedClock(NOW_NS), scratch).findings == ()
    assert contents(folder) == before


def newer_catalog(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "catalog.sqlite")) as connection:
        connection.execute("UPDATE format SET version = 9")
        connection.commit()


def newer_segment(folder: Path) -> None:
    patch(folder / "wal/000000000002.log", 8)


def newer_entry(folder: Path) -> None:
    """Its header has a checksum, seeded with the segment's salt."""
    path = folder / "wal/000000000002.log"
    patch(path, HEADER_BYTES + 4)
    data = bytearray(path.read_bytes())
    fields = data[HEADER_BYTES : HEADER_BYTES + 30]
    data[HEADER_BYTES + 30 : HEADER_BYTES + 34] = struct.pack("<I", crc32(fields, crc32(data[34:42])))
    path.write_bytes(data)


def newer_mark(folder: Path) -> None:
    patch(folder / "wal/mark", 4)


def newer_block(folder: Path) -> None:
    """Without its series file the directories of a table's blocks are read when it is opened."""
    for path in folder.glob("blocks/*/series"):
        path.unlink()
    for path in folder.glob("blocks/*/*.parquet"):
        patch(path, 8)


def newer_master_key(folder: Path) -> None:
    path = folder / "master.key"
    path.write_text(path.read_text().replace("headwater-master-key 1 ", "headwater-master-key 9 "))


def patch(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset : offset + 2] = struct.pack("<H", 9)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("make_newer", "named"),
    [
        (newer_catalog, "The catalog has format version 9"),
        (newer_segment, r"Segment 000000000002\.log of the log has format version 9"),
        (newer_entry, r"Entry \d+ of the log has format version 9"),
        (newer_mark, "The mark of the log has format version 9"),
        (newer_block, r"[0-9a-f]{32}/[0-9a-f]{32} is sealed in format version 9"),
        (newer_master_key, r"The master key .*master\.key has format version 9"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_newer_file_is_refused_by_name(folder: Path, make_newer: Callable[[Path], None], named: str) -> None:
    make_newer(folder)
    log = {path.name: path.read_bytes() for path in folder.glob("wal/*")}
    blocks = {path.name: path.read_bytes() for path in folder.glob("blocks/*/*")}
    with pytest.raises(NewerFormat, match=named):
        open_folder(folder, FixedClock(NOW_NS))
    assert {path.name: path.read_bytes() for path in folder.glob("blocks/*/*")} == blocks
    if make_newer is not newer_block:
        assert {path.name: path.read_bytes() for path in folder.glob("wal/*")} == log


def test_a_newer_backup_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / CONTENTS_FILE).write_text('{"format":9,"something":"new"}\n')
    with pytest.raises(NewerFormat, match=r"backup\.json has format version 9"):
        read_contents(LocalFiles(), tmp_path)
