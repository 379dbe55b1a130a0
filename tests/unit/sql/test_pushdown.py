"""What is asked of the tables: columns, instants and dimension values; and that no answer hangs on asking for more."""

from __future__ import annotations

import operator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sql_world import NOW, query_plan, rows

from headwater.model.scan import ALL_TIME, ScanRequest, TimeRange
from headwater.model.time import NS_PER_DAY, NS_PER_HOUR, NS_PER_MS
from headwater.sql.pushdown_facts import both, either

NOON = 1_709_985_600_000_000_000
assert NOON == NOW


def requests(text: str) -> list[ScanRequest]:
    return [request for _, request in query_plan(text).scans]


def request(text: str) -> ScanRequest:
    (only,) = requests(text)
    return only


def where(condition: str) -> ScanRequest:
    return request(f"SELECT time FROM ops.metrics WHERE {condition}")


def dimensions(asked: ScanRequest) -> dict[str, list[str]]:
    return {each.name: sorted(each.values) for each in asked.dimensions}


def column_names(asked: ScanRequest) -> list[str]:
    return [column.name for column, _ in asked.columns]


# Columns


def test_a_scan_lists_only_the_columns_somebody_reads() -> None:
    asked = request("SELECT hostname FROM (SELECT * FROM ops.metrics) WHERE az = 'a' ORDER BY measure_value::bigint")
    assert column_names(asked) == ["az", "hostname", "measure_value::bigint"]


def test_counting_rows_reads_their_time_only() -> None:
    assert column_names(request("SELECT count(*) FROM ops.metrics")) == ["time"]


def test_columns_of_a_subquery_that_only_exists_asks_for() -> None:
    first, second = requests(
        "SELECT 1 FROM ops.metrics a WHERE EXISTS (SELECT * FROM ops.metrics b WHERE a.az = b.hostname)"
    )
    assert (column_names(first), column_names(second)) == (["az"], ["hostname"])


def test_a_with_query_used_twice_reads_what_both_uses_need_once() -> None:
    asked = request(
        "WITH c AS (SELECT * FROM ops.metrics) SELECT a.az, b.time FROM c a JOIN c b ON a.region = b.region"
    )
    assert column_names(asked) == ["region", "az", "time"]


def test_an_unused_with_query_reads_nothing() -> None:
    assert requests("WITH c AS (SELECT * FROM ops.metrics) SELECT 1") == []


def test_each_reference_to_a_table_is_a_scan() -> None:
    assert [name for name, _ in query_plan("SELECT 1 FROM ops.metrics, ops.metrics b").scans] == ["scan_0", "scan_1"]


# Instants


