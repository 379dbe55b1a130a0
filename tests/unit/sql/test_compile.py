"""From a text to a plan: the kinds of plans, and the worked examples and checks of sql.md 10."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sql_world import LIMITS, NOW, Catalog, Record, plan, query_plan, records, rows

from headwater.errors import Invalid
from headwater.model.table import TableId
from headwater.model.time import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE, NS_PER_S
from headwater.sql.compile import Describe, QueryPlan, ShowDatabases, ShowMeasures, ShowTables, compile_query

# Plans of the catalog


def test_catalogue_statements_are_plans_of_their_own() -> None:
    assert plan("SHOW DATABASES LIKE 'pl%'") == ShowDatabases("pl%")
    assert plan("SHOW TABLES") == ShowTables(None, None)
    assert plan("SHOW TABLES FROM \"plant\" LIKE 't%'") == ShowTables("plant", "t%")
    assert plan('SHOW MEASURES FROM "plant"."telemetry"') == ShowMeasures("plant", "telemetry", None)
    assert plan('DESCRIBE "plant"."telemetry"') == Describe("plant", "telemetry")


def test_a_plan_pairs_every_scan_with_the_name_the_statement_reads_it_by() -> None:
    made = query_plan("SELECT a.time FROM ops.metrics a JOIN plant.telemetry b ON a.time = b.time")
    assert [(name, request.table) for name, request in made.scans] == [
        ("scan_0", "ops_metrics"),
        ("scan_1", "plant_telemetry"),
    ]
    for name, request in made.scans:
        assert re.search(rf"\b{name}\b", made.sql)
        assert all(re.search(rf"\b{answer}\b", made.sql) for _, answer in request.columns)


def test_now_counts_whole_milliseconds() -> None:
    made = compile_query("SELECT now()", Catalog(), NOW + 1_999_999, LIMITS)
    assert isinstance(made, QueryPlan)
    assert str(NOW + 1_000_000) in made.sql


def test_syntax_is_the_parsers_affair() -> None:
    with pytest.raises(Invalid, match="The query syntax is invalid at line 1:21"):
        plan("SHOW TABLES FROM net-example")


# Section 10.1

CHECKS = {
    "SELECT 1, 'abc', NULL, 2.5": [(1, "abc", None, 2.5)],
    "SELECT 7 / 2, 7 / 2.0, -7 % 3": [(3, 3.5, -1)],
    "SELECT 12345678.9, 0.00012, -infinity()": [(12345678.9, 0.00012, -math.inf)],
    "SELECT 36h, 15month, 250ms": [(36 * NS_PER_HOUR, 15, NS_PER_S // 4)],
    "SELECT bin(TIMESTAMP '2024-03-09 07:08:09', 90m)": [(NOW - 6 * NS_PER_HOUR,)],
    "SELECT v FROM (VALUES 3, NULL, 1) AS t(v) ORDER BY v DESC": [(3,), (1,), (None,)],
    "SELECT count(*), count(v), sum(v), avg(v) FROM (VALUES 3, NULL, 1) AS t(v)": [(3, 2, 4, 2.0)],
    "SELECT count(*), max(v) FROM (VALUES 1) AS t(v) WHERE v > 9": [(0, None)],
    "SELECT a, b FROM UNNEST(ARRAY[1, 2], ARRAY['x']) AS t(a, b)": [(1, "x"), (2, None)],
    "SELECT 2 IN (1, NULL), 2 NOT IN (1, NULL)": [(None, None)],
    "SELECT approx_percentile(v, 0.9) FROM (VALUES 10, 20, 30, 40, 50) AS t(v)": [(50,)],
}


@pytest.mark.parametrize("text", CHECKS)
def test_check_without_data(text: str) -> None:
    assert rows(text) == CHECKS[text]


def test_nan_compares_false_and_prints_as_itself() -> None:
    ((value, is_equal, is_less),) = rows("SELECT nan(), nan() = nan(), nan() < 1.0")
    assert (math.isnan(value), is_equal, is_less) == (True, False, False)


# Section 10: the examples, told by their numbers

_SCRIPT = Path(__file__).with_name("worked_examples.sql").read_text()
EXAMPLES = {
    int(number): text for number, text in re.findall(r"^-- (\d+)\..*\n((?:.*\n)*?.*);$", _SCRIPT, flags=re.MULTILINE)
}
QUERIES = sorted(EXAMPLES.keys() - {33, 34, 35, 36})


def _comparable(answer: list[tuple[Any, ...]]) -> list[str]:
    return sorted(map(repr, answer))


@pytest.mark.parametrize("number", QUERIES)
def test_example_answers_the_same_from_the_least_a_scan_may_give(number: int) -> None:
    text = EXAMPLES[number]
    assert _comparable(rows(text, is_tight=True)) == _comparable(rows(text, is_tight=False))


OPS, PLANT = records(TableId("ops_metrics")), records(TableId("plant_telemetry"))


def _by(name: str, some: list[Record]) -> dict[str, list[Record]]:
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in some:
        groups[record[name]].append(record)
    return groups


def _measured(measure: str, since_ns: int) -> list[Record]:
    return [r for r in OPS if r["measure_name"] == measure and r["time"] > NOW - since_ns]


def _nearest_rank(values: list[float], share: float) -> float:
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def test_example_1_latest_rows() -> None:
    answer = rows(EXAMPLES[1])
    assert [row[4] for row in answer] == sorted((r["time"] for r in OPS), reverse=True)[:20]


def test_example_2_percentiles_per_five_minutes() -> None:
    bins: dict[int, list[float]] = defaultdict(list)
    for r in _measured("cpu_utilization", 6 * NS_PER_HOUR):
        if r["hostname"] == "web-03":
            bins[r["time"] // (5 * NS_PER_MINUTE) * 5 * NS_PER_MINUTE].append(r["measure_value::double"])
    answer = rows(EXAMPLES[2])
    assert [row[0] for row in answer] == sorted(bins)
    for at, mean, p50, p99 in answer:
        assert mean == pytest.approx(sum(bins[at]) / len(bins[at]), abs=0.0051)
        assert (p50, p99) == (_nearest_rank(bins[at], 0.5), _nearest_rank(bins[at], 0.99))


def test_example_3_percentiles_in_one_array() -> None:
    hosts = _by("hostname", _measured("cpu_utilization", NS_PER_DAY))
    for host, shares in rows(EXAMPLES[3]):
        values = [r["measure_value::double"] for r in hosts.pop(host)]
        assert shares == [_nearest_rank(values, share) for share in (0.5, 0.95, 0.99)]
    assert not hosts


def test_example_5_pivot() -> None:
    expected: dict[tuple[str, int], list[float | None]] = defaultdict(lambda: [None, None])
    for place, measure in enumerate(("cpu_utilization", "memory_utilization")):
        for r in _measured(measure, NS_PER_HOUR):
            at = r["time"] // NS_PER_MINUTE * NS_PER_MINUTE
            expected[r["hostname"], at][place] = r["measure_value::double"]
    assert rows(EXAMPLES[5]) == [(*key, *expected[key]) for key in sorted(expected)]


def test_example_6_join_of_two_measures() -> None:
    memory = {
        (r["hostname"], r["time"]): r["measure_value::double"] for r in _measured("memory_utilization", NS_PER_HOUR)
    }
    cpu = [(r["hostname"], r["time"], r["measure_value::double"]) for r in _measured("cpu_utilization", NS_PER_HOUR)]
    expected = [(host, at, value, memory[host, at]) for host, at, value in cpu if (host, at) in memory]
    assert sorted(rows(EXAMPLES[6])) == sorted(expected)


def test_example_7_latest_value_per_device() -> None:
    recent = [r for r in PLANT if r["time"] > NOW - NS_PER_DAY]
    newest = {device: max(some, key=lambda r: r["time"]) for device, some in _by("device_id", recent).items()}
    expected = [(d, r["time"], r["temperature"], r["fault"]) for d, r in newest.items()]
    assert sorted(rows(EXAMPLES[7]), key=str) == sorted(expected, key=str)


def test_example_8_latest_row_per_device() -> None:
    answer = rows(EXAMPLES[8])
    newest = {d: max(r["time"] for r in some) for d, some in _by("device_id", PLANT).items()}
    assert {row[1]: row[4] for row in answer} == newest
    assert {row[-1] for row in answer} == {1}
    assert len(query_plan(EXAMPLES[8]).columns) == 11


def test_example_11_has_a_point_every_15_seconds() -> None:
    points = _points(rows(EXAMPLES[11]))
    first = (NOW - 117 * NS_PER_MINUTE, NOW)
    assert set(points) == {"web-00", "web-01", "web-02", "web-03"}
    for times in points.values():
        assert all(b - a == 15 * NS_PER_S for a, b in pairwise(times))
    assert points["web-00"][0] <= first[0]
    assert points["web-00"][-1] == first[1]


def _points(answer: list[tuple[Any, ...]]) -> dict[str, list[int]]:
    points: dict[str, list[int]] = defaultdict(list)
    for host, at, *_ in answer:
        points[host].append(at)
    return points


def test_example_12_gives_every_device_the_same_grid() -> None:
    grid = [NOW - NS_PER_HOUR + n * NS_PER_MINUTE for n in range(61)]
    assert all(times == grid for times in _points(rows(EXAMPLES[12])).values())


def test_example_22_change_since_the_previous_sample() -> None:
    devices = _by("device_id", [r for r in PLANT if r["time"] > NOW - NS_PER_HOUR])
    expected: list[tuple[Any, ...]] = []
    for device, some in devices.items():
        before = None
        for r in sorted(some, key=lambda r: r["time"]):
            value = r["temperature"]
            expected.append((device, r["time"], None if None in (value, before) else value - before))
            before = value
    assert sorted(rows(EXAMPLES[22]), key=str) == sorted(expected, key=str)


def test_examples_20_and_21_hot_points() -> None:
    samples = _by("hostname", _measured("cpu_utilization", 60 * NS_PER_MINUTE))
    hot = {host: [r for r in some if r["measure_value::double"] > 80] for host, some in samples.items()}
    assert dict(rows(EXAMPLES[20])) == {host: len(hot[host]) / len(some) for host, some in samples.items()}
    expected = [
        (host, n, r["time"], r["measure_value::double"])
        for host, some in hot.items()
        for n, r in enumerate(sorted(some, key=lambda r: r["time"]), 1)
    ]
    assert expected
    assert sorted(rows(EXAMPLES[21])) == sorted(expected)


def test_example_25_silent_devices() -> None:
    last = max(r["time"] for r in PLANT if r["device_id"] == "p-19")
    assert rows(EXAMPLES[25]) == [("p-19", last)]


def test_example_26_hosts_without_memory() -> None:
    assert rows(EXAMPLES[26]) == [("web-03",)]


def test_example_27_fills_forward() -> None:
    answer = rows(EXAMPLES[27])
    filled = defaultdict(list)
    for device, at, value in answer:
        filled[device].append((at, value))
    for some in filled.values():
        assert [at for at, _ in some] == [NOW - 30 * NS_PER_MINUTE + n * NS_PER_MINUTE for n in range(31)]
        missing = [value is None for _, value in some]
        assert missing == sorted(missing, reverse=True), "once there is a value, there is one for good"
    assert not all(value is None for _, _, value in answer)


def test_example_32_is_one_list_of_two_models() -> None:
    answer = rows(EXAMPLES[32])
    assert [column.name for column in query_plan(EXAMPLES[32]).columns] == ["source", "time", "value"]
    assert [row[1] for row in answer] == sorted((row[1] for row in answer), reverse=True)
    assert {row[0] for row in answer} >= {"web-00", "p-15"}
