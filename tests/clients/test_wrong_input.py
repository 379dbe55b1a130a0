"""Each operation of the write service with input that it refuses, sent by a boto3 that was told not to check.

What the model's constraints say is proven from the model in other tests; here is what a user is told, operation by
operation: the exception's class, its status, and a text that names the member. Source: write-api.md 1.2 to 1.4.
"""

from __future__ import annotations

from typing import Any

import boto3
import pytest

from support.server import ServerProcess
from support.stock import told

DATABASE = "wrong_input"
HERE = {"DatabaseName": DATABASE}
TABLE = {**HERE, "TableName": "records"}
NEW = {**HERE, "TableName": "never_made"}
NOWHERE = {"DatabaseName": "nowhere"}
LOAD = {
    "DataSourceConfiguration": {"DataSourceS3Configuration": {"BucketName": "source"}, "DataFormat": "CSV"},
    "ReportConfiguration": {"ReportS3Configuration": {"BucketName": "reports"}},
    "TargetDatabaseName": DATABASE,
    "TargetTableName": "records",
}
AT_LEAST_ONE = "have length greater than or equal to 1"
UNKNOWN_TASK = "ABCDEFGHIJKLMNOP"


def constraint(place: str, text: str, value: str) -> str:
    return f"1 validation error detected: Value {value} at '{place}' failed to satisfy constraint: Member must {text}"


def missing(place: str) -> str:
    return constraint(place, "not be null", "null")


def key(*parts: dict[str, str]) -> dict[str, Any]:
    return {"Schema": {"CompositePartitionKey": list(parts)}}


INVALID = [
    ("create_database", {}, missing("databaseName")),
    (
        "create_database",
        {"DatabaseName": "a b", "KmsKeyId": ""},
        "2 validation errors detected: Value 'a b' at 'databaseName' failed to satisfy constraint: Member must satisfy "
        "regular expression pattern: [a-zA-Z0-9_.-]+; Value '' at 'kmsKeyId' failed to satisfy constraint: Member must "
        "have length greater than or equal to 1",
    ),
    ("create_database", {**NOWHERE, "KmsKeyId": "my key"}, "The KMS key identifier my key is invalid."),
    ("create_database", {**NOWHERE, "Tags": [{"Key": "a"}]}, missing("tags.1.member.value")),
    ("describe_database", {}, missing("databaseName")),
    ("list_databases", {"MaxResults": 0}, constraint("maxResults", "have value greater than or equal to 1", "'0'")),
    ("list_databases", {"NextToken": "forged"}, "Invalid pagination token"),
    ("update_database", HERE, missing("kmsKeyId")),
    ("update_database", {**HERE, "KmsKeyId": "key"}, "The KMS key identifier key is invalid."),
    ("delete_database", {}, missing("databaseName")),
    ("delete_database", HERE, f"The database {DATABASE} cannot be deleted because it contains tables."),
    ("create_table", HERE, missing("tableName")),
    (
        "create_table",
        {**NEW, "RetentionProperties": {"MemoryStoreRetentionPeriodInHours": 6}},
        missing("retentionProperties.magneticStoreRetentionPeriodInDays"),
    ),
    (
        "create_table",
        {**NEW, "MagneticStoreWriteProperties": {}},
        missing("magneticStoreWriteProperties.enableMagneticStoreWrites"),
    ),
    (
        "create_table",
        {
            **NEW,
            "MagneticStoreWriteProperties": {
                "EnableMagneticStoreWrites": True,
                "MagneticStoreRejectedDataLocation": {
                    "S3Configuration": {"BucketName": "reports", "EncryptionOption": "SSE_KMS"}
                },
            },
        },
        "KmsKeyId is required when EncryptionOption is SSE_KMS.",
    ),
    ("create_table", {**NEW, **key({"Name": "host"})}, missing("schema.compositePartitionKey.1.member.type")),
    ("create_table", {**NEW, **key({"Type": "DIMENSION"})}, "A partition key of type DIMENSION requires a Name."),
    (
        "create_table",
        {**NEW, **key({"Type": "DIMENSION", "Name": "host"}, {"Type": "MEASURE"})},
        "You have specified too many partition keys to be used in your composite partition key. "
        "Only 1 partition keys can be specified.",
    ),
    (
        "create_table",
        {**NEW, **key({"Type": "DIMENSION", "Name": "my-host"})},
        "The dimension name is invalid. Dimension name can only contain alphanumeric characters and underscores. "
        "It can only start with an alphabet and cannot end with an underscore.",
    ),
    ("create_table", {**NEW, **key({"Type": "DIMENSION", "Name": "time"})}, "The name time is reserved."),
    (
        "create_table",
        {**NEW, **key({"Type": "DIMENSION", "Name": "h" * 61})},
        f"The dimension name {'h' * 61} exceeds the maximum of 60 bytes.",
    ),
    ("describe_table", HERE, missing("tableName")),
    ("list_tables", {"MaxResults": 21}, constraint("maxResults", "have value less than or equal to 20", "'21'")),
    ("list_tables", {**HERE, "NextToken": "forged"}, "Invalid pagination token"),
    ("update_table", HERE, missing("tableName")),
    (
        "update_table",
        {**TABLE, **key({"Type": "DIMENSION", "Name": "host"})},
        "The partition key of a table cannot be changed.",
    ),
    ("delete_table", HERE, missing("tableName")),
    ("write_records", TABLE, missing("records")),
    (
        "write_records",
        {**TABLE, "Records": []},
        constraint("records", "have length greater than or equal to 1", "'[]'"),
    ),
    ("write_records", {**TABLE, "Records": [{}]}, "At least one dimension is required for a record."),
    ("tag_resource", {"Tags": []}, missing("resourceARN")),
    ("tag_resource", {"ResourceARN": "arn", "Tags": []}, "The resource ARN arn is invalid."),
    ("untag_resource", {"ResourceARN": "arn"}, missing("tagKeys")),
    (
        "list_tags_for_resource",
        {"ResourceARN": ""},
        constraint("resourceARN", AT_LEAST_ONE, "''"),
    ),
    ("create_batch_load_task", {**LOAD, "TargetTableName": None}, missing("targetTableName")),
    (
        "create_batch_load_task",
        {**LOAD, "TargetTableName": "no/table"},
        constraint("targetTableName", "satisfy regular expression pattern: [a-zA-Z0-9_.-]+", "'no/table'"),
    ),
    (
        "describe_batch_load_task",
        {"TaskId": "lower"},
        constraint("taskId", "satisfy regular expression pattern: [A-Z0-9]+", "'lower'"),
    ),
    (
        "list_batch_load_tasks",
        {"MaxResults": 101},
        constraint("maxResults", "have value less than or equal to 100", "'101'"),
    ),
    ("resume_batch_load_task", {}, missing("taskId")),
]

