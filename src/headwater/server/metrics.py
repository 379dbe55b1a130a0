"""What `/metrics` answers: how the server stands, in the text format of Prometheus.

`METRICS` is all there is, one row each: docs/metrics.md is made from it. Rooms count as they work and are asked when
somebody looks, so that a metric costs a write nothing; only requests are counted here, by `chain`. Names of databases,
tables and queries, values and texts never stand in a metric. Source: reliability.md 7; storage.md 9 for CloudWatch.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Literal

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from headwater.model.facts import Facts, Runs

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4.encode()

LATENCY_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

Samples = Iterable[tuple[tuple[str, ...], float]]
"""Values of labels, and the number."""


@dataclass(frozen=True, slots=True)
class Row:
    """One metric. A counter's name ends in `_total`; `cloudwatch` is what the service calls the same."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    samples: Callable[[Facts], Samples]
    labels: tuple[str, ...] = ()
    cloudwatch: str = ""

    def family(self, facts: Facts) -> Metric:
        kind = CounterMetricFamily if self.kind == "counter" else GaugeMetricFamily
        family = kind(self.name, described(self.help, self.cloudwatch), labels=self.labels)
        for values, number in self.samples(facts):
            family.add_metric(values, number)
        return family


def described(help: str, cloudwatch: str) -> str:
    return f"{help} CloudWatch: {cloudwatch}." if cloudwatch else help


def _one(number: Callable[[Facts], float]) -> Callable[[Facts], Samples]:
    return lambda facts: [((), number(facts))]


def _each(numbers: Callable[[Facts], Mapping[str, float]]) -> Callable[[Facts], Samples]:
    return lambda facts: [((key,), number) for key, number in numbers(facts).items()]


def _ingested(facts: Facts) -> Samples:
    for operation, counted in facts.ingest.items():
        yield (operation, "MEMORY"), counted.memory
        yield (operation, "MAGNETIC"), counted.magnetic
    yield ("BatchLoad", ""), facts.batch_load_ingested


def _rejected(facts: Facts) -> Samples:
    for operation, counted in facts.ingest.items():
        yield (operation,), counted.rejected
    yield ("BatchLoad",), facts.batch_load_rejected


def _done(runs: Callable[[Facts], Mapping[str, Runs]]) -> Callable[[Facts], Samples]:
    return _each(lambda facts: {name: one.done for name, one in runs(facts).items()})


def _failed(runs: Callable[[Facts], Mapping[str, Runs]]) -> Callable[[Facts], Samples]:
    return _each(lambda facts: {name: one.failed for name, one in runs(facts).items()})


