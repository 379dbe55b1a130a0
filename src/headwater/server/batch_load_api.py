"""The operations of batch load, one short function each: a typed request in, the answer's members out.

As `write_api`, whose service this is part of. Source of all shapes: batch-load.md 1-6.
"""

from __future__ import annotations

import msgspec

from headwater.errors import Invalid
from headwater.model import batch_load as model
from headwater.model.batch_load import TaskStatus
from headwater.model.table import MeasureType
from headwater.model.time import epoch_seconds
from headwater.server import tokens
from headwater.server.needs import Instance
from headwater.server.write_api import Call, Members, present
from headwater.wire import codec, shapes

PAGE_SIZE = 20


def create_batch_load_task(instance: Instance, request: shapes.CreateBatchLoadTaskRequest, _: Call) -> Members:
    """A request that was answered before is answered alike, whatever has become of its buckets."""
    body = msgspec.json.encode(msgspec.structs.replace(request, client_token=None))
    task = instance.batch_loads.made_by(request.client_token, body)
    if task is None:
        # Before its data model is fetched: without the table nothing of it matters.
        instance.catalog.table(request.target_database_name, request.target_table_name)
        task = instance.batch_loads.create(
            request.target_database_name,
            request.target_table_name,
            _load(instance, request),
            request.client_token,
            body,
        )
    return {"TaskId": task.id}


def describe_batch_load_task(instance: Instance, request: shapes.DescribeBatchLoadTaskRequest, _: Call) -> Members:
    task = instance.catalog.batch_loads.task(request.task_id)
    load, progress = task.load, task.progress
    description: Members = {
        "TaskId": task.id,
        "ErrorMessage": task.message,
        "DataSourceConfiguration": _source_members(load.source),
        "ProgressReport": {
            "RecordsProcessed": progress.processed,
            "RecordsIngested": progress.ingested,
            "ParseFailures": progress.parse_failures,
            "RecordIngestionFailures": progress.ingestion_failures,
            "FileFailures": progress.file_failures,
            "BytesMetered": progress.bytes_metered,
        },
        "ReportConfiguration": {"ReportS3Configuration": _report_members(load.report)},
        "DataModelConfiguration": _model_configuration(load),
        "TargetDatabaseName": task.database,
        "TargetTableName": task.table,
        "TaskStatus": task.status.value,
        "RecordVersion": load.record_version,
        **_times(task),
    }
    return {"BatchLoadTaskDescription": present(description)}


def list_batch_load_tasks(instance: Instance, request: shapes.ListBatchLoadTasksRequest, _: Call) -> Members:
    scope = ("ListBatchLoadTasks", request.task_status or "")
    size = request.max_results or PAGE_SIZE
    status = TaskStatus(request.task_status) if request.task_status else None
    after = tokens.unseal(instance.token_key, scope, request.next_token)[0] if request.next_token else None
    found = instance.catalog.batch_loads.page(status, after, size + 1)
    page = found[:size]
    answer: Members = {"BatchLoadTasks": [_summary(task) for task in page]}
    if len(found) > size:
        answer["NextToken"] = tokens.seal(instance.token_key, scope, (page[-1].id,))
    return answer


def resume_batch_load_task(instance: Instance, request: shapes.ResumeBatchLoadTaskRequest, _: Call) -> Members:
    instance.batch_loads.resume(request.task_id)
    return {}


def _load(instance: Instance, request: shapes.CreateBatchLoadTaskRequest) -> model.Load:
    data_model, place = _data_model(instance, request.data_model_configuration)
    source = request.data_source_configuration
    s3, csv = source.data_source_s3_configuration, source.csv_configuration
    report = request.report_configuration.report_s3_configuration
    if report is None:
        raise Invalid("ReportS3Configuration is required.")
    return model.Load(
        model.Source(s3.bucket_name, s3.object_key_prefix, None if csv is None else _dialect(csv)),
        data_model,
        place,
        model.ReportPlace(report.bucket_name, report.object_key_prefix, report.encryption_option, report.kms_key_id),
        1 if request.record_version is None else request.record_version,
    )


def _dialect(csv: shapes.CsvConfiguration) -> model.Dialect:
    return model.Dialect(csv.column_separator, csv.escape_char, csv.quote_char, csv.null_value, csv.trim_white_space)


def _data_model(
    instance: Instance, sent: shapes.DataModelConfiguration | None
) -> tuple[model.DataModel, model.ObjectPlace | None]:
    """The data model, and where it came from if that was a bucket. Raises Invalid."""
    inline = sent.data_model if sent else None
    s3 = sent.data_model_s3_configuration if sent else None
    if (inline is None) == (s3 is None):
        raise Invalid("Exactly one of DataModel and DataModelS3Configuration must be given.")
    if inline is not None:
        return _model(inline), None
    assert s3 is not None
    if s3.bucket_name is None or s3.object_key is None:
        raise Invalid("DataModelS3Configuration requires BucketName and ObjectKey.")
    place = model.ObjectPlace(s3.bucket_name, s3.object_key)
    body = instance.batch_loads.data_model(place)
    return _model(codec.decode(body, shapes.DataModel, instance.config.limits.json_depth)), place


