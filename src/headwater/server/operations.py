"""Every operation of the service, by name: how its body is read, what runs it, on which threads.

`chain` looks requests up here. A new operation is one row here, its function in `write_api`, `query_api`,
`scheduled_api`, `batch_load_api` or `tag_api`, and its shape in `wire/shapes` or `wire/scheduled_shapes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from headwater.model.limits import Limits
from headwater.server import batch_load_api, explain_api, jobs_api, query_api, scheduled_api, tag_api, write_api
from headwater.server.needs import Instance
from headwater.server.write_api import Call
from headwater.wire import codec, scheduled_shapes, shapes
from headwater.wire.write_records import decode_write_records

Decode = Callable[[bytes, Limits], Any]
Run = Callable[[Instance, Any, Call], Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """`run` answers with members, or with the body itself, or with a future whose result `finish` makes members of.

    A `slow` one has threads of its own, so that it never stands in the way of a write.
    """

    name: str
    decode: Decode
    run: Run
    finish: Callable[[Any], Mapping[str, object]] | None = None
    is_slow: bool = False


def _shape(shape: type[msgspec.Struct]) -> Decode:
    return partial(_decode, shape)


def _decode(shape: type[msgspec.Struct], body: bytes, limits: Limits) -> msgspec.Struct:
    return codec.decode(body, shape, limits.json_depth)


OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for operation in (
        Operation("CreateDatabase", _shape(shapes.CreateDatabaseRequest), write_api.create_database),
        Operation("DescribeDatabase", _shape(shapes.DescribeDatabaseRequest), write_api.describe_database),
        Operation("ListDatabases", _shape(shapes.ListDatabasesRequest), write_api.list_databases),
        Operation("UpdateDatabase", _shape(shapes.UpdateDatabaseRequest), write_api.update_database),
        Operation("DeleteDatabase", _shape(shapes.DeleteDatabaseRequest), write_api.delete_database),
        Operation("CreateTable", _shape(shapes.CreateTableRequest), write_api.create_table),
        Operation("DescribeTable", _shape(shapes.DescribeTableRequest), write_api.describe_table),
        Operation("ListTables", _shape(shapes.ListTablesRequest), write_api.list_tables),
        Operation("UpdateTable", _shape(shapes.UpdateTableRequest), write_api.update_table),
        Operation("DeleteTable", _shape(shapes.DeleteTableRequest), write_api.delete_table),
        Operation("WriteRecords", decode_write_records, write_api.write_records, finish=write_api.records_ingested),
        Operation("TagResource", _shape(shapes.TagResourceRequest), tag_api.tag_resource),
        Operation("UntagResource", _shape(shapes.UntagResourceRequest), tag_api.untag_resource),
        Operation("ListTagsForResource", _shape(shapes.ListTagsForResourceRequest), tag_api.list_tags_for_resource),
        Operation(
            "CreateBatchLoadTask",
            _shape(shapes.CreateBatchLoadTaskRequest),
            batch_load_api.create_batch_load_task,
            is_slow=True,
        ),
        Operation(
            "DescribeBatchLoadTask",
            _shape(shapes.DescribeBatchLoadTaskRequest),
            batch_load_api.describe_batch_load_task,
        ),
        Operation("ListBatchLoadTasks", _shape(shapes.ListBatchLoadTasksRequest), batch_load_api.list_batch_load_tasks),
        Operation(
            "ResumeBatchLoadTask", _shape(shapes.ResumeBatchLoadTaskRequest), batch_load_api.resume_batch_load_task
        ),
        Operation("DescribeEndpoints", _shape(shapes.DescribeEndpointsRequest), write_api.describe_endpoints),
        Operation("Query", _shape(shapes.QueryRequest), query_api.query, is_slow=True),
        Operation("PrepareQuery", _shape(shapes.PrepareQueryRequest), query_api.prepare_query, is_slow=True),
        Operation(
            "DescribeAccountSettings",
            _shape(shapes.DescribeAccountSettingsRequest),
            query_api.describe_account_settings,
        ),
        Operation(
            "UpdateAccountSettings", _shape(shapes.UpdateAccountSettingsRequest), query_api.update_account_settings
        ),
        Operation("CancelQuery", _shape(shapes.CancelQueryRequest), query_api.cancel_query),
        Operation(
            "CreateScheduledQuery",
            _shape(scheduled_shapes.CreateScheduledQueryRequest),
            scheduled_api.create_scheduled_query,
            is_slow=True,
        ),
        Operation(
            "DescribeScheduledQuery",
            _shape(scheduled_shapes.DescribeScheduledQueryRequest),
            scheduled_api.describe_scheduled_query,
        ),
        Operation(
            "ListScheduledQueries",
            _shape(scheduled_shapes.ListScheduledQueriesRequest),
            scheduled_api.list_scheduled_queries,
        ),
        Operation(
            "UpdateScheduledQuery",
            _shape(scheduled_shapes.UpdateScheduledQueryRequest),
            scheduled_api.update_scheduled_query,
        ),
        Operation(
            "ExecuteScheduledQuery",
            _shape(scheduled_shapes.ExecuteScheduledQueryRequest),
            scheduled_api.execute_scheduled_query,
        ),
        Operation(
            "DeleteScheduledQuery",
            _shape(scheduled_shapes.DeleteScheduledQueryRequest),
            scheduled_api.delete_scheduled_query,
        ),
    )
}

OWN_OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for operation in (
        Operation("ListJobs", _shape(shapes.ListJobsRequest), jobs_api.list_jobs),
        Operation("CancelJob", _shape(shapes.CancelJobRequest), jobs_api.cancel_job),
        Operation("ExplainQuery", _shape(shapes.ExplainQueryRequest), explain_api.explain_query, is_slow=True),
    )
}
"""What this server answers beside the service's operations, under a prefix of its own: signed like any other."""
