"""What a table must hold after the requests that it answered: a small second reading of write-api.md 6.5 and 6.6.

It believes the answers about which records were stored, and nothing else: what an accepted record means is read from
the body that was sent, and an answer that cannot be right for what is held is refused. For test_write_fuzz.py.
"""

from __future__ import annotations

import json
import re
import struct
from dataclasses import dataclass, field
from typing import Any

UNIT_NS = {"SECONDS": 10**9, "MILLISECONDS": 10**6, "MICROSECONDS": 10**3, "NANOSECONDS": 1}

Key = tuple[int, str, frozenset[tuple[str, str]]]
"""Time in ns, measure name, dimensions."""

Values = dict[str, object]
"""By column. Doubles as their eight bytes, so that -0.0 is not 0.0."""

EXISTS = "A record already exists with the same time, dimensions, measure name, and record version. "
LOWER = re.compile(r"The record version (-?\d+) is lower than the existing version (\d+)\. ")
OTHER_REASONS = re.compile(
    r"The record timestamp is outside the time range \[\S+Z, \S+Z\) of the (memory store|data ingestion window)\."
    r"|The record does not contain the required partition key dimension \w+\."
    r"|The record exceeds the maximum size of \d+ bytes\."
    r"|The (dimension|measure) name exceeds the maximum size of \d+ bytes\."
    r"|The record exceeds the maximum number of [\w ]+ per (table|record) \(\d+\)\."
    r"|The measure .* already exists with the type \w+\."
    r"|The name .* is already used by a (dimension|measure) of the table\.",
    re.DOTALL,
)


@dataclass
class Ledger:
    """One table. `late_before_ns`: records before go to the magnetic tier, whose conflicts are not told."""

    late_before_ns: int
    records: dict[Key, tuple[int, Values]] = field(default_factory=dict)

    def answered(self, body: bytes, status: int, answer: dict[str, Any]) -> None:
        """Take in one request and its answer, which is a 200 or a 419."""
        request = json.loads(body)
        rejected = {record["RecordIndex"]: record for record in answer.get("RejectedRecords", ())}
        assert bool(rejected) == (status == 419)
        assert list(rejected) == sorted(rejected)
        late = 0
        for index, sent in enumerate(request["Records"]):
            key, version, values = read(sent, request.get("CommonAttributes") or {})
            if index in rejected:
                self._check_rejected(key, version, values, rejected.pop(index))
            else:
                late += key[0] < self.late_before_ns
                self._put(key, version, values)
        assert not rejected, "rejected records that were not sent"
        if status == 200:
            count = len(request["Records"])
            ingested = {"Total": count, "MemoryStore": count - late, "MagneticStore": late}
            assert answer == {"RecordsIngested": ingested}

    def _put(self, key: Key, version: int, values: Values) -> None:
        held = self.records.get(key)
        if held is None or version > held[0]:
            self.records[key] = version, values
        elif (version, values) != held:
            # Only the magnetic tier takes such a record and drops it.
            assert key[0] < self.late_before_ns, (key, version, values, held)

    def _check_rejected(self, key: Key, version: int, values: Values, told: dict[str, Any]) -> None:
        held = self.records.get(key)
        reason = told["Reason"]
        if reason.startswith(EXISTS):
            assert held is not None
            assert held[0] == version
            assert held[1] != values
        elif lower := LOWER.match(reason):
            assert held is not None
            assert (version, held[0], told["ExistingVersion"]) == (int(lower[1]), int(lower[2]), int(lower[2]))
            assert version < held[0]
        else:
            assert OTHER_REASONS.fullmatch(reason), reason
            assert "ExistingVersion" not in told

    def dimensions(self) -> set[str]:
        return {name for _, _, series in self.records for name, _ in series}

    def rows(self) -> dict[Key, Values]:
        return {key: values for key, (_, values) in self.records.items()}


def read(sent: dict[str, Any], common: dict[str, Any]) -> tuple[Key, int, Values]:
    """What an accepted record says, with the common attributes."""

    def either(name: str, default: Any) -> Any:
        own = sent.get(name)
        other = common.get(name)
        return own if own is not None else default if other is None else other

    def both(name: str) -> list[dict[str, str]]:
        return [*(common.get(name) or ()), *(sent.get(name) or ())]

    unit_ns = UNIT_NS[either("TimeUnit", "MILLISECONDS")]
    dimensions = frozenset((dimension["Name"], dimension["Value"]) for dimension in both("Dimensions"))
    key = int(either("Time", None)) * unit_ns, either("MeasureName", None), dimensions
    kind = either("MeasureValueType", "DOUBLE")
    if kind == "MULTI":
        values = {one["Name"]: typed(one["Type"], one["Value"], unit_ns) for one in both("MeasureValues")}
    else:
        values = {f"measure_value::{kind.lower()}": typed(kind, either("MeasureValue", None), unit_ns)}
    return key, either("Version", 1), values


def typed(kind: str, text: str, unit_ns: int = 1) -> object:
    match kind:
        case "DOUBLE":
            return struct.pack("<d", float(text))
        case "BIGINT":
            return int(text)
        case "TIMESTAMP":
            return int(text) * unit_ns
        case "BOOLEAN":
            return text.lower() == "true"
    return text
