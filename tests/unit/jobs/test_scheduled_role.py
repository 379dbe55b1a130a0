"""A scheduled query acts with the rights of its role: when it is made, and at each run anew, on a real instance."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headwater.errors import Denied, Fault, Invalid
from headwater.instance import Instance
from headwater.jobs.scheduled_run import INTERNAL
from headwater.model.scheduled_query import RunStatus, State
from support.scheduled import MEANS, World, make_tables, rows, runs, schedule, write_cpu

ROOT = "arn:aws:timestream:us-east-1:000000000000:database"
ALL_TABLES = f"{ROOT}/db/table/*"
SELECT = {"Effect": "Allow", "Action": "timestream:Select", "Resource": ALL_TABLES}
VALUES = {"Effect": "Allow", "Action": "timestream:SelectValues", "Resource": "*"}
WRITE = {"Effect": "Allow", "Action": "timestream:WriteRecords", "Resource": f"{ROOT}/db/table/means"}
REPORT = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::errors/some/prefix/*"}
HIDDEN = {"Effect": "Deny", "Action": "timestream:Select", "Resource": f"{ROOT}/db/table/hidden"}
ENOUGH = (SELECT, WRITE, REPORT)
CONSTANTS = "SELECT 'a' AS host, @scheduled_runtime AS slot, 1e0 AS mean"


class Ruled:
    """A world whose role `r` has a file."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder)
        self.file = folder / "roles" / "r.json"
        self.file.parent.mkdir()

    def allow(self, *statements: dict[str, Any]) -> None:
        self.file.write_text(json.dumps({"Version": "2012-10-17", "Statement": statements}))


@pytest.fixture
def ruled(tmp_path: Path) -> Ruled:
    return Ruled(tmp_path)


@pytest.fixture
def instance(ruled: Ruled) -> Iterator[Instance]:
    with ruled.world.open(roles=str(ruled.file.parent)) as opened:
        make_tables(opened, "cpu", "means", "hidden")
        write_cpu(opened, {"a": [1, 2]})
        yield opened


def refusal(instance: Instance, kind: type[Fault] = Denied, text: str = MEANS, **members: Any) -> str:
    with pytest.raises(kind) as refused:
        schedule(instance, text, **members)
    return refused.value.message


def test_a_role_with_the_rights_of_its_query_runs_it(ruled: Ruled, instance: Instance) -> None:
    ruled.allow(*ENOUGH)
    query = schedule(instance)
    ruled.world.minutes(instance, 1)
    assert [run.status for run in runs(instance, query)] == [RunStatus.AUTO_TRIGGER_SUCCESS]
    assert rows(instance, "SELECT mean FROM db.means") == [["1.5"]]


@pytest.mark.parametrize(
    ("allowed", "action", "resource"),
    [
        ((WRITE, REPORT), "timestream:Select", f"{ROOT}/db/table/cpu"),
        ((SELECT, REPORT), "timestream:WriteRecords", f"{ROOT}/db/table/means"),
        ((SELECT, WRITE), "s3:PutObject", "arn:aws:s3:::errors/some/prefix/means-"),
        ((VALUES,), "timestream:WriteRecords", f"{ROOT}/db/table/means"),
    ],
)
def test_a_right_that_is_missing_is_named(
    ruled: Ruled, instance: Instance, allowed: tuple[dict[str, Any], ...], action: str, resource: str
) -> None:
    ruled.allow(*allowed)
    said = refusal(instance)
    assert said.startswith(
        "User: arn:aws:sts::000000000000:assumed-role/r/scheduled-query is not authorized to perform: "
        f"{action} on resource: {resource}"
    )
    assert said.endswith(f" because no identity-based policy allows the {action} action")
    assert not instance.catalog.scheduled.all()


def test_every_table_of_the_bound_query_is_asked_for(ruled: Ruled, instance: Instance) -> None:
    ruled.allow(*ENOUGH, HIDDEN)
    schedule(instance)
    within = f"WITH one AS (SELECT * FROM db.hidden) {MEANS} HAVING count(*) > (SELECT count(*) FROM one)"
    said = refusal(instance, text=within, name="within")
    assert said.endswith("hidden with an explicit deny in an identity-based policy")
    # A name in a text or a comment is no table.
    schedule(instance, f"{MEANS} HAVING max(host) <> 'db.hidden' -- FROM db.hidden", "spoken")


@pytest.mark.parametrize("table", ["db.hidden", "db.missing", "nowhere.cpu"])
def test_who_may_not_read_a_table_is_not_told_whether_it_is_there(ruled: Ruled, instance: Instance, table: str) -> None:
    ruled.allow({**SELECT, "Resource": f"{ROOT}/db/table/cpu"}, WRITE, REPORT)
    database, _, name = table.partition(".")
    said = refusal(instance, text=MEANS.replace("db.cpu", table))
    assert f"timestream:Select on resource: {ROOT}/{database}/table/{name} because" in said


def test_who_may_not_write_to_a_table_is_not_told_whether_it_is_there(ruled: Ruled, instance: Instance) -> None:
    ruled.allow(SELECT, REPORT)
    there = refusal(instance)
    instance.drop_table("db", "means")
    assert refusal(instance) == there


