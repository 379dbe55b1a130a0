"""Connections: order, limits, slow and broken clients. Every bad input gets an answer, and the server stays."""

from __future__ import annotations

import random
import select
import socket
import time

import pytest

from headwater.server.http import HttpLimits
from support.serving import TIMEOUT_S, make_instance, running

HEALTH = b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n"
READY = b"GET /ready HTTP/1.1\r\nHost: h\r\n\r\n"


def exchange(server, data):
    with server.connect() as client:
        client.send(data)
        return client.answer()


def answering(client):
    """Whether the first bytes of an answer are there; takes none of them."""
    return select.select([client.socket], [], [], 0)[0] != []


def live(server):
    return len(server.server._connections.live)


def assert_alive(server):
    assert exchange(server, HEALTH).status == 200


def test_probes_need_no_signature(server):
    assert exchange(server, HEALTH).json == {"status": "alive"}
    assert exchange(server, READY).json == {"status": "ready"}
    assert exchange(server, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").status == 404


def test_head_has_no_body(server):
    with server.connect() as client:
        client.send(HEALTH.replace(b"GET", b"HEAD") + HEALTH)
        assert client.answer().body == b""
        assert client.answer().json == {"status": "alive"}


def test_headers_of_an_answer(server):
    answer = exchange(server, HEALTH)
    assert answer.headers["content-type"] == "application/x-amz-json-1.0"
    assert answer.headers["date"] == "Tue, 14 Nov 2023 22:13:20 GMT"
    assert len(answer.headers["x-amzn-requestid"]) == 26
    assert set(answer.headers["x-amzn-requestid"]) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
    assert "connection" not in answer.headers


def test_pipelined_requests_are_answered_in_order_although_a_later_one_is_faster(server):
    with server.connect() as client:
        client.send(server.request("Query", {"QueryString": "WAIT"}) + HEALTH * 50 + READY)
        assert server.instance.queries.waiting.acquire(timeout=TIMEOUT_S)
        server.instance.queries.gate.set()
        assert "QueryId" in client.answer().json
        assert [client.answer().json["status"] for _ in range(51)] == ["alive"] * 50 + ["ready"]


def test_a_large_pipeline_of_writes_comes_back_whole(server):
    server.instance.catalog.create_database("db1", None)
    server.instance.catalog.create_table("db1", "tb1", None, None, None)
    one = server.request("WriteRecords", {"DatabaseName": "db1", "TableName": "tb1", "Records": [{"MeasureName": "m"}]})
    with server.connect() as client:
        client.send(one * 300)
        for _ in range(300):
            assert client.answer().json == {"RecordsIngested": {"Total": 1, "MemoryStore": 1, "MagneticStore": 0}}


def test_a_request_may_come_byte_by_byte(server):
    with server.connect() as client:
        for byte in server.request("DescribeEndpoints", {}):
            client.send(bytes([byte]))
        assert client.answer().status == 200


def test_the_answer_to_the_last_request_ends_the_connection(server):
    for request in (
        HEALTH.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        HEALTH.replace(b"HTTP/1.1", b"HTTP/1.0"),
        HEALTH.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + HEALTH,
    ):
        with server.connect() as client:
            client.send(request)
            assert client.answer().headers["connection"] == "close"
            assert client.is_closed()


def test_a_client_may_end_its_side_and_still_read(server):
    with server.connect() as client:
        client.send(server.request("Query", {"QueryString": "WAIT"}))
        client.socket.shutdown(socket.SHUT_WR)
        assert server.instance.queries.waiting.acquire(timeout=TIMEOUT_S)
        server.instance.queries.gate.set()
        assert client.answer().status == 200
        assert client.is_closed()


def test_a_client_that_vanishes_hurts_nobody(server):
    with server.connect() as client:
        client.send(server.request("Query", {"QueryString": "WAIT"}))
        assert server.instance.queries.waiting.acquire(timeout=TIMEOUT_S)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    server.instance.queries.gate.set()
    assert_alive(server)


def test_expect_100_continue(server):
    request = server.request("DescribeEndpoints", {}, more="Expect: 100-continue\r\n")
    head, body = request[:-2], request[-2:]
    with server.connect() as client:
        client.send(head)
        assert client.socket.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(body)
        assert client.answer().status == 200


SERIALIZATION = "com.amazon.coral.service#SerializationException"
VALIDATION = "com.amazonaws.timestream.v20181101#ValidationException"
POST = b"POST / HTTP/1.1\r\nHost: h\r\n"
LIMIT = 4 * 1024 * 1024


@pytest.mark.parametrize(
    ("data", "status", "name", "words"),
    [
        (POST + b"\r\n", 411, VALIDATION, "Content-Length is required"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 411, VALIDATION, "Content-Length"),
        (POST + b"Content-Length: 2\r\nContent-Encoding: gzip\r\n\r\n{}", 415, VALIDATION, "Content-Encoding"),
        (POST + b"Content-Length: %d\r\n\r\n" % (LIMIT + 1), 413, VALIDATION, f"limit of {LIMIT} bytes"),
        (POST + b"Content-Length: 9999999999999999999\r\n\r\n", 413, VALIDATION, "limit"),
        (POST + b"Content-Length: 99999999999999999999999\r\n\r\n", 400, SERIALIZATION, "Content-Length"),
        (POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400, SERIALIZATION, "Content-Length"),
        (POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", 400, SERIALIZATION, "Content-Length"),
        (POST + b"Content-Length: -1\r\n\r\n", 400, SERIALIZATION, "Content-Length"),
        (POST + b"Content-Length: 0x2\r\n\r\n{}", 400, SERIALIZATION, "Content-Length"),
        (POST + b"A: " + b"x" * 17_000 + b"\r\n\r\n", 431, VALIDATION, "16384 bytes"),
        (POST + b"A: " + b"x" * 600_000, 431, VALIDATION, "16384 bytes"),
        (POST + b"A" * 600_000, 431, VALIDATION, "16384 bytes"),
        (b"GET /" + b"x" * 17_000 + b" HTTP/1.1\r\n\r\n", 431, VALIDATION, "16384 bytes"),
        (POST + b"A: b\r\n" * 100 + b"\r\n", 431, VALIDATION, "100 lines"),
        (POST + b"A: b\r\n c\r\n\r\n", 400, SERIALIZATION, "HTTP"),
        (POST + b"A : b\r\n\r\n", 400, SERIALIZATION, "HTTP"),
        (POST + b"A: b\0c\r\n\r\n", 400, SERIALIZATION, "HTTP"),
        (POST.replace(b"\r\n", b"\n") + b"\n", 400, SERIALIZATION, "HTTP"),
        (b"GET /\r\n\r\n", 400, SERIALIZATION, "HTTP/1.1"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, SERIALIZATION, "HTTP"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, SERIALIZATION, "HTTP"),
        (b"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", 400, SERIALIZATION, "upgraded"),
        (POST + b"Content-Length: 0\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", 400, SERIALIZATION, "upgraded"),
    ],
)
def test_what_is_refused_before_it_is_a_request(server, data, status, name, words):
    with server.connect() as client:
        client.send(data)
        answer = client.answer()
        assert (answer.status, answer.json["__type"]) == (status, name)
        assert words in answer.json["message"]
        assert answer.headers["connection"] == "close"
        assert client.is_closed()
    assert_alive(server)


def test_requests_before_a_broken_one_are_answered_first(server):
    with server.connect() as client:
        client.send(HEALTH + HEALTH + b"nonsense\r\n\r\n" + HEALTH)
        assert [client.answer().status for _ in range(3)] == [200, 200, 400]
        assert client.is_closed()


def test_a_client_that_goes_on_sending_too_much_gets_its_answer(server):
    with server.connect() as client:
        client.send(POST + b"Content-Length: 30000000\r\n\r\n")
        for _ in range(100):
            client.send(b"x" * 65_536)
        assert client.answer().status == 413


@pytest.mark.parametrize(
    "data",
    [POST, POST + b"Content-Length: 5\r\n\r\n{}", b"G"],
    ids=["head", "body", "first byte"],
)
def test_a_slow_request_times_out(hasty_server, data):
    with hasty_server.connect() as client:
        client.send(data)
        answer = client.answer()
        assert (answer.status, answer.json["__type"]) == (408, VALIDATION)
        assert client.is_closed()


def test_drops_of_a_slow_head_do_not_extend_its_time(hasty_server):
    with hasty_server.connect() as client:
        client.socket.settimeout(0.05)
        client.send(b"POST / HTTP/1.1\r\n")
        answer = None
        for _ in range(200):
            client.send(b"A: b\r\n")
            try:
                answer = client.answer()
                break
            except TimeoutError:
                continue
        assert answer is not None
        assert answer.status == 408


def test_an_idle_connection_is_closed_without_a_word(hasty_server):
    with hasty_server.connect() as client:
        client.send(HEALTH)
        client.answer()
        assert client.is_closed()


def test_a_long_query_is_not_slow_sending(hasty_server):
    with hasty_server.connect() as client, hasty_server.connect() as idle:
        client.send(hasty_server.request("Query", {"QueryString": "WAIT"}))
        assert idle.is_closed()
        hasty_server.instance.queries.gate.set()
        assert client.answer().status == 200


def test_a_request_that_ends_early(server):
    with server.connect() as client:
        client.send(server.request("DescribeEndpoints", {})[:-1])
        client.socket.shutdown(socket.SHUT_WR)
        assert client.answer().status == 400
        assert client.is_closed()


def test_a_client_that_does_not_read_is_cut_off(tmp_path):
    limits = HttpLimits(answer_s=0.2, sweep_interval_s=0.02)
    with running(make_instance(tmp_path), limits) as server, server.connect() as client:
        client.send(server.request("Query", {"QueryString": "BIG"}))
        end_s = time.monotonic() + TIMEOUT_S
        while not answering(client) or live(server):
            assert time.monotonic() < end_s
            time.sleep(0.01)
        with pytest.raises((EOFError, ConnectionResetError)):
            client.answer()
        assert_alive(server)


def test_a_large_answer_to_a_slow_reader_comes_whole(server):
    with server.connect() as client:
        client.send(server.request("Query", {"QueryString": "BIG"}) + HEALTH)
        answer = client.answer()
        assert len(answer.body) > 20_000_000
        assert client.answer().json == {"status": "alive"}


def test_connections_beyond_the_cap_are_told_so(tmp_path):
    limits = HttpLimits(connections=2)
    with running(make_instance(tmp_path), limits) as server:
        with server.connect() as first, server.connect() as second:
            for client in (first, second):
                client.send(HEALTH)
                assert client.answer().status == 200
            with server.connect() as third:
                answer = third.answer()
                assert answer.status == 429
                assert answer.json["__type"].endswith("#ThrottlingException")
                assert third.is_closed()
            first.send(HEALTH)
            assert first.answer().status == 200
        with server.connect() as later:
            later.send(HEALTH)
            assert later.answer().status in (200, 429)


def test_connections_of_one_address_have_a_cap_of_their_own(tmp_path):
    limits = HttpLimits(connections_per_address=1)
    with running(make_instance(tmp_path), limits) as server, server.connect() as first:
        first.send(HEALTH)
        assert first.answer().status == 200
        with server.connect() as second:
            assert second.answer().status == 429


@pytest.mark.parametrize("insecure_dev", ["false", "true"])
def test_thousands_of_changed_requests_bring_no_5xx_and_no_silence(tmp_path, insecure_dev):
    """Whole connections, each with a few changes to valid requests; every one is answered or closed."""
    with running(make_instance(tmp_path, insecure_dev=insecure_dev)) as server:
        send_changed_requests(server)


def send_changed_requests(server):
    random_ = random.Random(7)
    valid = [
        HEALTH,
        server.request("DescribeEndpoints", {}),
        server.request("ListDatabases", {"MaxResults": 1}),
        server.request("WriteRecords", {"DatabaseName": "d", "TableName": "t", "Records": [{"MeasureName": "m"}]}),
        server.request("Query", {"QueryString": "SELECT 1"}),
        server.request("CreateTable", {"DatabaseName": "d", "TableName": "t"}),
    ]
    seen = set()
    for _ in range(1_500):
        data = b"".join(random_.choices(valid, k=random_.randint(1, 2)))
        for _ in range(random_.randint(1, 3)):
            data = changed(random_, data)
        with server.connect() as client:
            client.send(data)
            client.socket.shutdown(socket.SHUT_WR)
            for status in statuses(client):
                assert status < 500, data
                seen.add(status)
    assert {200, 400, 404, 411} <= seen
    assert_alive(server)


def statuses(client):
    while True:
        try:
            yield client.answer().status
        except (EOFError, ConnectionResetError):
            return


def changed(random_, data):
    at = random_.randrange(len(data) or 1)
    other = random_.randrange(len(data) or 1)
    match random_.randrange(6):
        case 0:
            return data[:at] + bytes([random_.randrange(256)]) + data[at + 1 :]
        case 1:
            return data[:at] + data[at + 1 :]
        case 2:
            return data[:at]
        case 3:
            return data[:at] + random_.choice([b"\r\n", b"\n", b":", b"\0", b"\xff", b" ", b'"', b"{"]) + data[at:]
        case 4:
            return data[: min(at, other)] + data[max(at, other) :]
        case _:
            return data[:at] + data[min(at, other) : max(at, other)] + data[at:]
