"""What the commands that look after a data folder share: which settings lead to it and to its keys, and how they end.

They take the settings that `serve` was given, as it takes them: flags, environment, file; only those that concern the
folder are flags here.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import structlog

from headwater.config import Config, load
from headwater.errors import Unavailable
from headwater.settings import SETTINGS

BLOCK_SETTINGS = ("object_store", "object_store_region", "object_store_credentials", "block_store")

KEY_SETTINGS = ("account", "master_key", "kms_endpoint", "kms_credentials")


def add_folder(parser: argparse.ArgumentParser, *names: str, data: bool = True) -> None:
    """`--config`, a flag for each of these settings, and `--data` where the folder is no argument of its own."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file with the server's settings.")
    for setting in SETTINGS:
        if setting.name in names or (data and setting.name == "data"):
            default = f" Default: {setting.default}." if setting.default else ""
            parser.add_argument(
                setting.flag,
                dest=setting.name,
                default=argparse.SUPPRESS,
                metavar="DIR" if setting.name == "data" else setting.name.upper(),
                help=f"{setting.help}{default}",
            )


def config_of(arguments: argparse.Namespace) -> Config:
    """The checked settings. Raises Invalid. Only errors are logged from here on: what is found is printed."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    given = vars(arguments)
    flags = {setting.name: str(given[setting.name]) for setting in SETTINGS if setting.name in given}
    return load(flags, os.environ, arguments.config, os.cpu_count() or 1)


def undone_when_ended(work: Callable[[], None]) -> None:
    """Run `work` so that SIGTERM ends it as SIGINT does: what it has begun is undone. Raises Unavailable."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        work()
    except OSError as error:
        raise Unavailable(str(error)) from error
    finally:
        signal.signal(signal.SIGTERM, before)