def test_who_may_read_is_told_what_is_missing(ruled: Ruled, instance: Instance) -> None:
    ruled.allow({**SELECT, "Resource": "*"}, WRITE, REPORT)
    for table in ("db.missing", "nowhere.cpu"):
        said = refusal(instance, Invalid, MEANS.replace("db.cpu", table))
        database, name = table.split(".")
        assert f"Requested table '{name}' not found for identifier '{database}.{name}' at line 1:" in said


def test_a_query_without_a_table_needs_select_values(ruled: Ruled, instance: Instance) -> None:
    ruled.allow(*ENOUGH)
    assert "timestream:SelectValues on resource: * because" in refusal(instance, text=CONSTANTS)
    ruled.allow(VALUES, WRITE, REPORT)
    schedule(instance, CONSTANTS)


def test_a_query_without_a_target_needs_no_right_to_write(ruled: Ruled, instance: Instance) -> None:
    ruled.allow(SELECT, REPORT)
    assert schedule(instance, target=None).target is None


@pytest.mark.parametrize("arn", ["arn:aws:iam::000000000000:role/other", "arn:aws:iam::123456789012:role/r"])
def test_a_role_that_is_not_there_makes_no_query(ruled: Ruled, instance: Instance, arn: str) -> None:
    ruled.allow(*ENOUGH)
    assert refusal(instance, role_arn=arn).endswith(f"sts:AssumeRole on resource: {arn}")


def test_the_same_call_is_answered_alike_when_its_role_has_gone(ruled: Ruled, instance: Instance) -> None:
    ruled.allow(*ENOUGH)
    query = replace(schedule(instance), name="again", arn=instance.scheduling.new_arn("again"))
    made = instance.scheduling.create(query, "t" * 32, {})
    ruled.file.unlink()
    assert instance.scheduling.create(made, "t" * 32, {}) == made


def failed_run(ruled: Ruled, instance: Instance) -> str:
    """Why the next run fails, which disables the query."""
    (query,) = instance.catalog.scheduled.all()
    before = len(runs(instance, query))
    ruled.world.minutes(instance, 2)
    (run,) = runs(instance, query)[before:]
    assert run.status is RunStatus.AUTO_TRIGGER_FAILURE
    assert run.failure_reason is not None
    assert instance.catalog.scheduled.get(query.arn).state is State.DISABLED
    return run.failure_reason


def test_a_run_of_a_role_that_has_gone_fails_and_disables(ruled: Ruled, instance: Instance) -> None:
    ruled.allow(*ENOUGH)
    query = schedule(instance)
    ruled.file.unlink()
    assert failed_run(ruled, instance).endswith(f"sts:AssumeRole on resource: {query.role_arn}")
    assert rows(instance, "SELECT count(*) FROM db.means") == [["0"]]


@pytest.mark.parametrize(("left", "action"), [(0, "timestream:Select"), (1, "timestream:WriteRecords"), (2, "s3:Put")])
def test_a_right_that_was_taken_fails_the_next_run(ruled: Ruled, instance: Instance, left: int, action: str) -> None:
    ruled.allow(*ENOUGH)
    schedule(instance)
    ruled.world.minutes(instance, 1)
    ruled.allow(*(one for place, one in enumerate(ENOUGH) if place != left))
    assert f"is not authorized to perform: {action}" in failed_run(ruled, instance)
    assert rows(instance, "SELECT count(*) FROM db.means") == [["1"]]


def test_a_right_that_was_given_counts_at_the_next_run(ruled: Ruled, instance: Instance) -> None:
    ruled.allow(*ENOUGH)
    query = schedule(instance)
    ruled.allow(*ENOUGH, {**HIDDEN, "Resource": ALL_TABLES})
    assert failed_run(ruled, instance).endswith("with an explicit deny in an identity-based policy")
    ruled.allow(*ENOUGH)
    instance.scheduling.update_state(query.arn, State.ENABLED)
    ruled.world.minutes(instance, 1)
    assert runs(instance, query)[-1].status is RunStatus.AUTO_TRIGGER_SUCCESS


def test_a_file_that_cannot_be_read_now_is_not_the_query_s_end(ruled: Ruled, instance: Instance) -> None:
    ruled.allow(*ENOUGH)
    query = schedule(instance)
    ruled.file.unlink()
    ruled.file.mkdir()
    ruled.world.minutes(instance, 1)
    assert [run.failure_reason for run in runs(instance, query)] == [INTERNAL]
    assert instance.catalog.scheduled.get(query.arn).state is State.ENABLED


def test_a_bad_policy_stops_the_start(ruled: Ruled) -> None:
    ruled.allow({**SELECT, "Condition": {"Bool": {"aws:SecureTransport": "true"}}})
    with pytest.raises(Invalid, match=r"roles: .*/r\.json: statement 1: Condition is not supported"):
        ruled.world.open(roles=str(ruled.file.parent)).__enter__()


def test_without_the_setting_any_role_of_any_account_will_do(ruled: Ruled) -> None:
    with ruled.world.open() as instance:
        make_tables(instance, "cpu", "means")
        write_cpu(instance, {"a": [1]})
        query = schedule(instance, role_arn="arn:aws:iam::123456789012:role/anyone")
        ruled.world.minutes(instance, 1)
        assert [run.status for run in runs(instance, query)] == [RunStatus.AUTO_TRIGGER_SUCCESS]
        said = refusal(instance, Invalid, MEANS.replace("db.cpu", "nowhere.cpu"), name="other")
        assert said.startswith("Requested database 'nowhere' not found")
