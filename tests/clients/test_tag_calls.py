"""Tags of databases and tables through stock boto3, by the clients of both services. Source: write-api.md 5."""

from __future__ import annotations

from typing import Any

import pytest

from support.stock import told

Tags = list[dict[str, str]]


def tag(**values: str) -> Tags:
    return [{"Key": key, "Value": value} for key, value in values.items()]


def tags(client: Any, arn: str) -> Tags:
    return client.list_tags_for_resource(ResourceARN=arn)["Tags"]


@pytest.fixture
def arn(write: Any, database: str) -> str:
    """The ARN of a database without tags."""
    return write.describe_database(DatabaseName=database)["Database"]["Arn"]


def test_tags_of_databases_and_tables(write: Any) -> None:
    made = write.create_database(DatabaseName="tagged", Tags=tag(stage="test", team="river"))["Database"]
    table = write.create_table(DatabaseName="tagged", TableName="records", Tags=tag(kind="raw"))["Table"]
    assert tags(write, made["Arn"]) == tag(stage="test", team="river")
    assert tags(write, table["Arn"]) == tag(kind="raw")
    write.tag_resource(ResourceARN=made["Arn"], Tags=tag(stage="production", Stage="x"))
    write.untag_resource(ResourceARN=made["Arn"], TagKeys=["team", "never there"])
    assert tags(write, made["Arn"]) == tag(Stage="x", stage="production")
    assert tags(write, table["Arn"]) == tag(kind="raw")


def test_what_was_made_without_tags_has_none(write: Any, database: str, arn: str) -> None:
    table = write.create_table(DatabaseName=database, TableName="records")["Table"]
    assert tags(write, arn) == tags(write, table["Arn"]) == []


def test_new_tags_come_behind_those_of_creation(write: Any) -> None:
    arn = write.create_database(DatabaseName="tagged_later", Tags=tag(k1="v1"))["Database"]["Arn"]
    write.tag_resource(ResourceARN=arn, Tags=tag(k2="v2", k3="v3"))
    assert tags(write, arn) == tag(k1="v1", k2="v2", k3="v3")
    write.untag_resource(ResourceARN=arn, TagKeys=["k2"])
    assert tags(write, arn) == tag(k1="v1", k3="v3")


def test_a_table_made_again_has_not_the_tags_of_the_old_one(write: Any, database: str) -> None:
    names = {"DatabaseName": database, "TableName": "records"}
    old = write.create_table(**names, Tags=tag(kind="raw"))["Table"]["Arn"]
    write.delete_table(**names)
    assert told(lambda: tags(write, old)) == ("ResourceNotFoundException", 404, "The table records does not exist.")
    assert write.create_table(**names)["Table"]["Arn"] == old
    assert tags(write, old) == []


def test_the_query_service_has_the_same_and_pages(write: Any, query: Any, arn: str) -> None:
    query.tag_resource(ResourceARN=arn, Tags=tag(**{f"k{n}": f"v{n}" for n in range(5)}))
    assert tags(write, arn) == tags(query, arn)
    pages = query.get_paginator("list_tags_for_resource").paginate(ResourceARN=arn, PaginationConfig={"PageSize": 2})
    found = [page["Tags"] for page in pages]
    assert [len(page) for page in found] == [2, 2, 1]
    assert [one for page in found for one in page] == tags(write, arn)
    query.untag_resource(ResourceARN=arn, TagKeys=["k0", "k1", "k2", "k3"])
    assert tags(write, arn) == tag(k4="v4")
    assert "NextToken" not in query.list_tags_for_resource(ResourceARN=arn, MaxResults=1)
    assert told(lambda: query.list_tags_for_resource(ResourceARN=arn, NextToken="no token")) == (
        "ValidationException",
        400,
        "Invalid pagination token",
    )


def test_the_most_and_the_longest_tags(write: Any, arn: str) -> None:
    most = tag(**{f"{n:03}" + "k" * 125: "v" * 256 for n in range(200)})
    write.tag_resource(ResourceARN=arn, Tags=most)
    assert tags(write, arn) == most
    # A key that is there takes no more room.
    write.tag_resource(ResourceARN=arn, Tags=[{**most[0], "Value": ""}])
    assert told(lambda: write.tag_resource(ResourceARN=arn, Tags=tag(more="")))[:2] == (
        "ServiceQuotaExceededException",
        402,
    )
    assert tags(write, arn) == [{**most[0], "Value": ""}, *most[1:]]


@pytest.mark.parametrize("text", ["Überraschung 東京", "a.b:c/d=e+f-g_h", " two  blanks "])
def test_characters_of_tags(write: Any, arn: str, text: str) -> None:
    write.tag_resource(ResourceARN=arn, Tags=[{"Key": text, "Value": text}])
    assert tags(write, arn) == [{"Key": text, "Value": text}]


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (tag(**{"aws:x": "y"}), "The tag key aws:x begins with aws:, which is reserved."),
        (tag(x="y", **{"AWS:x": "y"}), "The tag key AWS:x begins with aws:, which is reserved."),
        (tag(**{"a&b": "y"}), "The tag key a&b has a character other than letters, digits, spaces and _ . : / = + -"),
    ],
)
def test_a_bad_tag_spoils_the_call(write: Any, arn: str, sent: Tags, text: str) -> None:
    for call in (
        lambda: write.tag_resource(ResourceARN=arn, Tags=sent),
        lambda: write.create_database(DatabaseName="never_made", Tags=sent),
    ):
        assert told(call) == ("ValidationException", 400, text)
    assert tags(write, arn) == []
    assert told(lambda: write.describe_database(DatabaseName="never_made"))[0] == "ResourceNotFoundException"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ((":database/", ":database/no"), "ResourceNotFoundException"),
        ((":timestream:us-east-1:", ":timestream:eu-west-1:"), "ResourceNotFoundException"),
        (("000000000000", "999999999999"), "ResourceNotFoundException"),
        (("arn:aws:", "arn:aws-cn:"), "ResourceNotFoundException"),
        ((":database/", ":scheduled-query/"), "ResourceNotFoundException"),
        ((":timestream:", ":s3:"), "ValidationException"),
        ((":database/", ":bucket/"), "ValidationException"),
        (("arn:", "urn:"), "ValidationException"),
    ],
)
def test_an_arn_of_nothing_here(write: Any, query: Any, arn: str, change: tuple[str, str], code: str) -> None:
    other = arn.replace(*change)
    assert other != arn
    for client in (write, query):
        for call in (
            lambda client=client: tags(client, other),
            lambda client=client: client.tag_resource(ResourceARN=other, Tags=tag(a="b")),
            lambda client=client: client.untag_resource(ResourceARN=other, TagKeys=["a"]),
        ):
            assert told(call)[0] == code
