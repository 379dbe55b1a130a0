"""How long a server takes to be ready: an empty folder, then with 6 h of the CPU workload in the log, then in blocks.

Time from starting the process to its ready line, Python's own start included; after a SIGKILL the log is replayed.

    python -m benchmarks.restart [hours]
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from tests.support.server import ServerProcess

from benchmarks import queries

NO_FLUSH_S = 86_400


def main(hours: int = 6) -> None:
    with tempfile.TemporaryDirectory() as folder:
        print(f"restart: load average {os.getloadavg()[0]:.2f}")
        server = ServerProcess(Path(folder), flush_age_s=NO_FLUSH_S)
        try:
            print(f"  empty folder                          ready after {server.start():5.2f} s", flush=True)
            records = queries.load(server, hours)
            server.kill()
            print(f"  killed, {records:,} records in the log   ready after {server.start():5.2f} s", flush=True)
            server.stop()
            print(f"  stopped, which flushed them           ready after {server.start():5.2f} s", flush=True)
        finally:
            server.kill()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
