"""Nothing that was written can be read off the disk: log, blocks, catalog and its side files, results, leftovers."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import pytest

from headwater.config import load
from headwater.errors import Invalid
from headwater.instance import Instance
from headwater.model.time import FixedClock
from headwater.query.token import Caller
from headwater.server.query_api import page_json
from headwater.wire.write_records import decode_write_records

NOW_NS = 1_704_067_800_000_000_000
WAIT_S = 30
RECORDS = 100

SECRETS = (
    b"secret-host-",
    b"secret varchar measure",
    struct.pack("<d", 1234.5678901),
    b"1234.5678901",
    struct.pack("<q", 7_777_777_777_777),
    b"7777777777777",
    b"secret-name-of-a-measure",
)
"""Values as clients send them, and as files hold them."""


def open_instance(folder: Path, environ: Mapping[str, str] | None = None, **settings: str) -> Instance:
    flags = {"data": str(folder), "listen": "127.0.0.1:0", "log_level": "error", **settings}
    return Instance.open(load(flags, environ or {}, None, processors=1), clock=FixedClock(NOW_NS))


def write(instance: Instance) -> None:
    records = [
        {
            "Dimensions": [{"Name": "host", "Value": f"secret-host-{i}"}],
            "MeasureName": "secret-name-of-a-measure",
            "MeasureValueType": "MULTI",
            "MeasureValues": [
                {"Name": "text", "Value": "secret varchar measure", "Type": "VARCHAR"},
                {"Name": "number", "Value": "1234.5678901", "Type": "DOUBLE"},
                {"Name": "count", "Value": "7777777777777", "Type": "BIGINT"},
            ],
            "Time": str(NOW_NS // 1_000_000 - i),
        }
        for i in range(RECORDS)
    ]
    request = {"DatabaseName": "db", "TableName": "t", "Records": records}
    body = json.dumps(request).encode()
    instance.ingest.write(decode_write_records(body, instance.config.limits)).result(WAIT_S)


def read(instance: Instance) -> int:
    page = json.loads(page_json(instance.queries.run(Caller("000000000000", "AKIATEST"), 'SELECT * FROM "db"."t"')))
    return len(page["Rows"])


def found_on_disk(folder: Path) -> list[tuple[str, bytes]]:
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return [(path.name, secret) for path, data in files.items() for secret in SECRETS if secret in data]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_no_value_is_readable_in_any_file(folder: Path) -> None:
    instance = open_instance(folder)
    instance.catalog.create_database("db", None)
    instance.create_table("db", "t", None, None, None)
    write(instance)
    assert list((folder / "wal").glob("*.log"))
    assert found_on_disk(folder) == []
    instance.store.flush()
    assert list((folder / "blocks").rglob("*.parquet"))
    assert read(instance) == RECORDS
    assert found_on_disk(folder) == []
    instance.close()
    assert found_on_disk(folder) == []


def test_the_search_finds_what_is_readable(folder: Path) -> None:
    folder.mkdir()
    for i, secret in enumerate(SECRETS):
        (folder / str(i)).write_bytes(b"before" + secret + b"behind")
    assert {secret for _, secret in found_on_disk(folder)} == set(SECRETS)


def test_a_folder_opens_with_the_master_key_of_the_environment_only(folder: Path) -> None:
    environ = {"HEADWATER_MASTER_KEY": "ab" * 32}
    instance = open_instance(folder, environ)
    instance.catalog.create_database("db", None)
    instance.create_table("db", "t", None, None, None)
    write(instance)
    instance.store.flush()
    instance.close()
    assert not (folder / "master.key").exists()
    for wrong in ({"HEADWATER_MASTER_KEY": "cd" * 32}, {}):
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        with pytest.raises(Invalid, match=r"is not the master key that this data folder was made with|is missing"):
            open_instance(folder, wrong)
        assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    instance = open_instance(folder, environ)
    assert read(instance) == RECORDS
    instance.close()


def test_the_master_key_may_be_in_a_file_elsewhere(folder: Path, tmp_path: Path) -> None:
    key = tmp_path / "elsewhere.key"
    open_instance(folder, master_key=f"file:{key}").close()
    assert key.stat().st_mode & 0o777 == 0o600
    assert not (folder / "master.key").exists()
    with pytest.raises(Invalid, match=r"master\.key is missing"):
        open_instance(folder)
    open_instance(folder, master_key=f"file:{key}").close()
