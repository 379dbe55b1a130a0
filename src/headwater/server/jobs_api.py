"""`ListJobs` and `CancelJob`, which the service has not: work in the background, in the form of a query's result.

`headwater jobs` calls them and prints the list like any result. Named in `operations.OWN_OPERATIONS`.
"""

from __future__ import annotations

import pyarrow as pa

from headwater.model.types import OutputColumn, Scalar
from headwater.server.needs import Instance
from headwater.server.write_api import Call, Members
from headwater.wire import codec, shapes
from headwater.wire.datum import column_info, rows_json

COLUMNS = (
    OutputColumn("job", Scalar.VARCHAR),
    OutputColumn("name", Scalar.VARCHAR),
    OutputColumn("state", Scalar.VARCHAR),
    OutputColumn("progress_percent", Scalar.DOUBLE),
    OutputColumn("began", Scalar.TIMESTAMP),
    OutputColumn("detail", Scalar.VARCHAR),
)
_TYPES = (pa.string(), pa.string(), pa.string(), pa.float64(), pa.int64(), pa.string())


def cancel_job(instance: Instance, request: shapes.CancelJobRequest, _: Call) -> Members:
    """Ends a job by the name that the list shows. Raises Invalid, NotFound."""
    return {"CancellationMessage": instance.cancel_job(request.job)}


def list_jobs(instance: Instance, _: shapes.ListJobsRequest, __: Call) -> bytes:
    """All on one page."""
    lines = [
        (line.kind, line.name, line.state, line.progress_percent, line.began_ns, line.detail)
        for line in instance.jobs()
    ]
    arrays = [pa.array([line[place] for line in lines], kind) for place, kind in enumerate(_TYPES)]
    rows = rows_json(pa.Table.from_arrays(arrays, names=[column.name for column in COLUMNS]), COLUMNS)
    shown = rows.first(len(rows))
    return b"".join((b'{"ColumnInfo":', codec.encode(column_info(COLUMNS)), b',"Rows":[', shown, b"]}"))
