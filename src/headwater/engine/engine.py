"""The embedded engine, locked: the only importer of duckdb. `query` hands it a lowered statement and its scans.

One in-memory database with our macros and functions, no files but the blocks of running scans, no extensions, no
settings that a statement could change; one cursor a run, so that any number may go on at once. What it finds wrong
becomes a fault of ours, in the words of sql.md 8, without its own. After an error of its own kind the engine refuses
all further work: the database holds nothing, so a fresh one takes its place. It plans nothing of the dialect:
statements come from `sql`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import duckdb
import pyarrow as pa
import structlog
from duckdb.func import FunctionNullHandling, PythonUDFType

from headwater.engine.arrow import ArrowFunction
from headwater.engine.faults import fault_of, is_end_of_database, streamed
from headwater.engine.filesystem import SCHEME, BlockFileSystem, fault_among
from headwater.engine.functions import PYTHON_FUNCTIONS, runs_python
from headwater.engine.macros import statements
from headwater.engine.pace import RUN_VARIABLE, Pace
from headwater.engine.relations import quoted, quoted_name, with_scans
from headwater.errors import Conflict, Fault, QueryFailed
from headwater.model.scan import Scan
from headwater.threads import stand_back

_log = structlog.get_logger()

BATCH_ROWS = 2_048
"""As many as the engine computes at once: what it then holds of long values it holds once more at most."""

INTERRUPT_AGAIN_S = 0.02
"""An interrupt that comes before the engine has begun is lost, so it is repeated until the run has ended."""


class Run:
    """A handle on one run, made by its caller before it starts: cancels it from another thread, tells its progress."""

    def __init__(self) -> None:
        self.is_cancelled = False
        self.deadline_s = float("inf")
        self._cursor: duckdb.DuckDBPyConnection | None = None
        self._watch: _Watch | None = None

    def cancel(self) -> None:
        """Stop the run, now or as soon as it starts; it raises Conflict. Harmless when it has ended."""
        self.is_cancelled = True
        if self._watch is not None:
            self._watch.wake()

    @property
    def progress_percent(self) -> float:
        """How far the run is, 0 to 100, as the engine guesses it."""
        cursor = self._cursor
        try:
            return 0.0 if cursor is None else max(0.0, float(cursor.query_progress()))
        except duckdb.Error:
            return 0.0

    def attach(self, cursor: duckdb.DuckDBPyConnection | None, watch: _Watch, deadline_s: float) -> None:
        self._cursor, self._watch, self.deadline_s = cursor, watch, deadline_s

    @property
    def is_over(self) -> bool:
        """Whether it must not go on: cancelled, or past its time."""
        return self.is_cancelled or time.monotonic() >= self.deadline_s

    def interrupt(self) -> None:
        cursor = self._cursor
        if cursor is not None:
            cursor.interrupt()


class _Watch:
    """One thread that interrupts runs which are cancelled or past their time; it sleeps until there is such a run."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._runs: set[Run] = set()
        self._is_closed = False
        self._thread = threading.Thread(target=self._loop, name="engine-watch", daemon=True)
        self._thread.start()

    def add(self, run: Run) -> None:
        with self._changed:
            self._runs.add(run)
            self._changed.notify()

    def remove(self, run: Run) -> None:
        with self._changed:
            self._runs.discard(run)

    def wake(self) -> None:
        with self._changed:
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _loop(self) -> None:
        with self._changed:
            while not self._is_closed:
                over = [run for run in self._runs if run.is_over]
                for run in over:
                    run.interrupt()
                self._changed.wait(INTERRUPT_AGAIN_S if over else self._until_next_s())

    def _until_next_s(self) -> float | None:
        deadline_s = min((run.deadline_s for run in self._runs), default=float("inf"))
        return None if deadline_s == float("inf") else max(0.0, deadline_s - time.monotonic())


class Engine:
    """`memory_bytes` is for all runs together."""

    def __init__(self, *, threads: int, memory_bytes: int) -> None:
        self._blocks = BlockFileSystem()
        self._pace = Pace()
        self._open = partial(_open, threads, memory_bytes, self._blocks, self._pace)
        self._database = self._open()
        self._lock = threading.Lock()
        self._watch = _Watch()

    def run(self, sql: str, scans: Mapping[str, Scan], *, timeout_s: float, run: Run | None = None) -> pa.Table:
        """The whole result of one SELECT, in memory. As `stream`."""
        with self.stream(sql, scans, timeout_s=timeout_s, run=run) as rows:
            return rows.read_all()

    @contextmanager
    def stream(
        self, sql: str, scans: Mapping[str, Scan], *, timeout_s: float, run: Run | None = None
    ) -> Iterator[pa.RecordBatchReader]:
        """The result of one SELECT that reads each scan by the name it has in `scans`, batch by batch.

        Columns come by place with the types of model/types.py. The scans stay open; their caller closes them.
        Raises QueryFailed (a fault of the data, time or memory, or the engine's own), Conflict if cancelled, Corrupt
        for a bad block, Unavailable for a statement the engine cannot read, which is a bug of ours; also while the
        rows are read.
        """
        run = run or Run()
        # The outermost: the engine's threads may read until the cursor is closed.
        with (
            self._blocks.serving(part for scan in scans.values() for part in scan.blocks) as served,
            self._pace.run(lambda: run.is_over) as number,
        ):
            with self._lock:
                database = self._database
                cursor = database.cursor()
            run.attach(cursor, self._watch, time.monotonic() + timeout_s)
            self._watch.add(run)
            try:
                with _engine_errors():
                    if runs_python(sql):
                        cursor.execute(f"SET VARIABLE {RUN_VARIABLE} = {number}")
                    held: list[object] = []
                    yield _rows(cursor, sql, scans, held)
            except duckdb.Error as fault:
                if is_end_of_database(fault):
                    _log.error("database_ended", reason=str(fault))
                    self._replace(database)
                if isinstance(fault, duckdb.InterruptException) or run.is_over:
                    raise _ended(run, timeout_s) from fault
                if (of_block := fault_among(served)) is not None:
                    raise of_block from fault
                raise fault_of(fault) from fault
            finally:
                self._watch.remove(run)
                run.attach(None, self._watch, float("inf"))
                cursor.close()

    def _replace(self, ended: duckdb.DuckDBPyConnection) -> None:
        """Open a fresh database for the next runs, unless another run has. Runs on the ended one fail one by one."""
        with self._lock:
            if self._database is ended:
                self._database = self._open()
                ended.close()

    def close(self) -> None:
        """Runs must have ended."""
        self._watch.close()
        self._database.close()


