"""QueryInsights with stock boto3: what a query read of each table. Source: query-api.md 5."""

from __future__ import annotations

import time
from typing import Any

import pytest

from support.stock import Table, dimensions, record, told

DEADLINE_S = 20.0
HOUR_S = 3_600


@pytest.fixture
def fleet(write: Any, query: Any, database: str) -> Table:
    """Four measures of two hosts, one record each at three instants an hour apart."""
    retention = {"MemoryStoreRetentionPeriodInHours": 48, "MagneticStoreRetentionPeriodInDays": 7}
    write.create_table(DatabaseName=database, TableName="fleet", RetentionProperties=retention)
    table = Table(write, query, database, "fleet")
    now_ms = time.time_ns() // 10**6
    table.put(
        *(
            record("1", measure=measure, Dimensions=dimensions(host=host), Time=str(now_ms - hours * HOUR_S * 1000))
            for measure in ("cpu", "disk", "load", "net")
            for host in ("a", "b")
            for hours in (0, 1, 2)
        )
    )
    return table


def insights(query: Any, text: str, **more: Any) -> dict[str, Any]:
    """Those of a query. The server gives them to one query a second."""
    deadline_s = time.monotonic() + DEADLINE_S
    while True:
        try:
            answer = query.query(QueryString=text, QueryInsights={"Mode": "ENABLED_WITH_RATE_CONTROL"}, **more)
            return answer["QueryInsightsResponse"]
        except query.exceptions.ThrottlingException:
            assert time.monotonic() < deadline_s
            time.sleep(0.1)


def arn(table: Table) -> str:
    found: str = table.write.describe_table(DatabaseName=table.database, TableName=table.name)["Table"]["Arn"]
    return found


def test_a_query_without_conditions_reads_all_of_the_table(fleet: Table) -> None:
    found = insights(fleet.query, f"SELECT host, measure_name FROM {fleet.database}.fleet")
    assert found["QuerySpatialCoverage"] == {
        "Max": {"Value": 1.0, "TableArn": arn(fleet), "PartitionKey": ["measure_name"]}
    }
    assert found["QueryTemporalRange"] == {"Max": {"Value": 2 * HOUR_S * 10**9, "TableArn": arn(fleet)}}
    assert (found["QueryTableCount"], found["OutputRows"]) == (1, 24)
    assert found["OutputBytes"] > 0
    assert not {"UnloadPartitionCount", "UnloadWrittenRows", "UnloadWrittenBytes"} & set(found)


def test_conditions_on_the_partition_key_and_on_time_lessen_it(fleet: Table) -> None:
    text = f"SELECT host FROM {fleet.database}.fleet WHERE measure_name = 'cpu' AND time > ago(90m)"
    found = insights(fleet.query, text)
    assert found["QuerySpatialCoverage"]["Max"]["Value"] == 0.25
    assert found["QueryTemporalRange"]["Max"]["Value"] <= 90 * 60 * 10**9
    assert found["QueryTemporalRange"]["Max"]["Value"] >= HOUR_S * 10**9
    assert found["OutputRows"] == 4


def test_the_key_of_the_customer_is_the_one_that_counts(write: Any, query: Any, database: str) -> None:
    key = {"Type": "DIMENSION", "Name": "host", "EnforcementInRecord": "REQUIRED"}
    write.create_table(DatabaseName=database, TableName="keyed", Schema={"CompositePartitionKey": [key]})
    table = Table(write, query, database, "keyed")
    table.put(*(record("1", Dimensions=dimensions(host=str(n))) for n in range(10)))
    found = insights(query, f"SELECT time FROM {database}.keyed WHERE host IN ('3', '4')")
    assert found["QuerySpatialCoverage"]["Max"] == {"Value": 0.2, "TableArn": arn(table), "PartitionKey": ["host"]}


def test_of_two_tables_the_one_that_is_read_most_is_named(fleet: Table) -> None:
    fleet.write.create_table(DatabaseName=fleet.database, TableName="other")
    other = Table(fleet.write, fleet.query, fleet.database, "other")
    other.put(record("1"))
    text = (
        f"SELECT count(*) FROM {fleet.database}.fleet a, {fleet.database}.other b, {fleet.database}.fleet c "
        "WHERE a.measure_name = 'cpu' AND c.measure_name IN ('cpu', 'disk')"
    )
    found = insights(fleet.query, text)
    assert found["QueryTableCount"] == 2
    assert found["QuerySpatialCoverage"]["Max"]["TableArn"] == arn(other)
    assert found["QuerySpatialCoverage"]["Max"]["Value"] == 1.0
    assert found["QueryTemporalRange"]["Max"] == {"Value": 2 * HOUR_S * 10**9, "TableArn": arn(fleet)}


def test_a_query_of_no_table_and_one_that_finds_nothing(fleet: Table) -> None:
    found = insights(fleet.query, "SELECT 1")
    assert set(found) == {"QueryTableCount", "OutputRows", "OutputBytes"}
    assert (found["QueryTableCount"], found["OutputRows"]) == (0, 1)
    assert insights(fleet.query, "SHOW DATABASES LIKE 'none'")["OutputRows"] == 0
    found = insights(fleet.query, f"SELECT time FROM {fleet.database}.fleet WHERE host = 'none'")
    assert (found["OutputRows"], found["QuerySpatialCoverage"]["Max"]["Value"]) == (0, 0.0)


def test_pages_have_them_and_running_queries_do_not_ask_for_them_again(fleet: Table) -> None:
    text = f"SELECT time FROM {fleet.database}.fleet"
    deadline_s = time.monotonic() + DEADLINE_S
    pages: list[dict[str, Any]] = []
    while not pages:
        try:
            pages = list(
                fleet.query.get_paginator("query").paginate(
                    QueryString=text,
                    QueryInsights={"Mode": "ENABLED_WITH_RATE_CONTROL"},
                    PaginationConfig={"PageSize": 5},
                )
            )
        except fleet.query.exceptions.ThrottlingException:
            assert time.monotonic() < deadline_s
            time.sleep(0.1)
    assert len(pages) > 4
    assert all("QueryInsightsResponse" in page for page in pages if page["Rows"])
    assert {page["QueryInsightsResponse"]["OutputRows"] for page in pages if page["Rows"]} == {24}


def test_more_than_one_a_second_is_throttled(fleet: Table) -> None:
    mode = {"QueryInsights": {"Mode": "ENABLED_WITH_RATE_CONTROL"}}
    insights(fleet.query, "SELECT 1")
    code, status, _ = told(lambda: [fleet.query.query(QueryString="SELECT 1", **mode) for _ in range(30)])
    assert (code, status) == ("ThrottlingException", 429)
    assert "QueryInsightsResponse" not in fleet.query.query(QueryString="SELECT 1", QueryInsights={"Mode": "DISABLED"})
