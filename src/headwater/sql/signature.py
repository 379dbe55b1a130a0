"""What a function or operator of the dialect is: argument types, result type, and how it is written for the engine.

The binder asks `functions.resolve(name, types, constants, context)` and gets a `Resolved`: the types to coerce the
arguments to, the type of the result, its value where it is known already, and `lower`, which turns the arguments'
engine texts into the call's. The table itself is in `functions/*`: one `Signature` a row, its types written as text:

    ago(interval day to second) -> timestamp
    greatest(T...) -> T              T, U, V, W: any type; E: any that can be compared; `...`: one or more
    array_join(array(T), varchar) -> varchar

Operators (`operators.py`) answer with the same `Resolved`. Nothing here runs a query or knows a position in a text:
faults are `Invalid` without `line L:C`, which the binder puts before them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from headwater.errors import Invalid
from headwater.model.types import Array, Scalar, SqlType, Timeseries
from headwater.sql.coercion import (
    Constant,
    coercion_cost,
    common_type,
    fold_constant,
    is_comparable,
    use_once,
)


class Kind(Enum):
    """Where a function may stand: anywhere, over a group or an OVER clause, only with an OVER clause."""

    SCALAR = "scalar"
    AGGREGATE = "aggregate"
    WINDOW = "window"


@dataclass(frozen=True, slots=True)
class Context:
    """What is fixed for one query: its instant, ns since 1970, and the longest `sequence`."""

    now_ns: int
    sequence_elements: int = 10_000


@dataclass(frozen=True, slots=True)
class Modifiers:
    """What may follow the arguments of an aggregate or window function, as engine text.

    `order_by` is the list inside the parentheses (`x ASC NULLS LAST, y DESC NULLS LAST`), `filter` the condition,
    `over` what stands between the parentheses of OVER; None where there is no OVER clause, "" for OVER ().
    """

    distinct: bool = False
    order_by: str = ""
    filter: str = ""
    over: str | None = None
    ignore_nulls: bool = False


NO_MODIFIERS = Modifiers()


@dataclass(frozen=True, slots=True)
class Call:
    """One call while it is resolved and lowered; what the functions of a `Signature` are given.

    `given` are the arguments' own types, `types` those they are coerced to; `constants` are values of `types`,
    None where the argument is not constant. `texts` are there only in `lower`.
    """

    name: str
    given: tuple[SqlType, ...]
    types: tuple[SqlType, ...]
    result: SqlType
    constants: tuple[Constant | None, ...]
    context: Context
    texts: tuple[str, ...] = ()
    modifiers: Modifiers = NO_MODIFIERS

    def value(self, index: int) -> Any:
        """The value of an argument that must be constant; None is SQL's NULL. Raises Invalid if it is not one."""
        constant = self.constants[index]
        if constant is None:
            raise Invalid(f"Argument {index + 1} of function {self.name} must be a constant")
        return constant.value

    def is_constant(self, index: int) -> bool:
        return index < len(self.constants) and self.constants[index] is not None


@dataclass(frozen=True, slots=True)
class LambdaText:
    """A lambda as the engine writes it."""

    parameters: tuple[str, ...]
    body: str

    def __str__(self) -> str:
        return f"lambda {', '.join(self.parameters)}: {self.body}"


Result = Callable[[Call], SqlType]
Lower = str | Callable[[Call], str]
Fold = Callable[..., Any]
Check = Callable[[Call], None]


@dataclass(frozen=True, slots=True)
class Resolved:
    """A call whose types are known.

    `argument_types` are those the arguments must be coerced to before their texts are given to `lower`.
    `constant` is the call's value where all arguments are constant and the function can be computed here:
    the whole call may then be written as `coercion.literal(constant.value, result)`.
    `is_volatile`: each evaluation may differ (random).
    """

    name: str
    kind: Kind
    result: SqlType
    argument_types: tuple[SqlType, ...]
    write: Callable[[tuple[str, ...], Modifiers], str] = field(repr=False)
    constant: Constant | None = None
    is_volatile: bool = False

    def lower(self, texts: Sequence[str], modifiers: Modifiers = NO_MODIFIERS) -> str:
        """The call as engine SQL. `texts` are the arguments', lowered and coerced to `argument_types`."""
        assert len(texts) == len(self.argument_types)
        return self.write(tuple(texts), modifiers)


