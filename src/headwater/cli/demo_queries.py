"""The queries that the demo runs: what is asked, in words, and the SQL."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Question:
    """A query and its title."""

    title: str
    sql: str


REASSEMBLED = Question(
    "Video, single-measure: four CTEs put the four measures of each device and instant side by side",
    """\
WITH startup AS (
    SELECT device_id, time, measure_value::bigint AS video_startup_time
    FROM demo.video_single WHERE measure_name = 'video_startup_time' AND time > ago(15m)
), rebuffering AS (
    SELECT device_id, time, measure_value::double AS rebuffering_ratio
    FROM demo.video_single WHERE measure_name = 'rebuffering_ratio' AND time > ago(15m)
), failures AS (
    SELECT device_id, time, measure_value::bigint AS video_playback_failures
    FROM demo.video_single WHERE measure_name = 'video_playback_failures' AND time > ago(15m)
), frames AS (
    SELECT device_id, time, measure_value::double AS average_frame_rate
    FROM demo.video_single WHERE measure_name = 'average_frame_rate' AND time > ago(15m)
)
SELECT startup.device_id, startup.time, video_startup_time, rebuffering_ratio, video_playback_failures,
       average_frame_rate
FROM startup
JOIN rebuffering ON startup.device_id = rebuffering.device_id AND startup.time = rebuffering.time
JOIN failures ON startup.device_id = failures.device_id AND startup.time = failures.time
JOIN frames ON startup.device_id = frames.device_id AND startup.time = frames.time""",
)

MULTI = Question(
    "Video, multi-measure: the same in one line",
    """\
SELECT device_id, time, video_startup_time, rebuffering_ratio, video_playback_failures, average_frame_rate
FROM demo.video_multi WHERE time > ago(15m)""",
)

RECORDS_PER_HOST = "SELECT hostname, count(*) AS records FROM demo.cpu GROUP BY hostname"

QUESTIONS = (
    Question(
        "Average per host per 5 minutes",
        """\
SELECT hostname, bin(time, 5m) AS slot, round(avg(usage_user), 2) AS mean
FROM demo.cpu WHERE time > ago(6h)
GROUP BY hostname, bin(time, 5m) ORDER BY hostname, slot""",
    ),
    Question(
        "95th percentile by region",
        """\
SELECT region, count(DISTINCT hostname) AS hosts, approx_percentile(usage_user, 0.95) AS p95
FROM demo.cpu WHERE time > ago(1h)
GROUP BY region ORDER BY p95 DESC""",
    ),
    Question(
        "Latest record of each host",
        """\
SELECT hostname, max(time) AS seen, max_by(usage_user, time) AS usage_user, max_by(usage_idle, time) AS usage_idle
FROM demo.cpu WHERE time > ago(6h)
GROUP BY hostname ORDER BY hostname""",
    ),
    Question(
        "The five busiest hosts of the last hour",
        """\
SELECT hostname, region, team, round(avg(usage_user), 2) AS mean, max(usage_user) AS peak
FROM demo.cpu WHERE time > ago(1h)
GROUP BY hostname, region, team ORDER BY mean DESC LIMIT 5""",
    ),
    Question(
        "The five busiest minutes of each region, by a window function",
        """\
WITH minutes AS (
    SELECT region, bin(time, 1m) AS minute, avg(usage_system) AS mean
    FROM demo.cpu WHERE time > ago(6h) GROUP BY region, bin(time, 1m)
), ranked AS (
    SELECT region, minute, mean, rank() OVER (PARTITION BY region ORDER BY mean DESC) AS place FROM minutes
)
SELECT region, place, minute, round(mean, 2) AS mean FROM ranked WHERE place <= 5 ORDER BY region, place""",
    ),
    Question(
        "One host with its gaps filled: 10-minute means, a value for every minute between them",
        """\
WITH slots AS (
    SELECT hostname, bin(time, 10m) AS slot, avg(usage_user) AS mean
    FROM demo.cpu WHERE hostname = 'host_7' AND time > ago(2h) GROUP BY hostname, bin(time, 10m)
), filled AS (
    SELECT hostname, INTERPOLATE_LINEAR(CREATE_TIME_SERIES(slot, mean), SEQUENCE(min(slot), max(slot), 1m)) AS series
    FROM slots GROUP BY hostname
)
SELECT hostname, time, round(value, 2) AS usage_user
FROM filled CROSS JOIN UNNEST(series) ORDER BY time""",
    ),
)


def upsert_question(hostname: str, time_s: int) -> Question:
    """The record that was corrected."""
    return Question(
        "The upsert read back: one record, the newer version",
        f"""\
SELECT hostname, time, usage_user, usage_system, usage_idle
FROM demo.cpu WHERE hostname = '{hostname}' AND time = from_milliseconds({time_s * 1000})""",  # noqa: S608 - our own values
    )


def records_question(hostname: str, columns: tuple[str, ...], start_s: int, end_s: int) -> str:
    """SQL for the records of a host between two instants, both included, in order of time."""
    return (
        f"SELECT to_milliseconds(time) / 1000, {', '.join(columns)} FROM demo.cpu WHERE hostname = '{hostname}' "  # noqa: S608 - our own values
        f"AND time BETWEEN from_milliseconds({start_s * 1000}) AND from_milliseconds({end_s * 1000}) ORDER BY time"
    )
