"""Results on paper, from pages as the service answers them."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from headwater.cli.output import print_csv, print_json, print_table, type_text

BIGINT = {"ScalarType": "BIGINT"}
DOUBLE = {"ScalarType": "DOUBLE"}
SERIES = {"TimeSeriesMeasureValueColumnInfo": {"Type": DOUBLE}}
ROW = {"RowColumnInfo": [{"Name": "n", "Type": BIGINT}, {"Type": {"ScalarType": "VARCHAR"}}]}

COLUMNS = [
    {"Name": "host", "Type": {"ScalarType": "VARCHAR"}},
    {"Name": "n", "Type": BIGINT},
    {"Name": "mean", "Type": DOUBLE},
    {"Name": "up", "Type": {"ScalarType": "BOOLEAN"}},
    {"Name": "list", "Type": {"ArrayColumnInfo": {"Type": BIGINT}}},
    {"Name": "series", "Type": SERIES},
    {"Name": "pair", "Type": ROW},
]
NULL = {"NullValue": True}


def scalar(text: str) -> dict[str, Any]:
    return {"ScalarValue": text}


FULL = [
    scalar('a,"b"'),
    scalar("9223372036854775807"),
    scalar("NaN"),
    scalar("true"),
    {"ArrayValue": [scalar("1"), NULL]},
    {"TimeSeriesValue": [{"Time": "2024-01-01 00:00:00.000000000", "Value": scalar("1.5")}]},
    {"RowValue": {"Data": [scalar("2"), scalar("é")]}},
]
EMPTY = [NULL] * 7
PAGES = [
    {"ColumnInfo": COLUMNS, "Rows": []},
    {"ColumnInfo": COLUMNS, "Rows": [{"Data": FULL}]},
    {"ColumnInfo": COLUMNS, "Rows": [{"Data": EMPTY}]},
]


def printed(function, pages: list[dict[str, Any]]) -> str:
    stream = io.StringIO()
    function(pages, stream)
    return stream.getvalue()


def test_json_is_native_and_null_is_null() -> None:
    found = json.loads(printed(print_json, PAGES))
    types = ["varchar", "bigint", "double", "boolean", "array(bigint)", "timeseries(double)", "row(n bigint, varchar)"]
    assert [column["type"] for column in found["columns"]] == types
    point = {"time": "2024-01-01 00:00:00.000000000", "value": 1.5}
    assert found["rows"] == [['a,"b"', 2**63 - 1, "NaN", True, [1, None], [point], [2, "é"]], [None] * 7]


def test_csv_joins_pages_and_quotes() -> None:
    lines = printed(print_csv, PAGES).splitlines()
    assert lines[0] == "host,n,mean,up,list,series,pair"
    assert lines[1].startswith('"a,""b""",9223372036854775807,NaN,true,"[""1"", null]",')
    assert lines[2] == ",,,,,,"
    assert len(lines) == 3


def test_a_table_has_types_in_its_header_and_counts_its_rows() -> None:
    pages = [{"ColumnInfo": COLUMNS[:3], "Rows": [{"Data": FULL[:3]}, {"Data": EMPTY[:3]}]}]
    lines = [line.split() for line in printed(print_table, pages).splitlines() if line.strip()]
    assert lines[0] == ["host", "n", "mean"]
    assert lines[1] == ["varchar", "bigint", "double"]
    assert lines[3] == ['a,"b"', "9223372036854775807", "NaN"]
    assert lines[4] == ["NULL", "NULL", "NULL"]
    assert lines[5] == ["2", "rows"]


def test_a_table_without_rows_still_has_its_columns() -> None:
    text = printed(print_table, [{"ColumnInfo": COLUMNS[:1], "Rows": []}])
    assert "host" in text
    assert text.endswith("0 rows\n")


@pytest.mark.parametrize("text", ["[bold]x[/bold]", ":smile:", "a\x1b[31mb", "a\nb", "\x9b31m", "x" * 300])
def test_data_cannot_command_the_terminal_or_the_table(text: str) -> None:
    found = printed(print_table, [{"ColumnInfo": COLUMNS[:1], "Rows": [{"Data": [scalar(text)]}]}])
    visible = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
    assert visible in found
    assert all(c.isprintable() or c == "\n" for c in found)


@pytest.mark.parametrize(
    ("type", "text"),
    [
        ({"ScalarType": "INTERVAL_DAY_TO_SECOND"}, "interval day to second"),
        ({"ArrayColumnInfo": {"Type": SERIES}}, "array(timeseries(double))"),
        (ROW, "row(n bigint, varchar)"),
    ],
)
def test_types(type: dict[str, Any], text: str) -> None:
    assert type_text(type) == text