@dataclass(frozen=True, slots=True)
class Variable:
    """A type that all its places in a signature share."""

    name: str
    is_comparable: bool


@dataclass(frozen=True, slots=True)
class Nested:
    """array(P) or timeseries(P) in a signature; `make` is the type's constructor."""

    make: type[Array] | type[Timeseries]
    inner: Pattern


Pattern = Scalar | Variable | Nested

_VARIABLES = {name: Variable(name, is_comparable=name == "E") for name in ("T", "U", "V", "W", "E")}
_SCALARS = {scalar.value: scalar for scalar in Scalar}
_SIGNATURE = re.compile(r"(\w+)\((.*)\) -> (.+)")


def _pattern(text: str) -> Pattern:
    for word, make in (("array", Array), ("timeseries", Timeseries)):
        if text.startswith(f"{word}("):
            return Nested(make, _pattern(text.removeprefix(f"{word}(").removesuffix(")")))
    return _VARIABLES[text] if text in _VARIABLES else _SCALARS[text]


@dataclass(frozen=True, slots=True)
class Signature:
    """One row of the table. `row` makes it from text.

    `lower` is a template of engine SQL ({0}, {1}, ... are the arguments, {all} all of them with commas) or a function
    of the call. `fold` computes the value from the arguments' values (with the Context before them if `is_timed`);
    it raises Invalid for values it refuses. `check` looks at arguments that must be constant.
    """

    name: str
    arguments: tuple[Pattern, ...]
    is_variadic: bool
    result: Pattern | Result
    lower: Lower
    kind: Kind
    fold: Fold | None
    check: Check | None
    is_timed: bool
    is_volatile: bool
    source: str
    shown: str

    def patterns(self, count: int) -> tuple[Pattern, ...] | None:
        """The pattern of each of `count` arguments; None if so many cannot be."""
        if not self.is_variadic:
            return self.arguments if count == len(self.arguments) else None
        missing = count - len(self.arguments)
        return None if missing < 0 else self.arguments + self.arguments[-1:] * missing


def row(
    text: str,
    lower: Lower,
    *,
    source: str,
    kind: Kind = Kind.SCALAR,
    result: Result | None = None,
    fold: Fold | None = None,
    check: Check | None = None,
    is_timed: bool = False,
    is_volatile: bool = False,
) -> Signature:
    """One row from its text `name(types) -> type`; `result` replaces the type after the arrow by a computed one."""
    match = _SIGNATURE.fullmatch(text)
    assert match, f"a signature reads name(types) -> type, not {text}"
    name, inside, after = match.groups()
    arguments = tuple(_pattern(part.removesuffix("...")) for part in inside.split(", ") if part)
    return Signature(
        name=name,
        arguments=arguments,
        is_variadic=inside.endswith("..."),
        result=result or _pattern(after),
        lower=lower,
        kind=kind,
        fold=fold,
        check=check,
        is_timed=is_timed,
        is_volatile=is_volatile,
        source=source,
        shown=f"{name}({inside})",
    )


class Registry:
    """All rows by name. Names are given in any case."""

    def __init__(self, rows: Iterable[Signature]) -> None:
        self.by_name: dict[str, list[Signature]] = {}
        for signature in rows:
            self.by_name.setdefault(signature.name, []).append(signature)

    def kind(self, name: str) -> Kind | None:
        """The kind of a function, all of whose rows share it; None if there is no such function."""
        rows = self.by_name.get(name.lower())
        return rows[0].kind if rows else None

    def shown(self, name: str) -> str:
        """All rows of a function as faults show them; of a form that only looks like one, its name."""
        return ", ".join(signature.shown for signature in self.by_name.get(name.lower(), ())) or f"{name}(...)"

    def resolve(
        self,
        name: str,
        types: Sequence[SqlType],
        constants: Sequence[Constant | None],
        context: Context,
    ) -> Resolved:
        """The row that fits these arguments best, with its types filled in.

        `constants` has one entry an argument: its value, or None if it is not a constant. A constant varchar
        stands in for a date, time or timestamp. Raises Invalid: unknown function, no row fits, a bad constant.
        """
        rows = self.by_name.get(name.lower())
        if rows is None:
            raise Invalid(f"Function {name} not registered")
        fits = [fit for signature in rows if (fit := _fit(signature, types, constants)) is not None]
        if not fits:
            given = ", ".join(map(str, types))
            raise Invalid(f"Unexpected parameters ({given}) for function {name.lower()}. Expected: {self.shown(name)}")
        best = min(fits, key=lambda fit: fit.cost)
        return _resolved(best, tuple(types), constants, context)


