"""HTTPS with a certificate of one's own: stock clients that are told of its authority, and nobody else."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from botocore.exceptions import SSLError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from support.server import ServerProcess, serving
from support.stock import record, rows


class Authority(NamedTuple):
    """PEM files: of the authority that clients trust, and of the server."""

    certificate: Path
    server_certificate: Path
    server_key: Path


def named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def unsigned(subject: str, key: ec.EllipticCurvePrivateKey, *, is_authority: bool) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(named(subject))
        .issuer_name(named("throw-away authority"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
    )


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("authority")
    files = Authority(folder / "authority.pem", folder / "server.pem", folder / "server.key")
    own_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    own = unsigned("throw-away authority", own_key, is_authority=True).sign(own_key, hashes.SHA256())
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    of_server = unsigned("server", server_key, is_authority=False).add_extension(address, critical=False)
    files.certificate.write_bytes(own.public_bytes(serialization.Encoding.PEM))
    files.server_certificate.write_bytes(
        of_server.sign(own_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )
    files.server_key.write_bytes(
        server_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return files


@pytest.fixture(scope="module")
def server(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("tls")
    with serving(folder, tls_certificate=authority.server_certificate, tls_key=authority.server_key) as process:
        yield process


def test_a_client_that_knows_the_authority_writes_and_reads(server: ServerProcess, authority: Authority) -> None:
    assert server.endpoint.startswith("https://")
    write, query = (
        server.client(f"timestream-{name}", verify=str(authority.certificate)) for name in ("write", "query")
    )
    write.create_database(DatabaseName="secret")
    write.create_table(DatabaseName="secret", TableName="records")
    write.write_records(DatabaseName="secret", TableName="records", Records=[record("1")])
    assert rows(query, "SELECT measure_value::double FROM secret.records") == [("1.0",)]
    assert write.describe_endpoints()["Endpoints"][0]["Address"] == server.endpoint


def test_a_client_that_does_not_know_it_refuses(server: ServerProcess) -> None:
    with pytest.raises(SSLError):
        server.client("timestream-write").list_databases()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions_of_tls(server: ServerProcess, authority: Authority, version: ssl.TLSVersion) -> None:
    context = ssl.create_default_context(cafile=str(authority.certificate))
    context.minimum_version = context.maximum_version = version
    with socket.create_connection((server.host, server.port), 20) as plain:
        secure = context.wrap_socket(plain, server_hostname=server.host)
        assert secure.version() == version.name.replace("_", ".")
