"""A table seen through stock boto3 clients: records in, rows out. Nothing here knows the server's code."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

Row = tuple[str | None, ...]


@dataclass(frozen=True)
class Table:
    """`write` and `query` are boto3 clients."""

    write: Any
    query: Any
    database: str
    name: str

    def put(self, *records: dict[str, Any], **more: Any) -> dict[str, int]:
        """WriteRecords; the counts of the answer."""
        answer = self.write.write_records(
            DatabaseName=self.database, TableName=self.name, Records=list(records), **more
        )
        return answer["RecordsIngested"]

    def select(self, columns: str, rest: str = "") -> list[Row]:
        return rows(self.query, f'SELECT {columns} FROM "{self.database}"."{self.name}" {rest}')

    def count(self) -> int:
        return int(self.select("count(*)")[0][0] or 0)


def rows(query: Any, text: str) -> list[Row]:
    """All rows of a query as texts, None for NULL. Only scalars."""
    found: list[Row] = []
    for page in query.get_paginator("query").paginate(QueryString=text):
        found += [tuple(datum.get("ScalarValue") for datum in row["Data"]) for row in page["Rows"]]
    return found


def record(value: str, *, kind: str = "DOUBLE", measure: str = "load", **more: Any) -> dict[str, Any]:
    """A single-measure record of host `a`, now, in milliseconds; `more` are members of it."""
    members = {"Dimensions": dimensions(host="a"), "MeasureName": measure, "MeasureValue": value}
    return {**members, "MeasureValueType": kind, "Time": str(time.time_ns() // 1_000_000), **more}


def dimensions(**values: str) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in values.items()]


def instant(time_ns: int) -> str:
    """As the service prints a timestamp."""
    seconds, rest = divmod(time_ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{rest:09d}"


def fault(call: Callable[[], object]) -> ClientError:
    """What a call was refused with."""
    with pytest.raises(ClientError) as caught:
        call()
    return caught.value


def told(call: Callable[[], object]) -> tuple[str, int, str]:
    """Code, status and message of a refusal."""
    response = fault(call).response
    error = response["Error"]
    return error["Code"], response["ResponseMetadata"]["HTTPStatusCode"], error["Message"]
