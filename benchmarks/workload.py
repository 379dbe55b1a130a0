"""The DevOps CPU workload as WriteRecords bodies: hosts with ten tags and ten gauges, one record each 10 s.

Every gauge is a random walk within 0..100, written with two decimals. Same seed, same data; times end at `end_s`.
The shape is that of the public TSBS "cpu-only" case; the code is ours.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

DATABASE, TABLE = "bench", "cpu"
STEP_S = 10
RECORDS_PER_REQUEST = 100

METRICS = (
    "usage_user",
    "usage_system",
    "usage_idle",
    "usage_nice",
    "usage_iowait",
    "usage_irq",
    "usage_softirq",
    "usage_steal",
    "usage_guest",
    "usage_guest_nice",
)
_REGIONS = {
    "us-east-1": "abce",
    "us-west-1": "ab",
    "us-west-2": "abc",
    "eu-west-1": "abc",
    "eu-central-1": "ab",
    "ap-southeast-1": "ab",
    "ap-northeast-1": "ac",
    "sa-east-1": "abc",
}
_TAGS = {
    "rack": tuple(map(str, range(100))),
    "os": ("Ubuntu16.10", "Ubuntu16.04LTS", "Ubuntu15.10"),
    "arch": ("x64", "x86"),
    "team": ("SF", "NYC", "LON", "CHI"),
    "service": tuple(map(str, range(20))),
    "service_version": ("0", "1"),
    "service_environment": ("production", "staging", "test"),
}


def bodies(first_host: int, ticks: int, end_s: int, seed: int = 1) -> Iterator[bytes]:
    """One body for each tick, with a record of each of 100 hosts from `first_host` on; oldest tick first."""
    hosts = range(first_host, first_host + RECORDS_PER_REQUEST)
    dimensions = [_dimensions(host) for host in hosts]
    for tick, values in enumerate(_walks(ticks, seed + first_host)):
        time_s = end_s - STEP_S * (ticks - tick)
        records = ", ".join(
            f'{{"Dimensions": {of_host}, "MeasureValues": [{_measures(row)}], "Time": "{time_s}"}}'
            for of_host, row in zip(dimensions, values.tolist(), strict=True)
        )
        yield (
            f'{{"DatabaseName": "{DATABASE}", "TableName": "{TABLE}", "CommonAttributes": '
            '{"MeasureName": "cpu", "MeasureValueType": "MULTI", "TimeUnit": "SECONDS"}, '
            f'"Records": [{records}]}}'
        ).encode()


def _dimensions(host: int) -> str:
    """The host's ten tags as JSON, with the spaces that a stock client's encoder puts in."""
    chance = np.random.default_rng(host)
    region = str(chance.choice(list(_REGIONS)))
    tags = {"hostname": f"host_{host}", "region": region, "datacenter": region + chance.choice(list(_REGIONS[region]))}
    tags |= {name: str(chance.choice(values)) for name, values in _TAGS.items()}
    return json.dumps([{"Name": name, "Value": value} for name, value in tags.items()])


def _measures(row: list[float]) -> str:
    return ", ".join(
        f'{{"Name": "{name}", "Value": "{value!r}", "Type": "DOUBLE"}}'
        for name, value in zip(METRICS, row, strict=True)
    )


def _walks(ticks: int, seed: int) -> Iterator[npt.NDArray[np.float64]]:
    """For each tick the gauges of all hosts."""
    chance = np.random.default_rng(seed)
    size = (RECORDS_PER_REQUEST, len(METRICS))
    gauges = chance.uniform(0, 100, size)
    for _ in range(ticks):
        gauges = np.clip(gauges + chance.standard_normal(size), 0, 100)
        yield np.round(gauges, 2)
