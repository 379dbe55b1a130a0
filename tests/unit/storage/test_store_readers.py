"""Readers beside writes, flushes and merges: each state they see is whole, has each record once, and is never older."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from headwater.model.time import NS_PER_DAY
from support.block_rows import block_rows
from support.stores import NOW_NS, StoreFolder, records, series

HOSTS = [f"s{number}" for number in range(40)]
VERSIONS = 80


def rows(folder: StoreFolder) -> list[tuple[str, float]]:
    scan = folder.scan()
    found = [row for table in scan.memory for row in table.select(["host", "usage"]).to_pylist()]
    for part in scan.blocks:
        found += block_rows(part).select(["host", "usage"]).to_pylist()
    scan.close()
    return [(row["host"], row["usage"]) for row in found]


def test_readers_see_each_record_once_in_its_newest_version(tmp_path: Path):
    folder = StoreFolder(tmp_path)
    acknowledged = [0]
    is_over = threading.Event()

    def write() -> None:
        try:
            for version in range(1, VERSIONS + 1):
                batch = [(series(host), NOW_NS - i % 3 * NS_PER_DAY, version, version) for i, host in enumerate(HOSTS)]
                assert folder.write(records(batch)) == []
                acknowledged[0] = version
        finally:
            is_over.set()

    def flush() -> None:
        while not is_over.is_set():
            folder.store.flush()

    def compact() -> None:
        while not is_over.is_set():
            folder.store.compact()

    def read() -> None:
        last = 0.0
        while not is_over.is_set():
            least = max(last, acknowledged[0])
            if least:
                found = rows(folder)
                assert sorted(host for host, _ in found) == sorted(HOSTS)
                (last,) = {version for _, version in found}
                assert last >= least

    tasks: list[Callable[[], None]] = [write, flush, compact, read, read]
    with ThreadPoolExecutor(len(tasks)) as pool:
        for done in [pool.submit(task) for task in tasks]:
            done.result(60)
    folder.reopen()
    assert sorted(rows(folder)) == sorted((host, VERSIONS) for host in HOSTS)
    folder.close()
