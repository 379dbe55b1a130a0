-- Queries as Timestream users write them, one of each kind; every statement ends with a semicolon at the end of a line.

-- 1. Latest rows
SELECT * FROM "ops"."metrics" ORDER BY time DESC LIMIT 20;

-- 2. One host, percentiles per 5 minutes
SELECT bin(time, 5m) AS t, round(avg(measure_value::double), 2) AS mean,
       approx_percentile(measure_value::double, 0.5)  AS p50,
       approx_percentile(measure_value::double, 0.99) AS p99
FROM "ops"."metrics"
WHERE measure_name = 'cpu_utilization' AND hostname = 'web-03' AND time > ago(6h)
GROUP BY bin(time, 5m) ORDER BY t;

-- 3. Several percentiles in one array
SELECT hostname, approx_percentile(measure_value::double, ARRAY[0.5, 0.95, 0.99]) AS p
FROM "ops"."metrics" WHERE measure_name = 'cpu_utilization' AND time > ago(1d) GROUP BY hostname;

-- 4. Dashboard window in epoch milliseconds
SELECT bin(time, 60000ms) AS t, avg(temperature) AS temp FROM "plant"."telemetry"
WHERE time BETWEEN from_milliseconds(1709942400000) AND from_milliseconds(1709946000000)
  AND measure_name = 'reading' GROUP BY bin(time, 60000ms) ORDER BY 1;

-- 5. Pivot single-measure records
SELECT hostname, bin(time, 1m) AS t,
       avg(CASE WHEN measure_name = 'cpu_utilization'    THEN measure_value::double END) AS cpu,
       avg(CASE WHEN measure_name = 'memory_utilization' THEN measure_value::double END) AS mem
FROM "ops"."metrics"
WHERE measure_name IN ('cpu_utilization', 'memory_utilization') AND time > ago(1h)
GROUP BY hostname, bin(time, 1m) ORDER BY hostname, t;

-- 6. Join two measures in CTEs
WITH c AS (SELECT hostname, time, measure_value::double AS cpu FROM "ops"."metrics"
           WHERE measure_name = 'cpu_utilization' AND time > ago(1h)),
     m AS (SELECT hostname, time, measure_value::double AS mem FROM "ops"."metrics"
           WHERE measure_name = 'memory_utilization' AND time > ago(1h))
SELECT c.hostname, c.time, cpu, mem FROM c JOIN m ON c.hostname = m.hostname AND c.time = m.time;

-- 7. Latest value per device
SELECT device_id, max(time) AS seen, max_by(temperature, time) AS temp, max_by(fault, time) AS fault
FROM "plant"."telemetry" WHERE measure_name = 'reading' AND time > ago(1d) GROUP BY device_id;

-- 8. Latest full row per device
SELECT * FROM (
  SELECT t.*, row_number() OVER (PARTITION BY device_id ORDER BY time DESC) AS rn
  FROM "plant"."telemetry" t WHERE measure_name = 'reading' AND time > ago(1d)
) WHERE rn = 1;

-- 9. Top 3 devices per site
WITH a AS (SELECT site, device_id, avg(pressure) AS p FROM "plant"."telemetry"
           WHERE time > ago(1d) GROUP BY site, device_id),
     r AS (SELECT a.*, rank() OVER (PARTITION BY site ORDER BY p DESC) AS rank FROM a)
SELECT site, device_id, p FROM r WHERE rank <= 3 ORDER BY site, rank, device_id;

-- 10. Hosts 20 % above their fleet
WITH fleet AS (SELECT avg(measure_value::double) AS f FROM "ops"."metrics"
               WHERE measure_name = 'cpu_utilization' AND time > ago(2h)),
     host AS (SELECT hostname, avg(measure_value::double) AS h FROM "ops"."metrics"
              WHERE measure_name = 'cpu_utilization' AND time > ago(2h) GROUP BY hostname)
SELECT hostname, h, f FROM fleet, host WHERE h > 1.2 * f ORDER BY h DESC;

-- 11. Linear gap filling
WITH b AS (SELECT hostname, bin(time, 30s) AS t, avg(measure_value::double) AS v FROM "ops"."metrics"
           WHERE measure_name = 'cpu_utilization' AND time > ago(2h) GROUP BY hostname, bin(time, 30s)),
     i AS (SELECT hostname, interpolate_linear(create_time_series(t, v), sequence(min(t), max(t), 15s)) AS ts
           FROM b GROUP BY hostname)
SELECT hostname, time, round(value, 2) AS cpu FROM i CROSS JOIN UNNEST(ts) ORDER BY hostname, time;

-- 12. Carry the last reading forward on a fixed grid
WITH s AS (SELECT device_id, create_time_series(time, temperature) AS ts FROM "plant"."telemetry"
           WHERE time > ago(1h) AND temperature IS NOT NULL GROUP BY device_id)
