"""The catalog: which databases and tables one account has, with retention, partition keys and tags.

The face of this room, and the way to its `keys` and its `manifest`. `server` asks it for the operations on databases
and tables, `ingest` and `query` for look-ups, `storage` for the manifest. A change is one transaction, on stable
storage when the call returns; look-ups are answered from memory and run no SQL. Permissions, ARNs and page tokens are
not its matter.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from uuid import UUID

import sqlalchemy as sa

from headwater.catalog import checks, tables
from headwater.catalog.account import Account
from headwater.catalog.batch_load import BatchLoadTasks
from headwater.catalog.database_keys import DatabaseKeys
from headwater.catalog.keys import KeyProvider, Keys
from headwater.catalog.manifest import CatalogManifest
from headwater.catalog.scheduled import ScheduledQueries
from headwater.catalog.sqlite import CatalogFile
from headwater.catalog.tags import Tags, database_resource, table_resource
from headwater.errors import Conflict, Invalid, NotFound
from headwater.files import Files
from headwater.model.limits import Limits
from headwater.model.region import partition_of
from headwater.model.table import Database, Retention, Table, TableId
from headwater.model.time import Clock
from headwater.sealing import Randomness

CATALOG_FILE = "catalog.sqlite"

_DEFAULT_KMS_KEY = "default_kms_key"

NO_TAGS: Mapping[str, str] = MappingProxyType({})


class Catalog:
    """Databases and tables of one account. Names compare byte by byte; every method may be called from any thread."""

    def __init__(
        self,
        file: CatalogFile,
        provider: KeyProvider,
        account: str,
        clock: Clock,
        randomness: Randomness,
        limits: Limits,
        keys: Keys,
    ) -> None:
        self.keys = keys
        self.database_keys = DatabaseKeys(file, account, clock, provider, randomness, self._database_of)
        self.manifest = CatalogManifest.open(file)
        self.query_account = Account(file, account)
        self._file = file
        self._tags = Tags(account)
        self.batch_loads = BatchLoadTasks(file, account, keys, clock, limits.batch_load)
        self.scheduled = ScheduledQueries(file, account, keys, self._tags, clock, limits)
        self._account = account
        self._clock = clock
        self._randomness = randomness
        self._limits = limits
        self._lock = threading.Lock()
        self._databases: dict[str, Database] = {}
        self._tables: dict[str, dict[str, Table]] = {}
        self._tables_by_id: dict[TableId, Table] = {}
        # Both in order of code points, which is the order of the UTF-8 bytes.
        self._database_names: list[str] = []
        self._table_names: list[tuple[str, str]] = []

    @classmethod
    def open(
        cls,
        files: Files,
        directory: Path,
        provider: KeyProvider,
        account: str,
        region: str,
        clock: Clock,
        randomness: Randomness,
        limits: Limits,
    ) -> Catalog:
        """Open the catalog of a data folder, or make it. `region` stands in the ARN of a default key made now.

        Raises NewerFormat, Corrupt, Invalid (wrong master key), KeyUnusable or Unavailable; then nothing has been
        changed.
        """
        file = CatalogFile.open(files, directory / CATALOG_FILE)
        try:
            keys = Keys.open(file, provider, account, clock, randomness)
            catalog = cls(file, provider, account, clock, randomness, limits, keys)
            catalog._load(f"arn:{partition_of(region)}:kms:{region}:{account}:key/", provider.default_kms_key_id)
            catalog.database_keys.refresh()
        except BaseException:
            file.close()
            raise
        return catalog

    def close(self) -> None:
        self._file.close()

    def create_database(self, name: str, kms_key_id: str | None, tags: Mapping[str, str] = NO_TAGS) -> Database:
        """Make a database with a key of its own.

        Raises Invalid for the key or a tag, Conflict if the name is taken, QuotaExceeded, KeyUnusable, Unavailable.
        """
        if kms_key_id is not None:
            checks.check_kms_key(kms_key_id)
        checks.check_tags(tags)
        self._check_new_database(name)
        row, key = self.database_keys.make(name, kms_key_id or self._default_kms_key)
        with self._file.changing:
            self._check_new_database(name)
            now_ns = self._clock.now_ns()
            database = Database(name, row.kms_key_id, now_ns, now_ns)
            with self._file.transaction() as connection:
                connection.execute(tables.DATABASES.insert(), tables.database_row(self._account, database))
                self.database_keys.insert(connection, row)
                self._tags.put_rows(connection, database_resource(name), tags)
            self._tags.replace(database_resource(name), tags)
            self.database_keys.add(row, key)
            with self._lock:
                self._add_database(database)
        return database

    def _check_new_database(self, name: str) -> None:
        if self.has_database(name):
            raise Conflict(f"The database {name} already exists.")
        checks.check_quota("databases", len(self._databases), self._limits.databases)

    def has_database(self, name: str) -> bool:
        with self._lock:
            return name in self._databases

    def database(self, name: str) -> Database:
        """Raises NotFound."""
        with self._lock:
            return self._database(name)

    def table_count(self, name: str) -> int:
        """How many tables the database `name` has. Raises NotFound."""
        with self._lock:
            self._database(name)
            return len(self._tables[name])

    def list_databases(self, after: str | None, limit: int) -> list[Database]:
        """At most `limit` databases in order of name, beginning behind the name `after`, which need not exist."""
        with self._lock:
            start = 0 if after is None else bisect_right(self._database_names, after)
            return [self._databases[name] for name in self._database_names[start : start + limit]]

    def update_database(self, name: str, kms_key_id: str) -> Database:
        """Give a database another key; with the key it has nothing changes, not even the time of the last update.

        New blocks use it at once; the data keys of old ones are rewrapped by a job. Of two calls at the same time the
        first wins, and both answer what it made of the database. Raises NotFound, Invalid for the key, KeyUnusable,
        Unavailable.
        """
        old = self.database(name)
        checks.check_kms_key(kms_key_id)
        if old.kms_key_id == kms_key_id:
            return old
        row, key = self.database_keys.make(name, kms_key_id)
        if row.kms_key_id == old.kms_key_id:
            # An alias of the key it has.
            return old
        with self._file.changing:
            if self.database(name) is not old:
                return self.database(name)
            new = replace(old, kms_key_id=row.kms_key_id, updated_ns=self._clock.now_ns())
            with self._file.transaction() as connection:
                of = tables.DATABASES
                chosen = of.update().where(of.c.account == self._account, of.c.name == name)
                connection.execute(chosen, tables.database_row(self._account, new))
                self.database_keys.insert(connection, row)
            self.database_keys.add(row, key)
            with self._lock:
                self._databases[name] = new
        return new

    def delete_database(self, name: str) -> None:
        """Delete an empty database. Raises NotFound, Invalid if it holds tables."""
        with self._file.changing:
            if self.table_count(name):
                raise Invalid(f"The database {name} cannot be deleted because it contains tables.")
            with self._file.transaction() as connection:
                of = tables.DATABASES
                self.database_keys.delete_rows(connection, name)
                connection.execute(of.delete().where(of.c.account == self._account, of.c.name == name))
                self._tags.delete_rows(connection, database_resource(name))
            self._tags.replace(database_resource(name), NO_TAGS)
            self.database_keys.forget(name)
            with self._lock:
                del self._databases[name], self._tables[name]
                self._database_names.remove(name)

    def create_table(
        self,
        database: str,
        name: str,
        retention: Retention | None,
        magnetic_writes: Mapping[str, object] | None,
        partition_key: Sequence[Mapping[str, str]] | None,
        tags: Mapping[str, str] = NO_TAGS,
    ) -> Table:
        """Make a table with an id never used before. The two structures are the wire's.

        Raises NotFound for the database, Invalid for a structure or a tag, Conflict for a taken name, QuotaExceeded.
        """
        with self._file.changing:
            self.database(database)
            checks.check_tags(tags)
            now_ns = self._clock.now_ns()
            table = Table(
                id=TableId(self._randomness(16).hex()),
                database=database,
                name=name,
                retention=retention or Retention(),
                created_ns=now_ns,
                updated_ns=now_ns,
                magnetic_writes=checks.checked_magnetic_writes(magnetic_writes),
                partition_key=checks.checked_partition_key(partition_key),
            )
            if name in self._tables[database]:
                raise Conflict(f"The table {name} already exists.")
            checks.check_quota("tables", len(self._table_names), self._limits.tables)
            with self._file.transaction() as connection:
                connection.execute(tables.TABLES.insert(), tables.table_row(self._account, table))
                self._tags.put_rows(connection, table_resource(table.id), tags)
            self._tags.replace(table_resource(table.id), tags)
            self.manifest.add_table(self._account, table.id)
            with self._lock:
                self._add_table(table)
        return table

    def table(self, database: str, name: str) -> Table:
        """Raises NotFound: for the database if that does not exist, else for the table."""
        with self._lock:
            self._database(database)
            table = self._tables[database].get(name)
        if table is None:
            raise NotFound("table", name)
        return table

    def table_by_id(self, id: TableId) -> Table:
        """Raises NotFound for a dropped table."""
        with self._lock:
            table = self._tables_by_id.get(id)
        if table is None:
            raise NotFound("table", id)
        return table

    def list_tables(self, database: str | None, after: str | tuple[str, str] | None, limit: int) -> list[Table]:
        """At most `limit` tables in order of database, then name, beginning behind `after`, which need not exist.

        `after` is a table's name, or with `database` None, all tables of the account, a pair of both names.
        Raises NotFound for the database.
        """
        with self._lock:
            if database is None:
                start, end = 0, len(self._table_names)
            else:
                self._database(database)
                start = bisect_left(self._table_names, (database, ""))
                end = start + len(self._tables[database])
            if after is not None:
                key = (database, after) if isinstance(after, str) and database is not None else after
                start = bisect_right(self._table_names, key, start, end)
            names = self._table_names[start : min(end, start + limit)]
            return [self._tables[of][name] for of, name in names]

    def update_table(
        self,
        database: str,
        name: str,
        retention: Retention | None,
        magnetic_writes: Mapping[str, object] | None,
        partition_key: Sequence[Mapping[str, str]] | None,
    ) -> Table:
        """Replace the structures given; with none given nothing changes, not even the time of the last update.

        Raises NotFound, Invalid for a structure and for another partition key than the table has.
        """
        with self._file.changing:
            old = self.table(database, name)
            new = replace(
                old,
                retention=retention or old.retention,
                magnetic_writes=checks.checked_magnetic_writes(magnetic_writes) or old.magnetic_writes,
                partition_key=checks.updated_partition_key(
                    old.partition_key, checks.checked_partition_key(partition_key)
                ),
            )
            if retention is None and magnetic_writes is None and partition_key is None:
                return old
            new = replace(new, updated_ns=self._clock.now_ns())
            with self._file.transaction() as connection:
                connection.execute(tables.TABLES.update().where(self._is(new)), tables.table_row(self._account, new))
            with self._lock:
                self._tables[database][name] = self._tables_by_id[new.id] = new
        return new

    def delete_table(self, database: str, name: str) -> TableId:
        """Drop a table and all its manifest. Returns the id, by which the store drops its files. Raises NotFound."""
        with self._file.changing:
            table = self.table(database, name)
            with self._file.transaction() as connection:
                self.manifest.delete_rows(connection, table.id)
                self._tags.delete_rows(connection, table_resource(table.id))
                connection.execute(tables.TABLES.delete().where(self._is(table)))
            self._tags.replace(table_resource(table.id), NO_TAGS)
            with self._lock:
                del self._tables[database][name], self._tables_by_id[table.id]
                del self._table_names[bisect_left(self._table_names, (database, name))]
            self.manifest.forget_table(table.id)
        return table.id

    def tags(self, database: str, table: str | None) -> dict[str, str]:
        """The tags of a database, or of one of its tables, by key. Raises NotFound."""
        return self._tags.of(self._resource(database, table))

    def tag(self, database: str, table: str | None, tags: Mapping[str, str]) -> None:
        """Add tags; a key that is there gets the new value. Raises NotFound, Invalid, QuotaExceeded."""
        with self._file.changing:
            self._tags.add(self._file, self._resource(database, table), tags)

    def untag(self, database: str, table: str | None, keys: Sequence[str]) -> None:
        """Remove the tags of some keys, which need not be there. Raises NotFound."""
        with self._file.changing:
            self._tags.remove(self._file, self._resource(database, table), keys)

    def _resource(self, database: str, table: str | None) -> str:
        if table is None:
            return database_resource(self.database(database).name)
        return table_resource(self.table(database, table).id)

    def _load(self, kms_arn: str, default_kms_key: str | None) -> None:
        with self._file.transaction() as connection:
            self._default_kms_key = default_kms_key or self._load_default_kms_key(connection, kms_arn)
            for row in tables.read(connection, tables.DATABASES):
                if row["account"] == self._account:
                    self._add_database(tables.database_of(row))
            for row in tables.read(connection, tables.TABLES):
                if row["account"] == self._account:
                    self._add_table(tables.table_of(row))
            self._tags.load(connection)
            self.query_account.load(connection)
            self.scheduled.load(connection)
            self.batch_loads.load(connection)
            blocks = ((table, block) for table in self._tables_by_id for block in self.manifest.load(table).blocks)
            self.database_keys.load(connection, (f"{table}/{block.id}" for table, block in blocks))

    def _load_default_kms_key(self, connection: sa.Connection, kms_arn: str) -> str:
        """The ARN of the account's default key, made when the account is first seen and never changed."""
        for row in tables.read(connection, tables.PROPERTIES):
            if (row["account"], row["name"]) == (self._account, _DEFAULT_KMS_KEY):
                return str(row["value"])
        value = kms_arn + str(UUID(bytes=self._randomness(16), version=4))
        row = {"account": self._account, "name": _DEFAULT_KMS_KEY, "value": value}
        connection.execute(tables.PROPERTIES.insert(), tables.sealed(tables.PROPERTIES, row))
        return value

    def _add_database(self, database: Database) -> None:
        self._databases[database.name] = database
        self._tables[database.name] = {}
        insort(self._database_names, database.name)

    def _add_table(self, table: Table) -> None:
        self._tables[table.database][table.name] = self._tables_by_id[table.id] = table
        insort(self._table_names, (table.database, table.name))

    def _database(self, name: str) -> Database:
        database = self._databases.get(name)
        if database is None:
            raise NotFound("database", name)
        return database

    def _database_of(self, table: TableId) -> str:
        return self.table_by_id(table).database

    def _is(self, table: Table) -> sa.ColumnElement[bool]:
        return sa.and_(tables.TABLES.c.account == self._account, tables.TABLES.c.id == table.id)
