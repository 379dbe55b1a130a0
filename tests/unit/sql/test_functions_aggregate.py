"""Aggregates and window functions on the engine: sql.md 6.10 and 6.11."""

from __future__ import annotations

import math
from typing import Any

import pytest
from evaluation import CONTEXT, agg, big, date, interval, is_close, null, run, same, ts
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import Invalid, QueryFailed
from headwater.model.types import Array, Scalar
from headwater.sql import functions
from headwater.sql.constant import Constant
from headwater.sql.signature import Kind, Modifiers

V = [2, 4, 6, 8]
N = null(Scalar.INTEGER)

EXAMPLES: list[tuple[Any, ...]] = [
    # name, columns, constants, expected
    ("array_agg", [V], (), V),
    ("array_agg", [[2, N]], (), [2, None]),
    ("avg", [V], (), 5.0),
    ("avg", [[1.5, 2.5]], (), 2.0),
    ("avg", [[interval("1s"), interval("2s")]], (), 1_500_000_000),
    ("count", [[2, N]], (), 1),
    ("count", [[N, N]], (), 0),
    ("sum", [V], (), 20),
    ("sum", [[2, N]], (), 2),
    ("sum", [[N, N]], (), None),
    ("sum", [[0.5, 0.25]], (), 0.75),
    ("sum", [[interval("1month"), interval("1y")]], (), 13),
    ("max", [V], (), 8),
    ("min", [["b", "a"]], (), "a"),
    ("max", [[ts("2024-01-01"), ts("2023-01-01")]], (), ts("2024-01-01").value),
    ("max", [V], (big(2),), [8, 6]),
    ("min", [[3, N, 1]], (5,), [1, 3]),
    ("max_by", [["p", "q"], [1, 2]], (), "q"),
    ("min_by", [["p", "q"], [1, 2]], (), "p"),
    ("max_by", [[7, N], [1, 2]], (), None),
    ("max_by", [[7, 8], [1, N]], (), 7),
    ("max_by", [["p", "q", "r"], [1, 3, 2]], (2,), ["q", "r"]),
    ("min_by", [["p", "q", "r"], [1, 3, N]], (5,), ["p", "q"]),
    ("count_if", [[True, False, null(Scalar.BOOLEAN), True]], (), 2),
    ("bool_and", [[True, null(Scalar.BOOLEAN)]], (), True),
    ("every", [[True, False]], (), False),
    ("bool_or", [[False, True]], (), True),
    ("bitwise_or_agg", [V], (), 14),
    ("bitwise_and_agg", [[6, 3]], (), 2),
    ("approx_distinct", [V], (), 4),
    ("approx_distinct", [[N, N]], (), 0),
    ("approx_distinct", [[1, 1]], (0.01,), 1),
    ("approx_percentile", [V], (0.5,), 4),
    ("approx_percentile", [V], ([0.26, 1.0],), [4, 8]),
    ("approx_percentile", [V], (0.0,), 2),
    ("approx_percentile", [[10, 20, 30, 40, 50]], (0.9,), 50),
    ("approx_percentile", [[1.5, 2.5, N]], (0.5,), 1.5),
    ("approx_percentile", [[1, 2], [3, 1]], (0.75,), 1),
    ("approx_percentile", [[1, 2], [3, 1]], (0.76,), 2),
    ("approx_percentile", [[5.0, 1.0], [1, 9]], ([0.5, 1.0],), [1.0, 5.0]),
    ("approx_percentile", [[1, 2], [3, 1]], (0.9, 0.01), 2),
    ("geometric_mean", [[4, 9]], (), 6.0),
    ("corr", [[1, 2], [1, 2]], (), 1.0),
    ("corr", [[1, 2], [1, 1]], (), None),
    ("regr_slope", [[1, 3], [1, 2]], (), 2.0),
    ("regr_intercept", [[1, 3], [1, 2]], (), -1.0),
    ("regr_slope", [[1, 3], [1, 1]], (), None),
    ("covar_pop", [[1, 3], [1, 3]], (), 1.0),
    ("covar_samp", [[1, 3], [1, 3]], (), 2.0),
    ("covar_samp", [[1], [1]], (), None),
    ("var_pop", [V], (), 5.0),
    ("stddev", [[2.5]], (), None),
    ("variance", [[2, 4]], (), 2.0),
    ("var_samp", [[2, 4]], (), 2.0),
    ("stddev_samp", [[2, 4]], (), math.sqrt(2)),
    ("stddev_pop", [[3]], (), 0.0),
    ("skewness", [[1, 2]], (), None),
    ("skewness", [[1, 2, 3]], (), 0.0),
    ("arbitrary", [[N, 5]], (), 5),
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: f"{e[0]}{e[1]}{e[2]}"[:70])
def test_example(example: tuple[Any, ...]) -> None:
    name, columns, constants, expected = example
    found = agg(name, *columns, constants=constants)
    assert same(found, expected) or (isinstance(expected, float) and is_close(found, expected)), found


