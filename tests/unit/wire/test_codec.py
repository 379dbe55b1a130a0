"""Bodies to requests: what is JSON here, what breaks a shape, and in which words."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import InvalidShape, Malformed
from headwater.wire import codec, shapes

DEPTH = 32


def decode(shape, body):
    return codec.decode(body if isinstance(body, bytes) else json.dumps(body).encode(), shape, DEPTH)


def broken(shape, body):
    with pytest.raises(InvalidShape) as caught:
        decode(shape, body)
    return caught.value.violations


def malformed(body, shape=shapes.DescribeDatabaseRequest):
    with pytest.raises(Malformed) as caught:
        decode(shape, body)
    return caught.value.message


def nested(levels):
    return b"[" * levels + b"]" * levels


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b'{"DatabaseName":"a"',
        b'{"DatabaseName":"a"}}',
        b'{"DatabaseName":"a"}{}',
        b"{'DatabaseName':'a'}",
        b'{"DatabaseName":"a",}',
        b'{"DatabaseName":"a\nb"}',
        b'{"DatabaseName":"\\x"}',
        b'\xef\xbb\xbf{"DatabaseName":"a"}',
        b'{"DatabaseName":"\xff"}',
        b'{"DatabaseName":"\xed\xa0\x80"}',
        b'{"DatabaseName":"a","DatabaseName":"a"}',
        b'{"DatabaseName":"a","X":{"y":1,"y":2}}',
        b'{"DatabaseName":"\\ud800"}',
        b'{"DatabaseName":"a","X":"\\udc00\\ud800"}',
        b'{"DatabaseName":"a","\\ud800":1}',
        b'{"DatabaseName":"a","X":NaN}',
        b'{"DatabaseName":"a","X":-Infinity}',
        b'{"DatabaseName":"a","X":1e999}',
        b'{"DatabaseName":"a","X":9223372036854775808}',
        b'{"DatabaseName":"a","X":-9223372036854775809}',
        b'{"DatabaseName":"a","X":' + b"9" * 5000 + b"}",
        b'{"DatabaseName":"a","X":' + nested(DEPTH) + b"}",
        b'{"DatabaseName":"a","X":' + nested(100_000) + b"}",
        b"[]",
        b"null",
        b'"a"',
        b"1",
    ],
)
def test_what_is_not_json_here(body):
    assert malformed(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"DatabaseName":"a","X":' + nested(DEPTH - 1) + b"}",
        b'{"DatabaseName":"a","X":[9223372036854775807,-9223372036854775808,1e308,true,null]}',
        b'{"DatabaseName":"a","X":"\\ud83d\\ude00"}',
        b' \r\n\t{ "DatabaseName" : "a" } ',
    ],
)
def test_what_is_json_here_with_members_that_nobody_knows(body):
    assert decode(shapes.DescribeDatabaseRequest, body) == shapes.DescribeDatabaseRequest("a")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    # Halves of surrogate pairs are no text.
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=20,
)


@given(JSON)
def test_parse_reads_what_json_writes(value):
    assert codec.parse(json.dumps(value).encode(), 100) == value


@given(st.binary())
def test_any_bytes_are_refused_by_a_fault_and_nothing_else(body):
    with pytest.raises((Malformed, InvalidShape)):
        codec.decode(body, shapes.CreateTableRequest, DEPTH)


@pytest.mark.parametrize(
    ("shape", "body", "path"),
    [
        (shapes.DescribeDatabaseRequest, {"DatabaseName": 1}, "databaseName"),
        (shapes.ListDatabasesRequest, {"MaxResults": "1"}, "maxResults"),
        (shapes.ListDatabasesRequest, {"MaxResults": True}, "maxResults"),
        (shapes.ListDatabasesRequest, {"MaxResults": 1.0}, "maxResults"),
        (shapes.CreateDatabaseRequest, {"DatabaseName": "abc", "Tags": {}}, "tags"),
        (shapes.CreateDatabaseRequest, {"DatabaseName": "abc", "Tags": [1]}, "tags.1.member"),
        (shapes.CreateTableRequest, {"RetentionProperties": []}, "retentionProperties"),
        (
            shapes.CreateTableRequest,
            {"MagneticStoreWriteProperties": {"EnableMagneticStoreWrites": 1}},
            "magneticStoreWriteProperties.enableMagneticStoreWrites",
        ),
    ],
)
def test_a_member_of_the_wrong_json_type_is_malformed_and_named(shape, body, path):
    assert f"'{path}'" in malformed(body, shape)


def test_null_is_absent():
    assert decode(shapes.ListTablesRequest, {"DatabaseName": None, "MaxResults": None}) == shapes.ListTablesRequest()
    assert broken(shapes.DescribeDatabaseRequest, {"DatabaseName": None}) == [
        "Value null at 'databaseName' failed to satisfy constraint: Member must not be null"
    ]


def test_every_violation_is_told_in_one_message_in_the_order_of_the_shape():
    with pytest.raises(InvalidShape) as caught:
        decode(
            shapes.CreateTableRequest,
            {
                "DatabaseName": "a b",
                "RetentionProperties": {"MemoryStoreRetentionPeriodInHours": 0},
                "Schema": {"CompositePartitionKey": [{"Type": "X", "Name": ""}]},
            },
        )
    assert caught.value.message == (
        "6 validation errors detected: "
        "Value 'a b' at 'databaseName' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+; "
        "Value null at 'tableName' failed to satisfy constraint: Member must not be null; "
        "Value '0' at 'retentionProperties.memoryStoreRetentionPeriodInHours' failed to satisfy constraint: "
        "Member must have value greater than or equal to 1; "
        "Value null at 'retentionProperties.magneticStoreRetentionPeriodInDays' failed to satisfy constraint: "
        "Member must not be null; "
        "Value 'X' at 'schema.compositePartitionKey.1.member.type' failed to satisfy constraint: "
        "Member must satisfy enum value set: [DIMENSION, MEASURE]; "
        "Value '' at 'schema.compositePartitionKey.1.member.name' failed to satisfy constraint: "
        "Member must have length greater than or equal to 1"
    )


@pytest.mark.parametrize(
    ("name", "clause"),
    [
        ("ab", "Member must have length greater than or equal to 3"),
        ("a" * 257, "Member must have length less than or equal to 256"),
        ("abc\n", "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"),
        ("abé", "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"),
        ("a/b", "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"),
    ],
)
def test_new_names(name, clause):
    (violation,) = broken(shapes.CreateDatabaseRequest, {"DatabaseName": name})
    assert violation.endswith(f"failed to satisfy constraint: {clause}")


def test_odd_names_that_are_allowed():
    for name in ("...", "a..b", "-._", "a" * 256):
        assert decode(shapes.CreateDatabaseRequest, {"DatabaseName": name}).database_name == name


def test_limits_of_numbers_and_lists():
    ask = {"MaxResults": 21}
    assert broken(shapes.ListTablesRequest, ask) == [
        "Value '21' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 20"
    ]
    schema = {"DatabaseName": "abc", "TableName": "abc", "Schema": {"CompositePartitionKey": []}}
    assert broken(shapes.CreateTableRequest, schema) == [
        "Value '[]' at 'schema.compositePartitionKey' failed to satisfy constraint: "
        "Member must have length greater than or equal to 1"
    ]
    tags = {"DatabaseName": "abc", "Tags": [{"Key": "k", "Value": ""}] * 201}
    (violation,) = broken(shapes.CreateDatabaseRequest, tags)
    assert violation.endswith(
        "...' at 'tags' failed to satisfy constraint: Member must have length less than or equal to 200"
    )


def test_bucket_pattern_is_that_of_the_model():
    def request(bucket):
        location = {"S3Configuration": {"BucketName": bucket}}
        writes = {"EnableMagneticStoreWrites": True, "MagneticStoreRejectedDataLocation": location}
        return {"DatabaseName": "abc", "TableName": "abc", "MagneticStoreWriteProperties": writes}

    assert decode(shapes.CreateTableRequest, request("my-bucket.logs"))
    (violation,) = broken(shapes.CreateTableRequest, request("My-Bucket"))
    assert violation == (
        "Value 'My-Bucket' at 'magneticStoreWriteProperties.magneticStoreRejectedDataLocation.s3Configuration."
        "bucketName' failed to satisfy constraint: Member must satisfy regular expression pattern: "
        r"[a-z0-9][\.\-a-z0-9]{1,61}[a-z0-9]"
    )


def test_query_texts_and_client_tokens_are_not_shown():
    found = broken(shapes.QueryRequest, {"QueryString": "secret" * 50_000, "ClientToken": "secret"})
    assert found == [
        "Value at 'queryString' failed to satisfy constraint: Member must have length less than or equal to 262144",
        "Value at 'clientToken' failed to satisfy constraint: Member must have length greater than or equal to 32",
    ]


TWO_FIRST_USES = """
import threading
import msgspec
from headwater.wire import codec

is_half_known, other_is_done = threading.Event(), threading.Event()

def slowly():
    if threading.current_thread() is first:
        is_half_known.set()
        other_is_done.wait(0.5)
    return int

class Inner(msgspec.Struct):
    number: "slowly()"

class Outer(msgspec.Struct):
    inner: Inner

def use():
    assert codec.decode(b'{"inner": {"number": 1}}', Outer, 32).inner.number == 1

first = threading.Thread(target=use)
first.start()
assert is_half_known.wait(20)
use()
other_is_done.set()
first.join()
"""


def test_two_threads_use_a_shape_for_the_first_time() -> None:
    """The second waits for the first, which goes on after half a second. Otherwise the process crashes."""
    done = subprocess.run([sys.executable, "-c", TWO_FIRST_USES], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
