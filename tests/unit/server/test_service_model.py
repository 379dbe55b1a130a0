"""The service model that botocore is made from, held against the shapes that requests are decoded to.

An operation that both services have must fit both. What is answered is tests/wire/test_conformance.py's matter, the
words for a broken constraint tests/unit/wire/test_constraints.py's.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import pytest
from botocore.model import ListShape, Shape, StructureShape
from msgspec import Meta, inspect

from headwater.server.operations import OPERATIONS
from headwater.wire import shapes
from support.conformance import MODELS, bare, constraints_of, models_of, request_shape

CASES = [
    pytest.param(name, model, id=f"{model.service_name}-{name}")
    for model in MODELS.values()
    for name in model.operation_names
    if name in OPERATIONS
]

INTEGERS = ({"min": -(2**63), "max": 2**63 - 1}, {"min": -(2**31), "max": 2**31 - 1})
"""What a long and an integer hold, by the JSON reader or beside the member: no constraint of the model."""


def own(noted: inspect.Type) -> tuple[inspect.Type, dict[str, Any]]:
    """A member's type without `| None` and notes, and its constraints in the model's words."""
    notes: dict[str, Any] = {}
    if isinstance(noted, inspect.UnionType):
        (noted,) = (one for one in noted.types if not isinstance(one, inspect.NoneType))
    if isinstance(noted, inspect.Metadata):
        notes.update(noted.extra or {})
    kind = bare(noted)
    match kind:
        case inspect.StrType():
            pattern = kind.pattern and kind.pattern.removeprefix(r"\A(?:").removesuffix(r")\Z")
            notes.update(min=kind.min_length, max=kind.max_length, pattern=pattern)
        case inspect.ListType():
            notes.update(min=kind.min_length, max=kind.max_length)
        case inspect.IntType():
            notes.update(min=kind.ge, max=kind.le)
        case inspect.LiteralType():
            notes.update(enum=sorted(map(str, kind.values)))
    notes = {name: value for name, value in notes.items() if value not in (None, False)}
    return kind, {} if notes in INTEGERS else notes


KINDS: dict[str, type[inspect.Type]] = {
    "string": inspect.StrType,
    "integer": inspect.IntType,
    "long": inspect.IntType,
    "boolean": inspect.BoolType,
    "list": inspect.ListType,
    "structure": inspect.StructType,
    "timestamp": inspect.FloatType,
}


def compare(operation: str, path: str, ours: inspect.Type, theirs: Shape, found: list[str]) -> None:
    kind, constraints = own(ours)
    expected_kind = inspect.LiteralType if "enum" in theirs.metadata else KINDS[theirs.type_name]
    if not isinstance(kind, expected_kind):
        found.append(f"{path}: {type(kind).__name__} is not a {theirs.type_name}")
        return
    expected = constraints_of(operation, path, theirs)
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
    ours = inspect.type_info(request_shape(name))
    assert isinstance(ours, inspect.StructType)
    found: list[str] = []
    compare_members(name, "", ours, model.operation_model(name).input_shape, found)
    assert found == []


@pytest.mark.parametrize("name", OPERATIONS)
def test_no_member_of_an_input_is_our_invention(name: str) -> None:
    inputs = [model.input_shape for model in models_of(name)]
    assert invented(inspect.type_info(request_shape(name)), inputs) == []


def invented(ours: inspect.Type, theirs: list[Shape]) -> list[str]:
    kind = bare(ours)
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
    theirs = MODELS["timestream-write"].operation_model("CreateDatabase").input_shape
    for shape in (Faultless, wrong):
        found: list[str] = []
        ours = inspect.type_info(shape)
        assert isinstance(ours, inspect.StructType)
        compare_members("CreateDatabase", "", ours, theirs, found)
        assert bool(found) == (shape is wrong)


COMMON = {"SerializationException", "InvalidSignatureException", "ValidationException"}
"""What the framework before an operation may answer to any: source write-api.md 1.2, 1.3."""


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_is_refused_before_an_operation_runs_is_common_to_all(server, name: str) -> None:
    answers = [
        server.call(name, {}, secret="wrong"),
        server.call(name, b"{"),
        server.call(name, [1]),
    ]
    if any(field.required for field in inspect.type_info(request_shape(name)).fields):
        answers.append(server.call(name, {}))
        assert answers[-1][1]["__type"] == "com.amazon.coral.validate#ValidationException"
    assert {status for status, _ in answers} == {400}
    assert {body["__type"].rpartition("#")[2] for _, body in answers} <= COMMON
