"""Which queries ask a scan for the newest record of each series only, and which must not."""

from __future__ import annotations

import pytest
from sql_world import query_plan

BY_HOST = "SELECT hostname, max(time), max_by(measure_value::double, time) FROM ops.metrics"
NUMBERED = (
    "SELECT hostname, time FROM (SELECT *, {function}() OVER (PARTITION BY {keys} ORDER BY {order}) AS n "
    "FROM ops.metrics {where}) WHERE {condition}"
)


def numbered(
    function: str = "row_number",
    keys: str = "hostname",
    order: str = "time DESC",
    where: str = "",
    condition: str = "n = 1",
) -> str:
    return NUMBERED.format(function=function, keys=keys, order=order, where=where, condition=condition)


def asks_for_newest(text: str) -> list[bool]:
    return [request.newest for _, request in query_plan(text).scans]


@pytest.mark.parametrize(
    "text",
    [
        f"{BY_HOST} GROUP BY hostname",
        f"{BY_HOST} WHERE region = 'eu' AND time > ago(1h) GROUP BY 1 ORDER BY 2 DESC LIMIT 3",
        f"{BY_HOST} WHERE hostname LIKE 'a%' AND (az = 'b' OR measure_name = 'c') GROUP BY hostname, measure_name",
        f"{BY_HOST} WHERE time BETWEEN ago(2h) AND ago(1h) GROUP BY hostname HAVING max(time) < ago(90m)",
        "SELECT max(time) FROM ops.metrics WHERE upper(region) = 'EU'",
        "SELECT upper(region), max(az), arbitrary(hostname), max(time) FROM ops.metrics GROUP BY upper(region)",
        "SELECT * FROM (SELECT hostname, max(time) AS t FROM ops.metrics GROUP BY hostname) WHERE t > ago(1d)",
        "WITH last AS (SELECT hostname, max(time) AS t FROM ops.metrics GROUP BY 1) SELECT * FROM last",
        numbered(),
        numbered("rank", "hostname, measure_name", "time DESC, az", "WHERE region = 'eu'", "n <= 1 AND time > ago(1h)"),
        numbered("dense_rank", condition="n < 2"),
        "SELECT * FROM ops.metrics WHERE hostname = 'a' AND time > ago(1d) ORDER BY time DESC LIMIT 1",
        "SELECT time AS t, measure_value::double FROM ops.metrics ORDER BY t DESC LIMIT 1",
    ],
)
def test_these_do(text: str) -> None:
    assert asks_for_newest(text) == [True]


@pytest.mark.parametrize(
    "text",
    [
        f"{BY_HOST} WHERE measure_value::double > 0 GROUP BY hostname",
        f"{BY_HOST} WHERE hour(time) = 3 GROUP BY hostname",
        f"{BY_HOST} WHERE time < ago(1h) OR hostname = 'a' GROUP BY hostname",
        f"{BY_HOST} WHERE bin(time, 1h) < ago(1h) GROUP BY hostname",
        f"{BY_HOST} WHERE random() < 0.5 GROUP BY hostname",
        f"{BY_HOST} WHERE hostname IN (SELECT hostname FROM ops.metrics) GROUP BY hostname",
        f"{BY_HOST} GROUP BY hostname, bin(time, 1h)",
        f"{BY_HOST} GROUP BY GROUPING SETS ((hostname), ())",
        f"{BY_HOST.replace('max(time)', 'count(*)')} GROUP BY hostname",
        f"{BY_HOST.replace('max(time)', 'min(time)')} GROUP BY hostname",
        f"{BY_HOST.replace('max(time)', 'max(measure_value::double)')} GROUP BY hostname",
        f"{BY_HOST.replace('max(time)', 'max(time) FILTER (WHERE measure_value::double > 0)')} GROUP BY hostname",
        f"{BY_HOST.replace('time)', 'time, 2)')} GROUP BY hostname".replace("max(time, 2)", "max(time)"),
        "SELECT hostname FROM ops.metrics GROUP BY hostname",
        "SELECT max(a.time) FROM ops.metrics a, ops.metrics b WHERE a.hostname = b.hostname",
        numbered(order="time"),
        numbered(order="measure_value::double DESC"),
        numbered(keys="measure_value::double"),
        numbered(condition="n = 2"),
        numbered(condition="n = 1 OR time > ago(1h)"),
        numbered(where="WHERE measure_value::double > 0"),
        numbered("ntile").replace("ntile()", "ntile(2)"),
        numbered().replace("SELECT *,", "SELECT *, lag(time) OVER (ORDER BY time) AS l,"),
        "SELECT * FROM ops.metrics ORDER BY time DESC LIMIT 2",
        "SELECT * FROM ops.metrics ORDER BY time LIMIT 1",
        "SELECT * FROM ops.metrics ORDER BY measure_value::double DESC, time DESC LIMIT 1",
        "SELECT *, count(*) OVER () FROM ops.metrics ORDER BY time DESC LIMIT 1",
        "SELECT * FROM ops.metrics ORDER BY time DESC",
    ],
)
def test_these_do_not(text: str) -> None:
    assert not any(asks_for_newest(text))
