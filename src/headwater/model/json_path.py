"""Paths into JSON values: `$.store.book[0]["title"]`, `[*]` and `.*` for all. Pure.

`sql` checks constant paths with it before a query runs, `engine` follows them. Source: Trino's json_extract; its
filters, slices and descents (`..`) are refused.
"""

from __future__ import annotations

import re

from headwater.errors import Invalid

ALL = None
"""A step to every member or element."""

_STEP = re.compile(
    r"(?:\.(?P<name>[\w$:-]+)|\.\*|\[\*\]|\[(?P<index>\d{1,9})\]"
    r"|\.(?P<bare>\"(?:[^\"\\]|\\.)*\")|\[(?P<quoted>\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')\])"
)


def steps(path: str) -> tuple[str | int | None, ...]:
    """The steps of a path: a member's name, an element's index, or ALL. Raises Invalid."""
    if not path.startswith("$"):
        raise Invalid(f"Invalid JSON path: '{path}'")
    found: list[str | int | None] = []
    place = 1
    while place < len(path):
        match = _STEP.match(path, place)
        if match is None:
            raise Invalid(f"Invalid JSON path: '{path}'")
        found.append(_step(match))
        place = match.end()
    return tuple(found)


def _step(match: re.Match[str]) -> str | int | None:
    if match["name"] is not None:
        return match["name"]
    if match["index"] is not None:
        return int(match["index"])
    quoted = match["bare"] or match["quoted"]
    return re.sub(r"\\(.)", r"\1", quoted[1:-1]) if quoted else ALL
