"""Databases and tables: every rule beside an example, and what a second process sees of it."""

from __future__ import annotations

import random
import sqlite3
import stat
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from headwater.catalog import tables
from headwater.catalog.catalog import CATALOG_FILE, Catalog
from headwater.catalog.sqlite import CatalogFile
from headwater.errors import Conflict, Corrupt, Invalid, NewerFormat, NotFound, QuotaExceeded
from headwater.files import LocalFiles
from headwater.model.limits import Limits
from headwater.model.table import Retention, TableId
from headwater.model.time import FixedClock
from support.keys import PROVIDER

ACCOUNT = "123456789012"
CLOCK = FixedClock(1_700_000_000_000_000_000)
RANDOMNESS = random.Random(7)
DIMENSION = {"Type": "DIMENSION", "Name": "host"}
MEASURE = {"Type": "MEASURE"}


def open_catalog(directory: Path, account: str = ACCOUNT, limits: Limits | None = None) -> Catalog:
    limits = limits or Limits()
    return Catalog.open(LocalFiles(), directory, PROVIDER, account, "us-east-1", CLOCK, RANDOMNESS.randbytes, limits)


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    opened = open_catalog(tmp_path)
    yield opened
    opened.close()


def create(catalog: Catalog, database: str, *names: str) -> None:
    if not catalog.has_database(database):
        catalog.create_database(database, None)
    for name in names:
        catalog.create_table(database, name, None, None, None)


def test_a_new_database_has_the_default_key_and_equal_times(catalog: Catalog) -> None:
    database = catalog.create_database("metrics", None)
    assert database.name == "metrics"
    assert database.kms_key_id.startswith(f"arn:aws:kms:us-east-1:{ACCOUNT}:key/")
    assert database.created_ns == database.updated_ns == CLOCK.now_ns()
    assert catalog.database("metrics") == database
    assert catalog.table_count("metrics") == 0


def test_a_given_key_is_kept_as_given(catalog: Catalog) -> None:
    assert catalog.create_database("metrics", "alias/mine").kms_key_id == "alias/mine"


UUID = "1234abcd-12ab-34cd-56ef-1234567890ab"


@pytest.mark.parametrize(
    "key",
    [
        UUID,
        "mrk-" + "0" * 32,
        "alias/aws/timestream",
        f"arn:aws:kms:us-east-1:{ACCOUNT}:key/{UUID}",
        f"arn:aws-cn:kms:cn-north-1:{ACCOUNT}:alias/mine",
    ],
)
def test_every_form_of_a_key(catalog: Catalog, key: str) -> None:
    create(catalog, "metrics")
    assert catalog.update_database("metrics", key).kms_key_id == key


@pytest.mark.parametrize(
    "key", ["mine", "alias/", "alias/a b", f"arn:aws:s3:us-east-1:{ACCOUNT}:key/{UUID}", UUID + "\n"]
)
def test_what_is_no_key(catalog: Catalog, key: str) -> None:
    create(catalog, "metrics")
    with pytest.raises(Invalid, match="KMS key identifier"):
        catalog.create_database("other", key)
    with pytest.raises(Invalid, match="KMS key identifier"):
        catalog.update_database("metrics", key)
    assert not catalog.has_database("other")


def test_another_key_is_a_change_and_the_same_is_none(catalog: Catalog, tmp_path: Path) -> None:
    before = catalog.create_database("metrics", "alias/one")
    CLOCK.advance(1_000)
    assert catalog.update_database("metrics", "alias/one") == before
    after = catalog.update_database("metrics", "alias/two")
    assert after == replace(before, kms_key_id="alias/two", updated_ns=before.updated_ns + 1_000)
    with pytest.raises(NotFound):
        catalog.update_database("none", "alias/two")
    catalog.close()
    again = open_catalog(tmp_path)
    assert again.database("metrics") == after
    again.close()


def test_tags_stay_over_a_restart_and_go_with_what_they_are_on(catalog: Catalog, tmp_path: Path) -> None:
    catalog.create_database("metrics", None, {"team": "a", "stage": "test"})
    catalog.create_table("metrics", "cpu", None, None, None, {"team": "b"})
    catalog.tag("metrics", None, {"team": "c", "Team": ""})
    catalog.untag("metrics", None, ["stage", "absent"])
    catalog.close()
    again = open_catalog(tmp_path)
    assert again.tags("metrics", None) == {"team": "c", "Team": ""}
    assert again.tags("metrics", "cpu") == {"team": "b"}
    again.delete_table("metrics", "cpu")
    again.delete_database("metrics")
    create(again, "metrics", "cpu")
    assert again.tags("metrics", None) == again.tags("metrics", "cpu") == {}
    again.close()
    with sqlite3.connect(tmp_path / CATALOG_FILE) as connection:
        assert connection.execute("SELECT count(*) FROM tags").fetchall() == [(0,)]
    connection.close()


