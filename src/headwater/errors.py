"""Every fault a caller may be told about, named by what one can do about it.

Rooms raise these; none of them knows a status code or a wire name: `wire/faults.py` is the one table that does.
A fault carries values, and says its sentence once, in `message`. What is not a `Fault` is a bug of ours.
"""

from __future__ import annotations

from dataclasses import dataclass

FAULT_START, FAULT_END = "\x02", "\x03"
"""Around a text in an error of the query engine that is ours to show: lowered SQL makes it, `engine/faults.py` takes
it out."""


class Fault(Exception):
    """Base of all faults. `message` is what the client may read."""

    @property
    def message(self) -> str:
        return str(self.args[0]) if self.args else ""


class Invalid(Fault):
    """The request breaks a rule of the service; nothing was done."""


class InvalidShape(Fault):
    """Members of the request break constraints of the service model (length, pattern, enum, range, required)."""

    def __init__(self, violations: list[str]) -> None:
        super().__init__(violations)
        self.violations = violations

    @property
    def message(self) -> str:
        n = len(self.violations)
        return f"{n} validation error{'s' if n > 1 else ''} detected: {'; '.join(self.violations)}"


class Malformed(Fault):
    """The body is not JSON, or a member has the wrong JSON type."""


class TooLarge(Fault):
    """The request is larger than the server reads."""


class UnknownOperation(Fault):
    """No such operation here. An empty message is the service's own answer."""


class Unauthenticated(Fault):
    """The signature cannot be accepted. `code` is the wire's name for the reason."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Denied(Fault):
    """The caller may not do this."""


class KeyUnusable(Denied):
    """The key that a database is encrypted with does not exist, is disabled, or is not ours to use."""

    def __init__(self, key_id: str) -> None:
        super().__init__(
            f"The KMS key {key_id} doesn't exist, is disabled or you don't have sufficient permission to use it."
        )


class NotFound(Fault):
    """A named thing does not exist. `kind` is its noun: "database", "table", ..."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"The {kind} {name} does not exist.")
        self.kind = kind
        self.name = name


class Conflict(Fault):
    """A name is taken, or the thing is in another state than the request needs."""


class QuotaExceeded(Fault):
    """A limit on how many there may be is reached."""


class Throttled(Fault):
    """Too much at once; the same request may succeed later."""


@dataclass(frozen=True, slots=True)
class RejectedRecord:
    """One record that was not stored: its 0-based place in the request, why, and the version that stands, if any."""

    index: int
    reason: str
    existing_version: int | None = None


class Rejected(Fault):
    """Some records were not stored; all others of the request were. `records` is in order of index."""

    def __init__(self, records: list[RejectedRecord]) -> None:
        super().__init__("One or more records have been rejected. See RejectedRecords for details.")
        self.records = records


class QueryFailed(Fault):
    """A query that compiled failed while it ran."""


class Corrupt(Fault):
    """What was read from disk is not what was written. `message` names file and place, for the log only."""


class Unavailable(Fault):
    """The server cannot do this now (log failed, disk full, stopping); `message` is for the log only."""


class LogFailed(Unavailable):
    """The log cannot be written or synced, and never will be by this process: it has to end."""


class NewerFormat(Fault):
    """The data folder, or a file in it, was written by a newer release."""


class Locked(Fault):
    """Another process has the data folder."""
