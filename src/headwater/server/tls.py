"""The server's side of TLS: the certificate it shows, and how another one takes its place.

`app` makes one at start and reloads it on SIGHUP. Files are judged before the context sees them: one that
cannot be used leaves the context as it was, for OpenSSL would keep the half that it could read.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from headwater.config import ServerSettings
from headwater.errors import Invalid
from headwater.files import Files
from headwater.model.time import NS_PER_S, Clock

_log = structlog.get_logger("server")


class Tls:
    """TLS 1.2 or newer with a certificate and its key from two PEM files; `context` is for those who listen."""

    def __init__(self, certificate: Path, key: Path, files: Files, clock: Clock) -> None:
        """Raises Invalid for files that do not belong together or are none of their kind, OSError."""
        self.context = _empty_context()
        self._certificate = certificate
        self._key = key
        self._files = files
        self._clock = clock
        self._load()

    def reload(self) -> None:
        """Read the files again; handshakes from now on show what they say. What cannot be used changes nothing.

        Connections that are open go on with the certificate they began with.
        """
        try:
            self._load()
        except (Invalid, OSError) as error:
            _log.error("certificate not reloaded", reason=str(error))

    def _load(self) -> None:
        """Put what the files hold into the context, or raise and leave it alone."""
        found = _certificate(self._certificate, self._files)
        _check_key(self._key, found, self._certificate, self._files)
        # OpenSSL refuses more than is looked for above, as keys too short for today. It says so here, not below.
        for target in (_empty_context(), self.context):
            try:
                target.load_cert_chain(self._certificate, self._key)
            except ssl.SSLError as error:
                reason = error.reason or error
                raise Invalid(f"The TLS certificate {self._certificate} cannot be used: {reason}.") from error
        now = datetime.fromtimestamp(self._clock.now_ns() // NS_PER_S, UTC)
        known = {"file": str(self._certificate), "until": found.not_valid_after_utc.isoformat()}
        if found.not_valid_before_utc <= now <= found.not_valid_after_utc:
            _log.info("certificate loaded", **known)
        else:
            _log.warning("certificate is not valid now", **known)


def tls_of(settings: ServerSettings, files: Files, clock: Clock) -> Tls | None:
    """None for plain HTTP. Raises as `Tls`."""
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return Tls(settings.tls_certificate, settings.tls_key, files, clock)


def _empty_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _certificate(path: Path, files: Files) -> x509.Certificate:
    """The first certificate of the file, which is the server's own; those of its chain follow."""
    try:
        return x509.load_pem_x509_certificates(files.read(path, site="tls.read"))[0]
    except ValueError as error:
        raise Invalid(f"The TLS certificate file {path} holds no certificate in PEM form.") from error


def _check_key(path: Path, certificate: x509.Certificate, certificate_path: Path, files: Files) -> None:
    """Raises Invalid unless the file holds the certificate's key, without a passphrase: nobody is there to type it."""
    try:
        key = load_pem_private_key(files.read(path, site="tls.read"), None)
    except TypeError as error:
        raise Invalid(f"The TLS key file {path} is protected by a passphrase; give the key without one.") from error
    except ValueError as error:
        raise Invalid(f"The TLS key file {path} holds no private key in PEM form.") from error
    if key.public_key() != certificate.public_key():
        raise Invalid(f"The TLS key {path} is not the key of the certificate {certificate_path}.")
