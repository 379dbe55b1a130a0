"""What the server needs of an opened data folder; `instance.Instance` is one. Nothing here runs.

Operations are written against this, so that a test of the server needs no store and no engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Protocol

from headwater.config import Config
from headwater.ingest.write import Ingested
from headwater.model.account import AccountSettings
from headwater.model.batch_load import Load, ObjectPlace, Task, TaskStatus
from headwater.model.facts import Facts
from headwater.model.insights import Insights
from headwater.model.job import JobLine
from headwater.model.scheduled_query import Overview, ScheduledQuery, State
from headwater.model.table import Database, Retention, Table
from headwater.model.time import Clock
from headwater.model.types import OutputColumn
from headwater.query.explain import Explanation
from headwater.query.token import Caller
from headwater.sql.plan import Prepared
from headwater.wire.write_records import WriteRecordsRequest


class Account(Protocol):
    @property
    def settings(self) -> AccountSettings: ...

    def change(self, changed: Callable[[AccountSettings], AccountSettings]) -> AccountSettings: ...


class ScheduledQueries(Protocol):
    """What is kept of scheduled queries. All but the list raise NotFound."""

    def overview(self, arn: str) -> Overview: ...

    def list(self, after: str | None, limit: int) -> Sequence[Overview]: ...

    def tags(self, arn: str) -> dict[str, str]: ...

    def tag(self, arn: str, tags: Mapping[str, str]) -> None: ...

    def untag(self, arn: str, keys: Sequence[str]) -> None: ...


class Scheduling(Protocol):
    def new_arn(self, name: str) -> str: ...

    def create(self, query: ScheduledQuery, client_token: str | None, tags: Mapping[str, str]) -> ScheduledQuery: ...

    def update_state(self, arn: str, state: State) -> None: ...

    def delete(self, arn: str) -> None: ...


class ScheduledRuns(Protocol):
    def run_manually(
        self, arn: str, invocation_s: int, client_token: str | None, *, wants_insights: bool = ...
    ) -> None:
        """Have a query run soon. Durable on return. Raises NotFound, Throttled."""


class BatchLoadTasks(Protocol):
    def task(self, id: str) -> Task:
        """Raises NotFound."""

    def page(self, status: TaskStatus | None, after: str | None, limit: int) -> Sequence[Task]: ...


class BatchLoads(Protocol):
    def made_by(self, client_token: str | None, request: bytes) -> Task | None: ...

    def data_model(self, place: ObjectPlace) -> bytes: ...

    def create(self, database: str, table: str, load: Load, client_token: str | None, request: bytes) -> Task: ...

    def resume(self, id: str) -> None: ...


class Catalog(Protocol):
    @property
    def query_account(self) -> Account: ...

    @property
    def batch_loads(self) -> BatchLoadTasks: ...

    @property
    def scheduled(self) -> ScheduledQueries: ...

    def create_database(self, name: str, kms_key_id: str | None, tags: Mapping[str, str]) -> Database: ...

    def database(self, name: str) -> Database: ...

    def table_count(self, name: str) -> int: ...

    def list_databases(self, after: str | None, limit: int) -> list[Database]: ...

    def update_database(self, name: str, kms_key_id: str) -> Database: ...

    def delete_database(self, name: str) -> None: ...

    def table(self, database: str, name: str) -> Table: ...

    def list_tables(self, database: str | None, after: str | tuple[str, str] | None, limit: int) -> list[Table]: ...

    def update_table(
        self,
        database: str,
        name: str,
        retention: Retention | None,
        magnetic_writes: Mapping[str, object] | None,
        partition_key: Sequence[Mapping[str, str]] | None,
    ) -> Table: ...

    def tags(self, database: str, table: str | None) -> dict[str, str]: ...

    def tag(self, database: str, table: str | None, tags: Mapping[str, str]) -> None: ...

    def untag(self, database: str, table: str | None, keys: Sequence[str]) -> None: ...


class Ingest(Protocol):
    def write(self, request: WriteRecordsRequest) -> Future[Ingested]:
        """Done when the records are durable and visible. Raises faults, at once or through the future."""


class QueryAnswer(Protocol):
    """One page. `rows` are JSON, with commas between, in pieces; a token that is None says that it is the last."""

    @property
    def query_id(self) -> str: ...

    @property
    def columns(self) -> tuple[OutputColumn, ...]: ...

    @property
    def rows(self) -> Sequence[bytes | memoryview]: ...

    @property
    def next_token(self) -> str | None: ...

    @property
    def progress_percent(self) -> float: ...

    @property
    def bytes_scanned(self) -> int: ...

    @property
    def bytes_metered(self) -> int: ...

    @property
    def insights(self) -> Insights | None: ...

    @property
    def output_rows(self) -> int: ...

    @property
    def output_bytes(self) -> int: ...


class Queries(Protocol):
    def run(
        self,
        caller: Caller,
        text: str,
        client_token: str | None = None,
        next_token: str | None = None,
        max_rows: int | None = None,
        is_wanted: Callable[[], bool] = ...,
        wants_insights: bool = False,
    ) -> QueryAnswer:
        """One page of a query. Waits for it, within the minute that a client waits for an answer."""

    def prepare(self, text: str) -> Prepared: ...

    def explain(self, text: str) -> Explanation:
        """What a query would read, without running it."""

    def cancel(self, caller: Caller, query_id: str) -> str:
        """End a run; the answer is a text for its client."""


class Instance(Protocol):
    """An opened data folder. All of it may be called from any thread."""

    @property
    def config(self) -> Config: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def token_key(self) -> bytes: ...

    @property
    def catalog(self) -> Catalog: ...

    @property
    def ingest(self) -> Ingest: ...

    @property
    def queries(self) -> Queries: ...

    @property
    def batch_loads(self) -> BatchLoads: ...

    @property
    def scheduling(self) -> Scheduling: ...

    @property
    def scheduled(self) -> ScheduledRuns: ...

    def jobs(self) -> Sequence[JobLine]: ...

    def cancel_job(self, id: str) -> str:
        """End a job that can be; the answer is a text for who asked. Raises Invalid, NotFound."""

    def facts(self) -> Facts:
        """How the server stands, as numbers. Quick, and changes nothing."""

    def refusal(self) -> str | None:
        """Why no records are taken now; None if they are. Quick enough for the event loop."""

    def secret_of(self, access_key_id: str) -> str | None: ...

    def create_table(
        self,
        database: str,
        name: str,
        retention: Retention | None,
        magnetic_writes: Mapping[str, object] | None,
        partition_key: Sequence[Mapping[str, str]] | None,
        tags: Mapping[str, str],
    ) -> Table: ...

    def drop_table(self, database: str, name: str) -> None: ...
