"""A network and a hosts file for a test alone: any port is free in it, any name may lead to loopback.

Clients without an endpoint setting call names of AWS on port 443; with a `PrivateNetwork` they find a server of the
test there. The machine's own hosts file and ports are never touched: it all happens in namespaces of the kernel, which
end with the test. Where the kernel or a container does not allow that, `opened` skips the test and says so.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

LOOPBACK = "127.0.0.1"

# Runs inside: puts the hosts file in place, switches loopback on, and keeps the namespaces until its input ends.
_KEEPER = """
import fcntl, socket, struct, subprocess, sys
subprocess.run(["mount", "--bind", sys.argv[1], "/etc/hosts"], check=True)
set_flags, up_and_running = 0x8914, 0x41
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    fcntl.ioctl(any_socket, set_flags, struct.pack("16sh", b"lo", up_and_running))
print("ready", flush=True)
sys.stdin.read()
"""


class PrivateNetwork:
    """`within` goes before the words of a command that is to run inside."""

    def __init__(self, keeper_pid: int) -> None:
        options = ("--user", "--preserve-credentials", "--mount", "--net")
        self.within = ("nsenter", f"--target={keeper_pid}", *options, "--")


@contextmanager
def opened(folder: Path, names: tuple[str, ...]) -> Iterator[PrivateNetwork]:
    """A private network in which `names` are loopback's. Skips the test where there can be none."""
    for tool in ("unshare", "nsenter", "mount"):
        if shutil.which(tool) is None:
            pytest.skip(f"no private network: {tool} is not installed")
    hosts = folder / "hosts"
    hosts.write_text(f"{LOOPBACK} localhost {' '.join(names)}\n")
    namespaces = ["unshare", "--user", "--map-root-user", "--mount", "--net"]
    keeper = subprocess.Popen(
        [*namespaces, sys.executable, "-c", _KEEPER, str(hosts)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with keeper:
        assert keeper.stdout is not None
        assert keeper.stderr is not None
        if keeper.stdout.readline() != "ready\n":
            why = keeper.stderr.read().strip().rpartition("\n")[2]
            pytest.skip(f"no private network: namespaces are not permitted here ({why})")
        try:
            yield PrivateNetwork(keeper.pid)
        finally:
            keeper.communicate()
