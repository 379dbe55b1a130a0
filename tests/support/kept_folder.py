"""The data folder that release 0.1 left (tests/formats), to damage, repair, back up and look into."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from random import Random

from formats.make_version1 import ACCOUNT, NOW_NS, open_folder
from headwater.config import Config, load
from headwater.files import LocalFiles
from headwater.instance import Instance
from headwater.model.time import FixedClock
from headwater.query.token import Caller
from headwater.sealing import SealingFile
from headwater.server.query_api import page_json
from headwater.upkeep.check import check
from headwater.upkeep.findings import Checked, Kind
from headwater.wire.write_records import decode_write_records

ARCHIVE = Path(__file__).parent.parent / "formats" / "version1.tar.xz"
SENSORS = '"plant"."sensors"'
WAIT_S = 30


def extract(to: Path) -> Path:
    """The folder, unpacked."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(to, filter="data")
    return to


def opened(data: Path) -> Instance:
    """A server's instance on it, at the moment at which it was made."""
    return open_folder(data, FixedClock(NOW_NS))


def config_of(data: Path) -> Config:
    return load({"data": str(data), "listen": "127.0.0.1:0"}, {}, None, processors=1)


def looked_at(data: Path, scratch: Path) -> Checked:
    """What fsck finds. `scratch` is made anew."""
    scratch.mkdir(exist_ok=True)
    for path in scratch.iterdir():
        path.unlink()
    return check(LocalFiles(), data, config_of(data), FixedClock(NOW_NS), scratch)


def damaged(checked: Checked) -> list[str]:
    """The files that are found to be damaged, each once."""
    return sorted({finding.file for finding in checked.findings if finding.kind is Kind.DAMAGE})


def rows(instance: Instance, text: str) -> list[list[object]]:
    page = json.loads(page_json(instance.queries.run(Caller(ACCOUNT, "AKIATEST"), text)))
    return [[datum.get("ScalarValue") for datum in row["Data"]] for row in page["Rows"]]


def write(instance: Instance, host: str, first_age_s: int, count: int = 1) -> None:
    """Records of `host` in one request, which is one entry of the log: a second apart, back from an age on."""
    records = [
        {
            "Dimensions": [{"Name": "host", "Value": host}],
            "MeasureName": "load",
            "MeasureValue": str(age_s),
            "MeasureValueType": "DOUBLE",
            "Time": str(NOW_NS // 1_000_000 - age_s * 1_000),
        }
        for age_s in range(first_age_s, first_age_s + count)
    ]
    body = json.dumps({"DatabaseName": "plant", "TableName": "sensors", "Records": records}).encode()
    instance.ingest.write(decode_write_records(body, instance.config.limits)).result(WAIT_S)


def hosts(instance: Instance) -> dict[str, int]:
    """How many records each host has."""
    return {host: int(n) for host, n in rows(instance, f"SELECT host, count(*) FROM {SENSORS} GROUP BY host")}


def add_result(data: Path, instance: Instance) -> Path:
    """A spooled result of three chunks, sealed as such; that it is no Arrow is no matter of fsck."""
    path = data / "results" / f"{NOW_NS // 10**9:x}-{'Q' * 63}.result"
    key = instance.catalog.keys.log.new(f"results/{path.name}")
    with path.open("wb") as file:
        sealing = SealingFile(file.write, key)
        sealing.write(Random(1).randbytes(150_000))
        sealing.finish()
    return path


def flip(path: Path, offset: int, bit: int = 0) -> None:
    """Turn one bit over; a negative offset counts from the end."""
    content = bytearray(path.read_bytes())
    content[offset] ^= 1 << bit
    path.write_bytes(content)
