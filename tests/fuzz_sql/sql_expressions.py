"""Expressions drawn at random, each of the type that its place wants.

What may stand in them is a `Scope`: columns, which may themselves be expressions, such as the aggregates of a grouped
query. Only forms whose answers are determined are drawn: no division by zero, no overflow, no NaN.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sql_nodes import Node, call, joined, literal, text
from sql_rows import HOSTS, NOW_NS, REGIONS, SPAN_S, TEXTS

from headwater.model.time import NS_PER_S, timestamp_text

TYPES = ("bigint", "double", "boolean", "varchar", "timestamp")
COMPARABLE = ("bigint", "double", "varchar", "timestamp")
INTERVALS = ("1m", "5m", "90s", "1h", "36h", "500ms", "1d")
UNITS = ("second", "minute", "hour", "day")
FIELDS = ("year", "month", "day", "hour", "minute", "second", "dow", "doy")


@dataclass(frozen=True, slots=True)
class Scope:
    """Expressions that may be used as they are, each with its type."""

    columns: tuple[Node, ...]

    def of(self, kind: str) -> list[Node]:
        return [column for column in self.columns if column.type == kind]


_FREQUENT = (*HOSTS, *REGIONS, "cpu", "mem", "r1", "r2", "web", "db", "hits", "ratio", "alpha", "none")

Subqueries = Callable[[str, Scope, int], Node | None]
"""What draws a condition or a value that holds a query: the type wanted, what is around it, how deep it may go."""


def no_subqueries(kind: str, around: Scope, depth: int) -> Node | None:
    return None


def drawn_literal(rng: random.Random, kind: str) -> Node:
    match kind:
        case "bigint":
            return literal(str(rng.choice([0, 1, 2, 7, 10, 100, rng.randint(0, 50)])), kind)
        case "double":
            return literal(str(rng.choice([0.0, 0.5, 1.5, 100.0, rng.randint(0, 200) / 8])), kind)
        case "boolean":
            return literal(rng.choice(["TRUE", "FALSE"]), kind)
        case "varchar":
            chosen = rng.choice([*TEXTS, *HOSTS, *REGIONS, "cpu", "", "hits"])
            return literal("'" + chosen.replace("'", "''") + "'", kind)
        case _:
            before_ns = rng.randint(0, SPAN_S // 60) * 60 * NS_PER_S
            return literal(f"TIMESTAMP '{timestamp_text(NOW_NS - before_ns)}'", "timestamp")


def null_of(kind: str) -> Node:
    return text(f"CAST(NULL AS {kind})", type=kind)


class Expressions:
    def __init__(self, rng: random.Random, subqueries: Subqueries = no_subqueries) -> None:
        self._rng = rng
        self._subqueries = subqueries

    def draw(self, kind: str, scope: Scope, depth: int) -> Node:
        """An expression of a type, at most so many levels high."""
        rng = self._rng
        columns = scope.of(kind)
        if depth <= 0 or rng.random() < 0.3:
            if columns and rng.random() < 0.85:
                return rng.choice(columns)
            return null_of(kind) if rng.random() < 0.06 else drawn_literal(rng, kind)
        if rng.random() < 0.06:
            held = self._subqueries(kind, scope, depth - 1)
            if held is not None:
                return held
        if rng.random() < 0.25:
            return self._of_any_type(kind, scope, depth - 1)
        forms = {
            "bigint": self._bigint,
            "double": self._double,
            "boolean": self._boolean,
            "varchar": self._varchar,
            "timestamp": self._timestamp,
        }
        return forms[kind](scope, depth - 1)

    def predicate(self, scope: Scope, depth: int) -> Node:
        """A condition: often one that a scan can use; else half of the time a weak one, or most answers were empty."""
        handed_down = self._handed_down(scope) if self._rng.random() < 0.4 else None
        if handed_down is not None:
            other = self._rng.random()
            if other < 0.6:
                return handed_down
            word = " AND " if other < 0.85 else " OR "
            return text("(", handed_down, word, self._boolean(scope, depth - 1), ")", type="boolean")
        node = self._boolean(scope, depth)
        if self._rng.random() < 0.5:
            return text("(", node, " OR ", self._boolean(scope, 0), ")", type="boolean")
        return node

    def _handed_down(self, scope: Scope) -> Node | None:
        """A condition on a column itself, with instants or texts: what pushdown looks for. None if there is none."""
        rng = self._rng
        columns = [c for c in scope.columns if c.kind == "column" and c.type in ("timestamp", "varchar")]
        if not columns:
            return None
        times = [column for column in columns if column.type == "timestamp"]
        if times and rng.random() < 0.6:
            return self._about_time(rng.choice(times))
        column = rng.choice(columns)
        if column.type == "timestamp":
            return self._about_time(column)
        texts = [text("'" + t.replace("'", "''") + "'") for t in rng.sample(_FREQUENT, rng.randint(1, 4))]
        if len(texts) == 1:
            sides = [column, literal(str(texts[0].parts[0]), "varchar")]
            rng.shuffle(sides)
            return text("(", sides[0], " = ", sides[1], ")", type="boolean")
        return text("(", column, " IN (", joined(texts), "))", type="boolean")

    def _about_time(self, column: Node) -> Node:
        rng = self._rng
        instants = [drawn_literal(rng, "timestamp"), drawn_literal(rng, "timestamp")]
        match rng.randint(0, 5):
            case 0:
                low, high = sorted(instants, key=lambda instant: str(instant.parts))
                return text("(", column, " BETWEEN ", low, " AND ", high, ")", type="boolean")
            case 1:
                since = call("ago", rng.choice(["1h", "36h", "90s", "1d"]), type="timestamp")
                return text("(", column, rng.choice([" > ", " >= ", " < "]), since, ")", type="boolean")
            case 2:
                operator = rng.choice([" > ", " >= ", " < ", " <= ", " = "])
                return text("(", instants[0], operator, column, ")", type="boolean")
            case 3:
                binned = call("bin", column, rng.choice(["1h", "5m", "1d"]), type="timestamp")
                return text("(", binned, rng.choice([" >= ", " <= ", " = "]), instants[0], ")", type="boolean")
            case 4:
                truncated = call("date_trunc", "'hour'", column, type="timestamp")
                return text("(", truncated, rng.choice([" >= ", " < "]), instants[0], ")", type="boolean")
            case _:
                return text("(", column, rng.choice([" > ", " >= ", " < ", " <= "]), instants[0], ")", type="boolean")

    def _of_any_type(self, kind: str, scope: Scope, depth: int) -> Node:
        one, two = self.draw(kind, scope, depth), self.draw(kind, scope, depth)
        match self._rng.randint(0, 5):
            case 0:
                return call("coalesce", one, two, type=kind)
            case 1:
                return call("nullif", one, two, type=kind)
            case 2:
                return call("if", self.draw("boolean", scope, depth), one, two, type=kind)
            case 3 if kind in COMPARABLE:
                return call(self._rng.choice(["greatest", "least"]), one, two, type=kind)
            case 4:
                operand = self._rng.choice(COMPARABLE)
                cases = [self.draw(operand, scope, depth - 1), drawn_literal(self._rng, operand)]
                return text("CASE ", cases[0], " WHEN ", cases[1], " THEN ", one, " ELSE ", two, " END", type=kind)
            case _:
                whens = [self.draw("boolean", scope, depth) for _ in range(self._rng.randint(1, 2))]
                parts: list[Any] = ["CASE"]
                for when in whens:
                    parts += [" WHEN ", when, " THEN ", self.draw(kind, scope, depth)]
                parts += [" ELSE ", one] if self._rng.random() < 0.6 else []
                return text(*parts, " END", type=kind)

    def _bigint(self, scope: Scope, depth: int) -> Node:
        rng = self._rng

        def one() -> Node:
            return self.draw("bigint", scope, depth)

        small = literal(str(rng.randint(1, 9)), "bigint")
        match rng.randint(0, 11):
            case 0 | 1:
                return text("(", one(), rng.choice([" + ", " - "]), one(), ")", type="bigint")
            case 2:
                return text("(", one(), " * ", small, ")", type="bigint")
            case 3:
                return text("(", one(), rng.choice([" / ", " % "]), small, ")", type="bigint")
            case 4:
                divisor = call("nullif", self.draw("bigint", scope, depth - 1), literal("0", ""), type="bigint")
                return text("(", one(), rng.choice([" / ", " % "]), divisor, ")", type="bigint")
            case 5:
                return rng.choice([text("(- ", one(), ")", type="bigint"), call("abs", one(), type="bigint")])
            case 6:
                return call("length", self.draw("varchar", scope, depth), type="bigint")
            case 7:
                sought = literal(rng.choice(["'a'", "'-'", "'h'", "''", "'lph'"]), "varchar")
                return call("strpos", self.draw("varchar", scope, depth), sought, type="bigint")
            case 8:
                return call(rng.choice(FIELDS), self.draw("timestamp", scope, depth), type="bigint")
            case 9:
                instants = self.draw("timestamp", scope, depth), self.draw("timestamp", scope, depth)
                return call("date_diff", f"'{rng.choice(UNITS)}'", *instants, type="bigint")
            case 10:
                return call("to_milliseconds", self.draw("timestamp", scope, depth), type="bigint")
            case _:
                return text("CAST(", self.draw("boolean", scope, depth), " AS bigint)", type="bigint")

    def _double(self, scope: Scope, depth: int) -> Node:
        return Node("computed_double", (self._computed_double(scope, depth),), "double")

    def _computed_double(self, scope: Scope, depth: int) -> Node:
        rng = self._rng

        def one() -> Node:
            return self.draw("double", scope, depth)

        match rng.randint(0, 7):
            case 0 | 1:
                return text("(", one(), rng.choice([" + ", " - "]), one(), ")", type="double")
            case 2:
                factor = literal(rng.choice(["0.5", "2.0", "-4.0", "0.25"]), "double")
                return text("(", one(), " * ", factor, ")", type="double")
            case 3:
                divisor = literal(rng.choice(["2.0", "-0.5", "8.0"]), "double")
                return text("(", one(), " / ", divisor, ")", type="double")
            case 4:
                return call(rng.choice(["abs", "floor", "ceil", "round"]), one(), type="double")
            case 5:
                return call("sqrt", call("abs", one(), type="double"), type="double")
            case 6:
                return text("CAST(", self.draw("bigint", scope, depth), " AS double)", type="double")
            case _:
                mixed = [one(), self.draw("bigint", scope, depth)]
                rng.shuffle(mixed)
                return text("(", mixed[0], rng.choice([" + ", " - "]), mixed[1], ")", type="double")

    def _varchar(self, scope: Scope, depth: int) -> Node:
        rng = self._rng
        one = self.draw("varchar", scope, depth)
        match rng.randint(0, 9):
            case 0 | 1:
                return call(rng.choice(["lower", "upper", "trim", "ltrim", "rtrim", "reverse"]), one, type="varchar")
            case 2:
                return text("(", one, " || ", self.draw("varchar", scope, depth), ")", type="varchar")
            case 3:
                return call("concat", one, self.draw("varchar", scope, depth), type="varchar")
            case 4:
                start = literal(str(rng.randint(1, 4)), "bigint")
                length = [literal(str(rng.randint(0, 4)), "bigint")] if rng.random() < 0.6 else []
                return call("substr", one, start, *length, type="varchar")
            case 5:
                return call(
                    "replace", one, literal(rng.choice(["'a'", "'-'", "'al'"]), "varchar"), "'_x'", type="varchar"
                )
            case 6:
                size = literal(str(rng.randint(0, 8)), "bigint")
                return call(rng.choice(["lpad", "rpad"]), one, size, "'.'", type="varchar")
            case 7:
                return text("CAST(", self.draw("bigint", scope, depth), " AS varchar)", type="varchar")
            case 8:
                return text("CAST(", self.draw("boolean", scope, depth), " AS varchar)", type="varchar")
            case _:
                return call("regexp_replace", one, "'[a-h]+'", "'<>'", type="varchar")

    def _timestamp(self, scope: Scope, depth: int) -> Node:
        rng = self._rng
        one = self.draw("timestamp", scope, depth)
        match rng.randint(0, 5):
            case 0 | 1:
                return call("bin", one, rng.choice(INTERVALS), type="timestamp")
            case 2:
                return call("date_trunc", f"'{rng.choice([*UNITS, 'month', 'year'])}'", one, type="timestamp")
            case 3:
                sign = rng.choice(["+", "-"])
                return Node("shifted", (one, sign, rng.choice(INTERVALS)), "timestamp")
            case 4:
                return call("date_add", f"'{rng.choice(UNITS)}'", str(rng.randint(-40, 40)), one, type="timestamp")
            case _:
                return call("ago", rng.choice(INTERVALS), type="timestamp")

    def _boolean(self, scope: Scope, depth: int) -> Node:
        rng = self._rng
        kind = rng.choice(COMPARABLE)

        def one(wanted: str = kind) -> Node:
            return self.draw(wanted, scope, depth)

        match rng.randint(0, 11):
            case 0 | 1 | 2:
                operator = rng.choice(["=", "<>", "<", "<=", ">", ">=", "!="])
                return text("(", one(), f" {operator} ", one(), ")", type="boolean")
            case 3:
                no = rng.choice(["", "", "NOT "])
                return call("between", one(), no, one(), one(), type="boolean")
            case 4:
                items = [drawn_literal(rng, kind) for _ in range(rng.randint(1, 4))]
                if rng.random() < 0.15:
                    items.append(text("NULL"))
                no = rng.choice(["", "", "NOT "])
                return text("(", one(), f" {no}IN (", joined(items), "))", type="boolean")
            case 5:
                pattern = literal(
                    rng.choice(["'%a%'", "'h-_'", "'%'", "'h-1%'", "'_'", "'%mm%'", "'alpha'"]), "varchar"
                )
                no = rng.choice(["", "", "NOT "])
                return text("(", one("varchar"), f" {no}LIKE ", pattern, ")", type="boolean")
            case 6:
                return Node("contains_underscore", (one("varchar"),), "boolean")
            case 7:
                no = rng.choice(["", "NOT "])
                return text("(", one(rng.choice(TYPES)), f" IS {no}NULL)", type="boolean")
            case 8:
                no = rng.choice(["", "NOT "])
                return text("(", one(), f" IS {no}DISTINCT FROM ", one(), ")", type="boolean")
            case 9:
                return text("(NOT ", one("boolean"), ")", type="boolean")
            case 10:
                return call(
                    "regexp_like", one("varchar"), rng.choice(["'^h-[0-2]$'", "'a.*a'", "'[A-Z]'"]), type="boolean"
                )
            case _:
                word = rng.choice([" AND ", " OR "])
                return text("(", joined([one("boolean") for _ in range(rng.randint(2, 3))], word), ")", type="boolean")
