"""The commands that look after a data folder, on one whose blocks lie in a bucket."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from formats.make_version1 import NOW_NS
from headwater.cli.main import main
from headwater.config import load
from headwater.instance import Instance
from headwater.model.time import FixedClock
from support.kept_folder import extract, flip, hosts, write

BUCKET = "a-bucket"


class Kept:
    """The kept folder, with blocks in it and some more in a bucket."""

    def __init__(self, folder: Path) -> None:
        self.buckets = folder / "buckets"
        (self.buckets / BUCKET).mkdir(parents=True)
        self.data = extract(folder / "data")
        instance = self.opened()
        for number in range(2):
            write(instance, f"new{number}", 1_000)
            instance.store.flush()
        self.hosts = hosts(instance)
        instance.close()

    def settings(self, prefix: str = "kept") -> dict[str, str]:
        return {"object_store": f"file://{self.buckets}", "block_store": f"s3://{BUCKET}/{prefix}"}

    def flags(self) -> list[str]:
        return [word for name, value in self.settings().items() for word in (f"--{name.replace('_', '-')}", value)]

    def opened(self, data: Path | None = None, prefix: str = "kept") -> Instance:
        settings = {"data": str(data or self.data), "listen": "127.0.0.1:0", **self.settings(prefix)}
        return Instance.open(load(settings, {}, None, processors=1), clock=FixedClock(NOW_NS))

    def objects(self) -> list[Path]:
        return sorted((self.buckets / BUCKET).glob("kept/blocks/*/*.parquet"))


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def test_fsck_reads_the_bucket_and_not_the_cache(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(kept.objects()) >= 2
    assert main(["fsck", "--data", str(kept.data), *kept.flags()]) == 0
    flip(kept.objects()[0], 200)
    assert main(["fsck", "--data", str(kept.data), *kept.flags()]) == 1
    assert f"damage: blocks/{kept.objects()[0].parent.name}/{kept.objects()[0].name}" in capsys.readouterr().out


def test_without_the_setting_nobody_takes_the_blocks_for_lost(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    for words, status in ((["fsck", "--data", str(kept.data), "--repair"], 2), (["inspect", str(kept.data)], 1)):
        assert main(words) == status
        assert f"lie in s3://{BUCKET}/kept: block_store must say so" in capsys.readouterr().err


def test_a_damaged_object_is_set_aside_and_all_else_answers(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = kept.objects()[0]
    flip(damaged, 200)
    content = damaged.read_bytes()
    assert main(["fsck", "--data", str(kept.data), *kept.flags(), "--repair"]) == 0, capsys.readouterr().out
    (aside,) = (kept.data / "damaged").rglob("*.parquet")
    assert aside.read_bytes() == content
    instance = kept.opened()
    found = hosts(instance)
    instance.close()
    # Every block here has one record, and which one comes first is a matter of names.
    assert (Counter(kept.hosts) - Counter(found)).total() == 1
    assert not Counter(found) - Counter(kept.hosts)


@pytest.mark.parametrize("how", [[], ["--copy"]], ids=["as links", "as copies"])
def test_a_backup_has_the_blocks_in_it_and_is_restored_without_a_bucket(
    kept: Kept, tmp_path: Path, how: list[str]
) -> None:
    to, data = tmp_path / "backup", tmp_path / "restored"
    assert main(["backup", "--data", str(kept.data), *kept.flags(), "--to", str(to), "--with-key", *how]) == 0
    assert len(list((to / "blocks").rglob("*.parquet"))) >= 3
    assert main(["restore", str(to), "--data", str(data)]) == 0
    alone = load({"data": str(data), "listen": "127.0.0.1:0"}, {}, None, processors=1)
    instance = Instance.open(alone, clock=FixedClock(NOW_NS))
    assert hosts(instance) == kept.hosts
    instance.close()
    instance = kept.opened(data, "another")
    assert hosts(instance) == kept.hosts
    instance.close()


def test_inspect_finds_blocks_in_the_bucket(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    block = kept.objects()[0]
    path = f"blocks/{block.parent.name}/{block.name}"
    assert main(["inspect", str(kept.data), path, "--json", *kept.flags()]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["file"], found["live"], found["rows"]) == (path, True, 1)