SELECT device_id, g.at, g.temp
FROM s CROSS JOIN UNNEST(interpolate_locf(ts, sequence(bin(ago(1h), 1m), bin(now(), 1m), 1m))) AS g (at, temp);

-- 13. Zero for missing minutes
WITH c AS (SELECT bin(time, 1m) AS t, CAST(count(*) AS double) AS n FROM "media"."playback"
           WHERE failures > 0 AND time > ago(3h) GROUP BY bin(time, 1m)),
     f AS (SELECT interpolate_fill(create_time_series(t, n), sequence(bin(ago(3h), 1m), bin(now(), 1m), 1m), 0) AS ts FROM c)
SELECT time, value FROM f CROSS JOIN UNNEST(ts) ORDER BY time;

-- 14. Value at one instant
SELECT device_id, interpolate_linear(create_time_series(time, pressure), TIMESTAMP '2024-03-09 12:00:00') AS at_noon
FROM "plant"."telemetry" WHERE time BETWEEN '2024-03-09 11:00:00' AND '2024-03-09 13:00:00' AND pressure IS NOT NULL
GROUP BY device_id;

-- 15. Smooth curve for a chart
SELECT interpolate_spline_cubic(create_time_series(time, fps), sequence(min(time), max(time), 5s)) AS curve
FROM "media"."playback" WHERE region = 'eu-west-1' AND device_type = 'tv' AND time > ago(10m);

-- 16. Rate of change
SELECT hostname, derivative_linear(create_time_series(time, measure_value::double), 1m) AS slope
FROM "ops"."metrics" WHERE measure_name = 'cpu_utilization' AND time > ago(1h) GROUP BY hostname;

-- 17. Bytes per second from a counter
WITH r AS (SELECT hostname, non_negative_derivative_linear(create_time_series(time, CAST(measure_value::bigint AS double)), 1s) AS ts
           FROM "ops"."metrics" WHERE measure_name = 'net_bytes' AND time > ago(1h) GROUP BY hostname)
SELECT hostname, avg(value) AS mean_bps, max(value) AS peak_bps FROM r CROSS JOIN UNNEST(ts) GROUP BY hostname;

-- 18. Total from a rate
SELECT device_id, integral_trapezoidal(create_time_series(time, pressure), 1h) AS bar_hours
FROM "plant"."telemetry" WHERE time > ago(1d) AND pressure IS NOT NULL GROUP BY device_id;

-- 19. Correlate two measures
WITH g AS (SELECT sequence(bin(ago(2h), 1m), bin(ago(5m), 1m), 1m) AS ticks),
     t AS (SELECT interpolate_linear(create_time_series(time, temperature), (SELECT ticks FROM g)) AS ts
           FROM "plant"."telemetry" WHERE device_id = 'p-17' AND time > ago(3h)),
     p AS (SELECT interpolate_linear(create_time_series(time, pressure), (SELECT ticks FROM g)) AS ts
           FROM "plant"."telemetry" WHERE device_id = 'p-17' AND time > ago(3h))
SELECT correlate_pearson(t.ts, p.ts) AS r, correlate_spearman(t.ts, p.ts) AS rho FROM t, p;

-- 20. Share of samples over a limit
WITH s AS (SELECT hostname, create_time_series(time, measure_value::double) AS ts FROM "ops"."metrics"
           WHERE measure_name = 'cpu_utilization' AND time > ago(1h) GROUP BY hostname)
SELECT hostname, reduce(ts, CAST(ROW(0, 0) AS ROW(hot BIGINT, n BIGINT)),
  (a, x) -> CAST(ROW(a.hot + IF(x.value > 80.0, 1, 0), a.n + 1) AS ROW(hot BIGINT, n BIGINT)),
  a -> CAST(a.hot AS double) / a.n) AS hot_share FROM s;

-- 21. Only the hot points, as rows with a counter
WITH s AS (SELECT hostname, filter(create_time_series(time, measure_value::double), x -> x.value > 80.0) AS ts
           FROM "ops"."metrics" WHERE measure_name = 'cpu_utilization' AND time > ago(1h) GROUP BY hostname)
SELECT hostname, n, time, cpu FROM s CROSS JOIN UNNEST(ts) WITH ORDINALITY AS p (time, cpu, n);

-- 22. Change since the previous sample
SELECT device_id, time, temperature - lag(temperature) OVER (PARTITION BY device_id ORDER BY time) AS delta
FROM "plant"."telemetry" WHERE time > ago(1h);

-- 23. Moving average of five samples
SELECT device_id, time, avg(temperature) OVER (PARTITION BY device_id ORDER BY time ROWS BETWEEN 4 PRECEDING AND CURRENT ROW) AS ma5
FROM "plant"."telemetry" WHERE time > ago(1h);

-- 24. State durations
WITH e AS (SELECT hostname, time, measure_value::varchar AS state,
                  lead(time) OVER (PARTITION BY hostname ORDER BY time) AS until
           FROM "ops"."metrics" WHERE measure_name = 'state' AND time > ago(1d))
