"""How much a function may make of its arguments: bytes of a text, elements of an array.

The numbers are a few characters of a query, what they ask for is memory. So the size is checked before the value is
made where it can be foreseen, else as soon as it is there. Source: ours (docs/differences.md).
"""

from __future__ import annotations

from headwater.model.types import Array, Map, Scalar, SqlType, Timeseries
from headwater.sql.coercion import failure, quoted

TEXT_BYTES = 16 * 2**20
ELEMENTS = 1_000_000

TEXT_MESSAGE = f"A function must not make a text of more than {TEXT_BYTES} bytes"
ELEMENTS_MESSAGE = f"A function must not make an array of more than {ELEMENTS} elements"


def checked(made: str, kind: SqlType, *, size: str) -> str:
    """`made`, unless `size`, an engine expression of bytes of a text or of elements, is too large."""
    is_text = isinstance(kind, Scalar)
    limit, message = (TEXT_BYTES, TEXT_MESSAGE) if is_text else (ELEMENTS, ELEMENTS_MESSAGE)
    return f"CASE WHEN {size} > {limit} THEN {failure(quoted(message), kind)} ELSE {made} END"


def joined(texts: str, separator: str, *, is_constant: bool = False) -> str:
    """A list of texts, none of them NULL, as one with a separator between. `is_constant` is of the separator.

    The engine's own join wants its separator constant.
    """
    join = f"array_to_string(pieces, {separator})" if is_constant else f"hw_join(pieces, {separator})"
    size = f"list_sum(list_transform(pieces, lambda piece: strlen(piece) + strlen({separator})))"
    made = checked(f"coalesce({join}, '')", Scalar.VARCHAR, size=size)
    return f"list_transform([{texts}], lambda pieces: CASE WHEN pieces IS NOT NULL THEN {made} END)[1]"


def limited(text: str, kind: SqlType) -> str:
    """A text or array, unless it is too large; other values as they are. `text` is evaluated once."""
    if kind in (Scalar.VARCHAR, Scalar.VARBINARY, Scalar.JSON):
        size = "strlen(made)"
    elif isinstance(kind, Array | Map | Timeseries):
        size = "len(made)"
    else:
        return text
    return f"list_transform([{text}], lambda made: {checked('made', kind, size=size)})[1]"
