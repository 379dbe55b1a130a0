"""S3-compatible servers on loopback: moto's, which is Python, and Versity's gateway, which keeps objects as files.

The gateway is built from its Go module, once for all runs; where that cannot be, the test is skipped and says so.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from headwater.objects import Buckets, buckets_at
from support.programs import NO_PROXY

KEY_ID, SECRET = "AKIATEST", "a-secret%"
CREDENTIALS = f"[default]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n"
REGION = "us-east-1"

CLIENTS_BUCKET = "clients-bucket"
"""The bucket of the server that the tests of clients share."""

_GATEWAY = Path(__file__).parent / "versitygw"
_BUILD_TIMEOUT_S = 600.0
_START_TIMEOUT_S = 20.0


@contextmanager
def moto() -> Iterator[str]:
    """The address of a server that keeps what it is given in memory."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@contextmanager
def gateway(cache: pytest.Cache, folder: Path) -> Iterator[str]:
    """The address of a server that keeps objects in `folder`."""
    program = _built_gateway(cache)
    objects, facts = folder / "objects", folder / "facts"
    for each in (objects, facts):
        each.mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    words = [str(program), "--port", address, "--access", KEY_ID, "--secret", SECRET, "--region", REGION, "--quiet"]
    process = subprocess.Popen([*words, "posix", "--sidecar", str(facts), str(objects)], stdout=subprocess.DEVNULL)
    try:
        _await(process, address)
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(_START_TIMEOUT_S)


def s3_client(endpoint: str) -> Any:
    """A stock boto3 client of a server."""
    return boto3.client(
        "s3", endpoint_url=endpoint, region_name=REGION, aws_access_key_id=KEY_ID, aws_secret_access_key=SECRET
    )


def make_bucket(endpoint: str, name: str) -> Buckets:
    """The buckets there, this one among them."""
    s3_client(endpoint).create_bucket(Bucket=name)
    return buckets_at(endpoint, REGION, CREDENTIALS)


def _built_gateway(cache: pytest.Cache) -> Path:
    if not shutil.which("go"):
        pytest.skip("Go is not installed: no S3-compatible server is built")
    program = cache.mkdir("versitygw") / "versitygw"
    words = ["go", "build", "-buildvcs=false", "-o", str(program), "github.com/versity/versitygw/cmd/versitygw"]
    done = subprocess.run(words, cwd=_GATEWAY, capture_output=True, text=True, check=False, timeout=_BUILD_TIMEOUT_S)
    if done.returncode and (why := NO_PROXY.search(done.stderr)):
        pytest.skip(f"the Go module proxy cannot be reached ({why[0]}): no S3-compatible server is built")
    assert done.returncode == 0, done.stderr
    return program


def _await(process: subprocess.Popen[bytes], address: str) -> None:
    host, _, port = address.partition(":")
    deadline = time.monotonic() + _START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection((host, int(port)), 1.0).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
        else:
            return
    pytest.fail("the S3-compatible server did not start")
