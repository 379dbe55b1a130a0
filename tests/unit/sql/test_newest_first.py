"""Which queries end after some rows, the newest or any: for them a part of the time may be enough."""

from __future__ import annotations

import pytest
from sql_world import query_plan

from headwater.model.time import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE
from headwater.sql.plan import NewestFirst

BINS = "SELECT bin(time, 1m) AS b, max(measure_value::double) FROM ops.metrics"


@pytest.mark.parametrize(
    ("text", "width_ns", "rows"),
    [
        ("SELECT * FROM ops.metrics ORDER BY time DESC LIMIT 10", 1, 10),
        (
            "SELECT time AS t, hostname FROM ops.metrics WHERE measure_value::double > 3 ORDER BY t DESC, 2 LIMIT 3",
            1,
            3,
        ),
        ("SELECT DISTINCT time FROM ops.metrics ORDER BY time DESC LIMIT 2", 1, 2),
        ("SELECT * FROM ops.metrics LIMIT 10", 1, 10),
        ("SELECT upper(az) FROM ops.metrics WHERE hostname LIKE 'a%' AND measure_value::double > 3 LIMIT 1", 1, 1),
        (f"{BINS} GROUP BY bin(time, 1m) ORDER BY b DESC LIMIT 5", NS_PER_MINUTE, 5),
        (f"{BINS} WHERE time < ago(1h) GROUP BY 1, hostname ORDER BY 1 DESC, hostname LIMIT 5", NS_PER_MINUTE, 5),
        (f"{BINS} GROUP BY 1 HAVING count(*) > 2 ORDER BY bin(time, 1m) DESC LIMIT 1", NS_PER_MINUTE, 1),
        ("SELECT date_trunc('day', time), count(*) FROM ops.metrics GROUP BY 1 ORDER BY 1 DESC LIMIT 7", NS_PER_DAY, 7),
        ("SELECT bin(time, 2h) AS b FROM ops.metrics GROUP BY 1 ORDER BY b DESC LIMIT 4", 2 * NS_PER_HOUR, 4),
    ],
)
def test_these_are(text: str, width_ns: int, rows: int) -> None:
    assert query_plan(text).newest_first == NewestFirst("scan_0", width_ns, rows)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM ops.metrics ORDER BY time LIMIT 10",
        "SELECT * FROM ops.metrics ORDER BY time DESC",
        "SELECT * FROM ops.metrics ORDER BY time DESC LIMIT 0",
        "SELECT * FROM ops.metrics ORDER BY hostname, time DESC LIMIT 10",
        "SELECT DISTINCT az FROM ops.metrics LIMIT 10",
        "SELECT count(*) FROM ops.metrics LIMIT 10",
        "SELECT az, count(*) FROM ops.metrics GROUP BY az LIMIT 10",
        "SELECT row_number() OVER () FROM ops.metrics LIMIT 10",
        "SELECT * FROM (SELECT * FROM ops.metrics ORDER BY time) LIMIT 10",
        "SELECT * FROM ops.metrics UNION ALL SELECT * FROM ops.metrics LIMIT 10",
        "SELECT *, row_number() OVER (ORDER BY time) FROM ops.metrics ORDER BY time DESC LIMIT 10",
        "SELECT a.time FROM ops.metrics a, ops.metrics b ORDER BY a.time DESC LIMIT 10",
        "SELECT hostname, max(time) AS t FROM ops.metrics GROUP BY 1 ORDER BY t DESC LIMIT 3",
        f"{BINS} GROUP BY 1 ORDER BY 2 DESC LIMIT 5",
        f"{BINS} GROUP BY 1 ORDER BY 1 LIMIT 5",
        f"{BINS} GROUP BY ROLLUP (1) ORDER BY 1 DESC LIMIT 5".replace("ROLLUP (1)", "ROLLUP (bin(time, 1m))"),
        "SELECT date_trunc('month', time), count(*) FROM ops.metrics GROUP BY 1 ORDER BY 1 DESC LIMIT 7",
        "SELECT date_trunc('week', time), count(*) FROM ops.metrics GROUP BY 1 ORDER BY 1 DESC LIMIT 7",
        "SELECT time + 1h AS t FROM ops.metrics ORDER BY t DESC LIMIT 7",
        f"SELECT * FROM ({BINS} GROUP BY 1 ORDER BY 1 DESC LIMIT 5) ORDER BY b",
    ],
)
def test_these_are_not(text: str) -> None:
    assert query_plan(text).newest_first is None