def test_tags_need_their_resource(catalog: Catalog) -> None:
    create(catalog, "metrics")
    for call in (
        lambda: catalog.tag("none", None, {}),
        lambda: catalog.tag("metrics", "none", {}),
        lambda: catalog.untag("metrics", "none", []),
        lambda: catalog.tags("metrics", "none"),
    ):
        with pytest.raises(NotFound):
            call()


@pytest.mark.parametrize("text", ["Größe 1", "a.b/c=d+e-f_g:h", "日本"])
def test_characters_of_tags(catalog: Catalog, text: str) -> None:
    create(catalog, "metrics")
    catalog.tag("metrics", None, {text: text})
    assert catalog.tags("metrics", None) == {text: text}


@pytest.mark.parametrize("text", ["a*b", "me@here", "{}", "aws:x", "AWS:x", "\N{ROCKET}"])
def test_tags_that_are_refused_change_nothing(catalog: Catalog, text: str) -> None:
    create(catalog, "metrics")
    for tags in ({text: ""}, {"key": text}):
        with pytest.raises(Invalid, match=r"^The tag (key|value) "):
            catalog.tag("metrics", None, {"good": "", **tags})
        with pytest.raises(Invalid):
            catalog.create_database("other", None, tags)
        with pytest.raises(Invalid):
            catalog.create_table("metrics", "cpu", None, None, None, tags)
    assert catalog.tags("metrics", None) == {}
    assert not catalog.has_database("other")
    assert catalog.table_count("metrics") == 0


def test_a_resource_has_two_hundred_tags_at_most(catalog: Catalog) -> None:
    create(catalog, "metrics")
    catalog.tag("metrics", None, {str(number): "" for number in range(200)})
    catalog.tag("metrics", None, {"0": "again"})
    with pytest.raises(QuotaExceeded, match="tags of a resource"):
        catalog.tag("metrics", None, {"200": ""})
    assert len(catalog.tags("metrics", None)) == 200


def test_the_default_key_is_the_same_after_a_restart(catalog: Catalog, tmp_path: Path) -> None:
    first = catalog.create_database("first", None)
    catalog.close()
    again = open_catalog(tmp_path)
    assert again.create_database("second", None).kms_key_id == first.kms_key_id
    again.close()


def test_texts_of_missing_and_taken_names(catalog: Catalog) -> None:
    create(catalog, "metrics", "cpu")
    with pytest.raises(Conflict, match=r"^The database metrics already exists\.$"):
        catalog.create_database("metrics", None)
    with pytest.raises(Conflict, match=r"^The table cpu already exists\.$"):
        create(catalog, "metrics", "cpu")
    for call in (catalog.database, catalog.table_count, catalog.delete_database):
        with pytest.raises(NotFound) as missing:
            call("nope")
        assert missing.value.message == "The database nope does not exist."
    with pytest.raises(NotFound) as missing:
        catalog.table("nope", "cpu")
    assert missing.value.message == "The database nope does not exist."
    with pytest.raises(NotFound) as missing:
        catalog.delete_table("metrics", "nope")
    assert missing.value.message == "The table nope does not exist."
    with pytest.raises(NotFound):
        catalog.list_tables("nope", None, 20)


def test_names_are_compared_byte_by_byte(catalog: Catalog) -> None:
    create(catalog, "metrics", "cpu", "CPU")
    create(catalog, "Metrics", "cpu")
    assert [table.name for table in catalog.list_tables("metrics", None, 20)] == ["CPU", "cpu"]
    assert [database.name for database in catalog.list_databases(None, 20)] == ["Metrics", "metrics"]


def test_a_database_with_tables_stays(catalog: Catalog) -> None:
    create(catalog, "metrics", "cpu")
    with pytest.raises(Invalid, match=r"^The database metrics cannot be deleted because it contains tables\.$"):
        catalog.delete_database("metrics")
    catalog.delete_table("metrics", "cpu")
    catalog.delete_database("metrics")
    assert not catalog.has_database("metrics")


def test_a_new_table_has_the_defaults(catalog: Catalog) -> None:
    create(catalog, "metrics")
    table = catalog.create_table("metrics", "cpu", None, None, None)
    assert table.retention == Retention(memory_hours=6, magnetic_days=73_000)
    assert (table.magnetic_writes, table.partition_key) == (None, None)
    assert catalog.table("metrics", "cpu") == table


def test_a_table_made_again_has_another_id(catalog: Catalog) -> None:
    create(catalog, "metrics", "cpu")
    first = catalog.delete_table("metrics", "cpu")
    create(catalog, "metrics", "cpu")
    second = catalog.table("metrics", "cpu")
    assert second.id != first
    assert catalog.manifest.tables() == [second.id]
    assert catalog.table_by_id(second.id) == second
    with pytest.raises(NotFound):
        catalog.table_by_id(first)


