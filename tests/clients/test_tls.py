"""HTTPS with a certificate of one's own: stock clients that are told of its authority, nobody else, and a new one.

`headwater certs` makes the files, as it does for developers. What is wrong with a pair of files is in
tests/unit/server/test_tls_files.py.
"""

from __future__ import annotations

import json
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import SSLError

from headwater.cli.main import main
from support.server import NotStarted, ServerProcess, serving
from support.serving import Client
from support.stock import record, rows

TIMEOUT_S = 20.0


def certify(folder: Path) -> None:
    """A new certificate for 127.0.0.1, of the authority in the folder."""
    assert main(["certs", str(folder)]) == 0


def files_of(folder: Path) -> dict[str, Path]:
    """The settings that name the server's files."""
    return {"tls_certificate": folder / "server.pem", "tls_key": folder / "server-key.pem"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    certify(folder)
    return folder


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with serving(tmp_path_factory.mktemp("tls"), **files_of(folder)) as process:
        yield process


def connected(server: ServerProcess, context: ssl.SSLContext) -> ssl.SSLSocket:
    plain = socket.create_connection((server.host, server.port), TIMEOUT_S)
    try:
        return context.wrap_socket(plain, server_hostname=server.host)
    except BaseException:
        plain.close()
        raise


def trusting(folder: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(folder / "ca.pem"))


def test_a_client_that_knows_the_authority_writes_and_reads(server: ServerProcess, folder: Path) -> None:
    assert server.endpoint.startswith("https://")
    write, query = (server.client(f"timestream-{name}", verify=str(folder / "ca.pem")) for name in ("write", "query"))
    write.create_database(DatabaseName="secret")
    write.create_table(DatabaseName="secret", TableName="records")
    write.write_records(DatabaseName="secret", TableName="records", Records=[record("1")])
    assert rows(query, "SELECT measure_value::double FROM secret.records") == [("1.0",)]
    assert write.describe_endpoints()["Endpoints"][0]["Address"] == server.endpoint


def test_a_client_that_does_not_know_it_refuses(server: ServerProcess) -> None:
    with pytest.raises(SSLError):
        server.client("timestream-write").list_databases()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions_of_tls(server: ServerProcess, folder: Path, version: ssl.TLSVersion) -> None:
    context = trusting(folder)
    context.minimum_version = context.maximum_version = version
    with connected(server, context) as secure:
        assert secure.version() == version.name.replace("_", ".")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_an_old_version_of_tls_is_refused(server: ServerProcess, folder: Path) -> None:
    context = trusting(folder)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match=r"(?i)(eof|alert)"):
        connected(server, context)


def test_plain_http_is_not_answered(server: ServerProcess, folder: Path) -> None:
    with socket.create_connection((server.host, server.port), TIMEOUT_S) as plain:
        plain.sendall(b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n")
        assert b"HTTP/1.1" not in plain.recv(1_000)
    with connected(server, trusting(folder)) as secure:
        assert secure.version()


# A new certificate while the server runs.


def served(server: ServerProcess, folder: Path) -> bytes:
    """The certificate that a new connection is shown."""
    with connected(server, trusting(folder)) as secure:
        shown = secure.getpeercert(binary_form=True)
    assert shown is not None
    return shown


def on_disk(folder: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert((folder / "server.pem").read_text())


def reload(server: ServerProcess, event: str) -> dict[str, Any]:
    """Send SIGHUP and wait for what the server logs of it."""
    before = server.stderr.count("\n")
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)
    end_s = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end_s:
        lines = [json.loads(line) for line in server.stderr.split("\n")[before:-1]]
        if found := [line for line in lines if line["event"] == event]:
            return found[0]
        time.sleep(0.01)
    raise AssertionError(f"no line {event!r} in {server.stderr}")


def test_a_new_certificate_is_for_new_connections(tmp_path: Path) -> None:
    certify(tmp_path)
    with serving(tmp_path, **files_of(tmp_path)) as server:
        first = on_disk(tmp_path)
        assert served(server, tmp_path) == first
        with Client(connected(server, trusting(tmp_path))) as open_before:
            open_before.send(server.signed("ListDatabases", b"{}"))
            assert open_before.answer().status == 200
            certify(tmp_path)
            assert served(server, tmp_path) == first
            assert reload(server, "certificate loaded")["level"] == "info"
            assert served(server, tmp_path) == on_disk(tmp_path) != first
            open_before.send(server.signed("ListDatabases", b"{}"))
            assert open_before.answer().status == 200


def test_files_that_cannot_be_used_change_nothing(tmp_path: Path) -> None:
    certify(tmp_path)
    with serving(tmp_path, **files_of(tmp_path)) as server:
        first, key = on_disk(tmp_path), (tmp_path / "server-key.pem").read_bytes()
        certify(tmp_path)
        # The new certificate with the old key: half of a change.
        (tmp_path / "server-key.pem").write_bytes(key)
        said = reload(server, "certificate not reloaded")
        assert said["level"] == "error"
        assert "is not the key of the certificate" in said["reason"]
        assert served(server, tmp_path) == first
        (tmp_path / "server-key.pem").unlink()
        assert "No such file" in reload(server, "certificate not reloaded")["reason"]
        assert served(server, tmp_path) == first
        certify(tmp_path)
        reload(server, "certificate loaded")
        assert served(server, tmp_path) == on_disk(tmp_path) != first


def test_a_key_of_another_certificate_is_refused_at_start(tmp_path: Path) -> None:
    certify(tmp_path)
    (tmp_path / "server-key.pem").write_bytes((tmp_path / "ca-key.pem").read_bytes())
    with pytest.raises(NotStarted) as caught, serving(tmp_path, **files_of(tmp_path)):
        pass
    assert caught.value.status == 1
    said = (
        f"headwater: The TLS key {tmp_path}/server-key.pem is not the key of the certificate {tmp_path}/server.pem.\n"
    )
    assert caught.value.stderr.endswith(said)
