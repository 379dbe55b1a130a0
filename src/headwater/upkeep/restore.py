"""A data folder made from a backup: every file verified while it is copied, and live only when all of them are whole.

`cli/restore` calls it. Needs no key; the server that opens the folder does. The backup stays as it is.
"""

from __future__ import annotations

from pathlib import Path

from headwater.errors import Corrupt, Invalid, Unavailable
from headwater.files import Files
from headwater.storage.verify import hash_file
from headwater.upkeep.contents import Contents, copy_file, read_contents
from headwater.upkeep.cut import check_vacant, made_aside


def verify(files: Files, backup: Path) -> tuple[Contents, list[str]]:
    """What a backup should have, and which of its files are damaged. Raises Invalid, Corrupt, NewerFormat."""
    contents = read_contents(files, backup)
    wrong = []
    for file in contents.files:
        try:
            found = hash_file(files, backup / file.path)
        except OSError as error:
            wrong.append(f"{file.path} cannot be read: {error.strerror}")
            continue
        if found != (file.sha256, file.bytes):
            wrong.append(f"{file.path} is not what was backed up")
    return contents, wrong


def restore(files: Files, backup: Path, data: Path) -> Contents:
    """Make the folder `data`, whole and durable or not at all.

    Raises Conflict if there is one, Invalid, NewerFormat, Unavailable for want of room, OSError; Corrupt for a backup
    that is damaged, which names every file that is.
    """
    check_vacant(files, data)
    if backup in (data, *data.parents):
        raise Invalid(f"{data} is in the backup.")
    contents = read_contents(files, backup)
    with made_aside(files, data, "restore") as aside:
        _require_room(files, aside, contents.bytes)
        _copy(files, backup, aside, contents)
    return contents


def _copy(files: Files, backup: Path, aside: Path, contents: Contents) -> None:
    damaged = []
    for file in contents.files:
        target = aside / file.path
        files.make_directory(target.parent, site="restore.folder")
        try:
            found = copy_file(files, backup / file.path, target)
        except FileNotFoundError:
            found = None
        if found != (file.sha256, file.bytes):
            damaged.append(file.path)
    if damaged:
        raise Corrupt(f"The backup {backup} is damaged; not what was backed up: {', '.join(damaged)}")
    for folder in sorted({(aside / file.path).parent for file in contents.files}):
        files.sync_directory(folder, site="restore.sync")


def _require_room(files: Files, folder: Path, needed_bytes: int) -> None:
    free_bytes = files.free_bytes(folder, site="restore.room")
    if free_bytes < needed_bytes:
        raise Unavailable(f"The disk of {folder} has room for {free_bytes} bytes; the backup has {needed_bytes}.")
