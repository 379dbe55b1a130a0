"""Conversions between the dialect's types: which happen on their own, how casts are written, how values are.

Called by the binder, by `signature` and by `operators`. Texts are engine SQL over the representation of
model/types.py: instants are BIGINT nanoseconds, dates INTEGER days, rows structs with fields f0, f1, ...
Macros `hw_...` live in engine/macros.py, functions `arrow_...` in engine/series.py and texts.py.
Source: sql.md 1.1, 2.4, 6.3.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from headwater.errors import FAULT_END, FAULT_START, Invalid
from headwater.model.time import NS_PER_DAY
from headwater.model.types import Array, Field, Map, Row, Scalar, SqlType, Timeseries
from headwater.sql import json_casts
from headwater.sql.calendar import in_time_range
from headwater.sql.constant import Constant, combined
from headwater.sql.texts import parse_date, parse_time, parse_timestamp
from headwater.threads import in_turns

BOOLEAN, INTEGER, BIGINT, DOUBLE, VARCHAR = (
    Scalar.BOOLEAN,
    Scalar.INTEGER,
    Scalar.BIGINT,
    Scalar.DOUBLE,
    Scalar.VARCHAR,
)
TIMESTAMP, DATE, TIME, UNKNOWN = Scalar.TIMESTAMP, Scalar.DATE, Scalar.TIME, Scalar.UNKNOWN
DAY_TO_SECOND, YEAR_TO_MONTH = Scalar.INTERVAL_DAY_TO_SECOND, Scalar.INTERVAL_YEAR_TO_MONTH
VARBINARY, JSON = Scalar.VARBINARY, Scalar.JSON

NUMBERS = (INTEGER, BIGINT, DOUBLE)
INT_MIN, INT_MAX, BIGINT_MIN, BIGINT_MAX = -(2**31), 2**31 - 1, -(2**63), 2**63 - 1


# ------------------------------------------------------------------------------------------- types


_WIDER: dict[tuple[Scalar, Scalar], int] = {
    (INTEGER, BIGINT): 1,
    (BIGINT, DOUBLE): 2,
    (INTEGER, DOUBLE): 3,
    (DATE, TIMESTAMP): 2,
}
_STOOD_FOR_BY_TEXT = {TIMESTAMP: 10, DATE: 11, TIME: 12}
"""Types that a varchar literal stands in for, and what that costs: an instant is the best guess."""


def coercion_cost(source: SqlType, target: SqlType, *, is_literal: bool = False) -> int | None:
    """How far an implicit conversion goes; 0 for equal types, None if there is none. Source: sql.md 2.4."""
    if source == target:
        return 0
    if source is UNKNOWN:
        return 1
    if isinstance(source, Scalar) and isinstance(target, Scalar):
        if source is VARCHAR and is_literal:
            return _STOOD_FOR_BY_TEXT.get(target)
        return _WIDER.get((source, target))
    pairs = _inner_pairs(source, target)
    if pairs is None:
        return None
    costs = [coercion_cost(inner, wanted) for inner, wanted in pairs]
    return None if None in costs else sum(cost for cost in costs if cost is not None)


def common_type(left: SqlType, right: SqlType) -> SqlType | None:
    """The narrowest type both convert to, or None. Unnamed fields take the other side's name."""
    if left == right or right is UNKNOWN:
        return left
    if left is UNKNOWN:
        return right
    if isinstance(left, Scalar) and isinstance(right, Scalar):
        if (left, right) in _WIDER:
            return right
        return left if (right, left) in _WIDER else None
    pairs = _inner_pairs(left, right)
    if pairs is None:
        return None
    inner = [common_type(a, b) for a, b in pairs]
    if None in inner:
        return None
    return _rebuilt(left, right, [kind for kind in inner if kind is not None])


def common_type_of(types: Sequence[SqlType], constants: Sequence[Constant | None]) -> SqlType | None:
    """The common type of many expressions (CASE branches, array elements, VALUES rows).

    A varchar literal among dates, times or timestamps stands for one. None if they have no common type.
    """
    pairs = list(zip(types, constants, strict=True))
    common: SqlType = UNKNOWN
    for own, constant in in_turns(sorted(pairs, key=lambda pair: pair[1] is not None and pair[0] is VARCHAR)):
        wider = common_type(common, own)
        if wider is None and coercion_cost(own, common, is_literal=constant is not None) is not None:
            wider = common
        if wider is None:
            return None
        common = wider
    return common


