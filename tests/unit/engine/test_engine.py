"""The engine room with real blocks and memory tables: relations, the lock, faults, cancelling, many at once."""

from __future__ import annotations

import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import structlog
import structlog.testing

from headwater.engine.engine import Engine, Run
from headwater.engine.functions import PYTHON_FUNCTIONS, runs_python
from headwater.engine.relations import with_scans
from headwater.errors import Conflict, Corrupt, QueryFailed, Unavailable
from headwater.files import LocalFiles, Source
from headwater.model.scan import BlockPart, Scan, ScanRequest, TimeRange
from headwater.model.table import TIME, Column, ColumnKind, TableId
from headwater.model.types import Scalar
from headwater.threads import NICENESS

HOST = Column("Host", ColumnKind.DIMENSION, Scalar.VARCHAR, "Host_2")
CPU = Column("cpu", ColumnKind.MULTI, Scalar.DOUBLE, "cpu")
SEEN = Column("seen", ColumnKind.MULTI, Scalar.TIMESTAMP, "seen")
COUNT = Column("count", ColumnKind.MULTI, Scalar.BIGINT, "count")
UP = Column("up", ColumnKind.MULTI, Scalar.BOOLEAN, "up")
COLUMNS = ((TIME, "c0"), (HOST, "c1"), (CPU, "c2"), (SEEN, "c3"), (COUNT, "c4"))
NEVER_ENDS = "SELECT count(*) FROM range(100000000) a, range(100000) b WHERE a.range + b.range <> 7"


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("it's blocks")


@pytest.fixture(scope="module")
def engine(blocks: Path) -> Iterator[Engine]:
    made = Engine(threads=2, memory_bytes=256 << 20)
    yield made
    made.close()


def request(columns: Any = COLUMNS, **more: Any) -> ScanRequest:
    return ScanRequest(TableId("t"), columns, **more)


def opener(path: Path) -> Callable[[], Source]:
    return lambda: LocalFiles().open_source(path, site="test")


def block(path: Path, times: list[int], more: dict[str, Any] | None = None, **hints: Any) -> BlockPart:
    """A block file as the store writes it: instants as timestamp[ns], hidden columns beside the table's."""
    table = {
        "time": pa.array(times, pa.int64()).cast(pa.timestamp("ns")),
        "Host_2": pa.array([f"h{t}" for t in times]).dictionary_encode(),
        "cpu": pa.array([float(t) for t in times]),
        "_series": pa.array([t % 3 for t in times], pa.int64()),
        **(more or {}),
    }
    pq.write_table(pa.table(table), path)
    return BlockPart(str(path), frozenset(table), {}, len(times), path.stat().st_size, opener(path), **hints)


def memory(times: list[int]) -> pa.Table:
    return pa.table(
        {
            "c0": pa.array(times, pa.int64()),
            "c1": pa.array([f"h{t}" for t in times]).dictionary_encode(),
            "c2": pa.array([float(t) for t in times]),
            "c3": pa.array([None if t % 2 else t for t in times], pa.int64()),
            "c4": pa.nulls(len(times), pa.int64()),
        }
    )


def rows(engine: Engine, sql: str, scan: Scan | None = None) -> list[tuple[Any, ...]]:
    table = engine.run(sql, {} if scan is None else {"s": scan}, timeout_s=20)
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def test_memory_and_blocks_are_one_relation(engine: Engine, blocks: Path) -> None:
    parts = (
        block(blocks / "a.parquet", [1, 2]),
        block(blocks / "b.parquet", [3]),
        block(
            blocks / "c.parquet",
            [4],
            {"seen": pa.array([1_700_000_000_123_456_789]).cast(pa.timestamp("ns")), "count": pa.array([7])},
        ),
    )
    scan = Scan(request(), (memory([5]), memory([6, 7])), parts)
    assert rows(engine, "SELECT c0, c1, c2, c3, c4 FROM s ORDER BY c0 DESC", scan) == [
        (7, "h7", 7.0, None, None),
        (6, "h6", 6.0, 6, None),
        (5, "h5", 5.0, None, None),
        (4, "h4", 4.0, 1_700_000_000_123_456_789, 7),
        (3, "h3", 3.0, None, None),
        (2, "h2", 2.0, None, None),
        (1, "h1", 1.0, None, None),
    ]
    assert rows(engine, "WITH x AS (SELECT c0 FROM s WHERE c1 = 'h3') SELECT * FROM x, x AS y", scan) == [(3, 3)]


