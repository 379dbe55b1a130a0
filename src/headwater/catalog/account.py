"""The account's settings of the query service: one value in the catalog's file, answered from memory.

`catalog.Catalog` opens this; `server` asks it. The rules of a change are `model/account`'s.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict

import sqlalchemy as sa

from headwater.catalog import tables
from headwater.catalog.sqlite import CatalogFile
from headwater.model.account import AccountSettings, Notification, ProvisionedCapacity

_NAME = "account_settings"


class Account:
    """The settings of one account. Any thread may call."""

    def __init__(self, file: CatalogFile, account: str) -> None:
        self._file = file
        self._account = account
        self._settings = AccountSettings()

    def load(self, connection: sa.Connection) -> None:
        """Read them. Raises Corrupt."""
        for row in tables.read(connection, tables.PROPERTIES):
            if (row["account"], row["name"]) == (self._account, _NAME):
                self._settings = _settings_of(json.loads(row["value"]))

    @property
    def settings(self) -> AccountSettings:
        return self._settings

    def change(self, changed: Callable[[AccountSettings], AccountSettings]) -> AccountSettings:
        """Put `changed(settings)` in the place of the settings, durably. What it raises leaves them as they are."""
        of = tables.PROPERTIES
        with self._file.changing:
            settings = changed(self._settings)
            row = {"account": self._account, "name": _NAME, "value": json.dumps(asdict(settings))}
            with self._file.transaction() as connection:
                connection.execute(of.delete().where(of.c.account == self._account, of.c.name == _NAME))
                connection.execute(of.insert(), tables.sealed(of, row))
            self._settings = settings
        return settings


def _settings_of(value: dict[str, object]) -> AccountSettings:
    """What `asdict` made of the settings."""
    match value:
        case {"max_query_tcu": int(tcu), "provisioned": {"query_tcu": int(provisioned), "notification": notification}}:
            told = Notification(**notification) if isinstance(notification, dict) else None
            return AccountSettings(tcu, ProvisionedCapacity(provisioned, told))
        case {"max_query_tcu": int(tcu)}:
            return AccountSettings(tcu)
    raise AssertionError("the row's checksum says that this is what we wrote")
