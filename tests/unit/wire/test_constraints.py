"""Every constraint of every input member of the service model, broken: the words that the service has for it.

Requests are made from the model: one that satisfies everything, with all members, and from it one for each way to
break one constraint. Paths are lowerCamelCase, elements counted from 1. Source: write-api.md 1.3; that a length is
told before a pattern, and that enum values are told by name, is a guess.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.model import ListShape, Shape, StructureShape

from headwater.errors import InvalidShape
from headwater.model.limits import Limits
from headwater.server.operations import OPERATIONS
from support.conformance import constraints_of, models_of

TEXTS = ("AAA", "aaa", "A" * 32)
"""One of these matches any pattern of the model, and is long enough for any minimum."""

MARK = "?!"
"""Matches no pattern and is in no enum."""

ABSENT = object()
"""Stands for a member that is not there. None is a null."""

Step = str | int


@dataclass(frozen=True)
class Break:
    """A request with `value` at `place`, and what is to be said of it."""

    place: tuple[Step, ...]
    value: Any
    told: list[str]

    def __str__(self) -> str:
        return f"{'.'.join(map(str, self.place))}={str(self.value)[:20]}"


@dataclass(frozen=True)
class Member:
    """A member of an operation's input. `path` is the model's, `place` leads there in the example."""

    operation: str
    shape: Shape
    place: tuple[Step, ...] = ()
    path: str = ""
    is_required: bool = False

    @property
    def constraints(self) -> dict[str, Any]:
        return constraints_of(self.operation, self.path, self.shape)

    def below(self) -> Iterator[Member]:
        if isinstance(self.shape, StructureShape):
            for name, shape in self.shape.members.items():
                path = f"{self.path}.{name}" if self.path else name
                yield Member(self.operation, shape, (*self.place, name), path, name in self.shape.required_members)
        elif isinstance(self.shape, ListShape):
            yield Member(self.operation, self.shape.member, (*self.place, 0), f"{self.path}[]")

    def all(self) -> Iterator[Member]:
        yield self
        for member in self.below():
            yield from member.all()

    def example(self) -> Any:
        """A value that satisfies everything."""
        if isinstance(self.shape, StructureShape):
            return {str(member.place[-1]): member.example() for member in self.below()}
        if isinstance(self.shape, ListShape):
            return [member.example() for member in self.below()]
        rules = self.constraints
        match self.shape.type_name:
            case "string" if "enum" in rules:
                return rules["enum"][0]
            case "string":
                low, high = rules.get("min", 1), rules.get("max", 10**6)
                fitting = (text for text in TEXTS if re.fullmatch(rules.get("pattern", ".*"), text))
                return next(text[:high] for text in fitting if len(text) >= low)
            case "boolean":
                return True
        return rules.get("min", 1)

    def breaks(self) -> Iterator[Break]:
        """Each way to break one constraint. A value may break two at once: then both are told."""
        rules = self.constraints
        if self.is_required:
            told = f"Value null at '{self.shown}' failed to satisfy constraint: Member must not be null"
            yield from (Break(self.place, value, [told]) for value in (None, ABSENT))
        for value in self._bad_values(rules):
            yield Break(self.place, value, [self._told(value, clause) for clause in clauses(value, rules)])

    def _bad_values(self, rules: dict[str, Any]) -> Iterator[Any]:
        low, high = rules.get("min"), rules.get("max")
        match self.example():
            case bool() | dict():
                pass
            case list(elements):
                sizes = [size for size in (low and low - 1, high and high + 1) if size is not None]
                yield from (elements * size for size in sizes)
            case int():
                yield from (number for number in (low and low - 1, high and high + 1) if number is not None)
            case str(text):
                if "enum" in rules or "pattern" in rules:
                    yield MARK * (low or 2)
                if low is not None:
                    yield text[0] * (low - 1)
                if high is not None:
                    yield text[0] * (high + 1)

    def _told(self, value: Any, clause: str) -> str:
        if self.constraints.get("sensitive"):
            return f"Value at '{self.shown}' failed to satisfy constraint: {clause}"
        text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        text = text if len(text) <= 256 else f"{text[:256]}..."
        return f"Value '{text}' at '{self.shown}' failed to satisfy constraint: {clause}"

    @property
    def shown(self) -> str:
        """The path as messages have it."""
        parts = (f"{step + 1}.member" if isinstance(step, int) else step[0].lower() + step[1:] for step in self.place)
        return ".".join(parts)


def clauses(value: Any, rules: dict[str, Any]) -> list[str]:
    low, high = rules.get("min"), rules.get("max")
    noun, size = ("value", value) if isinstance(value, int) else ("length", len(value))
    found = []
    if low is not None and size < low:
        found.append(f"Member must have {noun} greater than or equal to {low}")
    if high is not None and size > high:
        found.append(f"Member must have {noun} less than or equal to {high}")
    if "pattern" in rules and not re.fullmatch(rules["pattern"], value):
        found.append(f"Member must satisfy regular expression pattern: {rules['pattern']}")
    if "enum" in rules and value not in rules["enum"]:
        found.append(f"Member must satisfy enum value set: [{', '.join(rules['enum'])}]")
    return found


def put(request: Any, place: tuple[Step, ...], value: Any) -> Any:
    """A copy of the request with another value there."""
    changed = copy.deepcopy(request)
    node = changed
    for step in place[:-1]:
        node = node[step]
    if value is ABSENT:
        del node[place[-1]]
    else:
        node[place[-1]] = value
    return changed


def message(operation: str, request: Any) -> str | None:
    """What is said of a request; None if it satisfies everything."""
    try:
        OPERATIONS[operation].decode(json.dumps(request).encode(), Limits())
    except InvalidShape as fault:
        return fault.message
    return None


def expected(told: list[str]) -> str:
    return f"{len(told)} validation error{'s' if len(told) > 1 else ''} detected: {'; '.join(told)}"


ROOTS = [Member(name, model.input_shape) for name in OPERATIONS for model in models_of(name)]
BREAKS = [
    pytest.param(root, broken, id=f"{root.operation}-{broken}")
    for root in ROOTS
    for member in root.all()
    for broken in member.breaks()
]


@pytest.mark.parametrize("root", ROOTS, ids=lambda root: f"{root.operation}-{root.shape.name}")
def test_a_request_with_every_member_passes_and_those_not_required_may_be_null_or_absent(root: Member) -> None:
    request = root.example()
    assert message(root.operation, request) is None
    for member in root.all():
        if member.place and isinstance(member.place[-1], str) and not member.is_required:
            for nothing in (None, ABSENT):
                assert message(root.operation, put(request, member.place, nothing)) is None


@pytest.mark.parametrize(("root", "broken"), BREAKS)
def test_a_broken_constraint_is_told_in_the_words_of_the_service(root: Member, broken: Break) -> None:
    assert broken.told, "the value was meant to break a constraint"
    assert message(root.operation, put(root.example(), broken.place, broken.value)) == expected(broken.told)


@pytest.mark.parametrize("root", ROOTS, ids=lambda root: f"{root.operation}-{root.shape.name}")
def test_all_broken_constraints_are_told_at_once_in_the_order_of_the_model(root: Member) -> None:
    request, told = root.example(), []
    for member in root.all():
        broken = next(
            (one for one in member.breaks() if not isinstance(member.shape, StructureShape | ListShape)), None
        )
        if broken is not None:
            request = put(request, broken.place, broken.value)
            told += broken.told
    assert message(root.operation, request) == (expected(told) if told else None)
