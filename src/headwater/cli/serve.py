"""`headwater serve`: start the server on a data folder, say how to reach it, and stop it cleanly.

Builds the settings from flags, environment and file; `instance` opens the data folder and `server` answers requests.
What goes wrong at start is a fault, and one line of `cli/main`.
"""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import structlog

from headwater.config import Config, load
from headwater.errors import Unavailable
from headwater.instance import CREDENTIALS_FILE, Instance
from headwater.server.app import serve
from headwater.settings import SETTINGS, Setting, yes_or_no
from headwater.threads import garbage_in_steps, take_short_turns

_log = structlog.get_logger("cli")

FAILURE_EXIT_S = 4.0
"""A process whose log has failed is gone within five seconds, whatever hangs. Source: reliability.md 2."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One flag for each row of `config.SETTINGS`; left out ones are absent, so that other sources are asked."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="TOML file with settings; flags and environment win."
    )
    for setting in SETTINGS:
        default = f" Default: {setting.default}." if setting.default else ""
        is_switch = setting.parse is yes_or_no
        parser.add_argument(
            setting.flag,
            dest=setting.name,
            default=argparse.SUPPRESS,
            metavar=_metavar(setting),
            help=f"{setting.help}{default}",
            nargs="?" if is_switch else None,
            const="true" if is_switch else None,
        )


def _metavar(setting: Setting) -> str:
    """The unit, where it is one word: `SECONDS`."""
    if setting.parse is yes_or_no:
        return "true|false"
    return setting.name.upper() if " " in setting.unit else setting.unit.upper()


def config_of(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Config:
    """The checked settings of a command line. Raises Invalid."""
    given = vars(arguments)
    flags = {setting.name: given[setting.name] for setting in SETTINGS if setting.name in given}
    return load(flags, environ, arguments.config, os.cpu_count() or 1)


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT. Raises the faults of the start; Unavailable if the log failed while serving."""
    config = config_of(arguments, os.environ)
    configure_logging(config.log_level)
    if config.server.insecure_dev:
        _log.warning("signatures are not checked", setting="insecure_dev")
    take_short_turns()
    failed = threading.Event()
    try:
        instance = Instance.open(config, on_failure=lambda: end_process(failed))
        try:
            with garbage_in_steps():
                serve(instance, on_ready=lambda host, port: announce(config, host, port))
        finally:
            instance.close()
    except OSError as error:
        raise Unavailable(
            f"Cannot serve {config.data} on {config.server.host}:{config.server.port}: {error}"
        ) from error
    if failed.is_set():
        raise Unavailable("The write-ahead log failed; the server has stopped. Start it again to recover.")
    return 0


def end_process(failed: threading.Event) -> None:
    """Stop as SIGTERM does, but with a status that is not 0, and soon: nothing can be written any more."""
    failed.set()
    watchdog = threading.Timer(FAILURE_EXIT_S, os._exit, (1,))
    watchdog.daemon = True
    watchdog.start()
    os.kill(os.getpid(), signal.SIGTERM)


def announce(config: Config, host: str, port: int) -> None:
    """Print the ready line, which scripts wait for, and how to point stock clients here."""
    server = config.server
    url = f"{server.scheme}://{f'[{host}]' if ':' in host else host}:{port}"
    print(f"ready {url} region={server.region} account={server.account}", flush=True)
    credentials = shlex.quote(str(config.data / CREDENTIALS_FILE))
    print(EXAMPLES.format(credentials=credentials, url=url, region=server.region), flush=True)


EXAMPLES = """
# In a shell, for every client:
export AWS_SHARED_CREDENTIALS_FILE={credentials}

# AWS CLI:
aws timestream-write create-database --database-name metrics --region {region} --endpoint-url {url}
aws timestream-query query --query-string "SHOW DATABASES" --region {region} --endpoint-url {url}

# Python, boto3:
import boto3
query = boto3.client("timestream-query", region_name="{region}", endpoint_url="{url}")
print(query.query(QueryString="SELECT now()")["Rows"])
"""


def configure_logging(level: str) -> None:
    """JSON lines on standard error, with time, level and event; nothing below `level`. Source: reliability.md 7."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
