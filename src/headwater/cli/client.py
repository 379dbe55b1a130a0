"""A client of the service's API for our own commands: HTTP, signed, like any other client's.

Knows operations, credentials and pages; prints nothing. Where stock clients look for credentials and endpoint in the
environment, it looks too.
"""

from __future__ import annotations

import configparser
import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from headwater.errors import Invalid, Unavailable
from headwater.model.time import Clock
from headwater.wire.sigv4 import sign

TIMEOUT_S = 70.0
"""One call is answered within 60 s, however long the query runs. Source: query-api.md 1.1."""

_TARGET = "Timestream_20181101."

OWN_TARGET = "Headwater_1."
"""Of operations that the service has not."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key. Does not print its secret."""

    access_key_id: str
    secret: str = field(repr=False)


def find_credentials(data: Path | None, environ: Mapping[str, str]) -> Credentials:
    """The key in `data`'s credentials file; without a folder, what AWS's own variables name.

    Raises Invalid saying what is missing.
    """
    if data is not None:
        return _read_credentials(data / "credentials", "default")
    key, secret = environ.get("AWS_ACCESS_KEY_ID"), environ.get("AWS_SECRET_ACCESS_KEY")
    if key and secret:
        return Credentials(key, secret)
    file = environ.get("AWS_SHARED_CREDENTIALS_FILE")
    if not file:
        raise Invalid("No credentials: give --data DIR, or set AWS_SHARED_CREDENTIALS_FILE=DIR/credentials.")
    return _read_credentials(Path(file).expanduser(), environ.get("AWS_PROFILE", "default"))


def _read_credentials(file: Path, profile: str) -> Credentials:
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(file.read_text("utf-8"))
        section = parser[profile]
        return Credentials(section["aws_access_key_id"], section["aws_secret_access_key"])
    except KeyError as error:
        raise Invalid(f"Credentials file {file} has no {error.args[0]!r} for profile {profile!r}.") from error
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        raise Invalid(f"Credentials file {file} cannot be read: {error}") from error


class Client:
    """Calls operations of one endpoint, a connection each."""

    def __init__(
        self, endpoint: str, region: str, credentials: Credentials, clock: Clock, ca_file: str | None = None
    ) -> None:
        """Raises Invalid if `endpoint` is not the URL of a server."""
        url = urlsplit(endpoint)
        try:
            host, port = url.hostname, url.port
        except ValueError as error:
            raise Invalid(f"Endpoint {endpoint!r} is not a URL: {error}") from error
        if url.scheme not in ("http", "https") or not host or url.path.strip("/") or url.query:
            raise Invalid(f"Endpoint {endpoint!r} is not of the form http://HOST:PORT or https://HOST:PORT.")
        self._endpoint = endpoint
        self._host, self._port = host, port
        self._netloc = url.netloc
        self._tls = ssl.create_default_context(cafile=ca_file) if url.scheme == "https" else None
        self._region = region
        self._credentials = credentials
        self._clock = clock

    def query_pages(self, text: str) -> Iterator[dict[str, Any]]:
        """Every page of a query's result, as the service answers it; some may have no rows."""
        request: dict[str, str] = {"QueryString": text}
        while True:
            page = self.call("Query", request)
            if not {"ColumnInfo", "Rows"} <= page.keys():
                raise self._stranger("no result")
            yield page
            if "NextToken" not in page:
                return
            request["NextToken"] = page["NextToken"]

    def call(self, operation: str, request: Mapping[str, object], target: str = _TARGET) -> dict[str, Any]:
        """The answer to one operation.

        Raises Unavailable if the server cannot be reached or fails, Invalid with its words if it refuses.
        """
        status, body = self._exchange(target + operation, json.dumps(request).encode())
        try:
            answer = json.loads(body or b"{}")
        except ValueError as error:
            raise self._stranger(f"status {status}, no JSON") from error
        if not isinstance(answer, dict):
            raise self._stranger(f"status {status}, no JSON object")
        if status == http.HTTPStatus.OK:
            return answer
        code = str(answer.get("__type", f"status {status}")).rpartition("#")[2]
        text = ": ".join(part for part in (code, answer.get("message") or answer.get("Message")) if part)
        raise Unavailable(text) if status >= 500 else Invalid(text)

    def _stranger(self, reason: str) -> Unavailable:
        return Unavailable(f"{self._endpoint} does not answer like a Headwater server: {reason}.")

    def _exchange(self, target: str, body: bytes) -> tuple[int, bytes]:
        headers = {
            "Host": self._netloc,
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": target,
        }
        signed = sign(
            "POST",
            "/",
            headers,
            body,
            access_key_id=self._credentials.access_key_id,
            secret=self._credentials.secret,
            region=self._region,
            now_ns=self._clock.now_ns(),
        )
        connection = self._connection()
        try:
            connection.request("POST", "/", body, dict(signed))
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"Cannot reach {self._endpoint}: {error or type(error).__name__}") from error
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self._tls:
            return http.client.HTTPSConnection(self._host, self._port, timeout=TIMEOUT_S, context=self._tls)
        return http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_S)
