"""Casts from and to JSON, as engine SQL. Called by `coercion` only, whose casts do what is inside. Source: Trino.

JSON is carried as its text (model/types.py); the functions that read it are in engine/json_values.py.
"""

from __future__ import annotations

from collections.abc import Callable

from headwater.model.types import Array, Map, Row, Scalar, SqlType

Change = Callable[[str, SqlType, SqlType], str]

_SCALAR = "arrow_json_scalar({0})"
_NUMBER = f"TRY_CAST(round(hw_double_from_text({_SCALAR})) AS {{kind}})"
_TRUTH = f"CASE {_SCALAR} WHEN 'true' THEN 1 WHEN 'false' THEN 0 END"

CASTS: dict[tuple[Scalar, Scalar], str] = {
    (Scalar.JSON, Scalar.VARCHAR): _SCALAR,
    (Scalar.JSON, Scalar.BOOLEAN): f"coalesce(hw_boolean_from_text({_SCALAR}), hw_double_from_text({_SCALAR}) <> 0)",
    (Scalar.JSON, Scalar.BIGINT): (
        f"coalesce(hw_bigint_from_text({_SCALAR}), {_NUMBER.replace('{kind}', 'BIGINT')}, {_TRUTH})"
    ),
    (Scalar.JSON, Scalar.INTEGER): (
        f"coalesce(hw_integer_from_text({_SCALAR}), {_NUMBER.replace('{kind}', 'INTEGER')}, {_TRUTH})"
    ),
    (Scalar.JSON, Scalar.DOUBLE): f"coalesce(hw_double_from_text({_SCALAR}), CAST({_TRUTH} AS DOUBLE))",
    (Scalar.JSON, Scalar.DATE): f"hw_date_from_text({_SCALAR})",
    (Scalar.JSON, Scalar.TIMESTAMP): f"hw_timestamp_from_text({_SCALAR})",
    (Scalar.BOOLEAN, Scalar.JSON): "CASE WHEN {0} THEN 'true' WHEN NOT {0} THEN 'false' END",
    (Scalar.INTEGER, Scalar.JSON): "CAST({0} AS VARCHAR)",
    (Scalar.BIGINT, Scalar.JSON): "CAST({0} AS VARCHAR)",
    (Scalar.DOUBLE, Scalar.JSON): (
        "CASE WHEN isfinite({0}) THEN hw_double_text({0}) ELSE '\"' || hw_double_text({0}) || '\"' END"
    ),
    (Scalar.VARCHAR, Scalar.JSON): "arrow_json_quote({0})",
    (Scalar.DATE, Scalar.JSON): "('\"' || hw_date_text({0}) || '\"')",
    (Scalar.TIMESTAMP, Scalar.JSON): "('\"' || hw_timestamp_text({0}) || '\"')",
}
"""Between JSON and scalars: NULL where the value has no place in the target. Of JSON, `null` never comes here."""


def inner_pairs(source: SqlType, target: SqlType) -> list[tuple[SqlType, SqlType]] | None:
    """The casts inside one between JSON and an array, map or row; None if there is none."""
    nested = source if target is Scalar.JSON else target
    match nested:
        case Array(element):
            inner: list[SqlType] = [element]
        case Row(fields):
            inner = [field.type for field in fields]
        case Map(key, value):
            names: tuple[SqlType, SqlType] = (key, Scalar.VARCHAR)
            values: tuple[SqlType, SqlType] = (value, Scalar.JSON)
            return [names, values] if target is Scalar.JSON else [names[::-1], values[::-1]]
        case _:
            return None
    return [(kind, Scalar.JSON) if target is Scalar.JSON else (Scalar.JSON, kind) for kind in inner]


def lower(text: str, source: SqlType, target: SqlType, change: Change) -> str:
    """Between JSON and an array, map or row; `change` casts what is inside. NULL for JSON of another form."""
    return _to_json(text, source, change) if target is Scalar.JSON else _from_json(text, target, change)


def _from_json(text: str, target: SqlType, change: Change) -> str:
    if isinstance(target, Array):
        element = change("item", Scalar.JSON, target.element)
        return f"list_transform(arrow_json_elements({text}), lambda item: {element})"
    if isinstance(target, Map):
        key = change("entry.f0", Scalar.VARCHAR, target.key)
        entry = f"struct_pack(f0 := {key}, f1 := {change('entry.f1', Scalar.JSON, target.value)})"
        return f"list_sort(list_transform(arrow_json_members({text}), lambda entry: {entry}))"
    assert isinstance(target, Row)
    by_place = _packed(target, change, lambda place, _: f"own.e[{place + 1}]")
    by_name = _packed(target, change, lambda _, name: f"hw_at(own.m, {name})")
    both = f"struct_pack(e := arrow_json_elements({text}), m := arrow_json_members({text}))"
    whole = f"CASE WHEN own.e IS NOT NULL THEN {by_place} WHEN own.m IS NOT NULL THEN {by_name} END"
    return f"list_transform([{both}], lambda own: {whole})[1]"


def _packed(target: Row, change: Change, found: Callable[[int, str], str]) -> str:
    fields = []
    for place, field in enumerate(target.fields):
        name = "'" + (field.name or "").replace("'", "''") + "'"
        fields.append(f"f{place} := {change(found(place, name), Scalar.JSON, field.type)}")
    return f"struct_pack({', '.join(fields)})"


def _to_json(text: str, source: SqlType, change: Change) -> str:
    if isinstance(source, Array):
        items = f"list_transform(items, lambda item: {_or_null(change('item', source.element, Scalar.JSON))})"
        whole = f"CASE WHEN items IS NOT NULL THEN '[' || coalesce(array_to_string({items}, ','), '') || ']' END"
        return f"list_transform([{text}], lambda items: {whole})[1]"
    if isinstance(source, Map):
        key = f"arrow_json_quote({change('entry.f0', source.key, Scalar.VARCHAR)})"
        value = _or_null(change("entry.f1", source.value, Scalar.JSON))
        members = f"list_transform(entries, lambda entry: {key} || ':' || {value})"
        body = f"coalesce(array_to_string({members}, ','), '')"
        whole = f"CASE WHEN entries IS NOT NULL THEN chr(123) || {body} || chr(125) END"
        return f"list_transform([{text}], lambda entries: {whole})[1]"
    assert isinstance(source, Row)
    parts = []
    for place, field in enumerate(source.fields):
        value = _or_null(change(f"own.f{place}", field.type, Scalar.JSON))
        quoted = "'" + (field.name or "").replace("'", "''") + "'"
        parts.append(f"arrow_json_quote({quoted}) || ':' || {value}")
    members = " || ',' || ".join(parts)
    whole = f"CASE WHEN own IS NOT NULL THEN chr(123) || {members} || chr(125) END"
    return f"list_transform([{text}], lambda own: {whole})[1]"


def _or_null(text: str) -> str:
    return f"coalesce({text}, 'null')"
