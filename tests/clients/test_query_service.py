"""The query service beside the SQL: paging, cancelling, preparing, account settings, with stock boto3.

Source: query-api.md 1-4.
"""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from support.server import ServerProcess, serving
from support.stock import Table, record

SLOW = (
    "SELECT count(*) FROM UNNEST(sequence(1, 10000)) a(x), UNNEST(sequence(1, 10000)) b(y), "
    "UNNEST(sequence(1, 10000)) c(z) WHERE x * y % 7 = z % 5"
)
NUMBERS = "SELECT a, rpad('', {width}, 'x') FROM UNNEST(sequence(1, {count})) AS t(a)"


def code_of(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])


@pytest.mark.parametrize("page_rows", [1, 7, 99, 100, 101, 999, 1000])
def test_a_paginator_gives_every_row_once_in_order(query: Any, page_rows: int) -> None:
    count = 10 * page_rows if page_rows < 50 else 2_345
    found: list[dict[str, Any]] = []
    ids = set()
    pages = query.get_paginator("query").paginate(
        QueryString=NUMBERS.format(width=10, count=count) + " ORDER BY a", PaginationConfig={"PageSize": page_rows}
    )
    for page in pages:
        assert len(page["Rows"]) <= page_rows
        assert [column["Name"] for column in page["ColumnInfo"]] == ["a", "_col1"]
        ids.add(page["QueryId"])
        found += page["Rows"]
    assert [int(row["Data"][0]["ScalarValue"]) for row in found] == list(range(1, count + 1))
    assert len(ids) == 1


def test_without_max_rows_a_page_holds_up_to_a_megabyte(query: Any) -> None:
    sizes = []
    for page in query.get_paginator("query").paginate(QueryString=NUMBERS.format(width=2_000, count=3_000)):
        sizes.append(len(page["Rows"]))
    assert sum(sizes) == 3_000
    assert len(sizes) > 6
    assert max(sizes) <= 500


def test_a_token_has_five_uses_and_ends_with_a_newer_one(query: Any) -> None:
    text = NUMBERS.format(width=1, count=100)
    token = query.query(QueryString=text, MaxRows=10)["NextToken"]
    answers = [query.query(QueryString=text, MaxRows=10, NextToken=token) for _ in range(5)]
    assert all(answer["Rows"] == answers[0]["Rows"] for answer in answers)
    with pytest.raises(query.exceptions.ValidationException, match="Invalid pagination token"):
        query.query(QueryString=text, MaxRows=10, NextToken=token)
    second = query.query(QueryString=text, MaxRows=10, NextToken=answers[0]["NextToken"])
    with pytest.raises(query.exceptions.ValidationException, match="Invalid pagination token"):
        query.query(QueryString=text.lower(), NextToken=second["NextToken"])
    query.query(QueryString=text, MaxRows=10, NextToken=second["NextToken"])
    with pytest.raises(query.exceptions.ValidationException, match="Invalid pagination token"):
        query.query(QueryString=text, MaxRows=10, NextToken=answers[0]["NextToken"])


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_pages_go_on_after_a_restart(tmp_path: Path, end: signal.Signals) -> None:
    text = NUMBERS.format(width=300, count=9_000) + " ORDER BY a"
    with serving(tmp_path) as server:
        client = server.client("timestream-query")
        first = client.query(QueryString=text)
        if end == signal.SIGTERM:
            assert server.stop() == 0
        else:
            server.kill()
        server.start()
        client = server.client("timestream-query")
        found, token = first["Rows"], first["NextToken"]
        while token:
            answer = client.query(QueryString=text, NextToken=token)
            found, token = found + answer["Rows"], answer.get("NextToken")
    assert [int(row["Data"][0]["ScalarValue"]) for row in found] == list(range(1, 9_001))


def test_a_running_query_is_cancelled_and_its_caller_told(server: ServerProcess, query: Any) -> None:
    outcome: list[ClientError] = []
    before = set(logged(server, "query began"))

    def call() -> None:
        try:
            server.client("timestream-query").query(QueryString=SLOW)
        except ClientError as error:
            outcome.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    query_id = wait_for_query(server, before)
    began_s = time.monotonic()
    first = query.cancel_query(QueryId=query_id)["CancellationMessage"]
    thread.join(10)
    assert time.monotonic() - began_s < 1.5
    assert (code_of(outcome[0]), "cancelled" in first) == ("ConflictException", True)
    assert "already been cancelled" in query.cancel_query(QueryId=query_id)["CancellationMessage"]


def test_only_running_queries_can_be_cancelled(query: Any) -> None:
    ended = query.query(QueryString="SELECT 1")["QueryId"]
    for query_id in (ended, "A" * 63):
        with pytest.raises(query.exceptions.ValidationException):
            query.cancel_query(QueryId=query_id)
    with pytest.raises(query.exceptions.ValidationException, match="regular expression pattern"):
        query.cancel_query(QueryId="no-hyphens")


