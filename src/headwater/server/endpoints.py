"""What DescribeEndpoints answers: an address that leads this client back to this server.

`write_api` asks, and `cli/certs` for the names that clients call of themselves. Clients that discover endpoints put the
address to use in three ways, and their User-Agent tells which:

| as | whose SDK | what becomes of the rest |
| --- | --- | --- |
| URL | Python, Go, JavaScript 2, .NET, Ruby; whoever is not known | without a scheme they put `https://` before it |
| host and port | Java 1, C++, Rust, Soto | they put a scheme before it: their own, or `https://` |
| host | JavaScript 3, Kotlin, PHP, Java 2 | they keep scheme and port; Java 2 drops the port |

Source: write-api.md 1.5 and the SDKs' public code; a URL is ours, for the service answers a host.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from headwater.config import ServerSettings
from headwater.errors import Invalid
from headwater.model.region import domain_of

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]{1,253})(?::([0-9]{1,5}))?")

# Java's is `aws-sdk-java/2.31.0`; browsers send theirs as x-amz-user-agent.
_TAKES_HOST = re.compile(r"\baws-sdk-(?:js/3\.|java/2\.|kotlin/|php/)")
_TAKES_AUTHORITY = re.compile(r"\baws-sdk-(?:java/1\.|cpp/|rust/)|\bSoto/")


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


def service_hosts(region: str) -> tuple[str, ...]:
    """The hosts that clients without any endpoint setting call: those they know, and the cells they are led to."""
    names = [f"{service}{cell}" for cell in ("", "-cell1") for service in ("ingest", "query")]
    return tuple(f"{name}.{domain_of(region)}" for name in names)


def _cell(region: str, called: str) -> str:
    """The name of a cell of the service that was called, which is in the first part of its names.

    `query.timestream.us-east-1.amazonaws.com`, or `timestream-query.us-east-1.api.aws` where that is switched on.
    """
    first = called.lower().partition(".")[0]
    service = "query" if first.removeprefix("timestream-").startswith("query") else "ingest"
    return f"{service}-cell1.{domain_of(region)}"
