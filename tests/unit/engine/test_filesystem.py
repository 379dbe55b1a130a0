"""Blocks as files of the engine: only those of running scans, right bytes for many threads, faults as they were."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headwater.engine.engine import Engine
from headwater.engine.filesystem import BlockFileSystem, url_of
from headwater.errors import Corrupt, Fault, KeyUnusable, QueryFailed
from headwater.files import LocalFiles, Source
from headwater.model.scan import BlockPart, Scan, ScanRequest
from headwater.model.table import Column, ColumnKind, TableId
from headwater.model.types import Scalar
from headwater.sealing import ChunkCache, SealedSource, SealingFile, Vault
from support.keys import LOG_KEYS

CPU = Column("cpu", ColumnKind.MULTI, Scalar.DOUBLE, "cpu")
ROWS = 300_000
VALUES = np.random.default_rng(1).normal(size=ROWS)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    made = Engine(threads=4, memory_bytes=256 << 20)
    yield made
    made.close()


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("blocks") / "a.parquet"
    with path.open("wb") as file:
        sealing = SealingFile(lambda data: file.write(data) and None, LOG_KEYS.new("a"))
        pq.write_table(pa.table({"cpu": VALUES}), sealing, row_group_size=20_000)
        sealing.finish()
    return path


class Failing(Source):
    """A source whose reads raise from the given one on."""

    def __init__(self, source: Source, fault: BaseException, after: int) -> None:
        self._source = source
        self._fault = fault
        self._left = after

    @property
    def size_bytes(self) -> int:
        return self._source.size_bytes

    def read_at(self, offset: int, length: int) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise self._fault
        return self._source.read_at(offset, length)

    def close(self) -> None:
        self._source.close()


def opener(path: Path, cache_bytes: int = 0) -> Callable[[], Source]:
    vault = Vault(LOG_KEYS, ChunkCache(cache_bytes))
    return lambda: SealedSource(LocalFiles().open_source(path, site="test"), "a", vault)


def part(path: Path, open: Callable[[], Source], name: str = "t/a.parquet") -> BlockPart:
    return BlockPart(name, frozenset({"cpu"}), {}, ROWS, path.stat().st_size, open)


def total(engine: Engine, *parts: BlockPart) -> float:
    scan = Scan(ScanRequest(TableId("t"), ((CPU, "c0"),)), (), parts)
    return engine.run("SELECT sum(c0) FROM s", {"s": scan}, timeout_s=30)[0][0].as_py()


def test_the_engine_reads_a_sealed_block_from_all_its_threads(engine: Engine, sealed: Path) -> None:
    """Several open files, several threads in each, a cache that holds a part: the bytes are always the right ones."""
    parts = [part(sealed, opener(sealed, size), f"t/{size}.parquet") for size in (0, 1 << 20, 1 << 30)]
    with ThreadPoolExecutor(4) as threads:
        sums = list(threads.map(lambda i: total(engine, parts[i % 3]), range(24)))
    assert sums == pytest.approx([VALUES.sum()] * 24)


def test_a_block_is_there_while_a_run_reads_it_and_no_longer(engine: Engine, sealed: Path) -> None:
    one = part(sealed, opener(sealed))
    assert total(engine, one) == pytest.approx(VALUES.sum())
    with pytest.raises((QueryFailed, Corrupt)):
        engine.run(f"SELECT * FROM read_parquet('{url_of(one)}')", {}, timeout_s=9)


def test_two_runs_share_an_open_block_and_the_last_one_closes_it(sealed: Path) -> None:
    opened: list[Source] = []
    files = BlockFileSystem()
    one = part(sealed, lambda: opened.append(opener(sealed)()) or opened[-1])
    with files.serving([one]):
        with files.serving([one]), files.open(url_of(one)) as file:
            assert file.read(4) == b"PAR1"
        with files.open(url_of(one)) as file:
            assert file.read(4) == b"PAR1"
    assert len(opened) == 1
    with pytest.raises(OSError, match="Bad file descriptor"):
        opened[0].read_at(10 * 65_536, 10)
    with pytest.raises(FileNotFoundError):
        files.open(url_of(one))
    assert files.glob(url_of(one)) == []


@pytest.mark.parametrize("after", [None, 0, 1, 2])
@pytest.mark.parametrize(("kind", "expected"), [(Corrupt, Corrupt), (KeyUnusable, KeyUnusable), (OSError, Corrupt)])
def test_what_reading_fails_with_is_what_the_run_fails_with(
    sealed: Path, after: int | None, kind: type[Exception], expected: type[Fault]
) -> None:
    engine, fault = Engine(threads=2, memory_bytes=64 << 20), kind("what is wrong")

    def open_failing() -> Source:
        if after is None:
            raise fault
        return Failing(opener(sealed)(), fault, after)

    with pytest.raises(expected) as caught:
        total(engine, part(sealed, open_failing))
    assert kind is OSError or caught.value is fault
    assert "what is wrong" in caught.value.message
    assert total(engine, part(sealed, opener(sealed))) == pytest.approx(VALUES.sum())
    engine.close()


def test_a_damaged_block_is_never_an_answer(engine: Engine, sealed: Path, tmp_path: Path) -> None:
    whole, random = sealed.read_bytes(), Random(1)
    for i in range(20):
        at = random.randrange(len(whole))
        path = tmp_path / f"{i}.parquet"
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << random.randrange(8)]) + whole[at + 1 :])
        with pytest.raises(Fault):
            total(engine, part(path, opener(path), f"t/damaged{i}.parquet"))
    assert threading.active_count() < 30
