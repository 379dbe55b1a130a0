"""What a function or operator of the dialect is: argument types, result type, and how it is written for the engine.

The binder asks `functions.resolve(name, types, constants, context)` and gets a `Resolved`: the types to coerce the
arguments to, the type of the result, its value where it is known already, and `lower`, which turns the arguments'
engine texts into the call's. The table itself is in `functions/*`: one `Signature` a row, its types written as text:

    ago(interval day to second) -> timestamp
    greatest(T...) -> T              a capital: any type; E and K: any that can be compared; `...`: one or more
    map_keys(map(K, V)) -> array(K)
    filter(array(T), function(T, boolean)) -> array(T)      a lambda: types of its parameters, then of its body

A call with lambdas is resolved in two steps, because a body has a type only once its parameters have: `begin` finds the
row and says what each lambda gets, the binder binds the bodies, `Begun.end` gives the `Resolved`.

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
from headwater.model.types import Array, Field, Map, Row, Scalar, SqlType, Timeseries
from headwater.sql.coercion import (
    coercion_cost,
    common_type,
    failure,
    fold_constant,
    is_comparable,
    quoted,
    use_once,
)
from headwater.sql.constant import Constant, combined
from headwater.threads import in_turns


class Kind(Enum):
    """Where a function may stand: anywhere, over a group or an OVER clause, only with an OVER clause."""

    SCALAR = "scalar"
    AGGREGATE = "aggregate"
    WINDOW = "window"


class NotConstant(Invalid):
    """An argument is not constant that must be. Like every Invalid, the binder gives it its position."""


@dataclass(frozen=True, slots=True)
class Context:
    """What is fixed for one query: its instant, ns since 1970, and the longest `sequence`."""

    now: Constant
    sequence_elements: int = 10_000

    @property
    def now_ns(self) -> int:
        """The instant. To read it is to tie the plan to it: see constant.py."""
        return int(self.now.value)


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
    lambdas: tuple[LambdaText, ...] = ()

    def value(self, index: int) -> Any:
        """The value of an argument that must be constant; None is SQL's NULL. Raises NotConstant."""
        constant = self.constants[index]
        if constant is None:
            raise NotConstant(f"Argument {index + 1} of function {self.name} must be a constant")
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
    write: Callable[[tuple[str, ...], Modifiers, tuple[LambdaText, ...]], str] = field(repr=False)
    constant: Constant | None = None
    is_volatile: bool = False

    def lower(
        self, texts: Sequence[str], modifiers: Modifiers = NO_MODIFIERS, lambdas: Sequence[LambdaText] = ()
    ) -> str:
        """The call as engine SQL. `texts` are the arguments', lowered and coerced to `argument_types`."""
        assert len(texts) == len(self.argument_types)
        return self.write(tuple(texts), modifiers, tuple(lambdas))


def failing(message: str, result: SqlType, types: Sequence[SqlType]) -> Resolved:
    """A call of which is known already that it fails with `message`, unless an argument is NULL.

    Like any other it fails the query where it is evaluated only: not in a branch that is not taken, nor over no rows,
    nor inside TRY. It has no function's name, so that nobody takes it for one whose values they know.
    """

    def write(texts: tuple[str, ...], *_: object) -> str:
        fault = failure(quoted(message), result)
        there = " AND ".join(f"({text}) IS NOT NULL" for text in texts)
        return f"CASE WHEN {there} THEN {fault} END" if there else fault

    return Resolved("failure", Kind.SCALAR, result, tuple(types), write)


def refused(
    fault: Invalid, constants: Iterable[Constant | None], result: SqlType, types: Sequence[SqlType]
) -> Resolved:
    """A call whose constants are refused with `fault`. Others may not be, so the plan is for these."""
    for constant in constants:
        if constant is not None:
            constant.pin()
    return failing(fault.message, result, types)


@dataclass(frozen=True, slots=True)
class Variable:
    """A type that all its places in a signature share."""

    name: str
    is_comparable: bool


