"""The root key of a data folder, and what the catalog keeps encrypted under it: access keys, the keys of page tokens
and of the log, and what other parts of the catalog `seal`.

`catalog.Catalog` opens this; `server` asks it for secrets, `wal` for the keys of segments. The root key itself is in
the catalog, wrapped by a key provider: that it can be unwrapped is how a wrong master key is told from the right one.
Nothing readable of a secret is on the disk. Drawn in docs/format/catalog.md.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from cryptography.exceptions import InvalidTag

from headwater.catalog import tables
from headwater.catalog.sqlite import CatalogFile
from headwater.errors import Corrupt, Invalid
from headwater.model.time import Clock
from headwater.sealing import KEY_BYTES, KEY_ID_BYTES, DataKey, DataKeys, Randomness, SealingKey

_ROOT_KEY = "root_key"
_TOKEN_KEY = "token_key"  # noqa: S105 - the name of a key, not a key
_LOG_KEY = "log_key"


class WrongKey(Corrupt):
    """What was to be unwrapped was not wrapped by this key for this purpose."""


class Wrapped(NamedTuple):
    """A key wrapped by a provider: `kms_key_id` is the name it has for the key that did it, as complete as it can."""

    kms_key_id: str
    data: bytes


class KeyProvider(Protocol):
    """Who holds the master keys and never gives them away: wraps our keys and unwraps them.

    `purpose` is bound to what is wrapped. A `kms_key_id` of None is the master key of the folder.
    """

    name: str
    """What a message calls the master key."""

    default_kms_key_id: str | None
    """The name of the master key as a `KmsKeyId`; None if it has none."""

    lease_s: float
    """How long an unwrapped key may be used before it must be unwrapped again."""

    def create(self) -> None:
        """Make the master key, if that is this provider's to do and it is not made yet. Before a folder's first use."""
        ...

    def wrap(self, key: bytes, kms_key_id: str | None, purpose: str) -> Wrapped:
        """Raises KeyUnusable, Unavailable; Invalid or Corrupt when the master key cannot be read."""
        ...

    def unwrap(self, wrapped: bytes, kms_key_id: str | None, purpose: str) -> bytes:
        """Raises WrongKey; and as `wrap`."""
        ...


class AccessKey(NamedTuple):
    """A new access key: shown once. It does not print its secret."""

    id: str
    secret: str

    def __repr__(self) -> str:
        return f"AccessKey(id={self.id!r}, secret=***)"


class LogKeys(DataKeys):
    """Keys of the log's segments, which hold records of every database of the account: wrapped under the log key."""

    def __init__(self, account: str, log_key: bytes, randomness: Randomness) -> None:
        self._account = account
        self._key = SealingKey(log_key)
        self._randomness = randomness

    def new(self, place: str) -> DataKey:
        context = self._context(place)
        key, wrapped = new_data_key(self._key, context, self._randomness)
        return DataKey(key, bytes(KEY_ID_BYTES) + wrapped, context.encode())

    def open(self, place: str, slot: bytes) -> DataKey:
        context = self._context(place)
        return DataKey(unwrapped(self._key, slot[KEY_ID_BYTES:], context), slot, context.encode())

    def check(self, place: str) -> None:
        """What was opened with the folder stays open."""

    def _context(self, place: str) -> str:
        return f"log/{self._account}/{place}"


