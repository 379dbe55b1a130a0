"""What a query would do, without doing it: its scans, what each would read of its table, the engine's statement.

`run` calls it for `headwater query --explain`; the service has nothing like it, and the dialect no EXPLAIN. The numbers
are those of one moment: a flush between two looks at a table may show a record twice or not at all.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace

from headwater.catalog.catalog import Catalog
from headwater.errors import Invalid
from headwater.model.scan import Extent, ScanRequest
from headwater.model.types import OutputColumn
from headwater.query.execute import parts_tried, without_expired
from headwater.sql.compile import Plan, QueryPlan, UnloadPlan
from headwater.sql.plan import NewestFirst
from headwater.storage.store import Store


@dataclass(frozen=True, slots=True)
class ScanExplained:
    """One scan. `request` is what is asked of the table, retention included; `read` is what is left of `whole`, all
    that the table has, after chunks, rows of chunks and blocks that cannot match. `names` are those of the columns.

    The query is tried with the scan from each instant of `tried_from_ns` on, and ends with the first try that gives
    `rows_enough` rows: then `read` is the most that it reads.
    """

    relation: str
    database: str
    table: str
    names: tuple[str, ...]
    request: ScanRequest
    whole: Extent
    read: Extent
    rows_enough: int | None = None
    tried_from_ns: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """`sql` is the engine's statement over the relations of `scans`."""

    columns: tuple[OutputColumn, ...]
    scans: tuple[ScanExplained, ...]
    sql: str


def explain(plan: Plan, catalog: Catalog, store: Store, now_ns: int) -> Explanation:
    """Raises Invalid for a statement that is no query, and what `Store.scan` raises."""
    query = plan.query if isinstance(plan, UnloadPlan) else plan
    if not isinstance(query, QueryPlan):
        raise Invalid("Only queries can be explained.")
    scans = tuple(_explained(relation, request, catalog, store, now_ns) for relation, request in query.scans)
    if query.newest_first is not None:
        tries = [dict(part.scans) for part in parts_tried(query, catalog, store, now_ns)]
        scans = tuple(_tried(scan, query.newest_first, tries) for scan in scans)
    return Explanation(query.columns, scans, query.sql)


def _explained(relation: str, request: ScanRequest, catalog: Catalog, store: Store, now_ns: int) -> ScanExplained:
    table = catalog.table_by_id(request.table)
    alive = without_expired(table, request, now_ns)
    whole = store.extent(request.table)
    with closing(store.scan(alive)) as scan:
        read = scan.extent
    names = tuple(column.name for column, _ in request.columns)
    return ScanExplained(relation, table.database, table.name, names, alive, whole, read)


def _tried(scan: ScanExplained, first: NewestFirst, tries: list[dict[str, ScanRequest]]) -> ScanExplained:
    """Of the scans only that of `first` is tried on parts."""
    if scan.relation != first.relation:
        return scan
    starts_ns = tuple(requests[scan.relation].time.start_ns for requests in tries)
    return replace(scan, rows_enough=first.rows, tried_from_ns=starts_ns)
