"""What metrics are told of a real instance: writes, blocks, queries, runs of scheduled queries, notifications."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headwater.errors import Conflict, Invalid, QueryFailed, Rejected
from headwater.instance import Instance
from headwater.model.facts import Facts, IngestFacts, NotificationFacts, Runs
from headwater.model.table import Retention
from headwater.model.time import NS_PER_HOUR, NS_PER_MINUTE, NS_PER_MS
from headwater.wire.write_records import decode_write_records
from support.scheduled import CALLER, ENDLESS, MEANS, World, make_tables, run_due, schedule, write_cpu

FAILING = "SELECT CAST(host AS bigint) FROM db.cpu"
"""It compiles."""


def write_late(instance: Instance, value: str, age_hours: int, version: int = 1) -> None:
    """A record of `db.late`, which takes late ones."""
    record = {
        "Dimensions": [{"Name": "host", "Value": "a"}],
        "MeasureName": "cpu",
        "MeasureValue": value,
        "Time": str((instance.clock.now_ns() - age_hours * NS_PER_HOUR) // NS_PER_MS),
        "Version": version,
    }
    body = json.dumps({"DatabaseName": "db", "TableName": "late", "Records": [record]}).encode()
    instance.ingest.write(decode_write_records(body, instance.config.limits)).result(30)


def test_records_are_counted_by_what_became_of_them(tmp_path: Path) -> None:
    with World(tmp_path).open() as instance:
        make_tables(instance, "cpu")
        late_writes = {"EnableMagneticStoreWrites": True}
        instance.create_table("db", "late", Retention(6, 100), late_writes, None)
        write_cpu(instance, {"a": [1, 2, 3]})
        write_late(instance, "1", age_hours=1)
        write_late(instance, "1", age_hours=48)
        assert instance.facts().ingest["WriteRecords"] == IngestFacts(4, 1, 0)
        with pytest.raises(Rejected):
            write_late(instance, "2", age_hours=1)
        with pytest.raises(Rejected):
            write_late(instance, "2", age_hours=24 * 300)
        write_late(instance, "2", age_hours=48)
        facts = instance.facts()
        # The last one was answered as taken: only the count of late conflicts knows better.
        assert facts.ingest["WriteRecords"] == IngestFacts(4, 2, 2)
        assert (facts.store.late_rejected, facts.store.late_reports_waiting) == (1, 0)
        assert facts.ingest["ScheduledQuery"] == IngestFacts()


def test_memory_becomes_blocks(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.open() as instance:
        make_tables(instance, "cpu")
        write_cpu(instance, {"a": [1, 2, 3]})
        world.clock.advance(NS_PER_MINUTE)
        before = instance.facts().store
        assert before.memtable_bytes > 0
        assert before.memtable_age_s == 60
        assert before.log.bytes > 0
        assert before.log.appends == 1
        assert before.runs["flush"] == Runs(0, 0)
        instance.store.flush()
        after = instance.facts().store
        assert (after.blocks, after.block_rows, after.damaged_blocks) == (1, 3, 0)
        assert after.block_bytes > 0
        assert (after.memtable_bytes, after.memtable_age_s, after.log.bytes) == (0, 0, 0)
        assert after.runs["flush"] == Runs(1, 0)
        assert after.decoded_bytes == 0
        instance.queries.run(CALLER, "SELECT * FROM db.cpu")
        assert instance.facts().store.decoded_bytes >= 3 * 16
        instance.store.keep_space()
        disk = instance.facts().store
        assert disk.disk_low_mark_bytes >= 512 * 1024 * 1024
        assert disk.is_disk_low is (disk.disk_free_bytes < disk.disk_low_mark_bytes)
        write_cpu(instance, {"b": [4]})
    with world.open() as instance:
        found = instance.facts().store
        # A table counts before anybody has asked for it.
        assert (found.blocks, found.block_rows) == (1, 3)
        assert found.log.replayed_records == 1


def test_queries_are_counted_by_outcome(tmp_path: Path) -> None:
    with World(tmp_path).open() as instance:
        make_tables(instance, "cpu")
        write_cpu(instance, {"a": [1]})
        instance.queries.run(CALLER, "SELECT * FROM db.cpu")
        instance.queries.run(CALLER, "SHOW DATABASES")
        with pytest.raises(Invalid):
            instance.queries.run(CALLER, "SELECT nothing FROM db.cpu")
        with pytest.raises(QueryFailed):
            instance.queries.run(CALLER, FAILING)
        with pytest.raises(Conflict):
            instance.queries.run(CALLER, ENDLESS.replace("@scheduled_runtime", "now()"), is_wanted=lambda: False)
        facts = instance.facts().queries
        assert facts.ended == {"succeeded": 1, "failed": 1, "cancelled": 1}
        assert (facts.running, facts.waiting) == (0, 0)
        assert facts.metered_bytes == 10_000_000
        assert facts.scanned_bytes > 0


def test_runs_of_scheduled_queries_are_counted(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.open(webhook_url="http://127.0.0.1:9/") as instance:
        make_tables(instance, "cpu", "means")
        write_cpu(instance, {"a": [1]})
        query = schedule(instance)
        world.minutes(instance, 1)
        instance.drop_table("db", "means")
        instance.scheduled.run_manually(query.arn, 0, None)
        run_due(instance)
        facts = instance.facts()
        assert facts.scheduled_running == 0
        assert {status: count for status, count in facts.scheduled_ended.items() if count} == {
            "AUTO_TRIGGER_SUCCESS": 1,
            "MANUAL_TRIGGER_FAILURE": 1,
        }
        assert facts.ingest["ScheduledQuery"].memory == 1
        assert facts.notifications.waiting > 0
        assert facts.notifications.delivered == 0
        assert MEANS not in repr(facts)


def test_a_new_server_has_counted_nothing(tmp_path: Path) -> None:
    with World(tmp_path).open() as instance:
        facts: Facts = instance.facts()
    assert set(facts.batch_load_tasks.values()) == {0}
    assert facts.notifications == NotificationFacts(0, 0, 0)
    assert {"compaction", "flush", "scheduled queries"} <= set(facts.jobs)
