"""The service model that botocore is made from, beside what is built: operations, members and errors, each by its path.

Tests and the page docs/operations.md are made with it; the server knows nothing of botocore. An operation that both
services have is one operation here, with the members of both. Paths are written as `Tags[].Key`; a structure that
holds itself (a row in a row) is followed once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Literal

import botocore.session
import msgspec
from botocore.model import ListShape, OperationModel, Shape, StructureShape
from msgspec import inspect

from headwater.server.operations import OPERATIONS
from headwater.wire.write_records import DimensionList, RequestShape, decode_write_records
from support.conformance_differences import MISSING, OTHERWISE, Row

SERVICES = {"timestream-write": "Write service", "timestream-query": "Query service"}

_SESSION = botocore.session.get_session()
MODELS = {service: _SESSION.get_service_model(service) for service in SERVICES}

Part = Literal["input", "output", "error"]


@dataclass(frozen=True, slots=True)
class Item:
    """One thing of the model that a server has or has not: a member, or an error, or a member of an error."""

    operation: str
    part: Part
    path: str

    def __str__(self) -> str:
        return f"{self.operation} {self.part} {self.path}"


def operation_names() -> list[str]:
    """Those of the write service, then those that only the query service has; each by name."""
    return list(dict.fromkeys(name for model in MODELS.values() for name in sorted(model.operation_names)))


def models_of(operation: str) -> list[OperationModel]:
    return [model.operation_model(operation) for model in MODELS.values() if operation in model.operation_names]


def items_of(operation: str) -> list[Item]:
    """All that the model says of an operation, in its order."""
    found: list[Item] = []
    for model in models_of(operation):
        found += [Item(operation, "input", path) for path in _paths(model.input_shape)]
        found += [Item(operation, "output", path) for path in _paths(model.output_shape)]
        for error in model.error_shapes:
            members = [path for path in _paths(error) if path != "Message"]
            found += [Item(operation, "error", path) for path in (error.name, *(f"{error.name}.{m}" for m in members))]
    parts = ("input", "output", "error")
    return sorted(dict.fromkeys(found), key=lambda item: parts.index(item.part))


def _paths(shape: Shape | None, at: str = "", above: tuple[str, ...] = ()) -> Iterator[str]:
    """Every member below `shape`; a list is the member that holds it."""
    if isinstance(shape, ListShape):
        yield from _paths(shape.member, f"{at}[]", above)
    elif isinstance(shape, StructureShape) and shape.name not in above:
        for name, member in shape.members.items():
            path = f"{at}.{name}" if at else name
            yield path
            yield from _paths(member, path, (*above, shape.name))


def seen_in(operation: str, answer: dict[str, Any]) -> set[Item]:
    """The output members that an answer has. Names and JSON types must be the model's, down to the last member."""
    found: set[str] = set()
    known: set[str] = set()
    for model in models_of(operation):
        shape = model.output_shape
        # Of the operations that both services have, one may answer more than the other knows; its clients pass over it.
        members = set(shape.members) if shape is not None else set()
        _look({name: value for name, value in answer.items() if name in members}, shape, "", {}, found)
        known |= members
    assert set(answer) <= known, f"{operation} answers {set(answer) - known}, which the model does not know"
    return {Item(operation, "output", path) for path in found}


def seen_in_error(operation: str, name: str, body: dict[str, Any]) -> set[Item]:
    """The error and those of its members that an answer has. It must be one of the operation's errors."""
    shapes = [shape for model in models_of(operation) for shape in model.error_shapes if shape.name == name]
    assert shapes, f"{name} is no error of {operation}"
    found: set[str] = set()
    # A message under both spellings, and the type, which is the protocol's.
    members = {member: value for member, value in body.items() if member not in ("__type", "message")}
    # Of the operations that both services have, the error of one may have more members than the other knows.
    _look(members, max(shapes, key=lambda shape: len(shape.members)), name, {}, found)
    assert f"{name}.Message" in found
    return {Item(operation, "error", path) for path in (found | {name}) - {f"{name}.Message"}}


