"""Batch load: CSV files in a bucket to records in a server: `python -m benchmarks.batch_load [ROWS] [--s3]`.

Two million rows unless told otherwise, of four columns (time, host, two doubles), a thousand hosts, a row per host and
second, in files of a million. The bucket is a folder; with `--s3` moto's server, a process of its own. Rows are counted
afterwards. Prints rows a second from CreateBatchLoadTask to SUCCEEDED, the processor time that the server took for it,
which does not depend on what else the machine does, and the most memory that the server has had.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import Process, Queue
from pathlib import Path
from typing import Any

import boto3
import numpy as np
from moto.server import ThreadedMotoServer
from tests.support.server import ServerProcess, serving

HOSTS = 1_000
ROWS_PER_FILE = 1_000_000
BUCKET = "loads"
NAMES = {"DatabaseName": "bench", "TableName": "load"}
MODEL = {
    "TimeColumn": "time",
    "DimensionMappings": [{"SourceColumn": "host"}],
    "MultiMeasureMappings": {
        "TargetMultiMeasureName": "metrics",
        "MultiMeasureAttributeMappings": [{"SourceColumn": name, "MeasureValueType": "DOUBLE"} for name in "ab"],
    },
}


def file_of(first: int, rows: int, start_ms: int) -> bytes:
    """Rows `first` and following."""
    values = np.random.default_rng(first).random((rows, 2)).round(6).tolist()
    lines = [
        f"{start_ms + (first + row) // HOSTS * 1_000},host-{row % HOSTS:04},{a},{b}"
        for row, (a, b) in enumerate(values)
    ]
    return "\n".join(["time,host,a,b", *lines, ""]).encode()


@contextmanager
def folder_store(folder: Path, files: Iterator[tuple[str, bytes]]) -> Iterator[dict[str, object]]:
    bucket = folder / "buckets" / BUCKET
    bucket.mkdir(parents=True)
    for name, data in files:
        (bucket / name).write_bytes(data)
    yield {"object_store": f"file://{folder}/buckets"}


def run_moto(address: Queue[str]) -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address.put("http://{}:{}".format(*server.get_host_and_port()))
    while True:
        time.sleep(60)


@contextmanager
def s3_store(folder: Path, files: Iterator[tuple[str, bytes]]) -> Iterator[dict[str, object]]:
    address: Queue[str] = Queue()
    process = Process(target=run_moto, args=(address,), daemon=True)
    process.start()
    try:
        url = address.get(timeout=60)
        client: Any = boto3.client(
            "s3", "us-east-1", endpoint_url=url, aws_access_key_id="a", aws_secret_access_key="b"
        )
        client.create_bucket(Bucket=BUCKET)
        for name, data in files:
            client.put_object(Bucket=BUCKET, Key=name, Body=data)
        (folder / "keys").write_text("[default]\naws_access_key_id = a\naws_secret_access_key = b\n")
        yield {"object_store": url, "object_store_credentials": folder / "keys"}
    finally:
        process.kill()


def load(server: ServerProcess, rows: int) -> float:
    """Seconds from the request to the end of the task."""
    client = server.client("timestream-write")
    client.create_database(DatabaseName="bench")
    client.create_table(**NAMES)
    started = time.perf_counter()
    id = client.create_batch_load_task(
        DataModelConfiguration={"DataModel": MODEL},
        DataSourceConfiguration={"DataSourceS3Configuration": {"BucketName": BUCKET}, "DataFormat": "CSV"},
        ReportConfiguration={"ReportS3Configuration": {"BucketName": BUCKET}},
        TargetDatabaseName=NAMES["DatabaseName"],
        TargetTableName=NAMES["TableName"],
    )["TaskId"]
    while True:
        task = client.describe_batch_load_task(TaskId=id)["BatchLoadTaskDescription"]
        if task["TaskStatus"] not in ("CREATED", "IN_PROGRESS"):
            break
        time.sleep(0.05)
    taken_s = time.perf_counter() - started
    assert task["TaskStatus"] == "SUCCEEDED", task
    assert task["ProgressReport"]["RecordsIngested"] == rows, task
    query = "SELECT count(*) FROM bench.load"
    answer = server.client("timestream-query").query(QueryString=query)
    assert answer["Rows"][0]["Data"][0]["ScalarValue"] == str(rows)
    return taken_s


def cpu_s(pid: int) -> float:
    """Processor time of all threads, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int, row: str) -> float:
    """`VmHWM` is the most there was, `VmRSS` what there is."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1_024 for line in lines if line.startswith(row))


def main() -> None:
    words = [word for word in sys.argv[1:] if word != "--s3"]
    rows = int(words[0]) if words else 2_000_000
    store = s3_store if "--s3" in sys.argv else folder_store
    # A minute within the accepted future is left to the clock.
    start_ms = int(time.time() * 1_000) - rows // HOSTS * 1_000
    firsts = range(0, rows, ROWS_PER_FILE)
    files = (
        (f"{n:03}.csv", file_of(first, min(ROWS_PER_FILE, rows - first), start_ms)) for n, first in enumerate(firsts)
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with store(folder, files) as settings, serving(folder, **settings) as server:
            before, cpu_before_s = memory_mb(server.pid, "VmRSS"), cpu_s(server.pid)
            taken_s = load(server, rows)
            most, used_s = memory_mb(server.pid, "VmHWM"), cpu_s(server.pid) - cpu_before_s
    kind = "S3 (moto)" if "--s3" in sys.argv else "a folder"
    print(f"batch load of {rows:,} rows from {kind}: {rows / taken_s:,.0f} rows/s ({taken_s:.1f} s)")
    print(f"processor time of the server: {used_s:.1f} s, {used_s / rows * 1e6:.1f} us a row")
    print(f"memory of the server: {before:.0f} MB before, {most:.0f} MB at most")


if __name__ == "__main__":
    main()
