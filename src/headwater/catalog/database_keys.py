"""The keys of databases, and the data keys of blocks wrapped under them.

Each database has keys of its own, numbered; the last one is used for new blocks. A provider wraps each under the key
that the database's `KmsKeyId` names. A block's data key stands wrapped in the block's own header; when the database
gets another key, it is wrapped anew and the catalog keeps that slot, which wins over the header's. A key that no block
needs any more is deleted, and with it goes all that the old slots in headers were good for.

`catalog.Catalog` opens this; `storage` uses it as its `DataKeys`, `jobs/rewrap.py` drives the rewrapping. A provider
may be far away: only `make` and `refresh` call it, and neither while a lock is held.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
import structlog

from headwater.catalog import tables
from headwater.catalog.keys import KeyProvider, new_data_key, unwrapped
from headwater.catalog.sqlite import CatalogFile
from headwater.errors import Corrupt, Fault, KeyUnusable, Unavailable
from headwater.model.table import TableId
from headwater.model.time import Clock
from headwater.sealing import KEY_BYTES, KEY_ID_BYTES, DataKey, DataKeys, Randomness, SealingKey

_log = structlog.get_logger("catalog")

REFRESH_INTERVAL_S = 60.0
"""How often providers are asked whether keys may still be used; a lease is several times longer."""

_REWRAPPED_AT_ONCE = 500
_WRITTEN_AFTER_S = 86_400.0
"""A block that is not live so long after its key was made never will be."""


@dataclass(frozen=True, slots=True)
class DatabaseKey:
    """A row of `database_keys`, and the key itself. `id` is 32 hexadecimal digits."""

    id: str
    database: str
    number: int
    kms_key_id: str
    wrapped: bytes = field(repr=False)
    created_ns: int

    @property
    def raw_id(self) -> bytes:
        return bytes.fromhex(self.id)


@dataclass(slots=True)
class _Held:
    """A key in memory: good until `good_until_s`, or the fault it was found with."""

    row: DatabaseKey
    key: SealingKey | None = None
    good_until_s: float = 0.0
    fault: Fault | None = None


class DatabaseKeys(DataKeys):
    """Keys of one account's databases. A place is `<table id>/<block id>`. Any thread may call."""

    def __init__(
        self,
        file: CatalogFile,
        account: str,
        clock: Clock,
        provider: KeyProvider,
        randomness: Randomness,
        database_of: Callable[[TableId], str],
    ) -> None:
        """`database_of` raises NotFound for a table that does not exist."""
        self._file = file
        self._account = account
        self._clock = clock
        self._provider = provider
        self._randomness = randomness
        self._database_of = database_of
        self._lock = threading.Lock()
        self._held: dict[bytes, _Held] = {}
        self._current: dict[str, _Held] = {}
        self._rewrapped: dict[str, bytes] = {}
        self._issued: dict[str, tuple[bytes, float]] = {}
        """Blocks whose key was made by this process: under which key, and when."""

    def load(self, connection: sa.Connection, live: Iterable[str]) -> None:
        """Read the keys. `live` are the places of all blocks in the manifest: what is known of others is deleted."""
        for row in tables.read(connection, tables.DATABASE_KEYS):
            if row["account"] == self._account:
                self.add(_key_of(row))
        slots = {row["place"]: row["slot"] for row in self._rows(connection, tables.REWRAPPED_KEYS)}
        gone = slots.keys() - set(live) if slots else set()
        for place in gone:
            self._delete(connection, tables.REWRAPPED_KEYS, "place", place)
        self._rewrapped = {place: slot for place, slot in slots.items() if place not in gone}

    def make(self, database: str, kms_key_id: str) -> tuple[DatabaseKey, SealingKey]:
        """A fresh key for a database, wrapped by the provider, of which nothing is stored yet. May take seconds.

        Raises KeyUnusable, Unavailable.
        """
        id, key = self._randomness(KEY_ID_BYTES).hex(), self._randomness(KEY_BYTES)
        wrapped = self._provider.wrap(key, kms_key_id, self._purpose(id))
        with self._lock:
            last = self._current.get(database)
        number = 1 if last is None else last.row.number + 1
        row = DatabaseKey(id, database, number, wrapped.kms_key_id, wrapped.data, self._clock.now_ns())
        return row, SealingKey(key)

    def insert(self, connection: sa.Connection, row: DatabaseKey) -> None:
        """Store a key in the caller's transaction."""
        of = tables.DATABASE_KEYS
        values = {
            "account": self._account,
            "id": row.id,
            "database_name": row.database,
            "number": row.number,
            "kms_key_id": row.kms_key_id,
            "wrapped": row.wrapped,
            "created_ns": row.created_ns,
        }
        connection.execute(of.insert(), tables.sealed(of, values))

    def add(self, row: DatabaseKey, key: SealingKey | None = None) -> None:
        """Use a stored key from now on. Memory only."""
        held = _Held(row, key, self._clock.monotonic_s() + self._provider.lease_s)
        with self._lock:
            self._held[row.raw_id] = held
            last = self._current.get(row.database)
            if last is None or last.row.number < row.number:
                self._current[row.database] = held

    def delete_rows(self, connection: sa.Connection, database: str) -> None:
        """Delete the keys of a database without tables, in the caller's transaction: its files are lost for good."""
        self._delete(connection, tables.DATABASE_KEYS, "database_name", database)

    def forget(self, database: str) -> None:
        """Forget the keys of a deleted database. Memory only."""
        with self._lock:
            self._current.pop(database, None)
            self._held = {id: held for id, held in self._held.items() if held.row.database != database}

    def check(self, place: str) -> None:
        """As told; also raises NotFound for a table that does not exist. The table's id alone will do."""
        database = self._database_of(TableId(place.partition("/")[0]))
        with self._lock:
            held = self._current[database]
        self._usable(held)

    def new(self, place: str) -> DataKey:
        database, now_s = self._database_of(TableId(place.partition("/")[0])), self._clock.monotonic_s()
        with self._lock:
            # In one step: from here on the key that is the current one now is kept until the block is live.
            held = self._current[database]
            self._issued = {p: issue for p, issue in self._issued.items() if now_s - issue[1] < _WRITTEN_AFTER_S}
            self._issued[place] = held.row.raw_id, now_s
        context = self._context(place)
        key, wrapped = new_data_key(self._usable(held), context, self._randomness)
        return DataKey(key, held.row.raw_id + wrapped, context.encode())

    def open(self, place: str, slot: bytes) -> DataKey:
        slot = self._rewrapped.get(place, slot)
        with self._lock:
            held = self._held.get(slot[:KEY_ID_BYTES])
        if held is None:
            raise Corrupt(f"block {place}: there is no database key {slot[:KEY_ID_BYTES].hex()}")
        context = self._context(place)
        return DataKey(unwrapped(self._usable(held), slot[KEY_ID_BYTES:], context), slot, context.encode())

    def refresh(self) -> None:
        """Ask the provider for every key anew. A key it refuses is unusable at once; while it does not answer, keys
        stay good until their lease ends.
        """
        with self._lock:
            every = list(self._held.values())
        for held in every:
            if held.key is None or self._provider.lease_s < math.inf:
                self._refresh(held)

    def outdated(self) -> list[str]:
        """Databases that have older keys beside their current one."""
        with self._lock:
            return sorted({held.row.database for held in self._held.values() if not self._is_current(held)})

    def rewrap(self, database: str, live: Iterable[str], slot_of: Callable[[str], bytes | None]) -> None:
        """Wrap the data keys of a database's live blocks under its current key; then delete the keys before it.

        `live` are all their places, `slot_of` reads the slot in a file's header, if there is still one. What is done is
        durable, so it may be cut short and called again. A key stays while a block is being written under it.
        Raises KeyUnusable, Unavailable, Corrupt, OSError.
        """
        with self._lock:
            current = self._current[database]
        places = set(live)
        changed: dict[str, bytes] = {}
        for place in sorted(places):
            slot = self._rewrapped.get(place) or slot_of(place)
            if slot is not None and slot[:KEY_ID_BYTES] != current.row.raw_id:
                key = self.open(place, slot).key
                changed[place] = self._wrapped_under(current, place, key)
            if len(changed) >= _REWRAPPED_AT_ONCE:
                self._store(changed)
                changed = {}
        self._store(changed)
        self._retire(current.row, places)

    def _wrapped_under(self, held: _Held, place: str, key: bytes) -> bytes:
        return held.row.raw_id + self._usable(held).seal(key, self._context(place), self._randomness)

    def _store(self, slots: dict[str, bytes]) -> None:
        if not slots:
            return
        of = tables.REWRAPPED_KEYS
        rows = [{"account": self._account, "place": place, "slot": slot} for place, slot in slots.items()]
        with self._file.transaction() as connection:
            for place in slots:
                self._delete(connection, of, "place", place)
            connection.execute(of.insert(), [tables.sealed(of, row) for row in rows])
        with self._lock:
            self._rewrapped = {**self._rewrapped, **slots}

    def _retire(self, current: DatabaseKey, live: set[str]) -> None:
        """Delete older keys, but not one under which a block may still be on its way to the manifest."""
        with self._lock:
            awaited = {id for place, (id, _) in self._issued.items() if place not in live}
            of_database = [held for held in self._held.values() if held.row.database == current.database]
        old = [held for held in of_database if held.row.number < current.number]
        gone = [held for held in old if held.row.raw_id not in awaited]
        with self._file.transaction() as connection:
            for held in gone:
                self._delete(connection, tables.DATABASE_KEYS, "id", held.row.id)
        with self._lock:
            for held in gone:
                del self._held[held.row.raw_id]
        _log.info("data keys rewrapped", database=current.database, blocks=len(live), keys_deleted=len(gone))

    def _refresh(self, held: _Held) -> None:
        row = held.row
        try:
            key = self._provider.unwrap(row.wrapped, row.kms_key_id, self._purpose(row.id))
        except (KeyUnusable, Corrupt) as fault:
            if held.fault is None:
                _log.warning("database key unusable", database=row.database, key=row.kms_key_id, reason=fault.message)
            held.key, held.fault = None, fault
        except Unavailable as fault:
            _log.warning("database key not confirmed", database=row.database, reason=fault.message)
        else:
            held.key, held.fault = SealingKey(key), None
            held.good_until_s = self._clock.monotonic_s() + self._provider.lease_s

    def _usable(self, held: _Held) -> SealingKey:
        key = held.key
        if held.fault is not None:
            raise held.fault.with_traceback(None)
        if key is None or self._clock.monotonic_s() > held.good_until_s:
            raise Unavailable(f"The key of the database {held.row.database} has not been confirmed for too long.")
        return key

    def _is_current(self, held: _Held) -> bool:
        return self._current.get(held.row.database) is held

    def _context(self, place: str) -> str:
        return f"block/{self._account}/{place}"

    def _purpose(self, id: str) -> str:
        return f"database_key/{self._account}/{id}"

    def _rows(self, connection: sa.Connection, of: sa.Table) -> list[tables.Row]:
        return [row for row in tables.read(connection, of) if row["account"] == self._account]

    def _delete(self, connection: sa.Connection, of: sa.Table, name: str, value: Any) -> None:
        connection.execute(of.delete().where(of.c.account == self._account, of.c[name] == value))


def _key_of(row: tables.Row) -> DatabaseKey:
    return DatabaseKey(
        row["id"], row["database_name"], row["number"], row["kms_key_id"], row["wrapped"], row["created_ns"]
    )
