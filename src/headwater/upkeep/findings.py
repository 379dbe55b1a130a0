"""What a look at a data folder finds, as values: `check` makes them, `repair` acts on them, `cli/fsck` prints them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from headwater.catalog.survey import CatalogSurvey
from headwater.model.block import Block
from headwater.sealing import DataKeys
from headwater.wal.survey import LogSurvey


class Kind(Enum):
    """`DAMAGE`: not what was written. `UNSEEN`: could not be looked at. `NOTE`: as it should be, and worth a line."""

    DAMAGE = "damage"
    UNSEEN = "not looked at"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing. `file` is relative to the data folder, `place` is in it; `table` is `"database"."table"`.

    `lost` says what cannot be had from here any more; `rows` and the time range in ns are of the records concerned.
    """

    kind: Kind
    file: str
    wrong: str
    place: str = ""
    table: str = ""
    lost: str = ""
    rows: int | None = None
    start_ns: int | None = None
    end_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """A whole folder. What follows the findings is for `repair`.

    `rebuilt` are the blocks, by id, whose rows in the manifest are flawed and whose files are sound; `spoiled` are
    files that are no records and can be done without. `log_keys` is None when the catalog could not be opened: then
    nothing can be repaired.
    """

    findings: tuple[Finding, ...]
    catalog: CatalogSurvey
    rebuilt: Mapping[str, Block]
    blocks: tuple[Block, ...]
    orphans: tuple[Path, ...]
    log: LogSurvey | None
    spoiled: tuple[Path, ...]
    account: str
    log_keys: DataKeys | None

    @property
    def is_damaged(self) -> bool:
        return any(finding.kind is Kind.DAMAGE for finding in self.findings)

    @property
    def is_whole(self) -> bool:
        """Whether everything was looked at."""
        return all(finding.kind is not Kind.UNSEEN for finding in self.findings)
