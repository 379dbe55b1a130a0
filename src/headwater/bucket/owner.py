"""Whose the objects under a prefix are, and whether the store behind them can be relied on: asked once, at start.

`files.py` calls it before the first block is looked for. One data folder owns one prefix: at its start it removes what
its manifest does not name, so a second folder that came to the same prefix would remove the blocks of the first. The
mark of the owner is an object, made by a conditional put; the folder's half is a file of two lines, place and mark.
"""

from __future__ import annotations

from pathlib import Path

from headwater.errors import Invalid, Unavailable
from headwater.files import Files
from headwater.objects import ObjectExists, ObjectFault, ObjectMissing, ObjectRefused, Objects
from headwater.settings import BlockPlace

PLACE_FILE = "block_store"

_OWNER_KEY = "owner"


def prove(objects: Objects, place: BlockPlace, nonce: str) -> None:
    """See that a conditional put is one, and that we may read, list and delete.

    Raises Invalid when something is refused or not as it must be, Unavailable when the store does not answer.
    """
    key = place.key(f"probe-{nonce}")
    try:
        objects.check()
        objects.put_new(key, nonce.encode())
        try:
            objects.put_new(key, b"again")
        except ObjectExists:
            pass
        else:
            objects.delete(key)
            raise Invalid(f"{place} cannot hold blocks: the store ignores the condition of a conditional put.")
        found = objects.get(key), [stat.key for stat in objects.list(key)]
        objects.delete(key)
    except ObjectRefused as error:
        raise Invalid(
            f"{place} cannot hold blocks, which needs the right to put, get, list and delete: {error}"
        ) from error
    except ObjectFault as error:
        raise Unavailable(f"{place} cannot hold blocks: {error} {_reason(error)}") from error
    if found != (nonce.encode(), [key]) or objects.stat(key) is not None:
        raise Invalid(f"{place} cannot hold blocks: what is put there is not found, or not gone when deleted.")


def check_place(files: Files, data: Path, place: BlockPlace | None) -> None:
    """Raises Invalid when blocks of this folder lie elsewhere than the settings say."""
    recorded = _recorded(files, data)
    if recorded is not None and recorded[0] != str(place or ""):
        raise Invalid(f"The blocks of {data} lie in {recorded[0]}: block_store must say so.")


def check_owner(files: Files, data: Path, objects: Objects, place: BlockPlace) -> None:
    """Raises Invalid if the blocks under the place are another folder's; ObjectFault. The folder has its half."""
    recorded = _recorded(files, data)
    if recorded is None or _owner(objects, place) not in (None, recorded[1]):
        raise _taken(place)


def claim(files: Files, data: Path, objects: Objects, place: BlockPlace, nonce: str) -> None:
    """Have the place for this folder from now on. Raises Invalid if it is another's, ObjectFault, OSError."""
    recorded = _recorded(files, data)
    mark = recorded[1] if recorded is not None else nonce
    owner = _owner(objects, place)
    if owner not in (None, mark):
        raise _taken(place)
    if recorded is None:
        # Before the object: a folder that crashes in between finds its own mark missing, and makes it.
        files.write_file(data / PLACE_FILE, f"{place}\n{mark}\n".encode(), site="bucket.claim")
    if owner is None:
        try:
            objects.put_new(place.key(_OWNER_KEY), mark.encode())
        except ObjectExists:
            if _owner(objects, place) != mark:
                raise _taken(place) from None


def _recorded(files: Files, data: Path) -> tuple[str, str] | None:
    """Place and mark as the folder has them."""
    path = data / PLACE_FILE
    if not files.exists(path, site="bucket.place"):
        return None
    lines = files.read(path, site="bucket.place").decode("utf-8", "replace").split("\n")
    if len(lines) != 3 or lines[2]:
        raise Invalid(
            f"{path} is damaged: it must have two lines, where the blocks lie and what the object {_OWNER_KEY!r} holds."
        )
    return lines[0], lines[1]


def _owner(objects: Objects, place: BlockPlace) -> str | None:
    try:
        return objects.get(place.key(_OWNER_KEY)).decode("utf-8", "replace")
    except ObjectMissing:
        return None


def _taken(place: BlockPlace) -> Invalid:
    return Invalid(
        f"{place} belongs to another data folder, whose blocks this one would remove: name another prefix; or, if that "
        f"folder is gone for good, delete the object {place.key(_OWNER_KEY)}."
    )


def _reason(error: ObjectFault) -> str:
    """The client library's own words, on one line."""
    return " ".join(str(error.__cause__ or "").split())[:300]