@dataclass(frozen=True, slots=True)
class Nested:
    """array(P), timeseries(P) or map(P, P) in a signature; `make` is the type's constructor."""

    make: type[Array] | type[Timeseries] | type[Map]
    inner: tuple[Pattern, ...]


@dataclass(frozen=True, slots=True)
class RowPattern:
    """row(P, name P, ...) in a signature. A row fits by its places, whatever its names."""

    names: tuple[str | None, ...]
    inner: tuple[Pattern, ...]


@dataclass(frozen=True, slots=True)
class LambdaPattern:
    """function(P, ..., R) in a signature."""

    parameters: tuple[Pattern, ...]
    body: Pattern


@dataclass(frozen=True, slots=True)
class LambdaGiven:
    """A lambda among the arguments of a call, while nothing of it is bound."""

    def __str__(self) -> str:
        return "function"


class Any_(Enum):
    """`any` in a signature: whatever the argument is, in this place alone."""

    ANY = "any"


Pattern = Scalar | Variable | Nested | RowPattern | LambdaPattern | Any_

_VARIABLES = {name: Variable(name, is_comparable=name in "EK") for name in "TUVWXSREK"}
_SCALARS = {scalar.value: scalar for scalar in Scalar}
_MAKES: dict[str, type[Array] | type[Timeseries] | type[Map]] = {"array": Array, "timeseries": Timeseries, "map": Map}
_SIGNATURE = re.compile(r"(\w+)\((.*)\) -> (.+)")
_WITH_INNER = re.compile(r"(array|timeseries|map|row|function)\((.*)\)")


def _pattern(text: str) -> Pattern:
    match = _WITH_INNER.fullmatch(text)
    if text == "any":
        return Any_.ANY
    if match is None:
        return _VARIABLES[text] if text in _VARIABLES else _SCALARS[text]
    word, parts = match[1], _split(match[2])
    if word == "row":
        fields = [_field(part) for part in parts]
        return RowPattern(tuple(name for name, _ in fields), tuple(inner for _, inner in fields))
    inner = tuple(map(_pattern, parts))
    return LambdaPattern(inner[:-1], inner[-1]) if word == "function" else Nested(_MAKES[word], inner)


def _field(text: str) -> tuple[str | None, Pattern]:
    name, space, rest = text.partition(" ")
    return (name, _pattern(rest)) if space and name not in ("interval", "map") else (None, _pattern(text))


def _split(text: str) -> list[str]:
    """The parts between commas that no parenthesis encloses."""
    parts, depth = [""], 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part]