METRICS = (
    Row(
        "headwater_records_ingested_total",
        "counter",
        "Records taken, by operation and tier; those of batch loads, of all time, are not told apart by tier.",
        _ingested,
        ("operation", "tier"),
        "NumberOfRecords",
    ),
    Row(
        "headwater_records_rejected_total",
        "counter",
        "Records refused one by one, with the reason, beside others of their request or file.",
        _rejected,
        ("operation",),
    ),
    Row("headwater_queries_running", "gauge", "Queries that run now.", _one(lambda facts: facts.queries.running)),
    Row("headwater_queries_waiting", "gauge", "Queries that wait for a turn.", _one(lambda f: f.queries.waiting)),
    Row(
        "headwater_queries_ended_total",
        "counter",
        "Queries that ran, by outcome: succeeded, failed or cancelled.",
        _each(lambda facts: facts.queries.ended),
        ("outcome",),
    ),
    Row(
        "headwater_query_scanned_bytes_total",
        "counter",
        "Bytes that queries have read.",
        _one(lambda facts: facts.queries.scanned_bytes),
    ),
    Row(
        "headwater_query_metered_bytes_total",
        "counter",
        "Bytes that the service would bill for queries, at least 10 MB each.",
        _one(lambda facts: facts.queries.metered_bytes),
        cloudwatch="CumulativeBytesMetered",
    ),
    Row(
        "headwater_log_bytes",
        "gauge",
        "Entries of the write-ahead log that a start would replay.",
        _one(lambda facts: facts.store.log.bytes),
    ),
    Row(
        "headwater_log_appends_total",
        "counter",
        "Groups of writes that were logged and synced.",
        _one(lambda facts: facts.store.log.appends),
    ),
    Row(
        "headwater_log_append_seconds_total",
        "counter",
        "Time that logging and syncing took.",
        _one(lambda facts: facts.store.log.append_s),
    ),
    Row(
        "headwater_log_failed",
        "gauge",
        "1 when the log has failed and the process is about to end.",
        _one(lambda facts: facts.store.log.is_failed),
    ),
    Row(
        "headwater_log_torn_bytes",
        "gauge",
        "Unfinished bytes that a crash had left at the end of the log, dropped at this start.",
        _one(lambda facts: facts.store.log.torn_bytes),
    ),
    Row(
        "headwater_replayed_records",
        "gauge",
        "Records that this start read back from the log.",
        _one(lambda facts: facts.store.log.replayed_records),
    ),
    Row("headwater_replay_seconds", "gauge", "How long that took.", _one(lambda facts: facts.store.log.replay_s)),
    Row(
        "headwater_memtable_bytes",
        "gauge",
        "Records in memory that are in no block yet.",
        _one(lambda facts: facts.store.memtable_bytes),
    ),
    Row(
        "headwater_memtable_age_seconds",
        "gauge",
        "Since the oldest of them came.",
        _one(lambda facts: facts.store.memtable_age_s),
    ),
    Row("headwater_blocks", "gauge", "Live blocks of all tables.", _one(lambda facts: facts.store.blocks)),
    Row("headwater_block_bytes", "gauge", "Bytes of these blocks.", _one(lambda facts: facts.store.block_bytes)),
    Row(
        "headwater_block_rows",
        "gauge",
        "Rows of these blocks, with those that are replaced or expired and not removed yet.",
        _one(lambda facts: facts.store.block_rows),
    ),
    Row(
        "headwater_decoded_cache_bytes",
        "gauge",
        "Columns of these blocks that are kept in memory, decoded.",
        _one(lambda facts: facts.store.decoded_bytes),
    ),
    Row(
        "headwater_damaged_blocks",
        "gauge",
        "Blocks known to be damaged: queries that need one fail.",
        _one(lambda facts: facts.store.damaged_blocks),
    ),
    Row(
        "headwater_storage_runs_total",
        "counter",
        "Work on blocks: flush (memory written out), compaction (merged), retention (expired ones removed), scrub "
        "(all read and verified).",
        _done(lambda facts: facts.store.runs),
        ("work",),
    ),
    Row(
        "headwater_storage_failures_total",
        "counter",
        "How often such work failed.",
        _failed(lambda facts: facts.store.runs),
        ("work",),
    ),
    Row(
        "headwater_disk_free_bytes",
        "gauge",
        "Free space on the device of the data folder, at the last look.",
        _one(lambda facts: facts.store.disk_free_bytes),
    ),
    Row(
        "headwater_disk_low_mark_bytes",
        "gauge",
        "Below so much free space records are refused.",
        _one(lambda facts: facts.store.disk_low_mark_bytes),
    ),
    Row(
        "headwater_disk_low",
        "gauge",
        "1 while free space is below the mark and records are refused.",
        _one(lambda facts: facts.store.is_disk_low),
    ),
    Row(
        "headwater_clock_steps_total",
        "counter",
        "How often the wall clock has stepped by more than an hour.",
        _one(lambda facts: facts.store.clock_steps),
    ),
    Row(
        "headwater_magnetic_store_rejected_record_count_total",
        "counter",
        "Late records that were answered as taken and lost against a stored version.",
        _one(lambda facts: facts.store.late_rejected),
        cloudwatch="MagneticStoreRejectedRecordCount",
    ),
    Row(
        "headwater_magnetic_store_rejected_upload_user_failures_total",
        "counter",
        "Failed tries to store a rejected-data report for which bucket, key or rights are to blame.",
        _one(lambda facts: facts.reports.user_failures),
        cloudwatch="MagneticStoreRejectedUploadUserFailures",
    ),
    Row(
        "headwater_magnetic_store_rejected_upload_system_failures_total",
        "counter",
        "Failed tries to store a rejected-data report for any other reason.",
        _one(lambda facts: facts.reports.system_failures),
        cloudwatch="MagneticStoreRejectedUploadSystemFailures",
    ),
    Row(
        "headwater_rejected_data_reports_total",
        "counter",
        "Rejected-data reports that are in their buckets.",
        _one(lambda facts: facts.reports.uploaded),
    ),
    Row(
        "headwater_rejected_data_reports_waiting",
        "gauge",
        "Rejected-data reports that are in no bucket yet.",
        _one(lambda facts: facts.store.late_reports_waiting),
    ),
    Row(
        "headwater_scheduled_runs_running",
        "gauge",
        "Runs of scheduled queries that go on now.",
        _one(lambda facts: facts.scheduled_running),
    ),
    Row(
        "headwater_scheduled_runs_total",
        "counter",
        "Runs of scheduled queries that have ended, by status.",
        _each(lambda facts: facts.scheduled_ended),
        ("status",),
    ),
    Row(
        "headwater_batch_load_tasks",
        "gauge",
        "Batch load tasks of all time, by status.",
        _each(lambda facts: facts.batch_load_tasks),
        ("status",),
    ),
    Row(
        "headwater_notifications_waiting",
        "gauge",
        "Messages about scheduled queries that wait for delivery.",
        _one(lambda facts: facts.notifications.waiting),
    ),
    Row(
        "headwater_notifications_delivered_total",
        "counter",
        "Messages that a receiver has taken.",
        _one(lambda facts: facts.notifications.delivered),
    ),
    Row(
        "headwater_notifications_dropped_total",
        "counter",
        "Messages that were given up.",
        _one(lambda facts: facts.notifications.dropped),
    ),
    Row(
        "headwater_job_calls_total",
        "counter",
        "How often each job of the server was called.",
        _done(lambda facts: facts.jobs),
        ("job",),
    ),
    Row(
        "headwater_job_failures_total",
        "counter",
        "How often a job ended in an error that nobody foresaw.",
        _failed(lambda facts: facts.jobs),
        ("job",),
    ),
)

