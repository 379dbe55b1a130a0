"""Result rows as JSON texts, column by column; and the description of the columns.

`query` calls this with what the engine answered, in the Arrow types of model/types.py. Every text is made by Arrow's
own kernels on whole columns; Python sees single values only where a kernel cannot say it (escapes, very small and
very large doubles). Decides nothing about pages. Source: sql.md 2 and 2.1, query-api.md 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, groupby

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headwater.errors import QueryFailed
from headwater.model.time import NS_PER_DAY
from headwater.model.types import Array, Map, OutputColumn, Row, Scalar, SqlType, Timeseries, as_sent

Floats = npt.NDArray[np.float64]

_TEXT = pa.large_string()
_NULL = '{"NullValue":true}'

_DATE_MIN_DAYS, _DATE_MAX_DAYS = -719_162, 2_932_896
"""0001-01-01 and 9999-12-31."""
_PLAIN_LOW, _PLAIN_HIGH = 1e-3, 1e7
_NEEDS_ESCAPE = r'["\\\x00-\x1f]'
_FRACTIONS = pa.array([".0", *(f".{thousandths:03}".rstrip("0") for thousandths in range(1, 1_000))], _TEXT)


@dataclass(frozen=True, slots=True)
class RowTexts:
    """Rows as JSON, `{"Data":[{"ScalarValue":"1"},...]}`, with a comma before each.

    `ends[i]` is where the i-th row ends in `text`, in bytes.
    """

    text: memoryview
    ends: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ends)

    def first(self, count: int) -> memoryview:
        """The text of so many rows, without the comma before the first."""
        return self.text[1 : self.ends[count - 1]] if count else self.text[:0]


def rows_json(table: pa.Table, columns: Sequence[OutputColumn]) -> RowTexts:
    """All rows as JSON. `columns[i]` is the type of the table's i-th column; names in the table do not matter."""
    assert table.num_columns == len(columns)
    arrays = [_one(table.column(i)) for i in range(len(columns))]
    data = [_pieces(array, column.type) for array, column in zip(arrays, columns, strict=True)]
    rows = joined(',{"Data":[', *_between(data, ","), "]}")
    _, offsets, text = rows.buffers()
    if text is None:
        return RowTexts(memoryview(b""), np.zeros(0, np.int64))
    return RowTexts(memoryview(text), np.frombuffer(offsets, np.int64, len(rows), offset=8))


def column_info(columns: Sequence[OutputColumn]) -> list[dict[str, object]]:
    """The ColumnInfo list of a result."""
    return [{"Name": column.name, "Type": _type_info(column.type)} for column in columns]


def double_texts(values: pa.Array) -> pa.Array:
    """Doubles as Java's Double.toString writes them: shortest digits, `E` below 0.001 and from 10,000,000.

    NULL stays NULL.
    """
    return joined(*_double_pieces(values))


def _double_pieces(values: pa.Array) -> list[pa.Array]:
    """What `double_texts` is glued together of, in order."""
    # NULL becomes a NaN here; it is told apart by the validity of `values`.
    numbers = values.to_numpy(zero_copy_only=False)
    size = np.abs(numbers)
    if values.null_count or not (len(size) and size.max() < _PLAIN_HIGH):
        return [_any_double_texts(values, numbers, size)]
    return _decimal_pieces(numbers, size) or [_any_double_texts(values, numbers, size)]


def _decimal_pieces(numbers: Floats, size: Floats) -> list[pa.Array]:
    """Signs, whole parts and fractions of doubles with at most three decimal places, as most measurements have; nothing
    for others. So few digits name one double each, so they are the shortest."""
    thousandths = np.rint(size * 1_000)
    if not (thousandths / 1_000 == size).all():
        return []
    whole, rest = np.divmod(thousandths.astype(np.int64), 1_000)
    pieces = [pc.cast(pa.array(whole), _TEXT), _FRACTIONS.take(pa.array(rest))]
    is_negative = np.signbit(numbers)
    return [_signs(is_negative), *pieces] if is_negative.any() else pieces


def _any_double_texts(values: pa.Array, numbers: Floats, size: Floats) -> pa.Array:
    """Arrow's own texts have the same digits, without `.0` behind whole numbers and with other thresholds."""
    texts = pc.cast(values, _TEXT)
    is_plain = ((size >= _PLAIN_LOW) & (size < _PLAIN_HIGH)) | (size == 0)
    is_whole = is_plain & (numbers == np.trunc(numbers))
    if is_whole.any():
        ends = pc.if_else(pa.array(is_whole), pa.scalar(".0", _TEXT), pa.scalar("", _TEXT))
        texts = joined(texts, ends)
    is_odd = pc.and_(pa.array(~is_plain), pc.is_valid(values))
    if not pc.any(is_odd).as_py():
        return texts
    return pc.replace_with_mask(texts, is_odd, pa.array(map(_double_text, values.filter(is_odd).to_pylist()), _TEXT))


