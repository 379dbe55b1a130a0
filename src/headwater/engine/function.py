"""What a function written in Python is to the engine. `arrow` has those of columns, `values` those of single values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter, Signature
from typing import Any

from headwater.engine.pace import RUN_VARIABLE, Pace

TEXT_CHARACTERS = 65_536
"""The longest text that a function in Python is given (ours)."""


@dataclass(frozen=True, slots=True)
class Function:
    """One function: its name, and the engine's types of its arguments and result."""

    name: str
    arguments: tuple[str, ...]
    result: str

    @property
    def own_name(self) -> str:
        """What the engine calls it by, with the number of the run first. Statements say `name`, which is a macro."""
        return f"own_{self.name}"

    def macro(self) -> str:
        """The statement that makes `name` known."""
        names = [f"a{place}" for place in range(len(self.arguments))]
        # Cut without a condition, which would have the argument evaluated twice; what was cut is refused later.
        given = [
            f"substr({name}, 1, {TEXT_CHARACTERS + 1})" if kind == "VARCHAR" else name
            for name, kind in zip(names, self.arguments, strict=True)
        ]
        call = f"{self.own_name}(getvariable('{RUN_VARIABLE}'), {', '.join(given)})"
        return f"CREATE MACRO {self.name}({', '.join(names)}) AS {call}"

    def paced(self, pace: Pace) -> Callable[..., Any]:
        """What the engine calls, with the number of the run as its first argument."""
        raise NotImplementedError

    def with_signature(self, compute: Callable[..., Any]) -> Callable[..., Any]:
        """The engine counts the parameters."""
        parameters = [Parameter(f"value_{n}", Parameter.POSITIONAL_ONLY) for n in range(len(self.arguments) + 1)]
        vars(compute)["__signature__"] = Signature(parameters)
        return compute
