"""Stock boto3 clients for the demo, the only importer of boto3: the server itself does not need it."""

from __future__ import annotations

from typing import Any

from headwater.errors import Unavailable

try:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError as error:
    raise Unavailable("The demo needs boto3, which the server does not: run `make demo`, or install boto3.") from error

REFUSED = ClientError
"""What a client raises when the server answered with an error."""

UNANSWERED = BotoCoreError
"""What a client raises when there was no answer: no connection, or one that was cut."""


def write_client(endpoint: str, region: str) -> Any:
    """A client of the write service that does not repeat requests by itself: the demo counts every try."""
    config = Config(retries={"total_max_attempts": 1})
    return boto3.client("timestream-write", endpoint_url=endpoint, region_name=region, config=config)


def query_client(endpoint: str, region: str) -> Any:
    """A client of the query service."""
    return boto3.client("timestream-query", endpoint_url=endpoint, region_name=region)
