"""`headwater restore`: make a data folder of a backup, or only verify one."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from headwater.cli.folder import add_folder, config_of, undone_when_ended
from headwater.files import LocalFiles
from headwater.keyring.providers import MASTER_KEY_FILE
from headwater.upkeep.restore import restore, verify

EPILOG = """Every file is verified against the backup's hashes. The folder must not be there, or be empty: nothing is
ever overwritten. Before the server is started, put the master key where it looks for it: DIR/master.key, unless the
setting master_key names another place. The start makes a new access key in DIR/credentials; older keys stay good."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("backup", type=Path, metavar="BACKUP", help="Folder that headwater backup has made.")
    add_folder(parser)
    parser.add_argument("--verify", action="store_true", help="Only verify the backup; exit status 1 if it is damaged.")


def run(arguments: argparse.Namespace) -> int:
    """Print what was restored. Raises as `restore`; 1 when `--verify` finds damage."""
    backup = arguments.backup.absolute()
    if arguments.verify:
        return _verify(backup)
    data = config_of(arguments).data.absolute()

    def work() -> None:
        made = restore(LocalFiles(), backup, data)
        print(f"{data}: {len(made.files)} files, {made.bytes} bytes, the log up to entry {made.last_sequence}")
        if not any(file.path == MASTER_KEY_FILE for file in made.files):
            print(f"The backup has no master key: put it at {data / MASTER_KEY_FILE}, or where master_key says.")

    undone_when_ended(work)
    return 0


def _verify(backup: Path) -> int:
    contents, wrong = verify(LocalFiles(), backup)
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"{backup}: {len(contents.files)} files, {len(wrong)} damaged")
    return 1 if wrong else 0
