"""All work in the background, as lines to print: `instance` puts it together for `headwater jobs`.

Scheduled queries that run now and how each ended last, batch loads, and what the runner calls. Changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headwater.catalog.catalog import Catalog
from headwater.jobs.runner import Runner
from headwater.jobs.scheduled import Scheduled
from headwater.model.batch_load import Task
from headwater.model.job import JobLine
from headwater.model.time import NS_PER_MS, NS_PER_S, instant_text

RUNNING, IDLE = "RUNNING", "IDLE"
TASKS_SHOWN = 100


def job_lines(catalog: Catalog, scheduled: Scheduled, runner: Runner) -> Sequence[JobLine]:
    """What runs now first, then what has run."""
    lines = [*_runs(scheduled), *_scheduled(catalog), *_batch_loads(catalog), *_maintenance(runner)]
    return sorted(lines, key=lambda line: line.state != RUNNING)


def _runs(scheduled: Scheduled) -> Iterator[JobLine]:
    for job in scheduled.running():
        how = "by hand" if job.begun.is_manual else "by schedule"
        detail = f"for {instant_text(job.begun.invocation_s * NS_PER_S)}, {how}"
        name = job.begun.arn.rpartition("/")[2]
        yield JobLine("scheduled query", name, RUNNING, job.progress_percent, job.trigger_ms * NS_PER_MS, detail)


def _scheduled(catalog: Catalog) -> Iterator[JobLine]:
    for query in catalog.scheduled.all():
        last = next(iter(catalog.scheduled.runs(query.arn, 1)), None)
        if last is None:
            yield JobLine("scheduled query", query.id, query.state.value, detail="has not run")
            continue
        detail = f"{last.status.value}, {last.stats.records_ingested} records"
        if last.failure_reason is not None:
            detail += f": {last.failure_reason}"
        yield JobLine("scheduled query", query.id, query.state.value, None, last.trigger_ms * NS_PER_MS, detail)


def _batch_loads(catalog: Catalog) -> Iterator[JobLine]:
    for task in catalog.batch_loads.page(None, None, TASKS_SHOWN):
        yield JobLine("batch load", task.id, task.status.value, None, task.created_ns, _loaded(task))


def _loaded(task: Task) -> str:
    progress = task.progress
    failed = progress.parse_failures + progress.ingestion_failures
    return f"{task.database}.{task.table}: {progress.ingested} records, {failed} failed"


def _maintenance(runner: Runner) -> Iterator[JobLine]:
    for state in runner.states():
        detail = f"{state.calls} calls" + (f", {state.failures} failed" if state.failures else "")
        yield JobLine("maintenance", state.name, RUNNING if state.is_running else IDLE, detail=detail)
