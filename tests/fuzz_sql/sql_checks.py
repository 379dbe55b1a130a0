"""What is asked of every seed: one query against the second engine, and one rule that needs no second engine.

A rule is a law of SQL: the rows where a condition is true, false and NULL are all the rows; what is always true changes
nothing; a query answers the same from inside another, from other places on disk, and from a plan that was compiled for
other literals. `check` raises Failure with the smallest query that still fails and the command that repeats it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from sql_comparison import are_equal
from sql_dialects import DATAFUSION, OURS, NotCommon
from sql_expressions import drawn_literal
from sql_nodes import Node, changed, smaller, text, write
from sql_queries import Drawn, drawn_filtered, drawn_query
from sql_rows import TableRows
from sql_worlds import Declined, Ours, Rows, Theirs

from headwater.errors import Fault, Invalid, QueryFailed
from headwater.model.limits import Limits
from headwater.sql.parser import parse
from support.sql_text import to_text

SHRINKS_MAX = 300
LIMITS = Limits()

NOT_YET = "is not supported yet"
"""So our own known gaps say it; they are counted, not failures."""


class Failure(AssertionError):
    """Two answers that should be one."""


class _Skipped(Exception):
    """The query cannot be compared; why."""


@dataclass(slots=True)
class Checker:
    """Engines over the same rows. `outcomes` counts what became of the checks, by rule."""

    tables: list[TableRows]
    memory: Ours
    compacted: Ours
    theirs: Theirs
    outcomes: Counter[str] = field(default_factory=Counter)

    def check(self, seed: int) -> None:
        """Raises Failure."""
        drawn = drawn_query(seed, self.tables)
        engine = self.memory if seed % 2 else self.compacted
        self._try(seed, "second engine", partial(self._second_engine, engine, drawn.is_ordered), drawn.query)
        rng = random.Random(f"rule {seed}")
        rules: dict[str, Callable[[], tuple[Callable[[Node], str | None], Node]]] = {
            "partitioned WHERE": lambda: (partial(self._partitioned, seed), drawn_filtered(seed, self.tables).whole),
            "true predicate": lambda: (partial(self._true_predicate, seed), drawn_filtered(seed, self.tables).whole),
            "wrapped": lambda: (partial(self._wrapped, rng), drawn.query),
            "other place": lambda: (partial(self._other_place, drawn), drawn.query),
            "other literals": lambda: (partial(self._other_literals, seed), drawn.query),
            "printed": lambda: (self._printed, drawn.query),
        }
        name = list(rules)[seed % len(rules)]
        test, query = rules[name]()
        self._try(seed, name, test, query)

    def _try(self, seed: int, rule: str, differs: Callable[[Node], str | None], query: Node) -> None:
        try:
            difference = differs(query)
        except _Skipped as skipped:
            self.outcomes[f"{rule}: skipped, {skipped}"] += 1
            return
        self.outcomes[rule] += 1
        if difference is not None:
            least, difference = _shrunk(query, differs, difference)
            raise Failure(
                f"seed {seed}, rule {rule!r}: {difference}\n{write(least, OURS)}\n"
                f"to repeat it: make fuzz-sql SEED={seed} N=1"
            )

    # The rules: what differs, None if nothing does. Each may raise _Skipped.

    def _second_engine(self, engine: Ours, is_ordered: bool, query: Node) -> str | None:
        try:
            theirs = self.theirs.answer(write(query, DATAFUSION))
        except (Declined, NotCommon) as error:
            raise _Skipped("DataFusion declines") from error
        ours = _answer(engine, write(query, OURS))
        return _difference(ours, theirs, "DataFusion", is_ordered=is_ordered)

    def _partitioned(self, seed: int, whole: Node) -> str | None:
        filtered = drawn_filtered(seed, self.tables)
        condition = filtered.predicate
        parts: Rows = []
        for case in (condition, text("NOT ", condition), text(condition, " IS NULL")):
            parts += _answer(self.memory, write(filtered.where(case), OURS))
        return _difference(parts, _answer(self.memory, write(whole, OURS)), f"without WHERE {write(condition, OURS)}")

    def _true_predicate(self, seed: int, whole: Node) -> str | None:
        filtered = drawn_filtered(seed, self.tables)
        condition = write(filtered.predicate, OURS)
        always = f"({condition} OR NOT {condition} OR {condition} IS NULL)"
        engine = self.compacted if seed % 4 else self.memory
        restricted = _answer(engine, write(filtered.where(text(always)), OURS))
        return _difference(restricted, _answer(engine, write(whole, OURS)), f"without WHERE {always}")

    def _wrapped(self, rng: random.Random, query: Node) -> str | None:
        inner = write(query, OURS)
        around = rng.choice(["SELECT * FROM ({0}) AS q", "WITH q AS ({0}) SELECT * FROM q", "({0})"])
        outer = around.format(inner)
        return _difference(_answer(self.memory, outer), _answer(self.memory, inner), f"in {around}")

    def _other_place(self, drawn: Drawn, query: Node) -> str | None:
        one, other = (_answer(engine, write(query, OURS)) for engine in (self.memory, self.compacted))
        return _difference(one, other, "flushed and compacted", is_ordered=drawn.is_ordered)

    def _other_literals(self, seed: int, query: Node) -> str | None:
        """The plan cache has seen the query with other literals: it must answer what a fresh compilation answers."""
        rng = random.Random(f"literals {seed}")
        with suppress(Fault):
            self.memory.answer(write(query, OURS))
        for number in range(2):
            other = write(changed(query, lambda node: _other_literal(rng, node)), OURS)
            # No query has had this alias before, so that this one is compiled for its own literals.
            afresh = f"SELECT * FROM ({other}) AS afresh_{seed}_{number}"
            found = _difference(_answer(self.memory, other), _answer(self.memory, afresh), f"afresh: {other}")
            if found is not None:
                return found
        return None

    def _printed(self, query: Node) -> str | None:
        statement = parse(write(query, OURS), LIMITS)
        printed = to_text(statement)
        return None if parse(printed, LIMITS) == statement else f"printed as another tree: {printed}"


def _answer(engine: Ours, query: str) -> Rows:
    """Raises _Skipped for a gap that we know of; a fault that nothing in a drawn query accounts for is a Failure."""
    try:
        return engine.answer(query)
    except (Invalid, QueryFailed) as fault:
        if NOT_YET in fault.message:
            raise _Skipped("ours is not there yet") from fault
        raise Failure(f"refused: {fault.message}\n{query}") from fault


def _difference(ours: Rows, theirs: Rows, what: str, *, is_ordered: bool = False) -> str | None:
    if are_equal(ours, theirs, is_ordered=is_ordered):
        return None
    here, there = Counter(map(repr, ours)), Counter(map(repr, theirs))
    only_here, only_there = (here - there).most_common(3), (there - here).most_common(3)
    return f"{len(ours)} rows, but {len(theirs)} rows {what}: {only_here} against {only_there}"


def _other_literal(rng: random.Random, node: Node) -> Node:
    """Another value of the same type; what is a number of rows or a pattern stays."""
    if not node.type or rng.random() < 0.3 or node.parts == ("0",):
        return node
    if node.type == "bigint":
        return Node(node.kind, (str(rng.randint(1, 9)),), node.type)
    return drawn_literal(rng, node.type)


def _shrunk(query: Node, differs: Callable[[Node], str | None], difference: str) -> tuple[Node, str]:
    """The smallest query found that still differs, and how."""
    tries = 0
    is_better = True
    while is_better and tries < SHRINKS_MAX:
        is_better = False
        for candidate in smaller(query):
            tries += 1
            if tries >= SHRINKS_MAX:
                break
            with suppress(_Skipped, Failure, Fault):
                found = differs(candidate)
                if found is not None:
                    query, difference, is_better = candidate, found, True
                    break
    return query, difference