@dataclass(frozen=True, slots=True)
class _Fit:
    """A row that takes the arguments, at what cost of conversions, and what its variables stand for."""

    signature: Signature
    cost: int
    types: tuple[SqlType, ...]
    variables: dict[str, SqlType]


def _fit(signature: Signature, types: Sequence[SqlType], constants: Sequence[Constant | None]) -> _Fit | None:
    patterns = signature.patterns(len(types))
    if patterns is None:
        return None
    variables: dict[str, SqlType] = {}
    # Literals last: what they stand for depends on the others.
    literals_last = sorted(range(len(types)), key=lambda i: constants[i] is not None and types[i] is Scalar.VARCHAR)
    for i in literals_last:
        if not _unify(patterns[i], types[i], constants[i] is not None, variables):
            return None
    targets = tuple(_substitute(pattern, variables) for pattern in patterns)
    cost = 0
    for given, target, constant in zip(types, targets, constants, strict=True):
        step = coercion_cost(given, target, is_literal=constant is not None)
        if step is None:
            return None
        cost += step
    return _Fit(signature, cost, targets, variables)


def _unify(pattern: Pattern, given: SqlType, is_literal: bool, variables: dict[str, SqlType]) -> bool:
    """Let the variables in `pattern` stand for what `given` needs; False if they cannot."""
    if isinstance(pattern, Nested):
        if isinstance(given, pattern.make):
            inner = given.value if isinstance(given, Timeseries) else given.element
            return _unify(pattern.inner, inner, False, variables)
        return given is Scalar.UNKNOWN and _unify(pattern.inner, Scalar.UNKNOWN, False, variables)
    if isinstance(pattern, Scalar):
        return True
    if pattern.is_comparable and not is_comparable(given):
        return False
    bound = variables.get(pattern.name)
    common = given if bound is None else common_type(bound, given)
    if common is None and is_literal and bound is not None and coercion_cost(given, bound, is_literal=True) is not None:
        common = bound
    if common is None:
        return False
    variables[pattern.name] = common
    return True


def _substitute(pattern: Pattern, variables: dict[str, SqlType]) -> SqlType:
    if isinstance(pattern, Variable):
        return variables[pattern.name]
    if isinstance(pattern, Nested):
        return pattern.make(_substitute(pattern.inner, variables))
    return pattern


def _resolved(
    fit: _Fit, given: tuple[SqlType, ...], constants: Sequence[Constant | None], context: Context
) -> Resolved:
    signature = fit.signature
    converted = tuple(
        None if constant is None else fold_constant(constant, own, target)
        for constant, own, target in zip(constants, given, fit.types, strict=True)
    )
    call = Call(signature.name, given, fit.types, Scalar.UNKNOWN, converted, context)
    if signature.check:
        signature.check(call)
    result = signature.result(call) if callable(signature.result) else _substitute(signature.result, fit.variables)
    call = replace(call, result=result)
    return Resolved(
        name=signature.name,
        kind=signature.kind,
        result=result,
        argument_types=fit.types,
        write=lambda texts, modifiers: _write(signature.lower, replace(call, texts=texts, modifiers=modifiers)),
        constant=_folded(signature, call),
        is_volatile=signature.is_volatile,
    )


def _folded(signature: Signature, call: Call) -> Constant | None:
    """The call's value, if it can be computed now. NULL in, NULL out."""
    if signature.fold is None or any(constant is None for constant in call.constants):
        return None
    values = [constant.value for constant in call.constants if constant is not None]
    if any(value is None for value in values):
        return Constant(None)
    return Constant(signature.fold(call.context, *values) if signature.is_timed else signature.fold(*values))


def _write(lower: Lower, call: Call) -> str:
    return lower(call) if callable(lower) else use_once(lower, call.texts)
