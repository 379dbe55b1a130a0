"""The operations on scheduled queries, one short function each. Source: scheduled-queries.md 1.

`operations` names them, like those of `write_api`. What a scheduled query may be is decided in `jobs/scheduling`, what
it runs like in `jobs/scheduled`; here are only their words on the wire.
"""

from __future__ import annotations

from collections.abc import Sequence

from headwater.errors import Invalid
from headwater.model.scheduled_query import (
    AttributeMapping,
    ErrorReportConfiguration,
    MixedMeasureMapping,
    MultiMeasureMappings,
    Overview,
    Run,
    RunInsights,
    ScheduledQuery,
    State,
    TargetConfiguration,
)
from headwater.model.table import MeasureType
from headwater.model.time import NS_PER_S, TIME_MAX_NS, TIME_MIN_NS, epoch_seconds
from headwater.server import tokens
from headwater.server.needs import Instance
from headwater.server.query_api import insights_members
from headwater.server.write_api import Call, Members, present, tags_of
from headwater.wire import scheduled_shapes as shapes

PAGE_SIZE = 100
FAILED_RUNS_SHOWN = 5


def create_scheduled_query(instance: Instance, request: shapes.CreateScheduledQueryRequest, _: Call) -> Members:
    report = request.error_report_configuration.s3_configuration
    query = ScheduledQuery(
        arn=instance.scheduling.new_arn(request.name),
        name=request.name,
        query_string=request.query_string,
        schedule_expression=request.schedule_configuration.schedule_expression,
        topic_arn=request.notification_configuration.sns_configuration.topic_arn,
        role_arn=request.scheduled_query_execution_role_arn,
        error_report=ErrorReportConfiguration(report.bucket_name, report.object_key_prefix, report.encryption_option),
        created_ns=instance.clock.now_ns(),
        target=_target_of(request.target_configuration),
        kms_key_id=request.kms_key_id,
    )
    made = instance.scheduling.create(query, request.client_token, tags_of(request.tags))
    return {"Arn": made.arn}


def describe_scheduled_query(instance: Instance, request: shapes.DescribeScheduledQueryRequest, _: Call) -> Members:
    found = instance.catalog.scheduled.overview(request.scheduled_query_arn)
    query = found.query
    failed = [run for run in found.runs if run.status.has_failed][:FAILED_RUNS_SHOWN]
    members: Members = {
        **_common(found),
        "QueryString": query.query_string,
        "ScheduleConfiguration": {"ScheduleExpression": query.schedule_expression},
        "NotificationConfiguration": {"SnsConfiguration": {"TopicArn": query.topic_arn}},
        "ScheduledQueryExecutionRoleArn": query.role_arn,
        "RecentlyFailedRuns": [_run(instance, run) for run in failed],
    }
    if query.target is not None:
        members["TargetConfiguration"] = {"TimestreamConfiguration": _target(query.target)}
    if query.kms_key_id is not None:
        members["KmsKeyId"] = query.kms_key_id
    if found.runs:
        members["LastRunSummary"] = _run(instance, found.runs[0])
    return {"ScheduledQuery": members}


def list_scheduled_queries(instance: Instance, request: shapes.ListScheduledQueriesRequest, _: Call) -> Members:
    """By name, which is a guess, as is the size of a page."""
    scope = ("ListScheduledQueries",)
    size = request.max_results or PAGE_SIZE
    after = tokens.unseal(instance.token_key, scope, request.next_token)[0] if request.next_token else None
    # One more than is shown tells whether there is more.
    found = instance.catalog.scheduled.list(after, size + 1)
    page = found[:size]
    answer: Members = {"ScheduledQueries": [_element(one) for one in page]}
    if len(found) > size:
        answer["NextToken"] = tokens.seal(instance.token_key, scope, (page[-1].query.name,))
    return answer


def update_scheduled_query(instance: Instance, request: shapes.UpdateScheduledQueryRequest, _: Call) -> Members:
    instance.scheduling.update_state(request.scheduled_query_arn, State(request.state))
    return {}


