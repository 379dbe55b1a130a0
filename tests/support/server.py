"""`headwater serve` as a process of its own, on loopback and a data folder of the test; and stock clients for it.

Tests of clients and crashes use it, and the benchmarks, which import it as `tests.support.server`. In-process servers
on doubles are `serving`.
"""

from __future__ import annotations

import configparser
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from headwater.wire.sigv4 import sign

from .private_network import PrivateNetwork

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0
CLIENT_TIMEOUT_S = 60.0

_POLL_S = 0.01
_MAIN = "import sys; from headwater.cli.main import main; sys.exit(main())"
_READY = re.compile(r"^ready (https?)://([^:\s]+):(\d+) region=(\S+) account=(\S+)$", re.MULTILINE)


class NotStarted(Exception):
    """The process ended, or said nothing in time. `status` is its exit status, None if it had to be killed."""

    def __init__(self, status: int | None, stderr: str) -> None:
        super().__init__(f"exit status {status}: {stderr[-2_000:]}")
        self.status = status
        self.stderr = stderr


class ServerProcess:
    """A server that keeps its data folder, and its port, from one start to the next."""

    def __init__(
        self, folder: Path, sabotage: str = "", network: PrivateNetwork | None = None, **settings: object
    ) -> None:
        """`folder` takes the data folder and what the process says; `settings` are rows of `config.SETTINGS`.

        `sabotage` is Python text that the process runs first: a server broken on purpose, to try a test on.
        With `network` the server is there, and so are the programs that `run` starts; tests cannot call it themselves.
        """
        self.data = folder / "data"
        self.scheme = self.host = self.region = self.account = ""
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._program = ["-c", f"{sabotage}\n{_MAIN}"] if sabotage else ["-m", "headwater"]
        self._within = network.within if network else ()
        self._settings = {"data": self.data, **settings}
        self._stdout, self._stderr = folder / "server.out", folder / "server.log"

    @property
    def endpoint(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def stderr(self) -> str:
        """All that the processes have written to standard error, one start after the other."""
        return self._stderr.read_text()

    def start(self) -> float:
        """Start the process and wait for its ready line; how long that took, in seconds. Raises NotStarted."""
        started = time.monotonic()
        with self._stdout.open("wb") as stdout, self._stderr.open("ab") as stderr:
            self.process = subprocess.Popen(
                [*self._within, sys.executable, *self._program, "serve", *self._flags()],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=environment(),
            )
        while not (ready := _READY.search(self._stdout.read_text())):
            if self.process.poll() is not None:
                raise NotStarted(self.process.returncode, self.stderr)
            if time.monotonic() - started > START_TIMEOUT_S:
                self.kill()
                raise NotStarted(None, self.stderr)
            time.sleep(_POLL_S)
        self.scheme, self.host, port, self.region, self.account = ready.groups()
        self.port = int(port)
        return time.monotonic() - started

    def stop(self) -> int:
        """SIGTERM; the exit status. Kills what does not end in time and says so by the status."""
        assert self.process is not None
        self.process.terminate()
        try:
            return self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return -signal.SIGKILL

    def kill(self) -> None:
        """SIGKILL: nothing can be written, synced or closed any more."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    @cached_property
    def credentials(self) -> tuple[str, str]:
        """Access key id and secret, as the first start left them."""
        file = configparser.ConfigParser()
        file.read(self.data / "credentials")
        return file["default"]["aws_access_key_id"], file["default"]["aws_secret_access_key"]

    def environment(self) -> dict[str, str]:
        """What a stock client needs beside the endpoint, and nothing of this machine's own AWS configuration.

        The file of credentials has two names: the second is Java 1's.
        """
        names = ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CREDENTIAL_PROFILES_FILE")
        return environment(dict.fromkeys(names, str(self.data / "credentials")))

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a client program to its end, with the server's key and region in its environment."""
        region = {"AWS_REGION": self.region, "AWS_DEFAULT_REGION": self.region}
        return subprocess.run(
            [*self._within, *words],
            env={**self.environment(), **region, **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=CLIENT_TIMEOUT_S,
        )

    def client(self, service: str, *, attempts: int = 1, is_careful: bool = True, **how: Any) -> Any:
        """A stock boto3 client of `timestream-write` or `timestream-query`. It repeats nothing unless told to.

        One that is not careful sends what it is given, though it knows better.
        """
        access_key_id, secret = self.credentials
        retries = {"total_max_attempts": attempts, "mode": "standard"}
        config = Config(retries=retries, read_timeout=60, parameter_validation=is_careful)
        session: Any = boto3.Session(access_key_id, secret, region_name=self.region)
        return session.client(service, endpoint_url=self.endpoint, config=config, **how)

    def signed(self, operation: str, body: bytes, now_ns: int | None = None) -> bytes:
        """The bytes of a signed HTTP request, for those who write to a socket themselves."""
        access_key_id, secret = self.credentials
        headers = {
            "Host": f"{self.host}:{self.port}",
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": f"Timestream_20181101.{operation}",
        }
        lines = sign(
            "POST",
            "/",
            headers,
            body,
            access_key_id=access_key_id,
            secret=secret,
            region=self.region,
            now_ns=time.time_ns() if now_ns is None else now_ns,
        )
        head = "".join(f"{name}: {value}\r\n" for name, value in lines)
        return f"POST / HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    def _flags(self) -> list[str]:
        settings = {"listen": f"127.0.0.1:{self.port}", **self._settings}
        return [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", str(value))]


@contextmanager
def serving(folder: Path, network: PrivateNetwork | None = None, **settings: object) -> Iterator[ServerProcess]:
    """A started server, stopped at the end; by force if the test has failed."""
    server = ServerProcess(folder, "", network, **settings)
    try:
        server.start()
        yield server
        server.stop()
    finally:
        server.kill()


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without settings of ours or of AWS clients, and without anyone's real keys."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "HEADWATER_"))}
    nowhere = {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    return {**kept, **nowhere, **(more or {})}
