"""Control-plane calls through HTTP with signatures while the catalog holds 10,000 tables in 100 databases.

One client, one connection, one call at a time; every table is made through the API, so its time is in the figures.
Requests are signed before the clock runs. The last lines walk all pages of ListTables: a page must cost the same at
the end as at the beginning.

    python -m benchmarks.control_plane [tables]
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.server import ServerProcess, serving

from benchmarks.client import Client, percentiles

DATABASES = 100
CALLS = 500
WARM_UP = 20
SIGNED_AT_ONCE = 1_000

Request = tuple[str, dict[str, Any]]


def main(tables: int) -> None:
    print(f"control plane, {tables:,} tables: load average {os.getloadavg()[0]:.2f}")
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), log_level="warning") as server:
        client = Client(server.host, server.port)
        made_ms = timed(server, client, create_all(tables))
        print_figures("CreateTable", made_ms[DATABASES:])
        print_figures(f"  last {CALLS}", made_ms[-CALLS:])
        for operation, requests in calls(server, tables):
            taken_ms = timed(server, client, [(operation, request) for request in requests])
            print_figures(operation, taken_ms[WARM_UP:])
        for scope in ({}, {"DatabaseName": database(0)}):
            print_pages(server, client, scope)


def database(number: int) -> str:
    return f"database-{number:03}"


def names(table: int) -> dict[str, Any]:
    return {"DatabaseName": database(table % DATABASES), "TableName": f"table-{table:05}"}


def create_all(tables: int) -> list[Request]:
    databases: list[Request] = [("CreateDatabase", {"DatabaseName": database(number)}) for number in range(DATABASES)]
    return databases + [("CreateTable", names(table)) for table in range(tables)]


def calls(server: ServerProcess, tables: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Requests that all succeed, by operation, spread over all tables; those that delete come last."""
    root = f"arn:aws:timestream:{server.region}:{server.account}:database"
    # A prime step, so that neighbours in time are no neighbours in the catalog.
    some = [names(place * 7_919 % tables) for place in range(CALLS + WARM_UP)]
    arns = [f"{root}/{name['DatabaseName']}/table/{name['TableName']}" for name in some]
    hours = [{**name, "RetentionProperties": _retention(place)} for place, name in enumerate(some)]
    tags = [{"Key": "team", "Value": "a"}, {"Key": "stage", "Value": "test"}]
    keys = [f"alias/key-{place}" for place in range(len(some))]
    yield "DescribeEndpoints", [{} for _ in some]
    yield "DescribeDatabase", [{"DatabaseName": name["DatabaseName"]} for name in some]
    yield (
        "UpdateDatabase",
        [{"DatabaseName": n["DatabaseName"], "KmsKeyId": k} for n, k in zip(some, keys, strict=True)],
    )
    yield "ListDatabases", [{} for _ in some]
    yield "DescribeTable", some
    yield "UpdateTable", hours
    yield "ListTables", [{"DatabaseName": name["DatabaseName"]} for name in some]
    yield "TagResource", [{"ResourceARN": arn, "Tags": tags} for arn in arns]
    yield "ListTagsForResource", [{"ResourceARN": arn} for arn in arns]
    yield "UntagResource", [{"ResourceARN": arn, "TagKeys": ["team"]} for arn in arns]
    yield "DeleteTable", some


def _retention(place: int) -> dict[str, int]:
    return {"MemoryStoreRetentionPeriodInHours": 1 + place, "MagneticStoreRetentionPeriodInDays": 7}


def timed(server: ServerProcess, client: Client, requests: list[Request]) -> list[float]:
    """Milliseconds of each call. Signed in portions: a signature is good for five minutes."""
    taken_ms: list[float] = []
    for start in range(0, len(requests), SIGNED_AT_ONCE):
        portion = requests[start : start + SIGNED_AT_ONCE]
        taken_ms += client.time_ms([server.signed(name, json.dumps(request).encode()) for name, request in portion])
    return taken_ms


def print_figures(what: str, taken_ms: list[float]) -> None:
    p50_ms, p99_ms = percentiles(taken_ms)
    print(f"  {what:20} p50 {p50_ms:6.2f} ms  p99 {p99_ms:6.2f} ms  max {max(taken_ms):6.2f} ms  ({len(taken_ms):,})")


def print_pages(server: ServerProcess, client: Client, scope: dict[str, Any]) -> None:
    """Walk all pages; the first and the last tenth of them beside each other."""
    taken_ms, listed, token = [], 0, {}
    while True:
        request = server.signed("ListTables", json.dumps({**scope, **token}).encode())
        taken_ms += client.time_ms([request])
        page = json.loads(client.ask(request))
        listed += len(page["Tables"])
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    tenth = max(1, len(taken_ms) // 10)
    first_ms, last_ms = percentiles(taken_ms[:tenth])[0], percentiles(taken_ms[-tenth:])[0]
    where = scope.get("DatabaseName", "all databases")
    print(
        f"  ListTables of {where}: {listed:,} tables in {len(taken_ms)} pages, p50 of the first tenth "
        f"{first_ms:.2f} ms, of the last {last_ms:.2f} ms; p99 of all {percentiles(taken_ms)[1]:.2f} ms"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
