"""Ingest: tiers by time, rejections and their texts, and the chaining onto the store's future.

The catalog and the store stand behind protocols; here they are a table and a list that obey the same contract.
"""

from __future__ import annotations

from concurrent.futures import Future

import pytest
from request_bodies import LIMITS, dimensions, multi, record, request

from headwater.errors import Invalid, NotFound, Rejected, RejectedRecord, Unavailable
from headwater.ingest import reasons
from headwater.ingest.write import Ingest, Ingested
from headwater.model.record import (
    Conflict,
    ConflictKind,
    LimitConflict,
    LowerVersion,
    NameConflict,
    SameVersion,
    TypeConflict,
)
from headwater.model.table import Retention, Table, TableId
from headwater.model.time import NS_PER_HOUR, NS_PER_MINUTE, NS_PER_MS, FixedClock, parse_instant

NOW = parse_instant("2023-11-28T19:10:39.648Z")
HOUR_MS = NS_PER_HOUR // NS_PER_MS

SAME_VERSION = (
    "A record already exists with the same time, dimensions, measure name, and record version. "
    "A higher record version must be specified in order to update the measure value. "
    "Specifying record version is supported by the latest SDKs."
)
MEMORY = "The record timestamp is outside the time range [2023-11-28T06:45:39.648Z, 2023-11-28T19:25:39.648Z) of the "
WINDOW = "The record timestamp is outside the time range [2023-11-23T06:45:39.648Z, 2023-11-28T19:25:39.648Z) of the "
MEMORY_RANGE = MEMORY + "memory store."
WINDOW_RANGE = WINDOW + "data ingestion window."


class OneTable:
    """A catalog that has only the table `t` in the database `d`: 12 hours in memory, 5 days magnetic."""

    def __init__(self, magnetic_writes: bool = False, partition_key=None) -> None:
        properties = {"EnableMagneticStoreWrites": magnetic_writes}
        self._table = Table(TableId("id"), "d", "t", Retention(12, 5), 0, 0, properties, partition_key)

    def table(self, database: str, name: str) -> Table:
        if database != "d":
            raise NotFound("database", database)
        if name != "t":
            raise NotFound("table", name)
        return self._table


class Submissions:
    """A store that keeps what is submitted; the test completes the futures."""

    def __init__(self) -> None:
        self.batches = []
        self.futures: list[Future[list[Conflict]]] = []

    def submit(self, table, batches):
        assert table == "id"
        assert all(len(batch) for batch in batches)
        self.batches.append(batches)
        self.futures.append(Future())
        return self.futures[-1]

    def indexes(self):
        return sorted(index for batch in self.batches[-1] for index in batch.index.tolist())


def ingest(**table) -> tuple[Ingest, Submissions]:
    submissions = Submissions()
    return Ingest(OneTable(**table), submissions, FixedClock(NOW), LIMITS), submissions