def test_skewness_is_of_the_population() -> None:
    values = [1.0, 2.0, 10.0]
    mean = sum(values) / 3
    m2, m3 = (sum((v - mean) ** power for v in values) for power in (2, 3))
    assert is_close(agg("skewness", values), math.sqrt(3) * m3 / m2**1.5)


@given(
    st.lists(st.integers(-50, 50), min_size=1, max_size=40),
    st.lists(st.integers(0, 100).map(lambda n: n / 100), min_size=1, max_size=4),
)
def test_percentile_is_the_smallest_value_whose_share_is_reached(values: list[int], shares: list[float]) -> None:
    ordered = sorted(values)
    expected = [next(v for i, v in enumerate(ordered, 1) if i / len(ordered) >= share) for share in shares]
    assert agg("approx_percentile", values, constants=[shares]) == expected


def test_modifiers_reach_the_engine() -> None:
    assert agg("count", [1, 1, 2], modifiers=Modifiers(distinct=True)) == 2
    assert agg("sum", [1, 1, 2], modifiers=Modifiers(distinct=True)) == 3
    assert agg("sum", [1, 2, 3], modifiers=Modifiers(filter="c0 > 1")) == 5
    assert agg("array_agg", [1, 3, 2], modifiers=Modifiers(order_by="c0 DESC NULLS LAST")) == [3, 2, 1]
    assert agg("max", [1, 3, 2], constants=[big(2)], modifiers=Modifiers(filter="c0 < 3")) == [2, 1]
    assert agg("sum", [10, 20, 20, 30], modifiers=Modifiers(over="ORDER BY c0")) == [10, 50, 50, 80]
    assert agg("count_if", [True, False], modifiers=Modifiers(over="")) == [1, 1]
    assert agg("approx_distinct", [1, 1], modifiers=Modifiers(distinct=True)) == 1
    with pytest.raises(Invalid, match="DISTINCT is not supported for max_by"):
        agg("max_by", [1], [1], constants=[2], modifiers=Modifiers(distinct=True))


def test_no_rows() -> None:
    context = ([Scalar.BIGINT], [None], CONTEXT)
    for name, expected in (("count", 0), ("sum", None), ("max", None), ("array_agg", None), ("count_if", 0)):
        resolve = functions.resolve(name, *(context if name != "count_if" else ([Scalar.BOOLEAN], [None], CONTEXT)))
        lowered = resolve.lower(["x > 1" if name == "count_if" else "x"])
        assert run(f"SELECT {lowered} FROM (SELECT 1::BIGINT AS x WHERE false)") == [expected], name
    assert run(f"SELECT {functions.resolve('count', [], [], CONTEXT).lower([])} FROM range(3)") == [3]


def test_sum_overflow_is_a_fault() -> None:
    with pytest.raises(QueryFailed, match=r"^bigint addition overflow$"):
        agg("sum", [2**63 - 1, 1])


def test_bad_constants_are_refused() -> None:
    for name, constants, message in (
        ("approx_percentile", [1.5], "Percentile must be between 0 and 1"),
        ("approx_distinct", [0.5], "Standard error must be in"),
        ("max", [0], "Argument n of max must be between 1 and 10000"),
    ):
        with pytest.raises(Invalid, match=message):
            agg(name, [1], constants=constants)
    with pytest.raises(Invalid, match="Argument 2 of function approx_percentile must be a constant"):
        functions.resolve("approx_percentile", [Scalar.BIGINT, Scalar.DOUBLE], [None, None], CONTEXT)


