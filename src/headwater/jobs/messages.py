"""What is told of a scheduled query, in the words that its consumers parse: type, attributes and JSON text.

The server makes those of creation, update and deletion, `jobs/scheduled` that of a run; `notify` delivers them. Pure.
Source: scheduled-queries.md 5, with the spelling of the service's own samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from headwater.model.scheduled_query import Run, ScheduledQuery


@dataclass(frozen=True, slots=True)
class Message:
    """`text` is JSON; `role_arn` is that of the role which tells it."""

    topic_arn: str
    role_arn: str
    attributes: dict[str, str]
    text: str


def creating(query: ScheduledQuery) -> Message:
    """Goes out before the creation is answered."""
    return _message(query, "SCHEDULED_QUERY_CREATING")


def created(query: ScheduledQuery) -> Message:
    return _message(query, "SCHEDULED_QUERY_CREATED")


def updated(query: ScheduledQuery) -> Message:
    """The state has changed to what `query` says."""
    return _message(query, "SCHEDULED_QUERY_UPDATED", state=query.state.value)


def deleted(query: ScheduledQuery) -> Message:
    return _message(query, "SCHEDULED_QUERY_DELETED")


def finished(query: ScheduledQuery, run: Run, next_s: int | None) -> Message:
    """A run has ended; `next_s` is the slot that comes next, if one does."""
    stats = run.stats
    summary: dict[str, object] = {
        "invocationEpochSecond": run.invocation_s,
        "triggerTimeMillis": run.trigger_ms,
        "runStatus": run.status.value,
        "executionStats": {
            "executionTimeInMillis": stats.execution_ms,
            "dataWrites": stats.written_bytes,
            "bytesMetered": stats.metered_bytes,
            "cumulativeBytesScanned": stats.scanned_bytes,
            "recordsIngested": stats.records_ingested,
            "queryResultRows": stats.result_rows,
        },
    }
    if run.error_report is not None:
        location = {"bucketName": run.error_report.bucket, "objectKey": run.error_report.key}
        summary["errorReportLocation"] = {"s3ReportLocation": location}
    if run.failure_reason is not None:
        summary["failureReason"] = run.failure_reason
    following = {} if next_s is None else {"nextInvocationEpochSecond": next_s}
    return _message(query, run.status.value, **following, scheduledQueryRunSummary=summary)


def _message(query: ScheduledQuery, kind: str, **members: object) -> Message:
    text = msgspec.json.encode({"type": kind, "arn": query.arn, **members}).decode()
    return Message(query.topic_arn, query.role_arn, {"queryArn": query.arn, "notificationType": kind}, text)
