"""Query through stock boto3: types on the wire, pages, errors. Source: query-api.md 1, errors.md 2."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest

from support.stock import Table, dimensions, instant, record, rows, told


def scalars(answer: dict[str, Any]) -> list[tuple[str, str]]:
    """(name, scalar type) of each column."""
    return [(column["Name"], column["Type"]["ScalarType"]) for column in answer["ColumnInfo"]]


def test_an_answer_has_all_its_parts(table: Table) -> None:
    now_ms = time.time_ns() // 10**6
    table.put(record("1.25", Time=str(now_ms)), record("true", kind="BOOLEAN", measure="up", Time=str(now_ms)))
    answer = table.query.query(QueryString=f'SELECT * FROM "{table.database}"."{table.name}" ORDER BY measure_name')
    assert scalars(answer) == [
        ("host", "VARCHAR"),
        ("measure_name", "VARCHAR"),
        ("time", "TIMESTAMP"),
        ("measure_value::double", "DOUBLE"),
        ("measure_value::boolean", "BOOLEAN"),
    ]
    text = {"ScalarValue": instant(now_ms * 10**6)}
    null = {"NullValue": True}
    assert [row["Data"] for row in answer["Rows"]] == [
        [{"ScalarValue": "a"}, {"ScalarValue": "load"}, text, {"ScalarValue": "1.25"}, null],
        [{"ScalarValue": "a"}, {"ScalarValue": "up"}, text, null, {"ScalarValue": "true"}],
    ]
    assert "NextToken" not in answer
    assert answer["QueryId"].isalnum()
    status = answer["QueryStatus"]
    assert status["ProgressPercentage"] == 100.0
    assert status["CumulativeBytesMetered"] >= status["CumulativeBytesScanned"] >= 0


def test_no_rows_still_have_columns(table: Table) -> None:
    table.put(record("1"))
    answer = table.query.query(
        QueryString=f'SELECT host, time FROM "{table.database}"."{table.name}" WHERE host = \'none\''
    )
    assert scalars(answer) == [("host", "VARCHAR"), ("time", "TIMESTAMP")]
    assert answer["Rows"] == []
    assert "NextToken" not in answer


def test_nested_values(table: Table) -> None:
    base_s = time.time_ns() // 10**9
    table.put(*[record(str(n), Time=str(base_s + n), TimeUnit="SECONDS") for n in range(3)])
    (row,) = table.query.query(
        QueryString="SELECT CREATE_TIME_SERIES(time, measure_value::double) AS series, ARRAY[1, NULL, 3] AS numbers "
        f'FROM "{table.database}"."{table.name}"'
    )["Rows"]
    series, numbers = row["Data"]
    assert series["TimeSeriesValue"] == [
        {"Time": instant((base_s + n) * 10**9), "Value": {"ScalarValue": f"{n}.0"}} for n in range(3)
    ]
    assert numbers["ArrayValue"] == [{"ScalarValue": "1"}, {"NullValue": True}, {"ScalarValue": "3"}]


@pytest.fixture(scope="module")
def numbered(write: Any, query: Any) -> Table:
    """1,000 records, valued 0 to 999."""
    write.create_database(DatabaseName="numbered")
    write.create_table(DatabaseName="numbered", TableName="records")
    table = Table(write, query, "numbered", "records")
    base_ns = time.time_ns()
    for first in range(0, 1_000, 100):
        table.put(
            *[
                record(str(n), kind="BIGINT", Time=str(base_ns + n), TimeUnit="NANOSECONDS")
                for n in range(first, first + 100)
            ]
        )
    return table


@pytest.mark.parametrize("size", [1, 7, 333, 500, 999, 1_000])
def test_pages_of_any_size_hold_every_row_once(numbered: Table, size: int) -> None:
    text = "SELECT measure_value::bigint AS n FROM numbered.records ORDER BY n"
    limit = 50 if size == 1 else 1_000
    pages = list(
        numbered.query.get_paginator("query").paginate(
            QueryString=f"{text} LIMIT {limit}", PaginationConfig={"PageSize": size}
        )
    )
    values = [int(row["Data"][0]["ScalarValue"]) for page in pages for row in page["Rows"]]
    assert values == list(range(limit))
    assert all(len(page["Rows"]) <= size for page in pages)
    assert {page["QueryId"] for page in pages} == {pages[0]["QueryId"]}
    assert all(scalars(page) == [("n", "BIGINT")] for page in pages)
    # The service sends no rows at once when there are as many as MaxRows.
    assert pages[0]["Rows"] == []


def test_fewer_rows_than_asked_for_come_at_once(numbered: Table) -> None:
    text = "SELECT measure_value::bigint AS n FROM numbered.records ORDER BY n LIMIT 7"
    answer = numbered.query.query(QueryString=text, MaxRows=8)
    assert len(answer["Rows"]) == 7
    assert "NextToken" not in answer


def test_a_result_over_a_page_comes_in_pages_of_a_megabyte(numbered: Table) -> None:
    text = "SELECT a.measure_value::bigint AS n, rpad('x', 1000, 'y') AS pad FROM numbered.records a CROSS JOIN "
    text += "(SELECT 1 AS one UNION ALL SELECT 2 UNION ALL SELECT 3) b"
    pages = list(numbered.query.get_paginator("query").paginate(QueryString=text))
    assert len(pages) >= 3
    assert all(sum(len(row["Data"][1]["ScalarValue"]) for row in page["Rows"]) <= 2**20 for page in pages)
    values = sorted(int(row["Data"][0]["ScalarValue"]) for page in pages for row in page["Rows"])
    assert values == sorted([*range(1_000)] * 3)


def test_a_page_is_of_the_moment_of_its_query(numbered: Table) -> None:
    text = "SELECT count(*) AS n FROM numbered.records UNION ALL SELECT 0 UNION ALL SELECT 0"
    first = numbered.query.query(QueryString=text, MaxRows=1)
    numbered.put(record("5000", kind="BIGINT", Dimensions=dimensions(host="later"), Time=str(time.time_ns() // 10**6)))
    found = []
    token = first["NextToken"]
    while token:
        page = numbered.query.query(QueryString=text, MaxRows=1, NextToken=token)
        found += [row["Data"][0]["ScalarValue"] for row in page["Rows"]]
        token = page.get("NextToken")
    assert sorted(found) == ["0", "0", "1000"]


def test_a_token_is_bound_to_its_text(numbered: Table) -> None:
    text = "SELECT measure_value::bigint FROM numbered.records"
    token = numbered.query.query(QueryString=text, MaxRows=3)["NextToken"]
    for wrong in (
        {"QueryString": f"{text} ", "NextToken": token},
        {"QueryString": text, "NextToken": token[:-2]},
        {"QueryString": text, "NextToken": "AYABe"},
    ):
        assert told(lambda wrong=wrong: numbered.query.query(**wrong)) == (
            "ValidationException",
            400,
            "Invalid pagination token",
        )


def test_a_client_token_is_one_run(numbered: Table) -> None:
    call = {"QueryString": "SELECT count(*) FROM numbered.records", "ClientToken": str(uuid.uuid4())}
    first, again = (numbered.query.query(**call) for _ in range(2))
    assert first["QueryId"] == again["QueryId"]
    other = numbered.query.query(**{**call, "ClientToken": str(uuid.uuid4())})
    assert other["QueryId"] != first["QueryId"]
    code, _, _ = told(lambda: numbered.query.query(**{**call, "QueryString": "SELECT 1"}))
    assert code == "ValidationException"


def test_what_there_is_can_be_asked_in_sql(table: Table) -> None:
    table.put(record("1"))
    assert (table.database,) in rows(table.query, "SHOW DATABASES")
    assert rows(table.query, f'SHOW TABLES FROM "{table.database}"') == [(table.name,)]
    described = rows(table.query, f'DESCRIBE "{table.database}"."{table.name}"')
    assert ("host", "varchar", "DIMENSION") in described
    measures = table.query.query(QueryString=f'SHOW MEASURES FROM "{table.database}"."{table.name}"')["Rows"]
    assert [datum.get("ScalarValue") for datum in measures[0]["Data"][:2]] == ["load", "double"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SELECT nope FROM numbered.records", "line 1:8: Column 'nope' does not exist"),
        (
            "SELECT 1\n  FROM nowhere.records",
            "Requested database 'nowhere' not found for identifier 'nowhere.records' at line 2:8",
        ),
    ],
)
def test_known_texts_of_errors(numbered: Table, text: str, message: str) -> None:
    assert told(lambda: numbered.query.query(QueryString=text)) == ("ValidationException", 400, message)


@pytest.mark.parametrize(
    "text",
    [
        "SELEC 1",
        "SELECT 'never closed",
        'SELECT "never closed',
        "SELECT 1 /* never closed",
        "SELECT 1; SELECT 2",
        "SELECT * FROM numbered.nothing",
        "SELECT no_such_function(1)",
        "SELECT 1 + 'text'",
        "SELECT measure_value::bigint FROM numbered.records GROUP BY time",
        "DROP TABLE numbered.records",
        "SELECT * FROM read_csv('/etc/passwd')",
        "PRAGMA version",
        "",
    ],
)
def test_what_is_no_query_is_a_validation_exception(numbered: Table, text: str) -> None:
    call = {"QueryString": text or " "}
    code, status, message = told(lambda: numbered.query.query(**call))
    assert (code, status) == ("ValidationException", 400)
    assert "line 1:" in message
    assert "duckdb" not in message.lower()


def test_what_fails_while_running_is_another_exception(numbered: Table) -> None:
    code, status, message = told(
        lambda: numbered.query.query(QueryString="SELECT 1 / (measure_value::bigint - 5) FROM numbered.records")
    )
    assert (code, status) == ("QueryExecutionException", 400)
    assert "Division by zero" in message
