"""`headwater backup`: a consistent copy of a data folder, of a running server or a stopped one."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from headwater.cli.folder import BLOCK_SETTINGS, add_folder, config_of, undone_when_ended
from headwater.files import LocalFiles
from headwater.model.time import SystemClock
from headwater.upkeep.cut import back_up
from headwater.upkeep.folder import stored_files

EPILOG = """The server may run: it is not asked and not slowed but for the disk. The backup holds every record that was
acknowledged before the command was begun, stays encrypted, and is a folder of its own that appears when it is whole.
It does not hold the master key: keep that elsewhere, without it no backup can be read. Run it as the server's user."""

_WAIT_S = 0.2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    add_folder(parser, *BLOCK_SETTINGS)
    parser.add_argument("--to", type=Path, required=True, metavar="DEST", help="Folder to make; must not be there.")
    parser.add_argument(
        "--copy",
        action="store_true",
        help="Copy blocks also where a hard link would do: a link takes no room, but shares what the disk does to it.",
    )
    parser.add_argument("--with-key", action="store_true", help="Copy DIR/master.key too: whoever has it reads all.")


def run(arguments: argparse.Namespace) -> int:
    """Print where the backup is and what it holds. Raises as `back_up`."""
    config = config_of(arguments)
    data, to = config.data.absolute(), arguments.to.absolute()

    def work() -> None:
        made = back_up(
            stored_files(LocalFiles(), data, config, SystemClock()),
            data,
            to,
            SystemClock(),
            with_key=arguments.with_key,
            link=not arguments.copy,
            wait=lambda: time.sleep(_WAIT_S),
        )
        print(
            f"{to}: {len(made.files)} files, {made.bytes} bytes; {made.records_in_blocks} records in blocks, "
            f"the log up to entry {made.last_sequence}"
        )
        if not arguments.with_key:
            print("The master key is not in it. Without the key it cannot be read: keep both, and not in one place.")

    undone_when_ended(work)
    return 0