@pytest.mark.parametrize(
    ("condition", "start_ns", "end_ns"),
    [
        ("time > ago(1h)", NOW - NS_PER_HOUR + 1, None),
        ("time >= ago(1h)", NOW - NS_PER_HOUR, None),
        ("ago(1h) <= time", NOW - NS_PER_HOUR, None),
        ("time < now()", None, NOW - 1),
        ("time = now()", NOW, NOW),
        ("time BETWEEN ago(2h) AND ago(1h)", NOW - 2 * NS_PER_HOUR, NOW - NS_PER_HOUR),
        ("time BETWEEN from_milliseconds(1500) AND from_milliseconds(2500)", 1500 * NS_PER_MS, 2500 * NS_PER_MS),
        ("time BETWEEN '2024-03-09' AND '2024-03-09 12:00:00'", NOON - 12 * NS_PER_HOUR, NOON),
        ("time >= bin(now(), 1d) - 1d", NOON - 36 * NS_PER_HOUR, None),
        ("time >= TIMESTAMP '2024-03-09 12:00' AND time < '2024-03-10'", NOON, NOON + 12 * NS_PER_HOUR - 1),
        ("time >= DATE '2024-03-09'", NOON - 12 * NS_PER_HOUR, None),
        ("time IN (now(), ago(1h))", NOW - NS_PER_HOUR, NOW),
        ("time > ago(1h) OR time = ago(2h)", NOW - 2 * NS_PER_HOUR, None),
        ("time > ago(1h) OR az = 'a'", None, None),
        ("NOT time > ago(1h)", None, None),
        ("time > ago(1h) AND (az = 'a' OR time < now())", NOW - NS_PER_HOUR + 1, None),
        ("bin(time, 1h) = now()", NOW, NOW + NS_PER_HOUR - 1),
        ("bin(time, 1h) = ago(1m)", 1, 0),
        ("bin(time, 1h) >= bin(ago(5h), 1h)", NOW - 5 * NS_PER_HOUR, None),
        ("bin(time, 1h) > ago(90m)", NOW - NS_PER_HOUR, None),
        ("bin(time, 1h) < now()", None, NOW - 1),
        ("bin(bin(time, 1h), 1d) = date_trunc('day', now())", NOON - 12 * NS_PER_HOUR, NOON + 12 * NS_PER_HOUR - 1),
        ("bin(time, 1h) <= from_nanoseconds(0)", None, NS_PER_HOUR - 1),
        ("bin(time, 1h) >= from_nanoseconds(0)", 1 - NS_PER_HOUR, None),
        ("date_trunc('day', time) >= now()", NOW - NS_PER_DAY, None),
        ("cast(time AS date) = DATE '2024-03-09'", NOON - 12 * NS_PER_HOUR, NOON + 12 * NS_PER_HOUR - 1),
        ("date(time) >= DATE '2024-03-09'", NOON - 12 * NS_PER_HOUR, None),
        ("time > NULL", 1, 0),
        ("time > (SELECT now())", None, None),
    ],
)
def test_instants_of_a_condition(condition: str, start_ns: int | None, end_ns: int | None) -> None:
    low = ALL_TIME.start_ns if start_ns is None else start_ns
    high = ALL_TIME.end_ns if end_ns is None else end_ns
    assert where(condition).time == TimeRange(low, high)


def test_the_condition_stays_in_the_statement() -> None:
    assert str(NOW - NS_PER_HOUR) in query_plan("SELECT 1 FROM ops.metrics WHERE time > ago(1h)").sql


# Dimensions


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("hostname = 'a'", {"hostname": ["a"]}),
        ("'a' = hostname", {"hostname": ["a"]}),
        ("measure_name IN ('a', 'b', NULL)", {"measure_name": ["a", "b"]}),
        ("az = 'a' AND hostname IN ('b', 'c')", {"az": ["a"], "hostname": ["b", "c"]}),
        ("az = 'a' AND az IN ('b', 'a')", {"az": ["a"]}),
        ("az = 'a' OR az = 'b'", {"az": ["a", "b"]}),
        ("(az = 'a' AND hostname = 'x') OR (az = 'b' AND hostname = 'y')", {"az": ["a", "b"], "hostname": ["x", "y"]}),
        ("az = 'a' OR hostname = 'b'", {}),
        ("az <> 'a'", {}),
        ("NOT az = 'a'", {}),
        ("lower(az) = 'a'", {}),
        ("az = hostname AND az = 'a'", {"az": ["a"], "hostname": ["a"]}),
        ("measure_value::varchar = 'a'", {}),
        ("az IS NULL", {}),
        ("az = NULL", {"az": []}),
    ],
)
def test_dimensions_of_a_condition(condition: str, expected: dict[str, list[str]]) -> None:
    assert dimensions(where(condition)) == expected


# Through the shapes of a query

HOUR = TimeRange(NOW - NS_PER_HOUR + 1)
M = "ops.metrics"
RECENT = "time > ago(1h) AND az = 'a'"


