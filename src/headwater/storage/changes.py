"""What changes which blocks are live, one change at a time: a flush, a swap of blocks, a drop; then the log is cut.

The order is always: files live, manifest, readers, files and log removed (reliability.md 2.5). A crash between any two
steps leaves either the old state with some rubbish, or the new one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import structlog

from headwater.errors import NotFound
from headwater.files import Files
from headwater.model.block import Manifest
from headwater.model.table import TableId, TablesById
from headwater.sealing import Vault
from headwater.storage.commit import Committer
from headwater.storage.flush import Flushed, Frozen, Sorting, Target, write_blocks
from headwater.storage.late import LateWrites
from headwater.storage.live import LiveBlock
from headwater.storage.opened import OpenTables
from headwater.storage.retention import Expiry
from headwater.storage.table import TableStore
from headwater.wal.log import Log

_log = structlog.get_logger("storage")


class Changes:
    """Any thread may call; one at a time gets through. `flushes` counts since the start."""

    def __init__(
        self,
        files: Files,
        vault: Vault,
        log: Log,
        manifest: Manifest,
        catalog: TablesById,
        tables: OpenTables,
        committer: Committer,
        late: LateWrites,
        expiry: Expiry,
        new_id: Callable[[], str],
        log_limit_bytes: int,
    ) -> None:
        self._files = files
        self._vault = vault
        self._log = log
        self._manifest = manifest
        self._catalog = catalog
        self._tables = tables
        self._committer = committer
        self._late = late
        self._expiry = expiry
        self._new_id = new_id
        self._log_limit_bytes = log_limit_bytes
        self._changing = threading.Lock()
        self.flushes = 0

    def flush(self, table: TableStore) -> None:
        """Commit blocks that an earlier flush could not, then write and commit what has come since."""
        with self._changing:
            try:
                if table.unnamed is not None:
                    self._name_blocks(table, *table.unnamed)
                frozen = table.freeze()
                if frozen is not None:
                    self._name_blocks(table, frozen, self._write_blocks(table, frozen))
            except NotFound:
                # Deleted from the catalog meanwhile; `drop` waits for us and removes the blocks.
                return
            self.truncate()

    def swap(self, table: TableStore, removed: Sequence[LiveBlock], added: Callable[[], Sequence[LiveBlock]]) -> None:
        """Put blocks in the place of others, in the manifest and for readers.

        `added` gives the new blocks with those rows marked that are replaced by now; it is called again, for the same
        blocks, when no write is under way. Raises NotFound if the table is dropped meanwhile.
        """
        with self._changing:
            if table.is_dropped:
                raise NotFound("table", table.id)
            named = added()
            self._manifest.commit(table.swap_change(removed, named))
            for live in named:
                live.is_dirty = False
            with self._committer.is_committing:
                table.swap(removed, added())

    def drop(self, table_id: TableId) -> None:
        """Forget a table that the catalog has deleted."""
        with self._changing:
            self._tables.drop(table_id)
            self.truncate()

    def truncate(self) -> None:
        """Give up the part of the log that no table and no report needs. The log lets one thread do it."""
        # The published sequence is read first: what is published later has a higher one and stays.
        published = self._committer.published_sequence
        needed = self._tables.needed_from()
        report = self._late.first_sequence()
        if report is not None and self._log.size_bytes <= self._log_limit_bytes:
            # Reports that nobody can write for long stay in memory only: the log has a limit.
            needed.append(report)
        self._log.checkpoint(min([published, *(start - 1 for start in needed)]))

    def sorting(self, table_id: TableId) -> Sorting:
        """How blocks of the table are to be written now. Raises NotFound if it is dropped."""
        dimension = self._catalog.table_by_id(table_id).partition_dimension
        return Sorting(self._expiry.oldest_ns(table_id), dimension)

    def _write_blocks(self, table: TableStore, frozen: Frozen) -> Flushed:
        try:
            sorting = self.sorting(table.id)
            self._files.make_directory(table.directory, site="flush.folder")
            to = Target(self._files, self._vault, table.block_path, self._new_id)
            return write_blocks(to, table.id, frozen, table.series, sorting)
        except BaseException:
            table.thaw()
            raise

    def _name_blocks(self, table: TableStore, frozen: Frozen, flushed: Flushed) -> None:
        change = table.flush_change(frozen, flushed)
        self._manifest.commit(change)
        table.adopt(frozen, flushed, change)
        table.save_series_if_due()
        self.flushes += 1
        _log.info(
            "flushed",
            table=table.id,
            blocks=len(change.added),
            rows=sum(block.rows for block in change.added),
            bytes=sum(block.bytes for block in change.added),
        )
