"""The wire's answer to a query as the cells of a golden file: types as `typeof` writes them, values as one text."""

from __future__ import annotations

from typing import Any

from support.golden import Row, quoted

Json = Any


def heading(columns: Json) -> Row:
    """`name:type` of each ColumnInfo."""
    return [f"{quoted(column['Name'])}:{type_text(column['Type'])}" for column in columns]


def row_cells(row: Json, columns: Json) -> Row:
    return [datum_text(datum, c["Type"], inside=False) for datum, c in zip(row["Data"], columns, strict=True)]


def type_text(info: Json) -> str:
    """The dialect's name of a wire type. Asserts that the type says exactly one thing."""
    ((key, value),) = info.items()
    match key:
        case "ScalarType":
            return str(value).lower().replace("_", " ")
        case "ArrayColumnInfo":
            return f"array({_nameless(value)})"
        case "TimeSeriesMeasureValueColumnInfo":
            return f"timeseries({_nameless(value)})"
        case "RowColumnInfo":
            return f"row({', '.join(_field(part) for part in value)})"
    raise AssertionError(f"no type of the service: {info}")


def _nameless(info: Json) -> str:
    assert set(info) == {"Type"}, f"an inner column has no name: {info}"
    return type_text(info["Type"])


def _field(info: Json) -> str:
    text = type_text(info["Type"])
    return f"{info['Name']} {text}" if "Name" in info else text


def datum_text(datum: Json, info: Json, *, inside: bool) -> str:
    """One Datum. Asserts that it has exactly the one key that its type or NULL calls for."""
    ((key, value),) = datum.items()
    if key == "NullValue":
        assert value is True
        return "NULL"
    ((kind, inner),) = info.items()
    match kind, key:
        case "ScalarType", "ScalarValue":
            assert isinstance(value, str), f"a scalar travels as a string: {value!r}"
            return quoted(value, inside=inside)
        case "ArrayColumnInfo", "ArrayValue":
            return f"[{', '.join(datum_text(part, inner['Type'], inside=True) for part in value)}]"
        case "RowColumnInfo", "RowValue":
            assert set(value) == {"Data"}
            parts = zip(value["Data"], inner, strict=True)
            return f"({', '.join(datum_text(part, field['Type'], inside=True) for part, field in parts)})"
        case "TimeSeriesMeasureValueColumnInfo", "TimeSeriesValue":
            return f"{{{', '.join(_point(point, inner['Type']) for point in value)}}}"
    raise AssertionError(f"{datum} is no value of {info}")


def _point(point: Json, info: Json) -> str:
    assert set(point) == {"Time", "Value"}
    return f"{point['Time']} = {datum_text(point['Value'], info, inside=True)}"
