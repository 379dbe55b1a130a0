"""The requests of the service's operations, as typed shapes with their constraints written beside each member.

`wire/codec` reads the constraints and makes the values; the operations take them. A member without a default is
required; `| None` is optional, and null on the wire means absent. Nothing here runs.
WriteRecords, the hot one, has its own shapes in `wire/write_records`. Source: service model, API version 2018-11-01.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field


def matching(pattern: str, *, low: int | None = None, high: int | None = None) -> Meta:
    """Text that matches the service model's pattern from end to end, of `low` to `high` characters."""
    return Meta(pattern=rf"\A(?:{pattern})\Z", min_length=low, max_length=high)


SENSITIVE = {"sensitive": True}
"""Marks members whose value no message and no log may show. Source: service model."""

# The length comes from the quota page and the CloudFormation schema; the pattern allows ASCII only, so
# characters are bytes. Source: write-api.md 2.
NewName = Annotated[str, matching(r"[a-zA-Z0-9_.-]+", low=3, high=256)]
KmsKeyId = Annotated[str, Meta(min_length=1, max_length=2048)]
BucketName = Annotated[str, matching(r"[a-z0-9][\.\-a-z0-9]{1,61}[a-z0-9]", low=3, high=63)]
_OBJECT_KEY = r"[a-zA-Z0-9|!\-_*'\(\)]([a-zA-Z0-9]|[!\-_*'\(\)\/.])+"
ObjectKey = Annotated[str, matching(_OBJECT_KEY, low=1, high=1024)]
ObjectKeyPrefix = Annotated[str, matching(_OBJECT_KEY, low=1, high=928)]
EncryptionOption = Literal["SSE_S3", "SSE_KMS"]
PageSize = Annotated[int, Meta(ge=1, le=20)]


class Shape(Struct, frozen=True, rename="pascal"):
    """Base of all shapes: `database_name` here is `DatabaseName` on the wire. Members are in the model's order."""


TagKey = Annotated[str, Meta(min_length=1, max_length=128)]


class Tag(Shape, frozen=True):
    key: TagKey
    value: Annotated[str, Meta(max_length=256)]


Tags = Annotated[list[Tag], Meta(max_length=200)]

# The query service's length: its ARNs may be longer than the write service's 1011 characters, and both come here.
Arn = Annotated[str, Meta(min_length=1, max_length=2048)]


class CreateDatabaseRequest(Shape, frozen=True):
    database_name: NewName
    kms_key_id: KmsKeyId | None = None
    tags: Tags | None = None


class DescribeDatabaseRequest(Shape, frozen=True):
    database_name: str


class ListDatabasesRequest(Shape, frozen=True):
    next_token: str | None = None
    max_results: PageSize | None = None


class UpdateDatabaseRequest(Shape, frozen=True):
    database_name: str
    kms_key_id: KmsKeyId


class DeleteDatabaseRequest(Shape, frozen=True):
    database_name: str


class RetentionProperties(Shape, frozen=True):
    memory_store_retention_period_in_hours: Annotated[int, Meta(ge=1, le=8_766)]
    magnetic_store_retention_period_in_days: Annotated[int, Meta(ge=1, le=73_000)]


class S3Configuration(Shape, frozen=True, omit_defaults=True):
    bucket_name: BucketName | None = None
    object_key_prefix: ObjectKeyPrefix | None = None
    encryption_option: EncryptionOption | None = None
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


class TagResourceRequest(Shape, frozen=True):
    resource_arn: Arn = field(name="ResourceARN")
    tags: Tags


class UntagResourceRequest(Shape, frozen=True):
    resource_arn: Arn = field(name="ResourceARN")
    tag_keys: Annotated[list[TagKey], Meta(max_length=200)]


class ListTagsForResourceRequest(Shape, frozen=True):
    """The query service's; clients of the write service send the ARN only."""

    resource_arn: Arn = field(name="ResourceARN")
    max_results: Annotated[int, Meta(ge=1, le=200)] | None = None
    next_token: str | None = None


# Names in the model's words: all of these are any text, or any not empty, unless a length is given.
SchemaName = Annotated[str, Meta(min_length=1)]
Text256 = Annotated[str, Meta(min_length=1, max_length=256)]
Character = Annotated[str, Meta(min_length=1, max_length=1)]
TargetName = Annotated[str, matching(r"[a-zA-Z0-9_.-]+")]
TaskId = Annotated[str, matching(r"[A-Z0-9]+", low=3, high=32)]


class MultiMeasureAttributeMapping(Shape, frozen=True):
    source_column: SchemaName
    target_multi_measure_attribute_name: SchemaName | None = None
    measure_value_type: Literal["DOUBLE", "BIGINT", "BOOLEAN", "VARCHAR", "TIMESTAMP"] | None = None


AttributeMappings = Annotated[list[MultiMeasureAttributeMapping], Meta(min_length=1)]


class MultiMeasureMappings(Shape, frozen=True, kw_only=True):
    target_multi_measure_name: SchemaName | None = None
    multi_measure_attribute_mappings: AttributeMappings


class MixedMeasureMapping(Shape, frozen=True, kw_only=True):
    measure_name: SchemaName | None = None
    source_column: SchemaName | None = None
    target_measure_name: SchemaName | None = None
    measure_value_type: Literal["DOUBLE", "BIGINT", "VARCHAR", "BOOLEAN", "TIMESTAMP", "MULTI"]
    multi_measure_attribute_mappings: AttributeMappings | None = None


class DimensionMapping(Shape, frozen=True):
    source_column: SchemaName | None = None
    destination_column: SchemaName | None = None