def test_kinds() -> None:
    assert functions.kind("SUM") is Kind.AGGREGATE
    assert functions.kind("create_time_series") is Kind.AGGREGATE
    assert functions.kind("rank") is Kind.WINDOW
    assert functions.kind("bin") is Kind.SCALAR
    assert functions.kind("nosuch") is None


OVER_V = Modifiers(over="ORDER BY v")


def window(name: str, types: list[Any] | None = None, texts: list[str] | None = None, **modifiers: Any) -> list[Any]:
    constants = [Constant(int(t)) if t.lstrip("-").isdigit() else None for t in texts or []]
    resolved = functions.resolve(name, types or [], constants, CONTEXT)
    lowered = resolved.lower(texts or [], Modifiers(**{"over": "ORDER BY v, k", **modifiers}))
    return run(f"SELECT {lowered} FROM (VALUES (10, 1), (20, 2), (20, 3), (30, 4)) t(v, k) ORDER BY k")


def test_ranks() -> None:
    assert window("rank", over="ORDER BY v") == [1, 2, 2, 4]
    assert window("dense_rank", over="ORDER BY v") == [1, 2, 2, 3]
    assert window("percent_rank", over="ORDER BY v") == [0.0, 1 / 3, 1 / 3, 1.0]
    assert window("cume_dist", over="ORDER BY v") == [0.25, 0.75, 0.75, 1.0]
    assert window("row_number") == [1, 2, 3, 4]
    assert window("ntile", [Scalar.BIGINT], ["3"]) == [1, 1, 2, 3]


def test_values_of_the_frame() -> None:
    one, two, three = [Scalar.INTEGER], [Scalar.INTEGER, Scalar.BIGINT], [Scalar.INTEGER, Scalar.BIGINT, Scalar.INTEGER]
    assert window("first_value", one, ["v"]) == [10, 10, 10, 10]
    assert window("last_value", one, ["k"], over="ORDER BY v") == [1, 3, 3, 4]
    assert window("nth_value", two, ["k", "2"]) == [None, 2, 2, 2]
    assert window("lead", one, ["k"]) == [2, 3, 4, None]
    assert window("lag", two, ["k", "2"]) == [None, None, 1, 2]
    assert window("lag", two, ["k", "0"]) == [1, 2, 3, 4]
    assert window("lag", three, ["k", "1", "9"]) == [9, 1, 2, 3]
    assert window("lead", two, ["k", "CAST(NULL AS BIGINT)"]) == [None] * 4


def test_ignore_nulls_carries_the_last_value_forward() -> None:
    value = functions.resolve("last_value", [Scalar.INTEGER], [None], CONTEXT)
    lowered = value.lower(["v"], Modifiers(over="ORDER BY k", ignore_nulls=True))
    rows = "(VALUES (NULL, 1), (5, 2), (NULL, 3)) t(v, k)"
    assert run(f"SELECT {lowered} FROM {rows} ORDER BY k") == [None, 5, 5]


def test_bad_counts() -> None:
    for name, count, message in (
        ("nth_value", "0", "Offset must be at least 1"),
        ("lag", "-1", "Offset must be at least 0"),
    ):
        with pytest.raises(Invalid, match=message):
            window(name, [Scalar.INTEGER, Scalar.BIGINT], ["v", count])
        with pytest.raises(QueryFailed, match=message):
            window(name, [Scalar.INTEGER, Scalar.BIGINT], ["v", "(k - 9)"])
    with pytest.raises(Invalid, match="Buckets must be greater than 0"):
        window("ntile", [Scalar.BIGINT], ["0"])
    with pytest.raises(QueryFailed, match="Buckets must be greater than 0"):
        window("ntile", [Scalar.BIGINT], ["k - k"])


def test_result_types() -> None:
    def result(name: str, *types: Any) -> Any:
        return functions.resolve(name, types, [None] * len(types), CONTEXT).result

    assert result("sum", Scalar.INTEGER) is Scalar.BIGINT
    assert result("sum", Scalar.DOUBLE) is Scalar.DOUBLE
    assert result("max", Scalar.DATE) is Scalar.DATE
    assert result("array_agg", Scalar.TIMESTAMP) == Array(Scalar.TIMESTAMP)
    assert result("avg", Scalar.BIGINT) is Scalar.DOUBLE
    assert agg("max", [date("2024-01-01")]) == date("2024-01-01").value