def _double_text(number: float) -> str:
    """One double outside of the plain range."""
    text = repr(number)
    if text in _NOT_FINITE:
        return _NOT_FINITE[text]
    if len(text.partition("e")[0].strip("-0.")) == 1:
        # Java writes two digits at least, and then the nearest two: 4.9E-324 where one would do for 5e-324.
        text = f"{number:.1e}"
    mantissa, _, exponent = text.partition("e")
    sign = "-" if mantissa[0] == "-" else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    # The decimal point goes behind the first digit that is not zero; the exponent counts how far that is.
    digits = (whole + fraction).lstrip("0")
    leading_zeros = len(whole + fraction) - len(digits)
    power = int(exponent or 0) + len(whole) - 1 - leading_zeros
    return f"{sign}{digits[0]}.{digits[1:].rstrip('0') or '0'}E{power}"


_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def _one(column: pa.ChunkedArray) -> pa.Array:
    """A column slice as one array without offset surprises."""
    if column.num_chunks <= 1:
        return column.chunk(0) if column.num_chunks else pa.array([], column.type)
    return pa.concat_arrays(column.unify_dictionaries().chunks)


def _pieces(array: pa.Array, sql_type: SqlType) -> list[pa.Array | str]:
    """As `_datums`, to be glued together: of plain values no text is made twice."""
    if isinstance(sql_type, Scalar) and not array.null_count:
        texts = _double_pieces(array) if sql_type is Scalar.DOUBLE else [scalar_texts(array, sql_type)]
        return ['{"ScalarValue":"', *texts, '"}']
    return [_datums(array, sql_type)]


def _datums(array: pa.Array, sql_type: SqlType) -> pa.Array:
    """Each value as the JSON of one Datum; never NULL."""
    match sql_type:
        case Scalar():
            made = joined('{"ScalarValue":"', scalar_texts(array, sql_type), '"}')
        case Array(element):
            made = joined('{"ArrayValue":[', list_texts(array, _datums(array.flatten(), element)), "]}")
        case Timeseries(value):
            made = joined('{"TimeSeriesValue":[', list_texts(array, _points(array.flatten(), value)), "]}")
        case Map():
            return _datums(array, as_sent(sql_type))
        case Row(fields):
            data = [_pieces(part, field.type) for part, field in zip(array.flatten(), fields, strict=True)]
            made = joined('{"RowValue":{"Data":[', *_between(data, ","), "]}}")
    if array.null_count == 0:
        return made
    return pc.if_else(pc.is_valid(array), made, pa.scalar(_NULL, _TEXT))


def _points(structs: pa.StructArray, value: SqlType) -> pa.Array:
    times, values = structs.flatten()
    return joined('{"Time":"', scalar_texts(times, Scalar.TIMESTAMP), '","Value":', _datums(values, value), "}")


def list_texts(array: pa.Array, elements: pa.Array) -> pa.Array:
    """The JSON of all elements of each list, with commas between. NULL lists are empty here."""
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    offsets = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
    lists = pa.LargeListArray.from_arrays(pa.array(offsets), elements)
    return pc.binary_join(lists, pa.scalar(",", _TEXT))


def scalar_texts(array: pa.Array, scalar: Scalar) -> pa.Array:
    """The ScalarValue of each value, JSON-escaped; NULL where the value is."""
    match scalar:
        case Scalar.VARCHAR | Scalar.VARBINARY | Scalar.JSON:
            return _varchar_texts(array)
        case Scalar.DOUBLE:
            return double_texts(array)
        case Scalar.TIMESTAMP:
            return pc.cast(array.cast(pa.timestamp("ns")), _TEXT)
        case Scalar.TIME:
            return pc.cast(array.cast(pa.time64("ns")), _TEXT)
        case Scalar.DATE:
            return _date_texts(array)
        case Scalar.INTERVAL_DAY_TO_SECOND:
            return _day_to_second_texts(array)
        case Scalar.INTERVAL_YEAR_TO_MONTH:
            return _year_to_month_texts(array)
        case Scalar.UNKNOWN:
            return pa.nulls(len(array), _TEXT)
        case Scalar.BOOLEAN | Scalar.INTEGER | Scalar.BIGINT:
            return pc.cast(array, _TEXT)


