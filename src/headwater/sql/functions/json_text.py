"""Rows of JSON functions. What they take is JSON or a text of it; what they find is JSON. Source: Trino."""

from __future__ import annotations

from collections.abc import Iterator

from headwater.model.json_path import steps
from headwater.sql.signature import Call, Check, Signature, row


def _check_path(call: Call) -> None:
    if call.is_constant(1) and call.value(1) is not None:
        steps(call.value(1))


def _of_json(name: str, more: str, result: str, lower: str, check: Check | None = None) -> Iterator[Signature]:
    for kind in ("json", "varchar"):
        yield row(f"{name}({kind}{more}) -> {result}", lower, check=check, source="Trino")


def _contains() -> Iterator[Signature]:
    for kind, text, what in (
        ("boolean", "CASE WHEN {1} THEN 'true' WHEN NOT {1} THEN 'false' END", "boolean"),
        ("bigint", "CAST({1} AS VARCHAR)", "integer"),
        ("double", "CAST({1} AS VARCHAR)", "double"),
        ("varchar", "{1}", "text"),
    ):
        yield from _of_json(
            "json_array_contains", f", {kind}", "boolean", f"arrow_json_array_contains({{0}}, {text}, '{what}')"
        )


ROWS = (
    row("json_parse(varchar) -> json", "arrow_json_parse({0})", source="Trino"),
    row("json_format(json) -> varchar", "{0}", source="Trino"),
    *_of_json("json_extract", ", varchar", "json", "arrow_json_extract({0}, {1})", _check_path),
    *_of_json("json_extract_scalar", ", varchar", "varchar", "arrow_json_extract_scalar({0}, {1})", _check_path),
    *_of_json("json_size", ", varchar", "bigint", "arrow_json_size({0}, {1})", _check_path),
    *_of_json("json_array_length", "", "bigint", "arrow_json_array_length({0})"),
    *_of_json("json_array_get", ", bigint", "json", "arrow_json_array_get({0}, {1})"),
    *_contains(),
    *_of_json("is_json_scalar", "", "boolean", "arrow_json_is_scalar({0})"),
)
