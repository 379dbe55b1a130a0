"""Blocks in a bucket: whose the prefix is, what a start finds, what faults of the store become, what is swept when."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater.bucket.files import PUT_MAX_BYTES, REST_S, find_block_store, open_block_store
from headwater.config import BlockStoreSettings
from headwater.errors import Invalid, Unavailable
from headwater.files import LocalFiles
from headwater.model.time import NS_PER_S, FixedClock
from headwater.objects import Buckets, NoBuckets, ObjectFault, ObjectRefused
from headwater.settings import BlockPlace
from support.buckets import PLACE, HookedObjects, OneBucket, blocks_in

CONTENT = b"0123456789"


@pytest.fixture
def objects(tmp_path: Path) -> HookedObjects:
    return HookedObjects(tmp_path / "bucket")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data" / "blocks" / "t").mkdir(parents=True)
    return tmp_path / "data"


def block(data: Path, name: str = "a") -> Path:
    return data / "blocks" / "t" / f"{name}.parquet"


def staged(data: Path, name: str = "a") -> Path:
    path = block(data, name).with_suffix(".parquet.new")
    path.write_bytes(CONTENT)
    return path


def opened(buckets: Buckets, data: Path, place: BlockPlace | None) -> object:
    settings = BlockStoreSettings(place, 0)
    return open_block_store(
        LocalFiles(), data, data / "blocks", buckets, settings, lambda: 0, FixedClock(0), lambda: "n"
    )


def test_a_later_start_finds_what_an_earlier_one_put_there(data: Path, objects: HookedObjects) -> None:
    files = blocks_in(OneBucket(objects), data)
    files.publish(staged(data), block(data), site="test")
    assert [path.name for path in objects.blocks()] == ["a.parquet"]
    assert not staged(data).with_name("a.parquet").exists()
    again = blocks_in(OneBucket(objects), data)
    assert again.read(block(data), site="test") == CONTENT
    assert again.list(data / "blocks", site="test") == ["t"]


def test_the_proof_leaves_nothing_and_the_owner_one_object(data: Path, objects: HookedObjects) -> None:
    blocks_in(OneBucket(objects), data)
    assert [stat.key for stat in objects.list()] == [PLACE.key("owner")]
    location, mark = (data / "block_store").read_text().splitlines()
    assert (location, objects.get(PLACE.key("owner"))) == ("s3://a-bucket/some/where", mark.encode())


def test_a_prefix_belongs_to_one_folder(tmp_path: Path, data: Path, objects: HookedObjects) -> None:
    blocks_in(OneBucket(objects), data)
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(Invalid, match="s3://a-bucket/some/where belongs to another data folder"):
        blocks_in(OneBucket(objects), other)
    assert not (other / "block_store").exists()
    blocks_in(OneBucket(objects), other, place=BlockPlace("a-bucket", ""))
    blocks_in(OneBucket(objects), data)


def test_a_folder_whose_blocks_lie_elsewhere_is_not_opened(data: Path, objects: HookedObjects) -> None:
    blocks_in(OneBucket(objects), data)
    for place in (None, BlockPlace("a-bucket", "another")):
        with pytest.raises(Invalid, match="lie in s3://a-bucket/some/where: block_store must say so"):
            opened(OneBucket(objects), data, place)


def test_a_claim_that_a_crash_cut_short_is_made_by_the_next_start(data: Path, objects: HookedObjects) -> None:
    blocks_in(OneBucket(objects), data)
    mark = objects.get(PLACE.key("owner"))
    objects.delete(PLACE.key("owner"))
    blocks_in(OneBucket(objects), data)
    assert objects.get(PLACE.key("owner")) == mark


class Careless(HookedObjects):
    """A store that does not know conditional puts."""

    def put_new(self, key: str, data: bytes) -> None:
        self.put(key, data)


class Keeping(HookedObjects):
    """A store that says yes to deletes and keeps what it has."""

    def delete(self, *keys: str) -> None:
        """Nothing."""


@pytest.mark.parametrize(("kind", "rule"), [(Careless, "conditional put"), (Keeping, "not gone when deleted")])
def test_a_store_that_does_not_do_what_it_says_is_refused(
    tmp_path: Path, data: Path, kind: type[HookedObjects], rule: str
) -> None:
    with pytest.raises(Invalid, match=rule):
        blocks_in(OneBucket(kind(tmp_path / "its")), data)
    assert not (data / "block_store").exists()


def test_a_store_that_refuses_and_one_that_does_not_answer_are_told_apart(data: Path, objects: HookedObjects) -> None:
    def refuse(_: str) -> None:
        raise ObjectRefused("The bucket a-bucket cannot be used: access denied.")

    objects.before = refuse
    with pytest.raises(Invalid, match=r"right to put, get, list and delete: .*access denied"):
        blocks_in(OneBucket(objects), data)
    objects.fail()
    with pytest.raises(Unavailable, match="could not be reached"):
        blocks_in(OneBucket(objects), data)
    with pytest.raises(Unavailable, match="no object_store setting"):
        blocks_in(NoBuckets(), data)


def test_faults_are_a_failing_disk_to_who_writes_and_unavailable_to_who_reads(
    data: Path, objects: HookedObjects
) -> None:
    clock = FixedClock(0)
    files = blocks_in(OneBucket(objects), data, clock=clock, cache_bytes=0)
    files.publish(staged(data), block(data), site="test")
    objects.fail()
    with pytest.raises(OSError, match="could not be reached"):
        files.publish(staged(data, "b"), block(data, "b"), site="test")
    assert staged(data, "b").exists()
    requests, objects.before = [], lambda key: requests.append(key)
    with pytest.raises(Unavailable, match="not asked yet"):
        files.read(block(data), site="test")
    with pytest.raises(OSError, match="not asked yet"):
        files.make_directory(data / "blocks" / "t", site="test")
    assert requests == []
    clock.advance(int(REST_S * NS_PER_S))
    assert files.read(block(data), site="test") == CONTENT


def test_removed_blocks_leave_the_bucket_with_the_next_sweep_that_succeeds(data: Path, objects: HookedObjects) -> None:
    clock = FixedClock(0)
    files = blocks_in(OneBucket(objects), data, clock=clock)
    for name in ("a", "b", "c"):
        files.publish(staged(data, name), block(data, name), site="test")
    files.remove(block(data, "a"), site="test")
    objects.fail()
    files.sweep()
    objects.heal()
    files.remove(block(data, "b"), site="test")
    assert len(objects.blocks()) == 3
    clock.advance(int(REST_S * NS_PER_S))
    files.sweep()
    assert [path.name for path in objects.blocks()] == ["c.parquet"]
    assert files.list(data / "blocks" / "t", site="test") == ["c.parquet"]


def test_an_upload_that_succeeded_and_was_taken_for_failed_is_no_conflict(data: Path, objects: HookedObjects) -> None:
    files = blocks_in(OneBucket(objects), data)
    objects.put(PLACE.key("blocks/t/a.parquet"), CONTENT)
    files.publish(staged(data), block(data), site="test")
    assert files.read(block(data), site="test") == CONTENT
    objects.put(PLACE.key("blocks/t/b.parquet"), b"of another")
    with pytest.raises(OSError, match="already"):
        files.publish(staged(data, "b"), block(data, "b"), site="test")
    files.sweep()
    assert [path.name for path in objects.blocks()] == ["a.parquet"]


def test_a_large_block_takes_no_place_that_is_taken(data: Path, objects: HookedObjects) -> None:
    files = blocks_in(OneBucket(objects), data)
    objects.put(PLACE.key("blocks/t/a.parquet"), b"of another")
    staged(data).write_bytes(bytes(PUT_MAX_BYTES + 1))
    with pytest.raises(OSError, match="already"):
        files.publish(staged(data), block(data), site="test")
    assert not files.exists(block(data), site="test")


def test_a_failed_upload_is_swept_when_it_got_there_all_the_same(data: Path, objects: HookedObjects) -> None:
    clock = FixedClock(0)
    files = blocks_in(OneBucket(objects), data, clock=clock)

    def lost_answer(key: str) -> None:
        raise ObjectFault(f"no answer for {key}")

    objects.after = lost_answer
    with pytest.raises(OSError, match="no answer"):
        files.publish(staged(data), block(data), site="test")
    objects.after = lambda _: None
    assert len(objects.blocks()) == 1
    clock.advance(int(REST_S * NS_PER_S))
    files.sweep()
    assert objects.blocks() == []


def test_a_block_that_was_on_the_disk_before_is_read_and_removed_there(data: Path, objects: HookedObjects) -> None:
    block(data, "old").write_bytes(CONTENT)
    files = blocks_in(OneBucket(objects), data)
    files.publish(staged(data), block(data), site="test")
    assert files.list(data / "blocks" / "t", site="test") == ["a.parquet", "old.parquet"]
    assert files.size(block(data, "old"), site="test") == len(CONTENT)
    assert files.read(block(data, "old"), site="test") == CONTENT
    files.remove(block(data, "old"), site="test")
    assert not block(data, "old").exists()


def test_a_look_beside_the_server_sees_what_came_since_and_keeps_nothing(data: Path, objects: HookedObjects) -> None:
    files = blocks_in(OneBucket(objects), data)
    settings = BlockStoreSettings(PLACE, 1 << 30)
    looking = find_block_store(LocalFiles(), data, data / "blocks", OneBucket(objects), settings, FixedClock(0))
    files.publish(staged(data), block(data), site="test")
    before = sorted((data / "cache").rglob("*"))
    assert looking.read(block(data), site="test") == CONTENT
    assert looking.exists(block(data), site="test")
    assert not looking.exists(block(data, "none"), site="test")
    assert sorted((data / "cache").rglob("*")) == before


def test_a_folder_without_a_bucket_is_looked_into_as_it_is(data: Path, objects: HookedObjects) -> None:
    local, settings = LocalFiles(), BlockStoreSettings(PLACE, 0)
    assert find_block_store(local, data, data / "blocks", OneBucket(objects), settings, FixedClock(0)) is local
    blocks_in(OneBucket(objects), data)
    with pytest.raises(Invalid, match="block_store must say so"):
        find_block_store(local, data, data / "blocks", OneBucket(objects), BlockStoreSettings(None, 0), FixedClock(0))
