"""All work in the background, as lines to print: `instance` puts it together for `headwater jobs`.

Scheduled queries that run now and how each ended last, batch loads, and what the runner calls. `cancel` ends one by the
name that its line has. Nothing else is changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headwater.catalog.catalog import Catalog
from headwater.errors import Invalid
from headwater.jobs.batch_load import BatchLoads
from headwater.jobs.runner import Runner
from headwater.jobs.scheduled import Scheduled
from headwater.model.batch_load import Task, TaskStatus
from headwater.model.job import JobLine
from headwater.model.scheduled_query import query_id
from headwater.model.time import NS_PER_MS, NS_PER_S, instant_text

RUNNING, IDLE = "RUNNING", "IDLE"
TASKS_SHOWN = 100


def job_lines(catalog: Catalog, scheduled: Scheduled, runner: Runner) -> Sequence[JobLine]:
    """What runs now first, then what has run."""
    lines = [*_runs(scheduled), *_scheduled(catalog), *_batch_loads(catalog), *_maintenance(runner)]
    return sorted(lines, key=lambda line: line.state not in (RUNNING, TaskStatus.IN_PROGRESS.value))


def cancel(id: str, catalog: Catalog, scheduled: Scheduled, batch_loads: BatchLoads, runner: Runner) -> str:
    """End the runs of a scheduled query that go on, or stop a batch load; what to tell who asked.

    Raises Invalid for what does not run or cannot be cancelled, NotFound for what is no job.
    """
    if scheduled.cancel(id):
        return f"The scheduled query {id} is cancelled; its next run comes as it is scheduled."
    if any(query.id == id for query in catalog.scheduled.all()):
        raise Invalid(f"The scheduled query {id} is not running.")
    if any(state.name == id for state in runner.states()):
        raise Invalid(f"{id} is the server's own work, which cannot be cancelled.")
    batch_loads.cancel(id)
    return f"The batch load task {id} stops soon; it can be resumed for a day."


def _runs(scheduled: Scheduled) -> Iterator[JobLine]:
    for job in scheduled.running():
        how = "by hand" if job.begun.is_manual else "by schedule"
        detail = f"for {instant_text(job.begun.invocation_s * NS_PER_S)}, {how}"
        name = query_id(job.begun.arn)
        yield JobLine("scheduled query", name, RUNNING, job.progress_percent, job.trigger_ms * NS_PER_MS, detail)


def _scheduled(catalog: Catalog) -> Iterator[JobLine]:
    for overview in catalog.scheduled.overviews():
        query, last = overview.query, next(iter(overview.runs), None)
        if last is None:
            yield JobLine("scheduled query", query.id, query.state.value, detail="has not run")
            continue
        detail = f"{last.status.value}, {last.stats.records_ingested} records"
        if last.failure_reason is not None:
            detail += f": {last.failure_reason}"
        yield JobLine("scheduled query", query.id, query.state.value, None, last.trigger_ms * NS_PER_MS, detail)


def _batch_loads(catalog: Catalog) -> Iterator[JobLine]:
    for task in catalog.batch_loads.page(None, None, TASKS_SHOWN):
        percent = _progress_percent(catalog, task)
        yield JobLine("batch load", task.id, task.status.value, percent, task.created_ns, _loaded(task))


def _progress_percent(catalog: Catalog, task: Task) -> float | None:
    """How much of the bytes of its files is loaded, as far as the catalog has been told."""
    if not task.status.is_active:
        return None
    files = catalog.batch_loads.files(task.id)
    size = sum(file.bytes for file in files)
    return 100 * sum(file.bytes if file.is_done else file.position.offset for file in files) / size if size else 0.0


def _loaded(task: Task) -> str:
    progress = task.progress
    failed = progress.parse_failures + progress.ingestion_failures
    return f"{task.database}.{task.table}: {progress.ingested} records, {failed} failed"


def _maintenance(runner: Runner) -> Iterator[JobLine]:
    for state in runner.states():
        detail = f"{state.calls} calls" + (f", {state.failures} failed" if state.failures else "")
        yield JobLine("maintenance", state.name, RUNNING if state.is_running else IDLE, detail=detail)
