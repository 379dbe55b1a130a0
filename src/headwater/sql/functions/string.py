"""Rows of string functions. Lengths, places count characters, from 1. Source: sql.md 6.5; what it lacks is Trino's."""

from __future__ import annotations

from collections.abc import Callable

from headwater.errors import Invalid
from headwater.model.types import Array, Map, Scalar, SqlType
from headwater.sql.coercion import (
    BIGINT,
    DOUBLE,
    INTEGER,
    VARCHAR,
    failure,
    is_castable,
    literal,
    lower_cast,
    quoted,
    twice_in,
    use_once,
)
from headwater.sql.functions.limits import (
    CUT_FITS,
    ELEMENT_BYTES,
    ELEMENTS,
    PIECE_BYTES,
    SMALL_BYTES,
    checked,
    fits,
    joined,
    limited,
    within,
)
from headwater.sql.signature import Call, row

SPACES = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006"
    "\u2008\u2009\u200a\u2028\u2029\u205f\u3000"
)
"""What trim removes: Java's white space."""

PADDED_CHARACTERS = 1_000_000
"""The longest text lpad and rpad make (ours): the size is a number anyone can type."""

_SHORT_PADDING = 100

_IS_CODE_POINT = "{0} BETWEEN 0 AND 55295 OR {0} BETWEEN 57344 AND 1114111"


_FOUND = "((strlen({0}) - strlen(replace({0}, {1}, ''))) // greatest(strlen({1}), 1))"
"""How often a text that is not empty is found in another."""


def _concat(call: Call) -> str:
    places = [f"{{{place}}}" for place in range(len(call.texts))]
    size = _chained("+", [f"strlen({place})" for place in places])
    made = _chained("||", [within(places[0], size), *places[1:]])
    return use_once(checked(made, VARCHAR, size=size, bytes_=size), call.texts)


def _chained(operator: str, operands: list[str]) -> str:
    """Pairs of pairs, so that many are not a deep tree."""
    if len(operands) == 1:
        return operands[0]
    middle = len(operands) // 2
    return f"({_chained(operator, operands[:middle])} {operator} {_chained(operator, operands[middle:])})"


def _trim(name: str) -> str:
    return f"{name}({{0}}, {quoted(SPACES)})"


def _padded(engine: str) -> str:
    """Long paddings by whole repetitions, which is many times faster than the engine's own, character by character."""
    count = f"({within('{1}', '{1}', PADDED_CHARACTERS)})"
    size = failure(f"concat('Target length must be in the range [0..{PADDED_CHARACTERS}]')", VARCHAR)
    padding = failure(quoted("Padding string must not be empty"), VARCHAR)
    return (
        f"CASE WHEN {{1}} < 0 OR {{1}} > {PADDED_CHARACTERS} THEN {size} WHEN {{2}} = '' THEN {padding}"
        f" WHEN {{1}} <= length({{0}}) + {_SHORT_PADDING} THEN {engine}({{0}}, {count}::INTEGER, {{2}})"
        f" WHEN {fits('strlen({0}) + {1} * strlen({2}) // greatest(length({2}), 1)')}"
        f" THEN {'{0} || ' if engine == 'rpad' else ''}"
        f"substr(repeat({{2}}, ({count} - length({{0}})) // length({{2}}) + 1), 1, {count} - length({{0}}))"
        f"{' || {0}' if engine == 'lpad' else ''} END"
    )


def _replaced(by: str) -> str:
    """An empty text is found before every character and at the end, as in Trino."""
    if by == "''":
        return "CASE WHEN {1} = '' THEN {0} ELSE replace({0}, {1}, '') END"
    # At most so many bytes: what is found is one byte long at least, and every place between characters may be one.
    most = f"(strlen({{0}}) + 1) * greatest(strlen({by}), 1)"
    found = f"CASE WHEN {{1}} = '' THEN length({{0}}) + 1 ELSE {_FOUND} END"
    size = (
        f"CASE WHEN {most} > {SMALL_BYTES} THEN strlen({{0}}) + (strlen({by}) - strlen({{1}})) * ({found}) ELSE 0 END"
    )
    text = within("{0}", size)
    every = f"list_transform(string_split({text}, ''), lambda character: character || {by})"
    everywhere = f"{by} || CASE WHEN {{0}} = '' THEN '' ELSE array_to_string({every}, '') END"
    made = f"CASE WHEN {{1}} = '' THEN {everywhere} ELSE replace({text}, {{1}}, {by}) END"
    bytes_ = f"CASE WHEN {{1}} = '' THEN {PIECE_BYTES} * strlen({{0}}) ELSE 0 END + {size}"
    return checked(made, VARCHAR, size=size, bytes_=bytes_)


