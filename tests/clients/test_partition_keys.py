"""Customer-defined partition keys through stock boto3. Source: write-api.md 7, errors.md 1 and 1.1."""

from __future__ import annotations

import time
from typing import Any

import pytest

from support.stock import Table, dimensions, fault, record, told

REQUIRED = {"Type": "DIMENSION", "Name": "host", "EnforcementInRecord": "REQUIRED"}
OPTIONAL = {"Type": "DIMENSION", "Name": "host", "EnforcementInRecord": "OPTIONAL"}
MEASURE = {"Type": "MEASURE"}
MISSING = "The record does not contain the required partition key dimension host."
UNCHANGEABLE = ("ValidationException", 400, "The partition key of a table cannot be changed.")


def schema(*keys: dict[str, str]) -> dict[str, Any]:
    return {"CompositePartitionKey": list(keys)}


def created(write: Any, database: str, name: str, *keys: dict[str, str]) -> dict[str, Any]:
    """The schema in the answer to CreateTable."""
    more = {"Schema": schema(*keys)} if keys else {}
    table: dict[str, Any] = write.create_table(DatabaseName=database, TableName=name, **more)["Table"]
    return table["Schema"]


def described(write: Any, database: str, name: str) -> dict[str, Any]:
    table: dict[str, Any] = write.describe_table(DatabaseName=database, TableName=name)["Table"]
    return table["Schema"]


@pytest.fixture
def make(write: Any, query: Any, database: str) -> Any:
    """Makes the test's table with this partition key."""

    def one(*keys: dict[str, str]) -> Table:
        created(write, database, "keyed", *keys)
        return Table(write, query, database, "keyed")

    return one


def update(table: Table, *keys: dict[str, str], **more: Any) -> dict[str, Any]:
    if keys:
        more["Schema"] = schema(*keys)
    updated: dict[str, Any] = table.write.update_table(DatabaseName=table.database, TableName=table.name, **more)
    return updated["Table"]["Schema"]


# Creation, and what DescribeTable, ListTables and the answers say.


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ([], MEASURE),
        ([MEASURE], MEASURE),
        ([REQUIRED], REQUIRED),
        ([OPTIONAL], OPTIONAL),
        ([{"Type": "DIMENSION", "Name": "host"}], OPTIONAL),
    ],
)
def test_a_table_shows_its_key_with_all_members(write: Any, database: str, sent: list[Any], shown: Any) -> None:
    assert created(write, database, "keyed", *sent) == schema(shown)
    assert described(write, database, "keyed") == schema(shown)
    (listed,) = write.list_tables(DatabaseName=database)["Tables"]
    assert listed["Schema"] == schema(shown)
    retention = {"MemoryStoreRetentionPeriodInHours": 9, "MagneticStoreRetentionPeriodInDays": 9}
    updated = write.update_table(DatabaseName=database, TableName="keyed", RetentionProperties=retention)["Table"]
    assert updated["Schema"] == schema(shown)


def test_a_schema_without_a_key_is_no_key(write: Any, database: str) -> None:
    made = write.create_table(DatabaseName=database, TableName="keyed", Schema={})["Table"]
    assert made["Schema"] == schema(MEASURE)


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        (
            [REQUIRED, OPTIONAL],
            "You have specified too many partition keys to be used in your composite partition key. "
            "Only 1 partition keys can be specified.",
        ),
        (
            [MEASURE, REQUIRED],
            "You have specified too many partition keys to be used in your composite partition key. "
            "Only 1 partition keys can be specified.",
        ),
        ([{"Type": "DIMENSION"}], "A partition key of type DIMENSION requires a Name."),
        (
            [{"Type": "MEASURE", "Name": "host"}],
            "A partition key of type MEASURE has no Name and no EnforcementInRecord.",
        ),
        (
            [{"Type": "MEASURE", "EnforcementInRecord": "OPTIONAL"}],
            "A partition key of type MEASURE has no Name and no EnforcementInRecord.",
        ),
        (
            [{"Type": "TIME"}],
            "1 validation error detected: Value 'TIME' at 'schema.compositePartitionKey.1.member.type' failed to "
            "satisfy constraint: Member must satisfy enum value set: [DIMENSION, MEASURE]",
        ),
        (
            [{**REQUIRED, "EnforcementInRecord": "ALWAYS"}],
            "1 validation error detected: Value 'ALWAYS' at "
            "'schema.compositePartitionKey.1.member.enforcementInRecord' failed to "
            "satisfy constraint: Member must satisfy enum value set: [OPTIONAL, REQUIRED]",
        ),
    ],
)
def test_other_keys_are_refused(write: Any, database: str, keys: list[Any], text: str) -> None:
    assert told(lambda: created(write, database, "keyed", *keys)) == ("ValidationException", 400, text)
    assert write.list_tables(DatabaseName=database)["Tables"] == []


