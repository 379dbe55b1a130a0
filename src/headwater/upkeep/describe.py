"""What files of a data folder hold, as plain values that can be printed: the manifest, a segment, a block.

`cli/inspect` calls it, beside a running server too. Gives names, counts, places and time ranges; no dimension or
measure value, and no secret. Times are texts, in UTC.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from headwater.catalog import tables
from headwater.catalog.catalog import CATALOG_FILE, Catalog
from headwater.catalog.survey import copy_catalog, survey_catalog
from headwater.config import Config
from headwater.errors import Corrupt, Invalid, Locked, NotFound
from headwater.files import Files
from headwater.instance import BLOCKS_FOLDER, LOG_FOLDER
from headwater.model.block import Block
from headwater.model.table import Table, TableId
from headwater.model.time import NS_PER_DAY, Clock, timestamp_text
from headwater.sealing import ChunkCache, Vault
from headwater.storage.block import BlockReader
from headwater.storage.entry import decode_payload
from headwater.storage.late import decode_reports, has_reports
from headwater.storage.series_file import SERIES_FILE, read_series_file
from headwater.upkeep.folder import account_of, copy_closed_catalog, locked, open_copied_catalog, require_folder
from headwater.wal.mark import MARK_FILE, read_mark
from headwater.wal.segment import Segment, inspect_segment, segment_number
from headwater.wal.survey import FoundEntry, read_entries

Description = dict[str, Any]
"""Values as JSON has them. `is` says what was described: manifest, segment, block, series or mark."""

_LIST_MAX = 1_000


@contextmanager
def described(files: Files, data: Path, config: Config, clock: Clock, scratch: Path) -> Iterator[Describer]:
    """A folder to ask about; `scratch` is an empty folder for a copy of its catalog.

    Raises Invalid, Corrupt, NewerFormat, KeyUnusable, Unavailable.
    """
    require_folder(files, data)
    try:
        with locked(files, data):
            copy = copy_closed_catalog(files, data, scratch)
    except Locked:
        copy = scratch / CATALOG_FILE
        copy_catalog(data / CATALOG_FILE, copy)
    survey = survey_catalog(files, copy)
    if survey.problems or survey.rows:
        raise Corrupt(f"The catalog of {data} is damaged; headwater fsck tells more.")
    with closing(open_copied_catalog(files, copy, data, account_of(survey, config), config, clock)) as catalog:
        yield Describer(files, data, catalog)


class Describer:
    """Answers about one folder."""

    def __init__(self, files: Files, data: Path, catalog: Catalog) -> None:
        self._files = files
        self._data = data
        self._catalog = catalog
        self._vault = Vault(catalog.database_keys, ChunkCache(0))

    def file(self, path: Path) -> Description:
        """What one file of the folder holds. Raises Invalid for one that is none of these, Corrupt, NewerFormat."""
        if not self._files.exists(path, site="describe.exists"):
            raise Invalid(f"{path} is not there.")
        if path.name == CATALOG_FILE:
            return self.manifest()
        if segment_number(path.name) is not None:
            return self._segment(path)
        if path.suffix == ".parquet":
            return self._block(path)
        if path.name == SERIES_FILE:
            return self._series(path)
        if path.name == MARK_FILE:
            return {"is": "mark", "file": path.name, "not_needed_up_to": read_mark(self._files, path.parent)}
        raise Invalid(f"{path} is no segment, block, series file, mark or catalog.")

    def manifest(self) -> Description:
        """Databases, tables, their live blocks, and the segments of the log."""
        directory = self._data / LOG_FOLDER
        names = (
            self._files.list(directory, site="describe.log")
            if self._files.exists(directory, site="describe.exists")
            else []
        )
        segments = [
            self._segment_in_short(inspect_segment(self._files, directory / name))
            for name in names
            if segment_number(name) is not None
        ]
        every = [
            self._table(table)
            for database in self._catalog.list_databases(None, _LIST_MAX)
            for table in self._catalog.list_tables(database.name, None, _LIST_MAX)
        ]
        return {"is": "manifest", "catalog_format": tables.FORMAT_VERSION, "tables": every, "log": segments}

    def _table(self, table: Table) -> Description:
        manifest = self._catalog.manifest.load(table.id)
        return {
            "database": table.database,
            "table": table.name,
            "id": table.id,
            "memory_hours": table.retention.memory_hours,
            "magnetic_days": table.retention.magnetic_days,
            "columns": [
                {"name": column.name, "kind": column.kind.name, "type": column.type.value, "physical": column.physical}
                for column in manifest.columns.all()
            ],
            "checkpoint": manifest.checkpoint,
            "blocks": [
                _live_block(block, len(manifest.deleted_rows.get(block.id, [])))
                for block in sorted(manifest.blocks, key=lambda block: (block.start_ns, block.id))
            ],
        }

    def _segment_in_short(self, segment: Segment) -> Description:
        return {
            "file": segment.path.name,
            "entries": len(segment.entry_bytes),
            "first_sequence": segment.header.first_sequence,
            "last_sequence": segment.last_sequence,
            "entry_bytes": sum(segment.entry_bytes),
            "sealed": segment.is_sealed,
        }

    def _segment(self, path: Path) -> Description:
        segment, entries = read_entries(self._files, path, self._catalog.keys.log)
        return {
            "is": "segment",
            **self._segment_in_short(segment),
            "number": segment.header.number,
            "synced_sequence": segment.header.synced,
            "torn_bytes": segment.torn_bytes,
            "content": [self._entry(entry, payload) for entry, payload in entries],
        }

    def _entry(self, entry: FoundEntry, payload: bytes) -> Description:
        said: Description = {"sequence": entry.sequence, "offset": entry.offset, "bytes": entry.bytes}
        if has_reports(payload):
            return {**said, "reports": len(decode_reports(payload))}
        batches = [
            {
                "table": self._table_name(logged.table),
                "layout": logged.layout.kind.name,
                "columns": [name for name, _ in logged.layout.columns],
                "rows": len(logged.time_ns),
                "from": timestamp_text(int(logged.time_ns.min())),
                "to": timestamp_text(int(logged.time_ns.max())),
            }
            for logged in decode_payload(payload)
        ]
        return {**said, "batches": batches}

    def _block(self, path: Path) -> Description:
        with closing(BlockReader(self._files, self._vault, path)) as reader:
            said, directory = reader.description, reader.directory
        table = TableId(path.parent.name)
        live = {block.id: block for block in self._catalog.manifest.load(table).blocks}
        start_ns = min(entry.start_ns for entry in directory)
        return {
            "is": "block",
            "file": f"{BLOCKS_FOLDER}/{table}/{path.name}",
            "table": self._table_name(table),
            "format": said.format,
            "written_by": said.written_by,
            "live": path.stem in live,
            "day": timestamp_text(start_ns // NS_PER_DAY * NS_PER_DAY)[:10],
            "from": timestamp_text(start_ns),
            "to": timestamp_text(max(entry.end_ns for entry in directory)),
            "rows": said.rows,
            "replaced_rows": len(self._catalog.manifest.load(table).deleted_rows.get(path.stem, [])),
            "series": len(directory),
            "sorted_by": said.sorted_by or "measure_name",
            "row_groups": list(said.row_groups),
            "columns": said.columns,
        }

    def _series(self, path: Path) -> Description:
        known = read_series_file(self._files, self._vault, path.parent)
        assert known is not None, "the file is there"
        table = self._table_name(TableId(path.parent.name))
        return {"is": "series", "table": table, "series": len(known.series), "blocks": len(known.blocks)}

    def _table_name(self, table: TableId) -> str:
        try:
            named = self._catalog.table_by_id(table)
        except NotFound:
            return f"{table} (dropped)"
        return f'"{named.database}"."{named.name}"'


def _live_block(block: Block, replaced: int) -> Description:
    return {
        "id": block.id,
        "day": timestamp_text(block.day * NS_PER_DAY)[:10],
        "rows": block.rows,
        "replaced_rows": replaced,
        "bytes": block.bytes,
        "from": timestamp_text(block.start_ns),
        "to": timestamp_text(block.end_ns),
        "columns": len(block.physical),
    }