def test_a_client_that_hangs_up_ends_its_query(server: ServerProcess) -> None:
    before = set(logged(server, "query began"))
    with socket.create_connection((server.host, server.port)) as connection:
        connection.sendall(server.signed("Query", json.dumps({"QueryString": SLOW, "ClientToken": "c" * 32}).encode()))
        query_id = wait_for_query(server, before)
    ended_s = time.monotonic()
    while query_id not in logged(server, "query abandoned"):
        assert time.monotonic() - ended_s < 2.0
        time.sleep(0.02)


def test_prepare_tells_columns_and_parameters(table: Table) -> None:
    table.put(record("1.5"))
    text = (
        f'SELECT host, measure_value::double AS load, count(*) OVER () FROM "{table.database}"."{table.name}" '
        "WHERE host = @host AND time > @since"
    )
    answer = table.query.prepare_query(QueryString=text, ValidateOnly=True)
    assert answer["QueryString"] == text
    place = {"DatabaseName": table.database, "TableName": table.name}
    assert answer["Columns"] == [
        {"Name": "host", "Type": {"ScalarType": "VARCHAR"}, "Aliased": False, **place},
        {"Name": "load", "Type": {"ScalarType": "DOUBLE"}, "Aliased": True, **place},
        {"Name": "_col2", "Type": {"ScalarType": "BIGINT"}, "Aliased": False},
    ]
    assert answer["Parameters"] == [
        {"Name": "host", "Type": {"ScalarType": "VARCHAR"}},
        {"Name": "since", "Type": {"ScalarType": "TIMESTAMP"}},
    ]


def test_prepare_refuses_what_query_refuses(query: Any) -> None:
    with pytest.raises(query.exceptions.ValidationException, match="ValidateOnly"):
        query.prepare_query(QueryString="SELECT 1", ValidateOnly=False)
    with pytest.raises(query.exceptions.ValidationException, match="line 1:8"):
        query.prepare_query(QueryString="SELECT nope", ValidateOnly=True)


def test_account_settings_are_kept_and_checked(tmp_path: Path) -> None:
    topic, role = "arn:aws:sns:us-east-1:000000000000:t", "arn:aws:iam::000000000000:role/r"
    told_to = {"SnsConfiguration": {"TopicArn": topic}, "RoleArn": role}
    capacity = {"TargetQueryTCU": 8, "NotificationConfiguration": told_to}
    with serving(tmp_path) as server:
        client = server.client("timestream-query")
        found = members(client.describe_account_settings())
        assert found == {
            "MaxQueryTCU": 200,
            "QueryPricingModel": "COMPUTE_UNITS",
            "QueryCompute": {"ComputeMode": "ON_DEMAND"},
        }
        for wrong in (
            {"MaxQueryTCU": 6},
            {"MaxQueryTCU": 0},
            {"MaxQueryTCU": 1004},
            {"QueryPricingModel": "BYTES_SCANNED"},
            {"QueryCompute": {"ComputeMode": "PROVISIONED"}},
            {"QueryCompute": {"ComputeMode": "ON_DEMAND", "ProvisionedCapacity": capacity}},
        ):
            with pytest.raises(client.exceptions.ValidationException):
                client.update_account_settings(**wrong)
        client.update_account_settings(
            MaxQueryTCU=40,
            QueryPricingModel="COMPUTE_UNITS",
            QueryCompute={"ComputeMode": "PROVISIONED", "ProvisionedCapacity": capacity},
        )
        server.kill()
        server.start()
        assert members(server.client("timestream-query").describe_account_settings()) == {
            "MaxQueryTCU": 40,
            "QueryPricingModel": "COMPUTE_UNITS",
            "QueryCompute": {
                "ComputeMode": "PROVISIONED",
                "ProvisionedCapacity": {
                    "ActiveQueryTCU": 8,
                    "NotificationConfiguration": told_to,
                    "LastUpdate": {"TargetQueryTCU": 8, "Status": "SUCCEEDED"},
                },
            },
        }


def members(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer without what boto3 adds."""
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def logged(server: ServerProcess, event: str) -> list[str]:
    """The queries that the server's log names with this event."""
    lines = [json.loads(line) for line in server.stderr.splitlines() if f'"{event}"' in line]
    return [line["query_id"] for line in lines if line["event"] == event]


def wait_for_query(server: ServerProcess, before: set[str]) -> str:
    """The id of the first query that was not among those `before`."""
    deadline_s = time.monotonic() + 10
    while not (new := [query_id for query_id in logged(server, "query began") if query_id not in before]):
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    return new[0]
