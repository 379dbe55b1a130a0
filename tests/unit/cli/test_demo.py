"""The pieces of `headwater demo`: what it writes, what its checks notice, what it takes from the environment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headwater.cli.demo import corrected, isolate
from headwater.cli.demo_checks import CheckFailed, Rows, check_after_crash, check_counts, check_same, check_values
from headwater.cli.demo_data import RECORDS_PER_REQUEST, Devops, Request, Video, Workload
from headwater.cli.demo_load import LOADERS, Journal, share
from headwater.cli.demo_queries import RECORDS_PER_HOST

END_S = 1_700_000_000
SINGLE, MULTI = Video(END_S, is_multi=False, devices=9), Video(END_S, is_multi=True, devices=9)
CPU = Devops(END_S, hosts=3, instants=250)
WORKLOADS = pytest.mark.parametrize("workload", [SINGLE, MULTI, CPU], ids=lambda workload: workload.table)


def requests(workload: Workload) -> list[Request]:
    return [workload.request(number) for number in range(workload.requests)]


def identities(request: Request) -> list[tuple[str, str, str]]:
    common = request.common
    return [(request.series, (common | record)["MeasureName"], record["Time"]) for record in request.records]


@WORKLOADS
def test_every_record_is_sent_once(workload: Workload) -> None:
    sent = requests(workload)
    assert len({identity for request in sent for identity in identities(request)}) == workload.records
    assert sum(len(request.records) for request in sent) == workload.records


@WORKLOADS
def test_a_request_is_full_or_the_last_of_its_series_and_always_the_same(workload: Workload) -> None:
    sent = requests(workload)
    parts = Counter(request.series for request in sent)
    full = Counter(request.series for request in sent if len(request.records) == RECORDS_PER_REQUEST)
    assert all(len(request.records) <= RECORDS_PER_REQUEST for request in sent)
    assert all(parts[series] - full[series] <= 1 for series in parts)
    assert sent == requests(workload)


@WORKLOADS
def test_the_last_record_of_every_series_is_at_the_end(workload: Workload) -> None:
    latest: dict[str, int] = {}
    for request in requests(workload):
        latest[request.series] = max(latest.get(request.series, 0), *(int(r["Time"]) for r in request.records))
    assert set(latest.values()) == {END_S}


@WORKLOADS
def test_the_loaders_share_all_requests(workload: Workload) -> None:
    shares = [number for loader in range(LOADERS) for number in share(workload, loader)]
    assert sorted(shares) == list(range(workload.requests))


def test_the_size_of_the_demo() -> None:
    assert (Video(END_S, is_multi=False).records, Video(END_S, is_multi=True).records) == (80_000, 20_000)
    assert Devops(END_S).records == 216_000
    assert len(Devops(END_S).dimensions(0)) == len(Devops.MEASURES) == 10
    assert Devops(END_S).time_s(0) == END_S - 6 * 3600 + 10


def test_both_forms_of_the_video_workload_hold_the_same_values() -> None:
    single = {
        (request.series, record["Time"], record["MeasureName"]): record["MeasureValue"]
        for request in requests(SINGLE)
        for record in request.records
    }
    multi = {
        (request.series, record["Time"], value["Name"]): value["Value"]
        for request in requests(MULTI)
        for record in request.records
        for value in record["MeasureValues"]
    }
    assert single == multi


def test_a_correction_is_the_same_record_with_one_other_value() -> None:
    request = CPU.request(5)
    before, after = request.records[-1], corrected(request)
    assert before["Time"] == after["Time"]
    assert [v["Name"] for v in before["MeasureValues"]] == [v["Name"] for v in after["MeasureValues"]]
    assert before["MeasureValues"][0] != after["MeasureValues"][0]
    assert before["MeasureValues"][1:] == after["MeasureValues"][1:]


def journal_of(*numbers: int) -> Journal:
    journal = Journal(list(numbers))
    for number in numbers:
        request = CPU.request(number)
        journal.records_of[request.series] += len(request.records)
    return journal


class Told:
    """Answers the checks' queries as if exactly these records were stored."""

    def __init__(self, *numbers: int) -> None:
        self.records: dict[str, list[dict[str, Any]]] = {}
        for number in numbers:
            request = CPU.request(number)
            self.records.setdefault(request.series, []).extend(request.records)

    def __call__(self, sql: str) -> Rows:
        if sql == RECORDS_PER_HOST:
            return [[host, str(len(records))] for host, records in self.records.items()]
        host, start, end = sql.split("'")[1], *(int(part.split(")")[0]) for part in sql.split("milliseconds(")[2:])
        return [
            [record["Time"], *(value["Value"] for value in record["MeasureValues"])]
            for record in self.records[host]
            if start <= int(record["Time"]) * 1000 <= end
        ]


