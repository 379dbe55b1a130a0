"""How much a function may make of its arguments: bytes of a text, elements of an array, and bytes of many at once.

The numbers are a few characters of a query, what they ask for is memory. So the size is checked before the value is
made where it can be foreseen, else as soon as it is there. The engine computes a vector of rows at a time, so what is
not small is counted over all of them first: engine/room.py.

A condition alone guards nothing that is constant: where the whole fails, the engine computes constant parts of it, also
those that the condition keeps from being reached. So what makes a value is given nothing, too, where that would be too
large: `within`. Source: ours (docs/differences.md).
"""

from __future__ import annotations

import re

from headwater.model.types import Array, Map, Row, Scalar, SqlType, Timeseries
from headwater.sql.coercion import failure, quoted
from headwater.sql.signature import LambdaText

TEXT_BYTES = 16 * 2**20
ELEMENTS = 1_000_000

TEXT_MESSAGE = f"A function must not make a text of more than {TEXT_BYTES} bytes"
ELEMENTS_MESSAGE = f"A function must not make an array of more than {ELEMENTS} elements"

SMALL_BYTES = 128 * 2**10
"""A vector of values so small always fits: there are 2,048 at most."""

ELEMENT_BYTES = 16
"""About what an element of an array takes, beyond its own text or array."""

PIECE_BYTES = 8
"""So many bytes a byte of a text may take that is cut into pieces."""

_TEXTS = (Scalar.VARCHAR, Scalar.VARBINARY, Scalar.JSON)


def checked(made: str, kind: SqlType, *, size: str, bytes_: str = "") -> str:
    """`made`, unless `size`, an engine expression of bytes of a text or of elements, is too large.

    `bytes_` is an expression of what making it takes: a whole vector of that is counted, too.
    """
    is_text = isinstance(kind, Scalar)
    limit, message = (TEXT_BYTES, TEXT_MESSAGE) if is_text else (ELEMENTS, ELEMENTS_MESSAGE)
    fitting = f"WHEN {fits(bytes_)} THEN {made}" if bytes_ else f"ELSE {made}"
    return f"CASE WHEN {size} > {limit} THEN {failure(quoted(message), kind)} {fitting} END"


def fits(bytes_: str) -> str:
    """An engine condition that a value of so many bytes may be made; true for NULL. It fails the query otherwise."""
    return f"CASE WHEN {bytes_} > {SMALL_BYTES} THEN arrow_fits(CAST({bytes_} AS BIGINT)) ELSE true END"


CUT_FITS = fits(f"strlen({{0}}) * {PIECE_BYTES}")
"""Whether the argument {0} of a template may be cut into pieces."""


def within(text: str, size: str, limit: int = TEXT_BYTES) -> str:
    """An argument, or NULL where what would be made of it is too large."""
    return f"CASE WHEN {size} <= {limit} THEN {text} END"


def weight(text: str, kind: SqlType) -> str:
    """An engine expression of about how many bytes a value takes. It looks at all elements that are texts or arrays."""
    if kind in _TEXTS:
        return f"(strlen({text}) + {ELEMENT_BYTES})"
    if isinstance(kind, Row):
        fields = (weight(f"{text}.f{place}", field.type) for place, field in enumerate(kind.fields))
        return f"({' + '.join(fields)})"
    if isinstance(kind, Scalar):
        return str(ELEMENT_BYTES)
    if isinstance(kind, Map):
        inner = {"item.f0": kind.key, "item.f1": kind.value}
    else:
        inner = {"item": kind.element} if isinstance(kind, Array) else {"item.v": kind.value}
    if all(map(is_small, inner.values())):
        return f"(len({text}) * {ELEMENT_BYTES} + {ELEMENT_BYTES})"
    each = " + ".join(weight(item, own) for item, own in inner.items())
    return f"(coalesce(list_sum(list_transform({text}, lambda item: {each})), 0) + {ELEMENT_BYTES})"


def is_small(kind: SqlType) -> bool:
    """Whether all values of a type take about the same few bytes."""
    if isinstance(kind, Row):
        return all(is_small(field.type) for field in kind.fields)
    return isinstance(kind, Scalar) and kind not in _TEXTS


def joined(texts: str, separator: str, *, is_constant: bool = False) -> str:
    """A list of texts, none of them NULL, as one with a separator between. `is_constant` is of the separator.

    The engine's own join wants its separator constant.
    """
    few = within("pieces", "size")
    join = f"array_to_string({few}, {separator})" if is_constant else f"hw_join({few}, {separator})"
    size = f"list_sum(list_transform(pieces, lambda piece: strlen(piece) + strlen({separator})))"
    made = checked(f"coalesce({join}, '')", Scalar.VARCHAR, size="size", bytes_="size")
    whole = f"CASE WHEN pieces IS NOT NULL THEN list_transform([coalesce({size}, 0)], lambda size: {made})[1] END"
    return f"list_transform([{texts}], lambda pieces: {whole})[1]"


def limited(text: str, kind: SqlType) -> str:
    """A text or array, unless it is too large; other values as they are. `text` is evaluated once."""
    if kind in _TEXTS:
        size = "strlen(made)"
    elif isinstance(kind, Array | Map | Timeseries):
        size = "len(made)"
    else:
        return text
    made = checked("made", kind, size=size, bytes_=weight("made", kind))
    return f"list_transform([{text}], lambda made: {made})[1]"


# ------------------------------------------------------------------------------------------ lambdas

_REFERENCE = re.compile(r'[\w.\[\]"]+')
_GROWING = re.compile(r"\|\||pad\(|replace\(|translate\(|array_to_string|hw_join|arrow_format|list_reduce|\[")


def transformed(elements: str, one: LambdaText, kind: SqlType, made: str = "{0}") -> str:
    """Of each element what a lambda says, which is of type `kind`; `made` is what becomes of that, once.

    Bodies that may be large are counted over all elements of a vector, but for those of arrays that stay small.
    """
    name = one.parameters[0]
    if _is_bounded(one.body, kind):
        return f"list_transform({elements}, lambda {name}: {made.format(one.body)})"
    begun = f"CASE WHEN arrow_lambda_begins({_depth(name)}, len(elements)) THEN elements END"
    body = _counted(one.body, kind, name)
    # What is the same for all elements is not copied before it is looked at.
    if name in one.body and not _REFERENCE.fullmatch(one.body):
        body = f"list_transform([{one.body}], lambda body: {_counted('body', kind, name)})[1]"
    counted = f"list_transform({begun}, lambda {name}, {name}_place: {made.format(body)})"
    return f"list_transform([{elements}], lambda elements: {counted})[1]"


def _is_bounded(body: str, kind: SqlType) -> bool:
    """Whether a lambda's body makes little of an element, however large that is."""
    return is_small(kind) or (kind in _TEXTS and not _REFERENCE.fullmatch(body) and not _GROWING.search(body))


def _counted(text: str, kind: SqlType, parameter: str) -> str:
    bytes_ = weight(text, kind)
    # Of the place, too: what is the same for all elements the engine would count once.
    each = f"CAST({bytes_} + least({parameter}_place, 0) AS BIGINT)"
    enough = f"arrow_lambda_fits({_depth(parameter)}, {each})"
    return (
        f"CASE WHEN CASE WHEN {parameter}_place * {bytes_} > {SMALL_BYTES} THEN {enough} ELSE true END THEN {text} END"
    )


def _depth(parameter: str) -> int:
    """How deep a lambda stands in others, by the name of its first parameter: see binder_lambdas.py."""
    return int(parameter[1:].partition("_")[0])
