"""Why a record was not stored: every text that `RejectedRecords` may carry, each said once.

`validate` and `write` make rejections with it. Knows no request and no status code.
Source: errors.md 1 for what the service says, 1.1 for what we agreed on; marked *guess* where neither has a text.
"""

from __future__ import annotations

from headwater.errors import RejectedRecord
from headwater.model.record import Conflict, LimitConflict, LowerVersion, NameConflict, SameVersion, TypeConflict
from headwater.model.table import TimeWindows
from headwater.model.time import instant_text

SAME_VERSION = (
    "A record already exists with the same time, dimensions, measure name, and record version. "
    "A higher record version must be specified in order to update the measure value. "
    "Specifying record version is supported by the latest SDKs."
)


def outside(windows: TimeWindows, magnetic_writes: bool) -> str:
    """The record's time is not in the range that the table accepts now."""
    where = "data ingestion window" if magnetic_writes else "memory store"
    first, last = instant_text(windows.start_ns), instant_text(windows.end_ns)
    return f"The record timestamp is outside the time range [{first}, {last}) of the {where}."


def partition_key_missing(name: str) -> str:
    return f"The record does not contain the required partition key dimension {name}."


def too_large(bytes_max: int) -> str:
    return f"The record exceeds the maximum size of {bytes_max} bytes."


def name_too_long(kind: str, bytes_max: int) -> str:
    """*Guess*: no text is known for a long name; `kind` is "dimension" or "measure"."""
    return f"The {kind} name exceeds the maximum size of {bytes_max} bytes."


def too_many_measures(count_max: int) -> str:
    """*Guess*, after the text for the limits of a table."""
    return f"The record exceeds the maximum number of measures per record ({count_max})."


def of_conflict(conflict: Conflict) -> RejectedRecord:
    """What the client is told about a record that the store did not take.

    Only the text about a lower version comes with ExistingVersion: observed so. Source: write-api.md 6.5.
    """
    existing_version: int | None = None
    match conflict.kind:
        case SameVersion():
            reason = SAME_VERSION
        case LowerVersion(version, stands):
            existing_version = stands
            reason = (
                f"The record version {version} is lower than the existing version {stands}. "
                "A higher version is required to update the measure value."
            )
        case TypeConflict(name, type_name):
            reason = f"The measure {name} already exists with the type {type_name}."
        case NameConflict(name, other):
            reason = f"The name {name} is already used by a {other} of the table."
        case LimitConflict(kind, limit):
            reason = f"The record exceeds the maximum number of {kind} per table ({limit})."
        case _:
            raise AssertionError(f"a conflict has no reason: {conflict}")
    return RejectedRecord(conflict.index, reason, existing_version)
