"""The requests of the service's operations, as typed shapes with their constraints written beside each member.

`wire/codec` reads the constraints and makes the values; the operations take them. A member without a default is
required; `| None` is optional, and null on the wire means absent. Nothing here runs.
WriteRecords, the hot one, has its own shapes in `wire/write_records`. Source: service model, API version 2018-11-01.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct


def matching(pattern: str, *, low: int | None = None, high: int | None = None) -> Meta:
    """Text that matches the service model's pattern from end to end, of `low` to `high` characters."""
    return Meta(pattern=rf"\A(?:{pattern})\Z", min_length=low, max_length=high)


SENSITIVE = {"sensitive": True}
"""Marks members whose value no message and no log may show. Source: service model."""

# The length comes from the quota page and the CloudFormation schema; the pattern allows ASCII only, so
# characters are bytes. Source: write-api.md 2.
NewName = Annotated[str, matching(r"[a-zA-Z0-9_.-]+", low=3, high=256)]
KmsKeyId = Annotated[str, Meta(min_length=1, max_length=2048)]
PageSize = Annotated[int, Meta(ge=1, le=20)]


class Shape(Struct, frozen=True, rename="pascal"):
    """Base of all shapes: `database_name` here is `DatabaseName` on the wire."""


class Tag(Shape, frozen=True):
    key: Annotated[str, Meta(min_length=1, max_length=128)]
    value: Annotated[str, Meta(max_length=256)]


Tags = Annotated[list[Tag], Meta(max_length=200)]


class CreateDatabaseRequest(Shape, frozen=True):
    database_name: NewName
    kms_key_id: KmsKeyId | None = None
    tags: Tags | None = None


class DescribeDatabaseRequest(Shape, frozen=True):
    database_name: str


class ListDatabasesRequest(Shape, frozen=True):
    next_token: str | None = None
    max_results: PageSize | None = None


class DeleteDatabaseRequest(Shape, frozen=True):
    database_name: str


class RetentionProperties(Shape, frozen=True):
    memory_store_retention_period_in_hours: Annotated[int, Meta(ge=1, le=8_766)]
    magnetic_store_retention_period_in_days: Annotated[int, Meta(ge=1, le=73_000)]


class S3Configuration(Shape, frozen=True, omit_defaults=True):
    bucket_name: Annotated[str, matching(r"[a-z0-9][\.\-a-z0-9]{1,61}[a-z0-9]", low=3, high=63)] | None = None
    object_key_prefix: (
        Annotated[str, matching(r"[a-zA-Z0-9|!\-_*'\(\)]([a-zA-Z0-9]|[!\-_*'\(\)\/.])+", low=1, high=928)] | None
    ) = None
    encryption_option: Literal["SSE_S3", "SSE_KMS"] | None = None
    kms_key_id: KmsKeyId | None = None


class MagneticStoreRejectedDataLocation(Shape, frozen=True, omit_defaults=True):
    s3_configuration: S3Configuration | None = None


class MagneticStoreWriteProperties(Shape, frozen=True, omit_defaults=True):
    enable_magnetic_store_writes: bool
    magnetic_store_rejected_data_location: MagneticStoreRejectedDataLocation | None = None


class PartitionKey(Shape, frozen=True, omit_defaults=True):
    type: Literal["DIMENSION", "MEASURE"]
    name: Annotated[str, Meta(min_length=1)] | None = None
    enforcement_in_record: Literal["REQUIRED", "OPTIONAL"] | None = None


class Schema(Shape, frozen=True):
    composite_partition_key: Annotated[list[PartitionKey], Meta(min_length=1)] | None = None


class CreateTableRequest(Shape, frozen=True):
    database_name: NewName
    table_name: NewName
    retention_properties: RetentionProperties | None = None
    tags: Tags | None = None
    magnetic_store_write_properties: MagneticStoreWriteProperties | None = None
    schema: Schema | None = None


class DescribeTableRequest(Shape, frozen=True):
    database_name: str
    table_name: str


class ListTablesRequest(Shape, frozen=True):
    database_name: str | None = None
    next_token: str | None = None
    max_results: PageSize | None = None


class UpdateTableRequest(Shape, frozen=True):
    database_name: str
    table_name: str
    retention_properties: RetentionProperties | None = None
    magnetic_store_write_properties: MagneticStoreWriteProperties | None = None
    schema: Schema | None = None


class DeleteTableRequest(Shape, frozen=True):
    database_name: str
    table_name: str


class DescribeEndpointsRequest(Shape, frozen=True):
    pass


class QueryInsights(Shape, frozen=True):
    mode: Literal["ENABLED_WITH_RATE_CONTROL", "DISABLED"]


class QueryRequest(Shape, frozen=True):
    query_string: Annotated[str, Meta(min_length=1, max_length=262_144, extra=SENSITIVE)]
    client_token: Annotated[str, Meta(min_length=32, max_length=128, extra=SENSITIVE)] | None = None
    next_token: Annotated[str, Meta(min_length=1, max_length=2048)] | None = None
    max_rows: Annotated[int, Meta(ge=1, le=1000)] | None = None
    query_insights: QueryInsights | None = None
