"""What goes into a log entry comes out of it, and many entries come back into memory as if they were written again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import Corrupt
from headwater.model.record import Layout, RecordColumns
from headwater.model.series import Series
from headwater.model.table import MeasureType, TableId
from headwater.model.time import NS_PER_DAY
from headwater.storage import replay
from headwater.storage.admitted import Admitted, identity_keys, in_turns
from headwater.storage.entry import SeriesPacker, decode_payload, encode_payload
from headwater.storage.keys import unpack_keys
from headwater.storage.series import SeriesIndex
from support.stores import NOW_NS, StoreFolder, records, series

TABLE = TableId("t")
LAYOUT = Layout.multi(
    (
        ("a", MeasureType.DOUBLE),
        ("b", MeasureType.BIGINT),
        ("c", MeasureType.BOOLEAN),
        ("d", MeasureType.VARCHAR),
        ("e", MeasureType.TIMESTAMP),
    )
)
INT64S = st.integers(-(2**63), 2**63 - 1)
ROW = st.tuples(
    st.integers(0, 4), INT64S, st.integers(1, 3), st.floats(allow_nan=False), INT64S, st.booleans(), st.text(), INT64S
)


def admitted(rows: list[tuple[int, int, int, float, int, bool, str, int]]) -> Admitted:
    ordinals, times, versions, a, b, c, d, e = (list(column) for column in zip(*rows, strict=True))
    values = np.array(a), np.array(b, np.int64), np.array(c, np.bool_), d, np.array(e, np.int64)
    return Admitted(
        LAYOUT,
        np.arange(len(rows)),
        np.array(ordinals, np.int32),
        np.array(times, np.int64),
        np.array(versions, np.int64),
        values,
    )


@given(st.lists(st.lists(ROW, min_size=1, max_size=8), min_size=1, max_size=4))
def test_a_payload_is_decoded_as_it_was_encoded(batches: list[list[tuple[int, int, int, float, int, bool, str, int]]]):
    index = SeriesIndex()
    known = [Series(f"m{i % 2}", (("host", f"h{i}"), ("zone", "z"))) for i in range(5)]
    index.register(known)
    given_rows = [admitted(rows) for rows in batches]
    packer = SeriesPacker()
    for _ in range(2):
        decoded = decode_payload(encode_payload([(TABLE, index, rows) for rows in given_rows], packer))
        assert len(decoded) == len(given_rows)
        for logged, rows in zip(decoded, given_rows, strict=True):
            keys = unpack_keys(logged.keys)
            assert (logged.table, logged.layout) == (TABLE, LAYOUT)
            assert [keys.key(row) for row in logged.series] == [
                (known[i].measure_name, known[i].sent) for i in rows.ordinals
            ]
            assert logged.time_ns.tolist() == rows.time_ns.tolist()
            assert logged.version.tolist() == rows.version.tolist()
            for found, expected in zip(logged.values, rows.values, strict=True):
                assert list(found) == list(expected)


@given(st.lists(ROW, min_size=1, max_size=12), st.lists(st.integers(0, 2), min_size=12, max_size=12))
def test_rows_of_one_identity_come_in_their_order_and_never_two_at_once(
    rows: list[tuple[int, int, int, float, int, bool, str, int]], batch_of: list[int]
):
    everything = admitted([(row[0] % 2, row[1] % 2, *row[2:]) for row in rows])
    places = [[i for i in range(len(rows)) if batch_of[i] == number] for number in range(3)]
    batches = [everything.take(np.array(some)) for some in places if some]
    turns = list(in_turns(batches))
    for batch in turns:
        assert len(np.unique(identity_keys(batch.ordinals, batch.time_ns))) == len(batch)
    seen: dict[tuple[int, int], list[int]] = {}
    for batch in turns:
        for ordinal, time_ns, index in zip(batch.ordinals, batch.time_ns, batch.index, strict=True):
            seen.setdefault((ordinal, time_ns), []).append(index)
    assert all(indexes == sorted(indexes) for indexes in seen.values())
    assert sum(map(len, seen.values())) == len(rows)


def test_what_is_no_payload_is_named_so():
    for payload in (
        b"",
        b"\x00",
        msgspec.msgpack.encode([1, [["t", "MULTI", [["a", "NOTHING"]], 1, b"", b"", b"", b"", []]]]),
    ):
        with pytest.raises(Corrupt, match="cannot be read"):
            decode_payload(payload)
    with pytest.raises(Corrupt, match="payload format 9"):
        decode_payload(msgspec.msgpack.encode([9, []]))


@pytest.mark.parametrize("gathered", [1, 7, 65_536])
def test_a_replay_gives_what_was_there_however_many_entries_are_taken_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gathered: int
):
    monkeypatch.setattr(replay, "_GATHERED_ROWS", gathered)
    folder = StoreFolder(tmp_path)
    random = np.random.default_rng(1)
    for turn in range(60):
        rows = [
            (
                series(f"h{random.integers(4)}"),
                NOW_NS + int(random.integers(6)) * NS_PER_DAY // 2,
                turn + 1,
                float(turn),
            )
            for _ in range(3)
        ]
        folder.write(records(rows, ("usage", "load")[turn % 2]))
        if turn == 20:
            folder.store.flush()
    rows_before = found(folder)
    folder.open()
    assert found(folder) == rows_before
    folder.store.flush()
    folder.reopen()
    assert found(folder) == [("row in a block",)] * len(rows_before)
    folder.close()


def found(folder: StoreFolder) -> list[tuple[str, ...]]:
    """Every row in memory, and how many are in blocks."""
    scan = folder.scan()
    in_memory = [tuple(map(str, row.values())) for table in scan.memory for row in table.to_pylist()]
    in_blocks = sum(part.rows - (0 if part.deleted_rows is None else len(part.deleted_rows)) for part in scan.blocks)
    scan.close()
    return sorted(in_memory) + [("row in a block",)] * in_blocks


def test_times_that_are_all_equal_are_in_the_log_once():
    index = SeriesIndex()
    index.register([series(f"h{i}") for i in range(100)])
    rows = admitted([(i, 7, 1, 0.0, 0, False, "", 0) for i in range(100)])
    apart = replace(rows, time_ns=np.arange(100))
    sizes = [len(encode_payload([(TABLE, index, some)], SeriesPacker())) for some in (rows, apart)]
    assert sizes[1] - sizes[0] > 99 * 8 - 10


def test_a_replay_needs_no_series_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = StoreFolder(tmp_path)
    folder.write(records([(series(f"h{i}"), NOW_NS, 1, 1.0) for i in range(10)]))
    monkeypatch.setattr(Series, "__post_init__", lambda self: pytest.fail("a key was hashed"))
    folder.open()
    assert folder.store._tables.get(folder.table).memtable.rows == 10
    folder.close()


def test_records_of_a_request_are_admitted_in_its_order_across_layouts(tmp_path: Path):
    """Records 0 and 2 come in one batch, record 1 in the other: it is first to bring the measure `y`."""
    folder = StoreFolder(tmp_path)
    one = np.ones(1, np.int64)
    doubles = RecordColumns(
        Layout.single(MeasureType.DOUBLE),
        np.array([0, 2]),
        [series("a", "x"), series("a", "y")],
        np.full(2, NOW_NS),
        np.ones(2, np.int64),
        (np.ones(2),),
    )
    bigints = RecordColumns(
        Layout.single(MeasureType.BIGINT), np.array([1]), [series("a", "y")], np.array([NOW_NS]), one, (one,)
    )
    assert [conflict.index for conflict in folder.write(doubles, bigints)] == [2]
    folder.close()
