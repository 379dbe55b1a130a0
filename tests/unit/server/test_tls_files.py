"""Pairs of files that TLS cannot use: each is refused in words, and leaves what was there before."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from headwater.cli.certs import make
from headwater.errors import Invalid
from headwater.files import LocalFiles
from headwater.model.time import NS_PER_S, FixedClock, SystemClock
from headwater.server.tls import Tls

LOCKED = serialization.BestAvailableEncryption(b"passphrase")
OPEN = serialization.NoEncryption()


def new_files(folder: Path) -> tuple[Path, Path]:
    make(LocalFiles(), folder, ("localhost",), SystemClock())
    return folder / "server.pem", folder / "server-key.pem"


def key_text(key: ec.EllipticCurvePrivateKey, how: serialization.KeySerializationEncryption) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)


def swap(folder: Path) -> None:
    """The certificate where the key is to be."""
    (folder / "server-key.pem").write_bytes((folder / "server.pem").read_bytes())


def lock(folder: Path) -> None:
    (folder / "server-key.pem").write_bytes(key_text(ec.generate_private_key(ec.SECP256R1()), LOCKED))


def exchange(folder: Path) -> None:
    (folder / "server-key.pem").write_bytes(key_text(ec.generate_private_key(ec.SECP256R1()), OPEN))


def cut(folder: Path) -> None:
    file = folder / "server.pem"
    file.write_bytes(file.read_bytes()[:200])


def empty(folder: Path) -> None:
    (folder / "server.pem").write_bytes(b"")


def spoil_the_chain(folder: Path) -> None:
    """The server's own certificate is whole, that of its authority is not."""
    file = folder / "server.pem"
    file.write_bytes(file.read_bytes() + b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")


BAD = [
    (swap, "The TLS key file {key} holds no private key in PEM form."),
    (lock, "The TLS key file {key} is protected by a passphrase; give the key without one."),
    (exchange, "The TLS key {key} is not the key of the certificate {certificate}."),
    (cut, "The TLS certificate file {certificate} holds no certificate in PEM form."),
    (empty, "The TLS certificate file {certificate} holds no certificate in PEM form."),
    (spoil_the_chain, "The TLS certificate file {certificate} holds no certificate in PEM form."),
]


@pytest.mark.parametrize(("spoil", "text"), BAD, ids=[spoil.__name__ for spoil, _ in BAD])
def test_a_pair_that_cannot_be_used_is_refused_and_changes_nothing(
    tmp_path: Path, spoil: Callable[[Path], None], text: str
) -> None:
    certificate, key = new_files(tmp_path)
    tls = Tls(certificate, key, LocalFiles(), SystemClock())
    before = shown(tls)
    spoil(tmp_path)
    with pytest.raises(Invalid) as caught:
        Tls(certificate, key, LocalFiles(), SystemClock())
    assert caught.value.message == text.format(certificate=certificate, key=key)
    tls.reload()
    assert shown(tls) == before
    new_files(tmp_path)
    tls.reload()
    assert shown(tls) == ssl.PEM_cert_to_DER_cert(certificate.read_text()) != before


def test_nothing_older_than_1_2_is_spoken(tmp_path: Path) -> None:
    tls = Tls(*new_files(tmp_path), LocalFiles(), SystemClock())
    assert tls.context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    certificate, key = new_files(tmp_path)
    key.unlink()
    with pytest.raises(FileNotFoundError, match=r"server-key\.pem"):
        Tls(certificate, key, LocalFiles(), SystemClock())


def test_a_certificate_that_is_not_valid_now_is_taken_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    certificate, key = new_files(tmp_path)
    clock = FixedClock(SystemClock().now_ns())
    Tls(certificate, key, LocalFiles(), clock)
    assert "not valid" not in capsys.readouterr().out
    clock.advance(400 * 86_400 * NS_PER_S)
    Tls(certificate, key, LocalFiles(), clock)
    assert "certificate is not valid now" in capsys.readouterr().out


def shown(tls: Tls) -> bytes:
    """The certificate that a client sees."""
    calling = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    calling.check_hostname, calling.verify_mode = False, ssl.CERT_NONE
    here, there = socket.socketpair()

    def serve() -> None:
        with tls.context.wrap_socket(there, server_side=True) as server:
            server.recv(1)

    thread = threading.Thread(target=serve)
    thread.start()
    with calling.wrap_socket(here) as client:
        found = client.getpeercert(binary_form=True)
    thread.join()
    assert found is not None
    return found
