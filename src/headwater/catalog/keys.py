"""The master key, and what the catalog keeps encrypted under it: access keys and the key of pagination tokens.

`catalog.Catalog` opens this; `server` asks it for secrets. Nothing readable of a secret is on the disk: only the
master key's own file, which is drawn in docs/format/catalog.md.
"""

from __future__ import annotations

import base64
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from headwater.catalog import tables
from headwater.catalog.sqlite import CatalogFile
from headwater.errors import Corrupt, Invalid, NewerFormat
from headwater.files import Files
from headwater.model.time import Clock

Randomness = Callable[[int], bytes]
"""Gives that many random bytes: `secrets.token_bytes`, or a seeded source in tests."""

MASTER_KEY_FILE = "master.key"

_KEY_BYTES = 32
_NONCE_BYTES = 12
_MAGIC = "headwater-master-key"
_FORMAT_VERSION = 1
_CHECK = "check"
_CHECK_VALUE = b"headwater"
_TOKEN_KEY = "token_key"  # noqa: S105 - the name of a key, not a key


class AccessKey(NamedTuple):
    """A new access key: shown once. It does not print its secret."""

    id: str
    secret: str

    def __repr__(self) -> str:
        return f"AccessKey(id={self.id!r}, secret=***)"


@dataclass(frozen=True, slots=True)
class MasterKey:
    """Encrypts and authenticates small values; what a value is for is part of it, so that none can be moved.

    Nonces are random: one key encrypts a few thousand values in its life, far from where two could meet.
    """

    key: bytes = field(repr=False)

    def seal(self, value: bytes, purpose: str, randomness: Randomness) -> bytes:
        """Nonce and AES-256-GCM ciphertext of `value`."""
        nonce = randomness(_NONCE_BYTES)
        return nonce + AESGCM(self.key).encrypt(nonce, value, purpose.encode())

    def unseal(self, data: bytes, purpose: str) -> bytes:
        """Raises InvalidTag if `data` was not sealed by this key for this purpose."""
        return AESGCM(self.key).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], purpose.encode())


class Keys:
    """Access keys of one account, decrypted in memory.

    `token_key` encrypts pagination tokens: 32 bytes, the same for the life of the catalog.
    """

    def __init__(
        self,
        file: CatalogFile,
        account: str,
        clock: Clock,
        master_key: MasterKey,
        token_key: bytes,
        secrets: dict[str, str],
    ) -> None:
        self._file = file
        self._account = account
        self._clock = clock
        self._master_key = master_key
        self._secrets = secrets
        self._lock = threading.Lock()
        self.token_key = token_key

    @classmethod
    def open(
        cls, catalog: CatalogFile, files: Files, directory: Path, account: str, clock: Clock, randomness: Randomness
    ) -> Keys:
        """Read the keys; at first start make the master key and the token key.

        Raises Invalid if the master key is missing or another one, Corrupt, NewerFormat; nothing is changed then.
        """
        with catalog.transaction() as connection:
            sealed = {row["name"]: row["value"] for row in tables.read(connection, tables.SECRETS)}
            rows = [row for row in tables.read(connection, tables.ACCESS_KEYS) if row["account"] == account]
        path = directory / MASTER_KEY_FILE
        if not sealed:
            master_key = _make_master_key(files, path, randomness)
            sealed = _make_secrets(catalog, master_key, randomness)
        else:
            master_key = _read_master_key(files, path)
        _check(master_key, sealed[_CHECK], path)
        return cls(
            catalog,
            account,
            clock,
            master_key,
            _open(master_key, sealed[_TOKEN_KEY], _TOKEN_KEY),
            {row["id"]: _open(master_key, row["secret"], _purpose(account, row["id"])).decode() for row in rows},
        )

    def create_access_key(self, randomness: Randomness) -> AccessKey:
        """Make and store an access key: 20 characters of id, 40 of secret, as AWS's are. Durable when returned."""
        key = AccessKey("AKIA" + base64.b32encode(randomness(10)).decode(), base64.b64encode(randomness(30)).decode())
        row = {
            "account": self._account,
            "id": key.id,
            "secret": self._master_key.seal(key.secret.encode(), _purpose(self._account, key.id), randomness),
            "created_ns": self._clock.now_ns(),
        }
        with self._file.transaction() as connection:
            connection.execute(tables.ACCESS_KEYS.insert(), tables.sealed(tables.ACCESS_KEYS, row))
        with self._lock:
            self._secrets[key.id] = key.secret
        return key

    def secret_of(self, access_key_id: str) -> str | None:
        """The secret of an access key, or None if there is no such key. No I/O."""
        with self._lock:
            return self._secrets.get(access_key_id)

    def access_key_ids(self) -> list[str]:
        with self._lock:
            return sorted(self._secrets)


def _purpose(account: str, access_key_id: str) -> str:
    return f"access_key/{account}/{access_key_id}"


def _make_master_key(files: Files, path: Path, randomness: Randomness) -> MasterKey:
    """A first start cut short after this step leaves the file: the next one goes on with it."""
    if files.exists(path, site="catalog.master_key.exists"):
        return _read_master_key(files, path)
    key = randomness(_KEY_BYTES)
    text = f"{_MAGIC} {_FORMAT_VERSION} {key.hex()} {zlib.crc32(key):08x}\n"
    files.write_file(path, text.encode(), site="catalog.master_key.write")
    return MasterKey(key)


def _read_master_key(files: Files, path: Path) -> MasterKey:
    if not files.exists(path, site="catalog.master_key.exists"):
        raise Invalid(f"The master key {path} is missing; without it this data folder cannot be read.")
    fields = files.read(path, site="catalog.master_key.read").decode("ascii", "replace").split()
    if len(fields) == 4 and fields[0] == _MAGIC and fields[1].isdigit() and int(fields[1]) > _FORMAT_VERSION:
        raise NewerFormat(f"The master key {path} has format version {fields[1]}, this release knows 1.")
    if len(fields) != 4 or fields[:2] != [_MAGIC, str(_FORMAT_VERSION)]:
        raise Corrupt(f"{path} is not a master key.")
    try:
        key = bytes.fromhex(fields[2])
    except ValueError as error:
        raise Corrupt(f"{path} is not a master key.") from error
    if len(key) != _KEY_BYTES or fields[3] != f"{zlib.crc32(key):08x}":
        raise Corrupt(f"The master key {path} fails its checksum.")
    return MasterKey(key)


def _make_secrets(catalog: CatalogFile, master_key: MasterKey, randomness: Randomness) -> dict[str, bytes]:
    values = {_CHECK: _CHECK_VALUE, _TOKEN_KEY: randomness(_KEY_BYTES)}
    sealed = {name: master_key.seal(value, name, randomness) for name, value in values.items()}
    with catalog.transaction() as connection:
        for name, value in sealed.items():
            connection.execute(tables.SECRETS.insert(), tables.sealed(tables.SECRETS, {"name": name, "value": value}))
    return sealed


def _check(master_key: MasterKey, sealed: bytes, path: Path) -> None:
    """Recognise a wrong master key before anything is read with it. Source: reliability.md 6."""
    try:
        master_key.unseal(sealed, _CHECK)
    except InvalidTag as error:
        raise Invalid(f"{path} is not the master key that this data folder was made with.") from error


def _open(master_key: MasterKey, sealed: bytes, purpose: str) -> bytes:
    try:
        return master_key.unseal(sealed, purpose)
    except InvalidTag as error:
        raise Corrupt(f"catalog: the encrypted value {purpose} is not what was written") from error
