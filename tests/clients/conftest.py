"""One server process for all client tests, stock boto3 clients for it, and a database of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from support.server import ServerProcess, serving
from support.stock import Table

_numbers = count(1)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with serving(tmp_path_factory.mktemp("server"), log_level="info") as process:
        yield process


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