def test_types_of_a_relation(engine: Engine, blocks: Path) -> None:
    expected = [pa.int64(), pa.string(), pa.float64(), pa.int64(), pa.int64(), pa.bool_()]
    columns = (*COLUMNS, (UP, "c5"))
    for parts in ((), (block(blocks / "types.parquet", [1]),)):
        table = engine.run(
            "SELECT c0, c1, c2, c3, c4, c5 FROM s", {"s": Scan(request(columns), (), parts)}, timeout_s=9
        )
        assert [field.type for field in table.schema] == expected
        assert table.num_rows == len(parts)


def test_columns_nobody_asked_for_are_counted_all_the_same(engine: Engine, blocks: Path) -> None:
    part = block(blocks / "count.parquet", [1, 2, 3])
    assert rows(engine, "SELECT count(*) FROM s", Scan(request(()), (), (part,))) == [(3,)]
    assert rows(engine, "SELECT count(*) FROM s", Scan(request(()), (), ())) == [(0,)]


def test_time_range_is_exact_and_inclusive(engine: Engine, blocks: Path) -> None:
    part = block(blocks / "range.parquet", [1, 2, 3, 4])
    scan = Scan(request(time=TimeRange(2, 3)), (), (part,))
    assert rows(engine, "SELECT c0 FROM s ORDER BY 1", scan) == [(2,), (3,)]
    assert '"time" >= make_timestamp_ns(2) AND "time" <= make_timestamp_ns(3)' in with_scans(
        "SELECT 1", {"s": scan}, str
    )


def test_extreme_instants_are_read(engine: Engine, blocks: Path) -> None:
    ends = [-(2**63), -(2**63) + 1, 2**63 - 2, 2**63 - 1]
    seen = {"seen": pa.array(ends).cast(pa.timestamp("ns"))}
    part = block(blocks / "ends.parquet", [-(2**63) + 2, 0, 1, 2**63 - 2], seen)
    scan = Scan(request(), (), (part,))
    assert [t for (t,) in rows(engine, "SELECT c3 FROM s ORDER BY c0", scan)] == ends
    scan = Scan(request(time=TimeRange(-(2**63) + 2, 2**63 - 2)), (), (part,))
    assert rows(engine, "SELECT min(c0), max(c0), count(*) FROM s", scan) == [(-(2**63) + 2, 2**63 - 2, 4)]


def test_series_and_deleted_rows(engine: Engine, blocks: Path) -> None:
    chosen = block(blocks / "series.parquet", list(range(9)), series_ids=(1, 2))
    none = block(blocks / "none.parquet", [0, 3], series_ids=())
    deleted = block(blocks / "deleted.parquet", [10, 11, 12, 13], deleted_rows=np.array([0, 2], np.int64))
    both = block(
        blocks / "both.parquet", [20, 21, 22, 23], deleted_rows=np.array([1]), series_ids=(0, 2)
    )  # series 2, 0, 1, 2
    scan = Scan(request(), (), (chosen, none, deleted, both))
    found = [t for (t,) in rows(engine, "SELECT c0 FROM s ORDER BY 1", scan)]
    assert found == [1, 2, 4, 5, 7, 8, 11, 13, 20, 23]


def test_many_series_are_not_listed(blocks: Path) -> None:
    part = block(blocks / "many.parquet", [1], series_ids=tuple(range(5_000)))
    assert "_series" not in with_scans("SELECT 1", {"s": Scan(request(), (), (part,))}, str)


def test_blocks_with_the_same_columns_are_one_list(blocks: Path) -> None:
    parts = tuple(block(blocks / f"one{i}.parquet", [i]) for i in range(3))
    other = block(blocks / "other.parquet", [9], {"unasked": pa.array([1])})
    assert with_scans("SELECT 1", {"s": Scan(request(), (), (*parts, other))}, str).count("read_parquet") == 1


def test_folders_named_like_partitions_make_no_columns(engine: Engine, blocks: Path) -> None:
    folder = blocks / "Host_2=x"
    folder.mkdir()
    assert rows(engine, "SELECT c1 FROM s", Scan(request(), (), (block(folder / "p.parquet", [1]),))) == [("h1",)]