def _look(value: Any, shape: Shape | None, at: str, above: dict[str, str], found: set[str]) -> None:
    if shape is None:
        assert value == {}, at
    elif isinstance(shape, StructureShape):
        at = above.get(shape.name, at)
        unknown = set(value) - set(shape.members)
        assert not unknown, f"{at} has {unknown}, which the model does not know"
        assert set(shape.required_members) <= set(value), at
        for name, member in value.items():
            path = f"{at}.{name}" if at else name
            found.add(path)
            _look(member, shape.members[name], path, {shape.name: at, **above}, found)
    elif isinstance(shape, ListShape):
        for member in value:
            _look(member, shape.member, f"{at}[]", above, found)
    else:
        types = {"string": str, "integer": int, "long": int, "boolean": bool}
        assert isinstance(value, types.get(shape.type_name, (int, float))), at
        assert value in shape.metadata.get("enum", [value]), at


# What the model demands of an input.

OURS: dict[tuple[str, str], dict[str, Any]] = {
    # The CloudFormation schema has these lengths, the model only the pattern. Source: write-api.md 2.
    ("CreateDatabase", "DatabaseName"): {"min": 3, "max": 256},
    ("CreateTable", "DatabaseName"): {"min": 3, "max": 256},
    ("CreateTable", "TableName"): {"min": 3, "max": 256},
    # The two services differ, one shape serves both: the query service's is the wider one.
    ("TagResource", "ResourceARN"): {"max": 2048},
    ("UntagResource", "ResourceARN"): {"max": 2048},
    ("ListTagsForResource", "ResourceARN"): {"max": 2048},
}
"""Constraints that are knowingly not the model's, by operation and path."""


def constraints_of(operation: str, path: str, shape: Shape) -> dict[str, Any]:
    """What a member must satisfy: `min`, `max`, `pattern`, `enum` (by name), and whether it is `sensitive`."""
    names = ("min", "max", "pattern", "enum", "sensitive")
    known = {name: shape.metadata[name] for name in names if name in shape.metadata}
    known |= OURS.get((operation, path), {})
    if "enum" in known:
        known["enum"] = sorted(known["enum"])
    # Nothing is shorter than nothing.
    return {name: value for name, value in known.items() if (name, value) != ("min", 0)}


# What the server decodes.


def request_shape(operation: str) -> type[msgspec.Struct]:
    """The shape that an operation's body is decoded to."""
    decode = OPERATIONS[operation].decode
    if decode is decode_write_records:
        return RequestShape[DimensionList | None]
    assert isinstance(decode, partial)
    shape: type[msgspec.Struct] = decode.args[0]
    return shape


@cache
def decoded_by(operation: str) -> frozenset[Item]:
    """Every member of an operation's input that the server reads."""
    return frozenset(Item(operation, "input", path) for path in _own_paths(inspect.type_info(request_shape(operation))))


def _own_paths(kind: inspect.Type, at: str = "") -> Iterator[str]:
    kind = bare(kind)
    if isinstance(kind, inspect.ListType):
        yield from _own_paths(kind.item_type, f"{at}[]")
    elif isinstance(kind, inspect.StructType):
        for field in kind.fields:
            path = f"{at}.{field.encode_name}" if at else field.encode_name
            yield path
            yield from _own_paths(field.type, path)


def bare(kind: inspect.Type) -> inspect.Type:
    """A member's type without `| None` and without notes."""
    if isinstance(kind, inspect.UnionType):
        (kind,) = (one for one in kind.types if not isinstance(one, inspect.NoneType))
    return kind.type if isinstance(kind, inspect.Metadata) else kind


# What is known to be otherwise.


def missing(item: Item) -> Row | None:
    """The row that says why an item is not here, if it is not."""
    return next((row for row in MISSING if covers(row, item)), None)


def otherwise(item: Item) -> Row | None:
    """The row that says in what an item that is here differs from the service's."""
    return next((row for row in OTHERWISE if covers(row, item)), None)


def covers(row: Row, item: Item) -> bool:
    """Whether a row of the table speaks of this item: of its very path, or of one above it."""
    if row.part != item.part or item.operation in row.besides.split():
        return False
    if row.operations != "*" and item.operation not in row.operations.split():
        return False
    return item.path == row.path or item.path.startswith((f"{row.path}.", f"{row.path}[]"))