def is_comparable(kind: SqlType) -> bool:
    """False for anything that holds a timeseries: those are not compared, grouped or sorted. Source: sql.md 7.1."""
    if isinstance(kind, Array):
        return is_comparable(kind.element)
    if isinstance(kind, Row):
        return all(is_comparable(f.type) for f in kind.fields)
    if isinstance(kind, Map):
        return is_comparable(kind.key) and is_comparable(kind.value)
    return not isinstance(kind, Timeseries)


def _inner_pairs(left: SqlType, right: SqlType) -> list[tuple[SqlType, SqlType]] | None:
    """The types inside two types of the same make, side by side; None if their makes differ."""
    if isinstance(left, Array) and isinstance(right, Array):
        return [(left.element, right.element)]
    if isinstance(left, Timeseries) and isinstance(right, Timeseries):
        return [(left.value, right.value)]
    if isinstance(left, Map) and isinstance(right, Map):
        return [(left.key, right.key), (left.value, right.value)]
    if isinstance(left, Row) and isinstance(right, Row) and len(left.fields) == len(right.fields):
        return [(a.type, b.type) for a, b in zip(left.fields, right.fields, strict=True)]
    return None


def _rebuilt(left: SqlType, right: SqlType, inner: list[SqlType]) -> SqlType:
    if isinstance(left, Array):
        return Array(inner[0])
    if isinstance(left, Timeseries):
        return Timeseries(inner[0])
    if isinstance(left, Map):
        return Map(inner[0], inner[1])
    assert isinstance(left, Row)
    assert isinstance(right, Row)
    names = (a.name or b.name for a, b in zip(left.fields, right.fields, strict=True))
    return Row(tuple(Field(name, kind) for name, kind in zip(names, inner, strict=True)))


# ------------------------------------------------------------------------------- the engine's texts

_ENGINE_TYPES = {
    BOOLEAN: "BOOLEAN",
    INTEGER: "INTEGER",
    BIGINT: "BIGINT",
    DOUBLE: "DOUBLE",
    VARCHAR: "VARCHAR",
    TIMESTAMP: "BIGINT",
    DATE: "INTEGER",
    TIME: "BIGINT",
    DAY_TO_SECOND: "BIGINT",
    YEAR_TO_MONTH: "INTEGER",
    UNKNOWN: "INTEGER",
    VARBINARY: "VARCHAR",
    JSON: "VARCHAR",
}


def engine_type(kind: SqlType) -> str:
    """The engine's type that carries one of ours. Source: model/types.py."""
    if isinstance(kind, Scalar):
        return _ENGINE_TYPES[kind]
    if isinstance(kind, Array):
        return f"{engine_type(kind.element)}[]"
    if isinstance(kind, Timeseries):
        return f"STRUCT(t BIGINT, v {engine_type(kind.value)})[]"
    if isinstance(kind, Map):
        return f"STRUCT(f0 {engine_type(kind.key)}, f1 {engine_type(kind.value)})[]"
    return f"STRUCT({', '.join(f'f{i} {engine_type(f.type)}' for i, f in enumerate(kind.fields))})"


def quoted(text: str) -> str:
    """A varchar literal."""
    return "'" + text.replace("'", "''") + "'" if "\0" not in text else _quoted_around_nul(text)


def _quoted_around_nul(text: str) -> str:
    return "(" + " || chr(0) || ".join(quoted(part) for part in text.split("\0")) + ")"


def quoted_name(name: str) -> str:
    """An identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: Any, kind: SqlType) -> str:
    """A value as the engine holds it (see Constant), as engine SQL of exactly its type."""
    if value is None:
        return f"CAST(NULL AS {engine_type(kind)})"
    if isinstance(kind, Array):
        items = ", ".join(literal(item, kind.element) for item in in_turns(value))
        return f"[{items}]" if items else f"CAST([] AS {engine_type(kind)})"
    if isinstance(kind, Row):
        return struct([literal(item, f.type) for item, f in zip(value, kind.fields, strict=True)])
    assert isinstance(kind, Scalar)
    if kind is VARCHAR:
        return quoted(value)
    if kind is BOOLEAN:
        return "true" if value else "false"
    if kind is DOUBLE:
        return _double_literal(value)
    return f"({value})::{engine_type(kind)}" if value < 0 else f"{value}::{engine_type(kind)}"


def _double_literal(value: float) -> str:
    text = repr(float(value))
    if not math.isfinite(value) or text == "-0.0":
        return f"'{text}'::DOUBLE"
    scientific = text if "e" in text else f"{text}e0"
    return f"({scientific})" if value < 0 else scientific


def struct(texts: Sequence[str]) -> str:
    """A row from its fields' texts."""
    return f"struct_pack({', '.join(f'f{i} := {text}' for i, text in enumerate(texts))})"


