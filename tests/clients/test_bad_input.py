"""What a client, an operator or an old disk may do wrong: a clear answer, no traceback, nothing lost.

The list is that of issue 2. Requests that a stock client would not send go through a plain socket.
"""

from __future__ import annotations

import json
import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.server import NotStarted, ServerProcess, serving
from support.serving import Answer, Client
from support.stock import Table, dimensions, record, told

BODY_LIMIT_BYTES = 4 * 1024 * 1024


def ask(server: ServerProcess, request: bytes) -> Answer:
    """The answer to bytes, over a connection of its own."""
    with connected(server) as client:
        client.send(request)
        return client.answer()


def connected(server: ServerProcess) -> Client:
    return Client(socket.create_connection((server.host, server.port), 20))


def refused(answer: Answer, status: int, name: str) -> str:
    """The message of an answer that must be this fault, in the service's form."""
    assert (answer.status, answer.json["__type"].partition("#")[2]) == (status, name)
    assert answer.json["message"] == answer.json["Message"]
    assert answer.headers["content-type"] == "application/x-amz-json-1.0"
    assert len(answer.headers["x-amzn-requestid"]) == 26
    assert b"Traceback" not in answer.body
    return str(answer.json["message"])


@pytest.fixture(autouse=True)
def server_is_sound(server: ServerProcess, table: Table) -> Iterator[None]:
    """Whatever a test sends, what was stored before is there behind it, and the log has no stack of a bug."""
    table.put(record("1", Dimensions=dimensions(host="before")))
    yield
    assert table.count() >= 1
    assert "Traceback" not in server.stderr


def write_request(table: Table, records: list[dict[str, Any]]) -> bytes:
    return json.dumps({"DatabaseName": table.database, "TableName": table.name, "Records": records}).encode()


def test_a_body_over_the_limit(server: ServerProcess, table: Table) -> None:
    body = write_request(table, [record("1")]).ljust(BODY_LIMIT_BYTES + 1)
    text = refused(ask(server, server.signed("WriteRecords", body)), 413, "ValidationException")
    assert str(BODY_LIMIT_BYTES) in text
    assert table.count() == 1


def test_a_body_of_just_the_limit(server: ServerProcess, table: Table) -> None:
    body = write_request(table, [record("1")]).ljust(BODY_LIMIT_BYTES)
    assert ask(server, server.signed("WriteRecords", body)).status == 200
    assert table.count() == 2


@pytest.mark.parametrize("cut", [1, 2, 20, 60, 150])
def test_truncated_json(server: ServerProcess, table: Table, cut: int) -> None:
    body = write_request(table, [record("1")])[:-cut]
    refused(ask(server, server.signed("WriteRecords", body)), 400, "SerializationException")
    assert table.count() == 1


def test_a_body_that_is_cut_off(server: ServerProcess, table: Table) -> None:
    """The client vanishes in the middle of its request: nothing of it is done."""
    request = server.signed("WriteRecords", write_request(table, [record("1")]))
    with connected(server) as client:
        client.send(request[:-10])
    assert table.count() == 1


def test_a_bad_value_among_99_good_ones(server: ServerProcess, table: Table) -> None:
    base_ns = time.time_ns()
    records = [record("1", Time=str(base_ns + n), TimeUnit="NANOSECONDS") for n in range(100)]
    records[42]["MeasureValue"] = "one"
    answer = ask(server, server.signed("WriteRecords", write_request(table, records)))
    assert refused(answer, 400, "ValidationException") == "Invalid value one for double measure value type."
    assert table.count() == 1


def test_an_old_record_among_99_good_ones(table: Table) -> None:
    base_ns = time.time_ns()
    records = [record("1", Time=str(base_ns + n), TimeUnit="NANOSECONDS") for n in range(100)]
    records[42]["Time"] = "1"
    with pytest.raises(table.write.exceptions.RejectedRecordsException) as caught:
        table.put(*records)
    assert [rejected["RecordIndex"] for rejected in caught.value.response["RejectedRecords"]] == [42]
    assert table.count() == 100


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("SELECT 'never closed", "1:8"),
        ("SELECT *\nFROM x.y WHERE host = 'it''s open AND 1 = 1", "2:23"),
        ('SELECT "open', "1:8"),
    ],
)
def test_an_unclosed_string_in_sql(query: Any, text: str, place: str) -> None:
    assert told(lambda: query.query(QueryString=text)) == (
        "ValidationException",
        400,
        f"The query syntax is invalid at line {place}",
    )


