"""What follows when a database got another key: the data keys of its old blocks are wrapped anew, in the background.

Called by the runner. What is done is in the catalog at once, so a stop or a crash loses nothing of it. Blocks are not
written again; only their headers are read. Source: reliability.md 6, "Encryption at rest".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import structlog

from headwater.catalog.catalog import Catalog
from headwater.errors import Fault
from headwater.files import Files
from headwater.sealing import HEADER_BYTES, slot_of

_log = structlog.get_logger("jobs")

_TABLES_AT_ONCE = 100


class Rewrap:
    """`blocks` is the folder of all blocks."""

    def __init__(self, files: Files, blocks: Path, catalog: Catalog) -> None:
        self._files = files
        self._blocks = blocks
        self._catalog = catalog

    def run(self) -> None:
        """Do all that is to be done now. One database that cannot be dealt with does not keep back another."""
        for database in self._catalog.database_keys.outdated():
            try:
                self._catalog.database_keys.rewrap(database, self._places(database), self._slot_of)
            except (Fault, OSError) as error:
                _log.warning("rewrapping stopped", database=database, reason=str(error))

    def _places(self, database: str) -> Iterator[str]:
        """Of all live blocks of a database."""
        after: str | None = None
        while tables := self._catalog.list_tables(database, after, _TABLES_AT_ONCE):
            for table in tables:
                yield from (f"{table.id}/{block.id}" for block in self._catalog.manifest.load(table.id).blocks)
            after = tables[-1].name

    def _slot_of(self, place: str) -> bytes | None:
        """The key slot in a block's header; None if the block was removed meanwhile."""
        try:
            with closing(self._files.open_source(self._blocks / f"{place}.parquet", site="rewrap.read")) as source:
                return slot_of(source.read_at(0, HEADER_BYTES), place)
        except FileNotFoundError:
            return None
