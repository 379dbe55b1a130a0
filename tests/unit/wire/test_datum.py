"""Result rows as JSON: each type's text, NULL at every depth, and laws over random values."""

from __future__ import annotations

import math
import struct
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headwater.errors import QueryFailed
from headwater.model.time import timestamp_text
from headwater.model.types import Array, Field, OutputColumn, Row, Scalar, Timeseries
from headwater.wire.datum import column_info, double_texts, rows_json
from support.answers import rows_of

NULL = {"NullValue": True}
INT64 = st.integers(-(2**63), 2**63 - 1)


def column(array, sql_type):
    """The datums of one column."""
    table = pa.table({"c": array})
    return [row[0] for row in data(table, [OutputColumn("c", sql_type)])]


def data(table, columns):
    """The datums of each row."""
    made = rows_json(table, columns)
    return rows_of([made.first(len(made))])


def texts(values, arrow_type, sql_type):
    return [datum.get("ScalarValue") for datum in column(pa.array(values, arrow_type), sql_type)]


@pytest.mark.parametrize(
    ("sql_type", "arrow_type", "value", "text"),
    [
        (Scalar.BOOLEAN, pa.bool_(), True, "true"),
        (Scalar.BOOLEAN, pa.bool_(), False, "false"),
        (Scalar.INTEGER, pa.int32(), -7, "-7"),
        (Scalar.BIGINT, pa.int64(), 9007199254740993, "9007199254740993"),
        (Scalar.BIGINT, pa.int64(), -(2**63), "-9223372036854775808"),
        (Scalar.VARCHAR, pa.string(), 'a"b\\c\n\t\0é😀\u2028', 'a"b\\c\n\t\0é😀\u2028'),
        (Scalar.VARCHAR, pa.string(), "", ""),
        (Scalar.VARCHAR, pa.large_string(), "x", "x"),
        (Scalar.TIMESTAMP, pa.int64(), 1_709_201_720_000_000_000, "2024-02-29 10:15:20.000000000"),
        (Scalar.TIMESTAMP, pa.int64(), -1, "1969-12-31 23:59:59.999999999"),
        (Scalar.TIMESTAMP, pa.int64(), 2**63 - 1, "2262-04-11 23:47:16.854775807"),
        (Scalar.DATE, pa.int32(), 19_782, "2024-02-29"),
        (Scalar.DATE, pa.int32(), -1, "1969-12-31"),
        (Scalar.TIME, pa.int64(), 3_600_000_000_000, "01:00:00.000000000"),
        (Scalar.TIME, pa.int64(), 86_399_999_999_999, "23:59:59.999999999"),
        (Scalar.INTERVAL_DAY_TO_SECOND, pa.int64(), 4 * 3_600 * 10**9, "0 04:00:00.000000000"),
        (Scalar.INTERVAL_DAY_TO_SECOND, pa.int64(), 6 * 86_400 * 10**9, "6 00:00:00.000000000"),
        (Scalar.INTERVAL_DAY_TO_SECOND, pa.int64(), -5_400 * 10**9, "-0 01:30:00.000000000"),
        (Scalar.INTERVAL_DAY_TO_SECOND, pa.int64(), -(2**63), "-106751 23:47:16.854775808"),
        (Scalar.INTERVAL_YEAR_TO_MONTH, pa.int32(), 47, "3-11"),
        (Scalar.INTERVAL_YEAR_TO_MONTH, pa.int32(), -14, "-1-2"),
        (Scalar.INTERVAL_YEAR_TO_MONTH, pa.int32(), 0, "0-0"),
    ],
)
def test_scalar_texts_and_a_null_beside_them(sql_type, arrow_type, value, text):
    assert column(pa.array([value, None], arrow_type), sql_type) == [{"ScalarValue": text}, NULL]


def test_the_bytes_of_a_row_hold_no_blanks():
    table = pa.table({"a": [1, 2], "b": pa.array([None, "x"], pa.string())})
    columns = [OutputColumn("a", Scalar.BIGINT), OutputColumn("b", Scalar.VARCHAR)]
    made = rows_json(table, columns)
    first = b'{"Data":[{"ScalarValue":"1"},{"NullValue":true}]}'
    assert made.ends.tolist() == [len(first) + 1, len(made.text)]
    assert made.first(0) == b""
    assert made.first(1) == first
    assert made.first(2) == first + b',{"Data":[{"ScalarValue":"2"},{"ScalarValue":"x"}]}'