def aged(hours: float = 0.0, ms: int = 0, **members):
    """A record of that age."""
    return record(Time=str(NOW // NS_PER_MS - int(hours * HOUR_MS) - ms), **members)


def rejections(outcome: Future[Ingested]) -> list[RejectedRecord]:
    with pytest.raises(Rejected) as caught:
        outcome.result(timeout=0)
    assert caught.value.message == "One or more records have been rejected. See RejectedRecords for details."
    return caught.value.records


# Nothing is submitted.


@pytest.mark.parametrize(
    ("database", "table", "text"),
    [("e", "t", "The database e does not exist."), ("d", "u", "The table u does not exist.")],
)
def test_a_missing_table_is_not_found(database, table, text):
    write, store = ingest()
    sent = request(record(Time="x"))
    object.__setattr__(sent, "database", database)
    object.__setattr__(sent, "table", table)
    with pytest.raises(NotFound) as caught:
        write.write(sent)
    assert caught.value.message == text
    assert store.batches == []


def test_a_fault_of_the_request_writes_nothing():
    write, store = ingest()
    with pytest.raises(Invalid):
        write.write(request(aged(), aged(MeasureValue="NaN")))
    assert store.batches == []


def test_if_all_are_rejected_the_answer_is_there_at_once():
    write, store = ingest()
    outcome = write.write(request(aged(13), aged(MeasureName="m" * 257)))
    assert [reject.index for reject in rejections(outcome)] == [0, 1]
    assert store.batches == []


# Time windows. Source: storage.md 2.


def test_the_answer_counts_each_tier_when_the_store_is_done():
    write, store = ingest(magnetic_writes=True)
    sent = (aged(), multi(("x", "1", "BIGINT"), Time=aged(13)["Time"]), aged(11), aged(121))
    outcome = write.write(request(*sent))
    assert not outcome.done()
    assert store.indexes() == [0, 1, 2, 3]
    store.futures[0].set_result([])
    assert outcome.result(timeout=0) == Ingested(memory=2, magnetic=2)


@pytest.mark.parametrize(
    ("magnetic_writes", "member", "expected"),
    [
        (False, aged(11), Ingested(1, 0)),
        (False, aged(13), MEMORY_RANGE),
        (True, aged(11), Ingested(1, 0)),
        (True, aged(13), Ingested(0, 1)),
        (True, aged(121), Ingested(0, 1)),
        (True, aged(145), WINDOW_RANGE),
        # The lower ends are inside, the upper end is not.
        (False, aged(12, ms=25 * 60_000), Ingested(1, 0)),
        (False, aged(12, ms=25 * 60_000 + 1), MEMORY_RANGE),
        (True, aged(12, ms=25 * 60_000), Ingested(1, 0)),
        (True, aged(12, ms=25 * 60_000 + 1), Ingested(0, 1)),
        (True, aged(132, ms=25 * 60_000), Ingested(0, 1)),
        (True, aged(132, ms=25 * 60_000 + 1), WINDOW_RANGE),
        (False, aged(ms=-15 * 60_000 + 1), Ingested(1, 0)),
        (False, aged(ms=-15 * 60_000), MEMORY_RANGE),
        (True, aged(ms=-15 * 60_000 + 1), Ingested(1, 0)),
        (True, aged(ms=-15 * 60_000), WINDOW_RANGE),
        (False, record(Time=str(NOW + 15 * NS_PER_MINUTE - 1), TimeUnit="NANOSECONDS"), Ingested(1, 0)),
        (False, record(Time=str(2**63 - 1), TimeUnit="NANOSECONDS"), MEMORY_RANGE),
        (True, record(Time=str(-(2**63)), TimeUnit="NANOSECONDS"), WINDOW_RANGE),
    ],
)
def test_a_record_time_decides_its_tier(magnetic_writes, member, expected):
    write, store = ingest(magnetic_writes=magnetic_writes)
    outcome = write.write(request(member))
    for future in store.futures:
        future.set_result([])
    if isinstance(expected, Ingested):
        assert outcome.result(timeout=0) == expected
    else:
        assert rejections(outcome) == [RejectedRecord(0, expected)]


def test_the_others_are_written_and_rejections_stand_in_order_of_index():
    key = ({"Type": "DIMENSION", "Name": "rack", "EnforcementInRecord": "REQUIRED"},)
    write, store = ingest(partition_key=key)
    rack = {"Dimensions": dimensions(rack="r")}
    text = {"MeasureValue": "v", "MeasureValueType": "VARCHAR"}
    sent = (aged(**rack), aged(13, **rack), aged(**text, **rack), aged(), aged(-1, **text, **rack), aged(**rack))
    outcome = write.write(request(*sent))
    assert store.indexes() == [0, 2, 5]
    assert [values for batch in store.batches[0] for values in batch.values if isinstance(values, list)] == [["v"]]
    store.futures[0].set_result([Conflict(5, SameVersion()), Conflict(0, LowerVersion(1, 7))])
    assert rejections(outcome) == [
        RejectedRecord(
            0,
            "The record version 1 is lower than the existing version 7. "
            "A higher version is required to update the measure value.",
            7,
        ),
        RejectedRecord(1, MEMORY_RANGE),
        RejectedRecord(3, "The record does not contain the required partition key dimension rack."),
        RejectedRecord(4, MEMORY_RANGE),
        RejectedRecord(5, SAME_VERSION),
    ]


# Conflicts.

CONFLICTS = [
    (SameVersion(), SAME_VERSION, None),
    (
        LowerVersion(2, 200),
        "The record version 2 is lower than the existing version 200. "
        "A higher version is required to update the measure value.",
        200,
    ),
    (TypeConflict("cpu", "double"), "The measure cpu already exists with the type double.", None),
    (NameConflict("host", "dimension"), "The name host is already used by a dimension of the table.", None),
    (LimitConflict("dimensions", 128), "The record exceeds the maximum number of dimensions per table (128).", None),
]


@pytest.mark.parametrize(("kind", "reason", "existing"), CONFLICTS)
def test_a_conflict_becomes_a_rejection(kind, reason, existing):
    write, store = ingest()
    outcome = write.write(request(aged(), aged()))
    store.futures[0].set_result([Conflict(1, kind)])
    assert rejections(outcome) == [RejectedRecord(1, reason, existing)]


def test_every_kind_of_conflict_has_a_reason():
    # By name: a dataclass with slots leaves the class it was made of among the subclasses.
    assert {type(kind).__name__ for kind, _, _ in CONFLICTS} == {
        kind.__name__ for kind in ConflictKind.__subclasses__()
    }


@pytest.mark.parametrize("kind", [SameVersion(), LowerVersion(1, 2)])
def test_a_version_conflict_of_a_late_record_is_counted_and_not_told(kind):
    write, store = ingest(magnetic_writes=True)
    outcome = write.write(request(aged(), aged(13)))
    store.futures[0].set_result([Conflict(1, kind)])
    assert outcome.result(timeout=0) == Ingested(memory=1, magnetic=1)
    assert write.late_conflicts == 1


def test_the_same_conflict_of_a_record_in_time_is_told():
    write, store = ingest(magnetic_writes=True)
    outcome = write.write(request(aged(), aged(13)))
    store.futures[0].set_result([Conflict(1, SameVersion()), Conflict(0, SameVersion())])
    assert rejections(outcome) == [RejectedRecord(0, SAME_VERSION)]
    assert write.late_conflicts == 1


@pytest.mark.parametrize("kind", [TypeConflict("cpu", "double"), NameConflict("a", "measure"), LimitConflict("x", 1)])
def test_any_other_conflict_of_a_late_record_is_told(kind):
    write, store = ingest(magnetic_writes=True)
    outcome = write.write(request(aged(13)))
    store.futures[0].set_result([Conflict(0, kind)])
    assert rejections(outcome) == [reasons.of_conflict(Conflict(0, kind))]
    assert write.late_conflicts == 0


# The future.


def test_what_the_store_raises_is_raised():
    write, store = ingest()
    outcome = write.write(request(aged(), aged(13)))
    store.futures[0].set_exception(Unavailable("log failed"))
    with pytest.raises(Unavailable, match="log failed"):
        outcome.result(timeout=0)


def test_a_write_that_the_store_drops_is_unavailable():
    write, store = ingest()
    outcome = write.write(request(aged()))
    store.futures[0].cancel()
    with pytest.raises(Unavailable):
        outcome.result(timeout=0)


def test_a_client_that_leaves_cannot_cancel_the_write():
    write, store = ingest()
    outcome = write.write(request(aged()))
    assert not outcome.cancel()
    store.futures[0].set_result([])
    assert outcome.result(timeout=0) == Ingested(1, 0)


def test_a_store_that_is_done_at_once_is_answered_at_once():
    class Done(Submissions):
        def submit(self, table, batches):
            future = super().submit(table, batches)
            future.set_result([])
            return future

    outcome = Ingest(OneTable(), Done(), FixedClock(NOW), LIMITS).write(request(aged()))
    assert outcome.result(timeout=0) == Ingested(1, 0)