def _joined_with(call: Call) -> str:
    """concat_ws: NULLs among the texts are left out, and have no separator."""
    separator, *texts = call.texts
    given = texts[0] if isinstance(call.types[1], Array) else f"[{', '.join(texts)}]"
    there = f"list_filter({given}, lambda text: text IS NOT NULL)"
    return f"CASE WHEN {separator} IS NOT NULL THEN {joined(there, separator)} END"


_FORMS = ("NFC", "NFD", "NFKC", "NFKD")


def _check_form(call: Call) -> None:
    if call.value(1) not in _FORMS:
        raise Invalid(f"Normalization form must be one of {', '.join(_FORMS)}")


def _format_kind(kind: SqlType) -> str:
    """What `format` may do with a value beyond writing its text."""
    if kind in (INTEGER, BIGINT):
        return "integer"
    return {DOUBLE: "double", Scalar.BOOLEAN: "boolean"}.get(kind, "text") if isinstance(kind, Scalar) else "text"


def _check_format(call: Call) -> None:
    for kind in call.types[1:]:
        if not is_castable(kind, VARCHAR):
            raise Invalid(f"A value of type {kind} cannot be formatted")


def _formatted(call: Call) -> str:
    pairs = zip(call.texts[1:], call.types[1:], strict=True)
    values = ", ".join(lower_cast(text, kind, VARCHAR, safe=False) for text, kind in pairs)
    kinds = literal([_format_kind(kind) for kind in call.types[1:]], Array(VARCHAR))
    return limited(f"arrow_format({call.texts[0]}, CAST([{values}] AS VARCHAR[]), {kinds})", VARCHAR)


_LEVENSHTEIN_WORK = 1_000_000
_OF_ENGINE = 100_000
_TOO_LONG = failure(quoted("The combined inputs for Levenshtein distance are too large"), BIGINT)
_IS_ASCII = "strlen({0}) = length({0}) AND strlen({1}) = length({1})"
_LEVENSHTEIN = (
    f"CASE WHEN length({{0}}) * length({{1}}) > {_LEVENSHTEIN_WORK} THEN {_TOO_LONG}"
    f" WHEN length({{0}}) * length({{1}}) <= {_OF_ENGINE} AND {_IS_ASCII} THEN levenshtein({{0}}, {{1}})::BIGINT"
    " ELSE arrow_levenshtein_distance({0}, {1}) END"
)
"""The engine's own counts bytes, and takes longer than ours for long texts. The product of the lengths is the work, so
it is limited (ours)."""

_TAIL = "CASE WHEN {1} = 0 OR {1} > length({0}) OR {1} < 0 - length({0}) THEN '' ELSE substr({0}, {1}) END"
_PART = (
    "CASE WHEN {0} IS NULL OR {2} IS NULL THEN NULL"
    " WHEN {2} <= 0 OR {1} = 0 OR {1} > length({0}) OR {1} < 0 - length({0}) THEN ''"
    " ELSE substr({0}, {1}, least({2}, length({0}))) END"
)
_NO_CODE_POINT = failure("concat('Not a valid Unicode code point: ', {0})", VARCHAR)
_NO_DELIMITER = failure(quoted("The delimiter may not be the empty string"), Array(VARCHAR))
_LIMIT_FAULT = failure(quoted("Limit must be positive"), Array(VARCHAR))
_PIECES = "string_split({0}, {1})"
_PIECES_COUNT = f"CASE WHEN strlen({{0}}) > {SMALL_BYTES // 16} THEN {_FOUND} + 1 ELSE 0 END"
_SPLIT = checked(
    f"string_split({within('{0}', _PIECES_COUNT, ELEMENTS)}, {{1}})",
    Array(VARCHAR),
    size=_PIECES_COUNT,
    bytes_=f"{_PIECES_COUNT} * {ELEMENT_BYTES} + strlen({{0}})",
)
_PIECES_FIT = f"({fits(f'({_PIECES_COUNT}) * {ELEMENT_BYTES} * 2 + strlen({{0}})')})"

