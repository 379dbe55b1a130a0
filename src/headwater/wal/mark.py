"""The mark of the log: up to which entry its segments may be missing, because a checkpoint covers them.

`wal/log` writes it, durably, before it removes segments, and looks at it when it opens: without it a log whose oldest
segments were lost looks like one that gave them up.

    offset  bytes  field (integers are unsigned, little-endian)
    ------  -----  --------------------------------------------------------------
         0      4  magic "HWMK"
         4      2  format version, 1
         6      8  sequence: entries up to it are not needed any more
        14      4  CRC-32 of bytes 0-13
"""

from __future__ import annotations

from pathlib import Path
from struct import Struct
from zlib import crc32

from headwater.errors import Corrupt, NewerFormat
from headwater.files import Files

MARK_FILE = "mark"
FORMAT_VERSION = 1

_MAGIC = b"HWMK"
_FIELDS = Struct("<4sHQ")
_CHECKSUM = Struct("<I")


def write_mark(files: Files, directory: Path, sequence: int) -> None:
    """Durable on return. Raises OSError."""
    fields = _FIELDS.pack(_MAGIC, FORMAT_VERSION, sequence)
    files.write_file(directory / MARK_FILE, fields + _CHECKSUM.pack(crc32(fields)), site="wal.mark.write")


def read_mark(files: Files, directory: Path) -> int:
    """The sequence; 0 in a log that never gave up a segment. Raises Corrupt, NewerFormat, OSError."""
    path = directory / MARK_FILE
    if not files.exists(path, site="wal.mark.exists"):
        return 0
    data = files.read(path, site="wal.mark.read")
    fields, checksum = data[: _FIELDS.size], data[_FIELDS.size :]
    if len(fields) == _FIELDS.size and data.startswith(_MAGIC):
        _, version, sequence = _FIELDS.unpack(fields)
        if version > FORMAT_VERSION:
            raise NewerFormat(f"The mark of the log has format version {version}; {FORMAT_VERSION} is known.")
        if checksum == _CHECKSUM.pack(crc32(fields)):
            return int(sequence)
    raise Corrupt(f"The mark of the log, {path}, is damaged.")


def check_range(files: Files, directory: Path, first_sequence: int, last_sequence: int) -> None:
    """Raise Corrupt if a log with these entries has lost older ones that are needed, or all that there were."""
    mark = read_mark(files, directory)
    if first_sequence > mark + 1:
        raise Corrupt(f"The log begins with entry {first_sequence}; those from {mark + 1} on are needed and missing.")
    if last_sequence < mark:
        raise Corrupt(f"The log ends with entry {last_sequence}; it had entry {mark} once.")