class DataModel(Shape, frozen=True, kw_only=True):
    time_column: Text256 | None = None
    time_unit: Literal["MILLISECONDS", "SECONDS", "MICROSECONDS", "NANOSECONDS"] | None = None
    dimension_mappings: Annotated[list[DimensionMapping], Meta(min_length=1)]
    multi_measure_mappings: MultiMeasureMappings | None = None
    mixed_measure_mappings: Annotated[list[MixedMeasureMapping], Meta(min_length=1)] | None = None
    measure_name_column: Text256 | None = None


class DataModelS3Configuration(Shape, frozen=True):
    bucket_name: BucketName | None = None
    object_key: ObjectKey | None = None


class DataModelConfiguration(Shape, frozen=True):
    data_model: DataModel | None = None
    data_model_s3_configuration: DataModelS3Configuration | None = field(default=None, name="DataModelS3Configuration")


class DataSourceS3Configuration(Shape, frozen=True):
    bucket_name: BucketName
    object_key_prefix: ObjectKey | None = None


class CsvConfiguration(Shape, frozen=True):
    column_separator: Character | None = None
    escape_char: Character | None = None
    quote_char: Character | None = None
    null_value: Text256 | None = None
    trim_white_space: bool | None = None


class DataSourceConfiguration(Shape, frozen=True, kw_only=True):
    data_source_s3_configuration: DataSourceS3Configuration = field(name="DataSourceS3Configuration")
    csv_configuration: CsvConfiguration | None = None
    data_format: Literal["CSV"]


class ReportS3Configuration(Shape, frozen=True):
    bucket_name: BucketName
    object_key_prefix: ObjectKeyPrefix | None = None
    encryption_option: EncryptionOption | None = None
    kms_key_id: KmsKeyId | None = None


class ReportConfiguration(Shape, frozen=True):
    report_s3_configuration: ReportS3Configuration | None = field(default=None, name="ReportS3Configuration")


class CreateBatchLoadTaskRequest(Shape, frozen=True, kw_only=True):
    client_token: Annotated[str, Meta(min_length=1, max_length=64, extra=SENSITIVE)] | None = None
    data_model_configuration: DataModelConfiguration | None = None
    data_source_configuration: DataSourceConfiguration
    report_configuration: ReportConfiguration
    target_database_name: TargetName
    target_table_name: TargetName
    record_version: int | None = None


class DescribeBatchLoadTaskRequest(Shape, frozen=True):
    task_id: TaskId


class ListBatchLoadTasksRequest(Shape, frozen=True):
    next_token: str | None = None
    max_results: Annotated[int, Meta(ge=1, le=100)] | None = None
    task_status: (
        Literal["CREATED", "IN_PROGRESS", "FAILED", "SUCCEEDED", "PROGRESS_STOPPED", "PENDING_RESUME"] | None
    ) = None


class ResumeBatchLoadTaskRequest(Shape, frozen=True):
    task_id: TaskId


class DescribeEndpointsRequest(Shape, frozen=True):
    pass


class ExplainQueryRequest(Shape, frozen=True):
    """Of an operation that the service has not."""

    query_string: Annotated[str, Meta(min_length=1, max_length=262_144, extra=SENSITIVE)]


class CancelJobRequest(Shape, frozen=True):
    """Of an operation of our own."""

    job: Annotated[str, Meta(min_length=1, max_length=256)]


class ListJobsRequest(Shape, frozen=True):
    """Of an operation that the service has not."""


class QueryInsights(Shape, frozen=True):
    mode: Literal["ENABLED_WITH_RATE_CONTROL", "DISABLED"]


class QueryRequest(Shape, frozen=True):
    query_string: Annotated[str, Meta(min_length=1, max_length=262_144, extra=SENSITIVE)]
    client_token: Annotated[str, Meta(min_length=32, max_length=128, extra=SENSITIVE)] | None = None
    next_token: Annotated[str, Meta(min_length=1, max_length=2048)] | None = None
    max_rows: Annotated[int, Meta(ge=1, le=1000)] | None = None
    query_insights: QueryInsights | None = None


class CancelQueryRequest(Shape, frozen=True):
    query_id: Annotated[str, matching(r"[a-zA-Z0-9]+", low=1, high=64)]


class PrepareQueryRequest(Shape, frozen=True):
    query_string: Annotated[str, Meta(min_length=1, max_length=262_144, extra=SENSITIVE)]
    validate_only: bool | None = None


class DescribeAccountSettingsRequest(Shape, frozen=True):
    pass


Integer32 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]


class SnsConfiguration(Shape, frozen=True):
    topic_arn: Annotated[str, Meta(min_length=1, max_length=2048)]


class AccountNotification(Shape, frozen=True, kw_only=True):
    sns_configuration: SnsConfiguration | None = None
    role_arn: Annotated[str, Meta(min_length=1, max_length=2048)]


class ProvisionedCapacity(Shape, frozen=True):
    target_query_tcu: Integer32 = field(name="TargetQueryTCU")
    notification_configuration: AccountNotification | None = None


class QueryCompute(Shape, frozen=True):
    compute_mode: Literal["ON_DEMAND", "PROVISIONED"] | None = None
    provisioned_capacity: ProvisionedCapacity | None = None


class UpdateAccountSettingsRequest(Shape, frozen=True):
    max_query_tcu: Integer32 | None = field(name="MaxQueryTCU", default=None)
    query_pricing_model: Literal["BYTES_SCANNED", "COMPUTE_UNITS"] | None = None
    query_compute: QueryCompute | None = None
