"""What DescribeEndpoints answers: an address that leads this client back to this server.

`write_api` asks. Clients that discover endpoints put the address to use in three ways, and their User-Agent tells
which: most take a URL; the Rust SDK puts `https://` before whatever it gets; those of JavaScript (3), Java and Kotlin
take it for a host name, which replaces the one they called and leaves scheme and port (Java: the scheme's own port).
Source: write-api.md 1.5 and the SDKs' public code; a URL for everybody else is ours, for the service answers a host.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from headwater.config import ServerSettings
from headwater.errors import Invalid

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]{1,253})(?::([0-9]{1,5}))?")

# Java's is `aws-sdk-java/2.31.0`, or `aws-sdk-java/1.12`; browsers send theirs as x-amz-user-agent.
_TAKES_HOST = re.compile(r"\baws-sdk-(?:js/3|java/|kotlin/)")
_TAKES_AUTHORITY = re.compile(r"\baws-sdk-rust/")


def address_for(server: ServerSettings, called: str, user_agent: str) -> str:
    """The address for a client that called the host `called`, the signed Host header.

    Raises Invalid if that is no host.
    """
    scheme, authority = server.scheme, called
    if server.public_address is not None:
        url = urlsplit(server.public_address)
        scheme, authority = url.scheme, url.netloc
    found = _HOST.fullmatch(authority)
    if found is None:
        raise Invalid("The Host header is required and must be a host, with or without a port.")
    host, port = found[1], found[2]
    if server.cell_endpoints:
        host = _cell(server.region, host)
    if _TAKES_HOST.search(user_agent):
        return host
    authority = host if port is None else f"{host}:{port}"
    if server.cell_endpoints or _TAKES_AUTHORITY.search(user_agent):
        return authority
    return f"{scheme}://{authority}"


def _cell(region: str, called: str) -> str:
    """The name of a cell of the service that was called: names of the query service begin with its own."""
    service = "query" if called.lower().startswith("query") else "ingest"
    return f"{service}-cell1.timestream.{region}.amazonaws.com"
