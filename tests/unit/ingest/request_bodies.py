"""Requests for the tests of ingest: from Python values through JSON and the real decoder."""

from __future__ import annotations

import json
from typing import Any

from headwater.model.limits import Limits
from headwater.wire.write_records import WriteRecordsRequest, decode_write_records

LIMITS = Limits()
HOST = [{"Name": "host", "Value": "a"}]


def body(*records: dict[str, Any], common: dict[str, Any] | None = None) -> bytes:
    """A WriteRecords body to the table `t` of the database `d`."""
    members: dict[str, Any] = {"DatabaseName": "d", "TableName": "t", "Records": list(records)}
    if common is not None:
        members["CommonAttributes"] = common
    return json.dumps(members).encode()


def request(*records: dict[str, Any], common: dict[str, Any] | None = None) -> WriteRecordsRequest:
    return decode_write_records(body(*records, common=common), LIMITS)


def record(**members: Any) -> dict[str, Any]:
    """A good DOUBLE record with these members instead of its own; None leaves one out."""
    usual = {"Dimensions": HOST, "MeasureName": "cpu", "MeasureValue": "1.5", "Time": "1000"}
    return {name: value for name, value in (usual | members).items() if value is not None}


def multi(*values: tuple[str, str, str], **members: Any) -> dict[str, Any]:
    """A good MULTI record; `values` are (name, value, type)."""
    return record(MeasureValueType="MULTI", MeasureValue=None, MeasureValues=measure_values(*values), **members)


def measure_values(*values: tuple[str, str, str]) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value, "Type": kind} for name, value, kind in values]


def dimensions(**values: str) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in values.items()]
