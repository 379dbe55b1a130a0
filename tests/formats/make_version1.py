"""Made `version1.tar.xz` and `version1.json`, once, with release 0.1: a small data folder, and its answers to queries.

Kept for ever and never made anew: every later release must read that folder as it is (`test_golden_folder.py`). This
file says what is in it: blocks in both orders of rows, with replaced rows and merged; series files; records that only
the log has, in two segments, and its mark; every type of measure; tags; a second key of a database, under which older
data keys are wrapped anew. The clock stood still.

    python make_version1.py FOLDER      # writes both files into FOLDER
"""

from __future__ import annotations

import json
import random
import sys
import tarfile
import tempfile
from pathlib import Path

from headwater.config import load
from headwater.files import LocalFiles
from headwater.instance import BLOCKS_FOLDER, Instance
from headwater.jobs.rewrap import Rewrap
from headwater.model.table import Retention
from headwater.model.time import FixedClock
from headwater.query.token import Caller
from headwater.server.query_api import page_json
from headwater.storage import table
from headwater.wal.mark import write_mark
from headwater.wire.write_records import decode_write_records

NOW_NS = 1_704_067_800_000_000_000
ACCOUNT = "000000000000"
WAIT_S = 30

QUERIES = (
    'SELECT * FROM "plant"."sensors" ORDER BY time, host, measure_name',
    'SELECT count(*), min(time), max(time) FROM "plant"."sensors"',
    'SELECT host, avg(measure_value::double) FROM "plant"."sensors" GROUP BY host ORDER BY 1',
    'SELECT * FROM "plant"."by_line" ORDER BY time, line, measure_name',
    'SELECT line, sum("pieces") FROM "plant"."by_line" GROUP BY line ORDER BY 1',
    'SELECT * FROM "second base"."Tëst" ORDER BY time',
    'SHOW TABLES FROM "plant"',
    'DESCRIBE "plant"."sensors"',
)


def open_folder(data: Path, clock: FixedClock) -> Instance:
    flags = {"data": str(data), "listen": "127.0.0.1:0", "log_level": "error"}
    return Instance.open(load(flags, {}, None, processors=1), clock=clock, randomness=random.Random(1).randbytes)


def answers(instance: Instance) -> list[dict[str, object]]:
    """What each query gives: names, types and rows."""
    found = []
    for text in QUERIES:
        page = json.loads(page_json(instance.queries.run(Caller(ACCOUNT, "AKIATEST"), text)))
        found.append({"query": text, "columns": page["ColumnInfo"], "rows": page["Rows"]})
    return found


def _write(instance: Instance, database: str, table: str, records: list[dict[str, object]]) -> None:
    body = json.dumps({"DatabaseName": database, "TableName": table, "Records": records}).encode()
    instance.ingest.write(decode_write_records(body, instance.config.limits)).result(WAIT_S)


def _single(host: str, name: str, value: str, kind: str, age_s: int, version: int = 1) -> dict[str, object]:
    return {
        "Dimensions": [{"Name": "host", "Value": host}],
        "MeasureName": name,
        "MeasureValue": value,
        "MeasureValueType": kind,
        "Time": str((NOW_NS - age_s * 1_000_000_000) // 1_000_000),
        "Version": version,
    }


def _multi(line: str, age_s: int, version: int = 1) -> dict[str, object]:
    return {
        "Dimensions": [{"Name": "line", "Value": line}] if line else [{"Name": "hall", "Value": "ä"}],
        "MeasureName": "output",
        "MeasureValueType": "MULTI",
        "MeasureValues": [
            {"Name": "pieces", "Value": str(age_s + version), "Type": "BIGINT"},
            {"Name": "share", "Value": "0.1", "Type": "DOUBLE"},
            {"Name": "is_on", "Value": "true", "Type": "BOOLEAN"},
            {"Name": "note", "Value": 'a "note", ünïcode', "Type": "VARCHAR"},
            {"Name": "seen", "Value": str(NOW_NS // 1_000_000), "Type": "TIMESTAMP"},
        ],
        "Time": str((NOW_NS - age_s * 1_000_000_000) // 1_000_000),
        "Version": version,
    }


def _fill(instance: Instance) -> None:
    catalog = instance.catalog
    catalog.create_database("plant", None, {"team": "north"})
    catalog.create_database("second base", None)
    # All of it is within the memory tier, on two UTC days.
    kept = Retention(memory_hours=24)
    instance.create_table("plant", "sensors", kept, {"EnableMagneticStoreWrites": True}, None, {"kind": "golden"})
    instance.create_table("plant", "by_line", kept, None, [{"Type": "DIMENSION", "Name": "line"}])
    instance.create_table("second base", "Tëst", None, None, None)
    for part in range(2):
        ages = range(part * 7_200, part * 7_200 + 300, 60)
        _write(instance, "plant", "sensors", [_single(f"h{i // 60 % 3}", "load", f"{i}.25", "DOUBLE", i) for i in ages])
        _write(instance, "plant", "by_line", [_multi(f"l{i // 60 % 2}", i) for i in ages] + [_multi("", 30 + part)])
        instance.store.flush()
    instance.store.compact()
    kinds = (("count", "9007199254740993", "BIGINT"), ("up", "false", "BOOLEAN"), ("says", "x\n'y'", "VARCHAR"))
    _write(instance, "plant", "sensors", [_single("h9", name, value, kind, 20) for name, value, kind in kinds])
    _write(instance, "plant", "sensors", [_single("h0", "load", "-0.5", "DOUBLE", 0, version=2)])
    _write(instance, "plant", "by_line", [_multi("l0", 120, version=7)])
    instance.store.flush()
    key = "arn:aws:kms:us-east-1:000000000000:key/11111111-2222-3333-4444-555555555555"
    catalog.update_database("plant", key)
    Rewrap(LocalFiles(), instance.config.data / BLOCKS_FOLDER, catalog).run()
    _write(instance, "plant", "sensors", [_single("h1", "load", "1e300", "DOUBLE", 10)])
    instance.store.flush()


def main(folder: Path) -> None:
    clock = FixedClock(NOW_NS)
    # A series file as soon as there are two blocks.
    table.UNCOVERED_BLOCKS = 2
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "data"
        instance = open_folder(data, clock)
        _fill(instance)
        instance.close()
        # Only the log has what follows, in the segment of a second start.
        instance = open_folder(data, clock)
        _write(instance, "plant", "sensors", [_single("h2", "load", "0.125", "DOUBLE", 5)])
        _write(instance, "second base", "Tëst", [_single("späť", "mé", "1", "BIGINT", 3)])
        found = answers(instance)
        instance.close()
        write_mark(LocalFiles(), data / "wal", 0)
        with tarfile.open(folder / "version1.tar.xz", "w:xz") as archive:
            for path in sorted(data.rglob("*")):
                if path.is_file() and path.name not in ("lock", "reserve") and "results" not in path.parts:
                    archive.add(path, path.relative_to(data))
    (folder / "version1.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
