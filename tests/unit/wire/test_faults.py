"""Faults on the wire: every class has a row, and every row is an error the service has."""

from __future__ import annotations

import json

import botocore.session
import pytest

from headwater import errors
from headwater.wire import faults

REQUEST_ID = "ABCDEFGHIJKLMNOPQRSTUVWXY2"

FRAMEWORK_ERRORS = {"SerializationException", "UnknownOperationException", "InvalidSignatureException"}
"""Raised before an operation is known or called, so that no model lists them."""


def every_fault():
    found, waiting = set(), [errors.Fault]
    while waiting:
        for kind in waiting.pop().__subclasses__():
            if kind.__module__ == errors.__name__:
                found.add(kind)
            waiting.append(kind)
    return found


def body(fault):
    return json.loads(faults.body_of(fault, REQUEST_ID))


def test_every_fault_is_in_the_table_itself_or_by_its_base():
    assert {kind for kind in every_fault() if not any(base in faults.FAULTS for base in kind.__mro__)} == set()
    assert errors.LogFailed in every_fault()


def test_every_name_is_an_error_of_the_service():
    session = botocore.session.get_session()
    modelled = set()
    for service in ("timestream-write", "timestream-query"):
        model = session.get_service_model(service)
        modelled |= {error.name for name in model.operation_names for error in model.operation_model(name).error_shapes}
    assert {row.name for row in faults.FAULTS.values()} - modelled == FRAMEWORK_ERRORS


@pytest.mark.parametrize(
    ("fault", "status", "name"),
    [
        (errors.Invalid("x"), 400, "com.amazonaws.timestream.v20181101#ValidationException"),
        (errors.InvalidShape(["x"]), 400, "com.amazon.coral.validate#ValidationException"),
        (errors.Malformed("x"), 400, "com.amazon.coral.service#SerializationException"),
        (errors.TooLarge("x"), 413, "com.amazonaws.timestream.v20181101#ValidationException"),
        (errors.Unauthenticated("ExpiredTokenException", "x"), 400, "com.amazon.coral.service#ExpiredTokenException"),
        (errors.Denied("x"), 403, "com.amazonaws.timestream.v20181101#AccessDeniedException"),
        (errors.NotFound("table", "t"), 404, "com.amazonaws.timestream.v20181101#ResourceNotFoundException"),
        (errors.Conflict("x"), 409, "com.amazonaws.timestream.v20181101#ConflictException"),
        (errors.QuotaExceeded("x"), 402, "com.amazonaws.timestream.v20181101#ServiceQuotaExceededException"),
        (errors.Throttled("x"), 429, "com.amazonaws.timestream.v20181101#ThrottlingException"),
        (errors.Rejected([]), 419, "com.amazonaws.timestream.v20181101#RejectedRecordsException"),
        (errors.QueryFailed("x"), 400, "com.amazonaws.timestream.v20181101#QueryExecutionException"),
    ],
)
def test_status_name_and_both_spellings_of_the_message(fault, status, name):
    assert faults.status_of(fault) == status
    sent = body(fault)
    assert sent["__type"] == name
    assert name.endswith("#" + faults.name_of(fault))
    assert sent["message"] == sent["Message"] == fault.message != ""


@pytest.mark.parametrize(
    "kind", [errors.Corrupt, errors.Unavailable, errors.LogFailed, errors.NewerFormat, errors.Locked]
)
def test_what_is_ours_shows_a_request_id_and_nothing_from_inside(kind):
    fault = kind("/data/log/000001.seg")
    assert faults.status_of(fault) == 500
    text = f"The request could not be completed. Request id: {REQUEST_ID}"
    assert body(fault) == {
        "__type": "com.amazonaws.timestream.v20181101#InternalServerException",
        "message": text,
        "Message": text,
    }


def test_an_unknown_operation_without_a_message_has_a_type_only():
    assert body(errors.UnknownOperation("")) == {"__type": "com.amazon.coral.service#UnknownOperationException"}
    assert body(errors.UnknownOperation("why"))["message"] == "why"


def test_rejected_records_stand_at_the_top_level():
    fault = errors.Rejected([errors.RejectedRecord(0, "old"), errors.RejectedRecord(3, "lower", 200)])
    assert body(fault)["RejectedRecords"] == [
        {"RecordIndex": 0, "Reason": "old"},
        {"RecordIndex": 3, "Reason": "lower", "ExistingVersion": 200},
    ]