def execute_scheduled_query(instance: Instance, request: shapes.ExecuteScheduledQueryRequest, _: Call) -> Members:
    """Answers when the run is written down, not when it ends. Fractions of a second are cut off."""
    invocation_s = int(request.invocation_time // 1)
    if not TIME_MIN_NS // NS_PER_S < invocation_s <= TIME_MAX_NS // NS_PER_S:
        raise Invalid(f"The invocation time {request.invocation_time} is out of range.")
    insights = request.query_insights
    instance.scheduled.run_manually(
        request.scheduled_query_arn,
        invocation_s,
        request.client_token,
        wants_insights=insights is not None and insights.mode == "ENABLED_WITH_RATE_CONTROL",
    )
    return {}


def delete_scheduled_query(instance: Instance, request: shapes.DeleteScheduledQueryRequest, _: Call) -> Members:
    instance.scheduling.delete(request.scheduled_query_arn)
    return {}


def _target_of(sent: shapes.TargetConfiguration | None) -> TargetConfiguration | None:
    if sent is None:
        return None
    of = sent.timestream_configuration
    multi = of.multi_measure_mappings
    return TargetConfiguration(
        database=of.database_name,
        table=of.table_name,
        time_column=of.time_column,
        dimensions=tuple(mapping.name for mapping in of.dimension_mappings),
        multi_measure_mappings=None
        if multi is None
        else MultiMeasureMappings(
            multi.target_multi_measure_name, _attributes_of(multi.multi_measure_attribute_mappings)
        ),
        mixed_measure_mappings=tuple(map(_mixed_of, of.mixed_measure_mappings or ())),
        measure_name_column=of.measure_name_column,
    )


def _mixed_of(sent: shapes.MixedMeasureMapping) -> MixedMeasureMapping:
    return MixedMeasureMapping(
        type=None if sent.measure_value_type == "MULTI" else MeasureType(sent.measure_value_type),
        measure_name=sent.measure_name,
        source_column=sent.source_column,
        target_name=sent.target_measure_name,
        attributes=_attributes_of(sent.multi_measure_attribute_mappings or ()),
    )


def _attributes_of(sent: Sequence[shapes.AttributeMapping]) -> tuple[AttributeMapping, ...]:
    return tuple(
        AttributeMapping(
            one.source_column, MeasureType(one.measure_value_type), one.target_multi_measure_attribute_name
        )
        for one in sent
    )


def _common(found: Overview) -> Members:
    """What a description and an element of a list both have."""
    query, report = found.query, found.query.error_report
    s3 = {"BucketName": report.bucket, "ObjectKeyPrefix": report.prefix, "EncryptionOption": report.encryption}
    return {
        "Arn": query.arn,
        "Name": query.name,
        "CreationTime": epoch_seconds(query.created_ns),
        "State": query.state.value,
        **present({"PreviousInvocationTime": found.previous_s, "NextInvocationTime": found.next_s}),
        "ErrorReportConfiguration": {"S3Configuration": present(s3)},
    }


def _element(found: Overview) -> Members:
    members, target = _common(found), found.query.target
    if target is not None:
        names = {"DatabaseName": target.database, "TableName": target.table}
        members["TargetDestination"] = {"TimestreamDestination": names}
    if found.runs:
        members["LastRunStatus"] = found.runs[0].status.value
    return members


def _target(target: TargetConfiguration) -> Members:
    """The structure as it was sent."""
    members: Members = {
        "DatabaseName": target.database,
        "TableName": target.table,
        "TimeColumn": target.time_column,
        "DimensionMappings": [{"Name": name, "DimensionValueType": "VARCHAR"} for name in target.dimensions],
    }
    multi = target.multi_measure_mappings
    if multi is not None:
        members["MultiMeasureMappings"] = present(
            {
                "TargetMultiMeasureName": multi.target_name,
                "MultiMeasureAttributeMappings": _attributes(multi.attributes),
            }
        )
    if target.mixed_measure_mappings:
        members["MixedMeasureMappings"] = [_mixed(mapping) for mapping in target.mixed_measure_mappings]
    if target.measure_name_column is not None:
        members["MeasureNameColumn"] = target.measure_name_column
    return members


def _mixed(mapping: MixedMeasureMapping) -> Members:
    return present(
        {
            "MeasureName": mapping.measure_name,
            "SourceColumn": mapping.source_column,
            "TargetMeasureName": mapping.target_name,
            "MeasureValueType": "MULTI" if mapping.type is None else mapping.type.value,
            "MultiMeasureAttributeMappings": _attributes(mapping.attributes) or None,
        }
    )


def _attributes(attributes: Sequence[AttributeMapping]) -> list[Members]:
    return [
        present(
            {
                "SourceColumn": one.source_column,
                "TargetMultiMeasureAttributeName": one.target_name,
                "MeasureValueType": one.type.value,
            }
        )
        for one in attributes
    ]


def _run(instance: Instance, run: Run) -> Members:
    stats, report = run.stats, run.error_report
    return present(
        {
            "InvocationTime": run.invocation_s,
            "TriggerTime": run.trigger_ms / 1000,
            "RunStatus": run.status.value,
            "ExecutionStats": {
                "ExecutionTimeInMillis": stats.execution_ms,
                "DataWrites": stats.written_bytes,
                "BytesMetered": stats.metered_bytes,
                "CumulativeBytesScanned": stats.scanned_bytes,
                "RecordsIngested": stats.records_ingested,
                "QueryResultRows": stats.result_rows,
            },
            "QueryInsightsResponse": None if run.insights is None else _insights(instance, run.insights),
            "ErrorReportLocation": None
            if report is None
            else {"S3ReportLocation": {"BucketName": report.bucket, "ObjectKey": report.key}},
            "FailureReason": run.failure_reason,
        }
    )


def _insights(instance: Instance, insights: RunInsights) -> Members:
    return insights_members(instance.config.server, insights.touched, insights.output_rows, insights.output_bytes)
