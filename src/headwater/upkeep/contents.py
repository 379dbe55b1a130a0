"""`backup.json`: which files a backup has, how long they are and their hashes; and copying files while hashing them.

`cut` writes it last, `restore` believes nothing else. Drawn in docs/format/backup.md.

    line 1    JSON: format, headwater, made_ns, last_sequence, records_in_blocks, files: [[path, bytes, sha256], ...]
    line 2    SHA-256 of line 1, hexadecimal
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from pathlib import Path, PurePosixPath

import msgspec

from headwater.errors import Corrupt, Invalid, NewerFormat
from headwater.files import Appender, Files

CONTENTS_FILE = "backup.json"
FORMAT_VERSION = 1

_PIECE_BYTES = 1024 * 1024


class CopiedFile(msgspec.Struct, frozen=True, array_like=True):
    """`path` is relative to the folder, with slashes."""

    path: str
    bytes: int
    sha256: str


class Contents(msgspec.Struct, frozen=True):
    """`last_sequence` is of the last entry of the log in it; `made_ns` when it was begun."""

    format: int
    headwater: str
    made_ns: int
    last_sequence: int
    records_in_blocks: int
    files: list[CopiedFile]

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)


class _Version(msgspec.Struct):
    format: int


def write_contents(files: Files, folder: Path, contents: Contents) -> None:
    """Durable on return. Raises OSError."""
    line = msgspec.json.encode(contents)
    text = line + b"\n" + hashlib.sha256(line).hexdigest().encode() + b"\n"
    files.write_file(folder / CONTENTS_FILE, text, site="contents.write")


def read_contents(files: Files, folder: Path) -> Contents:
    """Raises Invalid if this is no backup, Corrupt, NewerFormat, OSError."""
    path = folder / CONTENTS_FILE
    if not files.exists(path, site="contents.exists"):
        raise Invalid(f"{folder} is not a whole backup: it has no {CONTENTS_FILE}.")
    line, _, rest = files.read(path, site="contents.read").partition(b"\n")
    try:
        version = msgspec.json.decode(line, type=_Version).format
        if version > FORMAT_VERSION:
            raise NewerFormat(f"{path} has format version {version}; {FORMAT_VERSION} is known.")
        contents = msgspec.json.decode(line, type=Contents)
    except msgspec.DecodeError as error:
        raise Corrupt(f"{path} cannot be read: {error}") from error
    if rest != hashlib.sha256(line).hexdigest().encode() + b"\n":
        raise Corrupt(f"{path} fails its checksum.")
    for file in contents.files:
        parts = PurePosixPath(file.path).parts
        if file.path.startswith("/") or ".." in parts or not parts:
            raise Corrupt(f"{path} names {file.path}, which is not in a backup.")
    return contents


def copy_file(files: Files, source: Path, target: Path) -> tuple[str, int]:
    """Copy a file that nobody changes; content durable on return, the name not. Its SHA-256, hexadecimal, and length.

    Raises OSError.
    """
    digest = hashlib.sha256()
    with closing(files.open_source(source, site="copy.read")) as original:
        copy = files.create(target, site="copy.create")
        try:
            appender = Appender(copy, "copy.write")
            for offset in range(0, original.size_bytes, _PIECE_BYTES):
                data = original.read_at(offset, _PIECE_BYTES)
                appender.append(data)
                digest.update(data)
            copy.datasync(site="copy.sync")
        finally:
            copy.close(site="copy.close")
        return digest.hexdigest(), original.size_bytes
