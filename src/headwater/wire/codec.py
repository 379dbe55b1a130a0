"""Bodies to requests and back: strict JSON, then the constraints of a shape, then a typed value.

The request chain calls `decode` for every operation but WriteRecords, and `encode` for answers. Two faults leave
here: Malformed (not JSON as we take it, or a member of the wrong JSON type) and InvalidShape, which lists every
constraint that was broken. Never decides what a request means.
Source: JSON rules reliability.md 5; messages write-api.md 1.3.
"""

from __future__ import annotations

import json
import re
import threading
from functools import cache
from math import isfinite
from typing import Any, NoReturn, TypeVar

import msgspec
from msgspec import inspect

from headwater.errors import InvalidShape, Malformed

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
VIOLATIONS_MAX = 100
VALUE_SHOWN_CHARACTERS = 256

T = TypeVar("T", bound=msgspec.Struct)

encode = msgspec.json.Encoder().encode


def decode(body: bytes, shape: type[T], max_depth: int) -> T:
    """The request in `body`. Members the shape does not know are ignored; null counts as absent.

    Raises Malformed, or InvalidShape with every broken constraint in the order of the shape's members.
    """
    members = parse(body, max_depth)
    violations: list[str] = []
    checked = _struct(members, _type_of(shape), "", violations)
    if violations:
        raise InvalidShape(violations)
    return msgspec.convert(checked, shape)


def parse(body: bytes, max_depth: int) -> object:
    """The JSON value in `body`: UTF-8, no double keys, no lone surrogates, finite numbers, integers of 64 bits.

    Raises Malformed.
    """
    try:
        value = _DECODER.decode(body.decode("utf-8"))
    except RecursionError as error:
        raise Malformed(f"The body is nested deeper than {max_depth} levels.") from error
    except UnicodeDecodeError as error:
        raise Malformed(f"The body is not UTF-8 at byte {error.start}.") from error
    except json.JSONDecodeError as error:
        raise Malformed(f"The body is not JSON: {error.msg} at character {error.pos}.") from error
    except ValueError as error:
        # The one other ValueError is Python's refusal to read an integer of thousands of digits.
        raise Malformed("An integer in the body does not fit 64 bits.") from error
    _check(value, max_depth)
    return value


def lower_camel(name: str) -> str:
    """`DatabaseName` as paths in messages have it: `databaseName`."""
    return name[:1].lower() + name[1:]


def violation(value: object, path: str, clause: str, *, is_sensitive: bool = False) -> str:
    """One broken constraint as a message lists it; an absent value is None."""
    if value is None:
        return f"Value null at '{path}' failed to satisfy constraint: {clause}"
    if is_sensitive:
        return f"Value at '{path}' failed to satisfy constraint: {clause}"
    text = value if isinstance(value, str) else encode(value).decode()
    if len(text) > VALUE_SHOWN_CHARACTERS:
        text = text[:VALUE_SHOWN_CHARACTERS] + "..."
    return f"Value '{text}' at '{path}' failed to satisfy constraint: {clause}"


def _refuse_constant(name: str) -> NoReturn:
    raise Malformed(f"The body is not JSON: {name} is not a number.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Malformed("A member occurs twice in one object of the body.")
    return members


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant)


def _check(value: object, depth: int) -> None:
    """What the parser lets through: depth, lone surrogates, integers beyond 64 bits, numbers that overflow."""
    match value:
        case str():
            if not value.isascii():
                _check_surrogates(value)
        case bool() | None:
            pass
        case int():
            if not INT64_MIN <= value <= INT64_MAX:
                raise Malformed("An integer in the body does not fit 64 bits.")
        case float():
            if not isfinite(value):
                raise Malformed("A number in the body is too large.")
        case list() | dict():
            if depth == 0:
                raise Malformed("The body is nested too deeply.")
            for element in value.values() if isinstance(value, dict) else value:
                _check(element, depth - 1)
            if isinstance(value, dict):
                for name in value:
                    _check(name, depth - 1)


