"""Object stores: whole objects by key in named buckets, of an S3-compatible endpoint or of a local folder.

The rooms that write reports, results and blocks outside, or read what users put there, are handed a `Buckets`; none
of them knows which of the two it is. Objects appear whole or not at all. What an object holds is the caller's matter.
The client library is `obstore`; its exceptions end here. Source: design.md 1, reliability.md 6 "Outside world".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, Protocol, cast

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError
from obstore.store import LocalStore, ObjectStore, S3Store

from headwater.errors import Fault, Invalid

_CONNECT_TIMEOUT = timedelta(seconds=5)
_RETRY_TIMEOUT = timedelta(seconds=20)
_RETRIES = 4
_DELETED_AT_ONCE = 1_000
_BUCKET_NAME = re.compile(r"[a-z0-9][.a-z0-9-]{1,61}[a-z0-9]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class ObjectFault(Fault):
    """An object store did not do what was asked. `is_user` when the user can mend it: bucket, key or right missing."""

    is_user = False


class ObjectRefused(ObjectFault):
    """The bucket does not exist, or our credentials may not do this there."""

    is_user = True


class ObjectMissing(ObjectFault):
    """There is no object of this key, or no bucket of this name: a store does not always tell which."""

    is_user = True


class ObjectExists(ObjectFault):
    """A conditional put found an object of that key."""


class ObjectStat(NamedTuple):
    """What is known of an object without reading it. `etag` changes with the content; quotes are part of it."""

    key: str
    bytes: int
    etag: str | None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An S3-compatible service. Without a key id requests go unsigned. Prints no secret."""

    url: str
    region: str
    access_key_id: str = ""
    secret_access_key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Encryption:
    """How the store is to encrypt what is put: under its own keys (SSE_S3), or under `kms_key_id` (SSE_KMS)."""

    option: Literal["SSE_S3", "SSE_KMS"] = "SSE_S3"
    kms_key_id: str = ""


class Buckets(Protocol):
    """Where buckets are found."""

    def bucket(self, name: str, encryption: Encryption | None = None) -> Objects:
        """The objects of one bucket, which need not exist: calls on it will tell. No request is made."""
        ...


def key_below(prefix: str | None, *parts: str) -> str:
    """A key under a prefix that users gave: one slash between them, whether or not the prefix ends in some."""
    return "/".join(part for part in ((prefix or "").rstrip("/"), *parts) if part)


def check_key(key: str) -> None:
    """Raise ObjectRefused for a key that cannot be used here, though S3 has such: a folder cannot hold all of them, and
    the library would take some for others.
    """
    if any(part in ("", ".", "..") for part in key.split("/")) or _CONTROL.search(key):
        raise ObjectRefused(
            f"The key {key!r} cannot be used: it has a part between slashes that is empty, '.' or '..', or a control "
            "character."
        )


def check_prefix(prefix: str | None) -> None:
    """As `check_key`, for what keys are to begin with: nothing, a folder, or a part of a name. Raises ObjectRefused."""
    above = (prefix or "").rstrip("/")
    if above:
        check_key(above)


def _check_bucket(name: str) -> None:
    """Raise ObjectRefused for what no bucket may be called; an address in a name could lead elsewhere."""
    if not _BUCKET_NAME.fullmatch(name) or ".." in name or _is_address(name):
        raise ObjectRefused(f"The bucket {name} does not exist: it is no name of a bucket.")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


