"""Scheduled queries on a real instance: what is written, which slots are run, how often, and what is told of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from headwater.model.scheduled_query import (
    AttributeMapping,
    ExecutionStats,
    MixedMeasureMapping,
    ReportLocation,
    RunStatus,
    State,
    TargetConfiguration,
)
from headwater.model.table import MeasureType
from headwater.model.time import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE, NS_PER_S
from support.scheduled import (
    ENDLESS,
    MEANS,
    START_NS,
    World,
    make_tables,
    rows,
    run_due,
    runs,
    schedule,
    slots_s,
    write_cpu,
)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_rows_become_records_at_the_slot(world: World) -> None:
    with world.open() as instance:
        make_tables(instance, "cpu", "means")
        write_cpu(instance, {"a": [1, 2], "b": [10]})
        query = schedule(instance)
        world.minutes(instance, 1)
        assert rows(instance, "SELECT host, measure_name, time, mean FROM db.means ORDER BY 1") == [
            ["a", "means", "2024-01-01 00:01:00.000000000", "1.5"],
            ["b", "means", "2024-01-01 00:01:00.000000000", "10.0"],
        ]
        (run,) = runs(instance, query)
        assert (run.status, run.trigger_ms) == (RunStatus.AUTO_TRIGGER_SUCCESS, world.clock.now_ns() // 10**6)
        assert run.stats == ExecutionStats(
            execution_ms=0,
            written_bytes=1024,
            metered_bytes=10_000_000,
            scanned_bytes=run.stats.scanned_bytes,
            records_ingested=2,
            result_rows=2,
        )
        assert run.stats.scanned_bytes > 0


def test_a_slot_is_run_once_whatever_the_clock_does(world: World) -> None:
    with world.open() as instance:
        make_tables(instance, "cpu", "means")
        write_cpu(instance, {"a": [1]})
        query = schedule(instance, schedule_expression="cron(0/5 * * * ? *)")
        world.minutes(instance, 11)
        assert slots_s(instance, query) == [300, 600]
        world.clock.time_ns = START_NS
        world.minutes(instance, 11)
        assert slots_s(instance, query) == [300, 600]
        world.minutes(instance, 5)
        assert slots_s(instance, query) == [300, 600, 900]


def test_a_slot_is_run_once_across_restarts_and_missed_ones_are_run_in_order(world: World) -> None:
    with world.open() as instance:
        make_tables(instance, "cpu", "means")
        write_cpu(instance, {"a": [1]})
        query = schedule(instance)
        world.minutes(instance, 1)
    world.clock.advance(3 * NS_PER_MINUTE)
    with world.open() as instance:
        run_due(instance)
        assert slots_s(instance, query) == [60, 120, 180, 240]


def test_of_slots_missed_for_long_the_last_day_is_run(world: World) -> None:
    with world.open() as instance:
        make_tables(instance, "cpu", "means")
        write_cpu(instance, {"a": [1]})
        often = schedule(instance, name="often", schedule_expression="rate(6 hours)")
        seldom = schedule(instance, name="seldom", schedule_expression="rate(3 days)")
        world.clock.advance(5 * NS_PER_DAY - NS_PER_HOUR)
        run_due(instance)
        hour = 3_600
        assert slots_s(instance, often) == [h * hour for h in (96, 102, 108, 114)]
        assert slots_s(instance, seldom) == [72 * hour]


def test_slots_of_a_disabled_query_are_never_run(world: World) -> None:
    with world.open() as instance:
        make_tables(instance, "cpu", "means")
        write_cpu(instance, {"a": [1]})
        query = schedule(instance)
        instance.scheduling.update_state(query.arn, State.DISABLED)
        world.minutes(instance, 3)
        instance.scheduling.update_state(query.arn, State.ENABLED)
        world.minutes(instance, 1)
        assert slots_s(instance, query) == [240]


def test_a_manual_run_has_the_time_that_was_asked_for_and_replaces_earlier_results(world: World) -> None:
    with world.open() as instance:
        make_tables(instance, "cpu", "means")
        write_cpu(instance, {"a": [1]})
        query = schedule(instance)
        world.minutes(instance, 1)
        slot_s = runs(instance, query)[0].invocation_s
        world.clock.advance(-20 * NS_PER_S)
        write_cpu(instance, {"a": [3]})
        instance.scheduling.update_state(query.arn, State.DISABLED)
        assert rows(instance, "SELECT mean FROM db.means") == [["1.0"]]
        instance.scheduled.run_manually(query.arn, slot_s, None, wants_insights=True)
        run_due(instance)
        assert rows(instance, "SELECT mean FROM db.means") == [["2.0"]]
        manual = runs(instance, query)[-1]
        assert (manual.status, manual.invocation_s) == (RunStatus.MANUAL_TRIGGER_SUCCESS, slot_s)
        assert manual.insights is not None
        assert manual.insights.output_rows == 1


def test_rejected_rows_are_reported_and_the_others_stored(world: World) -> None:
    text = (
        "SELECT host, if(host = 'old', @scheduled_runtime - 400d, @scheduled_runtime) AS slot, "
        "if(host = 'void', nan(), measure_value::double) AS mean FROM db.cpu"
    )
    with world.open() as instance:
        make_tables(instance, "cpu", "means")
        write_cpu(instance, {"good": [1], "old": [2], "void": [3]})
        query = schedule(instance, text)
        world.minutes(instance, 1)
        (run,) = runs(instance, query)
        assert rows(instance, "SELECT host, mean FROM db.means") == [["good", "1.0"]]
        key = f"some/prefix/{query.id}/{run.invocation_s}/Auto/{run.trigger_ms}"
        assert (run.status, run.error_report) == (RunStatus.AUTO_TRIGGER_FAILURE, ReportLocation("errors", key))
        assert (run.stats.records_ingested, run.stats.result_rows) == (1, 3)
        assert run.failure_reason == "2 rows or records of the result could not be written."
        (report,) = world.reports()
        by_record, by_row = report["errors"]
        assert by_record["reason"].startswith("The record timestamp is outside the time range [")
        assert by_record["records"] == [
            {
                "dimensions": [{"name": "host", "value": "old", "dimensionValueType": None}],
                "measureName": "means",
                "measureValue": None,
                "measureValues": [{"name": "mean", "value": "2.0", "type": "DOUBLE"}],
                "measureValueType": "MULTI",
                "time": str((run.invocation_s - 400 * 86_400) * NS_PER_S),
                "timeUnit": "NANOSECONDS",
                "version": None,
            }
        ]
        assert by_row == {
            "reason": "Invalid value NaN for double measure value type.",
            "rawLine": "void,2024-01-01 00:01:00.000000000,NaN",
        }
        assert len(report["reportId"]) == 32
        assert instance.catalog.scheduled.get(query.arn).state is State.ENABLED


def test_a_report_without_its_bucket_is_in_nobodys_way(world: World) -> None:
    with world.open() as instance:
        make_tables(instance, "cpu", "means")
        write_cpu(instance, {"a": [1]})
        (world.folder / "buckets" / "errors").rmdir()
        query = schedule(instance, MEANS.replace("@scheduled_runtime AS", "@scheduled_runtime - 400d AS"))
        world.minutes(instance, 2)
        assert [run.status for run in runs(instance, query)] == 2 * [RunStatus.AUTO_TRIGGER_FAILURE]
        assert runs(instance, query)[0].error_report is None


def test_a_failure_that_would_come_again_disables_the_query(world: World) -> None:
    with world.open() as instance, capture_logs() as logs:
        make_tables(instance, "cpu", "means")
        write_cpu(instance, {"a": [1]})
        query = schedule(instance)
        instance.drop_table("db", "means")
        world.minutes(instance, 2)
        (run,) = runs(instance, query)
        assert (run.status, run.error_report) == (RunStatus.AUTO_TRIGGER_FAILURE, None)
        assert run.failure_reason == "The table means does not exist."
        assert instance.catalog.scheduled.get(query.arn).state is State.DISABLED
    told = [json.loads(line["message"]) for line in logs if line["event"] == "notification"]
    assert [message["type"] for message in told] == [
        "SCHEDULED_QUERY_CREATING",
        "SCHEDULED_QUERY_CREATED",
        "AUTO_TRIGGER_FAILURE",
        "SCHEDULED_QUERY_UPDATED",
    ]
    assert told[-1] == {"type": "SCHEDULED_QUERY_UPDATED", "arn": query.arn, "state": "DISABLED"}


def test_a_stop_cuts_a_run_short_and_the_next_start_finishes_it(world: World) -> None:
    with world.open() as instance:
        make_tables(instance, "cpu", "means")
        write_cpu(instance, {"a": [1]})
        query = schedule(instance, ENDLESS)
        world.clock.advance(NS_PER_MINUTE)
        instance.scheduled.run()
        (job,) = instance.scheduled.running()
        assert job.begun.arn == query.arn
    with world.open() as instance:
        (begun,) = instance.catalog.scheduled.unfinished()
        assert (begun.invocation_s, begun.is_manual) == (job.begun.invocation_s, False)
        instance.scheduling.delete(query.arn)
        run_due(instance)
        assert rows(instance, "SELECT count(*) FROM db.means") == [["0"]]


def test_a_long_run_delays_no_other_query(world: World) -> None:
    with world.open() as instance:
        make_tables(instance, "cpu", "means")
        write_cpu(instance, {"a": [1]})
        long = schedule(instance, ENDLESS, name="long")
        short = schedule(instance, name="short")
        world.clock.advance(NS_PER_MINUTE)
        instance.scheduled.run()
        while not runs(instance, short):
            assert not instance.scheduled.settle(0.01)
        instance.scheduling.delete(long.arn)
        run_due(instance)
        assert slots_s(instance, short) == [60]


def test_mixed_measures_become_records_of_their_kinds(world: World) -> None:
    text = (
        "SELECT host, bin(time, 1m) AS slot, measure_name AS kind, avg(measure_value::double) AS mean, "
        "count(*) AS number FROM db.cpu GROUP BY host, bin(time, 1m), measure_name"
    )
    target = TargetConfiguration(
        "db",
        "means",
        "slot",
        ("host",),
        measure_name_column="kind",
        mixed_measure_mappings=(
            MixedMeasureMapping(MeasureType.DOUBLE, "cpu", "mean", "cpu_mean"),
            MixedMeasureMapping(
                None, "cpu", target_name="all", attributes=(AttributeMapping("number", MeasureType.BIGINT),)
            ),
        ),
    )
    with world.open() as instance:
        make_tables(instance, "cpu", "means")
        write_cpu(instance, {"a": [1, 2]})
        query = schedule(instance, text, target=target)
        world.minutes(instance, 2)
        assert rows(instance, "SELECT measure_name, measure_value::double, number FROM db.means ORDER BY 1") == [
            ["all", None, "2"],
            ["cpu_mean", "1.5", None],
        ]
        assert rows(instance, "SHOW MEASURES FROM db.means")[0][:2] == ["all", "multi"]
        assert [run.stats.records_ingested for run in runs(instance, query)] == [2, 2]


def test_without_a_target_nothing_is_written(world: World) -> None:
    with world.open() as instance:
        make_tables(instance, "cpu")
        write_cpu(instance, {"a": [1]})
        query = schedule(instance, target=None)
        world.minutes(instance, 1)
        (run,) = runs(instance, query)
        assert (run.status, run.stats.result_rows, run.stats.records_ingested) == (
            RunStatus.AUTO_TRIGGER_SUCCESS,
            1,
            0,
        )


def test_a_manual_run_is_asked_for_once_for_each_token_and_survives_a_stop(world: World) -> None:
    with world.open() as instance:
        make_tables(instance, "cpu", "means")
        write_cpu(instance, {"a": [1]})
        query = schedule(instance, ENDLESS)
        for invocation_s in (60, 120, 180):
            instance.scheduled.run_manually(query.arn, invocation_s, f"{invocation_s}" * 20)
            instance.scheduled.run_manually(query.arn, invocation_s, f"{invocation_s}" * 20)
        assert [job.begun.invocation_s for job in instance.scheduled.running()] == [60, 120]
    with world.open() as instance:
        assert [begun.invocation_s for begun in instance.catalog.scheduled.unfinished()] == [60, 120, 180]


def test_a_large_result_is_written_in_parts(world: World) -> None:
    text = (
        "SELECT 'a' AS host, from_nanoseconds(to_nanoseconds(@scheduled_runtime) - n) AS slot, "
        "CAST(n AS double) AS mean FROM UNNEST(sequence(1, 5000)) AS t (n)"
    )
    with world.open() as instance:
        make_tables(instance, "cpu", "means")
        query = schedule(instance, text)
        world.minutes(instance, 1)
        (run,) = runs(instance, query)
        assert (run.stats.records_ingested, run.stats.written_bytes % 1_024) == (5_000, 0)
        assert rows(instance, "SELECT count(*), sum(mean) FROM db.means") == [["5000", "1.25025E7"]]
