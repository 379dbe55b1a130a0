"""What a reader sees while a writer writes and flushes run: each acknowledged record exactly once, at every moment.

One writer sends the values 1, 2, 3 ... in order, so what a query sees must be a run from 1 on: its count, greatest
value and sum say the same. Another replaces ten records over and over, so a query must always see ten, all of one
version.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

import pytest

from support.server import ServerProcess, serving
from support.stock import Table, dimensions, record, rows

SECONDS = 5.0
REPLACED = 10
LEAST_FLUSHES = 3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with serving(tmp_path_factory.mktemp("visibility"), flush_age_s=0.1) as process:
        yield process


class Background:
    """Calls something over and over in a thread; an error of it is raised at the end."""

    def __init__(self, step: Callable[[], None]) -> None:
        self._step = step
        self._is_over = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Background:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(20)
        if self._error:
            raise self._error

    def _run(self) -> None:
        try:
            while not self._is_over.is_set():
                self._step()
        except BaseException as error:
            self._error = error


def table_of(server: ServerProcess, name: str) -> Table:
    """A table with clients of its own: threads do not share them here."""
    write, query = server.client("timestream-write"), server.client("timestream-query")
    if not write.list_databases()["Databases"]:
        write.create_database(DatabaseName="visible")
    write.create_table(DatabaseName="visible", TableName=name)
    return Table(write, query, "visible", name)


def test_each_acknowledged_record_is_seen_once_while_flushes_run(server: ServerProcess) -> None:
    table = table_of(server, "appended")
    base_ns = time.time_ns()
    sent = acknowledged = 0
    sizes = cycle((1, 100, 7, 30))

    def append() -> None:
        nonlocal sent, acknowledged
        first, sent = sent + 1, sent + next(sizes)
        table.put(
            *[
                record(
                    str(n),
                    kind="BIGINT",
                    Dimensions=dimensions(host=f"h{n % 5}"),
                    Time=str(base_ns + n),
                    TimeUnit="NANOSECONDS",
                )
                for n in range(first, sent + 1)
            ]
        )
        acknowledged = sent

    append()
    looks = 0
    end_s = time.monotonic() + SECONDS
    with Background(append):
        while time.monotonic() < end_s:
            least = acknowledged
            seen, most, total = look(table, "count(*), max(measure_value::bigint), sum(measure_value::bigint)")
            assert least <= seen <= sent
            assert most == seen
            assert total == seen * (seen + 1) // 2
            looks += 1
    assert looks > 20
    assert look(table, "count(*), count(DISTINCT time), sum(measure_value::bigint)") == (
        acknowledged,
        acknowledged,
        acknowledged * (acknowledged + 1) // 2,
    )
    assert server.stderr.count('"flushed"') >= LEAST_FLUSHES


def test_a_replaced_record_is_seen_once_while_flushes_run(server: ServerProcess) -> None:
    table = table_of(server, "replaced")
    now = {"Time": str(time.time_ns()), "TimeUnit": "NANOSECONDS"}
    sent = acknowledged = 0
    flushes = server.stderr.count('"flushed"')

    def replace() -> None:
        nonlocal sent, acknowledged
        sent += 1
        table.put(
            *[
                record(str(sent), kind="BIGINT", Dimensions=dimensions(host=f"h{n}"), Version=sent, **now)
                for n in range(REPLACED)
            ]
        )
        acknowledged = sent

    replace()
    looks = 0
    end_s = time.monotonic() + SECONDS
    with Background(replace):
        while time.monotonic() < end_s:
            least = acknowledged
            seen, lowest, highest = look(table, "count(*), min(measure_value::bigint), max(measure_value::bigint)")
            assert seen == REPLACED
            assert least <= lowest == highest <= sent
            looks += 1
    assert looks > 20
    assert server.stderr.count('"flushed"') >= flushes + LEAST_FLUSHES


def look(table: Table, columns: str) -> tuple[int, ...]:
    (row,) = rows(table.query, f"SELECT {columns} FROM {table.database}.{table.name}")
    return tuple(int(value or 0) for value in row)


def test_the_blocks_are_there(server: ServerProcess) -> None:
    """The tests above have looked at blocks, not at memory alone."""
    files: list[Path] = list((server.data / "blocks").rglob("*.parquet"))
    assert len(files) >= 2 * LEAST_FLUSHES