@pytest.mark.parametrize(
    "text",
    [
        f"SELECT {'(' * 300}1{')' * 300}",
        f"SELECT {'NOT ' * 300}true",
        f"SELECT {'- ' * 300}1",
        f"{'SELECT * FROM (' * 300}SELECT 1{')' * 300}",
        f"SELECT {'abs(' * 300}1{')' * 300}",
        f"SELECT {'CASE WHEN true THEN ' * 300}1{' END' * 300}",
        f"SELECT {'ARRAY[' * 300}1{']' * 300}",
    ],
)
def test_a_nesting_of_300_in_sql(query: Any, text: str) -> None:
    code, status, message = told(lambda: query.query(QueryString=text))
    assert (code, status) == ("ValidationException", 400)
    assert "nest" in message


def test_a_nesting_of_300_in_json(server: ServerProcess) -> None:
    for body in (b"[" * 300 + b"]" * 300, b'{"DatabaseName":' * 300 + b"1" + b"}" * 300):
        for operation in ("WriteRecords", "Query", "CreateDatabase"):
            refused(ask(server, server.signed(operation, body)), 400, "SerializationException")


def test_a_column_that_differs_only_in_case(table: Table) -> None:
    now_ms = str(time.time_ns() // 10**6)
    table.put(record("2", Dimensions=dimensions(Host="after"), Time=now_ms))
    assert table.select('host, "Host"', "ORDER BY measure_value::double") == [("before", None), (None, "after")]
    # A third spelling means neither.
    assert told(lambda: table.select("HOST")) == ("ValidationException", 400, "line 1:8: Column 'HOST' does not exist")


def test_a_wrong_secret(server: ServerProcess, table: Table) -> None:
    request = server.signed("WriteRecords", write_request(table, [record("1")]))
    request = request.replace(b'"1"', b'"2"')
    refused(ask(server, request), 400, "InvalidSignatureException")
    assert table.count() == 1


def test_an_unknown_target(server: ServerProcess) -> None:
    answer = ask(server, server.signed("DropEverything", b"{}"))
    assert (answer.status, answer.json) == (404, {"__type": "com.amazon.coral.service#UnknownOperationException"})


def lines(text: str) -> list[str]:
    """What a process said, without its log."""
    return [line for line in text.splitlines() if not line.startswith("{")]


def test_a_second_server_on_the_same_folder(tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    with serving(tmp_path) as first:
        with pytest.raises(NotStarted) as caught:
            ServerProcess(tmp_path / "second", data=first.data).start()
        assert caught.value.status == 1
        (line,) = lines(caught.value.stderr)
        assert line.startswith("headwater: Another process is using the data folder")
        assert first.client("timestream-write").list_databases()["Databases"] == []


def test_a_data_folder_of_a_newer_format(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.client("timestream-write").create_database(DatabaseName="kept")
    catalog = server.data / "catalog.sqlite"
    set_format(catalog, 9)
    before = {path: path.read_bytes() for path in server.data.rglob("*") if path.is_file()}
    newer = ServerProcess(tmp_path)
    with pytest.raises(NotStarted) as caught:
        newer.start()
    assert caught.value.status == 1
    (line,) = lines(caught.value.stderr)
    assert "format version 9" in line
    # Nothing was touched, and the release that knows the format finds everything.
    assert {path: path.read_bytes() for path in server.data.rglob("*") if path.is_file()} == before
    set_format(catalog, 1)
    with serving(tmp_path) as again:
        databases = again.client("timestream-write").list_databases()["Databases"]
        assert [database["DatabaseName"] for database in databases] == ["kept"]


def set_format(catalog: Path, version: int) -> None:
    connection = sqlite3.connect(catalog)
    connection.execute("UPDATE format SET version = ?", (version,))
    connection.commit()
    connection.close()
