"""The role that a scheduled query acts as, assumed anew when the query is made and for each of its runs.

`scheduling` and `scheduled_run` call it. What the query may read is asked for when its text is compiled
(`query/job`), and whether its topic may be told by who tells it (`notify`). Source: scheduled-queries.md 8.
"""

from __future__ import annotations

from headwater.model.scheduled_query import ReportLocation, ScheduledQuery
from headwater.rights.roles import Role, Roles


def assume(roles: Roles, query: ScheduledQuery, report: ReportLocation) -> Role:
    """The role, which may write to the target and put a report at its place, whether or not either is there.

    Raises Denied, Unavailable.
    """
    role = roles.assume(query.role_arn)
    if query.target is not None:
        role.require_table("timestream:WriteRecords", query.target.database, query.target.table)
    role.require_object("s3:PutObject", report.bucket, report.key)
    return role