def test_structures_are_echoed_as_they_were_sent(catalog: Catalog, tmp_path: Path) -> None:
    create(catalog, "metrics")
    sent = {
        "EnableMagneticStoreWrites": True,
        "MagneticStoreRejectedDataLocation": {"S3Configuration": {"BucketName": "rejected"}},
    }
    table = catalog.create_table("metrics", "cpu", Retention(1, 2), sent, [DIMENSION])
    assert table.magnetic_writes == sent
    assert table.partition_key == ({**DIMENSION, "EnforcementInRecord": "OPTIONAL"},)
    catalog.close()
    again = open_catalog(tmp_path)
    assert again.table("metrics", "cpu") == table
    again.close()


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (
            [DIMENSION, MEASURE],
            "You have specified too many partition keys to be used in your composite partition key.",
        ),
        ([{"Type": "DIMENSION"}], "A partition key of type DIMENSION requires a Name."),
        ([{**MEASURE, "Name": "x"}], "A partition key of type MEASURE has no Name"),
    ],
)
def test_bad_partition_keys(catalog: Catalog, key: list[dict[str, str]], text: str) -> None:
    create(catalog, "metrics")
    with pytest.raises(Invalid) as bad:
        catalog.create_table("metrics", "cpu", None, None, key)
    assert bad.value.message.startswith(text)
    assert catalog.table_count("metrics") == 0


def test_encryption_by_key_needs_the_key(catalog: Catalog) -> None:
    create(catalog, "metrics", "cpu")
    s3 = {"BucketName": "rejected", "EncryptionOption": "SSE_KMS"}
    bad = {"EnableMagneticStoreWrites": True, "MagneticStoreRejectedDataLocation": {"S3Configuration": s3}}
    with pytest.raises(Invalid, match="KmsKeyId is required"):
        catalog.create_table("metrics", "mem", None, bad, None)
    with pytest.raises(Invalid, match="KmsKeyId is required"):
        catalog.update_table("metrics", "cpu", None, bad, None)
    s3["KmsKeyId"] = "alias/mine"
    assert catalog.update_table("metrics", "cpu", None, bad, None).magnetic_writes == bad


def test_an_update_replaces_only_what_is_given(catalog: Catalog) -> None:
    create(catalog, "metrics")
    writes = {"EnableMagneticStoreWrites": True}
    before = catalog.create_table("metrics", "cpu", Retention(1, 2), writes, [DIMENSION])
    CLOCK.advance(1_000)
    assert catalog.update_table("metrics", "cpu", None, None, None) == before
    after = catalog.update_table("metrics", "cpu", Retention(3, 4), None, None)
    assert after.retention == Retention(3, 4)
    assert (after.id, after.magnetic_writes, after.partition_key) == (before.id, writes, before.partition_key)
    assert (after.created_ns, after.updated_ns) == (before.created_ns, before.created_ns + 1_000)


def test_only_the_enforcement_of_a_partition_key_may_change(catalog: Catalog) -> None:
    create(catalog, "metrics", "plain")
    catalog.create_table("metrics", "keyed", None, None, [DIMENSION])
    required = {**DIMENSION, "EnforcementInRecord": "REQUIRED"}
    assert catalog.update_table("metrics", "keyed", None, None, [required]).partition_key == (required,)
    assert catalog.update_table("metrics", "plain", None, None, [MEASURE]).partition_key == (MEASURE,)
    for name, key in (("keyed", MEASURE), ("keyed", {**DIMENSION, "Name": "zone"}), ("plain", DIMENSION)):
        with pytest.raises(Invalid, match=r"^The partition key of a table cannot be changed\.$"):
            catalog.update_table("metrics", name, None, None, [key])


def test_quotas(tmp_path: Path) -> None:
    catalog = open_catalog(tmp_path, limits=Limits(databases=1, tables=2))
    create(catalog, "metrics", "a", "b")
    with pytest.raises(QuotaExceeded, match=r"^The quota for tables has been reached\.$"):
        create(catalog, "metrics", "c")
    with pytest.raises(QuotaExceeded, match=r"^The quota for databases has been reached\.$"):
        create(catalog, "other")
    catalog.delete_table("metrics", "a")
    create(catalog, "metrics", "c")
    catalog.close()


