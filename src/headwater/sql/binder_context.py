"""What all parts of the binder share: the statement's names and counters, and faults with a position.

Used by the `binder*` files only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from headwater.errors import Invalid
from headwater.model.table import Columns, TableId
from headwater.model.types import Scalar, SqlType
from headwater.sql import tree
from headwater.sql.bound import Call, Coerce, CommonTable, Expression, Literal, Placeholder, Query, Slot
from headwater.sql.budget import Budget
from headwater.sql.coercion import common_type_of, fold_constant
from headwater.sql.constant import Constant
from headwater.sql.scope import Scope
from headwater.sql.shape import Literals
from headwater.sql.signature import Context, Resolved
from headwater.threads import in_turns

T = TypeVar("T")


class Names(Protocol):
    """What the binder asks the catalog."""

    def has_database(self, name: str) -> bool: ...

    def table(self, database: str, name: str) -> tuple[TableId, Columns] | None: ...


@dataclass(frozen=True, slots=True)
class Environment:
    """What a query sees of the queries around it: their columns, and the WITH queries in force."""

    scope: Scope | None
    tables: Mapping[str, CommonTable]


class Parameters(Protocol):
    """What the binder asks about `@parameters`."""

    def bind(self, node: tree.Parameter) -> Expression: ...


BindQuery = Callable[["Binding", tree.Query, Environment], Query]
Forms = Mapping[type[tree.Node], Callable[["ExpressionBinder", Any], Expression]]


SLOTS_MAX = 100_000


@dataclass(slots=True)
class Binding:
    """One statement while it is bound.

    `bind_query` and `forms`, the way to bind each kind of expression, are the binder itself: expressions hold queries
    and queries hold expressions. `literals` are those of the text, None if their values need not be told apart from
    the rest of it.
    """

    names: Names
    functions: Context
    parameters: Parameters
    literals: Literals | None
    budget: Budget
    bind_query: BindQuery
    forms: Forms
    slots: int = field(default=0, init=False)
    scans: int = field(default=0, init=False)
    common_tables: int = field(default=0, init=False)

    def constant(self, node: tree.Node, value: Any, *, is_inside: bool = False) -> Constant:
        """The constant of the literal that `node` is, or has inside it after a word or a sign."""
        if self.literals is None:
            return Constant(value)
        return self.literals.constant(node, value, is_inside=is_inside)

    def slot(self, kind: SqlType, *, is_stored: bool = False) -> Slot:
        """A new column. Raises Invalid for too many: a `*` may double them at every step."""
        self.budget.check()
        self.slots += 1
        if self.slots > SLOTS_MAX:
            raise Invalid(f"The query has more than {SLOTS_MAX} columns in all its steps")
        return Slot(f"c{self.slots}", kind, is_stored)

    def scan_name(self) -> str:
        self.scans += 1
        return f"s{self.scans}"

    def common_table_name(self) -> str:
        self.common_tables += 1
        return f"w{self.common_tables}"


def fault(node: tree.Node, text: str) -> Invalid:
    """A fault of the statement at the place of `node`."""
    return Invalid(f"line {node.line}:{node.column}: {text}")


def no_database(name: str, identifier: str, place: tree.Node) -> Invalid:
    """`identifier` is the whole name asked for, `place` what is at fault: a table, or the whole SHOW or DESCRIBE."""
    return Invalid(
        f"Requested database '{name}' not found for identifier '{identifier}' at line {place.line}:{place.column}"
    )


def no_table(node: tree.Table, place: tree.Node) -> Invalid:
    """As `no_database`. The text is a guess; a bare name is one that only WITH can give."""
    identifier = node.name if node.database is None else f"{node.database}.{node.name}"
    return Invalid(
        f"Requested table '{node.name}' not found for identifier '{identifier}' at line {place.line}:{place.column}"
    )


def check_column_alias(node: tree.Node, name: str) -> None:
    """Source: sql.md 2.2."""
    if ":" in name:
        raise fault(node, f"Column alias '{name}' must not contain ':'")


def unsupported(node: tree.Node, construct: str) -> Invalid:
    """The answer to what the dialect may have and we have not yet."""
    return fault(node, f"{construct} is not supported yet")


def placed(node: tree.Node, action: Callable[[], T]) -> T:
    """What `action` gives; its faults, which know no position, get that of `node`."""
    try:
        return action()
    except Invalid as unplaced:
        raise fault(node, unplaced.message) from None


def constant_of(expression: Expression) -> Constant | None:
    return expression.constant if isinstance(expression, Literal) else None


def constants_of(expressions: Sequence[Expression]) -> list[Constant | None]:
    return [constant_of(expression) for expression in in_turns(expressions)]


def types_of(expressions: Sequence[Expression]) -> list[SqlType]:
    return [expression.type for expression in in_turns(expressions)]


def coerce(expression: Expression, target: SqlType) -> Expression:
    """`expression` as a `target`, to which it converts on its own.

    Raises Invalid, without a position, if it is a text that does not read as the time it stands for.
    """
    if expression.type == target:
        return expression
    if isinstance(expression, Placeholder):
        expression.wanted.append(target)
    if isinstance(expression, Literal):
        return Literal(fold_constant(expression.constant, expression.type, target), target)
    return Coerce(expression, target)


@dataclass(frozen=True, slots=True)
class Clause:
    """Where an expression stands: what messages call the place, and which calls it may hold."""

    name: str
    aggregates: bool = False
    windows: bool = False


@dataclass(frozen=True, slots=True)
class ExpressionBinder:
    """Binds expressions of one clause of one query.

    `inner_scope` is what the arguments of aggregates see, where that differs: in ORDER BY, not the output names.
    `lambdas` counts the lambdas around the expression.
    """

    binding: Binding
    environment: Environment
    scope: Scope
    clause: Clause
    inner_scope: Scope | None = None
    windows: tuple[tree.NamedWindow, ...] = ()
    lambdas: int = 0

    def within(self, clause: Clause) -> ExpressionBinder:
        """The binder of what stands inside an aggregate or window."""
        return replace(self, clause=clause)

    def bind(self, node: tree.Expression) -> Expression:
        self.binding.budget.check()
        return self.binding.forms[type(node)](self, node)

    def bind_all(self, nodes: Sequence[tree.Expression]) -> tuple[Expression, ...]:
        return tuple(map(self.bind, nodes))

    def condition(self, node: tree.Expression) -> Expression:
        """A condition of the clause, as a boolean."""
        return self.boolean(node, f"{self.clause.name} must evaluate to a boolean: actual type {{}}")

    def boolean(self, node: tree.Expression, text: str) -> Expression:
        """An operand that must be boolean; `text` is the message otherwise, with {} for its type."""
        bound = self.bind(node)
        if bound.type not in (Scalar.BOOLEAN, Scalar.UNKNOWN):
            raise fault(node, text.format(bound.type))
        return coerce(bound, Scalar.BOOLEAN)

    def apply(self, node: tree.Node, resolve: Callable[[], Resolved], arguments: Sequence[Expression]) -> Expression:
        """A resolved scalar call of `arguments`; its value, where that is known already."""

        def made() -> Expression:
            self.binding.budget.check()
            resolved = resolve()
            if resolved.constant is not None:
                return Literal(resolved.constant, resolved.result)
            pairs = zip(arguments, resolved.argument_types, strict=True)
            converted = tuple(coerce(argument, kind) for argument, kind in in_turns(pairs))
            return Call(resolved.name, converted, resolved.result, resolved, node.line, node.column)

        return placed(node, made)

    def query(self, node: tree.Query) -> Query:
        """A subquery; it sees this expression's scope from within."""
        if self.lambdas:
            raise fault(node, "Lambda expression cannot contain subqueries")
        return self.binding.bind_query(self.binding, node, replace(self.environment, scope=self.scope))

    def common(self, bound: Sequence[Expression], node: tree.Node, text: str) -> SqlType:
        """The type all of `bound` convert to; `text` is the message if there is none."""
        kind = common_type_of(types_of(bound), constants_of(bound))
        if kind is None:
            raise fault(node, text)
        return kind


def common_results(
    binder: ExpressionBinder, node: tree.Node, results: Sequence[Expression]
) -> tuple[list[Expression], SqlType]:
    """The results of a CASE or IF in their common type, and that type."""
    kinds = ", ".join(dict.fromkeys(map(str, types_of(results))))
    common = binder.common(
        results, node, f"All CASE results must be the same type or coercible to a common type: {kinds}"
    )
    return placed(node, lambda: [coerce(result, common) for result in results]), common