def _model(sent: shapes.DataModel) -> model.DataModel:
    """The data model with its defaults. Source: batch-load.md 3."""
    if sent.time_column is None:
        raise Invalid("TimeColumn is required.")
    multi = sent.multi_measure_mappings
    return model.DataModel(
        time_column=sent.time_column,
        time_unit=sent.time_unit or "MILLISECONDS",
        dimensions=tuple(_dimension(mapping) for mapping in sent.dimension_mappings),
        measure_name_column=sent.measure_name_column,
        multi=None
        if multi is None
        else model.MultiMeasures(multi.target_multi_measure_name, _attributes(multi.multi_measure_attribute_mappings)),
        mixed=tuple(
            model.MixedMeasure(
                mixed.measure_name,
                mixed.source_column,
                mixed.target_measure_name,
                None if mixed.measure_value_type == "MULTI" else MeasureType(mixed.measure_value_type),
                _attributes(mixed.multi_measure_attribute_mappings or []),
            )
            for mixed in sent.mixed_measure_mappings or ()
        ),
    )


def _dimension(sent: shapes.DimensionMapping) -> model.DimensionMapping:
    if sent.source_column is None:
        raise Invalid("SourceColumn is required for a DimensionMapping.")
    return model.DimensionMapping(sent.source_column, sent.destination_column or sent.source_column)


def _attributes(sent: list[shapes.MultiMeasureAttributeMapping]) -> tuple[model.Attribute, ...]:
    return tuple(
        model.Attribute(
            one.source_column,
            one.target_multi_measure_attribute_name or one.source_column,
            MeasureType(one.measure_value_type or "DOUBLE"),
        )
        for one in sent
    )


def _summary(task: model.Task) -> Members:
    members: Members = {
        "TaskId": task.id,
        "TaskStatus": task.status.value,
        "DatabaseName": task.database,
        "TableName": task.table,
        **_times(task),
    }
    return present(members)


def _times(task: model.Task) -> Members:
    until_ns = task.resumable_until_ns
    return {
        "CreationTime": epoch_seconds(task.created_ns),
        "LastUpdatedTime": epoch_seconds(task.updated_ns),
        "ResumableUntil": None if until_ns is None else epoch_seconds(until_ns),
    }


def _source_members(source: model.Source) -> Members:
    members: Members = {
        "DataSourceS3Configuration": present({"BucketName": source.bucket, "ObjectKeyPrefix": source.prefix}),
        "DataFormat": "CSV",
    }
    if source.dialect is not None:
        members["CsvConfiguration"] = present(
            {
                "ColumnSeparator": source.dialect.column_separator,
                "EscapeChar": source.dialect.escape_char,
                "QuoteChar": source.dialect.quote_char,
                "NullValue": source.dialect.null_value,
                "TrimWhiteSpace": source.dialect.trim_white_space,
            }
        )
    return members


def _report_members(report: model.ReportPlace) -> Members:
    return present(
        {
            "BucketName": report.bucket,
            "ObjectKeyPrefix": report.prefix,
            "EncryptionOption": report.encryption,
            "KmsKeyId": report.kms_key_id,
        }
    )


def _model_configuration(load: model.Load) -> Members:
    """The model, or where it came from: what the request had."""
    place = load.model_place
    if place is not None:
        return {"DataModelS3Configuration": {"BucketName": place.bucket, "ObjectKey": place.key}}
    of = load.model
    return {
        "DataModel": present(
            {
                "TimeColumn": of.time_column,
                "TimeUnit": of.time_unit,
                "DimensionMappings": [
                    {"SourceColumn": one.source, "DestinationColumn": one.name} for one in of.dimensions
                ],
                "MultiMeasureMappings": None if of.multi is None else _multi_members(of.multi),
                "MixedMeasureMappings": [_mixed_members(one) for one in of.mixed] or None,
                "MeasureNameColumn": of.measure_name_column,
            }
        )
    }


def _multi_members(multi: model.MultiMeasures) -> Members:
    return present(
        {"TargetMultiMeasureName": multi.name, "MultiMeasureAttributeMappings": _attribute_members(multi.attributes)}
    )


def _mixed_members(mixed: model.MixedMeasure) -> Members:
    return present(
        {
            "MeasureName": mixed.measure_name,
            "SourceColumn": mixed.source,
            "TargetMeasureName": mixed.name,
            "MeasureValueType": "MULTI" if mixed.type is None else mixed.type.value,
            "MultiMeasureAttributeMappings": _attribute_members(mixed.attributes) or None,
        }
    )


def _attribute_members(attributes: tuple[model.Attribute, ...]) -> list[Members]:
    return [
        {
            "SourceColumn": one.source,
            "TargetMultiMeasureAttributeName": one.name,
            "MeasureValueType": one.type.value,
        }
        for one in attributes
    ]
