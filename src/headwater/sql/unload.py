"""UNLOAD bound: where the answer goes and in which form. Called by `compile`; writes nothing. Source: sql.md 4.7."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from headwater.model.types import Array, OutputColumn, Row, Scalar, SqlType, Timeseries
from headwater.sql import tree
from headwater.sql.binder_context import fault
from headwater.sql.plan import UnloadOptions, UnloadTarget

# What S3 allows in the name of a bucket or the alias of an access point.
_TARGET = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?", re.DOTALL)
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?(MB|GB)", re.ASCII | re.IGNORECASE)
_UNIT_BYTES = {"MB": 2**20, "GB": 2**30}
FILE_BYTES_LEAST = 16 * 2**20
FILE_BYTES_MOST = 78 * 2**30
_FOR_CSV_ONLY = ("field_delimiter", "escaped_by", "include_header")


def bind_target(node: tree.StringLiteral) -> UnloadTarget:
    """The place that TO names. The text of the fault is a guess."""
    match = _TARGET.fullmatch(node.value)
    if match is None:
        raise fault(node, f"Invalid S3 destination for UNLOAD: {node.value}")
    return UnloadTarget(match[1], (match[2] or "").strip("/"))


def bind_options(nodes: Sequence[tree.UnloadOption], columns: Sequence[OutputColumn]) -> UnloadOptions:
    """The options of a query with these columns. The texts of the faults are guesses."""
    values: dict[str, Any] = {}
    for node in nodes:
        if node.name not in _OPTIONS:
            raise fault(node, f"UNLOAD option '{node.name}' does not exist")
        field, read = _OPTIONS[node.name]
        if field in values:
            raise fault(node, f"UNLOAD option '{node.name}' is specified more than once")
        values[field] = read(node)
    options = UnloadOptions(**values)
    for node in nodes:
        if node.name in _FOR_CSV_ONLY and options.format != "CSV":
            raise fault(node, f"UNLOAD option '{node.name}' is for format CSV only")
        if node.name == "kms_key" and options.encryption != "SSE_KMS":
            raise fault(node, "UNLOAD option 'kms_key' is for encryption SSE_KMS only")
        if node.name == "partitioned_by":
            _check_partitions(node, options.partitioned_by, [column.name for column in columns])
    return options


def check_columns(node: tree.Unload, columns: Sequence[OutputColumn]) -> None:
    """Refuse columns of types that no file holds. Source: sql.md 4.7."""
    for column in columns:
        for kind in (Scalar.TIME, Scalar.UNKNOWN):
            if _holds(column.type, kind):
                raise fault(node, f"Column '{column.name}' of type {column.type} cannot be unloaded")


def _holds(kind: SqlType, wanted: Scalar) -> bool:
    if isinstance(kind, Row):
        return any(_holds(field.type, wanted) for field in kind.fields)
    if isinstance(kind, Array):
        return _holds(kind.element, wanted)
    return _holds(kind.value, wanted) if isinstance(kind, Timeseries) else kind is wanted


def _check_partitions(node: tree.UnloadOption, names: tuple[str, ...], columns: list[str]) -> None:
    for name in names:
        if name not in columns:
            raise fault(node, f"Column '{name}' of partitioned_by does not exist")
    if list(names) != columns[len(columns) - len(names) :]:
        raise fault(node, "The columns of partitioned_by must be the last columns of the query, in the same order")
    if len(names) == len(columns):
        raise fault(node, "At least one column of the query must not be in partitioned_by")


def _string(node: tree.UnloadOption) -> str:
    if not isinstance(node.value, tree.StringLiteral):
        raise fault(node, f"The value of UNLOAD option '{node.name}' must be a string")
    return node.value.value


def _strings(node: tree.UnloadOption) -> tuple[str, ...]:
    elements = node.value.elements if isinstance(node.value, tree.ArrayConstructor) else ()
    names = tuple(element.value for element in elements if isinstance(element, tree.StringLiteral))
    if not elements or len(names) < len(elements):
        raise fault(node, f"The value of UNLOAD option '{node.name}' must be an array of strings")
    return names


def _one_of(*values: str) -> Callable[[tree.UnloadOption], str]:
    """One of some words, in any case."""

    def read(node: tree.UnloadOption) -> str:
        value = _string(node).upper()
        if value not in values:
            raise fault(node, f"The value of UNLOAD option '{node.name}' must be one of {', '.join(values)}")
        return value

    return read


def _character(node: tree.UnloadOption) -> str:
    value = _string(node)
    if len(value) != 1 or not value.isascii():
        raise fault(node, f"The value of UNLOAD option '{node.name}' must be one ASCII character")
    return value


def _boolean(node: tree.UnloadOption) -> bool:
    return _one_of("TRUE", "FALSE")(node) == "TRUE"


def _size(node: tree.UnloadOption) -> int:
    """Bytes. A megabyte is 2^20 (ours)."""
    match = _SIZE.fullmatch(_string(node))
    if match is None:
        raise fault(node, f"The value of UNLOAD option '{node.name}' must be a size in MB or GB")
    size = int(Fraction(match[1]) * _UNIT_BYTES[match[2].upper()])
    if not FILE_BYTES_LEAST <= size <= FILE_BYTES_MOST:
        raise fault(node, f"The value of UNLOAD option '{node.name}' must be between 16MB and 78GB")
    return size


_OPTIONS: dict[str, tuple[str, Callable[[tree.UnloadOption], Any]]] = {
    "partitioned_by": ("partitioned_by", _strings),
    "format": ("format", _one_of("CSV", "PARQUET")),
    "compression": ("compression", _one_of("GZIP", "NONE")),
    "encryption": ("encryption", _one_of("SSE_S3", "SSE_KMS")),
    "kms_key": ("kms_key", _string),
    "field_delimiter": ("field_delimiter", _character),
    "escaped_by": ("escaped_by", _character),
    "include_header": ("include_header", _boolean),
    "max_file_size": ("file_bytes_max", _size),
}
"""By name: the field of UnloadOptions, and how its value is read."""
