"""A server behind a proxy: clients that discover endpoints must go through it, though the server does not see it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import boto3
import pytest

from support.server import serving
from support.stock import Table, record

TIMEOUT_S = 20.0


class Proxy:
    """Passes bytes on, to `target` and back, and counts the connections. Its address is known before the server's."""

    def __init__(self, listener: socket.socket) -> None:
        self.address = "http://{}:{}".format(*listener.getsockname())
        self.target = ("", 0)
        self.connections = 0
        self._listener = listener

    def serve(self) -> None:
        """Until the listener is shut down."""
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                server = socket.create_connection(self.target, TIMEOUT_S)
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=_pass_on, args=(one, other), daemon=True).start()


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(65_536):
            other.sendall(data)
    for end in (one, other):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxying() -> Iterator[Proxy]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = Proxy(listener)
        thread = threading.Thread(target=proxy.serve)
        thread.start()
        try:
            yield proxy
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(TIMEOUT_S)


def test_clients_are_led_to_the_public_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks the server itself is sent to the proxy, and signs for the proxy's name from then on."""
    with proxying() as proxy, serving(tmp_path, public_address=proxy.address) as server:
        proxy.target = (server.host, server.port)
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
        session = boto3.Session(*server.credentials, region_name=server.region)
        write, query = session.client("timestream-write"), session.client("timestream-query")
        assert write.describe_endpoints()["Endpoints"][0]["Address"] == proxy.address
        assert proxy.connections == 0
        write.create_database(DatabaseName="behind")
        write.create_table(DatabaseName="behind", TableName="records")
        table = Table(write, query, "behind", "records")
        table.put(record("1"))
        assert table.count() == 1
        # One kept connection of each client.
        assert proxy.connections == 2