def test_lists_go_on_behind_a_name_even_if_it_is_gone(catalog: Catalog) -> None:
    create(catalog, "b", "2", "3")
    create(catalog, "a", "1", "4")
    create(catalog, "b.c", "0")
    names = [(table.database, table.name) for table in catalog.list_tables(None, None, 20)]
    assert names == [("a", "1"), ("a", "4"), ("b", "2"), ("b", "3"), ("b.c", "0")]
    assert [table.name for table in catalog.list_tables("b", None, 1)] == ["2"]
    assert [table.name for table in catalog.list_tables("b", "2", 20)] == ["3"]
    assert [table.name for table in catalog.list_tables(None, ("a", "2"), 2)] == ["4", "2"]
    catalog.delete_table("b", "2")
    assert [table.name for table in catalog.list_tables("b", "2", 20)] == ["3"]
    assert [database.name for database in catalog.list_databases("a", 1)] == ["b"]
    assert [database.name for database in catalog.list_databases("aa", 20)] == ["b", "b.c"]


def test_accounts_have_names_of_their_own_and_one_manifest(catalog: Catalog, tmp_path: Path) -> None:
    create(catalog, "metrics", "cpu")
    catalog.close()
    other = open_catalog(tmp_path, account="999999999999")
    assert other.list_databases(None, 20) == []
    create(other, "metrics", "cpu")
    assert len(other.manifest.tables()) == 2
    assert ":999999999999:" in other.database("metrics").kms_key_id
    other.close()
    again = open_catalog(tmp_path)
    assert again.table_count("metrics") == 1
    again.close()


def test_of_many_threads_one_makes_the_table(catalog: Catalog) -> None:
    create(catalog, "metrics")

    def attempt(number: int) -> bool:
        try:
            catalog.create_table("metrics", f"table-{number % 10}", None, None, None)
        except Conflict:
            return False
        return catalog.table("metrics", f"table-{number % 10}") in catalog.list_tables("metrics", None, 20)

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(attempt, range(40)))
    assert sum(made) == catalog.table_count("metrics") == len(catalog.manifest.tables()) == 10


def test_only_the_owner_may_read_the_files(catalog: Catalog, tmp_path: Path) -> None:
    create(catalog, "metrics")
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_a_newer_format_is_refused_and_left_alone(catalog: Catalog, tmp_path: Path) -> None:
    catalog.close()
    with sqlite3.connect(tmp_path / CATALOG_FILE) as connection:
        connection.execute("UPDATE format SET version = 2")
    connection.close()
    before = contents(tmp_path)
    with pytest.raises(NewerFormat, match="format version 2"):
        open_catalog(tmp_path)
    assert contents(tmp_path) == before


def test_a_newer_format_is_seen_in_the_side_file_too(catalog: Catalog, tmp_path: Path) -> None:
    """A newer release that was cut off has its change in the side file only, as this open connection has."""
    catalog.close()
    newer = sqlite3.connect(tmp_path / CATALOG_FILE)
    newer.execute("UPDATE format SET version = 2")
    newer.commit()
    with pytest.raises(NewerFormat, match="format version 2"):
        open_catalog(tmp_path)
    assert newer.execute("SELECT version FROM format").fetchall() == [(2,)]
    newer.close()


def test_a_changed_row_is_noticed(catalog: Catalog, tmp_path: Path) -> None:
    create(catalog, "metrics", "cpu")
    catalog.close()
    with sqlite3.connect(tmp_path / CATALOG_FILE) as connection:
        connection.execute("UPDATE tables SET magnetic_days = 1")
    connection.close()
    with pytest.raises(Corrupt, match="a row of tables fails its checksum"):
        open_catalog(tmp_path)


@pytest.mark.parametrize("damage", [b"not a database at all", b"SQLite format 3\0" + bytes(4096)])
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / CATALOG_FILE).write_bytes(damage)
    with pytest.raises(Corrupt):
        open_catalog(tmp_path)
    assert (tmp_path / CATALOG_FILE).read_bytes() == damage


def test_ten_thousand_tables(catalog: Catalog, tmp_path: Path) -> None:
    """Look-ups cost microseconds, and opening stays far below a second's start, however many tables there are."""
    create(catalog, "metrics", "model")
    model = catalog.table("metrics", "model")
    catalog.close()
    many = [replace(model, id=TableId(f"{number:032x}"), name=f"table-{number}") for number in range(10_000)]
    file = CatalogFile.open(LocalFiles(), tmp_path / CATALOG_FILE)
    with file.transaction() as connection:
        connection.execute(tables.TABLES.insert(), [tables.table_row(ACCOUNT, table) for table in many])
    file.close()

    start_s = time.perf_counter()
    again = open_catalog(tmp_path)
    open_s = time.perf_counter() - start_s
    start_s = time.perf_counter()
    found = [again.table("metrics", table.name) for table in many]
    lookup_s = (time.perf_counter() - start_s) / len(many)
    again.close()
    assert found == many
    assert open_s < 2
    assert lookup_s < 50e-6


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}
