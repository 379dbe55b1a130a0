"""Rows as the content of files that UNLOAD writes: CSV text, and Arrow as Parquet is to hold it.

`query/unload` calls this with what the engine answered, in the Arrow types of model/types.py. Whole columns at a time,
like `datum`, whose texts of scalars these are. Opens no file. Source: sql.md 4.7.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from headwater.model.types import Array, Field, Map, OutputColumn, Row, Scalar, SqlType, Timeseries, as_sent
from headwater.wire.datum import joined, list_texts, scalar_texts

_TEXT = pa.large_string()
_BARE = frozenset({Scalar.BOOLEAN, Scalar.INTEGER, Scalar.BIGINT, Scalar.DOUBLE})
_NOT_FINITE = r"NaN|Infinity"


def csv_header(columns: Sequence[OutputColumn], delimiter: str, escape: str) -> bytes:
    """The first line of a file, with its end."""
    names = pa.array([column.name for column in columns], _TEXT)
    return (delimiter.join(_quoted(names, delimiter, escape).to_pylist()) + "\n").encode()


def csv_lines(table: pa.Table, columns: Sequence[OutputColumn], delimiter: str, escape: str) -> bytes:
    """A line for each row; NULL is nothing between two delimiters, an empty text is a pair of quotes (guess)."""
    cells = [_cells(_one(table.column(place)), column.type, delimiter, escape) for place, column in enumerate(columns)]
    if not cells or not table.num_rows:
        return b""
    pieces = [piece for cell in cells for piece in (pa.scalar(delimiter, _TEXT), cell)][1:]
    lines = pc.binary_join_element_wise(*pieces, pa.scalar("\n", _TEXT), pa.scalar("", _TEXT))
    # The texts of one array lie one behind the other: they are the file's bytes already.
    data, offsets = lines.buffers()[2], lines.buffers()[1]
    ends = pa.Array.from_buffers(pa.int64(), len(lines) + 1, [None, offsets], offset=lines.offset)
    return bytes(data.slice(ends[0].as_py(), ends[-1].as_py() - ends[0].as_py()))


def parquet_table(table: pa.Table, columns: Sequence[OutputColumn]) -> pa.Table:
    """The same rows under the columns' names, with the types that readers of Parquet know.

    Instants are timestamps in nanoseconds, dates are dates, intervals are texts, a series is a list of (time, value).
    """
    arrays = [_parquet(_one(table.column(place)), column.type) for place, column in enumerate(columns)]
    return pa.Table.from_arrays(arrays, names=[column.name for column in columns])


def plain_texts(array: pa.Array, scalar: Scalar) -> pa.Array:
    """Each value's text as on the wire, without escapes; NULL stays NULL."""
    if scalar in (Scalar.VARCHAR, Scalar.VARBINARY, Scalar.JSON):
        return array.cast(_TEXT)
    return scalar_texts(array, scalar)


def _one(column: pa.ChunkedArray) -> pa.Array:
    found = column.combine_chunks()
    found = found.chunk(0) if isinstance(found, pa.ChunkedArray) and found.num_chunks else found
    return found.dictionary_decode() if pa.types.is_dictionary(found.type) else found


def _cells(array: pa.Array, kind: SqlType, delimiter: str, escape: str) -> pa.Array:
    """The field of each row; none is NULL."""
    if isinstance(kind, Scalar):
        texts = plain_texts(array, kind)
    else:
        texts = pc.if_else(pc.is_valid(array), _json(array, as_sent(kind)), pa.scalar(None, _TEXT))
    return pc.fill_null(_quoted(texts, delimiter, escape), "")


def _quoted(texts: pa.Array, delimiter: str, escape: str) -> pa.Array:
    """Values that hold a delimiter, a quote, an escape or the end of a line are wrapped in quotes."""
    special = "[" + re.escape(f'{delimiter}"{escape}\r\n') + "]"
    needs = pc.or_(pc.match_substring_regex(texts, special), pc.equal(texts, ""))
    if not pc.any(needs).as_py():
        return texts
    inner = pc.replace_substring(texts, escape, escape * 2)
    if escape != '"':
        inner = pc.replace_substring(inner, '"', f'{escape}"')
    return pc.if_else(needs, joined('"', inner, '"'), texts)


def _json(array: pa.Array, kind: SqlType) -> pa.Array:
    """Each value as JSON, `null` for NULL."""
    match kind:
        case Scalar():
            made = _scalar_json(array, kind)
        case Array(element):
            made = joined("[", list_texts(array, _json(array.flatten(), element)), "]")
        case Timeseries(value):
            made = joined("[", list_texts(array, _points(array.flatten(), value)), "]")
        case Row(fields):
            made = _object(array, fields)
        case Map():
            raise AssertionError("a map is not sent as one")
    return pc.fill_null(pc.if_else(pc.is_valid(array), made, pa.scalar(None, _TEXT)), "null")


def _scalar_json(array: pa.Array, scalar: Scalar) -> pa.Array:
    texts = scalar_texts(array, scalar)
    if scalar not in _BARE:
        return joined('"', texts, '"')
    if scalar is not Scalar.DOUBLE:
        return texts
    return pc.if_else(pc.match_substring_regex(texts, _NOT_FINITE), joined('"', texts, '"'), texts)


def _points(structs: pa.StructArray, value: SqlType) -> pa.Array:
    times, values = structs.flatten()
    return joined('{"time":"', scalar_texts(times, Scalar.TIMESTAMP), 'Z","value":', _json(values, value), "}")


def _object(array: pa.StructArray, fields: Sequence[Field]) -> pa.Array:
    pieces: list[pa.Array | str] = ["{"]
    for place, (part, field) in enumerate(zip(array.flatten(), fields, strict=True)):
        name = msgspec.json.encode(_field_name(field, place)).decode()
        pieces += [f"{',' if place else ''}{name}:", _json(part, field.type)]
    return joined(*pieces, "}")


def _field_name(field: Field, place: int) -> str:
    """An unnamed field is called by its place, as Trino does."""
    return f"field{place}" if field.name is None else field.name


def _parquet(array: pa.Array, kind: SqlType) -> pa.Array:
    match kind:
        case Scalar.TIMESTAMP:
            return array.cast(pa.timestamp("ns"))
        case Scalar.DATE:
            return array.cast(pa.date32())
        case Scalar.INTERVAL_DAY_TO_SECOND | Scalar.INTERVAL_YEAR_TO_MONTH:
            return scalar_texts(array, kind).cast(pa.string())
        case Array(element):
            return _list(array, _parquet(array.flatten(), element))
        case Timeseries(value):
            times, values = array.flatten().flatten()
            points = pa.StructArray.from_arrays(
                [_parquet(times, Scalar.TIMESTAMP), _parquet(values, value)], names=["time", "value"]
            )
            return _list(array, points)
        case Row(fields):
            parts = [_parquet(part, field.type) for part, field in zip(array.flatten(), fields, strict=True)]
            names = [_field_name(field, place) for place, field in enumerate(fields)]
            return pa.StructArray.from_arrays(parts, names=names, mask=pc.is_null(array))
        case Map():
            return _parquet(array, as_sent(kind))
        case _:
            return array


def _list(array: pa.Array, elements: pa.Array) -> pa.Array:
    """The lists of `array` with other elements in their places."""
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array([0, *lengths.cumsum().tolist()], pa.int32())
    return pa.ListArray.from_arrays(offsets, elements, mask=pc.is_null(array))
