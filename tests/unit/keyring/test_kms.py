"""Master keys in a key service: moto's, on loopback. What it holds, what a disabled key stops, what it is asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from random import Random
from typing import Any

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.server import ThreadedMotoServer

from headwater.catalog.catalog import Catalog
from headwater.catalog.keys import WrongKey
from headwater.errors import KeyUnusable, Unavailable
from headwater.files import LocalFiles
from headwater.keyring.kms import LEASE_S, KmsKeys
from headwater.model.limits import Limits
from headwater.model.table import TableId
from headwater.model.time import NS_PER_S, FixedClock

REGION = "eu-west-1"
NOW_NS = 1_704_067_800_000_000_000
RANDOMNESS = Random(5).randbytes
CREDENTIALS = "[default]\naws_access_key_id = AKIATEST\naws_secret_access_key = se%cret\n"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def service(endpoint: str) -> Any:
    return boto3.client(
        "kms", endpoint_url=endpoint, region_name=REGION, aws_access_key_id="a", aws_secret_access_key="b"
    )


@pytest.fixture
def new_key(service: Any) -> Callable[[], str]:
    return lambda: service.create_key()["KeyMetadata"]["Arn"]


def bare(arn: str) -> str:
    """The id alone: moto's calls that change a key want it."""
    return arn.rpartition("/")[2]


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    path = tmp_path / "kms-credentials"
    path.write_text(CREDENTIALS)
    return path


@pytest.fixture
def keys(endpoint: str, new_key: Callable[[], str], credentials: Path) -> KmsKeys:
    return KmsKeys(new_key(), endpoint, credentials, LocalFiles(), FixedClock(NOW_NS))


def test_a_key_is_unwrapped_for_its_purpose_only(keys: KmsKeys, new_key: Callable[[], str]) -> None:
    wrapped = keys.wrap(b"k" * 32, None, "root")
    assert wrapped.kms_key_id == keys.default_kms_key_id
    assert b"k" * 32 not in wrapped.data
    assert keys.unwrap(wrapped.data, None, "root") == b"k" * 32
    with pytest.raises(WrongKey):
        keys.unwrap(wrapped.data, None, "another")
    for data, arn in ((b"?" * len(wrapped.data), None), (wrapped.data, new_key())):
        with pytest.raises((KeyUnusable, WrongKey)):
            keys.unwrap(data, arn, "root")


def test_a_key_has_its_arn_whatever_it_was_called(keys: KmsKeys, new_key: Callable[[], str], service: Any) -> None:
    arn = new_key()
    service.create_alias(AliasName="alias/headwater-test", TargetKeyId=arn)
    for name in (arn, arn.rpartition("/")[2], "alias/headwater-test", arn.rpartition(":")[0] + ":alias/headwater-test"):
        wrapped = keys.wrap(b"k" * 32, name, "x")
        assert wrapped.kms_key_id == arn
        assert keys.unwrap(wrapped.data, arn, "x") == b"k" * 32


def test_a_key_that_is_missing_or_disabled_is_unusable(keys: KmsKeys, new_key: Callable[[], str], service: Any) -> None:
    disabled, missing = new_key(), "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000"
    service.disable_key(KeyId=bare(disabled))
    for arn in (disabled, missing, "alias/nobody"):
        with pytest.raises(KeyUnusable, match=f"The KMS key {arn} doesn't exist, is disabled or you don't have"):
            keys.wrap(b"k" * 32, arn, "x")


def open_catalog(directory: Path, keys: KmsKeys, clock: FixedClock) -> Catalog:
    return Catalog.open(LocalFiles(), directory, keys, "1" * 12, REGION, clock, RANDOMNESS, Limits())


def table_in(catalog: Catalog, database: str) -> TableId:
    return catalog.create_table(database, "t", None, None, None).id


