"""Batch loads: what a task is, how its rows become records, how far it is. No I/O, no rules of an operation.

`server` makes them of requests, `catalog` keeps them, `jobs` works on them. Every class here is a frozen value.
Source: batch-load.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal, NamedTuple

from headwater.model.table import MeasureType, TableId

GIB = 1024**3


class TaskStatus(Enum):
    """Where a task stands. Source: batch-load.md 5."""

    CREATED = "CREATED"
    IN_PROGRESS = "IN_PROGRESS"
    FAILED = "FAILED"
    SUCCEEDED = "SUCCEEDED"
    PROGRESS_STOPPED = "PROGRESS_STOPPED"
    PENDING_RESUME = "PENDING_RESUME"

    @property
    def is_active(self) -> bool:
        """Whether the server is to work on it."""
        return self in (TaskStatus.CREATED, TaskStatus.IN_PROGRESS, TaskStatus.PENDING_RESUME)


@dataclass(frozen=True, slots=True)
class BatchLoadLimits:
    """Source: batch-load.md 9; the last two are ours. `error_ranges` are those that one run may add to the report."""

    task_bytes: int = 100 * GIB
    files: int = 100
    file_bytes: int = 5 * GIB
    row_bytes: int = 16 * 1024 * 1024
    active_per_table: int = 5
    active_per_account: int = 10
    error_ranges: int = 100_000
    resumable_hours: int = 24


@dataclass(frozen=True, slots=True)
class Dialect:
    """CsvConfiguration as it was sent; what is None has its default."""

    column_separator: str | None = None
    escape_char: str | None = None
    quote_char: str | None = None
    null_value: str | None = None
    trim_white_space: bool | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """The files: every object of `bucket` whose key begins with `prefix`."""

    bucket: str
    prefix: str | None
    dialect: Dialect | None


@dataclass(frozen=True, slots=True)
class DimensionMapping:
    """A column of the files that becomes the dimension `name`."""

    source: str
    name: str


@dataclass(frozen=True, slots=True)
class Attribute:
    """A column of the files that becomes an attribute of a multi-measure record."""

    source: str
    name: str
    type: MeasureType


@dataclass(frozen=True, slots=True)
class MultiMeasures:
    """One record a row. `name` is its measure name; None where a column has it."""

    name: str | None
    attributes: tuple[Attribute, ...]


@dataclass(frozen=True, slots=True)
class MixedMeasure:
    """One of several records of a row; with `attributes` a multi-measure one (`type` None), else of `source`.

    `measure_name` chooses the rows where a column has measure names. `target` is None where it was not sent.
    """

    measure_name: str | None
    source: str | None
    target: str | None
    type: MeasureType | None
    attributes: tuple[Attribute, ...]

    @property
    def name(self) -> str:
        """The measure name of its records. Source: scheduled-queries.md 4."""
        name = self.target or self.measure_name or self.source
        assert name is not None
        return name


@dataclass(frozen=True, slots=True)
class DataModel:
    """How a row becomes records; exactly one of `multi` and `mixed` is there."""

    time_column: str
    time_unit: str
    dimensions: tuple[DimensionMapping, ...]
    measure_name_column: str | None
    multi: MultiMeasures | None
    mixed: tuple[MixedMeasure, ...]


@dataclass(frozen=True, slots=True)
class ObjectPlace:
    """One object of a bucket."""

    bucket: str
    key: str


@dataclass(frozen=True, slots=True)
class ReportPlace:
    """Where the error report goes."""

    bucket: str
    prefix: str | None
    encryption: Literal["SSE_S3", "SSE_KMS"] | None
    kms_key_id: str | None


@dataclass(frozen=True, slots=True)
class Load:
    """What a task is to do. `model_place` is where the data model came from, if it was not in the request."""

    source: Source
    model: DataModel
    model_place: ObjectPlace | None
    report: ReportPlace
    record_version: int


@dataclass(frozen=True, slots=True)
class Progress:
    """Counts of records, files and bytes. A row that cannot be read is one record. Source: batch-load.md 6."""

    processed: int = 0
    ingested: int = 0
    parse_failures: int = 0
    ingestion_failures: int = 0
    file_failures: int = 0
    bytes_metered: int = 0

    @property
    def has_failures(self) -> bool:
        return bool(self.parse_failures or self.ingestion_failures or self.file_failures)


@dataclass(frozen=True, slots=True)
class Task:
    """A batch load. Times are ns since 1970; `resumable_until_ns` is there while it is stopped."""

    id: str
    database: str
    table: str
    table_id: TableId
    load: Load
    created_ns: int
    updated_ns: int
    status: TaskStatus = TaskStatus.CREATED
    message: str | None = None
    resumable_until_ns: int | None = None
    progress: Progress = Progress()


class Position(NamedTuple):
    """A place between two rows of a file: the bytes and the lines before it."""

    offset: int
    line: int


START = Position(0, 0)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a task, as it was when the task began, and how far it is loaded. `place` orders a task's files."""

    place: int
    key: str
    bytes: int
    etag: str | None
    position: Position = START
    is_done: bool = False


class FailedLines(NamedTuple):
    """Lines of a file that hold failed records: first and last, the header being line 1, and why they failed."""

    first: int
    last: int
    reason: str