def test_a_bare_null_is_unknown():
    assert column(pa.nulls(2, pa.int32()), Scalar.UNKNOWN) == [NULL, NULL]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (0.001, "0.001"),
        (9.9e-4, "9.9E-4"),
        (math.nextafter(0.001, 0), "9.999999999999998E-4"),
        (100.0, "100.0"),
        (9999999.0, "9999999.0"),
        (math.nextafter(1e7, 0), "9999999.999999998"),
        (1e7, "1.0E7"),
        (1.23456789e7, "1.23456789E7"),
        (1e22, "1.0E22"),
        (-2.5e-9, "-2.5E-9"),
        (5e-324, "4.9E-324"),
        (1.7976931348623157e308, "1.7976931348623157E308"),
        (0.1 + 0.2, "0.30000000000000004"),
        (float("nan"), "NaN"),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
    ],
)
def test_doubles_as_java_prints_them(value, text):
    assert double_texts(pa.array([value])).to_pylist() == [text]


@given(st.lists(st.integers(-(10**10) + 1, 10**10 - 1), min_size=1, max_size=20))
@example([0, 1, -1, 999, -1_000, 10**10 - 1])
def test_decimals_of_few_places_have_the_texts_that_they_have_beside_other_doubles(thousandths):
    values = [number / 1_000 for number in thousandths] + [-0.0]
    expected = [*map(repr, values)]
    assert double_texts(pa.array(values)).to_pylist() == expected
    assert double_texts(pa.array([*values, 1 / 3])).to_pylist() == [*expected, repr(1 / 3)]
    assert double_texts(pa.array([*values, None])).to_pylist() == [*expected, None]


DOUBLES = st.floats() | st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("<d", struct.pack("<Q", bits))[0])


@settings(max_examples=500)
@given(st.lists(DOUBLES | st.none(), max_size=20))
@example([1e-3, 1e7, 123456789012345680.0, 1e16, 2e-5, -1e-3])
def test_double_texts_read_back_and_have_the_right_form(values):
    for value, text in zip(values, double_texts(pa.array(values, pa.float64())).to_pylist(), strict=True):
        if value is None or not math.isfinite(value):
            assert (
                text
                == {None: None, "nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[
                    value if value is None else repr(value)
                ]
            )
            continue
        assert struct.pack("<d", float(text)) == struct.pack("<d", value)
        assert ("E" in text) == (value != 0 and not 1e-3 <= abs(value) < 1e7)
        mantissa, _, exponent = text.lstrip("-").partition("E")
        whole, point, fraction = mantissa.partition(".")
        assert point == "."
        assert fraction != ""
        assert not exponent or whole in set("123456789")
        digits = Decimal(text).normalize().as_tuple().digits
        # Java writes at least two digits, and picks the nearest of them, where Python's one digit would do.
        assert digits == Decimal(repr(value)).normalize().as_tuple().digits or len(digits) == 2


@given(st.lists(INT64 | st.none()))
def test_timestamps_agree_with_the_slow_way(values):
    expected = [None if value is None else timestamp_text(value) for value in values]
    assert texts(values, pa.int64(), Scalar.TIMESTAMP) == expected


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])) | st.none()), st.booleans())
def test_any_text_reads_back(values, as_dictionary):
    array = pa.array(values, pa.string())
    datums = column(array.dictionary_encode() if as_dictionary else array, Scalar.VARCHAR)
    assert [datum.get("ScalarValue") for datum in datums] == values


@given(st.lists(INT64))
def test_intervals_read_back(values):
    for value, text in zip(values, texts(values, pa.int64(), Scalar.INTERVAL_DAY_TO_SECOND), strict=True):
        sign = -1 if text.startswith("-") else 1
        days, clock = text.lstrip("-").split(" ")
        hours, minutes, seconds = clock.split(":")
        whole, fraction = seconds.split(".")
        assert (len(hours), len(minutes), len(whole), len(fraction)) == (2, 2, 2, 9)
        total = ((int(days) * 24 + int(hours)) * 60 + int(minutes)) * 60 + int(whole)
        assert sign * (total * 10**9 + int(fraction)) == value


