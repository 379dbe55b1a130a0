"""Roles: who can be assumed, what they are told when they may not, and what a wrong file does."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from headwater.errors import Denied, Invalid, Unavailable
from headwater.files import LocalFiles
from headwater.rights.roles import Roles

REGION, ACCOUNT = "eu-west-1", "123456789012"
ARN = f"arn:aws:iam::{ACCOUNT}:role/service-role/deep/runs"
TABLE = f"arn:aws:timestream:{REGION}:{ACCOUNT}:database/db/table/cpu"
USER = f"User: arn:aws:sts::{ACCOUNT}:assumed-role/runs/scheduled-query"
NOT_ASSUMED = "User: timestream.amazonaws.com is not authorized to perform: sts:AssumeRole on resource: "


def policy(effect: str, action: str, resource: str) -> dict[str, Any]:
    statement = {"Effect": effect, "Action": action, "Resource": resource}
    return {"Version": "2012-10-17", "Statement": statement}


def roles(folder: Path | None, **files: object) -> Roles:
    """`files` are documents by role."""
    for name, document in files.items():
        assert folder is not None
        (folder / f"{name}.json").write_text(json.dumps(document))
    return Roles(LocalFiles(), folder, REGION, ACCOUNT)


def test_without_a_folder_every_role_may_do_everything() -> None:
    role = roles(None).assume("arn:aws-cn:iam::000000000000:role/anyone")
    assert not role.is_limited
    role.require("iam:PassRole", "*")


def test_a_role_may_do_what_its_policies_allow_and_is_told_what_they_do_not(tmp_path: Path) -> None:
    documents = [policy("Allow", "timestream:Select", f"{TABLE[:-3]}*"), policy("Deny", "*", TABLE)]
    role = roles(tmp_path, runs=documents).assume(ARN)
    assert role.is_limited
    role.require_table("timestream:Select", "db", "disk")
    with pytest.raises(Denied) as denied:
        role.require_table("timestream:Select", "db", "cpu")
    assert denied.value.message == (
        f"{USER} is not authorized to perform: timestream:Select on resource: {TABLE} "
        "with an explicit deny in an identity-based policy"
    )
    with pytest.raises(Denied) as denied:
        role.require_object("s3:PutObject", "errors", "some/key")
    assert denied.value.message == (
        f"{USER} is not authorized to perform: s3:PutObject on resource: arn:aws:s3:::errors/some/key "
        "because no identity-based policy allows the s3:PutObject action"
    )


def test_arns_are_those_of_the_region_s_partition(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(json.dumps(policy("Allow", "*", "arn:aws-cn:s3:::b/*")))
    known = Roles(LocalFiles(), tmp_path, "cn-north-1", ACCOUNT)
    role = known.assume(f"arn:aws-cn:iam::{ACCOUNT}:role/r")
    role.require_object("s3:PutObject", "b", "k")
    with pytest.raises(Denied, match="arn:aws-cn:sts::"):
        role.require_table("timestream:Select", "db", "cpu")


@pytest.mark.parametrize(
    "arn",
    [
        ARN + "2",
        "arn:aws:iam::000000000000:role/runs",
        f"arn:aws-cn:iam::{ACCOUNT}:role/runs",
        f"arn:aws:iam::{ACCOUNT}:user/runs",
        f"arn:aws:iam::{ACCOUNT}:role/../../runs/",
        f"arn:aws:iam::{ACCOUNT}:role/..",
        "runs",
    ],
)
def test_who_is_unknown_or_of_another_account_is_not_assumed(tmp_path: Path, arn: str) -> None:
    known = roles(tmp_path, runs=policy("Allow", "*", "*"))
    with capture_logs() as logs, pytest.raises(Denied) as denied:
        known.assume(arn)
    assert denied.value.message == NOT_ASSUMED + arn
    assert [line["role"] for line in logs] == [arn]


def test_an_edit_counts_from_the_next_time_on(tmp_path: Path) -> None:
    known = roles(tmp_path, runs=policy("Allow", "timestream:Select", TABLE))
    before = known.assume(ARN)
    roles(tmp_path, runs=policy("Allow", "timestream:Select", "*"))
    known.assume(ARN).require_table("timestream:Select", "db", "disk")
    with pytest.raises(Denied):
        before.require_table("timestream:Select", "db", "disk")


def test_a_file_that_has_become_wrong_takes_all_rights_and_is_logged(tmp_path: Path) -> None:
    known = roles(tmp_path, runs=policy("Allow", "*", "*"))
    (tmp_path / "runs.json").write_text('{"Statement": ')
    with capture_logs() as logs, pytest.raises(Denied, match="sts:AssumeRole"):
        known.assume(ARN)
    (line,) = logs
    assert (line["log_level"], line["role"]) == ("error", ARN)
    assert str(tmp_path / "runs.json") in line["reason"]


class Broken(LocalFiles):
    def read(self, path: Path, *, site: str) -> bytes:
        raise OSError(errno.EIO, "I/O error")


def test_a_disk_that_fails_takes_no_rights_for_good(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        Roles(Broken(), tmp_path, REGION, ACCOUNT).assume(ARN)


def test_all_files_are_looked_at_at_start(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a policy")
    roles(tmp_path, good=[policy("Allow", "*", "*")]).check()
    bad = roles(tmp_path, bad={"Statement": {**policy("Allow", "*", "*")["Statement"], "Condition": {}}})
    with pytest.raises(Invalid, match=r"^roles: .*/bad\.json: statement 1: Condition is not supported$"):
        bad.check()


def test_a_name_that_no_role_has_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "my role.json").write_text("[]")
    with pytest.raises(Invalid, match=r"my role\.json: no role can have this name"):
        roles(tmp_path).check()


def test_a_folder_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"roles: .*missing cannot be read"):
        roles(tmp_path / "missing").check()
    roles(None).check()
