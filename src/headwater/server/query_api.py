"""The operations of the query service, one short function each. Source: query-api.md 1."""

from __future__ import annotations

from functools import partial

from headwater.config import ServerSettings
from headwater.errors import Invalid
from headwater.model.account import AccountSettings, Notification, ProvisionedCapacity
from headwater.model.insights import Insights
from headwater.model.types import OutputColumn
from headwater.query.token import Caller
from headwater.server.arns import table_arn
from headwater.server.needs import Instance, QueryAnswer
from headwater.server.write_api import Call, Members
from headwater.sql.plan import PreparedColumn
from headwater.wire import codec, shapes
from headwater.wire.datum import column_info


def query(instance: Instance, request: shapes.QueryRequest, call: Call) -> bytes:
    """One page of a query."""
    asked = request.query_insights
    answer = instance.queries.run(
        _caller(instance, call),
        request.query_string,
        request.client_token,
        request.next_token,
        request.max_rows,
        call.is_wanted,
        wants_insights=asked is not None and asked.mode == "ENABLED_WITH_RATE_CONTROL",
    )
    if answer.insights is None:
        return page_json(answer)
    found = insights_members(instance.config.server, answer.insights, answer.output_rows, answer.output_bytes)
    return page_json(answer, found)


def cancel_query(instance: Instance, request: shapes.CancelQueryRequest, call: Call) -> Members:
    return {"CancellationMessage": instance.queries.cancel(_caller(instance, call), request.query_id)}


def prepare_query(instance: Instance, request: shapes.PrepareQueryRequest, _: Call) -> Members:
    """Only what is asked with ValidateOnly can be answered. Source: query-api.md 3."""
    if request.validate_only is False:
        raise Invalid("ValidateOnly must be true.")
    prepared = instance.queries.prepare(request.query_string)
    return {
        "QueryString": request.query_string,
        "Columns": [_prepared_column(column) for column in prepared.columns],
        "Parameters": column_info(prepared.parameters),
    }


def _prepared_column(column: PreparedColumn) -> Members:
    members: Members = {**column_info((OutputColumn(column.name, column.type),))[0], "Aliased": column.is_aliased}
    if column.table is not None:
        members["DatabaseName"], members["TableName"] = column.table
    return members


def describe_account_settings(instance: Instance, _: shapes.DescribeAccountSettingsRequest, __: Call) -> Members:
    return _account_settings(instance.catalog.query_account.settings)


def update_account_settings(instance: Instance, request: shapes.UpdateAccountSettingsRequest, _: Call) -> Members:
    """Changes what is given and answers all of it. Source: query-api.md 4."""
    if request.query_pricing_model == "BYTES_SCANNED":
        raise Invalid("QueryPricingModel can only be set to COMPUTE_UNITS.")
    return _account_settings(instance.catalog.query_account.change(partial(_changed, request)))


def _changed(request: shapes.UpdateAccountSettingsRequest, settings: AccountSettings) -> AccountSettings:
    if request.max_query_tcu is not None:
        settings = settings.with_max_query_tcu(request.max_query_tcu)
    compute = request.query_compute
    if compute is not None:
        settings = settings.with_compute(compute.compute_mode, _capacity(compute.provisioned_capacity))
    return settings


def _capacity(given: shapes.ProvisionedCapacity | None) -> ProvisionedCapacity | None:
    if given is None:
        return None
    told = given.notification_configuration
    if told is None or told.sns_configuration is None:
        return ProvisionedCapacity(given.target_query_tcu)
    return ProvisionedCapacity(given.target_query_tcu, Notification(told.sns_configuration.topic_arn, told.role_arn))


def _account_settings(settings: AccountSettings) -> Members:
    provisioned = settings.provisioned
    compute: Members = {"ComputeMode": "ON_DEMAND" if provisioned is None else "PROVISIONED"}
    if provisioned is not None:
        capacity: Members = {
            "ActiveQueryTCU": provisioned.query_tcu,
            "LastUpdate": {"TargetQueryTCU": provisioned.query_tcu, "Status": "SUCCEEDED"},
        }
        if provisioned.notification is not None:
            capacity["NotificationConfiguration"] = {
                "RoleArn": provisioned.notification.role_arn,
                "SnsConfiguration": {"TopicArn": provisioned.notification.topic_arn},
            }
        compute["ProvisionedCapacity"] = capacity
    return {
        "MaxQueryTCU": settings.max_query_tcu,
        "QueryPricingModel": "COMPUTE_UNITS",
        "QueryCompute": compute,
    }


def _caller(instance: Instance, call: Call) -> Caller:
    return Caller(instance.config.server.account, call.principal)


def insights_members(server: ServerSettings, insights: Insights, output_rows: int, output_bytes: int) -> Members:
    """QueryInsightsResponse, of a page and of a scheduled run. Source: query-api.md 5."""
    members: Members = {
        "QueryTableCount": len(insights.tables),
        "OutputRows": output_rows,
        "OutputBytes": output_bytes,
    }
    widest, longest = insights.widest, insights.longest
    if widest is not None and longest is not None:
        members["QuerySpatialCoverage"] = {
            "Max": {
                "Value": widest.coverage.spatial,
                "TableArn": table_arn(server, widest.database, widest.table),
                "PartitionKey": [widest.partition_key],
            }
        }
        members["QueryTemporalRange"] = {
            "Max": {"Value": longest.coverage.span_ns, "TableArn": table_arn(server, longest.database, longest.table)}
        }
    if insights.unloaded is not None:
        members["UnloadPartitionCount"] = insights.unloaded.partitions
        members["UnloadWrittenRows"] = insights.unloaded.rows
        members["UnloadWrittenBytes"] = insights.unloaded.bytes
    return members


def page_json(answer: QueryAnswer, insights: Members | None = None) -> bytes:
    """The answer's body. The rows are JSON already, and most of it, so they are joined and not encoded again."""
    status = {
        "ProgressPercentage": answer.progress_percent,
        "CumulativeBytesScanned": answer.bytes_scanned,
        "CumulativeBytesMetered": answer.bytes_metered,
    }
    parts: list[bytes | memoryview] = [
        b'{"QueryId":',
        codec.encode(answer.query_id),
        b',"Rows":[',
        *answer.rows,
        b'],"ColumnInfo":',
        codec.encode(column_info(answer.columns)),
        b',"QueryStatus":',
        codec.encode(status),
    ]
    if insights is not None:
        parts += [b',"QueryInsightsResponse":', codec.encode(insights)]
    if answer.next_token is not None:
        parts += [b',"NextToken":', codec.encode(answer.next_token)]
    return b"".join((*parts, b"}"))
