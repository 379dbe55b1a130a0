"""The spool: rows come back as they were, from memory or disk; files survive a restart and are removed in time."""

from __future__ import annotations

import secrets
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.errors import QueryFailed, Unavailable
from headwater.files import LocalFiles
from headwater.model.types import Array, Field, Map, OutputColumn, Row, Scalar, Timeseries
from headwater.query.result import RowsInMemory
from headwater.query.spool import IN_MEMORY_BYTES, KEPT_S, Gathering, Spool
from headwater.sealing import KEY_BYTES, KEY_ID_BYTES, ChunkCache, DataKey, DataKeys, SealingKey, Vault
from support.faulty_files import FaultyFiles

COLUMNS = (
    OutputColumn("a", Scalar.VARCHAR),
    OutputColumn("ts", Timeseries(Scalar.DOUBLE)),
    OutputColumn("r", Row((Field("x", Array(Scalar.DATE)), Field(None, Map(Scalar.VARCHAR, Scalar.BIGINT))))),
)


class OneKey(DataKeys):
    """Data keys under one key."""

    under = SealingKey(b"u" * KEY_BYTES)

    def new(self, place: str) -> DataKey:
        key = secrets.token_bytes(KEY_BYTES)
        slot = bytes(KEY_ID_BYTES) + self.under.seal(key, place, secrets.token_bytes)
        return DataKey(key, slot, place.encode())

    def open(self, place: str, slot: bytes) -> DataKey:
        return DataKey(self.under.unseal(slot[KEY_ID_BYTES:], place), slot, place.encode())


def spool_in(folder: Path, *, now_s: int = 0, result_bytes: int = 10**9, files: LocalFiles | None = None) -> Spool:
    spool = Spool(files or LocalFiles(), folder / "results", Vault(OneKey(), ChunkCache(1 << 20)), result_bytes)
    spool.open(now_s)
    return spool


def batches(rows: int, width: int) -> list[pa.RecordBatch]:
    """Rows in batches of up to 10,000; every value is its own, in a dictionary as dimensions are."""
    table = pa.table({"c0": pa.array([f"{row}".ljust(width, "x") for row in range(rows)]).dictionary_encode()})
    return table.to_batches(max_chunksize=10_000)


def gathered(gathering: Gathering, parts: list[pa.RecordBatch]):
    for part in parts:
        gathering.add(part)
    return gathering.finish(parts[0].schema, COLUMNS[:1], 11, 22)


@settings(max_examples=12, deadline=None)
@given(rows=st.integers(1, 60_000), width=st.sampled_from([1, 300]), data=st.data())
def test_slices_are_the_rows_wherever_they_are_kept(tmp_path_factory: pytest.TempPathFactory, rows, width, data):
    spool = spool_in(tmp_path_factory.mktemp("spool"))
    result = gathered(spool.gather("Q", 0), batches(rows, width))
    if isinstance(result.rows, RowsInMemory) and data.draw(st.booleans()):
        result = spool.gather("Q", 0).store(result)
    assert result.rows.count == rows
    for _ in range(5):
        start = data.draw(st.integers(0, rows - 1))
        count = data.draw(st.integers(0, min(3_000, rows - start)))
        found = result.rows.slice(start, count)["c0"].to_pylist()
        assert found == [f"{row}".ljust(width, "x") for row in range(start, start + count)]


def test_a_small_result_stays_in_memory_and_a_large_one_does_not(tmp_path: Path):
    spool = spool_in(tmp_path)
    assert gathered(spool.gather("small", 0), batches(10, 10)).rows.memory_bytes > 0
    assert list((tmp_path / "results").iterdir()) == []
    large = gathered(spool.gather("large", 0), batches(60_000, 300))
    assert large.rows.bytes > IN_MEMORY_BYTES
    assert large.rows.memory_bytes == 0
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["0-1-large.result"]