SELECT hostname, state, sum(date_diff('second', time, coalesce(until, now()))) AS seconds
FROM e GROUP BY hostname, state ORDER BY hostname, seconds DESC;

-- 25. Silent devices
SELECT device_id, max(time) AS last_seen FROM "plant"."telemetry" WHERE time > ago(7d)
GROUP BY device_id HAVING max(time) < ago(1h) ORDER BY last_seen;

-- 26. Anti-join
SELECT DISTINCT hostname FROM "ops"."metrics" c WHERE measure_name = 'cpu_utilization' AND time > ago(1d)
AND NOT EXISTS (SELECT 1 FROM "ops"."metrics" m WHERE m.hostname = c.hostname AND m.measure_name = 'memory_utilization' AND m.time > ago(1d));

-- 27. Forward fill with a window
WITH grid AS (SELECT t FROM UNNEST(sequence(bin(ago(30m), 1m), bin(now(), 1m), 1m)) AS g(t)),
     dev AS (SELECT DISTINCT device_id FROM "plant"."telemetry" WHERE time > ago(30m)),
     raw AS (SELECT device_id, bin(time, 1m) AS t, avg(temperature) AS v FROM "plant"."telemetry"
             WHERE time > ago(30m) GROUP BY device_id, bin(time, 1m))
SELECT d.device_id, g.t, last_value(r.v) IGNORE NULLS OVER (PARTITION BY d.device_id ORDER BY g.t) AS filled
FROM grid g CROSS JOIN dev d LEFT JOIN raw r ON r.t = g.t AND r.device_id = d.device_id ORDER BY 1, 2;

-- 28. Video quality by platform
SELECT device_type, os_version, count(*) AS sessions, round(avg(startup_ms), 1) AS startup,
       approx_percentile(rebuffer_ratio, 0.9) AS rebuffer_p90, coalesce(sum(failures), 0) AS failures,
       count_if(fps < 24.0) * 100.0 / count(*) AS slow_pct
FROM "media"."playback" WHERE measure_name = 'qoe' AND time >= ago(24h)
GROUP BY device_type, os_version HAVING count(*) > 100 ORDER BY failures DESC, sessions DESC LIMIT 25;

-- 29. Hour-of-day profile
SELECT hour(time) AS h, avg(startup_ms) AS ms, approx_distinct(device_type || '/' || os_version) AS platforms
FROM "media"."playback" WHERE time > ago(14d) GROUP BY hour(time) ORDER BY h;

-- 30. Text work
SELECT cast(regexp_extract(hostname, '-(\d+)$', 1) AS integer) AS n, split_part(az, '-', 1) AS area, count(*) AS rows
FROM "ops"."metrics" WHERE time > ago(15m) AND regexp_like(hostname, '^web-\d+$')
GROUP BY cast(regexp_extract(hostname, '-(\d+)$', 1) AS integer), split_part(az, '-', 1);

-- 31. Trend line
SELECT device_id, regr_slope(temperature, to_unixtime(time)) * 3600 AS per_hour, corr(temperature, to_unixtime(time)) AS fit
FROM "plant"."telemetry" WHERE time > ago(1d) GROUP BY device_id;

-- 32. Union of two models
SELECT hostname AS source, time, measure_value::double AS value FROM "ops"."metrics" WHERE measure_name = 'cpu_utilization' AND time > ago(5m)
UNION ALL
SELECT device_id, time, temperature FROM "plant"."telemetry" WHERE time > ago(5m)
ORDER BY time DESC LIMIT 100;

-- 33. Scheduled roll-up
SELECT site, model, bin(time, 1h) AS hour, avg(temperature) AS avg_t, max(pressure) AS max_p, count(*) AS n
FROM "plant"."telemetry"
WHERE time >= bin(@scheduled_runtime, 1h) - 1h AND time < bin(@scheduled_runtime, 1h)
GROUP BY site, model, bin(time, 1h);

-- 34. Export a day, partitioned
UNLOAD (SELECT device_id, time, temperature, pressure, site FROM "plant"."telemetry"
        WHERE time >= '2024-03-09' AND time < '2024-03-10')
TO 's3://exports/plant/2024-03-09/'
WITH (partitioned_by = ARRAY['site'], format = 'CSV', compression = 'NONE', include_header = 'true');

-- 35. Export series as Parquet
UNLOAD (SELECT hostname, create_time_series(time, measure_value::double) AS cpu FROM "ops"."metrics"
        WHERE measure_name = 'cpu_utilization' AND time > ago(1d) GROUP BY hostname)
TO 's3://exports/cpu/' WITH (format = 'PARQUET');

-- 36. Catalogue
SHOW DATABASES LIKE 'pl%';
SHOW TABLES FROM "plant";
SHOW MEASURES FROM "plant"."telemetry";
DESCRIBE "plant"."telemetry";
