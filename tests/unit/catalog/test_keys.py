"""Access keys and the master key: what a restart finds again, what stands on the disk, what is refused."""

from __future__ import annotations

import random
import stat
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given
from hypothesis import strategies as st

from headwater.catalog.catalog import Catalog
from headwater.errors import Corrupt, Invalid, NewerFormat
from headwater.files import LocalFiles
from headwater.keyring.local import FileKey
from headwater.keyring.providers import MASTER_KEY_FILE
from headwater.model.limits import Limits
from headwater.model.time import FixedClock
from headwater.sealing import SealingKey

RANDOMNESS = random.Random(11)


def open_catalog(directory: Path, account: str = "1" * 12) -> Catalog:
    clock = FixedClock(1_700_000_000_000_000_000)
    provider = FileKey(LocalFiles(), directory / MASTER_KEY_FILE, RANDOMNESS.randbytes)
    return Catalog.open(LocalFiles(), directory, provider, account, "us-east-1", clock, RANDOMNESS.randbytes, Limits())


def test_an_access_key_looks_like_one_and_survives_a_restart(tmp_path: Path) -> None:
    catalog = open_catalog(tmp_path)
    id, secret = catalog.keys.create_access_key(RANDOMNESS.randbytes)
    assert id.startswith("AKIA")
    assert (len(id), len(secret)) == (20, 40)
    assert catalog.keys.secret_of(id) == secret
    catalog.close()
    again = open_catalog(tmp_path)
    assert again.keys.secret_of(id) == secret
    assert again.keys.access_key_ids() == [id]
    assert again.keys.secret_of("AKIAAAAAAAAAAAAAAAAA") is None
    again.close()


def test_an_access_key_belongs_to_its_account(tmp_path: Path) -> None:
    catalog = open_catalog(tmp_path)
    key = catalog.keys.create_access_key(RANDOMNESS.randbytes)
    catalog.close()
    other = open_catalog(tmp_path, account="2" * 12)
    assert other.keys.secret_of(key.id) is None
    other.close()


def test_no_secret_is_printed_or_readable_on_the_disk(tmp_path: Path) -> None:
    catalog = open_catalog(tmp_path)
    key = catalog.keys.create_access_key(RANDOMNESS.randbytes)
    token_key = catalog.keys.token_key
    catalog.close()
    assert key.secret not in f"{key!r} {key}"
    on_disk = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.name != MASTER_KEY_FILE)
    assert key.id.encode() in on_disk
    assert key.secret.encode() not in on_disk
    assert token_key not in on_disk


def test_the_token_key_stays(tmp_path: Path) -> None:
    catalog = open_catalog(tmp_path)
    token_key = catalog.keys.token_key
    catalog.close()
    again = open_catalog(tmp_path)
    assert len(token_key) == 32
    assert again.keys.token_key == token_key
    again.close()


def test_only_the_owner_may_read_the_master_key(tmp_path: Path) -> None:
    open_catalog(tmp_path).close()
    assert stat.S_IMODE((tmp_path / MASTER_KEY_FILE).stat().st_mode) == 0o600


def test_another_master_key_is_recognised_and_nothing_changed(tmp_path: Path) -> None:
    open_catalog(tmp_path).close()
    other = tmp_path / "other"
    other.mkdir()
    open_catalog(other).close()
    (tmp_path / MASTER_KEY_FILE).write_bytes((other / MASTER_KEY_FILE).read_bytes())
    before = contents(tmp_path)
    with pytest.raises(Invalid, match="is not the master key that this data folder was made with"):
        open_catalog(tmp_path)
    assert contents(tmp_path) == before


def test_a_missing_master_key_is_not_made_anew(tmp_path: Path) -> None:
    open_catalog(tmp_path).close()
    (tmp_path / MASTER_KEY_FILE).unlink()
    with pytest.raises(Invalid, match="is missing"):
        open_catalog(tmp_path)
    assert not (tmp_path / MASTER_KEY_FILE).exists()


@pytest.mark.parametrize(
    ("text", "fault", "message"),
    [
        ("", Corrupt, "is not a master key"),
        ("headwater-master-key 1 xyz 00000000\n", Corrupt, "is not a master key"),
        (f"headwater-master-key 1 {'00' * 32} 00000000\n", Corrupt, "fails its checksum"),
        ("headwater-master-key 2 somehow different\n", NewerFormat, "has format version 2"),
    ],
)
def test_a_damaged_master_key(tmp_path: Path, text: str, fault: type[Exception], message: str) -> None:
    open_catalog(tmp_path).close()
    (tmp_path / MASTER_KEY_FILE).write_text(text)
    with pytest.raises(fault, match=message):
        open_catalog(tmp_path)


def test_a_first_start_that_ended_after_the_master_key_goes_on_with_it(tmp_path: Path) -> None:
    before = tmp_path / "before"
    before.mkdir()
    open_catalog(before).close()
    key = (before / MASTER_KEY_FILE).read_bytes()
    (tmp_path / MASTER_KEY_FILE).write_bytes(key)
    open_catalog(tmp_path).close()
    assert (tmp_path / MASTER_KEY_FILE).read_bytes() == key


@given(value=st.binary(), purpose=st.text(st.characters(codec="utf-8")), seed=st.integers(0, 2**32))
def test_what_was_sealed_opens_for_its_purpose_only(value: bytes, purpose: str, seed: int) -> None:
    randomness = random.Random(seed)
    key = SealingKey(randomness.randbytes(32))
    data = key.seal(value, purpose, randomness.randbytes)
    assert key.unseal(data, purpose) == value
    with pytest.raises(InvalidTag):
        key.unseal(data, purpose + "x")


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}
