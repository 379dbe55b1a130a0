"""The three operations on tags, which both services have; what an ARN names says whose tags they are.

`operations` names them, like those of `write_api`. Source: write-api.md 5.
"""

from __future__ import annotations

from collections.abc import Mapping

from headwater.server import tokens
from headwater.server.arns import names_in
from headwater.server.needs import Instance
from headwater.server.write_api import Call, Members, tags_of
from headwater.wire import shapes


def tag_resource(instance: Instance, request: shapes.TagResourceRequest, _: Call) -> Members:
    database, table = names_in(instance.config.server, request.resource_arn)
    instance.catalog.tag(database, table, tags_of(request.tags))
    return {}


def untag_resource(instance: Instance, request: shapes.UntagResourceRequest, _: Call) -> Members:
    database, table = names_in(instance.config.server, request.resource_arn)
    instance.catalog.untag(database, table, request.tag_keys)
    return {}


def list_tags_for_resource(instance: Instance, request: shapes.ListTagsForResourceRequest, _: Call) -> Members:
    """By key. All at once unless a page size is asked for, which only clients of the query service can.

    The order is a guess.
    """
    database, table = names_in(instance.config.server, request.resource_arn)
    scope = ("ListTagsForResource", request.resource_arn)
    tags = instance.catalog.tags(database, table)
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
