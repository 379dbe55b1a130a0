"""Scalar functions on the engine: the examples of sql.md 6.1 to 6.8 as a table, NULLs, edges, faults."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
from evaluation import CONTEXT, big, call, date, interval, null, same, ts

from headwater.engine.functions import PYTHON_FUNCTIONS
from headwater.engine.macros import MACROS
from headwater.errors import Invalid, QueryFailed
from headwater.model.types import Array, Scalar
from headwater.sql import functions
from headwater.sql.constant import Constant

NAN, INF = math.nan, math.inf

EXAMPLES: list[tuple[Any, ...]] = [
    # 6.1
    ("greatest", 3, 9, 4, 9),
    ("greatest", 3, None, 4, None),
    ("greatest", 3, 4.5, 4.5),
    ("least", "b", "a", "a"),
    ("least", ts("2024-01-01"), date("2023-12-31"), ts("2023-12-31").value),
    ("greatest", 7, 7),
    ("greatest", "2024-01-01", ts("2023-01-01"), ts("2024-01-01").value),
    # 6.4
    ("abs", -3, 3),
    ("abs", big(-3), 3),
    ("abs", -2.5, 2.5),
    ("abs", None, None),
    ("cbrt", 8, 2.0),
    ("ceil", 1.2, 2.0),
    ("ceiling", 5, 5),
    ("floor", -1.2, -2.0),
    ("round", -2.5, -3.0),
    ("round", 2.5, 3.0),
    ("round", 7, 7),
    ("round", 12.3456, 2, 12.35),
    ("round", 1250, -2, 1300),
    ("round", 123.456, -2, 100.0),
    ("round", NAN, 2, NAN),
    ("truncate", -3.7, -3.0),
    ("sign", -0.5, -1.0),
    ("sign", NAN, NAN),
    ("sign", INF, 1.0),
    ("sign", -INF, -1.0),
    ("sign", 0.0, 0.0),
    ("sign", -9, -1),
    ("mod", 10, 4, 2),
    ("mod", -7, 3, -1),
    ("mod", 7, -3, 1),
    ("mod", 7.5, 2, 1.5),
    ("mod", 7.5, 0.0, NAN),
    ("pow", 2, 10, 1024.0),
    ("power", 2.0, 0.5, math.sqrt(2)),
    ("exp", 0, 1.0),
    ("ln", 0.0, -INF),
    ("ln", -1.0, NAN),
    ("log2", 8, 3.0),
    ("log10", 1000, 3.0),
    ("sqrt", 2.25, 1.5),
    ("sqrt", -1, NAN),
    ("degrees", math.pi, 180.0),
    ("radians", 180, math.pi),
    ("acos", 2.0, NAN),
    ("atan2", 0, 1, 0.0),
    ("cos", 0, 1.0),
    ("asin", 1.0, math.asin(1)),
    ("asin", 1.5, NAN),
    ("atan", 1.0, math.atan(1)),
    ("tan", 0, 0.0),
    ("cosh", 0, 1.0),
    ("tanh", INF, 1.0),
    ("sin", INF, NAN),
    ("e", math.e),
    ("pi", math.pi),
    ("infinity", INF),
    ("nan", NAN),
    ("is_finite", 1.5, True),
    ("is_finite", NAN, False),
    ("is_infinite", -INF, True),
    ("is_nan", NAN, True),
    ("is_nan", None, None),
    ("from_base", "1f", 16, 31),
    ("from_base", "-11", 2, -3),
    ("to_base", 31, 2, "11111"),
    ("to_base", 255, 16, "ff"),
    ("to_base", -5, 2, "-101"),
    # 6.5
    ("chr", 955, "λ"),
    ("codepoint", "A", 65),
    ("concat", "a", "b", "c", "abc"),
    ("concat", "a", None, None),
    ("hamming_distance", "1011", "1001", 1),
    ("hamming_distance", "naïf", "naif", 1),
    ("length", "naïve", 5),
    ("length", "", 0),
    ("levenshtein_distance", "flaw", "lawn", 2),
    ("levenshtein_distance", "naïve", "naive", 1),
    ("lower", "EU-1", "eu-1"),
    ("upper", "eu-1", "EU-1"),
    ("upper", "straße", "STRAßE"),
    ("lpad", "7", 3, "0", "007"),
    ("lpad", "abcd", 2, ".", "ab"),
    ("rpad", "abcd", 2, ".", "ab"),
    ("rpad", "a", 4, "xy", "axyx"),
    ("trim", "  x ", "x"),
    ("trim", "\t x\n", "x"),
    ("ltrim", " x ", "x "),
    ("rtrim", " x ", " x"),
    ("replace", "a-b-c", "-", "abc"),
    ("replace", "a-b", "-", "_", "a_b"),
    ("replace", "abc", "", "-", "-a-b-c-"),
    ("replace", "", "", "-", "-"),
    ("reverse", "abc", "cba"),
    ("reverse", "", ""),
    ("split", "a/b/c", "/", ["a", "b", "c"]),
    ("split", "abc", "/", ["abc"]),
    ("split", "", "/", [""]),
    ("split", "a/b/c", "/", 2, ["a", "b/c"]),
    ("split", "a/b/c", "/", 1, ["a/b/c"]),
    ("split", "a//b//ç//d", "//", 3, ["a", "b", "ç//d"]),
    ("split", "a/b", "/", 9, ["a", "b"]),
    ("split_part", "10.0.3.4", ".", 3, "3"),
    ("split_part", "10.0", ".", 3, None),
    ("strpos", "banana", "an", 2),
    ("strpos", "banana", "an", 2, 4),
    ("strpos", "banana", "x", 0),
    ("strpos", "naïve", "v", 4),
    ("strpos", "aaaa", "aa", 2, 2),
    ("strrpos", "banana", "an", 4),
    ("strrpos", "banana", "an", 2, 2),
    ("strrpos", "banana", "an", 3, 0),
    ("strrpos", "banana", "b", 1),
    ("position", "n", "banana", 3),
    ("substr", "sensor-42", -2, "42"),
    ("substr", "sensor", 0, ""),
    ("substr", "sensor", 9, ""),
    ("substr", "abc", -5, ""),
    ("substr", "abc", 2, "bc"),
    ("substr", "abcdef", 2, 3, "bcd"),
    ("substr", "abcdef", -3, 2, "de"),
    ("substr", "abcdef", 2, 0, ""),
    ("substr", "abcdef", 2, -1, ""),
    ("substr", "abcdef", 2, big(2**62), "bcdef"),
    # 6.6
    ("array_distinct", [7, 5, 7], [7, 5]),
    ("array_distinct", [None, 5, None], [None, 5]),
    ("array_distinct", [], []),
    ("array_intersect", [1, 2, 2, None], [2, None, 3], [2, None]),
    ("array_union", [1, 2], [2, 3], [1, 2, 3]),
    ("array_except", ["x", "y"], ["y"], ["x"]),
    ("array_except", ["x", "y"], null(Scalar.UNKNOWN), None),
    ("array_join", ["a", None, "c"], "-", "?", "a-?-c"),
    ("array_join", ["a", None, "c"], "-", "a-c"),
    ("array_join", [1, 2], ",", "1,2"),
    ("array_join", [1e22, 0.5], ",", "1.0E22,0.5"),
    ("array_join", [None], ",", ""),
    ("array_max", [4, 11], 11),
    ("array_max", [4, None], None),
    ("array_min", [4, 11], 4),
    ("array_min", [], None),
    ("array_position", ["p", "q"], "z", 0),
    ("array_position", ["p", "q"], "q", 2),
    ("array_position", [1, None], None, None),
    ("array_remove", [1, 2, 1], 1, [2]),
    ("array_remove", [1, None], 1, [None]),
    ("array_sort", [3, None, 1], [1, 3, None]),
    ("arrays_overlap", [1, None], [2], None),
    ("arrays_overlap", [1, None], [1], True),
    ("arrays_overlap", [1], [2], False),
    ("arrays_overlap", [1, None], [2, None], None),
    ("cardinality", [], 0),
    ("cardinality", [1, None], 2),
    ("concat", [1], [2, 3], [1, 2, 3]),
    ("concat", [1], [2.5], [1.0, 2.5]),
    ("concat", [1], None, None),
    ("element_at", ["a", "b", "c"], -1, "c"),
    ("element_at", ["a", "b", "c"], 9, None),
    ("element_at", ["a", "b", "c"], -9, None),
    ("repeat", "ab", 2, ["ab", "ab"]),
    ("repeat", 1, 0, []),
    ("reverse", [1, 2], [2, 1]),
    ("sequence", 10, 4, -3, [10, 7, 4]),
    ("sequence", 1, 3, [1, 2, 3]),
    ("sequence", 3, 1, [3, 2, 1]),
    ("sequence", 1, 1, [1]),
    ("sequence", 1, None, None),
    ("slice", [1, 2, 3, 4], -2, 2, [3, 4]),
    ("slice", [1, 2, 3, 4], 2, 9, [2, 3, 4]),
    ("slice", [1, 2, 3, 4], 9, 2, []),
    ("slice", [1, 2, 3, 4], -9, 2, []),
    ("slice", [1, 2, 3, 4], 2, 0, []),
    ("zip", [1], ["x", "y"], [(1, "x"), (None, "y")]),
    # 6.7
    ("bit_count", 7, 64, 3),
    ("bit_count", -1, 64, 64),
    ("bit_count", -1, 8, 8),
    ("bit_count", 7, 4, 3),
    ("bitwise_and", 13, 11, 9),
    ("bitwise_or", 13, 11, 15),
    ("bitwise_xor", 13, 11, 6),
    ("bitwise_not", 0, -1),
    # 6.8
    ("regexp_like", "disk_full", "^disk", True),
    ("regexp_like", "full_disk", "^disk", False),
    ("regexp_extract", "host-07", r"(\w+)-(\d+)", 2, "07"),
    ("regexp_extract", "host-07", r"\d+", "07"),
    ("regexp_extract", "host", r"\d+", None),
    ("regexp_extract", "bc", "(a)?(b)", 1, None),
    ("regexp_extract", "bc", "(a*)(b)", 1, ""),
    ("regexp_extract", "host", r"(\d+)", 1, None),
    ("regexp_extract_all", "ab a", "(a)(b)?", 2, ["b", None]),
    ("regexp_extract_all", "a1b22", r"\d+", ["1", "22"]),
    ("regexp_extract_all", "a1b22", r"([a-z])(\d+)", 2, ["1", "22"]),
    ("regexp_extract_all", "abc", r"\d+", []),
    ("regexp_replace", "v1.2", r"[.\d]", "v"),
    ("regexp_replace", "2024-03", r"(\d+)-(\d+)", "$2/$1", "03/2024"),
    ("regexp_replace", "a1", r"(?<d>\d)", r"<${d}\$>\\", r"a<1$>\ ".strip()),
    ("regexp_replace", "abc", "x*", "-", "-a-b-c-"),
    ("regexp_replace", "ab", "(a)", "$12", "a2b"),
    ("regexp_split", "a,,b,", ",", ["a", "", "b", ""]),
]


@pytest.mark.parametrize("columns", [False, True], ids=["constants", "columns"])
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: f"{e[0]}{e[1:-1]}"[:60])
def test_example(example: tuple[Any, ...], columns: bool) -> None:
    name, *given, expected = example
    if columns and name in ("regexp_extract", "regexp_extract_all"):
        pytest.skip("a group is a constant")
    found = call(name, *given, columns=columns)
    assert same(found, expected), found


NULL_ARGUMENTS: list[tuple[Any, ...]] = [
    ("round", 1.5, null(Scalar.INTEGER)),
    ("pow", null(Scalar.DOUBLE), 2.0),
    ("substr", null(Scalar.VARCHAR), 1),
    ("substr", "abc", null(Scalar.BIGINT)),
    ("substr", "abc", 1, null(Scalar.BIGINT)),
    ("split", null(Scalar.VARCHAR), "/"),
    ("split", "a/b", null(Scalar.VARCHAR), 2),
    ("split_part", "a", null(Scalar.VARCHAR), 1),
    ("replace", "a", null(Scalar.VARCHAR), "b"),
    ("replace", "a", "b", null(Scalar.VARCHAR)),
    ("reverse", null(Scalar.VARCHAR)),
    ("lpad", "a", 3, null(Scalar.VARCHAR)),
    ("strpos", null(Scalar.VARCHAR), "a", 1),
    ("from_base", null(Scalar.VARCHAR), 16),
    ("to_base", 3, null(Scalar.BIGINT)),
    ("bit_count", null(Scalar.BIGINT), 64),
    ("regexp_like", "a", null(Scalar.VARCHAR)),
    ("regexp_replace", "a", "a", null(Scalar.VARCHAR)),
    ("regexp_extract", null(Scalar.VARCHAR), "a"),
    ("regexp_split", null(Scalar.VARCHAR), "a"),
    ("chr", null(Scalar.BIGINT)),
    ("element_at", [1], null(Scalar.BIGINT)),
    ("array_remove", [1], null(Scalar.INTEGER)),
    ("array_join", null(Scalar.UNKNOWN), ","),
    ("slice", [1], 1, null(Scalar.BIGINT)),
    ("repeat", 1, null(Scalar.BIGINT)),
    ("sequence", null(Scalar.BIGINT), 3),
    ("sequence", null(Scalar.TIMESTAMP), ts("2024-01-01")),
    ("zip", [1], null(Scalar.UNKNOWN)),
    ("cardinality", null(Scalar.UNKNOWN)),
    ("array_max", null(Scalar.UNKNOWN)),
]


@pytest.mark.parametrize("example", NULL_ARGUMENTS, ids=lambda e: f"{e[0]}{e[1:]}"[:60])
def test_null_argument_gives_null(example: tuple[Any, ...]) -> None:
    assert call(*example) is None


FAULTS: list[tuple[Any, ...]] = [
    ("abs", -(2**31), "Value -2147483648 is out of range for abs(integer)"),
    ("mod", 1, 0, "Division by zero"),
    ("from_base", "zz", 16, "Not a valid base-16 number: zz"),
    ("from_base", "1", 99, "Radix must be between 2 and 36"),
    ("to_base", 1, 1, "Radix must be between 2 and 36"),
    ("chr", -1, "Not a valid Unicode code point: -1"),
    ("codepoint", "ab", "Input of codepoint must be one character"),
    (
        "hamming_distance",
        "a",
        "ab",
        "The input strings to hamming_distance function must have the same length",
    ),
    ("lpad", "a", -1, "x", "Target length must be in the range [0..1000000]"),
    ("lpad", "a", 1, "", "Padding string must not be empty"),
    ("split", "a", "", "The delimiter may not be the empty string"),
    ("split", "a", "b", 0, "Limit must be positive"),
    ("split_part", "a", "b", 0, "Index must be greater than zero"),
    ("strpos", "a", "b", 0, "'instance' must be a positive number"),
    ("element_at", [1], 0, "SQL array indices start at 1"),
    ("slice", [1], 0, 1, "SQL array indices start at 1"),
    ("slice", [1], 1, -1, "length must be greater than or equal to 0"),
    ("repeat", 1, -1, "count argument of repeat function must be greater than or equal to 0"),
    ("repeat", 1, 10_001, "count argument of repeat function must be less than or equal to 10000"),
    (
        "sequence",
        1,
        5,
        -1,
        "sequence stop value should be greater than or equal to start value if step is greater than zero"
        " otherwise stop should be less than or equal to start",
    ),
    ("sequence", 1, 10_001, "result of sequence function must not have more than 10000 entries"),
    (
        "bit_count",
        9,
        4,
        "Number must be representable with the bits specified. 9 can not be represented with 4 bits",
    ),
    ("random", 0, "bound must be positive"),
    ("sequence", 1, 5, 0, "step must not be zero"),
]


@pytest.mark.parametrize("columns", [False, True], ids=["constants", "columns"])
@pytest.mark.parametrize("example", FAULTS, ids=lambda e: f"{e[0]}{e[1:-1]}"[:60])
def test_fault_of_a_run(example: tuple[Any, ...], columns: bool) -> None:
    name, *given, expected = example
    with pytest.raises(QueryFailed) as fault:
        call(name, *given, columns=columns)
    assert fault.value.message == expected


CONSTANT_FAULTS: list[tuple[Any, ...]] = [
    ("regexp_extract", "a", "(a)", 2, "Pattern has 1 groups. Cannot access group 2"),
    ("regexp_extract", "a", "(?:a)[(]", 1, "Pattern has 0 groups. Cannot access group 1"),
    ("regexp_replace", "a", "(a)", "$2", "Illegal replacement sequence: unknown group {2}"),
    ("regexp_replace", "a", "(a)", "$", "Illegal replacement sequence: $"),
]


@pytest.mark.parametrize("example", CONSTANT_FAULTS, ids=lambda e: f"{e[0]}{e[1:-1]}"[:60])
def test_fault_of_a_constant_is_one_of_the_run(example: tuple[Any, ...]) -> None:
    name, *given, expected = example
    with pytest.raises(QueryFailed) as fault:
        call(name, *given)
    assert fault.value.message == expected


REFUSED: list[tuple[Any, ...]] = [
    ("nosuch", 1, "Function nosuch not registered"),
    ("NoSuch", "Function NoSuch not registered"),
    ("ago", "7d", "Unexpected parameters (varchar) for function ago. Expected: ago(interval day to second)"),
    ("length", 1, "Unexpected parameters (integer) for function length. Expected: length(varchar)"),
    (
        "abs",
        "x",
        "Unexpected parameters (varchar) for function abs. Expected: abs(integer), abs(bigint), abs(double)",
    ),
    (
        "array_join",
        [[1]],
        ",",
        "Unexpected parameters (array(array(integer))) for function array_join",
    ),
    ("regexp_like", "a", "(", "Invalid or unsupported regular expression: ("),
    ("regexp_like", "a", "(?=b)a", "Unsupported regular expression, it looks ahead or behind: (?=b)a"),
    ("regexp_like", "a", r"(a)\1", r"Unsupported regular expression, it refers back to a group: (a)\1"),
    ("regexp_like", "a", "[a&&b]", "Unsupported regular expression, a class within a class: [a&&b]"),
]


@pytest.mark.parametrize("example", REFUSED, ids=lambda e: f"{e[0]}{e[1:-1]}"[:60])
def test_refused_before_the_run(example: tuple[Any, ...]) -> None:
    name, *given, expected = example
    with pytest.raises(Invalid) as fault:
        call(name, *given)
    assert fault.value.message.startswith(expected)


def test_sequence_of_instants() -> None:
    start, stop = ts("2024-01-01 00:00"), ts("2024-01-01 00:50")
    minutes = [start.value + m * 60 * 10**9 for m in (0, 20, 40)]
    assert call("sequence", start, stop, interval("20m")) == minutes
    assert call("sequence", start, stop, interval("20m"), columns=True) == minutes
    assert call("sequence", "2024-01-01 00:00", "2024-01-01 00:50", interval("20m")) == minutes
    assert call("sequence", start, ts("2024-01-03")) == [start.value + d * 86_400 * 10**9 for d in range(3)]
    months = [ts(f"2024-0{m}-{d}").value for m, d in ((1, 31), (2, 29), (3, 31), (4, 30))]
    assert call("sequence", ts("2024-01-31"), ts("2024-05-30"), interval("1month")) == months


def test_volatile_functions_stay_in_their_range() -> None:
    for _ in range(20):
        assert 0 <= call("rand") < 1
        assert 0 <= call("random", 3) < 3
    assert sorted(call("shuffle", [1, 2, 3, 3])) == [1, 2, 3, 3]
    assert functions.resolve("random", (), (), CONTEXT).is_volatile


def test_row_is_found_by_the_closest_types() -> None:
    """integer stays integer, a literal stands for an instant only where no row takes a varchar."""
    resolve = functions.resolve
    assert resolve("ABS", [Scalar.INTEGER], [None], CONTEXT).result is Scalar.INTEGER
    assert resolve("concat", [Array(Scalar.UNKNOWN), Array(Scalar.BIGINT)], [None] * 2, CONTEXT).result == Array(
        Scalar.BIGINT
    )
    literal_type = resolve("to_iso8601", [Scalar.VARCHAR], [Constant("2024-01-01")], CONTEXT).argument_types
    assert literal_type == (Scalar.TIMESTAMP,)
    with pytest.raises(Invalid):
        resolve("to_iso8601", [Scalar.VARCHAR], [None], CONTEXT)
    with pytest.raises(Invalid, match="Value cannot be cast to timestamp: soon"):
        resolve("to_iso8601", [Scalar.VARCHAR], [Constant("soon")], CONTEXT)


def test_every_macro_that_a_lowering_names_exists() -> None:
    source = "".join(path.read_text() for path in Path(functions.__file__).parent.parent.rglob("*.py"))
    macros = {re.match(r"\w+", head)[0] for head, _ in MACROS}  # type: ignore[index]
    known = macros | {function.name for function in PYTHON_FUNCTIONS}
    assert set(re.findall(r"\b(?:hw|arrow)_[a-z0-9_]+(?=\()", source)) <= known
