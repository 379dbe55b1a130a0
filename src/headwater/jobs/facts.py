"""How the server stands, gathered from the rooms that count: `instance` hands it to the server's metrics.

Only reads, takes no lock for longer than it takes to copy a number, and never touches a disk.
"""

from __future__ import annotations

from headwater.catalog.catalog import Catalog
from headwater.ingest.write import Ingest
from headwater.jobs.notify import Notifications
from headwater.jobs.reports import Reports
from headwater.jobs.runner import Runner
from headwater.jobs.scheduled import Scheduled
from headwater.model.batch_load import TaskStatus
from headwater.model.facts import Facts, ReportFacts, Runs
from headwater.query.run import Queries
from headwater.storage.store import Store


def gather(
    catalog: Catalog,
    store: Store,
    ingest: Ingest,
    queries: Queries,
    reports: Reports,
    scheduled: Scheduled,
    notifications: Notifications,
    runner: Runner,
) -> Facts:
    """How things are now. Rooms are asked one after the other, so what two of them say may differ by a moment."""
    tasks, loaded = catalog.batch_loads.totals()
    return Facts(
        ingest={
            "WriteRecords": ingest.by_clients.facts(),
            "ScheduledQuery": ingest.by_jobs.facts(),
        },
        store=store.facts(),
        queries=queries.facts(),
        reports=ReportFacts(reports.uploaded.total(), reports.user_failures.total(), reports.system_failures.total()),
        scheduled_running=len(scheduled.running()),
        scheduled_ended={status.value: count for status, count in scheduled.ended().items()},
        batch_load_tasks={status.value: tasks[status] for status in TaskStatus},
        batch_load_ingested=loaded.ingested,
        batch_load_rejected=loaded.ingestion_failures,
        notifications=notifications.facts(),
        jobs={state.name: Runs(state.calls, state.failures) for state in runner.states()},
    )
