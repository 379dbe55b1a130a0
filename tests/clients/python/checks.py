"""What a program on boto3 does with a server that it has to find: each check asserts results and typed exceptions.

`test_programs.py` runs it; boto3 within the tests' own process, with an endpoint in code, is in the tests beside it.

    python checks.py ENDPOINT NAME...     the endpoint is given to the clients in code
    python checks.py - NAME...            they find it in the AWS_ENDPOINT_URL* variables, or where AWS would be
    python checks.py                      print the names
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

ENDPOINT = sys.argv[1] if len(sys.argv) > 1 else "-"


def client(service: str, **settings: Any) -> Any:
    """A client of the write or the query service, and of what it called: `hosts`, in order."""
    where = {} if ENDPOINT == "-" else {"endpoint_url": ENDPOINT}
    made = boto3.client(f"timestream-{service}", config=Config(**settings), **where)
    made.hosts = []
    made.meta.events.register(f"before-send.timestream-{service}", lambda request, **_: made.hosts.append(request.url))
    return made


def found_by_variable(service: str) -> str | None:
    return os.environ.get(f"AWS_ENDPOINT_URL_TIMESTREAM_{service.upper()}", os.environ.get("AWS_ENDPOINT_URL"))


def fault(call: Callable[[], object], kind: type[ClientError], status: int) -> ClientError:
    """The exception of a call, which must be of this class and status."""
    with pytest.raises(kind) as caught:
        call()
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    return caught.value


def writes() -> None:
    write, query = client("write"), client("query")
    names = {"DatabaseName": f"py_writes_{os.getpid()}", "TableName": "records"}
    write.create_database(DatabaseName=names["DatabaseName"])
    assert write.create_table(**names)["Table"]["TableStatus"] == "ACTIVE"
    record = {"MeasureName": "load", "MeasureValue": "4611686018427387905", "MeasureValueType": "BIGINT"}
    record |= {"Dimensions": [{"Name": "host", "Value": "Zürich"}], "Time": str(time.time_ns() // 1_000_000)}
    counts = write.write_records(**names, Records=[record])["RecordsIngested"]
    assert counts == {"Total": 1, "MemoryStore": 1, "MagneticStore": 0}
    text = f'SELECT host, measure_value::bigint FROM "{names["DatabaseName"]}"."records"'
    (row,) = query.query(QueryString=text)["Rows"]
    assert [datum["ScalarValue"] for datum in row["Data"]] == ["Zürich", "4611686018427387905"]

    old = {**record, "Time": "1"}
    error = fault(lambda: write.write_records(**names, Records=[old]), write.exceptions.RejectedRecordsException, 419)
    (rejected,) = error.response["RejectedRecords"]
    assert rejected["RecordIndex"] == 0
    assert "is outside the time range" in rejected["Reason"]


def faults() -> None:
    write, query = client("write"), client("query")
    nowhere = {"DatabaseName": "nowhere"}
    missing = fault(lambda: write.describe_database(**nowhere), write.exceptions.ResourceNotFoundException, 404)
    assert missing.response["Error"]["Message"] == "The database nowhere does not exist."
    names = {"DatabaseName": f"py_faults_{os.getpid()}"}
    write.create_database(**names)
    fault(lambda: write.create_database(**names), write.exceptions.ConflictException, 409)
    fault(lambda: write.create_database(DatabaseName="no spaces"), write.exceptions.ValidationException, 400)
    fault(lambda: query.query(QueryString="SELECT nope"), query.exceptions.ValidationException, 400)


def discovers() -> None:
    """One call asks for an endpoint, unless it is given in code, and all others go where the answer says."""
    for service, call in (("write", "list_databases"), ("query", "query")):
        how = {"QueryString": "SELECT 1"} if service == "query" else {}
        for settings in ({}, {"endpoint_discovery_enabled": True}):
            made = client(service, **settings)
            for _ in range(2):
                getattr(made, call)(**how)
            told = found_by_variable(service)
            if ENDPOINT != "-":
                assert made.hosts == [f"{ENDPOINT}/"] * 2, made.hosts
            elif told is not None:
                assert [url.rstrip("/") for url in made.hosts] == [told] * 3, made.hosts
            else:
                prefix, region = {"write": "ingest", "query": "query"}[service], made.meta.region_name
                cells = [f"{prefix}{cell}.timestream.{region}.amazonaws.com" for cell in ("", "-cell1", "-cell1")]
                assert [urlsplit(url).netloc for url in made.hosts] == cells, made.hosts
            endpoints = made.describe_endpoints()["Endpoints"]
            assert [endpoint["CachePeriodInMinutes"] for endpoint in endpoints] == [1_440]


CHECKS = {check.__name__: check for check in (writes, faults, discovers)}

if __name__ == "__main__":
    if len(sys.argv) == 1:
        print("\n".join(CHECKS))
    for name in sys.argv[2:]:
        CHECKS[name]()
        print(f"passed {name}")