def test_a_disabled_key_stops_its_database_and_no_other(
    keys: KmsKeys, new_key: Callable[[], str], service: Any, tmp_path: Path
) -> None:
    clock, arn = FixedClock(NOW_NS), new_key()
    catalog = open_catalog(tmp_path, keys, clock)
    assert catalog.create_database("own", arn).kms_key_id == arn
    assert catalog.create_database("other", None).kms_key_id == keys.default_kms_key_id
    own, other = table_in(catalog, "own"), table_in(catalog, "other")
    data_key = catalog.database_keys.new(f"{own}/block")
    service.disable_key(KeyId=bare(arn))
    clock.advance(NS_PER_S)
    catalog.database_keys.refresh()
    for use in (
        lambda: catalog.database_keys.check(own),
        lambda: catalog.database_keys.new(f"{own}/another"),
        lambda: catalog.database_keys.open(f"{own}/block", data_key.slot),
    ):
        with pytest.raises(KeyUnusable, match=arn):
            use()
    catalog.database_keys.check(other)
    catalog.close()
    again = open_catalog(tmp_path, keys, clock)
    again.database_keys.check(other)
    with pytest.raises(KeyUnusable):
        again.database_keys.check(own)
    service.enable_key(KeyId=bare(arn))
    again.database_keys.refresh()
    again.database_keys.check(own)
    assert again.database_keys.open(f"{own}/block", data_key.slot) == data_key
    again.close()


def test_while_the_service_is_away_keys_are_good_until_their_lease_ends(
    keys: KmsKeys, credentials: Path, tmp_path: Path
) -> None:
    clock = FixedClock(NOW_NS)
    catalog = open_catalog(tmp_path, keys, clock)
    catalog.create_database("db", None)
    table = table_in(catalog, "db")
    credentials.rename(tmp_path / "elsewhere")
    clock.advance(int((LEASE_S - 1) * NS_PER_S))
    catalog.database_keys.refresh()
    catalog.database_keys.check(table)
    clock.advance(2 * NS_PER_S)
    with pytest.raises(Unavailable, match="not been confirmed for too long"):
        catalog.database_keys.check(table)
    (tmp_path / "elsewhere").rename(credentials)
    catalog.database_keys.refresh()
    catalog.database_keys.check(table)
    catalog.close()


def test_a_service_that_is_not_there_is_unavailable(credentials: Path) -> None:
    arn = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000"
    away = KmsKeys(arn, "http://127.0.0.1:1", credentials, LocalFiles(), FixedClock(NOW_NS))
    with pytest.raises(Unavailable, match="cannot be reached"):
        away.unwrap(b"", None, "x")


@contextmanager
def answering(status: int, body: bytes) -> Iterator[tuple[str, list[Any]]]:
    """A service that gives one answer to all, and what it was sent."""
    seen: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", seen
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (400, b'{"__type":"com.amazonaws.kms#DisabledException"}', KeyUnusable),
        (400, b'{"__type":"ThrottlingException"}', Unavailable),
        (500, b'{"__type":"KMSInternalException"}', Unavailable),
        (302, b"{}", Unavailable),
        (200, b"<html>", Unavailable),
    ],
)
def test_answers_are_told_apart(credentials: Path, status: int, body: bytes, fault: type[Exception]) -> None:
    arn = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000"
    with answering(status, body) as (endpoint, _), pytest.raises(fault):
        KmsKeys(arn, endpoint, credentials, LocalFiles(), FixedClock(NOW_NS)).wrap(b"k", None, "x")


def test_requests_are_signed_as_the_sdk_signs_them(credentials: Path) -> None:
    credentials.write_text(CREDENTIALS + "aws_session_token = token\n")
    arn = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000"
    with answering(400, b'{"__type":"DisabledException"}') as (endpoint, seen):
        keys = KmsKeys(arn, endpoint, credentials, LocalFiles(), FixedClock(NOW_NS))
        with pytest.raises(KeyUnusable):
            keys.wrap(b"k", None, "x")
    ((headers, body),) = seen
    assert json.loads(body) == {"KeyId": arn}
    sent = {name: value for name, value in headers.items() if name.lower() not in ("authorization", "content-length")}
    sent.pop("Accept-Encoding", None)
    request = AWSRequest("POST", endpoint + "/", headers=sent, data=body)
    request.context["timestamp"] = headers["X-Amz-Date"]
    signer = SigV4Auth(Credentials("AKIATEST", "se%cret", "token"), "kms", REGION)
    expected = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    assert headers["Authorization"].endswith(f"Signature={expected}")