def _varchar_texts(array: pa.Array) -> pa.Array:
    """Escaped once per distinct value where the column is a dictionary."""
    if pa.types.is_dictionary(array.type):
        return _escaped(array.dictionary.cast(_TEXT)).take(array.indices)
    return _escaped(array.cast(_TEXT))


def _escaped(texts: pa.Array) -> pa.Array:
    _, offsets, data = texts.buffers()
    if data is None or not len(texts):
        return texts
    start, end = np.frombuffer(offsets, np.int64)[[texts.offset, texts.offset + len(texts)]]
    octets = np.frombuffer(data, np.uint8)[start:end]
    if not ((octets < ord(" ")) | (octets == ord('"')) | (octets == ord("\\"))).any():
        return texts
    needs = pc.fill_null(pc.match_substring_regex(texts, _NEEDS_ESCAPE), False)
    encode = msgspec.json.Encoder().encode
    escaped = [encode(text)[1:-1].decode() for text in texts.filter(needs).to_pylist()]
    return pc.replace_with_mask(texts, needs, pa.array(escaped, _TEXT))


def _signs(is_negative: npt.NDArray[np.bool_]) -> pa.Array:
    return pc.if_else(pa.array(is_negative), pa.scalar("-", _TEXT), pa.scalar("", _TEXT))


def _signed(array: pa.Array) -> tuple[pa.Array, np.ndarray[tuple[int], np.dtype[np.uint64]]]:
    """The minus signs as texts, and the sizes. Unsigned, because the least integer has no positive twin."""
    numbers = pc.fill_null(array, 0).to_numpy(zero_copy_only=False).astype(np.int64)
    is_negative = numbers < 0
    size = numbers.astype(np.uint64)
    size[is_negative] = -size[is_negative]
    return _signs(is_negative), size


def _date_texts(array: pa.Array) -> pa.Array:
    """Raises QueryFailed for a year that four digits do not hold, which arithmetic can reach."""
    bounds = pc.min_max(array).as_py()
    if bounds["min"] is not None and (bounds["min"] < _DATE_MIN_DAYS or bounds["max"] > _DATE_MAX_DAYS):
        raise QueryFailed("A date of the result is out of range")
    return pc.cast(array.cast(pa.date32()), _TEXT)


def _day_to_second_texts(array: pa.Array) -> pa.Array:
    sign, size = _signed(array)
    days, rest = np.divmod(size, np.uint64(NS_PER_DAY))
    clock = pa.array(rest.astype(np.int64)).cast(pa.time64("ns"))
    return joined(sign, pa.array(days).cast(_TEXT), " ", clock.cast(_TEXT))


def _year_to_month_texts(array: pa.Array) -> pa.Array:
    sign, size = _signed(array)
    years, months = np.divmod(size, np.uint64(12))
    return joined(sign, pa.array(years).cast(_TEXT), "-", pa.array(months).cast(_TEXT))


def joined(*parts: pa.Array | str) -> pa.Array:
    """The texts of all parts glued together, value by value; NULL where any part is."""
    runs = (list(run) for _, run in groupby(parts, lambda part: isinstance(part, str)))
    glued = [["".join(run)] if isinstance(run[0], str) else run for run in runs]
    scalars = [pa.scalar(part, _TEXT) if isinstance(part, str) else part for part in chain.from_iterable(glued)]
    return pc.binary_join_element_wise(*scalars, pa.scalar("", _TEXT))


def _between(parts: Sequence[Sequence[pa.Array | str]], separator: str) -> list[pa.Array | str]:
    """The pieces of all parts, with the separator between each two parts."""
    return [piece for part in parts for piece in (separator, *part)][1:]


def _type_info(sql_type: SqlType) -> dict[str, object]:
    match as_sent(sql_type):
        case Scalar() as scalar:
            return {"ScalarType": scalar.name}
        case Array(element):
            return {"ArrayColumnInfo": {"Type": _type_info(element)}}
        case Timeseries(value):
            return {"TimeSeriesMeasureValueColumnInfo": {"Type": _type_info(value)}}
        case Map():
            raise AssertionError("a map is not sent as one")
        case Row(fields):
            infos = []
            for field in fields:
                name = {} if field.name is None else {"Name": field.name}
                infos.append({**name, "Type": _type_info(field.type)})
            return {"RowColumnInfo": infos}
