"""What of the service model is not here, or is here and means something else: one row for each path, with its why.

`support.conformance` reads it, docs/operations.md shows it, and tests/wire/test_conformance.py holds it against a
running server, in both directions: what has no row must be seen to work, and what is `MISSING` must not be seen.
"""

from __future__ import annotations

from typing import Literal, NamedTuple


class Row(NamedTuple):
    """`operations` are names with spaces between, or `*`, all but `besides`. A path speaks for everything below it."""

    operations: str
    part: Literal["input", "output", "error"]
    path: str
    why: str
    besides: str = ""


_LOOK_UPS = (
    "DescribeDatabase ListDatabases DescribeTable ListTables DescribeEndpoints "
    "DescribeBatchLoadTask ListBatchLoadTasks PrepareQuery CancelQuery DescribeAccountSettings "
    "DescribeScheduledQuery ListScheduledQueries"
)
_SCALAR = "a parameter stands for a scalar"

MISSING = (
    Row("*", "error", "AccessDeniedException", "one key may do everything", besides="CreateScheduledQuery"),
    Row("*", "error", "InvalidEndpointException", "one address answers every call"),
    Row(_LOOK_UPS, "error", "InternalServerException", "answered from memory, where nothing can fail"),
    Row("UpdateDatabase UntagResource", "error", "ServiceQuotaExceededException", "nothing is added"),
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

OTHERWISE = (
    Row("CreateDatabase UpdateDatabase", "input", "KmsKeyId", _KEY),
    Row(
        "CreateTable UpdateTable",
        "input",
        "MagneticStoreWriteProperties.MagneticStoreRejectedDataLocation",
        _REPORTS,
    ),
    Row("DescribeEndpoints", "output", "Endpoints[].Address", "an address that leads this client back here"),
    Row("CreateScheduledQuery", "input", "KmsKeyId", "kept and reported; definitions are encrypted by the root key"),
    Row(
        "CreateScheduledQuery",
        "input",
        "ScheduledQueryExecutionRoleArn",
        "judged by the policies in the folder `roles`; without that setting every role may do everything",
    ),
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
    "CreateBatchLoadTask": "CSV from the `object_store`; buckets and data model are looked at, files later",
    "DescribeBatchLoadTask": "progress as far as it would survive a crash",
    "ListBatchLoadTasks": "the newest first, 20 a page unless `MaxResults` says otherwise",
    "ResumeBatchLoadTask": "within a day after the task has stopped",
    "CreateScheduledQuery": "checked against the columns of now; first run at the next slot",
    "ListScheduledQueries": "by name, 100 a page unless `MaxResults` says otherwise",
    "UpdateScheduledQuery": "`ENABLED` or `DISABLED`; slots of the time between are not run",
    "ExecuteScheduledQuery": "answers when the run is written down; a `ClientToken` asks once",
    "DeleteScheduledQuery": "with its runs and tags; a run that goes on is cut short",
    "DescribeAccountSettings": "what was set",
    "UpdateAccountSettings": "kept and reported",
    "PrepareQuery": "columns and `@` parameters, without running it",
    "CancelQuery": "while the query runs; again, it says so",
    "Query": "pages, `MaxRows`, `ClientToken`",
}
"""What the overview of the page says beside the name of an operation."""
