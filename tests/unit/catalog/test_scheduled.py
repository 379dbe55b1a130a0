"""Scheduled queries in the catalog: one run for each slot, what is remembered of runs, and what a restart finds."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from headwater.catalog.catalog import CATALOG_FILE, Catalog
from headwater.catalog.scheduled import RUNS_KEPT, WAITING_RUNS_MOST, ScheduledQueries
from headwater.errors import Conflict, Corrupt, Invalid, NotFound, QuotaExceeded, Throttled
from headwater.files import LocalFiles
from headwater.model.insights import Coverage, Insights, TableCoverage
from headwater.model.limits import Limits
from headwater.model.scheduled_query import (
    AttributeMapping,
    BegunRun,
    ErrorReportConfiguration,
    ExecutionStats,
    MixedMeasureMapping,
    MultiMeasureMappings,
    Overview,
    ReportLocation,
    Run,
    RunInsights,
    RunStatus,
    ScheduledQuery,
    State,
    TargetConfiguration,
)
from headwater.model.table import MeasureType
from headwater.model.time import NS_PER_HOUR, NS_PER_S, FixedClock
from support.keys import PROVIDER

ACCOUNT = "123456789012"
ARN = f"arn:aws:timestream:us-east-1:{ACCOUNT}:scheduled-query/hourly-0123456789ab"
START_S = 1_735_689_600
SUCCESS, FAILURE = RunStatus.AUTO_TRIGGER_SUCCESS, RunStatus.AUTO_TRIGGER_FAILURE

HOURLY = ScheduledQuery(
    arn=ARN,
    name="hourly",
    query_string="SELECT 'a value of a record'",
    schedule_expression="rate(1 hour)",
    topic_arn="arn:aws:sns:us-east-1:0:told",
    role_arn="arn:aws:iam::0:role/runs",
    error_report=ErrorReportConfiguration("reports", "a/", "SSE_KMS"),
    created_ns=START_S * NS_PER_S,
    kms_key_id="alias/mine",
    target=TargetConfiguration(
        database="metrics",
        table="hourly",
        time_column="hour",
        dimensions=("host", "zone"),
        multi_measure_mappings=MultiMeasureMappings("all", (AttributeMapping("mean", MeasureType.DOUBLE, "m"),)),
        mixed_measure_mappings=(
            MixedMeasureMapping(None, "n", "s", "t", (AttributeMapping("x", MeasureType.BIGINT),)),
        ),
        measure_name_column="name",
    ),
)


class Opened:
    """A catalog that can be closed and opened again, and its clock."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder = folder
        self.clock = FixedClock(START_S * NS_PER_S)
        self._randomness = random.Random(3)
        self._limits = limits
        self.catalog = self._open()

    @property
    def scheduled(self) -> ScheduledQueries:
        return self.catalog.scheduled

    def again(self) -> ScheduledQueries:
        self.catalog.close()
        self.catalog = self._open()
        return self.scheduled

    def _open(self) -> Catalog:
        randomness = self._randomness.randbytes
        files, limits = LocalFiles(), self._limits
        return Catalog.open(files, self.folder, PROVIDER, ACCOUNT, "us-east-1", self.clock, randomness, limits)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    opened = Opened(tmp_path, Limits(scheduled_queries=3))
    yield opened
    opened.catalog.close()


@pytest.fixture
def scheduled(opened: Opened) -> ScheduledQueries:
    """With one query, `ARN`."""
    opened.scheduled.create(HOURLY, "t" * 32, {"team": "a"})
    return opened.scheduled


def other(name: str) -> ScheduledQuery:
    return replace(HOURLY, name=name, arn=ARN.replace("hourly", name))


def ended(slot_s: int, status: RunStatus = SUCCESS) -> Run:
    return Run(slot_s, slot_s * 1000 + 310, status, ExecutionStats(1, 2, 3, 4, 5, 6))


def run_slot(scheduled: ScheduledQueries, slot_s: int, status: RunStatus = SUCCESS) -> None:
    assert scheduled.claim(ARN, slot_s)
    scheduled.record_run(ARN, ended(slot_s, status))


def test_a_query_is_found_again_as_it_was_made(opened: Opened, scheduled: ScheduledQueries) -> None:
    assert scheduled.get(ARN) == HOURLY
    found = opened.again()
    assert found.get(ARN) == HOURLY
    assert found.tags(ARN) == {"team": "a"}
    assert list(found.all()) == [HOURLY]


def test_a_name_is_taken_once(scheduled: ScheduledQueries) -> None:
    with pytest.raises(Conflict, match="The scheduled query hourly already exists"):
        scheduled.create(replace(HOURLY, arn=ARN + "c"), None, {})


