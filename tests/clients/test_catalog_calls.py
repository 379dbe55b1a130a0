"""Databases and tables through stock boto3. Source: write-api.md 1-4, errors.md 1 and 1.1."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from support.server import ServerProcess
from support.stock import fault, told


def arn(server: ServerProcess, rest: str) -> str:
    return f"arn:aws:timestream:{server.region}:{server.account}:database/{rest}"


def test_a_database_from_creation_to_deletion(server: ServerProcess, write: Any) -> None:
    made = write.create_database(DatabaseName="whole.life-1_")["Database"]
    assert made["Arn"] == arn(server, "whole.life-1_")
    assert made["TableCount"] == 0
    assert made["KmsKeyId"].startswith(f"arn:aws:kms:{server.region}:{server.account}:key/")
    assert made["CreationTime"] == made["LastUpdatedTime"]
    assert datetime.now(UTC) - made["CreationTime"] < timedelta(minutes=1)

    write.create_table(DatabaseName="whole.life-1_", TableName="one")
    described = write.describe_database(DatabaseName="whole.life-1_")["Database"]
    assert described == {**made, "TableCount": 1}
    assert told(lambda: write.delete_database(DatabaseName="whole.life-1_")) == (
        "ValidationException",
        400,
        "The database whole.life-1_ cannot be deleted because it contains tables.",
    )
    write.delete_table(DatabaseName="whole.life-1_", TableName="one")
    write.delete_database(DatabaseName="whole.life-1_")
    assert told(lambda: write.describe_database(DatabaseName="whole.life-1_")) == (
        "ResourceNotFoundException",
        404,
        "The database whole.life-1_ does not exist.",
    )


def test_a_table_from_creation_to_deletion(server: ServerProcess, write: Any, database: str) -> None:
    made = write.create_table(DatabaseName=database, TableName="t.1")["Table"]
    assert {name: made[name] for name in made if not name.endswith("Time")} == {
        "Arn": arn(server, f"{database}/table/t.1"),
        "TableName": "t.1",
        "DatabaseName": database,
        "TableStatus": "ACTIVE",
        "RetentionProperties": {
            "MemoryStoreRetentionPeriodInHours": 6,
            "MagneticStoreRetentionPeriodInDays": 73_000,
        },
        "MagneticStoreWriteProperties": {"EnableMagneticStoreWrites": False},
        "Schema": {"CompositePartitionKey": [{"Type": "MEASURE"}]},
    }
    assert write.describe_table(DatabaseName=database, TableName="t.1")["Table"] == made
    write.delete_table(DatabaseName=database, TableName="t.1")
    for call in (write.describe_table, write.delete_table, write.update_table):
        code, status, text = told(lambda call=call: call(DatabaseName=database, TableName="t.1"))
        assert (code, status, text) == ("ResourceNotFoundException", 404, "The table t.1 does not exist.")
    assert told(lambda: write.describe_table(DatabaseName="nowhere", TableName="t.1"))[2] == (
        "The database nowhere does not exist."
    )


def test_update_table_replaces_only_what_is_given(write: Any, database: str) -> None:
    key = [{"Type": "DIMENSION", "Name": "host", "EnforcementInRecord": "OPTIONAL"}]
    bucket = {
        "EnableMagneticStoreWrites": True,
        "MagneticStoreRejectedDataLocation": {"S3Configuration": {"BucketName": "rejected-data"}},
    }
    made = write.create_table(DatabaseName=database, TableName="table", Schema={"CompositePartitionKey": key})["Table"]
    assert made["Schema"] == {"CompositePartitionKey": key}

    retention = {"MemoryStoreRetentionPeriodInHours": 24, "MagneticStoreRetentionPeriodInDays": 7}
    write.update_table(DatabaseName=database, TableName="table", RetentionProperties=retention)
    write.update_table(DatabaseName=database, TableName="table", MagneticStoreWriteProperties=bucket)
    key[0]["EnforcementInRecord"] = "REQUIRED"
    after = write.update_table(DatabaseName=database, TableName="table", Schema={"CompositePartitionKey": key})["Table"]
    assert after["RetentionProperties"] == retention
    assert after["MagneticStoreWriteProperties"] == bucket
    assert after["Schema"] == {"CompositePartitionKey": key}
    assert (after["Arn"], after["CreationTime"]) == (made["Arn"], made["CreationTime"])
    assert after["LastUpdatedTime"] >= made["LastUpdatedTime"]
    assert write.describe_table(DatabaseName=database, TableName="table")["Table"] == after
    code, _, text = told(
        lambda: write.update_table(
            DatabaseName=database,
            TableName="table",
            Schema={"CompositePartitionKey": [{"Type": "DIMENSION", "Name": "other"}]},
        )
    )
    assert (code, text) == ("ValidationException", "The partition key of a table cannot be changed.")


BUCKET = {"BucketName": "rejected-data"}


@pytest.mark.parametrize(
    "sent",
    [
        {"EnableMagneticStoreWrites": False},
        {"EnableMagneticStoreWrites": True},
        {"EnableMagneticStoreWrites": True, "MagneticStoreRejectedDataLocation": {"S3Configuration": BUCKET}},
        {
            "EnableMagneticStoreWrites": True,
            "MagneticStoreRejectedDataLocation": {
                "S3Configuration": {
                    **BUCKET,
                    "ObjectKeyPrefix": "reports/of-table",
                    "EncryptionOption": "SSE_KMS",
                    "KmsKeyId": "alias/reports",
                }
            },
        },
    ],
)
def test_settings_of_late_writes_come_back_as_they_were_sent(write: Any, database: str, sent: dict[str, Any]) -> None:
    """No default is filled in, neither by CreateTable nor by UpdateTable."""
    names = {"DatabaseName": database, "TableName": "records"}
    assert (
        write.create_table(**names, MagneticStoreWriteProperties=sent)["Table"]["MagneticStoreWriteProperties"] == sent
    )
    names["TableName"] = "updated"
    write.create_table(**names)
    assert (
        write.update_table(**names, MagneticStoreWriteProperties=sent)["Table"]["MagneticStoreWriteProperties"] == sent
    )
    for table in write.list_tables(DatabaseName=database)["Tables"]:
        assert table["MagneticStoreWriteProperties"] == sent


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ([{"Type": "MEASURE"}], [{"Type": "MEASURE"}]),
        (
            [{"Type": "DIMENSION", "Name": "host"}],
            [{"Type": "DIMENSION", "Name": "host", "EnforcementInRecord": "OPTIONAL"}],
        ),
        ([{"Type": "DIMENSION", "Name": "host", "EnforcementInRecord": "REQUIRED"}], None),
    ],
)
def test_partition_keys_have_all_their_members(write: Any, database: str, sent: Any, kept: Any) -> None:
    made = write.create_table(DatabaseName=database, TableName="records", Schema={"CompositePartitionKey": sent})
    assert made["Table"]["Schema"] == {"CompositePartitionKey": kept or sent}


def test_update_table_with_nothing_to_update(write: Any, database: str) -> None:
    made = write.create_table(DatabaseName=database, TableName="records")["Table"]
    assert write.update_table(DatabaseName=database, TableName="records")["Table"] == made


def test_what_is_deleted_is_gone_and_the_rest_is_there(write: Any, database: str) -> None:
    for name in ("one", "three", "two"):
        write.create_table(DatabaseName=database, TableName=name)
    assert write.delete_table(DatabaseName=database, TableName="three").keys() == {"ResponseMetadata"}
    left = write.list_tables(DatabaseName=database)["Tables"]
    assert [(table["TableName"], table["TableStatus"]) for table in left] == [("one", "ACTIVE"), ("two", "ACTIVE")]
    assert write.describe_database(DatabaseName=database)["Database"]["TableCount"] == 2
    assert told(lambda: write.delete_table(DatabaseName=database, TableName="three"))[0] == "ResourceNotFoundException"


def test_a_name_that_is_taken_is_a_conflict(write: Any, database: str) -> None:
    error = fault(lambda: write.create_database(DatabaseName=database))
    assert isinstance(error, write.exceptions.ConflictException)
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 409
    assert error.response["Message"] == error.response["Error"]["Message"] == f"The database {database} already exists."
    write.create_table(DatabaseName=database, TableName="taken")
    assert told(lambda: write.create_table(DatabaseName=database, TableName="taken")) == (
        "ConflictException",
        409,
        "The table taken already exists.",
    )
    # A name is taken only with its case, and only in its database.
    write.create_table(DatabaseName=database, TableName="Taken")


def paged(call: Any, size: int, **more: Any) -> list[dict[str, Any]]:
    """All pages of a list, one call after the other."""
    pages = [call(MaxResults=size, **more)]
    while "NextToken" in pages[-1]:
        pages.append(call(MaxResults=size, NextToken=pages[-1]["NextToken"], **more))
    return pages


@pytest.mark.parametrize("size", [1, 3, 7, 20])
def test_list_tables_in_pages(write: Any, database: str, size: int) -> None:
    names = [f"table-{number}" for number in range(7)]
    for name in reversed(names):
        write.create_table(DatabaseName=database, TableName=name)
    pages = paged(write.list_tables, size, DatabaseName=database)
    assert [table["TableName"] for page in pages for table in page["Tables"]] == names
    assert all(0 < len(page["Tables"]) <= size for page in pages)
    everything = [table for page in paged(write.list_tables, 20) for table in page["Tables"]]
    assert [table["TableName"] for table in everything if table["DatabaseName"] == database] == names
    assert told(lambda: write.list_tables(DatabaseName="nowhere"))[:2] == ("ResourceNotFoundException", 404)


def test_list_databases_in_pages(write: Any) -> None:
    names = [f"listed-{number:02}" for number in range(23)]
    for name in names:
        write.create_database(DatabaseName=name)
    for size in (4, 20):
        pages = paged(write.list_databases, size)
        listed = [database["DatabaseName"] for page in pages for database in page["Databases"]]
        assert listed == sorted(listed)
        assert [name for name in listed if name.startswith("listed-")] == names
    assert len(write.list_databases()["Databases"]) == 20


def test_a_token_of_another_list_is_refused(write: Any, database: str) -> None:
    for name in ("one", "two"):
        write.create_table(DatabaseName=database, TableName=name)
    token = write.list_tables(DatabaseName=database, MaxResults=1)["NextToken"]
    for call in (
        lambda: write.list_databases(NextToken=token),
        lambda: write.list_tables(NextToken=token),
        lambda: write.list_tables(DatabaseName=database, NextToken=token[:-1]),
        lambda: write.list_tables(DatabaseName=database, NextToken="no token"),
    ):
        assert told(call) == ("ValidationException", 400, "Invalid pagination token")


@pytest.mark.parametrize(
    ("operation", "arguments", "path"),
    [
        ("create_database", {"DatabaseName": "ab"}, "databaseName"),
        ("create_database", {"DatabaseName": "no spaces"}, "databaseName"),
        ("create_database", {"DatabaseName": "n" * 257}, "databaseName"),
        ("create_table", {"DatabaseName": "d_1", "TableName": "a/b"}, "tableName"),
        (
            "create_table",
            {
                "DatabaseName": "d_1",
                "TableName": "abc",
                "RetentionProperties": {
                    "MemoryStoreRetentionPeriodInHours": 8_767,
                    "MagneticStoreRetentionPeriodInDays": 1,
                },
            },
            "retentionProperties.memoryStoreRetentionPeriodInHours",
        ),
        ("list_databases", {"MaxResults": 21}, "maxResults"),
    ],
)
def test_a_broken_constraint_is_named(write: Any, operation: str, arguments: dict[str, Any], path: str) -> None:
    code, status, text = told(lambda: getattr(write, operation)(**arguments))
    assert (code, status) == ("ValidationException", 400)
    assert text.startswith("1 validation error detected: Value ")
    assert f" at '{path}' failed to satisfy constraint: Member must " in text


def test_endpoints_are_the_address_that_was_called(server: ServerProcess, write: Any, query: Any) -> None:
    for client in (write, query):
        assert client.describe_endpoints()["Endpoints"] == [{"Address": server.endpoint, "CachePeriodInMinutes": 1_440}]


def test_update_database_changes_the_key(write: Any, database: str) -> None:
    before = write.describe_database(DatabaseName=database)["Database"]
    key = before["KmsKeyId"].rpartition("/")[0] + "/11111111-2222-3333-4444-555555555555"
    after = write.update_database(DatabaseName=database, KmsKeyId=key)["Database"]
    assert after["KmsKeyId"] == key
    assert after["CreationTime"] == before["CreationTime"]
    assert write.describe_database(DatabaseName=database)["Database"] == after
    assert told(lambda: write.update_database(DatabaseName="nowhere", KmsKeyId=key))[0] == "ResourceNotFoundException"
