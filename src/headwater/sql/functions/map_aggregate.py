"""Rows of aggregates that make maps. Source: Trino.

Entries are gathered as a list and then made a map: sorted by key, each key once (model/types.py).
"""

from __future__ import annotations

from headwater.errors import Invalid
from headwater.sql.coercion import struct
from headwater.sql.functions.aggregate import aggregated, refuse_distinct
from headwater.sql.functions.limits import checked
from headwater.sql.signature import Call, Kind, row

_ENTRIES = "list_transform(map_entries({}), lambda entry: struct_pack(f0 := entry.key, f1 := entry.value::BIGINT))"


def _gathered(call: Call) -> str:
    """The entries of a group, NULL keys left out; NULL for no row with a key."""
    refuse_distinct(call)
    key, value = call.texts
    entries = aggregated(call, "list", struct([key, value]), condition=f"{key} IS NOT NULL")
    return checked(entries, call.result, size=f"len({entries})")


def _map(call: Call) -> str:
    """One of the values of a key that comes more than once."""
    return f"hw_first_of_key({_gathered(call)})"


def _multimap(call: Call) -> str:
    refuse_distinct(call)
    key, value = call.texts
    entries = aggregated(call, "list", struct([key, value]), condition=f"{key} IS NOT NULL")
    return f"hw_multimap({entries})"


def _union(call: Call) -> str:
    maps = aggregated(call, "list", call.texts[0], condition=f"{call.texts[0]} IS NOT NULL")
    size = f"list_sum(list_transform({maps}, lambda one: len(one)))"
    return f"hw_first_of_key({checked(f'flatten({maps})', call.result, size=size)})"


def _histogram(call: Call) -> str:
    value = call.texts[0]
    return _ENTRIES.format(aggregated(call, "histogram", value, condition=f"{value} IS NOT NULL"))


def _check_buckets(call: Call) -> None:
    if call.value(0) is None or call.value(0) < 2:
        raise Invalid(f"{call.name} bucket count must be greater than one")


def _most_frequent(call: Call) -> str:
    """Exact, which is within any capacity."""
    value = call.texts[1]
    found = _ENTRIES.format(aggregated(call, "histogram", value, condition=f"{value} IS NOT NULL"))
    ranked = f"list_sort(list_transform({found}, lambda e: struct_pack(n := 0 - e.f1, f0 := e.f0)))"
    kept = f"({ranked})[1 : {call.value(0)}]"
    return f"list_sort(list_transform({kept}, lambda e: struct_pack(f0 := e.f0, f1 := 0 - e.n)))"


def _numeric_histogram(call: Call) -> str:
    refuse_distinct(call)
    value, weight = call.texts[1], call.texts[2] if len(call.texts) > 2 else "1e0"
    condition = f"{value} IS NOT NULL AND {weight} IS NOT NULL"
    pairs = aggregated(call, "list", f"struct_pack(v := {value}, w := {weight})", condition)
    return f"arrow_numeric_histogram({call.texts[0]}, hw_in_turn(hw_thinned({pairs})))"


ROWS = (
    row("histogram(K) -> map(K, bigint)", _histogram, kind=Kind.AGGREGATE, source="Trino"),
    row("map_agg(K, V) -> map(K, V)", _map, kind=Kind.AGGREGATE, source="Trino"),
    row("multimap_agg(K, V) -> map(K, array(V))", _multimap, kind=Kind.AGGREGATE, source="Trino"),
    row("map_union(map(K, V)) -> map(K, V)", _union, kind=Kind.AGGREGATE, source="Trino"),
    row(
        "approx_most_frequent(bigint, K, bigint) -> map(K, bigint)",
        _most_frequent,
        kind=Kind.AGGREGATE,
        check=_check_buckets,
        source="Trino",
    ),
    *(
        row(
            f"numeric_histogram(bigint, double{weight}) -> map(double, double)",
            _numeric_histogram,
            kind=Kind.AGGREGATE,
            check=_check_buckets,
            source="Trino",
        )
        for weight in ("", ", double")
    ),
)
