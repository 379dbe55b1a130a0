"""The server as a whole: what happens inside stays inside, queries do not hold up writes, and how it stops."""

from __future__ import annotations

import gc
import json
import signal
import socket
import ssl
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from headwater.server.app import Server
from headwater.server.http import HttpRequest
from support.serving import KEY, SECRET, TIMEOUT_S, Client, make_instance, running

HEALTH = b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n"
READY = b"GET /ready HTTP/1.1\r\nHost: h\r\n\r\n"
WRITE = {"DatabaseName": "db1", "TableName": "tb1", "Records": [{"MeasureName": "m"}]}


@pytest.fixture
def table(server):
    server.instance.catalog.create_database("db1", None)
    server.instance.catalog.create_table("db1", "tb1", None, None, None)
    return server


def test_a_bug_is_a_500_with_a_request_id_and_the_log_has_the_rest(server):
    with structlog.testing.capture_logs() as lines, server.connect() as client:
        client.send(server.request("Query", {"QueryString": "BUG"}))
        answer = client.answer()
    request_id = answer.headers["x-amzn-requestid"]
    text = f"The request could not be completed. Request id: {request_id}"
    assert answer.status == 500
    assert answer.json == {
        "__type": "com.amazonaws.timestream.v20181101#InternalServerException",
        "message": text,
        "Message": text,
    }
    (line,) = [line for line in lines if line.get("request_id") == request_id]
    assert line["log_level"] == "error"
    assert line["operation"] == "Query"
    assert isinstance(line["exc_info"].__cause__, ZeroDivisionError)


def test_a_request_that_failed_is_not_kept_until_python_looks_for_garbage(server):
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            server.call("Query", {"QueryString": "SELECT 'private'"})
            server.call("Query", {"QueryString": "SELECT 1"}, secret="wrong")
        kept = sum(isinstance(one, HttpRequest) for one in gc.get_objects())
    finally:
        gc.enable()
    # Threads that wait for more may hold on to their last one.
    assert kept < 10


def test_a_request_is_one_line_of_log_without_text_body_or_signature(server):
    with structlog.testing.capture_logs() as lines:
        server.call("Query", {"QueryString": "SELECT 'private'"})
        server.call("private-operation", {})
        server.call("Query", {"QueryString": "SELECT 1"}, secret="wrong")
    requests = [line for line in lines if line["event"] == "request"]
    assert [(line["operation"], line["status"]) for line in requests] == [("Query", 400), ("", 404), ("Query", 400)]
    assert set(requests[0]) == {
        "event",
        "log_level",
        "request_id",
        "operation",
        "status",
        "fault",
        "duration_ms",
        "request_bytes",
        "response_bytes",
    }
    assert not any(word in json.dumps(lines) for word in ("private", "Signature=", KEY, SECRET))


def test_writes_do_not_wait_for_queries(table):
    with table.connect() as one, table.connect() as two:
        for client in (one, two):
            client.send(table.request("Query", {"QueryString": "WAIT"}))
            assert table.instance.queries.waiting.acquire(timeout=TIMEOUT_S)
        assert table.call("WriteRecords", WRITE)[0] == 200
        table.instance.queries.gate.set()
        assert [one.answer().status, two.answer().status] == [200, 200]


def test_a_write_is_answered_when_it_is_durable_and_not_before(table):
    table.instance.ingest.hold = True
    with table.connect() as writer, table.connect() as other:
        writer.send(table.request("WriteRecords", WRITE))
        for _ in range(20):
            other.send(HEALTH)
            other.answer()
        writer.socket.settimeout(0.1)
        with pytest.raises(TimeoutError):
            writer.answer()
        writer.socket.settimeout(TIMEOUT_S)
        table.instance.ingest.release()
        assert writer.answer().status == 200


def test_more_queries_than_may_wait_are_throttled(server):
    limit = server.instance.config.query.concurrency + 32
    clients = [server.connect() for _ in range(limit)]
    for client in clients:
        client.send(server.request("Query", {"QueryString": "WAIT"}))
    for _ in clients:
        assert server.instance.queries.waiting.acquire(timeout=TIMEOUT_S)
    status, body = server.call("Query", {"QueryString": "SELECT 1"})
    assert (status, body["__type"].rpartition("#")[2]) == (429, "ThrottlingException")
    server.instance.queries.gate.set()
    for client in clients:
        with client:
            assert client.answer().status == 200
    assert server.call("Query", {"QueryString": "SELECT 1"})[0] == 200


