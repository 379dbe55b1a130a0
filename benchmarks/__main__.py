"""All benchmarks with short settings, one after the other, as one report: `make bench`.

Each runs in a process of its own and can be run alone, with longer settings, by the words printed above its figures.
Figures depend on the machine and on what else it does, so both stand at the top.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

FOLDER = Path(__file__).parent
RUNS = (
    ("-m", "benchmarks.ingest", "600"),
    ("-m", "benchmarks.queries", "60"),
    ("-m", "benchmarks.growth", "30", "600"),
    ("-m", "benchmarks.restart"),
    ("-m", "benchmarks.compile"),
    ("-m", "benchmarks.control_plane"),
    ("-m", "benchmarks.tsbs", "5", "3"),
    ("-m", "benchmarks.storage_size", "6"),
    ("-m", "benchmarks.storage_memory"),
    ("-m", "benchmarks.storage_series"),
    ("-m", "benchmarks.storage_late"),
    ("-m", "benchmarks.storage_restart"),
    ("-m", "benchmarks.batch_load", "500000"),
    ("benchmarks/validate.py", "0.5"),
    ("benchmarks/http_servers.py", "2"),
)
PACKAGES = ("headwater", "duckdb", "pyarrow", "numpy", "msgspec", "httptools", "uvloop", "cryptography", "SQLAlchemy")


def main() -> int:
    load = " ".join(f"{average:.2f}" for average in os.getloadavg())
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {os.cpu_count()} processors ({_processor()}); load average {load}")
    print(f"{platform.system()} {platform.release()}; Python {platform.python_version()}")
    print(", ".join(f"{name} {version(name)}" for name in PACKAGES), flush=True)
    statuses = []
    for words in RUNS:
        print(f"\n$ python {' '.join(words)}", flush=True)
        statuses.append(subprocess.run([sys.executable, *words], cwd=FOLDER.parent, check=False).returncode)
    return max(statuses)


def _processor() -> str:
    """The processor's name where the system tells it."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    sys.exit(main())
