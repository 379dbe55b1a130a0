"""The operations of the write service, one short function each: a typed request in, the answer's members out.

`operations` names them, `chain` calls them in a worker thread. No rule of the service is decided here: rooms below
raise the faults. Source of all shapes: write-api.md 3, 4, 6.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import msgspec

from headwater.errors import Invalid
from headwater.ingest.names import check_dimension_name
from headwater.ingest.write import Ingested
from headwater.model.limits import Limits
from headwater.model.table import Database, Retention, Table
from headwater.model.time import epoch_seconds
from headwater.server import tokens
from headwater.server.arns import database_arn, table_arn
from headwater.server.endpoints import address_for
from headwater.server.needs import Instance
from headwater.wire import shapes
from headwater.wire.write_records import WriteRecordsRequest

Members = dict[str, object]

PAGE_SIZE = 20
ENDPOINT_CACHE_MINUTES = 1_440


def present(members: Mapping[str, object]) -> Members:
    """Those members that there are: an answer leaves out what has no value."""
    return {name: value for name, value in members.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Call:
    """What an operation may know of its request beside the body. `host` is the signed Host header.

    `user_agent` is all that the client says of itself; it may be empty, and signed or not. `principal` is the access
    key that signed, empty where signatures are not looked at. `is_wanted` tells whether the client still waits.
    """

    host: str
    user_agent: str
    principal: str = ""
    is_wanted: Callable[[], bool] = lambda: True


def create_database(instance: Instance, request: shapes.CreateDatabaseRequest, _: Call) -> Members:
    database = instance.catalog.create_database(request.database_name, request.kms_key_id, tags_of(request.tags))
    return {"Database": _database(instance, database)}


def describe_database(instance: Instance, request: shapes.DescribeDatabaseRequest, _: Call) -> Members:
    return {"Database": _database(instance, instance.catalog.database(request.database_name))}


def list_databases(instance: Instance, request: shapes.ListDatabasesRequest, _: Call) -> Members:
    scope = ("ListDatabases",)
    size = request.max_results or PAGE_SIZE
    after = tokens.unseal(instance.token_key, scope, request.next_token)[0] if request.next_token else None
    # One more than is shown tells whether there is more.
    found = instance.catalog.list_databases(after, size + 1)
    page = found[:size]
    answer: Members = {"Databases": [_database(instance, database) for database in page]}
    if len(found) > size:
        answer["NextToken"] = tokens.seal(instance.token_key, scope, (page[-1].name,))
    return answer


def update_database(instance: Instance, request: shapes.UpdateDatabaseRequest, _: Call) -> Members:
    return {
        "Database": _database(instance, instance.catalog.update_database(request.database_name, request.kms_key_id))
    }


def delete_database(instance: Instance, request: shapes.DeleteDatabaseRequest, _: Call) -> Members:
    instance.catalog.delete_database(request.database_name)
    return {}


def create_table(instance: Instance, request: shapes.CreateTableRequest, _: Call) -> Members:
    table = instance.create_table(
        request.database_name,
        request.table_name,
        _retention(request.retention_properties),
        _magnetic_writes(request.magnetic_store_write_properties),
        _new_partition_key(request.schema, instance.config.limits),
        tags_of(request.tags),
    )
    return {"Table": _table(instance, table)}


def describe_table(instance: Instance, request: shapes.DescribeTableRequest, _: Call) -> Members:
    return {"Table": _table(instance, instance.catalog.table(request.database_name, request.table_name))}


def list_tables(instance: Instance, request: shapes.ListTablesRequest, _: Call) -> Members:
    scope = ("ListTables", *([] if request.database_name is None else [request.database_name]))
    size = request.max_results or PAGE_SIZE
    after: str | tuple[str, str] | None = None
    if request.next_token:
        database, name = tokens.unseal(instance.token_key, scope, request.next_token)
        after = (database, name) if request.database_name is None else name
    found = instance.catalog.list_tables(request.database_name, after, size + 1)
    page = found[:size]
    answer: Members = {"Tables": [_table(instance, table) for table in page]}
    if len(found) > size:
        answer["NextToken"] = tokens.seal(instance.token_key, scope, (page[-1].database, page[-1].name))
    return answer


def update_table(instance: Instance, request: shapes.UpdateTableRequest, _: Call) -> Members:
    table = instance.catalog.update_table(
        request.database_name,
        request.table_name,
        _retention(request.retention_properties),
        _magnetic_writes(request.magnetic_store_write_properties),
        _partition_key(request.schema),
    )
    return {"Table": _table(instance, table)}


def delete_table(instance: Instance, request: shapes.DeleteTableRequest, _: Call) -> Members:
    instance.drop_table(request.database_name, request.table_name)
    return {}


def write_records(instance: Instance, request: WriteRecordsRequest, _: Call) -> Future[Ingested]:
    """The answer comes with the future, so that no thread waits for the disk."""
    return instance.ingest.write(request)


def records_ingested(ingested: Ingested) -> Members:
    """WriteRecords' answer, when it is known."""
    total = ingested.memory + ingested.magnetic
    return {"RecordsIngested": {"Total": total, "MemoryStore": ingested.memory, "MagneticStore": ingested.magnetic}}