def test_the_same_call_again_finds_what_it_made(opened: Opened, scheduled: ScheduledQueries) -> None:
    """Also after a restart and a change of state. After 8 hours the token is any other."""
    later = replace(HOURLY, arn=ARN + "c", created_ns=HOURLY.created_ns + 8 * NS_PER_HOUR - 1)
    scheduled.update_state(ARN, State.DISABLED)
    assert opened.again().create(later, "t" * 32, {}).arn == ARN
    with pytest.raises(Conflict, match="already exists"):
        opened.scheduled.create(replace(later, created_ns=later.created_ns + 1), "t" * 32, {})


def test_what_a_call_made_is_found_without_making_anything(opened: Opened, scheduled: ScheduledQueries) -> None:
    token = "w" * 32
    query = other("by-token")
    assert scheduled.made_by(token, query) is None
    scheduled.create(query, token, {})
    assert scheduled.made_by(token, query) == query
    assert opened.again().made_by(token, query) == query
    assert opened.scheduled.made_by(None, query) is None
    with pytest.raises(Conflict):
        opened.scheduled.made_by(token, other("another"))


def test_a_token_is_for_one_query(scheduled: ScheduledQueries) -> None:
    with pytest.raises(Conflict, match="The client token was used for another scheduled query"):
        scheduled.create(replace(HOURLY, schedule_expression="rate(2 hours)"), "t" * 32, {})
    assert scheduled.create(other("daily"), "u" * 32, {}).name == "daily"


def test_a_name_with_slashes(opened: Opened, scheduled: ScheduledQueries) -> None:
    for name in ("a/hourly", "b/hourly"):
        scheduled.create(other(name), None, {"name": name})
    assert opened.again().tags(other("b/hourly").arn) == {"name": "b/hourly"}


def test_a_quota(scheduled: ScheduledQueries) -> None:
    scheduled.create(other("two"), None, {})
    scheduled.create(other("three"), None, {})
    with pytest.raises(QuotaExceeded, match="The quota for scheduled queries has been reached"):
        scheduled.create(other("four"), None, {})
    scheduled.delete(ARN)
    scheduled.create(other("four"), None, {})


@pytest.mark.parametrize(("key", "tags"), [("mine", {}), (None, {"aws:x": "a"})])
def test_what_is_refused_leaves_nothing(opened: Opened, key: str | None, tags: dict[str, str]) -> None:
    with pytest.raises(Invalid):
        opened.scheduled.create(replace(HOURLY, kms_key_id=key), None, tags)
    assert list(opened.scheduled.all()) == []


def test_lists_go_by_name(scheduled: ScheduledQueries) -> None:
    scheduled.create(other("daily"), None, {})
    scheduled.create(other("Zeta"), None, {})
    assert [found.query.name for found in scheduled.list(None, 2)] == ["Zeta", "daily"]
    assert [found.query.name for found in scheduled.list("daily", 2)] == ["hourly"]
    assert [found.query.name for found in scheduled.list("e", 9)] == ["hourly"]
    assert [query.name for query in scheduled.all()] == ["Zeta", "daily", "hourly"]


def test_tags_of_a_query(opened: Opened, scheduled: ScheduledQueries) -> None:
    scheduled.tag(ARN, {"team": "b", "stage": "test"})
    scheduled.untag(ARN, ["team", "absent"])
    assert scheduled.tags(ARN) == opened.again().tags(ARN) == {"stage": "test"}
    with pytest.raises(QuotaExceeded):
        opened.scheduled.tag(ARN, {str(number): "" for number in range(200)})


def test_a_slot_is_claimed_once_ever(opened: Opened, scheduled: ScheduledQueries) -> None:
    assert scheduled.claim(ARN, START_S + 3_600)
    assert not scheduled.claim(ARN, START_S + 3_600)
    assert not opened.again().claim(ARN, START_S + 3_600)
    assert opened.scheduled.claim(ARN, START_S + 7_200)
    assert not opened.scheduled.claim(ARN, START_S + 3_600)


def test_of_many_who_claim_a_slot_one_gets_it(scheduled: ScheduledQueries) -> None:
    slots_s = [START_S + hour * 3_600 for hour in range(1, 21)]
    with ThreadPoolExecutor(4) as pool:
        claims = [pool.submit(scheduled.claim, ARN, slot_s) for slot_s in slots_s for _ in range(4)]
    claimed = [claim.result() for claim in claims]
    assert sum(claimed) == len(scheduled.unfinished())
    begun = [run.invocation_s for run in scheduled.unfinished()]
    assert begun == sorted(set(begun))
    assert begun[-1] == slots_s[-1]


