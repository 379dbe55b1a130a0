"""`headwater certs DIR`: make a certificate authority and a server certificate for development, and say what next.

The authority is made once and kept, so that clients which trust it go on doing so; the server certificate is made anew
by every run, for `localhost`, the hosts that are named, and those that AWS's clients call when nobody tells them where
to go. Not for production: whoever reads `ca-key.pem` can be any
server to the clients that trust `ca.pem`.
"""

from __future__ import annotations

import argparse
import re
import shlex
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from itertools import chain
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from headwater.errors import Invalid, Unavailable
from headwater.files import Files, LocalFiles
from headwater.model.time import NS_PER_S, Clock, SystemClock
from headwater.server.endpoints import service_hosts

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
CA_DAYS = 3_650
SERVER_DAYS = 397
"""Longer than that, some clients refuse a server certificate."""

# A client's clock may be a little behind.
_EARLY = timedelta(hours=1)
_HOST_NAME = re.compile(r"(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}))*")

NEXT = """{made}

# Start the server with it:
headwater serve --tls-certificate {certificate} --tls-key {key}

# In a shell, for every client:
export AWS_CA_BUNDLE={ca}
export NODE_EXTRA_CA_CERTS={ca}

# A running server reads a new certificate when it is sent SIGHUP. Valid for: {hosts}.
"""

NEXT_AS_AWS = """
# For clients of {region} without any endpoint setting, in the hosts file of their machine (here: this one):
127.0.0.1 {hosts}
# and the server where they look for it; below port 1024 that takes a right of its own:
headwater serve --listen 127.0.0.1:443 --cell-endpoints --region {region} \\
    --tls-certificate {certificate} --tls-key {key}
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, metavar="DIR", help="Folder of the files; made if it is not there.")
    parser.add_argument(
        "--host",
        action="append",
        default=[],
        metavar="NAME",
        help="Host that clients will call, beside localhost: a name, *.NAME or an address. May be given many times.",
    )
    parser.add_argument(
        "--aws-region",
        action="append",
        default=[],
        metavar="REGION",
        help="Region whose service names clients will call, as they do without an endpoint setting: ingest, query and "
        "their cells under timestream.REGION.amazonaws.com. May be given many times.",
    )


def run(arguments: argparse.Namespace) -> int:
    """Make the files and print what to do next. Raises Invalid for a host or a damaged file, Unavailable."""
    directory = arguments.directory.absolute()
    of_aws = {region: service_hosts(region) for region in arguments.aws_region}
    hosts = tuple(dict.fromkeys((*LOCAL_HOSTS, *arguments.host, *chain.from_iterable(of_aws.values()))))
    try:
        is_new = make(LocalFiles(), directory, hosts, SystemClock())
    except OSError as error:
        raise Unavailable(f"Cannot write certificates to {directory}: {error}") from error
    made = (
        "A certificate authority and a server certificate" if is_new else "A server certificate of the authority there"
    )
    files = {
        "certificate": shlex.quote(str(directory / "server.pem")),
        "key": shlex.quote(str(directory / "server-key.pem")),
        "ca": shlex.quote(str(directory / "ca.pem")),
    }
    print(NEXT.format(made=f"{made}: {directory}", hosts=", ".join(hosts), **files), end="")
    for region, names in of_aws.items():
        print(NEXT_AS_AWS.format(region=region, hosts=" ".join(names), **files), end="")
    return 0


def make(files: Files, directory: Path, hosts: tuple[str, ...], clock: Clock) -> bool:
    """Write `server.pem` and `server-key.pem`, before them `ca.pem` and `ca-key.pem` if there are none: all mode 0600.

    Returns whether the authority is new. Raises Invalid, OSError.
    """
    names = [_name(host) for host in hosts]
    now = datetime.fromtimestamp(clock.now_ns() // NS_PER_S, UTC)
    files.make_directory(directory, site="certs.directory")
    is_new = not files.exists(directory / "ca.pem", site="certs.exists")
    if is_new:
        ca_key = ec.generate_private_key(ec.SECP256R1())
        ca = _authority(ca_key, now)
        _write(files, directory, "ca", ca, ca_key)
    else:
        ca, ca_key = _read_authority(files, directory)
        if ca.not_valid_after_utc < now + timedelta(days=SERVER_DAYS):
            raise Invalid(
                f"The authority in {directory} ends before a new certificate would: remove ca.pem and ca-key.pem."
            )
    key = ec.generate_private_key(ec.SECP256R1())
    _write(files, directory, "server", _server_certificate(key, names, ca, ca_key, now), key)
    return is_new


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        if not _HOST_NAME.fullmatch(host) or len(host) > 253:
            raise Invalid(f"Host {host!r} is neither a name nor an address.") from None
        return x509.DNSName(host)


def _authority(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    # The date in the name keeps two authorities of one machine apart in a list of trusted ones.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Headwater development CA {now:%Y-%m-%d}")])
    builder = _builder(name, name, key.public_key(), key.public_key(), now, CA_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return builder.add_extension(_usage(is_authority=True), critical=True).sign(key, hashes.SHA256())


def _server_certificate(
    key: ec.EllipticCurvePrivateKey,
    names: list[x509.GeneralName],
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
    now: datetime,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Headwater server")])
    builder = _builder(subject, ca.subject, key.public_key(), ca_key.public_key(), now, SERVER_DAYS)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(is_authority=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    return builder.sign(ca_key, hashes.SHA256())


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePublicKey,
    now: datetime,
    days: int,
) -> x509.CertificateBuilder:
    """What both certificates have. Strict verifiers want the two key identifiers."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLY)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _read_authority(files: Files, directory: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Raises Invalid if the files are not what `make` wrote."""
    try:
        ca = x509.load_pem_x509_certificate(files.read(directory / "ca.pem", site="certs.read"))
        key = serialization.load_pem_private_key(files.read(directory / "ca-key.pem", site="certs.read"), None)
    except (ValueError, TypeError, FileNotFoundError) as error:
        raise Invalid(f"The authority in {directory} cannot be read: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != ca.public_key():
        raise Invalid(f"In {directory}, ca-key.pem is not the key of ca.pem.")
    return ca, key


def _write(
    files: Files, directory: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> None:
    """The key first: a certificate without one would be in the way."""
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    files.write_file(directory / f"{name}-key.pem", secret, site="certs.write")
    files.write_file(
        directory / f"{name}.pem", certificate.public_bytes(serialization.Encoding.PEM), site="certs.write"
    )
