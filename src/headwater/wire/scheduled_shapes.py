"""Shapes of the operations on scheduled queries: members and constraints of the query service's model, as data.

As `wire/shapes`, beside it because they are many; `server/scheduled_api` reads them. Nothing here runs. Members that
look like those of batch load have other constraints in this model. Source: service model, scheduled-queries.md 1, 4.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from headwater.wire.shapes import (
    SENSITIVE,
    Arn,
    BucketName,
    EncryptionOption,
    KmsKeyId,
    QueryInsights,
    Shape,
    SnsConfiguration,
    Tags,
    matching,
)

_NAME = r"[a-zA-Z0-9|!\-_*'\(\)]([a-zA-Z0-9]|[!\-_*'\(\)\/.])+"
ClientToken = Annotated[str, Meta(min_length=32, max_length=128, extra=SENSITIVE)]


class ScheduleConfiguration(Shape, frozen=True):
    schedule_expression: Annotated[str, Meta(min_length=1, max_length=256)]


class NotificationConfiguration(Shape, frozen=True):
    sns_configuration: SnsConfiguration


class DimensionMapping(Shape, frozen=True):
    name: str
    dimension_value_type: Literal["VARCHAR"]


class AttributeMapping(Shape, frozen=True, kw_only=True):
    source_column: str
    target_multi_measure_attribute_name: str | None = None
    measure_value_type: Literal["BIGINT", "BOOLEAN", "DOUBLE", "VARCHAR", "TIMESTAMP"]


AttributeMappings = Annotated[list[AttributeMapping], Meta(min_length=1)]


class MultiMeasureMappings(Shape, frozen=True, kw_only=True):
    target_multi_measure_name: str | None = None
    multi_measure_attribute_mappings: AttributeMappings


class MixedMeasureMapping(Shape, frozen=True, kw_only=True):
    measure_name: str | None = None
    source_column: str | None = None
    target_measure_name: str | None = None
    measure_value_type: Literal["BIGINT", "BOOLEAN", "DOUBLE", "VARCHAR", "MULTI"]
    multi_measure_attribute_mappings: AttributeMappings | None = None


class TimestreamConfiguration(Shape, frozen=True):
    database_name: str
    table_name: str
    time_column: str
    dimension_mappings: list[DimensionMapping]
    multi_measure_mappings: MultiMeasureMappings | None = None
    mixed_measure_mappings: Annotated[list[MixedMeasureMapping], Meta(min_length=1)] | None = None
    measure_name_column: str | None = None


class TargetConfiguration(Shape, frozen=True):
    timestream_configuration: TimestreamConfiguration


class ErrorReportS3Configuration(Shape, frozen=True):
    bucket_name: BucketName
    object_key_prefix: Annotated[str, matching(_NAME, low=1, high=896)] | None = None
    encryption_option: EncryptionOption | None = None


class ErrorReportConfiguration(Shape, frozen=True):
    s3_configuration: ErrorReportS3Configuration


class CreateScheduledQueryRequest(Shape, frozen=True, kw_only=True):
    name: Annotated[str, matching(_NAME, low=1, high=64)]
    query_string: Annotated[str, Meta(min_length=1, max_length=262_144, extra=SENSITIVE)]
    schedule_configuration: ScheduleConfiguration
    notification_configuration: NotificationConfiguration
    target_configuration: TargetConfiguration | None = None
    client_token: ClientToken | None = None
    scheduled_query_execution_role_arn: Arn
    tags: Tags | None = None
    kms_key_id: KmsKeyId | None = None
    error_report_configuration: ErrorReportConfiguration


class DescribeScheduledQueryRequest(Shape, frozen=True):
    scheduled_query_arn: Arn


class ListScheduledQueriesRequest(Shape, frozen=True):
    max_results: Annotated[int, Meta(ge=1, le=1000)] | None = None
    next_token: str | None = None


class UpdateScheduledQueryRequest(Shape, frozen=True):
    scheduled_query_arn: Arn
    state: Literal["ENABLED", "DISABLED"]


class ExecuteScheduledQueryRequest(Shape, frozen=True):
    """`invocation_time` is in seconds since 1970."""

    scheduled_query_arn: Arn
    invocation_time: float
    client_token: ClientToken | None = None
    query_insights: QueryInsights | None = None


class DeleteScheduledQueryRequest(Shape, frozen=True):
    scheduled_query_arn: Arn
