"""Batch loads on a real instance and buckets that are folders: what a task makes of its files, and what it tells."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from csv_loads import MODEL, REPORTS, SOURCE, Loads, now_ms

from headwater.errors import Conflict, Invalid, NotFound, QuotaExceeded
from headwater.jobs import batch_load_run
from headwater.jobs.batch_load_csv import NOT_UTF_8, WRONG_WIDTH
from headwater.jobs.batch_load_mapping import NO_TIME, NO_VALUE, OUTSIDE
from headwater.model.batch_load import BatchLoadLimits, Progress, TaskStatus
from headwater.model.limits import Limits
from headwater.model.table import Retention
from headwater.model.time import NS_PER_HOUR
from headwater.storage.store import Store

DAY_MS = 86_400_000
NOW = now_ms()
TOMORROW = NOW + DAY_MS
MIXED = {key: MODEL[key] for key in ("TimeColumn", "DimensionMappings")}


@pytest.fixture
def loads(tmp_path: Path) -> Iterator[Loads]:
    one = Loads(tmp_path)
    yield one
    one.close()


def lines(*rows: str, header: str = "time,host,cpu,mem") -> str:
    return "".join(f"{line}\n" for line in (header, *rows))


def progress_of(ingested: int, parse: int = 0, ingestion: int = 0, files: int = 0) -> Progress:
    """Without the bytes."""
    return Progress(ingested + parse + ingestion, ingested, parse, ingestion, files, 0)


def counted(progress: Progress) -> Progress:
    return replace(progress, bytes_metered=0)


# What rows become.


def test_rows_become_multi_measure_records(loads: Loads) -> None:
    text = lines(f"{NOW},a,1.5,2", f"{NOW + 1},b,-2e3,-7")
    task = loads.loaded(text)
    assert (task.status, task.message) == (TaskStatus.SUCCEEDED, None)
    assert task.progress == Progress(2, 2, 0, 0, 0, len(text))
    assert loads.rows() == [["a", "metrics", "1.5", "2"], ["b", "metrics", "-2000.0", "-7"]]
    assert not list((loads.folder / "buckets" / REPORTS).iterdir())


def test_a_load_rests_while_flushes_are_behind(loads: Loads, monkeypatch: pytest.MonkeyPatch) -> None:
    behind = [True] * 3
    monkeypatch.setattr(Store, "is_behind", property(lambda _: bool(behind) and behind.pop()))
    monkeypatch.setattr(batch_load_run, "STORE_RETRY_S", 0.001)
    assert loads.loaded(lines(f"{NOW},a,0.5,1")).status is TaskStatus.SUCCEEDED
    assert not behind


def test_what_is_empty_is_left_out(loads: Loads) -> None:
    task = loads.loaded(lines(f"{NOW},a,,2", f"{NOW + 1},b,1,", f"{NOW + 2},c,,", f"{NOW + 3},,1,2"))
    assert task.status is TaskStatus.FAILED
    assert counted(task.progress) == progress_of(2, 0, 2)
    assert loads.rows() == [["a", "metrics", None, "2"], ["b", "metrics", "1.0", None]]
    assert loads.errors(task) == [
        (NO_VALUE, [[4, 4]]),
        ("At least one dimension is required for a record.", [[5, 5]]),
    ]


def test_all_types_and_units(loads: Loads) -> None:
    kinds = ("DOUBLE", "BIGINT", "VARCHAR", "BOOLEAN", "TIMESTAMP")
    attributes = [{"SourceColumn": kind, "MeasureValueType": kind} for kind in kinds]
    model = {**MODEL, "TimeUnit": "SECONDS", "MultiMeasureMappings": {"MultiMeasureAttributeMappings": attributes}}
    model["MultiMeasureMappings"]["TargetMultiMeasureName"] = "all"
    seconds = NOW // 1_000
    text = lines(f'{seconds},a,.5,9,"x, y",True,1', header="time,host,DOUBLE,BIGINT,VARCHAR,BOOLEAN,TIMESTAMP")
    assert loads.loaded(text, model).status is TaskStatus.SUCCEEDED
    select = 'SELECT "DOUBLE", "BIGINT", "VARCHAR", "BOOLEAN", "TIMESTAMP", to_milliseconds(time) FROM db.t'
    assert loads.rows(select) == [
        ["0.5", "9", "x, y", "true", "1970-01-01 00:00:01.000000000", str(seconds * 1_000)],
    ]


def test_a_column_has_the_measure_names(loads: Loads) -> None:
    model = {**MODEL, "MeasureNameColumn": "kind", "MultiMeasureMappings": {**MODEL["MultiMeasureMappings"]}}
    del model["MultiMeasureMappings"]["TargetMultiMeasureName"]
    rows = (f"{NOW},a,1,2,x,", f"{NOW},b,3,4,y,unused", f"{NOW},c,3,4,,", f"{NOW},d,3,4,a:b,")
    task = loads.loaded(lines(*rows, header="time,host,cpu,mem,kind,other"), model)
    assert loads.rows() == [["a", "x", "1.0", "2"], ["b", "y", "3.0", "4"]]
    assert loads.errors(task) == [
        ("A measure name is required for a record.", [[4, 4]]),
        ("The measure name is invalid.", [[5, 5]]),
    ]


def test_mixed_measures_make_several_records_of_a_row(loads: Loads) -> None:
    mixed = [
        {"MeasureValueType": "DOUBLE", "SourceColumn": "cpu"},
        {"MeasureValueType": "BIGINT", "SourceColumn": "mem", "TargetMeasureName": "memory"},
        {
            "MeasureValueType": "MULTI",
            "TargetMeasureName": "both",
            "MultiMeasureAttributeMappings": [
                {"SourceColumn": "cpu", "TargetMultiMeasureAttributeName": "c"},
                {"SourceColumn": "mem", "TargetMultiMeasureAttributeName": "m", "MeasureValueType": "BIGINT"},
            ],
        },
    ]
    task = loads.loaded(lines(f"{NOW},a,1,2", f"{NOW},b,,4"), {**MIXED, "MixedMeasureMappings": mixed})
    assert counted(task.progress) == progress_of(5)
    select = "SELECT host, measure_name, measure_value::double, measure_value::bigint, c, m FROM db.t ORDER BY 1, 2"
    assert loads.rows(select) == [
        ["a", "both", None, None, "1.0", "2"],
        ["a", "cpu", "1.0", None, None, None],
        ["a", "memory", None, "2", None, None],
        ["b", "both", None, None, None, "4"],
        ["b", "memory", None, "4", None, None],
    ]


def test_measure_names_choose_among_mixed_measures(loads: Loads) -> None:
    mixed = [
        {"MeasureName": "c", "MeasureValueType": "DOUBLE", "SourceColumn": "value", "TargetMeasureName": "cpu"},
        {"MeasureName": "m", "MeasureValueType": "BIGINT", "SourceColumn": "value"},
    ]
    model = {**MIXED, "MeasureNameColumn": "kind", "MixedMeasureMappings": mixed}
    text = lines(f"{NOW},a,c,1", f"{NOW},a,m,2", f"{NOW},a,x,3", header="time,host,kind,value")
    task = loads.loaded(text, model)
    select = "SELECT measure_name, measure_value::double, measure_value::bigint FROM db.t ORDER BY 1"
    assert loads.rows(select) == [["cpu", "1.0", None], ["m", None, "2"]]
    assert loads.errors(task) == [(NO_VALUE, [[4, 4]])]


@pytest.mark.parametrize(
    ("csv", "text"),
    [
        ({"ColumnSeparator": "|", "QuoteChar": "'"}, f"time|host|cpu|mem\n{NOW}|'a'|1|2\n"),
        ({"NullValue": "NA", "TrimWhiteSpace": True}, f"time , host,cpu,mem\n {NOW}, a ,1, NA \n"),
        ({"ColumnSeparator": "\t", "EscapeChar": "\\"}, f"\ufefftime\thost\tcpu\tmem\r\n{NOW}\t\\a\t1\t2\r\n"),
    ],
)
def test_dialects(loads: Loads, csv: dict[str, Any], text: str) -> None:
    assert loads.loaded(text, csv=csv).status is TaskStatus.SUCCEEDED
    assert loads.rows("SELECT host, cpu FROM db.t") == [["a", "1.0"]]


def test_a_data_model_from_a_bucket(loads: Loads) -> None:
    loads.put("models/one.json", json.dumps(MODEL))
    loads.put("data/one.csv", lines(f"{NOW},a,1,2"))
    place = {"DataModelS3Configuration": {"BucketName": SOURCE, "ObjectKey": "models/one.json"}}
    task = loads.ended(loads.create(prefix="data/", DataModelConfiguration=place))
    assert task.status is TaskStatus.SUCCEEDED
    assert loads.rows() == [["a", "metrics", "1.0", "2"]]


# What does not become a record.


def test_bad_rows_are_told_and_the_others_loaded(loads: Loads) -> None:
    rows = [
        f"{NOW},a,1,2",
        f"{NOW},b,one,2",
        f"{NOW},c,1,2.5",
        f"{NOW},d,1",
        "x,e,1,2",
        ",f,1,2",
        f"{NOW},g,nan,2",
        f"{TOMORROW},h,1,2",
        f"{TOMORROW},i,1,2",
        f"{NOW + 1},a,1,2",
    ]
    task = loads.loaded(lines(*rows).encode() + f"{NOW},\xff,1,2\n".encode("latin-1"))
    assert task.status is TaskStatus.FAILED
    assert counted(task.progress) == progress_of(2, 7, 2)
    assert loads.errors(task) == [
        ("Invalid value for double measure value type: cpu.", [[3, 3], [8, 8]]),
        ("Invalid value for bigint measure value type: mem.", [[4, 4]]),
        (WRONG_WIDTH, [[5, 5]]),
        (NO_TIME, [[6, 7]]),
        (OUTSIDE, [[9, 10]]),
        (NOT_UTF_8, [[12, 12]]),
    ]
    assert loads.report(task)["taskId"] == task.id
    assert task.message is not None
    assert f"s3://{REPORTS}/{task.id}/" in task.message


def test_old_rows_are_taken_as_far_as_both_retentions_go(loads: Loads) -> None:
    loads.instance.catalog.update_table("db", "t", Retention(1, 10), None, None)
    task = loads.loaded(lines(f"{NOW - 9 * DAY_MS},a,1,2", f"{NOW - 12 * DAY_MS},b,1,2", f"{TOMORROW},c,1,2"))
    assert [row[0] for row in loads.rows()] == ["a"]
    assert loads.errors(task) == [(OUTSIDE, [[3, 4]])]


def test_versions(loads: Loads) -> None:
    assert loads.loaded(lines(f"{NOW},a,1,2"), RecordVersion=2).status is TaskStatus.SUCCEEDED
    again = loads.loaded(lines(f"{NOW},a,1,2"), RecordVersion=2)
    assert counted(again.progress) == progress_of(1)
    other = loads.loaded(lines(f"{NOW},a,3,4", f"{NOW},b,3,4"), RecordVersion=2)
    assert counted(other.progress) == progress_of(1, 0, 1)
    assert loads.errors(other)[0][0].startswith("A record already exists with the same time")
    lower = loads.loaded(lines(f"{NOW},a,3,4"))
    assert loads.errors(lower)[0][0].startswith("The record version 1 is lower than the existing version 2.")
    assert loads.loaded(lines(f"{NOW},a,5,6"), RecordVersion=3).status is TaskStatus.SUCCEEDED
    assert loads.rows()[0] == ["a", "metrics", "5.0", "6"]


def test_limits_of_records(loads: Loads) -> None:
    attributes = [{"SourceColumn": name, "MeasureValueType": "VARCHAR"} for name in ("cpu", "mem")]
    mappings = {"TargetMultiMeasureName": "m", "MultiMeasureAttributeMappings": attributes}
    rows = (f"{NOW},a,{'x' * 2_000},{'y' * 49}", f"{NOW},b,{'x' * 2_049},y", f"{NOW},{'c' * 2_049},x,y")
    task = loads.loaded(lines(*rows), {**MODEL, "MultiMeasureMappings": mappings})
    assert counted(task.progress) == progress_of(0, 1, 2)
    assert loads.errors(task) == [
        ("The record exceeds the maximum size of 2048 bytes.", [[2, 2], [4, 4]]),
        ("Invalid value for varchar measure value type: cpu.", [[3, 3]]),
    ]


def test_a_required_partition_key(loads: Loads) -> None:
    key = [{"Type": "DIMENSION", "Name": "host", "EnforcementInRecord": "OPTIONAL"}]
    loads.instance.create_table("db", "keyed", None, None, key)
    model = {**MODEL, "DimensionMappings": [{"SourceColumn": "host"}, {"SourceColumn": "region"}]}
    required = [{**key[0], "EnforcementInRecord": "REQUIRED"}]
    loads.instance.catalog.update_table("db", "keyed", None, None, required)
    text = lines(f"{NOW},,1,2,r", f"{NOW},a,1,2,r", header="time,host,cpu,mem,region")
    task = loads.loaded(text, model, TargetTableName="keyed")
    reason = "The record does not contain the required partition key dimension host."
    assert loads.errors(task) == [(reason, [[2, 2]])]
    without = {**MODEL, "DimensionMappings": [{"SourceColumn": "region"}]}
    with pytest.raises(Invalid, match="required partition key dimension host"):
        loads.create(without, TargetTableName="keyed")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "The file has no header."),
        ("time,host,cpu\n1,a,1\n", "The header has no column mem."),
        ("time,host,cpu,mem,cpu\n", "The header has the column cpu more than once."),
    ],
)
def test_a_file_that_cannot_be_loaded(loads: Loads, text: str, reason: str) -> None:
    loads.put("a.csv", text)
    loads.put("b.csv", lines(f"{NOW},a,1,2"))
    task = loads.ended(loads.create())
    assert task.status is TaskStatus.FAILED
    assert counted(task.progress) == progress_of(1, files=1)
    assert loads.report(task)["fileErrors"] == [
        {"fileName": "a.csv", "errors": [{"reason": reason, "lineRanges": [[1, 1]]}]}
    ]


def test_only_a_header_is_a_file_without_rows(loads: Loads) -> None:
    assert loads.loaded("time,host,cpu,mem").status is TaskStatus.SUCCEEDED


def test_no_file_at_all(loads: Loads) -> None:
    task = loads.ended(loads.create(prefix="nothing/"))
    assert task.status is TaskStatus.FAILED
    assert loads.report(task)["taskErrors"] == ["There is no file with the prefix 'nothing/' in the bucket."]


# Requests.


def test_the_same_token_is_the_same_task(loads: Loads) -> None:
    loads.put("a.csv", lines(f"{NOW},a,1,2"))
    first = loads.create(ClientToken="token")
    assert loads.create(ClientToken="token") == first
    with pytest.raises(Conflict):
        loads.create(ClientToken="token", RecordVersion=2)
    assert loads.create(ClientToken="other") != first
    loads.ended(first)
    loads.close()
    loads.open()
    assert loads.create(ClientToken="token") == first


def without(member: str) -> dict[str, Any]:
    return {key: value for key, value in MODEL.items() if key != member}


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"model": without("TimeColumn")}, "TimeColumn is required"),
        ({"model": without("MultiMeasureMappings")}, "Exactly one of MultiMeasureMappings"),
        (
            {"model": {**MODEL, "MixedMeasureMappings": [{"MeasureValueType": "DOUBLE", "SourceColumn": "cpu"}]}},
            "Exactly one of MultiMeasureMappings",
        ),
        (
            {"model": {**MODEL, "MultiMeasureMappings": {"MultiMeasureAttributeMappings": [{"SourceColumn": "cpu"}]}}},
            "TargetMultiMeasureName is required",
        ),
        ({"model": {**MODEL, "DimensionMappings": [{"DestinationColumn": "a"}]}}, "SourceColumn is required"),
        ({"model": {**MODEL, "DimensionMappings": [{"SourceColumn": "no good"}]}}, "The dimension name is invalid"),
        ({"model": {**MODEL, "DimensionMappings": [{"SourceColumn": "a"}] * 2}}, "mapped more than once"),
        ({"model": {**MIXED, "MixedMeasureMappings": [{"MeasureValueType": "DOUBLE"}]}}, "MeasureName is required"),
        (
            {"model": {**MIXED, "MixedMeasureMappings": [{"MeasureValueType": "MULTI", "MeasureName": "a"}]}},
            "MultiMeasureAttributeMappings is required",
        ),
        (
            {"model": {**MIXED, "MixedMeasureMappings": [{"MeasureValueType": "TIMESTAMP", "SourceColumn": "a"}]}},
            "TIMESTAMP is an invalid measure value type",
        ),
        ({"DataModelConfiguration": None}, "Exactly one of DataModel and DataModelS3Configuration"),
        (
            {"DataModelConfiguration": {"DataModelS3Configuration": {"BucketName": SOURCE, "ObjectKey": "no.json"}}},
            "There is no data model no.json",
        ),
        ({"csv": {"QuoteChar": "x"}}, "QuoteChar"),
        ({"RecordVersion": 0}, "version must be 1 or greater"),
        ({"ReportConfiguration": {}}, "ReportS3Configuration is required"),
        ({"ReportConfiguration": {"ReportS3Configuration": {"BucketName": "nowhere"}}}, "nowhere does not exist"),
        (
            {"ReportConfiguration": {"ReportS3Configuration": {"BucketName": REPORTS, "EncryptionOption": "SSE_KMS"}}},
            "KmsKeyId is required",
        ),
    ],
)
def test_a_request_that_cannot_be(loads: Loads, members: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        loads.create(**members)
    assert loads.instance.catalog.batch_loads.page(None, None, 10) == []


def test_the_target_must_be_there(loads: Loads) -> None:
    with pytest.raises(NotFound, match="table none"):
        loads.create(TargetTableName="none")


# States.


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """While it is not set no task makes a step: tasks stay as they were made."""
    event, steps = threading.Event(), batch_load_run.Run.steps

    def waiting(self: batch_load_run.Run) -> Iterator[None]:
        while not event.is_set() and not self._stopping.wait(0.01):
            yield
        yield from steps(self)

    monkeypatch.setattr(batch_load_run.Run, "steps", waiting)
    yield event
    event.set()


def test_only_so_many_are_active(tmp_path: Path, gate: threading.Event) -> None:
    loads = Loads(tmp_path, Limits(batch_load=BatchLoadLimits(active_per_table=2, active_per_account=3)))
    loads.instance.create_table("db", "other", None, None, None)
    loads.put("a.csv", lines(f"{NOW},a,1,2"))
    made = [loads.create(), loads.create()]
    with pytest.raises(QuotaExceeded, match="of a table"):
        loads.create()
    made.append(loads.create(TargetTableName="other"))
    with pytest.raises(QuotaExceeded):
        loads.create(TargetTableName="other")
    tasks = loads.instance.catalog.batch_loads
    assert [task.id for task in tasks.page(None, None, 2)] == [made[2], made[1]]
    assert [task.id for task in tasks.page(TaskStatus.CREATED, made[1], 2)] == [made[0]]
    gate.set()
    for id in made:
        assert loads.ended(id).status is TaskStatus.SUCCEEDED
    assert tasks.page(TaskStatus.CREATED, None, 10) == []
    loads.create()
    loads.close()


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headwater.jobs.batch_load_csv.CHUNK_ROWS", 10)
    monkeypatch.setattr("headwater.jobs.batch_load_csv.STEP_ROWS", 10)
    monkeypatch.setattr(batch_load_run, "CHUNKS_PER_COMMIT", 2)
    monkeypatch.setattr(batch_load_run, "PART_BYTES", 100)


def test_a_task_with_too_many_errors_stops_and_goes_on_when_told(tmp_path: Path, small_chunks: None) -> None:
    loads = Loads(tmp_path, Limits(batch_load=BatchLoadLimits(error_ranges=50)))
    rows = [f"{NOW + number},a,{'x' if number % 2 and number < 240 else '1'},2" for number in range(400)]
    task = loads.loaded(lines(*rows))
    assert task.status is TaskStatus.PROGRESS_STOPPED
    assert task.resumable_until_ns is not None
    assert 23.9 < (task.resumable_until_ns - task.updated_ns) / NS_PER_HOUR < 24.1
    assert task.message is not None
    assert "too many errors" in task.message
    stops = 0
    while task.status is TaskStatus.PROGRESS_STOPPED:
        stops += 1
        loads.instance.batch_loads.resume(task.id)
        with pytest.raises(Invalid, match="only a stopped one"):
            loads.instance.batch_loads.resume(task.id)
        task = loads.ended(task.id)
    assert (stops, task.status, task.resumable_until_ns) == (2, TaskStatus.FAILED, None)
    assert counted(task.progress) == progress_of(280, 120)
    ((_, ranges),) = loads.errors(task)
    assert ranges == [[line, line] for line in range(3, 242, 2)]
    assert loads.rows("SELECT count(*) FROM db.t") == [["280"]]
    loads.close()


def test_a_fault_of_ours_stops_the_task_and_nothing_is_lost(loads: Loads, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr(batch_load_run.RowMapper, "map", broken)
        task = loads.loaded(lines(f"{NOW},a,1,2"))
    assert (task.status, task.progress) == (TaskStatus.PROGRESS_STOPPED, Progress())
    loads.instance.batch_loads.resume(task.id)
    assert loads.ended(task.id).status is TaskStatus.SUCCEEDED
    assert loads.rows() == [["a", "metrics", "1.0", "2"]]


def test_a_deleted_table_fails_its_task(loads: Loads, gate: threading.Event) -> None:
    loads.put("a.csv", lines(f"{NOW},a,1,2"))
    id = loads.create()
    loads.instance.drop_table("db", "t")
    gate.set()
    task = loads.ended(id)
    assert task.status is TaskStatus.FAILED
    assert loads.report(task)["taskErrors"] == ["The table t does not exist."]


@pytest.mark.parametrize("change", [lambda path: path.unlink(), lambda path: path.write_text("time,host,cpu,mem\n")])
def test_a_file_that_changes_meanwhile(
    loads: Loads, gate: threading.Event, small_chunks: None, change: Callable[[Path], None]
) -> None:
    loads.put("a.csv", lines(f"{NOW},a,1,2"))
    task = loads.task(loads.create())
    file = batch_load_run.SourceFile(0, "a.csv", 1_000, "etag of another time")
    loads.instance.catalog.batch_loads.begin(task.id, [file])
    change(loads.folder / "buckets" / SOURCE / "a.csv")
    gate.set()
    ended = loads.ended(task.id)
    assert counted(ended.progress) == progress_of(0, files=1)


def test_a_clean_stop_is_quick_and_the_next_start_goes_on(loads: Loads, small_chunks: None) -> None:
    loads.put("a.csv", lines(*(f"{NOW + number},a,{number},2" for number in range(2_000))))
    id = loads.create()
    loads.close()
    loads.open()
    task = loads.ended(id)
    assert (task.status, counted(task.progress)) == (TaskStatus.SUCCEEDED, progress_of(2_000))
    assert loads.rows("SELECT count(*), count(DISTINCT cpu) FROM db.t") == [["2000", "2000"]]


def test_what_a_task_is_stays_over_a_restart(loads: Loads) -> None:
    loads.put("a.csv", lines(f"{NOW},a,1,2", "x,a,1,2"))
    csv = {"ColumnSeparator": ",", "TrimWhiteSpace": True}
    task = loads.ended(loads.create(csv=csv, prefix="a.csv"))
    loads.close()
    loads.open()
    assert loads.task(task.id) == task
    assert loads.errors(task) == [(NO_TIME, [[3, 3]])]