# Enforcement.


def test_a_record_without_a_required_key_is_rejected_alone(make: Any) -> None:
    table = make(REQUIRED)
    now = {"Time": str(time.time_ns() // 10**6)}
    records = [
        record("0", Dimensions=dimensions(host="a"), **now),
        record("1", Dimensions=dimensions(rack="a"), **now),
        record("2", Dimensions=dimensions(rack="a", host=""), **now),
        record("3", Dimensions=dimensions(Host="a", rack="host"), **now),
    ]
    error = fault(lambda: table.put(*records))
    assert error.response["Error"]["Code"] == "RejectedRecordsException"
    assert error.response["RejectedRecords"] == [{"RecordIndex": n, "Reason": MISSING} for n in (1, 3)]
    assert table.select("measure_value::double", "ORDER BY 1") == [("0.0",), ("2.0",)]


def test_a_common_attribute_may_be_the_required_key(make: Any) -> None:
    table = make(REQUIRED)
    shared = {"Dimensions": dimensions(host="a")}
    counts = table.put(
        record("1", Dimensions=dimensions(rack="r")), record("2", Dimensions=[]), CommonAttributes=shared
    )
    assert counts["Total"] == 2
    assert table.select("host", "GROUP BY host") == [("a",)]


@pytest.mark.parametrize("key", [OPTIONAL, {"Type": "DIMENSION", "Name": "host"}, MEASURE])
def test_no_other_key_is_enforced(make: Any, key: dict[str, str]) -> None:
    table = make(key)
    assert table.put(record("1", Dimensions=dimensions(rack="r")))["Total"] == 1
    assert table.put(record("2", Dimensions=dimensions(host="a")))["Total"] == 1
    assert table.select("host", "ORDER BY measure_value::double") == [(None,), ("a",)]
    assert table.select("measure_value::double", "WHERE host = 'a'") == [("2.0",)]


def test_late_records_need_the_key_as_well(make: Any) -> None:
    table = make(REQUIRED)
    update(table, MagneticStoreWriteProperties={"EnableMagneticStoreWrites": True})
    late = str(time.time_ns() // 10**6 - 8 * 3_600_000)
    error = fault(lambda: table.put(record("1", Dimensions=dimensions(rack="r"), Time=late)))
    assert error.response["RejectedRecords"] == [{"RecordIndex": 0, "Reason": MISSING}]


# UpdateTable.


def test_enforcement_may_change_and_concerns_later_writes_only(make: Any) -> None:
    table = make(OPTIONAL)
    keyless = record("1", Dimensions=dimensions(rack="r"))
    table.put(keyless)
    assert update(table, REQUIRED) == schema(REQUIRED)
    assert described(table.write, table.database, table.name) == schema(REQUIRED)
    error = fault(lambda: table.put(keyless))
    assert error.response["RejectedRecords"] == [{"RecordIndex": 0, "Reason": MISSING}]
    assert table.count() == 1
    assert update(table, OPTIONAL) == schema(OPTIONAL)
    assert table.put(keyless)["Total"] == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (REQUIRED, {**REQUIRED, "Name": "rack"}),
        (REQUIRED, {**REQUIRED, "Name": "Host"}),
        (REQUIRED, MEASURE),
        (MEASURE, REQUIRED),
        (None, REQUIRED),
    ],
)
def test_a_key_cannot_be_added_changed_or_removed(make: Any, old: Any, new: Any) -> None:
    table = make(*[old] if old else [])
    before = described(table.write, table.database, table.name)
    hours = {"MemoryStoreRetentionPeriodInHours": 99, "MagneticStoreRetentionPeriodInDays": 99}
    assert told(lambda: update(table, new, RetentionProperties=hours)) == UNCHANGEABLE
    # Nothing else of the refused update has been done.
    after = table.write.describe_table(DatabaseName=table.database, TableName=table.name)["Table"]
    assert after["Schema"] == before
    assert after["RetentionProperties"]["MemoryStoreRetentionPeriodInHours"] == 6


def test_an_update_with_two_keys_is_refused(make: Any) -> None:
    code, _, text = told(lambda: update(make(REQUIRED), REQUIRED, REQUIRED))
    assert (code, text[:33]) == ("ValidationException", "You have specified too many parti")


@pytest.mark.parametrize("key", [None, MEASURE])
def test_the_key_a_table_has_anyway_may_be_said_again(make: Any, key: Any) -> None:
    assert update(make(*[key] if key else []), MEASURE) == schema(MEASURE)