_KEYS = "list_transform(entries, lambda entry: entry.f0)"
_KEY_AGAIN = (
    f"CASE WHEN len(list_distinct({_KEYS})) < len(entries) THEN concat('Duplicate keys (', {twice_in(_KEYS)},"
    " ') are not allowed. Specifying a lambda to resolve them is not either') END"
)


def _split_to(kind: Map, made: str, again: str = "NULL") -> Callable[[Call], str]:
    """A lowering to a map of `a=1,b=2`. `made` is of its `entries`, and `again`, what is wrong with them, or NULL.

    Nothing behind the last delimiter is no entry.
    """
    empty = [failure(quoted(f"{name} is empty"), kind) for name in ("entryDelimiter", "keyValueDelimiter")]
    same = failure(quoted("entryDelimiter and keyValueDelimiter must not be the same"), kind)
    bad = "list_filter(kept, lambda piece: len(string_split(piece, {2})) <> 2)[1]"
    once = quoted("Key-value delimiter must appear exactly once in each entry. Bad input: '")
    shown = f"concat({once}, {bad}, chr(39))"
    parts = "list_transform(kept, lambda piece: string_split(piece, {2}))"
    entries = f"list_transform({parts}, lambda part: struct_pack(f0 := part[1], f1 := part[2]))"
    whole = f"CASE WHEN {again} IS NOT NULL THEN {failure(again, kind)} ELSE {made} END"
    of_kept = (
        f"CASE WHEN {bad} IS NOT NULL THEN {failure(shown, kind)}"
        f" ELSE list_transform([{entries}], lambda entries: {whole})[1] END"
    )
    kept = "CASE WHEN pieces[len(pieces)] = '' THEN pieces[1 : len(pieces) - 1] ELSE pieces END"
    of_pieces = f"list_transform([{kept}], lambda kept: {of_kept})[1]"
    template = (
        "CASE WHEN {0} IS NULL OR {1} IS NULL OR {2} IS NULL THEN NULL"
        f" WHEN {{1}} = '' THEN {empty[0]} WHEN {{2}} = '' THEN {empty[1]} WHEN {{1}} = {{2}} THEN {same}"
        f" ELSE list_transform([{_SPLIT}], lambda pieces: {of_pieces})[1] END"
    )
    return lambda call: use_once(template, call.texts)


