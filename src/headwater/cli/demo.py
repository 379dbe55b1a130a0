"""`headwater demo`: play two real workloads against a server of its own through stock boto3, and prove what it kept.

Starts `headwater serve` on a temporary folder, loads, kills it with SIGKILL in the middle, goes on, checks, queries.
On a terminal it then serves until Ctrl-C. The server is stopped and the folder removed, however it ends.
"""

from __future__ import annotations

import argparse
import os
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.syntax import Syntax

from headwater.catalog.catalog import CATALOG_FILE
from headwater.cli.demo_checks import CheckFailed, Rows, check_after_crash, check_counts, check_same, check_values
from headwater.cli.demo_client import REFUSED, UNANSWERED, query_client, write_client
from headwater.cli.demo_data import DATABASE, Devops, Request, Video, Workload
from headwater.cli.demo_load import Journal, Loaders
from headwater.cli.demo_queries import MULTI, QUESTIONS, REASSEMBLED, Question, upsert_question
from headwater.cli.demo_server import DemoServer
from headwater.cli.output import table_of
from headwater.errors import Unavailable

FLUSH_AGE_S = 2.0
"""Much shorter than the default, so that blocks can be weighed a moment after loading."""

FLUSH_TIMEOUT_S = 30.0
BLOCKS_OF_TABLE = (
    "SELECT sum(blocks.rows), sum(blocks.bytes) FROM blocks JOIN tables ON tables.id = blocks.table_id"
    " WHERE tables.name = ?"
)
ROWS_SHOWN = 8
PAPER_WIDTH = 140
RETENTION = {"MemoryStoreRetentionPeriodInHours": 24, "MagneticStoreRetentionPeriodInDays": 7}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None: the demo is the same everywhere."""
    del parser


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is played. The defaults are the demo; tests play less."""

    devices: int = 200
    video_instants: int = 100
    hosts: int = 100
    cpu_instants: int = 2_160


def run(_: argparse.Namespace) -> int:
    """Play the demo; 0 if every check held, else 1 with a line that says which did not."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    console = Console(width=None if sys.stdout.isatty() else PAPER_WIDTH, highlight=False)
    with tempfile.TemporaryDirectory(prefix="headwater-demo-", ignore_cleanup_errors=True) as name:
        server = DemoServer(Path(name), FLUSH_AGE_S)
        isolate(server.data / "credentials")
        try:
            play(console, server, Scale())
            if sys.stdin.isatty() and sys.stdout.isatty():
                serve_on(console, server)
        except CheckFailed as error:
            print(f"headwater: demo: CHECK FAILED: {error}", file=sys.stderr)
            return 1
        except (UNANSWERED, REFUSED) as error:
            raise Unavailable(f"demo: {error}") from error
        finally:
            server.stop()
    return 0


def _end(number: int, _: FrameType | None) -> None:
    """A signal that would end the process at once lets it clean up."""
    raise SystemExit(128 + number)


def isolate(credentials: Path) -> None:
    """Make this process, and those it starts, use the demo's access key and nothing else that is set up here."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "HEADWATER_"))]:
        del os.environ[name]
    os.environ["AWS_SHARED_CREDENTIALS_FILE"] = str(credentials)
    os.environ["AWS_CONFIG_FILE"] = os.devnull
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"


def play(console: Console, server: DemoServer, scale: Scale) -> None:
    """The whole demo against a server that is not started yet. Raises CheckFailed, faults and boto3's exceptions."""
    started = time.monotonic()
    seconds = server.start()
    console.print(f"Server ready at {server.endpoint} after {seconds:.1f} s, data in {server.data}")
    demo = Demo(console, server)
    demo.create()
    demo.play_video(scale)
    demo.play_cpu(scale)
    console.rule()
    console.print(f"[green]All checks held.[/] The demo took {time.monotonic() - started:.0f} s.")


def serve_on(console: Console, server: DemoServer) -> None:
    """Leave the server to the user until Ctrl-C."""
    console.rule("Yours to try until Ctrl-C")
    text = EXPORTS.format(
        credentials=server.data / "credentials",
        endpoint=server.endpoint,
        region=server.region,
        headwater=Path(sys.executable).with_name("headwater"),
    )
    console.print(text, soft_wrap=True, markup=False)
    try:
        status = server.wait()
    except KeyboardInterrupt:
        return
    raise Unavailable(f"demo: the server ended with status {status}")


EXPORTS = """\
# In another terminal:
export AWS_SHARED_CREDENTIALS_FILE={credentials}
export AWS_ENDPOINT_URL={endpoint}
export AWS_REGION={region} AWS_DEFAULT_REGION={region}

{headwater} query "SELECT * FROM demo.cpu ORDER BY time DESC LIMIT 3"
aws timestream-query query --query-string "SHOW TABLES FROM demo"
"""


