"""CSV in its dialects: rows, their lines, and places where reading can go on."""

from __future__ import annotations

import csv
from io import StringIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import Invalid
from headwater.jobs.batch_load_csv import NOT_UTF_8, UNREADABLE, WRONG_WIDTH, BadFile, Chunk, Rows, check_dialect
from headwater.model.batch_load import START, Dialect

BIG = 1 << 20
SEPARATORS = (",", "|", ";", "\t", " ")


def read(data: str | bytes, part_bytes: int = 7, row_bytes_max: int = BIG, **dialect: Any) -> tuple[list[str], Chunk]:
    """The header of a small file, and the one chunk below it."""
    raw = data if isinstance(data, bytes) else data.encode()
    parts = (raw[at : at + part_bytes] for at in range(0, len(raw), part_bytes))
    rows = Rows(parts, Dialect(**dialect), row_bytes_max)
    header = rows.header()
    chunk = rows.chunk(len(header))
    assert rows.chunk(len(header)) is None
    assert chunk is not None
    assert chunk.end.offset == len(raw)
    return header, chunk


def texts(data: str | bytes, **dialect: Any) -> list[tuple[str, ...]]:
    chunk = read(data, **dialect)[1]
    assert not chunk.failed
    return list(zip(*chunk.columns, strict=True))


def failed(data: str | bytes, **how: Any) -> list[tuple[tuple[int, int], str]]:
    return read(data, **how)[1].failed


@pytest.mark.parametrize("separator", SEPARATORS)
def test_every_separator(separator: str) -> None:
    assert texts(f"a{separator}b\n1{separator}2\n", column_separator=separator) == [("1", "2")]


@pytest.mark.parametrize(
    ("data", "dialect", "rows"),
    [
        ("a,b\r\n1,2\r\n", {}, [("1", "2")]),
        ("a,b\n1,2", {}, [("1", "2")]),
        ("\ufeffa,b\n1,2\n", {}, [("1", "2")]),
        ("a,b\n\n1,2\n\r\n3,4\n", {}, [("1", "2"), ("3", "4")]),
        ('a,b\n"x,y","say ""hi"""\n', {}, [("x,y", 'say "hi"')]),
        ("a,b\n'x,y','it''s'\n", {"quote_char": "'"}, [("x,y", "it's")]),
        ('a,b\n"x\ny","z\r\nw"\n', {}, [("x\ny", "z\r\nw")]),
        ('a,b\n"x\\"y",2\n', {"escape_char": "\\"}, [('x"y', "2")]),
        ("a,b\nx\\,y,2\n", {"escape_char": "\\"}, [("x,y", "2")]),
        ('a,b\n"x""y",2\n', {"escape_char": '"'}, [('x"y', "2")]),
        ("a,b\nC:\\temp,2\n", {}, [("C:\\temp", "2")]),
        ('a,b\n5" disk,2\n', {}, [('5" disk', "2")]),
        ('a,b\n"",\n', {}, [("", "")]),
        ("ä,ö\nü,€\n", {}, [("ü", "€")]),
    ],
)
def test_rows(data: str, dialect: dict[str, Any], rows: list[tuple[str, ...]]) -> None:
    assert texts(data, **dialect) == rows


def test_a_byte_order_mark_is_no_part_of_the_first_name() -> None:
    assert read("\ufeffa,b\n1,2\n")[0] == ["a", "b"]


def test_names_are_trimmed_where_values_are() -> None:
    assert read(" a ,b\n1,2\n", trim_white_space=True)[0] == ["a", "b"]
    assert read(" a ,b\n1,2\n")[0] == [" a ", "b"]


@pytest.mark.parametrize("data", [b"", b"\n", b"\n\n1,2\n"])
def test_a_file_without_a_header(data: bytes) -> None:
    with pytest.raises(BadFile, match="no header"):
        Rows([data], Dialect(), BIG).header()


def test_a_header_alone_has_no_rows() -> None:
    rows = Rows([b"a,b\n"], Dialect(), BIG)
    assert rows.header() == ["a", "b"]
    assert rows.chunk(2) is None


def test_what_is_no_row_has_its_lines_and_the_rest_goes_on() -> None:
    data = b'a,b\n1,2\n1\n"x\ny",4\n1,2,3\n"p"q,5\n\xff,6\n7,8\n'
    _, chunk = read(data)
    assert list(zip(*chunk.columns, strict=True)) == [("1", "2"), ("x\ny", "4"), ("7", "8")]
    assert chunk.lines == [(2, 2), (4, 5), (9, 9)]
    assert chunk.failed == [
        ((3, 3), WRONG_WIDTH),
        ((6, 6), WRONG_WIDTH),
        ((7, 7), UNREADABLE),
        ((8, 8), NOT_UTF_8),
    ]


def test_a_quote_that_is_never_closed_takes_the_rest_of_the_file() -> None:
    assert failed('a,b\n1,"2\n3,4\n') == [((2, 3), UNREADABLE)]


def test_a_bare_carriage_return_is_no_end_of_a_line() -> None:
    assert failed("a,b\n1,2\r3,4\n") == [((2, 2), UNREADABLE)]


def test_a_row_may_not_be_too_long() -> None:
    with pytest.raises(BadFile, match="maximum size of 100 bytes") as bad:
        read(f"a,b\n1,2\n{'x' * 300},2\n", part_bytes=50, row_bytes_max=100)
    assert bad.value.line == 3
    over_lines = '"' + "x\n" * 200 + '",2\n'
    assert failed(f"a,b\n{over_lines}", part_bytes=50, row_bytes_max=100)[0] == ((2, 52), UNREADABLE)


@pytest.mark.parametrize(
    ("member", "words"),
    [
        ({"column_separator": "x"}, "ColumnSeparator"),
        ({"quote_char": "x"}, "QuoteChar"),
        ({"escape_char": ","}, "EscapeChar"),
        ({"escape_char": "\n"}, "EscapeChar"),
        ({"escape_char": "|", "column_separator": "|"}, "EscapeChar"),
    ],
)
def test_a_dialect_that_cannot_be(member: dict[str, str], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        check_dialect(Dialect(**member))


CELL = st.text(st.sampled_from(list("ab\"'\\,|; \t\r\nü€")), max_size=6)
TABLE = st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(CELL, min_size=n, max_size=n), min_size=1, max_size=8))


@given(TABLE, st.sampled_from(SEPARATORS), st.sampled_from("'\""), st.sampled_from(["\n", "\r\n"]), st.integers(1, 40))
def test_what_was_written_is_read(
    table: list[list[str]], separator: str, quote: str, end: str, part_bytes: int
) -> None:
    """Whatever the cells hold, however the bytes are parted; and from every place between two rows."""
    file = StringIO(newline="")
    writer = csv.writer(file, delimiter=separator, quotechar=quote, lineterminator=end, quoting=csv.QUOTE_ALL)
    width = len(table[0])
    writer.writerows([[str(place) for place in range(width)], *table])
    dialect = {"column_separator": separator, "quote_char": quote}
    raw = file.getvalue().encode()
    assert texts(raw, part_bytes=part_bytes, **dialect) == [tuple(row) for row in table]
    rows = Rows([raw], Dialect(**dialect), BIG)
    rows.header()
    again = Rows([raw[rows.position.offset :]], Dialect(**dialect), BIG, rows.position)
    chunk, later = rows.chunk(width), again.chunk(width)
    assert chunk == later
    assert START != rows.position == again.position
