"""Master keys in an AWS-KMS-compatible service, which wraps and unwraps with them and never gives them away.

`providers.py` chooses. A `KmsKeyId` is the key of that service by its id, ARN or alias; the folder's own master key is
the one of the settings. Requests are AWS JSON 1.1, signed, to the one configured endpoint, without redirects; each one
has an encryption context that says what the wrapped key is for. Source: AWS KMS API reference, DescribeKey, Encrypt,
Decrypt; the credentials need the right to these three.
"""

from __future__ import annotations

import base64
import configparser
import hashlib
import http.client
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from headwater.catalog.keys import KeyProvider, Wrapped, WrongKey
from headwater.errors import KeyUnusable, Unavailable
from headwater.files import Files
from headwater.model.time import Clock
from headwater.wire.sigv4 import Scope, canonical_request, instant, signature

LEASE_S = 240.0
"""A disabled key is noticed within a minute; if the service cannot be reached, after this. Source: reliability.md 6."""

TIMEOUT_S = 5.0

_WRONG = frozenset({"InvalidCiphertextException", "IncorrectKeyException"})
_UNUSABLE = frozenset(
    {
        "NotFoundException",
        "DisabledException",
        "KMSInvalidStateException",
        "AccessDeniedException",
        "InvalidKeyUsageException",
        "InvalidGrantTokenException",
        "InvalidArnException",
        "ValidationException",
    }
)
"""Answers that asking again will not change. All others are taken for trouble on the way."""


class KmsKeys(KeyProvider):
    """`endpoint` is a URL; `credentials` an AWS shared-credentials file, read at each request so that it may change."""

    def __init__(self, key_arn: str, endpoint: str, credentials: Path, files: Files, clock: Clock) -> None:
        self.name = f"The KMS key {key_arn}"
        self.default_kms_key_id = key_arn
        self.lease_s = LEASE_S
        self._endpoint = urlsplit(endpoint)
        self._region = key_arn.split(":")[3]
        self._credentials = credentials
        self._files = files
        self._clock = clock

    def create(self) -> None:
        """It is made by whoever runs the service."""

    def wrap(self, key: bytes, kms_key_id: str | None, purpose: str) -> Wrapped:
        arn = self._enabled(kms_key_id or self.default_kms_key_id)
        request = {"KeyId": arn, "Plaintext": _text(key), "EncryptionContext": {"headwater": purpose}}
        return Wrapped(arn, base64.b64decode(self._call("Encrypt", arn, request)["CiphertextBlob"]))

    def unwrap(self, wrapped: bytes, kms_key_id: str | None, purpose: str) -> bytes:
        arn = self._enabled(kms_key_id or self.default_kms_key_id)
        request = {"KeyId": arn, "CiphertextBlob": _text(wrapped), "EncryptionContext": {"headwater": purpose}}
        return base64.b64decode(self._call("Decrypt", arn, request)["Plaintext"])

    def _enabled(self, key_id: str) -> str:
        """The ARN of a key that may be used. Asked for because not every compatible service stops a disabled key."""
        metadata = self._call("DescribeKey", key_id, {"KeyId": key_id})["KeyMetadata"]
        if metadata["KeyState"] != "Enabled":
            raise KeyUnusable(key_id)
        return str(metadata["Arn"])

    def _call(self, operation: str, key_id: str, request: Mapping[str, object]) -> dict[str, Any]:
        body = json.dumps(request).encode()
        try:
            status, answer = self._post(operation, body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unavailable(f"The key service {self._endpoint.geturl()} cannot be reached: {error}") from error
        if status == 200:
            return answer
        name = str(answer.get("__type", "")).rpartition("#")[2]
        if name in _WRONG:
            raise WrongKey(f"{key_id} did not wrap what was to be unwrapped: {name}")
        if name in _UNUSABLE:
            raise KeyUnusable(key_id)
        raise Unavailable(f"The key service answered {operation} with {status} {name}.")

    def _post(self, operation: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Status and JSON of the answer."""
        secure = self._endpoint.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = kind(self._endpoint.hostname or "", self._endpoint.port, timeout=TIMEOUT_S)
        try:
            connection.request("POST", "/", body, self._signed(operation, body))
            response = connection.getresponse()
            return response.status, json.loads(response.read() or b"{}")
        finally:
            connection.close()

    def _signed(self, operation: str, body: bytes) -> dict[str, str]:
        """The headers of a request, Authorization among them."""
        access_key_id, secret, token = self._read_credentials()
        date = instant(self._clock.now_ns())
        headers = {
            "Host": self._endpoint.netloc,
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Date": date,
            "X-Amz-Target": f"TrentService.{operation}",
            **({"X-Amz-Security-Token": token} if token else {}),
        }
        scope = Scope(date[:8], self._region, "kms")
        signed = sorted((name.lower(), value.encode()) for name, value in headers.items())
        canonical = canonical_request("POST", "/", "", signed, hashlib.sha256(body).hexdigest())
        headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={access_key_id}/{scope}, "
            f"SignedHeaders={';'.join(name for name, _ in signed)}, "
            f"Signature={signature(secret, date, scope, canonical)}"
        )
        return headers

    def _read_credentials(self) -> tuple[str, str, str | None]:
        """Access key id, secret and session token of the file's [default]. Raises Unavailable, with no secret in it."""
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read_string(self._files.read(self._credentials, site="keyring.credentials").decode())
            section = parser["default"]
            return section["aws_access_key_id"], section["aws_secret_access_key"], section.get("aws_session_token")
        except (OSError, UnicodeDecodeError, configparser.Error, KeyError) as error:
            message = f"{self._credentials} cannot be read as an AWS shared-credentials file with [default] keys."
            raise Unavailable(message) from error


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
