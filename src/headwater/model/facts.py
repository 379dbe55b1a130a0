"""How the server stands, as numbers: what rooms count anyway, gathered when somebody asks. No names, no values.

`instance.Instance.facts` answers with `Facts`, `server/metrics` writes them down. Counts are since the start of the
process, unless they say otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Runs:
    """Of work in the background: how often it was done, and how often it failed."""

    done: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class IngestFacts:
    """Records that were taken, by tier, and those that were refused one by one."""

    memory: int = 0
    magnetic: int = 0
    rejected: int = 0


@dataclass(frozen=True, slots=True)
class LogFacts:
    """`bytes` are those above the checkpoint. A torn tail is what the start found and dropped."""

    bytes: int
    appends: int
    append_s: float
    is_failed: bool
    torn_bytes: int
    replayed_records: int
    replay_s: float


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """Memory, blocks of all tables, the disk, and what is done about them. `runs` goes by kind of work."""

    log: LogFacts
    memtable_bytes: int
    memtable_age_s: float
    """Since the oldest record came that is in no block yet; 0 without one."""
    blocks: int
    block_bytes: int
    block_rows: int
    decoded_bytes: int
    """Columns of blocks that are kept for the next query."""
    damaged_blocks: int
    disk_free_bytes: int
    disk_low_mark_bytes: int
    is_disk_low: bool
    clock_steps: int
    runs: Mapping[str, Runs]
    late_rejected: int
    """Late records that lost against a stored version."""
    late_reports_waiting: int


@dataclass(frozen=True, slots=True)
class QueryFacts:
    """`ended` goes by outcome: succeeded, failed, cancelled. Bytes are those of queries that have ended."""

    running: int
    waiting: int
    ended: Mapping[str, int]
    scanned_bytes: int
    metered_bytes: int


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """Tries to put rejected-data reports into their buckets; what failed is the user's matter, or the system's."""

    uploaded: int
    user_failures: int
    system_failures: int


@dataclass(frozen=True, slots=True)
class NotificationFacts:
    """Messages about scheduled queries, to all receivers together. One that is given up is dropped."""

    waiting: int
    delivered: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Facts:
    """All of it. `ingest` goes by operation, `jobs` by job of the runner, the rest by status."""

    ingest: Mapping[str, IngestFacts]
    store: StoreFacts
    queries: QueryFacts
    reports: ReportFacts
    scheduled_running: int
    scheduled_ended: Mapping[str, int]
    batch_load_tasks: Mapping[str, int]
    batch_load_ingested: int
    batch_load_rejected: int
    """Tasks and their records are those of all time: the catalog keeps every task."""
    notifications: NotificationFacts
    jobs: Mapping[str, Runs]
