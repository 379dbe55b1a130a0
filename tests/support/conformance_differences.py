"""What of the service model is not here, or is here and means something else: one row for each path, with its why.

`support.conformance` reads it, docs/operations.md shows it, and tests/wire/test_conformance.py holds it against a
running server, in both directions: what has no row must be seen to work, and what is `MISSING` must not be seen.
"""

from __future__ import annotations

from typing import Literal, NamedTuple


class Row(NamedTuple):
    """`operations` are names with spaces between, or `*`. A path speaks for everything below it."""

    operations: str
    part: Literal["input", "output", "error"]
    path: str
    why: str


_LOOK_UPS = (
    "DescribeDatabase ListDatabases DescribeTable ListTables DescribeEndpoints CreateBatchLoadTask "
    "DescribeBatchLoadTask ListBatchLoadTasks ResumeBatchLoadTask PrepareQuery CancelQuery DescribeAccountSettings"
)
_TO_COME = "batch load is to come"
_SCALAR = "a parameter stands for a scalar"

MISSING = (
    Row("*", "error", "AccessDeniedException", "one key may do everything"),
    Row("*", "error", "InvalidEndpointException", "one address answers every call"),
    Row("*", "error", "ResourceNotFoundException.ScheduledQueryArn", "scheduled queries are to come"),
    Row(_LOOK_UPS, "error", "InternalServerException", "answered from memory, where nothing can fail"),
    Row("UpdateDatabase UntagResource", "error", "ServiceQuotaExceededException", "nothing is added"),
    Row("CreateBatchLoadTask", "output", "TaskId", _TO_COME),
    Row("CreateBatchLoadTask", "error", "ConflictException", _TO_COME),
    Row("CreateBatchLoadTask", "error", "ServiceQuotaExceededException", _TO_COME),
    Row("DescribeBatchLoadTask", "output", "BatchLoadTaskDescription", _TO_COME),
    Row("ListBatchLoadTasks", "output", "NextToken", _TO_COME),
    Row("ListBatchLoadTasks", "output", "BatchLoadTasks[]", _TO_COME),
    Row("PrepareQuery", "output", "Columns[].Type.ArrayColumnInfo.Name", "elements have no names"),
    Row("PrepareQuery", "output", "Columns[].Type.TimeSeriesMeasureValueColumnInfo.Name", "points have no names"),
    Row("PrepareQuery", "output", "Parameters[].Type.ArrayColumnInfo", _SCALAR),
    Row("PrepareQuery", "output", "Parameters[].Type.RowColumnInfo", _SCALAR),
    Row("PrepareQuery", "output", "Parameters[].Type.TimeSeriesMeasureValueColumnInfo", _SCALAR),
    Row(
        "DescribeAccountSettings UpdateAccountSettings",
        "output",
        "QueryCompute.ProvisionedCapacity.LastUpdate.StatusMessage",
        "an update is done at once, and there is nothing to say of it",
    ),
)
"""Input that is not read, output that is never given, errors that never happen."""

_KEY = "a key of the key service that `master_key` names; without one a name only"
_REPORTS = "kept and reported; no report is written"
_CHECKED = "checked, then the task is refused: batch load is to come"
_NO_TASKS = "there are no tasks: batch load is to come"

OTHERWISE = (
    Row("CreateDatabase UpdateDatabase", "input", "KmsKeyId", _KEY),
    Row(
        "CreateTable UpdateTable",
        "input",
        "MagneticStoreWriteProperties.MagneticStoreRejectedDataLocation",
        _REPORTS,
    ),
    Row("DescribeEndpoints", "output", "Endpoints[].Address", "an address that leads this client back here"),
    Row("CreateBatchLoadTask", "input", "ClientToken", _CHECKED),
    Row("CreateBatchLoadTask", "input", "DataModelConfiguration", _CHECKED),
    Row("CreateBatchLoadTask", "input", "DataSourceConfiguration", _CHECKED),
    Row("CreateBatchLoadTask", "input", "ReportConfiguration", _CHECKED),
    Row("CreateBatchLoadTask", "input", "TargetDatabaseName", _CHECKED),
    Row("CreateBatchLoadTask", "input", "TargetTableName", _CHECKED),
    Row("CreateBatchLoadTask", "input", "RecordVersion", _CHECKED),
    Row("DescribeBatchLoadTask ResumeBatchLoadTask", "input", "TaskId", _NO_TASKS),
    Row("ListBatchLoadTasks", "input", "TaskStatus", _NO_TASKS),
    Row("UpdateAccountSettings", "input", "MaxQueryTCU", "kept and reported; nothing is metered by it"),
    Row("UpdateAccountSettings", "input", "QueryCompute", "kept and reported; nothing is provisioned by it"),
)
"""What is here and does not do all that the service's does."""

NOTES = {
    "CreateDatabase": "`KmsKeyId` is only a name unless `master_key` names a key service",
    "ListDatabases": "by name, 20 a page unless `MaxResults` says less",
    "UpdateDatabase": "as CreateDatabase; data keys are rewrapped in the background",
    "ListTables": "by name, all databases without `DatabaseName`",
    "UpdateTable": "retention, magnetic store writes, the partition key's enforcement",
    "WriteRecords": "all types, common attributes, versions, both tiers' windows",
    "DescribeEndpoints": "answers the host that was called",
    "CreateBatchLoadTask": "checks the request, then refuses it by name",
    "DescribeBatchLoadTask": "there are no tasks",
    "ListBatchLoadTasks": "there are no tasks",
    "ResumeBatchLoadTask": "there are no tasks",
    "DescribeAccountSettings": "what was set",
    "UpdateAccountSettings": "kept and reported",
    "PrepareQuery": "columns and `@` parameters, without running it",
    "CancelQuery": "while the query runs; again, it says so",
    "Query": "pages, `MaxRows`, `ClientToken`",
}
"""What the overview of the page says beside the name of an operation."""
