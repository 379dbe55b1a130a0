"""The query types of the public TSBS "cpu-only" case, full JSON answers through HTTP, beside plain DuckDB in process.

One day of the CPU workload: 100 hosts, 864,000 records of ten metrics. Both have the same rows; DuckDB has them in a
table of its own, sorted by host and time, and gives Arrow. The server is asked three times over: with all records in
memory, with all of them in blocks of an hour of load each, and after compaction. Every query runs with windows and
hosts of its own; pages are followed to the end. Printed are medians, and the ratio of ours to DuckDB's.

    python -m benchmarks.tsbs [times each] [hours]
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from tests.support.server import ServerProcess, serving

from benchmarks import ingest, workload
from benchmarks.client import Client

HOSTS = workload.RECORDS_PER_REQUEST
METRICS = workload.METRICS
OURS = f'"{workload.DATABASE}"."{workload.TABLE}"'
HOUR_S = 3_600
WARM_UP = 2


@dataclass(frozen=True)
class Dialect:
    """`bin` and `instant` make SQL of a unit ("minute") and of seconds since 1970."""

    table: str
    bin: Callable[[str], str]
    instant: Callable[[int], str]
    last: str


def _timestamp(second: int) -> str:
    return time.strftime("TIMESTAMP '%Y-%m-%d %H:%M:%S'", time.gmtime(second))


_LAST_TIMESTREAM = ", ".join(f"max_by({metric}, time)" for metric in METRICS)
_LAST_DUCKDB = ", ".join(f"arg_max({metric}, time)" for metric in METRICS)

TIMESTREAM = Dialect(
    OURS,
    lambda unit: f"bin(time, 1{unit[0]})",
    _timestamp,
    f"SELECT hostname, max(time), {_LAST_TIMESTREAM} FROM {OURS} GROUP BY hostname ORDER BY hostname",
)
DUCKDB = Dialect(
    "cpu",
    lambda unit: f"date_trunc('{unit}', time)",
    _timestamp,
    f"SELECT hostname, max(time), {_LAST_DUCKDB} FROM cpu GROUP BY hostname ORDER BY hostname",
)


@dataclass(frozen=True)
class Case:
    """A query type; `hours` long, about `hosts` hosts. `target_ms` is the issue's, if it names one."""

    name: str
    hours: int
    hosts: int
    text: Callable[[Dialect, str, str], str]
    target_ms: float | None = None


def _grouped(unit: str, function: str, metrics: int, *keys: str) -> Callable[[Dialect, str, str], str]:
    def text(to: Dialect, where: str, _: str) -> str:
        values = ", ".join(f"{function}({metric}) AS m_{metric}" for metric in METRICS[:metrics])
        names = ", ".join(("1", *keys))
        selected = ", ".join((f"{to.bin(unit)} AS b", *keys))
        return f"SELECT {selected}, {values} FROM {to.table} WHERE {where} GROUP BY {names} ORDER BY {names}"

    return text


def _high(to: Dialect, where: str, _: str) -> str:
    return f"SELECT * FROM {to.table} WHERE usage_user > 90.0 AND {where}"


def _newest_minutes(to: Dialect, _: str, before: str) -> str:
    return (
        f"SELECT {to.bin('minute')} AS b, max(usage_user) AS m FROM {to.table} WHERE time < {before} "
        "GROUP BY 1 ORDER BY 1 DESC LIMIT 5"
    )


CASES = (
    Case("single-groupby-1-1-1", 1, 1, _grouped("minute", "max", 1), 10),
    Case("single-groupby-5-8-1", 1, 8, _grouped("minute", "max", 5)),
    Case("cpu-max-all-8", 8, 8, _grouped("hour", "max", 10)),
    Case("double-groupby-1", 12, HOSTS, _grouped("hour", "avg", 1, "hostname")),
    Case("double-groupby-all", 12, HOSTS, _grouped("hour", "avg", 10, "hostname"), 60),
    Case("high-cpu-1", 12, 1, _high),
    Case("high-cpu-all", 12, HOSTS, _high),
    Case("lastpoint", 1, HOSTS, lambda to, _, __: to.last, 10),
    Case("groupby-orderby-limit", 1, HOSTS, _newest_minutes, 15),
)


def texts(case: Case, to: Dialect, start_s: int, hours: int, times: int) -> Iterator[str]:
    """The same windows and hosts in every dialect."""
    chance = random.Random(case.name)
    for _ in range(times):
        first = start_s + chance.randrange(max(1, (hours - case.hours) * HOUR_S))
        after = to.instant(first + case.hours * HOUR_S)
        where = f"time >= {to.instant(first)} AND time < {after}"
        if case.hosts < HOSTS:
            names = ", ".join(f"'host_{number}'" for number in chance.sample(range(HOSTS), case.hosts))
            where += f" AND hostname IN ({names})"
        yield case.text(to, where, after)


