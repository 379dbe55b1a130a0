"""Scheduled queries and their runs: what the account has, which slots have been run, and how that ended.

`catalog.Catalog` opens this; `server` asks it for the operations, `jobs/scheduled` for what is due. A change is one
transaction, on stable storage when the call returns; look-ups are answered from memory. The text of a query and the
reason of a failure may hold values of records, so definitions and runs are encrypted on the disk. When a query runs,
and whether it may, is decided by its callers. Drawn in docs/format/catalog.md.
"""

from __future__ import annotations

import hashlib
import threading
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import msgspec
import sqlalchemy as sa

from headwater.catalog import checks, tables
from headwater.catalog.keys import Keys
from headwater.catalog.sqlite import CatalogFile
from headwater.catalog.tags import Tags, scheduled_query_resource
from headwater.errors import Conflict, NotFound, Throttled
from headwater.model.limits import Limits
from headwater.model.scheduled_query import BegunRun, Overview, Run, ScheduledQuery, State
from headwater.model.time import NS_PER_HOUR, NS_PER_S, Clock

RUNS_KEPT = 100
"""How many ended runs of a query are remembered. Source: ours; clients see the last one and the last failed five."""

T = TypeVar("T")

WAITING_RUNS_MOST = 100
"""So many manual runs of a query may have been asked for and not ended. Source: ours."""

_TOKEN_LIFE_NS = 8 * NS_PER_HOUR


@dataclass(frozen=True, slots=True)
class _Definition:
    """What is encrypted of a query: all of it, and the token it was made with, as a hash."""

    query: ScheduledQuery
    token: str | None


@dataclass(frozen=True, slots=True)
class _RunRow:
    """A run, all of it encrypted. `run` is None until it has ended; `token` is that of a manual run, as a hash."""

    number: int
    invocation_s: int
    is_manual: bool
    token: str | None = None
    wants_insights: bool = False
    run: Run | None = None


@dataclass(frozen=True, slots=True)
class _Entry:
    """A query in memory. `runs` ascend in number; `claimed_s` is the last slot that was claimed or is skipped."""

    query: ScheduledQuery
    token: str | None
    claimed_s: int
    runs: tuple[_RunRow, ...] = ()

    @property
    def next_number(self) -> int:
        return self.runs[-1].number + 1 if self.runs else 1

    @property
    def ended(self) -> tuple[Run, ...]:
        """From the newest on."""
        return tuple(row.run for row in reversed(self.runs) if row.run is not None)

    @property
    def manual_waiting(self) -> int:
        return sum(row.is_manual and row.run is None for row in self.runs)

    def next_slot_s(self, after_s: int) -> int | None:
        return self.query.schedule.next_after(after_s) if self.query.state is State.ENABLED else None

    def overview(self, now_s: int) -> Overview:
        previous_s = self.runs[-1].invocation_s if self.runs else None
        return Overview(self.query, previous_s, self.next_slot_s(max(self.claimed_s, now_s)), self.ended)


