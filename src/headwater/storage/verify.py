"""Is a block what the manifest says it is? Reads all of it: length, hash, every chunk, every row's place and time.

`upkeep` calls it on a folder that no server has open; a running server's scrubber compares hashes only (`scrub.py`).
Changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from headwater.errors import Corrupt
from headwater.files import Files, Source
from headwater.model.block import Block
from headwater.model.record import Int64s
from headwater.model.table import TableId
from headwater.model.time import NS_PER_DAY
from headwater.sealing import CHUNK_BYTES, ChunkCache, Vault
from headwater.storage.block import BlockReader, DirectoryEntry, open_block
from headwater.storage.live import leading_key

_READ_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class BlockFlaw:
    """Where in a block's file something is wrong, and what. Empty `place`: the file as a whole."""

    place: str
    wrong: str


def verify_block(files: Files, vault: Vault, path: Path, block: Block, deleted: Sequence[int]) -> list[BlockFlaw]:
    """Everything that is wrong, none if nothing is. Raises NewerFormat, KeyUnusable, Unavailable."""
    uncached = Vault(vault.keys, ChunkCache(0))
    try:
        digest, size_bytes = hash_file(files, path)
    except OSError as error:
        return [BlockFlaw("", f"cannot be read: {error.strerror}")]
    flaws = []
    if size_bytes != block.bytes:
        flaws.append(BlockFlaw("", f"has {size_bytes} bytes instead of {block.bytes}"))
    if digest != block.sha256:
        flaws += damaged_chunks(files, uncached, path) or [BlockFlaw("", "its hash is not the manifest's")]
    if flaws:
        return flaws
    try:
        return [*_content(files, uncached, path, block), *_replaced(block, deleted)]
    except Corrupt as fault:
        return [BlockFlaw("", fault.message)]


def describe_block(files: Files, vault: Vault, path: Path) -> Block:
    """What the manifest should say of a block's file. Raises Corrupt, NewerFormat, KeyUnusable, OSError."""
    digest, size_bytes = hash_file(files, path)
    with closing(BlockReader(files, Vault(vault.keys, ChunkCache(0)), path)) as reader:
        description, directory = reader.description, reader.directory
    start_ns = min(entry.start_ns for entry in directory)
    return Block(
        id=path.stem,
        table=TableId(path.parent.name),
        day=start_ns // NS_PER_DAY,
        rows=description.rows,
        bytes=size_bytes,
        start_ns=start_ns,
        end_ns=max(entry.end_ns for entry in directory),
        sha256=digest,
        physical=tuple(description.columns),
        sorted_by=description.sorted_by,
        scales=description.scales,
    )


def hash_file(files: Files, path: Path) -> tuple[str, int]:
    """SHA-256 of a whole file, hexadecimal, and its length. Raises OSError."""
    digest = hashlib.sha256()
    with closing(files.open_source(path, site="verify.hash")) as source:
        for offset in range(0, source.size_bytes, _READ_BYTES):
            digest.update(source.read_at(offset, _READ_BYTES))
        return digest.hexdigest(), source.size_bytes


def damaged_chunks(files: Files, vault: Vault, path: Path) -> list[BlockFlaw]:
    """The chunks of a sealed block that do not open. Raises KeyUnusable, Unavailable."""
    try:
        with closing(open_block(files, vault, path)) as source:
            return list(_chunks(source))
    except Corrupt as fault:
        return [BlockFlaw("header or last chunk", fault.message)]


def _chunks(source: Source) -> Iterator[BlockFlaw]:
    for offset in range(0, source.size_bytes, CHUNK_BYTES):
        try:
            source.read_at(offset, CHUNK_BYTES)
        except Corrupt:
            yield BlockFlaw(f"chunk at {offset}", "is not what was written")


def _content(files: Files, vault: Vault, path: Path, block: Block) -> Iterator[BlockFlaw]:
    """What the rows and the directory say against each other or against the manifest."""
    with closing(BlockReader(files, vault, path)) as reader:
        description, directory = reader.description, reader.directory
        if description.rows != block.rows:
            yield BlockFlaw("", f"has {description.rows} rows instead of {block.rows}")
        if set(description.columns) != set(block.physical) or description.scales != dict(block.scales):
            yield BlockFlaw("", "has other columns than the manifest says")
        if description.sorted_by != block.sorted_by:
            yield BlockFlaw("", f"is sorted by {description.sorted_by} and not by {block.sorted_by}")
        yield from _directory(directory, block)
        yield from _rows(reader, description.row_groups, directory)


def _directory(directory: list[DirectoryEntry], block: Block) -> Iterator[BlockFlaw]:
    place = "series directory"
    if any(entry.start_ns // NS_PER_DAY != block.day or entry.end_ns // NS_PER_DAY != block.day for entry in directory):
        yield BlockFlaw(place, "names times of another day")
    bounds = min(entry.start_ns for entry in directory), max(entry.end_ns for entry in directory)
    if bounds != (block.start_ns, block.end_ns):
        yield BlockFlaw(place, "does not have the manifest's time range")
    ends = [entry.first_row + entry.rows for entry in directory]
    if [entry.first_row for entry in directory] != [0, *ends[:-1]] or ends[-1] != block.rows:
        yield BlockFlaw(place, "does not cover the rows")
    dimension = block.sorted_by
    leading = ["" if dimension is None else leading_key(entry, dimension) for entry in directory]
    if dimension is not None and not any(leading):
        # The manifest has the dimension's physical name, the directory its own: here they differ.
        return
    keys = [(lead, entry.measure_name, entry.file_id) for lead, entry in zip(leading, directory, strict=True)]
    if any(before >= after for before, after in pairwise(keys)):
        yield BlockFlaw(place, "is not in the order of rows")


def _rows(reader: BlockReader, row_groups: tuple[int, ...], directory: list[DirectoryEntry]) -> Iterator[BlockFlaw]:
    """Each row must be of the series that the directory names for its place, and series by series in order of time."""
    ids = np.repeat(np.array([e.file_id for e in directory], np.int64), [e.rows for e in directory])
    starts = np.array([entry.first_row for entry in directory], np.int64)
    times: list[Int64s] = []
    for group, rows in enumerate(row_groups):
        first = reader.group_start(group)
        if not np.array_equal(reader.column(group, "_series").to_numpy(), ids[first : first + rows]):
            yield BlockFlaw(f"row group {group}", "has rows of other series than the directory says")
        times.append(reader.column(group, "time").to_numpy())
    time_ns = np.concatenate(times)
    is_start = np.zeros(len(time_ns), np.bool_)
    is_start[starts[starts < len(time_ns)]] = True
    falling = np.flatnonzero(~is_start[1:] & (np.diff(time_ns) < 0))
    if len(falling):
        yield BlockFlaw(f"row {falling[0] + 1}", "is earlier than the row before it")
    wrong = [
        e for e in directory if (time_ns[e.first_row], time_ns[e.first_row + e.rows - 1]) != (e.start_ns, e.end_ns)
    ]
    if wrong:
        yield BlockFlaw("series directory", f"has other times than the rows from {wrong[0].first_row} on")


def _replaced(block: Block, deleted: Sequence[int]) -> Iterator[BlockFlaw]:
    if any(before >= after for before, after in pairwise(deleted)) or (deleted and deleted[-1] >= block.rows):
        yield BlockFlaw("", "the manifest names replaced rows that it cannot have")
