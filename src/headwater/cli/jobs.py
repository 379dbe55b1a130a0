"""`headwater jobs`: what a server does in the background, how far it is and how it went last."""

from __future__ import annotations

import argparse
import sys

from headwater.cli.client import OWN_TARGET
from headwater.cli.query import FORMATS, add_client_arguments, client_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_client_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print all jobs. Raises Invalid with the server's words, Unavailable if it cannot be reached."""
    jobs = client_of(arguments).call("ListJobs", {}, OWN_TARGET)
    FORMATS[arguments.format]([jobs], sys.stdout)
    return 0
