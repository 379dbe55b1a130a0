"""A query that a job of the server runs on a thread of the job's own, from begin to end.

`Queries.for_job` makes one; `jobs/scheduled` runs it. It has no client: no pages, no tokens, no turn to wait for.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Self

from headwater.model.table import Columns, TableId
from headwater.model.types import OutputColumn
from headwater.query.execute import Execution, Executor
from headwater.query.result import Result
from headwater.query.spool import Spool
from headwater.rights.roles import Role
from headwater.sql.compile import Names, QueryPlan


@dataclass(slots=True)
class RoleNames(Names):
    """The names that a role may use. Its right to read a table is asked for before anyone looks whether there is one:
    who may not read learns nothing. So a database is not said to be missing, but the tables of it are."""

    names: Names
    role: Role
    has_read: bool = False

    def has_database(self, name: str) -> bool:  # noqa: ARG002 - the answer waits for the table
        return True

    def table(self, database: str, name: str) -> tuple[TableId, Columns] | None:
        """Raises Denied."""
        self.has_read = True
        self.role.require_table("timestream:Select", database, name)
        return self.names.table(database, name)


class JobQuery:
    """One run of a SELECT. Its result is there until the block ends."""

    def __init__(self, plan: QueryPlan, execution: Execution, executor: Executor, spool: Spool) -> None:
        self.columns: tuple[OutputColumn, ...] = plan.columns
        self._execution = execution
        self._executor = executor
        self._spool = spool

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._spool.forget(self._execution.query_id)

    def run(self) -> Result:
        """Wait for the result. Raises QueryFailed, Conflict when cancelled, Corrupt, Unavailable."""
        return self._executor.execute(self._execution)

    def cancel(self) -> None:
        """End the run, or keep it from beginning. From any thread; harmless when it has ended."""
        self._execution.cancel()

    @property
    def progress_percent(self) -> float:
        return self._execution.progress_percent
