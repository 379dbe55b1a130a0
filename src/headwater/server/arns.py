"""ARNs of databases and tables: made for answers, read from requests about tags.

The `*_api` files use it. ARNs of scheduled queries are only told apart here, the catalog has them whole. Knows how
names are written, not whether such a thing exists.
Source: write-api.md 2, security.md 2.
"""

from __future__ import annotations

import re

from headwater.config import ServerSettings
from headwater.errors import Invalid, NotFound
from headwater.model.region import partition_of, timestream_arn

_ARN = re.compile(
    r"arn:(?P<partition>[^:/]+):timestream:(?P<region>[^:/]+):(?P<account>[^:/]+):(?P<resource>.+)", re.DOTALL
)
_DATABASE = re.compile(r"database/(?P<database>[^/]+)(?:/table/(?P<table>[^/]+))?")
_SCHEDULED_QUERY = re.compile(r"scheduled-query/.+", re.DOTALL)


def database_arn(server: ServerSettings, database: str) -> str:
    return timestream_arn(server.region, server.account, f"database/{database}")


def table_arn(server: ServerSettings, database: str, table: str) -> str:
    return f"{database_arn(server, database)}/table/{table}"


def names_in(server: ServerSettings, arn: str) -> tuple[str, str | None]:
    """The database, and the table unless it is the ARN of a database.

    Raises Invalid for what is no ARN of this service and for that of a scheduled query, NotFound for one of another
    account or region. The classes and the texts are a guess.
    """
    found = _ARN.fullmatch(arn)
    if found is None:
        raise Invalid(f"The resource ARN {arn} is invalid.")
    names = _DATABASE.fullmatch(found["resource"])
    if names is None:
        raise Invalid(f"The resource ARN {arn} is invalid.")
    here = (partition_of(server.region), server.region, server.account)
    if (found["partition"], found["region"], found["account"]) != here:
        raise NotFound("resource", arn)
    return names["database"], names["table"]


def is_scheduled_query(arn: str) -> bool:
    """Whether it is written like the ARN of a scheduled query, here or elsewhere."""
    found = _ARN.fullmatch(arn)
    return found is not None and _SCHEDULED_QUERY.fullmatch(found["resource"]) is not None
