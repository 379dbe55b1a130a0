"""The demo's server: `headwater serve` as a process of its own, which can be killed and started again."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

from headwater.errors import Unavailable

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0

_POLL_S = 0.02
_READY = re.compile(r"^ready (\S+) region=(\S+) account=\S+$", re.MULTILINE)


class DemoServer:
    """A server that keeps its data folder and its port from one start to the next. It is not started when made."""

    def __init__(self, folder: Path, flush_age_s: float) -> None:
        self.data = folder / "data"
        self.endpoint = ""
        self.region = ""
        self._listen = "127.0.0.1:0"
        self._flush_age_s = flush_age_s
        self._output = folder / "server.out"
        self._errors = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start the process and wait until it answers; how long that took, in seconds. Raises Unavailable."""
        started = time.monotonic()
        words = ["serve", "--data", str(self.data), "--listen", self._listen, "--flush-age-s", str(self._flush_age_s)]
        with self._output.open("wb") as output, self._errors.open("ab") as errors:
            self._process = subprocess.Popen(  # noqa: S603 - our own program and words
                [sys.executable, "-m", "headwater", *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
            )
        while not (ready := _READY.search(self._output.read_text())):
            if self._process.poll() is not None:
                raise Unavailable(f"The server ended with status {self._process.returncode}: {self._last_error()}")
            if time.monotonic() - started > START_TIMEOUT_S:
                raise Unavailable(f"The server was not ready after {START_TIMEOUT_S:g} s: {self._last_error()}")
            time.sleep(_POLL_S)
        self.endpoint, self.region = ready[1], ready[2]
        self._listen = self.endpoint.partition("//")[2]
        return time.monotonic() - started

    def kill(self) -> None:
        """SIGKILL: the process gets no chance to write, sync or close anything."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL if that is not enough. Safe to call at any time."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def wait(self) -> int:
        """Wait until the process ends by itself; its exit status."""
        assert self._process is not None
        return self._process.wait()

    def _last_error(self) -> str:
        lines = self._errors.read_text().splitlines()
        return lines[-1] if lines else "it said nothing"
