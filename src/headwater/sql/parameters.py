"""`@parameters` of a statement: values given for them, or the types that their places ask for.

Used by the binder through `Binding.parameters`. Source: sql.md 4.8; how types are inferred is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from headwater.model.types import OutputColumn, Scalar, SqlType
from headwater.sql import tree
from headwater.sql.binder_context import fault
from headwater.sql.bound import Expression, Literal, Placeholder
from headwater.sql.coercion import common_type
from headwater.sql.constant import Constant

RUNTIME = "scheduled_runtime"
"""The parameter of scheduled queries: the moment a run was scheduled for, a timestamp."""


@dataclass(frozen=True, slots=True)
class ParameterValue:
    """A value as model/types.py carries it: a timestamp is int ns. None is NULL."""

    value: Any
    type: Scalar


@dataclass(frozen=True, slots=True)
class Supplied:
    """Values by name, without the sign."""

    values: Mapping[str, ParameterValue]

    def bind(self, node: tree.Parameter) -> Expression:
        given = self.values.get(node.name)
        if given is None:
            raise fault(node, f"Parameter '@{node.name}' has no value")
        return Literal(Constant(given.value), given.type)


@dataclass(frozen=True, slots=True)
class Inferred:
    """Collects what the places of each parameter ask for."""

    found: dict[str, Placeholder] = field(default_factory=dict)

    def bind(self, node: tree.Parameter) -> Expression:
        kind = Scalar.TIMESTAMP if node.name == RUNTIME else Scalar.UNKNOWN
        return self.found.setdefault(node.name, Placeholder(node.name, kind, []))

    def types(self) -> tuple[OutputColumn, ...]:
        """Each parameter with the type that all its places take; with that of the first where they disagree."""
        return tuple(OutputColumn(each.name, _common(each)) for each in self.found.values())


def _common(placeholder: Placeholder) -> SqlType:
    return reduce(lambda one, other: common_type(one, other) or one, placeholder.wanted, placeholder.type)
