"""A series: all records with equal dimensions and measure name; and its 64-bit id."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """What identifies records beside their time. `sent` are (name, value) pairs as they came.

    `dimensions` are the same sorted by name: their order does not matter to identity, only to the order in which
    a table's columns first appear. `id` is a signed 64-bit hash of both, the same on every machine and in every
    release. Two series may in principle share it: whoever keeps many series keeps the whole key (`key`) beside it.
    """

    measure_name: str
    sent: tuple[tuple[str, str], ...]
    dimensions: tuple[tuple[str, str], ...] = field(init=False)
    id: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "dimensions", tuple(sorted(self.sent)))
        object.__setattr__(self, "id", series_id(self.measure_name, self.dimensions))

    @property
    def key(self) -> tuple[str, tuple[tuple[str, str], ...]]:
        return self.measure_name, self.dimensions


def series_id(measure_name: str, dimensions: tuple[tuple[str, str], ...]) -> int:
    """First eight bytes of BLAKE2b over the length-prefixed UTF-8 of the name and each sorted dimension."""
    parts = [measure_name]
    for pair in dimensions:
        parts.extend(pair)
    joined = "".join(parts)
    if joined.isascii():
        # A character is a byte: one encoding for all, which halves the time.
        encoded = "".join([f"{len(part)}:{part}" for part in parts]).encode()
    else:
        encoded = b"".join([b"%d:%b" % (len(e), e) for e in [part.encode() for part in parts]])
    return int.from_bytes(blake2b(encoded, digest_size=8).digest(), "little", signed=True)
