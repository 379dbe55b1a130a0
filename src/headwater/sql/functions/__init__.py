"""The function table: every function a query can name, a file per family. The binder calls `resolve` and `kind`."""

from __future__ import annotations

from headwater.sql.functions import aggregate, array, comparison, format, regex, scalar, series, string, time, window
from headwater.sql.signature import Registry

REGISTRY = Registry(
    (
        *comparison.ROWS,
        *scalar.ROWS,
        *string.ROWS,
        *regex.ROWS,
        *array.ROWS,
        *time.ROWS,
        *format.ROWS,
        *aggregate.ROWS,
        *window.ROWS,
        *series.ROWS,
    )
)

resolve = REGISTRY.resolve
kind = REGISTRY.kind
shown = REGISTRY.shown
