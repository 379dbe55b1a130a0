"""What a query touched, for whoever asks how it could touch less. Source: query-api.md 5."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Coverage:
    """What of one table a scan reads: the share, 0 to 1, of its partition key's values, and the span of time."""

    spatial: float
    span_ns: int


@dataclass(frozen=True, slots=True)
class TableCoverage:
    """The coverage of a table, which is partitioned by a dimension or by `measure_name`."""

    database: str
    table: str
    partition_key: str
    coverage: Coverage


@dataclass(frozen=True, slots=True)
class Unloaded:
    """What an UNLOAD wrote."""

    partitions: int
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Insights:
    """Of one run of a query; each table is there once, with the most that one of its scans read."""

    tables: tuple[TableCoverage, ...]
    unloaded: Unloaded | None = None

    @property
    def widest(self) -> TableCoverage | None:
        """The table of which the largest share was read; None without a table."""
        return max(self.tables, key=lambda table: table.coverage.spatial, default=None)

    @property
    def longest(self) -> TableCoverage | None:
        """The table of which the longest time was read; None without a table."""
        return max(self.tables, key=lambda table: table.coverage.span_ns, default=None)
