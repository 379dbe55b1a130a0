"""One suite for both kinds of buckets: a local folder, and an S3-compatible server (moto's) on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from headwater.errors import Invalid
from headwater.objects import (
    Buckets,
    Encryption,
    ObjectExists,
    ObjectFault,
    ObjectMissing,
    ObjectRefused,
    Objects,
    buckets_at,
    key_below,
)

BUCKET = "a-bucket"
CREDENTIALS = "[default]\naws_access_key_id = AKIATEST\naws_secret_access_key = secret%\n"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def s3_client(endpoint: str):  # type: ignore[no-untyped-def]  # boto3 makes its clients' classes at run time
    return boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )


@pytest.fixture(params=["folder", "s3"])
def buckets(request: pytest.FixtureRequest, tmp_path: Path) -> Buckets:
    if request.param == "folder":
        (tmp_path / BUCKET).mkdir()
        return buckets_at(f"file://{tmp_path}", "us-east-1", None)
    endpoint = request.getfixturevalue("endpoint")
    s3_client(endpoint).create_bucket(Bucket=BUCKET)
    found = buckets_at(endpoint, "us-east-1", CREDENTIALS)
    objects = found.bucket(BUCKET)
    objects.delete(*[stat.key for stat in objects.list()])
    return found


@pytest.fixture
def objects(buckets: Buckets) -> Objects:
    return buckets.bucket(BUCKET)


def test_an_object_is_read_back_whole_and_in_parts(objects: Objects) -> None:
    objects.put("folder/a b=ü.csv", b"0123456789")
    assert objects.get("folder/a b=ü.csv") == b"0123456789"
    assert objects.get_range("folder/a b=ü.csv", 2, 3) == b"234"
    assert b"".join(objects.parts("folder/a b=ü.csv")) == b"0123456789"


def test_stat_tells_size_and_changes_its_etag_with_the_content(objects: Objects) -> None:
    objects.put("a", b"one")
    first = objects.stat("a")
    objects.put("a", b"three")
    second = objects.stat("a")
    assert first is not None
    assert second is not None
    assert (first.bytes, second.bytes) == (3, 5)
    assert first.etag != second.etag
    assert objects.stat("b") is None


def test_a_conditional_put_keeps_what_is_there(objects: Objects) -> None:
    objects.put_new("a", b"one")
    with pytest.raises(ObjectExists):
        objects.put_new("a", b"two")
    assert objects.get("a") == b"one"


def test_objects_are_listed_by_prefix_in_order(objects: Objects) -> None:
    for key in ("b/2", "a", "b/1", "bc", "b/10"):
        objects.put(key, b"")
    assert [stat.key for stat in objects.list("b")] == ["b/1", "b/10", "b/2", "bc"]
    assert [stat.key for stat in objects.list("b/1")] == ["b/1", "b/10"]
    assert objects.list("c") == []


def test_deleting_names_what_is_there_and_what_is_not(objects: Objects) -> None:
    for key in ("a", "b", "c"):
        objects.put(key, b"x")
    objects.delete("a", "nothing", "c")
    assert [stat.key for stat in objects.list()] == ["b"]
    objects.delete("nothing", *(f"none{number}" for number in range(50)), "b")
    assert list(objects.list()) == []


def test_a_writer_makes_one_object_of_many_parts(objects: Objects) -> None:
    with objects.writer("large") as file:
        for digit in b"123":
            file.write(bytes([digit]) * 8_000_000)
    assert objects.stat("large") == ("large", 24_000_000, objects.stat("large").etag)  # type: ignore[union-attr]
    assert objects.get_range("large", 15_999_999, 2) == b"23"


def test_a_writer_that_fails_leaves_no_object(objects: Objects) -> None:
    def stopped_half_way() -> None:
        with objects.writer("half") as file:
            file.write(bytes(12_000_000))
            raise KeyError

    with pytest.raises(KeyError):
        stopped_half_way()
    assert objects.stat("half") is None
    assert objects.list() == []


def test_a_missing_object_and_a_missing_bucket_are_told_apart_where_the_store_does(buckets: Buckets) -> None:
    with pytest.raises(ObjectMissing, match="'nothing'"):
        buckets.bucket(BUCKET).get("nothing")
    buckets.bucket(BUCKET).check()
    with pytest.raises(ObjectRefused, match="no-such-bucket does not exist"):
        buckets.bucket("no-such-bucket").check()


def test_encryption_is_asked_of_the_store(endpoint: str) -> None:
    client = s3_client(endpoint)
    client.create_bucket(Bucket=BUCKET)
    key_id = "arn:aws:kms:us-east-1:000000000000:key/1"
    buckets_at(endpoint, "us-east-1", CREDENTIALS).bucket(BUCKET, Encryption("SSE_KMS", key_id)).put("sealed", b"x")
    found = client.head_object(Bucket=BUCKET, Key="sealed")
    assert (found["ServerSideEncryption"], found["SSEKMSKeyId"]) == ("aws:kms", key_id)


def test_without_an_object_store_every_bucket_is_refused() -> None:
    with pytest.raises(ObjectRefused, match="no object_store setting"):
        buckets_at(None, "us-east-1", None).bucket(BUCKET)


@pytest.mark.parametrize("name", ["..", ".", "", "a/../..", "a-bucket/sub"])
def test_a_folders_bucket_is_no_path(tmp_path: Path, name: str) -> None:
    (tmp_path / "store" / BUCKET / "sub").mkdir(parents=True)
    with pytest.raises(ObjectRefused):
        buckets_at(f"file://{tmp_path}/store", "us-east-1", None).bucket(name)


@pytest.mark.parametrize("key", ["a//b", "/a", "a/", "a/./b", "a/../b", "..", "a\nb", "a\x7f"])
def test_a_key_that_could_be_taken_for_another_is_refused(objects: Objects, key: str) -> None:
    objects.put("a", b"mine")
    for call in (
        objects.get,
        objects.stat,
        objects.delete,
        lambda k: objects.put(k, b""),
        lambda k: objects.put_new(k, b""),
    ):
        with pytest.raises(ObjectRefused, match="cannot be used"):
            call(key)
    with pytest.raises(ObjectRefused), objects.writer(key):
        raise AssertionError("it must not begin")
    assert [stat.key for stat in objects.list()] == ["a"]
    assert objects.get("a") == b"mine"


def test_listing_below_a_prefix_that_no_key_can_have_is_refused(objects: Objects) -> None:
    with pytest.raises(ObjectRefused, match="cannot be used"):
        objects.list("a//b/c")
    assert objects.list("a/") == []


@pytest.mark.parametrize("name", ["169.254.169.254", "10.0.0.1", "a..b", "..", "a/b", "a?b=1", "A-Bucket", "ab"])
def test_no_bucket_has_the_name_of_another_place(endpoint: str, tmp_path: Path, name: str) -> None:
    for url in (endpoint, f"file://{tmp_path}"):
        with pytest.raises(ObjectRefused, match="is no name of a bucket"):
            buckets_at(url, "us-east-1", CREDENTIALS).bucket(name)


@pytest.mark.parametrize(
    ("prefix", "key"),
    [(None, "x/y"), ("", "x/y"), ("p", "p/x/y"), ("p/", "p/x/y"), ("p//", "p/x/y"), ("p/q", "p/q/x/y")],
)
def test_a_key_below_a_prefix_has_one_slash_behind_it(prefix: str | None, key: str) -> None:
    assert key_below(prefix, "x", "y") == key


@pytest.mark.parametrize("text", ["", "[default]\n", "[other]\naws_access_key_id=a\naws_secret_access_key=b", "]["])
def test_credentials_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(Invalid, match="object_store_credentials"):
        buckets_at("http://127.0.0.1:1", "us-east-1", text)


def test_an_endpoint_that_does_not_answer_is_a_fault_that_may_pass(endpoint: str) -> None:
    with pytest.raises(ObjectFault, match="could not be reached") as caught:
        buckets_at("http://127.0.0.1:9", "us-east-1", CREDENTIALS).bucket(BUCKET).put("a", b"")
    assert not caught.value.is_user
