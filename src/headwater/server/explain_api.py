"""The operation `ExplainQuery`, which the service has not: what a query would read, and how the engine is asked.

`headwater query --explain` calls it. Named in `operations.OWN_OPERATIONS`.
"""

from __future__ import annotations

from headwater.model.scan import DimensionIn, Extent, TimeRange
from headwater.model.time import TIME_MAX_NS, TIME_MIN_NS, timestamp_text
from headwater.query.explain import ScanExplained
from headwater.server.needs import Instance
from headwater.server.write_api import Call, Members
from headwater.wire import shapes
from headwater.wire.datum import column_info

VALUES_SHOWN = 20


def explain_query(instance: Instance, request: shapes.ExplainQueryRequest, _: Call) -> Members:
    explanation = instance.queries.explain(request.query_string)
    return {
        "ColumnInfo": column_info(explanation.columns),
        "Scans": [_scan(scan) for scan in explanation.scans],
        "EngineStatement": explanation.sql,
    }


def _scan(scan: ScanExplained) -> Members:
    """`RowsEnough` is there only for a scan that need not be read to its end."""
    request = scan.request
    enough = {} if scan.rows_enough is None else {"RowsEnough": scan.rows_enough}
    return enough | {
        "Relation": scan.relation,
        "DatabaseName": scan.database,
        "TableName": scan.table,
        "Columns": list(scan.names),
        "Time": _time(request.time),
        "Conditions": [_condition(condition) for condition in request.dimensions],
        "NewestOnly": request.newest,
        "TriedFrom": [timestamp_text(start_ns) for start_ns in scan.tried_from_ns],
        "Table": _extent(scan.whole),
        "Read": _extent(scan.read),
    }


def _time(time: TimeRange) -> Members:
    """An end that is open is not there; both ends are included."""
    if time.start_ns > time.end_ns:
        return {"Never": True}
    members: Members = {}
    if time.start_ns > TIME_MIN_NS:
        members["From"] = timestamp_text(time.start_ns)
    if time.end_ns < TIME_MAX_NS:
        members["To"] = timestamp_text(time.end_ns)
    return members


def _condition(condition: DimensionIn) -> Members:
    values, patterns = sorted(condition.values), sorted(pattern.shown for pattern in condition.patterns)
    return {
        "Name": condition.name,
        "Values": values[:VALUES_SHOWN],
        "ValueCount": len(values),
        "Patterns": patterns[:VALUES_SHOWN],
        "PatternCount": len(patterns),
    }


def _extent(extent: Extent) -> Members:
    return {
        "MemoryRows": extent.memory_rows,
        "Blocks": extent.blocks,
        "BlockRows": extent.block_rows,
        "BlockBytes": extent.block_bytes,
    }
