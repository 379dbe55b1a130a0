"""The scrubber: reads whole blocks in the background and compares them with the hashes in the manifest.

A block that fails is marked: queries that need it raise Corrupt, compaction leaves it alone, its file stays. Marks are
of this process; the next one finds them again, since it begins with a look at every block.
Source: reliability.md 3.2, 4.
"""

from __future__ import annotations

import errno
import hashlib
import threading
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

import structlog

from headwater.config import StorageSettings
from headwater.errors import NotFound, Unavailable
from headwater.files import Files
from headwater.model.block import Block, Manifest
from headwater.model.table import TableId
from headwater.model.time import Clock
from headwater.storage.pace import Pace, Stopping

_log = structlog.get_logger("scrub")

READ_BYTES = 1024 * 1024

RETRY_S = 60.0
"""When the place of the blocks cannot be reached, before the next try."""

_OF_THE_PROCESS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""Errors that say nothing of a file: a sound block must not be kept from queries because descriptors have run out."""


class Scrubber:
    """`damaged` is what was found since the start, by block id. Any thread may ask; one at a time scrubs."""

    def __init__(
        self,
        files: Files,
        manifest: Manifest,
        clock: Clock,
        pace: Pace,
        path_of: Callable[[Block], Path],
        settings: StorageSettings,
    ) -> None:
        self._files = files
        self._manifest = manifest
        self._clock = clock
        self._pace = pace
        self._path_of = path_of
        self._bytes_per_s = settings.scrub_bytes_per_s
        self._interval_s = settings.scrub_interval_s
        self._due_s = float("-inf")
        self._lock = threading.Lock()
        self._damaged: dict[str, Block] = {}
        self.runs = 0
        self.failures = 0
        """How often all blocks were read since the start, and how many of them could not be, for want of descriptors
        or memory. Damaged ones are no failures of ours."""

    def is_damaged(self, block_id: str) -> bool:
        return block_id in self._damaged

    def damaged(self) -> list[Block]:
        """The blocks that have failed, but for those that are live no more."""
        with self._lock:
            return list(self._damaged.values())

    def run_due(self) -> None:
        """Read all blocks of all tables, if the last time is long enough ago; the first time at once."""
        if self._clock.monotonic_s() < self._due_s:
            return
        try:
            for table in self._manifest.tables():
                self.check(table, self._blocks(table))
        except Stopping:
            return
        except Unavailable as fault:
            _log.warning("scrub put off", error=fault.message)
            self._due_s = self._clock.monotonic_s() + RETRY_S
            return
        self._forget_removed()
        self.runs += 1
        self._due_s = self._clock.monotonic_s() + self._interval_s

    def check(self, table: TableId, blocks: Iterable[Block]) -> None:
        """Read these blocks of a table, and mark those that are not what was written. Raises Stopping, Unavailable."""
        for block in blocks:
            wrong = self._wrong(block)
            if wrong and block in self._blocks(table):
                self._mark(block, wrong)

    def _wrong(self, block: Block) -> str:
        """What is wrong with a block's file, empty if nothing is."""
        digest = hashlib.sha256()
        try:
            with closing(self._files.open_original(self._path_of(block), site="scrub.open")) as source:
                for offset in range(0, source.size_bytes, READ_BYTES):
                    data = source.read_at(offset, READ_BYTES)
                    digest.update(data)
                    self._pace.throttle(len(data), self._bytes_per_s)
        except OSError as error:
            if error.errno in _OF_THE_PROCESS:
                self.failures += 1
                _log.warning("block not scrubbed", table=block.table, block=block.id, error=str(error))
                return ""
            return str(error)
        return "" if digest.hexdigest() == block.sha256 else "its hash is not the manifest's"

    def _mark(self, block: Block, wrong: str) -> None:
        with self._lock:
            is_new = block.id not in self._damaged
            self._damaged[block.id] = block
        if is_new:
            _log.error("damaged block", table=block.table, block=block.id, day=block.day, rows=block.rows, error=wrong)

    def _blocks(self, table: TableId) -> tuple[Block, ...]:
        """Those that are live now; none of a table that is dropped."""
        try:
            return self._manifest.load(table).blocks
        except NotFound:
            return ()

    def _forget_removed(self) -> None:
        live = {block.id for table in self._manifest.tables() for block in self._blocks(table)}
        with self._lock:
            self._damaged = {block_id: block for block_id, block in self._damaged.items() if block_id in live}
