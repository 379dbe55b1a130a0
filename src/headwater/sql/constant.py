"""Values known before a query runs, and what they were computed from.

A compiled statement is used again for texts that differ from it in literals only, and at other times (plan_cache.py).
So a constant remembers its origin: a literal of the text, the instant of the query, or a computation on other
constants. To read `value` is to let the plan depend on that very value: the literals behind it are *pinned*, and the
plan then serves only texts in which they are the same. That is safe for code that knows nothing of all this. The few
places that pass values on without looking at them use `combined`, `holds` and `at`, which pin nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

NOW = -1
"""The place of the instant of a query among the values a plan is made for: after all literals."""


class Changed(Exception):
    """A plan does not fit other values: with them the statement would have been compiled to something else."""


@dataclass(slots=True)
class Trace:
    """What a plan depends on beyond the shape of its text.

    `pinned` are the places of literals whose values it knows; `conditions` are what was asked of other constants, and
    the answer; `computed` are all constants computed from others, which succeeded with the values at hand.
    """

    pinned: set[int] = field(default_factory=set)
    computed: list[Constant] = field(default_factory=list)
    conditions: list[tuple[Constant, Callable[[Any], bool], bool]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Given:
    """A literal of the text, by its place among the different ones, or NOW."""

    place: int
    trace: Trace = field(compare=False, repr=False)

    def pin(self) -> None:
        self.trace.pinned.add(self.place)

    def at(self, values: Sequence[Any]) -> Any:
        return values[self.place]


@dataclass(frozen=True, slots=True)
class Computed:
    """A pure function of other constants. Functions are equal if their keys are."""

    key: Hashable
    function: Callable[..., Any] = field(compare=False)
    parts: tuple[Constant, ...]
    trace: Trace = field(compare=False, repr=False)

    def pin(self) -> None:
        for part in self.parts:
            part.pin()

    def inside(self) -> Iterator[Computed]:
        """This computation and those it rests on."""
        yield self
        for part in self.parts:
            if isinstance(part.origin, Computed):
                yield from part.origin.inside()

    def at(self, values: Sequence[Any]) -> Any:
        return self.function(*[part.at(values) for part in self.parts])


class Constant:
    """A value as the engine holds it: int ns, int days, int months, float, str, list. None is NULL.

    Two are equal if they come from the same literals in the same way; those without an origin if their values are.
    """

    __slots__ = ("_value", "origin")

    def __init__(self, value: Any, origin: Given | Computed | None = None) -> None:
        self._value = value
        self.origin = origin

    @property
    def value(self) -> Any:
        self.pin()
        return self._value

    def pin(self) -> None:
        if self.origin is not None:
            self.origin.pin()

    def at(self, values: Sequence[Any]) -> Any:
        """The value where the literals are `values`. Raises Invalid for values that the computation refuses."""
        return self._value if self.origin is None else self.origin.at(values)

    def holds(self, condition: Callable[[Any], bool]) -> bool:
        """Whether the value meets a condition; the plan then fits all values with the same answer."""
        answer = condition(self._value)
        if self.origin is not None:
            self.origin.trace.conditions.append((self, condition, answer))
        return answer

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Constant):
            return NotImplemented
        if self.origin is None and other.origin is None:
            return self._value is other._value or bool(self._value == other._value)
        return self.origin == other.origin

    def __hash__(self) -> int:
        # A constant array is a list, which has no hash of its own.
        return hash(repr(self._value) if self.origin is None else self.origin)

    def __repr__(self) -> str:
        return f"Constant({self._value!r})"


def combined(key: Hashable, function: Callable[..., Any], parts: Sequence[Constant]) -> Constant:
    """`function` of the values of `parts`. It is pure, and `key` tells it from other functions."""
    value = function(*[part._value for part in parts])
    traces = [part.origin.trace for part in parts if part.origin is not None]
    if not traces:
        return Constant(value)
    made = Constant(value, Computed(key, function, tuple(parts), traces[0]))
    traces[0].computed.append(made)
    return made