def test_a_large_result_is_written_once(tmp_path: Path):
    spool = spool_in(tmp_path)
    large = gathered(spool.gather("Q", 0), batches(60_000, 300))
    assert spool.gather("Q", 0).store(large) is large


def test_a_run_repeated_within_its_second_does_not_find_the_first_one_s_chunks(tmp_path: Path):
    spool = spool_in(tmp_path)
    for rows in (60_000, 50_000):
        large = gathered(spool.gather("Q", 0), batches(rows, 300))
        assert large.rows.slice(rows - 1, 1)["c0"].to_pylist() == [f"{rows - 1}".ljust(300, "x")]


def test_an_empty_result_can_be_stored(tmp_path: Path):
    spool = spool_in(tmp_path)
    schema = pa.schema([("c0", pa.string())])
    kept = spool.gather("Q", 0).store(spool.gather("Q", 0).finish(schema, COLUMNS[:1], 1, 2))
    assert kept.rows.count == 0
    assert kept.rows.slice(0, 0).num_rows == 0


def test_a_later_process_finds_the_result_with_its_types(tmp_path: Path):
    table = pa.table({"c0": ["a", None], "c1": [[{"t": 1, "v": 0.5}], None], "c2": [None, None]})
    gathering = spool_in(tmp_path).gather("Q", 0)
    before = gathering.store(gathering.finish(table.schema, COLUMNS, 5, 7))
    assert before.rows.count == 0
    gathering = spool_in(tmp_path).gather("R", 0)
    gathering.add(table.to_batches()[0])
    gathering.store(gathering.finish(table.schema, COLUMNS, 5, 7))
    found = spool_in(tmp_path).find("R")
    assert found is not None
    assert found.rows.slice(0, 2).to_pylist() == table.to_pylist()
    assert (found.columns, found.scanned_bytes, found.metered_bytes) == (COLUMNS, 5, 7)
    assert spool_in(tmp_path).find("S") is None


def test_old_and_unfinished_files_are_removed_at_start(tmp_path: Path):
    spool = spool_in(tmp_path)
    gathered(spool.gather("old", 1_000), batches(60_000, 300))
    gathered(spool.gather("young", 2_000), batches(60_000, 300))
    (tmp_path / "results" / "7d0-half.result.new").write_bytes(b"half")
    later = spool_in(tmp_path, now_s=1_001 + KEPT_S)
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["7d0-1-young.result"]
    assert later.find("old") is None
    later.forget("young")
    assert list((tmp_path / "results").iterdir()) == []


def test_a_damaged_file_is_no_result(tmp_path: Path):
    gathered(spool_in(tmp_path).gather("Q", 0), batches(60_000, 300))
    path = tmp_path / "results" / "0-0-Q.result"
    data = bytearray(path.read_bytes())
    data[-40] ^= 1
    path.write_bytes(data)
    assert spool_in(tmp_path).find("Q") is None


def test_nothing_readable_of_a_result_is_on_disk(tmp_path: Path):
    gathered(spool_in(tmp_path).gather("Q", 0), batches(60_000, 300))
    assert b"xxxxxxxxxxxxxxxx" not in (tmp_path / "results" / "0-0-Q.result").read_bytes()


def test_a_result_that_is_too_large_fails_and_leaves_no_file(tmp_path: Path):
    gathering = spool_in(tmp_path, result_bytes=IN_MEMORY_BYTES * 2).gather("Q", 0)
    with pytest.raises(QueryFailed, match="exceeds the limit"):
        gathered(gathering, batches(60_000, 300))
    gathering.discard()
    assert list((tmp_path / "results").iterdir()) == []


def test_a_failing_disk_is_a_fault_and_leaves_no_file():
    files = FaultyFiles()
    spool = spool_in(Path("/data"), files=files)
    gathering = spool.gather("Q", 0)
    files.fail("pwrite", "spool.write")
    with pytest.raises(Unavailable, match="could not be written"):
        gathered(gathering, batches(60_000, 300))
    gathering.discard()
    assert files.list(Path("/data/results"), site="test") == []
