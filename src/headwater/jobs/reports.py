"""Rejected-data reports: what late writes lost is written to the bucket that the table names, as one JSON object.

The store keeps reports until they are `settled` here, over crashes too (`storage/late.py`). Nobody who wrote is told
of a failure; it is counted and tried again. Layout and key: storage.md 5.1, a *guess* after the report of a scheduled
query.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
import pyarrow as pa
import structlog

from headwater.errors import NotFound
from headwater.ingest import reasons
from headwater.model.record import Conflict
from headwater.model.table import MeasureType, Table, TableId, TablesById
from headwater.model.time import NS_PER_S, Clock
from headwater.objects import Buckets, Encryption, ObjectFault, key_below
from headwater.storage.late import LateRecord, LateWrites, Report, report_location
from headwater.wire.datum import double_texts

_log = structlog.get_logger("jobs")

RETRY_FIRST_S = 1.0
RETRY_LONGEST_S = 300.0
GIVEN_UP_S = 24 * 3_600.0
"""So long after the first try a report that cannot be written is given up."""


@dataclass(slots=True)
class _Tries:
    """When a report was first tried, when it may be tried again, and how long to wait after that."""

    first_s: float
    next_s: float
    wait_s: float = RETRY_FIRST_S


class Reports:
    """`uploaded`, `user_failures` and `system_failures` count since the start, by table; every failed try counts."""

    def __init__(self, tables: TablesById, late: LateWrites, buckets: Buckets, clock: Clock) -> None:
        self._tables = tables
        self._late = late
        self._buckets = buckets
        self._clock = clock
        self._tries: dict[str, _Tries] = {}
        self._stopping = threading.Event()
        self.uploaded: Counter[TableId] = Counter()
        self.user_failures: Counter[TableId] = Counter()
        self.system_failures: Counter[TableId] = Counter()

    def run(self) -> None:
        """Try every report that is due. A bucket that has failed is left alone for the rest of the run."""
        failed: set[str] = set()
        for report in self._late.pending():
            if self._stopping.is_set():
                return
            now_s = self._clock.monotonic_s()
            tries = self._tries.setdefault(report.id, _Tries(now_s, now_s))
            if now_s >= tries.next_s:
                self._try(report, tries, failed)

    def stop(self) -> None:
        """Let `run` end after the report it is at."""
        self._stopping.set()

    def _try(self, report: Report, tries: _Tries, failed: set[str]) -> None:
        try:
            table = self._tables.table_by_id(report.table)
        except NotFound:
            self._settle(report)
            return
        location = report_location(table)
        if location is None:
            self._settle(report)
            return
        if location["BucketName"] in failed:
            return
        try:
            _put(self._buckets, location, report_key(location.get("ObjectKeyPrefix"), table, report), report)
        except ObjectFault as fault:
            failed.add(location["BucketName"])
            self._postpone(report, tries, fault)
        else:
            self.uploaded[report.table] += 1
            self._settle(report)

    def _postpone(self, report: Report, tries: _Tries, fault: ObjectFault) -> None:
        now_s = self._clock.monotonic_s()
        (self.user_failures if fault.is_user else self.system_failures)[report.table] += 1
        _log.warning("a rejected-data report could not be written", table=report.table, reason=fault.message)
        if now_s - tries.first_s >= GIVEN_UP_S:
            _log.error("a rejected-data report is given up", table=report.table, records=len(report.records))
            self._settle(report)
            return
        tries.next_s = now_s + tries.wait_s
        tries.wait_s = min(2 * tries.wait_s, RETRY_LONGEST_S)

    def _settle(self, report: Report) -> None:
        self._late.settled(report.id)
        self._tries.pop(report.id, None)


def report_key(prefix: str | None, table: Table, report: Report) -> str:
    """`<prefix>/<database>/<table>/<yyyy>/<MM>/<dd>/<HH>/<mm>/<report id>.json`, the time being the rejection's."""
    at = datetime.fromtimestamp(report.time_ns // NS_PER_S, UTC)
    return key_below(prefix, table.database, table.name, f"{at:%Y/%m/%d/%H/%M}", f"{report.id}.json")


def report_body(report: Report) -> bytes:
    """The records of a report by reason, in the order they were sent."""
    by_reason: dict[str, list[dict[str, object]]] = {}
    for record in report.records:
        reason = reasons.of_conflict(Conflict(0, record.conflict)).reason
        by_reason.setdefault(reason, []).append(record_json(record))
    errors = [{"reason": reason, "records": records} for reason, records in by_reason.items()]
    return msgspec.json.encode({"reportId": report.id, "errors": errors})


def _put(buckets: Buckets, location: dict[str, str], key: str, report: Report) -> None:
    kms_key_id = location.get("KmsKeyId", "")
    is_kms = location.get("EncryptionOption") == "SSE_KMS"
    encryption = Encryption("SSE_KMS", kms_key_id) if is_kms else Encryption("SSE_S3")
    buckets.bucket(location["BucketName"], encryption).put(key, report_body(report))


def record_json(record: LateRecord) -> dict[str, object]:
    """A record as reports show it; a scheduled query's are the same (`error_reports`)."""
    texts = [(name, kind, _text(kind, value)) for name, kind, value in record.values]
    values = [{"name": name, "value": text, "type": kind.name} for name, kind, text in texts]
    return {
        "dimensions": [{"name": name, "value": value, "dimensionValueType": None} for name, value in record.dimensions],
        "measureName": record.measure_name,
        "measureValue": None if record.is_multi else texts[0][2],
        "measureValues": values if record.is_multi else None,
        "measureValueType": "MULTI" if record.is_multi else texts[0][1].name,
        "time": str(record.time_ns),
        "timeUnit": "NANOSECONDS",
        "version": record.version,
    }


def _text(kind: MeasureType, value: str | float | int | bool) -> str:
    match kind:
        case MeasureType.DOUBLE:
            text: str = double_texts(pa.array([value], pa.float64()))[0].as_py()
            return text
        case MeasureType.BOOLEAN:
            return "true" if value else "false"
        case _:
            return str(value)