POINT = pa.struct([("t", pa.int64()), ("v", pa.float64())])
NESTED = pa.table(
    {
        "array": pa.array([[1.5, None], None, [], [2.0]], pa.list_(pa.float64())),
        "series": pa.array(
            [[{"t": 1, "v": 1.0}, {"t": 2, "v": None}], None, [], [{"t": -1, "v": 1e7}]], pa.list_(POINT)
        ),
        "row": pa.array(
            [{"f0": 1, "f1": ['"']}, None, {"f0": None, "f1": None}, {"f0": 3, "f1": []}],
            pa.struct([("f0", pa.int64()), ("f1", pa.list_(pa.string()))]),
        ),
    }
)
NESTED_COLUMNS = [
    OutputColumn("array", Array(Scalar.DOUBLE)),
    OutputColumn("series", Timeseries(Scalar.DOUBLE)),
    OutputColumn("row", Row((Field("x", Scalar.BIGINT), Field(None, Array(Scalar.VARCHAR))))),
]
NESTED_ROWS = [
    [
        {"ArrayValue": [{"ScalarValue": "1.5"}, NULL]},
        {
            "TimeSeriesValue": [
                {"Time": "1970-01-01 00:00:00.000000001", "Value": {"ScalarValue": "1.0"}},
                {"Time": "1970-01-01 00:00:00.000000002", "Value": NULL},
            ]
        },
        {"RowValue": {"Data": [{"ScalarValue": "1"}, {"ArrayValue": [{"ScalarValue": '"'}]}]}},
    ],
    [NULL, NULL, NULL],
    [{"ArrayValue": []}, {"TimeSeriesValue": []}, {"RowValue": {"Data": [NULL, NULL]}}],
    [
        {"ArrayValue": [{"ScalarValue": "2.0"}]},
        {"TimeSeriesValue": [{"Time": "1969-12-31 23:59:59.999999999", "Value": {"ScalarValue": "1.0E7"}}]},
        {"RowValue": {"Data": [{"ScalarValue": "3"}, {"ArrayValue": []}]}},
    ],
]


@pytest.mark.parametrize("start", range(5))
def test_nested_values_whole_and_in_slices(start):
    assert data(NESTED.slice(start), NESTED_COLUMNS) == NESTED_ROWS[start:]


def test_a_column_in_many_chunks():
    count = 20_000
    chunks = [pa.array([f"v{i % 7}" for i in range(a, b)]).dictionary_encode() for a, b in ((0, 5), (5, count))]
    found = column(pa.chunked_array(chunks), Scalar.VARCHAR)
    assert [datum["ScalarValue"] for datum in found] == [f"v{i % 7}" for i in range(count)]


def test_no_rows():
    assert data(NESTED.slice(4), NESTED_COLUMNS) == []
    assert data(NESTED.schema.empty_table(), NESTED_COLUMNS) == []


def test_column_info_names_what_has_a_name():
    assert column_info(NESTED_COLUMNS) == [
        {"Name": "array", "Type": {"ArrayColumnInfo": {"Type": {"ScalarType": "DOUBLE"}}}},
        {"Name": "series", "Type": {"TimeSeriesMeasureValueColumnInfo": {"Type": {"ScalarType": "DOUBLE"}}}},
        {
            "Name": "row",
            "Type": {
                "RowColumnInfo": [
                    {"Name": "x", "Type": {"ScalarType": "BIGINT"}},
                    {"Type": {"ArrayColumnInfo": {"Type": {"ScalarType": "VARCHAR"}}}},
                ]
            },
        },
    ]
    assert column_info([OutputColumn("i", Scalar.INTERVAL_DAY_TO_SECOND)]) == [
        {"Name": "i", "Type": {"ScalarType": "INTERVAL_DAY_TO_SECOND"}}
    ]


@pytest.mark.parametrize("days", [-719_163, 2_932_897])
def test_a_date_past_four_digits_of_year_is_a_fault(days: int):
    with pytest.raises(QueryFailed, match="out of range"):
        rows_json(pa.table({"c0": pa.array([0, days], pa.int32())}), [OutputColumn("d", Scalar.DATE)])
