"""Tags of databases, tables and scheduled queries: kept in the catalog's file, answered from memory.

`catalog.Catalog` opens this and knows what a resource is; here it is an opaque text. Whoever changes tags holds
`CatalogFile.changing`, runs the transaction, and then calls the method that puts the change into memory.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

import sqlalchemy as sa

from headwater.catalog import checks, tables
from headwater.catalog.sqlite import CatalogFile
from headwater.model.table import TableId


def database_resource(name: str) -> str:
    return f"database/{name}"


def table_resource(id: TableId) -> str:
    """By id: a table made again under an old name has nothing of the old one."""
    return f"table/{id}"


def scheduled_query_resource(id: str) -> str:
    """By the name with its suffix, which is never used again."""
    return f"scheduled-query/{id}"


class Tags:
    """The tags of every resource of one account, by key. Keys are case sensitive."""

    def __init__(self, account: str) -> None:
        self._account = account
        self._lock = threading.Lock()
        self._tags: dict[str, dict[str, str]] = {}

    def load(self, connection: sa.Connection) -> None:
        """Read all of them. Raises Corrupt."""
        found: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for row in tables.read(connection, tables.TAGS):
            if row["account"] == self._account:
                found[row["resource"]][row["key"]] = row["value"]
        self._tags = dict(found)

    def of(self, resource: str) -> dict[str, str]:
        with self._lock:
            return dict(self._tags.get(resource, {}))

    def add(self, file: CatalogFile, resource: str, tags: Mapping[str, str]) -> None:
        """Add tags, durably; a key that is there gets the new value. Raises Invalid, QuotaExceeded."""
        checks.check_tags(tags)
        changed = {**self.of(resource), **tags}
        checks.check_tag_count(len(changed))
        with file.transaction() as connection:
            self.put_rows(connection, resource, tags)
        self.replace(resource, changed)

    def remove(self, file: CatalogFile, resource: str, keys: Collection[str]) -> None:
        """Remove the tags of some keys, which need not be there, durably."""
        with file.transaction() as connection:
            self.delete_rows(connection, resource, keys)
        self.replace(resource, {key: value for key, value in self.of(resource).items() if key not in keys})

    def put_rows(self, connection: sa.Connection, resource: str, tags: Mapping[str, str]) -> None:
        """Write tags; a key that is there gets the new value."""
        self.delete_rows(connection, resource, tags)
        rows = [tables.tag_row(self._account, resource, key, value) for key, value in tags.items()]
        if rows:
            connection.execute(tables.TAGS.insert(), rows)

    def delete_rows(self, connection: sa.Connection, resource: str, keys: Iterable[str] | None = None) -> None:
        """Delete the tags of some keys, which need not be there, or without `keys` all of the resource."""
        of = tables.TAGS.c
        chosen = [of.account == self._account, of.resource == resource]
        if keys is not None:
            chosen.append(of.key.in_(list(keys)))
        connection.execute(tables.TAGS.delete().where(*chosen))

    def replace(self, resource: str, tags: Mapping[str, str]) -> None:
        """In memory: the resource has these tags and no others."""
        with self._lock:
            if tags:
                self._tags[resource] = dict(tags)
            else:
                self._tags.pop(resource, None)
