"""Error reports of scheduled queries: which rows of a run were not written and why, as JSON objects in a bucket.

`jobs/scheduled` makes one for each run and tells it what is refused. Memory stays flat: a report of many errors is
several objects, each put when it is full, whose keys begin with the key of the first. Source: scheduled-queries.md 6;
the forms of the times in the key are a guess.
"""

from __future__ import annotations

import msgspec

from headwater.ingest.target_rows import MappedRecord, RowFault
from headwater.jobs.reports import record_json
from headwater.model.scheduled_query import ReportLocation, ScheduledQuery
from headwater.model.table import ColumnKind
from headwater.objects import Buckets, Encryption, ObjectFault, key_below
from headwater.storage.late import LateRecord

ERRORS_PER_OBJECT = 10_000


class ErrorReport:
    """The report of one run, at `place` if there is anything to report. A bucket that does not take it is in nobody's
    way: `failure` says why, and that is all."""

    def __init__(
        self, buckets: Buckets, query: ScheduledQuery, invocation_s: int, trigger_ms: int, id: str, *, is_manual: bool
    ) -> None:
        """`id`: 32 hexadecimal digits, the same in all objects of a run. The bucket is not asked for yet."""
        self._buckets = buckets
        self._encryption = _encryption(query)
        key = report_key(query, invocation_s, trigger_ms, is_manual=is_manual)
        self.place = ReportLocation(query.error_report.bucket, key)
        self._id = id.upper()
        self._by_reason: dict[str, list[dict[str, object]]] = {}
        self._rows: list[dict[str, object]] = []
        self._waiting = 0
        self._written = 0
        self.errors = 0
        self.failure: str | None = None

    def add_record(self, reason: str, record: MappedRecord) -> None:
        """A record that was not stored."""
        self._by_reason.setdefault(reason, []).append(_record(record))
        self._added()

    def add_row(self, fault: RowFault) -> None:
        """A row that could not be made a record."""
        self._rows.append({"reason": fault.reason, "rawLine": fault.line})
        self._added()

    def finish(self) -> ReportLocation | None:
        """Where the report is; None if there was nothing to report, or no way to."""
        if self._waiting:
            self._put()
        return self.place if self._written else None

    def _added(self) -> None:
        self.errors += 1
        self._waiting += 1
        if self._waiting >= ERRORS_PER_OBJECT:
            self._put()

    def _put(self) -> None:
        of_records = [{"reason": reason, "records": records} for reason, records in self._by_reason.items()]
        body = msgspec.json.encode({"reportId": self._id, "errors": [*of_records, *self._rows]})
        self._by_reason, self._rows, self._waiting = {}, [], 0
        if self.failure is not None:
            return
        key = self.place.key
        try:
            objects = self._buckets.bucket(self.place.bucket, self._encryption)
            objects.put(f"{key}-{self._written + 1}" if self._written else key, body)
        except ObjectFault as fault:
            self.failure = fault.message
        else:
            self._written += 1


def report_key(query: ScheduledQuery, invocation_s: int, trigger_ms: int, *, is_manual: bool) -> str:
    """`<prefix>/<name with suffix>/<invocation, s>/<Auto or Manual>/<trigger, ms>`, both times since 1970.

    A name may have parts between slashes that a key cannot: they become hyphens. The suffix tells such names apart.
    """
    kind = "Manual" if is_manual else "Auto"
    name = "/".join("-" if part in ("", ".", "..") else part for part in query.id.split("/"))
    return key_below(query.error_report.prefix, name, str(invocation_s), kind, str(trigger_ms))


def _encryption(query: ScheduledQuery) -> Encryption:
    if query.error_report.encryption == "SSE_KMS":
        return Encryption("SSE_KMS", query.kms_key_id or "")
    return Encryption("SSE_S3")


def _record(record: MappedRecord) -> dict[str, object]:
    """Without the version, which is not the user's. Source: scheduled-queries.md 6."""
    late = LateRecord(
        record.series.measure_name,
        record.series.sent,
        record.layout.kind is ColumnKind.MULTI,
        tuple((name, kind, value) for (name, kind), value in zip(record.layout.columns, record.values, strict=True)),
        record.time_ns,
        1,
        None,
    )
    return {**record_json(late), "version": None}