def test_no_slot_up_to_the_creation_is_run(scheduled: ScheduledQueries) -> None:
    assert not scheduled.claim(ARN, START_S)
    assert scheduled.next_slot_s(ARN) == START_S + 3_600


def test_the_slot_after_the_claimed_one_is_next_also_when_it_was_missed(
    opened: Opened, scheduled: ScheduledQueries
) -> None:
    run_slot(scheduled, START_S + 3_600)
    opened.clock.advance(10 * NS_PER_HOUR)
    assert opened.again().next_slot_s(ARN) == START_S + 7_200
    assert opened.scheduled.next_invocation_s(ARN) == START_S + 11 * 3_600


def test_a_disabled_query_claims_nothing_and_is_not_caught_up(opened: Opened, scheduled: ScheduledQueries) -> None:
    assert scheduled.update_state(ARN, State.DISABLED).state is State.DISABLED
    opened.clock.advance(10 * NS_PER_HOUR)
    found = opened.again()
    assert found.get(ARN).state is State.DISABLED
    assert not found.claim(ARN, START_S + 3_600)
    assert (found.next_slot_s(ARN), found.next_invocation_s(ARN)) == (None, None)
    found.update_state(ARN, State.ENABLED)
    assert opened.again().next_slot_s(ARN) == START_S + 11 * 3_600


def test_enabling_what_is_enabled_skips_no_slot(opened: Opened, scheduled: ScheduledQueries) -> None:
    opened.clock.advance(2 * NS_PER_HOUR)
    scheduled.update_state(ARN, State.ENABLED)
    assert scheduled.next_slot_s(ARN) == START_S + 3_600


def test_a_clock_set_back_finds_no_slot_again(opened: Opened, scheduled: ScheduledQueries) -> None:
    run_slot(scheduled, START_S + 3_600)
    opened.clock.time_ns = (START_S - 86_400) * NS_PER_S
    assert scheduled.next_slot_s(ARN) == scheduled.next_invocation_s(ARN) == START_S + 7_200


def test_what_has_begun_and_not_ended_survives_a_restart(opened: Opened, scheduled: ScheduledQueries) -> None:
    run_slot(scheduled, START_S + 3_600)
    scheduled.claim(ARN, START_S + 7_200)
    assert scheduled.begin_manual(ARN, 17, None, wants_insights=True)
    begun = [BegunRun(ARN, START_S + 7_200, False), BegunRun(ARN, 17, True, True)]
    assert list(opened.again().unfinished()) == begun
    opened.scheduled.record_run(ARN, ended(17, RunStatus.MANUAL_TRIGGER_FAILURE))
    assert list(opened.again().unfinished()) == begun[:1]
    assert opened.scheduled.overview(ARN).previous_s == 17


def test_a_manual_run_is_asked_for_once_with_one_token(opened: Opened, scheduled: ScheduledQueries) -> None:
    assert scheduled.begin_manual(ARN, 17, "m" * 32)
    assert not opened.again().begin_manual(ARN, 17, "m" * 32)
    assert opened.scheduled.begin_manual(ARN, 17, "n" * 32)
    assert opened.scheduled.begin_manual(ARN, 17, None)
    assert len(opened.scheduled.unfinished()) == 3


def test_manual_runs_do_not_pile_up(scheduled: ScheduledQueries) -> None:
    for number in range(WAITING_RUNS_MOST):
        scheduled.begin_manual(ARN, number, None)
    with pytest.raises(Throttled):
        scheduled.begin_manual(ARN, 17, None)
    scheduled.record_run(ARN, ended(0, RunStatus.MANUAL_TRIGGER_SUCCESS))
    assert scheduled.begin_manual(ARN, 17, None)
    assert scheduled.claim(ARN, START_S + 3_600)


def test_a_run_that_disables_its_query_does_so_in_one_step(opened: Opened, scheduled: ScheduledQueries) -> None:
    slot_s = START_S + 3_600
    assert scheduled.claim(ARN, slot_s)
    assert scheduled.record_run(ARN, ended(slot_s, FAILURE), disables=True)
    for found in (scheduled, opened.again()):
        assert found.get(ARN).state is State.DISABLED
        assert [run.status for run in found.runs(ARN)] == [FAILURE]
    assert opened.scheduled.begin_manual(ARN, 17, None)
    # It was disabled before.
    assert not opened.scheduled.record_run(ARN, ended(17, RunStatus.MANUAL_TRIGGER_FAILURE), disables=True)


