"""What a scheduled query is, where its rows go, and what is known of one of its runs. No I/O, no rules.

`server` makes these from requests, `catalog/scheduled` keeps them, `jobs/scheduled` runs them. Their JSON, by member
name, is what the catalog stores: a new member needs a default. Source: scheduled-queries.md 1, 4, 6.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from headwater.model.insights import Insights
from headwater.model.schedule import Schedule
from headwater.model.table import MeasureType
from headwater.model.time import NS_PER_S


class State(Enum):
    ENABLED = "ENABLED"
    DISABLED = "DISABLED"


class RunStatus(Enum):
    """How a run was begun and how it ended."""

    AUTO_TRIGGER_SUCCESS = "AUTO_TRIGGER_SUCCESS"
    AUTO_TRIGGER_FAILURE = "AUTO_TRIGGER_FAILURE"
    MANUAL_TRIGGER_SUCCESS = "MANUAL_TRIGGER_SUCCESS"
    MANUAL_TRIGGER_FAILURE = "MANUAL_TRIGGER_FAILURE"

    @classmethod
    def of(cls, *, is_manual: bool, has_failed: bool) -> RunStatus:
        return cls[f"{'MANUAL' if is_manual else 'AUTO'}_TRIGGER_{'FAILURE' if has_failed else 'SUCCESS'}"]

    @property
    def is_manual(self) -> bool:
        return self in (RunStatus.MANUAL_TRIGGER_SUCCESS, RunStatus.MANUAL_TRIGGER_FAILURE)

    @property
    def has_failed(self) -> bool:
        return self in (RunStatus.AUTO_TRIGGER_FAILURE, RunStatus.MANUAL_TRIGGER_FAILURE)


@dataclass(frozen=True, slots=True)
class AttributeMapping:
    """A column of the result that becomes an attribute of a multi-measure record."""

    source_column: str
    type: MeasureType
    target_name: str | None = None

    @property
    def name(self) -> str:
        """What the attribute is called in the target table."""
        return self.target_name or self.source_column


@dataclass(frozen=True, slots=True)
class MultiMeasureMappings:
    """One multi-measure record for each row. `target_name` is its measure name unless a column tells it."""

    target_name: str | None
    attributes: tuple[AttributeMapping, ...]


@dataclass(frozen=True, slots=True)
class MixedMeasureMapping:
    """One record for each row. `type` None means a multi-measure record of `attributes`, else `source_column` has the
    value. With a measure name column it is for the rows whose value there is `measure_name`."""

    type: MeasureType | None
    measure_name: str | None = None
    source_column: str | None = None
    target_name: str | None = None
    attributes: tuple[AttributeMapping, ...] = ()

    @property
    def name(self) -> str | None:
        """The measure name of the records; one of the three is there. Source: scheduled-queries.md 4."""
        return self.target_name or self.measure_name or self.source_column


@dataclass(frozen=True, slots=True)
class TargetConfiguration:
    """How rows of the result become records of a table. Exactly one of the two mappings is there.

    `dimensions` are columns of the result, and names of dimensions.
    """

    database: str
    table: str
    time_column: str
    dimensions: tuple[str, ...]
    multi_measure_mappings: MultiMeasureMappings | None = None
    mixed_measure_mappings: tuple[MixedMeasureMapping, ...] = ()
    measure_name_column: str | None = None


@dataclass(frozen=True, slots=True)
class ErrorReportConfiguration:
    """Where reports of failed runs go. `encryption` is SSE_S3 or SSE_KMS, None where nothing was said."""

    bucket: str
    prefix: str | None = None
    encryption: str | None = None


def query_id(arn: str) -> str:
    """What an ARN ends in: the name of a query, with its suffix."""
    return arn.partition(":scheduled-query/")[2]


@dataclass(frozen=True, slots=True)
class ScheduledQuery:
    """`arn` ends in the name and 12 hexadecimal digits. `target` None: the query runs and nothing is written."""

    arn: str
    name: str
    query_string: str
    schedule_expression: str
    topic_arn: str
    role_arn: str
    error_report: ErrorReportConfiguration
    created_ns: int
    target: TargetConfiguration | None = None
    kms_key_id: str | None = None
    state: State = State.ENABLED

    @property
    def schedule(self) -> Schedule:
        """A rate counts from the creation. The expression was understood when the query was made."""
        return Schedule.parse(self.schedule_expression, self.created_ns // NS_PER_S)

    @property
    def id(self) -> str:
        """The last part of the ARN: the name, which may have slashes, with its suffix. Never used again."""
        return query_id(self.arn)


@dataclass(frozen=True, slots=True)
class ExecutionStats:
    """`written_bytes` is the metered size of the records written."""

    execution_ms: int = 0
    written_bytes: int = 0
    metered_bytes: int = 0
    scanned_bytes: int = 0
    records_ingested: int = 0
    result_rows: int = 0


@dataclass(frozen=True, slots=True)
class ReportLocation:
    """An object, or the prefix of several, that tells which rows of a run were not written."""

    bucket: str
    key: str


@dataclass(frozen=True, slots=True)
class RunInsights:
    """What a run touched, and the size of its result."""

    touched: Insights
    output_rows: int
    output_bytes: int


@dataclass(frozen=True, slots=True)
class Run:
    """A run that has ended. `invocation_s` is its slot, or what the caller of a manual run said: its
    `@scheduled_runtime`, in seconds since 1970; `trigger_ms` is when it really began.

    `insights` are there when they were asked for.
    """

    invocation_s: int
    trigger_ms: int
    status: RunStatus
    stats: ExecutionStats = ExecutionStats()
    error_report: ReportLocation | None = None
    failure_reason: str | None = None
    insights: RunInsights | None = None


@dataclass(frozen=True, slots=True)
class BegunRun:
    """A run that has been claimed or asked for and has not ended: it runs, or the server stopped before it did."""

    arn: str
    invocation_s: int
    is_manual: bool
    wants_insights: bool = False


@dataclass(frozen=True, slots=True)
class Overview:
    """A query at one moment, with what has become of it. Times are invocations, of the run that began last and of the
    slot that comes next; `runs` have ended, the newest comes first."""

    query: ScheduledQuery
    previous_s: int | None
    next_s: int | None
    runs: tuple[Run, ...]