def _ended(run: Run, timeout_s: float) -> Fault:
    """Why a run has ended that was told to."""
    if run.is_cancelled:
        return Conflict("The query was cancelled")
    return QueryFailed(f"Query timed out after {timeout_s:g} seconds")


@contextmanager
def _engine_errors() -> Iterator[None]:
    """What goes wrong while rows are read is an error of the engine, though Arrow raises it."""
    try:
        yield
    except pa.ArrowException as error:
        raise duckdb.Error(str(error)) from error
    except OSError as error:
        raise streamed(error) from error


def _rows(
    cursor: duckdb.DuckDBPyConnection, sql: str, scans: Mapping[str, Scan], held: list[object]
) -> pa.RecordBatchReader:
    """Starts a statement. `held` gets what must stay while the rows are read.

    By the steps behind `cursor.from_arrow` and `cursor.sql`, which between them plan a statement twice and ask for the
    columns of each table: with small queries that is half of the time.
    """

    def query_of(table: pa.Table) -> str:
        source = cursor._register_source(table, None)
        held.append(source)
        return f"FROM {quoted_name(source.name)}"

    # In a value the engine takes nothing but one SELECT, and reads it while other threads run Python.
    whole = f"FROM query({quoted(with_scans(sql, scans, query_of))})"
    return cursor._submit(whole, None, "stream", BATCH_ROWS).arrow_reader()


DISABLED_OPTIMIZERS = "common_subexpressions,outer_join_simplification"
"""What DuckDB 2.0.0 gets wrong: it computes operands outside the TRY, CASE or COALESCE that guards them, and it
turns a LEFT JOIN with `IS NULL` on its right side into an anti-join that loses the right side's own conditions."""


def _open(threads: int, memory_bytes: int, blocks: BlockFileSystem, pace: Pace) -> duckdb.DuckDBPyConnection:
    """A locked database. Its threads have the priority of the thread that opens it."""
    with ThreadPoolExecutor(1, initializer=stand_back) as pool:
        return pool.submit(_opened, threads, memory_bytes, blocks, pace).result()


def _opened(threads: int, memory_bytes: int, blocks: BlockFileSystem, pace: Pace) -> duckdb.DuckDBPyConnection:
    database = duckdb.connect(":memory:")
    _configure(database, threads, memory_bytes)
    _define(database, pace)
    database.register_filesystem(blocks)
    _lock(database)
    return database


def _configure(database: duckdb.DuckDBPyConnection, threads: int, memory_bytes: int) -> None:
    settings = {
        "threads": str(threads),
        "memory_limit": f"'{memory_bytes}B'",
        "disabled_optimizers": f"'{DISABLED_OPTIMIZERS}'",
        "temp_directory": "''",
        "max_temp_directory_size": "'0KB'",
        "parquet_metadata_cache": "true",
        "python_enable_replacements": "false",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "allow_community_extensions": "false",
        "enable_progress_bar": "true",
        "enable_progress_bar_print": "false",
    }
    for name, value in settings.items():
        database.execute(f"SET {name} = {value}")


def _define(database: duckdb.DuckDBPyConnection, pace: Pace) -> None:
    for function in PYTHON_FUNCTIONS:
        database.create_function(
            function.own_name,
            function.paced(pace),
            ["BIGINT", *function.arguments],
            function.result,
            type=PythonUDFType.ARROW if isinstance(function, ArrowFunction) else PythonUDFType.NATIVE,
            null_handling=FunctionNullHandling.SPECIAL,
        )
        database.execute(function.macro())
    for statement in statements():
        database.execute(statement)


def _lock(database: duckdb.DuckDBPyConnection) -> None:
    """From here on no statement can reach a file that is not ours, nor undo this."""
    database.execute(f"SET allowed_directories = ['{SCHEME}://']")
    database.execute("SET enable_external_access = false")
    database.execute("SET lock_configuration = true")