@pytest.mark.parametrize(
    "text",
    [
        f"SELECT * FROM (SELECT * FROM {M}) WHERE {RECENT}",
        f"SELECT * FROM (SELECT DISTINCT time, az FROM {M}) WHERE {RECENT}",
        f"SELECT * FROM (SELECT time, az, count(*) FROM {M} GROUP BY time, az) WHERE {RECENT}",
        f"SELECT time, az FROM {M} GROUP BY time, az HAVING {RECENT}",
        f"WITH c AS (SELECT * FROM {M}) SELECT * FROM c WHERE {RECENT}",
        f"WITH c AS (SELECT * FROM {M}) SELECT 1 FROM c a, c b"
        " WHERE a.time > ago(1h) AND a.az = 'a' AND b.time > ago(1h) AND b.az = 'a'",
        f"SELECT * FROM (SELECT time, az, row_number() OVER (PARTITION BY time, az) FROM {M}) WHERE {RECENT}",
        f"SELECT * FROM (SELECT time, az FROM {M} ORDER BY hostname) WHERE {RECENT}",
        f"SELECT time FROM {M} m CROSS JOIN UNNEST(ARRAY[1]) AS u(x) WHERE {RECENT}",
        f"SELECT x.time FROM {M} x JOIN (VALUES 1) AS t(v) ON {RECENT}",
        f"SELECT x.time FROM (VALUES 1) AS t(v) LEFT JOIN {M} x ON {RECENT}",
        f"SELECT x.time FROM {M} x RIGHT JOIN (VALUES 1) AS t(v) ON {RECENT}",
        f"SELECT x.time FROM (VALUES 1) AS t(v) LEFT JOIN {M} x ON true WHERE {RECENT}",
        f"SELECT x.time FROM {M} x FULL JOIN (VALUES 1) AS t(v) ON az = hostname WHERE {RECENT}",
        f"SELECT x.time FROM (VALUES (now(), 'a')) AS t(at, b) JOIN {M} x ON x.time = at AND x.az = b"
        " WHERE at > ago(1h) AND b = 'a'",
        f"SELECT x.time FROM (VALUES (now(), 'a')) AS t(at, b) LEFT JOIN {M} x ON x.time = at AND x.az = b"
        " WHERE at > ago(1h) AND b = 'a'",
        f"SELECT (SELECT max(time) FROM {M} WHERE {RECENT})",
        f"SELECT 1 WHERE 'x' IN (SELECT hostname FROM {M} WHERE {RECENT})",
        f"SELECT * FROM (SELECT time AS t, az AS z FROM {M}) WHERE t > ago(1h) AND z = 'a'",
    ],
)
def test_conditions_that_reach_the_scan(text: str) -> None:
    asked = request(text)
    assert (asked.time, dimensions(asked)) == (HOUR, {"az": ["a"]})


@pytest.mark.parametrize(
    "text",
    [
        f"SELECT * FROM (SELECT time, az FROM {M} LIMIT 5) WHERE {RECENT}",
        f"SELECT * FROM (SELECT time, az, row_number() OVER () FROM {M}) WHERE {RECENT}",
        f"SELECT * FROM (SELECT time, az, lag(az) OVER (PARTITION BY hostname ORDER BY time) FROM {M}) WHERE {RECENT}",
        f"SELECT * FROM (SELECT max(time) AS time, min(az) AS az FROM {M} GROUP BY hostname) WHERE {RECENT}",
        f"SELECT * FROM (SELECT max(time) AS time, min(az) AS az FROM {M}) WHERE {RECENT}",
        f"SELECT count(*) FROM {M} HAVING max(time) > ago(1h)",
        f"SELECT x.time FROM {M} x LEFT JOIN (VALUES 1) AS t(v) ON {RECENT}",
        f"SELECT x.time FROM (VALUES 1) AS t(v) RIGHT JOIN {M} x ON {RECENT}",
        f"SELECT x.time FROM {M} x FULL JOIN (VALUES 1) AS t(v) ON {RECENT}",
        f"SELECT x.time FROM {M} x LEFT JOIN (VALUES (now(), 'a')) AS t(at, b) ON x.time = at AND x.az = b"
        " AND at > ago(1h) AND b = 'a'",
        f"WITH c AS (SELECT * FROM {M}) SELECT a.time FROM c a, c b WHERE a.time > ago(1h) AND a.az = 'a'",
        f"SELECT count(*) FILTER (WHERE {RECENT}) FROM {M}",
        f"SELECT CASE WHEN {RECENT} THEN 1 END FROM {M}",
        f"SELECT * FROM (SELECT time, coalesce(az, 'a') AS az FROM {M}) WHERE az = 'a'",
    ],
)
def test_conditions_that_must_not_reach_the_scan(text: str) -> None:
    asked = request(text)
    assert (asked.time, dimensions(asked)) == (ALL_TIME, {})


def test_a_condition_on_a_union_reaches_every_branch() -> None:
    text = f"SELECT time, az FROM {M} WHERE hostname = 'h' UNION ALL SELECT time, site FROM plant.telemetry"
    first, second = requests(f"SELECT * FROM ({text}) WHERE {RECENT}")
    assert (first.time, dimensions(first)) == (HOUR, {"az": ["a"], "hostname": ["h"]})
    assert (second.time, dimensions(second)) == (HOUR, {"site": ["a"]})


