"""A master key that this process holds: read from a file of the data folder, or given by the environment.

`providers.py` chooses. Every `KmsKeyId` is only a name to it: the one master key wraps the keys of all databases, and
no key of it is ever disabled. The file is drawn in docs/format/catalog.md.
"""

from __future__ import annotations

import math
import zlib
from pathlib import Path

from cryptography.exceptions import InvalidTag

from headwater.catalog.keys import KeyProvider, Wrapped, WrongKey
from headwater.errors import Corrupt, Invalid, NewerFormat
from headwater.files import Files
from headwater.sealing import KEY_BYTES, Randomness, SealingKey

_MAGIC = "headwater-master-key"
_FORMAT_VERSION = 1


class GivenKey(KeyProvider):
    """A master key of 32 bytes."""

    def __init__(self, key: bytes, name: str, randomness: Randomness) -> None:
        self.name = name
        self.default_kms_key_id = None
        self.lease_s = math.inf
        self._key = key
        self._randomness = randomness

    def create(self) -> None:
        """It is given."""

    def wrap(self, key: bytes, kms_key_id: str | None, purpose: str) -> Wrapped:
        return Wrapped(kms_key_id or "", self._master().seal(key, _bound(kms_key_id, purpose), self._randomness))

    def unwrap(self, wrapped: bytes, kms_key_id: str | None, purpose: str) -> bytes:
        try:
            return self._master().unseal(wrapped, _bound(kms_key_id, purpose))
        except InvalidTag as error:
            raise WrongKey(f"The key for {purpose} was not wrapped by {self.name}.") from error

    def _master(self) -> SealingKey:
        return SealingKey(self._key)


class FileKey(GivenKey):
    """A master key in a file of its own, made at the first start. Read when it is first needed."""

    def __init__(self, files: Files, path: Path, randomness: Randomness) -> None:
        super().__init__(b"", str(path), randomness)
        self._files = files
        self._path = path

    def create(self) -> None:
        """A first start that was cut short after this leaves the file: the next one goes on with it."""
        if not self._files.exists(self._path, site="keyring.exists"):
            key = self._randomness(KEY_BYTES)
            text = f"{_MAGIC} {_FORMAT_VERSION} {key.hex()} {zlib.crc32(key):08x}\n"
            self._files.write_file(self._path, text.encode(), site="keyring.write")

    def _master(self) -> SealingKey:
        if not self._key:
            self._key = self._read()
        return super()._master()

    def _read(self) -> bytes:
        path = self._path
        try:
            text = self._files.read(path, site="keyring.read").decode("ascii", "replace")
        except FileNotFoundError as error:
            message = f"The master key {path} is missing; without it this data folder cannot be read."
            raise Invalid(message) from error
        except OSError as error:
            raise Invalid(f"The master key {path} cannot be read: {error}") from error
        fields = text.split()
        if len(fields) == 4 and fields[0] == _MAGIC and fields[1].isdigit() and int(fields[1]) > _FORMAT_VERSION:
            raise NewerFormat(f"The master key {path} has format version {fields[1]}, this release knows 1.")
        if len(fields) != 4 or fields[:2] != [_MAGIC, str(_FORMAT_VERSION)]:
            raise Corrupt(f"{path} is not a master key.")
        try:
            key = bytes.fromhex(fields[2])
        except ValueError as error:
            raise Corrupt(f"{path} is not a master key.") from error
        if len(key) != KEY_BYTES or fields[3] != f"{zlib.crc32(key):08x}":
            raise Corrupt(f"The master key {path} fails its checksum.")
        return key


def _bound(kms_key_id: str | None, purpose: str) -> str:
    return f"{purpose}/{kms_key_id or 'master'}"