LONG_TEXT_CHARACTERS = 300


def use_once(template: str, texts: Sequence[str]) -> str:
    """Fill {0}, {1}, ... (and {all}) of a template.

    An argument whose text is long, or has a query in it, and would appear more than once, here or in a macro, is bound
    to a name first: nested calls would otherwise grow the statement, and the work, exponentially with their depth.
    """
    has_long = any(len(text) > LONG_TEXT_CHARACTERS or "SELECT" in text for text in texts)
    if not has_long or not ("hw_" in template or _has_repeated(_PLACE.findall(template))):
        return template.format(*texts, all=", ".join(texts))
    fields = [f"once.f{i}" for i in range(len(texts))]
    body = template.format(*fields, all=", ".join(fields))
    return f"list_transform([{struct(texts)}], lambda once: {body})[1]"


_PLACE = re.compile(r"\{\d+\}")


def _has_repeated(places: list[str]) -> bool:
    return len(set(places)) < len(places)


def failure(message: str, kind: SqlType) -> str:
    """An engine expression of type `kind` that fails the query with a text; `message` is an engine varchar expression.

    It is a cast that cannot succeed, because the engine's own error() counts as volatile, which TRY refuses.
    """
    wrong = f"'{FAULT_START}' || {message} || '{FAULT_END}'"
    if engine_type(kind) == "VARCHAR":
        return f"CAST(CAST({wrong} AS INTEGER) AS VARCHAR)"
    return f"CAST({wrong} AS {engine_type(kind)})"


def twice_in(keys: str) -> str:
    """The least value that a list has more than once."""
    neighbours = f"list_zip(list_sort({keys}), list_sort({keys})[2:])"
    return f"list_filter({neighbours}, lambda pair: pair[1] = pair[2])[1][1]"


def made_map(entries: str, kind: Map) -> str:
    """A map from a list of entries, none of them NULL: by key, each once. `entries` is evaluated once."""
    no_key = failure(quoted("map key cannot be null"), kind)
    keys = "list_transform(entries, lambda entry: entry.f0)"
    shown = lower_cast(twice_in(keys), kind.key, VARCHAR, safe=False) if is_castable(kind.key, VARCHAR) else "'...'"
    twice = failure(f"concat('Duplicate map keys (', {shown}, ') are not allowed')", kind)
    made = (
        f"CASE WHEN list_count({keys}) < len(entries) THEN {no_key}"
        f" WHEN len(list_distinct({keys})) < len(entries) THEN {twice} ELSE list_sort(entries) END"
    )
    return f"list_transform([{entries}], lambda entries: {made})[1]"


# -------------------------------------------------------------------------------- implicit conversion


def convert(text: str, source: SqlType, target: SqlType, constant: Constant | None = None) -> str:
    """An expression of `source` as one of `target`; `coercion_cost` has said that it can be.

    Raises Invalid if a varchar literal does not read as the time it stands for.
    """
    if engine_type(source) == engine_type(target) and _is_same_inside(source, target):
        return text
    if constant is not None and isinstance(target, Scalar):
        folded = fold_constant(constant, source, target)
        return literal(folded.value, target)
    if source is UNKNOWN:
        return f"CAST(NULL AS {engine_type(target)})"
    if source is DATE and target is TIMESTAMP:
        return use_once("hw_midnight({0})", [text])
    return _inside(text, source, target, convert)


def _is_same_inside(source: SqlType, target: SqlType) -> bool:
    """True if equal engine types also mean the same: an INTEGER may be a date or months."""
    if isinstance(source, Scalar) and isinstance(target, Scalar):
        return source is target
    pairs = _inner_pairs(source, target)
    return pairs is not None and all(_is_same_inside(a, b) for a, b in pairs)


