"""`headwater jobs`: what a server does in the background, how far it is and how it went last; and an end to it."""

from __future__ import annotations

import argparse
import sys

from headwater.cli.client import OWN_TARGET
from headwater.cli.query import FORMATS, add_client_arguments, client_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cancel",
        metavar="NAME",
        help="end the running runs of a scheduled query, or stop a batch load, by the name that the list shows",
    )
    add_client_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print all jobs, or cancel one. Raises Invalid with the server's words, Unavailable if it cannot be reached."""
    client = client_of(arguments)
    if arguments.cancel is not None:
        answer = client.call("CancelJob", {"Job": arguments.cancel}, OWN_TARGET)
        print(answer["CancellationMessage"])
        return 0
    jobs = client.call("ListJobs", {}, OWN_TARGET)
    FORMATS[arguments.format]([jobs], sys.stdout)
    return 0
