"""Blocks and the manifest: what the store tells the catalog about its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from headwater.model.table import Columns, TableId


@dataclass(frozen=True, slots=True)
class Block:
    """One live Parquet file: records of one table and one UTC day, sorted by measure_name, series, time.

    `physical` are its columns. `sha256` is of the whole file, hexadecimal. `sorted_by` is the physical name of the
    dimension that rows are sorted by before all else, none first; None when that is measure_name. `scales` are the
    columns of doubles that the file has as integers, each with how many decimals they were moved by.
    """

    id: str
    table: TableId
    day: int
    rows: int
    bytes: int
    start_ns: int
    end_ns: int
    sha256: str
    physical: tuple[str, ...]
    sorted_by: str | None = None
    scales: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TableManifest:
    """All that is live of one table on disk beside the log.

    `checkpoint` is the highest sequence whose records of this table are in `blocks`; replay skips up to it.
    `deleted_rows` maps a block id to the positions of its replaced rows, ascending.
    """

    columns: Columns
    checkpoint: int
    blocks: tuple[Block, ...]
    deleted_rows: dict[str, list[int]]


@dataclass(frozen=True, slots=True)
class ManifestChange:
    """One change of a table's manifest, made in one transaction. `deleted_rows` replaces those of the named blocks."""

    table: TableId
    columns: Columns
    checkpoint: int
    added: tuple[Block, ...] = ()
    removed: tuple[str, ...] = ()
    deleted_rows: dict[str, list[int]] | None = None


class Manifest(Protocol):
    """What the store needs of the catalog."""

    def tables(self) -> list[TableId]:
        """Every table that exists, dropped ones not among them."""

    def blocks(self) -> list[Block]:
        """The live blocks of all tables."""

    def load(self, table: TableId) -> TableManifest:
        """The live state of one table; an empty one for a table never flushed."""

    @property
    def log_end(self) -> int:
        """The highest sequence that the log had for certain: where it ended at a clean stop, or what is in blocks."""

    def note_log_end(self, sequence: int) -> None:
        """Remember durably that the log ends there, with an entry that is synced."""

    def commit(self, change: ManifestChange) -> None:
        """Make the change durable, whole or not at all, before returning."""
