"""Pieces of generated queries, which each dialect writes in its own words.

A `Node` is the name of what it is and its parts. A dialect says how the kinds are written that it does not write as
every other does: a query is drawn once and never translated as text. Knows no grammar: that is `sql_draw`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

Dialect = Mapping[str, Callable[..., str]]
"""How kinds are written, given their written parts. A kind that is missing is a function call."""


@dataclass(frozen=True, slots=True)
class Node:
    """`type` is that of an expression, empty for any other part of a query."""

    kind: str
    parts: tuple[Node | str, ...]
    type: str = ""


TEXT, OPTIONAL, LITERAL = "text", "optional", "literal"


def text(*parts: Node | str, type: str = "") -> Node:
    """Parts one after the other, as they are."""
    return Node(TEXT, parts, type)


def optional(*parts: Node | str) -> Node:
    """A clause that the query could do without."""
    return Node(OPTIONAL, parts)


def call(name: str, *arguments: Node | str, type: str) -> Node:
    return Node(name, arguments, type)


def literal(written: str, type: str) -> Node:
    return Node(LITERAL, (written,), type)


NOTHING = text()


def joined(nodes: list[Node] | tuple[Node, ...], separator: str = ", ") -> Node:
    parts: list[Node | str] = []
    for node in nodes:
        parts += [separator, node] if parts else [node]
    return text(*parts)


def write(node: Node, dialect: Dialect) -> str:
    """The text of a node."""
    parts = [part if isinstance(part, str) else write(part, dialect) for part in node.parts]
    if node.kind in dialect:
        return dialect[node.kind](*parts)
    if node.kind in (TEXT, OPTIONAL, LITERAL):
        return "".join(parts)
    return f"{node.kind}({', '.join(parts)})"


def changed(node: Node, change: Callable[[Node], Node]) -> Node:
    """The tree with every literal put through `change`: one that stands in several places alike in all of them."""
    known: dict[int, Node] = {}

    def walk(node: Node) -> Node:
        if id(node) not in known:
            if node.kind == LITERAL:
                known[id(node)] = change(node)
            else:
                parts = tuple(part if isinstance(part, str) else walk(part) for part in node.parts)
                known[id(node)] = replace(node, parts=parts)
        return known[id(node)]

    return walk(node)


def smaller(node: Node) -> Iterator[Node]:
    """Trees with something left out, the largest things first: a clause, or all of an expression but an inner one."""
    for inner in _within(node):
        if inner.kind == OPTIONAL:
            yield _without(node, inner, NOTHING)
        elif inner.type:
            for other in _within(inner):
                if other is not inner and other.type == inner.type:
                    yield _without(node, inner, other)


def _within(node: Node) -> Iterator[Node]:
    """The node and all below it, from the top down."""
    level = [node]
    while level:
        yield from level
        level = [part for inner in level for part in inner.parts if isinstance(part, Node)]


def _without(node: Node, old: Node, new: Node) -> Node:
    if node is old:
        return new
    return replace(node, parts=tuple(p if isinstance(p, str) else _without(p, old, new) for p in node.parts))