ROWS = (
    row(
        "chr(bigint) -> varchar",
        f"CASE WHEN {_IS_CODE_POINT} THEN chr({{0}}::INTEGER) WHEN {{0}} IS NOT NULL THEN {_NO_CODE_POINT} END",
        source="6.5",
    ),
    row(
        "codepoint(varchar) -> integer",
        "CASE WHEN length({0}) = 1 THEN unicode({0}) WHEN {0} IS NOT NULL THEN "
        f"{failure(quoted('Input of codepoint must be one character'), INTEGER)} END",
        source="6.5",
    ),
    row("concat(varchar...) -> varchar", _concat, source="6.5"),
    row("concat_ws(varchar, varchar...) -> varchar", _joined_with, source="Trino"),
    row("concat_ws(varchar, array(varchar)) -> varchar", _joined_with, source="Trino"),
    row("ends_with(varchar, varchar) -> boolean", "ends_with({0}, {1})", source="Trino"),
    # A type of its own in Trino, where it is cast to varchar: which changes nothing here.
    row("uuid() -> varchar", "CAST(uuid() AS VARCHAR)", is_volatile=True, source="Trino"),
    row("starts_with(varchar, varchar) -> boolean", "starts_with({0}, {1})", source="Trino"),
    row("format(varchar) -> varchar", _formatted, source="Trino"),
    row("format(varchar, any...) -> varchar", _formatted, check=_check_format, source="Trino"),
    row("luhn_check(varchar) -> boolean", "arrow_luhn_check({0})", source="Trino"),
    row("normalize(varchar) -> varchar", "arrow_normalize({0}, 'NFC')", source="Trino"),
    row("normalize(varchar, varchar) -> varchar", "arrow_normalize({0}, {1})", check=_check_form, source="Trino"),
    row("soundex(varchar) -> varchar", "arrow_soundex({0})", source="Trino"),
    row(
        "split_to_map(varchar, varchar, varchar) -> map(varchar, varchar)",
        _split_to(Map(VARCHAR, VARCHAR), "list_sort(entries)", _KEY_AGAIN),
        source="Trino",
    ),
    row(
        "split_to_multimap(varchar, varchar, varchar) -> map(varchar, array(varchar))",
        _split_to(Map(VARCHAR, Array(VARCHAR)), "hw_multimap(entries)"),
        source="Trino",
    ),
    row(
        "translate(varchar, varchar, varchar) -> varchar",
        f"CASE WHEN {fits('strlen({0}) * 2')} THEN translate({{all}}) END",
        source="Trino",
    ),
    row("hamming_distance(varchar, varchar) -> bigint", "arrow_hamming_distance({0}, {1})", source="6.5"),
    row("length(varchar) -> bigint", "length({0})", source="6.5"),
    row("levenshtein_distance(varchar, varchar) -> bigint", _LEVENSHTEIN, source="6.5"),
    row("lower(varchar) -> varchar", "lower({0})", source="6.5"),
    # The engine makes one capital of a sharp s; Java leaves it.
    row(
        "upper(varchar) -> varchar",
        f"CASE WHEN contains({{0}}, 'ß') THEN CASE WHEN {CUT_FITS} THEN"
        " array_to_string(list_transform(string_split({0}, 'ß'), lambda piece: upper(piece)), 'ß') END"
        " ELSE upper({0}) END",
        source="6.5",
    ),
    row("lpad(varchar, bigint, varchar) -> varchar", _padded("lpad"), source="6.5"),
    row("rpad(varchar, bigint, varchar) -> varchar", _padded("rpad"), source="6.5"),
    row("ltrim(varchar) -> varchar", _trim("ltrim"), source="6.5"),
    row("rtrim(varchar) -> varchar", _trim("rtrim"), source="6.5"),
    row("trim(varchar) -> varchar", _trim("trim"), source="6.5"),
    row("replace(varchar, varchar) -> varchar", _replaced("''"), source="6.5"),
    row("replace(varchar, varchar, varchar) -> varchar", _replaced("{2}"), source="6.5"),
    row(
        "reverse(varchar) -> varchar",
        "CASE WHEN {0} IS NOT NULL THEN"
        f" CASE WHEN {CUT_FITS} THEN array_to_string(list_reverse(string_split({{0}}, '')), '') END END",
        source="6.5",
    ),
    row(
        "split(varchar, varchar) -> array(varchar)",
        f"CASE WHEN {{1}} = '' THEN {_NO_DELIMITER} WHEN {{1}} IS NOT NULL THEN {_SPLIT} END",
        source="6.5",
    ),
    row(
        "split(varchar, varchar, bigint) -> array(varchar)",
        f"CASE WHEN {{0}} IS NULL OR {{1}} IS NULL OR {{2}} IS NULL THEN NULL WHEN {{1}} = '' THEN {_NO_DELIMITER}"
        f" WHEN {{2}} < 1 THEN {_LIMIT_FAULT} WHEN NOT {_PIECES_FIT} THEN NULL"
        f" WHEN len({_PIECES}) <= {{2}} THEN {_PIECES}"
        f" ELSE hw_split_limit({{0}}, {{1}}, {{2}}) END",
        source="6.5",
    ),
    row(
        "split_part(varchar, varchar, bigint) -> varchar",
        f"CASE WHEN {{1}} IS NULL THEN NULL WHEN {{2}} < 1 THEN "
        f"{failure(quoted('Index must be greater than zero'), VARCHAR)} WHEN {_PIECES_FIT} THEN {_PIECES}[{{2}}] END",
        source="6.5",
    ),
    row(
        "strpos(varchar, varchar) -> bigint",
        "strpos({0}, {1})",
        source="6.5",
    ),
    row("position(varchar, varchar) -> bigint", "strpos({1}, {0})", source="6.5"),
    row("strpos(varchar, varchar, bigint) -> bigint", "arrow_place({0}, {1}, {2}, false)", source="6.5"),
    row("strrpos(varchar, varchar) -> bigint", "arrow_place({0}, {1}, 1, true)", source="6.5"),
    row("strrpos(varchar, varchar, bigint) -> bigint", "arrow_place({0}, {1}, {2}, true)", source="6.5"),
    *(
        row(f"{name}(varchar, bigint) -> varchar", _TAIL, source=source)
        for name, source in (("substr", "6.5"), ("substring", "Trino"))
    ),
    *(
        row(f"{name}(varchar, bigint, bigint) -> varchar", _PART, source=source)
        for name, source in (("substr", "6.5"), ("substring", "Trino"))
    ),
)
