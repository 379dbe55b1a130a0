"""What WriteRecords means, as far as neither the table's state nor the clock has a say. Pure.

`write` calls `validate` with a decoded request and the table's partition key. Common attributes are merged, values
get their types, names and limits are checked. One meaning, two speeds: `quick` for requests without a flaw, `exact`
for all others.
"""

from __future__ import annotations

from dataclasses import dataclass

from headwater.errors import RejectedRecord
from headwater.ingest import exact, quick
from headwater.model.limits import Limits
from headwater.model.record import RecordColumns
from headwater.wire.write_records import WriteRecordsRequest

PartitionKey = tuple[dict[str, str], ...]
"""`Schema.CompositePartitionKey` as sent. Source: write-api.md 7."""


@dataclass(frozen=True, slots=True)
class Validated:
    """The good records of a request, one `RecordColumns` for each layout, and the rejections, by index."""

    columns: list[RecordColumns]
    rejected: list[RejectedRecord]


def validate(request: WriteRecordsRequest, limits: Limits, partition_key: PartitionKey | None) -> Validated:
    """Judge all records of a request.

    Layouts stand in the order of their first record. Rejected are records without a REQUIRED partition key and
    those over a limit that concerns a record alone.
    Raises Invalid for the first fault in the order of records: then nothing of the request may be written.
    Source: write-api.md 6.1-6.5, 7, 8.
    """
    required_key = required_dimension(partition_key)
    columns = quick.read(request, limits, required_key)
    if columns is not None:
        return Validated(columns, [])
    return Validated(*exact.read(request, limits, required_key))


def required_dimension(partition_key: PartitionKey | None) -> str | None:
    """The dimension without which a record is rejected, if there is one."""
    for part in partition_key or ():
        if part["Type"] == "DIMENSION" and part.get("EnforcementInRecord") == "REQUIRED":
            return part["Name"]
    return None
