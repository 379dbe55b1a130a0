"""AWS Signature Version 4: who sent these bytes, and a signer for requests of our own.

The request chain calls `verify` on the bytes as they came, before anything of the body is parsed; `headwater query`,
`jobs/notify` and the benchmarks call `sign`. Never decides what a caller may do, never keeps a secret beyond its cache
of derived keys. Stricter than AWS on purpose (reliability.md 6): header form only, everything that matters must be
signed.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from headwater.errors import Unauthenticated
from headwater.model.time import NS_PER_S

Headers = Sequence[tuple[bytes, bytes]]

SERVICE = "timestream"
SKEW_S = 300

_ALGORITHM = "AWS4-HMAC-SHA256"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_HEX_DIGEST = re.compile(r"[0-9a-f]{64}")
_HEADER_NAMES = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+(?:;[a-z0-9!#$%&'*+.^_`|~-]+)*")
_DUMMY_SECRET = "unknown keys cost as much as known ones"  # noqa: S105 - signs nothing that is ever accepted

_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. "
    "Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
)


@dataclass(frozen=True, slots=True)
class Scope:
    """What a signing key is good for: one day, one region, one service."""

    date: str
    region: str
    service: str

    def __str__(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


@dataclass(frozen=True, slots=True)
class Authorization:
    """An Authorization header, taken apart. `signed_headers` is sorted, lower case, without doubles."""

    access_key_id: str
    scope: Scope
    signed_headers: tuple[str, ...]
    signature: str


def verify(
    method: str,
    path: str,
    query: str,
    headers: Headers,
    body: bytes,
    *,
    secret_of: Callable[[str], str | None],
    now_ns: int,
    region: str | None,
    skew_s: int = SKEW_S,
) -> str:
    """The access key id that signed this request.

    `headers` are all that came, in any case, values as received; `path` is the raw one. A `region` of None
    accepts any. Raises Unauthenticated with the wire's code. Source: security.md 1, reliability.md 6.
    """
    if query:
        raise _incomplete("A query string is not accepted.")
    by_name = _by_name(headers)
    authorization = parse_authorization(_the_only(by_name, "authorization"))
    _check_scope(authorization.scope, region)
    _check_signed_headers(authorization.signed_headers, by_name)
    sent = _the_only(by_name, "x-amz-date")
    _check_date(sent, authorization.scope.date, now_ns, skew_s)

    body_hash = hashlib.sha256(body).hexdigest()
    signed = [(name, by_name[name][0]) for name in authorization.signed_headers]
    canonical = canonical_request(method, path, query, signed, body_hash)
    secret = secret_of(authorization.access_key_id)
    expected = signature(secret if secret is not None else _DUMMY_SECRET, sent, authorization.scope, canonical)
    is_match = hmac.compare_digest(expected, authorization.signature)
    if secret is None or "x-amz-security-token" in by_name:
        # Session tokens come with temporary credentials, and no key of ours has one.
        raise Unauthenticated("UnrecognizedClientException", "The security token included in the request is invalid.")
    declared = by_name.get("x-amz-content-sha256", [body_hash.encode()])[0]
    if not is_match or not hmac.compare_digest(declared, body_hash.encode()):
        raise Unauthenticated("InvalidSignatureException", _MISMATCH)
    return authorization.access_key_id


def sign(
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    access_key_id: str,
    secret: str,
    region: str,
    now_ns: int,
    service: str = SERVICE,
) -> list[tuple[str, str]]:
    """`headers`, which must hold Host, with X-Amz-Date and Authorization added; all of them are signed."""
    date = instant(now_ns)
    scope = Scope(date[:8], region, service)
    complete = {**headers, "X-Amz-Date": date}
    signed = sorted((name.lower(), value.encode("latin-1")) for name, value in complete.items())
    canonical = canonical_request(method, path, "", signed, hashlib.sha256(body).hexdigest())
    authorization = (
        f"{_ALGORITHM} Credential={access_key_id}/{scope}, "
        f"SignedHeaders={';'.join(name for name, _ in signed)}, "
        f"Signature={signature(secret, date, scope, canonical)}"
    )
    return [*complete.items(), ("Authorization", authorization)]


def parse_authorization(value: str) -> Authorization:
    """Take the header apart; raises Unauthenticated naming the first part that is missing or wrong."""
    algorithm, _, rest = value.partition(" ")
    if algorithm != _ALGORITHM:
        raise _incomplete(f"The algorithm must be '{_ALGORITHM}'.")
    pairs = [part.strip(" ").partition("=") for part in rest.split(",")]
    parts = {name: text for name, _, text in pairs}
    for name in ("Credential", "SignedHeaders", "Signature"):
        if not parts.get(name):
            raise _incomplete(f"Authorization header requires '{name}' parameter.")
    if len(pairs) != 3:
        raise _incomplete("Authorization header has a repeated or unknown parameter.")
    credential = parts["Credential"].split("/")
    if len(credential) != 5 or not all(credential) or credential[4] != "aws4_request":
        raise _incomplete("Credential must have five parts, of which the last is 'aws4_request'.")
    if not _HEX_DIGEST.fullmatch(parts["Signature"]):
        raise _incomplete("Signature must be 64 lower-case hexadecimal digits.")
    names = parts["SignedHeaders"]
    signed = tuple(names.split(";"))
    if not _HEADER_NAMES.fullmatch(names) or list(signed) != sorted(set(signed)):
        raise _incomplete("SignedHeaders must be lower case, sorted and without doubles.")
    return Authorization(credential[0], Scope(*credential[1:4]), signed, parts["Signature"])


def canonical_request(method: str, path: str, query: str, signed: Iterable[tuple[str, bytes]], body_hash: str) -> bytes:
    """The text that stands for a request. `query` must be canonical already; `signed` lower case and sorted."""
    pairs = [(name, _trimmed(value)) for name, value in signed]
    lines = b"".join(b"%b:%b\n" % (name.encode(), value) for name, value in pairs)
    names = ";".join(name for name, _ in pairs)
    head = f"{method}\n{path or '/'}\n{query}\n"
    return head.encode("latin-1") + lines + f"\n{names}\n{body_hash}".encode()


def signature(secret: str, date: str, scope: Scope, canonical: bytes) -> str:
    """64 hexadecimal digits over the canonical request."""
    string_to_sign = f"{_ALGORITHM}\n{date}\n{scope}\n{hashlib.sha256(canonical).hexdigest()}"
    key = signing_key(secret, scope)
    return hmac.new(key, string_to_sign.encode(), hashlib.sha256).hexdigest()


@lru_cache(maxsize=256)
def signing_key(secret: str, scope: Scope) -> bytes:
    """The key of one secret for one scope. Cached by the secret itself, so that a changed one takes effect at once."""
    key = f"AWS4{secret}".encode()
    for part in (scope.date, scope.region, scope.service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def instant(time_ns: int) -> str:
    """`20250102T030405Z`."""
    return f"{_EPOCH + timedelta(seconds=time_ns // NS_PER_S):%Y%m%dT%H%M%SZ}"


def _trimmed(value: bytes) -> bytes:
    return b" ".join(value.split())


def _by_name(headers: Headers) -> dict[str, list[bytes]]:
    by_name: dict[str, list[bytes]] = {}
    for name, value in headers:
        by_name.setdefault(name.decode("latin-1").lower(), []).append(value)
    return by_name


def _the_only(by_name: Mapping[str, list[bytes]], name: str) -> str:
    """The value of a header that must come once."""
    values = by_name.get(name, [])
    if not values and name == "authorization":
        raise Unauthenticated("MissingAuthenticationTokenException", "Missing Authentication Token")
    if len(values) != 1:
        raise _incomplete(f"The header '{name}' is required exactly once.")
    return values[0].strip().decode("latin-1")


def _check_scope(scope: Scope, region: str | None) -> None:
    if scope.service != SERVICE:
        raise Unauthenticated(
            "InvalidSignatureException", f"Credential should be scoped to correct service: '{SERVICE}'."
        )
    if region is not None and scope.region != region:
        raise Unauthenticated(
            "InvalidSignatureException",
            f"Credential should be scoped to a valid region: this server's is '{region}'.",
        )


def _check_signed_headers(signed: tuple[str, ...], by_name: Mapping[str, list[bytes]]) -> None:
    """Host and every x-amz-* header must be signed, and what is signed must have come exactly once."""
    must = {"host", "x-amz-date", *(name for name in by_name if name.startswith("x-amz-"))}
    for name in sorted(must):
        if name not in signed:
            raise _incomplete(f"The header '{name}' must be signed.")
    for name in signed:
        if len(by_name.get(name, [])) != 1:
            raise _incomplete(f"The signed header '{name}' must be in the request exactly once.")


def _check_date(sent: str, scope_date: str, now_ns: int, skew_s: int) -> None:
    try:
        at_s = _seconds(sent)
    except ValueError as error:
        raise _incomplete("X-Amz-Date must have the form YYYYMMDD'T'HHMMSS'Z'.") from error
    if sent[:8] != scope_date:
        raise Unauthenticated("InvalidSignatureException", "Date in Credential scope does not match X-Amz-Date.")
    now_s = now_ns // NS_PER_S
    if abs(now_s - at_s) <= skew_s:
        return
    now, minutes = instant(now_ns), skew_s // 60
    if at_s < now_s:
        edge = instant((now_s - skew_s) * NS_PER_S)
        text = f"Signature expired: {sent} is now earlier than {edge} ({now} - {minutes} min.)"
    else:
        edge = instant((now_s + skew_s) * NS_PER_S)
        text = f"Signature not yet current: {sent} is still later than {edge} ({now} + {minutes} min.)"
    raise Unauthenticated("InvalidSignatureException", text)


@lru_cache(maxsize=16)
def _seconds(sent: str) -> int:
    """Of an X-Amz-Date, since 1970. Of the requests of a second all have the same. Raises ValueError."""
    if not _INSTANT.fullmatch(sent):
        raise ValueError(sent)
    at = datetime.strptime(sent, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return (at - _EPOCH) // timedelta(seconds=1)


def _incomplete(text: str) -> Unauthenticated:
    return Unauthenticated("IncompleteSignatureException", text)
