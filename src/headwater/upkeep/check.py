"""Looks at everything in a data folder that no server has open, and changes nothing: catalog, log, blocks, the rest.

`cli/fsck` calls it, with the folder locked. What it finds are values (`findings.py`); what to do about them is
`repair.py`. Source: reliability.md 4.
"""

from __future__ import annotations

import configparser
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from headwater.catalog.catalog import CATALOG_FILE, Catalog
from headwater.catalog.survey import CatalogSurvey, FlawedRow, mend, survey_catalog
from headwater.config import Config
from headwater.errors import Corrupt, Fault, KeyUnusable, NewerFormat, NotFound, Unavailable
from headwater.files import TEMPORARY_SUFFIX, Files
from headwater.instance import BLOCKS_FOLDER, CREDENTIALS_FILE, LOG_FOLDER, RESULTS_FOLDER
from headwater.model.block import Block
from headwater.model.table import TableId
from headwater.model.time import Clock
from headwater.sealing import CHUNK_BYTES, ChunkCache, DataKeys, SealedSource, Vault
from headwater.storage.series_file import SERIES_FILE, read_series_file
from headwater.storage.verify import describe_block, verify_block
from headwater.upkeep.findings import Checked, Finding, Kind
from headwater.upkeep.folder import account_of, copy_closed_catalog, open_copied_catalog
from headwater.wal.survey import LogSurvey, survey_log

_BLOCK_SUFFIX = ".parquet"


def check(files: Files, data: Path, config: Config, clock: Clock, scratch: Path) -> Checked:
    """Everything that is wrong. `scratch` is an empty folder outside, for a copy of the catalog.

    Raises what makes it impossible to look: Invalid (the wrong master key), NewerFormat, KeyUnusable, Unavailable,
    Corrupt for the master key itself; OSError.
    """
    copy = copy_closed_catalog(files, data, scratch)
    survey = survey_catalog(files, copy)
    if survey.problems:
        return _unreadable(survey)
    account = account_of(survey, config)
    findings = [_of_row(row) for row in survey.rows]
    if survey.rows:
        mend(files, copy, survey, {})
    try:
        catalog = open_copied_catalog(files, copy, data, account, config, clock)
    except (ValueError, KeyError) as error:
        # A row that was taken as it stood says what no catalog can.
        return _unreadable(CatalogSurvey((f"cannot be opened: {error}",), survey.rows, survey.accounts))
    with closing(catalog):
        return _Look(files, data, catalog, survey, account).all(findings)


def _unreadable(survey: CatalogSurvey) -> Checked:
    """Without a catalog there are no keys, and nothing else can be read."""
    lost = "nothing in the folder can be read without it: restore a backup"
    findings = [Finding(Kind.DAMAGE, CATALOG_FILE, problem, lost=lost) for problem in survey.problems]
    findings += [Finding(Kind.UNSEEN, name, "needs the catalog") for name in (LOG_FOLDER, BLOCKS_FOLDER)]
    return Checked(tuple(findings), survey, {}, (), (), None, (), "", None)


def _of_row(row: FlawedRow) -> Finding:
    key = ", ".join(f"{name}={value}" for name, value in row.key.items() if name != "account")
    match row.table:
        case _ if row.corrected is not None:
            lost = "nothing: one bit of it has turned, and the checksum tells which"
        case "blocks":
            lost = "nothing if the block's file is sound"
        case "deleted_rows":
            lost = "which rows of the block were replaced, if it is the list that is wrong"
        case "checkpoints":
            lost = "if the number is wrong: records that are in the log only, or the server does not start"
        case _:
            lost = "the value that is wrong; which one cannot be told"
    return Finding(Kind.DAMAGE, CATALOG_FILE, "the row fails its checksum", f"{row.table} ({key})", lost=lost)


