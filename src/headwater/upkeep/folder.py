"""A data folder that no server has open, opened for reading: its catalog in a copy, with the keys it leads to.

`check` and `describe` read through it, so that not even SQLite writes into the folder.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headwater.bucket.files import find_block_store
from headwater.catalog.catalog import CATALOG_FILE, Catalog
from headwater.catalog.survey import CatalogSurvey
from headwater.config import Config
from headwater.errors import Invalid, Unavailable
from headwater.files import Files, Lock
from headwater.instance import BLOCKS_FOLDER, LOCK_FILE, open_buckets
from headwater.keyring.providers import open_provider
from headwater.model.time import Clock

_SIDE_FILE = CATALOG_FILE + "-wal"


def require_folder(files: Files, data: Path) -> None:
    """Raises Invalid if this is no data folder."""
    if not files.exists(data / CATALOG_FILE, site="upkeep.exists"):
        raise Invalid(f"{data} is not a data folder: it has no {CATALOG_FILE}.")


def stored_files(files: Files, data: Path, config: Config, clock: Clock) -> Files:
    """The file system with the folder's blocks in it, also where they lie in a bucket. Raises Invalid, Unavailable."""
    buckets = open_buckets(files, config.objects)
    return find_block_store(files, data, data / BLOCKS_FOLDER, buckets, config.block_store, clock)


@contextmanager
def locked(files: Files, data: Path) -> Iterator[Lock]:
    """The folder, with no server on it meanwhile. Raises Invalid, Locked, Unavailable."""
    require_folder(files, data)
    try:
        lock = files.lock(data / LOCK_FILE, site="upkeep.lock")
    except OSError as error:
        raise Unavailable(f"{data} cannot be locked: {error}") from error
    try:
        yield lock
    finally:
        lock.release()


def copy_closed_catalog(files: Files, data: Path, to: Path) -> Path:
    """The catalog's files, byte for byte, in the folder `to`; for a folder that is locked. The copy's path."""
    for name in (CATALOG_FILE, _SIDE_FILE):
        if files.exists(data / name, site="upkeep.exists"):
            files.write_file(to / name, files.read(data / name, site="upkeep.read"), site="upkeep.copy")
    return to / CATALOG_FILE


def account_of(survey: CatalogSurvey, config: Config) -> str:
    """The account whose folder this is. Raises Invalid."""
    accounts = survey.accounts
    if config.server.account in accounts:
        return config.server.account
    if len(accounts) != 1:
        raise Invalid(f"The folder has keys of {len(accounts)} accounts; say which one with the setting account.")
    return next(iter(accounts))


def open_copied_catalog(files: Files, copy: Path, data: Path, account: str, config: Config, clock: Clock) -> Catalog:
    """The catalog in a copy, with keys from where the settings say; what it changes is the copy.

    Raises Invalid for a wrong master key, Corrupt, NewerFormat, KeyUnusable, Unavailable.
    """
    randomness = secrets.token_bytes
    provider = open_provider(config.keys, files, data, clock, randomness)
    return Catalog.open(files, copy.parent, provider, account, config.server.region, clock, randomness, config.limits)
