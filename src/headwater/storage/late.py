"""Late records that lost against a stored version: counted, and kept for the rejected-data report.

The service decides such conflicts after the answer; we decide them with the write and tell nobody but the report. So
that a crash after the answer does not lose it, a report is an entry of the log, and is pending until `jobs/reports.py`
has written it to its bucket. It may be written again after a restart, under the same name. Writes nothing itself.
Source: storage.md 5.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from headwater.errors import Corrupt, NotFound
from headwater.model.record import Conflict, ConflictKind, LowerVersion, RecordColumns, SameVersion
from headwater.model.table import ColumnKind, MeasureType, Table, TableId, TablesById, time_windows
from headwater.model.time import Clock

PAYLOAD_MAGIC = b"\xc1reports1"
"""Begins the payload of a log entry that holds reports. MessagePack, as which all other payloads begin, has no 0xC1."""


class LateRecord(msgspec.Struct, frozen=True, array_like=True):
    """One record that was dropped. `values` are name, type and value of each measure; `existing_version` is None when
    it was the same version with other values that stood against it.
    """

    measure_name: str
    dimensions: tuple[tuple[str, str], ...]
    is_multi: bool
    values: tuple[tuple[str, MeasureType, str | float | int | bool], ...]
    time_ns: int
    version: int
    existing_version: int | None

    @property
    def conflict(self) -> ConflictKind:
        existing = self.existing_version
        return SameVersion() if existing is None else LowerVersion(self.version, existing)


class Report(msgspec.Struct, frozen=True, array_like=True):
    """What one request lost. `time_ns` is when."""

    id: str
    table: TableId
    time_ns: int
    records: tuple[LateRecord, ...]


# Made here and not at the first use, which may come on several threads at once: see `wire/codec`.
_decode_reports = msgspec.msgpack.Decoder(list[Report]).decode


class LateWrites:
    """The reports that wait, and counts since the start. Any thread may call."""

    def __init__(self, tables: TablesById, clock: Clock, new_id: Callable[[], str]) -> None:
        self._tables = tables
        self._clock = clock
        self._new_id = new_id
        self._lock = threading.Lock()
        self._pending: dict[str, tuple[int, Report]] = {}
        self.rejected_records: Counter[TableId] = Counter()
        """Late records dropped for their version, by table."""

    def judge(
        self, table_id: TableId, batches: Sequence[RecordColumns], conflicts: Sequence[Conflict]
    ) -> Report | None:
        """Count the conflicts of late records; the report of them, if the table wants one."""
        lost = [conflict for conflict in conflicts if isinstance(conflict.kind, SameVersion | LowerVersion)]
        if not lost:
            return None
        try:
            table = self._tables.table_by_id(table_id)
        except NotFound:
            return None
        now_ns = self._clock.now_ns()
        late_before_ns = time_windows(table.retention, table.magnetic_writes_enabled, now_ns).memory_start_ns
        places = {int(index): (batch, row) for batch in batches for row, index in enumerate(batch.index)}
        records = tuple(
            _late_record(batch, row, conflict.kind)
            for conflict in lost
            for batch, row in [places[conflict.index]]
            if batch.time_ns[row] < late_before_ns
        )
        if not records:
            return None
        with self._lock:
            self.rejected_records[table_id] += len(records)
        return Report(self._new_id().upper(), table_id, now_ns, records) if report_location(table) else None

    @property
    def rejected_count(self) -> int:
        """Late records dropped for their version, of all tables."""
        with self._lock:
            return self.rejected_records.total()

    @property
    def pending_count(self) -> int:
        with self._lock:
            return len(self._pending)

    def wait(self, sequence: int, reports: Sequence[Report]) -> None:
        """These are in the log, under `sequence`, and in no bucket yet."""
        with self._lock:
            self._pending |= {report.id: (sequence, report) for report in reports}

    def pending(self) -> list[Report]:
        """Oldest first."""
        with self._lock:
            return [report for _, report in self._pending.values()]

    def settled(self, report_id: str) -> None:
        """The report is written, or given up."""
        with self._lock:
            self._pending.pop(report_id, None)

    def first_sequence(self) -> int | None:
        """Of the oldest pending report; None when there is none."""
        with self._lock:
            return min((sequence for sequence, _ in self._pending.values()), default=None)


def report_location(table: Table) -> dict[str, str] | None:
    """The S3Configuration of the table's rejected-data location, or None."""
    location = (table.magnetic_writes or {}).get("MagneticStoreRejectedDataLocation")
    found = location.get("S3Configuration") if isinstance(location, dict) else None
    return found if isinstance(found, dict) and found.get("BucketName") else None


def encode_reports(reports: Sequence[Report]) -> bytes:
    return PAYLOAD_MAGIC + msgspec.msgpack.encode(reports)


def has_reports(payload: bytes) -> bool:
    return payload.startswith(PAYLOAD_MAGIC)


def decode_reports(payload: bytes) -> list[Report]:
    """Raises Corrupt."""
    try:
        return _decode_reports(payload[len(PAYLOAD_MAGIC) :])
    except msgspec.DecodeError as error:
        raise Corrupt(f"log entry with reports cannot be read: {error}") from error


def _late_record(batch: RecordColumns, row: int, kind: ConflictKind) -> LateRecord:
    series, values = batch.series[row], batch.row(row)
    return LateRecord(
        measure_name=series.measure_name,
        dimensions=series.sent,
        is_multi=batch.layout.kind is ColumnKind.MULTI,
        values=tuple((name, measure_type, values[name]) for name, measure_type in batch.layout.columns),  # type: ignore[misc]
        time_ns=int(batch.time_ns[row]),
        version=int(batch.version[row]),
        existing_version=kind.existing_version if isinstance(kind, LowerVersion) else None,
    )
