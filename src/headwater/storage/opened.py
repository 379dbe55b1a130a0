"""The tables of a store that somebody has used since the start, opened when they are first asked for.

The manifest says which tables exist. Also removes what a crash has left in their folders.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from headwater.errors import KeyUnusable, NotFound, Unavailable
from headwater.files import Files
from headwater.model.block import Block, Manifest
from headwater.model.limits import Limits
from headwater.model.table import TableId
from headwater.sealing import Vault
from headwater.storage.decoded import DecodedBlocks
from headwater.storage.series_file import SERIES_FILE
from headwater.storage.table import TableStore

_log = structlog.get_logger("storage")


class OpenTables:
    """`directory` holds a folder of blocks for each table. Any thread may call."""

    def __init__(
        self,
        files: Files,
        vault: Vault,
        directory: Path,
        manifest: Manifest,
        limits: Limits,
        decoded: DecodedBlocks,
        restore: Callable[[TableStore], None],
    ) -> None:
        """`restore` brings back what only the log has of a table, for one that was left out of the replay."""
        self._files = files
        self._vault = vault
        self._directory = directory
        self._manifest = manifest
        self._limits = limits
        self._decoded = decoded
        self._restore = restore
        self._tables: dict[TableId, TableStore] = {}
        self._left_out: dict[TableId, int] = {}
        """Tables that could not be opened for the replay, and the first sequence that the log must keep for each."""
        self._lock = threading.Lock()

    def get(self, table_id: TableId) -> TableStore:
        """Raises NotFound for a table that does not exist, Corrupt for one that cannot be read, KeyUnusable and
        Unavailable for one whose key may not be used.
        """
        with self._lock:
            table = self._tables.get(table_id)
            if table is None:
                manifest = self._manifest.load(table_id)
                folder, limits = self._folder(table_id), self._limits
                table = TableStore(table_id, self._files, self._vault, folder, manifest, limits, self._decoded)
                if table_id in self._left_out:
                    self._restore(table)
                    del self._left_out[table_id]
                self._tables[table_id] = table
            return table

    def for_replay(self, table_id: TableId) -> TableStore | None:
        """The table; None for one that does not exist, or whose key may not be used now: the log keeps its records."""
        if table_id in self._left_out:
            return None
        try:
            return self.get(table_id)
        except NotFound:
            return None
        except (KeyUnusable, Unavailable) as fault:
            _log.error("table left out of the replay", table=table_id, error=fault.message)
            self._left_out[table_id] = self._manifest.load(table_id).checkpoint + 1
            return None

    def needed_from(self) -> list[int]:
        """The first sequences that the log must keep, for the tables that need one."""
        with self._lock:
            open_tables, left_out = list(self._tables.values()), list(self._left_out.values())
        return [*left_out, *(start for table in open_tables if (start := table.unflushed_from()))]

    def all(self) -> list[TableStore]:
        """Those that are open."""
        with self._lock:
            return list(self._tables.values())

    def drop(self, table_id: TableId) -> None:
        """Forget a table that the manifest has forgotten. Its files go when the last query that reads them ends."""
        with self._lock:
            table = self._tables.pop(table_id, None)
            self._left_out.pop(table_id, None)
        if table is not None:
            table.drop()
        elif self._files.exists(self._folder(table_id), site="drop.exists"):
            self._files.remove_tree(self._folder(table_id), site="drop.remove")

    def remove_unnamed(self) -> None:
        """Files that no manifest names are what a crash left of a flush, a compaction, or of a dropped table.

        Before anything else is done with the tables.
        """
        existing = set(self._manifest.tables())
        for name in self._files.list(self._directory, site="open.list"):
            folder = self._directory / name
            if TableId(name) not in existing:
                self._files.remove_tree(folder, site="open.remove_table")
                continue
            live = {f"{block.id}.parquet" for block in self._manifest.load(TableId(name)).blocks} | {SERIES_FILE}
            for file in self._files.list(folder, site="open.list"):
                if file not in live:
                    self._files.remove(folder / file, site="open.remove_block")

    def path_of(self, block: Block) -> Path:
        return self._folder(block.table) / f"{block.id}.parquet"

    def _folder(self, table_id: TableId) -> Path:
        return self._directory / table_id
