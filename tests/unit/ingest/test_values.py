"""Types of values: the grammar of each, and that one at a time and a column at a time are the same."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headwater.ingest.values import UNIT_NS, column, read_rows, value
from headwater.model.table import MeasureType

DOUBLE, BIGINT, BOOLEAN = MeasureType.DOUBLE, MeasureType.BIGINT, MeasureType.BOOLEAN
VARCHAR, TIMESTAMP = MeasureType.VARCHAR, MeasureType.TIMESTAMP

GOOD = [
    (DOUBLE, "0", 0.0),
    (DOUBLE, "-0", -0.0),
    (DOUBLE, "-0.0", -0.0),
    (DOUBLE, "13.50", 13.5),
    (DOUBLE, "+1.5", 1.5),
    (DOUBLE, ".5", 0.5),
    (DOUBLE, "5.", 5.0),
    (DOUBLE, "007", 7.0),
    (DOUBLE, "1e3", 1000.0),
    (DOUBLE, "1E+3", 1000.0),
    (DOUBLE, "-2.5e-3", -0.0025),
    (DOUBLE, "5e-324", 5e-324),
    (DOUBLE, "2.2250738585072011e-308", 2.2250738585072011e-308),
    (DOUBLE, "1e-400", 0.0),
    (DOUBLE, "-1e-400", -0.0),
    (DOUBLE, "1.7976931348623157e308", 1.7976931348623157e308),
    (DOUBLE, "9007199254740993", 9007199254740992.0),
    (DOUBLE, "0.1" + "0" * 2000, 0.1),
    (BIGINT, "0", 0),
    (BIGINT, "-0", 0),
    (BIGINT, "+5", 5),
    (BIGINT, "007", 7),
    (BIGINT, "9223372036854775807", 2**63 - 1),
    (BIGINT, "-9223372036854775808", -(2**63)),
    (BOOLEAN, "true", True),
    (BOOLEAN, "false", False),
    (BOOLEAN, "True", True),
    (BOOLEAN, "FALSE", False),
    (BOOLEAN, "tRuE", True),
    (VARCHAR, "x", "x"),
    (VARCHAR, " ", " "),
    (VARCHAR, "NaN", "NaN"),
    (VARCHAR, "é" * 1024, "é" * 1024),
    (VARCHAR, "a" * 2048, "a" * 2048),
    (TIMESTAMP, "0", 0),
    (TIMESTAMP, "-1", -1_000_000),
    (TIMESTAMP, "9223372036854", 9_223_372_036_854_000_000),
]

BAD = [
    *((DOUBLE, text) for text in ["NaN", "nan", "Infinity", "-Infinity", "inf", "1e400", "-1e400", "1e309"]),
    *((DOUBLE, text) for text in ["1_000", " 1", "1 ", "1\n", "0x10", "1f", "1d", "1,5", "1,", ",", "1e", "e5", "."]),
    *((DOUBLE, text) for text in ["", "--1", "+-1", "1e5.5", "None", "true", "١", "１", "−1", "1.2.3", "1e+"]),
    *((BIGINT, text) for text in ["1.0", "1e3", "None", "", "9223372036854775808", "-9223372036854775809", "1_0"]),
    *((BIGINT, text) for text in [" 1", "1\t", "0x1", "+", "-", "--1", "1-1", "1,1", "١", "true", "9" * 2048]),
    *((BOOLEAN, text) for text in ["0", "1", "yes", "no", "t", "f", "", "true ", " false", "truе", "None", "ſalse"]),
    *((VARCHAR, text) for text in ["a" * 2049, "é" * 1025, "😀" * 513]),
    *((TIMESTAMP, text) for text in ["1.5", "", "9223372036855", "-9223372036855", "1e3", "2020-01-01", "9" * 256]),
]


@pytest.mark.parametrize(("kind", "text", "expected"), GOOD, ids=lambda part: str(part)[:30])
def test_a_text_of_the_type_is_its_value(kind, text, expected):
    one = value(kind, text, UNIT_NS["MILLISECONDS"])
    assert (type(one), repr(one)) == (type(expected), repr(expected))
    assert _bits(read_column(kind, [text], [UNIT_NS["MILLISECONDS"]])) == _bits(column(kind, [one]))


@pytest.mark.parametrize(("kind", "text"), BAD, ids=lambda part: str(part)[:30])
def test_another_text_is_refused(kind, text):
    with pytest.raises(ValueError):
        value(kind, text, UNIT_NS["MILLISECONDS"])
    with pytest.raises((ValueError, OverflowError)):
        read_column(kind, [text], [UNIT_NS["MILLISECONDS"]])


@pytest.mark.parametrize(
    ("unit", "text", "time_ns"),
    [
        ("SECONDS", "9223372036", 9_223_372_036_000_000_000),
        ("MILLISECONDS", "1", 1_000_000),
        ("MICROSECONDS", "-7", -7_000),
        ("NANOSECONDS", "9223372036854775807", 2**63 - 1),
        ("NANOSECONDS", "-9223372036854775808", -(2**63)),
    ],
)
def test_a_timestamp_counts_units(unit, text, time_ns):
    assert value(TIMESTAMP, text, UNIT_NS[unit]) == time_ns
    assert read_column(TIMESTAMP, [text], [UNIT_NS[unit]]).tolist() == [time_ns]


@pytest.mark.parametrize(("unit", "text"), [("SECONDS", "9223372037"), ("NANOSECONDS", "9223372036854775808")])
def test_a_timestamp_beyond_64_bits_is_refused(unit, text):
    with pytest.raises(ValueError):
        value(TIMESTAMP, text, UNIT_NS[unit])
    with pytest.raises((ValueError, OverflowError)):
        read_column(TIMESTAMP, [text], [UNIT_NS[unit]])


NUMBER_LIKE = st.text(alphabet="0123456789+-.eE_, xnaif\n١", max_size=12)


@given(kind=st.sampled_from(MeasureType), texts=st.lists(NUMBER_LIKE | st.text(max_size=6), min_size=1, max_size=4))
@example(kind=DOUBLE, texts=["1,2", "3"])
@example(kind=BIGINT, texts=["1,2", "3"])
def test_one_at_a_time_and_by_the_column_agree(kind, texts):
    units = [UNIT_NS["SECONDS"]] * len(texts)
    try:
        expected = column(kind, [value(kind, text, UNIT_NS["SECONDS"]) for text in texts])
    except ValueError:
        with pytest.raises((ValueError, OverflowError)):
            read_column(kind, texts, units)
    else:
        assert _bits(read_column(kind, texts, units)) == _bits(expected)


# A decoder of JSON reads most columns. What Python's float(), which rounds to the nearest, says of the same digits is
# the law: halfway between two doubles, just beside that, and where only the hundredth digit decides.
HARD = [
    "9007199254740993",
    "9007199254740992.999999999999999999999999",
    "9007199254740993.000000000000000000000001",
    "2.4703282292062327208e-324",
    "2.4703282292062328e-324",
    "2.2250738585072011e-308",
    "2.2250738585072012e-308",
    "1.79769313486231570001e308",
    str(int(1.7976931348623157e308)),
    "0." + "0" * 323 + "24703282292062327208e1",
    "1.00000000000000011102230246251565404236316680908203125",
    "1.00000000000000011102230246251565404236316680908203124",
    "1.00000000000000011102230246251565404236316680908203126",
    "8.5e22",
    "1e23",
    "6.02214076e23",
    "18446744073709551616",
    "-9223372036854775809",
    "0e99999",
    "-0e5",
]


@pytest.mark.parametrize("text", HARD, ids=lambda text: text[:30])
def test_the_nearest_double_is_taken(text):
    texts = ["1.5", text, "-0.0", "0"]
    assert _bits(read_column(DOUBLE, texts, [1] * 4)) == _bits(np.array(list(map(float, texts))))


@given(digits=st.text("0123456789", min_size=1, max_size=40), point=st.integers(0, 40), exponent=st.integers(-345, 300))
def test_of_any_digits_the_nearest_double_is_taken(digits, point, exponent):
    text = f"-{int(digits[:point] or 0)}.{digits[point:] or 0}e{exponent}"
    if np.isfinite(float(text)):
        assert _bits(read_column(DOUBLE, [text, "1"], [1, 1])) == _bits(np.array([float(text), 1.0]))


@pytest.mark.parametrize("texts", [["1,2", "3"], ["1", "2 "], ["[1", "2]"], ["1]", "[2"], ["null", "1"], ["1", '"2"']])
@pytest.mark.parametrize("kind", [DOUBLE, BIGINT, TIMESTAMP])
def test_what_json_would_take_is_not_taken_with_it(kind, texts):
    with pytest.raises((ValueError, OverflowError)):
        read_column(kind, texts, [1] * len(texts))


def test_columns_of_several_types_come_out_in_their_places():
    types = [DOUBLE, VARCHAR, BIGINT, DOUBLE, BOOLEAN, TIMESTAMP, BIGINT, VARCHAR]
    rows = [["1.5", "a", "1", "2.5", "true", "7", "-1", "b"], ["-0", "c", "2", "3.5", "FALSE", "8", "+2", "é"]]
    read = read_rows(types, [text for row in rows for text in row], [1, 1_000])
    expected = [[1.5, -0.0], ["a", "c"], [1, 2], [2.5, 3.5], [True, False], [7, 8_000], [-1, 2], ["b", "é"]]
    assert [list(column) for column in read] == expected
    assert np.signbit(read[0][1])
    assert all(column.flags.c_contiguous for column in read if isinstance(column, np.ndarray))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_finite_double_comes_back_bit_for_bit(number):
    (read,) = read_column(DOUBLE, [repr(number)], [1])
    assert struct.pack("<d", read) == struct.pack("<d", number) == struct.pack("<d", value(DOUBLE, repr(number), 1))


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_bigint_comes_back(number):
    assert read_column(BIGINT, [str(number)], [1]).tolist() == [number] == [value(BIGINT, str(number), 1)]


def read_column(kind, texts, units_ns):
    (values,) = read_rows([kind], texts, units_ns)
    return values


def _bits(values):
    return (values.dtype, values.tobytes()) if isinstance(values, np.ndarray) else values
