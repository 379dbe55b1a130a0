"""Some golden files once more, with the blocks in a bucket and no cache of them: the answers are those of any store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.golden import read_golden
from support.golden_world import Life, World, is_right

GOLDEN = Path(__file__).parents[1] / "sql"
BUCKET = "a-bucket"


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[dict[str, str]]:
    bucket = tmp_path / "buckets" / BUCKET
    bucket.mkdir(parents=True)
    yield {
        "object_store": f"file://{tmp_path}/buckets",
        "block_store": f"s3://{BUCKET}/golden",
        "block_cache_disk_mb": "0",
    }
    assert list(bucket.glob("golden/blocks/*/*.parquet")), "the blocks were elsewhere"


@pytest.mark.parametrize("life", [Life.FLUSHED, Life.HALVED, Life.COMPACTED])
@pytest.mark.parametrize("name", ["upsert", "last_point", "rows"])
def test_a_golden_file_on_a_bucket(tmp_path: Path, settings: dict[str, str], name: str, life: Life) -> None:
    golden = read_golden(GOLDEN / f"{name}.slt")
    world = World(golden, life, tmp_path / "data", **settings)
    wrong = [case.line for case in golden.cases if not case.mark and not is_right(case, world.answer(case))]
    world.close()
    assert wrong == []
    assert not list((tmp_path / "data").rglob("*.parquet"))
