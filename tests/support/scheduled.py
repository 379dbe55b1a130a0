"""A real instance with a clock of the test's, and scheduled queries on it, for tests of their runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from headwater.config import load
from headwater.instance import Instance
from headwater.model.scheduled_query import (
    AttributeMapping,
    ErrorReportConfiguration,
    MultiMeasureMappings,
    Run,
    ScheduledQuery,
    TargetConfiguration,
)
from headwater.model.table import MeasureType, Retention
from headwater.model.time import NS_PER_MINUTE, NS_PER_MS, NS_PER_S, FixedClock, parse_instant
from headwater.query.token import Caller
from headwater.wire.write_records import decode_write_records
from support.answers import rows_of

START_NS = parse_instant("2024-01-01T00:00:30Z")
SETTLE_S = 20.0
CALLER = Caller("0" * 12, "test")
TOPIC = "arn:aws:sns:us-east-1:000000000000:topic"

TARGET = TargetConfiguration(
    database="db",
    table="means",
    time_column="slot",
    dimensions=("host",),
    multi_measure_mappings=MultiMeasureMappings("means", (AttributeMapping("mean", MeasureType.DOUBLE),)),
)
MEANS = "SELECT host, @scheduled_runtime AS slot, avg(measure_value::double) AS mean FROM db.cpu GROUP BY host"
"""A query for `TARGET`."""

ENDLESS = (
    "WITH n AS (SELECT * FROM UNNEST(sequence(1, 10000)) AS t (x)) "
    "SELECT 'a' AS host, @scheduled_runtime AS slot, CAST(count(*) AS double) AS mean FROM n a, n b, n c, n d"
)
"""Another one, which does not end by itself."""


class World:
    """One data folder; `open` it as often as you like. Buckets are folders beside it, `errors` is one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FixedClock(START_NS)
        (folder / "buckets" / "errors").mkdir(parents=True)

    @contextmanager
    def open(self, **settings: str) -> Iterator[Instance]:
        flags = {"data": str(self.folder / "data"), "object_store": f"file://{self.folder}/buckets", **settings}
        instance = Instance.open(load(flags, {}, None, processors=1), clock=self.clock)
        try:
            yield instance
        finally:
            instance.close()

    def minutes(self, instance: Instance, count: int) -> None:
        """Minute after minute passes, and what is due runs."""
        for _ in range(count):
            self.clock.advance(NS_PER_MINUTE)
            run_due(instance)

    def reports(self) -> list[dict[str, Any]]:
        paths = sorted(path for path in (self.folder / "buckets" / "errors").rglob("*") if path.is_file())
        return [json.loads(path.read_bytes()) for path in paths]


def run_due(instance: Instance) -> None:
    """Whatever is due has been run on return."""
    instance.scheduled.run()
    assert instance.scheduled.settle(SETTLE_S)


def make_tables(instance: Instance, *names: str) -> None:
    instance.catalog.create_database("db", None)
    for name in names:
        instance.create_table("db", name, Retention(24, 100), None, None)


def write_cpu(instance: Instance, values: Mapping[str, Sequence[float]], table: str = "cpu") -> None:
    """Single-measure records `cpu`, a second apart up to now."""
    now_ms = instance.clock.now_ns() // NS_PER_MS
    records = [
        {
            "Dimensions": [{"Name": "host", "Value": host}],
            "MeasureName": "cpu",
            "MeasureValue": str(value),
            "Time": str(now_ms - 1_000 * place),
        }
        for host, of_host in values.items()
        for place, value in enumerate(of_host)
    ]
    body = json.dumps({"DatabaseName": "db", "TableName": table, "Records": records}).encode()
    instance.ingest.write(decode_write_records(body, instance.config.limits)).result(30)


def schedule(instance: Instance, text: str = MEANS, name: str = "means", **members: Any) -> ScheduledQuery:
    """A scheduled query; every minute unless `schedule_expression` says otherwise."""
    query = ScheduledQuery(
        arn=instance.scheduling.new_arn(name),
        name=name,
        query_string=text,
        schedule_expression="rate(1 minute)",
        topic_arn=TOPIC,
        role_arn="arn:aws:iam::000000000000:role/r",
        error_report=ErrorReportConfiguration("errors", "some/prefix"),
        created_ns=instance.clock.now_ns(),
        target=TARGET,
    )
    return instance.scheduling.create(replace(query, **members), None, {})


def rows(instance: Instance, text: str) -> list[list[str | None]]:
    """The cells of an answer, as texts."""
    page = instance.queries.run(CALLER, text)
    return [[cell.get("ScalarValue") for cell in row] for row in rows_of(page.rows)]


def runs(instance: Instance, query: ScheduledQuery) -> list[Run]:
    """From the oldest on."""
    return list(reversed(instance.catalog.scheduled.runs(query.arn, 1_000)))


def slots_s(instance: Instance, query: ScheduledQuery) -> list[int]:
    """The invocation times of all runs, in seconds after the first minute."""
    first_s = START_NS // NS_PER_MINUTE * NS_PER_MINUTE // NS_PER_S
    return [run.invocation_s - first_s for run in runs(instance, query)]