ALL = range(CPU.requests)


def test_the_crash_check_counts_what_was_under_way() -> None:
    assert check_after_crash(Told(0, 1, 2), journal_of(0, 1, 2)) == 0
    assert check_after_crash(Told(0, 1, 2, 3), journal_of(0, 1, 2)) == RECORDS_PER_REQUEST


def test_the_crash_check_notices_what_is_missing() -> None:
    with pytest.raises(CheckFailed, match="host_2 had 100 acknowledged records at the kill and has 0 after"):
        check_after_crash(Told(0, 1), journal_of(0, 1, 2))


def test_the_crash_check_notices_more_than_can_be() -> None:
    with pytest.raises(CheckFailed, match="more than can have been under way"):
        check_after_crash(Told(*range(LOADERS + 2)), journal_of(0))


def test_counts_must_be_those_acknowledged() -> None:
    check_counts(Told(*ALL), CPU, journal_of(*ALL))
    with pytest.raises(CheckFailed, match="host_0 has 200 records, 250 were acknowledged"):
        check_counts(Told(*ALL[:6], *ALL[7:]), CPU, journal_of(*ALL))
    with pytest.raises(CheckFailed, match="host_1 has 350 records, 250 were acknowledged"):
        check_counts(Told(*ALL, 1), CPU, journal_of(*ALL))
    with pytest.raises(CheckFailed, match="700 records were acknowledged, not 750"):
        check_counts(Told(*ALL), CPU, journal_of(*ALL[:8]))


def test_values_must_be_those_sent() -> None:
    told = Told(*ALL)
    assert check_values(told, CPU, [0, 8]) == (100 + 50) * 10
    told.records["host_2"][-1]["MeasureValues"][9]["Value"] = "-1"
    with pytest.raises(CheckFailed, match="host_2 in request 8"):
        check_values(told, CPU, [0, 8])


def test_answers_to_the_same_question_are_compared_where_both_look() -> None:
    rows: Rows = [["a", "12:00", "1"], ["a", "12:01", "2"], ["a", "12:02", "3"]]
    assert check_same(rows, rows) == 3
    assert check_same(rows, rows[1:]) == 2
    with pytest.raises(CheckFailed, match="differ in 1 rows"):
        check_same(rows, [rows[0], rows[2]])
    with pytest.raises(CheckFailed, match="no rows"):
        check_same([], [])


@pytest.fixture
def _environment() -> Iterator[None]:
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.usefixtures("_environment")
def test_nothing_that_is_set_up_here_reaches_the_demo() -> None:
    os.environ.update(AWS_ACCESS_KEY_ID="mine", AWS_ENDPOINT_URL="http://else.where", HEADWATER_REGION="x", KEPT="1")
    isolate(Path("/some/credentials"))
    ours = {name: value for name, value in os.environ.items() if name.startswith(("AWS_", "HEADWATER_"))}
    assert ours == {"AWS_SHARED_CREDENTIALS_FILE": "/some/credentials", "AWS_CONFIG_FILE": os.devnull}
    assert os.environ["KEPT"] == "1"


def test_without_boto3_it_says_so_in_one_line() -> None:
    program = "import sys; sys.modules['boto3'] = None; from headwater.cli.main import main; sys.exit(main(['demo']))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("headwater: The demo needs boto3")
    assert done.stderr.count("\n") == 1
