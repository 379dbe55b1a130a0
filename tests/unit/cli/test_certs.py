"""`headwater certs`: what clients make of the files, and what is kept from one run to the next."""

from __future__ import annotations

import socket
import ssl
import stat
import threading
from pathlib import Path

import pytest

from headwater.cli.certs import SERVER_DAYS, make
from headwater.cli.main import main
from headwater.errors import Invalid
from headwater.files import LocalFiles
from headwater.model.time import NS_PER_S, FixedClock, SystemClock

DAY_NS = 86_400 * NS_PER_S
FILES = ("ca-key.pem", "ca.pem", "server-key.pem", "server.pem")


def shaken(directory: Path, name: str, ca: Path) -> str:
    """The TLS version of a handshake with a server that has the files, by a client that trusts `ca` and calls `name`.

    Raises ssl.SSLError.
    """
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(directory / "server.pem", directory / "server-key.pem")
    calling = ssl.create_default_context(cafile=ca)
    # What newer Pythons demand by themselves.
    calling.verify_flags |= ssl.VERIFY_X509_STRICT
    here, there = socket.socketpair()

    def serve() -> None:
        try:
            with serving.wrap_socket(there, server_side=True) as server:
                server.recv(1)
        except OSError:
            there.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with calling.wrap_socket(here, server_hostname=name) as client:
            return client.version() or ""
    finally:
        here.close()
        thread.join()


def test_it_says_what_to_do_next_and_clients_that_do_so_trust_the_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "new" / "certs"
    assert (
        main(
            ["certs", str(directory), "--host", "db.example.com", "--host", "10.1.2.3", "--host", "*.cells.example.com"]
        )
        == 0
    )
    out = capsys.readouterr().out
    assert f"headwater serve --tls-certificate {directory}/server.pem --tls-key {directory}/server-key.pem\n" in out
    assert f"export AWS_CA_BUNDLE={directory}/ca.pem\n" in out
    assert "Valid for: localhost, 127.0.0.1, ::1, db.example.com, 10.1.2.3, *.cells.example.com." in out
    assert tuple(sorted(path.name for path in directory.iterdir())) == FILES
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}
    for name in ("localhost", "127.0.0.1", "::1", "db.example.com", "10.1.2.3", "ingest.cells.example.com"):
        assert shaken(directory, name, directory / "ca.pem") == "TLSv1.3"
    with pytest.raises(ssl.SSLError, match="Hostname mismatch"):
        shaken(directory, "other.example.com", directory / "ca.pem")


def test_the_names_of_aws_and_where_they_lead(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["certs", str(tmp_path), "--aws-region", "us-east-1", "--aws-region", "eu-west-1"]) == 0
    out = capsys.readouterr().out
    for region in ("us-east-1", "eu-west-1"):
        names = [f"{name}.timestream.{region}.amazonaws.com" for name in ("ingest", "query")]
        cells = [f"{name}-cell1.timestream.{region}.amazonaws.com" for name in ("ingest", "query")]
        assert f"127.0.0.1 {' '.join((*names, *cells))}\n" in out
        assert f"headwater serve --listen 127.0.0.1:443 --cell-endpoints --region {region} " in out
        for name in (*names, *cells):
            assert shaken(tmp_path, name, tmp_path / "ca.pem") == "TLSv1.3"
    with pytest.raises(ssl.SSLError, match="Hostname mismatch"):
        shaken(tmp_path, "query.timestream.eu-west-2.amazonaws.com", tmp_path / "ca.pem")


def test_a_region_that_can_be_no_name_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["certs", str(tmp_path), "--aws-region", "us east"]) == 1
    assert "is neither a name nor an address" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_another_run_keeps_the_authority_and_adds_hosts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["certs", str(tmp_path)]) == 0
    before = {name: (tmp_path / name).read_bytes() for name in FILES}
    assert "A certificate authority and" in capsys.readouterr().out
    assert main(["certs", str(tmp_path), "--host", "db"]) == 0
    after = {name: (tmp_path / name).read_bytes() for name in FILES}
    assert "of the authority there" in capsys.readouterr().out
    assert [name for name in FILES if before[name] == after[name]] == ["ca-key.pem", "ca.pem"]
    assert shaken(tmp_path, "db", tmp_path / "ca.pem") == "TLSv1.3"


def test_another_authority_is_not_trusted(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for directory in (one, two):
        make(LocalFiles(), directory, ("localhost",), SystemClock())
    with pytest.raises(ssl.SSLError, match="certificate verify failed"):
        shaken(one, "localhost", two / "ca.pem")


@pytest.mark.parametrize("host", ["", "a b", "-x", "http://x", "x:1", "é", "a..b", "*", "x" * 254])
def test_what_is_no_host_is_refused_before_anything_is_written(
    tmp_path: Path, host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["certs", str(tmp_path), f"--host={host}"]) == 1
    assert capsys.readouterr().err == f"headwater: Host {host!r} is neither a name nor an address.\n"
    assert list(tmp_path.iterdir()) == []


def test_an_authority_that_is_damaged_or_ends_too_soon_is_refused(tmp_path: Path) -> None:
    clock = FixedClock(SystemClock().now_ns())
    make(LocalFiles(), tmp_path, ("localhost",), clock)
    clock.advance((3_650 - SERVER_DAYS + 1) * DAY_NS)
    with pytest.raises(Invalid, match="ends before a new certificate would"):
        make(LocalFiles(), tmp_path, ("localhost",), clock)
    (tmp_path / "ca-key.pem").write_bytes((tmp_path / "server-key.pem").read_bytes())
    with pytest.raises(Invalid, match="is not the key of"):
        make(LocalFiles(), tmp_path, ("localhost",), clock)
    (tmp_path / "ca-key.pem").unlink()
    with pytest.raises(Invalid, match="cannot be read"):
        make(LocalFiles(), tmp_path, ("localhost",), clock)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["certs", str(tmp_path / "file")]) == 1
    assert capsys.readouterr().err.startswith(f"headwater: Cannot write certificates to {tmp_path / 'file'}: ")