def _check_surrogates(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Malformed("A text in the body holds half of a surrogate pair.") from error


_first_use = threading.Lock()


@cache
def _type_of(shape: type[msgspec.Struct]) -> inspect.StructType:
    """What a shape says of its members. msgspec may convert to it afterwards, on any thread."""
    # This is the first use of the struct, at which msgspec (0.22) shows it to other threads half known: they crash.
    with _first_use:
        described = inspect.type_info(shape)
    assert isinstance(described, inspect.StructType)
    return described


def _struct(value: object, shape: inspect.StructType, path: str, violations: list[str]) -> dict[str, object]:
    """The members of `value` that `shape` knows, checked; those that are null or absent left out."""
    if not isinstance(value, dict):
        raise _wrong_type("a structure", path)
    checked: dict[str, object] = {}
    for field in shape.fields:
        member_path = f"{path}.{lower_camel(field.encode_name)}" if path else lower_camel(field.encode_name)
        member = value.get(field.encode_name)
        if member is not None:
            checked[field.encode_name] = _value(member, field.type, member_path, violations)
        elif field.required:
            _note(violations, [violation(None, member_path, "Member must not be null")])
    return checked


def _value(value: object, expected: inspect.Type, path: str, violations: list[str]) -> object:
    """`value` checked against the type its member declares; violations are added, a wrong JSON type raises."""
    is_sensitive = False
    if isinstance(expected, inspect.UnionType):
        expected = next(kind for kind in expected.types if not isinstance(kind, inspect.NoneType))
    if isinstance(expected, inspect.Metadata):
        is_sensitive = bool(expected.extra and expected.extra.get("sensitive"))
        expected = expected.type
    clauses: list[str] = []
    match expected:
        case inspect.StructType():
            return _struct(value, expected, path, violations)
        case inspect.StrType():
            clauses = _text_clauses(_of_type(value, str, "a string", path), expected)
        case inspect.LiteralType():
            if _of_type(value, str, "a string", path) not in expected.values:
                names = ", ".join(str(name) for name in expected.values)
                clauses = [f"Member must satisfy enum value set: [{names}]"]
        case inspect.IntType():
            clauses = _number_clauses(_of_type(value, int, "an integer", path), expected)
        case inspect.FloatType():
            _of_type(value, (int, float), "a number", path)
        case inspect.BoolType():
            _of_type(value, bool, "a boolean", path)
        case inspect.ListType():
            elements = _of_type(value, list, "a list", path)
            clauses = _length_clauses(len(elements), expected.min_length, expected.max_length)
            _note(violations, [violation(value, path, clause) for clause in clauses])
            if expected.max_length is not None and len(elements) > expected.max_length:
                return elements
            return [
                _value(element, expected.item_type, f"{path}.{place}.member", violations)
                for place, element in enumerate(elements, 1)
            ]
        case _:
            raise AssertionError(f"a shape has a member of a kind that is not checked: {expected}")
    _note(violations, [violation(value, path, clause, is_sensitive=is_sensitive) for clause in clauses])
    return value


def _note(violations: list[str], found: list[str]) -> None:
    """Add what was found; past a hundred a message helps nobody, and a body of megabytes could hold a million."""
    violations.extend(found)
    if len(violations) >= VIOLATIONS_MAX:
        raise InvalidShape(violations)


V = TypeVar("V")


def _of_type(value: object, expected: type[V] | tuple[type[V], ...], noun: str, path: str) -> V:
    # bool is a subclass of int in Python and not in JSON.
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
        raise _wrong_type(noun, path)
    return value


def _wrong_type(noun: str, path: str) -> Malformed:
    return Malformed(f"The member '{path}' is not {noun}." if path else f"The body is not {noun}.")


def _text_clauses(text: str, expected: inspect.StrType) -> list[str]:
    clauses = _length_clauses(len(text), expected.min_length, expected.max_length)
    if expected.pattern is not None and not re.compile(expected.pattern).search(text):
        pattern = expected.pattern.removeprefix(r"\A(?:").removesuffix(r")\Z")
        clauses.append(f"Member must satisfy regular expression pattern: {pattern}")
    return clauses


def _length_clauses(length: int, low: int | None, high: int | None) -> list[str]:
    if low is not None and length < low:
        return [f"Member must have length greater than or equal to {low}"]
    if high is not None and length > high:
        return [f"Member must have length less than or equal to {high}"]
    return []


def _number_clauses(number: int, expected: inspect.IntType) -> list[str]:
    if expected.ge is not None and number < expected.ge:
        return [f"Member must have value greater than or equal to {expected.ge}"]
    if expected.le is not None and number > expected.le:
        return [f"Member must have value less than or equal to {expected.le}"]
    return []