def describe_endpoints(instance: Instance, _: shapes.DescribeEndpointsRequest, call: Call) -> Members:
    """One endpoint, which leads back here. Raises Invalid if the Host header is no host. Source: write-api.md 1.5."""
    address = address_for(instance.config.server, call.host, call.user_agent)
    return {"Endpoints": [{"Address": address, "CachePeriodInMinutes": ENDPOINT_CACHE_MINUTES}]}


def tags_of(sent: Sequence[shapes.Tag] | None) -> dict[str, str]:
    """Tags by key; of a key that is there twice the last one counts, as in two calls."""
    return {tag.key: tag.value for tag in sent or ()}


def _database(instance: Instance, database: Database) -> Members:
    return {
        "Arn": database_arn(instance.config.server, database.name),
        "DatabaseName": database.name,
        "TableCount": instance.catalog.table_count(database.name),
        "KmsKeyId": database.kms_key_id,
        "CreationTime": epoch_seconds(database.created_ns),
        "LastUpdatedTime": epoch_seconds(database.updated_ns),
    }


def _table(instance: Instance, table: Table) -> Members:
    return {
        "Arn": table_arn(instance.config.server, table.database, table.name),
        "TableName": table.name,
        "DatabaseName": table.database,
        "TableStatus": "ACTIVE",
        "RetentionProperties": {
            "MemoryStoreRetentionPeriodInHours": table.retention.memory_hours,
            "MagneticStoreRetentionPeriodInDays": table.retention.magnetic_days,
        },
        "CreationTime": epoch_seconds(table.created_ns),
        "LastUpdatedTime": epoch_seconds(table.updated_ns),
        "MagneticStoreWriteProperties": table.magnetic_writes or {"EnableMagneticStoreWrites": False},
        "Schema": {"CompositePartitionKey": list(table.partition_key or ({"Type": "MEASURE"},))},
    }


def _retention(sent: shapes.RetentionProperties | None) -> Retention | None:
    if sent is None:
        return None
    return Retention(sent.memory_store_retention_period_in_hours, sent.magnetic_store_retention_period_in_days)


def _magnetic_writes(sent: shapes.MagneticStoreWriteProperties | None) -> dict[str, object] | None:
    """The structure with just the members that were sent: answers echo it."""
    members: dict[str, object] | None = msgspec.to_builtins(sent)
    return members


def _new_partition_key(schema: shapes.Schema | None, limits: Limits) -> tuple[dict[str, str], ...] | None:
    """A key that no record could have would make the table useless. Raises Invalid; that it does is a guess."""
    key = _partition_key(schema)
    for name in (part["Name"] for part in key or () if "Name" in part):
        check_dimension_name(name)
        if len(name) > limits.dimension_name_bytes:
            raise Invalid(f"The dimension name {name} exceeds the maximum of {limits.dimension_name_bytes} bytes.")
    return key


def _partition_key(schema: shapes.Schema | None) -> tuple[dict[str, str], ...] | None:
    if schema is None or schema.composite_partition_key is None:
        return None
    return tuple(msgspec.to_builtins(key) for key in schema.composite_partition_key)