@dataclass(frozen=True, slots=True)
class Signature:
    """One row of the table. `row` makes it from text.

    `lower` is a template of engine SQL ({0}, {1}, ... are the arguments, {all} all of them with commas) or a function
    of the call. `places` says for each lambda what its parameters are to the engine: texts over the engine's own
    parameters {0}, {1}. `fold` computes the value from the arguments' values (with the Context first if `is_timed`);
    it raises Invalid for values it refuses. `check` looks at arguments that must be constant: what it refuses is a
    fault of the text. `guard` looks at constants as an evaluation does: what it or `fold` refuses fails where the
    call is evaluated, as a column's value does. `shown` and `gives` are the call and its result
    as the row writes them, for messages and for docs/sql.md.
    """

    name: str
    arguments: tuple[Pattern, ...]
    is_variadic: bool
    result: Pattern | Result
    lower: Lower
    kind: Kind
    fold: Fold | None
    check: Check | None
    guard: Check | None
    is_timed: bool
    is_volatile: bool
    places: tuple[tuple[str, ...], ...]
    source: str
    shown: str
    gives: str

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
    guard: Check | None = None,
    is_timed: bool = False,
    is_volatile: bool = False,
    places: tuple[tuple[str, ...], ...] | None = None,
) -> Signature:
    """One row from its text `name(types) -> type`; `result` replaces the type after the arrow by a computed one."""
    match = _SIGNATURE.fullmatch(text)
    assert match, f"a signature reads name(types) -> type, not {text}"
    name, inside, after = match.groups()
    arguments = tuple(_pattern(part.removesuffix("...")) for part in _split(inside))
    if places is None:
        lambdas = (pattern for pattern in arguments if isinstance(pattern, LambdaPattern))
        places = tuple(tuple(f"{{{i}}}" for i in range(len(each.parameters))) for each in lambdas)
    return Signature(
        name=name,
        arguments=arguments,
        is_variadic=inside.endswith("..."),
        result=result or _pattern(after),
        lower=lower,
        kind=kind,
        fold=fold,
        check=check,
        guard=guard,
        is_timed=is_timed,
        is_volatile=is_volatile,
        places=places,
        source=source,
        shown=f"{name}({inside})",
        gives=after,
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
        return _resolved(self._best(name, types, constants), tuple(types), constants, context)

    def begin(
        self,
        name: str,
        given: Sequence[SqlType | LambdaGiven],
        constants: Sequence[Constant | None],
        context: Context,
    ) -> Begun:
        """The row that fits a call with lambdas. Raises Invalid: unknown function, no row fits."""
        return Begun(self._best(name, given, constants), tuple(given), tuple(constants), context)

    def _best(self, name: str, given: Sequence[SqlType | LambdaGiven], constants: Sequence[Constant | None]) -> _Fit:
        rows = self.by_name.get(name.lower())
        if rows is None:
            raise Invalid(f"Function {name} not registered")
        fits = [fit for signature in rows if (fit := _fit(signature, given, constants)) is not None]
        if not fits:
            shown = ", ".join(map(str, given))
            raise Invalid(f"Unexpected parameters ({shown}) for function {name.lower()}. Expected: {self.shown(name)}")
        return min(fits, key=lambda fit: fit.cost)


@dataclass(frozen=True, slots=True)
class _Fit:
    """A row that takes the arguments, at what cost of conversions, and what its variables stand for.

    `types` are those of the arguments that are not lambdas.
    """

    signature: Signature
    cost: int
    types: tuple[SqlType, ...]
    variables: dict[str, SqlType]


def _fit(
    signature: Signature, given: Sequence[SqlType | LambdaGiven], constants: Sequence[Constant | None]
) -> _Fit | None:
    """`constants` are those of the arguments that are not lambdas."""
    patterns = signature.patterns(len(given))
    if patterns is None or any(
        isinstance(pattern, LambdaPattern) != isinstance(one, LambdaGiven)
        for pattern, one in in_turns(zip(patterns, given, strict=True))
    ):
        return None
    patterns = tuple(pattern for pattern in patterns if not isinstance(pattern, LambdaPattern))
    types = [one for one in given if not isinstance(one, LambdaGiven)]
    variables: dict[str, SqlType] = {}
    # Literals last: what they stand for depends on the others.
    literals_last = sorted(range(len(types)), key=lambda i: constants[i] is not None and types[i] is Scalar.VARCHAR)
    for i in in_turns(literals_last):
        if not _unify(patterns[i], types[i], constants[i] is not None, variables):
            return None
    targets = tuple(
        own if pattern is Any_.ANY else _substitute(pattern, variables)
        for pattern, own in in_turns(zip(patterns, types, strict=True))
    )
    cost = 0
    for own, target, constant in in_turns(zip(types, targets, constants, strict=True)):
        step = coercion_cost(own, target, is_literal=constant is not None)
        if step is None:
            return None
        cost += step
    return _Fit(signature, cost, targets, variables)


def _unify(pattern: Pattern, given: SqlType, is_literal: bool, variables: dict[str, SqlType]) -> bool:
    """Let the variables in `pattern` stand for what `given` needs; False if they cannot."""
    if isinstance(pattern, Nested | RowPattern):
        inside = _inside(pattern, given)
        pairs = zip(pattern.inner, inside, strict=True) if inside is not None else ()
        return inside is not None and all(_unify(inner, kind, False, variables) for inner, kind in pairs)
    if isinstance(pattern, Scalar | Any_):
        return True
    assert isinstance(pattern, Variable), "a lambda has no type of its own"
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


def _inside(pattern: Nested | RowPattern, given: SqlType) -> tuple[SqlType, ...] | None:
    """The types inside a given one, as many as the pattern has; None if its make is another. NULL is of any make."""
    if given is Scalar.UNKNOWN:
        return (Scalar.UNKNOWN,) * len(pattern.inner)
    if isinstance(pattern, RowPattern):
        is_row = isinstance(given, Row) and len(given.fields) == len(pattern.inner)
        return tuple(f.type for f in given.fields) if is_row and isinstance(given, Row) else None
    if not isinstance(given, pattern.make):
        return None
    if isinstance(given, Map):
        return (given.key, given.value)
    return (given.value if isinstance(given, Timeseries) else given.element,)


def _substitute(pattern: Pattern, variables: dict[str, SqlType]) -> SqlType:
    if isinstance(pattern, Variable):
        return variables[pattern.name]
    if isinstance(pattern, Nested):
        return pattern.make(*(_substitute(inner, variables) for inner in pattern.inner))
    if isinstance(pattern, RowPattern):
        pairs = zip(pattern.names, pattern.inner, strict=True)
        return Row(tuple(Field(name, _substitute(inner, variables)) for name, inner in pairs))
    assert isinstance(pattern, Scalar), "a lambda has no type of its own"
    return pattern


class Begun:
    """A call with lambdas whose row is known. Its lambdas are told in their order, then `end` resolves the call."""

    def __init__(
        self,
        fit: _Fit,
        given: tuple[SqlType | LambdaGiven, ...],
        constants: tuple[Constant | None, ...],
        context: Context,
    ) -> None:
        self._fit, self._constants, self._context = fit, constants, context
        self._types = tuple(one for one in given if not isinstance(one, LambdaGiven))
        self._lambdas = [one for one in fit.signature.arguments if isinstance(one, LambdaPattern)]
        self.places = fit.signature.places

    def parameters(self, index: int) -> tuple[SqlType, ...]:
        """What the index-th lambda gets."""
        return tuple(_substitute(pattern, self._fit.variables) for pattern in self._lambdas[index].parameters)

    def told(self, index: int, body: SqlType) -> SqlType:
        """The type that the body of the index-th lambda must have: its own unless the row or a lambda before says."""
        wanted = self._lambdas[index].body
        if isinstance(wanted, Variable):
            self._fit.variables.setdefault(wanted.name, body)
        return _substitute(wanted, self._fit.variables)

    def end(self) -> Resolved:
        """`argument_types` and the texts for `lower` are of the arguments that are not lambdas."""
        return _resolved(self._fit, self._types, self._constants, self._context)


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
    try:
        if signature.guard:
            signature.guard(call)
        constant = _folded(signature, call)
    except NotConstant:
        raise
    except Invalid as fault:
        return _refused(signature, call, fault)
    return Resolved(
        name=signature.name,
        kind=signature.kind,
        result=result,
        argument_types=fit.types,
        write=lambda texts, modifiers, lambdas: _write(
            signature.lower, replace(call, texts=texts, modifiers=modifiers, lambdas=lambdas)
        ),
        constant=constant,
        is_volatile=signature.is_volatile,
    )


def _folded(signature: Signature, call: Call) -> Constant | None:
    """The call's value, if it can be computed now. NULL in, NULL out."""
    fold = signature.fold
    known = [constant for constant in call.constants if constant is not None]
    if fold is None or len(known) < len(call.constants):
        return None
    key = (signature.shown, call.types, call.result)
    if not signature.is_timed:
        return combined(key, lambda *values: None if None in values else fold(*values), known)
    longest = call.context.sequence_elements

    def timed(now_ns: int, *values: Any) -> Any:
        return None if None in values else fold(Context(Constant(now_ns), longest), *values)

    return combined(key, timed, (call.context.now, *known))


def _refused(signature: Signature, call: Call, fault: Invalid) -> Resolved:
    now = (call.context.now,) if signature.is_timed else ()
    return refused(fault, (*call.constants, *now), call.result, call.types)


def _write(lower: Lower, call: Call) -> str:
    return lower(call) if callable(lower) else use_once(lower, call.texts)
