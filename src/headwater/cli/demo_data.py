"""What the demo writes: two workloads, each a numbered list of WriteRecords requests.

A request is a function of its number and nothing else, so that a loader process, a second try and the check at the
end all see the same records. Sends nothing.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

DATABASE = "demo"
RECORDS_PER_REQUEST = 100
"""The most that the service takes. Source: write-api.md 8."""

MS_PER_S = 1000


@dataclass(frozen=True, slots=True)
class Request:
    """One WriteRecords request, as boto3 takes it; `series` is the dimension value that all its records share."""

    series: str
    common: dict[str, Any]
    records: list[dict[str, Any]]


class Workload(Protocol):
    """Numbered requests, from 0 to `requests` - 1."""

    @property
    def table(self) -> str: ...

    @property
    def requests(self) -> int: ...

    @property
    def records(self) -> int:
        """How many records all requests have together."""
        ...

    def request(self, number: int) -> Request: ...


@dataclass(frozen=True, slots=True)
class Video:
    """Players report how a film plays: four measures of each device every 15 s, the last one at `end_s`.

    Single-measure: a record for each measure. Multi-measure: all four in one record named `playback`.
    """

    end_s: int
    is_multi: bool
    devices: int = 200
    instants: int = 100

    STEP_S: ClassVar[int] = 15
    MEASURES: ClassVar[dict[str, str]] = {
        "video_startup_time": "BIGINT",
        "rebuffering_ratio": "DOUBLE",
        "video_playback_failures": "BIGINT",
        "average_frame_rate": "DOUBLE",
    }

    @property
    def table(self) -> str:
        return "video_multi" if self.is_multi else "video_single"

    @property
    def requests(self) -> int:
        return self.devices * self._parts

    @property
    def records(self) -> int:
        return self.devices * self.instants * (1 if self.is_multi else len(self.MEASURES))

    @property
    def _parts(self) -> int:
        """How many requests a device's records fill: a single-measure request holds a quarter of the instants."""
        return -(-self.instants // self._instants_per_request)

    @property
    def _instants_per_request(self) -> int:
        return RECORDS_PER_REQUEST if self.is_multi else RECORDS_PER_REQUEST // len(self.MEASURES)

    def request(self, number: int) -> Request:
        device, part = divmod(number, self._parts)
        first = part * self._instants_per_request
        instants = range(first, min(first + self._instants_per_request, self.instants))
        records = [record for instant in instants for record in self._records(device, instant)]
        name = f"device-{device:03}"
        common: dict[str, Any] = {"Dimensions": _dimensions(self._dimensions(name, device)), "TimeUnit": "SECONDS"}
        if self.is_multi:
            common |= {"MeasureName": "playback", "MeasureValueType": "MULTI"}
        return Request(name, common, records)

    def _dimensions(self, name: str, device: int) -> dict[str, str]:
        kind = ("smart-tv", "phone", "tablet", "browser")[device % 4]
        system = f"{('tizen', 'android', 'ipados', 'linux')[device % 4]}-{device % 3 + 1}.{device % 2}"
        region = ("us-east-1", "us-west-2", "eu-west-1", "ap-northeast-1")[device // 4 % 4]
        return {"device_id": name, "device_type": kind, "os_version": system, "region": region}

    def _records(self, device: int, instant: int) -> list[dict[str, Any]]:
        chance = random.Random(device * 1_000_003 + instant)  # noqa: S311 - repeatable sample data, no secret
        values = (
            str(chance.randrange(150, 2_500)),
            f"{chance.uniform(0, 8):.2f}",
            str(int(chance.random() < 0.02)),
            f"{chance.uniform(22, 60):.2f}",
        )
        time = str(self.end_s - (self.instants - 1 - instant) * self.STEP_S)
        named = list(zip(self.MEASURES.items(), values, strict=True))
        if self.is_multi:
            return [{"Time": time, "MeasureValues": [{"Name": n, "Type": t, "Value": v} for (n, t), v in named]}]
        return [
            {"Time": time, "MeasureName": name, "MeasureValueType": type, "MeasureValue": value}
            for (name, type), value in named
        ]


@dataclass(frozen=True, slots=True)
class Devops:
    """The processors of a fleet: ten gauges of each host every 10 s for six hours, the last one at `end_s`.

    Requests go through time, so the kill in the middle falls on the third hour of every host.
    """

    end_s: int
    hosts: int = 100
    instants: int = 2_160

    table: ClassVar[str] = "cpu"
    STEP_S: ClassVar[int] = 10
    MEASURES: ClassVar[tuple[str, ...]] = (
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

    @property
    def requests(self) -> int:
        return self.hosts * -(-self.instants // RECORDS_PER_REQUEST)

    @property
    def records(self) -> int:
        return self.hosts * self.instants

    def request(self, number: int) -> Request:
        part, host = divmod(number, self.hosts)
        first = part * RECORDS_PER_REQUEST
        values = _walk(host, self.instants, len(self.MEASURES))[first : first + RECORDS_PER_REQUEST].tolist()
        records = [
            {
                "Time": str(self.time_s(first + index)),
                "MeasureValues": [
                    {"Name": name, "Type": "DOUBLE", "Value": repr(value)}
                    for name, value in zip(self.MEASURES, row, strict=True)
                ],
            }
            for index, row in enumerate(values)
        ]
        common = {
            "Dimensions": _dimensions(self.dimensions(host)),
            "MeasureName": "cpu",
            "MeasureValueType": "MULTI",
            "TimeUnit": "SECONDS",
        }
        return Request(f"host_{host}", common, records)

    def time_s(self, instant: int) -> int:
        """Seconds since 1970 of a host's record, counted from 0."""
        return self.end_s - (self.instants - 1 - instant) * self.STEP_S

    def dimensions(self, host: int) -> dict[str, str]:
        """The ten tags of a host."""
        chance = random.Random(host)  # noqa: S311 - repeatable sample data, no secret
        region = chance.choice(("us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-2"))
        return {
            "hostname": f"host_{host}",
            "region": region,
            "datacenter": region + chance.choice("abc"),
            "rack": str(chance.randrange(100)),
            "os": chance.choice(("debian-12", "ubuntu-24.04", "rocky-9")),
            "arch": chance.choice(("x86_64", "aarch64")),
            "team": chance.choice(("checkout", "search", "platform", "media")),
            "service": str(chance.randrange(20)),
            "service_version": str(chance.randrange(2)),
            "service_environment": chance.choice(("production", "staging", "test")),
        }


@cache
def _walk(host: int, instants: int, measures: int) -> npt.NDArray[np.float64]:
    """A random walk of each gauge between 0 and 100, two decimals: [instants, measures]."""
    chance = np.random.default_rng(host)
    values = np.empty((instants, measures))
    current = chance.uniform(0, 100, measures)
    for instant, steps in enumerate(chance.standard_normal((instants, measures))):
        current = np.clip(current + steps, 0, 100)
        values[instant] = current
    return np.round(values, 2)


def _dimensions(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in values.items()]
