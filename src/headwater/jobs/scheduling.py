"""What may become of scheduled queries when a client asks: made, switched on and off, deleted, and who is told.

`server/scheduled_api` calls this; `catalog/scheduled` keeps the queries and `jobs/scheduled` runs them. A query is
judged here as it will be when it runs: its text is compiled, and its target held against the columns that its result
and the target table have at the moment. Source: scheduled-queries.md 1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from headwater.catalog.catalog import Catalog
from headwater.errors import Invalid, NotFound
from headwater.ingest.target import check_target
from headwater.ingest.validate import required_dimension
from headwater.jobs import messages
from headwater.jobs.error_reports import report_key
from headwater.jobs.messages import Message
from headwater.jobs.scheduled_role import assume
from headwater.model.schedule import Schedule
from headwater.model.scheduled_query import ReportLocation, ScheduledQuery, State
from headwater.model.time import NS_PER_MS, NS_PER_S
from headwater.model.types import Scalar
from headwater.objects import ObjectRefused, check_prefix
from headwater.query.run import Queries
from headwater.rights.roles import Roles
from headwater.sql.compile import ParameterValue
from headwater.sql.parameters import RUNTIME
from headwater.storage.store import Store

_SUFFIX_DIGITS = 12

_ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]{1,576}", re.ASCII)
"""Of any account: `rights` knows which ones there are. Source: IAM API reference, Role."""


class Scheduling:
    """Any thread may call. `arn_prefix` is all of an ARN before the name; `new_id` gives hexadecimal digits."""

    def __init__(
        self,
        catalog: Catalog,
        store: Store,
        queries: Queries,
        arn_prefix: str,
        new_id: Callable[[], str],
        send: Callable[[Message], None],
        roles: Roles,
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._queries = queries
        self._arn_prefix = arn_prefix
        self._new_id = new_id
        self._send = send
        self._roles = roles

    def new_arn(self, name: str) -> str:
        """An ARN for a query of this name that none has had before."""
        return f"{self._arn_prefix}{name}-{self._new_id()[:_SUFFIX_DIGITS]}"

    def create(self, query: ScheduledQuery, client_token: str | None, tags: Mapping[str, str]) -> ScheduledQuery:
        """Make a query that will run from its next slot on, or answer the one that the same call has made.

        Raises Invalid for the schedule, the text, the target, the role, a key or a tag; Denied if there is no such
        role or it may not do what the query does; Conflict for the name or the token; QuotaExceeded. The same call is
        answered alike whatever has become of the tables since.
        """
        known = self._catalog.scheduled.made_by(client_token, query)
        if known is not None:
            return known
        Schedule.parse(query.schedule_expression)
        if query.error_report.encryption == "SSE_KMS" and query.kms_key_id is None:
            raise Invalid("KmsKeyId is required when EncryptionOption is SSE_KMS.")
        if not _ROLE_ARN.fullmatch(query.role_arn):
            raise Invalid(f"{query.role_arn} is not the ARN of an IAM role.")
        try:
            check_prefix(query.error_report.prefix)
        except ObjectRefused as fault:
            raise Invalid(fault.message) from fault
        self._check(query)
        made = self._catalog.scheduled.create(query, client_token, tags)
        if made is query:
            self._send(messages.creating(query))
            self._send(messages.created(query))
        return made

    def update_state(self, arn: str, state: State) -> None:
        """Raises NotFound."""
        before = self._catalog.scheduled.get(arn)
        after = self._catalog.scheduled.update_state(arn, state)
        if after.state is not before.state:
            self._send(messages.updated(after))

    def delete(self, arn: str) -> None:
        """A run that has begun is cut short and forgotten. Raises NotFound."""
        self._send(messages.deleted(self._catalog.scheduled.delete(arn)))

    def _check(self, query: ScheduledQuery) -> None:
        """Rights come first: who may not read or write a table is not told whether it is there."""
        key = report_key(query, query.created_ns // NS_PER_S, query.created_ns // NS_PER_MS, is_manual=False)
        role = assume(self._roles, query, ReportLocation(query.error_report.bucket, key))
        runtime = ParameterValue(query.created_ns, Scalar.TIMESTAMP)
        columns = self._queries.for_job(query.query_string, {RUNTIME: runtime}, role).columns
        target = query.target
        if target is None:
            return
        try:
            table = self._catalog.table(target.database, target.table)
        except NotFound as error:
            # The operation has no such fault in the service model.
            raise Invalid(error.message) from error
        pairs = [(column.name, column.type) for column in columns]
        check_target(target, pairs, self._store.columns(table.id), required_dimension(table.partition_key))
