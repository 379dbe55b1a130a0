"""What an explanation says of a table in memory and in blocks of several days."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from headwater.config import load
from headwater.errors import Invalid
from headwater.instance import Instance
from headwater.model.scan import Extent, TimeRange
from headwater.model.table import Retention
from headwater.model.time import NS_PER_S, FixedClock, parse_instant
from headwater.query.explain import ScanExplained
from headwater.wire.write_records import decode_write_records

NOW_NS = parse_instant("2024-03-09T12:00:00Z")
DAYS = 3


def put(instance: Instance, host: str, days_ago: int, count: int = 2) -> None:
    """Records of one host, a second apart, and all in memory."""
    end_s = NOW_NS // NS_PER_S - days_ago * 86_400
    records = [
        {
            "Dimensions": [{"Name": "host", "Value": host}],
            "MeasureName": "load",
            "MeasureValue": "1",
            "Time": str(end_s - number),
            "TimeUnit": "SECONDS",
        }
        for number in range(count)
    ]
    body = json.dumps({"DatabaseName": "ops", "TableName": "cpu", "Records": records}).encode()
    instance.ingest.write(decode_write_records(body, instance.config.limits)).result(20)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    """A block for each of three days, all of host a; and two records of host b, in memory."""
    config = load({"data": str(tmp_path), "listen": "127.0.0.1:0", "log_level": "error"}, {}, None, processors=1)
    with closing(Instance.open(config, clock=FixedClock(NOW_NS), randomness=Random(1).randbytes)) as instance:
        instance.catalog.create_database("ops", None)
        instance.create_table("ops", "cpu", Retention(24 * 5, 30), None, None)
        for days_ago in range(DAYS):
            put(instance, "a", days_ago)
        instance.store.flush()
        put(instance, "b", 0)
        yield instance


def scan_of(instance: Instance, query: str) -> ScanExplained:
    (scan,) = instance.queries.explain(query).scans
    return scan


def test_blocks_of_other_days_are_pruned(instance: Instance) -> None:
    scan = scan_of(instance, "SELECT count(*) FROM ops.cpu WHERE time > ago(1h)")
    assert (scan.database, scan.table) == ("ops", "cpu")
    assert scan.request.time == TimeRange(start_ns=NOW_NS - 3600 * NS_PER_S + 1)
    assert (scan.whole.memory_rows, scan.whole.blocks, scan.whole.block_rows) == (2, DAYS, 2 * DAYS)
    assert (scan.read.memory_rows, scan.read.blocks, scan.read.block_rows) == (2, 1, 2)
    assert 0 < scan.read.block_bytes < scan.whole.block_bytes


def test_rows_of_other_series_are_not_read(instance: Instance) -> None:
    scan = scan_of(instance, "SELECT host, time FROM ops.cpu WHERE host = 'a'")
    assert scan.names == ("host", "time")
    assert (scan.read.memory_rows, scan.read.blocks) == (0, DAYS)


def test_what_a_text_looks_like_is_asked_of_the_series(instance: Instance) -> None:
    scan = scan_of(instance, "SELECT host FROM ops.cpu WHERE regexp_like(host, '^[ac]$')")
    assert [pattern.shown for condition in scan.request.dimensions for pattern in condition.patterns] == [
        "MATCHES '^[ac]$'"
    ]
    assert (scan.read.memory_rows, scan.read.blocks) == (0, DAYS)
    assert scan_of(instance, "SELECT host FROM ops.cpu WHERE host LIKE 'c%'").read == Extent(0, 0, 0, 0)


def test_a_query_that_ends_early_is_tried_on_its_newest_part(instance: Instance) -> None:
    newest_ns = NOW_NS
    starts = (newest_ns - 600 * NS_PER_S, newest_ns - 7_200 * NS_PER_S, newest_ns - 86_400 * NS_PER_S)
    for query in ("SELECT host FROM ops.cpu LIMIT 3", "SELECT time FROM ops.cpu ORDER BY time DESC LIMIT 3"):
        scan = scan_of(instance, query)
        assert (scan.rows_enough, scan.tried_from_ns) == (3, starts)
        assert scan.read.blocks == DAYS
    others = instance.queries.explain("SELECT a.host FROM ops.cpu a, ops.cpu b LIMIT 3").scans
    assert [(scan.rows_enough, scan.tried_from_ns) for scan in others] == [(None, ())] * 2
    alone = scan_of(instance, "SELECT host FROM ops.cpu WHERE time > ago(1m) LIMIT 3")
    assert (alone.rows_enough, alone.tried_from_ns) == (3, ())


def test_rows_of_a_query_that_ends_early_are_as_many_as_there_are(instance: Instance) -> None:
    total = 2 * DAYS + 2
    for limit, expected in ((1, 1), (4, 4), (7, 7), (total, total), (100, total)):
        answer = instance.queries.run("me", f"SELECT host, time FROM ops.cpu LIMIT {limit}")
        assert answer.output_rows == expected


def test_a_series_that_is_nowhere_reads_nothing(instance: Instance) -> None:
    assert scan_of(instance, "SELECT host FROM ops.cpu WHERE host = 'c'").read == Extent(0, 0, 0, 0)


def test_records_past_retention_are_not_read(instance: Instance) -> None:
    assert scan_of(instance, "SELECT host FROM ops.cpu").request.time.start_ns > NOW_NS - 40 * 86_400 * NS_PER_S


def test_an_unload_is_explained_as_its_query(instance: Instance) -> None:
    explanation = instance.queries.explain("UNLOAD (SELECT host FROM ops.cpu) TO 's3://bucket/folder'")
    assert [column.name for column in explanation.columns] == ["host"]
    assert len(explanation.scans) == 1


def test_only_queries_are_explained(instance: Instance) -> None:
    with pytest.raises(Invalid, match="Only queries can be explained"):
        instance.queries.explain("SHOW DATABASES")