def _inside(text: str, source: SqlType, target: SqlType, change: Callable[[str, SqlType, SqlType], str]) -> str:
    """Convert what is inside an array, row or timeseries; numbers by the engine's cast."""
    if isinstance(source, Array) and isinstance(target, Array):
        return f"list_transform({text}, lambda item: {change('item', source.element, target.element)})"
    if isinstance(source, Timeseries) and isinstance(target, Timeseries):
        value = change("point.v", source.value, target.value)
        return f"list_transform({text}, lambda point: struct_pack(t := point.t, v := {value}))"
    if isinstance(source, Map) and isinstance(target, Map):
        entry = struct([change("entry.f0", source.key, target.key), change("entry.f1", source.value, target.value)])
        # Other keys may stand in another order, and keys that were two may be one.
        return made_map(f"list_transform({text}, lambda entry: {entry})", target)
    if isinstance(source, Row) and isinstance(target, Row):
        pairs = zip(source.fields, target.fields, strict=True)
        fields = [change(f"part.f{i}", a.type, b.type) for i, (a, b) in enumerate(pairs)]
        return f"list_transform([{text}], lambda part: CASE WHEN part IS NOT NULL THEN {struct(fields)} END)[1]"
    return f"CAST({text} AS {engine_type(target)})"


def fold_constant(constant: Constant, source: SqlType, target: SqlType) -> Constant:
    """The value after an implicit conversion. Raises Invalid for a text that is not the time it stands for."""
    if source == target:
        return constant
    return combined(("implicit", source, target), lambda value: _converted(value, source, target), (constant,))


def _converted(value: Any, source: SqlType, target: SqlType) -> Any:
    if value is None or source == target:
        return value
    if source is VARCHAR and isinstance(target, Scalar) and target in _READ:
        return _READ[target](value)
    if source is DATE and target is TIMESTAMP:
        return in_time_range(value * NS_PER_DAY)
    if target is DOUBLE:
        return float(value)
    if isinstance(source, Array) and isinstance(target, Array):
        return [_converted(item, source.element, target.element) for item in value]
    if isinstance(source, Row) and isinstance(target, Row):
        pairs = zip(value, source.fields, target.fields, strict=True)
        return [_converted(item, a.type, b.type) for item, a, b in pairs]
    return value


_READ = {TIMESTAMP: parse_timestamp, DATE: parse_date, TIME: parse_time}


# ------------------------------------------------------------------------------------- explicit casts

_TEXT_OF = {
    BOOLEAN: "CASE WHEN {0} THEN 'true' WHEN NOT {0} THEN 'false' END",
    INTEGER: "CAST({0} AS VARCHAR)",
    BIGINT: "CAST({0} AS VARCHAR)",
    DOUBLE: "hw_double_text({0})",
    TIMESTAMP: "hw_timestamp_text({0})",
    DATE: "hw_date_text({0})",
    TIME: "hw_time_text({0})",
    DAY_TO_SECOND: "hw_day_to_second_text({0})",
    YEAR_TO_MONTH: "hw_year_to_month_text({0})",
}
_CASTS: dict[tuple[Scalar, Scalar], str] = {
    (VARCHAR, BOOLEAN): "hw_boolean_from_text({0})",
    (VARCHAR, INTEGER): "hw_integer_from_text({0})",
    (VARCHAR, BIGINT): "hw_bigint_from_text({0})",
    (VARCHAR, DOUBLE): "hw_double_from_text({0})",
    (VARCHAR, TIMESTAMP): "hw_timestamp_from_text({0})",
    (VARCHAR, DATE): "hw_date_from_text({0})",
    (VARCHAR, TIME): "hw_time_from_text({0})",
    (VARCHAR, VARBINARY): "lower(hex({0}))",
    (DOUBLE, BIGINT): "TRY_CAST(round({0}) AS BIGINT)",
    (DOUBLE, INTEGER): "TRY_CAST(round({0}) AS INTEGER)",
    (BIGINT, INTEGER): "TRY_CAST({0} AS INTEGER)",
    (INTEGER, BOOLEAN): "({0} <> 0)",
    (BIGINT, BOOLEAN): "({0} <> 0)",
    (DOUBLE, BOOLEAN): "({0} <> 0)",
    (BOOLEAN, INTEGER): "CAST({0} AS INTEGER)",
    (BOOLEAN, BIGINT): "CAST({0} AS BIGINT)",
    (BOOLEAN, DOUBLE): "CAST({0} AS DOUBLE)",
    (INTEGER, BIGINT): "CAST({0} AS BIGINT)",
    (INTEGER, DOUBLE): "CAST({0} AS DOUBLE)",
    (BIGINT, DOUBLE): "CAST({0} AS DOUBLE)",
    (DATE, TIMESTAMP): f"TRY({{0}}::BIGINT * {NS_PER_DAY})",
    (TIMESTAMP, DATE): "hw_day({0})",
    (TIMESTAMP, TIME): "hw_time_of_day({0})",
}
_CASTS |= {(source, VARCHAR): text for source, text in _TEXT_OF.items()} | json_casts.CASTS
_CANNOT_FAIL = frozenset(
    pair
    for pair in _CASTS
    if (pair[1] is VARCHAR and pair[0] is not JSON)
    or pair[1] is JSON
    or pair in {(DOUBLE, BOOLEAN), (INTEGER, BOOLEAN), (BIGINT, BOOLEAN), (TIMESTAMP, DATE), (TIMESTAMP, TIME)}
    or pair[0] is BOOLEAN
    or (pair[1] is DOUBLE and pair[0] not in (VARCHAR, JSON))
    or pair in {(INTEGER, BIGINT), (VARCHAR, VARBINARY)}
)


