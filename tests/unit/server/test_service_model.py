"""The service model that botocore is made from, held against what is built: input shapes, answers, errors.

Read by this test only; the server knows nothing of botocore. An operation that both services have must fit both.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import botocore.session
import msgspec
import pytest
from botocore.model import ListShape, Shape, StructureShape
from msgspec import Meta, inspect

from headwater.config import load
from headwater.errors import InvalidShape
from headwater.model.limits import Limits
from headwater.server.operations import OPERATIONS
from headwater.wire import codec, shapes
from headwater.wire.write_records import DimensionList, RequestShape
from support.serving import ACCOUNT, REGION, MemoryInstance, running

SESSION = botocore.session.get_session()
MODELS = [SESSION.get_service_model(service) for service in ("timestream-write", "timestream-query")]
CASES = [
    pytest.param(name, model, id=f"{model.service_name}-{name}")
    for model in MODELS
    for name in model.operation_names
    if name in OPERATIONS
]

REQUESTS: dict[str, type[msgspec.Struct]] = {
    name: getattr(shapes, f"{name}Request") for name in OPERATIONS if name != "WriteRecords"
}
REQUESTS["WriteRecords"] = RequestShape[DimensionList | None]

TIGHTER = {
    # The CloudFormation schema has these lengths, the model only the pattern. Source: write-api.md 2.
    ("CreateDatabase", "DatabaseName"): {"min": 3, "max": 256},
    ("CreateTable", "DatabaseName"): {"min": 3, "max": 256},
    ("CreateTable", "TableName"): {"min": 3, "max": 256},
}
"""Constraints that we have beyond the model."""

WIDER = {("TagResource", "ResourceARN"), ("UntagResource", "ResourceARN"), ("ListTagsForResource", "ResourceARN")}
"""Constraints where the services differ and the wider one is ours."""

LONG = {"min": -(2**63), "max": 2**63 - 1}
"""What every integer is held to, by the JSON reader or beside the member: no constraint of the model."""


def own(kind: inspect.Type) -> tuple[inspect.Type, dict[str, Any]]:
    """A member's type without `| None` and notes, and its constraints in the model's words."""
    notes: dict[str, Any] = {}
    if isinstance(kind, inspect.UnionType):
        (kind,) = (one for one in kind.types if not isinstance(one, inspect.NoneType))
    if isinstance(kind, inspect.Metadata):
        notes.update(kind.extra or {})
        kind = kind.type
    match kind:
        case inspect.StrType():
            pattern = kind.pattern and kind.pattern.removeprefix(r"\A(?:").removesuffix(r")\Z")
            notes.update(min=kind.min_length, max=kind.max_length, pattern=pattern)
        case inspect.ListType():
            notes.update(min=kind.min_length, max=kind.max_length)
        case inspect.IntType():
            notes.update(min=kind.ge, max=kind.le)
        case inspect.LiteralType():
            notes.update(enum=set(kind.values))
    notes = {name: value for name, value in notes.items() if value not in (None, False)}
    return kind, {} if notes == LONG else notes


KINDS: dict[str, type[inspect.Type]] = {
    "string": inspect.StrType,
    "integer": inspect.IntType,
    "long": inspect.IntType,
    "boolean": inspect.BoolType,
    "list": inspect.ListType,
    "structure": inspect.StructType,
}


def modelled(shape: Shape) -> dict[str, Any]:
    known = {
        name: shape.metadata[name] for name in ("min", "max", "pattern", "enum", "sensitive") if name in shape.metadata
    }
    if "enum" in known:
        known["enum"] = set(known["enum"])
    if known.get("min") == 0:
        # Nothing is shorter than that.
        del known["min"]
    return known


def compare(operation: str, path: str, ours: inspect.Type, theirs: Shape, found: list[str]) -> None:
    kind, constraints = own(ours)
    expected_kind = inspect.LiteralType if "enum" in theirs.metadata else KINDS[theirs.type_name]
    if not isinstance(kind, expected_kind):
        found.append(f"{path}: {type(kind).__name__} is not a {theirs.type_name}")
        return
    expected = {**modelled(theirs), **TIGHTER.get((operation, path), {})}
    if (operation, path) in WIDER:
        assert constraints.pop("max") == 2048 >= expected.pop("max")
    if constraints != expected:
        found.append(f"{path}: {constraints} instead of {expected}")
    if isinstance(theirs, ListShape):
        assert isinstance(kind, inspect.ListType)
        compare(operation, f"{path}[]", kind.item_type, theirs.member, found)
    elif isinstance(theirs, StructureShape):
        assert isinstance(kind, inspect.StructType)
        compare_members(operation, path, kind, theirs, found)


def compare_members(
    operation: str, path: str, kind: inspect.StructType, theirs: StructureShape, found: list[str]
) -> None:
    fields = {field.encode_name: field for field in kind.fields}
    missing = [name for name in theirs.members if name not in fields]
    if missing:
        found.append(f"{path}: has no {missing}")
    required = {name for name, field in fields.items() if field.required}
    if required != set(theirs.required_members):
        found.append(f"{path}: requires {required} instead of {set(theirs.required_members)}")
    for name, shape in theirs.members.items():
        if name in fields:
            compare(operation, f"{path}.{name}" if path else name, fields[name].type, shape, found)


@pytest.mark.parametrize(("name", "model"), CASES)
def test_every_member_and_constraint_of_an_input_is_ours(name: str, model: Any) -> None:
    ours = inspect.type_info(REQUESTS[name])
    assert isinstance(ours, inspect.StructType)
    found: list[str] = []
    compare_members(name, "", ours, model.operation_model(name).input_shape, found)
    assert found == []


@pytest.mark.parametrize("name", OPERATIONS)
def test_no_member_of_an_input_is_our_invention(name: str) -> None:
    inputs = [model.operation_model(name).input_shape for model in MODELS if name in model.operation_names]
    assert invented(inspect.type_info(REQUESTS[name]), inputs) == []


def invented(ours: inspect.Type, theirs: list[Shape]) -> list[str]:
    kind, _ = own(ours)
    if isinstance(kind, inspect.ListType):
        return invented(kind.item_type, [shape.member for shape in theirs])
    if not isinstance(kind, inspect.StructType):
        return []
    found = []
    for field in kind.fields:
        members = [shape.members[field.encode_name] for shape in theirs if field.encode_name in shape.members]
        found += [field.encode_name] if not members else invented(field.type, members)
    return found


Name = Annotated[str, Meta(min_length=3, max_length=256, pattern=r"\A(?:[a-zA-Z0-9_.-]+)\Z")]
Key = Annotated[str, Meta(min_length=1, max_length=2048)]


class Faultless(shapes.Shape):
    database_name: Name
    kms_key_id: Key | None = None
    tags: shapes.Tags | None = None


class Optional(Faultless):
    database_name: Name | None = None


class Required(Faultless, kw_only=True):
    tags: shapes.Tags


class Unmatched(Faultless):
    database_name: Annotated[str, Meta(min_length=3, max_length=256)]


class Short(Faultless):
    kms_key_id: Annotated[str, Meta(min_length=1, max_length=2047)] | None = None


class Numeric(Faultless):
    kms_key_id: int | None = None


class Few(Faultless):
    tags: Annotated[list[shapes.Tag], Meta(max_length=199)] | None = None


class Strange(Faultless):
    tags: Annotated[list[shapes.Shape], Meta(max_length=200)] | None = None


@pytest.mark.parametrize(
    "wrong", [Optional, Required, Unmatched, Short, Numeric, Few, Strange, shapes.TagResourceRequest]
)
def test_the_comparison_sees_what_is_wrong(wrong: type[msgspec.Struct]) -> None:
    theirs = MODELS[0].operation_model("CreateDatabase").input_shape
    for shape in (Faultless, wrong):
        found: list[str] = []
        ours = inspect.type_info(shape)
        assert isinstance(ours, inspect.StructType)
        compare_members("CreateDatabase", "", ours, theirs, found)
        assert bool(found) == (shape is wrong)


# Answers and errors, as they come over a socket.

DATABASE_ARN = f"arn:aws:timestream:{REGION}:{ACCOUNT}:database/metrics"
NAMES = {"DatabaseName": "metrics", "TableName": "cpu"}
TARGET = {"TargetDatabaseName": "metrics", "TargetTableName": "cpu"}
SOURCE = {"DataSourceS3Configuration": {"BucketName": "source"}, "DataFormat": "CSV"}
BATCH = {"DataSourceConfiguration": SOURCE, "ReportConfiguration": {}, **TARGET}
TAGGED = {"Tags": [{"Key": "team", "Value": "a"}]}
BAD_TAG = {"Tags": [{"Key": "aws:team", "Value": "a"}]}
KEYS = {"CompositePartitionKey": [{"Type": "DIMENSION", "Name": "a", "EnforcementInRecord": "REQUIRED"}]}
S3 = {"S3Configuration": {"BucketName": "rejected", "ObjectKeyPrefix": "a/", "EncryptionOption": "SSE_S3"}}
LATE = {"EnableMagneticStoreWrites": True, "MagneticStoreRejectedDataLocation": S3}
SSE_KMS = {
    "EnableMagneticStoreWrites": True,
    "MagneticStoreRejectedDataLocation": {"S3Configuration": {"EncryptionOption": "SSE_KMS"}},
}
BOTH_KEYS = {"CompositePartitionKey": [{"Type": "MEASURE"}, {"Type": "MEASURE"}]}

GOOD: list[tuple[str, dict[str, Any]]] = [
    ("CreateDatabase", {"DatabaseName": "metrics", **TAGGED}),
    ("UpdateDatabase", {"DatabaseName": "metrics", "KmsKeyId": "alias/a"}),
    ("DescribeDatabase", {"DatabaseName": "metrics"}),
    ("CreateDatabase", {"DatabaseName": "other"}),
    ("ListDatabases", {"MaxResults": 1}),
    ("CreateTable", {**NAMES, **TAGGED, "MagneticStoreWriteProperties": LATE, "Schema": KEYS}),
    ("CreateTable", {"DatabaseName": "metrics", "TableName": "other"}),
    ("DescribeTable", NAMES),
    ("ListTables", {"MaxResults": 1}),
    ("UpdateTable", NAMES),
    ("WriteRecords", {**NAMES, "Records": [{"MeasureName": "a"}]}),
    ("TagResource", {"ResourceARN": DATABASE_ARN, "Tags": [{"Key": "b", "Value": ""}]}),
    ("ListTagsForResource", {"ResourceARN": DATABASE_ARN}),
    ("UntagResource", {"ResourceARN": DATABASE_ARN, "TagKeys": ["b"]}),
    ("ListBatchLoadTasks", {}),
    ("DescribeEndpoints", {}),
    ("Query", {"QueryString": "SELECT 1", "MaxRows": 1}),
    ("DeleteTable", NAMES),
    ("DeleteDatabase", {"DatabaseName": "other"}),
]

NEVER_GOOD = {"CreateBatchLoadTask", "DescribeBatchLoadTask", "ResumeBatchLoadTask"}
"""Operations that only refuse, until there is batch load."""


def test_every_member_of_an_answer_is_one_of_the_model(server) -> None:
    for name, request in GOOD:
        status, body = server.call(name, request)
        assert status == 200, (name, body)
        for model in MODELS:
            if name in model.operation_names:
                check_answer(name, body, model.operation_model(name).output_shape)
    assert {name for name, _ in GOOD} | NEVER_GOOD == set(OPERATIONS)


def check_answer(path: str, value: Any, shape: Shape | None) -> None:
    """Names and JSON types of an answer, down to the last member."""
    if shape is None:
        assert value == {}, path
    elif isinstance(shape, StructureShape):
        # The page token of ListTagsForResource is the query service's; the others ignore what they do not know.
        unknown = set(value) - set(shape.members) - ({"NextToken"} if path == "ListTagsForResource" else set())
        assert unknown == set(), path
        assert set(shape.required_members) <= set(value), path
        for name, member in value.items():
            if name in shape.members:
                check_answer(f"{path}.{name}", member, shape.members[name])
    elif isinstance(shape, ListShape):
        for member in value:
            check_answer(f"{path}[]", member, shape.member)
    else:
        types = {"string": str, "integer": int, "long": int, "boolean": bool, "double": (int, float)}
        assert isinstance(value, types.get(shape.type_name, (int, float))), path
        assert value in shape.metadata.get("enum", [value]), path


MISSING = {"DatabaseName": "none"}
NO_TABLE = {"DatabaseName": "metrics", "TableName": "none"}
NO_ARN = f"{DATABASE_ARN}/table/none"
UNHOLY = "arn:aws:s3:::bucket"

FAULTS: list[tuple[str, dict[str, Any], str]] = [
    ("CreateDatabase", {"DatabaseName": "metrics"}, "ConflictException"),
    ("CreateDatabase", {"DatabaseName": "other", "KmsKeyId": "x"}, "ValidationException"),
    ("CreateDatabase", {"DatabaseName": "other", **BAD_TAG}, "ValidationException"),
    ("CreateDatabase", {"DatabaseName": "third"}, "ServiceQuotaExceededException"),
    ("DescribeDatabase", MISSING, "ResourceNotFoundException"),
    ("ListDatabases", {"NextToken": "x"}, "ValidationException"),
    ("UpdateDatabase", {**MISSING, "KmsKeyId": "alias/a"}, "ResourceNotFoundException"),
    ("UpdateDatabase", {"DatabaseName": "metrics", "KmsKeyId": "x"}, "ValidationException"),
    ("DeleteDatabase", MISSING, "ResourceNotFoundException"),
    ("DeleteDatabase", {"DatabaseName": "metrics"}, "ValidationException"),
    ("CreateTable", NAMES, "ConflictException"),
    ("CreateTable", {**NAMES, "DatabaseName": "none"}, "ResourceNotFoundException"),
    ("CreateTable", {**NO_TABLE, "MagneticStoreWriteProperties": SSE_KMS}, "ValidationException"),
    ("CreateTable", {**NO_TABLE, "Schema": BOTH_KEYS}, "ValidationException"),
    ("CreateTable", {**NO_TABLE, **BAD_TAG}, "ValidationException"),
    ("CreateTable", NO_TABLE, "ServiceQuotaExceededException"),
    ("DescribeTable", NO_TABLE, "ResourceNotFoundException"),
    ("DescribeTable", {**NAMES, **MISSING}, "ResourceNotFoundException"),
    ("ListTables", MISSING, "ResourceNotFoundException"),
    ("ListTables", {"NextToken": "x"}, "ValidationException"),
    ("UpdateTable", NO_TABLE, "ResourceNotFoundException"),
    ("UpdateTable", {**NAMES, "Schema": KEYS}, "ValidationException"),
    ("DeleteTable", NO_TABLE, "ResourceNotFoundException"),
    ("WriteRecords", {**NO_TABLE, "Records": [{}]}, "ResourceNotFoundException"),
    ("WriteRecords", {**NAMES, "Records": [{"MeasureName": "reject"}]}, "RejectedRecordsException"),
    ("TagResource", {"ResourceARN": NO_ARN, "Tags": []}, "ResourceNotFoundException"),
    ("TagResource", {"ResourceARN": UNHOLY, "Tags": []}, "ValidationException"),
    ("TagResource", {"ResourceARN": DATABASE_ARN, **BAD_TAG}, "ValidationException"),
    (
        "TagResource",
        {"ResourceARN": DATABASE_ARN, "Tags": [{"Key": f"k{number}", "Value": ""} for number in range(200)]},
        "ServiceQuotaExceededException",
    ),
    ("UntagResource", {"ResourceARN": NO_ARN, "TagKeys": []}, "ResourceNotFoundException"),
    ("UntagResource", {"ResourceARN": UNHOLY, "TagKeys": []}, "ValidationException"),
    ("ListTagsForResource", {"ResourceARN": NO_ARN}, "ResourceNotFoundException"),
    ("ListTagsForResource", {"ResourceARN": DATABASE_ARN, "NextToken": "x"}, "ValidationException"),
    ("CreateBatchLoadTask", BATCH, "ValidationException"),
    ("CreateBatchLoadTask", {**BATCH, "TargetTableName": "none"}, "ResourceNotFoundException"),
    ("DescribeBatchLoadTask", {"TaskId": "ABC"}, "ResourceNotFoundException"),
    ("ListBatchLoadTasks", {"NextToken": "x"}, "ValidationException"),
    ("ResumeBatchLoadTask", {"TaskId": "ABC"}, "ResourceNotFoundException"),
    ("Query", {"QueryString": "no query"}, "ValidationException"),
    ("Query", {"QueryString": "BUG"}, "InternalServerException"),
]


@pytest.fixture
def full_server(tmp_path):
    """A server of one database with one table, the database tagged, and no place for more."""
    flags = {"data": str(tmp_path), "listen": "127.0.0.1:0", "account": ACCOUNT}
    config = replace(load(flags, {}, None, processors=1), limits=Limits(databases=1, tables=1))
    instance = MemoryInstance(config, tmp_path)
    instance.catalog.create_database("metrics", None, {"team": "a"})
    instance.catalog.create_table("metrics", "cpu", None, None, None)
    with running(instance) as started:
        yield started


def test_every_fault_of_an_operation_is_one_of_its_errors(full_server) -> None:
    for name, request, expected in FAULTS:
        body = full_server.call(name, request)[1]
        assert (name, body.get("__type", "").rpartition("#")[2]) == (name, expected), body
        for model in MODELS:
            if name in model.operation_names:
                assert expected in {error.name for error in model.operation_model(name).error_shapes}, name
    assert {name for name, _, _ in FAULTS} | {"DescribeEndpoints"} == set(OPERATIONS)


COMMON = {"SerializationException", "InvalidSignatureException", "ValidationException"}
"""What the framework before an operation may answer to any: source write-api.md 1.2, 1.3."""


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_is_refused_before_an_operation_runs_is_common_to_all(server, name: str) -> None:
    answers = [
        server.call(name, {}, secret="wrong"),
        server.call(name, b"{"),
        server.call(name, [1]),
    ]
    if any(field.required for field in inspect.type_info(REQUESTS[name]).fields):
        answers.append(server.call(name, {}))
        assert answers[-1][1]["__type"] == "com.amazon.coral.validate#ValidationException"
    assert {status for status, _ in answers} == {400}
    assert {body["__type"].rpartition("#")[2] for _, body in answers} <= COMMON


@pytest.mark.parametrize("name", OPERATIONS)
def test_missing_members_are_named_in_the_order_of_the_model(name: str) -> None:
    model = next(model for model in MODELS if name in model.operation_names).operation_model(name).input_shape
    required = [codec.lower_camel(member) for member in model.members if member in model.required_members]
    missing: list[str] = []
    try:
        codec.decode(b"{}", REQUESTS[name], max_depth=32)
    except InvalidShape as fault:
        missing = [text.split("'")[1] for text in fault.violations]
    assert missing == required


NO_INTERNAL_ERROR = {"TagResource", "UntagResource", "ListTagsForResource"}
"""Operations whose model does not list the error of a server that fails; clients cope. Source: write-api.md 5."""


def test_every_operation_may_be_throttled_and_may_fail() -> None:
    for model in MODELS:
        for name in set(model.operation_names) & set(OPERATIONS):
            errors = {error.name for error in model.operation_model(name).error_shapes}
            assert "ThrottlingException" in errors
            assert ("InternalServerException" in errors) == (name not in NO_INTERNAL_ERROR)
