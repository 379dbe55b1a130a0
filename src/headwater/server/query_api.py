"""The operations of the query service, one short function each. Source: query-api.md 1."""

from __future__ import annotations

from headwater.server.needs import Instance, QueryAnswer
from headwater.server.write_api import Call
from headwater.wire import codec, shapes
from headwater.wire.datum import column_info


def query(instance: Instance, request: shapes.QueryRequest, _: Call) -> bytes:
    """One page of a query. Insights may be asked for and are not given: the member is optional in the answer."""
    answer = instance.queries.run(request.query_string, request.client_token, request.next_token, request.max_rows)
    return page_json(answer)


def page_json(answer: QueryAnswer) -> bytes:
    """The answer's body. The rows are JSON already, and most of it, so they are joined and not encoded again."""
    status = {
        "ProgressPercentage": answer.progress_percent,
        "CumulativeBytesScanned": answer.bytes_scanned,
        "CumulativeBytesMetered": answer.bytes_metered,
    }
    parts = [
        b'{"QueryId":',
        codec.encode(answer.query_id),
        b',"Rows":[',
        b",".join(answer.rows),
        b'],"ColumnInfo":',
        codec.encode(column_info(answer.columns)),
        b',"QueryStatus":',
        codec.encode(status),
    ]
    if answer.next_token is not None:
        parts += [b',"NextToken":', codec.encode(answer.next_token)]
    return b"".join((*parts, b"}"))