NOT_FOUND = [
    ("describe_database", NOWHERE, "The database nowhere does not exist."),
    # That there is no such database comes before what is wrong with the rest.
    ("update_database", {**NOWHERE, "KmsKeyId": "key"}, "The database nowhere does not exist."),
    ("delete_database", NOWHERE, "The database nowhere does not exist."),
    ("create_table", {**NEW, **NOWHERE}, "The database nowhere does not exist."),
    ("describe_table", {**TABLE, **NOWHERE}, "The database nowhere does not exist."),
    ("describe_table", NEW, "The table never_made does not exist."),
    ("list_tables", NOWHERE, "The database nowhere does not exist."),
    ("update_table", NEW, "The table never_made does not exist."),
    ("delete_table", NEW, "The table never_made does not exist."),
    ("write_records", {**TABLE, **NOWHERE, "Records": [{}]}, "The database nowhere does not exist."),
    ("write_records", {**NEW, "Records": [{}]}, "The table never_made does not exist."),
    ("create_batch_load_task", {**LOAD, "TargetTableName": "never_made"}, "The table never_made does not exist."),
    ("describe_batch_load_task", {"TaskId": UNKNOWN_TASK}, f"The batch load task {UNKNOWN_TASK} does not exist."),
    ("resume_batch_load_task", {"TaskId": UNKNOWN_TASK}, f"The batch load task {UNKNOWN_TASK} does not exist."),
]


@pytest.fixture(scope="module")
def careless(server: ServerProcess) -> Any:
    """A client that sends anything, to a server with one database and one table."""
    client = server.client("timestream-write", is_careful=False)
    client.create_database(**HERE)
    client.create_table(**TABLE)
    return client


@pytest.mark.parametrize(("operation", "members", "text"), INVALID)
def test_invalid(careless: Any, operation: str, members: dict[str, Any], text: str) -> None:
    given = {name: value for name, value in members.items() if value is not None}
    assert told(lambda: getattr(careless, operation)(**given)) == ("ValidationException", 400, text)


@pytest.mark.parametrize(("operation", "members", "text"), NOT_FOUND)
def test_not_found(careless: Any, operation: str, members: dict[str, Any], text: str) -> None:
    assert told(lambda: getattr(careless, operation)(**members)) == ("ResourceNotFoundException", 404, text)


def test_every_operation_is_here() -> None:
    """But the one that takes no input at all."""
    client: Any = boto3.client("timestream-write", region_name="us-east-1")
    operations = {name for name in client.meta.method_to_api_mapping if name != "describe_endpoints"}
    assert {operation for operation, *_ in INVALID} == operations
    assert len(operations) == 18


def test_nothing_of_it_was_done(careless: Any) -> None:
    tables = careless.list_tables(**HERE)["Tables"]
    assert [table["TableName"] for table in tables] == ["records"]
    assert told(lambda: careless.describe_database(**NOWHERE))[0] == "ResourceNotFoundException"
