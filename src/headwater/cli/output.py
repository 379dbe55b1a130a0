"""Results of queries on paper: a table for people, CSV and JSON for programs.

Takes pages as the service answers them (ColumnInfo, Rows) and a text stream. Asks nobody for anything.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from headwater.model.types import Scalar

Page = Mapping[str, Any]
Column = Mapping[str, Any]
Row = Mapping[str, Any]

_UNBOUNDED_WIDTH = 100_000
_NUMBERS = frozenset({"INTEGER", "BIGINT", "DOUBLE"})


def print_table(pages: Iterable[Page], stream: TextIO) -> None:
    """One table of all rows, each column headed by its name and type; NULL is dim, to differ from the text."""
    table = table_of(*_joined(pages))
    # Into a file or a pipe a line is as long as its row.
    console = Console(file=stream, highlight=False, width=None if stream.isatty() else _UNBOUNDED_WIDTH)
    console.print(table)
    console.print(f"{table.row_count} row{'' if table.row_count == 1 else 's'}")


def table_of(columns: Sequence[Column], rows: Iterable[Row]) -> Table:
    """The rows as a table to print, each column headed by its name and type."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        is_number = column["Type"].get("ScalarType") in _NUMBERS
        header = Text.assemble(_visible(column.get("Name", "")), "\n", (type_text(column["Type"]), "dim"))
        table.add_column(header, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(datum) for datum in row["Data"]))
    return table


def print_csv(pages: Iterable[Page], stream: TextIO) -> None:
    """A line of names, then a line for each row, page by page. NULL is an empty field, nested values are JSON."""
    writer = csv.writer(stream, lineterminator="\n")
    columns, rows = _joined(pages)
    writer.writerow([column.get("Name", "") for column in columns])
    for row in rows:
        writer.writerow(["" if value is None else _plain(value) for value in map(_value, row["Data"])])


def print_json(pages: Iterable[Page], stream: TextIO) -> None:
    """One document: `columns` with name and type, `rows` as lists in their order; numbers and booleans are native."""
    columns, rows = _joined(pages)
    types = [column["Type"] for column in columns]
    document = {
        "columns": [{"name": column.get("Name", ""), "type": type_text(column["Type"])} for column in columns],
        "rows": [[_native(datum, type) for datum, type in zip(row["Data"], types, strict=True)] for row in rows],
    }
    json.dump(document, stream, ensure_ascii=False, indent=2, allow_nan=False)
    stream.write("\n")


def type_text(type: Mapping[str, Any]) -> str:
    """A type of ColumnInfo as SQL says it: `array(bigint)`."""
    if "ScalarType" in type:
        return Scalar[type["ScalarType"]].value
    if "ArrayColumnInfo" in type:
        return f"array({type_text(type['ArrayColumnInfo']['Type'])})"
    if "TimeSeriesMeasureValueColumnInfo" in type:
        return f"timeseries({type_text(type['TimeSeriesMeasureValueColumnInfo']['Type'])})"
    fields = [f"{field.get('Name', '')} {type_text(field['Type'])}".strip() for field in type["RowColumnInfo"]]
    return f"row({', '.join(fields)})"


def _joined(pages: Iterable[Page]) -> tuple[list[Column], Iterator[Row]]:
    """The columns, which every page repeats, and the rows of all pages; later pages are fetched as rows are taken."""
    remaining = iter(pages)
    first = next(remaining)

    def rows() -> Iterator[Row]:
        yield from first["Rows"]
        for page in remaining:
            yield from page["Rows"]

    return first["ColumnInfo"], rows()


def _value(datum: Mapping[str, Any]) -> Any:
    """A Datum as text, None, or lists and objects of those."""
    if "ScalarValue" in datum:
        return datum["ScalarValue"]
    if "ArrayValue" in datum:
        return [_value(element) for element in datum["ArrayValue"]]
    if "RowValue" in datum:
        return [_value(field) for field in datum["RowValue"]["Data"]]
    if "TimeSeriesValue" in datum:
        return [{"time": point["Time"], "value": _value(point["Value"])} for point in datum["TimeSeriesValue"]]
    return None


def _native(datum: Mapping[str, Any], type: Mapping[str, Any]) -> Any:
    """A Datum as the JSON value of its type. A double that is not finite has none, and stays a text."""
    if "TimeSeriesValue" in datum:
        element = type["TimeSeriesMeasureValueColumnInfo"]["Type"]
        points = datum["TimeSeriesValue"]
        return [{"time": point["Time"], "value": _native(point["Value"], element)} for point in points]
    if "ArrayValue" in datum:
        return [_native(element, type["ArrayColumnInfo"]["Type"]) for element in datum["ArrayValue"]]
    if "RowValue" in datum:
        fields = zip(datum["RowValue"]["Data"], type["RowColumnInfo"], strict=True)
        return [_native(value, field["Type"]) for value, field in fields]
    text, scalar = datum.get("ScalarValue"), type.get("ScalarType")
    if text is None:
        return None
    if scalar in ("INTEGER", "BIGINT"):
        return int(text)
    if scalar == "DOUBLE":
        return float(text) if math.isfinite(float(text)) else text
    return text == "true" if scalar == "BOOLEAN" else text


def _cell(datum: Mapping[str, Any]) -> Text:
    value = _value(datum)
    return Text("NULL", style="dim") if value is None else Text(_visible(_plain(value)))


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _visible(text: str) -> str:
    """The text without characters that would command the terminal: data must not."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