class Keys:
    """Access keys of one account, decrypted in memory.

    `token_key` encrypts pagination tokens: 32 bytes, the same for the life of the catalog. `log` are those of segments.
    """

    def __init__(
        self,
        file: CatalogFile,
        account: str,
        clock: Clock,
        root: SealingKey,
        values: Mapping[str, bytes],
        secrets: dict[str, str],
        randomness: Randomness,
    ) -> None:
        self._file = file
        self._account = account
        self._clock = clock
        self._root = root
        self._secrets = secrets
        self._randomness = randomness
        self._lock = threading.Lock()
        self.token_key = values[_TOKEN_KEY]
        self.log = LogKeys(account, values[_LOG_KEY], randomness)

    @classmethod
    def open(
        cls, catalog: CatalogFile, provider: KeyProvider, account: str, clock: Clock, randomness: Randomness
    ) -> Keys:
        """Read the keys; at first start make them, and let the provider make the master key.

        Raises Invalid if the master key is missing or another one, Corrupt, NewerFormat, KeyUnusable, Unavailable;
        nothing is changed then.
        """
        with catalog.transaction() as connection:
            sealed = {row["name"]: row["value"] for row in tables.read(connection, tables.SECRETS)}
            rows = [row for row in tables.read(connection, tables.ACCESS_KEYS) if row["account"] == account]
        if not sealed:
            sealed = _make(catalog, provider, randomness)
        root = SealingKey(_unwrap_root(provider, sealed[_ROOT_KEY]))
        values = {name: unwrapped(root, sealed[name], name) for name in (_TOKEN_KEY, _LOG_KEY)}
        secrets = {row["id"]: unwrapped(root, row["secret"], _purpose(account, row["id"])).decode() for row in rows}
        return cls(catalog, account, clock, root, values, secrets, randomness)

    def create_access_key(self, randomness: Randomness) -> AccessKey:
        """Make and store an access key: 20 characters of id, 40 of secret, as AWS's are. Durable when returned."""
        key = AccessKey("AKIA" + base64.b32encode(randomness(10)).decode(), base64.b64encode(randomness(30)).decode())
        row = {
            "account": self._account,
            "id": key.id,
            "secret": self._root.seal(key.secret.encode(), _purpose(self._account, key.id), randomness),
            "created_ns": self._clock.now_ns(),
        }
        with self._file.transaction() as connection:
            connection.execute(tables.ACCESS_KEYS.insert(), tables.sealed(tables.ACCESS_KEYS, row))
        with self._lock:
            self._secrets[key.id] = key.secret
        return key

    def seal(self, value: bytes, purpose: str) -> bytes:
        """A value of the catalog that may not be read on the disk, encrypted for one purpose."""
        return self._root.seal(value, purpose, self._randomness)

    def unseal(self, sealed: bytes, purpose: str) -> bytes:
        """What `seal` was given. Raises Corrupt if it was not that, or for another purpose."""
        return unwrapped(self._root, sealed, purpose)

    def secret_of(self, access_key_id: str) -> str | None:
        """The secret of an access key, or None if there is no such key. No I/O."""
        with self._lock:
            return self._secrets.get(access_key_id)

    def access_key_ids(self) -> list[str]:
        with self._lock:
            return sorted(self._secrets)


def new_data_key(under: SealingKey, purpose: str, randomness: Randomness) -> tuple[bytes, bytes]:
    """A fresh key, and the same wrapped for that purpose."""
    key = randomness(KEY_BYTES)
    return key, under.seal(key, purpose, randomness)


def unwrapped(under: SealingKey, sealed: bytes, purpose: str) -> bytes:
    """A value of ours, read back. Raises Corrupt."""
    try:
        return under.unseal(sealed, purpose)
    except InvalidTag as error:
        raise Corrupt(f"keys: the encrypted value {purpose} is not what was written") from error


def _purpose(account: str, access_key_id: str) -> str:
    return f"access_key/{account}/{access_key_id}"


def _make(catalog: CatalogFile, provider: KeyProvider, randomness: Randomness) -> dict[str, bytes]:
    """The secrets of a new folder, durable. A first start cut short before has made the master key at most."""
    provider.create()
    root = randomness(KEY_BYTES)
    sealed = {_ROOT_KEY: provider.wrap(root, None, _ROOT_KEY).data}
    for name in (_TOKEN_KEY, _LOG_KEY):
        sealed[name] = SealingKey(root).seal(randomness(KEY_BYTES), name, randomness)
    with catalog.transaction() as connection:
        for name, value in sealed.items():
            connection.execute(tables.SECRETS.insert(), tables.sealed(tables.SECRETS, {"name": name, "value": value}))
    return sealed


def _unwrap_root(provider: KeyProvider, wrapped: bytes) -> bytes:
    """Recognise a wrong master key before anything is read with it. Source: reliability.md 6."""
    try:
        return provider.unwrap(wrapped, None, _ROOT_KEY)
    except WrongKey as error:
        raise Invalid(f"{provider.name} is not the master key that this data folder was made with.") from error
