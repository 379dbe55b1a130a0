"""Rows of functions on maps. A map is a list of entries, ascending by key, each key once. Source: Trino."""

from __future__ import annotations

from headwater.model.types import Map
from headwater.sql.coercion import engine_type, failure, made_map, quoted, use_once
from headwater.sql.functions.limits import fits, limited
from headwater.sql.signature import Call, row

ENTRY_BYTES = 64
"""About what an entry takes while keys are sorted and compared."""

_FITS = fits(f"len({{0}}) * {ENTRY_BYTES}")


def _made(call: Call) -> str:
    lengths = failure(quoted("Key and value arrays must be the same length"), call.result)
    pairs = "list_transform(list_zip({0}, {1}), lambda pair: struct_pack(f0 := pair[1], f1 := pair[2]))"
    assert isinstance(call.result, Map)
    made = made_map(pairs, call.result)
    return use_once(
        "CASE WHEN {0} IS NULL OR {1} IS NULL THEN NULL"
        f" WHEN len({{0}}) <> len({{1}}) THEN {lengths} WHEN {_FITS} THEN {made} END",
        call.texts,
    )


def _from_entries(call: Call) -> str:
    assert isinstance(call.result, Map)
    null = failure(quoted("map entry cannot be null"), call.result)
    made = made_map("{0}", call.result)
    return use_once(f"CASE WHEN list_count({{0}}) < len({{0}}) THEN {null} WHEN {_FITS} THEN {made} END", call.texts)


MULTIMAP_ENTRIES = 100_000
"""Entries that multimap_from_entries takes (ours)."""


def _multimap(call: Call) -> str:
    null = failure(quoted("map entry cannot be null"), call.result)
    null_key = failure(quoted("map key cannot be null"), call.result)
    many = failure(quoted(f"multimap_from_entries takes at most {MULTIMAP_ENTRIES} entries"), call.result)
    return use_once(
        f"CASE WHEN list_count({{0}}) < len({{0}}) THEN {null}"
        f" WHEN list_count(list_transform({{0}}, lambda entry: entry.f0)) < len({{0}}) THEN {null_key}"
        f" WHEN len({{0}}) > {MULTIMAP_ENTRIES} THEN {many} WHEN {_FITS} THEN hw_multimap({{0}}) END",
        call.texts,
    )


def _concatenated(call: Call) -> str:
    """The last map that has a key gives its value: its entry comes first in a run of equal keys."""
    ranked = []
    for place in range(len(call.texts)):
        rank = f"struct_pack(rank := {-place}, value := entry.f1)"
        ranked.append(f"list_transform({{{place}}}, lambda entry: struct_pack(f0 := entry.f0, f1 := {rank}))")
    entries = ranked[0]
    for following in ranked[1:]:
        entries = f"list_concat({entries}, {following})"
    conditions = " AND ".join(f"{{{place}}} IS NOT NULL" for place in range(len(call.texts)))
    chosen = (
        f"list_transform(hw_first_of_key({entries}), lambda entry: struct_pack(f0 := entry.f0, f1 := entry.f1.value))"
    )
    return limited(use_once(f"CASE WHEN {conditions} THEN {chosen} END", call.texts), call.result)


def _empty(call: Call) -> str:
    return f"CAST([] AS {engine_type(call.result)})"


ROWS = (
    row("map() -> map(unknown, unknown)", _empty, source="Trino"),
    row("map(array(K), array(V)) -> map(K, V)", _made, source="Trino"),
    row("map_from_entries(array(row(K, V))) -> map(K, V)", _from_entries, source="Trino"),
    row("multimap_from_entries(array(row(K, V))) -> map(K, array(V))", _multimap, source="Trino"),
    row("map_entries(map(K, V)) -> array(row(K, V))", "{0}", source="Trino"),
    row("map_keys(map(K, V)) -> array(K)", "list_transform({0}, lambda entry: entry.f0)", source="Trino"),
    row("map_values(map(K, V)) -> array(V)", "list_transform({0}, lambda entry: entry.f1)", source="Trino"),
    row("map_concat(map(K, V)...) -> map(K, V)", _concatenated, source="Trino"),
    row("cardinality(map(K, V)) -> bigint", "len({0})", source="Trino"),
    row("element_at(map(K, V), K) -> V", "hw_at({0}, {1})", source="Trino"),
)