def test_nobody_sees_a_failure_that_disables_beside_an_enabled_query(scheduled: ScheduledQueries) -> None:
    seen: list[tuple[State, int]] = []
    with ThreadPoolExecutor(1) as pool:
        slot_s = START_S
        for _ in range(50):
            slot_s += 3_600
            assert scheduled.claim(ARN, slot_s)
            before = len(scheduled.runs(ARN, 1_000))
            ending = pool.submit(scheduled.record_run, ARN, ended(slot_s, FAILURE), disables=True)
            while not ending.done():
                overview = scheduled.overview(ARN)
                seen.append((overview.query.state, len(overview.runs) - before))
            scheduled.update_state(ARN, State.ENABLED)
    assert (State.ENABLED, 0) in seen
    assert (State.ENABLED, 1) not in seen


def test_a_run_is_remembered_whole(opened: Opened, scheduled: ScheduledQueries) -> None:
    insights = Insights((TableCoverage("metrics", "cpu", "measure_name", Coverage(0.5, 7)),))
    run = replace(
        ended(START_S + 3_600, FAILURE),
        error_report=ReportLocation("reports", "a/b"),
        failure_reason="a reason",
        insights=RunInsights(insights, 8, 9),
    )
    assert scheduled.claim(ARN, run.invocation_s)
    scheduled.record_run(ARN, run)
    assert list(scheduled.runs(ARN)) == list(opened.again().runs(ARN)) == [run]


def test_an_overview(opened: Opened, scheduled: ScheduledQueries) -> None:
    assert scheduled.overview(ARN) == Overview(HOURLY, None, START_S + 3_600, ())
    run_slot(scheduled, START_S + 3_600)
    opened.clock.advance(NS_PER_HOUR + NS_PER_S)
    scheduled.claim(ARN, START_S + 7_200)
    found = scheduled.overview(ARN)
    assert found == Overview(HOURLY, START_S + 7_200, START_S + 10_800, (ended(START_S + 3_600),))
    assert list(scheduled.list(None, 1)) == [found]


def test_runs_from_the_newest_on(opened: Opened, scheduled: ScheduledQueries) -> None:
    for hour, status in enumerate([SUCCESS, FAILURE, SUCCESS, FAILURE], 1):
        run_slot(scheduled, START_S + hour * 3_600, status)
    found = opened.again()
    assert [(run.invocation_s - START_S) // 3_600 for run in found.runs(ARN, 3)] == [4, 3, 2]


def test_old_runs_are_forgotten_and_begun_ones_never(opened: Opened, scheduled: ScheduledQueries) -> None:
    scheduled.begin_manual(ARN, 17, None)
    for hour in range(1, RUNS_KEPT + 3):
        run_slot(scheduled, START_S + hour * 3_600)
    found = opened.again()
    assert len(found.runs(ARN, 1_000)) == RUNS_KEPT
    assert found.runs(ARN, 1_000)[-1].invocation_s == START_S + 3 * 3_600
    assert list(found.unfinished()) == [BegunRun(ARN, 17, True)]


def test_a_deleted_query_leaves_nothing(opened: Opened, scheduled: ScheduledQueries) -> None:
    run_slot(scheduled, START_S + 3_600)
    assert scheduled.delete(ARN) == HOURLY
    found = opened.again()
    assert (list(found.all()), list(found.unfinished())) == ([], [])
    for ask in (found.get, found.delete, found.tags, found.runs, found.next_slot_s, found.overview):
        with pytest.raises(NotFound) as raised:
            ask(ARN)
        assert raised.value.message == f"The scheduled query {ARN} does not exist."
    with pytest.raises(NotFound):
        found.claim(ARN, START_S + 7_200)
    with pytest.raises(NotFound):
        found.record_run(ARN, ended(START_S + 7_200))


def test_neither_texts_nor_reasons_are_readable_on_the_disk(opened: Opened, scheduled: ScheduledQueries) -> None:
    scheduled.claim(ARN, START_S + 3_600)
    scheduled.record_run(ARN, replace(ended(START_S + 3_600, FAILURE), failure_reason="a reason with a value"))
    opened.catalog.close()
    written = b"".join(path.read_bytes() for path in opened.folder.glob(f"{CATALOG_FILE}*"))
    for secret in (b"a value of a record", b"a reason with a value", b"rate(1 hour)", b"t" * 32):
        assert secret not in written
    opened.again()


def test_a_definition_put_in_the_place_of_another_is_damage(opened: Opened, scheduled: ScheduledQueries) -> None:
    scheduled.create(other("daily"), None, {})
    with opened.catalog._file.transaction() as connection:
        connection.exec_driver_sql(
            "UPDATE scheduled_queries SET definition = "
            "(SELECT definition FROM scheduled_queries WHERE name = 'hourly') WHERE name = 'daily'"
        )
    with pytest.raises(Corrupt):
        opened.again()
    # What the fixture closes.
    opened.folder = opened.folder / "another"
    opened.folder.mkdir()
    opened.again()
