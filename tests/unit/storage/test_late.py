"""Late records that lose against a stored version: counted, reported, and not forgotten by a crash."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater.errors import Corrupt
from headwater.model.record import LowerVersion, SameVersion
from headwater.model.table import MeasureType, Retention
from headwater.model.time import NS_PER_DAY
from headwater.storage.late import PAYLOAD_MAGIC, LateRecord, decode_reports
from support.stores import NOW_NS, StoreFolder, records, series

LATE_NS = NOW_NS - NS_PER_DAY
MAGNETIC = {
    "EnableMagneticStoreWrites": True,
    "MagneticStoreRejectedDataLocation": {"S3Configuration": {"BucketName": "rejected"}},
}


@pytest.fixture
def folder(tmp_path: Path) -> StoreFolder:
    """Its table has an hour of memory and wants reports."""
    opened = StoreFolder(tmp_path)
    opened.catalog.update_table("db", "t", Retention(1, 100), MAGNETIC, None)
    opened.write(records([(series("a"), LATE_NS, 5, 1.0), (series("a"), NOW_NS, 5, 1.0)]))
    return opened


def test_a_late_loser_is_pending_and_one_in_the_memory_tier_is_not(folder: StoreFolder):
    batch = [(series("a"), LATE_NS, 4, 2.0), (series("a"), NOW_NS, 4, 2.0), (series("b"), LATE_NS, 1, 1.0)]
    assert len(folder.write(records(batch))) == 2, "the store tells of all, ingest knows which to answer"
    (report,) = folder.store.late.pending()
    assert (report.table, report.time_ns, len(report.id)) == (folder.table, NOW_NS, 32)
    assert report.id == report.id.upper()
    (record,) = report.records
    assert record == LateRecord(
        "cpu", (("host", "a"),), True, (("usage", MeasureType.DOUBLE, 2.0),), LATE_NS, 4, existing_version=5
    )
    assert record.conflict == LowerVersion(4, 5)
    assert folder.store.late.rejected_records[folder.table] == 1
    folder.close()


def test_the_same_version_with_other_values_is_reported_and_a_retry_is_not(folder: StoreFolder):
    folder.write(records([(series("a"), LATE_NS, 5, 2.0)]))
    assert folder.write(records([(series("a"), LATE_NS, 5, 1.0)])) == []
    (report,) = folder.store.late.pending()
    assert report.records[0].conflict == SameVersion()
    folder.close()


def test_without_a_location_it_is_counted_only(folder: StoreFolder):
    folder.catalog.update_table("db", "t", None, {"EnableMagneticStoreWrites": True}, None)
    folder.write(records([(series("a"), LATE_NS, 4, 2.0)]))
    assert folder.store.late.pending() == []
    assert folder.store.late.rejected_records[folder.table] == 1
    folder.close()


def test_a_report_outlives_a_restart_and_a_flush_until_it_is_settled(folder: StoreFolder):
    folder.write(records([(series("a"), LATE_NS, 4, 2.0)]))
    pending = folder.store.late.pending()
    folder.reopen()
    assert folder.store.late.pending() == pending
    folder.store.flush()
    folder.reopen()
    assert folder.store.late.pending() == pending
    folder.store.late.settled(pending[0].id)
    assert folder.store.late.pending() == []
    folder.store.flush()
    assert folder.log.size_bytes == 0
    folder.close()


def test_reports_of_a_dropped_table_end_with_it(folder: StoreFolder):
    folder.write(records([(series("a"), LATE_NS, 4, 2.0)]))
    folder.store.drop_table(folder.catalog.delete_table("db", "t"))
    folder.reopen()
    assert folder.store.late.pending() == []
    folder.close()


def test_reports_do_not_hold_a_log_that_is_too_long(tmp_path: Path):
    folder = StoreFolder(tmp_path, segment_bytes=1 << 12, budget_bytes=1 << 12)
    folder.catalog.update_table("db", "t", Retention(1, 100), MAGNETIC, None)
    folder.write(records([(series("a"), LATE_NS, 5, 1.0)]))
    folder.write(records([(series("a"), LATE_NS, 4, 2.0)]))
    for turn in range(60):
        folder.write(records([(series(f"host-{turn}"), NOW_NS, 1, 1.0)]))
    folder.store.flush()
    assert folder.log.size_bytes == 0
    assert len(folder.store.late.pending()) == 1
    folder.close()


def test_a_report_that_cannot_be_read_is_damage():
    with pytest.raises(Corrupt):
        decode_reports(PAYLOAD_MAGIC + b"\x93\x01")
