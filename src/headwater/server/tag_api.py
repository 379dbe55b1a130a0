"""The three operations on tags, which both services have; what an ARN names says whose tags they are.

`operations` names them, like those of `write_api`. Source: write-api.md 5.
"""

from __future__ import annotations

from collections.abc import Mapping

from headwater.server import tokens
from headwater.server.arns import is_scheduled_query, names_in
from headwater.server.needs import Instance
from headwater.server.write_api import Call, Members, tags_of
from headwater.wire import shapes


def tag_resource(instance: Instance, request: shapes.TagResourceRequest, _: Call) -> Members:
    tags, arn = tags_of(request.tags), request.resource_arn
    if is_scheduled_query(arn):
        instance.catalog.scheduled.tag(arn, tags)
    else:
        instance.catalog.tag(*names_in(instance.config.server, arn), tags)
    return {}


def untag_resource(instance: Instance, request: shapes.UntagResourceRequest, _: Call) -> Members:
    arn = request.resource_arn
    if is_scheduled_query(arn):
        instance.catalog.scheduled.untag(arn, request.tag_keys)
    else:
        instance.catalog.untag(*names_in(instance.config.server, arn), request.tag_keys)
    return {}


def list_tags_for_resource(instance: Instance, request: shapes.ListTagsForResourceRequest, _: Call) -> Members:
    """By key. All at once unless a page size is asked for, which only clients of the query service can.

    The order is a guess.
    """
    arn = request.resource_arn
    scope = ("ListTagsForResource", arn)
    if is_scheduled_query(arn):
        tags = instance.catalog.scheduled.tags(arn)
    else:
        tags = instance.catalog.tags(*names_in(instance.config.server, arn))
    keys = sorted(tags)
    if request.next_token:
        (after,) = tokens.unseal(instance.token_key, scope, request.next_token)
        keys = [key for key in keys if key > after]
    page = keys[: request.max_results]
    answer: Members = {"Tags": _list({key: tags[key] for key in page})}
    if len(page) < len(keys):
        answer["NextToken"] = tokens.seal(instance.token_key, scope, (page[-1],))
    return answer


def _list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