class Objects:
    """One bucket. Every call may raise ObjectRefused, ObjectMissing, or ObjectFault for what may pass by itself."""

    def __init__(self, store: ObjectStore, name: str) -> None:
        self._store = store
        self._name = name

    def check(self) -> None:
        """Find out whether the bucket exists and lets us look into it. Raises ObjectRefused if not."""
        with self._faults():
            next(iter(obstore.list(self._store, chunk_size=1)), None)

    def put(self, key: str, data: bytes) -> None:
        """Store an object, over one that may have the key."""
        with self._faults(key):
            obstore.put(self._store, key, data)

    def put_new(self, key: str, data: bytes) -> None:
        """Store an object if there is none of that key, in one step. Raises ObjectExists."""
        with self._faults(key):
            obstore.put(self._store, key, data, mode="create", use_multipart=False)

    @contextmanager
    def writer(self, key: str) -> Iterator[BinaryIO]:
        """A file to write one object through, in flat memory; the object appears when the block ends without error."""
        with self._faults(key):
            file = obstore.open_writer(self._store, key)
            yield cast(BinaryIO, file)
            # Not in a `finally`: closing is what makes the object appear.
            file.close()

    def get(self, key: str) -> bytes:
        """A whole object."""
        with self._faults(key):
            return bytes(obstore.get(self._store, key).bytes())

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """`length` bytes of an object from `start`; fewer where it ends before."""
        with self._faults(key):
            return bytes(obstore.get_range(self._store, key, start=start, length=length))

    def parts(self, key: str, part_bytes: int = 8 * 1024 * 1024) -> Iterator[bytes]:
        """An object from its begin to its end, in parts of about `part_bytes`."""
        with self._faults(key):
            for part in obstore.get(self._store, key).stream(min_chunk_size=part_bytes):
                yield bytes(part)

    def stat(self, key: str) -> ObjectStat | None:
        """What the store knows of an object, None when there is none of that key."""
        try:
            with self._faults(key):
                found = obstore.head(self._store, key)
        except ObjectMissing:
            return None
        return ObjectStat(found["path"], found["size"], found["e_tag"])

    def list(self, prefix: str = "") -> list[ObjectStat]:
        """Every object whose key begins with `prefix`, in ascending order of key."""
        folder = prefix.rpartition("/")[0].rstrip("/")
        with self._faults(folder):
            return sorted(
                ObjectStat(found["path"], found["size"], found["e_tag"])
                for page in obstore.list(self._store, prefix=folder or None)
                for found in page
                if found["path"].startswith(prefix)
            )

    def delete(self, *keys: str) -> None:
        """Remove objects; one that is not there is no fault."""
        for start in range(0, len(keys), _DELETED_AT_ONCE):
            some = list(keys[start : start + _DELETED_AT_ONCE])
            try:
                with self._faults(*some):
                    obstore.delete(self._store, some)
            except ObjectMissing:
                # A folder's deletions end with the first key that is not there, whatever else is still to be done.
                for key in some:
                    with suppress(ObjectMissing), self._faults(key):
                        obstore.delete(self._store, key)

    @contextmanager
    def _faults(self, *keys: str) -> Iterator[None]:
        """Around a call of the library for these keys; the first one is told of."""
        key = keys[0] if keys else ""
        for named in filter(None, keys):
            check_key(named)
        try:
            yield
        except (NotFoundError, FileNotFoundError) as error:
            raise ObjectMissing(f"There is no object {key!r} in the bucket {self._name}.") from error
        except AlreadyExistsError as error:
            raise ObjectExists(f"The bucket {self._name} has an object {key!r} already.") from error
        except (PermissionDeniedError, UnauthenticatedError, PermissionError) as error:
            raise ObjectRefused(f"The bucket {self._name} cannot be used: access denied.") from error
        except BaseError as error:
            if "<Code>NoSuchBucket</Code>" in str(error):
                raise ObjectRefused(f"The bucket {self._name} does not exist.") from error
            raise ObjectFault(f"The bucket {self._name} could not be reached for {key!r}.") from error


class S3Buckets:
    """The buckets of one S3-compatible endpoint, addressed by path. Requests go to that endpoint only."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def bucket(self, name: str, encryption: Encryption | None = None) -> Objects:
        _check_bucket(name)
        endpoint = self._endpoint
        store = S3Store(
            name,
            config=_config(endpoint, encryption),
            client_options={"allow_http": endpoint.url.startswith("http://"), "connect_timeout": _CONNECT_TIMEOUT},
            retry_config={"max_retries": _RETRIES, "retry_timeout": _RETRY_TIMEOUT},
        )
        return Objects(store, name)


class FolderBuckets:
    """Buckets as folders of one folder: for a laptop, and where no object store is wanted. They must exist."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def bucket(self, name: str, encryption: Encryption | None = None) -> Objects:  # noqa: ARG002 - for the S3 twin
        _check_bucket(name)
        place = self._folder / name
        if not place.is_dir():
            raise ObjectRefused(f"The bucket {name} does not exist.")
        return Objects(LocalStore(place), name)


class NoBuckets:
    """No object store is configured."""

    def bucket(self, name: str, encryption: Encryption | None = None) -> Objects:  # noqa: ARG002 - for its twins
        raise ObjectRefused(f"The bucket {name} cannot be used: this server has no object_store setting.")


def buckets_at(url: str | None, region: str, credentials: str | None) -> Buckets:
    """The buckets of `config.ObjectSettings`; `credentials` is the text of an AWS shared-credentials file.

    Raises Invalid if that has no [default] keys.
    """
    if url is None:
        return NoBuckets()
    if url.startswith("file://"):
        return FolderBuckets(Path(url.removeprefix("file://")))
    if credentials is None:
        return S3Buckets(Endpoint(url, region))
    parser = ConfigParser(interpolation=None)
    try:
        parser.read_string(credentials)
        keys = parser["default"]
        endpoint = Endpoint(url, region, keys["aws_access_key_id"], keys["aws_secret_access_key"])
    except (ConfigParserError, KeyError) as error:
        raise Invalid("object_store_credentials is not a shared-credentials file with [default] keys") from error
    return S3Buckets(endpoint)


def _config(endpoint: Endpoint, encryption: Encryption | None) -> Any:
    """The library's S3Config, a type that exists for type checkers only."""
    config: dict[str, object] = {"endpoint": endpoint.url, "region": endpoint.region}
    if endpoint.access_key_id:
        config["access_key_id"] = endpoint.access_key_id
        config["secret_access_key"] = endpoint.secret_access_key
    else:
        config["skip_signature"] = True
    if encryption is not None:
        config["server_side_encryption"] = "AES256" if encryption.option == "SSE_S3" else "aws:kms"
        if encryption.option == "SSE_KMS":
            config["sse_kms_key_id"] = encryption.kms_key_id
    return config
