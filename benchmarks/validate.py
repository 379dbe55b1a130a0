"""CPU time to decode and validate one WriteRecords request, in microseconds.

A request is 100 MULTI records of ten DOUBLEs and ten dimensions, as the DevOps CPU workload sends it: in the form
`fleet` each record has its own dimensions, in the form `common` all records are of one host, whose dimensions are
common attributes. `cold` is the form `fleet` with series never seen before, so that no cache helps.

Run: python benchmarks/validate.py [seconds for each figure]
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterable

from headwater.ingest import exact, quick
from headwater.ingest.validate import validate
from headwater.model.limits import Limits
from headwater.wire.write_records import decode_write_records

TAGS = {
    "region": ["us-east-1", "eu-central-1", "ap-southeast-2"],
    "datacenter": ["us-east-1a", "eu-central-1b", "ap-southeast-2a"],
    "rack": [str(n) for n in range(100)],
    "os": ["Ubuntu16.10", "Ubuntu16.04LTS", "Ubuntu15.10"],
    "arch": ["x64", "x86"],
    "team": ["SF", "NYC", "LON", "CHI"],
    "service": [str(n) for n in range(20)],
    "service_version": ["0", "1"],
    "service_environment": ["production", "staging", "test"],
}
METRICS = ["user", "system", "idle", "nice", "iowait", "irq", "softirq", "steal", "guest", "guest_nice"]
LIMITS = Limits()


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    print(f"load average {os.getloadavg()[0]:.2f}; CPU time of one request, microseconds, best and median")
    for form in ("fleet", "common"):
        bodies = [body(form, tick) for tick in range(8)]
        requests = [decode_write_records(text, LIMITS) for text in bodies]
        assert all(quick.read(request, LIMITS, None) is not None for request in requests)
        print(f"{form}: {sum(map(len, bodies)) // len(bodies)} bytes")
        show("decode", lambda text: decode_write_records(text, LIMITS), bodies, seconds)
        show("validate", lambda request: validate(request, LIMITS, None), requests, seconds)
        show("decode and validate", whole, bodies, seconds)
        show("validate, the exact way", lambda request: exact.read(request, LIMITS, None), requests, seconds)
    print("cold:")
    # More series than the caches hold, in turn: each is forgotten before it comes again.
    show("decode and validate", whole, [body("cold", tick) for tick in range(400)], seconds)


def whole(text: bytes) -> object:
    return validate(decode_write_records(text, LIMITS), LIMITS, None)


def body(form: str, tick: int) -> bytes:
    """One request; two ticks of a form differ in times and values, and in hosts but for `fleet`."""
    chance = random.Random(tick)
    first = tick * 100 if form == "cold" else 0
    records = []
    for place in range(100):
        values = [
            {"Name": f"usage_{name}", "Value": repr(round(chance.uniform(0, 100), 2)), "Type": "DOUBLE"}
            for name in METRICS
        ]
        record = {"MeasureValues": values, "Time": str(1_767_225_600 + 10 * tick + (place if form == "common" else 0))}
        if form != "common":
            record |= {"Dimensions": dimensions(first + place)} | KIND
        records.append(record)
    members = {"DatabaseName": "bench", "TableName": "cpu", "Records": records}
    if form == "common":
        members["CommonAttributes"] = {"Dimensions": dimensions(tick)} | KIND
    return json.dumps(members).encode()


KIND = {"MeasureName": "cpu", "MeasureValueType": "MULTI", "TimeUnit": "SECONDS"}


def dimensions(host: int) -> list[dict[str, str]]:
    chance = random.Random(host)
    pairs = {"hostname": f"host_{host}"} | {name: chance.choice(values) for name, values in TAGS.items()}
    return [{"Name": name, "Value": value} for name, value in pairs.items()]


def show(what: str, call: Callable[[object], object], inputs: Iterable[object], seconds: float) -> None:
    """Print best and median over rounds through all inputs, at least three."""
    inputs, rounds, end = list(inputs), [], time.monotonic() + seconds
    while len(rounds) < 3 or time.monotonic() < end:
        start = time.process_time_ns()
        for one in inputs:
            call(one)
        rounds.append((time.process_time_ns() - start) / len(inputs) / 1000)
    rounds.sort()
    print(f"  {what:24} {rounds[0]:7.0f} {rounds[len(rounds) // 2]:7.0f}")


if __name__ == "__main__":
    main()