class ScheduledQueries:
    """The scheduled queries of one account. Any thread may call."""

    def __init__(self, file: CatalogFile, account: str, keys: Keys, tags: Tags, clock: Clock, limits: Limits) -> None:
        self._file = file
        self._account = account
        self._keys = keys
        self._tags = tags
        self._clock = clock
        self._limits = limits
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}

    def load(self, connection: sa.Connection) -> None:
        """Read all of them. Raises Corrupt."""
        runs: defaultdict[str, list[_RunRow]] = defaultdict(list)
        for row in tables.read(connection, tables.SCHEDULED_RUNS):
            if row["account"] == self._account:
                purpose = self._run_purpose(row["query_id"], row["number"])
                runs[row["query_id"]].append(self._opened(row["details"], purpose, _RunRow))
        for row in tables.read(connection, tables.SCHEDULED_QUERIES):
            if row["account"] == self._account:
                definition = self._opened(row["definition"], self._query_purpose(row["id"]), _Definition)
                query = replace(definition.query, state=State(row["state"]))
                begun = sorted(runs[row["id"]], key=lambda run: run.number)
                self._entries[query.arn] = _Entry(query, definition.token, row["claimed_s"], tuple(begun))

    def create(self, query: ScheduledQuery, client_token: str | None, tags: Mapping[str, str]) -> ScheduledQuery:
        """Add a query, or answer the one that the same call made within the last 8 hours.

        Raises Conflict if the name is taken, or the token by another call; QuotaExceeded, Invalid for the key
        or a tag. Slots up to the creation are not run.
        """
        if query.kms_key_id is not None:
            checks.check_kms_key(query.kms_key_id)
        checks.check_tags(tags)
        with self._file.changing:
            token = None if client_token is None else _digest(client_token)
            known = None if token is None else _made_with(self._entries.values(), token, query)
            if known is not None:
                return known
            if any(entry.query.name == query.name for entry in self._entries.values()):
                raise Conflict(f"The scheduled query {query.name} already exists.")
            checks.check_quota("scheduled queries", len(self._entries), self._limits.scheduled_queries)
            entry = _Entry(query, token, query.created_ns // NS_PER_S)
            resource = scheduled_query_resource(query.id)
            with self._file.transaction() as connection:
                connection.execute(tables.SCHEDULED_QUERIES.insert(), self._query_row(entry))
                self._tags.put_rows(connection, resource, tags)
            self._tags.replace(resource, tags)
            self._put(entry)
        return query

    def made_by(self, client_token: str | None, query: ScheduledQuery) -> ScheduledQuery | None:
        """The query that the same call made within the last 8 hours. Raises Conflict if the token came with another."""
        if client_token is None:
            return None
        with self._lock:
            entries = list(self._entries.values())
        return _made_with(entries, _digest(client_token), query)

    def get(self, arn: str) -> ScheduledQuery:
        """Raises NotFound."""
        return self._entry(arn).query

    def overview(self, arn: str) -> Overview:
        """A query and its runs at one moment. Raises NotFound."""
        return self._entry(arn).overview(self._now_s())

    def list(self, after: str | None, limit: int) -> Sequence[Overview]:
        """At most `limit` queries in order of name, beginning behind the name `after`, which need not exist."""
        entries, now_s = self._by_name(), self._now_s()
        start = 0 if after is None else bisect_right(entries, after, key=lambda entry: entry.query.name)
        return [entry.overview(now_s) for entry in entries[start : start + limit]]

    def overviews(self) -> Sequence[Overview]:
        """Of every query of the account, in order of name, each at one moment."""
        now_s = self._now_s()
        return [entry.overview(now_s) for entry in self._by_name()]

    def all(self) -> Sequence[ScheduledQuery]:
        """Every query of the account, in order of name."""
        return [entry.query for entry in self._by_name()]

    def update_state(self, arn: str, state: State) -> ScheduledQuery:
        """Slots that passed while a query was disabled are not run afterwards. Raises NotFound."""
        with self._file.changing:
            entry = self._entry(arn)
            if entry.query.state is state:
                return entry.query
            claimed_s = max(entry.claimed_s, self._now_s()) if state is State.ENABLED else entry.claimed_s
            changed = replace(entry, query=replace(entry.query, state=state), claimed_s=claimed_s)
            with self._file.transaction() as connection:
                connection.execute(tables.SCHEDULED_QUERIES.update().where(self._is(arn)), self._query_row(changed))
            self._put(changed)
        return changed.query

    def delete(self, arn: str) -> ScheduledQuery:
        """Delete a query, its runs and tags. Returns what it was. Raises NotFound."""
        with self._file.changing:
            query = self._entry(arn).query
            resource = scheduled_query_resource(query.id)
            with self._file.transaction() as connection:
                connection.execute(tables.SCHEDULED_RUNS.delete().where(self._runs_of(arn)))
                connection.execute(tables.SCHEDULED_QUERIES.delete().where(self._is(arn)))
                self._tags.delete_rows(connection, resource)
            self._tags.replace(resource, {})
            with self._lock:
                del self._entries[arn]
        return query

    def tags(self, arn: str) -> dict[str, str]:
        """The tags of a query, by key. Raises NotFound."""
        return self._tags.of(scheduled_query_resource(self.get(arn).id))

    def tag(self, arn: str, tags: Mapping[str, str]) -> None:
        """Add tags; a key that is there gets the new value. Raises NotFound, Invalid, QuotaExceeded."""
        with self._file.changing:
            self._tags.add(self._file, scheduled_query_resource(self.get(arn).id), tags)

    def untag(self, arn: str, keys: Collection[str]) -> None:
        """Remove tags; keys that are not there are no fault. Raises NotFound."""
        with self._file.changing:
            self._tags.remove(self._file, scheduled_query_resource(self.get(arn).id), keys)

    def next_slot_s(self, arn: str) -> int | None:
        """The first slot that has not been claimed: in the past if it was missed. None when no more will come, and
        while the query is disabled. Raises NotFound."""
        entry = self._entry(arn)
        return entry.next_slot_s(entry.claimed_s)

    def next_invocation_s(self, arn: str) -> int | None:
        """The slot that comes next, for answers: never in the past. As `next_slot_s` otherwise."""
        return self.overview(arn).next_s

    def claim(self, arn: str, slot_s: int) -> bool:
        """Whether the caller is to run this slot. Of a slot that is said once, ever, also across restarts: it is
        written down before this returns. Slots before it can be claimed no more. Raises NotFound.

        The run counts as begun until `record_run` says how it ended.
        """
        with self._file.changing:
            entry = self._entry(arn)
            if entry.query.state is not State.ENABLED or slot_s <= entry.claimed_s:
                return False
            begun = _RunRow(entry.next_number, slot_s, is_manual=False)
            changed = replace(entry, claimed_s=slot_s, runs=(*entry.runs, begun))
            with self._file.transaction() as connection:
                connection.execute(tables.SCHEDULED_QUERIES.update().where(self._is(arn)), self._query_row(changed))
                connection.execute(tables.SCHEDULED_RUNS.insert(), self._run_row(arn, begun))
            self._put(changed)
        return True

    def begin_manual(
        self, arn: str, invocation_s: int, client_token: str | None, *, wants_insights: bool = False
    ) -> bool:
        """Write down that a manual run was asked for, so that it survives a restart. Whether it is a new one: not if
        a run that is remembered was asked for with the same token. Raises NotFound, Throttled.
        """
        with self._file.changing:
            entry = self._entry(arn)
            token = None if client_token is None else _digest(client_token)
            if token is not None and any(row.token == token for row in entry.runs):
                return False
            if entry.manual_waiting >= WAITING_RUNS_MOST:
                raise Throttled("Too many runs of this scheduled query wait. Send again later.")
            begun = _RunRow(entry.next_number, invocation_s, True, token, wants_insights)
            with self._file.transaction() as connection:
                connection.execute(tables.SCHEDULED_RUNS.insert(), self._run_row(arn, begun))
            self._put(replace(entry, runs=(*entry.runs, begun)))
        return True

    def record_run(self, arn: str, run: Run, *, disables: bool = False) -> bool:
        """Say how a run ended: the oldest that has begun with this invocation time and has not. Raises NotFound.

        With `disables` its query is DISABLED in the same step, so that nobody sees the one without the other; whether
        it was ENABLED till then.
        """
        with self._file.changing:
            entry = self._entry(arn)
            begun = next(row for row in entry.runs if _is_begun(row, run))
            ended = replace(begun, run=run)
            runs = [ended if row is begun else row for row in entry.runs]
            old = [row.number for row in runs if row.run is not None][:-RUNS_KEPT]
            changed = replace(entry, runs=tuple(row for row in runs if row.number not in old))
            has_disabled = disables and entry.query.state is State.ENABLED
            if has_disabled:
                changed = replace(changed, query=replace(entry.query, state=State.DISABLED))
            of = tables.SCHEDULED_RUNS
            with self._file.transaction() as connection:
                this = sa.and_(self._runs_of(arn), of.c.number == ended.number)
                connection.execute(of.update().where(this), self._run_row(arn, ended))
                connection.execute(of.delete().where(self._runs_of(arn), of.c.number.in_(old)))
                if has_disabled:
                    connection.execute(tables.SCHEDULED_QUERIES.update().where(self._is(arn)), self._query_row(changed))
            self._put(changed)
        return has_disabled

    def runs(self, arn: str, limit: int = 10) -> Sequence[Run]:
        """The last runs that have ended, from the newest on. Raises NotFound."""
        return self._entry(arn).ended[:limit]

    def unfinished(self) -> Sequence[BegunRun]:
        """All runs that have begun and not ended, each query's in the order in which they began. After a start these
        are the runs that the last stop or crash cut short."""
        with self._lock:
            return [
                BegunRun(arn, row.invocation_s, row.is_manual, row.wants_insights)
                for arn, entry in self._entries.items()
                for row in entry.runs
                if row.run is None
            ]

    def _now_s(self) -> int:
        return self._clock.now_ns() // NS_PER_S

    def _by_name(self) -> Sequence[_Entry]:
        with self._lock:
            return sorted(self._entries.values(), key=lambda entry: entry.query.name)

    def _put(self, entry: _Entry) -> None:
        with self._lock:
            self._entries[entry.query.arn] = entry

    def _entry(self, arn: str) -> _Entry:
        with self._lock:
            entry = self._entries.get(arn)
        if entry is None:
            raise NotFound("scheduled query", arn)
        return entry

    def _is(self, arn: str) -> sa.ColumnElement[bool]:
        of = tables.SCHEDULED_QUERIES.c
        return sa.and_(of.account == self._account, of.id == self._entry(arn).query.id)

    def _runs_of(self, arn: str) -> sa.ColumnElement[bool]:
        of = tables.SCHEDULED_RUNS.c
        return sa.and_(of.account == self._account, of.query_id == self._entry(arn).query.id)

    def _query_row(self, entry: _Entry) -> dict[str, object]:
        query = entry.query
        definition = msgspec.json.encode(_Definition(query, entry.token))
        row = {
            "account": self._account,
            "id": query.id,
            "name": query.name,
            "state": query.state.value,
            "claimed_s": entry.claimed_s,
            "definition": self._keys.seal(definition, self._query_purpose(query.id)),
        }
        return tables.sealed(tables.SCHEDULED_QUERIES, row)

    def _run_row(self, arn: str, run: _RunRow) -> dict[str, object]:
        id = self._entry(arn).query.id
        row = {
            "account": self._account,
            "query_id": id,
            "number": run.number,
            "details": self._keys.seal(msgspec.json.encode(run), self._run_purpose(id, run.number)),
        }
        return tables.sealed(tables.SCHEDULED_RUNS, row)

    def _opened(self, data: bytes, purpose: str, kind: type[T]) -> T:
        return msgspec.json.decode(self._keys.unseal(data, purpose), type=kind)

    def _query_purpose(self, id: str) -> str:
        return f"scheduled_query/{self._account}/{id}"

    def _run_purpose(self, id: str, number: int) -> str:
        return f"scheduled_run/{self._account}/{id}/{number}"


def _made_with(entries: Iterable[_Entry], token: str, query: ScheduledQuery) -> ScheduledQuery | None:
    """The query that an earlier call with this token made. Raises Conflict if that call wanted another one."""
    for entry in entries:
        made = entry.query
        if entry.token != token or query.created_ns - made.created_ns >= _TOKEN_LIFE_NS:
            continue
        if replace(query, arn=made.arn, created_ns=made.created_ns, state=made.state) != made:
            raise Conflict("The client token was used for another scheduled query.")
        return made
    return None


def _is_begun(row: _RunRow, run: Run) -> bool:
    return row.run is None and (row.invocation_s, row.is_manual) == (run.invocation_s, run.status.is_manual)


def _digest(client_token: str) -> str:
    return hashlib.sha256(client_token.encode()).hexdigest()
