"""One server process for all client tests, stock boto3 clients for it, and a database of its own for each test.

And a second server in a network of its own, for clients that look for AWS.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from headwater.cli.main import main
from headwater.server.endpoints import service_hosts
from support import private_network
from support.s3_servers import CLIENTS_BUCKET, CREDENTIALS, moto, s3_client
from support.server import ServerProcess, serving
from support.stock import Table

REGION = "us-east-1"

_numbers = count(1)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with serving(tmp_path_factory.mktemp("server"), log_level="info") as process:
        yield process


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The address of an S3-compatible server with one bucket, whose objects are read and written without keys too."""
    anyone = {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": f"arn:aws:s3:::{CLIENTS_BUCKET}/*"}
    policy = {"Version": "2012-10-17", "Statement": [anyone]}
    with moto() as address:
        client = s3_client(address)
        client.create_bucket(Bucket=CLIENTS_BUCKET)
        client.put_bucket_policy(Bucket=CLIENTS_BUCKET, Policy=json.dumps(policy))
        yield address


@pytest.fixture(scope="session")
def server_with_buckets(s3_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server whose object store is at `s3_endpoint`."""
    folder = tmp_path_factory.mktemp("with-buckets")
    (folder / "keys").write_text(CREDENTIALS)
    with serving(folder, object_store=s3_endpoint, object_store_credentials=folder / "keys") as process:
        yield process


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that `headwater certs` has filled for the names of AWS."""
    folder = tmp_path_factory.mktemp("certificates")
    assert main(["certs", str(folder), "--aws-region", REGION]) == 0
    return folder


@pytest.fixture(scope="session")
def server_as_aws(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server where clients look for AWS, that sends them to its cells."""
    folder = tmp_path_factory.mktemp("as-aws")
    with (
        private_network.opened(folder, service_hosts(REGION)) as network,
        serving(
            folder,
            network,
            listen=f"{private_network.LOOPBACK}:443",
            region=REGION,
            tls_certificate=certificates / "server.pem",
            tls_key=certificates / "server-key.pem",
            cell_endpoints="true",
        ) as server,
    ):
        yield server


@pytest.fixture(scope="session")
def write(server: ServerProcess) -> Any:
    return server.client("timestream-write")


@pytest.fixture(scope="session")
def query(server: ServerProcess) -> Any:
    return server.client("timestream-query")


@pytest.fixture
def database(write: Any) -> str:
    """The name of an empty database that no other test uses."""
    name = f"client_tests_{next(_numbers)}"
    write.create_database(DatabaseName=name)
    return name


@pytest.fixture
def table(write: Any, query: Any, database: str) -> Table:
    """An empty table: 6 h of memory, late writes off."""
    write.create_table(DatabaseName=database, TableName="records")
    return Table(write, query, database, "records")