def main(times: int = 20, hours: int = 24) -> None:
    print(f"TSBS queries, {HOSTS} hosts, {hours} h: load average {os.getloadavg()[0]:.2f}")
    end_s = int(time.time())
    start_s = end_s - hours * HOUR_S
    with tempfile.TemporaryDirectory() as folder:
        with serving(Path(folder), log_level="warning", flush_age_s=86_400, memory_budget_mb=4_096) as server:
            plain = load(server, hours, end_s)
            theirs = {case.name: measure_duckdb(plain, case, start_s, hours, times) for case in CASES}
            show("in memory", server, theirs, start_s, hours, times)
        # A clean stop has flushed.
        with serving(Path(folder), log_level="warning") as server:
            show("in blocks", server, theirs, start_s, hours, times)


def load(server: ServerProcess, hours: int, end_s: int) -> duckdb.DuckDBPyConnection:
    """Write the day to the server and to DuckDB."""
    ingest.prepare(server)
    client = Client(server.host, server.port)
    columns: dict[str, list[object]] = {}
    ticks = hours * HOUR_S // workload.STEP_S
    for body in workload.bodies(0, ticks, end_s):
        client.ask(server.signed("WriteRecords", body))
        for record in json.loads(body)["Records"]:
            row = {one["Name"]: one["Value"] for one in record["Dimensions"]} | {"time": int(record["Time"])}
            row |= {one["Name"]: float(one["Value"]) for one in record["MeasureValues"]}
            for name, value in row.items():
                columns.setdefault(name, []).append(value)
    rows = pa.table(columns)
    seconds = rows.column("time").to_numpy() * np.int64(10**9)
    rows = rows.set_column(rows.schema.get_field_index("time"), "time", pa.array(seconds, pa.timestamp("ns")))
    plain = duckdb.connect()
    plain.execute("SET preserve_insertion_order = false")
    plain.register("loaded", rows)
    plain.execute("CREATE TABLE cpu AS SELECT *, 'cpu' AS measure_name FROM loaded ORDER BY hostname, time")
    plain.unregister("loaded")
    return plain


def measure_duckdb(plain: duckdb.DuckDBPyConnection, case: Case, start_s: int, hours: int, times: int) -> float:
    """Median milliseconds."""
    taken = []
    for text in texts(case, DUCKDB, start_s, hours, WARM_UP + times):
        started = time.perf_counter()
        plain.execute(text).to_arrow_table()
        taken.append((time.perf_counter() - started) * 1e3)
    return float(np.median(taken[WARM_UP:]))


def measure_ours(server: ServerProcess, case: Case, start_s: int, hours: int, times: int) -> tuple[float, int]:
    """Median milliseconds from sending to the end of the last page, and the rows of one answer."""
    client = Client(server.host, server.port)
    taken = []
    rows = 0
    for text in texts(case, TIMESTREAM, start_s, hours, WARM_UP + times):
        request = server.signed("Query", json.dumps({"QueryString": text}).encode())
        started = time.perf_counter()
        body = client.ask(request)
        spent = time.perf_counter() - started
        answer = json.loads(body)
        rows = len(answer["Rows"])
        while "NextToken" in answer:
            # The client's own work is not in the figures.
            more = json.dumps({"QueryString": text, "NextToken": answer["NextToken"]}).encode()
            request = server.signed("Query", more)
            started = time.perf_counter()
            body = client.ask(request)
            spent += time.perf_counter() - started
            answer = json.loads(body)
            rows += len(answer["Rows"])
        taken.append(spent * 1e3)
    return float(np.median(taken[WARM_UP:])), rows


def show(where: str, server: ServerProcess, theirs: dict[str, float], start_s: int, hours: int, times: int) -> None:
    print(f"  {where:24} {'rows':>7} {'ours ms':>9} {'DuckDB ms':>10} {'ratio':>7}")
    ratios = []
    for case in CASES:
        ours_ms, rows = measure_ours(server, case, start_s, hours, times)
        ratios.append(ours_ms / theirs[case.name])
        target = f"  target {case.target_ms:g} ms" if case.target_ms else ""
        print(
            f"    {case.name:22} {rows:7,} {ours_ms:9.1f} {theirs[case.name]:10.1f} {ratios[-1]:7.2f}{target}",
            flush=True,
        )
    print(f"    {'geometric mean':50} {float(np.exp(np.mean(np.log(ratios)))):7.2f}  target 1.50", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