def is_castable(source: SqlType, target: SqlType) -> bool:
    """Whether CAST has a meaning for the two types, whatever the value."""
    if source == target or source is UNKNOWN:
        return True
    if isinstance(source, Scalar) and isinstance(target, Scalar):
        return (source, target) in _CASTS
    if JSON in (source, target):
        pairs = json_casts.inner_pairs(source, target)
        return pairs is not None and all(is_castable(a, b) for a, b in pairs)
    pairs = _inner_pairs(source, target)
    return pairs is not None and all(is_castable(a, b) for a, b in pairs)


def lower_cast(text: str, source: SqlType, target: SqlType, safe: bool) -> str:
    """CAST(text AS target), or TRY_CAST if `safe`, which gives NULL for a value that has no place in the target.

    An array, row or map with such a value in it is one itself. Raises Invalid where no value of the one type has a
    meaning in the other. Source: sql.md 6.3, 8.
    """
    if not is_castable(source, target):
        raise Invalid(f"Cannot cast {source} to {target}")
    if source == target:
        return text
    if source is UNKNOWN:
        return f"CAST(NULL AS {engine_type(target)})"
    if isinstance(source, Scalar) and isinstance(target, Scalar):
        return _scalar_cast(text, source, target, safe)
    if safe:
        # What fails in the operand is not the cast's.
        return f"list_transform([{text}], lambda tried: TRY({lower_cast('tried', source, target, safe=False)}))[1]"
    if JSON in (source, target):
        cast = json_casts.lower("{0}", source, target, lambda inner, a, b: lower_cast(inner, a, b, safe=False))
        message = f"concat('Cannot cast to {target}: ', {{0}})"
        fault = f"CASE WHEN {{0}} <> 'null' THEN {failure(message, target)} END"
        return use_once(cast if target is JSON else f"coalesce({cast}, {fault})", [text])
    return _inside(text, source, target, lambda inner, a, b: lower_cast(inner, a, b, safe=False))


def _scalar_cast(text: str, source: Scalar, target: Scalar, safe: bool) -> str:
    attempt = _CASTS[source, target]
    if source is JSON:
        text = f"nullif({text}, 'null')"
    if safe or (source, target) in _CANNOT_FAIL:
        return use_once(attempt, [text])
    message = f"concat({_cast_message(source, target)})"
    return use_once(f"coalesce({attempt}, CASE WHEN {{0}} IS NOT NULL THEN {failure(message, target)} END)", [text])


def _cast_message(source: Scalar, target: Scalar) -> str:
    """Parts of the text of a failed cast, as engine expressions."""
    shown = "{0}" if source in (VARCHAR, JSON) else _TEXT_OF[source]
    if source is VARCHAR and target in _STOOD_FOR_BY_TEXT:
        return f"'Value cannot be cast to {target}: ', {shown}"
    return f"'Cannot cast ''', {shown}, ''' to {target.name}'"


def fold_cast(constant: Constant, source: SqlType, target: SqlType) -> Constant | None:
    """The value of a cast to a time or of an integer, where it is known and sure to succeed; else None."""
    if source == target or constant.holds(_is_null):
        return constant
    if source is TIMESTAMP and target is DATE:
        return combined("day", lambda value: value // NS_PER_DAY, (constant,))
    if source is TIMESTAMP and target is TIME:
        return combined("time of day", lambda value: value % NS_PER_DAY, (constant,))
    if source is INTEGER and target is BIGINT:
        return constant
    if coercion_cost(source, target, is_literal=True) is None or target not in (TIMESTAMP, DATE, TIME, DOUBLE):
        return None
    try:
        return fold_constant(constant, source, target)
    except Invalid:
        constant.pin()
        return None


def _is_null(value: Any) -> bool:
    return value is None
