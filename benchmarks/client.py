"""A client that costs next to nothing: it sends requests that were signed before, over one kept-alive connection.

The benchmarks measure the server with it. It asserts that every answer is a 200 and keeps how long each took.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable

import numpy as np


class Client:
    """One connection."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), 60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: bytes) -> bytes:
        """The body of the answer, which must be a 200."""
        self._socket.sendall(request)
        answer = self._socket.recv(65_536)
        while b"\r\n\r\n" not in answer:
            answer += self._received()
        head, _, body = answer.partition(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        assert head.startswith(b"HTTP/1.1 200 "), answer[:2_000]
        whole = bytearray(length)
        whole[: len(body)] = body
        rest = memoryview(whole)[len(body) :]
        while rest:
            count = self._socket.recv_into(rest)
            assert count, "the server ended the connection"
            rest = rest[count:]
        return bytes(whole)

    def time_ms(self, requests: Iterable[bytes]) -> list[float]:
        """Send one after the other; milliseconds from sending to the whole answer, of each."""
        taken = []
        for request in requests:
            started = time.perf_counter()
            self.ask(request)
            taken.append((time.perf_counter() - started) * 1e3)
        return taken

    def _received(self) -> bytes:
        data = self._socket.recv(1 << 20)
        assert data, "the server ended the connection"
        return data


def percentiles(taken_ms: list[float]) -> tuple[float, float]:
    """Median and 99th percentile."""
    return float(np.percentile(taken_ms, 50)), float(np.percentile(taken_ms, 99))
