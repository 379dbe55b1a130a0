"""`headwater query`: run one SQL query on a server and print the result as a table, CSV or JSON."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from headwater.cli import output
from headwater.cli.client import OWN_TARGET, Client, find_credentials
from headwater.cli.explain import print_explanation
from headwater.model.time import SystemClock
from headwater.settings import SETTINGS

_DEFAULTS = {setting.name: setting.default for setting in SETTINGS}
FORMATS = {"table": output.print_table, "csv": output.print_csv, "json": output.print_json}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Defaults that depend on the environment are read in `run`."""
    parser.add_argument("text", metavar="SQL", help="the query, one argument: quote it")
    parser.add_argument(
        "--explain",
        action="store_true",
        help="do not run the query: print which scans it makes, what they would read, and the engine's statement",
    )
    add_client_arguments(parser)


def add_client_arguments(parser: argparse.ArgumentParser) -> None:
    """Which server to call and as whom, and how to print what it answers; `headwater jobs` has the same."""
    parser.add_argument(
        "--endpoint",
        metavar="URL",
        help="the server; else AWS_ENDPOINT_URL_TIMESTREAM_QUERY, AWS_ENDPOINT_URL, or this machine's default port",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="data folder whose credentials to use; else AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
        "or the file AWS_SHARED_CREDENTIALS_FILE",
    )
    parser.add_argument("--region", metavar="NAME", help="region to sign for; else AWS_REGION or AWS_DEFAULT_REGION")
    parser.add_argument("--format", choices=FORMATS, default="table", help="how to print the result (default: table)")


def run(arguments: argparse.Namespace) -> int:
    """Print the result of one query. Raises Invalid with the server's words, Unavailable if it cannot be reached."""
    client = client_of(arguments)
    if arguments.explain:
        # Of our servers only: the service cannot tell.
        print_explanation(client.call("ExplainQuery", {"QueryString": arguments.text}, OWN_TARGET), sys.stdout)
    else:
        FORMATS[arguments.format](client.query_pages(arguments.text), sys.stdout)
    return 0


def client_of(arguments: argparse.Namespace) -> Client:
    """A client for what the arguments and the environment say. Raises Invalid."""
    environ = os.environ
    endpoint = (
        arguments.endpoint
        or environ.get("AWS_ENDPOINT_URL_TIMESTREAM_QUERY")
        or environ.get("AWS_ENDPOINT_URL")
        or f"http://{_DEFAULTS['listen']}"
    )
    region = arguments.region or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or _DEFAULTS["region"]
    credentials = find_credentials(arguments.data, environ)
    return Client(endpoint, region, credentials, SystemClock(), environ.get("AWS_CA_BUNDLE"))
