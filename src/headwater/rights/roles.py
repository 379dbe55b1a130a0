"""Roles that scheduled queries act as: who they are, and what their policies let them do. Face of `rights`.

`instance` makes one `Roles`, `jobs` assumes a role for each thing it does for a query. The policies of the role NAME
are in `NAME.json` of the folder that the setting `roles` names. A file is read again whenever its role is assumed, so
an edit counts from then on; without a folder every role may do everything. Source: reliability.md 6 "Permission",
security.md 3; the session's name is a guess.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import structlog

from headwater.errors import Denied, Invalid, Unavailable
from headwater.files import Files
from headwater.model.region import partition_of, timestream_arn
from headwater.rights.policy import Decision, Policy, read_policy

_log = structlog.get_logger("rights")

_SUFFIX = ".json"
_SESSION = "scheduled-query"
_NAME = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Role:
    """A role that has been assumed, with its rights of that moment. `policy` None: it may do everything."""

    name: str
    region: str
    account: str
    policy: Policy | None

    @property
    def is_limited(self) -> bool:
        return self.policy is not None

    def require(self, action: str, resource: str) -> None:
        """Raises Denied, in the words of the service."""
        decision = Decision.ALLOWED if self.policy is None else self.policy.decide(action, resource)
        if decision is Decision.ALLOWED:
            return
        why = f"because no identity-based policy allows the {action} action"
        if decision is Decision.DENIED:
            why = "with an explicit deny in an identity-based policy"
        user = f"arn:{partition_of(self.region)}:sts::{self.account}:assumed-role/{self.name}/{_SESSION}"
        raise Denied(f"User: {user} is not authorized to perform: {action} on resource: {resource} {why}")

    def require_table(self, action: str, database: str, table: str) -> None:
        """`require` for a table, which need not exist."""
        self.require(action, timestream_arn(self.region, self.account, f"database/{database}/table/{table}"))

    def require_object(self, action: str, bucket: str, key: str) -> None:
        """`require` for an object of a bucket."""
        self.require(action, f"arn:{partition_of(self.region)}:s3:::{bucket}/{key}")


class Roles:
    """Any thread may call. `folder` None: whatever ARN is assumed, the role may do everything."""

    def __init__(self, files: Files, folder: Path | None, region: str, account: str) -> None:
        self._files = files
        self._folder = folder
        self._region = region
        self._account = account
        self._arn = re.compile(
            rf"arn:{partition_of(region)}:iam::{account}:role/(?:[!-~]+/)?({_NAME.pattern})", re.ASCII
        )

    def check(self) -> None:
        """Read every file, so that a mistake is known before it counts. Raises Invalid naming the file and the rule."""
        if self._folder is None:
            return
        try:
            for file in self._files.list(self._folder, site="rights.list"):
                if file.endswith(_SUFFIX):
                    self._read(file.removesuffix(_SUFFIX))
        except OSError as error:
            raise Invalid(f"roles: {self._folder} cannot be read: {error}") from error

    def assume(self, arn: str) -> Role:
        """The role of an ARN as its file says now. Raises Denied if there is none of that account, or its file is
        wrong, which the log tells; Unavailable if the file cannot be read."""
        if self._folder is None:
            return Role(arn.rpartition("/")[2], self._region, self._account, None)
        found = self._arn.fullmatch(arn)
        try:
            if found is not None:
                return Role(found[1], self._region, self._account, self._read(found[1]))
            _log.warning("role of another account", role=arn)
        except (FileNotFoundError, Invalid) as error:
            _log.error("role not assumed", role=arn, reason=str(error))
        except OSError as error:
            raise Unavailable(f"The policies of {arn} cannot be read: {error}") from error
        raise Denied(f"User: timestream.amazonaws.com is not authorized to perform: sts:AssumeRole on resource: {arn}")

    def _read(self, name: str) -> Policy:
        """Raises Invalid, OSError."""
        assert self._folder is not None, "without a folder nobody looks for a file"
        path = self._folder / f"{name}{_SUFFIX}"
        if not _NAME.fullmatch(name):
            raise Invalid(f"roles: {path}: no role can have this name")
        try:
            return read_policy(self._files.read(path, site="rights.read"))
        except Invalid as error:
            raise Invalid(f"roles: {path}: {error.message}") from error
