"""`headwater fsck`: look at everything in the data folder of a stopped server, say what is damaged, repair it if told.

Exit status: 0 nothing is damaged (or all of it is repaired), 1 damage, 2 it could not look.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from headwater.cli.folder import BLOCK_SETTINGS, KEY_SETTINGS, add_folder, config_of
from headwater.config import Config
from headwater.errors import Fault
from headwater.files import Files, LocalFiles
from headwater.model.time import SystemClock, timestamp_text
from headwater.upkeep.check import check
from headwater.upkeep.findings import Checked, Finding, Kind
from headwater.upkeep.folder import locked, stored_files
from headwater.upkeep.repair import repair

CLEAN, DAMAGED, COULD_NOT_LOOK = 0, 1, 2

EPILOG = """The server must be stopped, and the master key where it is for the server. Reads every byte: the rows of the
catalog, each entry of the log, each row of each block, kept results. Changes nothing without --repair. Exit status: 0
all is well, 1 damage was found, 2 it could not look, or not at everything."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    add_folder(parser, *KEY_SETTINGS, *BLOCK_SETTINGS)
    parser.add_argument(
        "--repair",
        action="store_true",
        help="Set aside what cannot be read in DIR/damaged, deleting nothing, so that a server starts with all the "
        "rest; say what was done and what is lost.",
    )
    parser.add_argument("--json", action="store_true", help="Print one JSON document.")


def run(arguments: argparse.Namespace) -> int:
    report = _json_report if arguments.json else _text_report
    try:
        config = config_of(arguments)
        with locked(LocalFiles(), config.data):
            files = stored_files(LocalFiles(), config.data, config, SystemClock())
            checked = _check(files, config)
            done = repair(files, config.data, checked) if arguments.repair and checked.is_damaged else []
            after = _check(files, config) if done else checked
    except (Fault, OSError) as error:
        print(f"headwater fsck: {error.message if isinstance(error, Fault) else error}", file=sys.stderr)
        return COULD_NOT_LOOK
    report(config.data, checked, done, after)
    if after.is_damaged:
        return DAMAGED
    return CLEAN if after.is_whole else COULD_NOT_LOOK


def _check(files: Files, config: Config) -> Checked:
    with tempfile.TemporaryDirectory() as scratch:
        return check(files, config.data, config, SystemClock(), Path(scratch))


def _text_report(data: Path, checked: Checked, done: list[str], after: Checked) -> None:
    for finding in checked.findings:
        print(_text(finding))
    for line in done:
        print(f"repaired: {line}")
    remaining = [finding for finding in after.findings if finding.kind is Kind.DAMAGE] if done else []
    for finding in remaining:
        print(f"still there: {_text(finding)}")
    count = sum(finding.kind is Kind.DAMAGE for finding in checked.findings)
    print(f"{data}: {f'{count} damaged' if count else 'clean'}{', all repaired' if done and not remaining else ''}")


def _text(finding: Finding) -> str:
    """One line: what, where, whose records, from when to when, what is lost."""
    parts = [f"{finding.kind.value}: {finding.file}", finding.place, finding.wrong, finding.table]
    if finding.rows is not None:
        parts.append(f"{finding.rows} records")
    if finding.start_ns is not None and finding.end_ns is not None:
        parts.append(f"{timestamp_text(finding.start_ns)} to {timestamp_text(finding.end_ns)}")
    if finding.lost:
        parts.append(f"lost: {finding.lost}")
    return "; ".join(part for part in parts if part)


def _json_report(data: Path, checked: Checked, done: list[str], after: Checked) -> None:
    document = {
        "folder": str(data),
        "damaged": after.is_damaged,
        "findings": [_plain(finding) for finding in checked.findings],
        "repaired": done,
    }
    json.dump(document, sys.stdout, indent=2)
    print()


def _plain(finding: Finding) -> dict[str, object]:
    return {**asdict(finding), "kind": finding.kind.value}
