"""The function table: every function a query can name, a file per family. The binder calls `resolve` and `kind`."""

from __future__ import annotations

from headwater.sql.functions import (
    aggregate,
    array,
    binary,
    comparison,
    format,
    json_text,
    lambdas,
    map,
    map_aggregate,
    regex,
    scalar,
    series,
    string,
    time,
    url,
    window,
)
from headwater.sql.signature import Registry

REGISTRY = Registry(
    (
        *comparison.ROWS,
        *scalar.ROWS,
        *string.ROWS,
        *binary.ROWS,
        *url.ROWS,
        *json_text.ROWS,
        *regex.ROWS,
        *array.ROWS,
        *map.ROWS,
        *time.ROWS,
        *format.ROWS,
        *aggregate.ROWS,
        *map_aggregate.ROWS,
        *window.ROWS,
        *series.ROWS,
        *lambdas.ROWS,
    )
)

resolve = REGISTRY.resolve
begin = REGISTRY.begin
kind = REGISTRY.kind
shown = REGISTRY.shown
