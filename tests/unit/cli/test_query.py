"""`headwater query` against a small server that checks signatures and answers from a list."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from headwater.cli.main import main
from headwater.errors import Unauthenticated
from headwater.wire.sigv4 import verify

KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
COLUMNS = [{"Name": "n", "Type": {"ScalarType": "BIGINT"}}]


class Server(ThreadingHTTPServer):
    """`answers` are given in turn: status and body; `requests` are the bodies received."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[tuple[int, bytes]] = []
        self.requests: list[dict[str, Any]] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        assert self.headers["X-Amz-Target"] == "Timestream_20181101.Query"
        try:
            verify(
                "POST",
                self.path,
                "",
                headers,
                body,
                secret_of={KEY: SECRET}.get,
                now_ns=time.time_ns(),
                region="eu-north-1",
            )
        except Unauthenticated as fault:
            answer = 400, json.dumps({"__type": f"x#{fault.code}", "message": fault.message}).encode()
        else:
            self.server.requests.append(json.loads(body))
            answer = self.server.answers.pop(0)
        self.send_response(answer[0])
        self.send_header("Content-Length", str(len(answer[1])))
        self.end_headers()
        self.wfile.write(answer[1])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as started:
        thread = threading.Thread(target=started.serve_forever, args=(0.01,))
        thread.start()
        yield started
        started.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_PROFILE", "AWS_ENDPOINT_URL_TIMESTREAM_QUERY", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)


def page(*numbers: int, token: str | None = None) -> tuple[int, bytes]:
    rows = [{"Data": [{"ScalarValue": str(number)}]} for number in numbers]
    answer: dict[str, Any] = {"ColumnInfo": COLUMNS, "Rows": rows, "QueryId": "Q"}
    if token:
        answer["NextToken"] = token
    return 200, json.dumps(answer).encode()


def test_pages_are_followed_to_the_last(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.answers = [page(token="a"), page(1, 2, token="b"), page(3)]
    assert main(["query", "SELECT n", "--format", "csv"]) == 0
    assert capsys.readouterr().out == "n\n1\n2\n3\n"
    assert server.requests == [
        {"QueryString": "SELECT n"},
        {"QueryString": "SELECT n", "NextToken": "a"},
        {"QueryString": "SELECT n", "NextToken": "b"},
    ]


def test_a_table_is_the_default(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.answers = [page(7)]
    assert main(["query", "SELECT 7"]) == 0
    assert "bigint" in capsys.readouterr().out


def test_a_refusal_is_one_line(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    refusal = {"__type": "com.amazonaws.timestream.v20181101#ValidationException", "message": "line 1:8: no"}
    server.answers = [(400, json.dumps(refusal).encode())]
    assert main(["query", "SELECT nope"]) == 1
    captured = capsys.readouterr()
    assert captured.err == "headwater: ValidationException: line 1:8: no\n"
    assert captured.out == ""


@pytest.mark.parametrize("answer", [(502, b"<html>"), (200, b"\xff"), (502, b"[]"), (200, b"{}")])
def test_an_answer_that_is_not_the_services(
    server: Server, capsys: pytest.CaptureFixture[str], answer: tuple[int, bytes]
) -> None:
    server.answers = [answer]
    assert main(["query", "SELECT 1"]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"headwater: {server.endpoint} does not answer like a Headwater server: ")
    assert error.count("\n") == 1


def test_a_reader_that_has_seen_enough_gets_no_traceback(server: Server) -> None:
    """`headwater query ... | head -1`: the pipe closes before all is written."""
    server.answers = [page(*range(100_000))]
    command = [sys.executable, "-m", "headwater", "query", "SELECT n", "--format", "csv"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "n\n"
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_nobody_there(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert main(["query", "SELECT 1", "--endpoint", endpoint]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"headwater: Cannot reach {endpoint}: ")
    assert error.count("\n") == 1


def test_credentials_of_a_data_folder_win(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    text = f"[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n"
    (tmp_path / "credentials").write_text(text)
    server.answers = [page(1), page(1)]
    assert main(["query", "SELECT 1", "--data", str(tmp_path)]) == 0
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    assert main(["query", "SELECT 1"]) == 0


def test_wrong_credentials(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    assert main(["query", "SELECT 1"]) == 1
    assert capsys.readouterr().err.startswith("headwater: InvalidSignatureException: The request signature")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read"),
        ("nonsense", "cannot be read"),
        ("[default]\n", "has no 'aws_access_key_id' for profile 'default'"),
        ("[other]\naws_access_key_id = x\n", "has no 'default' for profile 'default'"),
    ],
)
def test_bad_credentials_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, message: str
) -> None:
    if text is not None:
        (tmp_path / "credentials").write_text(text)
    assert main(["query", "SELECT 1", "--data", str(tmp_path)]) == 1
    assert message in capsys.readouterr().err


def test_no_credentials(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert main(["query", "SELECT 1"]) == 1
    assert capsys.readouterr().err.startswith("headwater: No credentials: give --data DIR")


@pytest.mark.parametrize("endpoint", ["localhost:8739", "ftp://x", "http://", "http://x:port", "http://x/path"])
def test_bad_endpoints(capsys: pytest.CaptureFixture[str], endpoint: str) -> None:
    assert main(["query", "SELECT 1", "--endpoint", endpoint]) == 1
    assert capsys.readouterr().err.startswith(f"headwater: Endpoint {endpoint!r} is not")