class Demo:
    """One run against a started server."""

    def __init__(self, console: Console, server: DemoServer) -> None:
        self._console = console
        self._server = server
        self._write = write_client(server.endpoint, server.region)
        self._query = query_client(server.endpoint, server.region)

    def create(self) -> None:
        """The database and its three tables."""
        self._write.create_database(DatabaseName=DATABASE)
        for table in ("video_single", "video_multi", "cpu"):
            self._write.create_table(DatabaseName=DATABASE, TableName=table, RetentionProperties=RETENTION)

    def play_video(self, scale: Scale) -> None:
        """Workload (a): the same observations as single-measure and as multi-measure records, weighed and queried."""
        self._console.rule("Video streaming, written twice")
        single = Video(int(time.time()), is_multi=False, devices=scale.devices, instants=scale.video_instants)
        multi = replace(single, is_multi=True)
        sizes = {}
        for workload in (single, multi):
            self._load(workload)
            sizes[workload.table] = self._block_bytes(workload)
        self._print_sizes(sizes, scale.devices * scale.video_instants)
        rows = check_same(self._show(REASSEMBLED), self._show(MULTI))
        self._console.print(f"[green]Checked:[/] both answers have the same {rows:,} rows.")

    def play_cpu(self, scale: Scale) -> None:
        """Workload (b), with a crash in the middle; the checks; the queries."""
        self._console.rule("DevOps CPU: load, kill, restart, go on")
        end_s = int(time.time()) // Devops.STEP_S * Devops.STEP_S
        workload = Devops(end_s, scale.hosts, scale.cpu_instants)
        journal, at_risk = self._load_through_crash(workload)
        check_counts(self._ask, workload, journal)
        spread = journal.requests[:: max(1, len(journal.requests) // 10)]
        compared = check_values(self._ask, workload, [*at_risk, *spread])
        self._console.print(
            f"[green]Checked:[/] all {journal.records:,} acknowledged records are there, each once; {compared:,} values"
            " are as they were sent, those of the last requests before the kill among them."
        )
        for question in QUESTIONS:
            self._show(question)
        self._upsert(workload)

    def _load(self, workload: Workload) -> None:
        with self._progress() as progress, Loaders(workload, self._server.endpoint, self._server.region) as loaders:
            bar = LoadBar(progress, workload)
            for records in loaders.acknowledged():
                bar.advance(records)
        self._console.print(bar.summary())

    def _load_through_crash(self, workload: Devops) -> tuple[Journal, list[int]]:
        """The journal of the whole load, and the last requests that were acknowledged before the server was killed."""
        at_risk: list[int] = []
        with self._progress() as progress, Loaders(workload, self._server.endpoint, self._server.region) as loaders:
            bar = LoadBar(progress, workload)
            for records in loaders.acknowledged():
                bar.advance(records)
                if not at_risk and 2 * len(loaders.journal.requests) >= workload.requests:
                    acknowledged = self._crash(loaders)
                    bar.catch_up(loaders.journal.records)
                    at_risk = acknowledged.requests[-10:]
        self._console.print(bar.summary())
        return loaders.journal, at_risk

    def _crash(self, loaders: Loaders) -> Journal:
        """Kill the server while requests are under way, start it again, compare it with the journal as it is then."""
        self._server.kill()
        loaders.pause()
        journal = loaders.journal.copy()
        self._console.print(
            f"Killed the server (SIGKILL) after {journal.records:,} acknowledged records; "
            f"{journal.retries} requests without an answer wait to be sent again."
        )
        seconds = self._server.start()
        extra = check_after_crash(self._ask, journal)
        self._console.print(
            f"[green]Checked:[/] restarted in {seconds:.1f} s on the same folder; every acknowledged record is there"
            + (f", and {extra:,} of requests that were under way." if extra else ".")
        )
        loaders.resume()
        return journal

    def _upsert(self, workload: Devops) -> None:
        """Correct one record: without a higher version it is refused, with one it is replaced."""
        self._console.rule("Upsert")
        number = workload.requests - workload.hosts
        request = workload.request(number)
        record = corrected(request)
        try:
            self._write_one(request, record)
        except self._write.exceptions.RejectedRecordsException as error:
            self._console.print("Another value, the same version 1: [yellow]rejected[/]")
            self._console.print(f"  {error.response['RejectedRecords'][0]['Reason']}", soft_wrap=True, markup=False)
        else:
            raise CheckFailed("a record with another value and the same version was not rejected")
        self._write_one(request, {**record, "Version": 2})
        self._console.print("The same with version 2: [green]accepted[/]")
        rows = self._show(upsert_question(request.series, int(record["Time"])))
        if len(rows) != 1 or float(rows[0][2] or "nan") != float(record["MeasureValues"][0]["Value"]):
            raise CheckFailed("the record of version 2 does not read back")

    def _write_one(self, request: Request, record: Mapping[str, Any]) -> None:
        self._write.write_records(
            DatabaseName=DATABASE, TableName=Devops.table, CommonAttributes=request.common, Records=[record]
        )

    def _ask(self, sql: str) -> Rows:
        """All rows of a query."""
        pages = self._query.get_paginator("query").paginate(QueryString=sql)
        return [values(row) for page in pages for row in page["Rows"]]

    def _show(self, question: Question) -> Rows:
        """Run a query; print its text, its first rows and how long it took. All its rows; CheckFailed if none."""
        self._console.rule(question.title, style="dim")
        self._console.print(Syntax(question.sql, "sql", theme="ansi_dark", background_color="default", word_wrap=True))
        started = time.monotonic()
        first_s = 0.0
        pages = []
        for page in self._query.get_paginator("query").paginate(QueryString=question.sql):
            first_s = first_s or time.monotonic() - started
            pages.append(page)
        all_s = time.monotonic() - started
        rows = [row for page in pages for row in page["Rows"]]
        if not rows:
            raise CheckFailed(f"no rows: {question.title}")
        self._console.print(table_of(pages[0]["ColumnInfo"], rows[:ROWS_SHOWN]))
        shown = f"{len(rows):,} row{'s'[: len(rows) != 1]}"
        if len(rows) > ROWS_SHOWN:
            shown += f", the first {ROWS_SHOWN} shown"
        took = f"{first_s * 1000:.0f} ms"
        if len(pages) > 1:
            took += f" to the first page, {all_s * 1000:.0f} ms for all {len(pages)} with boto3's parsing"
        self._console.print(f"[bold]{took}[/]; {shown}")
        return [values(row) for row in rows]

    def _block_bytes(self, workload: Workload) -> int:
        """The size of the blocks of the workload's table, when all its records are in them.

        Blocks are encrypted, but the manifest is a table of SQLite, which any program can read beside the server.
        """
        started = time.monotonic()
        while time.monotonic() - started < FLUSH_TIMEOUT_S:
            with closing(
                sqlite3.connect(f"{(self._server.data / CATALOG_FILE).as_uri()}?mode=ro", uri=True)
            ) as catalog:
                rows, size = catalog.execute(BLOCKS_OF_TABLE, [workload.table]).fetchone()
            if rows == workload.records:
                return int(size)
            time.sleep(0.2)
        raise CheckFailed(f"{workload.records:,} records were not in blocks after {FLUSH_TIMEOUT_S:g} s")

    def _print_sizes(self, sizes: Mapping[str, int], observations: int) -> None:
        self._console.print(f"On disk, compressed, {observations:,} observations of four measures:")
        for table, size in sizes.items():
            self._console.print(f"  {table:13} {size:>11,} bytes, {size / observations:6.1f} an observation")

    def _progress(self) -> Progress:
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.completed:>9,.0f} of {task.total:,.0f} records  {task.fields[rate]:>7,.0f} records/s"),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )


class LoadBar:
    """Progress of a load: how many records are acknowledged, and how many a second since the first one."""

    def __init__(self, progress: Progress, workload: Workload) -> None:
        self._progress = progress
        self._table = workload.table
        self._task = progress.add_task(workload.table, total=workload.records, rate=0.0)
        self._started = 0.0
        self._records = 0
        self._first = 0

    def advance(self, records: int) -> None:
        if not self._records:
            # The loaders have been starting until now: the rate is counted from here.
            self._started = time.monotonic()
            self._first = records
        self.catch_up(self._records + records)

    def catch_up(self, records: int) -> None:
        self._records = records
        self._progress.update(self._task, completed=records, rate=self._rate())

    def summary(self) -> str:
        return f"{self._table}: {self._records:,} records acknowledged, {self._rate():,.0f} records/s"

    def _rate(self) -> float:
        elapsed = time.monotonic() - self._started
        return (self._records - self._first) / elapsed if elapsed > 0 else 0.0


def corrected(request: Request) -> dict[str, Any]:
    """The last record of a request with another first value."""
    record = request.records[-1]
    first, *others = record["MeasureValues"]
    return {**record, "MeasureValues": [{**first, "Value": "100.5"}, *others]}


def values(row: Mapping[str, Any]) -> list[str | None]:
    """The scalars of one row, as the service writes them; NULL is None."""
    return [datum.get("ScalarValue") for datum in row["Data"]]