def test_uses_of_a_with_query_ask_for_the_union_of_their_rows() -> None:
    asked = request(
        f"WITH c AS (SELECT * FROM {M} WHERE region = 'r')"
        " SELECT 1 FROM c WHERE az = 'a' AND time > ago(2h) UNION ALL SELECT 1 FROM c WHERE az = 'b' AND time > ago(1h)"
    )
    assert dimensions(asked) == {"region": ["r"], "az": ["a", "b"]}
    assert asked.time == TimeRange(NOW - 2 * NS_PER_HOUR + 1)


# Laws


@given(
    st.sampled_from(["=", "<", "<=", ">", ">="]),
    st.integers(-40, 40),
    st.sampled_from([1, 2, 7, 10]),
    st.lists(st.integers(-60, 60), min_size=20),
)
def test_instants_of_bins_are_exact(symbol: str, bound: int, width: int, instants: list[int]) -> None:
    asked = where(f"bin(time, {width}ns) {symbol} from_nanoseconds({bound})").time
    for instant in instants:
        # A bin is called by its end that is nearer to 1970.
        label = abs(instant) // width * width * (1 if instant >= 0 else -1)
        meets = {"=": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}[symbol]
        assert (asked.start_ns <= instant <= asked.end_ns) == meets(label, bound)


_FACTS = st.dictionaries(
    st.sampled_from("ab"), st.builds(TimeRange, st.integers(-3, 3), st.integers(-3, 3)), max_size=2
)


def _holds(facts: dict[str, TimeRange], row: dict[str, int]) -> bool:
    return all(fact.start_ns <= row[name] <= fact.end_ns for name, fact in facts.items())


@given(
    st.lists(_FACTS, min_size=1, max_size=3), st.fixed_dictionaries({"a": st.integers(-4, 4), "b": st.integers(-4, 4)})
)
def test_facts_combined_hold_where_their_parts_do(many: list[dict[str, TimeRange]], row: dict[str, int]) -> None:
    if all(_holds(facts, row) for facts in many):
        assert _holds(both(many), row)  # type: ignore[arg-type]
    if any(_holds(facts, row) for facts in many):
        assert _holds(either(many), row)  # type: ignore[arg-type]


_CONDITIONS = [
    "x.hostname = 'web-01'",
    "x.az = 'eu-0'",
    "y.az = 'eu-1'",
    "y.hostname IN ('web-00', 'web-03')",
    "x.time > ago(3h)",
    "y.time BETWEEN ago(5h) AND ago(1h)",
    "x.az = y.az",
    "x.time = y.time",
    "x.measure_name = 'state'",
    "y.measure_name = x.measure_name",
    "bin(y.time, 1h) = bin(ago(2h), 1h)",
    "x.az IS NULL",
    "NOT y.az = 'eu-1'",
    "y.hostname IS NOT NULL",
    "x.hostname LIKE 'web-_1'",
    "y.hostname LIKE '%3'",
    "regexp_like(x.hostname, '-0[12]')",
    "starts_with(y.az, 'eu')",
]
_SMALL = "(SELECT * FROM ops.metrics WHERE time > ago(6h))"
_KINDS = ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]


@st.composite
def _condition(draw: st.DrawFn, depth: int = 2) -> str:
    if depth == 0 or draw(st.booleans()):
        return draw(st.sampled_from(_CONDITIONS))
    word = draw(st.sampled_from([" AND ", " AND ", " OR "]))
    return f"({word.join(draw(st.lists(_condition(depth - 1), min_size=2, max_size=3)))})"


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(_KINDS), _condition(), _condition())
def test_asking_for_less_never_changes_the_answer(kind: str, on: str, condition: str) -> None:
    text = (
        f"SELECT count(*), count(x.time), count(y.time), sum(to_nanoseconds(y.time) % 1000003) FROM {_SMALL} x"
        f" {kind} {_SMALL} y ON x.hostname = y.hostname AND x.time = y.time AND {on} WHERE {condition}"
    )
    assert rows(text, is_tight=True) == rows(text, is_tight=False)
