"""What a compiled statement is: one class for each kind of plan. `compile` makes them, `query` runs them.

A plan knows no text any more. Names that a plan of the catalog holds exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from headwater.model.scan import ScanRequest
from headwater.model.types import OutputColumn, Scalar, SqlType


@dataclass(frozen=True, slots=True)
class NewestFirst:
    """A query that gives its newest rows first, or any, and no more than `rows` of them.

    All that it reads of the relation from a multiple of `width_ns` on gives its first rows, complete: if these are
    `rows`, they are the answer.
    """

    relation: str
    width_ns: int
    rows: int


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """A query. `sql` is one engine statement; its columns are `columns` by place, carried as model/types.py says.

    It reads each scan by the relation name paired with it, and its columns by their names in the scan's answer.
    """

    columns: tuple[OutputColumn, ...]
    scans: tuple[tuple[str, ScanRequest], ...]
    sql: str
    newest_first: NewestFirst | None = None


@dataclass(frozen=True, slots=True)
class UnloadTarget:
    """A bucket, or the alias of an access point, and the folder in it: no slash at either end, perhaps empty."""

    bucket: str
    prefix: str


@dataclass(frozen=True, slots=True)
class UnloadOptions:
    """Defaults are the service's. `partitioned_by` are the last columns of the query. Source: sql.md 4.7."""

    partitioned_by: tuple[str, ...] = ()
    format: Literal["CSV", "PARQUET"] = "CSV"
    compression: Literal["GZIP", "NONE"] = "GZIP"
    encryption: Literal["SSE_S3", "SSE_KMS"] = "SSE_S3"
    kms_key: str | None = None
    field_delimiter: str = ","
    escaped_by: str = "\\"
    include_header: bool = False
    file_bytes_max: int = 78 * 2**30


@dataclass(frozen=True, slots=True)
class UnloadPlan:
    """The answer of a query, written to an object store."""

    query: QueryPlan
    target: UnloadTarget
    options: UnloadOptions


UNLOAD_COLUMNS = (
    OutputColumn("rows", Scalar.BIGINT),
    OutputColumn("metadataFile", Scalar.VARCHAR),
    OutputColumn("manifestFile", Scalar.VARCHAR),
)
"""Of the one row that every UNLOAD answers. Source: sql.md 4.7."""


@dataclass(frozen=True, slots=True)
class ShowDatabases:
    """`like` is a LIKE pattern, None for all; here and below. Source: sql.md 4.3."""

    like: str | None


@dataclass(frozen=True, slots=True)
class ShowTables:
    """`database` is None for all databases. Source: sql.md 4.4."""

    database: str | None
    like: str | None


@dataclass(frozen=True, slots=True)
class ShowMeasures:
    """Source: sql.md 4.5."""

    database: str
    table: str
    like: str | None


@dataclass(frozen=True, slots=True)
class Describe:
    """Source: sql.md 4.6."""

    database: str
    table: str


Plan = QueryPlan | UnloadPlan | ShowDatabases | ShowTables | ShowMeasures | Describe


@dataclass(frozen=True, slots=True)
class PreparedColumn:
    """A column of a result before anything runs.

    `table` is (database, table) of a column that comes straight from one, None for what is computed. `is_aliased`: the
    query calls it otherwise than the table does, or gives a name to what has none. Source: query-api.md 3.
    """

    name: str
    type: SqlType
    table: tuple[str, str] | None
    is_aliased: bool


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is known of a statement with `@parameters`. `parameters` are in order of first appearance; the type of one
    that its place does not tell is UNKNOWN."""

    columns: tuple[PreparedColumn, ...]
    parameters: tuple[OutputColumn, ...]