def test_memory_only_with_chunks_of_other_dictionaries(engine: Engine) -> None:
    chunks = pa.concat_tables([memory([1]), memory([2]), memory([3])])
    scan = Scan(request(), (chunks,), ())
    assert rows(engine, "SELECT c1, count(*) FROM s GROUP BY 1 ORDER BY 1", scan) == [("h1", 1), ("h2", 1), ("h3", 1)]


# --------------------------------------------------------------------------------------------- the lock


def test_other_files_are_refused(engine: Engine, blocks: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.parquet"
    pq.write_table(pa.table({"a": [1]}), outside)
    for source in (
        f"read_parquet('{outside}')",
        "read_csv('/etc/passwd')",
        "read_text('/etc/passwd')",
        "glob('/etc/*')",
        f"read_parquet('{str(blocks).replace(chr(39), chr(39) * 2)}/../outside.parquet')",
    ):
        with pytest.raises((QueryFailed, Corrupt, Unavailable)) as fault:
            engine.run(f"SELECT * FROM {source}", {}, timeout_s=9)
        assert "root" not in str(fault.value)


def test_only_a_select_runs(engine: Engine, blocks: Path) -> None:
    inside = str(blocks).replace("'", "''")
    for statement in (
        f"COPY (SELECT 1) TO '{inside}/out.csv'",
        f"ATTACH '{inside}/other.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET threads = 1",
        "CREATE TABLE t (a INTEGER)",
        "PRAGMA version",
        "SELECT 1; SELECT 2",
    ):
        with pytest.raises(Unavailable, match="single SELECT"):
            engine.run(statement, {}, timeout_s=9)
    assert not list(blocks.glob("out.csv"))


def test_statements_beside_the_check_are_refused_by_the_lock(engine: Engine, tmp_path: Path) -> None:
    """Without our own look at the statement, the engine itself still refuses what leaves the folder."""
    cursor = engine._database.cursor()
    for statement in (
        f"COPY (SELECT 1) TO '{tmp_path}/x.csv'",
        f"ATTACH '{tmp_path}/x.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET allowed_directories = ['/']",
        "SET lock_configuration = false",
    ):
        with pytest.raises(Exception, match=r"disabled|locked|Cannot"):
            cursor.execute(statement)
    assert not list(tmp_path.iterdir())


def test_python_objects_are_no_tables(engine: Engine) -> None:
    secrets = pa.table({"a": [1]})
    with pytest.raises(Unavailable, match="secrets"):
        engine.run("SELECT * FROM secrets", {}, timeout_s=9)
    assert secrets.num_rows == 1


def test_one_run_does_not_see_the_tables_of_another(engine: Engine) -> None:
    scan = Scan(request(), (memory([1]),), ())
    assert rows(engine, "SELECT count(*) FROM s", scan) == [(1,)]
    with pytest.raises(Unavailable):
        engine.run("SELECT count(*) FROM s", {}, timeout_s=9)
    with pytest.raises(Unavailable):
        engine.run('SELECT count(*) FROM "s memory 0"', {}, timeout_s=9)


# -------------------------------------------------------------------------------------------- failures


def test_faults_are_in_our_words(engine: Engine) -> None:
    for sql, message in (
        ("SELECT 1 // x FROM (VALUES (0)) t(x)", "Division by zero"),
        ("SELECT (SELECT range FROM range(3))", "Scalar sub-query has returned multiple rows"),
        ("SELECT regexp_matches(x, y) FROM (VALUES ('a', '(')) t(x, y)", "Invalid regular expression"),
        ("SELECT x + 1::BIGINT FROM (VALUES (9223372036854775807)) t(x)", None),
        ("SELECT CAST(x AS BIGINT) FROM (VALUES ('a')) t(x)", "The query failed while it was run"),
        ("SELECT CAST('\x02A text of ours: é\x03' AS BIGINT)", "A text of ours: é"),
    ):
        with pytest.raises(QueryFailed) as fault:
            engine.run(sql, {}, timeout_s=9)
        assert fault.value.message == (message or "bigint addition overflow: 9223372036854775807 + 1")


def test_a_statement_the_engine_cannot_read_is_our_fault(engine: Engine) -> None:
    for statement in ("SELEC 1", "SELECT nope", "SELECT nope(1)", "SELECT 1 + []"):
        with pytest.raises(Unavailable, match="The lowered statement is wrong"):
            engine.run(statement, {}, timeout_s=9)
    assert rows(engine, "SELECT 1") == [(1,)]


def test_an_ended_database_is_replaced(tmp_path: Path) -> None:
    """A checkpoint that is told to fail ends a database for good, as the engine's own errors do."""
    made = Engine(threads=1, memory_bytes=64 << 20)
    ended = duckdb.connect(str(tmp_path / "ended.db"))
    ended.execute("SET debug_checkpoint_abort = 'before_header'")
    ended.execute("CREATE TABLE t (a INTEGER)")
    with pytest.raises(duckdb.FatalException):
        ended.execute("FORCE CHECKPOINT")
    made._database = ended
    with structlog.testing.capture_logs() as logs, pytest.raises(QueryFailed) as fault:
        made.run("SELECT 1", {}, timeout_s=9)
    assert fault.value.message == "The query failed while it was run"
    assert [(log["event"], log["log_level"]) for log in logs] == [("database_ended", "error")]
    assert "Checkpoint aborted" in logs[0]["reason"]
    assert rows(made, "SELECT hw_date_text(0)") == [("1970-01-01",)]
    with pytest.raises((QueryFailed, Corrupt)):
        made.run("SELECT * FROM read_text('/etc/passwd')", {}, timeout_s=9)
    made.close()


def test_bad_blocks_are_corrupt(engine: Engine, blocks: Path) -> None:
    whole = block(blocks / "whole.parquet", list(range(20_000)))
    content = Path(whole.path).read_bytes()
    for name, damaged in (("short", content[:-9]), ("empty", b""), ("missing", None)):
        path = blocks / f"{name}.parquet"
        if damaged is not None:
            path.write_bytes(damaged)
        part = replace(whole, path=str(path), open=opener(path))
        with pytest.raises(Corrupt):
            engine.run("SELECT sum(c2) FROM s", {"s": Scan(request(), (), (part,))}, timeout_s=9)


def test_memory_limit(blocks: Path) -> None:
    small = Engine(threads=1, memory_bytes=32 << 20)
    with pytest.raises(QueryFailed, match="Query exceeded the memory limit of the server"):
        small.run("SELECT list(range) FROM range(30000000)", {}, timeout_s=20)
    assert rows(small, "SELECT 1") == [(1,)]
    small.close()


def test_time_out(engine: Engine) -> None:
    started = time.monotonic()
    with pytest.raises(QueryFailed, match=r"^Query timed out after 0\.1 seconds$"):
        engine.run(NEVER_ENDS, {}, timeout_s=0.1)
    assert time.monotonic() - started < 2
    with pytest.raises(QueryFailed, match="timed out"):
        engine.run(NEVER_ENDS, {}, timeout_s=0)
    assert rows(engine, "SELECT 1") == [(1,)]


@pytest.mark.parametrize("delay_s", [0, 0.3])
def test_cancel_from_another_thread(engine: Engine, delay_s: float) -> None:
    """Whether the engine has begun or not."""
    run = Run()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(engine.run, NEVER_ENDS, {}, timeout_s=60, run=run)
        time.sleep(delay_s)
        cancelled = time.monotonic()
        run.cancel()
        with pytest.raises(Conflict, match="cancelled"):
            answer.result(timeout=10)
        assert time.monotonic() - cancelled < 1


def test_cancel_before_the_start_and_after_the_end(engine: Engine) -> None:
    early = Run()
    early.cancel()
    with pytest.raises(Conflict):
        engine.run(NEVER_ENDS, {}, timeout_s=60, run=early)
    late = Run()
    assert engine.run("SELECT 1", {}, timeout_s=60, run=late).num_rows == 1
    late.cancel()
    assert late.progress_percent == 0.0


def test_many_at_once_keep_to_their_own(engine: Engine, blocks: Path) -> None:
    parts = [block(blocks / f"at_once{i}.parquet", [i]) for i in range(8)]

    def one(i: int) -> list[tuple[Any, ...]]:
        scan = Scan(request(), (memory([100 + i]),), (parts[i % 8],))
        return rows(engine, "SELECT c0, hw_double_text(c2 * 1e9) FROM s ORDER BY c0", scan)

    before = threading.active_count()
    with ThreadPoolExecutor(8) as pool:
        for i, found in enumerate(pool.map(one, range(160))):
            assert [t for t, _ in found] == [i % 8, 100 + i]
    assert threading.active_count() < before + 20


def test_a_trivial_query_takes_milliseconds(engine: Engine) -> None:
    def once() -> float:
        started = time.perf_counter()
        engine.run("SELECT 1", {}, timeout_s=9)
        return time.perf_counter() - started

    once()
    assert statistics.median(once() for _ in range(50)) < 0.05, "the target is 3 ms on an idle machine"


SLOW_IN_PYTHON = (
    "SELECT max(arrow_levenshtein_distance(repeat('é', 60000) || CAST(range AS VARCHAR), repeat('è', 60000))) "
    "FROM range(2000)"
)
"""Seconds for one value."""


def test_a_function_in_python_ends_with_its_run(engine: Engine) -> None:
    run = Run()
    with ThreadPoolExecutor(1) as pool:
        began_s = time.process_time()
        answer = pool.submit(engine.run, SLOW_IN_PYTHON, {}, timeout_s=60, run=run)
        while time.process_time() < began_s + 0.3:
            time.sleep(0.01)
        cancelled = time.monotonic()
        run.cancel()
        with pytest.raises(Conflict, match="cancelled"):
            answer.result(timeout=30)
        assert time.monotonic() - cancelled < 2
    with pytest.raises(QueryFailed, match=r"^Query timed out after 0\.2 seconds$"):
        engine.run(SLOW_IN_PYTHON, {}, timeout_s=0.2)


def test_statements_that_run_python_are_known() -> None:
    assert all(runs_python(f"SELECT {function.name}(c1) FROM t") for function in PYTHON_FUNCTIONS)
    assert runs_python("SELECT hw_double_text(c1) FROM t"), "a macro that calls one"
    assert not runs_python("SELECT hw_floor(c1, 60), max(c2) FROM scan_0 GROUP BY 1")


def test_what_a_function_in_python_makes_is_limited(engine: Engine) -> None:
    """The engine does not count it."""
    with pytest.raises(QueryFailed, match="Query exceeded the memory limit of the server"):
        engine.run("SELECT max(len(arrow_combinations(30 + range % 7, 4))) FROM range(2000)", {}, timeout_s=60)


def test_a_function_in_python_takes_texts_of_a_limited_length(engine: Engine) -> None:
    assert rows(engine, "SELECT arrow_crc32(repeat('0', 65536))")
    with pytest.raises(QueryFailed, match=r"^A text of more than 65536 characters is too long for this function$"):
        engine.run("SELECT arrow_crc32(repeat('0', 65538))", {}, timeout_s=9)


def test_a_long_statement_is_the_same(engine: Engine) -> None:
    """It takes another way into the engine: order, names and faults stay."""
    listed = ", ".join(f"'it''s {n}'" for n in range(3_000))
    text = (
        f"SELECT range AS a, range + 1 AS a FROM range(100000) WHERE 'it''s 7' IN ({listed}) ORDER BY range % 7, range"
    )
    found = engine.run(text, {}, timeout_s=30)
    assert found.column(0).to_pylist() == sorted(range(100_000), key=lambda n: (n % 7, n))
    assert found.column(1)[0].as_py() == 1
    with pytest.raises(QueryFailed, match=r"^Division by zero$"):
        engine.run(f"SELECT range // (range - range) FROM range(9) WHERE '1' NOT IN ({listed})", {}, timeout_s=30)


@pytest.mark.skipif(sys.platform != "linux", reason="priorities of threads are Linux's")
def test_the_engine_stands_back(engine: Engine) -> None:
    """Threads of its own have a lower priority than the one that asks."""
    own = os.getpriority(os.PRIO_PROCESS, 0)
    engine.run("SELECT count(*) FROM range(3000000)", {}, timeout_s=30)
    found = {os.getpriority(os.PRIO_PROCESS, int(thread.name)) for thread in Path("/proc/self/task").iterdir()}
    assert {own, own + NICENESS} <= found
