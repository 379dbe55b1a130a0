"""The command `headwater`: finds the command asked for, runs it, and turns what went wrong into one line.

Each command is a module beside this one with `add_arguments(parser)` and `run(arguments) -> int`, the exit status:
0 done, 1 failed, 2 called wrongly, 130 interrupted. No command prints a traceback for a fault.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from headwater import __version__
from headwater.errors import Fault

INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Command:
    """One row of the table of commands: the name of its module is its own."""

    name: str
    help: str


COMMANDS = (
    Command("serve", "Start the server on a data folder."),
    Command("query", "Run one SQL query on a server and print the result."),
    Command("jobs", "Print what a server does in the background: scheduled queries, batch loads, maintenance."),
    Command("backup", "Copy a data folder, of a running server too, as it is at one moment."),
    Command("restore", "Make a data folder of a backup, every file verified."),
    Command("fsck", "Look for damage in the data folder of a stopped server; repair it."),
    Command("inspect", "Print what a data folder, or one file of it, holds."),
    Command("certs", "Make a certificate authority and a server certificate for development."),
    Command("demo", "Start a server on a temporary folder and play two workloads through boto3."),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, `sys.argv` by default, and return the exit status."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        parsed = _parser(words).parse_args(words)
        status = int(parsed.run(parsed))
        sys.stdout.flush()
        return status
    except Fault as fault:
        print(f"headwater: {fault.message}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser, with the arguments of the one command that is called.

    Its module is imported by name, here and not above: the server's libraries take longer to load than `query` to
    answer, and `demo` needs boto3, which a server need not have.
    """
    parser = argparse.ArgumentParser(
        prog="headwater",
        description="A time-series database that speaks Amazon Timestream for LiveAnalytics' own API.",
    )
    parser.add_argument("--version", action="version", version=f"headwater {__version__}")
    called = next((word for word in words if not word.startswith("-")), None)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        added = commands.add_parser(command.name, help=command.help, description=command.help)
        if command.name == called:
            module = importlib.import_module(f"headwater.cli.{command.name}")
            module.add_arguments(added)
            added.set_defaults(run=module.run)
    return parser