REQUESTS = "headwater_requests_total"
REQUESTS_HELP = "Answered requests; fault is the name that clients see, empty for none."
REQUEST_LABELS = ("operation", "status", "fault")
REQUESTS_CLOUDWATCH = "SystemErrors, UserErrors"

LATENCY = "headwater_request_duration_seconds"
LATENCY_HELP = "From a whole request to its answer."
LATENCY_LABELS = ("operation",)
LATENCY_CLOUDWATCH = "SuccessfulRequestLatency"


def table_rows() -> list[tuple[str, str, tuple[str, ...], str]]:
    """Name, type, labels and help of every metric, for the manual."""
    return [
        (REQUESTS, "counter", REQUEST_LABELS, described(REQUESTS_HELP, REQUESTS_CLOUDWATCH)),
        (LATENCY, "histogram", LATENCY_LABELS, described(LATENCY_HELP, LATENCY_CLOUDWATCH)),
        *((row.name, row.kind, row.labels, described(row.help, row.cloudwatch)) for row in METRICS),
    ]


@dataclass(slots=True)
class _Latency:
    """A count for each bound, and one for what is above all of them."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BOUNDS_S) + 1))
    sum_s: float = 0.0


class Metrics(Collector):
    """Counts requests, and writes down everything. `count` belongs to the thread of the event loop."""

    def __init__(self, facts: Callable[[], Facts]) -> None:
        self._facts = facts
        self._requests: Counter[tuple[str, int, str]] = Counter()
        self._latencies: dict[str, _Latency] = {}
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def count(self, operation: str, status: int, fault: str, duration_s: float) -> None:
        """One request more; `operation` and `fault` are names of ours, never a client's words."""
        self._requests[operation, status, fault] += 1
        latency = self._latencies.get(operation)
        if latency is None:
            latency = self._latencies[operation] = _Latency()
        latency.counts[bisect_left(LATENCY_BOUNDS_S, duration_s)] += 1
        latency.sum_s += duration_s

    def text(self) -> bytes:
        """The answer to a scrape. May be called on any thread."""
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        facts = self._facts()
        yield self._request_counts()
        yield self._request_latencies()
        yield from (row.family(facts) for row in METRICS)

    def _request_counts(self) -> Metric:
        family = CounterMetricFamily(REQUESTS, described(REQUESTS_HELP, REQUESTS_CLOUDWATCH), labels=REQUEST_LABELS)
        for (operation, status, fault), count in self._requests.copy().items():
            family.add_metric((operation, str(status), fault), count)
        return family

    def _request_latencies(self) -> Metric:
        family = HistogramMetricFamily(LATENCY, described(LATENCY_HELP, LATENCY_CLOUDWATCH), labels=LATENCY_LABELS)
        bounds = [*map(str, LATENCY_BOUNDS_S), "+Inf"]
        for operation, latency in self._latencies.copy().items():
            counts = accumulate(latency.counts.copy())
            family.add_metric((operation,), list(zip(bounds, counts, strict=True)), latency.sum_s)
        return family