class _Look:
    """One look at a folder whose catalog is open."""

    def __init__(self, files: Files, data: Path, catalog: Catalog, survey: CatalogSurvey, account: str) -> None:
        self._files = files
        self._data = data
        self._catalog = catalog
        self._survey = survey
        self._account = account
        self._vault = Vault(catalog.database_keys, ChunkCache(0))
        self._blocks: list[Block] = []
        self._spoiled: list[Path] = []
        self._orphans: list[Path] = []
        self._rebuilt: dict[str, Block] = {}

    def all(self, findings: list[Finding]) -> Checked:
        log, keys = None, self._catalog.keys.log
        findings += self._flawed_blocks()
        for table in self._catalog.manifest.tables():
            findings += self._table(table)
        findings += self._rubbish()
        log = survey_log(self._files, self._data / LOG_FOLDER, keys, self._catalog.manifest.log_end)
        findings += self._log(log)
        findings += self._results(keys)
        findings += self._credentials()
        return Checked(
            tuple(findings),
            self._survey,
            self._rebuilt,
            tuple(self._blocks),
            tuple(self._orphans),
            log,
            tuple(self._spoiled),
            self._account,
            keys,
        )

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self._data))

    def _table_name(self, table: TableId) -> str:
        try:
            named = self._catalog.table_by_id(table)
        except NotFound:
            return table
        return f'"{named.database}"."{named.name}"'

    def _flawed_blocks(self) -> Iterator[Finding]:
        """Blocks whose row in the manifest cannot be believed: what do their files say?"""
        for row in self._survey.rows:
            if row.table != "blocks":
                continue
            path = self._data / BLOCKS_FOLDER / str(row.key["table_id"]) / f"{row.key['id']}{_BLOCK_SUFFIX}"
            try:
                self._rebuilt[path.stem] = describe_block(self._files, self._vault, path)
            except (Corrupt, NotFound, OSError) as error:
                told = error.message if isinstance(error, Fault) else str(error)
                if self._files.exists(path, site="check.exists"):
                    self._orphans.append(path)
                yield Finding(Kind.DAMAGE, self._name(path), told, lost="all its records")

    def _table(self, table: TableId) -> Iterator[Finding]:
        """The blocks of one table, and its series file."""
        folder, name, manifest = self._data / BLOCKS_FOLDER / table, self._table_name(table), None
        manifest = self._catalog.manifest.load(table)
        for block in manifest.blocks:
            path = folder / f"{block.id}{_BLOCK_SUFFIX}"
            try:
                flaws = verify_block(self._files, self._vault, path, block, manifest.deleted_rows.get(block.id, []))
            except (KeyUnusable, Unavailable, NotFound, NewerFormat) as fault:
                yield Finding(Kind.UNSEEN, self._name(path), fault.message, table=name)
                continue
            if flaws:
                self._blocks.append(block)
            for flaw in flaws:
                yield Finding(
                    Kind.DAMAGE,
                    self._name(path),
                    flaw.wrong,
                    flaw.place,
                    name,
                    "all records of the block, for queries",
                    block.rows,
                    block.start_ns,
                    block.end_ns,
                )
        yield from self._series(folder, name)

    def _series(self, folder: Path, table: str) -> Iterator[Finding]:
        path = folder / SERIES_FILE
        try:
            read_series_file(self._files, self._vault, folder)
        except Corrupt as fault:
            self._spoiled.append(path)
            lost = "nothing: it is made anew from the blocks"
            yield Finding(Kind.DAMAGE, self._name(path), fault.message, table=table, lost=lost)
        except (KeyUnusable, Unavailable, NotFound, NewerFormat) as fault:
            yield Finding(Kind.UNSEEN, self._name(path), fault.message, table=table)

    def _rubbish(self) -> Iterator[Finding]:
        """Files in the folder of blocks that no manifest names; the next start removes them."""
        blocks = self._data / BLOCKS_FOLDER
        tables = set(self._catalog.manifest.tables())
        kept = {f"{row.key['id']}{_BLOCK_SUFFIX}" for row in self._survey.rows if row.table == "blocks"}
        for name in self._list(blocks):
            if TableId(name) not in tables:
                yield Finding(Kind.NOTE, self._name(blocks / name), "rubbish: of a table that was dropped")
                continue
            live = {f"{block.id}{_BLOCK_SUFFIX}" for block in self._catalog.manifest.load(TableId(name)).blocks}
            for file in self._list(blocks / name):
                if file not in live | kept | {SERIES_FILE}:
                    yield Finding(Kind.NOTE, self._name(blocks / name / file), "rubbish: no manifest names it")

    def _log(self, log: LogSurvey) -> Iterator[Finding]:
        lost = "; ".join(f"entries {gap.start} to {gap.stop - 1}" for gap in log.lost)
        for flaw in log.flaws:
            yield Finding(
                Kind.DAMAGE,
                self._name(flaw.path),
                flaw.wrong,
                f"offset {flaw.offset}",
                lost=f"{lost}: what of them is in no block" if lost else "nothing: every entry can be read",
            )
        if log.torn_bytes:
            path = max(segment.path for segment in log.segments)
            told = f"a torn tail of {log.torn_bytes} bytes, the normal end of a crash; nobody was told it is durable"
            yield Finding(Kind.NOTE, self._name(path), told)
        for path in log.rubbish:
            yield Finding(Kind.NOTE, self._name(path), "rubbish: a segment that was never finished")

    def _results(self, keys: DataKeys) -> Iterator[Finding]:
        """Spooled results: good for open page tokens only."""
        folder = self._data / RESULTS_FOLDER
        for name in self._list(folder):
            path = folder / name
            if name.endswith(TEMPORARY_SUFFIX):
                yield Finding(Kind.NOTE, self._name(path), "rubbish: a result that was never finished")
                continue
            try:
                vault = Vault(keys, ChunkCache(0))
                sealed = self._files.open_source(path, site="check.result")
                with closing(SealedSource(sealed, f"{RESULTS_FOLDER}/{name}", vault)) as source:
                    for offset in range(0, source.size_bytes, CHUNK_BYTES):
                        source.read_at(offset, CHUNK_BYTES)
            except Corrupt as fault:
                self._spoiled.append(path)
                lost = "nothing: the result of a query, which can be run again"
                yield Finding(Kind.DAMAGE, self._name(path), fault.message, lost=lost)
            except NewerFormat as fault:
                yield Finding(Kind.UNSEEN, self._name(path), fault.message)

    def _credentials(self) -> Iterator[Finding]:
        """The first access key, beside the data; the catalog has it too."""
        path = self._data / CREDENTIALS_FILE
        if not self._files.exists(path, site="check.exists"):
            return
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read_string(self._files.read(path, site="check.credentials").decode())
            section = parser["default"]
            is_sound = self._catalog.keys.secret_of(section["aws_access_key_id"]) == section["aws_secret_access_key"]
        except (UnicodeDecodeError, configparser.Error, KeyError):
            is_sound = False
        if not is_sound:
            self._spoiled.append(path)
            wrong = "is not an access key that the catalog has"
            lost = "nothing: the key is good, and the next start makes another one if the file is gone"
            yield Finding(Kind.DAMAGE, self._name(path), wrong, lost=lost)

    def _list(self, folder: Path) -> list[str]:
        return self._files.list(folder, site="check.list") if self._files.exists(folder, site="check.exists") else []
