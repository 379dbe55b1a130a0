"""Faults on the wire: one table from fault to status and name, and the body that tells a client.

The request chain calls `status_of` and `body_of`; no other file knows a status code of the service.
Never decides whether something is a fault, and never shows what is inside one that is ours.
Source: write-api.md 1.1, 1.2; signature faults: security.md 1 (guess, as in other services of this protocol).
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from headwater import errors
from headwater.errors import Fault

MODEL = "com.amazonaws.timestream.v20181101"
VALIDATE = "com.amazon.coral.validate"
SERVICE = "com.amazon.coral.service"


@dataclass(frozen=True, slots=True)
class WireFault:
    """How a fault travels."""

    status: int
    namespace: str
    name: str


INTERNAL = WireFault(500, MODEL, "InternalServerException")

FAULTS: dict[type[Fault], WireFault] = {
    errors.Invalid: WireFault(400, MODEL, "ValidationException"),
    errors.InvalidShape: WireFault(400, VALIDATE, "ValidationException"),
    errors.Malformed: WireFault(400, SERVICE, "SerializationException"),
    errors.TooLarge: WireFault(413, MODEL, "ValidationException"),
    errors.UnknownOperation: WireFault(404, SERVICE, "UnknownOperationException"),
    errors.Unauthenticated: WireFault(400, SERVICE, "InvalidSignatureException"),
    errors.Denied: WireFault(403, MODEL, "AccessDeniedException"),
    errors.NotFound: WireFault(404, MODEL, "ResourceNotFoundException"),
    errors.Conflict: WireFault(409, MODEL, "ConflictException"),
    errors.QuotaExceeded: WireFault(402, MODEL, "ServiceQuotaExceededException"),
    errors.Throttled: WireFault(429, MODEL, "ThrottlingException"),
    errors.Rejected: WireFault(419, MODEL, "RejectedRecordsException"),
    errors.QueryFailed: WireFault(400, MODEL, "QueryExecutionException"),
    errors.Corrupt: INTERNAL,
    errors.Unavailable: INTERNAL,
    errors.NewerFormat: INTERNAL,
    errors.Locked: INTERNAL,
}


def wire_fault(fault: Fault) -> WireFault:
    """The row of the fault's class, or of the nearest class above it (a failed log is an Unavailable)."""
    return next((FAULTS[kind] for kind in type(fault).__mro__ if kind in FAULTS), INTERNAL)


def status_of(fault: Fault) -> int:
    return wire_fault(fault).status


def name_of(fault: Fault) -> str:
    """The exception's name as clients see it. A refused signature says itself which one of several it is."""
    if isinstance(fault, errors.Unauthenticated):
        return fault.code
    return wire_fault(fault).name


def body_of(fault: Fault, request_id: str) -> bytes:
    """The JSON body. Both spellings of the message, since clients differ in which one they read."""
    row = wire_fault(fault)
    body: dict[str, object] = {"__type": f"{row.namespace}#{name_of(fault)}"}
    text = f"The request could not be completed. Request id: {request_id}" if row is INTERNAL else fault.message
    if text:
        body["message"] = body["Message"] = text
    if isinstance(fault, errors.NotFound) and fault.kind == "scheduled query":
        body["ScheduledQueryArn"] = fault.name
    if isinstance(fault, errors.Rejected):
        body["RejectedRecords"] = [_rejected_record(record) for record in fault.records]
    return msgspec.json.encode(body)


def _rejected_record(record: errors.RejectedRecord) -> dict[str, object]:
    """One element of RejectedRecords. ExistingVersion is left out when it does not apply. Source: write-api.md 6.5."""
    element: dict[str, object] = {"RecordIndex": record.index, "Reason": record.reason}
    if record.existing_version is not None:
        element["ExistingVersion"] = record.existing_version
    return element
