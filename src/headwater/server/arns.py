"""ARNs of databases and tables: made for answers, read from requests about tags.

Both `*_api` files and `tag_api` use it. Knows only how names are written, not whether such a thing exists.
Source: write-api.md 2, security.md 2.
"""

from __future__ import annotations

import re

from headwater.config import ServerSettings
from headwater.errors import Invalid, NotFound
from headwater.model.region import partition_of

_ARN = re.compile(
    r"arn:(?P<partition>[^:/]+):timestream:(?P<region>[^:/]+):(?P<account>[^:/]+):(?P<resource>.+)", re.DOTALL
)
_DATABASE = re.compile(r"database/(?P<database>[^/]+)(?:/table/(?P<table>[^/]+))?")
_SCHEDULED_QUERY = re.compile(r"scheduled-query/(?P<name>[^/]+)")


def database_arn(server: ServerSettings, database: str) -> str:
    return f"arn:{partition_of(server.region)}:timestream:{server.region}:{server.account}:database/{database}"


def table_arn(server: ServerSettings, database: str, table: str) -> str:
    return f"{database_arn(server, database)}/table/{table}"


def names_in(server: ServerSettings, arn: str) -> tuple[str, str | None]:
    """The database, and the table unless it is the ARN of a database.

    Raises Invalid for what is no ARN of this service, NotFound for one of another account or region and for a scheduled
    query, of which there are none yet. The classes and the texts are a guess.
    """
    found = _ARN.fullmatch(arn)
    if found is None:
        raise Invalid(f"The resource ARN {arn} is invalid.")
    names = _DATABASE.fullmatch(found["resource"])
    query = _SCHEDULED_QUERY.fullmatch(found["resource"])
    if names is None and query is None:
        raise Invalid(f"The resource ARN {arn} is invalid.")
    here = (partition_of(server.region), server.region, server.account)
    if names is None or (found["partition"], found["region"], found["account"]) != here:
        raise NotFound("scheduled query" if query else "resource", arn)
    return names["database"], names["table"]
