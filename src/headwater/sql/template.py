"""A compiled query before its literals are filled in. `compile` makes it; `plan_cache` keeps it for texts of one shape.

`values` here are always those of the text's literals, and the instant of the query last (constant.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from headwater.errors import Invalid
from headwater.model.types import OutputColumn, SqlType
from headwater.sql.bound import BoundQuery, Select
from headwater.sql.coercion import literal
from headwater.sql.constant import Computed, Constant, Trace
from headwater.sql.lower import HOLE, MAX_CHARACTERS, Lowered
from headwater.sql.newest import newest_first
from headwater.sql.plan import NewestFirst, QueryPlan
from headwater.sql.pushdown import Needs, requests_of
from headwater.threads import in_turns


@dataclass(frozen=True, slots=True)
class Template:
    """`pieces` is the engine's text cut at the constants in it: text, number of a hole, text, and so on.

    `unwritten` are constants that the text does not hold: the query is refused all the same if one cannot be computed.
    """

    columns: tuple[OutputColumn, ...]
    bound: BoundQuery
    needs: Needs
    pieces: tuple[str, ...]
    holes: tuple[tuple[Constant, SqlType], ...]
    unwritten: tuple[Constant, ...]
    scans: tuple[tuple[str, str], ...]
    trace: Trace

    def fits(self, values: Sequence[Any]) -> bool:
        """Whether constants of `values` answer as those did that the query was compiled with.

        The values of pinned literals are not looked at. Raises Changed or Invalid where a constant cannot be computed.
        """
        for constant in self.unwritten:
            constant.at(values)
        return all(condition(constant.at(values)) == answer for constant, condition, answer in self.trace.conditions)

    def plan(self, values: Sequence[Any]) -> QueryPlan:
        """Raises Changed if the template is for other values, Invalid for values it cannot hold."""
        texts = [literal(constant.at(values), kind) for constant, kind in in_turns(self.holes)]
        pieces = list(self.pieces)
        pieces[1::2] = [texts[int(number)] for number in self.pieces[1::2]]
        sql = "".join(pieces)
        if len(sql) > MAX_CHARACTERS:
            raise Invalid("The query is too complex")
        requests = requests_of(self.bound, self.needs, values)
        scans = tuple((name, requests[scan]) for name, scan in self.scans)
        return QueryPlan(self.columns, scans, sql, self._newest_first(values))

    def _newest_first(self, values: Sequence[Any]) -> NewestFirst | None:
        body = self.bound.query.body
        found = newest_first(body, values) if isinstance(body, Select) else None
        if found is None:
            return None
        scan, width_ns, rows = found
        # A scan that nothing is read of has no relation.
        relation = next((name for name, of in self.scans if of == scan.name), None)
        return None if relation is None else NewestFirst(relation, width_ns, rows)


def template(
    columns: tuple[OutputColumn, ...], bound: BoundQuery, needs: Needs, lowered: Lowered, trace: Trace
) -> Template:
    pieces = tuple(lowered.text.split(HOLE))
    unwritten = _unwritten(trace.computed, [constant for constant, _ in lowered.holes])
    return Template(columns, bound, needs, pieces, lowered.holes, unwritten, lowered.scans, trace)


def _unwritten(computed: Sequence[Constant], written: Sequence[Constant]) -> tuple[Constant, ...]:
    """The constants that are neither written nor part of what is, each with all it rests on."""
    done: set[Computed] = set()
    rest: list[Constant] = []
    for is_written, constant in [*((True, each) for each in written), *((False, each) for each in reversed(computed))]:
        origin = constant.origin
        if not isinstance(origin, Computed) or origin in done:
            continue
        done.update(origin.inside())
        if not is_written:
            rest.append(constant)
    return tuple(rest)