def test_more_waiting_bytes_than_the_limit_are_throttled(table):
    """Sixteen bodies of 4 MB wait; the seventeenth is one too many, and the same may be sent again later."""
    table.instance.ingest.hold = True
    large = table.request("WriteRecords", json.dumps({**WRITE, "Unknown": "x" * 4_000_000}).encode())
    clients = [table.connect() for _ in range(16)]
    for client in clients:
        client.send(large)
    for _ in clients:
        assert table.instance.ingest.arrived.acquire(timeout=TIMEOUT_S)
    with table.connect() as late:
        late.send(large)
        assert late.answer().status == 429
        table.instance.ingest.release()
        assert [client.answer().status for client in clients] == [200] * 16
        table.instance.ingest.hold = False
        late.send(large)
        assert late.answer().status == 200
    for client in clients:
        client.socket.close()


def test_a_server_that_takes_no_records_is_alive_and_not_ready_until_it_takes_them_again(server):
    with server.connect() as client:
        for reason in ("the disk is low", None, "the log has failed"):
            server.instance.refused_for = reason
            client.send(READY + HEALTH)
            ready, health = client.answer(), client.answer()
            if reason is None:
                assert (ready.status, ready.json) == (200, {"status": "ready"})
            else:
                assert (ready.status, ready.json) == (503, {"status": "not ready", "reason": reason})
            assert (health.status, health.json) == (200, {"status": "alive"})


def test_stopping_lets_running_requests_finish_and_takes_no_more(server):
    with server.connect() as busy, server.connect() as idle, server.connect() as sending:
        idle.send(HEALTH)
        idle.answer()
        busy.send(server.request("Query", {"QueryString": "WAIT"}) + READY)
        assert server.instance.queries.waiting.acquire(timeout=TIMEOUT_S)
        sending.send(server.request("DescribeEndpoints", {})[:-1])
        server.call("DescribeEndpoints", {})
        server.server.stop()
        assert idle.is_closed()
        sending.send(b"}")
        assert sending.answer().headers["connection"] == "close"
        with pytest.raises(ConnectionRefusedError):
            server.connect()
        server.instance.queries.gate.set()
        assert busy.answer().status == 200
        last = busy.answer()
        assert (last.status, last.json) == (503, {"status": "stopping"})
        assert last.headers["connection"] == "close"
        assert busy.is_closed()
    server.thread.join(TIMEOUT_S)
    assert not server.thread.is_alive()


def test_a_second_stop_ends_at_once(server):
    with server.connect() as busy:
        busy.send(server.request("Query", {"QueryString": "WAIT"}))
        assert server.instance.queries.waiting.acquire(timeout=TIMEOUT_S)
        server.server.stop()
        server.server.stop()
        server.thread.join(TIMEOUT_S)
        assert not server.thread.is_alive()
        assert busy.is_closed()
    server.instance.queries.gate.set()


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from support.serving import make_instance
from headwater.server.app import serve
serve(make_instance(Path(sys.argv[1])), on_ready=lambda host, port: print(host, port, flush=True))
print("served", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_process_cleanly(tmp_path, number):
    tests = str(Path(__file__).parents[2])
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path), tests], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        lines = iter(process.stdout.readline, "")
        address = next(line for line in lines if line.startswith("127.0.0.1 ")).split()
        with Client(socket.create_connection((address[0], int(address[1])), TIMEOUT_S)) as client:
            client.send(HEALTH)
            assert client.answer().status == 200
        process.send_signal(number)
        out, err = process.communicate(timeout=TIMEOUT_S)
        assert (process.returncode, out.splitlines()[-1], err) == (0, "served", "")
    finally:
        process.kill()


def test_an_address_in_use_is_an_os_error(server, tmp_path):
    directory = tmp_path / "other"
    directory.mkdir()
    other = make_instance(directory, listen=f"127.0.0.1:{server.address[1]}")
    with pytest.raises(OSError, match="in use"):
        Server(other, lambda *_: None).run()
    other.catalog.close()


def make_certificate(directory):
    """A self-signed certificate for localhost, in two PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(datetime(2020, 1, 1))
    builder = builder.not_valid_after(datetime(2020, 1, 1) + timedelta(days=36_500))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    files = directory / "cert.pem", directory / "key.pem"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tls(tmp_path):
    certificate, key = make_certificate(tmp_path)
    instance = make_instance(tmp_path, tls_certificate=str(certificate), tls_key=str(key))
    context = ssl.create_default_context(cafile=certificate)
    with running(instance) as server:
        raw = socket.create_connection(server.address, TIMEOUT_S)
        with Client(context.wrap_socket(raw, server_hostname="localhost")) as client:
            client.send(server.request("DescribeEndpoints", {}))
            (endpoint,) = client.answer().json["Endpoints"]
            assert endpoint["Address"].startswith("https://127.0.0.1:")
            client.send(b"POST / HTTP/1.1\r\n\r\n")
            assert client.answer().status == 411
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        with socket.create_connection(server.address, TIMEOUT_S) as raw, pytest.raises((ssl.SSLError, OSError)):
            old.wrap_socket(raw)
