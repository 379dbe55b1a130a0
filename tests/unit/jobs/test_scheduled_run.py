"""One run of a scheduled query by itself: what it does about writes that are throttled, and about faults of the server.

Everything else is in tests/behaviours/test_scheduled_runs.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from headwater.errors import Fault, Throttled, Unavailable
from headwater.files import LocalFiles
from headwater.ingest.validate import Validated
from headwater.ingest.write import Ingest, Ingested
from headwater.instance import Instance
from headwater.jobs.scheduled_run import INTERNAL, Outcome, Rooms, RunningQuery, Stopped
from headwater.model.scheduled_query import BegunRun, RunStatus
from headwater.model.table import Table
from headwater.model.time import NS_PER_S
from headwater.rights.roles import Roles
from support.scheduled import START_NS, World, make_tables, rows, schedule, write_cpu


class Refusing(Ingest):
    """Refuses the first writes, at once or through the future, with one fault after the other."""

    def __init__(self, instance: Instance, *faults: Fault) -> None:
        super().__init__(instance.catalog, instance.store, instance.clock, instance.config.limits)
        self.faults = list(faults)

    def store(self, table: Table, validated: Validated) -> Future[Ingested]:
        if not self.faults:
            return super().store(table, validated)
        if len(self.faults) % 2:
            raise self.faults.pop(0)
        refused: Future[Ingested] = Future()
        refused.set_exception(self.faults.pop(0))
        return refused


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    with World(tmp_path).open() as opened:
        make_tables(opened, "cpu", "means")
        write_cpu(opened, {"a": [1, 2]})
        yield opened


def running(instance: Instance, *faults: Fault) -> RunningQuery:
    query = schedule(instance)
    ingest = Refusing(instance, *faults)
    limits, new_id = instance.config.limits, lambda: "0" * 32
    roles = Roles(LocalFiles(), None, instance.config.server.region, instance.config.server.account)
    rooms = Rooms(instance.catalog, instance.queries, ingest, instance.buckets, instance.clock, limits, new_id, roles)
    return RunningQuery(rooms, query, BegunRun(query.arn, START_NS // NS_PER_S, is_manual=True), 1)


def ended(outcome: Outcome) -> tuple[RunStatus, str | None, bool]:
    return outcome.run.status, outcome.run.failure_reason, outcome.is_fatal


def test_throttled_writes_are_sent_again(instance: Instance) -> None:
    outcome = running(instance, Throttled("wait"), Throttled("wait")).execute()
    assert ended(outcome) == (RunStatus.MANUAL_TRIGGER_SUCCESS, None, False)
    assert rows(instance, "SELECT mean FROM db.means") == [["1.5"]]


def test_a_fault_of_the_server_is_not_the_query_s_end(instance: Instance) -> None:
    outcome = running(instance, Unavailable("the disk is full")).execute()
    assert ended(outcome) == (RunStatus.MANUAL_TRIGGER_FAILURE, INTERNAL, False)
    assert outcome.run.error_report is None


def test_a_cancelled_run_ends_without_an_outcome(instance: Instance) -> None:
    before = running(instance)
    before.cancel()
    with pytest.raises(Stopped):
        before.execute()
    assert rows(instance, "SELECT count(*) FROM db.means") == [["0"]]
